//! Records of processes on nodes that are no more.

use super::*;
use crate::abandoned;

/// etcd-1 was stopped for a change; an earlier process of it is on the record, on this node.
fn scene(node: &str) -> Scene {
    let mut scene = Scene::up();
    scene.differs("etcd-1", true);
    let object = scene.observed.objects.get_mut(&service("etcd-1")).unwrap();
    object.replicas = Some(0);
    let mut instances = scene.observed.instances.iter_mut();
    let instance = instances.find(|i| i.workload == key("etcd-1")).unwrap();
    instance.wanted = false;
    instance.state = InstanceState::Lost;
    instance.node = Some(node.to_owned());
    scene
}

fn given_up(scene: &mut Scene, nodes: &str) {
    let annotations = BTreeMap::from([(abandoned::ABANDON_NODE.to_owned(), nodes.to_owned())]);
    let nodes = abandoned::nodes(Some(&annotations));
    abandoned::settle(&mut scene.observed, &nodes, Some(&scene.ledger));
}

#[test]
fn a_process_on_a_removed_node_is_waited_for_by_name_until_the_node_is_given_up() {
    let mut scene = scene("n9");
    let plan = scene.plan();
    assert_eq!(names(&plan), Vec::<String>::new());
    let waits = plan.waiting.iter().map(|w| &w.on);
    let waits: Vec<_> = waits
        .filter(|on| matches!(on, WaitingOn::Node { .. }))
        .collect();
    insta::assert_debug_snapshot!(waits, @r#"
    [
        Node {
            node: "n9",
            what: "etcd-1 may still run there, and the platform does not know the node any more: join it again, or, once the machine is off for good, give it up with the annotation operator.milvus.io/abandon-node=n9",
        },
    ]
    "#);
    given_up(&mut scene, "n8, n9");
    assert_eq!(names(&scene.plan()), ["update reference_etcd-1"]);
}

#[test]
fn a_removed_node_is_given_up_by_the_name_that_the_ledger_has() {
    let mut scene = scene("n9");
    let mut entry = scene.ledger.members["etcd-1"].clone();
    (entry.node, entry.node_name) = ("n9".to_owned(), "worker-9".to_owned());
    scene.ledger.members.insert("etcd-2".to_owned(), entry);
    given_up(&mut scene, "worker-8");
    let lost = |scene: &Scene| {
        let mut instances = scene.observed.instances.iter();
        instances.any(|i| i.workload == key("etcd-1") && i.state == InstanceState::Lost)
    };
    assert!(lost(&scene));
    given_up(&mut scene, "worker-9");
    assert!(!lost(&scene));
}

#[test]
fn a_node_that_is_down_may_come_back_with_its_processes() {
    let id = Scene::up().ledger.members["etcd-0"].node.clone();
    let mut scene = scene(&id);
    given_up(&mut scene, &id);
    assert_eq!(names(&scene.plan()), Vec::<String>::new());
}
