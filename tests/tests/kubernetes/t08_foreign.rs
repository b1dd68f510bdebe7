//! Objects of somebody else under our names.

use std::thread;
use std::time::Duration;

use milvus_tests::api::at;
use milvus_tests::wait;
use serde_json::{Value, json};

use crate::suite::{SOON, START, suite};

/// A Service with labels like ours, as another installer may set them, is somebody else's all the same: it is left alone and
/// reported by name, the rest of the cluster is made meanwhile, and when it goes ours takes its place.
#[test]
fn labels_do_not_make_it_ours() {
    let mut suite = suite();
    let room = suite.room("foreign");
    let theirs = json!({"metadata": {"name": "demo-milvus", "labels": {
            "app.kubernetes.io/managed-by": "milvus-operator", "app.kubernetes.io/instance": "demo"}},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "theirs"}}});
    room.api
        .create("services", &room.namespace, &theirs)
        .unwrap();
    let look = || {
        let mut object = room.get("services", "demo-milvus");
        object["metadata"]["managedFields"] = Value::Null;
        object
    };
    let before = look();
    room.create(&room.cluster("demo"));
    let name = "Service demo-milvus";
    room.event("demo", 0, "ForeignObject", &[name, "a foreign object"]);
    room.told("demo", "Degraded", "True", &[name, "metadata.name"]);
    wait::timed("all others to be made", SOON, || {
        let names = room.names("deployments", "demo");
        (names.len() == 5).then_some(()).ok_or(format!("{names:?}"))
    });
    // Without a Service of ours there is no way to it.
    room.told("demo", "Ready", "False", &["client endpoint"]);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(before, look(), "somebody else's object was written to");
    room.api
        .delete(room.at("services", "demo-milvus"), "Background");
    room.ready("demo", START);
    assert_eq!(room.condition("demo", "Degraded").status, "False");
}

/// The definition of zilliztech's milvus-operator and its resources beside ours: neither stands in the way of the other, and nothing
/// of theirs is touched.
#[test]
fn the_other_operators_resources_are_none_of_ours() {
    let mut suite = suite();
    let room = suite.room("upstream");
    let definition = json!({"metadata": {"name": "milvusclusters.milvus.io"}, "spec": {"group": "milvus.io", "scope": "Namespaced",
        "names": {"plural": "milvusclusters", "singular": "milvuscluster", "kind": "MilvusCluster", "listKind": "MilvusClusterList"},
        "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
            {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    let theirs = at("customresourcedefinitions", "", "milvusclusters.milvus.io");
    room.api
        .create("customresourcedefinitions", "", &definition)
        .unwrap();
    let path = format!(
        "/apis/milvus.io/v1alpha1/namespaces/{}/milvusclusters",
        room.namespace
    );
    let json = "application/json";
    wait::until("their definition", SOON, || {
        let list = room.api.request("GET", &path, json, &Value::Null);
        list.map(drop).map_err(|refused| refused.message)
    });
    let resource = json!({"apiVersion": "milvus.io/v1alpha1", "kind": "MilvusCluster", "metadata": {"name": "demo"},
        "spec": {"mode": "cluster"}});
    room.api.request("POST", &path, json, &resource).unwrap();
    let look = || {
        let one = room
            .api
            .request("GET", &format!("{path}/demo"), json, &Value::Null);
        let definition = room.api.get(theirs).unwrap();
        (
            one.unwrap(),
            definition["metadata"]["generation"].clone(),
            definition["spec"].clone(),
        )
    };
    let before = look();
    // Ours of the same name in the same namespace.
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    suite.operator.stop();
    suite.operator.start_with(&crate::suite::ARGUMENTS);
    room.remove("demo");
    assert_eq!(before, look());
    room.api.delete(theirs, "Background");
}

/// A pod of the other operator, labelled as it labels its own, beside a cluster of ours with the same name.
#[test]
fn the_other_operators_pods_are_none_of_ours() {
    let mut suite = suite();
    let room = suite.room("pods");
    let theirs = json!({"metadata": {"name": "demo-milvus-proxy-0", "labels": {
            "app.kubernetes.io/name": "milvus", "app.kubernetes.io/instance": "demo",
            "app.kubernetes.io/component": "proxy", "app.kubernetes.io/managed-by": "milvus-operator"}},
        "spec": {"containers": [{"name": "proxy", "image": "milvusdb/milvus:v2.6.11",
            "ports": [{"name": "milvus", "containerPort": 19530}, {"name": "metrics", "containerPort": 9091}]}]}});
    room.api.create("pods", &room.namespace, &theirs).unwrap();
    wait::timed("their pod to be ready", START, || {
        let pod = room.get("pods", "demo-milvus-proxy-0");
        let all = pod["status"]["conditions"].as_array();
        let ready = all
            .into_iter()
            .flatten()
            .any(|c| c["type"] == "Ready" && c["status"] == "True");
        ready.then_some(()).ok_or(pod["status"].to_string())
    });
    // Their proxy serves; ours is not there at all.
    let mut cluster = room.cluster("demo");
    cluster["spec"]["kubernetes"] = json!({"components": {"proxy": {"schedulerName": "nobody"}}});
    room.create(&cluster);
    room.told("demo", "Ready", "False", &["proxy"]);
    thread::sleep(Duration::from_secs(3));
    room.told("demo", "Ready", "False", &["proxy"]);
    let addresses = |room: &crate::suite::Room| -> Vec<String> {
        let endpoints = room.find("endpoints", "demo-milvus").unwrap_or_default();
        let subsets = endpoints["subsets"].as_array().cloned().unwrap_or_default();
        let all = subsets.iter().filter_map(|s| s["addresses"].as_array());
        all.flatten()
            .map(|a| a["targetRef"]["name"].to_string())
            .collect()
    };
    assert_eq!(addresses(&room), Vec::<String>::new());

    room.edit(
        "demo",
        &json!({"spec": {"kubernetes": {"components": {"proxy": null}}}}),
    );
    room.ready("demo", START);
    wait::timed("ours alone to serve", SOON, || {
        let all = addresses(&room);
        let ours = all.len() == 1 && !all[0].contains("demo-milvus-proxy-0");
        ours.then_some(()).ok_or(format!("{all:?}"))
    });
    // The deletion ends with theirs still running.
    room.api
        .delete(room.at("milvusclusters", "demo"), "Background");
    wait::timed("the resource to be gone", START, || {
        let left = room.find("milvusclusters", "demo");
        left.map_or(Ok(()), |left| Err(left["status"].to_string()))
    });
    let pod = room.get("pods", "demo-milvus-proxy-0");
    assert_eq!(pod["metadata"]["deletionTimestamp"], Value::Null);
}
