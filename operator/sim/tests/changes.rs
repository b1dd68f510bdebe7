//! Edits that the platform would carry out in a harmful way: rules about nodes that members' nodes do not meet, and MinIO, whose
//! members work only with peers that were started alike.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::time::Duration;

use milvus_core::component::Component;
use milvus_sim::Options;
use milvus_sim::scenario::{REFERENCE, Sim};

const LONG: Duration = Duration::from_secs(300);

fn up(kubernetes: bool) -> Sim {
    let options = Options {
        kubernetes,
        ..Options::default()
    };
    let mut sim = Sim::new(REFERENCE, options);
    sim.settle(LONG).unwrap();
    sim
}

fn constrain(sim: &mut Sim, component: &str, rule: Option<&str>) {
    let rules = rule.map(|rule| serde_json::json!({ "constraints": [rule] }));
    sim.edit(|r| {
        let mut components = serde_json::to_value(&r.spec.swarm.components).unwrap();
        components[component] = rules.unwrap_or_default();
        r.spec.swarm.components = serde_json::from_value(components).unwrap();
    });
}

/// Swarm ends a task whose node does not meet the new rules.
#[test]
fn rules_that_members_nodes_do_not_meet_stop_nothing() {
    let mut sim = up(false);
    let written = sim.world.writes.len();
    for component in ["etcd", "minio", "zookeeper", "bookkeeper"] {
        constrain(&mut sim, component, Some("node.labels.nope==1"));
        sim.run(Duration::from_secs(60));
        let (status, _, message) = sim.condition("Accepted").unwrap();
        assert_eq!(status, "False", "{component}");
        assert!(message.contains(&format!("{component}-0")), "{message}");
        assert_eq!(sim.condition("Ready").unwrap().0, "True", "{component}");
        constrain(&mut sim, component, None);
        sim.settle(LONG).unwrap();
    }
    assert_eq!(sim.world.writes.len(), written);
    sim.sound().unwrap();
}

/// Edited while no operator was there: what it finds is as harmful.
#[test]
fn rules_that_nobody_refused_stop_nothing_either() {
    let mut sim = up(false);
    constrain(&mut sim, "etcd", Some("node.labels.nope==1"));
    sim.restart();
    sim.run(Duration::from_secs(60));
    let (_, _, message) = sim.condition("Degraded").unwrap();
    assert!(message.contains("etcd-0"), "{message}");
    constrain(&mut sim, "etcd", None);
    sim.settle(LONG).unwrap();
    sim.sound().unwrap();
}

#[test]
fn roles_that_have_to_move_go_one_after_the_other() {
    let mut sim = up(false);
    let rule = "node.hostname!=node-1";
    for component in ["queryNode", "dataNode", "proxy"] {
        constrain(&mut sim, component, Some(rule));
    }
    sim.settle(LONG).unwrap();
    sim.rests(20).unwrap();
    sim.sound().unwrap();
    let roles = [Component::QueryNode, Component::DataNode, Component::Proxy];
    let tasks = sim.world.tasks.iter();
    for task in tasks.filter(|t| t.wanted && roles.contains(&t.key.component)) {
        assert_ne!(task.node.as_deref(), Some("node1id"), "{}", task.key);
    }
}

/// A member of another environment finds no peer that works with it.
#[test]
fn minio_takes_another_environment_and_image() {
    for kubernetes in [false, true] {
        minio_takes_all(up(kubernetes));
    }
}

fn minio_takes_all(mut sim: Sim) {
    type Edit = fn(&mut milvus_crds::MilvusCluster);
    let edits: [Edit; 3] = [
        |r| {
            let values = &mut r.spec.dependencies.storage.in_cluster.values;
            let slow = ("MINIO_SCANNER_SPEED".to_owned(), "slow".to_owned());
            values.environment.extend([slow]);
        },
        |r| {
            let values = &mut r.spec.dependencies.storage.in_cluster.values;
            values.image.tag = Some("RELEASE.other".to_owned());
        },
        |r| {
            let values = &mut r.spec.dependencies.storage.in_cluster.values;
            values.environment.clear();
        },
    ];
    for edit in edits {
        sim.edit(edit);
        sim.settle(LONG).unwrap();
        sim.rests(20).unwrap();
    }
    sim.sound().unwrap();
}

/// The operator ends in the middle of the wave, wherever that is.
#[test]
fn a_wave_goes_on_where_it_was_left() {
    for (kubernetes, actions) in (0..9).map(|n| (false, n)).chain([(true, 0), (true, 1)]) {
        let mut sim = up(kubernetes);
        sim.edit(|r| {
            let values = &mut r.spec.dependencies.storage.in_cluster.values;
            let slow = ("MINIO_SCANNER_SPEED".to_owned(), "slow".to_owned());
            values.environment.extend([slow]);
        });
        sim.world.faults.crash_after = Some(actions);
        sim.settle(LONG)
            .unwrap_or_else(|e| panic!("{actions}: {e}"));
        sim.sound().unwrap();
    }
}
