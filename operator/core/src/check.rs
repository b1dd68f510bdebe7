//! What no plan may ever contain, checked apart from the steps that make plans: in tests, in debug builds and by
//! `milvus-operator plan`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{Action, Plan};
use crate::component::{Component, WorkloadKey};
use crate::desired::Shape;
use crate::observed::{InstanceState, Owner};
use crate::outline::ObjectId;
use crate::place;
use crate::plan::{DeletionInput, PlanInput, readiness};

/// What is wrong with a plan for a resource that is to exist; empty when nothing is.
pub fn check(plan: &Plan, input: &PlanInput<'_>) -> Vec<String> {
    let mut wrong = ledger_alone(plan);
    let owner = |id: &ObjectId| input.observed.objects.get(id).map(|o| &o.owner);
    let mut stopped: BTreeMap<Component, BTreeSet<WorkloadKey>> = BTreeMap::new();
    let mut created = BTreeSet::new();
    for action in &plan.actions {
        match action {
            Action::Create { id, .. } => {
                if owner(id).is_some() {
                    wrong.push(format!("creates {id}, which is there already"));
                }
                if input.wanted_ledger != input.ledger {
                    wrong.push(format!("creates {id} before its ledger is recorded"));
                }
                let Some(outline) = input.outline.get(id) else {
                    wrong.push(format!("creates {id}, which was not rendered"));
                    continue;
                };
                for used in &outline.uses {
                    if !input.observed.objects.contains_key(used) && !created.contains(used) {
                        wrong.push(format!("creates {id} before {used}"));
                    }
                }
                if let Some(key) = outline.workload
                    && key.ordinal.is_some()
                    && alive(input, key)
                {
                    wrong.push(format!("creates {id} while a process of {key} may run"));
                }
                created.insert(id.clone());
            }
            Action::Update { id, .. } | Action::Stop { id, .. } => {
                if owner(id) != Some(&Owner::Ours) {
                    wrong.push(format!("changes {id}, which is not ours"));
                }
                wrong.extend(rollout_harms(action, input));
                if let Some(key) = restarted(action, input) {
                    stopped.entry(key.component).or_default().insert(key);
                }
                if let Action::Update { id, difference } = action
                    && difference.restarts
                    && let Some(key) = input.outline.get(id).and_then(|o| o.workload)
                    && key.ordinal.is_some()
                    && input.capabilities.member_updates_overlap
                    && alive(input, key)
                {
                    wrong.push(format!("respecifies {id} while a process of {key} may run"));
                }
            }
            Action::Remove { id, native_id, .. } => {
                removal(id, native_id, input.observed, &mut wrong);
            }
            Action::RemoveVolume { volume, node, .. } => {
                wrong.push(format!(
                    "deletes volume {volume} on {node} of a cluster that is to exist"
                ));
            }
            Action::ForgetLedger | Action::DropFinalizer => {
                wrong.push("takes down a cluster that is to exist".to_owned());
            }
            Action::RecordLedger(ledger) => {
                for (name, entry) in &input.ledger.members {
                    if input.ledger.owner_uid == ledger.owner_uid
                        && ledger.members.get(name) != Some(entry)
                    {
                        wrong.push(format!("moves {name} in the ledger"));
                    }
                }
            }
            Action::PrepareDirectory { .. } => {}
        }
    }
    for (component, members) in stopped {
        if members.len() > 1 {
            wrong.push(format!(
                "takes down {} members of {component} at once that run now",
                members.len()
            ));
        }
    }
    wrong
}

/// What is wrong with a plan of a deletion; empty when nothing is.
pub fn check_deletion(plan: &Plan, input: &DeletionInput<'_>) -> Vec<String> {
    let mut wrong = ledger_alone(plan);
    let processes = input
        .observed
        .instances
        .iter()
        .any(|i| i.state.may_run() && i.state != InstanceState::Lost);
    if input.leaves_all() {
        let touches = |action: &&Action| {
            !matches!(
                action,
                Action::RecordLedger(_) | Action::ForgetLedger | Action::DropFinalizer
            )
        };
        let touched = plan.actions.iter().filter(touches);
        wrong.extend(touched.map(|action| format!("touches what is to stay: {action:?}")));
        return wrong;
    }
    let objects = input
        .observed
        .objects
        .values()
        .any(|o| o.owner != Owner::Foreign);
    for action in &plan.actions {
        match action {
            Action::Remove { id, native_id, .. } => {
                removal(id, native_id, input.observed, &mut wrong);
            }
            Action::RemoveVolume { volume, node, .. } => {
                let member = input
                    .ledger
                    .filter(|l| l.owner_uid == input.cluster.uid)
                    .and_then(|l| {
                        l.members.iter().find(|(_, e)| {
                            e.node == *node
                                && (e.volumes.contains(volume)
                                    || e.directories.iter().any(|d| d.directory == *volume))
                        })
                    });
                let allowed = member
                    .and_then(|(name, _)| WorkloadKey::parse(name))
                    .is_some_and(|key| {
                        input.policies.of(key.component) == milvus_crds::DeletionPolicy::Delete
                    });
                if !allowed {
                    wrong.push(format!(
                        "deletes volume {volume} on {node} against the policy"
                    ));
                }
                if processes || objects {
                    wrong.push(format!(
                        "deletes volume {volume} before its processes are gone"
                    ));
                }
            }
            Action::DropFinalizer => {
                if processes || objects {
                    wrong.push("drops the finalizer before everything is gone".to_owned());
                }
            }
            Action::Create { .. }
            | Action::Update { .. }
            | Action::Stop { .. }
            | Action::PrepareDirectory { .. } => {
                wrong.push(format!("does {action:?} in a deletion"));
            }
            Action::RecordLedger(_) | Action::ForgetLedger => {}
        }
    }
    wrong
}

