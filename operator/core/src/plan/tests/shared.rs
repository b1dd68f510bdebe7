//! Members of a quorum that are one native workload, as on Kubernetes.

use super::*;
use crate::testing::kubernetes_capabilities;

fn up() -> Scene {
    Scene::up_on(kubernetes_capabilities())
}

/// A change of the resource: the object's revision is an older one than what was rendered.
fn edited(scene: &mut Scene, name: &str) {
    scene.differs(name, true);
    let object = scene.observed.objects.get_mut(&service(name)).unwrap();
    object.revision = Some(Revision("r0".to_owned()));
}

fn waits_for(plan: &Plan, workload: &str, after: &str) -> bool {
    let turn = WaitingOn::Turn {
        workload: key(workload),
        after: key(after),
    };
    plan.waiting.iter().any(|w| w.on == turn)
}

#[test]
fn at_rest_nothing_is_planned() {
    let plan = up().plan();
    assert_eq!(names(&plan), Vec::<String>::new());
    assert_eq!(plan.waiting, []);
}

#[test]
fn one_quorum_at_a_time_is_handed_over() {
    let mut scene = up();
    for name in ["etcd", "zookeeper", "minio"] {
        edited(&mut scene, name);
    }
    let plan = scene.plan();
    assert_eq!(names(&plan), ["update reference_etcd"]);
    assert!(waits_for(&plan, "zookeeper", "etcd"), "{:?}", plan.waiting);
}

/// The platform replaces the highest ordinal first: with another one down the quorum would be lost.
#[test]
fn a_quorum_with_a_member_down_is_left_alone() {
    let mut scene = up();
    for (name, member) in [
        ("etcd", "etcd-0"),
        ("zookeeper", "zookeeper-0"),
        ("minio", "minio-0"),
    ] {
        edited(&mut scene, name);
        if name == "minio" {
            // Another environment would go to all of them together.
            let object = scene.observed.objects.get_mut(&service(name)).unwrap();
            object.difference.as_mut().unwrap().touches = Touches::Resources;
        }
        let key = key(member);
        for instance in &mut scene.observed.instances {
            if instance.workload == key {
                instance.ready = Some(false);
            }
        }
    }
    let plan = scene.plan();
    assert_eq!(names(&plan), Vec::<String>::new());
    for name in ["etcd", "zookeeper", "minio"] {
        let after = format!("{name}-0");
        assert!(waits_for(&plan, name, &after), "{:?}", plan.waiting);
    }
    assert!(plan.changing.contains(&key("etcd")));
}

#[test]
fn what_is_down_and_comes_first_is_put_right_at_once() {
    let mut scene = up();
    edited(&mut scene, "etcd");
    scene.state("etcd-2", InstanceState::Starting);
    assert_eq!(names(&scene.plan()), ["update reference_etcd"]);
    // It is gone altogether.
    scene
        .observed
        .instances
        .retain(|i| i.workload != key("etcd-2"));
    assert_eq!(names(&scene.plan()), ["update reference_etcd"]);
}

/// Taking back a change that has stopped at the second member: the first one, well, would be taken down with it. That is done
/// only when the second one has had its time.
#[test]
fn a_broken_change_is_taken_back() {
    let mut scene = up();
    edited(&mut scene, "etcd");
    let object = scene.observed.objects.get_mut(&service("etcd")).unwrap();
    object.updating = true;
    for instance in &mut scene.observed.instances {
        instance.current = instance.workload != key("etcd-0");
    }
    scene.state("etcd-1", InstanceState::Starting);
    let plan = scene.plan();
    assert_eq!(names(&plan), Vec::<String>::new(), "it may come up yet");
    assert!(waits_for(&plan, "etcd", "etcd-1"), "{:?}", plan.waiting);
    let since = now() - jiff::SignedDuration::from_secs(121);
    scene.memory.lacking.insert(Component::Etcd, since);
    assert_eq!(names(&scene.plan()), ["update reference_etcd"]);
    // A member of the old template that is away is no fault of the new one.
    scene.state("etcd-1", InstanceState::Running);
    scene.state("etcd-0", InstanceState::Starting);
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
}

#[test]
fn a_lost_quorum_is_changed_after_a_while() {
    let mut scene = up();
    edited(&mut scene, "etcd");
    for name in ["etcd-0", "etcd-1", "etcd-2"] {
        scene.fails(name, ProbeFailureKind::NotReady);
    }
    scene.fails("etcd-2", ProbeFailureKind::Timeout);
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
    scene.fails("etcd-2", ProbeFailureKind::NotReady);
    let since = now() - jiff::SignedDuration::from_secs(11);
    scene.memory.unready.insert(Component::Etcd, since);
    assert_eq!(names(&scene.plan()), ["update reference_etcd"]);
}

#[test]
fn the_check_finds_a_rollout_that_harms_a_quorum() {
    let mut scene = up();
    edited(&mut scene, "etcd");
    let good = scene.plan();
    assert_eq!(names(&good), ["update reference_etcd"]);
    scene.state("etcd-0", InstanceState::Starting);
    let wrong = check(&good, &scene.input(&scene.capabilities));
    assert!(
        wrong
            .iter()
            .any(|w| w.contains("while etcd-0 does not answer")),
        "{wrong:?}"
    );
}

