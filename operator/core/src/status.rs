//! What people are told: status, conditions and events, from what was seen, planned and done in one pass. Nothing in it moves
//! by itself, so at rest the status of a pass is byte for byte the one before, and nothing is written. Pure.

mod conditions;
mod events;
mod falling;
mod kept;
mod words;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use milvus_crds::{
    ComponentStatus, DependencyStatus, MemberStatus, MilvusCluster, MilvusClusterStatus, Phase,
    RolloutStatus,
};

pub use events::EventNote;
pub use words::{component_name, say};

use crate::action::{Action, Notice, Outcome, Plan, Waiting, WaitingOn};
use crate::component::{Component, WorkloadKey};
use crate::desired::{Desired, Shape, Workload};
use crate::ledger::Ledger;
use crate::observed::Observed;
use crate::outline::{ObjectClass, ObjectId};
use crate::plan::{DeletionPolicies, Memory, readiness, wait_key};
use crate::reasons::Reason;

/// What one pass tells from.
#[derive(Clone, Copy, Debug)]
pub struct StatusInput<'a> {
    /// The resource with its old status.
    pub resource: &'a MilvusCluster,
    /// Why the resource cannot be honoured; empty when it can, `None` where nobody could judge its present spec.
    pub refusals: Option<&'a [Notice]>,
    /// What the cluster should be; the last good one while the resource is refused, if it is known.
    pub desired: Option<&'a Desired>,
    /// Where clients reach it (`host:port`), best first, as far as the platform knows.
    pub addresses: &'a [String],
    /// What was seen; `None` when the platform did not answer.
    pub observed: Option<&'a Observed>,
    /// The ledger as it is stored.
    pub ledger: Option<&'a Ledger>,
    /// What was decided; `None` when it did not come to that.
    pub plan: Option<&'a Plan>,
    /// What placing members waits for, where it did not come to a plan.
    pub unplaced: &'a [Waiting],
    /// What was done.
    pub done: &'a [(Action, Outcome)],
    /// What went wrong, if anything.
    pub failure: Option<&'a Failure>,
    /// What earlier passes saw.
    pub memory: &'a Memory,
    /// The time of this pass.
    pub now: Timestamp,
}

/// What went wrong in a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// [`Reason::PlatformUnreachable`], [`Reason::ActionFailed`] or what else fits.
    pub reason: Reason,
    /// One line, without secrets.
    pub message: String,
}

/// Whether the status of a resource says that its present spec was accepted.
pub fn accepts(resource: &MilvusCluster) -> bool {
    let conditions = resource.status.iter().flat_map(|s| &s.conditions);
    let mut accepted = conditions.filter(|c| c.type_ == conditions::ACCEPTED);
    let generation = resource.metadata.generation;
    accepted.any(|c| c.status == "True" && c.observed_generation == generation)
}

/// Everything that is derived once and used by conditions and events alike.
struct Facts<'a> {
    input: StatusInput<'a>,
    old: Option<&'a MilvusClusterStatus>,
    /// The generation that the status speaks of.
    spoken_of: Option<i64>,
    /// Everything that was planned for workloads was done.
    carried_out: bool,
    /// All that the present generation asks for was planned, done, and is so.
    settled: bool,
    deleting: bool,
    waiting: Vec<&'a Waiting>,
    notices: Vec<&'a Notice>,
    /// Everything that keeps the cluster from being ready; empty when it is.
    lacking: Vec<String>,
    /// Whether readiness could be judged at all.
    judged: bool,
    /// It has been ready before.
    was_ready: bool,
}

impl Facts<'_> {
    /// Why the resource cannot be honoured, as far as that is known.
    fn refusals(&self) -> &[Notice] {
        self.input.refusals.unwrap_or_default()
    }
}

