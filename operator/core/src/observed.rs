//! What was seen, and when. Filled by the platforms and the probes; judged by the planner. Pure data.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use crate::component::WorkloadKey;
use crate::outline::{ObjectClass, ObjectId, Revision};
use crate::probe::{ProbeId, ProbeResult};

/// One look at everything that belongs to (or stands in the way of) one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// When the look was taken.
    pub at: Timestamp,
    /// Native objects that carry our owner label for this cluster, and objects of others under one of our names.
    pub objects: BTreeMap<ObjectId, ObservedObject>,
    /// Processes (tasks, pods), newest first within a workload.
    pub instances: Vec<Instance>,
    /// The machines.
    pub topology: Topology,
    /// Answers of the wire checks of this pass.
    pub probes: BTreeMap<ProbeId, ProbeResult>,
}

/// One native object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedObject {
    /// The platform's id: deletions go by this, never by name.
    pub native_id: String,
    /// Its version at this look; `None` where the platform keeps none (a Swarm's networks, what is known by name alone).
    pub version: Option<SeenVersion>,
    /// Whose it is.
    pub owner: Owner,
    /// Order class, as far as known.
    pub class: ObjectClass,
    /// The workload that it is, from its labels.
    pub workload: Option<WorkloadKey>,
    /// The revision in its label.
    pub revision: Option<Revision>,
    /// How it differs from what was rendered; `None` when equal (or when nothing was rendered for it).
    pub difference: Option<Difference>,
    /// Fields that do not stay as they are written, because the platform's own admission rewrites them; no difference, for
    /// writing them again changes nothing.
    pub kept: Vec<String>,
    /// Instances that its spec asks for now; `None` for one per node or where that means nothing.
    pub replicas: Option<u32>,
    /// Whether another object still refers to it.
    pub in_use: bool,
    /// A change is being rolled over its instances right now.
    pub updating: bool,
    /// Why the object does not get on, in the platform's words: its rollout was paused or given up while a wanted process is not
    /// current, or its processes are refused.
    pub update_stalled: Option<String>,
}

/// The version that an object had when it was looked at: a Swarm's `Version.Index`, a `resourceVersion` of Kubernetes. An act
/// on the object carries it, and is a conflict where the object has another one by then: what was decided rests on what was
/// seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeenVersion(pub u64);

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This resource's, by uid.
    Ours,
    /// Made by this operator for an earlier resource of the same name.
    Predecessor {
        /// The uid in its label.
        uid: String,
    },
    /// Made for a resource, and let go by whoever deletes that one and keeps what it has made: left as it is.
    Released,
    /// Somebody else's: never touched.
    Foreign,
}

/// How an object differs from its rendering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Who changed: the resource (the label's revision or generation is older) or a hand on the object.
    pub cause: DifferenceCause,
    /// Fields that differ, in the platform's words (`TaskTemplate.ContainerSpec.Env`), sorted.
    pub fields: Vec<String>,
    /// What putting it right touches.
    pub touches: Touches,
    /// Whether even an object whose content is fixed can be put right in place: only what is said about it differs (labels,
    /// owner).
    pub in_place: bool,
}

/// What the correction of a difference touches, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touches {
    /// No process: labels, the number of instances, how updates are rolled out.
    Nothing,
    /// Where processes may run: one whose node still meets the rules stays, any other is replaced.
    Placement,
    /// How much a process may use. It is restarted, and what runs in it stays the same.
    Resources,
    /// What runs in the process: image, arguments, environment, files, ports. It is restarted.
    Process,
}

/// Who changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceCause {
    /// The resource (or the operator's rendering of it).
    Spec,
    /// Somebody edited the native object.
    EditedByHand,
    /// Something that it refers to was made again (a network's id changed).
    Reference,
    /// Nothing differs in the object itself: its rollout has stopped half-way, and goes on when the same is written again.
    Stalled,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Which workload.
    pub workload: WorkloadKey,
    /// The platform's id (task id, pod name).
    pub id: String,
    /// Slot or index where there is one.
    pub slot: Option<u64>,
    /// Node id.
    pub node: Option<String>,
    /// Whether the platform still wants it to run.
    pub wanted: bool,
    /// What it is doing. A process on a node that is down is [`InstanceState::Lost`], whatever the record says.
    pub state: InstanceState,
    /// What the platform's own readiness check of it says (a kubelet's); `None` where the platform has none.
    pub ready: Option<bool>,
    /// Address in the cluster's (backend) network.
    pub address: Option<IpAddr>,
    /// Since when it is in that state.
    pub since: Option<Timestamp>,
    /// Image that it runs.
    pub image: String,
    /// Whether it was started from the object's present spec.
    pub current: bool,
    /// Its deletion, where it was asked for and is not confirmed yet; `None` on platforms that keep no such record.
    pub deleting: Option<Deleting>,
}

