//! What Milvus stands on: metadata, objects, and the write-ahead log; run by the operator, or by somebody else.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeletionPolicy, EtcdValues, KafkaValues, MinioValues, Persistence, PulsarValues};
use crate::schema::{external_needs, forbids};

/// What Milvus stands on. Each part is run by the operator unless its `external` is true.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dependencies {
    /// Metadata store. Default: in the cluster, 3 members for mode cluster, 1 for standalone.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub etcd: Etcd,
    /// Object store for segments, indexes and logs. Default: MinIO in the cluster.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub storage: Storage,
    /// Write-ahead log that Milvus uses. Immutable. Default: cluster: pulsar; standalone: rocksmq before Milvus 2.6,
    /// woodpecker from 2.6 on. rocksmq and natsmq exist in mode standalone only, woodpecker from Milvus 2.6 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg_stream_type: Option<MsgStreamType>,
    /// Settings of msgStreamType pulsar.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub pulsar: Pulsar,
    /// Settings of msgStreamType kafka.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub kafka: Kafka,
    /// Settings of msgStreamType woodpecker.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub woodpecker: Woodpecker,
    /// Settings of msgStreamType rocksmq.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub rocksmq: BuiltInQueue,
    /// Settings of msgStreamType natsmq.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub natsmq: BuiltInQueue,
}

/// Kinds of write-ahead logs.
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
pub enum MsgStreamType {
    /// Apache Pulsar.
    #[default]
    Pulsar,
    /// Apache Kafka.
    Kafka,
    /// Woodpecker, on the object store.
    Woodpecker,
    /// RocksDB inside a standalone Milvus.
    Rocksmq,
    /// NATS inside a standalone Milvus.
    Natsmq,
    /// Configured by hand in `spec.config`.
    Custom,
}

/// Metadata store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = external_needs("endpoints", "name at least one etcd client address, for example etcd-0.example.org:2379"))]
pub struct Etcd {
    /// Use an etcd that is run elsewhere, at `endpoints`. Default: false
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub external: bool,
    /// Client addresses `host:port` of the external etcd; required when `external` is true. Example:
    /// [etcd-0.example.org:2379, etcd-1.example.org:2379]
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    #[schemars(length(max = 32))]
    pub endpoints: Vec<String>,
    /// The etcd that the operator runs.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub in_cluster: InCluster<EtcdValues>,
    /// User and password for an external etcd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<EtcdAuth>,
    /// TLS towards an external etcd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl: Option<EtcdSsl>,
}

/// Credentials for an external etcd.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EtcdAuth {
    /// Secret in the same namespace with the keys `username` and `password`. Example: etcd-login
    #[schemars(length(min = 1, max = 253))]
    pub secret_ref: String,
}

/// TLS towards an external etcd.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EtcdSsl {
    /// Secret in the same namespace with the key `ca.crt`, and `tls.crt` and `tls.key` for a client certificate. Example: etcd-tls
    #[schemars(length(min = 1, max = 253))]
    pub secret_ref: String,
}

/// Object store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = external_needs("endpoint", "name the address of the object store, for example s3.eu-central-1.amazonaws.com:443"),
    validation = forbids("type", "!has(self.type) || self.type == 'MinIO' || (has(self.external) && self.external)", "type S3 and type Azure exist outside the cluster only: set external to true, or use type MinIO"),
)]
pub struct Storage {
    /// Kind of store: MinIO (default), S3 (any store that speaks S3) or Azure. S3 and Azure need `external: true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "type")]
    pub kind: Option<StorageType>,
    /// Use a store that is run elsewhere, at `endpoint`. Default: false
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub external: bool,
    /// Address `host[:port]` of the external store; required when `external` is true. Port default: 443 with useSSL,
    /// else 80. Example: minio.example.org:9000
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub endpoint: Option<String>,
    /// Secret in the same namespace with the keys `accesskey` and `secretkey`. Default: strong credentials are generated
    /// once and kept (in cluster); none (external: the store's own identity service decides). Example: milvus-s3
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_ref: Option<String>,
    /// Bucket for everything of this cluster; made when it is missing. Immutable. Default: milvus-bucket
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 63))]
    pub bucket: Option<String>,
    /// Prefix of every key in the bucket. Immutable; must be unique where clusters share a bucket. Default: files
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub root_path: Option<String>,
    /// Speak TLS to the external store. Default: false
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "useSSL")]
    pub use_ssl: Option<bool>,
    /// Region of the external store. Default: none. Example: eu-central-1
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub region: Option<String>,
    /// The MinIO that the operator runs.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub in_cluster: InCluster<MinioValues>,
}

/// Kinds of object stores.
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
pub enum StorageType {
    /// MinIO.
    #[default]
    MinIO,
    /// Anything that speaks S3.
    S3,
    /// Azure Blob.
    Azure,
}

/// Apache Pulsar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = external_needs("endpoint", "name the address of a Pulsar broker or proxy, for example pulsar.example.org:6650"))]
pub struct Pulsar {
    /// Use a Pulsar that is run elsewhere, at `endpoint`. Default: false
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub external: bool,
    /// Address `host:port` of the external Pulsar's binary protocol; required when `external` is true. Example:
    /// pulsar.example.org:6650
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub endpoint: Option<String>,
    /// The Pulsar that the operator runs: ZooKeeper, BookKeeper and brokers.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub in_cluster: InCluster<PulsarValues>,
}

/// Apache Kafka.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = external_needs("brokerList", "name at least one Kafka broker, for example kafka-0.example.org:9092"))]
pub struct Kafka {
    /// Use a Kafka that is run elsewhere, at `brokerList`. Default: false
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub external: bool,
    /// Addresses `host:port` of the external brokers; required when `external` is true. Example:
    /// [kafka-0.example.org:9092]
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    #[schemars(length(max = 64))]
    pub broker_list: Vec<String>,
    /// Secret in the same namespace with the keys `username` and `password`, and `ca.pem` where the brokers' certificate needs it. Example: kafka-login
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_ref: Option<String>,
    /// The Kafka that the operator runs.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub in_cluster: InCluster<KafkaValues>,
}

/// Woodpecker: the write-ahead log on the object store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = external_needs("quorumBufferPools", "name at least one pool of log stores"))]
pub struct Woodpecker {
    /// Use log stores that is run elsewhere, at `quorumBufferPools`. Default: false, the log is embedded in Milvus
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub external: bool,
    /// Pools of external log stores; required when `external` is true.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[schemars(length(max = 16))]
    pub quorum_buffer_pools: Vec<QuorumBufferPool>,
    /// Place for the local files of an embedded log (mode standalone).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
}

/// A pool of external log stores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuorumBufferPool {
    /// Name of the pool. Example: pool-a
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Addresses `host:port` of its members. Example: [logstore-0.example.org:18080]
    #[schemars(length(min = 1, max = 64))]
    pub seeds: Vec<String>,
}

/// A message queue inside a standalone Milvus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuiltInQueue {
    /// Place for the queue's files; also holds the local data of the standalone process. Default: a named volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
}

/// A dependency that the operator runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    bound(
        serialize = "V: Default + PartialEq + Serialize",
        deserialize = "V: Default + Deserialize<'de>"
    )
)]
#[schemars(bound = "V: Default + PartialEq + Serialize + JsonSchema")]
pub struct InCluster<V> {
    /// What happens to its volumes when the resource is deleted: Retain or Delete. Default: spec.deletionPolicy
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Its settings. The keys are those of the Helm charts that Milvus users know, as far as they are supported; any
    /// other key is refused.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub values: V,
}
