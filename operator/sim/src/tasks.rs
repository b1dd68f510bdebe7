//! Processes: how the platform's own orchestrator makes, moves and stops them, and what they do to volumes. Modelled on
//! Swarm, faults included: stop-first gives up after a minute, a process on a node that is down still reads as running, a
//! volume that is not on the node is made empty without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::observed::NodeState;
use milvus_core::outline::{ObjectClass, ObjectId};

use crate::render::{Native, outdated};
use crate::world::{Object, World};

/// One process.
#[derive(Clone, Debug)]
pub struct Task {
    /// Id.
    pub id: String,
    /// Its object's name and id.
    pub object: (ObjectId, String),
    /// Uid in its object's label.
    pub uid: String,
    /// Which workload.
    pub key: WorkloadKey,
    /// Slot.
    pub slot: u64,
    /// Node.
    pub node: Option<String>,
    /// The platform wants it to run.
    pub wanted: bool,
    /// What it does.
    pub state: TaskState,
    /// Since when.
    pub since: Timestamp,
    /// What it was made from.
    pub native: Native,
    /// Version of its object then.
    pub version: u64,
    /// What that referred to.
    pub references: BTreeMap<ObjectId, String>,
    /// Address in the network.
    pub address: String,
    /// When it does the next thing by itself.
    pub next: Timestamp,
    /// When it was told to stop.
    pub told: Option<Timestamp>,
    /// It has come up and needs no further look.
    pub lived: bool,
}

/// What a process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Not placed; why.
    Pending(String),
    /// Its image is fetched.
    Preparing,
    /// Started.
    Starting,
    /// Runs, and comes up until [`Task::next`].
    Running,
    /// Ended well.
    Complete,
    /// Ended by itself.
    Failed(String),
    /// Could not be started.
    Rejected(String),
    /// Was stopped.
    Shutdown,
}

impl Task {
    /// Whether a process is there.
    pub fn alive(&self) -> bool {
        matches!(self.state, TaskState::Starting | TaskState::Running)
    }

    pub(crate) fn ended(&self) -> bool {
        matches!(
            self.state,
            TaskState::Complete
                | TaskState::Failed(_)
                | TaskState::Rejected(_)
                | TaskState::Shutdown
        )
    }
}

const STEP: Duration = Duration::from_millis(100);
const CALM_STEP: Duration = Duration::from_millis(500);
/// After this the platform takes a stopping process for stopped.
const STOP_PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// How long a rollout watches each of its processes.
const MONITOR: SignedDuration = SignedDuration::from_secs(2);
const RESTART_DELAY: SignedDuration = SignedDuration::from_secs(5);
const NODE_PATIENCE: SignedDuration = SignedDuration::from_secs(15);

