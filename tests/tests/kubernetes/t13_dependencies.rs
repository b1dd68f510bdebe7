//! Dependencies in the cluster: what is made of them, and in which order.

use std::thread;
use std::time::Duration;

use milvus_tests::wait;
use serde_json::json;

use crate::suite::{Room, SOON, START, suite};

fn there(room: &Room) -> Vec<String> {
    ["deployments", "statefulsets", "jobs"]
        .iter()
        .flat_map(|kind| room.names(kind, "demo"))
        .collect()
}

/// Nothing starts before what it needs is ready: etcd, held back, holds everything of Milvus back, but not the rest of the
/// dependencies; ZooKeeper before the job, the job before bookies, these before brokers, all before the roles. Each member has a claim,
/// each quorum a budget that lets one go at a time.
#[test]
fn in_their_order() {
    let mut suite = suite();
    suite.bed.volumes(10);
    let room = suite.room("order");
    let mut demo = room.sample("demo.yaml");
    demo["spec"]["kubernetes"] = json!({"components": {
        "etcd": {"podAnnotations": {"testbed/hold": "yes"}},
        "zookeeper": {"podAnnotations": {"testbed/hold": "yes"}}}});
    room.create(&demo);
    wait::timed("the first of them", SOON, || {
        let names = there(&room);
        (names == ["demo-etcd", "demo-minio", "demo-zookeeper"])
            .then_some(())
            .ok_or(format!("{names:?}"))
    });
    room.told("demo", "DependenciesReady", "False", &["etcd", "zookeeper"]);
    room.told("demo", "Ready", "False", &["etcd"]);
    room.event("demo", 0, "WaitingForDependencies", &["zookeeper"]);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(there(&room), ["demo-etcd", "demo-minio", "demo-zookeeper"]);

    let release = |component: &str| {
        let select = format!("app.kubernetes.io/component={component}");
        for pod in room.api.names("pods", &room.namespace, &select) {
            let patch = json!({"metadata": {"annotations": {"testbed/hold": null}}});
            room.change("pods", &pod, &patch);
        }
    };
    release("zookeeper");
    // The job of Pulsar runs as ZooKeeper does, and is held back like it.
    wait::until("the job of Pulsar", SOON, || {
        let select = "app.kubernetes.io/component=pulsar-init";
        let pods = room.api.names("pods", &room.namespace, select);
        (!pods.is_empty()).then_some(()).ok_or(format!("{pods:?}"))
    });
    release("pulsar-init");
    wait::timed("Pulsar without Milvus", START, || {
        let names = there(&room);
        let wanted = [
            "demo-bookkeeper",
            "demo-broker",
            "demo-etcd",
            "demo-minio",
            "demo-zookeeper",
        ];
        (names == wanted).then_some(()).ok_or(format!("{names:?}"))
    });
    // The job has done its work and is gone.
    room.event("demo", 0, "Created", &["Job demo-pulsar-init"]);
    room.event(
        "demo",
        0,
        "Removed",
        &["demo-pulsar-init", "its work is done"],
    );
    room.told("demo", "Progressing", "True", &["etcd"]);
    assert_eq!(room.names("deployments", "demo"), Vec::<String>::new());
    release("etcd");
    room.ready("demo", START);

    let story = room.events("demo");
    let place = |word: &str| {
        let made = story
            .iter()
            .position(|e| e.reason == "Created" && e.message.contains(word));
        made.unwrap_or_else(|| panic!("nothing was said of {word}: {story:#?}"))
    };
    let order = [
        place("StatefulSets demo-etcd"),
        place("demo-pulsar-init"),
        place("StatefulSet demo-bookkeeper"),
        place("StatefulSet demo-broker"),
        place("demo-proxy"),
    ];
    assert!(order.is_sorted(), "{order:?} {story:#?}");

    // What was made.
    let claims = room
        .api
        .names("persistentvolumeclaims", &room.namespace, "");
    assert_eq!(
        claims,
        [
            "data-demo-bookkeeper-0",
            "data-demo-etcd-0",
            "data-demo-etcd-1",
            "data-demo-etcd-2",
            "data-demo-minio-0",
            "data-demo-zookeeper-0"
        ]
    );
    let etcd = room.get("statefulsets", "demo-etcd");
    assert_eq!(etcd["spec"]["podManagementPolicy"], "Parallel");
    let headless = room.get("services", "demo-etcd-headless");
    assert_eq!(headless["spec"]["clusterIP"], "None");
    assert_eq!(headless["spec"]["publishNotReadyAddresses"], true);
    let budget = room.get("poddisruptionbudgets", "demo-etcd");
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    assert_eq!(budget["status"]["disruptionsAllowed"], 1);
    let status = room.get("milvusclusters", "demo")["status"].clone();
    assert_eq!(status["dependencies"]["etcd"]["ready"], "3/3");
    assert_eq!(status["ready"], "12/12");
}

/// The portable samples are taken as they are and come up.
#[test]
fn portable_samples_come_up() {
    let mut suite = suite();
    suite.bed.volumes(32);
    let room = suite.room("samples");
    for (file, name) in [
        ("demo.yaml", "demo"),
        ("reference.yaml", "reference"),
        ("cluster-2.6-woodpecker.yaml", "woodpecker"),
        ("standalone-minimal.yaml", "minimal"),
    ] {
        let path = crate::suite::repository()
            .join("deploy/samples")
            .join(file)
            .display()
            .to_string();
        room.kubectl.run(&["apply", "-f", &path]);
        let accepted = room.told(name, "Accepted", "True", &[]);
        println!("  {file}: {}", accepted.message);
    }
    for name in ["minimal", "woodpecker", "demo", "reference"] {
        room.ready(name, Duration::from_secs(90));
    }
    let path = crate::suite::repository().join("deploy/samples/external-dependencies.yaml");
    room.kubectl
        .run(&["apply", "-f", &path.display().to_string()]);
    room.told("external", "Accepted", "True", &[]);
    room.told(
        "external",
        "DependenciesReady",
        "False",
        &["etcd-0.example.org"],
    );
}
