//! Waits and names in words.

use crate::action::{Waiting, WaitingOn};
use crate::component::Component;

/// The name of a component in the resource and its status.
pub fn component_name(component: Component) -> &'static str {
    match component {
        Component::Minio => "storage",
        Component::PulsarInit => "pulsarInit",
        Component::MixCoord => "mixCoord",
        Component::RootCoord => "rootCoord",
        Component::DataCoord => "dataCoord",
        Component::QueryCoord => "queryCoord",
        Component::IndexCoord => "indexCoord",
        Component::QueryNode => "queryNode",
        Component::DataNode => "dataNode",
        Component::IndexNode => "indexNode",
        Component::StreamingNode => "streamingNode",
        Component::Etcd
        | Component::Zookeeper
        | Component::Bookkeeper
        | Component::Broker
        | Component::Cdc
        | Component::Standalone
        | Component::Proxy
        | Component::Gateway => component.name(),
    }
}

/// One wait in words.
pub fn say(waiting: &Waiting) -> String {
    match &waiting.on {
        WaitingOn::Dependencies(needs) => {
            let names: Vec<&str> = needs.iter().map(|(c, _)| c.name()).collect();
            match waiting.component {
                Some(component) => format!("{component} waits for {}", names.join(", ")),
                None => names.join(", "),
            }
        }
        WaitingOn::Instances {
            workload,
            running,
            wanted,
            detail,
        } => {
            let count = format!("{running} of {wanted} run");
            match (wanted, detail.is_empty()) {
                (0 | 1, true) => format!("{workload} to start"),
                (0 | 1, false) => format!("{workload} ({detail})"),
                (_, true) => format!("{workload} ({count})"),
                (_, false) => format!("{workload} ({count}; {detail})"),
            }
        }
        WaitingOn::Answer { component, detail } => {
            if detail.is_empty() {
                format!("{component} to answer")
            } else {
                format!("{component} to answer ({detail})")
            }
        }
        WaitingOn::Image { reference, detail } => format!("image {reference} ({detail})"),
        WaitingOn::Placement { workload, detail } => {
            format!("a node for {workload} ({detail})")
        }
        WaitingOn::MemberStop { workload } => format!("{workload} to stop"),
        WaitingOn::Turn { workload, after } => {
            format!("{after} to be healthy before {workload} is changed")
        }
        WaitingOn::WholeRestart { component, because } => format!(
            "{} restarts as a whole, for its members work only with peers of the same image, arguments and environment (to change {because})",
            spoken(*component)
        ),
        WaitingOn::Stopping { instances: 0, .. } => "objects to be removed".to_owned(),
        WaitingOn::Stopping { which, .. } => format!("processes to stop ({which})"),
        WaitingOn::Node { node, what } => format!("node {node} to come back ({what})"),
        WaitingOn::Volumes { .. } => "volumes to be deleted".to_owned(),
    }
}

/// The name of a component as its makers write it, where it begins a sentence.
fn spoken(component: Component) -> &'static str {
    match component {
        Component::Minio => "MinIO",
        other => other.name(),
    }
}

/// What others follow from comes first.
pub(super) fn rank(on: &WaitingOn) -> u8 {
    match on {
        WaitingOn::Node { .. } | WaitingOn::WholeRestart { .. } => 0,
        WaitingOn::Image { .. } => 1,
        WaitingOn::Placement { .. } => 2,
        WaitingOn::MemberStop { .. }
        | WaitingOn::Instances { .. }
        | WaitingOn::Stopping { .. }
        | WaitingOn::Volumes { .. } => 3,
        WaitingOn::Answer { .. } => 4,
        WaitingOn::Turn { .. } => 5,
        WaitingOn::Dependencies(_) => 6,
    }
}

/// The first few of a list.
pub(super) fn shorten(words: &[String]) -> String {
    const SHOWN: usize = 6;
    let mut seen: Vec<&str> = Vec::new();
    for word in words {
        if !seen.contains(&word.as_str()) {
            seen.push(word);
        }
    }
    let shown = seen.iter().take(SHOWN).copied().collect::<Vec<_>>();
    if seen.len() > SHOWN {
        format!("{}; and {} more", shown.join("; "), seen.len() - SHOWN)
    } else {
        shown.join("; ")
    }
}
