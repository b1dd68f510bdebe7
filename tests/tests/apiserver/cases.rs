//! What is asked of both servers, in this order: later steps build on earlier ones.

use serde_json::{Value, json};

/// Widgets in the default namespace.
pub const WIDGETS: &str = "/apis/testbed.example.io/v1/namespaces/default/widgets";
const GV: &str = "testbed.example.io/v1";

/// One step.
pub struct Step {
    /// Unique, for messages and for the table of accepted differences.
    pub name: String,
    pub act: Act,
}

/// What a step does.
pub enum Act {
    /// One request.
    Http {
        method: &'static str,
        path: String,
        headers: Vec<(&'static str, String)>,
        body: Option<String>,
    },
    /// Reads an object, changes it, puts it back.
    Edit {
        path: String,
        to: String,
        edit: fn(&mut Value),
    },
    /// A kubectl command, its words separated by spaces, with a text on its input.
    Kubectl { words: Vec<String>, stdin: String },
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PARTIAL: &str =
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";
const PARTIAL_LIST: &str =
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";

#[derive(Default)]
struct List {
    steps: Vec<Step>,
}

impl List {
    fn push(&mut self, name: &str, act: Act) {
        self.steps.push(Step {
            name: name.to_owned(),
            act,
        });
    }

    fn http(&mut self, name: &str, method: &'static str, path: &str, kind: &str, body: &str) {
        let headers = if kind.is_empty() {
            vec![]
        } else {
            vec![("Content-Type", kind.to_owned())]
        };
        let body = (!body.is_empty()).then(|| body.to_owned());
        self.push(
            name,
            Act::Http {
                method,
                path: path.to_owned(),
                headers,
                body,
            },
        );
    }

    fn get(&mut self, name: &str, path: &str) {
        self.http(name, "GET", path, "", "");
    }

    fn get_as(&mut self, name: &str, path: &str, accept: &str) {
        let headers = vec![("Accept", accept.to_owned())];
        self.push(
            name,
            Act::Http {
                method: "GET",
                path: path.to_owned(),
                headers,
                body: None,
            },
        );
    }

    fn post(&mut self, name: &str, path: &str, body: &Value) {
        self.http(name, "POST", path, JSON, &body.to_string());
    }

    fn merge(&mut self, name: &str, path: &str, body: &Value) {
        self.http(name, "PATCH", path, MERGE, &body.to_string());
    }

    fn edit(&mut self, name: &str, path: &str, to: &str, edit: fn(&mut Value)) {
        self.push(
            name,
            Act::Edit {
                path: path.to_owned(),
                to: to.to_owned(),
                edit,
            },
        );
    }

    fn kubectl(&mut self, name: &str, words: &str, stdin: &str) {
        let words = words.split(' ').map(str::to_owned).collect();
        self.push(
            name,
            Act::Kubectl {
                words,
                stdin: stdin.to_owned(),
            },
        );
    }
}

fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": GV, "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

fn yaml(name: &str, spec: &str) -> String {
    format!("apiVersion: {GV}\nkind: Widget\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

/// Every step.
pub fn steps() -> Vec<Step> {
    let mut list = List::default();
    creations(&mut list);
    reads(&mut list);
    updates(&mut list);
    patches(&mut list);
    subresources(&mut list);
    core_kinds(&mut list);
    deletions(&mut list);
    kubectl(&mut list);
    milvus(&mut list);
    let mut names: Vec<&str> = list.steps.iter().map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), list.steps.len(), "two steps share a name");
    list.steps
}

fn creations(list: &mut List) {
    let full = json!({"version": "v1.0.0", "replicas": 3, "ratio": 1.5, "port": "http", "when": "2024-01-01T00:00:00Z",
        "timeout": "5m", "maybe": null, "env": [{"name": "A"}, {"name": "B", "value": "x"}], "tags": ["a", "b"],
        "free": {"x": [1, {"y": null}], "known": {"a": 1}}, "labels": {"a": "bc"}, "choice": {"a": "x"}, "text": "abc",
        "storage": "fast", "address": "10.0.0.1", "secret": "aGk=", "flag": true});
    list.post("create: everything", WIDGETS, &widget("full", full));
    list.post(
        "create: defaults and nulls",
        WIDGETS,
        &widget(
            "nulls",
            json!({"version": "v1.0.0", "mode": null, "storage": null, "nested": null}),
        ),
    );
    let bad = |list: &mut List, name: &str, mut spec: Value| {
        if spec.get("version").is_none() {
            spec["version"] = json!("v1.0.0");
        }
        let name = format!("invalid: {name}");
        list.post(&name, WIDGETS, &widget("bad", spec));
    };
    bad(list, "minimum", json!({"replicas": -1}));
    bad(list, "maximum", json!({"replicas": 10}));
    bad(
        list,
        "int32 overflow",
        json!({"replicas": 3_000_000_000_i64}),
    );
    bad(list, "exclusive minimum", json!({"ratio": 0.0}));
    bad(list, "float maximum", json!({"ratio": 2_000_000.5}));
    bad(list, "multiple of", json!({"ratio": 0.75}));
    bad(list, "enum", json!({"mode": "x"}));
    bad(list, "enum of another type", json!({"mode": 5}));
    bad(list, "pattern", json!({"version": "latest"}));
    bad(
        list,
        "too long",
        json!({"version": "v1.0.00000000000000000000000000000"}),
    );
    bad(list, "too short", json!({"storage": "x"}));
    bad(list, "string for integer", json!({"replicas": "3"}));
    bad(list, "float for integer", json!({"replicas": 1.5}));
    bad(list, "boolean for integer", json!({"replicas": true}));
    bad(list, "integer for string", json!({"storage": 5}));
    bad(list, "list for map", json!({"labels": []}));
    bad(list, "map for list", json!({"tags": {}}));
    bad(list, "string for object", json!({"nested": "x"}));
    bad(list, "integer for boolean", json!({"flag": 1}));
    bad(list, "list for int-or-string", json!({"port": []}));
    bad(list, "date-time", json!({"when": "yesterday"}));
    bad(list, "integer for date-time", json!({"when": 3}));
    bad(list, "boolean for date-time", json!({"when": true}));
    bad(list, "duration", json!({"timeout": "soon"}));
    bad(list, "ipv4", json!({"address": "10.0.0"}));
    bad(list, "byte", json!({"secret": "*"}));
    bad(list, "missing map key", json!({"env": [{"value": "x"}]}));
    bad(list, "null item", json!({"nested": {"b": [null]}}));
    bad(
        list,
        "duplicate map key",
        json!({"env": [{"name": "A"}, {"name": "A"}, {"name": "A"}]}),
    );
    bad(
        list,
        "duplicate of two map keys",
        json!({"pairs": [{"a": "x", "b": 1}, {"a": "x", "b": 2}, {"a": "x", "b": 1}]}),
    );
    bad(
        list,
        "duplicate set item",
        json!({"tags": ["a", "b", "a", "a"]}),
    );
    bad(
        list,
        "too many items",
        json!({"env": [{"name": "1"}, {"name": "2"}, {"name": "3"}, {"name": "4"}, {"name": "5"}]}),
    );
    bad(list, "too few items", json!({"tags": []}));
    bad(
        list,
        "too many properties",
        json!({"labels": {"a": "bb", "b": "bb", "c": "bb"}}),
    );
    bad(list, "too few properties", json!({"labels": {}}));
    bad(list, "value of a map", json!({"labels": {"some/key": "x"}}));
    bad(list, "item of a list", json!({"nested": {"b": [1, "x"]}}));
    bad(list, "one of: none", json!({"choice": {}}));
    bad(list, "one of: two", json!({"choice": {"a": "1", "b": "2"}}));
    bad(list, "all of, any of and not", json!({"text": "toolong"}));
    bad(list, "not", json!({"text": "no"}));
    bad(
        list,
        "several at once",
        json!({"replicas": -1, "storage": "x", "ratio": 0.0}),
    );
    bad(list, "rule", json!({"mode": "standalone", "replicas": 2}));
    bad(
        list,
        "rule with a message of its own",
        json!({"version": "v1.0.0000000"}),
    );
    bad(
        list,
        "rule of a map's value",
        json!({"labels": {"a": "xx"}}),
    );
    bad(
        list,
        "rule without a message",
        json!({"free": {"known": {"a": -5}}}),
    );
    bad(
        list,
        "rule that cannot be evaluated",
        json!({"free": {"known": {}}}),
    );
    list.post(
        "invalid: no spec",
        WIDGETS,
        &json!({"apiVersion": GV, "kind": "Widget", "metadata": {"name": "bad"}}),
    );
    list.post(
        "invalid: spec is a list",
        WIDGETS,
        &widget("bad", json!([])),
    );
    list.post(
        "invalid: required",
        WIDGETS,
        &json!({"apiVersion": GV, "kind": "Widget", "metadata": {"name": "bad"}, "spec": {}}),
    );
    let good = json!({"version": "v1.0.0"});
    for (name, metadata) in [
        ("no name", json!({})),
        ("bad name", json!({"name": "Bad_Name"})),
        (
            "bad label value",
            json!({"name": "bad", "labels": {"a": "b c"}}),
        ),
        (
            "bad label key",
            json!({"name": "bad", "labels": {"-x-": "b"}}),
        ),
        (
            "bad annotation key",
            json!({"name": "bad", "annotations": {"a b": "c"}}),
        ),
        (
            "number as label",
            json!({"name": "bad", "labels": {"a": 5}}),
        ),
        (
            "bad finalizer",
            json!({"name": "bad", "finalizers": ["no spaces please"]}),
        ),
        (
            "owner without uid",
            json!({"name": "bad", "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": ""}]}),
        ),
        (
            "resource version on create",
            json!({"name": "bad", "resourceVersion": "5"}),
        ),
        (
            "other namespace",
            json!({"name": "bad", "namespace": "elsewhere"}),
        ),
        (
            "uid as wish",
            json!({"name": "wish", "uid": "0a0a0a0a-0000-0000-0000-000000000000", "generation": 7}),
        ),
    ] {
        let body = json!({"apiVersion": GV, "kind": "Widget", "metadata": metadata, "spec": good});
        list.post(&format!("metadata: {name}"), WIDGETS, &body);
    }
    list.post("create: twice", WIDGETS, &widget("full", good.clone()));
    list.post(
        "create: namespace that is not there",
        "/apis/testbed.example.io/v1/namespaces/nowhere/widgets",
        &widget("a", good.clone()),
    );
    list.post(
        "create: dry run",
        &format!("{WIDGETS}?dryRun=All"),
        &widget("dry", good.clone()),
    );
    list.get("create: dry run left nothing", &format!("{WIDGETS}/dry"));
    list.post(
        "create: dry run of another sort",
        &format!("{WIDGETS}?dryRun=Some"),
        &widget("dry", good.clone()),
    );
    let generated = json!({"apiVersion": GV, "kind": "Widget", "metadata": {"generateName": "gen-"}, "spec": good});
    list.post("create: generated name", WIDGETS, &generated);
    list.http(
        "create: yaml",
        "POST",
        WIDGETS,
        "application/yaml",
        &yaml("from-yaml", "{version: v1.0.0, port: 80}"),
    );
    list.post(
        "create: wrong kind",
        WIDGETS,
        &json!({"apiVersion": GV, "kind": "Gadget", "metadata": {"name": "a"}, "spec": good}),
    );
    list.post("create: wrong version", WIDGETS, &json!({"apiVersion": "testbed.example.io/v2", "kind": "Widget", "metadata": {"name": "a"}, "spec": good}));
    list.post(
        "create: no kind",
        WIDGETS,
        &json!({"metadata": {"name": "a"}, "spec": good}),
    );
    list.http("create: not json", "POST", WIDGETS, JSON, "{\"a\": ");
    list.http("create: a list", "POST", WIDGETS, JSON, "[]");
    list.http("create: empty body", "POST", WIDGETS, JSON, "");
    list.http(
        "create: unknown media type",
        "POST",
        WIDGETS,
        "text/html",
        "<p>",
    );
    let extra = json!({"apiVersion": GV, "kind": "Widget", "extra": 1, "metadata": {"name": "extra", "labls": {}},
        "spec": {"version": "v1.0.0", "foo": 1, "env": [{"name": "A", "bar": 1}], "free": {"any": 1, "known": {"a": 1, "b": 2}}}});
    let twice = r#"{"apiVersion":"testbed.example.io/v1","kind":"Widget","metadata":{"name":"twice"},"spec":{"version":"v1.0.0","version":"v1.0.1","foo":1}}"#;
    for mode in ["Strict", "Warn", "Ignore", "Sometimes"] {
        let path = format!("{WIDGETS}?fieldValidation={mode}&dryRun=All");
        list.post(&format!("field validation {mode}: unknown"), &path, &extra);
        list.http(
            &format!("field validation {mode}: repeated"),
            "POST",
            &path,
            JSON,
            twice,
        );
    }
    list.post("field validation: unknown by default", WIDGETS, &extra);
}

