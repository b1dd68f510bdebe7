//! What hands break is put right, quickly, and said by field.

use std::time::Duration;

use milvus_tests::api::Patch;
use milvus_tests::wait;
use serde_json::{Value, json};

use crate::suite::{REPAIR, Room, START, Suite, suite};

/// The demo of the samples has an object of every kind.
fn demo(suite: &mut Suite, room: &str) -> Room {
    suite.bed.volumes(10);
    let room = suite.room(room);
    let mut demo = room.sample("demo.yaml");
    demo["spec"]["components"]["env"] = json!([{"name": "TZ", "value": "UTC"}]);
    room.create(&demo);
    room.ready("demo", START);
    room
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// Of every kind that runs nothing one object is deleted and back within a second, under the same name, and told; claims and pods of others stay.
#[test]
fn what_is_deleted_is_back() {
    let mut suite = suite();
    let room = demo(&mut suite, "deleted");
    let one = |kind: &str, begins: &str| {
        let names = room.names(kind, "demo");
        let found = names.iter().find(|n| n.starts_with(begins)).cloned();
        found.unwrap_or_else(|| panic!("no {kind} {begins}*: {names:?}"))
    };
    let claims = || room.api.list("persistentvolumeclaims", &room.namespace, "");
    let claims_before: Vec<String> = claims().iter().map(uid).collect();
    assert_eq!(claims_before.len(), 6, "{claims_before:?}");
    for (kind, name) in [
        ("services", "demo-milvus".to_owned()),
        ("services", "demo-etcd-headless".to_owned()),
        ("configmaps", one("configmaps", "demo-broker-conf-")),
        ("secrets", one("secrets", "demo-user-yaml-")),
        ("serviceaccounts", "demo-milvus".to_owned()),
        ("poddisruptionbudgets", "demo-etcd".to_owned()),
    ] {
        let told = room.events("demo").len();
        let old = uid(&room.get(kind, &name));
        room.api.delete(room.at(kind, &name), "Background");
        let (_, took) = wait::timed(&format!("{kind} {name} to be back"), REPAIR, || {
            let now = room.find(kind, &name).ok_or("it is not there")?;
            (uid(&now) != old)
                .then_some(())
                .ok_or("it is still there".to_owned())
        });
        assert!(took < REPAIR, "{took:?}");
        room.event("demo", told, "Recreated", &[&name]);
        room.ready("demo", START);
    }
    let claims_after: Vec<String> = claims().iter().map(uid).collect();
    assert_eq!(claims_before, claims_after, "claims are other ones");
}

/// One edit by hand.
struct Edit {
    what: &'static str,
    kind: &'static str,
    name: &'static str,
    patch: Patch<'static>,
    body: Value,
    /// Where to look, and what is right there.
    right: (&'static str, Value),
    /// What the event names.
    words: &'static [&'static str],
}

fn edits() -> Vec<Edit> {
    const TEMPLATE: &str = "/spec/template/spec/containers/0";
    let merge = |what, kind, name, body, right, words| Edit {
        what,
        kind,
        name,
        patch: Patch::Merge,
        body,
        right,
        words,
    };
    let replace =
        |path: &str, value: Value| json!([{"op": "replace", "path": path, "value": value}]);
    let within = |what, name, path: &'static str, value: Value, right: Value, words| Edit {
        what,
        kind: "deployments",
        name,
        patch: Patch::Json,
        body: replace(path, value),
        right: (path, right),
        words,
    };
    vec![
        within(
            "another image",
            "demo-proxy",
            "/spec/template/spec/containers/0/image",
            json!("milvusdb/milvus:v2.3.0"),
            json!("milvusdb/milvus:v2.3.5"),
            &["demo-proxy", "containers[proxy].image"],
        ),
        within(
            "another value in the environment",
            "demo-datanode",
            "/spec/template/spec/containers/0/env/0/value",
            json!("CET"),
            json!("UTC"),
            &["demo-datanode", "env[TZ].value"],
        ),
        within(
            "another port under our name",
            "demo-indexnode",
            "/spec/template/spec/containers/0/ports/0/containerPort",
            json!(1234),
            json!(21121),
            &["demo-indexnode", "ports"],
        ),
        Edit {
            what: "no readiness probe",
            kind: "deployments",
            name: "demo-mixcoord",
            patch: Patch::Json,
            body: json!([{"op": "remove", "path": format!("{TEMPLATE}/readinessProbe")}]),
            right: (
                "/spec/template/spec/containers/0/readinessProbe/httpGet/port",
                json!(9091),
            ),
            words: &["demo-mixcoord", "readinessProbe"],
        },
        Edit {
            what: "another image of a member",
            kind: "statefulsets",
            name: "demo-etcd",
            patch: Patch::Json,
            body: replace(&format!("{TEMPLATE}/image"), json!("milvusdb/etcd:3.5.0")),
            right: (
                "/spec/template/spec/containers/0/image",
                json!("milvusdb/etcd:3.6.16"),
            ),
            words: &["demo-etcd", "containers[etcd].image"],
        },
        Edit {
            what: "another port of the Service",
            kind: "services",
            name: "demo-milvus",
            patch: Patch::Json,
            body: replace("/spec/ports/0/port", json!(19531)),
            right: ("/spec/ports/0/port", json!(19530)),
            words: &["demo-milvus", "spec.ports[19530]"],
        },
        merge(
            "another selector of the Service",
            "services",
            "demo-milvus",
            json!({"spec": {"selector": {"app.kubernetes.io/component": "querynode"}}}),
            (
                "/spec/selector/app.kubernetes.io~1component",
                json!("proxy"),
            ),
            &["demo-milvus", "spec.selector"],
        ),
        merge(
            "another budget",
            "poddisruptionbudgets",
            "demo-etcd",
            json!({"spec": {"maxUnavailable": 3}}),
            ("/spec/maxUnavailable", json!(1)),
            &["demo-etcd", "spec.maxUnavailable"],
        ),
        merge(
            "a label taken off",
            "deployments",
            "demo-proxy",
            json!({"metadata": {"labels": {"app.kubernetes.io/component": null}}}),
            (
                "/metadata/labels/app.kubernetes.io~1component",
                json!("proxy"),
            ),
            &["demo-proxy", "metadata.labels[app.kubernetes.io/component]"],
        ),
        merge(
            "the label that the watch selects by taken off",
            "deployments",
            "demo-querynode",
            json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}),
            (
                "/metadata/labels/app.kubernetes.io~1managed-by",
                json!("milvus-operator"),
            ),
            &[
                "demo-querynode",
                "metadata.labels[app.kubernetes.io/managed-by]",
            ],
        ),
        merge(
            "the owner taken off",
            "services",
            "demo-etcd",
            json!({"metadata": {"ownerReferences": null}}),
            ("/metadata/ownerReferences/0/name", json!("demo")),
            &["demo-etcd", "metadata.ownerReferences"],
        ),
        merge(
            "the owner and the label of the cluster taken off",
            "deployments",
            "demo-datanode",
            json!({"metadata": {"ownerReferences": null, "labels": {"app.kubernetes.io/instance": null}}}),
            ("/metadata/ownerReferences/0/name", json!("demo")),
            &["demo-datanode", "metadata.ownerReferences"],
        ),
        merge(
            "the owner and all labels taken off",
            "statefulsets",
            "demo-zookeeper",
            json!({"metadata": {"ownerReferences": null, "labels": null}}),
            (
                "/metadata/labels/app.kubernetes.io~1instance",
                json!("demo"),
            ),
            &["demo-zookeeper", "metadata.labels"],
        ),
        merge(
            "our mark taken off",
            "serviceaccounts",
            "demo-milvus",
            json!({"metadata": {"annotations": {"operator.milvus.io/applied": null}}}),
            ("/kind", json!("ServiceAccount")),
            &["ServiceAccount demo-milvus", "metadata.annotations"],
        ),
    ]
}

