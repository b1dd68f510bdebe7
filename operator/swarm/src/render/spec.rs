//! A service's spec in the engine's words: the fields that we render and no others. Everything is sorted or in a fixed order,
//! because the engine compares specs byte for byte. Pure.

use serde::Serialize;
use serde_json::Value;

use crate::labels::Labels;

/// `ServiceSpec`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)] // the engine's own names say what they are
pub struct ServiceSpec {
    pub name: String,
    pub labels: Labels,
    pub task_template: TaskTemplate,
    pub mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_config: Option<UpdateConfig>,
    pub endpoint_spec: EndpointSpec,
}

impl ServiceSpec {
    /// As it is sent, but with names where the engine wants ids.
    pub fn to_value(&self) -> Value {
        // A tree of plain data with text keys: serializing it cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// `TaskSpec`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct TaskTemplate {
    pub container_spec: ContainerSpec,
    pub resources: Resources,
    pub restart_policy: RestartPolicy,
    pub placement: Placement,
    /// Targets are names.
    pub networks: Vec<NetworkAttachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_driver: Option<LogDriver>,
}

/// `ContainerSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct ContainerSpec {
    pub image: String,
    pub labels: Labels,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Nanoseconds.
    pub stop_grace_period: u64,
    /// Without ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<ConfigReference>,
    /// Without ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretReference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
}

/// A config as a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct ConfigReference {
    pub file: FileTarget,
    pub config_name: String,
}

/// A secret as a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct SecretReference {
    pub file: FileTarget,
    pub secret_name: String,
}

/// Where a config or secret appears.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct FileTarget {
    #[serde(rename = "Name")]
    pub name: String,
    #[serde(rename = "UID")]
    pub uid: String,
    #[serde(rename = "GID")]
    pub gid: String,
    #[serde(rename = "Mode")]
    pub mode: u32,
}

/// `Mount`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Mount {
    #[serde(rename = "Type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    pub target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a volume mount.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct VolumeOptions {
    pub labels: Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<DriverConfig>,
}

/// A volume driver and its options.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct DriverConfig {
    pub name: String,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub options: Labels,
}

/// Options of a tmpfs mount.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct TmpfsOptions {
    pub size_bytes: u64,
}

/// A resource limit of a process.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Ulimit {
    pub name: &'static str,
    pub soft: u64,
    pub hard: u64,
}

/// Limits and reservations.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Resources {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Amounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservations: Option<Amounts>,
}

/// CPU and memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Amounts {
    #[serde(rename = "NanoCPUs", skip_serializing_if = "Option::is_none")]
    pub nano_cpus: Option<u64>,
    #[serde(rename = "MemoryBytes", skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What happens when a process ends.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct RestartPolicy {
    pub condition: &'static str,
    /// Nanoseconds.
    pub delay: u64,
}

/// Where tasks may run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Placement {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
}

/// A network of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct NetworkAttachment {
    pub target: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// Log driver of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct LogDriver {
    pub name: String,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub options: Labels,
}

/// How many tasks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub enum Mode {
    #[serde(rename_all = "PascalCase")]
    Replicated {
        replicas: u32,
    },
    Global {},
}

/// How tasks are replaced.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct UpdateConfig {
    pub parallelism: u32,
    pub failure_action: &'static str,
    /// Nanoseconds.
    pub monitor: u64,
    pub order: &'static str,
}

/// How the service is reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct EndpointSpec {
    pub mode: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PublishedPort>,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct PublishedPort {
    pub name: String,
    pub protocol: &'static str,
    pub target_port: u16,
    pub published_port: u16,
    pub publish_mode: &'static str,
}
