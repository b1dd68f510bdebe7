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
        seen: Some(SEEN),
        reason: String::new(),
    };
    let blind = |seen| Action::Stop {
        id: service("etcd-0"),
        seen,
        reason: String::new(),
    };
    let bad: [(Vec<Action>, &str); 8] = [
        (vec![blind(None)], "etcd-0 that was not seen"),
        (
            vec![blind(Some(SeenVersion(6)))],
            "etcd-0 that was not seen",
        ),
        (vec![stop("etcd-0"), stop("etcd-1")], "2 members of etcd"),
        (
            vec![Action::Remove {
                id: service("proxy"),
                native_id: "id".to_owned(),
                seen: Some(SEEN),
                cause: RemoveCause::Unwanted,
            }],
            "which is foreign",
        ),
        (
            vec![Action::Remove {
                id: service("etcd-0"),
                native_id: "another".to_owned(),
                seen: Some(SEEN),
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

/// A rollout that the platform has stopped goes on when the same is written again: at once, then with growing pauses.
#[test]
fn a_stopped_rollout_is_asked_to_go_on_with_growing_pauses() {
    let mut scene = Scene::up();
    let object = scene.observed.objects.get_mut(&service("proxy")).unwrap();
    object.update_stalled = Some("update paused due to failure of task t9".to_owned());
    object.difference = Some(Difference {
        cause: DifferenceCause::Stalled,
        fields: vec!["UpdateStatus".to_owned()],
        touches: Touches::Process,
        in_place: false,
    });
    let proxies = scene.observed.instances.iter_mut();
    for proxy in proxies.filter(|i| i.workload == key("proxy")) {
        proxy.current = false;
    }
    let asked = |scene: &Scene| names(&scene.plan()) == ["update reference_proxy"];
    for (times, pause) in [(1, 10), (2, 20), (3, 40), (9, 300)] {
        let ago = |seconds| crate::plan::Resumed {
            times,
            last: now() - jiff::SignedDuration::from_secs(seconds),
        };
        scene.memory.resumed.clear();
        assert!(asked(&scene));
        scene
            .memory
            .resumed
            .insert(service("proxy"), ago(pause - 1));
        let plan = scene.plan();
        assert_eq!(names(&plan), Vec::<String>::new(), "{pause}");
        assert!(plan.changing.contains(&key("proxy")));
        let told = |n: &Notice| n.message.contains("does not get on");
        assert!(plan.notices.iter().any(told), "{:?}", plan.notices);
        scene.memory.resumed.insert(service("proxy"), ago(pause));
        assert!(asked(&scene), "{pause}");
    }
    // Each time is counted, until every process is current.
    scene.memory.resumed.clear();
    let plan = scene.plan();
    let done: Vec<&Action> = plan.actions.iter().collect();
    let mut memory = scene.memory.clone();
    memory.learn(now(), &scene.observed, &plan, &done);
    memory.learn(now(), &scene.observed, &plan, &done);
    assert_eq!(memory.resumed[&service("proxy")].times, 2);
    let object = scene.observed.objects.get_mut(&service("proxy")).unwrap();
    object.update_stalled = None;
    object.difference = None;
    memory.learn(now(), &scene.observed, &plan, &[]);
    assert!(!memory.resumed.is_empty(), "it rolls on");
    for instance in &mut scene.observed.instances {
        instance.current = true;
    }
    memory.learn(now(), &scene.observed, &plan, &[]);
    assert!(memory.resumed.is_empty());
}

/// A new leader does not know of any node whether it answers, until they register again.
#[test]
fn a_change_of_the_leader_is_no_loss_of_nodes() {
    let mut scene = Scene::up();
    for node in &mut scene.observed.topology.nodes {
        node.state = NodeState::Unknown;
    }
    let mut memory = Memory::default();
    let plan = scene.plan();
    assert_eq!(plan.notices, []);
    assert_eq!(plan.waiting, []);
    assert!(plan.readiness.values().all(|r| r.ready));
    let ago = |seconds| now() - jiff::SignedDuration::from_secs(seconds);
    memory.learn(ago(39), &scene.observed, &plan, &[]);
    scene.memory = memory.clone();
    assert_eq!(scene.plan().notices, []);
    // One that stays silent is away.
    for node in &mut scene.observed.topology.nodes[1..] {
        node.state = NodeState::Up;
    }
    memory.learn(now(), &scene.observed, &plan, &[]);
    assert_eq!(memory.unknown.len(), 1);
    for since in memory.unknown.values_mut() {
        *since = ago(40);
    }
    scene.memory = memory;
    let plan = scene.plan();
    let away = |n: &&Notice| n.reason == Reason::NodeDown;
    assert_eq!(plan.notices.iter().filter(away).count(), 1);
}

/// A volume on a node that takes no work is named with its node, given up by the node's name, and holds no other volume.
#[test]
fn a_drained_node_holds_only_its_own_volumes() {
    let mut scene = Scene::up();
    let cluster: ClusterRef = scene.desired.cluster.clone();
    scene.observed.objects.clear();
    scene.observed.instances.clear();
    let policies = DeletionPolicies {
        default: milvus_crds::DeletionPolicy::Delete,
        ..DeletionPolicies::default()
    };
    let home = scene.ledger.members["etcd-0"].clone();
    let nodes = scene.observed.topology.nodes.iter_mut();
    for node in nodes.filter(|n| n.id == home.node) {
        node.availability = Availability::Drained;
    }
    let planned = |memory: &Memory, abandoned: &[&String]| {
        let abandoned = abandoned.iter().map(ToString::to_string).collect();
        let input = DeletionInput {
            cluster: &cluster,
            observed: &scene.observed,
            ledger: Some(&scene.ledger),
            orphan: false,
            policies: &policies,
            abandoned: &abandoned,
            rhythm: swarm_capabilities().rhythm,
            now: now(),
            memory,
        };
        let plan = plan_deletion(&input);
        assert_eq!(check_deletion(&plan, &input), Vec::<String>::new());
        plan
    };
    let mut memory = Memory::default();
    let plan = planned(&memory, &[]);
    let removes = |node: &String| {
        let of = move |a: &&Action| matches!(a, Action::RemoveVolume { node: n, .. } if n == node);
        plan.actions.iter().filter(of).count()
    };
    assert_eq!(removes(&home.node), 0);
    assert!(!plan.actions.is_empty(), "other volumes go");
    let said = |n: &Notice| {
        n.reason == Reason::NodeUnavailable
            && n.message
                .contains(&format!("node {} is drained", home.node_name))
            && n.message.contains("abandon-node")
    };
    assert!(plan.notices.iter().any(said), "{:?}", plan.notices);
    // With the others gone it alone is waited for, until it is given up.
    let done: Vec<&Action> = plan.actions.iter().collect();
    memory.learn(now(), &scene.observed, &plan, &done);
    let rest = planned(&memory, &[]);
    assert_eq!(rest.actions, []);
    assert!(rest.waiting.iter().any(
        |w| matches!(&w.on, WaitingOn::Node { node, what } if *node == home.node_name && what.contains("drained"))
    ));
    for word in [&home.node, &home.node_name] {
        let last = planned(&memory, &[word]);
        assert!(
            matches!(last.actions.as_slice(), [Action::RecordLedger(_)]),
            "{last:?}"
        );
    }
}

#[test]
fn a_node_that_is_cut_off_is_named() {
    let scene = Scene::up();
    let topology = &scene.observed.topology;
    let address = topology.nodes[0].address.parse().unwrap();
    let notices = cut_off(topology, &[address]);
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].reason, Reason::NetworkBroken);
    assert!(notices[0].message.contains(&topology.nodes[0].name));
    assert_eq!(cut_off(topology, &[]), []);
}

#[test]
fn trouble_of_placement_names_the_field_that_was_written_and_the_node() {
    let pending = || InstanceState::Pending {
        reason: "no suitable node (scheduling constraints not satisfied on 4 nodes)".to_owned(),
    };
    let mut scene = Scene::up();
    let mut roles = scene.desired.workloads.iter_mut();
    let role = roles.find(|w| w.component == Component::QueryNode).unwrap();
    role.placement.node_selector.clear();
    role.placement.constraints = vec!["node.labels.role==query".to_owned()];
    scene.state("querynode", pending());
    let plan = scene.plan();
    let of = |plan: &Plan, reason| {
        let notice = plan.notices.iter().find(|n| n.reason == reason).cloned();
        notice.unwrap_or_else(|| panic!("{:?}", plan.notices))
    };
    assert_eq!(
        of(&plan, Reason::Unschedulable).field.as_deref(),
        Some("spec.swarm.components.queryNode.constraints")
    );

    // A member whose node was drained: the node is the cause, and no field.
    let mut scene = Scene::up();
    scene.state("etcd-0", pending());
    let home = scene.ledger.members["etcd-0"].clone();
    let nodes = scene.observed.topology.nodes.iter_mut();
    for node in nodes.filter(|n| n.id == home.node) {
        node.availability = Availability::Drained;
    }
    let notice = of(&scene.plan(), Reason::NodeUnavailable);
    assert!(
        notice
            .message
            .contains(&format!("{} is drained", home.node_name)),
        "{notice:?}"
    );
    assert_eq!(notice.field, None);

    // The port of an earlier process of its own comes free by itself.
    let mut scene = Scene::up();
    let taken = InstanceState::Pending {
        reason: "no suitable node (host-mode port already in use on 4 nodes)".to_owned(),
    };
    let mut old = scene.observed.instances.clone();
    old.retain(|i| i.workload == key("gateway"));
    scene.state("gateway", taken);
    for instance in &mut old {
        instance.wanted = false;
        instance.id.push_str("-old");
    }
    scene.observed.instances.extend(old);
    let plan = scene.plan();
    assert!(
        plan.notices.iter().all(|n| n.reason != Reason::PortTaken),
        "{:?}",
        plan.notices
    );
    assert!(!plan.waiting.is_empty());
}

/// An image that is missing is named with the nodes where it was tried.
#[test]
fn a_missing_image_is_named_with_its_nodes() {
    let mut scene = Scene::up();
    let message = "No such image: milvusdb/milvus:v2.3.5".to_owned();
    scene.state("etcd-0", InstanceState::Rejected { message });
    let plan = scene.plan();
    let notice = plan
        .notices
        .iter()
        .find(|n| n.reason == Reason::ImagePullFailed);
    let node = &scene.ledger.members["etcd-0"].node_name;
    let message = &notice.unwrap().message;
    assert!(
        message.starts_with(&format!("etcd-0 on {node}: image ")),
        "{message}"
    );
}
