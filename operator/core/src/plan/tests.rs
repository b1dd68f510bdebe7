use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::*;
use crate::action::{CreateCause, RemoveCause};
use crate::check::check;
use crate::desire::desire;
use crate::desired::Shape;
use crate::facts::Facts;
use crate::names::ClusterRef;
use crate::observed::{Difference, DifferenceCause, Instance, InstanceState, ObservedObject};
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
        let resource = testing::resource(SAMPLE);
        let facts: Facts = testing::facts(&resource, 4);
        let capabilities = testing::swarm_capabilities();
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
        .unwrap();
        let desired = desire(&cluster, &ledger, &facts, &capabilities);
        let outline = outline(&desired);
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
        }
    }

    /// The same, up and answering, with everything that lives for the first time written down.
    pub(crate) fn up() -> Self {
        let mut scene = Self::new();
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
        scene.outline = outline(&scene.desired);
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
                note: String::new(),
                sessions: sessions.expected,
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
            address: address.parse().ok(),
            since: Some(now()),
            image: String::new(),
            current: true,
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
            restarts,
        });
    }

    pub(crate) fn plan(&self) -> Plan {
        let capabilities = testing::swarm_capabilities();
        let input = self.input(&capabilities);
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
        }
    }
}

fn outline(desired: &Desired) -> Outline {
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
        for key in workload.keys() {
            let replicas = match &workload.shape {
                Shape::Replicated { replicas } => Some(*replicas),
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

fn object(outline: &ObjectOutline) -> ObservedObject {
    ObservedObject {
        native_id: "id".to_owned(),
        owner: Owner::Ours,
        class: outline.class,
        workload: outline.workload,
        revision: Some(outline.revision.clone()),
        difference: None,
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

#[test]
fn nothing_is_done_before_the_ledger_stands() {
    let mut scene = Scene::new();
    scene.ledger = Ledger::default();
    let plan = scene.plan();
    assert_eq!(plan.actions.len(), 1);
    assert!(matches!(plan.actions[0], Action::RecordLedger(_)));
    assert_eq!(plan.next_check, Duration::ZERO);
}

#[test]
fn what_waits_for_nothing_starts_together_and_the_rest_says_what_for() {
    let plan = Scene::new().plan();
    let created = names(&plan);
    assert_eq!(created.len(), 1 + 3 + 4 + 3 + 1, "{created:?}");
    assert!(created.iter().all(|n| n.ends_with("New")));
    let on = plan
        .waiting
        .iter()
        .find(|w| w.component == Some(Component::RootCoord))
        .map(|w| &w.on);
    let Some(WaitingOn::Dependencies(needs)) = on else {
        panic!("{:?}", plan.waiting)
    };
    let needs: Vec<Component> = needs.iter().map(|(c, _)| *c).collect();
    assert_eq!(
        needs,
        [Component::Etcd, Component::Minio, Component::Broker]
    );
}

#[test]
fn at_rest_nothing_is_planned() {
    let plan = Scene::up().plan();
    assert_eq!(names(&plan), Vec::<String>::new());
    assert_eq!(plan.waiting, []);
    assert_eq!(plan.next_check, REST);
    assert!(plan.changing.is_empty());
}

#[test]
fn a_missing_member_is_made_again_only_when_its_old_process_is_gone() {
    let mut scene = Scene::up();
    scene.observed.objects.remove(&service("etcd-1"));
    let plan = scene.plan();
    assert_eq!(names(&plan), Vec::<String>::new());
    let waits = WaitingOn::MemberStop {
        workload: key("etcd-1"),
    };
    assert!(plan.waiting.iter().any(|w| w.on == waits));

    scene.state("etcd-1", InstanceState::Shutdown);
    assert_eq!(names(&scene.plan()), ["create reference_etcd-1 Missing"]);
}

#[test]
fn processes_of_a_removed_object_open_no_gate() {
    // All services were removed a moment ago: everything still runs and answers.
    let mut scene = Scene::up();
    scene.observed.objects.retain(|id, _| id.kind != "service");
    let plan = scene.plan();
    assert!(
        !names(&plan)
            .iter()
            .any(|n| n.contains("coord") || n.contains("broker")),
        "{:?}",
        names(&plan)
    );
}

#[test]
fn one_member_is_changed_at_a_time_and_stopped_first() {
    let mut scene = Scene::up();
    for name in ["etcd-0", "etcd-1", "etcd-2", "proxy"] {
        scene.differs(name, true);
    }
    let plan = scene.plan();
    assert_eq!(names(&plan), ["stop reference_etcd-0"]);
    let turn = WaitingOn::Turn {
        workload: key("etcd-1"),
        after: key("etcd-0"),
    };
    assert!(
        plan.waiting.iter().any(|w| w.on == turn),
        "{:?}",
        plan.waiting
    );

    // Stopped, its process still there.
    let etcd_0 = service("etcd-0");
    scene.observed.objects.get_mut(&etcd_0).unwrap().replicas = Some(0);
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
    // Gone: now it is changed, and nobody else.
    scene.state("etcd-0", InstanceState::Shutdown);
    assert_eq!(names(&scene.plan()), ["update reference_etcd-0"]);
    // Changed and coming up: the others wait.
    let changed = scene.observed.objects.get_mut(&etcd_0).unwrap();
    changed.replicas = Some(1);
    changed.difference = None;
    scene.state("etcd-0", InstanceState::Starting);
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
    scene.state("etcd-0", InstanceState::Running);
    scene.fails("etcd-0", ProbeFailureKind::NotReady);
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
    scene.answer(
        ProbeId::target(Component::Etcd, "etcd-0"),
        Ok(ProbeDetail::default()),
    );
    assert_eq!(names(&scene.plan()), ["stop reference_etcd-1"]);
}

#[test]
fn what_restarts_nothing_waits_for_nobody() {
    let mut scene = Scene::up();
    for name in ["etcd-0", "etcd-1", "querynode"] {
        scene.differs(name, false);
    }
    assert_eq!(names(&scene.plan()).len(), 3);
}

#[test]
fn what_is_broken_is_put_right_first_and_without_a_turn() {
    let mut scene = Scene::up();
    scene.differs("rootcoord", true);
    scene.differs("querynode", true);
    scene.state("querynode", InstanceState::Starting);
    let plan = scene.plan();
    assert_eq!(names(&plan), ["update reference_querynode"]);
}

#[test]
fn a_broken_way_in_takes_no_quorum_down() {
    let mut scene = Scene::up();
    for name in ["etcd-0", "etcd-1", "etcd-2"] {
        scene.differs(name, true);
        scene.fails(name, ProbeFailureKind::NoPath);
    }
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
}

#[test]
fn a_lost_quorum_is_changed_member_by_member_after_a_while() {
    let mut scene = Scene::up();
    for name in ["etcd-0", "etcd-1", "etcd-2"] {
        scene.differs(name, true);
        scene.fails(name, ProbeFailureKind::NotReady);
    }
    assert_eq!(
        names(&scene.plan()),
        Vec::<String>::new(),
        "an election looks the same"
    );
    let since = now() - jiff::SignedDuration::from_secs(11);
    scene.memory.unready.insert(Component::Etcd, since);
    assert_eq!(names(&scene.plan()), ["stop reference_etcd-0"]);
}

#[test]
fn a_member_on_a_lost_node_is_left_alone() {
    let mut scene = Scene::up();
    let node = scene.ledger.members["etcd-1"].node.clone();
    for n in &mut scene.observed.topology.nodes {
        n.up = n.id != node;
    }
    for instance in &mut scene.observed.instances {
        if instance.node.as_ref() == Some(&node) {
            instance.state = InstanceState::Lost;
        }
    }
    scene.differs("etcd-1", true);
    let plan = scene.plan();
    assert_eq!(names(&plan), Vec::<String>::new());
    let notice = plan.notices.iter().find(|n| n.reason == Reason::NodeDown);
    assert!(notice.unwrap().message.contains("etcd-1"));
}

#[test]
fn somebody_elses_object_is_reported_and_left_alone() {
    let mut scene = Scene::up();
    let proxy = scene.observed.objects.get_mut(&service("proxy")).unwrap();
    proxy.owner = Owner::Foreign;
    let plan = scene.plan();
    assert_eq!(names(&plan), Vec::<String>::new());
    assert!(
        plan.notices
            .iter()
            .any(|n| n.reason == Reason::ForeignObject)
    );
}

#[test]
fn leftovers_of_an_earlier_resource_are_cleared_away_first() {
    let mut scene = Scene::new();
    let id = service("etcd-0");
    let left = ObservedObject {
        owner: Owner::Predecessor {
            uid: "old".to_owned(),
        },
        ..object(&scene.outline[&id])
    };
    scene.observed.objects.insert(id, left);
    let planned = names(&scene.plan());
    assert_eq!(planned[0], "remove reference_etcd-0 Unwanted");
    assert!(
        !planned
            .iter()
            .any(|n| n.starts_with("create reference_etcd-0"))
    );
}

#[test]
fn old_configs_go_when_nothing_refers_to_them() {
    let mut scene = Scene::up();
    let id = ObjectId::new("config", "reference_zoo-cfg-old");
    let mut old = object(&scene.outline[&ObjectId::new("network", "reference_backend")]);
    scene.observed.objects.insert(id.clone(), old.clone());
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
    old.in_use = false;
    scene.observed.objects.insert(id, old);
    assert_eq!(
        names(&scene.plan()),
        ["remove reference_zoo-cfg-old Superseded"]
    );
}

#[test]
fn trouble_names_its_cause_and_the_field() {
    let cases = [
        (
            InstanceState::Rejected {
                message: "No such image: milvusdb/milvus:v2.3.5".to_owned(),
            },
            "querynode",
            Reason::ImagePullFailed,
            "spec.components",
        ),
        (
            InstanceState::Rejected {
                message:
                    "invalid mount config for type \"bind\": bind source path does not exist: /data"
                        .to_owned(),
            },
            "etcd-0",
            Reason::MountFailed,
            "persistence",
        ),
        (
            InstanceState::Pending {
                reason: "no suitable node (host-mode port already in use on 4 nodes)".to_owned(),
            },
            "gateway",
            Reason::PortTaken,
            "spec.swarm.gateway.port",
        ),
        (
            InstanceState::Pending {
                reason: "no suitable node (insufficient resources on 4 nodes)".to_owned(),
            },
            "datanode",
            Reason::Unschedulable,
            "resources",
        ),
        (
            InstanceState::Failed {
                message: "task: non-zero exit (1)".to_owned(),
            },
            "indexnode",
            Reason::InstanceFailed,
            "",
        ),
    ];
    for (state, name, reason, field) in cases {
        let mut scene = Scene::up();
        scene.state(name, state.clone());
        let plan = scene.plan();
        let notice = plan.notices.iter().find(|n| n.reason == reason);
        let notice = notice.unwrap_or_else(|| panic!("{state:?}: {:?}", plan.notices));
        let found = notice.field.clone().unwrap_or_default();
        assert!(found.contains(field), "{notice:?}");
        assert!(notice.message.starts_with(name), "{notice:?}");
        assert!(plan.next_check <= PATIENT);
    }
}

#[test]
fn the_check_finds_what_no_plan_may_hold() {
    let capabilities = testing::swarm_capabilities();
    let mut scene = Scene::up();
    for name in ["etcd-0", "etcd-1"] {
        scene.differs(name, true);
    }
    let proxy = scene.observed.objects.get_mut(&service("proxy")).unwrap();
    proxy.owner = Owner::Foreign;
    let good = scene.plan();
    let input = scene.input(&capabilities);
    let stop = |name: &str| Action::Stop {
        id: service(name),
        reason: String::new(),
    };
    let bad: [(Vec<Action>, &str); 6] = [
        (vec![stop("etcd-0"), stop("etcd-1")], "2 members of etcd"),
        (
            vec![Action::Remove {
                id: service("proxy"),
                native_id: "id".to_owned(),
                cause: RemoveCause::Unwanted,
            }],
            "somebody else's",
        ),
        (
            vec![Action::Remove {
                id: service("etcd-0"),
                native_id: "another".to_owned(),
                cause: RemoveCause::Unwanted,
            }],
            "not seen",
        ),
        (
            vec![Action::Create {
                id: service("etcd-0"),
                cause: CreateCause::New,
            }],
            "there already",
        ),
        (
            vec![Action::RemoveVolume {
                node: "n1".to_owned(),
                volume: "reference_etcd-0-data-e1".to_owned(),
                bind_base: None,
            }],
            "is to exist",
        ),
        (
            vec![Action::RecordLedger(Box::default()), stop("etcd-0")],
            "more than record the ledger",
        ),
    ];
    for (actions, word) in bad {
        let plan = Plan {
            actions,
            ..good.clone()
        };
        let wrong = check(&plan, &input);
        assert!(wrong.iter().any(|w| w.contains(word)), "{word}: {wrong:?}");
    }
}

#[test]
fn deletion_goes_front_to_back_and_ends_with_the_finalizer() {
    let mut scene = Scene::up();
    let policies = DeletionPolicies::from_spec(&scene.resource.spec);
    let cluster: ClusterRef = scene.desired.cluster.clone();
    let mut ledger = Some(scene.ledger.clone());
    let memory = Memory::default();
    let abandoned = BTreeSet::new();
    let mut order: Vec<String> = Vec::new();
    for _ in 0..10 {
        let used = scene
            .observed
            .objects
            .values()
            .any(|o| o.class == ObjectClass::Workload);
        for object in scene.observed.objects.values_mut() {
            object.in_use &= used;
        }
        let input = DeletionInput {
            cluster: &cluster,
            observed: &scene.observed,
            ledger: ledger.as_ref(),
            policies: &policies,
            abandoned: &abandoned,
            now: now(),
            memory: &memory,
        };
        let plan = plan_deletion(&input);
        assert_eq!(
            crate::check::check_deletion(&plan, &input),
            Vec::<String>::new()
        );
        for action in &plan.actions {
            match action {
                Action::Remove { id, .. } => {
                    order.push(id.name.clone());
                    let gone = scene.observed.objects.remove(id).and_then(|o| o.workload);
                    scene
                        .observed
                        .instances
                        .retain(|i| Some(i.workload) != gone);
                }
                Action::RecordLedger(kept) => {
                    order.push("ledger".to_owned());
                    ledger = Some((**kept).clone());
                }
                Action::DropFinalizer => {
                    order.push("finalizer".to_owned());
                    let at = |name: &str| order.iter().position(|n| n.contains(name)).unwrap();
                    let expected = [
                        "gateway",
                        "proxy",
                        "querynode",
                        "rootcoord",
                        "broker",
                        "bookkeeper-0",
                        "backend",
                        "ledger",
                        "finalizer",
                    ];
                    for pair in expected.windows(2) {
                        assert!(at(pair[0]) < at(pair[1]), "{pair:?} in {order:?}");
                    }
                    let kept = ledger.unwrap();
                    assert!(kept.is_retained());
                    assert_eq!(kept.members, scene.ledger.members);
                    assert_eq!(kept.retained.len(), 13);
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("never ends: {order:?}");
}