fn ledger_alone(plan: &Plan) -> Vec<String> {
    let records = plan
        .actions
        .iter()
        .any(|a| matches!(a, Action::RecordLedger(_)));
    if records && plan.actions.len() > 1 {
        vec!["does more than record the ledger".to_owned()]
    } else {
        Vec::new()
    }
}

fn removal(
    id: &ObjectId,
    native_id: &str,
    observed: &crate::observed::Observed,
    wrong: &mut Vec<String>,
) {
    match observed.objects.get(id) {
        Some(object) if object.owner == Owner::Foreign => {
            wrong.push(format!("removes {id}, which is somebody else's"));
        }
        Some(object) if object.native_id == native_id => {}
        _ => wrong.push(format!("removes {id} by an id that was not seen")),
    }
}

/// The member that an action takes down although it runs now.
fn restarted(action: &Action, input: &PlanInput<'_>) -> Option<WorkloadKey> {
    let id = match action {
        Action::Stop { id, .. } => id,
        Action::Update { id, difference } if difference.restarts => id,
        _ => return None,
    };
    let key = input.outline.get(id)?.workload?;
    let bootstrapped = input.ledger.is_bootstrapped(key.component);
    let runs = input
        .observed
        .instances
        .iter()
        .any(|i| i.workload == key && i.wanted && i.state == InstanceState::Running);
    let answers = input
        .desired
        .workloads
        .iter()
        .find(|w| w.component == key.component)
        .is_some_and(|w| readiness::answer(w, key, input.observed).is_ok());
    (key.ordinal.is_some() && runs && answers && bootstrapped).then_some(key)
}

/// What is wrong with handing over a change of members that are one native workload: the platform takes the highest one down
/// whatever the others do.
fn rollout_harms(action: &Action, input: &PlanInput<'_>) -> Option<String> {
    let id = match action {
        Action::Update { id, difference } if difference.restarts => id,
        _ => return None,
    };
    let key = input.outline.get(id)?.workload?;
    let component = key.component;
    let all = &input.desired.workloads;
    let workload = all.iter().find(|w| w.component == component)?;
    if key.ordinal.is_some()
        || !matches!(workload.shape, Shape::Members { .. })
        || !input.ledger.is_bootstrapped(component)
    {
        return None;
    }
    let answers = |key: &WorkloadKey| readiness::answer(workload, *key, input.observed).is_ok();
    let (serving, silent): (Vec<_>, Vec<_>) = workload.keys().into_iter().partition(answers);
    let needed = place::needed(component, serving.len() + silent.len(), input.ledger);
    let harmed = serving.len() == needed && !silent.is_empty();
    // One that is down and above all others holds the platform up, as do members of a template that does not come up.
    let first_is_down = silent.last() > serving.last();
    let of_it = |key: &WorkloadKey| {
        let newest = input.observed.instances.iter();
        let mut newest = newest.filter(|i| i.workload == *key && i.wanted);
        newest.next().is_some_and(|i| i.current)
    };
    let unfinished = input.observed.objects.get(id).is_some_and(|o| o.updating);
    let broken = unfinished && silent.iter().all(of_it);
    (harmed && !first_is_down && !broken).then(|| {
        let down: Vec<String> = silent.iter().map(ToString::to_string).collect();
        format!(
            "has members of {component} replaced while {} does not answer",
            down.join(", ")
        )
    })
}

fn alive(input: &PlanInput<'_>, key: WorkloadKey) -> bool {
    input
        .observed
        .instances
        .iter()
        .any(|i| i.workload == key && i.state.may_run())
}