fn reads(list: &mut List) {
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

fn updates(list: &mut List) {
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

fn patches(list: &mut List) {
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

fn subresources(list: &mut List) {
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

fn core_kinds(list: &mut List) {
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

fn deletions(list: &mut List) {
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

fn kubectl(list: &mut List) {
    let one = yaml("one", "{version: v1.0.0, replicas: 2}");
    let changed = yaml("one", "{version: v1.0.0, replicas: 4, storage: fast}");
    list.kubectl("kubectl apply: create", "apply -f -", &one);
    list.kubectl("kubectl apply: unchanged", "apply -f -", &one);
    list.kubectl("kubectl diff", "diff -f -", &changed);
    list.kubectl(
        "kubectl apply: dry run",
        "apply --dry-run=server -f -",
        &changed,
    );
    list.kubectl("kubectl apply: change", "apply -f -", &changed);
    list.kubectl(
        "kubectl apply: unknown field",
        "apply -f -",
        &yaml("one", "{version: v1.0.0, foo: 1}"),
    );
    list.kubectl(
        "kubectl apply: unknown field, warn",
        "apply --validate=warn -f -",
        &yaml("one", "{version: v1.0.0, foo: 1}"),
    );
    list.kubectl(
        "kubectl apply: unknown field, not validated",
        "apply --validate=false -f -",
        &yaml("one", "{version: v1.0.0, foo: 1}"),
    );
    list.kubectl(
        "kubectl apply: invalid",
        "apply -f -",
        &yaml("one", "{version: v1.0.0, mode: x, replicas: -1}"),
    );
    list.kubectl(
        "kubectl apply: rule",
        "apply -f -",
        &yaml("two", "{version: v1.0.0, mode: standalone, replicas: 3}"),
    );
    list.kubectl(
        "kubectl apply: wrong type",
        "apply -f -",
        &yaml("two", "{version: 5}"),
    );
    list.kubectl(
        "kubectl apply: unknown kind",
        "apply -f -",
        &one.replace("kind: Widget", "kind: Gadget"),
    );
    list.kubectl(
        "kubectl apply: missing namespace",
        "-n nowhere apply -f -",
        &one,
    );
    list.kubectl(
        "kubectl create",
        "create -f -",
        &yaml("two", "{version: v1.2.0}"),
    );
    list.kubectl(
        "kubectl create: twice",
        "create -f -",
        &yaml("two", "{version: v1.2.0}"),
    );
    list.kubectl(
        "kubectl create: generated name",
        "create -f -",
        &yaml("x", "{version: v1.0.0}").replace("name: x", "generateName: gen-"),
    );
    list.kubectl(
        "kubectl replace",
        "replace -f -",
        &yaml("two", "{version: v1.3.0, storage: fast}"),
    );
    list.kubectl(
        "kubectl replace: immutable",
        "replace -f -",
        &yaml("two", "{version: v1.3.0, storage: slow}"),
    );
    list.kubectl("kubectl get", "get widgets one two", "");
    list.kubectl("kubectl get: wide", "get wd one -o wide", "");
    list.kubectl("kubectl get: yaml", "get wd/one -o yaml", "");
    list.kubectl("kubectl get: name", "get wd one two -o name", "");
    list.kubectl(
        "kubectl get: jsonpath",
        "get wd one -o jsonpath={.spec.replicas}",
        "",
    );
    list.kubectl(
        "kubectl get: sorted",
        "get wd one two --sort-by=.spec.replicas",
        "",
    );
    list.kubectl("kubectl get: labels", "get wd one --show-labels", "");
    list.kubectl("kubectl get: not there", "get wd nothing", "");
    list.kubectl("kubectl get: unknown resource", "get gadgets", "");
    list.kubectl("kubectl get: nothing selected", "get wd -l a=b", "");
    list.kubectl(
        "kubectl get: field selector",
        "get wd --field-selector metadata.name=one",
        "",
    );
    list.kubectl(
        "kubectl get: bad field selector",
        "get wd --field-selector spec.bogus=one",
        "",
    );
    list.kubectl(
        "kubectl get: all of a category",
        "get all --field-selector metadata.name=one",
        "",
    );
    list.kubectl("kubectl describe", "describe wd one", "");
    list.kubectl("kubectl explain", "explain widget.spec.version", "");
    list.kubectl("kubectl explain: root", "explain widgets --recursive", "");
    list.kubectl(
        "kubectl explain: metadata",
        "explain widget.metadata.name",
        "",
    );
    list.kubectl(
        "kubectl api-resources",
        "api-resources --api-group=testbed.example.io",
        "",
    );
    list.kubectl("kubectl label", "label wd one tier=x", "");
    list.kubectl("kubectl label: again", "label wd one tier=y", "");
    list.kubectl("kubectl annotate", "annotate wd one note=hello", "");
    list.kubectl("kubectl scale", "scale wd one --replicas=3", "");
    list.kubectl(
        "kubectl scale: precondition",
        "scale wd one --current-replicas=9 --replicas=2",
        "",
    );
    list.kubectl(
        "kubectl scale: precondition holds",
        "scale wd one --current-replicas=3 --replicas=2",
        "",
    );
    list.kubectl(
        "kubectl patch: merge",
        "patch wd one --type=merge -p {\"spec\":{\"replicas\":1}}",
        "",
    );
    list.kubectl(
        "kubectl patch: json",
        "patch wd one --type=json -p [{\"op\":\"remove\",\"path\":\"/spec/absent\"}]",
        "",
    );
    list.kubectl(
        "kubectl patch: strategic",
        "patch wd one -p {\"spec\":{\"replicas\":1}}",
        "",
    );
    list.kubectl("kubectl patch: status", "patch wd one --subresource=status --type=merge -p {\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}", "");
    list.kubectl(
        "kubectl wait: condition",
        "wait wd/one --for=condition=Ready --timeout=5s",
        "",
    );
    list.kubectl(
        "kubectl wait: times out",
        "wait wd/one --for=condition=Other --timeout=1s",
        "",
    );
    list.kubectl("kubectl get: ready", "get wd one", "");
    list.kubectl(
        "kubectl get: streamed",
        "get wd one --watch --request-timeout=1s",
        "",
    );
    list.kubectl("kubectl create namespace", "create namespace shop", "");
    list.kubectl(
        "kubectl create secret",
        "create secret generic sec --from-literal=a=b",
        "",
    );
    list.kubectl(
        "kubectl create configmap",
        "create configmap cm --from-literal=a=b",
        "",
    );
    list.kubectl("kubectl get secrets", "get secret sec", "");
    list.kubectl("kubectl describe secret", "describe secret sec", "");
    list.kubectl("kubectl get configmaps", "get cm cm", "");
    list.kubectl("kubectl get events", "get events", "");
    list.kubectl("kubectl events", "events --for widget/full", "");
    list.kubectl("kubectl auth can-i", "auth can-i create widgets", "");
    list.kubectl(
        "kubectl auth whoami",
        "auth whoami -o jsonpath={.status.userInfo.username}",
        "",
    );
    list.kubectl("kubectl delete", "delete wd one two", "");
    list.kubectl("kubectl delete: not there", "delete wd one", "");
    list.kubectl(
        "kubectl delete: ignored",
        "delete wd one --ignore-not-found",
        "",
    );
    list.kubectl("kubectl delete: all", "delete wd --all -o name", "");
    list.kubectl("kubectl get: none", "get wd", "");
}

/// The samples that people start from, and what may not be done to them.
fn milvus(list: &mut List) {
    const SAMPLES: &[(&str, &str)] = &[
        ("demo", include_str!("../../../deploy/samples/demo.yaml")),
        (
            "reference",
            include_str!("../../../deploy/samples/reference.yaml"),
        ),
        (
            "standalone-minimal",
            include_str!("../../../deploy/samples/standalone-minimal.yaml"),
        ),
        (
            "cluster-2.6-woodpecker",
            include_str!("../../../deploy/samples/cluster-2.6-woodpecker.yaml"),
        ),
        (
            "external-dependencies",
            include_str!("../../../deploy/samples/external-dependencies.yaml"),
        ),
        (
            "environments",
            include_str!("../../../deploy/samples/environments.yaml"),
        ),
    ];
    list.kubectl("create namespace milvus", "");
    for (name, sample) in SAMPLES {
        list.kubectl(&format!("milvus {name}: apply"), "apply -f -", sample);
        list.kubectl(&format!("milvus {name}: apply again"), "apply -f -", sample);
        list.kubectl(&format!("milvus {name}: get"), "get -o yaml -f -", sample);
        list.kubectl(&format!("milvus {name}: diff"), "diff -f -", sample);
    }
    list.kubectl("milvus: get all", "get milvus -A", "");
    list.kubectl("milvus: wide", "get mvc -A -o wide", "");
    let one = |spec: &str| {
        format!(
            "apiVersion: operator.milvus.io/v1beta1\nkind: MilvusCluster\nmetadata: {{name: wrong}}\nspec: {spec}\n"
        )
    };
    for (name, spec) in [
        ("unknown field", "{mod: cluster}"),
        ("mode", "{mode: both}"),
        ("type", "{components: {proxy: {replicas: many}}}"),
        ("negative", "{components: {proxy: {replicas: -1}}}"),
        ("queue", "{dependencies: {msgStreamType: carrier-pigeon}}"),
        (
            "autoscaling",
            "{components: {proxy: {autoscaling: {minReplicas: 5, maxReplicas: 2}}}}",
        ),
        (
            "environment",
            "{components: {env: [{name: A, value: x, valueFrom: {secretKeyRef: {name: s, key: k}}}]}}",
        ),
        (
            "repeated environment",
            "{components: {env: [{name: A, value: x}, {name: A, value: y}]}}",
        ),
        (
            "quantity",
            "{components: {resources: {limits: {memory: lots}}}}",
        ),
        ("empty", "{}"),
        ("null", "null"),
    ] {
        list.kubectl(&format!("milvus wrong: {name}"), "apply -f -", &one(spec));
        list.kubectl(
            &format!("milvus wrong, not validated: {name}"),
            "apply --validate=false --dry-run=server -o yaml -f -",
            &one(spec),
        );
    }
    let changed = SAMPLES[0]
        .1
        .replace("msgStreamType: pulsar", "msgStreamType: kafka");
    list.kubectl("milvus: another queue", "apply -f -", &changed);
    list.kubectl(
        "milvus: explain",
        "explain milvuscluster.spec --recursive",
        "",
    );
    list.kubectl("milvus: explain a field", "explain mvc.spec.mode", "");
    list.kubectl("milvus: explain status", "explain mvc.status", "");
    list.kubectl("milvus: delete", "delete mvc --all -A", "");
}
