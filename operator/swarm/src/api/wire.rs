//! What the engine answers, as far as it is read here. Words that a newer engine may extend are plain text; specs stay as
//! they came.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Labels may be `null`.
pub type Labels = BTreeMap<String, String>;

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A time that the engine may leave at its zero value or write in a form that we do not read.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text
        .filter(|t| !t.starts_with("0001-"))
        .and_then(|t| t.parse().ok()))
}

/// `/version`.
#[derive(Debug, Deserialize)]
pub struct Version {
    /// Newest API.
    #[serde(rename = "ApiVersion")]
    pub api_version: String,
    /// Oldest API.
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: Option<String>,
}

/// Answer to a create.
#[derive(Debug, Default, Deserialize)]
pub struct Created {
    /// Id of the new object.
    #[serde(alias = "ID", alias = "Id")]
    pub id: String,
    /// Remarks on a service.
    #[serde(rename = "Warnings", default, deserialize_with = "or_default")]
    pub warnings: Vec<String>,
    /// A remark on a network.
    #[serde(rename = "Warning", default, deserialize_with = "or_default")]
    pub warning: String,
}

/// Answer to an update of a service.
#[derive(Debug, Default, Deserialize)]
pub struct Updated {
    /// Remarks.
    #[serde(rename = "Warnings", default, deserialize_with = "or_default")]
    pub warnings: Vec<String>,
}

/// Version of an object, for compare-and-swap.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ObjectVersion {
    /// Position in the raft log.
    #[serde(default)]
    pub index: u64,
}

/// A service. Its spec is kept whole.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Service {
    /// Id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Version.
    #[serde(default)]
    pub version: ObjectVersion,
    /// When it was last written, by the engine itself too.
    #[serde(default, deserialize_with = "time")]
    pub updated_at: Option<Timestamp>,
    /// Spec as it came.
    pub spec: Value,
    /// Progress of the engine's own rollout.
    #[serde(default)]
    pub update_status: Option<UpdateStatus>,
}

impl Service {
    /// Whether the engine has stopped its rollout half-way.
    pub fn paused(&self) -> bool {
        matches!(self.rollout(), Some("paused" | "rollback_paused"))
    }

    /// Whether the engine is at work on a rollout.
    pub fn rolls(&self) -> bool {
        matches!(self.rollout(), Some("updating" | "rollback_started"))
    }

    fn rollout(&self) -> Option<&str> {
        self.update_status.as_ref().map(|s| s.state.as_str())
    }

    /// Name.
    pub fn name(&self) -> &str {
        self.spec
            .get("Name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// One label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.spec.get("Labels")?.get(key)?.as_str()
    }

    /// Labels.
    pub fn labels(&self) -> Labels {
        let Some(Value::Object(map)) = self.spec.get("Labels") else {
            return Labels::new();
        };
        map.iter()
            .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
            .collect()
    }

    /// Replicas asked for; `None` for global services.
    pub fn replicas(&self) -> Option<u32> {
        let replicated = self.spec.pointer("/Mode/Replicated")?;
        let replicas = replicated.get("Replicas").and_then(Value::as_u64);
        u32::try_from(replicas.unwrap_or(1)).ok()
    }

    /// Whether its task is started again only until it has succeeded.
    pub fn runs_until_success(&self) -> bool {
        let condition = self.spec.pointer("/TaskTemplate/RestartPolicy/Condition");
        condition.and_then(Value::as_str) == Some(crate::render::UNTIL_SUCCESS)
    }

    /// The first port published on nodes.
    pub fn published_port(&self) -> Option<u16> {
        let port = self.spec.pointer("/EndpointSpec/Ports/0/PublishedPort")?;
        u16::try_from(port.as_u64()?).ok()
    }

    /// Ids of the configs, secrets and networks that its tasks use.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.ids("/TaskTemplate/ContainerSpec/Configs", "ConfigID")
            .chain(self.ids("/TaskTemplate/ContainerSpec/Secrets", "SecretID"))
            .chain(self.networks())
    }

