//! Deletion: with the data, and keeping it for the next cluster of that name.

use std::thread;
use std::time::Duration;

use milvus_tests::wait;
use serde_json::{Value, json};

use crate::suite::{ARGUMENTS, Room, START, suite};

/// uid by name of the claims of a cluster.
fn claims(room: &Room, cluster: &str) -> Vec<(String, String)> {
    let select = format!("app.kubernetes.io/instance={cluster}");
    let all = room
        .api
        .list("persistentvolumeclaims", &room.namespace, &select);
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    all.iter()
        .map(|c| (text(&c["metadata"]["name"]), text(&c["metadata"]["uid"])))
        .collect()
}

/// Under Retain (the default) the claims stay and the last event names them; the same name needs `adopt: true` and then has the same
/// claims and credentials; under Delete nothing is left.
#[test]
fn keeping_its_data_and_not() {
    let mut suite = suite();
    suite.bed.volumes(8);
    let room = suite.room("data");
    let resource = room.standalone("single");
    room.create(&resource);
    room.ready("single", START);
    let before = claims(&room, "single");
    assert_eq!(before.len(), 3, "{before:?}");
    let login = room.get("secrets", "single-minio")["data"].clone();
    room.remove("single");
    assert_eq!(before, claims(&room, "single"), "claims under Retain");
    let events = room.events("single");
    let last = events.last().unwrap();
    assert_eq!(last.reason, "VolumesRetained", "{events:#?}");
    for (name, _) in &before {
        assert!(last.message.contains(name), "{last:?}");
    }
    assert_eq!(room.get("secrets", "single-minio")["data"], login);

    room.create(&resource);
    let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    let refused = room.told("single", "Accepted", "False", &names);
    assert_eq!(refused.reason, "RetainedData");
    assert_eq!(room.names("statefulsets", "single"), Vec::<String>::new());
    room.edit("single", &json!({"spec": {"adopt": true}}));
    room.ready("single", START);
    assert_eq!(before, claims(&room, "single"), "adopted claims");
    assert_eq!(room.get("secrets", "single-minio")["data"], login);

    room.edit("single", &json!({"spec": {"deletionPolicy": "Delete"}}));
    room.ready("single", START);
    let told = room.events("single").len();
    room.remove("single");
    wait::timed("the claims to be gone", START, || {
        let left = claims(&room, "single");
        left.is_empty().then_some(()).ok_or(format!("{left:?}"))
    });
    for (name, _) in &before {
        room.event("single", told, "VolumesDeleted", &[name]);
    }
    assert!(room.find("configmaps", "single-ledger").is_none());
    // What was left of it would refuse the next of that name.
    room.create(&resource);
    room.ready("single", START);
}

/// `--cascade=orphan` asks for what the cluster consists of to stay: it stays and goes on, and the next resource of that name takes it
/// over without a restart.
#[test]
fn orphans_stay() {
    let mut suite = suite();
    let room = suite.room("orphan");
    let resource = room.cluster("demo");
    room.create(&resource);
    room.ready("demo", START);
    let before = room.identities("demo");
    let pods = room.names("pods", "demo");
    room.kubectl
        .run(&["delete", "mvc", "demo", "--cascade=orphan", "--timeout=25s"]);
    assert!(room.find("milvusclusters", "demo").is_none());
    thread::sleep(Duration::from_secs(2));
    assert_eq!(pods, room.names("pods", "demo"));
    let now = room.identities("demo");
    let kept: Vec<&String> = before.keys().filter(|k| !now.contains_key(*k)).collect();
    assert!(kept.is_empty(), "gone: {kept:?}");

    room.create(&resource);
    room.ready("demo", START);
    assert_eq!(
        pods,
        room.names("pods", "demo"),
        "taken over with a restart"
    );
    let owner =
        room.get("deployments", "demo-proxy")["metadata"]["ownerReferences"][0]["uid"].clone();
    assert_eq!(owner, room.get("milvusclusters", "demo")["metadata"]["uid"]);
    room.remove("demo");
}

/// A process that does not end holds the resource, and with it its finalizer: what is left is told.
#[test]
fn the_finalizer_goes_last() {
    let mut suite = suite();
    let room = suite.room("last");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    let pods = room.names("pods", "demo");
    let held = pods.iter().find(|p| p.contains("querynode")).unwrap();
    let hold = json!({"metadata": {"finalizers": ["suite/holds"]}});
    room.change("pods", held, &hold);
    room.api
        .delete(room.at("milvusclusters", "demo"), "Background");
    room.told("demo", "Ready", "False", &["Deleting"]);
    room.told("demo", "Progressing", "True", &["Deleting", "stop"]);
    thread::sleep(Duration::from_secs(3));
    let found = room.get("milvusclusters", "demo");
    assert_eq!(
        found["metadata"]["finalizers"],
        json!(["operator.milvus.io/cluster"])
    );
    assert_eq!(found["status"]["phase"], "Deleting");
    room.change("pods", held, &json!({"metadata": {"finalizers": null}}));
    room.gone("demo", START);
}

/// In the foreground, in the background, and while the operator is away.
#[test]
fn in_every_manner() {
    let mut suite = suite();
    let room = suite.room("manner");
    for manner in ["foreground", "background"] {
        room.create(&room.cluster(manner));
        room.ready(manner, START);
        let cascade = format!("--cascade={manner}");
        room.kubectl
            .run(&["delete", "mvc", manner, &cascade, "--timeout=25s"]);
        room.gone(manner, START);
    }
    room.create(&room.cluster("away"));
    room.ready("away", START);
    suite.operator.kill();
    room.api
        .delete(room.at("milvusclusters", "away"), "Background");
    thread::sleep(Duration::from_secs(1));
    let found = room.get("milvusclusters", "away");
    assert!(found["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(room.names("deployments", "away").len(), 5);
    suite.operator.start_with(&ARGUMENTS);
    room.gone("away", START);
}

/// A namespace goes with everything in it, clusters of all kinds too.
#[test]
fn with_its_namespace() {
    let mut suite = suite();
    suite.bed.volumes(12);
    let room = suite.room("space");
    room.create(&room.cluster("one"));
    room.create(&room.standalone("two"));
    let mut three = room.standalone("three");
    three["spec"]["deletionPolicy"] = json!("Delete");
    room.create(&three);
    // One in the middle of its creation, and one that was refused.
    let mut four = room.cluster("four");
    four["spec"]["dependencies"]["storage"]["secretRef"] = json!("no-such-secret");
    room.create(&four);
    room.ready("two", START);
    room.ready("three", START);
    room.create(&room.standalone("five"));
    let namespace = ["delete", "namespace", &room.namespace, "--timeout=28s"];
    suite.kubectl.run(&namespace);
    let log = suite.operator.log();
    let of_it = log.lines().filter(|l| l.contains(&room.namespace));
    let failed = of_it.filter(|l| l.contains("pass failed")).count();
    assert!(failed < 40, "{failed} failed passes while it went");
}
