//! The kinds that the server brings along, discovery and health.

use serde_json::json;

use super::{GV, List, TABLE};

pub(super) fn core_kinds(list: &mut List) {
    let default = "/api/v1/namespaces/default";
    list.post("namespace: create", "/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "labels": {"a": "b"}}}));
    list.post(
        "namespace: twice",
        "/api/v1/namespaces",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}),
    );
    list.post(
        "namespace: bad name",
        "/api/v1/namespaces",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a.b"}}),
    );
    list.get("namespace: get", "/api/v1/namespaces/team");
    list.get("namespace: not there", "/api/v1/namespaces/nowhere");
    list.get_as("namespace: table", "/api/v1/namespaces/team", TABLE);
    let secret = format!("{default}/secrets");
    list.post("secret: create", &secret, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hidden"}, "data": {"b": "aGk="}}));
    list.get("secret: get", &format!("{secret}/s"));
    list.get_as("secret: table", &secret, TABLE);
    list.post("secret: bad key", &secret, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "stringData": {"a b": "c"}}));
    list.post("secret: bad base64", &secret, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "data": {"a": "*"}}));
    list.merge(
        "secret: type is fixed",
        &format!("{secret}/s"),
        &json!({"type": "other"}),
    );
    list.merge(
        "secret: strategic by name",
        &format!("{secret}/s"),
        &json!({"data": {"b": null}}),
    );
    list.get(
        "secret: by type",
        &format!("{secret}?fieldSelector=type%3DOpaque"),
    );
    let map = format!("{default}/configmaps");
    list.post("configmap: create", &map, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}, "binaryData": {"x": "aGk="}}));
    list.post("configmap: same key twice", &map, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "k"}, "data": {"a": "b"}, "binaryData": {"a": "aGk="}}));
    list.post("configmap: number as value", &map, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "k"}, "data": {"a": 5}}));
    list.post(
        "configmap: unknown field, strict",
        &format!("{map}?fieldValidation=Strict"),
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "k"}, "dta": {}}),
    );
    list.get_as("configmap: table", &map, TABLE);
    list.edit(
        "configmap: put without version",
        &format!("{map}/c"),
        &format!("{map}/c"),
        |o| {
            o["metadata"]
                .as_object_mut()
                .map(|m| m.remove("resourceVersion"));
            o["data"]["a"] = json!("z");
        },
    );
    list.edit(
        "configmap: make immutable",
        &format!("{map}/c"),
        &format!("{map}/c"),
        |o| o["immutable"] = json!(true),
    );
    list.merge(
        "configmap: immutable",
        &format!("{map}/c"),
        &json!({"data": {"a": "q"}}),
    );
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Started", "message": "it runs", "type": "Normal", "count": 1,
        "firstTimestamp": "2024-01-01T00:00:00Z", "lastTimestamp": "2024-01-01T00:00:00Z", "source": {"component": "test"},
        "involvedObject": {"apiVersion": GV, "kind": "Widget", "name": "full", "namespace": "default"}});
    list.post("event: create", &format!("{default}/events"), &event);
    list.get(
        "event: new form",
        "/apis/events.k8s.io/v1/namespaces/default/events/e",
    );
    list.get(
        "event: by object",
        &format!(
            "{default}/events?fieldSelector=involvedObject.name%3Dfull,involvedObject.kind%3DWidget"
        ),
    );
    let mut elsewhere = event.clone();
    elsewhere["metadata"]["name"] = json!("f");
    elsewhere["involvedObject"]["namespace"] = json!("team");
    list.post(
        "event: other namespace",
        &format!("{default}/events"),
        &elsewhere,
    );
    let new = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "n"}, "eventTime": "2024-01-01T00:00:00.000000Z", "reason": "R", "note": "words",
        "type": "Warning", "action": "Do", "reportingController": "test.example.io/c", "reportingInstance": "c-0",
        "regarding": {"apiVersion": GV, "kind": "Widget", "name": "full", "namespace": "default"}});
    list.post(
        "event: create in the new form",
        "/apis/events.k8s.io/v1/namespaces/default/events",
        &new,
    );
    list.get("event: old form", &format!("{default}/events/n"));
    let mut timeless = new.clone();
    timeless["metadata"]["name"] = json!("t");
    timeless.as_object_mut().map(|m| m.remove("eventTime"));
    list.post(
        "event: new form without time",
        "/apis/events.k8s.io/v1/namespaces/default/events",
        &timeless,
    );
    list.post("review: may i", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "list", "group": "testbed.example.io", "resource": "widgets", "namespace": "default"}}}));
    list.get("discovery: group", "/apis/testbed.example.io");
    list.get("discovery: resources", "/apis/testbed.example.io/v1");
    list.get("discovery: core versions", "/api");
    list.get("health: livez", "/livez");
    list.get("health: readyz", "/readyz");
    list.get("health: healthz", "/healthz");
}
