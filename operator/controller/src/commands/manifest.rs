//! Manifests from files or standard input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use milvus_crds::MilvusCluster;
use serde_json::Value;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("read {file}")]
    Read {
        file: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{file} is not YAML: {source}")]
    Yaml {
        file: String,
        source: Box<serde_saphyr::Error>,
    },
    #[error("{file}: MilvusCluster/{name} is not understood")]
    Type {
        file: String,
        name: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{file}: {kind}/{name} is not a MilvusCluster of {api}")]
    Kind {
        file: String,
        kind: String,
        name: String,
        api: String,
    },
    #[error("no MilvusCluster in {files}")]
    Nothing { files: String },
}

/// One document with where it came from.
pub(crate) struct Document {
    /// File name, `-` for standard input.
    pub file: String,
    /// Content.
    pub value: Value,
}

impl Document {
    fn text(&self, pointer: &str) -> String {
        self.value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// `metadata.name`.
    pub(crate) fn name(&self) -> String {
        self.text("/metadata/name")
    }

    /// `kind`.
    pub(crate) fn kind(&self) -> String {
        self.text("/kind")
    }

    /// `apiVersion`.
    pub(crate) fn api_version(&self) -> String {
        self.text("/apiVersion")
    }
}

/// All documents of the files; empty ones are passed over.
pub(crate) fn documents(files: &[PathBuf]) -> Result<Vec<Document>, ManifestError> {
    let mut documents = Vec::new();
    for path in files {
        let file = path.display().to_string();
        let text = load(path).map_err(|source| ManifestError::Read {
            file: file.clone(),
            source,
        })?;
        let values: Vec<Value> =
            serde_saphyr::from_multiple(&text).map_err(|source| ManifestError::Yaml {
                file: file.clone(),
                source: Box::new(source),
            })?;
        for value in values.into_iter().filter(|v| !v.is_null()) {
            match value.get("items").and_then(Value::as_array) {
                Some(items) if value.get("kind").and_then(Value::as_str) == Some("List") => {
                    documents.extend(items.iter().map(|item| Document {
                        file: file.clone(),
                        value: item.clone(),
                    }));
                }
                _ => documents.push(Document {
                    file: file.clone(),
                    value,
                }),
            }
        }
    }
    Ok(documents)
}

/// All resources of the files. Namespaces and Secrets beside them are passed over; anything else is an error.
pub(crate) fn read(files: &[PathBuf]) -> Result<Vec<MilvusCluster>, ManifestError> {
    let api = format!("{}/{}", milvus_crds::GROUP, milvus_crds::VERSION);
    let mut resources = Vec::new();
    for document in documents(files)? {
        let (kind, name) = (document.kind(), document.name());
        if document.api_version() == "v1"
            && matches!(kind.as_str(), "Namespace" | "Secret" | "ConfigMap")
        {
            continue;
        }
        if kind != milvus_crds::KIND || document.api_version() != api {
            return Err(ManifestError::Kind {
                file: document.file,
                kind,
                name,
                api,
            });
        }
        let file = document.file;
        let resource = serde_json::from_value(document.value)
            .map_err(|source| ManifestError::Type { file, name, source })?;
        resources.push(resource);
    }
    if resources.is_empty() {
        let files: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
        return Err(ManifestError::Nothing {
            files: files.join(", "),
        });
    }
    Ok(resources)
}

fn load(path: &Path) -> std::io::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}
