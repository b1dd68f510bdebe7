//! Processes whose deletion was asked for, and that have ended without being asked.

use jiff::SignedDuration;

use super::*;
use crate::check::check_deletion;
use crate::observed::Deleting;
use crate::testing::{kubernetes_capabilities, swarm_capabilities};

/// As a pod on a node that has gone: its deletion is known, its end is not.
fn leaves(scene: &mut Scene, name: &str, overdue: SignedDuration) {
    let key = key(name);
    let instance = scene
        .observed
        .instances
        .iter_mut()
        .find(|i| i.workload == key);
    let instance = instance.unwrap();
    instance.wanted = false;
    instance.node = Some("worker-2".to_owned());
    instance.deleting = Some(Deleting {
        since: now() - SignedDuration::from_mins(10),
        due: now() - overdue,
        help: "`free it`".to_owned(),
    });
}

fn told(plan: &Plan) -> Vec<&str> {
    let notices = plan.notices.iter().filter(|n| n.reason == Reason::NodeDown);
    notices.map(|n| n.message.as_str()).collect()
}

#[test]
fn a_process_that_was_replaced_holds_nothing_up() {
    let mut scene = Scene::up_on(kubernetes_capabilities());
    let mut evicted = scene
        .observed
        .instances
        .iter()
        .find(|i| i.workload == key("proxy"))
        .unwrap()
        .clone();
    evicted.id = "evicted".to_owned();
    evicted.state = InstanceState::Failed {
        message: "Evicted".to_owned(),
    };
    evicted.current = false;
    scene.observed.instances.push(evicted);
    let last = scene.observed.instances.len() - 1;
    scene.differs("querynode", true);
    // As one that counts it is waited for; as one that was replaced it is not.
    scene.observed.instances[last].wanted = false;
    let plan = scene.plan();
    assert_eq!(names(&plan), ["update reference_querynode"]);
    let changing = |component| plan.waiting.iter().any(|w| w.component == Some(component));
    assert!(!changing(Component::Proxy), "{:?}", plan.waiting);
    scene.observed.instances[last].wanted = true;
    let plan = scene.plan();
    let proxy = |w: &&Waiting| w.component == Some(Component::Proxy);
    assert!(
        plan.waiting.iter().find(proxy).is_some(),
        "{:?}",
        plan.waiting
    );
}

#[test]
fn a_member_that_does_not_end_is_named_with_its_node() {
    let mut scene = Scene::up_on(kubernetes_capabilities());
    leaves(&mut scene, "etcd-1", SignedDuration::from_secs(-10));
    let plan = scene.plan();
    assert_eq!(told(&plan), Vec::<&str>::new());
    let etcd = |plan: &Plan| plan.readiness[&Component::Etcd].detail.clone();
    assert_eq!(etcd(&plan), "etcd-1 is being stopped on node worker-2");

    leaves(&mut scene, "etcd-1", SignedDuration::from_mins(5));
    let plan = scene.plan();
    assert!(
        etcd(&plan).contains("node worker-2 has not confirmed"),
        "{}",
        etcd(&plan)
    );
    let told = told(&plan);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("etcd-1: node worker-2 has not confirmed the end of"));
    assert!(told[0].ends_with("`free it`"), "{told:?}");
}

#[test]
fn a_deletion_goes_on_without_a_node_that_was_given_up() {
    let mut scene = Scene::up_on(kubernetes_capabilities());
    scene.observed.objects.clear();
    scene
        .observed
        .instances
        .retain(|i| i.workload == key("etcd-1"));
    let mut plan = |overdue: SignedDuration, abandoned: &[&str]| {
        leaves(&mut scene, "etcd-1", overdue);
        let policies = DeletionPolicies::from_spec(&scene.resource.spec);
        let abandoned = abandoned.iter().map(|n| (*n).to_owned()).collect();
        let input = DeletionInput {
            cluster: &scene.desired.cluster,
            observed: &scene.observed,
            ledger: None,
            orphan: false,
            policies: &policies,
            abandoned: &abandoned,
            rhythm: swarm_capabilities().rhythm,
            now: now(),
            memory: &Memory::default(),
        };
        let plan = plan_deletion(&input);
        assert_eq!(check_deletion(&plan, &input), Vec::<String>::new());
        plan
    };
    let waits = plan(SignedDuration::from_mins(5), &["worker-1"]);
    assert_eq!(waits.actions, []);
    let words = told(&waits);
    assert!(words[0].contains("abandon-node=worker-2"), "{words:?}");
    // Its grace is not over: it may still be writing.
    let early = plan(SignedDuration::from_secs(5), &["worker-2"]);
    assert_eq!(early.actions, []);
    assert_eq!(told(&early), Vec::<&str>::new());
    let goes = plan(SignedDuration::from_mins(5), &["worker-2"]);
    assert_eq!(goes.actions, [Action::DropFinalizer]);
}
