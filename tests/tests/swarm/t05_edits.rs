//! Edits of a running cluster: one task at a time, and only what the edit concerns.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use milvus_tests::kubectl::is_ready;
use milvus_tests::{client, wait};
use serde_json::{Value, json};

use crate::suite::{DEMO, SOON, START, Suite, suite, versions};

const MILVUS: [&str; 5] = ["proxy", "mixcoord", "querynode", "datanode", "indexnode"];

/// Follows a rollout until the cluster is Ready for the edit; fails as soon as two Milvus processes are away at once.
#[track_caller]
fn roll(suite: &Suite, what: &str) {
    let start = Instant::now();
    let mut worst = 0;
    wait::until(what, START, || {
        let away: Vec<String> = MILVUS
            .iter()
            .flat_map(|role| suite.docker.tasks(&format!("demo_{role}")))
            .filter(|t| t.desired == "Running" && !t.runs())
            .map(|t| format!("{} {}", t.name, t.current))
            .collect();
        worst = worst.max(away.len());
        assert!(away.len() <= 1, "at once: {away:?}");
        is_ready(&suite.kubectl.cluster(DEMO).ok_or("it is gone")?)
    });
    println!(
        "  {what}: {:.1} s, at most {worst} process away at once",
        start.elapsed().as_secs_f64()
    );
}

/// A setting of Milvus concerns every role. It stays: the way back rolls again.
#[test]
fn a_setting_of_every_role() {
    let mut suite = suite();
    let _story = suite.demo();
    let all = |suite: &Suite| suite.docker.running_ids("demo_");

    let before = all(&suite);
    suite.kubectl.patch(
        DEMO,
        &json!({"spec": {"config": {"log": {"level": "debug"}}}}),
    );
    roll(&suite, "a setting of every role");
    changed(
        &before,
        &all(&suite),
        &[
            "demo_proxy",
            "demo_mixcoord",
            "demo_querynode",
            "demo_datanode",
            "demo_indexnode",
        ],
    );
    client::check(&suite.bed.nodes[0].address);
}

/// Exactly these services have other tasks than before.
#[track_caller]
fn changed<T: PartialEq + std::fmt::Debug>(
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    wanted: &[&str],
) {
    let differ: Vec<&str> = before
        .keys()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(String::as_str)
        .collect();
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    assert_eq!(differ, wanted, "{before:#?} {after:#?}");
}

/// An edit that no node can take is refused by its field, and nothing of the cluster is touched; the last good spec undoes it.
#[test]
fn more_memory_than_any_node_has() {
    let mut suite = suite();
    let _story = suite.demo();
    thread::sleep(Duration::from_secs(3));
    let facts = |suite: &Suite| {
        (
            versions(&suite.docker, "service", "demo_"),
            suite.docker.names("config", "demo_"),
            suite.docker.running_ids("demo_"),
        )
    };
    let before = facts(&suite);
    let memory =
        |memory: Value| json!({"spec": {"components": {"queryNode": {"resources": memory}}}});
    let field = "spec.components.queryNode.resources.requests.memory";
    let told = suite.kubectl.events(DEMO).len();
    let asked = memory(json!({"requests": {"memory": "900Gi"}}));
    suite.kubectl.patch(DEMO, &asked);
    let refused = wait::until("the edit to be refused", SOON, || {
        let accepted = suite.kubectl.condition(DEMO, "Accepted");
        (accepted.status == "False")
            .then_some(accepted.clone())
            .ok_or_else(|| format!("{accepted:?}"))
    });
    println!("    {}: {}", refused.reason, refused.message);
    assert!(refused.message.contains(field), "{refused:?}");
    suite.event(DEMO, told, &refused.reason, &[field]);
    thread::sleep(Duration::from_secs(5));
    assert_eq!(before, facts(&suite), "it changed something");
    suite.kubectl.patch(DEMO, &memory(Value::Null));
    suite.ready(DEMO, START);
    assert_eq!(before, facts(&suite));
    client::check(&suite.bed.nodes[0].address);
}

/// A rule that the nodes of members do not meet is refused by field, member and node, and nothing is stopped or written for it.
#[test]
fn a_rule_that_no_node_meets_stops_nothing() {
    let mut suite = suite();
    let _story = suite.demo();
    let seen = |suite: &Suite| {
        (
            suite.docker.running_ids("demo_"),
            versions(&suite.docker, "service", "demo_"),
        )
    };
    let before = seen(&suite);
    let etcd = |value: Value| json!({"spec": {"swarm": {"components": {"etcd": value}}}});
    suite
        .kubectl
        .patch(DEMO, &etcd(json!({"constraints": ["node.labels.nope==1"]})));
    let words = [
        "spec.swarm.components.etcd.constraints",
        "etcd-0",
        "node.labels.nope",
    ];
    wait::until("the rule to be refused", SOON, || {
        let accepted = suite.kubectl.condition(DEMO, "Accepted");
        let named = words.iter().all(|word| accepted.message.contains(word));
        (accepted.status == "False" && named)
            .then_some(())
            .ok_or_else(|| format!("{accepted:?}"))
    });
    thread::sleep(Duration::from_secs(5));
    assert_eq!(before, seen(&suite));
    suite.kubectl.patch(DEMO, &etcd(Value::Null));
    suite.ready(DEMO, SOON);
    assert_eq!(before, seen(&suite));
}
