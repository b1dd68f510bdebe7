//! Events: the story of a cluster in the order in which it happened. Each is told once: what stands in the old status was
//! told before.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use milvus_crds::MilvusClusterStatus;

use crate::action::{Action, CreateCause, RemoveCause};
use crate::component::{Component, WorkloadKey};
use crate::observed::DifferenceCause;
use crate::outline::ObjectId;
use crate::reasons::Reason;
use crate::status::conditions::{self, with_field};
use crate::status::{Facts, component_name, words};

/// One event about the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNote {
    /// `Warning` instead of `Normal`.
    pub warning: bool,
    /// Reason.
    pub reason: Reason,
    /// One line, without secrets.
    pub message: String,
    /// What was being done (`Create`, `Reconcile`).
    pub action: &'static str,
}

fn event(reason: Reason, action: &'static str, message: impl Into<String>) -> EventNote {
    EventNote {
        warning: reason.is_warning(),
        reason,
        message: message.into(),
        action,
    }
}

pub(super) fn all(facts: &Facts<'_>, status: &MilvusClusterStatus) -> Vec<EventNote> {
    let mut events = Vec::new();
    refusals(facts, &mut events);
    let (before, after) = ready_components(facts, status);
    components(before, &mut events);
    done(facts, &mut events);
    troubles(facts, &mut events);
    components(after, &mut events);
    readiness(facts, status, &mut events);
    waiting(facts, status, &mut events);
    if facts.old.is_none() {
        at_once(&mut events);
    }
    events
}

/// A start that was over before it was told of is one event: a second tells nothing, and is a write all the same.
fn at_once(events: &mut Vec<EventNote>) {
    if !events.iter().any(|event| event.reason == Reason::Ready) {
        return;
    }
    let created = events.iter().position(|e| e.reason == Reason::Created);
    let created = created.map(|at| events.remove(at).message);
    events.retain(|event| event.reason != Reason::ComponentReady);
    let ready = events.iter_mut().find(|e| e.reason == Reason::Ready);
    if let (Some(ready), Some(created)) = (ready, created) {
        ready.message.push_str("; ");
        ready.message.push_str(&created);
    }
}

fn refusals(facts: &Facts<'_>, events: &mut Vec<EventNote>) {
    let told = conditions::old(facts, conditions::ACCEPTED)
        .filter(|c| c.status == "False")
        .map_or("", |c| c.message.as_str());
    for refusal in facts.refusals().iter().take(5) {
        let message = with_field(refusal);
        if !told.contains(&message) {
            events.push(event(refusal.reason, "Validate", message));
        }
    }
}

/// What was done, like with like.
fn done(facts: &Facts<'_>, events: &mut Vec<EventNote>) {
    let mut created = ByKind::new();
    let mut recreated = ByKind::new();
    let mut removed: BTreeMap<&str, ByKind<'_>> = BTreeMap::new();
    let mut deleted = Vec::new();
    for (action, outcome) in facts.input.done {
        match action {
            Action::Create { id, cause } => match cause {
                CreateCause::New => created.entry(id.kind).or_default().push(&id.name),
                CreateCause::Missing => recreated.entry(id.kind).or_default().push(&id.name),
            },
            Action::Remove { id, cause, .. } => {
                let by_kind = removed.entry(why(*cause)).or_default();
                by_kind.entry(id.kind).or_default().push(&id.name);
            }
            Action::Update { id, difference, .. } if outcome.wrote => {
                events.push(updated(id, difference.cause, &difference.fields));
            }
            Action::Stop { id, reason, .. } if outcome.wrote => {
                events.push(event(
                    Reason::Updating,
                    "Update",
                    format!("stopped {id} {reason}"),
                ));
            }
            Action::RemoveVolume {
                node,
                volume,
                bind_base,
            } if !outcome.underway => deleted.push(match bind_base {
                Some(base) => format!("{base}/{volume} on {}", node_name(facts, node)),
                None => format!("{volume} on {}", node_name(facts, node)),
            }),
            Action::RecordLedger(ledger) if !facts.deleting => placed(facts, ledger, events),
            Action::Update { .. }
            | Action::Stop { .. }
            | Action::RecordLedger(_)
            | Action::ForgetLedger
            | Action::PrepareDirectory { .. }
            | Action::RemoveVolume { .. }
            | Action::Mark { .. }
            | Action::DropFinalizer => {}
        }
        if let Some(remark) = &outcome.remark {
            events.push(event(Reason::Updated, "Reconcile", remark.clone()));
        }
    }
    if !created.is_empty() {
        let message = format!("created {}", list(&created));
        events.push(event(Reason::Created, "Create", message));
    }
    if !recreated.is_empty() {
        let message = format!("{} had been removed; made again", list(&recreated));
        events.push(event(Reason::Recreated, "Repair", message));
    }
    for (why, names) in removed {
        let message = format!("removed {}: {why}", list(&names));
        events.push(event(Reason::Removed, "Remove", message));
    }
    if !deleted.is_empty() {
        let message = format!("deleted volumes {}", deleted.join(", "));
        events.push(event(Reason::VolumesDeleted, "Remove", message));
    }
}

