//! What one platform has and the others do not. A field here is refused on every platform but its own.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Settings that only Docker Swarm has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Swarm {
    /// MTU of the cluster's overlay networks, 50 below that of the hosts' network for VXLAN. Bytes. Immutable. Default:
    /// the engine's. Example: 1400 where hosts are joined by a VPN or cloud overlay
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 576, max = 9216))]
    pub mtu: Option<i32>,
    /// Address ranges of the cluster's overlay networks. Immutable. Default: ranges of the Swarm's pool (docker swarm init
    /// --default-addr-pool)
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub subnet: NetworkSubnets,
    /// Log driver of every container. Default: json-file with max-size 100m and max-file 3
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// The one address of the cluster for clients.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub gateway: Gateway,
    /// Placement by role or dependency.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub components: SwarmComponents,
}

/// Address ranges of the two networks of a cluster. They must not overlap each other, other networks of the Swarm, or what the
/// processes reach outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSubnets {
    /// Range of the network that every process joins, in CIDR notation with a prefix of 8 to 28 bits. Immutable. Default:
    /// one of the engine's. Example: 10.20.0.0/24
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 18))]
    pub backend: Option<String>,
    /// Range of the network by which the gateways are reached, in the same notation. Immutable. Default: one of the
    /// engine's. Example: 10.20.1.0/24
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 18))]
    pub frontend: Option<String>,
}

/// Log driver of the container engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logging {
    /// Name of the driver. Default: json-file. Example: journald
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub driver: Option<String>,
    /// Options of the driver, both keys and values text. Example: {max-size: 100m, max-file: "10"}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub options: BTreeMap<String, String>,
}

/// The gateway: it publishes the client port and balances connections over the live proxies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Port on the nodes that run a gateway. Two clusters on one node need two ports. Default: 19530
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Placement constraints in Swarm's notation. Default: none, one gateway on every node. Example: [node.role==worker]
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    #[schemars(length(max = 32))]
    pub constraints: Vec<String>,
    /// Number of gateways. Default: one on every node that the constraints admit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: Option<i32>,
}

/// Swarm placement of one role or dependency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwarmComponent {
    /// Constraints that all must hold. Example: [node.labels.zone==a]
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    #[schemars(length(max = 32))]
    pub constraints: Vec<String>,
}

/// Settings by role and dependency, on Swarm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwarmComponents {
    /// The proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<SwarmComponent>,
    /// The joint coordinator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mix_coord: Option<SwarmComponent>,
    /// The root coordinator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_coord: Option<SwarmComponent>,
    /// The data coordinator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_coord: Option<SwarmComponent>,
    /// The query coordinator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_coord: Option<SwarmComponent>,
    /// The index coordinator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_coord: Option<SwarmComponent>,
    /// The query nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_node: Option<SwarmComponent>,
    /// The data nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_node: Option<SwarmComponent>,
    /// The index nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_node: Option<SwarmComponent>,
    /// The streaming nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streaming_node: Option<SwarmComponent>,
    /// The standalone process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standalone: Option<SwarmComponent>,
    /// Change data capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cdc: Option<SwarmComponent>,
    /// The etcd members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd: Option<SwarmComponent>,
    /// The MinIO processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minio: Option<SwarmComponent>,
    /// The ZooKeeper members of Pulsar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zookeeper: Option<SwarmComponent>,
    /// The bookies of Pulsar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bookkeeper: Option<SwarmComponent>,
    /// The brokers of Pulsar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<SwarmComponent>,
}

impl SwarmComponents {
    /// The block of a role or dependency, by its name in the resource (`queryNode`, `etcd`).
    pub fn get(&self, name: &str) -> Option<&SwarmComponent> {
        match name {
            "proxy" => self.proxy.as_ref(),
            "mixCoord" => self.mix_coord.as_ref(),
            "rootCoord" => self.root_coord.as_ref(),
            "dataCoord" => self.data_coord.as_ref(),
            "queryCoord" => self.query_coord.as_ref(),
            "indexCoord" => self.index_coord.as_ref(),
            "queryNode" => self.query_node.as_ref(),
            "dataNode" => self.data_node.as_ref(),
            "indexNode" => self.index_node.as_ref(),
            "streamingNode" => self.streaming_node.as_ref(),
            "standalone" => self.standalone.as_ref(),
            "cdc" => self.cdc.as_ref(),
            "etcd" => self.etcd.as_ref(),
            "minio" => self.minio.as_ref(),
            "zookeeper" => self.zookeeper.as_ref(),
            "bookkeeper" => self.bookkeeper.as_ref(),
            "broker" => self.broker.as_ref(),
            _ => None,
        }
    }
}

/// Settings that only Kubernetes has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kubernetes {
    /// Pod settings by role (proxy, mixCoord, queryNode, ...) and dependency (etcd, minio, zookeeper, bookkeeper, broker).
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub components: BTreeMap<String, KubernetesComponent>,
}

/// Pod settings of one role or dependency, in the form of the Kubernetes API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesComponent {
    /// Rules about nodes and neighbours (PodSpec.affinity).
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_object")]
    pub affinity: Map<String, Value>,
    /// Taints to put up with (PodSpec.tolerations).
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_objects")]
    pub tolerations: Vec<Map<String, Value>>,
    /// Spread over zones and nodes (PodSpec.topologySpreadConstraints).
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_objects")]
    pub topology_spread_constraints: Vec<Map<String, Value>>,
    /// Further labels of the pods.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub pod_labels: BTreeMap<String, String>,
    /// Further annotations of the pods.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub pod_annotations: BTreeMap<String, String>,
    /// Security settings of the container, in the place of the operator's (Container.securityContext).
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_object")]
    pub security_context: Map<String, Value>,
    /// Security settings of the pod, in the place of the operator's (PodSpec.securityContext).
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_object")]
    pub pod_security_context: Map<String, Value>,
    /// Service account of the pods. Default: one without any rights, made for the cluster
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Priority class of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Scheduler of the pods. Default: default-scheduler
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<String>,
    /// Use the node's network instead of the pod's. Default: false
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_network: Option<bool>,
    /// DNS policy of the pods. Default: ClusterFirst
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_policy: Option<String>,
    /// Further volumes (PodSpec.volumes).
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_objects")]
    pub volumes: Vec<Map<String, Value>>,
    /// Further mounts (Container.volumeMounts).
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_objects")]
    pub volume_mounts: Vec<Map<String, Value>>,
    /// Replacements for the probes: {startupProbe, livenessProbe, readinessProbe}. Each replaces the whole probe; null removes it.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_object")]
    pub probes: Map<String, Value>,
    /// Further labels of the Service (proxy and standalone).
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub service_labels: BTreeMap<String, String>,
    /// Further annotations of the Service (proxy and standalone).
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub service_annotations: BTreeMap<String, String>,
}

impl Kubernetes {
    /// The names that `components` may have.
    pub const NAMES: [&'static str; 17] = [
        "proxy",
        "mixCoord",
        "rootCoord",
        "dataCoord",
        "queryCoord",
        "indexCoord",
        "queryNode",
        "dataNode",
        "indexNode",
        "streamingNode",
        "standalone",
        "cdc",
        "etcd",
        "minio",
        "zookeeper",
        "bookkeeper",
        "broker",
    ];
}
