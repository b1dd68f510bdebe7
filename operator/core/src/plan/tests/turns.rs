//! Who is waited for, what needs no turn, and what a change of placement takes down.

use super::*;
use crate::testing::kubernetes_capabilities;

fn touches(scene: &mut Scene, name: &str, touches: Touches) {
    scene.differs(name, true);
    let object = scene.observed.objects.get_mut(&service(name)).unwrap();
    object.difference.as_mut().unwrap().touches = touches;
}

/// Rules that only these nodes meet.
fn only_on(scene: &mut Scene, component: Component, nodes: &[&str]) {
    for node in &mut scene.observed.topology.nodes {
        if nodes.contains(&node.id.as_str()) {
            node.labels.insert("disk".to_owned(), "ssd".to_owned());
        }
    }
    let mut all = scene.desired.workloads.iter_mut();
    let workload = all.find(|w| w.component == component).unwrap();
    workload.placement.constraints = vec!["node.labels.disk==ssd".to_owned()];
}

fn failed() -> InstanceState {
    InstanceState::Failed {
        message: "task: non-zero exit (1)".to_owned(),
    }
}

fn ago(seconds: i64) -> Timestamp {
    now() - jiff::SignedDuration::from_secs(seconds)
}

fn members(scene: &Scene, component: Component) -> Vec<String> {
    let keys = scene.ledger.members.keys();
    let of = |name: &&String| WorkloadKey::parse(name).unwrap().component == component;
    keys.filter(of).cloned().collect()
}

/// One of several instances: the first or the second.
fn instance<'a>(scene: &'a mut Scene, name: &str, number: usize) -> &'a mut Instance {
    let key = key(name);
    let all = scene.observed.instances.iter_mut();
    all.filter(|i| i.workload == key).nth(number).unwrap()
}

#[test]
fn rules_that_every_member_s_node_meets_are_written_at_once() {
    let mut scene = Scene::up();
    only_on(&mut scene, Component::Etcd, &["n1", "n2", "n3", "n4"]);
    for name in ["etcd-0", "etcd-1", "etcd-2"] {
        touches(&mut scene, name, Touches::Placement);
    }
    assert_eq!(names(&scene.plan()).len(), 3);
}

/// Swarm ends a task whose node does not meet new rules: with all three written at once the quorum would be gone.
#[test]
fn a_member_whose_node_does_not_meet_its_rules_is_left_alone() {
    for nodes in [&[][..], &["n1", "n2", "n3"][..]] {
        let mut scene = Scene::up();
        let home = scene.ledger.members["etcd-0"].node.clone();
        let nodes: Vec<&str> = nodes.iter().copied().filter(|n| *n != home).collect();
        only_on(&mut scene, Component::Etcd, &nodes);
        for touched in [Touches::Placement, Touches::Process] {
            touches(&mut scene, "etcd-0", touched);
            let plan = scene.plan();
            assert_eq!(names(&plan), Vec::<String>::new());
            let notice = plan
                .notices
                .iter()
                .find(|n| n.reason == Reason::Unschedulable);
            let notice = notice.unwrap();
            assert!(notice.message.contains("etcd-0"), "{notice:?}");
            assert!(
                notice.message.contains("node.labels.disk==ssd"),
                "{notice:?}"
            );
        }
    }
}

#[test]
fn roles_that_have_to_move_take_turns() {
    let mut scene = Scene::up();
    for (name, component) in [
        ("querynode", Component::QueryNode),
        ("datanode", Component::DataNode),
    ] {
        only_on(&mut scene, component, &["n4"]);
        touches(&mut scene, name, Touches::Placement);
    }
    let plan = scene.plan();
    assert_eq!(names(&plan), ["update reference_querynode"]);
    assert!(plan.changing.contains(&key("datanode")));
    // Written, and one of the two has not moved yet: the next one waits.
    let object = scene.observed.objects.get_mut(&service("querynode"));
    object.unwrap().difference = None;
    instance(&mut scene, "querynode", 0).node = Some("n4".to_owned());
    let plan = scene.plan();
    assert_eq!(names(&plan), Vec::<String>::new());
    assert!(plan.changing.contains(&key("querynode")));
    instance(&mut scene, "querynode", 1).node = Some("n4".to_owned());
    assert_eq!(names(&scene.plan()), ["update reference_datanode"]);
}

