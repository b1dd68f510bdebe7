//! What processes answer over the wire, worked out from who runs: quorums are quorums.

use std::collections::BTreeMap;

use milvus_core::component::{Component, WorkloadKey};
use milvus_core::desired::Desired;
use milvus_core::observed::{InstanceState, Observed};
use milvus_core::probe::{
    ProbeDetail, ProbeFailure, ProbeFailureKind, ProbeId, ProbeKind, ProbeResult, ProbeTarget,
};

use crate::tasks::{Task, TaskState};
use crate::world::World;

impl World {
    pub(crate) fn up(&self, uid: &str, component: Component) -> Vec<&Task> {
        self.tasks
            .iter()
            .filter(|t| {
                t.uid == uid
                    && t.key.component == component
                    && t.state == TaskState::Running
                    && !t.address.is_empty()
                    && self.now >= t.next
                    && (t.lived || t.key.component != Component::Minio)
            })
            .collect()
    }

    /// Whether a component of a cluster serves those who need it.
    pub fn serves(&self, uid: &str, component: Component) -> bool {
        let up = self.up(uid, component);
        let members = up.first().map_or(1, |t| t.native.members.max(1)) as usize;
        let ordinals: std::collections::BTreeSet<_> =
            up.iter().map(|t| (t.key.ordinal, t.slot)).collect();
        let enough = match component {
            Component::Etcd | Component::Zookeeper => members / 2 + 1,
            Component::Minio if members == 4 => 3,
            Component::Minio => members,
            Component::Bookkeeper => members.min(2),
            _ => 1,
        };
        ordinals.len() >= enough
            && match component {
                Component::Bookkeeper => self.serves(uid, Component::Zookeeper),
                Component::Broker => self.serves(uid, Component::Bookkeeper),
                _ => true,
            }
    }

    fn answer(&self, uid: &str, task: &Task) -> Result<(), ProbeFailureKind> {
        if self.now < task.next {
            return Err(ProbeFailureKind::Refused);
        }
        let component = task.key.component;
        if component == Component::Minio && !task.lived {
            return Err(ProbeFailureKind::NotReady); // waits for peers that agree
        }
        let well = if component.is_milvus() {
            task.native.needs.iter().all(|c| self.serves(uid, *c))
        } else {
            self.serves(uid, component)
        };
        if well {
            Ok(())
        } else {
            Err(ProbeFailureKind::NotReady)
        }
    }

    /// The answers to everything that a cluster is asked.
    pub fn probe(&self, desired: &Desired, observed: &Observed) -> BTreeMap<ProbeId, ProbeResult> {
        let uid = &desired.cluster.uid;
        let gateway = self.capabilities().gateway;
        let path = !gateway || !self.up(uid, Component::Gateway).is_empty();
        let mut answers = BTreeMap::new();
        let mut tell = |id: ProbeId, outcome: Result<ProbeDetail, ProbeFailureKind>| {
            let outcome = outcome.map_err(|kind| ProbeFailure {
                kind,
                message: format!("{}: {kind:?}", id.target),
            });
            answers.insert(
                id,
                ProbeResult {
                    at: self.now,
                    outcome,
                },
            );
        };
        let by_key = |key: WorkloadKey| {
            self.tasks.iter().find(|t| {
                t.uid == *uid
                    && t.key == key
                    && t.state == TaskState::Running
                    && !t.address.is_empty()
            })
        };
        let by_address = |address: &str| {
            self.tasks
                .iter()
                .find(|t| t.address == address && t.state == TaskState::Running && t.uid == *uid)
        };
        for workload in &desired.workloads {
            let Some(probe) = &workload.probe else {
                continue;
            };
            if matches!(probe.kind, ProbeKind::Gateway | ProbeKind::Endpoint { .. }) {
                continue;
            }
            let asked = observed.instances.iter().filter(|i| {
                i.workload.component == workload.component
                    && i.wanted
                    && i.state == InstanceState::Running
            });
            for instance in asked {
                let (target, task) = match probe.target {
                    ProbeTarget::EachMember => {
                        (instance.workload.to_string(), by_key(instance.workload))
                    }
                    _ => {
                        let Some(address) = instance.address else {
                            continue;
                        };
                        let address = address.to_string();
                        let task = by_address(&address);
                        (address, task)
                    }
                };
                let outcome = match task {
                    _ if !path => Err(ProbeFailureKind::NoPath),
                    None => Err(ProbeFailureKind::Timeout),
                    Some(task) => self.answer(uid, task).map(|()| ProbeDetail::default()),
                };
                tell(ProbeId::target(workload.component, target), outcome);
            }
        }
        for component in desired.stores.keys() {
            if let Some(seen) = self.stored(uid, *component).filter(|_| path) {
                tell(ProbeId::store(*component), Ok(seen));
            }
        }
        for (component, probe) in &desired.external {
            if let ProbeTarget::External(addresses) = &probe.target {
                for address in addresses {
                    let outcome = if path {
                        Ok(ProbeDetail::default())
                    } else {
                        Err(ProbeFailureKind::NoPath)
                    };
                    tell(ProbeId::target(*component, address.clone()), outcome);
                }
            }
        }
        if let Some(sessions) = &desired.sessions {
            let joint =
                self.up(uid, Component::MixCoord).len() + self.up(uid, Component::Standalone).len();
            let counted = sessions
                .expected
                .keys()
                .map(|role| {
                    let own = Component::from_name(role).map_or(0, |c| self.up(uid, c).len());
                    (role.clone(), u32::try_from(own.max(joint)).unwrap_or(0))
                })
                .collect();
            let etcd = desired.external.contains_key(&Component::Etcd)
                || self.serves(uid, Component::Etcd);
            let outcome = if !path {
                Err(ProbeFailureKind::NoPath)
            } else if etcd {
                Ok(ProbeDetail {
                    sessions: counted,
                    ..ProbeDetail::default()
                })
            } else {
                Err(ProbeFailureKind::NotReady)
            };
            tell(ProbeId::sessions(), outcome);
        }
        for address in self.endpoints(desired, observed) {
            let serving = self.up(uid, desired.endpoint.component);
            let outcome = if serving.iter().any(|t| self.answer(uid, t).is_ok()) {
                Ok(ProbeDetail::default())
            } else {
                Err(ProbeFailureKind::Refused)
            };
            tell(ProbeId::endpoint(&address), outcome);
        }
        answers
    }

    /// Where clients would connect to.
    pub fn endpoints(&self, desired: &Desired, observed: &Observed) -> Vec<String> {
        if !self.capabilities().gateway {
            return vec![format!("milvus:{}", desired.endpoint.port)];
        }
        observed
            .instances
            .iter()
            .filter(|i| {
                i.workload.component == Component::Gateway
                    && i.wanted
                    && i.state == InstanceState::Running
            })
            .filter_map(|i| observed.topology.node(i.node.as_deref()?))
            .filter(|n| n.up())
            .map(|n| format!("{}:{}", n.address, desired.endpoint.port))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}
