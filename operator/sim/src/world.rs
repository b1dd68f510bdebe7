//! The state of the simulated platform, and what a hand or a power cut may do to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use milvus_core::action::Action;
use milvus_core::capabilities::{Addressing, Capabilities, Rhythm};
use milvus_core::component::WorkloadKey;
use milvus_core::observed::{Availability, Node, NodeState, Observed, Topology};
use milvus_core::outline::{ObjectClass, ObjectId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::faults::Faults;
use crate::render::Native;
use crate::tasks::Task;
use crate::volumes::Data;

/// What the simulated platform can honour: what Swarm can.
pub const CAPABILITIES: Capabilities = Capabilities {
    platform: "swarm",
    escape_hatch: "swarm",
    places_members: true,
    member_updates_overlap: true,
    gateway: true,
    max_workload_name: 63,
    addressing: Addressing {
        member: "{component}-{ordinal}",
        service: "{component}",
    },
    volume_types: &["volume", "bind", "tmpfs"],
    service_types: &["ClusterIP"],
    claim: None,
    pods: None,
    external_scaling: false,
    secret_references: false,
    pins_images: true,
    wire_checks: true,
    rhythm: Rhythm {
        soon: Duration::from_millis(250),
        patient: Duration::from_secs(1),
        // No events tell of tasks, and events may be lost.
        rest: Duration::from_secs(15),
    },
};

/// What Kubernetes can, as far as it makes a difference here: the platform places members itself, and all members of a
/// component are one workload.
pub const KUBERNETES: Capabilities = Capabilities {
    platform: "kubernetes",
    escape_hatch: "kubernetes",
    places_members: false,
    member_updates_overlap: false,
    gateway: false,
    max_workload_name: 52,
    service_types: &["ClusterIP", "NodePort", "LoadBalancer"],
    volume_types: &["volume"],
    claim: Some("{volume}-{cluster}-{component}-{ordinal}"),
    // The numbers are the resource's alone here.
    external_scaling: false,
    secret_references: true,
    pins_images: false,
    ..CAPABILITIES
};

/// A machine.
#[derive(Clone, Debug)]
pub struct SimNode {
    /// As the platform knows it.
    pub node: Node,
    /// Volumes (and directories) by name, with the member whose data is in them.
    pub volumes: BTreeMap<String, Option<WorkloadKey>>,
    /// When it went down in truth; the platform sees it later.
    pub cut: Option<Timestamp>,
}

/// A native object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Id: a new one for every creation.
    pub native_id: String,
    /// Uid in the owner label; `None` for an object of somebody else.
    pub uid: Option<String>,
    /// Revision in the label.
    pub revision: String,
    /// What it is now, by field.
    pub native: Native,
    /// Ids of what it refers to, as resolved when it was written.
    pub references: BTreeMap<ObjectId, String>,
    /// Instances asked for.
    pub replicas: Option<u32>,
    /// Moves with every write.
    pub version: u64,
    /// Why its rollout has stopped half-way. Every write lets it go on.
    pub paused: Option<String>,
}

/// A write that reached the platform.
#[derive(Clone, Debug)]
pub struct Write {
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: Action,
}

/// How a world behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of everything random in it.
    pub seed: u64,
    /// Number of nodes.
    pub nodes: usize,
    /// Processes may take longer to stop than the platform waits.
    pub slow_stops: bool,
    /// The platform is like Kubernetes and not like Swarm.
    pub kubernetes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            nodes: 4,
            slow_stops: false,
            kubernetes: false,
        }
    }
}

/// The simulated platform.
#[derive(Clone, Debug)]
pub struct World {
    /// The virtual clock.
    pub now: Timestamp,
    /// Machines by id.
    pub nodes: BTreeMap<String, SimNode>,
    /// Native objects.
    pub objects: BTreeMap<ObjectId, Object>,
    /// Processes, oldest first.
    pub tasks: Vec<Task>,
    /// What goes wrong.
    pub faults: Faults,
    /// Every write, in order.
    pub writes: Vec<Write>,
    /// Everything that must never happen and did.
    pub violations: Vec<String>,
    /// Times that a Milvus process was started while what it needs did not answer.
    pub crash_loops: Vec<String>,
    /// Volumes deleted.
    pub deleted_volumes: Vec<(String, String)>,
    /// Pulsar's metadata stands in ZooKeeper.
    pub metadata_written: u32,
    pub(crate) options: Options,
    pub(crate) rng: StdRng,
    pub(crate) next_id: u64,
    /// Where each volume was first used: data does not move.
    pub(crate) homes: BTreeMap<String, (String, WorkloadKey)>,
    /// The volumes that each member of each resource was first seen on, by uid: it never begins on others.
    pub(crate) opened: BTreeMap<(String, WorkloadKey), Vec<String>>,
    /// The resource whose member made each volume, by uid.
    pub(crate) made_for: BTreeMap<String, String>,
    /// Resources that were asked to take over what was made for others, by uid.
    pub adopting: BTreeSet<String>,
    /// Earlier looks, for stale reads.
    pub(crate) looks: Vec<(Timestamp, Observed)>,
    /// Directories that exist, by node.
    pub(crate) directories: BTreeSet<(String, String)>,
    /// What is on volumes.
    pub(crate) data: Data,
    /// When each slot last ended by itself.
    pub(crate) ended: BTreeMap<(ObjectId, u64), Timestamp>,
}