#[test]
fn the_check_judges_a_change_of_placement_by_its_effect() {
    let mut scene = Scene::up();
    only_on(&mut scene, Component::Etcd, &[]);
    for name in ["etcd-0", "etcd-1", "etcd-2"] {
        touches(&mut scene, name, Touches::Placement);
    }
    let mut plan = scene.plan();
    let updates = ["etcd-0", "etcd-1", "etcd-2"].map(|name| Action::Update {
        id: service(name),
        seen: Some(SEEN),
        difference: scene.observed.objects[&service(name)]
            .difference
            .clone()
            .unwrap(),
    });
    plan.actions = updates.to_vec();
    let wrong = check(&plan, &scene.input(&scene.capabilities));
    assert!(
        wrong.iter().any(|w| w.contains("3 members of etcd")),
        "{wrong:?}"
    );
}

#[test]
fn the_check_finds_roles_that_go_down_side_by_side() {
    let mut scene = Scene::up();
    for name in ["querynode", "datanode"] {
        scene.differs(name, true);
    }
    let mut plan = scene.plan();
    let difference = scene.observed.objects[&service("datanode")]
        .difference
        .clone();
    plan.actions.push(Action::Update {
        id: service("datanode"),
        seen: Some(SEEN),
        difference: difference.unwrap(),
    });
    let wrong = check(&plan, &scene.input(&scene.capabilities));
    assert!(
        wrong.iter().any(|w| w.contains("side by side")),
        "{wrong:?}"
    );
}

/// A setting of the broker ends its clients: the good one must go in although they will not come up before.
#[test]
fn what_breaks_others_can_always_be_put_back() {
    let mut scene = Scene::up();
    scene.differs("broker", true);
    scene.state("querynode", failed());
    assert_eq!(names(&scene.plan()), ["update reference_broker"]);
    // Also when they were changed here and have not come up since, and when all of Milvus is down.
    scene.memory.touched.insert(Component::QueryNode);
    for name in [
        "rootcoord",
        "datacoord",
        "querycoord",
        "indexcoord",
        "datanode",
        "proxy",
    ] {
        scene.state(name, failed());
    }
    assert_eq!(names(&scene.plan()), ["update reference_broker"]);
    // A store that its clients do not get on with, member by member.
    let mut scene = Scene::up();
    for name in ["etcd-0", "etcd-1", "etcd-2"] {
        scene.differs(name, true);
    }
    scene.state("rootcoord", failed());
    assert_eq!(names(&scene.plan()), ["stop reference_etcd-0"]);
    // A coordinator that ends query nodes, which have had their time to come up.
    let mut scene = Scene::up();
    scene.differs("querycoord", true);
    scene.state("querynode", failed());
    scene.memory.touched.insert(Component::QueryNode);
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
    scene.memory.lacking.insert(Component::QueryNode, ago(181));
    assert_eq!(names(&scene.plan()), ["update reference_querycoord"]);
}

/// A worker has joined that cannot run the gateway: it is rejected there again and again.
#[test]
fn a_node_without_the_gateway_s_image_holds_nothing_up() {
    let mut scene = Scene::up();
    scene.differs("querynode", true);
    let message = "No such image: gateway".to_owned();
    instance(&mut scene, "gateway", 3).state = InstanceState::Rejected { message };
    assert_eq!(names(&scene.plan()), ["update reference_querynode"]);
    // The gateway itself is changed in turn, for it answers on the others.
    scene.differs("gateway", true);
    assert_eq!(names(&scene.plan()), ["update reference_querynode"]);
}

/// Swarm neither changes nor adds tasks on a paused node.
#[test]
fn a_paused_node_holds_nothing_up() {
    let mut scene = Scene::up();
    scene.differs("querynode", true);
    scene.observed.topology.nodes[3].availability = Availability::Paused;
    instance(&mut scene, "gateway", 3).node = Some("n4".to_owned());
    instance(&mut scene, "gateway", 3).current = false;
    let plan = scene.plan();
    assert_eq!(names(&plan), ["update reference_querynode"]);
    assert_eq!(plan.changing, [key("querynode")]);
}

/// What is stopped there would not come up again until the node takes work.
#[test]
fn a_member_on_a_paused_node_is_not_taken_down() {
    for name in ["etcd-0", "minio-0"] {
        let mut scene = Scene::up();
        let component = key(name).component;
        for name in members(&scene, component) {
            scene.differs(&name, true);
        }
        let home = scene.ledger.members[name].clone();
        let nodes = scene.observed.topology.nodes.iter_mut();
        for node in nodes.filter(|n| n.id == home.node) {
            node.availability = Availability::Paused;
        }
        let plan = scene.plan();
        let on = WaitingOn::Node {
            node: home.node_name.clone(),
            what: format!("it is paused; {name} is to be changed there"),
        };
        assert!(plan.waiting.iter().any(|w| w.on == on), "{plan:#?}");
        let next = match component {
            // The others go on in their turn; MinIO's members go together or not at all.
            Component::Etcd => vec!["stop reference_etcd-1"],
            _ => vec![],
        };
        assert_eq!(names(&plan), next, "{name}");
        // One that does not run takes nothing away with it.
        scene.state(name, failed());
        let changed = format!("update reference_{name}");
        let plan = scene.plan();
        assert!(names(&plan).contains(&changed), "{plan:#?}");
    }
}

