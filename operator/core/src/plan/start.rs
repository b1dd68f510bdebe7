//! Workloads that are not there: made as soon as what they need answers, all that may start together in one plan.

use std::collections::BTreeSet;

use crate::action::{Action, CreateCause, WaitingOn};
use crate::component::{Component, WorkloadKey};
use crate::desired::Shape;
use crate::observed::{Owner, Touches};
use crate::plan::{Draft, View, WorkloadObject, readiness};

pub(super) fn create(view: &View<'_>, draft: &mut Draft) {
    for object in view.workload_objects() {
        if view.input.observed.objects.contains_key(object.id) || done(view, &object) {
            continue;
        }
        draft.changing.insert(object.key);
        if !startable(view, &object, draft) {
            continue;
        }
        if prepare(view, object.key, draft) {
            continue; // the process is made when its directory is there
        }
        draft.actions.push(Action::Create {
            id: object.id.clone(),
            cause: cause(view, &object),
        });
    }
}

/// Notes what is not as asked for yet, in a pass that writes nothing but the ledger.
pub(super) fn changing(view: &View<'_>, draft: &mut Draft) {
    for object in view.workload_objects() {
        let restarts = match view.ours(object.id) {
            Some(found) => found.difference.as_ref().is_some_and(|d| {
                d.touches > Touches::Placement || !view.ended(&object, d).is_empty()
            }),
            None => true,
        };
        if restarts && !done(view, &object) {
            draft.changing.insert(object.key);
        }
    }
}

/// A one-time job that has done its work is not made again.
pub(super) fn done(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    object.workload.shape == Shape::Job && view.input.ledger.is_bootstrapped(object.key.component)
}

/// Whether everything that a workload needs is there; says what is not.
fn startable(view: &View<'_>, object: &WorkloadObject<'_>, draft: &mut Draft) -> bool {
    let component = object.key.component;
    let lacking = view.lacking(object.workload);
    if !lacking.is_empty() {
        draft.wait(component, WaitingOn::Dependencies(lacking));
        return false;
    }
    let missing: Vec<String> = object
        .outline
        .uses
        .iter()
        .filter(|id| view.ours(id).is_none() && !draft.creates(id))
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        draft.wait(
            component,
            WaitingOn::Answer {
                component,
                detail: format!("{} cannot be used yet", missing.join(", ")),
            },
        );
        return false;
    }
    // The object is gone, but its process may not be: two processes must never share the data.
    if object.key.ordinal.is_some() && view.may_run(object.key) {
        draft.wait(component, view.stopping(object.key));
        return false;
    }
    let node = view.node_down(object.key).map(|node| (node, String::new()));
    let withheld = || {
        let (node, why) = view.node_withheld(object.key)?;
        Some((node, format!("it is {why}; ")))
    };
    if let Some((node, why)) = node.or_else(withheld)
        && !unprepared(view, object.key).is_empty()
    {
        draft.wait(
            component,
            WaitingOn::Node {
                node,
                what: format!("{why}the directory of {} is to be made there", object.key),
            },
        );
        return false;
    }
    true
}

fn unprepared(view: &View<'_>, key: WorkloadKey) -> Vec<Action> {
    let Some(entry) = view.input.ledger.member(key) else {
        return Vec::new();
    };
    entry
        .directories
        .iter()
        .filter(|d| {
            let made = (entry.node.clone(), (*d).clone());
            !view.input.memory.prepared.contains(&made)
        })
        .map(|d| Action::PrepareDirectory {
            node: entry.node.clone(),
            base: d.base.clone(),
            directory: d.directory.clone(),
        })
        .collect()
}

/// Has the directories of a member made; whether there are any to be waited for.
fn prepare(view: &View<'_>, key: WorkloadKey, draft: &mut Draft) -> bool {
    let actions = unprepared(view, key);
    if actions.is_empty() {
        return false;
    }
    draft.actions.extend(actions);
    let node = view
        .input
        .ledger
        .member(key)
        .map(|entry| entry.node_name.clone());
    draft.wait(
        key.component,
        WaitingOn::Instances {
            workload: key,
            running: 0,
            wanted: 1,
            detail: format!(
                "its directory is being made on node {}",
                node.unwrap_or_default()
            ),
        },
    );
    true
}

/// Whether a workload is made for the first time: not when we saw it, when its component has lived before, or when
/// another member of it is there already.
fn cause(view: &View<'_>, object: &WorkloadObject<'_>) -> CreateCause {
    let component = object.key.component;
    let lived = view.input.ledger.is_bootstrapped(component)
        || (component.is_milvus() && survivors(view).contains(&component));
    if lived || view.input.memory.seen.contains(object.id) {
        CreateCause::Missing
    } else {
        CreateCause::New
    }
}

/// Components that have processes left although their object is gone.
fn survivors(view: &View<'_>) -> BTreeSet<Component> {
    view.input
        .desired
        .workloads
        .iter()
        .map(|w| w.component)
        .filter(|c| {
            let gone = !view.input.observed.objects.values().any(|o| {
                o.owner == Owner::Ours && o.workload.is_some_and(|key| key.component == *c)
            });
            gone && readiness::instances(view.input.observed, WorkloadKey::shared(*c))
                .next()
                .is_some()
        })
        .collect()
}
