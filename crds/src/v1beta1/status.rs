//! What the operator reports. Nothing here moves by itself: no ages, no counters.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mode;

/// What the operator has seen and done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MilvusClusterStatus {
    /// One word for the state of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Generation of the resource that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, DependenciesReady, Ready, Progressing, Degraded and Updated, each with reason and message.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Address `host:port` for clients; the first of `endpoints`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// All addresses `host:port` for clients.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub endpoints: Vec<String>,
    /// Milvus version in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Mode in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Ready processes of all wanted ones, dependencies included. Example: 7/9
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Labels of the query nodes' pods, where there are pods (Kubernetes): a HorizontalPodAutoscaler whose target is this
    /// resource finds by them what it measures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// What the operator waits for, in words; empty when it waits for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<String>,
    /// Since when it waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// Milvus roles, by their name in the resource.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub components: BTreeMap<String, ComponentStatus>,
    /// Dependencies, by name: etcd, storage, pulsar, zookeeper, bookkeeper, broker, kafka, woodpecker.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub dependencies: BTreeMap<String, DependencyStatus>,
    /// The change under way, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// Volumes that stayed, or will stay, when the resource is deleted.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub retained_volumes: Vec<String>,
    /// Images in force, by role or dependency.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub images: BTreeMap<String, String>,
}

/// One word for the state of a cluster.
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
pub enum Phase {
    /// Seen, nothing started yet.
    #[default]
    Pending,
    /// First start under way.
    Creating,
    /// Everything answers.
    Ready,
    /// A change is under way; the cluster serves.
    Updating,
    /// Something that should answer does not.
    Degraded,
    /// Being taken down.
    Deleting,
    /// The spec was refused; the condition Accepted says why.
    Invalid,
    /// The platform cannot be seen at the moment.
    Unknown,
}

/// One Milvus role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Wanted processes.
    #[serde(default)]
    #[schemars(transform = crate::schema::without_default)]
    pub replicas: i32,
    /// Processes that answer.
    #[serde(default)]
    #[schemars(transform = crate::schema::without_default)]
    pub ready: i32,
    /// Processes that run the wanted revision.
    #[serde(default)]
    #[schemars(transform = crate::schema::without_default)]
    pub updated: i32,
    /// Milvus version that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it waits for, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<String>,
}

/// One dependency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DependencyStatus {
    /// Whether it is run elsewhere.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true))]
    pub external: bool,
    /// Ready members of all wanted ones. Example: 3/3
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Its members.
    #[serde(
        default,
        deserialize_with = "crate::null_as_default",
        skip_serializing_if = "crate::schema::is_default"
    )]
    #[schemars(extend("nullable" = true, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub members: Vec<MemberStatus>,
    /// What it waits for, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<String>,
}

/// One member of a dependency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Name of the member. Example: etcd-0
    pub name: String,
    /// Node that it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether it answers.
    #[serde(default)]
    #[schemars(transform = crate::schema::without_default)]
    pub ready: bool,
    /// Its state in words, when it does not. Example: node worker-1 is down
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Its volume or directory, or its volumes separated by commas. Example: demo_etcd-0-data-4f9d1c-e1
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
}

/// A change under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// What is being done. Example: RestartMember
    pub step: String,
    /// Role or dependency that it is done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}
