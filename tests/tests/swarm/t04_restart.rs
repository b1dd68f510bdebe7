//! The operator may end at any instant.

use std::thread;
use std::time::Duration;

use milvus_tests::client;

use crate::suite::{DEMO, START, standalone, suite, versions};

/// Killed at rest and started again: the resources are there, because they live in the Swarm's raft; no task is another one and
/// no service was written.
#[test]
fn killed_at_rest_it_touches_nothing() {
    let mut suite = suite();
    let _story = suite.demo();
    thread::sleep(Duration::from_secs(5));
    let facts = |suite: &crate::suite::Suite| {
        (
            suite.docker.running_ids("demo_"),
            versions(&suite.docker, "service", "demo_"),
            versions(&suite.docker, "config", "demo_"),
            versions(&suite.docker, "secret", "demo_"),
        )
    };
    let (before, resource) = (facts(&suite), suite.kubectl.cluster(DEMO).unwrap());
    let objects = suite
        .kubectl
        .run(&["get", "secrets,configmaps,namespaces", "-A", "-o", "json"]);
    suite.operator.kill();
    client::check(&suite.bed.nodes[0].address); // clusters go on without it
    suite.operator.start();
    let after = suite.kubectl.cluster(DEMO).unwrap();
    assert_eq!(after["metadata"]["uid"], resource["metadata"]["uid"]);
    assert_eq!(after["spec"], resource["spec"]);
    suite.ready(DEMO, START);
    thread::sleep(Duration::from_secs(20)); // two passes by the clock
    assert_eq!(before, facts(&suite));
    assert_eq!(
        objects,
        suite
            .kubectl
            .run(&["get", "secrets,configmaps,namespaces", "-A", "-o", "json"])
    );
}

/// Killed again and again in the middle of a creation: it goes on where it was, and the cluster answers.
#[test]
fn killed_while_creating_it_goes_on() {
    let mut suite = suite();
    suite.remove("crash");
    let _story = suite.story("crash");
    suite.kubectl.apply(&standalone("crash", 19541));
    for pause in [0, 300, 1500, 4000] {
        thread::sleep(Duration::from_millis(pause));
        suite.operator.kill();
        println!(
            "  killed; there are {:?}",
            suite.docker.names("service", "crash_")
        );
        suite.operator.start();
    }
    suite.ready("crash", START);
    client::fill_at(&format!("{}:19541", suite.bed.nodes[0].address));
    for service in suite.docker.names("service", "crash_") {
        let tasks = suite.docker.tasks(&service);
        assert!(
            tasks.iter().all(|t| t.runs()),
            "{service} was restarted: {tasks:#?}"
        );
    }
    suite.remove("crash");
}
