//! Readable files. Their content never changes: a new content is a new object under a new name. Pure.

use milvus_core::desired::File;
use milvus_core::names::ClusterRef;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::HASH_IN_NAME;
use crate::labels::{self, Labels};

/// A readable file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigObject {
    /// Full name.
    pub name: String,
    /// Hash of the content.
    pub hash: String,
    /// Labels.
    pub labels: Labels,
    /// Content.
    pub content: String,
}

impl ConfigObject {
    /// The request that makes it.
    pub fn request(&self) -> Value {
        json!({
            "Name": self.name,
            "Labels": self.labels,
            "Data": STANDARD.encode(&self.content),
        })
    }
}

pub(super) fn render(cluster: &ClusterRef, short: &str, file: &File) -> ConfigObject {
    let hash = hex::encode(Sha256::digest(&file.content));
    let brief: String = hash.chars().take(HASH_IN_NAME).collect();
    ConfigObject {
        name: format!("{}_{short}-{brief}", cluster.key.stack()),
        hash,
        labels: labels::owner(cluster),
        content: file.content.clone(),
    }
}
