//! Where a member keeps its data.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Quantity;

/// Where a member keeps its data. Every member has a place of its own; two members never share one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Persistence {
    /// Keep the data when the member restarts or moves. Default: true
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// volume (default): a volume of the container engine, or a volume claim on Kubernetes. bind: a host directory
    /// below `path` (Swarm). tmpfs: memory (Swarm), refused for anything that must survive.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "type")]
    pub kind: Option<PersistenceType>,
    /// Base directory on the host for type bind; `<stack>/<member>-<uid>-e<n>` is appended. Example: /data/milvus/etcd
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = "^/"))]
    pub path: Option<String>,
    /// Size of the claim (Kubernetes), fixed after creation; no effect on Swarm, where volumes have no limit. Example: 20Gi
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Volume driver (Swarm). Default: local
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Options of the volume driver (Swarm). Example for NFS: {type: nfs, o: "addr=10.0.0.5,rw", device: ":/milvus/{volume}"},
    /// where `{volume}` stands for the volume's own name and that directory must exist on the server; for a disk:
    /// {type: none, o: bind, device: /mnt/ssd}, where `<stack>/<member>-<uid>-e<n>` is appended and made.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub driver_options: BTreeMap<String, String>,
    /// Storage class (Kubernetes), fixed after creation. Default: the default class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
}

/// Kinds of places for data.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(description = "")]
pub enum PersistenceType {
    /// A named volume.
    #[default]
    Volume,
    /// A directory of the host.
    Bind,
    /// Memory.
    Tmpfs,
}

/// What happens to data when the resource is deleted.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[schemars(description = "")]
pub enum DeletionPolicy {
    /// Processes go, volumes stay.
    #[default]
    Retain,
    /// Processes and volumes go.
    Delete,
}
