//! Settings of the dependencies that the operator runs: a typed part of the values that the usual Helm charts take.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvVar, ImagePullPolicy, Persistence, Resources};

/// An image in parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageValues {
    /// Repository, with the registry where it is not Docker Hub. Example: milvusdb/etcd
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 384))]
    pub repository: Option<String>,
    /// Tag or, after an `@`-less `sha256:`, digest. Example: 3.6.16
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub tag: Option<String>,
    /// When to pull. Default: IfNotPresent
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<ImagePullPolicy>,
}

/// etcd.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EtcdValues {
    /// Number of members, odd. Default: 3 in mode cluster, 1 in mode standalone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9))]
    #[x_kube(validation = ("self % 2 == 1", "etcd needs an odd number of members (1, 3, 5): an even one survives no more failures than one less"))]
    pub replica_count: Option<i32>,
    /// Image. Default: milvusdb/etcd at a version tested with this operator.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub image: ImageValues,
    /// CPU and memory of one member. Default: none. Example: {requests: {cpu: 200m, memory: 512Mi}}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub resources: Resources,
    /// Place for the data of one member. Default: a volume of 10Gi. A fast disk matters: etcd wants fsync below 10 ms.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub persistence: Persistence,
    /// Labels that a node must have to run a member.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub node_selector: BTreeMap<String, String>,
    /// Further environment. Example: [{name: ETCD_LOG_LEVEL, value: warn}]
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[schemars(length(max = 256))]
    pub extra_env_vars: Vec<EnvVar>,
    /// What `autoCompactionRetention` counts: revision (default) or periodic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_compaction_mode: Option<AutoCompactionMode>,
    /// How much history to keep: a number of revisions, or a duration for mode periodic. Default: "1000". Example: 1h
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub auto_compaction_retention: Option<String>,
    /// Largest size of the database; above it etcd refuses writes. Bytes. Default: 4Gi. Example: 8Gi
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_backend_bytes: Option<crate::Quantity>,
    /// Transactions between two snapshots to disk. Default: 50000
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 10_000_000))]
    pub snapshot_count: Option<i32>,
    /// Time between two heartbeats of the leader. Milliseconds. Default: 500
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 5000))]
    pub heartbeat_interval: Option<i32>,
    /// Time without heartbeat until an election. Milliseconds; at least five heartbeats. Default: 2500
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 50, max = 50_000))]
    pub election_timeout: Option<i32>,
}

/// What etcd's history is counted in.
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
pub enum AutoCompactionMode {
    /// Revisions.
    #[default]
    Revision,
    /// Time.
    Periodic,
}

/// MinIO.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MinioValues {
    /// Shape: distributed (erasure-coded over all drives; default for mode cluster) or standalone (one process, one
    /// drive; default for mode standalone).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<MinioMode>,
    /// Number of processes, each on a node of its own where possible. Fixed after creation. Default: 4 distributed, 1 standalone
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub replicas: Option<i32>,
    /// Drives of each process, each a place of its own. Fixed after creation. Default: 1. replicas x drivesPerNode must be
    /// 1, or 4 and more in a number that an erasure set divides.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub drives_per_node: Option<i32>,
    /// Image. Default: minio/minio at a version tested with this operator.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub image: ImageValues,
    /// CPU and memory of one process. Default: none. Example: {requests: {memory: 2Gi}}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub resources: Resources,
    /// Place of each drive. Default: a volume of 100Gi.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub persistence: Persistence,
    /// Labels that a node must have to run a process.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub node_selector: BTreeMap<String, String>,
    /// Further environment. Example: {MINIO_BROWSER: "off"}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub environment: BTreeMap<String, String>,
}

/// Shapes of MinIO.
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
pub enum MinioMode {
    /// One process, one drive.
    Standalone,
    /// Erasure-coded over all drives.
    #[default]
    Distributed,
}

/// Pulsar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PulsarValues {
    /// Image of all its parts. Default: apachepulsar/pulsar at a version tested with this operator.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub image: ImageValues,
    /// ZooKeeper, the metadata of Pulsar.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub zookeeper: ZookeeperValues,
    /// BookKeeper, the disks of Pulsar.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub bookkeeper: BookkeeperValues,
    /// Brokers, which Milvus connects to.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub broker: BrokerValues,
}

/// ZooKeeper of Pulsar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZookeeperValues {
    /// Number of members, odd. Default: 3
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9))]
    #[x_kube(validation = ("self % 2 == 1", "zookeeper needs an odd number of members (1, 3, 5): an even one survives no more failures than one less"))]
    pub replica_count: Option<i32>,
    /// CPU and memory of one member. Default: none
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub resources: Resources,
    /// Place for the data of one member. Default: a volume of 20Gi.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub persistence: Persistence,
    /// Labels that a node must have to run a member.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub node_selector: BTreeMap<String, String>,
    /// Memory options of the Java machine (PULSAR_MEM). Default: by resources.limits.memory, else -Xms64m -Xmx256m.
    /// Example: -Xms512m -Xmx512m
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub mem: Option<String>,
}

/// BookKeeper of Pulsar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BookkeeperValues {
    /// Number of bookies. Entries are written to two of them; fewer than two lowers that to one. Default: 3
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub replica_count: Option<i32>,
    /// CPU and memory of one bookie. Default: none
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub resources: Resources,
    /// Place for the journal and the ledgers of one bookie. Default: a volume of 100Gi.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub persistence: Persistence,
    /// Labels that a node must have to run a bookie.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub node_selector: BTreeMap<String, String>,
    /// Memory options of the Java machine (PULSAR_MEM). Default: by resources.limits.memory. Example: -Xms1g -Xmx1g -XX:MaxDirectMemorySize=2g
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub mem: Option<String>,
    /// Settings of bookkeeper.conf by key. Example: {journalSyncData: "true"}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub config_data: BTreeMap<String, String>,
}

/// Brokers of Pulsar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokerValues {
    /// Number of brokers. Default: 2
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub replica_count: Option<i32>,
    /// CPU and memory of one broker. Default: none
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub resources: Resources,
    /// Labels that a node must have to run a broker.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub node_selector: BTreeMap<String, String>,
    /// Memory options of the Java machine (PULSAR_MEM). Default: by resources.limits.memory. Example: -Xms1g -Xmx1g -XX:MaxDirectMemorySize=2g
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub mem: Option<String>,
    /// Settings of broker.conf by key. Example: {defaultRetentionTimeInMinutes: "10080"}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub config_data: BTreeMap<String, String>,
}

/// Kafka.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaValues {
    /// Number of brokers. Default: 3
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub replica_count: Option<i32>,
    /// Image. Default: a version tested with this operator.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub image: ImageValues,
    /// CPU and memory of one broker. Default: none
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub resources: Resources,
    /// Place for the data of one broker. Default: a volume of 100Gi.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub persistence: Persistence,
}
