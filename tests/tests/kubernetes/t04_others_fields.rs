//! What others set is theirs.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use milvus_tests::api::Patch;
use milvus_tests::wait;
use serde_json::{Value, json};

use crate::suite::{ARGUMENTS, Room, SOON, START, suite};
use crate::t01_first_start::only_finalizer_and_status_are_ours;

/// A sidecar that a mesh injected, annotations, labels, fields that the operator does not set, and an object that somebody made to
/// go with the cluster: they stay through rest, repair and change. The resource itself is never written to.
#[test]
fn is_left_alone() {
    let mut suite = suite();
    let room = suite.room("others");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    let apply = |what: &str, name: &str, body: Value| {
        let made = room
            .api
            .patch(room.at(what, name), Patch::Apply("mesh"), &body);
        made.unwrap_or_else(|refused| panic!("{refused:?}"));
    };
    let deployment = |name: &str, more: Value| {
        let mut object =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}});
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    };
    let sidecar = json!({"spec": {"template": {
        "metadata": {"annotations": {"mesh/injected": "yes"}},
        "spec": {"containers": [{"name": "mesh", "image": "mesh:1", "ports": [{"name": "milvus", "containerPort": 15001}]}],
            "volumes": [{"name": "mesh", "emptyDir": {}}]}}}});
    apply(
        "deployments",
        "demo-proxy",
        deployment("demo-proxy", sidecar),
    );
    room.ready("demo", START);
    room.change(
        "deployments",
        "demo-querynode",
        &json!({"spec": {"minReadySeconds": 1, "revisionHistoryLimit": null}}),
    );
    room.change(
        "deployments",
        "demo-querynode",
        &json!({"metadata": {"annotations": {"team": "search"}, "labels": {"cost": "42"}}}),
    );
    room.change("services", "demo-milvus", &json!({"spec": {"sessionAffinity": "ClientIP"}, "metadata": {"annotations": {"lb": "internal"}}}));
    let owner = room.get("services", "demo-milvus")["metadata"]["ownerReferences"].clone();
    let given = json!({"metadata": {"name": "demo-notes", "ownerReferences": owner,
        "labels": {"app.kubernetes.io/managed-by": "milvus-operator", "app.kubernetes.io/instance": "demo"}}, "data": {"a": "b"}});
    room.api
        .create("configmaps", &room.namespace, &given)
        .unwrap();
    let told = room.settled("demo");
    // What is made of the field that was taken away by hand is ours to put back; all else stays.
    let look = || {
        let proxy = room.get("deployments", "demo-proxy");
        let pod = &proxy["spec"]["template"];
        let names = |what: &str| -> Vec<String> {
            let all = pod["spec"][what].as_array().unwrap().iter();
            all.map(|c| c["name"].as_str().unwrap().to_owned())
                .collect()
        };
        assert!(names("containers").contains(&"mesh".to_owned()), "{proxy}");
        assert!(names("containers").contains(&"proxy".to_owned()), "{proxy}");
        assert!(names("volumes").contains(&"mesh".to_owned()), "{proxy}");
        assert_eq!(pod["metadata"]["annotations"]["mesh/injected"], "yes");
        let node = room.get("deployments", "demo-querynode");
        assert_eq!(node["spec"]["minReadySeconds"], 1);
        assert_eq!(node["metadata"]["annotations"]["team"], "search");
        assert_eq!(node["metadata"]["labels"]["cost"], "42");
        let service = room.get("services", "demo-milvus");
        assert_eq!(service["spec"]["sessionAffinity"], "ClientIP");
        assert_eq!(service["metadata"]["annotations"]["lb"], "internal");
        assert_eq!(room.get("configmaps", "demo-notes")["data"]["a"], "b");
    };
    look();
    room.still("demo", Duration::from_secs(3));
    assert_eq!(
        room.events("demo").len(),
        told,
        "{:#?}",
        room.events("demo")
    );

    // Repair beside them.
    room.change(
        "deployments",
        "demo-proxy",
        &json!({"spec": {"replicas": 4}}),
    );
    room.event("demo", told, "Repaired", &["demo-proxy", "spec.replicas"]);
    room.change(
        "deployments",
        "demo-querynode",
        &json!({"spec": {"replicas": 0}}),
    );
    room.event(
        "demo",
        told,
        "Repaired",
        &["demo-querynode", "spec.replicas"],
    );
    room.ready("demo", START);
    look();

    // A change of the cluster beside them.
    room.edit(
        "demo",
        &json!({"spec": {"components": {"env": [{"name": "A", "value": "1"}]}}}),
    );
    room.ready("demo", START);
    look();
    room.edit("demo", &json!({"spec": {"components": {"env": null}}}));
    room.ready("demo", START);
    look();
    let env =
        room.get("deployments", "demo-proxy")["spec"]["template"]["spec"]["containers"].to_string();
    assert!(
        !env.contains(r#""name":"A""#),
        "a field that is not set any more stayed: {env}"
    );
    thread::sleep(Duration::from_secs(1));
    let resource = room.get("milvusclusters", "demo");
    assert_eq!(resource["metadata"]["generation"], 3);
    only_finalizer_and_status_are_ours(&resource);

    // What was given to the cluster goes with it, by the garbage collector.
    room.remove("demo");
}

