//! Work on one node that no API of a Swarm offers: making the directory of a member, deleting a volume or a directory. Each
//! is a service of one task that runs once, pinned to its node and named by what it does, so that a repeated try finds the
//! earlier one.

use std::time::Duration;

use jiff::Timestamp;
use milvus_core::names::{ClusterKey, ClusterRef};
use milvus_core::observed::Owner;
use milvus_platform::{Class, PlatformError};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::api::wire::{Service, Task};
use crate::api::{ApiError, Engine};
use crate::drift;
use crate::labels;

/// How long one try waits for the job; an unfinished one is found again by the next try.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(150);
/// A finished job that nobody came back for is cleared away after this time.
const LEFT_OVER_AFTER_SECONDS: i64 = 120;
/// Exit code of a volume that something still uses.
const STILL_IN_USE: i64 = 3;
/// What an engine says of a base path that is not there.
const NO_BASE: &str = "bind source path does not exist";
/// Exit code of a volume that is not the cluster's.
const NOT_OURS: i64 = 4;

/// How the short name of its service begins.
pub const NAME: &str = "op-";

/// What runs on the node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Image whose entry point is `milvus-gateway`.
    pub image: String,
    /// Where engines listen on their own machines.
    pub engine_socket: String,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeTask<'a> {
    /// Makes a directory below a base path that must exist.
    MakeDirectory {
        /// Base.
        base: &'a str,
        /// Below it.
        directory: &'a str,
    },
    /// Deletes a directory below a base path.
    RemoveDirectory {
        /// Base.
        base: &'a str,
        /// Below it.
        directory: &'a str,
    },
    /// Deletes a named volume.
    RemoveVolume {
        /// Name.
        volume: &'a str,
    },
}

impl NodeTask<'_> {
    fn operation(&self, node: &str) -> String {
        match self {
            NodeTask::MakeDirectory { base, directory } => {
                format!("make directory {base}/{directory} on node {node}")
            }
            NodeTask::RemoveDirectory { base, directory } => {
                format!("remove directory {base}/{directory} on node {node}")
            }
            NodeTask::RemoveVolume { volume } => format!("remove volume {volume} on node {node}"),
        }
    }

    fn verb(&self) -> &'static str {
        match self {
            NodeTask::MakeDirectory { .. } => "make-directory",
            NodeTask::RemoveDirectory { .. } => "remove-directory",
            NodeTask::RemoveVolume { .. } => "remove-volume",
        }
    }

    fn args(&self, cluster: &ClusterKey) -> Vec<String> {
        let label = format!("{}={cluster}", labels::CLUSTER);
        let rest: Vec<&str> = match self {
            NodeTask::MakeDirectory { directory, .. }
            | NodeTask::RemoveDirectory { directory, .. } => vec!["--base", "/base", directory],
            NodeTask::RemoveVolume { volume } => vec![
                "--docker-socket",
                "/engine.sock",
                "--require-label",
                &label,
                volume,
            ],
        };
        ["node-task", self.verb()]
            .into_iter()
            .chain(rest)
            .map(str::to_owned)
            .collect()
    }

    fn mount(&self, settings: &Settings) -> Value {
        match self {
            NodeTask::MakeDirectory { base, .. } | NodeTask::RemoveDirectory { base, .. } => {
                json!({ "Type": "bind", "Source": base, "Target": "/base" })
            }
            NodeTask::RemoveVolume { .. } => {
                json!({ "Type": "bind", "Source": settings.engine_socket, "Target": "/engine.sock" })
            }
        }
    }
}

/// The job of a task: pure.
fn job(settings: &Settings, cluster: &ClusterRef, node: &str, task: &NodeTask<'_>) -> Value {
    let template = json!({
        "ContainerSpec": {
            "Image": settings.image,
            "Args": task.args(&cluster.key),
            "Mounts": [task.mount(settings)],
            "User": "0:0",
        },
        // What fails is judged here and tried again by the next pass, with its reason told in between.
        "RestartPolicy": { "Condition": "none" },
        "Placement": { "Constraints": [format!("node.id=={node}")] },
    });
    let mut all = labels::owner(cluster);
    all.insert(labels::NODE_TASK.to_owned(), task.verb().to_owned());
    json!({
        "Name": format!("{}_{NAME}{}", cluster.key.stack(), drift::hash(&template)),
        "Labels": all,
        "TaskTemplate": template,
        "Mode": { "Replicated": { "Replicas": 1 } },
        "EndpointSpec": { "Mode": "dnsrr" },
    })
}