fn node_name(facts: &Facts<'_>, id: &str) -> String {
    facts
        .input
        .observed
        .and_then(|o| o.topology.node(id))
        .map_or_else(|| id.to_owned(), |n| n.name.clone())
}

/// Names of objects by their kinds.
type ByKind<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// All of them in one line: an event for each would be a write for each.
fn list(objects: &ByKind<'_>) -> String {
    let kinds: Vec<String> = objects
        .iter()
        .map(|(kind, names)| format!("{} {}", plural(kind, names.len()), names.join(", ")))
        .collect();
    kinds.join("; ")
}

fn plural(kind: &str, count: usize) -> String {
    if count == 1 {
        kind.to_owned()
    } else {
        format!("{kind}s")
    }
}

fn why(cause: RemoveCause) -> &'static str {
    match cause {
        RemoveCause::Unwanted => "not asked for any more",
        RemoveCause::Superseded => "a newer one has taken its place",
        RemoveCause::Deleted => "the resource is being deleted",
        RemoveCause::Finished => "its work is done",
        RemoveCause::Replace => "it cannot be changed in place and is made anew",
    }
}

fn updated(id: &ObjectId, cause: DifferenceCause, fields: &[String]) -> EventNote {
    let fields = fields.join(", ");
    match cause {
        DifferenceCause::EditedByHand => event(
            Reason::Repaired,
            "Repair",
            format!("{id} was edited by hand: {fields}; put back"),
        ),
        DifferenceCause::Reference => event(
            Reason::Updated,
            "Repair",
            format!("{id} referred to something that was made again: {fields}; brought up to date"),
        ),
        DifferenceCause::Stalled => event(
            Reason::Updated,
            "Update",
            format!("the rollout of {id} had stopped half-way; it goes on"),
        ),
        DifferenceCause::Spec => {
            event(Reason::Updated, "Update", format!("updated {id}: {fields}"))
        }
    }
}

/// Members that have a node now and had none in the old status. Roles are not listed there with their nodes: their place is
/// told with the first ledger.
fn placed(facts: &Facts<'_>, ledger: &crate::ledger::Ledger, events: &mut Vec<EventNote>) {
    let told = |name: &str, node: &str| {
        facts.old.is_some_and(|status| {
            status
                .dependencies
                .values()
                .flat_map(|d| &d.members)
                .any(|m| m.name == name && m.node.as_deref() == Some(node))
        })
    };
    let role = |name: &str| WorkloadKey::parse(name).is_some_and(|key| key.component.is_milvus());
    let new: Vec<String> = ledger
        .members
        .iter()
        .filter(|(name, entry)| {
            !entry.node.is_empty()
                && !told(name, &entry.node_name)
                && (ledger.bootstrapped.is_empty() || !role(name))
        })
        .map(|(name, entry)| format!("{name} on {}", entry.node_name))
        .collect();
    if !new.is_empty() {
        let message = format!("members were given their nodes: {}", new.join(", "));
        events.push(event(Reason::Placed, "Place", message));
    }
}

/// What is wrong, told when it is first seen.
fn troubles(facts: &Facts<'_>, events: &mut Vec<EventNote>) {
    let told = conditions::old(facts, conditions::DEGRADED).map_or("", |c| c.message.as_str());
    for notice in &facts.notices {
        let message = with_field(notice);
        if notice.reason == Reason::VolumesRetained || !told.contains(&message) {
            events.push(event(notice.reason, "Reconcile", message));
        }
    }
    for waiting in facts.input.unplaced {
        let message = words::say(waiting);
        if !told.contains(&message) {
            events.push(event(
                Reason::Unschedulable,
                "Place",
                format!("waiting for {message}"),
            ));
        }
    }
    if let Some(failure) = facts.input.failure {
        let told =
            conditions::old(facts, conditions::PROGRESSING).map_or("", |c| c.message.as_str());
        if !told.contains(&failure.message) {
            events.push(event(failure.reason, "Reconcile", failure.message.clone()));
        }
    }
}

