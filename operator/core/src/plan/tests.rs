use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::*;
use crate::check::check;
use crate::desire::desire;
use crate::desired::Shape;
use crate::facts::Facts;
use crate::names::ClusterRef;
use crate::observed::{
    Availability, Difference, DifferenceCause, Instance, InstanceState, NodeState, ObservedObject,
    SeenVersion, Topology, Touches,
};
use crate::outline::Revision;
use crate::probe::{ProbeDetail, ProbeFailure, ProbeFailureKind, ProbeId, ProbeResult};
use crate::reasons::Reason;
use crate::testing;
use crate::validate::validate;

/// A cluster as the planner sees it, to be bent by a test.
pub(crate) struct Scene {
    pub(crate) desired: Desired,
    pub(crate) outline: Outline,
    pub(crate) observed: Observed,
    pub(crate) ledger: Ledger,
    pub(crate) wanted: Ledger,
    pub(crate) memory: Memory,
    pub(crate) resource: milvus_crds::MilvusCluster,
    pub(crate) capabilities: Capabilities,
    pub(crate) accepted: BTreeSet<String>,
}

const SAMPLE: &str = include_str!("../../../../deploy/samples/reference.yaml");

pub(crate) fn now() -> Timestamp {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

fn service(name: &str) -> ObjectId {
    ObjectId::new("service", format!("reference_{name}"))
}

fn key(name: &str) -> WorkloadKey {
    WorkloadKey::parse(name).unwrap()
}

impl Scene {
    /// The reference cluster, placed and not started.
    pub(crate) fn new() -> Self {
        Self::on(testing::swarm_capabilities())
    }

    /// The same on a platform of these capabilities.
    pub(crate) fn on(capabilities: Capabilities) -> Self {
        let resource = testing::resource(SAMPLE);
        let mut facts: Facts = testing::facts(&resource, 4);
        if !capabilities.places_members {
            facts.topology = Topology::default();
        }
        let cluster = validate(&resource, &facts, &capabilities).unwrap();
        let ledger = place::place(
            &cluster.members(),
            cluster.fixed(),
            None,
            &facts.topology,
            &capabilities,
            &cluster.cluster,
            false,
        )
        .unwrap()
        .ledger;
        let desired = desire(&cluster, &ledger, &facts, &capabilities);
        let outline = outline(&desired, &capabilities);
        Self {
            observed: Observed {
                at: now(),
                objects: BTreeMap::new(),
                instances: Vec::new(),
                topology: facts.topology,
                probes: BTreeMap::new(),
            },
            desired,
            outline,
            wanted: ledger.clone(),
            ledger,
            memory: Memory::default(),
            resource,
            capabilities,
            accepted: BTreeSet::new(),
        }
    }

    /// The same, up and answering, with everything that lives for the first time written down.
    pub(crate) fn up() -> Self {
        Self::up_on(testing::swarm_capabilities())
    }

    /// The same on a platform of these capabilities.
    pub(crate) fn up_on(capabilities: Capabilities) -> Self {
        let mut scene = Self::on(capabilities);
        for component in [
            Component::Etcd,
            Component::Minio,
            Component::Zookeeper,
            Component::PulsarInit,
            Component::Bookkeeper,
        ] {
            scene.ledger.bootstrapped.insert(component, true);
        }
        scene.wanted = scene.ledger.clone();
        scene
            .desired
            .workloads
            .retain(|w| w.component != Component::PulsarInit);
        scene.outline = outline(&scene.desired, &scene.capabilities);
        for (id, outline) in scene.outline.clone() {
            scene.observed.objects.insert(id, object(&outline));
        }
        for workload in scene.desired.workloads.clone() {
            for key in workload.keys() {
                let count = match workload.shape {
                    Shape::Members { .. } => 1,
                    _ => readiness::wanted(&workload, &scene.observed),
                };
                for slot in 0..count {
                    scene.run(key, slot, InstanceState::Running);
                }
            }
        }
        let sessions = scene.desired.sessions.clone().unwrap();
        scene.answer(
            ProbeId::sessions(),
            Ok(ProbeDetail {
                sessions: sessions.expected,
                ..ProbeDetail::default()
            }),
        );
        scene.answer(
            ProbeId::endpoint("10.0.0.1:19530"),
            Ok(ProbeDetail::default()),
        );
        scene
    }

    fn run(&mut self, key: WorkloadKey, slot: u32, state: InstanceState) {
        let number = self.observed.instances.len() + 1;
        let address = format!("10.1.0.{number}");
        let node = self
            .ledger
            .member(key)
            .map_or_else(|| format!("n{}", slot + 1), |e| e.node.clone());
        self.observed.instances.push(Instance {
            workload: key,
            id: format!("task{number}"),
            slot: Some(u64::from(slot)),
            node: Some(node),
            wanted: true,
            state,
            ready: None,
            address: address.parse().ok(),
            since: Some(now()),
            image: String::new(),
            current: true,
            deleting: None,
        });
        for target in [key.to_string(), address] {
            self.answer(
                ProbeId::target(key.component, target),
                Ok(ProbeDetail::default()),
            );
        }
    }

    fn answer(&mut self, id: ProbeId, outcome: Result<ProbeDetail, ProbeFailure>) {
        self.observed
            .probes
            .insert(id, ProbeResult { at: now(), outcome });
    }

    fn fails(&mut self, name: &str, kind: ProbeFailureKind) {
        let key = key(name);
        let failure = ProbeFailure {
            kind,
            message: format!("{name}: {kind:?}"),
        };
        self.answer(ProbeId::target(key.component, name), Err(failure));
    }

    fn state(&mut self, name: &str, state: InstanceState) {
        let key = key(name);
        for instance in &mut self.observed.instances {
            if instance.workload == key {
                instance.state = state.clone();
            }
        }
    }

    fn differs(&mut self, name: &str, restarts: bool) {
        let object = self.observed.objects.get_mut(&service(name)).unwrap();
        object.difference = Some(Difference {
            cause: DifferenceCause::Spec,
            fields: vec!["TaskTemplate.ContainerSpec.Args".to_owned()],
            touches: if restarts {
                Touches::Process
            } else {
                Touches::Nothing
            },
            in_place: false,
        });
    }

    pub(crate) fn plan(&self) -> Plan {
        let input = self.input(&self.capabilities);
        let plan = plan(&input);
        assert_eq!(check(&plan, &input), Vec::<String>::new(), "{plan:#?}");
        plan
    }

    fn input<'a>(&'a self, capabilities: &'a Capabilities) -> PlanInput<'a> {
        PlanInput {
            desired: &self.desired,
            outline: &self.outline,
            observed: &self.observed,
            ledger: &self.ledger,
            wanted_ledger: &self.wanted,
            capabilities,
            now: now(),
            memory: &self.memory,
            accepted: &self.accepted,
        }
    }
}

fn outline(desired: &Desired, capabilities: &Capabilities) -> Outline {
    let stack = desired.cluster.key.stack();
    let entry = |class, workload, uses, replicas| ObjectOutline {
        class,
        workload,
        revision: Revision("r1".to_owned()),
        uses,
        replicas,
        mutable: class == ObjectClass::Workload,
    };
    let network = ObjectId::new("network", format!("{stack}_backend"));
    let mut outline = Outline::new();
    outline.insert(
        network.clone(),
        entry(ObjectClass::Prerequisite, None, BTreeSet::new(), None),
    );
    for workload in &desired.workloads {
        let mut keys = workload.keys();
        if !capabilities.places_members {
            keys = vec![WorkloadKey::shared(workload.component)];
        }
        for key in keys {
            let replicas = match &workload.shape {
                Shape::Members { .. } if key.ordinal.is_none() => workload.replicas(),
                Shape::Replicated { replicas, .. } => Some(*replicas),
                Shape::Members { .. } | Shape::Job => Some(1),
                Shape::PerNode => None,
            };
            let uses = BTreeSet::from([network.clone()]);
            outline.insert(
                ObjectId::new("service", desired.cluster.key.workload(key)),
                entry(ObjectClass::Workload, Some(key), uses, replicas),
            );
        }
    }
    outline
}

/// The version of every object of a scene.
const SEEN: SeenVersion = SeenVersion(7);

fn object(outline: &ObjectOutline) -> ObservedObject {
    ObservedObject {
        native_id: "id".to_owned(),
        version: Some(SEEN),
        owner: Owner::Ours,
        class: outline.class,
        workload: outline.workload,
        revision: Some(outline.revision.clone()),
        difference: None,
        kept: Vec::new(),
        replicas: outline.replicas,
        in_use: outline.class == ObjectClass::Prerequisite,
        updating: false,
        update_stalled: None,
    }
}

fn names(plan: &Plan) -> Vec<String> {
    plan.actions
        .iter()
        .map(|action| match action {
            Action::Create { id, cause } => format!("create {} {cause:?}", id.name),
            Action::Update { id, .. } => format!("update {}", id.name),
            Action::Stop { id, .. } => format!("stop {}", id.name),
            Action::Remove { id, cause, .. } => format!("remove {} {cause:?}", id.name),
            other => format!("{other:?}"),
        })
        .collect()
}

mod abandoned;
mod edges;
mod emptied;
mod leaving;
mod shared;
mod steps;
mod stores;
mod systems;
mod turns;