/// Runs a task to its end, or as long as one try may take.
///
/// # Errors
/// When it failed, with the node's words; `Transient` while it is not done yet.
pub async fn run(
    engine: &Engine,
    settings: &Settings,
    cluster: &ClusterRef,
    node: &str,
    task: &NodeTask<'_>,
) -> Result<(), PlatformError> {
    let operation = task.operation(node);
    let spec = job(settings, cluster, node, task);
    let name = spec
        .get("Name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let id = match engine.create_service(&spec, None).await {
        Ok(created) => created.id,
        Err(error) if error.is_name_taken() => {
            let Some(found) = engine.service(&name).await? else {
                return Err(error.into());
            };
            if labels::owner_of(&found.labels(), cluster) == Owner::Foreign {
                return Err(PlatformError::new(
                    Class::Conflict,
                    operation,
                    format!("the service {name} belongs to somebody else"),
                ));
            }
            found.id
        }
        Err(error) => return Err(error.into()),
    };
    let end = Instant::now() + PATIENCE;
    loop {
        let tasks = engine.tasks_of(&id).await?;
        let verdict = tasks.iter().find_map(verdict);
        match verdict {
            Some(verdict) => {
                clear(engine, &id, &name).await?;
                // Where there is no base, there is nothing of the cluster's below it.
                let nothing = matches!(task, NodeTask::RemoveDirectory { .. })
                    && matches!(&verdict, Err((_, message)) if message.contains(NO_BASE));
                if nothing {
                    return Ok(());
                }
                return verdict.map_err(|(class, message)| {
                    PlatformError::new(class, operation.clone(), message)
                });
            }
            None if Instant::now() >= end => {
                let doing = tasks
                    .first()
                    .map(|t| {
                        if t.status.err.is_empty() {
                            t.status.state.clone()
                        } else {
                            t.status.err.clone()
                        }
                    })
                    .unwrap_or_default();
                let mut error = PlatformError::new(
                    Class::Transient,
                    operation,
                    format!("not done yet: its task is {doing}"),
                );
                error.retry_after = Some(Duration::from_secs(2));
                return Err(error);
            }
            None => sleep(POLL).await,
        }
    }
}

async fn clear(engine: &Engine, id: &str, name: &str) -> Result<(), ApiError> {
    match engine.remove_service(id, name).await {
        Err(error) if !error.is_not_found() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What became of a task; `None` while it runs.
fn verdict(task: &Task) -> Option<Result<(), (Class, String)>> {
    let status = &task.status;
    match status.state.as_str() {
        "complete" => Some(Ok(())),
        "rejected" => Some(Err((Class::Invalid, status.err.clone()))),
        "failed" | "shutdown" | "orphaned" | "remove" => {
            let message = match status.container_status.exit_code {
                STILL_IN_USE => "something on the node still uses it".to_owned(),
                NOT_OURS => {
                    let message = "it was not made for this cluster, and is left alone";
                    return Some(Err((Class::Invalid, message.to_owned())));
                }
                0 if !status.err.is_empty() => status.err.clone(),
                code => format!("{} (exit code {code}; see its log on the node)", status.err),
            };
            Some(Err((Class::Transient, message)))
        }
        _ => None,
    }
}

/// Whether a job of ours ended long ago and nobody came back for its result.
pub fn is_left_over(service: &Service, tasks: &[Task], now: Timestamp) -> bool {
    let mut own = tasks
        .iter()
        .filter(|t| t.service_id == service.id)
        .peekable();
    own.peek().is_some()
        && own.all(|t| {
            verdict(t).is_some()
                && t.status
                    .timestamp
                    .is_some_and(|at| now.as_second() - at.as_second() > LEFT_OVER_AFTER_SECONDS)
        })
}
