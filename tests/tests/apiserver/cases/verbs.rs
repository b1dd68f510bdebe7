//! Reading, changing and deleting what creation left.

use serde_json::json;

use super::{JSON, JSON_PATCH, List, MERGE, PARTIAL, PARTIAL_LIST, TABLE, WIDGETS};

pub(super) fn reads(list: &mut List) {
    list.get("get", &format!("{WIDGETS}/full"));
    list.get("get: not there", &format!("{WIDGETS}/nothing"));
    list.get(
        "get: unknown resource",
        "/apis/testbed.example.io/v1/namespaces/default/gadgets",
    );
    list.get("get: unknown group", "/apis/nothing.example.io/v1/things");
    list.get(
        "get: unknown version",
        "/apis/testbed.example.io/v7/widgets",
    );
    list.get("get: unknown path", "/nothing/here");
    list.get_as("get: table", &format!("{WIDGETS}/full"), TABLE);
    list.get_as("get: metadata only", &format!("{WIDGETS}/full"), PARTIAL);
    list.get_as("get: unacceptable", &format!("{WIDGETS}/full"), "text/html");
    list.get_as(
        "get: protobuf alone",
        &format!("{WIDGETS}/full"),
        "application/vnd.kubernetes.protobuf",
    );
    list.get("list", WIDGETS);
    list.get("list: everywhere", "/apis/testbed.example.io/v1/widgets");
    list.get(
        "list: empty namespace",
        "/apis/testbed.example.io/v1/namespaces/kube-public/widgets",
    );
    list.get_as("list: table", WIDGETS, TABLE);
    list.get_as(
        "list: table with objects",
        &format!("{WIDGETS}?includeObject=Object&limit=1"),
        TABLE,
    );
    list.get_as("list: metadata only", WIDGETS, PARTIAL_LIST);
    list.get("list: first page", &format!("{WIDGETS}?limit=2"));
    list.get(
        "list: bad continue",
        &format!("{WIDGETS}?limit=2&continue=nonsense"),
    );
    list.get(
        "list: by name",
        &format!("{WIDGETS}?fieldSelector=metadata.name%3Dfull"),
    );
    list.get(
        "list: by selectable field",
        &format!("{WIDGETS}?fieldSelector=spec.mode%3Dcluster,metadata.name!%3Dfull"),
    );
    list.get(
        "list: by other field",
        &format!("{WIDGETS}?fieldSelector=spec.bogus%3D1"),
    );
    list.get(
        "list: bad field selector",
        &format!("{WIDGETS}?fieldSelector=a%3D%3D%3Db"),
    );
    list.get(
        "list: bad label selector",
        &format!("{WIDGETS}?labelSelector=a%3D%3D%3Db"),
    );
    list.get(
        "list: labels",
        &format!("{WIDGETS}?labelSelector=tier%20in%20(x,y),!other"),
    );
    list.get(
        "list: future version",
        &format!("{WIDGETS}?resourceVersion=99999999999"),
    );
    list.get("list: bad version", &format!("{WIDGETS}?resourceVersion=x"));
    list.get("watch: from the start", &format!("{WIDGETS}?watch=true&resourceVersion=0&timeoutSeconds=1&fieldSelector=metadata.name%3Dfull"));
    list.get_as("watch: table", &format!("{WIDGETS}?watch=true&resourceVersion=0&timeoutSeconds=1&fieldSelector=metadata.name%3Dfull"), TABLE);
    list.get("watch: streamed list", &format!("{WIDGETS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dfull"));
    list.get(
        "watch: streamed list without match",
        &format!("{WIDGETS}?watch=true&sendInitialEvents=true&timeoutSeconds=1"),
    );
}

