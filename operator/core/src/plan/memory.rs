//! What earlier passes of this process saw. Nothing here decides what is safe: losing it all may only delay (a wait counts
//! from anew), make an idempotent step again (a directory, the removal of a volume), or tell a story less precisely.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::action::Plan;
use crate::action::{Action, Waiting, WaitingOn};
use crate::component::Component;
use crate::ledger::MemberDirectory;
use crate::observed::{DifferenceCause, NodeState, Observed, Owner, Touches};
use crate::outline::ObjectId;
use crate::plan::readiness::{Readiness, instances};

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
    /// Rollouts that had stopped and were asked to go on.
    pub resumed: BTreeMap<ObjectId, Resumed>,
    /// Since when the platform does not know whether nodes answer, by id.
    pub unknown: BTreeMap<String, Timestamp>,
}

/// How often a rollout was asked to go on, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Times.
    pub times: u32,
    /// The last one.
    pub last: Timestamp,
}

/// A new leader of a Swarm hears from a node that is up within this time.
const REGISTERS_WITHIN: SignedDuration = SignedDuration::from_secs(40);
/// Pause after the first time that a rollout was asked to go on; doubled each time.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(300);

impl Memory {
    /// Whether the platform has not known for longer than nodes take to register again whether this one answers.
    pub fn unknown_for_long(&self, node: &str, now: Timestamp) -> bool {
        let since = self.unknown.get(node);
        since.is_some_and(|since| now.duration_since(*since) >= REGISTERS_WITHIN)
    }

    /// Whether a rollout that has stopped was asked to go on so shortly before that it is not asked again.
    pub fn rests(&self, rollout: &ObjectId, now: Timestamp) -> bool {
        let Some(resumed) = self.resumed.get(rollout) else {
            return false;
        };
        let doubled = 1i32 << resumed.times.saturating_sub(1).min(8);
        let pause = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
        now.duration_since(resumed.last) < pause
    }

    fn follow(&mut self, now: Timestamp, observed: &Observed) {
        self.resumed.retain(|id, _| {
            let Some(object) = observed.objects.get(id) else {
                return false;
            };
            let outdated = object
                .workload
                .is_some_and(|key| instances(observed, key).any(|i| i.wanted && !i.current));
            object.updating || object.update_stalled.is_some() || outdated
        });
        let nodes = &observed.topology.nodes;
        let unknown = || nodes.iter().filter(|n| n.state == NodeState::Unknown);
        self.unknown.retain(|id, _| unknown().any(|n| n.id == *id));
        for node in unknown() {
            self.unknown.entry(node.id.clone()).or_insert(now);
        }
    }

    /// Takes in one finished pass: what it saw, what it planned, and the actions that succeeded.
    pub fn learn(&mut self, now: Timestamp, observed: &Observed, plan: &Plan, done: &[&Action]) {
        self.seen.extend(
            observed
                .objects
                .iter()
                .filter(|(_, o)| o.owner == Owner::Ours)
                .map(|(id, _)| id.clone()),
        );
        self.follow(now, observed);
        for action in done {
            match action {
                Action::Update { id, difference, .. }
                    if difference.cause == DifferenceCause::Stalled =>
                {
                    let times = self.resumed.get(id).map_or(0, |r| r.times) + 1;
                    self.resumed
                        .insert(id.clone(), Resumed { times, last: now });
                }
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
                | Action::Mark { .. }
                | Action::DropFinalizer => {}
            }
        }
        self.touched.retain(|component| {
            let whole = plan.readiness.get(component).is_none_or(|r| r.enough);
            !whole || plan.changing.iter().any(|key| key.component == *component)
        });
        let changed = done.iter().filter_map(|action| match action {
            Action::Update { id, difference, .. } if difference.touches != Touches::Nothing => {
                Some(id)
            }
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