impl Instance {
    /// Whether its deletion is not confirmed although its grace has long passed: its node has most likely gone.
    pub fn overdue(&self, now: Timestamp) -> Option<&Deleting> {
        let deleting = self.deleting.as_ref()?;
        let late = now.duration_since(deleting.due) >= CONFIRMATION;
        (late && self.state.may_run()).then_some(deleting)
    }
}

/// How long after its grace a node may take to confirm that a process has ended.
const CONFIRMATION: SignedDuration = SignedDuration::from_secs(30);

/// A deletion that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleting {
    /// When it was asked for.
    pub since: Timestamp,
    /// When its grace is over.
    pub due: Timestamp,
    /// What frees the process when its node does not come back, in the platform's words.
    pub help: String,
}

/// What a process is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// Not yet placed; the platform's reason (`no suitable node (insufficient resources on 3 nodes)`).
    Pending {
        /// Reason, empty when none was given.
        reason: String,
    },
    /// Image being pulled, mounts being made.
    Preparing,
    /// Started, not yet alive by its liveness check.
    Starting,
    /// Runs.
    Running,
    /// Ended with success.
    Complete,
    /// Ended by itself with an error.
    Failed {
        /// The platform's text, with the exit code.
        message: String,
    },
    /// Could not be started (no such image, bad mount).
    Rejected {
        /// The platform's text.
        message: String,
    },
    /// Told to stop and stopped.
    Shutdown,
    /// On a node that does not answer: may still run.
    Lost,
}

impl InstanceState {
    /// Whether a process may still be alive in this state.
    pub fn may_run(&self) -> bool {
        matches!(
            self,
            InstanceState::Pending { .. }
                | InstanceState::Preparing
                | InstanceState::Starting
                | InstanceState::Running
                | InstanceState::Lost
        )
    }
}

/// The machines as the platform knows them. Empty where the platform places everything itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Nodes, sorted by name and id.
    pub nodes: Vec<Node>,
}

impl Topology {
    /// The node with this id.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.id == id)
    }
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The platform's id.
    pub id: String,
    /// Host name.
    pub name: String,
    /// Address that others reach it by.
    pub address: String,
    /// Manager or worker.
    pub manager: bool,
    /// Whether it answers.
    pub state: NodeState,
    /// Whether the admin lets it take work.
    pub availability: Availability,
    /// Thousandths of a core.
    pub millicpu: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Labels set by the admin.
    pub labels: BTreeMap<String, String>,
    /// Labels of the engine.
    pub engine_labels: BTreeMap<String, String>,
    /// Operating system and architecture.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// Memory already reserved by all tasks on it, bytes.
    pub reserved_memory: u64,
    /// CPU already reserved by all tasks on it, thousandths of a core.
    pub reserved_millicpu: u64,
}

impl Node {
    /// Whether it answers now.
    pub fn up(&self) -> bool {
        self.state == NodeState::Up
    }

    /// Whether it may be given new work.
    pub fn schedulable(&self) -> bool {
        self.up() && self.availability == Availability::Active
    }

    /// Why the admin's setting keeps work away from it; `None` where it does not.
    pub fn withheld(&self) -> Option<&'static str> {
        match self.availability {
            Availability::Active => None,
            Availability::Paused => Some("paused"),
            Availability::Drained => Some("drained"),
        }
    }
}

/// Whether a machine answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeState {
    /// It does.
    #[default]
    Up,
    /// The platform does not know yet: a new leader waits for the nodes to register again. What ran there runs on.
    Unknown,
    /// It does not.
    Down,
}

/// Whether the admin lets a machine take work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Availability {
    /// It takes work.
    #[default]
    Active,
    /// What runs there runs on; nothing new starts.
    Paused,
    /// Nothing runs there.
    Drained,
}