impl World {
    /// Lets time pass.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while self.now < until {
            let step = if self.moving() { STEP } else { CALM_STEP };
            self.now = (self.now + step).min(until);
            self.nodes_step();
            self.orchestrate();
            self.run_tasks();
        }
    }

    /// Whether anything is about to happen; long stretches of rest are taken in longer steps.
    fn moving(&self) -> bool {
        self.tasks.iter().any(|t| {
            !t.ended() && (t.state != TaskState::Running || !t.wanted || self.now < t.next)
        })
    }

    fn nodes_step(&mut self) {
        let now = self.now;
        for node in self.nodes.values_mut() {
            if let Some(cut) = node.cut {
                if now.duration_since(cut) >= NODE_PATIENCE {
                    node.node.state = NodeState::Down;
                }
                continue;
            }
        }
        let cut: BTreeSet<String> = self
            .nodes
            .iter()
            .filter(|(_, n)| n.cut.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        // What was on a node that came back has ended; the platform hears of it now.
        for task in &mut self.tasks {
            let Some(node) = &task.node else { continue };
            if !cut.contains(node) && task.alive() && task.address.is_empty() {
                task.state = if task.wanted {
                    TaskState::Failed("node restarted".to_owned())
                } else {
                    TaskState::Shutdown
                };
                task.since = now;
                if task.wanted {
                    task.wanted = false;
                    self.ended.insert((task.object.0.clone(), task.slot), now);
                }
            } else if cut.contains(node) && task.alive() {
                task.address.clear(); // the process is gone, the record stays
            }
        }
    }

    fn orchestrate(&mut self) {
        let live: BTreeMap<ObjectId, String> = self
            .objects
            .iter()
            .map(|(id, o)| (id.clone(), o.native_id.clone()))
            .collect();
        let now = self.now;
        for task in &mut self.tasks {
            if task.wanted && live.get(&task.object.0) != Some(&task.object.1) {
                task.wanted = false;
                task.told.get_or_insert(now);
            }
        }
        let ids: Vec<ObjectId> = self
            .objects
            .iter()
            .filter(|(_, o)| o.native.class == ObjectClass::Workload && o.native.workload.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.orchestrate_one(&id);
        }
    }

    /// Whether every process of an object stands as it should: nothing to decide.
    fn steady(&self, id: &ObjectId) -> bool {
        let Some(object) = self.objects.get(id) else {
            return true;
        };
        let Some(replicas) = object.replicas else {
            return false;
        };
        let mut good = 0;
        for task in self.tasks.iter().filter(|t| t.object.1 == object.native_id) {
            if task.wanted && task.state == TaskState::Running && task.version == object.version {
                good += 1;
            } else if task.wanted || !task.ended() {
                return false;
            }
        }
        good == replicas && self.nodes.values().all(|n| n.node.up())
    }

    fn orchestrate_one(&mut self, id: &ObjectId) {
        if self.steady(id) {
            return;
        }
        let Some(object) = self.objects.get(id).cloned() else {
            return;
        };
        let (Some(key), Some(uid)) = (object.native.workload, object.uid.clone()) else {
            return;
        };
        let now = self.now;
        let of_object = |t: &Task| t.object.1 == object.native_id;
        if object.native.job
            && self.tasks.iter().any(|t| {
                of_object(t)
                    && t.state == TaskState::Complete
                    && t.native.fields == object.native.fields
            })
        {
            return;
        }
        let slots: Vec<(u64, Option<String>)> = match object.replicas {
            Some(n) => (1..=u64::from(n)).map(|s| (s, None)).collect(),
            None => self
                .nodes
                .values()
                .enumerate()
                .filter(|(_, n)| object.native.admits(&n.node))
                .map(|(i, n)| (i as u64 + 1, Some(n.node.id.clone())))
                .collect(),
        };
        let wanted_slots: BTreeSet<u64> = slots.iter().map(|(s, _)| *s).collect();
        let up: BTreeSet<String> = self
            .nodes
            .iter()
            .filter(|(_, n)| n.node.up())
            .map(|(id, _)| id.clone())
            .collect();
        let mut rolling = self.tasks.iter().any(|t| {
            of_object(t)
                && t.wanted
                && !t.ended()
                && t.state != TaskState::Running
                && !matches!(t.state, TaskState::Pending(_))
        });
        for task in self.tasks.iter_mut().filter(|t| of_object(t) && t.wanted) {
            let down = task.node.as_ref().is_some_and(|n| !up.contains(n));
            let outdated = outdated(
                task,
                &object.native,
                &object.references,
                &self.nodes,
                self.options.kubernetes,
            );
            if !wanted_slots.contains(&task.slot) || (down && !object.native.shared) {
                task.wanted = false;
                task.told.get_or_insert(now);
            } else if outdated
                && !object.native.shared
                && object.paused.is_none()
                && (!rolling || task.state != TaskState::Running)
            {
                task.wanted = false;
                task.told.get_or_insert(now);
                rolling = true;
            }
        }
        if object.native.shared {
            self.roll(id, &object);
        }
        for (slot, node) in slots {
            let of_slot = |t: &&Task| of_object(t) && t.slot == slot;
            if self
                .tasks
                .iter()
                .filter(of_slot)
                .any(|t| t.wanted && !t.ended())
            {
                continue;
            }
            let stopping = self.tasks.iter().filter(of_slot).any(|t| {
                // A member with a name is made again only when the old one is known to be gone.
                let given_up = !object.native.shared
                    && (t.node.as_ref().is_some_and(|n| !up.contains(n))
                        || t.told
                            .is_some_and(|told| now.duration_since(told) >= STOP_PATIENCE));
                !t.ended() && !given_up
            });
            let resting = self
                .ended
                .get(&(id.clone(), slot))
                .is_some_and(|at| now.duration_since(*at) < RESTART_DELAY);
            if stopping || resting {
                continue;
            }
            let mut native = object.native.clone();
            let mut key = key;
            if native.shared {
                let ordinal = u16::try_from(slot.saturating_sub(1)).unwrap_or(u16::MAX);
                key = WorkloadKey::member(key.component, ordinal);
                for volume in &mut native.volumes {
                    *volume = volume.replace("{ordinal}", &ordinal.to_string());
                }
            }
            let task = Task {
                id: self.id("task"),
                object: (id.clone(), object.native_id.clone()),
                uid: uid.clone(),
                key,
                slot,
                node,
                wanted: true,
                state: TaskState::Pending(String::new()),
                since: now,
                native,
                version: object.version,
                references: object.references.clone(),
                address: String::new(),
                next: now,
                told: None,
                lived: false,
            };
            self.tasks.push(task);
            self.forget_old(&object.native_id, slot);
        }
    }

    /// Replaces the members of one workload, the highest first and without a look at the lower ones: the next when the one
    /// before it is well.
    fn roll(&mut self, id: &ObjectId, object: &Object) {
        let now = self.now;
        let count = u64::from(object.replicas.unwrap_or(0));
        for slot in (1..=count).rev() {
            let of_slot = |t: &&mut Task| {
                t.object == (id.clone(), object.native_id.clone()) && t.slot == slot && t.wanted
            };
            let Some(task) = self.tasks.iter_mut().find(of_slot) else {
                return; // on its way
            };
            let outdated = outdated(task, &object.native, &object.references, &self.nodes, true);
            if outdated {
                task.wanted = false;
                task.told.get_or_insert(now);
                return;
            }
            let well =
                task.state == TaskState::Running && now >= task.next && !task.address.is_empty();
            if !well {
                return;
            }
        }
    }

    /// The platform keeps the last few records of a slot.
    fn forget_old(&mut self, native_id: &str, slot: u64) {
        let old: Vec<String> = self
            .tasks
            .iter()
            .filter(|t| t.object.1 == native_id && t.slot == slot && t.ended())
            .map(|t| t.id.clone())
            .collect();
        if old.len() > 5 {
            let drop: BTreeSet<&String> = old.iter().take(old.len() - 5).collect();
            self.tasks.retain(|t| !drop.contains(&t.id));
        }
    }

    fn run_tasks(&mut self) {
        for index in 0..self.tasks.len() {
            let still = self.tasks.get(index).is_none_or(|t| {
                t.ended()
                    || (t.wanted && t.state == TaskState::Running && self.now < t.next)
                    || (t.wanted && t.state == TaskState::Running && t.lived)
            });
            if !still {
                self.run_task(index);
            }
        }
        // Records of removed services go with their last process.
        let live: BTreeSet<String> = self.objects.values().map(|o| o.native_id.clone()).collect();
        self.tasks
            .retain(|t| live.contains(&t.object.1) || !t.ended());
    }

    fn run_task(&mut self, index: usize) {
        let now = self.now;
        let Some(task) = self.tasks.get(index).cloned() else {
            return;
        };
        if task.ended() {
            return;
        }
        if task
            .node
            .as_ref()
            .and_then(|n| self.nodes.get(n))
            .is_some_and(|n| n.cut.is_some())
        {
            return; // nothing is heard of it
        }
        if !task.wanted {
            self.stop_task(index, &task);
            return;
        }
        match &task.state {
            TaskState::Pending(_) => self.schedule(index, &task),
            TaskState::Preparing if now >= task.next => {
                if task.native.image.contains("missing") {
                    let message = format!("No such image: {}", task.native.image);
                    self.end(index, TaskState::Rejected(message));
                } else {
                    let next = now + self.millis(200, 600);
                    self.set(index, TaskState::Starting, next);
                    self.open_volumes(&task);
                    let address = self.id("10.1.0.");
                    self.tasks[index].address = short_address(&address);
                }
            }
            TaskState::Starting if now >= task.next => {
                let next = now + self.millis(300, 1500);
                self.set(index, TaskState::Running, next);
                self.needs_met(index, &task);
            }
            TaskState::Running if now >= task.next => self.live(index, &task),
            _ => {}
        }
    }

    fn stop_task(&mut self, index: usize, task: &Task) {
        if !task.alive() {
            self.set(index, TaskState::Shutdown, self.now);
            return;
        }
        let told = *self.tasks[index].told.get_or_insert(self.now);
        // Decided once, from the task's own name, so that it does not depend on how often time is looked at.
        let digit = task.id.bytes().last().unwrap_or(b'0') % 10;
        let takes = if self.options.slow_stops && digit == 7 {
            SignedDuration::from_secs(80)
        } else {
            SignedDuration::from_millis(300 + 300 * i64::from(digit))
        };
        if self.now.duration_since(told) >= takes {
            self.set(index, TaskState::Shutdown, self.now);
        }
    }

    fn schedule(&mut self, index: usize, task: &Task) {
        let used: u64 = 0;
        let mut reason = String::from("no suitable node (scheduling constraints not satisfied)");
        let mut best: Option<((usize, usize), String)> = None;
        for (id, node) in &self.nodes {
            if task.node.as_ref().is_some_and(|own| own != id) || !task.native.admits(&node.node) {
                continue;
            }
            let here = self
                .tasks
                .iter()
                .filter(|t| !t.ended() && t.node.as_ref() == Some(id) && t.id != task.id);
            let reserved: u64 = here.clone().map(|t| t.native.memory).sum();
            if used + reserved + task.native.memory > node.node.memory {
                reason = "no suitable node (insufficient resources on 1 node)".to_owned();
                continue;
            }
            let taken = task.native.port.is_some()
                && here.clone().any(|t| t.native.port == task.native.port);
            if taken {
                reason = "no suitable node (host-mode port already in use on 1 node)".to_owned();
                continue;
            }
            // Where its data is, a member with a name stays; and the members of one workload keep apart.
            let mut homes = task.native.volumes.iter().filter_map(|v| self.homes.get(v));
            if task.native.shared && homes.any(|(home, _)| home != id) {
                continue;
            }
            let alike = here
                .clone()
                .filter(|t| t.native.shared && t.object == task.object);
            let load = (alike.count(), here.count());
            if best.as_ref().is_none_or(|(least, _)| load < *least) {
                best = Some((load, id.clone()));
            }
        }
        match best {
            Some((_, node)) => {
                let next = self.now + self.millis(100, 700);
                self.tasks[index].node = Some(node);
                self.set(index, TaskState::Preparing, next);
            }
            None => {
                if task.state != TaskState::Pending(reason.clone()) {
                    self.set(index, TaskState::Pending(reason), self.now);
                }
            }
        }
    }

    fn set(&mut self, index: usize, state: TaskState, next: Timestamp) {
        let now = self.now;
        let task = &mut self.tasks[index];
        task.state = state;
        task.since = now;
        task.next = next;
    }

    pub(crate) fn end(&mut self, index: usize, state: TaskState) {
        let now = self.now;
        self.pause(index, &state);
        let task = &mut self.tasks[index];
        task.state = state;
        task.since = now;
        task.wanted = false;
        self.ended.insert((task.object.0.clone(), task.slot), now);
    }

    /// A process of a rollout that fails before it was watched for long enough stops the rollout.
    fn pause(&mut self, index: usize, state: &TaskState) {
        let Some(task) = self.tasks.get(index) else {
            return;
        };
        let why = match state {
            TaskState::Failed(why) | TaskState::Rejected(why) => why,
            _ => return,
        };
        let watched =
            task.state == TaskState::Running && self.now.duration_since(task.since) >= MONITOR;
        let rolling = self.tasks.iter().any(|other| {
            other.object == task.object
                && other.wanted
                && other.id != task.id
                && other.native.fields != task.native.fields
        });
        let (name, id) = task.object.clone();
        let (version, why) = (task.version, format!("update paused: {} ({why})", task.id));
        let on_swarm = !self.options.kubernetes;
        if let Some(object) = self.objects.get_mut(&name)
            && object.native_id == id
            && object.version == version
            && on_swarm
            && rolling
            && !watched
            && !object.native.job
        {
            object.paused = Some(why);
        }
    }

    /// A process of Milvus that finds nobody home ends by itself.
    fn needs_met(&mut self, index: usize, task: &Task) {
        let lacking: Vec<Component> = task
            .native
            .needs
            .iter()
            .copied()
            .filter(|c| !self.serves(&task.uid, *c))
            .collect();
        if !lacking.is_empty() {
            let names: Vec<&str> = lacking.iter().map(|c| c.name()).collect();
            self.crash_loops
                .push(format!("{} without {}", task.key, names.join(", ")));
            self.end(
                index,
                TaskState::Failed(format!("exit code 1: cannot reach {}", names.join(", "))),
            );
        }
    }

    fn live(&mut self, index: usize, task: &Task) {
        if task
            .native
            .fields
            .get("Env")
            .is_some_and(|e| e.contains("CRASH"))
        {
            self.end(
                index,
                TaskState::Failed("task: non-zero exit (1)".to_owned()),
            );
        } else if task.native.job {
            self.metadata_written += 1;
            self.end(index, TaskState::Complete);
        } else if let Some(code) = self.refuses_its_volume(task) {
            let message = format!("task: non-zero exit ({code})");
            self.end(index, TaskState::Failed(message));
        } else if self.finds_its_likes(task) {
            self.tasks[index].lived = true;
            self.begins(task);
        }
    }

    /// A member of a distributed MinIO compares image, arguments and environment with its peers when it starts, and serves only
    /// when half of them agree.
    fn finds_its_likes(&self, task: &Task) -> bool {
        if task.key.component != Component::Minio || task.native.members < 2 {
            return true;
        }
        let alike: BTreeSet<WorkloadKey> = self
            .tasks
            .iter()
            .filter(|t| t.uid == task.uid && t.key.component == task.key.component)
            .filter(|t| t.key != task.key && t.state == TaskState::Running)
            .filter(|t| !t.address.is_empty() && self.now >= t.next)
            .filter(|t| t.native.alike(&task.native))
            .map(|t| t.key)
            .collect();
        let peers = usize::try_from(task.native.members).unwrap_or(usize::MAX) - 1;
        alike.len() >= peers / 2
    }

    /// Opens the data of a member and looks whether it may.
    fn open_volumes(&mut self, task: &Task) {
        let Some(node_id) = task.node.clone() else {
            return;
        };
        crate::oracle::volumes(self, task);
        for volume in &task.native.volumes {
            let other = self.tasks.iter().find(|t| {
                t.id != task.id
                    && t.alive()
                    && !t.address.is_empty()
                    && t.node.as_ref() == Some(&node_id)
                    && t.native.volumes.contains(volume)
            });
            if let Some(other) = other {
                self.violations.push(format!(
                    "{} and {} are both on volume {volume} of {node_id}",
                    task.id, other.id
                ));
            }
            match self.homes.get(volume) {
                Some((home, _)) if *home != node_id => self.violations.push(format!(
                    "{} started on an empty {volume} on {node_id}; its data is on {home}",
                    task.key
                )),
                Some((_, owner)) if *owner != task.key => self.violations.push(format!(
                    "{} opened the data of {owner} in {volume}",
                    task.key
                )),
                Some(_) => {}
                None => {
                    self.homes
                        .insert(volume.clone(), (node_id.clone(), task.key));
                }
            }
            if let Some(node) = self.nodes.get_mut(&node_id) {
                node.volumes.insert(volume.clone(), Some(task.key));
            }
        }
    }
}

/// The counter in an id as an address.
fn short_address(id: &str) -> String {
    let number: u32 = id
        .rsplit('.')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    format!(
        "10.{}.{}.{}",
        1 + (number >> 16),
        (number >> 8) & 255,
        number & 255
    )
}