/// The status of a resource after a pass, and the events of that pass.
pub fn status(input: StatusInput<'_>) -> (MilvusClusterStatus, Vec<EventNote>) {
    let kept = kept::kept(&input);
    let facts = facts(input, kept.as_ref());
    let old = facts.old;
    let mut status = MilvusClusterStatus {
        phase: None,
        observed_generation: facts.spoken_of,
        mode: Some(input.resource.spec.mode.unwrap_or_default()),
        ..old.cloned().unwrap_or_default()
    };
    status.conditions = conditions::all(&facts);
    status.phase = Some(phase(&facts));
    if let (Some(desired), Some(observed)) = (input.desired, input.observed) {
        if facts.refusals().is_empty() {
            status.version = Some(desired.version.clone());
        }
        status.selector = desired.scaled_pods.clone();
        if let Some(plan) = input.plan {
            describe(&mut status, desired, observed, plan, input.ledger);
            endpoints(&mut status, observed, &facts);
        }
    }
    if let (true, Some(observed)) = (facts.deleting, input.observed) {
        falling::falling(&mut status, observed);
    }
    status.retained_volumes = retained(&facts);
    waits(&mut status, &facts);
    status.rollout = rollout(&facts, old.and_then(|o| o.rollout.as_ref()));
    let events = events::all(&facts, &status);
    (status, events)
}

fn facts<'a>(input: StatusInput<'a>, kept: Option<&'a Notice>) -> Facts<'a> {
    let old = input.resource.status.as_ref();
    let planned = || input.plan.into_iter().flat_map(|p| &p.waiting);
    let unplaced = input.unplaced.iter();
    let unplaced = unplaced.filter(|waiting| planned().all(|w| w != *waiting));
    let mut waiting: Vec<&Waiting> = planned().chain(unplaced).collect();
    waiting.sort_by_key(|w| words::rank(&w.on));
    let planned = input.plan.into_iter().flat_map(|p| &p.notices);
    let notices: Vec<&Notice> = planned.chain(kept).collect();
    let (lacking, judged) = lacking(&input);
    let deleting = input.resource.metadata.deletion_timestamp.is_some();
    let generation = Some(input.resource.metadata.generation.unwrap_or(0));
    let spoken_of = if deleting || acted_on(&input) {
        generation
    } else {
        // A spec that was not judged, or whose plan was not carried out, is not observed.
        old.and_then(|o| o.observed_generation)
    };
    let records = |a: &Action| matches!(a, Action::RecordLedger(_));
    let carried_out = carried_out(&input);
    let settled = input.refusals.is_some_and(<[Notice]>::is_empty)
        && carried_out
        && input
            .plan
            .is_some_and(|p| p.changing.is_empty() && !p.actions.iter().any(records));
    Facts {
        input,
        old,
        spoken_of,
        carried_out,
        settled,
        deleting,
        waiting,
        notices,
        lacking,
        judged,
        was_ready: old.is_some_and(|o| o.endpoint.is_some()),
    }
}

/// Whether every action of the plan was done, less what goes beside workloads: that may be refused for as long as the cluster
/// lives. A workload that is still to be made is among those that change.
fn carried_out(input: &StatusInput<'_>) -> bool {
    let beside = |id: &ObjectId| {
        let object = input.observed.and_then(|o| o.objects.get(id));
        object.is_some_and(|o| o.class == ObjectClass::Ancillary)
    };
    let done = |action: &Action| {
        input.done.iter().any(|(done, _)| done == action)
            || match action {
                Action::Create { .. } | Action::Mark { .. } => true,
                Action::Update { id, .. } | Action::Stop { id, .. } | Action::Remove { id, .. } => {
                    beside(id)
                }
                Action::RecordLedger(_)
                | Action::ForgetLedger
                | Action::PrepareDirectory { .. }
                | Action::RemoveVolume { .. }
                | Action::DropFinalizer => false,
            }
    };
    input.plan.is_some_and(|plan| plan.actions.iter().all(done))
}

/// Whether the present generation was acted on: refused, waiting for a place to begin in, or planned, with the plan carried out or
/// refused by the platform. What could not be done for now is not yet.
fn acted_on(input: &StatusInput<'_>) -> bool {
    let Some(refusals) = input.refusals else {
        return false;
    };
    let answered = input
        .failure
        .is_some_and(|failure| failure.reason == Reason::ActionFailed);
    match input.plan {
        _ if !refusals.is_empty() => true,
        Some(_) => carried_out(input) || answered,
        None => !input.unplaced.is_empty(),
    }
}