/// Kubernetes' own autoscaler, which needs no metrics to bring a number between its bounds.
fn autoscaler(room: &Room, target: &Value, min: u32, max: u32) {
    let made = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "demo"},
        "spec": {"scaleTargetRef": target, "minReplicas": min, "maxReplicas": max}});
    room.api
        .create("horizontalpodautoscalers", &room.namespace, &made)
        .unwrap();
}

/// Other bounds for it.
fn bounds(room: &Room, min: u32, max: u32) {
    let bounds = json!({"spec": {"minReplicas": min, "maxReplicas": max}});
    room.change("horizontalpodautoscalers", "demo", &bounds);
}

/// Waits until so many pods of a role are ready, and the cluster with them.
fn scaled(room: &Room, role: &str, wanted: u32) {
    wait::timed(&format!("{wanted} of {role}"), START, || {
        let found = &room.get("deployments", &format!("demo-{role}"))["status"]["readyReplicas"];
        (*found == wanted).then_some(()).ok_or(format!(
            "{found} are ready; the autoscaler: {}",
            room.find("horizontalpodautoscalers", "demo")
                .unwrap_or_default()["status"]
        ))
    });
    room.ready("demo", START);
}

/// What the operator has put back.
fn repaired(room: &Room) -> Vec<String> {
    let events = room.events("demo").into_iter();
    events
        .filter(|e| e.reason == "Repaired")
        .map(|e| e.message)
        .collect()
}

/// An autoscaler writes the number of query nodes through the resource's scale; that is where the operator reads it, and a manifest
/// that leaves the number to it can be applied again at any time.
#[test]
fn an_autoscaler_of_the_resource_has_its_way() {
    let mut suite = suite();
    let room = suite.room("autoscaled");
    let mut manifest = room.cluster("demo");
    manifest["spec"]["components"]["queryNode"] = json!({});
    room.kubectl.apply(&manifest);
    room.ready("demo", START);
    let target = json!({"apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster", "name": "demo"});
    autoscaler(&room, &target, 3, 5);
    let number = |wanted| {
        scaled(&room, "querynode", wanted);
        let scale = room.get("milvusclusters", "demo/scale");
        assert_eq!(scale["spec"]["replicas"], wanted, "{scale}");
    };
    number(3);
    let told = room.settled("demo");
    room.kubectl.apply(&manifest);
    room.still("demo", Duration::from_secs(6));
    number(3);
    assert_eq!(
        room.events("demo").len(),
        told,
        "{:#?}",
        room.events("demo")
    );
    bounds(&room, 1, 2);
    number(2);
    assert_eq!(repaired(&room), Vec::<String>::new());
}

