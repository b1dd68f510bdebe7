//! How an installed operator is, and what an upgrade of it changes. Pure.

use serde_json::{Value, json};

use super::IMAGE_ID;
use crate::api::wire::{self, Node, Task};
use crate::drift;
use crate::labels::Labels;

/// The operator's newest task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorTask {
    /// It was made from the service's present spec.
    pub current: bool,
    /// `running`, `pending`, ...
    pub state: String,
    /// The engine's words.
    pub message: String,
    /// Node id; empty before it is placed.
    pub node: String,
}

/// The state of the operator's service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorState {
    /// `updating`, `completed`, `rollback_completed`, ...; empty when it was never updated.
    pub update: String,
    /// The engine's words about its update.
    pub update_message: String,
    /// Errors of failed tasks of the present spec, newest first.
    pub failures: Vec<String>,
    /// Error of the newest failed task, whatever its spec.
    pub last_failure: Option<String>,
    /// The newest task.
    pub task: Option<OperatorTask>,
}

/// The fields that differ and the spec to write; `None` when nothing does.
pub(super) fn upgrade(mut spec: Value, found: &wire::Service) -> Option<(Vec<String>, Value)> {
    let without_network = |spec: &Value| {
        // The engine puts the id of the host's network where we name it; there is no other that we could mean.
        let mut spec = drift::normalised(spec);
        if let Some(networks) = spec
            .pointer_mut("/TaskTemplate/Networks")
            .and_then(Value::as_array_mut)
        {
            networks.iter_mut().for_each(|n| *n = Value::Null);
        }
        spec
    };
    let mut changes = drift::differences(&without_network(&spec), &without_network(&found.spec));
    let wanted: Labels = serde_json::from_value(spec["Labels"].clone()).unwrap_or_default();
    let present = found.labels();
    // A stack that was deployed in between left no hash: nothing is known then, and nothing is forced.
    let image_changed = match (wanted.get(IMAGE_ID), present.get(IMAGE_ID)) {
        (Some(now), Some(before)) => now != before,
        _ => false,
    };
    if wanted.iter().any(|(k, v)| present.get(k) != Some(v)) {
        changes.push("Labels".to_owned());
    }
    if changes.is_empty() {
        return None;
    }
    // Another image under the same name is a change that the engine cannot see.
    let forced = found
        .spec
        .pointer("/TaskTemplate/ForceUpdate")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    spec["TaskTemplate"]["ForceUpdate"] = json!(forced + u64::from(image_changed));
    Some((changes, spec))
}

/// A task of the operator that has not ended, as far as the Swarm knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningTask {
    /// Name of its node; empty before it is placed.
    pub node: String,
    /// Whether that node answers: of one that does not, nobody knows when its task ends.
    pub node_answers: bool,
}

/// Those that have not ended.
pub(super) fn running_of(tasks: &[Task], nodes: &[Node]) -> Vec<RunningTask> {
    let running = tasks.iter().filter(|task| is_alive(&task.status.state));
    running
        .map(|task| {
            let node = nodes.iter().find(|node| node.id == task.node_id);
            RunningTask {
                node: node.map_or_else(String::new, |n| n.description.hostname.clone()),
                // One that has no node yet never gets one any more, and one whose node was removed is forgotten with it.
                node_answers: node.is_none_or(|n| n.status.state == "ready"),
            }
        })
        .collect()
}

fn is_alive(state: &str) -> bool {
    !matches!(
        state,
        "complete" | "shutdown" | "failed" | "rejected" | "orphaned" | "remove"
    )
}

/// `tasks`, newest first.
pub(super) fn state_of(service: &wire::Service, tasks: &[Task]) -> OperatorState {
    let text = |task: &Task| {
        let status = &task.status;
        if status.err.is_empty() {
            status.message.clone()
        } else {
            status.err.clone()
        }
    };
    let failed = |task: &Task| matches!(task.status.state.as_str(), "failed" | "rejected");
    let update = service.update_status.clone().unwrap_or_default();
    OperatorState {
        update: update.state,
        update_message: update.message,
        failures: tasks
            .iter()
            .filter(|task| failed(task) && drift::is_current(&task.spec, &service.spec))
            .map(text)
            .collect(),
        last_failure: tasks.iter().find(|task| failed(task)).map(text),
        task: tasks.first().map(|task| OperatorTask {
            current: drift::is_current(&task.spec, &service.spec),
            state: task.status.state.clone(),
            message: text(task),
            node: task.node_id.clone(),
        }),
    }
}
