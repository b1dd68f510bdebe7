use super::*;
use crate::testing::swarm_capabilities;

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
    assert_eq!(plan.next_check, swarm_capabilities().rhythm.rest);
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
        n.state = if n.id == node {
            NodeState::Down
        } else {
            NodeState::Up
        };
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
