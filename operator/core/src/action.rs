//! What the planner can ask for, and why it did not ask for more. Plain data that the executor carries out without
//! choices, and that status, events, the `plan` command and goldens all show. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::component::{Component, WorkloadKey};
use crate::ledger::Ledger;
use crate::observed::{Difference, Observed, ObservedObject, SeenVersion, Touches};
use crate::outline::{ObjectClass, ObjectId, Outline};
use crate::plan::Readiness;
use crate::reasons::Reason;

/// One pass's decisions.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In order. The executor stops at the first failure of an action that is not ancillary; everything here is safe to do
    /// now.
    pub actions: Vec<Action>,
    /// What is not done yet, and what for.
    pub waiting: Vec<Waiting>,
    /// What people should know.
    pub notices: Vec<Notice>,
    /// When to look again if nothing happens before.
    pub next_check: Duration,
    /// How each component stands, as judged in this pass.
    pub readiness: BTreeMap<Component, Readiness>,
    /// Workloads that do not run what the resource asks for yet.
    pub changing: Vec<WorkloadKey>,
}

impl Plan {
    /// Adds the members that have no place yet: they are waited for and looked at again after `pause`, and nothing else waits
    /// for them.
    pub fn add_unplaced(&mut self, unplaced: &[Waiting], pause: Duration) {
        for waiting in unplaced {
            if let WaitingOn::Placement { workload, .. } = &waiting.on
                && !self.changing.contains(workload)
            {
                self.changing.push(*workload);
            }
            if !self.waiting.contains(waiting) {
                self.waiting.push(waiting.clone());
            }
            self.next_check = self.next_check.min(pause);
        }
        self.changing.sort();
    }

    /// Keeps what needs no more than what is there already: a removed workload whose prerequisites stand is made again.
    /// Nothing is changed and nothing is removed. For a pass that does not know all that the resource refers to.
    pub fn freeze(&mut self, outline: &Outline, observed: &Observed) {
        self.actions.retain(|action| match action {
            Action::RecordLedger(_) | Action::PrepareDirectory { .. } => true,
            Action::Create { id, .. } => outline.get(id).is_some_and(|object| {
                object.class == ObjectClass::Workload
                    && object
                        .uses
                        .iter()
                        .all(|used| observed.objects.contains_key(used))
            }),
            Action::ForgetLedger
            | Action::Update { .. }
            | Action::Stop { .. }
            | Action::Remove { .. }
            | Action::RemoveVolume { .. }
            | Action::Mark { .. }
            | Action::DropFinalizer => false,
        });
    }
}

/// One idempotent step.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Store the ledger. Always alone in its plan: what follows rests on it.
    RecordLedger(Box<Ledger>),
    /// Forget the ledger (after its volumes are gone).
    ForgetLedger,
    /// Make an object.
    Create {
        /// Which.
        id: ObjectId,
        /// Why.
        cause: CreateCause,
    },
    /// Bring an object to its rendering.
    Update {
        /// Which.
        id: ObjectId,
        /// The version of it that this was decided for.
        seen: Option<SeenVersion>,
        /// What differs and why.
        difference: Difference,
    },
    /// Ask a member's object for zero instances, so that it can be respecified without overlap.
    Stop {
        /// Which.
        id: ObjectId,
        /// The version of it that this was decided for.
        seen: Option<SeenVersion>,
        /// Why.
        reason: String,
    },
    /// Remove an object of ours, by its native id.
    Remove {
        /// Which.
        id: ObjectId,
        /// The native id seen in this pass.
        native_id: String,
        /// The version of it that this was decided for.
        seen: Option<SeenVersion>,
        /// Why.
        cause: RemoveCause,
    },
    /// Make the directory of a bind-backed member on its node.
    PrepareDirectory {
        /// Node id.
        node: String,
        /// Base path that must exist.
        base: String,
        /// Directory below it.
        directory: String,
    },
    /// Delete a volume on a node. Only ever planned under deletion policy `Delete`.
    RemoveVolume {
        /// Node id.
        node: String,
        /// Volume name, or directory of a bind.
        volume: String,
        /// Base path of a bind, `None` for a named volume.
        bind_base: Option<String>,
    },
    /// Leave the cluster's mark in a store of its own, unless one is there.
    Mark {
        /// Which store.
        component: Component,
        /// What is written.
        text: String,
    },
    /// Drop the resource's finalizer: everything is gone.
    DropFinalizer,
}

impl Action {
    /// Brings an object that was seen to its rendering.
    pub fn update(id: &ObjectId, object: &ObservedObject, difference: &Difference) -> Self {
        Action::Update {
            id: id.clone(),
            seen: object.version,
            difference: difference.clone(),
        }
    }

