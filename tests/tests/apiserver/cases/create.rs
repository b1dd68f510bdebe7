//! Creation: what is stored, what is refused and in which words.

use serde_json::{Value, json};

use super::{GV, JSON, List, WIDGETS, widget, yaml};

pub(super) fn creations(list: &mut List) {
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