    /// Ids of the networks that its tasks join.
    pub fn networks(&self) -> impl Iterator<Item = &str> {
        self.ids("/TaskTemplate/Networks", "Target")
    }

    fn ids<'a>(
        &'a self,
        pointer: &str,
        key: &'static str,
    ) -> impl Iterator<Item = &'a str> + use<'a> {
        self.spec
            .pointer(pointer)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(move |item| item.get(key)?.as_str())
    }
}

/// Progress of the engine's own rollout.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateStatus {
    /// `updating`, `paused`, `completed`, `rollback_started`, ...
    #[serde(deserialize_with = "or_default")]
    pub state: String,
    /// The engine's words.
    #[serde(deserialize_with = "or_default")]
    pub message: String,
}

/// A task. Its spec is kept whole, to be compared with its service's.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Task {
    /// Id.
    #[serde(rename = "ID")]
    pub id: String,
    /// When the orchestrator made it.
    #[serde(default, deserialize_with = "time")]
    pub created_at: Option<Timestamp>,
    /// Service.
    #[serde(rename = "ServiceID", default)]
    pub service_id: String,
    /// Slot, absent for global services.
    #[serde(default)]
    pub slot: Option<u64>,
    /// Node, empty before it is placed.
    #[serde(rename = "NodeID", default)]
    pub node_id: String,
    /// Spec as it came.
    #[serde(default)]
    pub spec: Value,
    /// What it is doing.
    #[serde(default)]
    pub status: TaskStatus,
    /// What it should be doing.
    #[serde(default)]
    pub desired_state: String,
    /// Its addresses.
    #[serde(default, deserialize_with = "or_default")]
    pub networks_attachments: Vec<NetworkAttachment>,
}

impl Task {
    /// A label of its container.
    pub fn container_label(&self, key: &str) -> Option<&str> {
        self.spec
            .pointer("/ContainerSpec/Labels")?
            .get(key)?
            .as_str()
    }

    /// Image reference.
    pub fn image(&self) -> &str {
        self.spec
            .pointer("/ContainerSpec/Image")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Its address in a network, by the network's name.
    pub fn address_in(&self, network: &str) -> Option<std::net::IpAddr> {
        let attachment = self
            .networks_attachments
            .iter()
            .find(|a| a.network.spec.name == network)?;
        let address = attachment.addresses.first()?;
        address.split('/').next()?.parse().ok()
    }
}

/// What a task is doing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskStatus {
    /// Since when.
    #[serde(deserialize_with = "time")]
    pub timestamp: Option<Timestamp>,
    /// `pending`, `running`, ...
    pub state: String,
    /// Progress.
    pub message: String,
    /// Trouble.
    pub err: String,
    /// The process.
    #[serde(deserialize_with = "or_default")]
    pub container_status: ContainerStatus,
}

/// The process of a task.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerStatus {
    /// Exit code.
    pub exit_code: i64,
}

/// A task in a network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkAttachment {
    /// Which.
    pub network: AttachedNetwork,
    /// With prefix length.
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<String>,
}

/// A network in an attachment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachedNetwork {
    /// Spec.
    pub spec: AttachedNetworkSpec,
}

/// Spec of a network in an attachment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachedNetworkSpec {
    /// Name.
    pub name: String,
}

/// A task, read for nothing but what it reserves.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reservation {
    /// Node, empty before it is placed.
    #[serde(rename = "NodeID", default)]
    pub node_id: String,
    /// Spec.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: ReservationSpec,
}

/// The part of a task's spec that reserves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReservationSpec {
    /// Reservations and limits.
    #[serde(deserialize_with = "or_default")]
    pub resources: ReservationResources,
}

/// Reservations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReservationResources {
    /// What is set aside.
    #[serde(deserialize_with = "or_default")]
    pub reservations: Amounts,
}

/// CPU and memory.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Amounts {
    /// Billionths of a core.
    #[serde(rename = "NanoCPUs")]
    pub nano_cpus: u64,
    /// Bytes.
    #[serde(rename = "MemoryBytes")]
    pub memory_bytes: u64,
}

