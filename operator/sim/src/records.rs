//! What must hold of what outlives the operator, judged at every write of a ledger and when a cluster is at rest.

use milvus_core::component::Component;
use milvus_core::ledger::Ledger;

use crate::store::Store;
use crate::world::World;

/// What a ledger may not lose by a write, as long as it is that of one resource: epochs that were given out, that a quorum has
/// lived, where a member's data is.
pub(crate) fn ledger(world: &mut World, old: &Ledger, new: &Ledger) {
    let mut wrong = Vec::new();
    if new.last_epoch < old.last_epoch {
        wrong.push(format!(
            "forgets the epochs from {} to {}",
            new.last_epoch + 1,
            old.last_epoch
        ));
    }
    if !old.owner_uid.is_empty() && old.owner_uid == new.owner_uid {
        let lived = old.bootstrapped.iter().filter(|(_, lived)| **lived);
        let forgotten = lived.filter(|(component, _)| !new.is_bootstrapped(**component));
        wrong.extend(forgotten.map(|(component, _)| format!("forgets that {component} has lived")));
        for (name, entry) in &old.members {
            match new.members.get(name) {
                None => wrong.push(format!("forgets {name}")),
                // A machine that has come back under another id has its name still.
                Some(now) if now.places() != entry.places() || now.node_name != entry.node_name => {
                    wrong.push(format!("moves {name}"));
                }
                Some(_) => {}
            }
        }
    }
    let wrong = wrong.iter().map(|what| format!("the ledger {what}"));
    world.violations.extend(wrong);
}

/// What is not so of a cluster that is Ready and at rest: every quorum that lives is in the ledger, and every member runs on the
/// node that the ledger names.
pub(crate) fn at_rest(world: &World, store: &Store) -> Vec<String> {
    let Some(uid) = store.resource.as_ref().and_then(|r| r.metadata.uid.clone()) else {
        return Vec::new();
    };
    let Some(ledger) = store.ledger.as_ref().filter(|l| l.owner_uid == uid) else {
        return vec!["is Ready without a ledger of its own".to_owned()];
    };
    let mut wrong = Vec::new();
    for component in [
        Component::Etcd,
        Component::Minio,
        Component::Zookeeper,
        Component::Bookkeeper,
    ] {
        let tasks = world.tasks.iter();
        let mut lives = tasks.filter(|t| t.uid == uid && t.wanted && t.key.component == component);
        if lives.next().is_some() && !ledger.is_bootstrapped(component) {
            wrong.push(format!("{component} lives, and the ledger does not say so"));
        }
    }
    for task in world.tasks.iter().filter(|t| t.uid == uid && t.wanted) {
        let Some(entry) = ledger.member(task.key).filter(|e| !e.node.is_empty()) else {
            continue;
        };
        // One whose node is away waits for it without a place.
        let Some(node) = task.node.as_ref() else {
            continue;
        };
        if *node != entry.node {
            wrong.push(format!(
                "{} is on {}, and in the ledger on {}",
                task.key, node, entry.node
            ));
        }
    }
    wrong
}