/// What keeps the cluster from being ready, from the wire checks of this pass alone.
fn lacking(input: &StatusInput<'_>) -> (Vec<String>, bool) {
    let (Some(desired), Some(observed), Some(plan)) = (input.desired, input.observed, input.plan)
    else {
        return (Vec::new(), false);
    };
    if plan.readiness.is_empty() {
        return (Vec::new(), false);
    }
    let mut lacking: Vec<String> = plan
        .readiness
        .iter()
        .filter(|(component, r)| {
            // A role is ready when all of it that is owed answers; a dependency when its quorum does.
            let enough = if component.is_milvus() {
                r.enough
            } else {
                r.ready
            };
            !enough
        })
        .map(|(component, r)| format!("{component}: {}", r.detail))
        .collect();
    if lacking.is_empty() {
        lacking.extend(readiness::sessions_lacking(desired, observed));
        lacking.extend(readiness::endpoint_lacking(desired, observed));
        if !desired.endpoint.asked && input.addresses.is_empty() {
            lacking.push("client endpoint: there is no address yet".to_owned());
        }
    }
    (lacking, true)
}

fn phase(facts: &Facts<'_>) -> Phase {
    if facts.deleting {
        return Phase::Deleting;
    }
    if !facts.refusals().is_empty() {
        return Phase::Invalid;
    }
    let unseen = facts.input.observed.is_none();
    if unseen && (facts.input.unplaced.is_empty() || facts.input.failure.is_some()) {
        return Phase::Unknown;
    }
    let changing = facts.input.plan.is_some_and(|p| !p.changing.is_empty());
    let ready = facts.judged && facts.lacking.is_empty();
    if !facts.was_ready && !ready {
        return if facts.input.plan.is_none() && facts.input.ledger.is_none() {
            Phase::Pending
        } else {
            Phase::Creating
        };
    }
    if ready && conditions::troubles(facts).is_empty() && conditions::refused(facts).is_none() {
        if changing {
            Phase::Updating
        } else {
            Phase::Ready
        }
    } else if changing && ready && conditions::refused(facts).is_none() {
        Phase::Updating
    } else {
        Phase::Degraded
    }
}

fn describe(
    status: &mut MilvusClusterStatus,
    desired: &Desired,
    observed: &Observed,
    plan: &Plan,
    ledger: Option<&Ledger>,
) {
    status.components.clear();
    status.dependencies.clear();
    status.images.clear();
    let (mut ready, mut wanted) = (0, 0);
    for workload in &desired.workloads {
        let component = workload.component;
        let Some(found) = plan.readiness.get(&component) else {
            continue;
        };
        let name = component_name(component).to_owned();
        status
            .images
            .insert(name.clone(), workload.image.reference.clone());
        if component == Component::Gateway || workload.shape == Shape::Job {
            continue;
        }
        ready += found.answering;
        wanted += found.wanted;
        let waiting_on = waiting_of(component, plan);
        if component.is_milvus() {
            let entry = ComponentStatus {
                replicas: number(found.wanted),
                ready: number(found.answering),
                updated: number(found.current),
                version: Some(desired.version.clone()),
                waiting_on,
            };
            status.components.insert(name, entry);
        } else {
            let entry = DependencyStatus {
                external: false,
                ready: Some(format!("{}/{}", found.answering, found.wanted)),
                members: members(workload, observed, ledger),
                waiting_on,
            };
            status.dependencies.insert(name, entry);
        }
    }
    for component in desired.external.keys() {
        let name = match component {
            Component::Broker => "pulsar".to_owned(),
            other => component_name(*other).to_owned(),
        };
        let entry = DependencyStatus {
            external: true,
            waiting_on: waiting_of(*component, plan),
            ..DependencyStatus::default()
        };
        status.dependencies.insert(name, entry);
    }
    status.ready = Some(format!("{ready}/{wanted}"));
}

