//! Nodes that the admin has given up: what the annotation says, and what it means for processes that may still run there. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::Ledger;
use crate::observed::{InstanceState, Observed};

/// Gives up nodes, by name or by id, several separated by commas.
pub const ABANDON_NODE: &str = "operator.milvus.io/abandon-node";

/// The nodes that the annotations of a resource give up.
pub fn nodes(annotations: Option<&BTreeMap<String, String>>) -> BTreeSet<String> {
    let given_up = annotations.and_then(|all| all.get(ABANDON_NODE));
    given_up
        .map(|nodes| nodes.split(',').map(|n| n.trim().to_owned()).collect())
        .unwrap_or_default()
}

/// Takes processes for ended whose node was removed from the platform and given up. The platform keeps their records as they
/// were (a Swarm as `orphaned`), and no node is left that could ever tell what became of them. A node that is only down is
/// none of these: it comes back with what runs on it.
pub fn settle(observed: &mut Observed, abandoned: &BTreeSet<String>, ledger: Option<&Ledger>) {
    for instance in &mut observed.instances {
        let Some(node) = &instance.node else {
            continue;
        };
        let known = observed.topology.node(node).is_some();
        let given_up = abandoned.contains(node)
            || name(node, ledger).is_some_and(|name| abandoned.contains(name));
        if instance.state == InstanceState::Lost && !known && given_up {
            instance.state = InstanceState::Shutdown;
        }
    }
}

/// The name that a node had, by the ledger.
pub(crate) fn name<'a>(node: &str, ledger: Option<&'a Ledger>) -> Option<&'a str> {
    let mut entries = ledger.into_iter().flat_map(|l| l.members.values());
    let entry = entries.find(|e| e.node == node && !e.node_name.is_empty())?;
    Some(&entry.node_name)
}
