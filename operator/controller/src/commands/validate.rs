//! `validate -f FILE`: what the API server and the operator would say about manifests, without either of them. The schema and
//! its rules are the ones that the API server applies; the operator's own rules run on an assumed Swarm that is large enough,
//! with assumed Secrets.

use std::process::ExitCode;

use milvus_apiserver::schema::{Schema, SchemaError, builtin, metadata_type_error};
use milvus_crds::MilvusCluster;
use serde_json::Value;

use super::manifest::{self, Document, ManifestError};
use super::plan;
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
    for document in manifest::documents(&args.filenames)? {
        let who = format!("{}: {}/{}", document.file, document.kind(), document.name());
        let problems = problems(&schema, &document, args.platform);
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
        let files: Vec<_> = args
            .filenames
            .iter()
            .map(|f| f.display().to_string())
            .collect();
        return Err(ManifestError::Nothing {
            files: files.join(", "),
        }
        .into());
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

/// Everything that is wrong with one document, as `field: message`.
fn problems(cluster: &Schema, document: &Document, platform: Platform) -> Vec<String> {
    let (kind, api_version) = (document.kind(), document.api_version());
    let ours = kind == milvus_crds::KIND
        && api_version == format!("{}/{}", milvus_crds::GROUP, milvus_crds::VERSION);
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let schema = if ours {
        Some(cluster)
    } else {
        builtin(group, version, &kind)
    };
    let Some(schema) = schema else {
        return vec![format!(
            "kind: the API does not serve {kind} of {api_version}"
        )];
    };
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
            .map(ToString::to_string),
    );
    if problems.is_empty() {
        problems.extend(operators_problems(value, platform));
    }
    problems
}

/// What the operator itself would refuse.
fn operators_problems(value: Value, platform: Platform) -> Vec<String> {
    match serde_json::from_value::<MilvusCluster>(value) {
        Err(error) => vec![format!("spec: {error}")],
        Ok(resource) => match plan::offline(
            &resource,
            &plan::topology(ASSUMED_NODES, ASSUMED_MEMORY_GIB),
            platform,
        ) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.iter().map(ToString::to_string).collect(),
        },
    }
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
        let documents = manifest::documents(&[file]).expect("documents");
        documents
            .iter()
            .flat_map(|d| problems(&schema, d, Platform::Swarm))
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
        for document in manifest::documents(&files).expect("documents") {
            assert_eq!(
                problems(&schema, &document, Platform::Swarm),
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
        assert_eq!(
            judged("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"),
            ["kind: the API does not serve Pod of v1"]
        );
        assert_eq!(
            judged("apiVersion: v1\nkind: Secret\nmetadata: {}\n"),
            ["metadata.name: Required value: name or generateName is required"]
        );
        assert_eq!(
            judged("apiVersion: v1\nkind: Secret\nmetadata: {name: 5}\n").len(),
            1
        );
    }
}