fn number(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn waiting_of(component: Component, plan: &Plan) -> Option<String> {
    let words: Vec<String> = plan
        .waiting
        .iter()
        .filter(|w| w.component == Some(component))
        .map(say)
        .collect();
    (!words.is_empty()).then(|| words::shorten(&words))
}

fn members(workload: &Workload, observed: &Observed, ledger: Option<&Ledger>) -> Vec<MemberStatus> {
    let own = |key: &WorkloadKey| key.ordinal.is_some();
    workload
        .keys()
        .into_iter()
        .filter(own)
        .map(|key| {
            let entry = ledger.and_then(|l| l.member(key));
            let answer = readiness::answer(workload, key, observed);
            MemberStatus {
                name: key.to_string(),
                node: entry.map(|e| e.node_name.clone()).filter(|n| !n.is_empty()),
                ready: answer.is_ok(),
                state: answer.err().map(|(_, why)| why),
                volume: entry
                    .map(|e| e.places().join(","))
                    .filter(|v| !v.is_empty()),
            }
        })
        .collect()
}

/// Addresses are shown once they have answered and kept while something is wrong: people look for them then.
fn endpoints(status: &mut MilvusClusterStatus, observed: &Observed, facts: &Facts<'_>) {
    let asked = facts.input.desired.is_none_or(|d| d.endpoint.asked);
    let answering = if asked {
        readiness::answering_endpoints(observed)
    } else {
        facts.input.addresses.to_vec()
    };
    let ready = facts.judged && facts.lacking.is_empty();
    if answering.is_empty() || (!facts.was_ready && !ready) {
        return;
    }
    let first = facts
        .old
        .and_then(|o| o.endpoint.clone())
        .filter(|e| answering.contains(e))
        .or_else(|| answering.first().cloned());
    status.endpoint = first.clone();
    status.endpoints = first
        .iter()
        .cloned()
        .chain(answering.into_iter().filter(|e| Some(e) != first.as_ref()))
        .collect();
}

fn retained(facts: &Facts<'_>) -> Vec<String> {
    let Some(ledger) = facts.input.ledger else {
        return Vec::new();
    };
    if ledger.owner_uid.is_empty() {
        return ledger.retained.iter().map(|r| r.volume.clone()).collect();
    }
    let policies = DeletionPolicies::from_spec(&facts.input.resource.spec);
    ledger
        .members
        .iter()
        .filter(|(name, _)| {
            WorkloadKey::parse(name).is_some_and(|key| {
                policies.of(key.component) == milvus_crds::DeletionPolicy::Retain
            })
        })
        .flat_map(|(_, entry)| entry.places())
        .collect()
}

/// The waits that others follow from, in words, and since when.
fn waits(status: &mut MilvusClusterStatus, facts: &Facts<'_>) {
    let roots = roots(&facts.waiting);
    if roots.is_empty() {
        status.waiting_on = None;
        status.waiting_since = None;
        return;
    }
    let words: Vec<String> = roots.iter().map(|w| say(w)).collect();
    let text = words::shorten(&words);
    let old = facts
        .old
        .filter(|o| o.waiting_on.as_ref() == Some(&text))
        .and_then(|o| o.waiting_since.clone());
    let remembered = || {
        roots
            .iter()
            .filter_map(|w| facts.input.memory.waits.get(&wait_key(w)))
            .min()
            .copied()
    };
    status.waiting_since =
        Some(old.unwrap_or_else(|| seconds(remembered().unwrap_or(facts.input.now))));
    status.waiting_on = Some(text);
}

/// Waits for other components follow from theirs, so they are left out while there are others.
fn roots<'a>(waiting: &[&'a Waiting]) -> Vec<&'a Waiting> {
    let roots: Vec<&Waiting> = waiting
        .iter()
        .copied()
        .filter(|w| !matches!(w.on, WaitingOn::Dependencies(_)))
        .collect();
    if roots.is_empty() {
        waiting.to_vec()
    } else {
        roots
    }
}

fn rollout(facts: &Facts<'_>, old: Option<&RolloutStatus>) -> Option<RolloutStatus> {
    let plan = facts.input.plan?;
    let first = plan.changing.first()?;
    if !facts.was_ready {
        return None; // a first start is no change
    }
    let step = facts.waiting.iter().find_map(|w| match &w.on {
        WaitingOn::MemberStop { workload } => Some((*workload, "StopMember")),
        WaitingOn::WholeRestart { component, .. } => {
            Some((WorkloadKey::shared(*component), "RestartWhole"))
        }
        WaitingOn::Turn { after, .. } => Some((*after, "WaitForHealth")),
        _ => None,
    });
    let (key, step) = step.unwrap_or((*first, "Restart"));
    let component = Some(key.to_string());
    let since = old
        .filter(|o| o.step == step && o.component == component)
        .and_then(|o| o.since.clone())
        .unwrap_or_else(|| seconds(facts.input.now));
    Some(RolloutStatus {
        step: step.to_owned(),
        component,
        since: Some(since),
    })
}

/// Times in a status have whole seconds.
fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

#[cfg(test)]
mod tests;
