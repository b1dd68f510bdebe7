//! The roles of Milvus itself: how many, how large, where, and with which image.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Quantity;

/// The parts of Milvus. The fields beside the roles are defaults for every role; a role's own field wins: maps and env
/// merge by key, everything else replaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Components {
    /// Image of every Milvus role. Its tag is also the source of the Milvus version, unless `version` says otherwise.
    /// Default: the version that this operator release is tested with. Example: milvusdb/milvus:v2.6.11
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Milvus version, for images whose tag does not tell it (a digest, `latest`, an own build). Default: read from the
    /// image tag. Example: 2.6.11
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// When to pull images: Always, IfNotPresent or Never. Default: IfNotPresent
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets (type kubernetes.io/dockerconfigjson, same namespace) with the credentials of image registries.
    /// Example: [{name: registry-login}]
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Environment of every role. Example: [{name: TZ, value: Europe/Berlin}]
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[schemars(length(max = 256))]
    pub env: Vec<EnvVar>,
    /// Labels that a node must have to run any role. On Swarm these are node labels (`node.labels.disk == ssd`).
    /// Example: {disk: ssd}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub node_selector: BTreeMap<String, String>,
    /// Resources of every role that says nothing itself; they win over `spec.profile`.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub resources: Resources,
    /// Stop changing any role until this is false again; running processes stay as they are. Not supported yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// The client-facing role of a cluster. Default: 1 replica. Several are balanced behind one endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ServingComponent>,
    /// All coordinators in one process (mixcoord). Default for a cluster unless a separate coordinator is named. Exclusive with
    /// rootCoord, dataCoord, queryCoord and indexCoord; the only form from Milvus 2.6 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::single_role")]
    pub mix_coord: Option<Component>,
    /// Coordinator of collections and time stamps as a process of its own (Milvus before 2.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::single_role")]
    pub root_coord: Option<Component>,
    /// Coordinator of segments as a process of its own (Milvus before 2.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::single_role")]
    pub data_coord: Option<Component>,
    /// Coordinator of loads and query nodes as a process of its own (Milvus before 2.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::single_role")]
    pub query_coord: Option<Component>,
    /// Coordinator of index builds as a process of its own (Milvus before 2.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::single_role")]
    pub index_coord: Option<Component>,
    /// Workers that hold loaded segments and search them. `kubectl scale milvuscluster NAME --replicas=N` sets
    /// `replicas` here. On Kubernetes a HorizontalPodAutoscaler may do the same: its scaleTargetRef is this resource, and
    /// manifests have this block without `replicas` then (`queryNode: {}`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::query_node")]
    pub query_node: Option<Component>,
    /// Workers that write and compact segments; from Milvus 2.6 on they build indexes too. Default: 1 replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_node: Option<Component>,
    /// Workers that build indexes (Milvus before 2.6). Default: 1 replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::ungrouped_role")]
    pub index_node: Option<Component>,
    /// Workers that own the write-ahead log (Milvus 2.6 on). Default: 1 replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streaming_node: Option<Component>,
    /// The one process of mode standalone. Default: 1 replica; 0 stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::single_serving_role")]
    pub standalone: Option<ServingComponent>,
    /// Change data capture to another cluster (Milvus 2.6.6 on). Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::single_role")]
    pub cdc: Option<Component>,
}

impl Components {
    /// Every role of the type, by its name in the resource, in the order of the fields.
    pub const NAMES: [&'static str; 12] = [
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
    ];

    /// The common part of a role's block, by the role's name in the resource (`queryNode`); `None` when it is absent.
    pub fn get(&self, name: &str) -> Option<&Component> {
        match name {
            "proxy" => self.proxy.as_ref().map(|c| &c.common),
            "mixCoord" => self.mix_coord.as_ref(),
            "rootCoord" => self.root_coord.as_ref(),
            "dataCoord" => self.data_coord.as_ref(),
            "queryCoord" => self.query_coord.as_ref(),
            "indexCoord" => self.index_coord.as_ref(),
            "queryNode" => self.query_node.as_ref(),
            "dataNode" => self.data_node.as_ref(),
            "indexNode" => self.index_node.as_ref(),
            "streamingNode" => self.streaming_node.as_ref(),
            "standalone" => self.standalone.as_ref().map(|c| &c.common),
            "cdc" => self.cdc.as_ref(),
            _ => None,
        }
    }
}

