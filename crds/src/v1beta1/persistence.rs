//! Where a member keeps its data.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Quantity;

/// Where a member keeps its data. Every member has a place of its own; two members never share one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Persistence {
    /// Keep the data when the member restarts or moves. Default: true, except for the message queues that are built
    /// into Milvus (rocksmq, natsmq), which the storage of the queue's own block decides. Example: false for throw-away tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What kind of place. `volume` (default): a named volume of the container engine (Swarm) or a volume claim
    /// (Kubernetes). `bind`: a directory of the host below `path` (Swarm only). `tmpfs`: memory, lost with the
    /// container (Swarm only), refused for anything that must survive.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "type")]
    pub kind: Option<PersistenceType>,
    /// Base directory on the host for type `bind`; `<stack>/<member>-e<n>` is appended per member, and the directory is
    /// made when it is missing. Absolute. Example: /data/milvus/etcd
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = "^/"))]
    pub path: Option<String>,
    /// Size of the place. On Kubernetes it is requested with the claim and can only grow; on Swarm volumes have no
    /// limit, so the size is shown and bounds tmpfs only. Default: per dependency. Example: 20Gi
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Volume driver of the container engine (Swarm only). Default: local
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Options of the volume driver (Swarm only), both keys and values text. Example for NFS: {type: nfs, o:
    /// "addr=10.0.0.5,rw", device: ":/exports/milvus"}; for a dedicated SSD: {type: none, o: bind, device: /mnt/ssd}. A
    /// `device` is a base: `<stack>/<member>-e<n>` is appended per member.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub driver_options: BTreeMap<String, String>,
    /// Storage class of the volume claim (Kubernetes only). Default: the cluster's default class. Example: fast-ssd
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
pub enum DeletionPolicy {
    /// Processes go, volumes stay.
    #[default]
    Retain,
    /// Processes and volumes go.
    Delete,
}
