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

/// A setting of Milvus concerns every role.
#[test]
fn a_setting_of_every_role() {
    let mut suite = suite();
    let room = suite.room("edits");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
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

/// A pod that its node has evicted stays in the API as Failed for as long as it is not cleared away. Another one is in its place,
/// and the next change is carried out.
#[test]
fn an_evicted_pod_holds_up_no_change() {
    let mut suite = suite();
    let room = suite.room("evicted");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    let pods = room.names("pods", "demo");
    let evicted = pods.iter().find(|p| p.contains("querynode")).unwrap();
    let status = json!({"status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory.",
        "conditions": [], "containerStatuses": []}});
    room.change("pods/status", evicted, &status);
    wait::timed("another one in its place", SOON, || {
        let now = room.names("pods", "demo");
        let more = now.iter().filter(|p| p.contains("querynode")).count();
        (more == 2).then_some(()).ok_or(format!("{now:?}"))
    });
    room.ready("demo", START);
    let before = deployments(&room);
    room.edit(
        "demo",
        &json!({"spec": {"config": {"log": {"level": "debug"}}}}),
    );
    let order = roll(&room, &before, "a setting beside an evicted pod");
    assert_eq!(order.len(), 5, "{order:?}");
    assert_eq!(room.condition("demo", "Updated").status, "True");
    assert_eq!(room.get("pods", evicted)["status"]["phase"], "Failed");
}