    /// Asks an object that was seen for zero instances.
    pub fn stop(id: &ObjectId, object: &ObservedObject, reason: String) -> Self {
        Action::Stop {
            id: id.clone(),
            seen: object.version,
            reason,
        }
    }

    /// Removes an object that was seen.
    pub fn remove(id: &ObjectId, object: &ObservedObject, cause: RemoveCause) -> Self {
        Action::Remove {
            id: id.clone(),
            native_id: object.native_id.clone(),
            seen: object.version,
            cause,
        }
    }

    /// Whether it is about an object that goes beside workloads: when it fails, everything else can still be done.
    pub fn is_ancillary(&self, outline: &Outline) -> bool {
        let id = match self {
            Action::Create { id, .. } | Action::Update { id, .. } => id,
            Action::RecordLedger(_)
            | Action::ForgetLedger
            | Action::Stop { .. }
            | Action::Remove { .. }
            | Action::PrepareDirectory { .. }
            | Action::RemoveVolume { .. }
            | Action::Mark { .. }
            | Action::DropFinalizer => return false,
        };
        let outline = outline.get(id);
        outline.is_some_and(|o| o.class == ObjectClass::Ancillary)
    }
}

impl Action {
    /// Whether something that runs, or data, is gone after it: only the operator that leads may do it, and only after a fresh look.
    pub fn takes_down(&self) -> bool {
        match self {
            Action::Update { difference, .. } => difference.touches != Touches::Nothing,
            Action::Stop { .. } | Action::Remove { .. } | Action::RemoveVolume { .. } => true,
            Action::RecordLedger(_)
            | Action::ForgetLedger
            | Action::Create { .. }
            | Action::PrepareDirectory { .. }
            | Action::Mark { .. }
            | Action::DropFinalizer => false,
        }
    }

    /// Whether it is work on one node: it may be started in one pass and end in another, and nothing else in its plan rests on it.
    pub fn is_errand(&self) -> bool {
        matches!(
            self,
            Action::PrepareDirectory { .. } | Action::RemoveVolume { .. }
        )
    }
}

/// Why an object is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateCause {
    /// First time.
    New,
    /// It was there before and somebody removed it.
    Missing,
}

/// Why an object is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveCause {
    /// The resource does not ask for it any more.
    Unwanted,
    /// A newer one has taken its place and nothing refers to it.
    Superseded,
    /// The resource is being deleted.
    Deleted,
    /// It has done its work (finished jobs).
    Finished,
    /// It must be made again because it cannot be changed in place.
    Replace,
}

/// Something that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Who waits.
    pub component: Option<Component>,
    /// What for.
    pub on: WaitingOn,
}

/// What can be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitingOn {
    /// Components that must answer first, with what each of them lacks.
    Dependencies(Vec<(Component, String)>),
    /// Instances are not yet running: how many of how many, and what the platform says.
    Instances {
        /// Which.
        workload: WorkloadKey,
        /// Running.
        running: u32,
        /// Wanted.
        wanted: u32,
        /// The platform's words, empty when there are none.
        detail: String,
    },
    /// Runs, but does not answer well yet.
    Answer {
        /// Which.
        component: Component,
        /// What it said.
        detail: String,
    },
    /// An image cannot be had (yet).
    Image {
        /// Reference.
        reference: String,
        /// The platform's words.
        detail: String,
    },
    /// No node can take it.
    Placement {
        /// Which.
        workload: WorkloadKey,
        /// The reason.
        detail: String,
    },
    /// A member is being stopped before it is respecified.
    MemberStop {
        /// Which.
        workload: WorkloadKey,
    },
    /// A change waits until the previous one is healthy.
    Turn {
        /// Who waits.
        workload: WorkloadKey,
        /// For whom.
        after: WorkloadKey,
    },
    /// All members of a component restart together, because they do not work with a peer that was started otherwise.
    WholeRestart {
        /// Which.
        component: Component,
        /// What differs, in the platform's words.
        because: String,
    },
    /// Processes of a deleted cluster are still stopping.
    Stopping {
        /// How many.
        instances: u32,
        /// Their names, with the nodes that keep them.
        which: String,
    },
    /// A node that holds data does not answer.
    Node {
        /// Node name.
        node: String,
        /// What is there.
        what: String,
    },
    /// Volumes are being deleted.
    Volumes {
        /// How many are left.
        left: u32,
    },
}

/// Something that people should know: becomes an event, a condition, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Machine-readable reason.
    pub reason: Reason,
    /// One line.
    pub message: String,
    /// Field path in the resource, where one is the cause.
    pub field: Option<String>,
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// When it was done.
    pub at: Timestamp,
    /// Whether anything had to be written.
    pub wrote: bool,
    /// The platform's remark, if any (`no digest: the registry did not answer`).
    pub remark: Option<String>,
    /// The work was started or goes on, and has not ended: a later pass asks again.
    pub underway: bool,
}
