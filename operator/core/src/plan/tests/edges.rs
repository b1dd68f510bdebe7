use super::*;
use crate::action::{CreateCause, RemoveCause};
use crate::check::check_deletion;
use crate::testing::swarm_capabilities;

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
    each_is_explained(cases);
}

/// The words of kubelets and of the scheduler.
#[test]
fn trouble_on_kubernetes_names_its_cause_and_the_field() {
    let rejected = |message: &str| InstanceState::Rejected {
        message: message.to_owned(),
    };
    let pending = |reason: &str| InstanceState::Pending {
        reason: reason.to_owned(),
    };
    let failed = |message: &str| InstanceState::Failed {
        message: message.to_owned(),
    };
    let image = Reason::ImagePullFailed;
    each_is_explained([
        (
            rejected("ErrImagePull: failed to pull and unpack image \"m:v1\": not found"),
            "querynode",
            image,
            "spec.components",
        ),
        (
            rejected("ImagePullBackOff: Back-off pulling image \"m:v1\""),
            "querynode",
            image,
            "spec.components",
        ),
        (
            rejected("InvalidImageName: couldn't parse image name \"m::\""),
            "etcd-0",
            image,
            "image",
        ),
        (
            rejected(
                "ErrImageNeverPull: Container image \"m\" is not present with pull policy of Never",
            ),
            "querynode",
            image,
            "spec.components",
        ),
        (
            rejected("CreateContainerConfigError: secret \"login\" not found"),
            "querynode",
            Reason::InstanceFailed,
            "spec.components.queryNode",
        ),
        (
            pending(
                "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available",
            ),
            "datanode",
            Reason::Unschedulable,
            "resources",
        ),
        (
            pending(
                "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
            ),
            "datanode",
            Reason::Unschedulable,
            "nodeSelector",
        ),
        (
            pending(
                "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.",
            ),
            "etcd-0",
            Reason::Unschedulable,
            "persistence",
        ),
        (
            pending("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
            "etcd-0",
            Reason::Unschedulable,
            "persistence",
        ),
        (
            pending("0/2 nodes are available: 2 node(s) had volume node affinity conflict."),
            "etcd-0",
            Reason::Unschedulable,
            "persistence",
        ),
        (
            pending(
                "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.",
            ),
            "querynode",
            Reason::PortTaken,
            "",
        ),
        (
            failed("exit code 137 (OOMKilled)"),
            "querynode",
            Reason::InstanceFailed,
            "resources",
        ),
        (
            failed("Evicted: The node was low on resource: ephemeral-storage."),
            "querynode",
            Reason::InstanceFailed,
            "",
        ),
    ]);
}

fn each_is_explained<const N: usize>(cases: [(InstanceState, &str, Reason, &str); N]) {
    for (state, name, reason, field) in cases {
        let mut scene = Scene::up();
        scene.state(name, state.clone());
        let plan = scene.plan();
        let notice = plan.notices.iter().find(|n| n.reason == reason);
        let notice = notice.unwrap_or_else(|| panic!("{state:?}: {:?}", plan.notices));
        let found = notice.field.clone().unwrap_or_default();
        assert!(found.contains(field), "{notice:?}");
        assert!(notice.message.starts_with(name), "{notice:?}");
        assert!(plan.next_check <= swarm_capabilities().rhythm.patient);
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
            orphan: false,
            policies: &policies,
            abandoned: &abandoned,
            rhythm: swarm_capabilities().rhythm,
            now: now(),
            memory: &memory,
        };
        let plan = plan_deletion(&input);
        assert_eq!(check_deletion(&plan, &input), Vec::<String>::new());
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

/// Asked for while the operator listened, or seen later on the objects that were let go.
#[test]
fn a_deletion_that_orphans_removes_nothing() {
    for listened in [true, false] {
        let mut scene = Scene::up();
        let cluster: ClusterRef = scene.desired.cluster.clone();
        if !listened {
            let object = scene.observed.objects.values_mut().next().unwrap();
            object.owner = Owner::Released;
        }
        let policies = DeletionPolicies {
            default: milvus_crds::DeletionPolicy::Delete,
            ..DeletionPolicies::default()
        };
        let mut ledger = scene.ledger.clone();
        let mut done = Vec::new();
        for _ in 0..2 {
            let plan = plan_deletion(&DeletionInput {
                cluster: &cluster,
                observed: &scene.observed,
                ledger: Some(&ledger),
                orphan: listened,
                policies: &policies,
                abandoned: &BTreeSet::new(),
                rhythm: swarm_capabilities().rhythm,
                now: now(),
                memory: &Memory::default(),
            });
            let last = plan.actions.contains(&Action::DropFinalizer);
            let told = |notice: &Notice| notice.reason == Reason::Orphaned;
            assert_eq!(plan.notices.iter().any(told), last);
            for action in &plan.actions {
                if let Action::RecordLedger(kept) = action {
                    ledger = (**kept).clone();
                }
            }
            done.extend(plan.actions);
        }
        assert!(
            matches!(
                done.as_slice(),
                [Action::RecordLedger(_), Action::DropFinalizer]
            ),
            "{done:?}"
        );
        assert!(ledger.is_retained());
        assert_eq!(ledger.members, scene.ledger.members);
    }
}

/// Content that is fixed is put right by making the object anew, once nothing uses it; labels and owners in place.
#[test]
fn what_is_said_about_a_fixed_object_is_put_right_in_place() {
    for in_place in [true, false] {
        let mut scene = Scene::up();
        let fixed =
            |(_, o): &(&ObjectId, &mut ObservedObject)| o.class == ObjectClass::Prerequisite;
        let (id, object) = scene.observed.objects.iter_mut().find(fixed).unwrap();
        let id = id.clone();
        assert!(object.in_use);
        object.difference = Some(Difference {
            cause: DifferenceCause::EditedByHand,
            fields: vec!["metadata.ownerReferences".to_owned()],
            touches: Touches::Nothing,
            in_place,
        });
        let plan = scene.plan();
        let updates =
            |action: &Action| matches!(action, Action::Update { id: of, .. } if *of == id);
        assert_eq!(plan.actions.iter().any(updates), in_place);
        let refused = |notice: &Notice| notice.reason == Reason::ImmutableField;
        assert_eq!(plan.notices.iter().any(refused), !in_place);
    }
}
