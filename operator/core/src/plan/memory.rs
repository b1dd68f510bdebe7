//! What earlier passes of this process saw. Nothing here decides what is safe: losing it all may only delay (a wait counts
//! from anew), make an idempotent step again (a directory, the removal of a volume), or tell a story less precisely.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::action::Plan;
use crate::action::{Action, Waiting, WaitingOn};
use crate::component::Component;
use crate::ledger::MemberDirectory;
use crate::observed::{Observed, Owner, Touches};
use crate::outline::ObjectId;
use crate::plan::Readiness;

/// Kept per cluster by the controller, from pass to pass.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Objects of ours that have been there: one of them missing was removed by somebody.
    pub seen: BTreeSet<ObjectId>,
    /// Directories that have been made, by node.
    pub prepared: BTreeSet<(String, MemberDirectory)>,
    /// Volumes and directories that have been deleted, by node.
    pub removed: BTreeSet<(String, String)>,
    /// Since when each wait lasts, by [`wait_key`].
    pub waits: BTreeMap<String, Timestamp>,
    /// Since when components are not ready for those who need them.
    pub unready: BTreeMap<Component, Timestamp>,
    /// Since when components have instances that do not answer.
    pub lacking: BTreeMap<Component, Timestamp>,
    /// Components that were changed here and have not answered in full since: the next change waits for them without a limit.
    /// A new life of the operator waits for them as for everything else that is unwell.
    pub touched: BTreeSet<Component>,
    /// How many seconds components took until all of their instances answered, the last time that some did not.
    pub took: BTreeMap<Component, i64>,
}

impl Memory {
    /// Takes in one finished pass: what it saw, what it planned, and the actions that succeeded.
    pub fn learn(&mut self, now: Timestamp, observed: &Observed, plan: &Plan, done: &[&Action]) {
        self.seen.extend(
            observed
                .objects
                .iter()
                .filter(|(_, o)| o.owner == Owner::Ours)
                .map(|(id, _)| id.clone()),
        );
        for action in done {
            match action {
                Action::Create { id, .. } => {
                    self.seen.insert(id.clone());
                }
                Action::Remove { id, .. } => {
                    self.seen.remove(id);
                }
                Action::PrepareDirectory {
                    node,
                    base,
                    directory,
                } => {
                    let directory = MemberDirectory {
                        base: base.clone(),
                        directory: directory.clone(),
                    };
                    self.prepared.insert((node.clone(), directory));
                }
                Action::RemoveVolume {
                    node,
                    volume,
                    bind_base,
                } => {
                    self.removed
                        .insert((node.clone(), place(volume, bind_base.as_deref())));
                }
                Action::RecordLedger(_)
                | Action::ForgetLedger
                | Action::Update { .. }
                | Action::Stop { .. }
                | Action::DropFinalizer => {}
            }
        }
        self.touched.retain(|component| {
            let whole = plan.readiness.get(component).is_none_or(|r| r.enough);
            !whole || plan.changing.iter().any(|key| key.component == *component)
        });
        let changed = done.iter().filter_map(|action| match action {
            Action::Update { id, difference } if difference.touches != Touches::Nothing => Some(id),
            Action::Stop { id, .. } => Some(id),
            _ => None,
        });
        let changed = changed.filter_map(|id| observed.objects.get(id)?.workload);
        self.touched.extend(changed.map(|key| key.component));
        let waits: BTreeSet<String> = plan.waiting.iter().map(wait_key).collect();
        self.waits.retain(|key, _| waits.contains(key));
        for key in waits {
            self.waits.entry(key).or_insert(now);
        }
        for (component, readiness) in &plan.readiness {
            if let Some(since) = self.lacking.get(component).filter(|_| readiness.full) {
                let took = now.duration_since(*since).as_secs();
                self.took.insert(*component, took);
            }
        }
        let unready = |r: &Readiness| !r.ready;
        let lacking = |r: &Readiness| !r.full;
        keep_since(&mut self.unready, plan, unready, now);
        keep_since(&mut self.lacking, plan, lacking, now);
    }
}

fn keep_since(
    since: &mut BTreeMap<Component, Timestamp>,
    plan: &Plan,
    is: impl Fn(&Readiness) -> bool,
    now: Timestamp,
) {
    let those: BTreeSet<Component> = plan
        .readiness
        .iter()
        .filter(|(_, r)| is(r))
        .map(|(c, _)| *c)
        .collect();
    since.retain(|c, _| those.contains(c));
    for component in those {
        since.entry(component).or_insert(now);
    }
}

/// The place of data as [`Memory::removed`] names it.
pub fn place(volume: &str, bind_base: Option<&str>) -> String {
    match bind_base {
        Some(base) => format!("{}/{volume}", base.trim_end_matches('/')),
        None => volume.to_owned(),
    }
}

/// Tells one wait from another, without the details that change while it lasts.
pub fn wait_key(waiting: &Waiting) -> String {
    let who = waiting.component.map_or("", Component::name);
    match &waiting.on {
        WaitingOn::Dependencies(_) => format!("{who}/dependencies"),
        WaitingOn::Instances { workload, .. } => format!("{who}/instances/{workload}"),
        WaitingOn::Answer { component, .. } => format!("{who}/answer/{component}"),
        WaitingOn::Image { reference, .. } => format!("{who}/image/{reference}"),
        WaitingOn::Placement { workload, .. } => format!("{who}/placement/{workload}"),
        WaitingOn::MemberStop { workload } => format!("{who}/stop/{workload}"),
        WaitingOn::Turn { workload, .. } => format!("{who}/turn/{workload}"),
        WaitingOn::WholeRestart { component, .. } => format!("{who}/restart/{component}"),
        WaitingOn::Stopping { .. } => format!("{who}/stopping"),
        WaitingOn::Node { node, .. } => format!("{who}/node/{node}"),
        WaitingOn::Volumes { .. } => format!("{who}/volumes"),
    }
}
