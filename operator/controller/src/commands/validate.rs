//! `validate -f FILE`: what the API server and the operator would say about manifests, without either of them. The schema and
//! its rules are the ones that the API server applies; the operator's own rules run on an assumed Swarm that is large enough,
//! with assumed Secrets.

use std::process::ExitCode;

use milvus_apiserver::schema::{Schema, SchemaError, builtin, metadata_type_error};
use milvus_crds::MilvusCluster;
use serde_json::Value;

use super::manifest::{self, Document, ManifestError};
use super::output::say;
use super::plan::{self, Beside};
use crate::cli::{OfflineArgs, Platform};

/// More nodes and memory than any cluster needs: what a Swarm has room for is `plan`'s question.
const ASSUMED_NODES: u16 = 9;
const ASSUMED_MEMORY_GIB: u64 = 4096;

/// Why manifests could not be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValidateError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("read the schema out of the definition")]
    Definition(#[source] serde_json::Error),
    #[error("the definition has no schema of {version}", version = milvus_crds::VERSION)]
    NoSchema,
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error("print the result")]
    Print(#[from] std::io::Error),
}

/// Judges every document of the given files.
pub(crate) fn validate(args: &OfflineArgs) -> Result<ExitCode, ValidateError> {
    let schema = cluster_schema()?;
    let mut report = String::new();
    let (mut good, mut bad) = (0, 0);
    let mut beside = Beside::default();
    for document in manifest::documents(&args.filenames, args.recursive)? {
        let who = document.who();
        let Some(problems) = problems(&schema, &document, args.platform, &mut beside) else {
            say(manifest::passed_over(&document));
            continue;
        };
        if problems.is_empty() {
            good += 1;
        }
        for problem in problems {
            bad += 1;
            report.push_str(&format!("{who}: {problem}\n"));
        }
    }
    if bad > 0 {
        super::emit(&report)?;
        return Ok(ExitCode::FAILURE);
    }
    if good == 0 {
        return Err(manifest::nothing(&args.filenames).into());
    }
    super::emit(&format!("{good} valid\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The schema of the resource, as the API server has it.
pub(super) fn cluster_schema() -> Result<Schema, ValidateError> {
    let crd: Value =
        serde_json::from_str(milvus_crds::CRD_JSON).map_err(ValidateError::Definition)?;
    let schema = crd
        .pointer("/spec/versions/0/schema/openAPIV3Schema")
        .ok_or(ValidateError::NoSchema)?;
    Ok(Schema::compile(&schema.to_string())?)
}

/// Everything that is wrong with one document, as `field: message`; `None` for one of a kind that is not this operator's.
fn problems(
    cluster: &Schema,
    document: &Document,
    platform: Platform,
    beside: &mut Beside,
) -> Option<Vec<String>> {
    let (kind, api_version) = (document.kind(), document.api_version());
    let ours = document.is_ours();
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let schema = if ours {
        Some(cluster)
    } else {
        builtin(group, version, &kind)
    };
    let Some(schema) = schema else {
        return document.kind_problem().map(|problem| vec![problem]);
    };
    Some(known(schema, ours, document, platform, beside))
}

/// Everything that is wrong with a document whose schema is known.
fn known(
    schema: &Schema,
    ours: bool,
    document: &Document,
    platform: Platform,
    beside: &mut Beside,
) -> Vec<String> {
    if let Some(problem) = metadata_type_error(&document.value) {
        return vec![format!("metadata: {problem}")];
    }
    let mut value = document.value.clone();
    // As the API server with strict field validation: unknown fields first, then defaults, then schema and rules.
    let mut problems: Vec<String> = schema
        .prune(&mut value)
        .into_iter()
        .map(|field| format!("{field}: unknown field"))
        .collect();
    if document.name().is_empty() && document.value.pointer("/metadata/generateName").is_none() {
        problems.push("metadata.name: Required value: name or generateName is required".to_owned());
    }
    if !ours {
        return problems;
    }
    schema.default(&mut value);
    problems.extend(
        schema
            .validate(&value, None)
            .iter()
            .map(ToString::to_string)
            // What an API server says of no field in particular.
            .map(|problem| match problem.strip_prefix("<nil>: ") {
                Some(rest) => format!("the resource: {rest}"),
                None => problem,
            }),
    );
    if problems.is_empty() {
        problems.extend(operators_problems(document, value, platform, beside));
    }
    problems
}

/// What the operator itself would refuse, the writing of native objects included.
fn operators_problems(
    document: &Document,
    value: Value,
    platform: Platform,
    beside: &mut Beside,
) -> Vec<String> {
    let resource = match serde_json::from_value::<MilvusCluster>(value) {
        Ok(resource) => resource,
        Err(error) => return vec![format!("spec: {}", manifest::type_problem(&error))],
    };
    let topology = plan::topology(ASSUMED_NODES, ASSUMED_MEMORY_GIB);
    let planned = beside.offline(document, &resource, &topology, platform);
    planned.err().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn judged(yaml: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("tempdir");
        let file = root.path().join("m.yaml");
        std::fs::write(&file, yaml).expect("write");
        let schema = cluster_schema().expect("schema");
        let documents = manifest::documents(&[file], false).expect("documents");
        let mut beside = Beside::default();
        documents
            .iter()
            .filter_map(|d| problems(&schema, d, Platform::Swarm, &mut beside))
            .flatten()
            .collect()
    }

    fn cluster(spec: &str) -> Vec<String> {
        judged(&format!(
            "apiVersion: operator.milvus.io/v1beta1\nkind: MilvusCluster\nmetadata:\n  name: demo\nspec: {spec}\n"
        ))
    }

    #[test]
    fn samples_are_valid() {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples");
        let mut files: Vec<PathBuf> = std::fs::read_dir(samples)
            .expect("samples")
            .map(|entry| entry.expect("entry").path())
            .collect();
        files.retain(|file| file.extension().is_some_and(|e| e == "yaml"));
        files.sort();
        assert!(files.len() >= 6, "{files:?}");
        let schema = cluster_schema().expect("schema");
        for document in manifest::documents(&files, false).expect("documents") {
            let mut beside = Beside::default();
            let problems = problems(&schema, &document, Platform::Swarm, &mut beside);
            assert_eq!(
                problems.unwrap_or_default(),
                Vec::<String>::new(),
                "{}",
                document.file
            );
        }
    }

    #[test]
    fn everything_wrong_is_told_with_its_field() {
        assert_eq!(cluster("{ mode: standalone }"), Vec::<String>::new());
        assert_eq!(
            cluster("{ mode: standalone, modee: 1, components: { proxi: {} } }"),
            [
                "spec.components.proxi: unknown field",
                "spec.modee: unknown field",
            ]
        );
        let wrong = cluster("{ mode: cloud, components: { proxy: { replicas: many } } }");
        assert!(
            wrong
                .iter()
                .any(|p| p.starts_with("spec.mode: Unsupported value: \"cloud\"")),
            "{wrong:?}"
        );
        assert!(
            wrong
                .iter()
                .any(|p| p.starts_with("spec.components.proxy.replicas: Invalid value")),
            "{wrong:?}"
        );
        // A rule of the definition.
        let rule = cluster("{ dependencies: { etcd: { external: true } } }");
        assert!(
            rule.iter().any(|p| p.starts_with("spec.dependencies.etcd")),
            "{rule:?}"
        );
        // A rule of the operator that no schema can state.
        let core = cluster("{ mode: cluster, stopped: true }");
        assert!(
            core.iter().any(|p| p.starts_with("spec.stopped: ")),
            "{core:?}"
        );
    }

    #[test]
    fn other_documents_are_judged_by_their_own_schema() {
        let good =
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {accesskey: x}\n";
        assert_eq!(judged(good), Vec::<String>::new());
        assert_eq!(
            judged(&good.replace("stringData", "stringDate")),
            ["stringDate: unknown field"]
        );
        // Another's, and what looks like ours and is not.
        assert_eq!(
            judged("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"),
            Vec::<String>::new()
        );
        for (document, what) in [
            (
                "kind: MilvusCluster\nmetadata: {name: a}\n",
                "apiVersion: required",
            ),
            (
                "apiVersion: operator.milvus.io/v1\nkind: MilvusCluster\n",
                "there is no MilvusCluster of operator.milvus.io/v1",
            ),
            (
                "apiVersion: milvus.io/v1beta1\nkind: Milvus\n",
                "milvus-operator convert",
            ),
        ] {
            let said = judged(document);
            assert!(said.len() == 1 && said[0].contains(what), "{said:?}");
        }
        assert_eq!(
            judged("apiVersion: v1\nkind: Secret\nmetadata: {}\n"),
            ["metadata.name: Required value: name or generateName is required"]
        );
        assert_eq!(
            judged("apiVersion: v1\nkind: Secret\nmetadata: {name: 5}\n").len(),
            1
        );
    }

    /// What is said when this comes after a first one.
    fn beside(second: &str) -> Vec<String> {
        let first = "apiVersion: operator.milvus.io/v1beta1\nkind: MilvusCluster\nmetadata: {name: one}\nspec: {mode: standalone}\n";
        judged(&format!("{first}---\n{second}"))
    }

    #[test]
    fn resources_of_one_run_stand_beside_each_other() {
        let cluster = |name: &str, spec: &str| {
            format!(
                "apiVersion: operator.milvus.io/v1beta1\nkind: MilvusCluster\nmetadata: {{name: {name}}}\nspec: {{mode: standalone{spec}}}\n"
            )
        };
        let twice = beside(&cluster("one", ""));
        assert!(
            twice.len() == 1 && twice[0].starts_with("metadata.name: "),
            "{twice:?}"
        );
        let port = beside(&cluster("two", ""));
        assert!(
            port.len() == 1 && port[0].starts_with("spec.swarm.gateway.port: "),
            "{port:?}"
        );
        let other = beside(&cluster("two", ", swarm: {gateway: {port: 19531}}"));
        assert_eq!(other, Vec::<String>::new());
    }

    /// After public reports: the cluster, its autoscaler and the account of its pods in one file.
    #[test]
    fn files_as_they_are_kept_beside_other_kinds() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/commands/fixtures/beside-other-kinds.yaml");
        let schema = cluster_schema().expect("schema");
        let documents = manifest::documents(&[fixture], false).expect("documents");
        let mut beside = Beside::default();
        let verdicts: Vec<Option<Vec<String>>> = documents
            .iter()
            .map(|d| problems(&schema, d, Platform::Kubernetes, &mut beside))
            .collect();
        assert_eq!(verdicts, [None, Some(Vec::new()), None]);
    }

    /// What only the writing of native objects refuses is refused here already.
    #[test]
    fn what_a_render_refuses_is_refused() {
        let schema = cluster_schema().expect("schema");
        let value = serde_json::json!({
            "apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster", "metadata": {"name": "demo"},
            "spec": {"mode": "standalone", "kubernetes": {"components": {"standalone": {
                "volumeMounts": [{"name": "x", "mountPath": "/milvus/configs/user.yaml"}],
                "volumes": [{"name": "x", "emptyDir": {}}],
            }}}},
        });
        let document = Document {
            file: "-".to_owned(),
            value,
        };
        let said = problems(
            &schema,
            &document,
            Platform::Kubernetes,
            &mut Beside::default(),
        );
        let said = said.expect("ours");
        assert!(
            said.len() == 1 && said[0].contains("/milvus/configs/user.yaml"),
            "{said:?}"
        );
    }
}
