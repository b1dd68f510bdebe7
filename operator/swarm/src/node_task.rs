//! Work on one node that no API of a Swarm offers: making the directory of a member, deleting a volume or a directory. Each
//! is a service of one task that runs once, pinned to its node and named by what it does: started in one pass, and found again by
//! the next ones. No pass waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use milvus_core::names::{ClusterKey, ClusterRef};
use milvus_core::observed::Owner;
use milvus_platform::{Class, PlatformError};
use serde_json::{Value, json};

use crate::api::wire::{Service, Task};
use crate::api::{ApiError, Engine};
use crate::drift;
use crate::labels;

/// After this time it is said why an errand does not start.
const PATIENCE_SECONDS: i64 = 10;
/// A failed errand is left as it is for this time, and then started anew.
const FAILED_STAYS_SECONDS: i64 = 10;
/// When a failed one is looked at again.
const AGAIN: Duration = Duration::from_secs(2);
/// A finished job that nobody came back for is cleared away after this time.
const LEFT_OVER_AFTER_SECONDS: i64 = 120;
/// Exit code of a volume that something still uses.
const STILL_IN_USE: i64 = 3;
/// What an engine says of a base path that is not there.
const NO_BASE: &str = "bind source path does not exist";
/// Exit code of a volume that is not the cluster's.
const NOT_OURS: i64 = 4;

const MAKE_DIRECTORY: &str = "make-directory";

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
            NodeTask::MakeDirectory { .. } => MAKE_DIRECTORY,
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

/// How far an errand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It was started by this call.
    Started,
    /// It was started before and has not ended.
    Underway,
    /// It has ended well, and nothing of it is left.
    Ended,
}

/// The last failure of each errand that is tried again, by the name of its service: said until it ends well.
#[derive(Clone, Debug, Default)]
pub struct Failures(Arc<Mutex<BTreeMap<String, Failure>>>);

type Failure = (Class, String);

impl Failures {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes an errand one step further, without a wait: starts it where it was not started, else looks what became of it. One that
/// has failed is left as it is for a moment and started anew after that.
///
/// # Errors
/// When it failed, with the node's words, until it ends well.
pub async fn step(
    engine: &Engine,
    settings: &Settings,
    failures: &Failures,
    cluster: &ClusterRef,
    node: &str,
    task: &NodeTask<'_>,
) -> Result<Progress, PlatformError> {
    let operation = task.operation(node);
    let spec = job(settings, cluster, node, task);
    let name = spec
        .get("Name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let failed = |(class, message): Failure| {
        let mut error = PlatformError::new(class, operation.clone(), message);
        error.retry_after = Some(AGAIN);
        error
    };
    let underway = |progress| match failures.all().get(&name).cloned() {
        Some(failure) => Err(failed(failure)),
        None => Ok(progress),
    };
    let Some(found) = engine.service(&name).await? else {
        return match engine.create_service(&spec, None).await {
            Ok(_) => underway(Progress::Started),
            Err(error) if error.is_name_taken() => underway(Progress::Underway),
            Err(error) => Err(error.into()),
        };
    };
    if labels::owner_of(&found.labels(), cluster) == Owner::Foreign {
        return Err(PlatformError::new(
            Class::Conflict,
            operation.clone(),
            format!("the service {name} belongs to another owner"),
        ));
    }
    let tasks = engine.tasks_of(&found.id).await?;
    let now = Timestamp::now();
    match judge(task, &tasks) {
        Judgement::Well => {
            clear(engine, &found.id, &name).await?;
            failures.all().remove(&name);
            Ok(Progress::Ended)
        }
        Judgement::Failed(failure, since) => {
            failures.all().insert(name.clone(), failure.clone());
            if since.is_none_or(|since| lasts(since, now, FAILED_STAYS_SECONDS)) {
                clear(engine, &found.id, &name).await?;
            }
            Err(failed(failure))
        }
        Judgement::Waits(why, since) if since.is_some_and(|s| lasts(s, now, PATIENCE_SECONDS)) => {
            Err(failed((
                Class::Transient,
                format!("its task does not start: {why}"),
            )))
        }
        Judgement::Waits(..) | Judgement::Runs => underway(Progress::Underway),
    }
}

fn lasts(since: Timestamp, now: Timestamp, seconds: i64) -> bool {
    now.as_second() - since.as_second() >= seconds
}

/// What the tasks of an errand say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judgement {
    Well,
    Failed(Failure, Option<Timestamp>),
    /// No node takes it: why, and since when.
    Waits(String, Option<Timestamp>),
    Runs,
}

fn judge(errand: &NodeTask<'_>, tasks: &[Task]) -> Judgement {
    let ended = tasks.iter().find_map(|t| Some((verdict(t)?, t)));
    match ended {
        Some((Ok(()), _)) => Judgement::Well,
        // Where there is no base, there is nothing of the cluster's below it.
        Some((Err((_, message)), _))
            if matches!(errand, NodeTask::RemoveDirectory { .. }) && message.contains(NO_BASE) =>
        {
            Judgement::Well
        }
        Some((Err(failure), task)) => Judgement::Failed(failure, task.status.timestamp),
        None => tasks
            .iter()
            .find(|t| t.status.state == "pending" && !t.status.err.is_empty())
            .map_or(Judgement::Runs, |t| {
                Judgement::Waits(t.status.err.clone(), t.created_at)
            }),
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

/// Whether a job of ours makes a directory.
pub fn makes_directory(service: &Service) -> bool {
    service.label(labels::NODE_TASK) == Some(MAKE_DIRECTORY)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(json: Value) -> Vec<Task> {
        serde_json::from_value(json).unwrap()
    }

    const REMOVE: NodeTask<'_> = NodeTask::RemoveDirectory {
        base: "/data",
        directory: "demo/etcd-0-e1",
    };

    #[test]
    fn an_errand_is_judged_by_its_task() {
        let at = "2026-03-01T10:00:00Z";
        let status = |state: &str, err: &str| {
            tasks(json!([{ "ID": "t", "CreatedAt": at, "Status": {
                "State": state, "Err": err, "Timestamp": at } }]))
        };
        let volume = NodeTask::RemoveVolume { volume: "v" };
        assert_eq!(judge(&volume, &[]), Judgement::Runs);
        assert_eq!(judge(&volume, &status("preparing", "")), Judgement::Runs);
        assert_eq!(judge(&volume, &status("complete", "")), Judgement::Well);
        let since = at.parse().ok();
        let why = "no suitable node (1 node not available for new tasks)";
        assert_eq!(
            judge(&volume, &status("pending", why)),
            Judgement::Waits(why.to_owned(), since)
        );
        let gone = format!("invalid mount config: {NO_BASE}: /data");
        assert_eq!(
            judge(&volume, &status("rejected", &gone)),
            Judgement::Failed((Class::Invalid, gone.clone()), since)
        );
        assert_eq!(judge(&REMOVE, &status("rejected", &gone)), Judgement::Well);
    }
}
