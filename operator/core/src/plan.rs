//! What is safe to do now, and what is waited for. Every decision about native objects is made here, from what was seen in
//! this pass; the executor carries it out without choices. Pure: the time comes in as an argument.
//!
//! One pass goes through the steps in this order, each a file in `plan/`: the ledger alone if it must change, objects of
//! others, prerequisites, workloads whose needs answer, differences, what goes beside workloads, leftovers, and finally
//! words for whatever is not well.

mod change;
mod cleanup;
mod deletion;
mod emptied;
mod ledger;
mod memory;
mod ownership;
mod prerequisites;
mod quorum;
pub mod readiness;
mod start;
pub(crate) mod stores;
mod systems;
mod trouble;
mod turn;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

pub use deletion::{DeletionInput, DeletionPolicies, plan_deletion};
pub use memory::{Memory, Resumed, wait_key};
pub use readiness::Readiness;
pub use trouble::cut_off;

use crate::abandoned::{self, ABANDON_NODE};
use crate::action::{Action, Notice, Plan, Waiting, WaitingOn};
use crate::capabilities::{Capabilities, Rhythm};
use crate::component::{Component, WorkloadKey};
use crate::desired::{Desired, Workload};
use crate::effects;
use crate::ledger::Ledger;
use crate::observed::{
    Difference, Instance, InstanceState, NodeState, Observed, ObservedObject, Owner,
};
use crate::outline::{ObjectClass, ObjectId, ObjectOutline, Outline};
use crate::place;
use crate::reasons::Reason;

/// What one pass decides from.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// What the cluster should be.
    pub desired: &'a Desired,
    /// Its native objects as rendered.
    pub outline: &'a Outline,
    /// What was seen in this pass, with the answers of the wire checks.
    pub observed: &'a Observed,
    /// The ledger as it is stored.
    pub ledger: &'a Ledger,
    /// The ledger as [`crate::place::place`] wants it.
    pub wanted_ledger: &'a Ledger,
    /// What the platform can honour.
    pub capabilities: &'a Capabilities,
    /// The time of this pass.
    pub now: Timestamp,
    /// What earlier passes saw.
    pub memory: &'a Memory,
    /// Members and components whose loss of data the resource accepts ([`crate::rebuild::ACCEPT_DATA_LOSS`]).
    pub accepted: &'a BTreeSet<String>,
}

/// Decides one pass for a resource that is to exist.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let readiness = readiness::judge(input.desired, input.observed, input.ledger);
    let view = View { input, readiness };
    let mut draft = Draft::default();
    ownership::foreign(&view, &mut draft);
    draft.notices.extend(place::risks(input.wanted_ledger));
    systems::judge(&view, &mut draft);
    if let Some(record) = ledger::record(&view) {
        draft.actions.push(record);
        start::changing(&view, &mut draft);
        trouble::explain(&view, &mut draft);
        return draft.finish(view.readiness, Duration::ZERO);
    }
    ownership::predecessors(&view, &mut draft);
    prerequisites::create(&view, &mut draft);
    start::create(&view, &mut draft);
    change::apply(&view, &mut draft);
    prerequisites::beside(&view, &mut draft);
    cleanup::remove(&view, &mut draft);
    stores::mark(&view, &mut draft);
    trouble::explain(&view, &mut draft);
    let next = next_check(&draft, input.capabilities.rhythm);
    draft.finish(view.readiness, next)
}

fn next_check(draft: &Draft, rhythm: Rhythm) -> Duration {
    if !draft.actions.is_empty() {
        return rhythm.soon;
    }
    // Nobody tells when somebody else's object is out of the way.
    let foreign = draft
        .notices
        .iter()
        .any(|notice| notice.reason == Reason::ForeignObject);
    let waits = draft.waiting.iter().map(|w| match &w.on {
        WaitingOn::Dependencies(_)
        | WaitingOn::Instances { .. }
        | WaitingOn::Answer { .. }
        | WaitingOn::MemberStop { .. }
        | WaitingOn::Turn { .. }
        | WaitingOn::WholeRestart { .. }
        | WaitingOn::Stopping { .. }
        | WaitingOn::Volumes { .. } => rhythm.soon,
        WaitingOn::Image { .. } | WaitingOn::Placement { .. } | WaitingOn::Node { .. } => {
            rhythm.patient
        }
    });
    waits
        .chain(foreign.then_some(rhythm.patient))
        .min()
        .unwrap_or(rhythm.rest)
}

/// The input of a pass with what every step needs worked out once.
pub(crate) struct View<'a> {
    pub(crate) input: &'a PlanInput<'a>,
    pub(crate) readiness: BTreeMap<Component, Readiness>,
}