/// Every edit is undone within a second, and an event names object and field.
#[test]
fn what_is_edited_is_put_back() {
    let mut suite = suite();
    let room = demo(&mut suite, "edited");
    let mut slowest = Duration::ZERO;
    for edit in edits() {
        let told = room.events("demo").len();
        let place = room.at(edit.kind, edit.name);
        let before = uid(&room.get(edit.kind, edit.name));
        let changed = room.api.patch(place, edit.patch, &edit.body);
        let changed = changed.unwrap_or_else(|refused| panic!("{}: {refused:?}", edit.what));
        let version = changed["metadata"]["resourceVersion"].clone();
        let (path, wanted) = &edit.right;
        let what = format!("{} of {} to be undone", edit.what, edit.name);
        let (found, took) = wait::timed(&what, REPAIR, || {
            let now = room.find(edit.kind, edit.name).ok_or("it is gone")?;
            let found = now.pointer(path);
            (found == Some(wanted) && now["metadata"]["resourceVersion"] != version)
                .then_some(now.clone())
                .ok_or_else(|| format!("{path} is {found:?}"))
        });
        assert_eq!(before, uid(&found), "{}: made anew", edit.what);
        slowest = slowest.max(took);
        let event = room.event("demo", told, "Repaired", edit.words);
        println!("    {event}");
        room.ready("demo", START);
    }
    println!("  the slowest repair took {:.2} s", slowest.as_secs_f64());
}

/// Files that pods have are never changed in place: the API server itself refuses to.
#[test]
fn files_cannot_be_edited() {
    let mut suite = suite();
    let room = demo(&mut suite, "files");
    for (kind, begins) in [
        ("configmaps", "demo-zk-conf-"),
        ("secrets", "demo-minio-key-"),
    ] {
        let names = room.names(kind, "demo");
        let name = names.iter().find(|n| n.starts_with(begins)).unwrap();
        let body = json!({"data": {"more": "bW9yZQ=="}});
        let refused = room
            .api
            .patch(room.at(kind, name), Patch::Merge, &body)
            .unwrap_err();
        assert_eq!(refused.code, 422, "{refused:?}");
        assert!(refused.message.contains("immutable"), "{refused:?}");
    }
}
