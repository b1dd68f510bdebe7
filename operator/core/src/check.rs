//! What no plan may ever contain, checked apart from the steps that make plans: in tests, in debug builds and by
//! `milvus-operator plan`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{Action, Plan};
use crate::component::{Component, WorkloadKey};
use crate::desired::{Shape, Workload};
use crate::effects;
use crate::observed::{Instance, InstanceState, Node, Observed, Owner, SeenVersion, Touches};
use crate::outline::ObjectId;
use crate::place;
use crate::plan::readiness::{self, Health};
use crate::plan::{DeletionInput, PlanInput, stores};

/// What is wrong with a plan for a resource that is to exist; empty when nothing is.
pub fn check(plan: &Plan, input: &PlanInput<'_>) -> Vec<String> {
    let mut wrong = ledger_alone(plan);
    let owner = |id: &ObjectId| input.observed.objects.get(id).map(|o| &o.owner);
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
            Action::Update { id, seen, .. } | Action::Stop { id, seen, .. } => {
                wrong.extend(unseen_version(id, *seen, input.observed));
                if owner(id) != Some(&Owner::Ours) {
                    wrong.push(format!("changes {id}, which is not ours"));
                }
                wrong.extend(rollout_harms(action, input));
                if let Action::Update { id, .. } = action
                    && let Some(key) = input.outline.get(id).and_then(|o| o.workload)
                    && key.ordinal.is_some()
                    && input.capabilities.member_updates_overlap
                    && !ended(action, input).is_empty()
                {
                    wrong.push(format!("respecifies {id} while a process of {key} may run"));
                }
            }
            Action::Remove {
                id,
                native_id,
                seen,
                ..
            } => {
                wrong.extend(unseen_version(id, *seen, input.observed));
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
                    let new = ledger.members.get(name);
                    let stays = new.is_some_and(|new| {
                        new == entry || place::is_same_place(entry, new, &input.observed.topology)
                    });
                    if input.ledger.owner_uid == ledger.owner_uid && !stays {
                        wrong.push(format!("moves {name} in the ledger"));
                    }
                }
            }
            Action::PrepareDirectory { .. } | Action::Mark { .. } => {}
        }
    }
    wrong.extend(taken_down(plan, input));
    wrong.extend(connects_to_emptied(plan, input));
    wrong
}

/// What is made or changed although a store that it needs has lost its data: processes could start on that.
fn connects_to_emptied(plan: &Plan, input: &PlanInput<'_>) -> Vec<String> {
    let lost = stores::lost(input.desired, input.observed, input.ledger);
    let touched = plan.actions.iter().filter_map(|action| match action {
        Action::Create { id, .. } | Action::Update { id, .. } => Some(id),
        _ => None,
    });
    let keys = touched.filter_map(|id| input.outline.get(id)?.workload);
    let needs = keys.filter_map(|key| Some((key, workload(input, key.component)?)));
    needs
        .filter_map(|(key, workload)| {
            let emptied = workload.requires.iter().find(|c| lost.contains_key(c))?;
            Some(format!(
                "starts {key} on {emptied}, which has lost its data"
            ))
        })
        .collect()
}

/// What is wrong with a plan of a deletion; empty when nothing is.
pub fn check_deletion(plan: &Plan, input: &DeletionInput<'_>) -> Vec<String> {
    let mut wrong = ledger_alone(plan);
    let processes = input.observed.instances.iter().any(|i| input.awaits(i));
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
            Action::Remove {
                id,
                native_id,
                seen,
                ..
            } => {
                wrong.extend(unseen_version(id, *seen, input.observed));
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
            | Action::Mark { .. }
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

/// What is wrong with acting on this version of an object: it is not the one that the plan was made for.
fn unseen_version(id: &ObjectId, seen: Option<SeenVersion>, observed: &Observed) -> Option<String> {
    let object = observed.objects.get(id)?;
    (object.version != seen).then(|| format!("acts on a version of {id} that was not seen"))
}

fn removal(id: &ObjectId, native_id: &str, observed: &Observed, wrong: &mut Vec<String>) {
    match observed.objects.get(id) {
        Some(object) if object.owner == Owner::Foreign => {
            wrong.push(format!("removes {id}, which is foreign"));
        }
        Some(object) if object.native_id == native_id => {}
        _ => wrong.push(format!("removes {id} by an id that was not seen")),
    }
}

/// The processes that an action ends.
fn ended<'a>(action: &Action, input: &PlanInput<'a>) -> Vec<&'a Instance> {
    let (id, touches) = match action {
        Action::Stop { id, .. } => (id, Touches::Process),
        Action::Update { id, difference, .. } => (id, difference.touches),
        _ => return Vec::new(),
    };
    let key = input.outline.get(id).and_then(|o| o.workload);
    let Some((key, workload)) = key.and_then(|key| Some((key, workload(input, key.component)?)))
    else {
        return Vec::new();
    };
    effects::ended(input.observed, input.ledger, workload, key, touches)
}

fn workload<'a>(input: &PlanInput<'a>, component: Component) -> Option<&'a Workload> {
    let mut all = input.desired.workloads.iter();
    all.find(|w| w.component == component)
}