impl<'a> View<'a> {
    /// What is desired of a component.
    pub(crate) fn workload(&self, component: Component) -> Option<&'a Workload> {
        self.input
            .desired
            .workloads
            .iter()
            .find(|w| w.component == component)
    }

    /// An object that is there and this resource's own.
    pub(crate) fn ours(&self, id: &ObjectId) -> Option<&'a ObservedObject> {
        self.input
            .observed
            .objects
            .get(id)
            .filter(|o| o.owner == Owner::Ours)
    }

    /// Native workloads in start order: dependencies before those who need them, ordinals upwards.
    pub(crate) fn workload_objects(&self) -> Vec<WorkloadObject<'a>> {
        let order = |component: Component| {
            self.input
                .desired
                .workloads
                .iter()
                .position(|w| w.component == component)
        };
        let mut objects: Vec<_> = self
            .input
            .outline
            .iter()
            .filter(|(_, o)| o.class == ObjectClass::Workload)
            .filter_map(|(id, outline)| {
                let key = outline.workload?;
                let workload = self.workload(key.component)?;
                Some(WorkloadObject {
                    id,
                    outline,
                    key,
                    workload,
                })
            })
            .collect();
        objects.sort_by_key(|o| (order(o.key.component), o.key));
        objects
    }

    /// Whether a component answers well enough for those who need it. What is neither ours nor external needs no wait.
    pub(crate) fn ready(&self, component: Component) -> bool {
        self.input.ledger.is_bootstrapped(component) && component == Component::PulsarInit
            || self.readiness.get(&component).is_none_or(|r| r.ready)
    }

    /// What a workload needs and does not have yet.
    pub(crate) fn lacking(&self, workload: &Workload) -> Vec<(Component, String)> {
        workload
            .requires
            .iter()
            .filter(|c| !self.ready(**c))
            .map(|c| {
                let detail = self.readiness.get(c).map(|r| r.detail.clone());
                (*c, detail.unwrap_or_default())
            })
            .collect()
    }

    /// Whether a process of this workload may still be alive.
    pub(crate) fn may_run(&self, key: WorkloadKey) -> bool {
        readiness::instances(self.input.observed, key).any(|i| i.state.may_run())
    }

    /// The node of a member when it does not answer. One of which the platform does not know yet whether it does is given the
    /// time to register again.
    pub(crate) fn node_down(&self, key: WorkloadKey) -> Option<String> {
        let entry = self.input.ledger.member(key)?;
        if entry.node.is_empty() {
            return None;
        }
        let Some(node) = self.input.observed.topology.node(&entry.node) else {
            return Some(entry.node_name.clone());
        };
        let down = match node.state {
            NodeState::Up => false,
            NodeState::Unknown => self.input.memory.unknown_for_long(&node.id, self.input.now),
            NodeState::Down => true,
        };
        down.then(|| node.name.clone())
    }

    /// What a member waits for while an earlier process of it may run: the process, or its node where that cannot tell of it.
    pub(crate) fn stopping(&self, key: WorkloadKey) -> WaitingOn {
        let input = self.input;
        let removed = readiness::instances(input.observed, key)
            .filter(|i| i.state == InstanceState::Lost)
            .filter_map(|i| i.node.as_ref())
            .find(|node| input.observed.topology.node(node).is_none());
        if let Some(id) = removed {
            let node = abandoned::name(id, Some(input.ledger)).unwrap_or(id);
            return WaitingOn::Node {
                node: node.to_owned(),
                what: format!(
                    "{key} may still run there, and the platform does not know the node any more: join it again, or, once the \
                     machine is off for good, give it up with the annotation {ABANDON_NODE}={node}"
                ),
            };
        }
        match self.node_down(key) {
            Some(node) => WaitingOn::Node {
                node,
                what: format!("{key} may still run there"),
            },
            None => WaitingOn::MemberStop { workload: key },
        }
    }

    /// The node of a member when the admin's setting keeps work away from it, and that setting.
    pub(crate) fn node_withheld(&self, key: WorkloadKey) -> Option<(String, &'static str)> {
        let entry = self.input.ledger.member(key)?;
        let node = self.input.observed.topology.node(&entry.node)?;
        Some((node.name.clone(), node.withheld()?))
    }

    /// Processes that the platform ends when an object is brought to its rendering.
    pub(crate) fn ended(
        &self,
        object: &WorkloadObject<'_>,
        difference: &Difference,
    ) -> Vec<&'a Instance> {
        effects::ended(
            self.input.observed,
            self.input.ledger,
            object.workload,
            object.key,
            difference.touches,
        )
    }

    /// Whether putting `key` into a new process may let two processes share its data.
    pub(crate) fn overlaps(&self, object: &WorkloadObject<'_>) -> bool {
        object.key.ordinal.is_some() && self.input.capabilities.member_updates_overlap
    }
}

/// A rendered workload with what is desired of it.
#[derive(Clone, Copy)]
pub(crate) struct WorkloadObject<'a> {
    pub(crate) id: &'a ObjectId,
    pub(crate) outline: &'a ObjectOutline,
    pub(crate) key: WorkloadKey,
    pub(crate) workload: &'a Workload,
}

/// A plan in the making.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) actions: Vec<Action>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) changing: BTreeSet<WorkloadKey>,
}

impl Draft {
    pub(crate) fn wait(&mut self, component: Component, on: WaitingOn) {
        let waiting = Waiting {
            component: Some(component),
            on,
        };
        if !self.waiting.contains(&waiting) {
            self.waiting.push(waiting);
        }
    }

    pub(crate) fn note(&mut self, notice: Notice) {
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    /// Whether an object is being made or changed by this plan.
    pub(crate) fn creates(&self, wanted: &ObjectId) -> bool {
        self.actions
            .iter()
            .any(|a| matches!(a, Action::Create { id, .. } if id == wanted))
    }

    /// Whether nothing is done but to what goes beside workloads. That may be refused for ever, and holds nothing else up.
    pub(crate) fn leaves_workloads(&self, outline: &Outline) -> bool {
        self.actions.iter().all(|a| a.is_ancillary(outline))
    }

    fn finish(self, readiness: BTreeMap<Component, Readiness>, next_check: Duration) -> Plan {
        Plan {
            actions: self.actions,
            waiting: self.waiting,
            notices: self.notices,
            next_check,
            readiness,
            changing: self.changing.into_iter().collect(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
