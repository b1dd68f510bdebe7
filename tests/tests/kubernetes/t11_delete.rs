//! Deletion as Kubernetes knows it: its manners, what holds it, and a namespace that goes.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::suite::{ARGUMENTS, START, suite};

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
