//! Edits of a running cluster: one task at a time, and only what the edit concerns.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use milvus_tests::kubectl::is_ready;
use milvus_tests::{client, wait};
use serde_json::{Value, json};

use crate::suite::{DEMO, START, Suite, suite, versions};

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

fn env(service: &Value) -> String {
    service["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"].to_string()
}

/// More query nodes by `kubectl scale`, an environment variable, and a setting of Milvus. They stay: the way back rolls again.
#[test]
fn replicas_environment_and_config() {
    let mut suite = suite();
    let _story = suite.demo();
    let all = |suite: &Suite| suite.docker.running_ids("demo_");

    let before = all(&suite);
    suite
        .kubectl
        .run(&["scale", "milvuscluster", DEMO, "--replicas=2"]);
    suite.ready(DEMO, START);
    let after = all(&suite);
    assert_eq!(after["demo_querynode"].len(), 2);
    assert!(
        after["demo_querynode"].is_superset(&before["demo_querynode"]),
        "the first query node was restarted"
    );
    changed(&before, &after, &["demo_querynode"]);
    suite.kubectl.patch(
        DEMO,
        &json!({"spec": {"components": {"queryNode": {"replicas": 1}}}}),
    );
    suite.ready(DEMO, START);
    assert_eq!(all(&suite)["demo_querynode"].len(), 1);

    let before = all(&suite);
    suite.kubectl.patch(
        DEMO,
        &json!({"spec": {"components": {"dataNode": {"env": [{"name": "EDITED", "value": "1"}]}}}}),
    );
    roll(&suite, "a data node's environment");
    let service = suite.docker.inspect("service", "demo_datanode").unwrap();
    assert!(env(&service).contains("EDITED=1"), "{service}");
    changed(&before, &all(&suite), &["demo_datanode"]);

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

/// A change of version is refused with a condition that names the field, and nothing of the cluster is touched; so is an
/// edit that cannot be; the last good spec undoes both.
#[test]
fn refused_edits_change_nothing() {
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
    for (what, patch, undo, field) in [
        (
            "a change of version",
            json!({"spec": {"components": {"image": "milvusdb/milvus:v2.3.0"}}}),
            json!({"spec": {"components": {"image": "milvusdb/milvus:v2.3.5"}}}),
            "spec.components.image",
        ),
        (
            "more members of etcd",
            json!({"spec": {"dependencies": {"etcd": {"inCluster": {"values": {"replicaCount": 5}}}}}}),
            json!({"spec": {"dependencies": {"etcd": {"inCluster": {"values": {"replicaCount": 3}}}}}}),
            "spec.dependencies.etcd.inCluster.values.replicaCount",
        ),
        (
            "more memory than any node has",
            json!({"spec": {"components": {"queryNode": {"resources": {"requests": {"memory": "900Gi"}}}}}}),
            json!({"spec": {"components": {"queryNode": {"resources": null}}}}),
            "spec.components.queryNode.resources.requests.memory",
        ),
    ] {
        let told = suite.kubectl.events(DEMO).len();
        suite.kubectl.patch(DEMO, &patch);
        let refused = wait::until(&format!("{what} to be refused"), crate::suite::SOON, || {
            let accepted = suite.kubectl.condition(DEMO, "Accepted");
            (accepted.status == "False")
                .then_some(accepted.clone())
                .ok_or_else(|| format!("{accepted:?}"))
        });
        println!("    {}: {}", refused.reason, refused.message);
        assert!(refused.message.contains(field), "{refused:?}");
        suite.event(DEMO, told, &refused.reason, &[field]);
        thread::sleep(Duration::from_secs(5));
        assert_eq!(before, facts(&suite), "{what} changed something");
        suite.kubectl.patch(DEMO, &undo);
        suite.ready(DEMO, START);
    }
    assert_eq!(before, facts(&suite));
    client::check(&suite.bed.nodes[0].address);
}
