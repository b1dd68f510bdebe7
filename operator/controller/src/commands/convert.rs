//! `convert -f FILE`: resources of zilliztech's milvus-operator become this operator's. The decisions are the core's; this
//! reads, asks the definition and the operator's own validation what they say, and prints: the result to standard output,
//! remarks to standard error. Needs no cluster.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use milvus_apiserver::schema::Schema;
use milvus_core::convert::{self, Conversion, Level, Remark};
use serde_json::{Value, json};

use super::manifest::{self, Document, ManifestError};
use super::output::say;
use super::validate::{self, ValidateError};

/// Exit code when a document was refused.
const REFUSED: u8 = 3;

/// Flags of `convert`.
#[derive(Debug, Args)]
#[command(after_help = "\
What becomes of a document:
  Milvus of milvus.io/v1beta1 and v1alpha1, MilvusCluster of milvus.io/v1alpha1
                     become a MilvusCluster of operator.milvus.io/v1beta1, with a
                     Secret where they have credentials in clear
  every other kind   is printed as it is

Remarks, each with the path of its field:
  note       carried over, a default written out, or what one platform cannot honour
             and another can; worth knowing
  left out   not carried over; nothing essential changes
  refused    the result would be another Milvus than the one asked for: nothing is
             printed for the document but what to change

Exit codes:
  0  everything is converted or passed through
  1  the input cannot be read
  2  wrong use of the command line
  3  a document was refused; the others are printed")]
