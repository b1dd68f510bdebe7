//! What the planner may know of rendered objects: identity, order and revision, never native types. Pure data.

use std::collections::{BTreeMap, BTreeSet};

use crate::component::WorkloadKey;

/// Identifies one native object of a cluster: the platform's kind and its full native name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The platform's word for the kind (`service`, `config`, `StatefulSet`). Opaque to the planner.
    pub kind: &'static str,
    /// Full native name.
    pub name: String,
}

impl ObjectId {
    /// An id from its parts.
    pub fn new(kind: &'static str, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// When an object is made, and when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectClass {
    /// Needed by workloads (networks, configs, secrets, accounts): made first, removed last, and only when unreferenced.
    Prerequisite,
    /// Runs processes: made when its gate is open.
    Workload,
    /// Goes with workloads without gating them (disruption budgets, monitors): made any time.
    Ancillary,
}

/// A hash over just the fields whose change restarts the process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub String);

/// One rendered object as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectOutline {
    /// Order class.
    pub class: ObjectClass,
    /// The workload that it is, for [`ObjectClass::Workload`].
    pub workload: Option<WorkloadKey>,
    /// Restart-relevant hash.
    pub revision: Revision,
    /// Objects that must exist first.
    pub uses: BTreeSet<ObjectId>,
    /// Instances wanted; `None` for one per node.
    pub replicas: Option<u32>,
    /// Whether the object may be changed in place. Configs, secrets and networks may not.
    pub mutable: bool,
}

/// All rendered objects of one cluster.
pub type Outline = BTreeMap<ObjectId, ObjectOutline>;