/// What goes beside workloads may be refused for ever: it comes after them, and nothing else is held up by it.
#[test]
fn what_goes_beside_workloads_holds_nothing_up() {
    let beside = ObjectId::new("PodMonitor", "reference-milvus");
    let with_it = |mut scene: Scene| {
        let outline = ObjectOutline {
            class: ObjectClass::Ancillary,
            workload: None,
            revision: Revision("r1".to_owned()),
            uses: BTreeSet::new(),
            replicas: None,
            mutable: true,
        };
        scene.outline.insert(beside.clone(), outline);
        scene
    };
    let starting = with_it(Scene::on(kubernetes_capabilities()));
    let plan = starting.plan();
    assert!(plan.actions.len() > 1);
    assert!(plan.actions.last().unwrap().is_ancillary(&starting.outline));

    let mut scene = with_it(up());
    assert_eq!(names(&scene.plan()), ["create reference-milvus New"]);
    // What has come to life is written down all the same, and what is wrong with the whole is said.
    scene.ledger.bootstrapped.remove(&Component::Bookkeeper);
    scene.wanted = scene.ledger.clone();
    let plan = scene.plan();
    assert!(matches!(plan.actions.as_slice(), [Action::RecordLedger(_)]));
    scene
        .ledger
        .bootstrapped
        .insert(Component::Bookkeeper, true);
    scene.wanted = scene.ledger.clone();
    let failure = ProbeFailure {
        kind: ProbeFailureKind::Refused,
        message: "nobody listens".to_owned(),
    };
    scene.answer(ProbeId::endpoint("10.0.0.1:19530"), Err(failure));
    assert!(!scene.plan().waiting.is_empty());
}

/// A change is done when every instance runs it, not when it is written.
#[test]
fn a_rollout_is_no_end_of_a_change() {
    let mut scene = up();
    for instance in &mut scene.observed.instances {
        if instance.workload == key("etcd-0") {
            instance.current = false;
        }
    }
    let proxy = scene.observed.objects.get_mut(&service("proxy")).unwrap();
    proxy.update_stalled = Some("somebody has paused its rollout".to_owned());
    let plan = scene.plan();
    assert_eq!(plan.changing, [key("etcd")]);
    let on = WaitingOn::Instances {
        workload: key("etcd"),
        running: 3,
        wanted: 3,
        detail: "2 of 3 changed".to_owned(),
    };
    assert!(
        plan.waiting.iter().any(|w| w.on == on),
        "{:?}",
        plan.waiting
    );
    let notice = plan.notices.iter().find(|n| n.reason == Reason::NotReady);
    assert!(
        notice.unwrap().message.contains("paused"),
        "{:?}",
        plan.notices
    );
}

/// The platform tells of the job as of a process under its name.
#[test]
fn a_job_that_has_given_up_is_made_again_and_one_that_has_ended_is_done() {
    let id = service("pulsar-init");
    let scene = |state: InstanceState, ago: i64| {
        let mut scene = Scene::on(kubernetes_capabilities());
        let job = object(&scene.outline[&id]);
        scene.observed.objects.insert(id.clone(), job);
        scene.run(key("pulsar-init"), 0, state);
        let job = scene.observed.instances.last_mut().unwrap();
        job.id = id.name.clone();
        job.wanted = false;
        job.since = Some(now() - jiff::SignedDuration::from_secs(ago));
        scene.plan()
    };
    let failed = || InstanceState::Failed {
        message: "the Job has failed: backoff limit exceeded".to_owned(),
    };
    let again = "remove reference_pulsar-init Replace".to_owned();
    let plan = scene(failed(), 5);
    assert!(!names(&plan).contains(&again), "not in a hot loop");
    let told = |n: &Notice| n.message.contains("backoff limit exceeded");
    assert!(plan.notices.iter().any(told), "{:?}", plan.notices);
    assert!(names(&scene(failed(), 61)).contains(&again));
    let done = scene(InstanceState::Complete, 0);
    assert!(
        matches!(done.actions.as_slice(), [Action::RecordLedger(l)] if l.is_bootstrapped(Component::PulsarInit)),
        "{:?}",
        names(&done)
    );
}

/// An autoscaler asks for more than there is room for.
#[test]
fn what_is_scaled_externally_is_well_while_one_of_it_answers() {
    let scaled = |externally_scaled| {
        let mut scene = up();
        let mut roles = scene.desired.workloads.iter_mut();
        let role = roles.find(|w| w.component == Component::Proxy).unwrap();
        role.shape = Shape::Replicated {
            replicas: 5,
            externally_scaled,
        };
        scene.outline.get_mut(&service("proxy")).unwrap().replicas = Some(5);
        let object = scene.observed.objects.get_mut(&service("proxy")).unwrap();
        object.replicas = Some(5);
        let reason = "no room".to_owned();
        let there = readiness::instances(&scene.observed, key("proxy")).count();
        for slot in u32::try_from(there).unwrap()..5 {
            let reason = reason.clone();
            scene.run(key("proxy"), slot, InstanceState::Pending { reason });
        }
        edited(&mut scene, "querynode");
        scene
    };
    let mut scene = scaled(true);
    let plan = scene.plan();
    assert_eq!(names(&plan), ["update reference_querynode"]);
    let proxy = &plan.readiness[&Component::Proxy];
    assert!(
        proxy.enough && !proxy.full && proxy.wanted == 5,
        "{proxy:?}"
    );

    // None of it left: that is trouble like any other's.
    scene.state("proxy", InstanceState::Starting);
    let plan = scene.plan();
    assert!(waits_for(&plan, "querynode", "proxy"), "{plan:#?}");
    assert!(!plan.readiness[&Component::Proxy].enough);

    // Where the number is the resource's, all of it is asked for.
    let plan = scaled(false).plan();
    assert!(waits_for(&plan, "querynode", "proxy"), "{plan:#?}");
    assert!(!plan.readiness[&Component::Proxy].enough);
}