/// One role of Milvus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// How many processes run this role. 0 stops the role; -1 (Kubernetes) leaves the number to what scales the role's
    /// Deployment, such as a HorizontalPodAutoscaler. Default: 1
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 1000))]
    pub replicas: Option<i32>,
    /// CPU and memory of one process. Default: by `spec.profile`, else no limit.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub resources: Resources,
    /// Environment of this role, merged over `components.env` by name.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[schemars(length(max = 256))]
    pub env: Vec<EnvVar>,
    /// Image of this role alone. Default: components.image
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// When to pull the image. Default: components.imagePullPolicy
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Labels that a node must have to run this role, merged over `components.nodeSelector`. Example: {milvus: query}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub node_selector: BTreeMap<String, String>,
    /// Stop changing this role until this is false again; its processes stay as they are. Not supported yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Let the operator choose `replicas` within bounds. Not supported yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// How processes are replaced. Not supported yet: one at a time, stop first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateStrategy>,
    /// Several sets of processes of this role, each with its own size and place. Not supported yet.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[schemars(length(max = 16))]
    pub groups: Vec<ComponentGroup>,
}

/// A role that clients connect to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServingComponent {
    /// What every role has.
    #[serde(flatten)]
    pub common: Component,
    /// How the Kubernetes Service is exposed: ClusterIP (default), NodePort or LoadBalancer. On Swarm the gateway publishes
    /// the port (`spec.swarm.gateway`), and only ClusterIP is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_type: Option<ServiceType>,
    /// Port that the role listens on, inside the cluster's network. Default: 19530
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Way in from outside a Kubernetes cluster by host name. The ingress controller must forward gRPC; most want an
    /// annotation for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
}

/// An Ingress that leads to the Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Further labels of the Ingress.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub labels: BTreeMap<String, String>,
    /// Annotations. Example: {nginx.ingress.kubernetes.io/backend-protocol: GRPC}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub annotations: BTreeMap<String, String>,
    /// Class, which chooses the controller. Default: the cluster's default class
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub ingress_class_name: Option<String>,
    /// Host names that lead here. Default: every one. Example: [milvus.example.org]
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    #[schemars(length(max = 32))]
    pub hosts: Vec<String>,
    /// Secrets with certificates (type kubernetes.io/tls, same namespace), each with the host names that it is for.
    /// Example: {milvus-tls: [milvus.example.org]}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub tls_secret_refs: BTreeMap<String, Vec<String>>,
}

/// How a Service is exposed.
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
pub enum ServiceType {
    /// Inside the cluster only.
    #[default]
    ClusterIP,
    /// On a port of every node.
    NodePort,
    /// By the load balancer of the cloud.
    LoadBalancer,
}

/// When to pull an image.
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
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// When the node does not have it.
    #[default]
    IfNotPresent,
    /// Never; the node must have it.
    Never,
}

/// The name of an object in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalObjectReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// CPU and memory of one process. Requests are reserved for it, limits bound it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Reserved on the node. Example: {cpu: "1", memory: 2Gi}
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub requests: ResourceAmounts,
    /// Upper bound; more memory ends the process.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub limits: ResourceAmounts,
}

/// An amount of CPU and of memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceAmounts {
    /// CPU cores. Example: "2", 500m
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Bytes. Example: 2Gi, 512Mi
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

/// One environment variable: either `value`, or `valueFrom`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "")]
#[x_kube(validation = ("!(has(self.value) && has(self.valueFrom))", "value and valueFrom exclude each other: keep one of them"))]
pub struct EnvVar {
    /// Name of the variable. Example: TZ
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[^=]+$"))]
    pub name: String,
    /// Literal value, for all to read: use `valueFrom` for anything secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Take the value from elsewhere. Example: {secretKeyRef: {name: milvus-env, key: password}}
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where the value of an environment variable comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVarSource {
    /// One key of a Secret in the same namespace.
    pub secret_key_ref: SecretKeySelector,
}

/// One key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeySelector {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Bounds and targets for choosing the number of processes. Not supported yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas", "minReplicas must not exceed maxReplicas"))]
pub struct Autoscaling {
    /// Fewest processes. Default: 1
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: Option<i32>,
    /// Most processes.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Targets in the form of HorizontalPodAutoscaler v2. Example: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_objects")]
    pub metrics: Vec<Map<String, Value>>,
    /// Speed limits in the form of HorizontalPodAutoscaler v2.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(schema_with = "crate::schema::free_object")]
    pub behavior: Map<String, Value>,
}

/// How processes are replaced. Not supported yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// Processes beyond `replicas` meanwhile, number or percentage. Default: 1
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrString>,
    /// Processes missing meanwhile, number or percentage. Default: 0
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// Longest time to hand over work, as a Go duration. Default: 10m
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub drain_timeout: Option<String>,
}

/// A set of processes of one role. Not supported yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentGroup {
    /// Name of the group; part of the names of its services. Example: zone-a
    #[schemars(
        length(min = 1, max = 20),
        regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// How many processes.
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Environment of the group, merged over the role's by name. Example: [{name:
    /// MILVUS_SERVER_LABEL_RESOURCE_GROUP, value: rg1}]
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[schemars(length(max = 256))]
    pub env: Vec<EnvVar>,
    /// Labels that a node must have to run the group.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub node_selector: BTreeMap<String, String>,
}