pub(super) fn updates(list: &mut List) {
    let full = format!("{WIDGETS}/full");
    list.edit("put: no change", &full, &full, |_| {});
    list.edit("put: change", &full, &full, |o| {
        o["spec"]["replicas"] = json!(4)
    });
    list.edit("put: metadata only", &full, &full, |o| {
        o["metadata"]["labels"] = json!({"tier": "x"})
    });
    list.edit("put: status is ignored", &full, &full, |o| {
        o["status"] = json!({"replicas": 9})
    });
    list.edit("put: stale version", &full, &full, |o| {
        o["metadata"]["resourceVersion"] = json!("1")
    });
    list.edit("put: no version", &full, &full, |o| {
        o["metadata"]
            .as_object_mut()
            .map(|m| m.remove("resourceVersion"));
    });
    list.edit("put: bad version", &full, &full, |o| {
        o["metadata"]["resourceVersion"] = json!("x")
    });
    list.edit("put: other uid", &full, &full, |o| {
        o["metadata"]["uid"] = json!("0a0a0a0a-0000-0000-0000-000000000000")
    });
    list.edit("put: other name", &full, &full, |o| {
        o["metadata"]["name"] = json!("other")
    });
    list.edit("put: not there", &full, &format!("{WIDGETS}/absent"), |o| {
        o["metadata"]["name"] = json!("absent")
    });
    list.edit("put: invalid", &full, &full, |o| {
        o["spec"]["replicas"] = json!(-4)
    });
    list.edit("put: transition rule", &full, &full, |o| {
        o["spec"]["storage"] = json!("slow")
    });
    list.edit("put: transition rule of an item", &full, &full, |o| {
        o["spec"]["env"] =
            json!([{"name": "B", "value": "changed"}, {"name": "C", "value": "new"}]);
    });
    list.edit("put: moved items", &full, &full, |o| {
        o["spec"]["env"] = json!([{"name": "B", "value": "x"}, {"name": "A"}])
    });
    list.edit(
        "put: unknown field, strict",
        &full,
        &format!("{full}?fieldValidation=Strict"),
        |o| o["spec"]["foo"] = json!(1),
    );
}