/// A machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// Id.
    #[serde(rename = "ID")]
    pub id: String,
    /// What the admin set.
    #[serde(default)]
    pub spec: NodeSpec,
    /// What it is.
    #[serde(default)]
    pub description: NodeDescription,
    /// How it is.
    #[serde(default)]
    pub status: NodeStatus,
    /// Only of managers.
    #[serde(default)]
    pub manager_status: Option<ManagerStatus>,
}

/// What the admin set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeSpec {
    /// `manager` or `worker`.
    pub role: String,
    /// `active`, `pause` or `drain`.
    pub availability: String,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: Labels,
}

/// What it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeDescription {
    /// Host name.
    pub hostname: String,
    /// Machine.
    pub platform: Platform,
    /// Size.
    pub resources: Amounts,
    /// Engine.
    pub engine: EngineDescription,
}

/// Machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// Architecture.
    #[serde(rename = "Architecture")]
    pub architecture: String,
    /// Operating system.
    #[serde(rename = "OS")]
    pub os: String,
}

/// Engine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EngineDescription {
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: Labels,
}

/// How it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeStatus {
    /// `ready`, `down`, `unknown`, `disconnected`.
    pub state: String,
    /// Address.
    pub addr: String,
}

/// A manager.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManagerStatus {
    /// `host:port`.
    pub addr: String,
}

/// A network.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Network {
    /// Name.
    pub name: String,
    /// Id.
    pub id: String,
    /// `overlay`, ...
    #[serde(default)]
    pub driver: String,
    /// No way out.
    #[serde(default)]
    pub internal: bool,
    /// Driver options.
    #[serde(default, deserialize_with = "or_default")]
    pub options: Labels,
    /// Ranges of addresses.
    #[serde(rename = "IPAM", default, deserialize_with = "or_default")]
    pub ipam: Ipam,
    /// Labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
    /// What is attached on the answering engine; in a list this is null for what the Swarm itself knows.
    #[serde(default)]
    pub containers: Option<serde::de::IgnoredAny>,
}

/// Ranges of a network's addresses; none as long as the Swarm has given it none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    /// Each.
    #[serde(deserialize_with = "or_default")]
    pub config: Vec<IpamConfig>,
}

/// One range.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamConfig {
    /// In CIDR notation.
    pub subnet: String,
}

impl Network {
    /// Whether this entry of a list is just the engine's own copy of a network: the Swarm has removed it, but processes in it
    /// are still stopping. (A manager lists the Swarm's networks first, and its own where those lack them.)
    pub fn is_leftover(&self) -> bool {
        self.containers.is_some()
    }
}

/// A config or secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StoredFile {
    /// Id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Version.
    #[serde(default)]
    pub version: ObjectVersion,
    /// Name, labels, and a config's data.
    pub spec: StoredFileSpec,
}

/// Name, labels, and a config's data.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StoredFileSpec {
    /// Name.
    pub name: String,
    /// Labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
    /// Base64; never there for secrets.
    #[serde(default)]
    pub data: Option<String>,
}

/// One event.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// Kind of object.
    #[serde(rename = "Type", default)]
    pub kind: String,
    /// `create`, `update`, `remove`.
    #[serde(default)]
    pub action: String,
    /// Which object.
    #[serde(default)]
    pub actor: Actor,
}

/// The object of an event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Actor {
    /// Name and what changed. No labels.
    #[serde(deserialize_with = "or_default")]
    pub attributes: Labels,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As 20.10 lists them while processes of a removed network still stop on the answering manager.
    #[test]
    fn an_engines_copy_of_a_removed_network_is_told_from_the_swarms_own() {
        let list = r#"[{"Name": "demo_backend", "Id": "new", "Driver": "overlay", "Internal": true, "Containers": null},
            {"Name": "demo_backend", "Id": "old", "Driver": "overlay", "Internal": true, "Containers": {}},
            {"Name": "other", "Id": "newer-engine", "Driver": "overlay"}]"#;
        let list: Vec<Network> = serde_json::from_str(list).unwrap();
        let leftovers: Vec<bool> = list.iter().map(Network::is_leftover).collect();
        assert_eq!(leftovers, [false, true, false]);
    }
}
