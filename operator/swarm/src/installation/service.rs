//! What the operator's service is, once; the engine's form and the compose form are both made from it. Pure.

use serde_json::{Value, json};

use super::{IMAGE_ID, OPERATOR, PART, SEALING_SECRET, SERVICE, STACK, authority_secret};
use crate::labels::{self, Labels};

/// Where the engine's socket is inside the operator's task.
pub const SOCKET_IN_TASK: &str = "/var/run/docker.sock";
/// Names of the files under `/run/secrets`.
pub(super) const AUTHORITY_FILE: &str = "milvus-operator-keys";
pub(super) const SEALING_FILE: &str = "milvus-operator-seal";
/// Bytes; about four times of what the operator needs with a hundred clusters.
pub(super) const MEMORY_LIMIT: u64 = 256 << 20;
pub(super) const MEMORY_RESERVATION: u64 = 32 << 20;
/// Seconds. Long enough for running passes to end.
pub(super) const STOP_GRACE: u64 = 30;
pub(super) const RESTART_DELAY: u64 = 2;
/// Seconds that a new task is watched: a bad image or flag shows at once, and the old operator then comes back.
pub(super) const MONITOR: u64 = 10;
pub(super) const LOG_SIZE: &str = "10m";
pub(super) const LOG_FILES: &str = "3";
const SECOND: u64 = 1_000_000_000;

/// The operator's service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorService {
    /// Image of the operator.
    pub image: String,
    /// Hash of that image, where an engine with it was at hand.
    pub image_id: Option<String>,
    /// Arguments of the program.
    pub args: Vec<String>,
    /// Which authority it uses.
    pub authority_generation: u32,
    /// The engine's socket on managers.
    pub docker_socket: String,
    /// Further rules for its node, besides being a manager (`node.hostname==m1`).
    pub constraints: Vec<String>,
}

impl OperatorService {
    pub(super) fn labels(&self) -> Labels {
        let mut labels = Labels::from([
            (labels::STACK.to_owned(), STACK.to_owned()),
            (PART.to_owned(), OPERATOR.to_owned()),
        ]);
        if let Some(id) = &self.image_id {
            labels.insert(IMAGE_ID.to_owned(), id.clone());
        }
        labels
    }

    pub(super) fn all_constraints(&self) -> Vec<String> {
        let mut all = vec!["node.role==manager".to_owned()];
        all.extend(self.constraints.iter().cloned());
        all
    }

    /// The engine's form.
    pub(super) fn spec(&self, authority_id: Option<&String>, sealing_id: Option<&String>) -> Value {
        let secret = |file: &str, name: String, id: Option<&String>| {
            json!({
                // For root alone, as whom the program runs: it needs the engine's socket.
                "File": { "Name": file, "UID": "0", "GID": "0", "Mode": 0o400 },
                "SecretID": id,
                "SecretName": name,
            })
        };
        json!({
            "Name": SERVICE,
            "Labels": self.labels(),
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": self.image,
                    "Labels": { labels::STACK: STACK },
                    "Args": self.args,
                    "User": "0:0",
                    "ReadOnly": true,
                    "CapabilityDrop": ["ALL"],
                    // Says nothing, but `docker stack deploy` writes it, and the Swarm would take its absence for a change.
                    "Privileges": { "CredentialSpec": null, "SELinuxContext": null },
                    "Mounts": [{ "Type": "bind", "Source": self.docker_socket, "Target": SOCKET_IN_TASK }],
                    "StopGracePeriod": STOP_GRACE * SECOND,
                    "Secrets": [
                        secret(AUTHORITY_FILE, authority_secret(self.authority_generation), authority_id),
                        secret(SEALING_FILE, SEALING_SECRET.to_owned(), sealing_id),
                    ],
                },
                "Resources": {
                    "Limits": { "NanoCPUs": SECOND, "MemoryBytes": MEMORY_LIMIT },
                    "Reservations": { "MemoryBytes": MEMORY_RESERVATION },
                },
                "RestartPolicy": { "Condition": "any", "Delay": RESTART_DELAY * SECOND, "MaxAttempts": 0 },
                "Placement": { "Constraints": self.all_constraints() },
                "LogDriver": { "Name": "json-file", "Options": { "max-size": LOG_SIZE, "max-file": LOG_FILES } },
                "Networks": [{ "Target": "host" }],
            },
            "Mode": { "Replicated": { "Replicas": 1 } },
            "UpdateConfig": {
                "Parallelism": 1,
                "FailureAction": "rollback",
                "Monitor": MONITOR * SECOND,
                "Order": "stop-first",
            },
            "RollbackConfig": {
                "Parallelism": 1,
                "FailureAction": "pause",
                "Monitor": MONITOR * SECOND,
                "Order": "stop-first",
            },
            "EndpointSpec": { "Mode": "dnsrr" },
        })
    }
}
