//! The resource itself.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Components, DeletionPolicy, Dependencies, Kubernetes, MilvusClusterStatus, Swarm};
use crate::schema::{bounded_name, forbids, immutable};

/// What a Milvus should be. An empty spec is a standalone Milvus with what it needs. Defaults are never written back
/// into the resource (but for `components.queryNode.replicas`, which `kubectl scale` reads).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "operator.milvus.io",
    version = "v1beta1",
    kind = "MilvusCluster",
    plural = "milvusclusters",
    singular = "milvuscluster",
    shortname = "mvc",
    category = "all",
    category = "milvus",
    namespaced,
    doc = "A Milvus vector database with everything it needs, on Docker Swarm or on Kubernetes.",
    status = "MilvusClusterStatus",
    derive = "Default",
    derive = "PartialEq",
    cel,
    validation = bounded_name(),
    scale(
        spec_replicas_path = ".spec.components.queryNode.replicas",
        status_replicas_path = ".status.components.queryNode.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode", description = "standalone or cluster"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", description = "Milvus version in force"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase", description = "State of the cluster in one word"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.ready", description = "Ready processes of all wanted ones"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint", description = "Address for clients"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = forbids("mode", "(has(self.mode) ? self.mode : 'standalone') == (has(oldSelf.mode) ? oldSelf.mode : 'standalone')", "spec.mode is immutable: make a new cluster for the other mode and move the data with a backup"),
    validation = immutable("dependencies.msgStreamType"),
    validation = immutable("dependencies.storage.bucket"),
    validation = immutable("dependencies.storage.rootPath"),
    validation = immutable("swarm.mtu"),
    validation = immutable("swarm.subnet"),
    validation = forbids("dependencies.msgStreamType", "!(has(self.mode) && self.mode == 'cluster') || !has(self.dependencies) || !has(self.dependencies.msgStreamType) || !(self.dependencies.msgStreamType in ['rocksmq', 'natsmq'])", "spec.dependencies.msgStreamType rocksmq and natsmq live inside one process and need spec.mode standalone: use pulsar, kafka or woodpecker in mode cluster"),
)]
pub struct MilvusClusterSpec {
    /// standalone (default): all of Milvus in one process. cluster: one service per role. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Sizes for every Milvus role that says nothing itself: small (4 CPU and 8Gi in total, below 10 M vectors), medium (8
    /// CPU, 16Gi, up to 50 M) or large (16 CPU, 32Gi, up to 100 M). Default: no reservations and no limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Settings of Milvus in the form of milvus.yaml; they win over what the operator writes, except for the addresses
    /// of the dependencies. Example: {log: {level: debug}, common: {security: {authorizationEnabled: true}}}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_object")]
    pub config: Map<String, Value>,
    /// Settings of the hooks of Milvus in the form of hook.yaml.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_object")]
    pub hook_config: Map<String, Value>,
    /// Certificates for the client port, where config.common.security.tlsMode asks for TLS (1) or for certificates of clients too (2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// The parts of Milvus: image, replicas, resources, environment, placement.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub components: Components,
    /// What Milvus stands on: etcd, object store, write-ahead log.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub dependencies: Dependencies,
    /// What happens to volumes when the resource is deleted: Retain (default) or Delete. Processes always go.
    /// `dependencies.X.inCluster.deletionPolicy` overrides it for one dependency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Take over the volumes, credentials and nodes that an earlier cluster of this name left behind. Without it a cluster whose
    /// name has such volumes is refused, and the condition names them. Default: false
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub adopt: bool,
    /// Stop every process and keep every volume. Not supported yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<bool>,
    /// Backups by schedule. Not supported yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// Metrics and dashboards. Not supported yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Settings that only Docker Swarm has; refused elsewhere.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub swarm: Swarm,
    /// Settings that only Kubernetes has; refused elsewhere.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub kubernetes: Kubernetes,
}

/// Certificates for the client port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientTls {
    /// Secret in the same namespace with the keys `tls.crt`, `tls.key` and, for tlsMode 2, `ca.crt`. They become the files that
    /// config.tls.serverPemPath, serverKeyPath and caPemPath name. Example: milvus-server-tls
    #[schemars(length(min = 1, max = 253))]
    pub secret_ref: String,
}

/// Shapes of a Milvus.
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
pub enum Mode {
    /// All of Milvus in one process.
    #[default]
    Standalone,
    /// One service per role.
    Cluster,
}

/// Sizes of a Milvus.
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
pub enum Profile {
    /// 4 CPU and 8Gi in total.
    #[default]
    Small,
    /// 8 CPU and 16Gi in total.
    Medium,
    /// 16 CPU and 32Gi in total.
    Large,
}

/// Backups by schedule. Not supported yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// When, in cron's notation, UTC. Example: "0 2 * * *"
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub schedule: Option<String>,
    /// How many backups to keep. Default: 7
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub keep: Option<i32>,
    /// Bucket for the backups. Default: the cluster's own
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 63))]
    pub bucket: Option<String>,
    /// Prefix in the bucket. Default: backup
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub root_path: Option<String>,
    /// Secret with the keys `accesskey` and `secretkey` of the bucket. Default: the cluster's own
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_ref: Option<String>,
}

/// Metrics and dashboards. Not supported yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Make the metrics of every process reachable. Default: true
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Time between two scrapes. Go duration. Default: 15s
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub interval: Option<String>,
}
