//! Looking at the platform: what is ours, what differs, what runs. May be made to show an older state.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use milvus_core::component::WorkloadKey;
use milvus_core::names::{ClusterKey, ClusterRef};
use milvus_core::observed::{
    Difference, DifferenceCause, Instance, InstanceState, Observed, ObservedObject, Owner,
    SeenVersion, Touches,
};
use milvus_core::outline::{ObjectClass, ObjectId, Revision};
use milvus_core::rebuild::Standing;
use milvus_platform::{Class, PlatformError, Rendered};
use rand::Rng;

use crate::render::{Native, PLACEMENT, outdated, revision};
use crate::tasks::{Task, TaskState};
use crate::world::{Object, World};

impl World {
    /// One look at a cluster.
    ///
    /// # Errors
    /// When the platform does not answer.
    pub fn observe(
        &mut self,
        cluster: &ClusterRef,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<Observed, PlatformError> {
        if self.rng.random_range(0..100) < self.faults.unreachable {
            return Err(PlatformError::new(
                Class::Transient,
                "list services",
                "the platform does not answer",
            ));
        }
        let look = self.look(cluster, rendered);
        self.looks.push((self.now, look.clone()));
        let keep = self.now - SignedDuration::from_secs(3);
        self.looks.retain(|(at, ..)| *at >= keep);
        if self.rng.random_range(0..100) < self.faults.stale {
            let pick = self.rng.random_range(0..self.looks.len());
            // What was shown once is not unseen again: Swarm reads where it writes (the leader's store), and a watch of
            // Kubernetes lags but does not go back.
            self.looks.drain(..pick);
            if let Some((_, look)) = self.looks.first().cloned() {
                return Ok(look);
            }
        }
        let before = self.looks.len().saturating_sub(1);
        self.looks.drain(..before);
        Ok(look)
    }

    /// The registry: it has every image, each tag is built anew every minute, and it is away every other second.
    pub fn digests(&self, images: &BTreeSet<String>) -> BTreeMap<String, String> {
        let second = self.now.as_second();
        if second % 2 == 1 {
            return BTreeMap::new();
        }
        let digest = |image: &String| (image.clone(), format!("sha256:{:032x}", second / 60));
        images.iter().map(digest).collect()
    }

    /// The workloads of a cluster as their own specs tell them.
    pub fn standing(&self, cluster: &ClusterKey) -> Vec<Standing> {
        let prefix = format!("{}_", cluster.stack());
        let objects = self.objects.iter();
        objects
            .filter(|(id, _)| id.name.starts_with(&prefix))
            .filter_map(|(_, object)| {
                let args = object.native.fields.get("Args").map(String::as_str);
                Some(Standing {
                    workload: object.native.workload?,
                    uid: object.uid.clone()?,
                    node: object.native.node.clone(),
                    volumes: object.native.volumes.clone(),
                    paths: Vec::new(),
                    image: object.native.image.clone(),
                    args: args
                        .unwrap_or_default()
                        .split(' ')
                        .map(str::to_owned)
                        .collect(),
                    started: self.tasks.iter().any(|t| {
                        t.object.1 == object.native_id
                            && (t.state == TaskState::Running || t.ended())
                    }),
                })
            })
            .collect()
    }

    /// A new life of the operator begins with a list of what there is, on every platform: no look from before is shown to it.
    pub fn forget_looks(&mut self) {
        self.looks.clear();
    }

    fn look(&self, cluster: &ClusterRef, rendered: Option<&Rendered<Native>>) -> Observed {
        let stack = cluster.key.stack();
        let prefix = format!("{stack}_");
        let objects = self
            .objects
            .iter()
            .filter(|(id, _)| id.name.starts_with(&prefix))
            .filter(|(id, o)| {
                o.uid.is_some() || rendered.is_some_and(|r| r.native.contains_key(id))
            })
            .map(|(id, o)| (id.clone(), self.look_at(id, o, cluster, rendered)))
            .collect();
        let mut instances: Vec<Instance> = self
            .tasks
            .iter()
            .filter(|t| t.object.0.name.starts_with(&prefix))
            .map(|t| self.instance(t))
            .collect();
        instances.reverse();
        Observed {
            at: self.now,
            objects,
            instances,
            topology: self.topology(),
            probes: std::collections::BTreeMap::new(),
        }
    }

    fn look_at(
        &self,
        id: &ObjectId,
        object: &Object,
        cluster: &ClusterRef,
        rendered: Option<&Rendered<Native>>,
    ) -> ObservedObject {
        let owner = match &object.uid {
            None => Owner::Foreign,
            Some(uid) if *uid == cluster.uid => Owner::Ours,
            Some(uid) => Owner::Predecessor { uid: uid.clone() },
        };
        let wanted = rendered.and_then(|r| r.native.get(id));
        let difference = wanted
            .filter(|_| owner == Owner::Ours)
            .and_then(|w| self.difference(object, w));
        let of_object = |t: &&Task| t.object.1 == object.native_id;
        let stopped = || Difference {
            cause: DifferenceCause::Stalled,
            fields: vec!["UpdateStatus".to_owned()],
            touches: Touches::Process,
            in_place: false,
        };
        let updating = self.tasks.iter().filter(of_object).any(|t| {
            t.wanted
                && outdated(
                    t,
                    &object.native,
                    &object.references,
                    &self.nodes,
                    self.options.kubernetes,
                )
        });
        let ours = owner == Owner::Ours && wanted.is_some();
        let difference =
            difference.or_else(|| (ours && updating && object.paused.is_some()).then(stopped));
        ObservedObject {
            native_id: object.native_id.clone(),
            version: Some(SeenVersion(object.version)),
            owner,
            class: object.native.class,
            workload: object.native.workload,
            revision: Some(Revision(object.revision.clone())),
            difference,
            kept: Vec::new(),
            replicas: object.replicas,
            in_use: self.in_use(id),
            updating: updating && object.paused.is_none(),
            update_stalled: object.paused.clone().filter(|_| updating),
        }
    }

    fn difference(&self, object: &Object, wanted: &Native) -> Option<Difference> {
        let mut fields: Vec<String> = wanted
            .fields
            .iter()
            .filter(|(k, v)| object.native.fields.get(*k) != Some(*v))
            .map(|(k, _)| k.clone())
            .collect();
        let mut cause = if object.revision == revision(wanted) {
            DifferenceCause::EditedByHand
        } else {
            DifferenceCause::Spec
        };
        let touches = |field: &String| match field.as_str() {
            PLACEMENT if !self.options.kubernetes => Touches::Placement,
            "Resources" => Touches::Resources,
            _ => Touches::Process,
        };
        let mut touches = fields.iter().map(touches).max().unwrap_or(Touches::Nothing);
        let stale_reference = wanted.class == ObjectClass::Workload
            && wanted.uses.iter().any(|used| {
                self.objects
                    .get(used)
                    .is_some_and(|o| object.references.get(used) != Some(&o.native_id))
            });
        if stale_reference {
            if fields.is_empty() {
                cause = DifferenceCause::Reference;
            }
            fields.push("References".to_owned());
            touches = Touches::Process;
        }
        if object.replicas != wanted.replicas {
            fields.push("Replicas".to_owned());
        }
        fields.sort();
        (!fields.is_empty()).then_some(Difference {
            cause,
            fields,
            touches,
            in_place: false,
        })
    }

    fn instance(&self, task: &Task) -> Instance {
        let node_down = task
            .node
            .as_ref()
            .and_then(|n| self.nodes.get(n))
            .is_some_and(|n| !n.node.up());
        // A kubelet that is silent leaves its pods as they were, and the platform says that they are not ready.
        let silent = node_down && self.capabilities().platform == "kubernetes";
        let state = match &task.state {
            state if node_down && !silent && !task.ended() => {
                let _ = state;
                InstanceState::Lost
            }
            TaskState::Pending(reason) => InstanceState::Pending {
                reason: reason.clone(),
            },
            TaskState::Preparing => InstanceState::Preparing,
            TaskState::Starting => InstanceState::Starting,
            TaskState::Running => InstanceState::Running,
            TaskState::Complete => InstanceState::Complete,
            TaskState::Failed(message) => InstanceState::Failed {
                message: message.clone(),
            },
            TaskState::Rejected(message) => InstanceState::Rejected {
                message: message.clone(),
            },
            TaskState::Shutdown => InstanceState::Shutdown,
        };
        let current = self.objects.get(&task.object.0).is_some_and(|o| {
            o.native_id == task.object.1
                && o.native.same_process(&task.native)
                && (!self.options.kubernetes || o.native.fields == task.native.fields)
                && o.references == task.references
        });
        Instance {
            workload: WorkloadKey { ..task.key },
            id: task.id.clone(),
            slot: Some(task.slot),
            node: task.node.clone(),
            wanted: task.wanted,
            state,
            ready: silent.then_some(false),
            address: task.address.parse().ok(),
            since: Some(task.since),
            image: task.native.image.clone(),
            current,
            deleting: None,
        }
    }
}