/// What is wrong with the processes that would serve no more after a plan: of one quorum more than one, or one that it cannot
/// spare; of the whole cluster those of more than one workload. The members of MinIO may go together, all of them: they work
/// only with peers that were started alike.
fn taken_down(plan: &Plan, input: &PlanInput<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut down: BTreeMap<Component, BTreeSet<WorkloadKey>> = BTreeMap::new();
    for action in &plan.actions {
        for instance in ended(action, input) {
            let component = instance.workload.component;
            if workload(input, component)
                .is_some_and(|w| w.shape != Shape::Job && serves(w, instance, input))
            {
                down.entry(component).or_default().insert(instance.workload);
            }
        }
    }
    if down.len() > 1 {
        let names: Vec<&str> = down.keys().map(|c| c.name()).collect();
        wrong.push(format!("takes down {} side by side", names.join(", ")));
    }
    for (component, members) in down {
        let Some(workload) = workload(input, component) else {
            continue;
        };
        let keys = workload.keys();
        if !matches!(workload.shape, Shape::Members { .. }) || keys.len() < 2 {
            continue;
        }
        let stops = |a: &&Action| matches!(a, Action::Stop { id, .. } if input.outline.get(id).and_then(|o| o.workload).is_some_and(|k| k.component == component));
        let together = plan.actions.iter().filter(stops).count();
        if component == Component::Minio && (together > 1 || !input.capabilities.places_members) {
            wrong.extend(left_running(plan, input, component));
            continue;
        }
        if members.len() > 1 && input.capabilities.places_members {
            wrong.push(format!(
                "takes down {} members of {component} at once that run now",
                members.len()
            ));
        }
        let health = |key: &WorkloadKey| readiness::health(workload, *key, input.observed);
        let well = keys.iter().filter(|k| health(k) == Health::Serving).count();
        let unasked = keys.iter().any(|k| health(k) == Health::Unknown);
        let rest = keys.iter().filter(|k| !members.contains(k));
        let left = rest
            .clone()
            .filter(|k| health(k) == Health::Serving)
            .count();
        let needed = place::needed(component, keys.len(), input.ledger);
        let silent: Vec<String> = rest
            .filter(|k| health(k) != Health::Serving)
            .map(ToString::to_string)
            .collect();
        if (well >= needed || unasked)
            && left < needed
            && !silent.is_empty()
            && input.capabilities.places_members
        {
            wrong.push(format!(
                "takes down {component}, which does not work without {} then",
                silent.join(", ")
            ));
        }
    }
    wrong
}

/// A process that answers, or could not be asked and may.
fn serves(workload: &Workload, instance: &Instance, input: &PlanInput<'_>) -> bool {
    instance.state == InstanceState::Running
        && !matches!(
            readiness::instance_health(workload, instance, input.observed),
            Health::Down | Health::NotReady
        )
}

/// Members that would go on with the old spec while the others of their kind are stopped for a new one.
fn left_running(plan: &Plan, input: &PlanInput<'_>, component: Component) -> Vec<String> {
    let stopped = |id: &ObjectId| {
        plan.actions
            .iter()
            .any(|a| matches!(a, Action::Stop { id: of, .. } if of == id))
    };
    let objects = input.outline.iter();
    objects
        .filter_map(|(id, outline)| Some((id, outline.workload?)))
        .filter(|(id, key)| {
            let object = input.observed.objects.get(*id);
            let differs = object.and_then(|o| o.difference.as_ref());
            let reachable = input.ledger.member(*key).is_none_or(|entry| {
                entry.node.is_empty()
                    || input.observed.topology.node(&entry.node).is_some_and(Node::up)
            });
            key.component == component
                && differs.is_some_and(|d| d.touches == Touches::Process)
                && object.is_some_and(|o| o.replicas != Some(0))
                && reachable
                && alive(input, *key)
                && !stopped(id)
        })
        .map(|(_, key)| format!("leaves {key} running while its peers are stopped for a change that they do not share with it"))
        .collect()
}

/// What is wrong with handing over a change of members that are one native workload: the platform takes the highest one down
/// whatever the others do.
fn rollout_harms(action: &Action, input: &PlanInput<'_>) -> Option<String> {
    let id = match action {
        Action::Update { id, difference, .. } if difference.touches > Touches::Placement => id,
        _ => return None,
    };
    let key = input.outline.get(id)?.workload?;
    let component = key.component;
    let all = &input.desired.workloads;
    let workload = all.iter().find(|w| w.component == component)?;
    if key.ordinal.is_some() || !matches!(workload.shape, Shape::Members { .. }) {
        return None;
    }
    let answers = |key: &WorkloadKey| readiness::answer(workload, *key, input.observed).is_ok();
    let (serving, silent): (Vec<_>, Vec<_>) = workload.keys().into_iter().partition(answers);
    let needed = place::needed(component, serving.len() + silent.len(), input.ledger);
    if component == Component::Minio
        && serving.len() + silent.len() > 1
        && !serving.is_empty()
        && matches!(action, Action::Update { difference, .. } if difference.touches == Touches::Process)
    {
        return Some(format!(
            "has members of {component} replaced one by one, and none works with a peer of another kind"
        ));
    }
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
        .filter(|i| key.ordinal.is_none() || i.workload.ordinal == key.ordinal)
        .any(|i| i.workload.component == key.component && i.state.may_run())
}