pub(super) fn patches(list: &mut List) {
    let full = format!("{WIDGETS}/full");
    list.merge(
        "merge patch",
        &full,
        &json!({"spec": {"replicas": 5, "timeout": null}, "metadata": {"annotations": {"a": "b"}}}),
    );
    list.merge(
        "merge patch: no change",
        &full,
        &json!({"spec": {"replicas": 5}}),
    );
    list.merge(
        "merge patch: default comes back",
        &full,
        &json!({"spec": {"replicas": null}}),
    );
    list.merge(
        "merge patch: stale version",
        &full,
        &json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 6}}),
    );
    list.merge(
        "merge patch: invalid",
        &full,
        &json!({"spec": {"mode": "x"}}),
    );
    list.merge(
        "merge patch: name",
        &full,
        &json!({"metadata": {"name": "other"}}),
    );
    list.merge(
        "merge patch: not there",
        &format!("{WIDGETS}/absent"),
        &json!({}),
    );
    list.merge(
        "merge patch: unknown field, warn",
        &full,
        &json!({"spec": {"foo": 1}}),
    );
    list.merge(
        "merge patch: unknown field, strict",
        &format!("{full}?fieldValidation=Strict"),
        &json!({"spec": {"foo": 1}}),
    );
    list.http("merge patch: not json", "PATCH", &full, MERGE, "{");
    list.http("merge patch: a list", "PATCH", &full, MERGE, "[]");
    list.http("json patch", "PATCH", &full, JSON_PATCH, r#"[{"op":"test","path":"/spec/mode","value":"cluster"},{"op":"replace","path":"/spec/replicas","value":2},{"op":"add","path":"/spec/tags/-","value":"c"}]"#);
    list.http("json patch: test of null", "PATCH", &full, JSON_PATCH, r#"[{"op":"test","path":"/metadata/finalizers","value":null},{"op":"add","path":"/metadata/labels/x","value":"y"}]"#);
    list.http(
        "json patch: failed test",
        "PATCH",
        &full,
        JSON_PATCH,
        r#"[{"op":"test","path":"/spec/mode","value":"x"}]"#,
    );
    list.http(
        "json patch: remove what is not there",
        "PATCH",
        &full,
        JSON_PATCH,
        r#"[{"op":"remove","path":"/spec/absent"}]"#,
    );
    list.http("json patch: no list", "PATCH", &full, JSON_PATCH, "{}");
    list.http(
        "json patch: unknown operation",
        "PATCH",
        &full,
        JSON_PATCH,
        r#"[{"op":"twist","path":"/spec"}]"#,
    );
    list.http(
        "patch: strategic",
        "PATCH",
        &full,
        "application/strategic-merge-patch+json",
        "{}",
    );
    list.http("patch: plain json", "PATCH", &full, JSON, "{}");
}

pub(super) fn subresources(list: &mut List) {
    let full = format!("{WIDGETS}/full");
    let status = format!("{full}/status");
    let scale = format!("{full}/scale");
    list.merge("status: patch", &status, &json!({"status": {"replicas": 2, "selector": "a=b", "conditions": [{"type": "Ready", "status": "True"}]}, "spec": {"replicas": 9}}));
    list.merge(
        "status: invalid",
        &status,
        &json!({"status": {"conditions": [{"type": "Ready", "status": "Maybe"}]}}),
    );
    list.edit("status: put", &status, &status, |o| {
        o["status"]["replicas"] = json!(3)
    });
    list.get("status: get", &status);
    list.get("scale: get", &scale);
    list.merge("scale: patch", &scale, &json!({"spec": {"replicas": 7}}));
    list.edit("scale: put", &scale, &scale, |o| {
        o["spec"]["replicas"] = json!(6)
    });
    list.edit("scale: stale", &scale, &scale, |o| {
        o["metadata"]["resourceVersion"] = json!("1")
    });
    list.merge("scale: invalid", &scale, &json!({"spec": {"replicas": -1}}));
    list.get("subresource: unknown", &format!("{full}/logs"));
    list.get_as("table: with status", WIDGETS, TABLE);
}

pub(super) fn deletions(list: &mut List) {
    let of = |name: &str| format!("{WIDGETS}/{name}");
    list.http("delete: not there", "DELETE", &of("absent"), "", "");
    list.http(
        "delete: wrong uid",
        "DELETE",
        &of("full"),
        JSON,
        r#"{"preconditions":{"uid":"0a0a0a0a-0000-0000-0000-000000000000"}}"#,
    );
    list.http(
        "delete: wrong version",
        "DELETE",
        &of("full"),
        JSON,
        r#"{"preconditions":{"resourceVersion":"1"}}"#,
    );
    list.http(
        "delete: bad policy",
        "DELETE",
        &of("full"),
        JSON,
        r#"{"propagationPolicy":"Sideways"}"#,
    );
    list.http(
        "delete: dry run",
        "DELETE",
        &format!("{}?dryRun=All", of("full")),
        "",
        "",
    );
    list.http(
        "delete: plain",
        "DELETE",
        &of("nulls"),
        JSON,
        r#"{"propagationPolicy":"Background"}"#,
    );
    list.get("delete: is gone", &of("nulls"));
    list.merge(
        "finalizer: add",
        &of("full"),
        &json!({"metadata": {"finalizers": ["example.io/hold"]}}),
    );
    list.http("finalizer: delete waits", "DELETE", &of("full"), JSON, "{}");
    list.http("finalizer: delete again", "DELETE", &of("full"), JSON, "{}");
    list.merge(
        "finalizer: add while going",
        &of("full"),
        &json!({"metadata": {"finalizers": ["example.io/hold", "example.io/late"]}}),
    );
    list.merge(
        "finalizer: last one goes",
        &of("full"),
        &json!({"metadata": {"finalizers": null}}),
    );
    list.get("finalizer: is gone", &of("full"));
    list.http(
        "delete collection: by label",
        "DELETE",
        &format!("{WIDGETS}?labelSelector=nobody%3Dhas"),
        "",
        "",
    );
    list.http("delete collection: all", "DELETE", WIDGETS, "", "");
    list.get("delete collection: nothing left", WIDGETS);
}