/// With `replicas: -1` the number of a role is that of whoever scales its Deployment, from the moment on that the resource says so
/// and without a pod that ends for it; a number in the resource takes it back.
#[test]
fn an_autoscaler_of_a_role_has_its_way() {
    let mut suite = suite();
    let room = suite.room("left");
    let mut manifest = room.cluster("demo");
    manifest["spec"]["components"]["proxy"] = json!({"replicas": 3});
    manifest["spec"]["components"]["dataNode"] = json!({"replicas": -1});
    room.create(&manifest);
    room.ready("demo", START);
    let pods = || -> BTreeSet<String> {
        let select = "app.kubernetes.io/instance=demo,app.kubernetes.io/component=proxy";
        let pods = room.api.list("pods", &room.namespace, select);
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
        pods.iter().map(name).collect()
    };
    let (before, told) = (pods(), room.settled("demo"));
    room.edit(
        "demo",
        &json!({"spec": {"components": {"proxy": {"replicas": -1}}}}),
    );
    room.event("demo", told, "Updated", &["demo-proxy"]);
    room.settled("demo");
    assert_eq!(pods(), before, "nobody asked for another number");

    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "demo-proxy"});
    autoscaler(&room, &target, 5, 6);
    scaled(&room, "proxy", 5);
    let status = room.get("milvusclusters", "demo")["status"]["components"].to_string();
    assert!(status.contains(r#""replicas":5"#), "{status}");
    // Whatever else is changed, and by hand as well.
    room.edit(
        "demo",
        &json!({"spec": {"components": {"env": [{"name": "A", "value": "1"}]}}}),
    );
    scaled(&room, "proxy", 5);
    let by_hand = json!({"spec": {"replicas": 2}});
    room.change("deployments", "demo-datanode", &by_hand);
    scaled(&room, "datanode", 2);
    room.change(
        "services",
        "demo-milvus",
        &json!({"metadata": {"labels": {"app.kubernetes.io/instance": "x"}}}),
    );
    room.event("demo", told, "Repaired", &["demo-milvus"]);
    bounds(&room, 2, 4);
    scaled(&room, "proxy", 4);
    // What is removed comes back as large as it was.
    let removed = room.at("deployments", "demo-datanode");
    room.api.delete(removed, "Background");
    room.event("demo", told, "Recreated", &["demo-datanode"]);
    scaled(&room, "datanode", 2);
    // Nor for an operator that starts anew and has not seen the number yet.
    room.settled("demo");
    let before = room.identities("demo");
    suite.operator.kill();
    suite.operator.spawn_with(&ARGUMENTS);
    wait::timed("the operator to be ready", SOON, || {
        suite.operator.health("/readyz")
    });
    thread::sleep(Duration::from_secs(3));
    assert_eq!(room.identities("demo"), before);
    let repaired = repaired(&room);
    assert!(
        !repaired.iter().any(|m| m.contains("replicas")),
        "{repaired:?}"
    );
    // Of the query nodes the number is the resource's own scale.
    let own = json!({"spec": {"components": {"queryNode": {"replicas": -1}}}});
    let patched = room
        .api
        .patch(room.at("milvusclusters", "demo"), Patch::Merge, &own);
    let refused = patched.unwrap_err();
    assert!(
        refused.message.contains("queryNode.replicas"),
        "{refused:?}"
    );

    room.api
        .delete(room.at("horizontalpodautoscalers", "demo"), "Background");
    // From a number to nothing, and from there to whoever scales it, which begins with one.
    for (replicas, pods) in [(1, json!(1)), (0, Value::Null), (-1, json!(1))] {
        let proxy = json!({"spec": {"components": {"proxy": {"replicas": replicas}}}});
        room.edit("demo", &proxy);
        wait::timed(&format!("proxies for {replicas}"), START, || {
            let found = &room.get("deployments", "demo-proxy")["status"]["readyReplicas"];
            (*found == pods).then_some(()).ok_or(found.to_string())
        });
    }
    room.ready("demo", START);
}