#[test]
fn a_role_without_room_is_named_and_not_waited_for_indefinitely() {
    let mut scene = Scene::up();
    scene.differs("datanode", true);
    let reason = "no suitable node (insufficient resources on 4 nodes)".to_owned();
    instance(&mut scene, "querynode", 0).state = InstanceState::Pending { reason };
    let turn = WaitingOn::Turn {
        workload: key("datanode"),
        after: key("querynode"),
    };
    scene.memory.lacking.insert(Component::QueryNode, ago(60));
    let plan = scene.plan();
    assert_eq!(names(&plan), Vec::<String>::new());
    assert!(
        plan.waiting.iter().any(|w| w.on == turn),
        "{:?}",
        plan.waiting
    );
    scene.memory.lacking.insert(Component::QueryNode, ago(181));
    assert_eq!(names(&scene.plan()), ["update reference_datanode"]);
    // What was changed here and does not come up is waited for: the next one would be broken as well.
    scene.memory.touched.insert(Component::QueryNode);
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
}

#[test]
fn a_change_is_remembered_until_all_of_it_answers() {
    let mut scene = Scene::up();
    scene.differs("proxy", true);
    let plan = scene.plan();
    let done: Vec<&Action> = plan.actions.iter().collect();
    let mut memory = Memory::default();
    memory.learn(now(), &scene.observed, &plan, &done);
    assert!(memory.touched.contains(&Component::Proxy));
    let object = scene.observed.objects.get_mut(&service("proxy")).unwrap();
    object.difference = None;
    instance(&mut scene, "proxy", 0).state = InstanceState::Starting;
    memory.learn(now(), &scene.observed, &scene.plan(), &[]);
    assert!(memory.touched.contains(&Component::Proxy));
    scene.state("proxy", InstanceState::Running);
    memory.learn(now(), &scene.observed, &scene.plan(), &[]);
    assert!(memory.touched.is_empty());
}

/// One of two proxies is away. Swarm would take the other one first.
#[test]
fn what_still_serves_in_part_takes_its_turn() {
    let mut scene = Scene::up();
    for name in ["querynode", "proxy"] {
        scene.differs(name, true);
        instance(&mut scene, name, 0).state = InstanceState::Starting;
    }
    let plan = scene.plan();
    assert_eq!(names(&plan), ["update reference_querynode"]);
    assert!(
        plan.waiting
            .iter()
            .any(|w| matches!(w.on, WaitingOn::Turn { workload, .. } if workload == key("proxy"))),
        "{:?}",
        plan.waiting
    );
}

#[test]
fn a_milestone_is_recorded_whatever_is_waited_for() {
    let mut scene = Scene::up();
    scene.ledger.bootstrapped.remove(&Component::Zookeeper);
    scene.wanted = scene.ledger.clone();
    let reason = "no suitable node".to_owned();
    scene.state("indexnode", InstanceState::Pending { reason });
    let plan = scene.plan();
    assert!(
        matches!(plan.actions.as_slice(), [Action::RecordLedger(l)] if l.is_bootstrapped(Component::Zookeeper)),
        "{:?}",
        names(&plan)
    );
}

/// No milestone is recorded, and the way in is broken: they may all serve.
#[test]
fn what_could_not_be_asked_is_not_down() {
    for component in [
        Component::Minio,
        Component::Zookeeper,
        Component::Bookkeeper,
    ] {
        for kind in [ProbeFailureKind::NoPath, ProbeFailureKind::NotReady] {
            let mut scene = Scene::up();
            scene.ledger.bootstrapped.remove(&component);
            scene.wanted = scene.ledger.clone();
            for name in members(&scene, component) {
                scene.fails(&name, kind);
                touches(&mut scene, &name, Touches::Resources);
            }
            let planned = names(&scene.plan()).len();
            // One that has never worked and says so itself has nothing to lose.
            let all = members(&scene, component).len();
            let expected = if kind == ProbeFailureKind::NoPath {
                0
            } else {
                all
            };
            assert_eq!(planned, expected, "{component} {kind:?}");
        }
    }
}

fn minio(scene: &Scene, verb: &str) -> Vec<String> {
    let members = members(scene, Component::Minio);
    members
        .iter()
        .map(|name| format!("{verb} reference_{name}"))
        .collect()
}

