//! Edits of a running cluster: one workload at a time, and only what the edit concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use milvus_tests::kubectl::is_ready;
use milvus_tests::wait;
use serde_json::{Value, json};

use crate::suite::{Room, SOON, START, suite};

/// uid and template of each Deployment.
fn deployments(room: &Room) -> BTreeMap<String, (Value, Value)> {
    let all = room.api.list("deployments", &room.namespace, "");
    let one = |d: &Value| {
        let name = d["metadata"]["name"].as_str().unwrap().to_owned();
        (name, (d["metadata"]["uid"].clone(), d["spec"].clone()))
    };
    all.iter().map(one).collect()
}

/// Exactly these Deployments are not as they were; none was made anew.
#[track_caller]
fn changed(
    before: &BTreeMap<String, (Value, Value)>,
    after: &BTreeMap<String, (Value, Value)>,
    wanted: &[&str],
) {
    let differ: BTreeSet<&str> = before
        .iter()
        .filter(|(name, was)| after.get(*name) != Some(was))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(differ, wanted.iter().copied().collect());
    for (name, (uid, _)) in before {
        assert_eq!(Some(uid), after.get(name).map(|(uid, _)| uid), "{name}");
    }
}

/// How many of these pods are a Deployment's, and ready.
fn ready_pods(pods: &[Value], deployment: &Value) -> usize {
    let component = "/metadata/labels/app.kubernetes.io~1component";
    let ready = |pod: &&Value| {
        let conditions = pod["status"]["conditions"].as_array();
        pod["metadata"]["deletionTimestamp"].is_null()
            && conditions
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    pods.iter()
        .filter(|pod| pod.pointer(component) == deployment.pointer(component))
        .filter(ready)
        .count()
}

/// Follows a roll-out until the cluster is Ready for the edit; fails when two Deployments roll at once. Gives the order in
/// which they began. `before` is what there was before the edit.
#[track_caller]
fn roll(room: &Room, before: &BTreeMap<String, (Value, Value)>, what: &str) -> Vec<String> {
    let start = Instant::now();
    let mut order: Vec<String> = Vec::new();
    loop {
        // Asked before the look, so that the look which ends this sees all of the roll-out.
        let resource = room.get("milvusclusters", "demo");
        // Pods are looked at after the Deployments: of those that had changed by then all but the last have to be well.
        let found = room.api.list("deployments", &room.namespace, "");
        let pods = room.api.list("pods", &room.namespace, "");
        let mut rolling = Vec::new();
        for found in found {
            let spec = &found["spec"];
            let name = found["metadata"]["name"].as_str().unwrap().to_owned();
            if before[&name].1["template"] == spec["template"] {
                continue;
            }
            if spec["replicas"] != ready_pods(&pods, &found) {
                rolling.push(name.clone());
            }
            if !order.contains(&name) {
                order.push(name);
            }
        }
        assert!(rolling.len() <= 1, "at once: {rolling:?}");
        match is_ready(&resource) {
            Ok(()) => break,
            Err(why) => assert!(start.elapsed() < START, "{what}: {why}"),
        }
    }
    println!(
        "  {what}: {:.2} s, {order:?}",
        start.elapsed().as_secs_f64()
    );
    order
}

/// More query nodes by `kubectl scale`, an environment variable, a setting of Milvus, and the way back.
#[test]
fn replicas_environment_and_config() {
    let mut suite = suite();
    let room = suite.room("edits");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    let pods = |role: &str| {
        let select = format!("app.kubernetes.io/component={role}");
        room.api.names("pods", &room.namespace, &select)
    };

    let (before, old) = (deployments(&room), pods("querynode"));
    room.kubectl
        .run(&["scale", "milvuscluster", "demo", "--replicas=3"]);
    room.ready("demo", START);
    changed(&before, &deployments(&room), &["demo-querynode"]);
    let now = pods("querynode");
    assert!(now.len() == 3 && now.contains(&old[0]), "{old:?} {now:?}");
    assert_eq!(
        room.get("milvusclusters", "demo")["status"]["components"]["queryNode"]["ready"],
        3
    );

    let before = deployments(&room);
    room.edit(
        "demo",
        &json!({"spec": {"components": {"dataNode": {"env": [{"name": "EDITED", "value": "1"}]}}}}),
    );
    assert_eq!(
        roll(&room, &before, "a data node's environment"),
        ["demo-datanode"]
    );
    changed(&before, &deployments(&room), &["demo-datanode"]);

    let before = deployments(&room);
    let told = room.events("demo").len();
    room.edit(
        "demo",
        &json!({"spec": {"config": {"log": {"level": "debug"}}}}),
    );
    let order = roll(&room, &before, "a setting of every role");
    assert_eq!(order.len(), 5, "{order:?}");
    let all: Vec<&str> = before.keys().map(String::as_str).collect();
    changed(&before, &deployments(&room), &all);
    for role in &all {
        room.event("demo", told, "Updated", &[role]);
    }
    // What the old files were is collected.
    wait::timed("old files to be collected", SOON, || {
        let names = room.names("secrets", "demo");
        let files = names.iter().filter(|n| n.starts_with("demo-user-yaml-"));
        (files.count() == 1)
            .then_some(())
            .ok_or(format!("{names:?}"))
    });
}

/// A change that does not come up holds the others back, and applying the last good spec undoes it. (The pod that does not come up
/// is one that the fake node leaves alone.)
#[test]
fn a_change_that_does_not_come_up_stops_there() {
    let mut suite = suite();
    let room = suite.room("stuck");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    let before = deployments(&room);
    let hold = |what: Value| {
        room.edit("demo", &json!({"spec": {
            "components": {"env": [{"name": "GENERATION", "value": what.to_string()}]},
            "kubernetes": {"components": {"mixCoord": {"podAnnotations": {"testbed/hold": what}}}}}}));
    };
    hold(json!("yes"));
    room.told("demo", "Updated", "False", &["mixcoord", "querynode"]);
    thread::sleep(Duration::from_secs(3));
    let now = deployments(&room);
    let moved: Vec<&String> = now
        .keys()
        .filter(|name| now[*name] != before[*name])
        .collect();
    assert_eq!(
        moved.len(),
        1,
        "one workload rolls, the others wait: {moved:?}"
    );
    let condition = room.condition("demo", "Progressing");
    assert!(
        condition.status == "True"
            && condition
                .message
                .contains(moved[0].trim_start_matches("demo-")),
        "{condition:?}"
    );
    assert_eq!(
        room.get("milvusclusters", "demo")["status"]["endpoint"],
        format!("demo-milvus.{}:19530", room.namespace)
    );

    room.edit(
        "demo",
        &json!({"spec": {"components": {"env": null}, "kubernetes": null}}),
    );
    room.ready("demo", START);
    changed(&before, &deployments(&room), &[]);
}

/// Edits that cannot be are refused with their field, and nothing of the cluster moves; the last good spec undoes them.
#[test]
fn refused_edits_change_nothing() {
    let mut suite = suite();
    suite.bed.volumes(12);
    let room = suite.room("refused");
    room.create(&room.sample("demo.yaml"));
    room.ready("demo", START);
    thread::sleep(Duration::from_secs(2));
    // The one that is edited by hand meanwhile is looked at by itself.
    let all_but_one = || {
        let mut all = room.identities("demo");
        all.remove("deployments demo-proxy");
        all
    };
    let before = all_but_one();
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
            "a setting of another platform",
            json!({"spec": {"swarm": {"gateway": {"port": 19540}}}}),
            json!({"spec": {"swarm": null}}),
            "spec.swarm.gateway",
        ),
    ] {
        let told = room.events("demo").len();
        room.edit("demo", &patch);
        let refused = room.told("demo", "Accepted", "False", &[field]);
        println!("    {what}: {}: {}", refused.reason, refused.message);
        room.event("demo", told, &refused.reason, &[field]);
        thread::sleep(Duration::from_secs(1));
        assert_eq!(before, all_but_one(), "{what} changed something");
        // Repair goes on meanwhile, by the last good spec.
        room.change(
            "deployments",
            "demo-proxy",
            &json!({"spec": {"replicas": 2}}),
        );
        room.event("demo", told, "Repaired", &["demo-proxy"]);
        room.edit("demo", &undo);
        room.ready("demo", START);
        assert_eq!(before, all_but_one(), "{what} left something");
        assert_eq!(room.get("deployments", "demo-proxy")["spec"]["replicas"], 1);
    }
}
