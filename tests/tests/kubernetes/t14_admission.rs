//! What does not stay as it is written.

use std::thread;
use std::time::Duration;

use milvus_tests::api::at;
use milvus_tests::wait;
use serde_json::json;

use crate::suite::{Room, START, Suite, is_write, suite};

/// Long enough for a hundred rounds of a loop.
const WINDOW: Duration = Duration::from_secs(10);

/// Nothing is written in a while, not even in vain.
#[track_caller]
fn at_rest(suite: &Suite, room: &Room) {
    // Requests are counted without their namespaces.
    wait::until("what earlier tests left to be gone", START, || {
        let all = suite.api.list("milvusclusters", "", "");
        (all.len() == 1)
            .then_some(())
            .ok_or(format!("{} are there", all.len()))
    });
    room.settled("demo");
    let writes = || -> u64 {
        let all = suite.requests();
        let writes = all.iter().filter(|((verb, _), _)| is_write(verb));
        writes.map(|(_, count)| count).sum()
    };
    let (before, told) = (writes(), room.events("demo").len());
    thread::sleep(WINDOW);
    assert_eq!(writes() - before, 0, "{:?}", suite.requests());
    assert_eq!(
        room.events("demo").len(),
        told,
        "{:#?}",
        room.events("demo")
    );
}

/// Zero values that the API leaves out of what it stores, written out.
#[test]
fn zero_values_are_no_difference() {
    let mut suite = suite();
    let room = suite.room("zero");
    let mut cluster = room.cluster("demo");
    cluster["spec"]["kubernetes"] = json!({"components": {"queryNode": {
        "hostNetwork": false, "dnsPolicy": "", "schedulerName": "",
        "volumes": [{"name": "scratch", "emptyDir": {"medium": ""}}],
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch", "readOnly": false, "subPath": ""}],
        "probes": {"livenessProbe": {"httpGet": {"path": "/healthz", "port": 9091, "scheme": ""},
            "initialDelaySeconds": 0, "periodSeconds": 0, "timeoutSeconds": 5}}}}});
    room.create(&cluster);
    room.ready("demo", START);
    at_rest(&suite, &room);
    assert_eq!(room.condition("demo", "Updated").status, "True");
}

/// A policy that takes images from a mirror: told once, kept, and nothing is written against it. A change of the object is a new
/// try, after the policy has gone.
#[test]
fn a_policy_that_rewrites_has_its_way() {
    let mut suite = suite();
    let room = suite.room("mirror");
    let name = format!("mirror-{}", room.namespace);
    let mutation = r#"Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
        containers: object.spec.template.spec.containers.map(c, Object.spec.template.spec.containers{name: c.name,
        image: c.image.startsWith("mirror/") ? c.image : "mirror/" + c.image})}}}}"#;
    let policy = json!({"metadata": {"name": name, "labels": {"suite": "yes"}}, "spec": {
        "failurePolicy": "Fail", "reinvocationPolicy": "Never",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": room.namespace}},
            "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["deployments"]}]},
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": mutation}}]}});
    let binding = json!({"metadata": {"name": name, "labels": {"suite": "yes"}}, "spec": {"policyName": name}});
    room.api
        .create("mutatingadmissionpolicies", "", &policy)
        .unwrap();
    room.api
        .create("mutatingadmissionpolicybindings", "", &binding)
        .unwrap();
    wait::until("the policy to be in force", START, || {
        let made = room.admitted().map_err(|refused| refused.message)?;
        let image = &made["spec"]["template"]["spec"]["containers"][0]["image"];
        (image == "mirror/a").then_some(()).ok_or(image.to_string())
    });
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    let words = [
        "KeptByAdmission",
        "Deployment demo-proxy (spec.template.spec.containers[proxy].image)",
        "Deployment demo-querynode",
    ];
    room.told("demo", "Degraded", "False", &words);
    at_rest(&suite, &room);
    assert_eq!(room.condition("demo", "Updated").status, "True");
    let told = room.events("demo");
    let kept = told.iter().filter(|e| e.reason == "KeptByAdmission");
    assert_eq!(kept.count(), 1, "{told:#?}");

    for what in [
        "mutatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
    ] {
        room.api.delete(at(what, "", &name), "Background");
    }
    wait::timed("a change to be a new try", START, || {
        let touch = json!({"metadata": {"annotations": {"touched": format!("{:?}", std::time::Instant::now())}}});
        room.change("deployments", "demo-proxy", &touch);
        thread::sleep(Duration::from_secs(1));
        let proxy = room.get("deployments", "demo-proxy");
        let image = &proxy["spec"]["template"]["spec"]["containers"][0]["image"];
        (image == "milvusdb/milvus:v2.6.11")
            .then_some(())
            .ok_or(image.to_string())
    });
}