fn restarts_as_a_whole(plan: &Plan) -> bool {
    let whole = |on: &WaitingOn| matches!(on, WaitingOn::WholeRestart { .. });
    plan.waiting.iter().any(|w| whole(&w.on))
}

/// A member of another environment than its peers does not serve.
#[test]
fn minio_is_changed_in_one_wave() {
    let mut scene = Scene::up();
    let all = members(&scene, Component::Minio);
    assert_eq!(all.len(), 4);
    for name in &all {
        scene.differs(name, true);
    }
    let plan = scene.plan();
    assert_eq!(names(&plan), minio(&scene, "stop"));
    assert!(restarts_as_a_whole(&plan), "{:?}", plan.waiting);
    // Half of them were stopped when the operator ended: the rest follows, and what is gone is brought to its new spec.
    for name in &all[..2] {
        let object = scene.observed.objects.get_mut(&service(name)).unwrap();
        object.replicas = Some(0);
        scene.state(name, InstanceState::Shutdown);
    }
    for name in &all[2..] {
        scene.fails(name, ProbeFailureKind::NotReady);
    }
    let plan = scene.plan();
    assert_eq!(
        names(&plan),
        [
            "update reference_minio-0",
            "update reference_minio-1",
            "stop reference_minio-2",
            "stop reference_minio-3"
        ]
    );
    assert!(restarts_as_a_whole(&plan), "{:?}", plan.waiting);
}

#[test]
fn the_wave_begins_when_all_else_is_well() {
    let changed = || {
        let mut scene = Scene::up();
        for name in members(&scene, Component::Minio) {
            scene.differs(&name, true);
        }
        scene
    };
    // Another one is changed first.
    let mut scene = changed();
    scene.differs("etcd-0", true);
    assert_eq!(names(&scene.plan()), ["stop reference_etcd-0"]);
    // It does not answer for the whole of itself.
    let mut scene = changed();
    for name in members(&scene, Component::Minio) {
        scene.fails(&name, ProbeFailureKind::NotReady);
    }
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
    scene.memory.unready.insert(Component::Minio, ago(11));
    assert_eq!(names(&scene.plan()), minio(&scene, "stop"));
    // The way in is broken.
    for name in members(&scene, Component::Minio) {
        scene.fails(&name, ProbeFailureKind::NoPath);
    }
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
}

#[test]
fn what_minio_s_members_do_not_compare_goes_one_by_one() {
    let mut scene = Scene::up();
    for name in members(&scene, Component::Minio) {
        touches(&mut scene, &name, Touches::Resources);
    }
    assert_eq!(names(&scene.plan()), ["stop reference_minio-0"]);
    // One that was edited by hand goes back to its peers alone.
    let mut scene = Scene::up();
    scene.differs("minio-1", true);
    let plan = scene.plan();
    assert_eq!(names(&plan), ["stop reference_minio-1"]);
    assert!(!restarts_as_a_whole(&plan));
}

#[test]
fn the_check_finds_a_wave_that_leaves_members_out() {
    let mut scene = Scene::up();
    for name in members(&scene, Component::Minio) {
        scene.differs(&name, true);
    }
    let mut plan = scene.plan();
    plan.actions.truncate(2);
    let wrong = check(&plan, &scene.input(&scene.capabilities));
    assert!(
        wrong.iter().any(|w| w.contains("leaves minio-2 running")),
        "{wrong:?}"
    );
}

/// Members that are one native workload: the platform would begin with the highest one, which finds no peer like itself.
#[test]
fn a_set_of_minio_is_asked_for_no_pods_before_it_is_changed() {
    let mut scene = Scene::up_on(kubernetes_capabilities());
    scene.differs("minio", true);
    let id = service("minio");
    let plan = scene.plan();
    assert_eq!(names(&plan), ["stop reference_minio"]);
    assert!(restarts_as_a_whole(&plan), "{:?}", plan.waiting);
    scene.observed.objects.get_mut(&id).unwrap().replicas = Some(0);
    let plan = scene.plan();
    assert_eq!(names(&plan), Vec::<String>::new(), "they still stop");
    assert!(restarts_as_a_whole(&plan), "{:?}", plan.waiting);
    let gone = |i: &Instance| i.workload.component != Component::Minio;
    scene.observed.instances.retain(gone);
    assert_eq!(names(&scene.plan()), ["update reference_minio"]);
    // Only what it may use: one after the other, as the platform does it.
    let mut scene = Scene::up_on(kubernetes_capabilities());
    touches(&mut scene, "minio", Touches::Resources);
    assert_eq!(names(&scene.plan()), ["update reference_minio"]);
}