impl World {
    /// A world with its nodes up and nothing on them.
    pub fn new(options: Options) -> Self {
        let nodes = (1..=options.nodes)
            .map(|i| {
                let id = format!("node{i}id");
                let node = Node {
                    id: id.clone(),
                    name: format!("node-{i}"),
                    address: format!("10.0.0.{i}"),
                    manager: i <= 3,
                    state: NodeState::Up,
                    availability: Availability::Active,
                    millicpu: 16_000,
                    memory: 64 << 30,
                    labels: BTreeMap::new(),
                    engine_labels: BTreeMap::new(),
                    os: "linux".to_owned(),
                    arch: "x86_64".to_owned(),
                    reserved_memory: 0,
                    reserved_millicpu: 0,
                };
                let node = SimNode {
                    node,
                    volumes: BTreeMap::new(),
                    cut: None,
                };
                (id, node)
            })
            .collect();
        Self {
            now: Timestamp::from_second(1_800_000_000).unwrap_or(Timestamp::UNIX_EPOCH),
            nodes,
            objects: BTreeMap::new(),
            tasks: Vec::new(),
            faults: Faults::default(),
            writes: Vec::new(),
            violations: Vec::new(),
            crash_loops: Vec::new(),
            deleted_volumes: Vec::new(),
            metadata_written: 0,
            rng: StdRng::seed_from_u64(options.seed),
            options,
            next_id: 1,
            homes: BTreeMap::new(),
            opened: BTreeMap::new(),
            made_for: BTreeMap::new(),
            adopting: BTreeSet::new(),
            looks: Vec::new(),
            directories: BTreeSet::new(),
            data: Data::default(),
            ended: BTreeMap::new(),
        }
    }

    /// What this platform can honour.
    pub fn capabilities(&self) -> &'static Capabilities {
        if self.options.kubernetes {
            &KUBERNETES
        } else {
            &CAPABILITIES
        }
    }

    /// The machines as the platform tells of them.
    pub fn topology(&self) -> Topology {
        if self.options.kubernetes {
            return Topology::default();
        }
        Topology {
            nodes: self.nodes.values().map(|n| n.node.clone()).collect(),
        }
    }

    pub(crate) fn id(&mut self, prefix: &str) -> String {
        self.next_id += 1;
        format!("{prefix}{}", self.next_id)
    }

    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from..=to))
    }

    /// A hand edits the restart-relevant part of an object: `field` gets another value.
    pub fn edit_by_hand(&mut self, id: &ObjectId, field: &str) {
        if let Some(object) = self.objects.get_mut(id)
            && let Some(value) = object.native.fields.get_mut(field)
        {
            value.push_str(" # by hand");
            object.version += 1;
            object.paused = None;
        }
    }

    /// A hand scales an object.
    pub fn scale_by_hand(&mut self, id: &ObjectId, replicas: u32) {
        if let Some(object) = self.objects.get_mut(id) {
            object.replicas = Some(replicas);
            object.version += 1;
            object.paused = None;
        }
    }

    /// A hand removes an object, if the platform lets it (what is used stays).
    pub fn remove_by_hand(&mut self, id: &ObjectId) -> bool {
        if self.in_use(id) {
            return false;
        }
        self.objects.remove(id).is_some()
    }

    /// `docker stack rm`: services, configs, secrets and networks go, volumes stay.
    pub fn remove_stack_by_hand(&mut self) {
        self.objects.retain(|_, object| object.uid.is_none());
    }

    /// A hand removes a network with everything that refers to it still there.
    pub fn lose_network(&mut self, id: &ObjectId) {
        self.objects.remove(id);
    }

    /// Somebody else makes an object under a name.
    pub fn make_foreign(&mut self, id: &ObjectId, class: ObjectClass) {
        let native_id = self.id("foreign");
        self.objects.insert(
            id.clone(),
            Object {
                native_id,
                uid: None,
                revision: String::new(),
                native: Native::foreign(class),
                references: BTreeMap::new(),
                replicas: None,
                version: 1,
                paused: None,
            },
        );
    }

    /// A node loses its power.
    pub fn cut_node(&mut self, id: &str) {
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(id) {
            node.cut = Some(now);
        }
    }

    /// A node comes back.
    pub fn heal_node(&mut self, id: &str) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.cut = None;
            node.node.state = NodeState::Up;
        }
    }

    pub(crate) fn in_use(&self, id: &ObjectId) -> bool {
        self.objects
            .values()
            .any(|other| other.references.contains_key(id))
    }

    /// Volumes that are there now, as `node/volume`.
    pub fn volumes(&self) -> BTreeSet<String> {
        self.nodes
            .values()
            .flat_map(|n| n.volumes.keys().map(|v| format!("{}/{v}", n.node.name)))
            .collect()
    }
}
