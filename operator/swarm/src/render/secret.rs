//! Files with credentials. Named by a keyed hash that tells nothing about the content; the content is never shown. Pure.

use milvus_core::desired::SecretFile;
use milvus_core::names::ClusterRef;
use serde::Serialize;
use serde_json::{Value, json};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::HASH_IN_NAME;
use crate::labels::{self, Labels};

/// A file with credentials.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretObject {
    /// Full name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    #[serde(skip)]
    content: Vec<u8>,
}

impl SecretObject {
    /// The request that makes it. Holds the content: never to be logged.
    pub fn request(&self) -> Value {
        json!({
            "Name": self.name,
            "Labels": self.labels,
            "Data": STANDARD.encode(&self.content),
        })
    }
}

impl std::fmt::Debug for SecretObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretObject")
            .field("name", &self.name)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

pub(super) fn render(cluster: &ClusterRef, short: &str, file: &SecretFile) -> SecretObject {
    let brief: String = file.fingerprint.chars().take(HASH_IN_NAME).collect();
    SecretObject {
        name: format!("{}_{short}-{brief}", cluster.key.stack()),
        labels: labels::owner(cluster),
        content: file.content.clone(),
    }
}