pub(crate) struct ConvertArgs {
    /// Manifest, folder of manifests, or `-` for standard input. May hold several documents; may be given several times.
    #[arg(short = 'f', long = "filename", required = true)]
    pub filenames: Vec<PathBuf>,
    /// Read folders with all folders in them.
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Start empty below this prefix of an external object store and etcd, instead of where the old cluster keeps its data.
    /// Needed where only a part of the data is external: the old cluster still uses it.
    #[arg(long, value_name = "PREFIX")]
    pub fresh_prefix: Option<String>,
    /// Output.
    #[arg(short, long, value_enum, default_value_t = ConvertOutput::Yaml)]
    pub output: ConvertOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConvertOutput {
    /// YAML documents.
    Yaml,
    /// One JSON object; a List where there are several.
    Json,
}

/// Why nothing was converted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConvertError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("no document in {files}")]
    Nothing { files: String },
    #[error(transparent)]
    Definition(#[from] ValidateError),
    #[error("the result cannot be printed as JSON")]
    Json(#[source] serde_json::Error),
    #[error("the result cannot be printed as YAML")]
    Yaml(#[source] serde_saphyr::ser_error::Error),
    #[error("print the result")]
    Print(#[from] std::io::Error),
}

/// Converts every document of the given files.
pub(crate) fn convert(args: &ConvertArgs) -> Result<ExitCode, ConvertError> {
    let documents = manifest::documents(&args.filenames, args.recursive)?;
    if documents.is_empty() {
        let files: Vec<_> = args
            .filenames
            .iter()
            .map(|f| f.display().to_string())
            .collect();
        return Err(ConvertError::Nothing {
            files: files.join(", "),
        });
    }
    let definition = validate::cluster_schema()?;
    let outcome = Outcome::of(documents, &definition, args.fresh_prefix.as_deref());
    for line in &outcome.said {
        say(line);
    }
    say(format!(
        "{} converted, {} refused, {} passed through",
        outcome.converted, outcome.refused, outcome.passed
    ));
    super::emit(&outcome.text(args.output)?)?;
    Ok(outcome.code())
}

/// What became of all documents.
#[derive(Debug, Default)]
struct Outcome {
    documents: Vec<Value>,
    said: Vec<String>,
    converted: usize,
    refused: usize,
    passed: usize,
}

impl Outcome {
    fn of(documents: Vec<Document>, definition: &Schema, fresh_prefix: Option<&str>) -> Self {
        let secrets: Vec<(String, String)> = documents
            .iter()
            .filter(|document| document.kind() == "Secret")
            .map(|document| named(&document.value))
            .collect();
        let mut outcome = Self::default();
        for document in documents {
            let who = format!("{}: {}/{}", document.file, document.kind(), document.name());
            if !convert::concerns(&document.value) {
                if let Some(note) = about_other(&document) {
                    outcome.said.push(format!("{who}: {note}"));
                }
                outcome.passed += 1;
                outcome.documents.push(document.value);
                continue;
            }
            let mut conversion = convert::convert_with(&document.value, fresh_prefix);
            judge(&mut conversion, definition);
            for made in &conversion.secrets.clone() {
                let (_, name) = named(made);
                if secrets.contains(&named(made)) {
                    conversion.refuse(
                        "metadata.name",
                        format!("the credentials would be put into a Secret {name:?}, and the input has another one of this name; rename it"),
                    );
                }
            }
            outcome.take(&who, conversion);
        }
        outcome
    }

    fn take(&mut self, who: &str, conversion: Conversion) {
        let refused = conversion.is_refused();
        let mut remarks = conversion.remarks;
        remarks.sort_by_key(|remark| std::cmp::Reverse(remark.level));
        let worth = |remark: &&Remark| !refused || remark.level == Level::Refused;
        let said = remarks.iter().filter(worth);
        self.said
            .extend(said.map(|remark| format!("{who}: {remark}")));
        match conversion.cluster.map(serde_json::to_value) {
            Some(Ok(cluster)) if !refused => {
                self.converted += 1;
                self.documents.extend(conversion.secrets);
                self.documents.push(cluster);
            }
            _ => self.refused += 1,
        }
    }

    fn text(&self, output: ConvertOutput) -> Result<String, ConvertError> {
        match (output, self.documents.as_slice()) {
            (_, []) => Ok(String::new()),
            (ConvertOutput::Yaml, documents) => {
                let documents: Result<Vec<String>, _> =
                    documents.iter().map(serde_saphyr::to_string).collect();
                Ok(documents.map_err(ConvertError::Yaml)?.join("---\n"))
            }
            (ConvertOutput::Json, documents) => {
                let text = match documents {
                    [one] => serde_json::to_string_pretty(one),
                    several => serde_json::to_string_pretty(&json!({
                        "apiVersion": "v1",
                        "kind": "List",
                        "items": several,
                    })),
                };
                Ok(text.map_err(ConvertError::Json)? + "\n")
            }
        }
    }

    fn code(&self) -> ExitCode {
        match self.refused {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::from(REFUSED),
        }
    }
}

/// What the definition says to a result, as the API server would, and what the operator would say on each platform.
fn judge(conversion: &mut Conversion, definition: &Schema) {
    if let Some(cluster) = &conversion.cluster {
        let mut value = serde_json::to_value(cluster).unwrap_or_default();
        definition.default(&mut value);
        for error in definition.validate(&value, None) {
            conversion.refuse(error.field, error.message);
        }
    }
    conversion.check(&[
        &milvus_swarm::CAPABILITIES,
        &milvus_kubernetes::CAPABILITIES,
    ]);
}

/// Namespace and name.
fn named(document: &Value) -> (String, String) {
    let text = |pointer: &str, default: &str| {
        let text = document.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or(default).to_owned()
    };
    (
        text("/metadata/namespace", "default"),
        text("/metadata/name", ""),
    )
}

/// What is worth knowing of a document that is passed through.
fn about_other(document: &Document) -> Option<&'static str> {
    match (document.api_version().as_str(), document.kind().as_str()) {
        (version, "MilvusCluster") if version.starts_with(milvus_crds::GROUP) => {
            Some("note: kind: this is this operator's resource already")
        }
        (version, "HorizontalPodAutoscaler") if version.starts_with("autoscaling/") => Some(
            "note: spec.scaleTargetRef: if it scales a Deployment of milvus-operator's (NAME-milvus-proxy), let it be this operator's (NAME-proxy), whose role has replicas: -1; for query nodes let it be the MilvusCluster itself, whose scale they are",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn outcome(yaml: &str) -> Outcome {
        outcome_by(yaml, &validate::cluster_schema().expect("schema"), None)
    }

    fn outcome_by(yaml: &str, definition: &Schema, fresh_prefix: Option<&str>) -> Outcome {
        let root = tempfile::tempdir().expect("tempdir");
        let file = root.path().join("m.yaml");
        std::fs::write(&file, yaml).expect("write");
        let mut documents = manifest::documents(&[file], false).expect("documents");
        for document in &mut documents {
            document.file = "m.yaml".to_owned();
        }
        Outcome::of(documents, definition, fresh_prefix)
    }

    fn fixtures() -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/convert/fixtures");
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
            .expect("fixtures")
            .map(|entry| entry.expect("entry").path())
            .collect();
        files.sort();
        files
    }

    /// What becomes of every published sample shape, with this operator's own validation: the list of what it takes.
    #[test]
    fn every_sample_shape_is_converted_or_refused_with_reasons() {
        let mut list = String::new();
        let schema = validate::cluster_schema().expect("schema");
        for file in fixtures() {
            let name = file
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let text = std::fs::read_to_string(&file).expect("a fixture");
            let outcome = outcome_by(&text, &schema, None);
            assert!(outcome.converted + outcome.refused > 0, "{name}");
            list.push_str(&format!(
                "{name}: {} converted, {} refused, {} passed through\n",
                outcome.converted, outcome.refused, outcome.passed
            ));
            let refused = outcome
                .said
                .iter()
                .filter(|line| line.contains(": refused: "));
            let platform = outcome.said.iter().filter(|line| line.contains(" only: "));
            let lines: Vec<&String> = refused.chain(platform).collect();
            assert!(outcome.refused == 0 || !lines.is_empty(), "{name}");
            for line in lines {
                list.push_str(&format!("  {}\n", line.trim_start_matches("m.yaml: ")));
            }
        }
        insta::assert_snapshot!("sample_shapes", list);
    }

    /// What is printed has no field that the definition does not know.
    #[test]
    fn results_have_known_fields_only() {
        let schema = validate::cluster_schema().expect("schema");
        let mut seen = 0;
        for file in fixtures() {
            let text = std::fs::read_to_string(&file).expect("a fixture");
            for value in outcome_by(&text, &schema, None).documents {
                if value["kind"] != milvus_crds::KIND {
                    continue;
                }
                let mut pruned = value.clone();
                assert_eq!(schema.prune(&mut pruned), Vec::<String>::new(), "{file:?}");
                seen += 1;
            }
        }
        assert!(seen > 10, "{seen}");
    }

    const STANDALONE: &str = "\
apiVersion: milvus.io/v1beta1
kind: Milvus
metadata: {name: one}
spec: {components: {image: 'milvusdb/milvus:v2.3.5'}}
";

    #[test]
    fn other_documents_pass_through_in_their_place() {
        let others = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n";
        let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: 'on', m: '0777'}\n";
        let outcome = outcome(&format!("{others}{STANDALONE}{secret}"));
        let kinds: Vec<&str> = outcome
            .documents
            .iter()
            .filter_map(|document| document["kind"].as_str())
            .collect();
        assert_eq!(kinds, ["Namespace", "MilvusCluster", "Secret"]);
        assert_eq!(
            (outcome.converted, outcome.refused, outcome.passed),
            (1, 0, 2)
        );
        let text = outcome.text(ConvertOutput::Yaml).expect("YAML");
        let again: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML again");
        assert_eq!(again, outcome.documents);
        // Readers of older YAML take bare words such as these for other types.
        assert!(
            text.contains("k: \"on\"") && text.contains("m: \"0777\""),
            "{text}"
        );
        let json: Value =
            serde_json::from_str(&outcome.text(ConvertOutput::Json).expect("JSON")).expect("JSON");
        assert_eq!(json["kind"], "List");
        assert_eq!(json["items"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn a_refused_document_leaves_nothing_but_its_reasons() {
        let refused = STANDALONE.replace("spec: {", "spec: {mode: none, ");
        let outcome = outcome(&format!(
            "{refused}---\n{}",
            STANDALONE.replace("name: one", "name: two")
        ));
        assert_eq!((outcome.converted, outcome.refused), (1, 1));
        assert_eq!(outcome.documents.len(), 1);
        assert_eq!(outcome.documents[0]["metadata"]["name"], "two");
        let about_first: Vec<&String> = outcome
            .said
            .iter()
            .filter(|l| l.contains("Milvus/one"))
            .collect();
        assert_eq!(
            about_first,
            [
                "m.yaml: Milvus/one: refused: spec.mode: must be one of cluster, standalone; correct it"
            ]
        );
        assert_eq!(
            format!("{:?}", outcome.code()),
            format!("{:?}", ExitCode::from(REFUSED))
        );
    }

    #[test]
    fn what_the_definition_or_validation_refuses_is_told_with_both_paths() {
        let said = |spec: &str| {
            let text = STANDALONE.replace("spec: {", &format!("spec: {{{spec}, "));
            let outcome = outcome(&text);
            assert_eq!(
                (outcome.converted, outcome.refused),
                (0, 1),
                "{:?}",
                outcome.said
            );
            outcome.said
        };
        // The definition: a rule of etcd's.
        let even = said("dependencies: {etcd: {inCluster: {values: {replicaCount: 2}}}}");
        assert!(
            even[0].contains("spec.dependencies.etcd.inCluster.values.replicaCount: ")
                && even[0].contains("odd number"),
            "{even:?}"
        );
        // The operator, on every platform: the path of the result, and where it comes from.
        let root = said("config: {minio: {rootPath: /x/}}");
        assert!(
            root[0].contains("refused: spec.dependencies.storage.rootPath: ")
                && root[0].ends_with("(from spec.config.minio.rootPath)"),
            "{root:?}"
        );
    }

    #[test]
    fn what_one_platform_refuses_is_a_note() {
        let outcome = outcome(&STANDALONE.replace(
            "components: {",
            "components: {standalone: {serviceType: LoadBalancer}, ",
        ));
        assert_eq!(
            (outcome.converted, outcome.refused),
            (1, 0),
            "{:?}",
            outcome.said
        );
        assert!(
            outcome.said.iter().any(|line| line
                .contains("note: spec.components.standalone.serviceType: on swarm only: ")),
            "{:?}",
            outcome.said
        );
    }

    #[test]
    fn a_made_secret_never_takes_the_place_of_a_given_one() {
        let text = "\
apiVersion: v1
kind: Secret
metadata: {name: one-etcd-login}
---
apiVersion: milvus.io/v1beta1
kind: Milvus
metadata: {name: one}
spec:
  components: {image: 'milvusdb/milvus:v2.3.5'}
  config: {etcd: {auth: {enabled: true, userName: u, password: p}}}
  dependencies: {etcd: {external: true, endpoints: ['e:2379']}}
";
        let definition = validate::cluster_schema().expect("schema");
        let outcome = |text: &str| outcome_by(text, &definition, Some("fresh"));
        let clash = outcome(text);
        assert_eq!((clash.converted, clash.refused), (0, 1));
        assert!(
            clash.said[0].contains("another one of this name"),
            "{:?}",
            clash.said
        );
        let free = outcome(&text.replace("name: one-etcd-login", "name: other"));
        assert_eq!((free.converted, free.refused), (1, 0), "{:?}", free.said);
        let kinds: Vec<&Value> = free.documents.iter().map(|d| &d["kind"]).collect();
        assert_eq!(kinds, ["Secret", "Secret", "MilvusCluster"]);
    }
}
