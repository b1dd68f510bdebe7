//! OpenAPI v3: the index and one document per group and version, made from the served kinds.
//! Pure; kubectl keeps documents on disk by their hash, so a document never changes under one hash.
//!
//! A document says what clients read: the schema of each kind under its group, version and kind, and the operations,
//! of which PATCH with the query parameter `fieldValidation` tells that the server checks fields itself.

mod operations;
mod schemas;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::schema;

/// One served kind, as the documents need it.
#[derive(Debug, Clone)]
pub struct ServedKind<'a> {
    /// API group, empty for core.
    pub group: String,
    /// API version, e.g. `v1`.
    pub version: String,
    /// Kind, e.g. `Secret`.
    pub kind: String,
    /// Plural resource name, e.g. `secrets`.
    pub plural: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Verbs served on the main endpoint.
    pub verbs: Vec<String>,
    /// Subresources served (`status`, `scale`).
    pub subresources: Vec<String>,
    /// The structural schema, as JSON.
    pub schema: Cow<'a, str>,
}

/// A serialised document.
#[derive(Debug, Clone)]
pub struct Document {
    /// The JSON text.
    pub body: Bytes,
    /// Strong entity tag with quotes; without them it is the `hash` of the index.
    pub etag: String,
}

/// Why the documents could not be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenApiError {
    /// A document could not be written as JSON.
    #[error("serialise openapi document of {group_version}")]
    Serialise {
        /// The group and version.
        group_version: String,
        /// The serialiser's complaint.
        #[source]
        source: serde_json::Error,
    },
}

/// All documents of one server.
#[derive(Debug, Clone)]
pub struct Documents {
    index: Document,
    documents: BTreeMap<String, Document>,
}

/// Media type of the one OpenAPI v2 document: as answers name it, without the `@` that requests have.
pub const V2_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The built-in kinds with their schemas: Namespace, Secret, ConfigMap, Event (both groups), the review kinds.
pub fn builtin_kinds() -> Vec<ServedKind<'static>> {
    schema::builtin_kinds()
        .into_iter()
        .map(|kind| ServedKind {
            group: kind.group,
            version: kind.version,
            kind: kind.kind,
            plural: kind.plural,
            namespaced: kind.namespaced,
            verbs: kind.verbs,
            subresources: kind.subresources,
            schema: Cow::Owned(kind.schema.to_string()),
        })
        .collect()
}

impl Documents {
    /// Builds the index and one document per group and version.
    pub fn build(kinds: &[ServedKind<'_>]) -> Result<Documents, OpenApiError> {
        let mut by_path: BTreeMap<String, Vec<&ServedKind<'_>>> = BTreeMap::new();
        for kind in kinds {
            by_path.entry(kind.base_path()).or_default().push(kind);
        }
        let mut documents = BTreeMap::new();
        let mut paths = Map::new();
        for (path, kinds) in by_path {
            let document = group_version(&path, &kinds)
                .and_then(|document| serialise(&document))
                .map_err(|source| OpenApiError::Serialise {
                    group_version: path.clone(),
                    source,
                })?;
            let url = format!(
                "/openapi/v3/{path}?hash={}",
                document.etag.trim_matches('"')
            );
            paths.insert(path.clone(), json!({ "serverRelativeURL": url }));
            documents.insert(path, document);
        }
        let index =
            serialise(&json!({ "paths": paths })).map_err(|source| OpenApiError::Serialise {
                group_version: "the index".to_owned(),
                source,
            })?;
        Ok(Documents { index, documents })
    }

    /// The answer to `GET /openapi/v3`.
    pub fn index(&self) -> &Document {
        &self.index
    }

    /// The answer to `GET /openapi/v3/<path>`, path as in the index: `api/v1` or `apis/GROUP/VERSION`.
    pub fn group_version(&self, path: &str) -> Option<&Document> {
        self.documents.get(path)
    }
}

/// The answer to `GET /openapi/v2`, in protobuf: a document without kinds (`swagger: "2.0"`, and an `info` with title and
/// version). kubectl looks there for a kind that version 3 does not know, and gives its usual answer to a misspelt kind only
/// if there is a document.
pub fn empty_v2() -> Bytes {
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        // Every length here is below 128: one byte.
        let length = u8::try_from(content.len()).unwrap_or(0) & 0x7f;
        [&[number << 3 | 2, length], &content[..usize::from(length)]].concat()
    }
    let info = [
        field(1, b"milvus-operator API server"),
        field(2, env!("CARGO_PKG_VERSION").as_bytes()),
    ]
    .concat();
    Bytes::from([field(1, b"2.0"), field(2, &info)].concat())
}

fn serialise(document: &impl Serialize) -> Result<Document, serde_json::Error> {
    let body = serde_json::to_vec(document)?;
    let hash = hex::encode_upper(Sha256::digest(&body));
    Ok(Document {
        // Boxed first: what the vector has reserved beyond its end is given back.
        body: Bytes::from(body.into_boxed_slice()),
        etag: format!("\"{hash}\""),
    })
}

fn group_version<'a>(
    path: &str,
    kinds: &[&'a ServedKind<'_>],
) -> Result<Part<'a>, serde_json::Error> {
    let scale = kinds
        .iter()
        .any(|k| k.subresources.iter().any(|s| s == "scale"));
    let mut schemas: BTreeMap<String, Part<'a>> = schemas::shared(scale)
        .into_iter()
        .map(|(name, schema)| (name, Part::Made(schema)))
        .collect();
    let mut paths = Map::new();
    for kind in kinds {
        schemas.insert(kind.schema_name(), schemas::object(kind)?);
        if kind.has("list") {
            schemas.insert(kind.list_schema_name(), Part::Made(schemas::list(kind)));
        }
        operations::add(kind, &mut paths);
    }
    let title = format!("milvus-operator API server, {path}");
    let info = json!({"title": title, "version": env!("CARGO_PKG_VERSION")});
    let components = BTreeMap::from([("schemas".to_owned(), Part::Fields(schemas))]);
    Ok(Part::Fields(BTreeMap::from([
        ("openapi".to_owned(), Part::Made("3.0.0".into())),
        ("info".to_owned(), Part::Made(info)),
        ("paths".to_owned(), Part::Made(Value::Object(paths))),
        ("components".to_owned(), Part::Fields(components)),
    ])))
}

/// A part of a document: what definitions say goes from their text into the document's without being read.
#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Said(&'a RawValue),
    Made(Value),
    Fields(BTreeMap<String, Part<'a>>),
}

impl ServedKind<'_> {
    fn base_path(&self) -> String {
        match self.group.as_str() {
            "" => format!("api/{}", self.version),
            group => format!("apis/{group}/{}", self.version),
        }
    }

    fn has(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// `io.milvus.operator.v1beta1.MilvusCluster`: the group reversed, as definitions of custom kinds are named.
    fn schema_name(&self) -> String {
        let group = match self.group.as_str() {
            "" => "io.k8s.api.core".to_owned(),
            g if g.ends_with(".k8s.io") => {
                format!("io.k8s.api.{}", g.split('.').next().unwrap_or(g))
            }
            g => g.rsplit('.').collect::<Vec<_>>().join("."),
        };
        format!("{group}.{}.{}", self.version, self.kind)
    }

    fn list_schema_name(&self) -> String {
        format!("{}List", self.schema_name())
    }

    fn identity(&self, kind: &str) -> Value {
        json!({"group": self.group, "version": self.version, "kind": kind})
    }
}