/// Components that have become ready, and after how long, in two lists: those that were ready before something was done,
/// because a pass looks before it acts, and those that this was done to.
fn ready_components(facts: &Facts<'_>, status: &MilvusClusterStatus) -> (Vec<String>, Vec<String>) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (component, readiness) in facts.input.plan.into_iter().flat_map(|p| &p.readiness) {
        if !readiness.full || !shown(*component, status) || was_full(facts, *component) {
            continue;
        }
        let memory = facts.input.memory;
        let lasting = memory
            .lacking
            .get(component)
            .map(|since| facts.input.now.duration_since(*since).as_secs());
        // The pass may have been learnt from before it is told of.
        let seconds = lasting.or_else(|| memory.took.get(component).copied());
        let list = if touched(facts, *component) {
            &mut after
        } else {
            &mut before
        };
        list.push(match seconds {
            Some(seconds) => format!("{component} is ready after {seconds} s"),
            None => format!("{component} is ready"),
        });
    }
    (before, after)
}

/// Whether something was done to the processes of a component.
fn touched(facts: &Facts<'_>, component: Component) -> bool {
    let of = |id: &ObjectId| {
        let object = facts.input.observed.and_then(|o| o.objects.get(id));
        object.and_then(|o| o.workload).map(|key| key.component)
    };
    facts.input.done.iter().any(|(action, _)| match action {
        Action::Create { id, .. }
        | Action::Update { id, .. }
        | Action::Remove { id, .. }
        | Action::Stop { id, .. } => of(id) == Some(component),
        Action::PrepareDirectory { .. }
        | Action::RemoveVolume { .. }
        | Action::RecordLedger(_)
        | Action::ForgetLedger
        | Action::Mark { .. }
        | Action::DropFinalizer => false,
    })
}

/// One event for all of them: one for each would be a write for each.
fn components(ready: Vec<String>, events: &mut Vec<EventNote>) {
    if !ready.is_empty() {
        let message = ready.join("; ");
        events.push(event(Reason::ComponentReady, "Reconcile", message));
    }
}

fn shown(component: Component, status: &MilvusClusterStatus) -> bool {
    let name = component_name(component);
    status.components.contains_key(name) || status.dependencies.contains_key(name)
}

fn was_full(facts: &Facts<'_>, component: Component) -> bool {
    let name = component_name(component);
    let Some(old) = facts.old else {
        return false;
    };
    if let Some(role) = old.components.get(name) {
        return role.ready >= role.replicas;
    }
    old.dependencies.get(name).is_some_and(|d| {
        d.external
            || d.ready
                .as_deref()
                .and_then(|r| r.split_once('/'))
                .is_some_and(|(ready, wanted)| ready == wanted)
    })
}

fn readiness(facts: &Facts<'_>, status: &MilvusClusterStatus, events: &mut Vec<EventNote>) {
    let state = |c: Option<&Condition>| c.map(|c| c.status.clone()).unwrap_or_default();
    let before = state(conditions::old(facts, conditions::READY));
    let now = status
        .conditions
        .iter()
        .find(|c| c.type_ == conditions::READY);
    match (before.as_str(), state(now).as_str()) {
        (was, "True") if was != "True" => {
            let at = status.endpoint.as_deref().unwrap_or("its endpoint");
            let created = facts.input.resource.metadata.creation_timestamp.as_ref();
            // Where clients' way is not gone, it is not said to have been.
            let asked = facts.input.desired.is_none_or(|d| d.endpoint.asked);
            let is = if asked { "answers" } else { "is ready" };
            let message = match created.filter(|_| !facts.was_ready) {
                Some(created) => format!(
                    "the cluster {is} at {at}, {} s after it was asked for",
                    facts.input.now.duration_since(created.0).as_secs()
                ),
                None => format!("the cluster {is} at {at}"),
            };
            events.push(event(Reason::Ready, "Reconcile", message));
        }
        ("True", "False") if !facts.deleting => {
            let message = now.map(|c| c.message.clone()).unwrap_or_default();
            events.push(event(Reason::Unready, "Reconcile", message));
        }
        _ => {}
    }
}

/// The first wait of a row of waits is told; the status follows the rest.
fn waiting(facts: &Facts<'_>, status: &MilvusClusterStatus, events: &mut Vec<EventNote>) {
    let was = facts.old.is_some_and(|o| o.waiting_on.is_some());
    if let Some(text) = status
        .waiting_on
        .as_ref()
        .filter(|_| !was && !facts.deleting)
    {
        events.push(event(
            Reason::WaitingForDependencies,
            "Reconcile",
            format!("waiting for {text}"),
        ));
    }
}
