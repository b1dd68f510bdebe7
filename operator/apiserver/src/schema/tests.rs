use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn schema() -> Schema {
    let schema = json!({
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
            "spec": {
                "type": "object",
                "required": ["version"],
                "x-kubernetes-validations": [
                    {"rule": "self.mode != 'standalone' || self.replicas == 1", "message": "standalone runs one replica"},
                    {"rule": "self.storage == oldSelf.storage", "message": "storage cannot be changed",
                     "reason": "FieldValueForbidden", "fieldPath": ".storage"},
                    {"rule": "size(self.version) < 20", "messageExpression": "'version is ' + string(size(self.version)) + ' long'"}
                ],
                "properties": {
                    "version": {"type": "string", "pattern": r"^v\d+\.\d+\.\d+$", "maxLength": 30},
                    "mode": {"type": "string", "enum": ["standalone", "cluster"], "default": "cluster"},
                    "replicas": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 9, "default": 1},
                    "storage": {"type": "string", "default": "fast"},
                    "ratio": {"type": "number", "minimum": 0, "exclusiveMinimum": true, "multipleOf": 0.5},
                    "port": {"x-kubernetes-int-or-string": true},
                    "when": {"type": "string", "format": "date-time"},
                    "timeout": {"type": "string", "format": "duration"},
                    "maybe": {"type": "string", "nullable": true},
                    "env": {
                        "type": "array", "maxItems": 3, "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object", "required": ["name"],
                            "properties": {
                                "name": {"type": "string"},
                                "value": {"type": "string", "default": "-"}
                            },
                            "x-kubernetes-validations": [
                                {"rule": "self.value == oldSelf.value", "message": "value is fixed"}
                            ]
                        }
                    },
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                             "properties": {"known": {"type": "object", "properties": {"a": {"type": "integer"}}}}},
                    "labels": {"type": "object", "maxProperties": 2,
                               "additionalProperties": {"type": "string", "minLength": 2,
                                "x-kubernetes-validations": [{"rule": "self != 'xx'"}]}},
                    "nested": {"type": "object", "default": {}, "properties": {"a": {"type": "integer", "default": 5}}},
                    "choice": {
                        "type": "object",
                        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]
                    },
                    "both": {"type": "string", "allOf": [{"minLength": 2}, {"maxLength": 3}],
                             "not": {"enum": ["no"]}, "anyOf": [{"pattern": "^a"}, {"pattern": "^n"}]}
                }
            }
        }
    });
    Schema::compile(&schema.to_string()).expect("schema")
}

fn checked(spec: Value) -> Vec<String> {
    let mut obj =
        json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}, "spec": spec});
    let schema = schema();
    schema.default(&mut obj);
    schema
        .validate(&obj, None)
        .iter()
        .map(ToString::to_string)
        .collect()
}

const NOTE: &str = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
                    correct the existing errors to complete validation";

#[test]
fn a_good_object_passes() {
    let spec = json!({"version": "v2.3.5", "replicas": 3, "ratio": 1.5, "port": "http", "when": "2024-01-01T00:00:00Z",
        "timeout": "5m", "maybe": null, "env": [{"name": "A"}, {"name": "B", "value": "x"}], "tags": ["a", "b"],
        "free": {"x": [1, {"y": null}]}, "labels": {"a": "bc"}, "choice": {"a": "x"}, "both": "abc"});
    assert_eq!(checked(spec), Vec::<String>::new());
    assert_eq!(
        checked(json!({"version": "v1.0.0", "port": 80})),
        Vec::<String>::new()
    );
}

#[test]
fn texts_of_structural_failures() {
    for (field, value, text) in [
        (
            "replicas",
            json!(-1),
            "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0",
        ),
        (
            "replicas",
            json!(10),
            "spec.replicas: Invalid value: 10: spec.replicas in body should be less than or equal to 9",
        ),
        (
            "ratio",
            json!(0),
            "spec.ratio: Invalid value: 0: spec.ratio in body should be greater than 0",
        ),
        (
            "ratio",
            json!(0.75),
            "spec.ratio: Invalid value: 0.75: spec.ratio in body should be a multiple of 0.5",
        ),
        (
            "version",
            json!("latest"),
            r#"spec.version: Invalid value: "latest": spec.version in body should match '^v\d+\.\d+\.\d+$'"#,
        ),
        (
            "labels",
            json!({"a": "x"}),
            r#"spec.labels.a: Invalid value: "x": spec.labels.a in body should be at least 2 chars long"#,
        ),
        (
            "labels",
            json!({"a": "xx"}),
            r#"spec.labels[a]: Invalid value: "string": failed rule: self != 'xx'"#,
        ),
        (
            "tags",
            json!(["a", "b", "a", "a"]),
            r#"spec.tags[2]: Duplicate value: "a""#,
        ),
        (
            "env",
            json!([{"name": "A"}, {"name": "A"}]),
            r#"spec.env[1]: Duplicate value: {"name":"A"}"#,
        ),
    ] {
        let mut spec = json!({"version": "v1.0.0"});
        spec[field] = value;
        let told = checked(spec);
        assert!(told.contains(&text.to_owned()), "{field}: {told:#?}");
        assert!(
            !told.contains(&NOTE.to_owned()),
            "{field}: rules should have run: {told:#?}"
        );
    }
}

#[test]
fn texts_of_failures_that_stop_the_rules() {
    for (field, value, text) in [
        (
            "mode",
            json!("x"),
            r#"spec.mode: Unsupported value: "x": supported values: "standalone", "cluster""#,
        ),
        (
            "replicas",
            json!("3"),
            r#"spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#,
        ),
        (
            "replicas",
            json!(1.5),
            r#"spec.replicas: Invalid value: "number": spec.replicas in body must be of type integer: "number""#,
        ),
        (
            "replicas",
            json!([]),
            r#"spec.replicas: Invalid value: "array": spec.replicas in body must be of type integer: "array""#,
        ),
        (
            "port",
            json!([]),
            r#"spec.port: Invalid value: "array": spec.port in body must be of type integer,string: "array""#,
        ),
        (
            "version",
            json!("v1.0.00000000000000000000000000000"),
            "spec.version: Too long: may not be more than 30 bytes",
        ),
        (
            "version",
            json!(5),
            r#"spec.version: Invalid value: "integer": spec.version in body must be of type string: "integer""#,
        ),
        (
            "when",
            json!("x"),
            r#"spec.when: Invalid value: "x": spec.when in body must be of type date-time: "x""#,
        ),
        (
            "when",
            json!(3),
            r#"spec.when: Invalid value: "int64": spec.when in body must be of type date-time: "int64""#,
        ),
        (
            "timeout",
            json!("x"),
            r#"spec.timeout: Invalid value: "x": spec.timeout in body must be of type duration: "x""#,
        ),
        (
            "env",
            json!([{}, {"name": "B"}]),
            "spec.env[0].name: Required value",
        ),
        (
            "env",
            json!([{"name": "1"}, {"name": "2"}, {"name": "3"}, {"name": "4"}]),
            "spec.env: Too many: 4: must have at most 3 items",
        ),
        (
            "labels",
            json!({"a": "bb", "b": "bb", "c": "bb"}),
            "spec.labels: Too many: 3: must have at most 2 items",
        ),
        (
            "labels",
            json!([]),
            r#"spec.labels: Invalid value: "array": spec.labels in body must be of type object: "array""#,
        ),
        (
            "choice",
            json!({}),
            r#"<nil>: Invalid value: "": "spec.choice" must validate one and only one schema (oneOf). Found none valid"#,
        ),
        (
            "nested",
            json!({"a": false}),
            r#"spec.nested.a: Invalid value: "boolean": spec.nested.a in body must be of type integer: "boolean""#,
        ),
    ] {
        let mut spec = json!({"version": "v1.0.0"});
        spec[field] = value;
        let told = checked(spec);
        assert!(told.contains(&text.to_owned()), "{field}: {told:#?}");
        assert_eq!(told.last().map(String::as_str), Some(NOTE), "{field}");
    }
    assert!(checked(json!({})).contains(&"spec.version: Required value".to_owned()));
}

#[test]
fn branches() {
    let told = checked(json!({"version": "v1.0.0", "choice": {"a": "1", "b": "2"}, "both": "no"}));
    assert_eq!(
        told,
        [
            r#"<nil>: Invalid value: "": "spec.both" must not validate the schema (not)"#,
            r#"<nil>: Invalid value: "": "spec.choice" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]
    );
    let told = checked(json!({"version": "v1.0.0", "both": "xy"}));
    assert!(
        told[0].contains("must validate at least one schema (anyOf)"),
        "{told:?}"
    );
    assert_eq!(
        told[1],
        r#"spec.both: Invalid value: "xy": spec.both in body should match '^a'"#
    );
}

#[test]
fn cel_messages_reasons_and_paths() {
    assert_eq!(
        checked(json!({"version": "v1.0.0", "mode": "standalone", "replicas": 2})),
        [r#"spec: Invalid value: "object": standalone runs one replica"#]
    );
    assert_eq!(
        checked(json!({"version": "v1.0.000000000000000000"})),
        [r#"spec: Invalid value: "object": version is 23 long"#]
    );
}

fn object(spec: Value) -> Value {
    let mut obj =
        json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}, "spec": spec});
    schema().default(&mut obj);
    obj
}

fn updated(old: Value, new: Value) -> Vec<String> {
    schema()
        .validate(&object(new), Some(&object(old)))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn transition_rules_need_an_old_value() {
    let old = json!({"version": "v1.0.0"});
    assert_eq!(
        updated(old.clone(), json!({"version": "v1.0.0", "storage": "slow"})),
        ["spec.storage: Forbidden: storage cannot be changed"]
    );
    let error = &schema().validate(
        &object(json!({"version": "v1.0.0", "storage": "b"})),
        Some(&object(old)),
    )[0];
    assert_eq!(error.reason, Reason::FieldValueForbidden);
}

#[test]
fn transition_rules_follow_list_map_keys_not_places() {
    let old = json!({"version": "v1.0.0", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]});
    let moved = json!({"version": "v1.0.0", "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]});
    assert_eq!(updated(old.clone(), moved), Vec::<String>::new());
    let changed = json!({"version": "v1.0.0", "env": [{"name": "C", "value": "9"}, {"name": "A", "value": "x"}]});
    assert_eq!(
        updated(old, changed),
        [r#"spec.env[1]: Invalid value: "object": value is fixed"#]
    );
    // What is no map has no key, and stands for nothing that has none either.
    let odd = json!({"version": "v1.0.0", "env": [false, {"value": "-"}]});
    assert_eq!(updated(odd.clone(), odd), Vec::<String>::new());
}

#[test]
fn unchanged_values_are_not_judged_again() {
    let old = json!({"version": "bad", "labels": {"a": "x"}, "tags": ["a", "a"], "replicas": 1});
    let mut new = old.clone();
    new["replicas"] = json!(2);
    assert_eq!(updated(old.clone(), new), Vec::<String>::new());
    let mut new = old.clone();
    new["labels"]["b"] = json!("y");
    assert_eq!(
        updated(old, new),
        [
            r#"spec.labels.b: Invalid value: "y": spec.labels.b in body should be at least 2 chars long"#
        ]
    );
}

#[test]
fn prune_tells_paths() {
    let mut obj = json!({"apiVersion": "g/v1", "kind": "K", "extra": 1,
        "metadata": {"name": "n", "labls": {}, "ownerReferences": [{"uid": "u", "nme": 1}]},
        "spec": {"version": "v1.0.0", "foo": {"a": 1}, "env": [{"name": "A", "bar": 1}],
                 "free": {"any": {"thing": 1}, "known": {"a": 1, "b": 2}}, "labels": {"q": "r"}}});
    let removed = schema().prune(&mut obj);
    assert_eq!(
        removed,
        [
            "metadata.labls",
            "metadata.ownerReferences[0].nme",
            "extra",
            "spec.env[0].bar",
            "spec.foo",
            "spec.free.known.b"
        ]
    );
    assert_eq!(
        obj["spec"],
        json!({"version": "v1.0.0", "env": [{"name": "A"}], "free": {"any": {"thing": 1}, "known": {"a": 1}}, "labels": {"q": "r"}})
    );
}

#[test]
fn defaults_fill_absent_and_forbidden_nulls() {
    let mut obj =
        json!({"spec": {"mode": null, "maybe": null, "when": null, "env": [{"name": "A"}]}});
    schema().default(&mut obj);
    assert_eq!(
        obj,
        json!({"spec": {"mode": "cluster", "replicas": 1, "storage": "fast", "nested": {"a": 5}, "maybe": null,
            "env": [{"name": "A", "value": "-"}]}})
    );
    let mut without = json!({});
    schema().default(&mut without);
    assert_eq!(without, json!({}));
}

#[test]
fn bad_schemas_are_refused_with_their_place() {
    for (bad, place) in [
        (json!({"type": "thing"}), "the root"),
        (
            json!({"properties": {"a": {"items": {"type": 5}}}}),
            "a.items",
        ),
        (json!({"properties": {"a": {"$ref": "#/x"}}}), "a"),
        (
            json!({"properties": {"a": {"additionalProperties": false}}}),
            "a",
        ),
        (json!({"properties": {"a": {"pattern": "("}}}), "a"),
        (
            json!({"properties": {"a": {"type": "string", "format": "email"}}}),
            "a",
        ),
        (
            json!({"properties": {"a": {"x-kubernetes-list-type": "map"}}}),
            "a",
        ),
        (
            json!({"properties": {"a": {"x-kubernetes-validations": [{"rule": "self >="}]}}}),
            "a",
        ),
        (
            json!({"properties": {"a": {"x-kubernetes-validations": [{"rule": "true", "optionalOldSelf": true}]}}}),
            "a",
        ),
        (
            json!({"properties": {"a": {"allOf": [{"x-kubernetes-validations": [{"rule": "true"}]}]}}}),
            "a",
        ),
    ] {
        let error = Schema::compile(&bad.to_string())
            .err()
            .unwrap_or_else(|| panic!("accepted {bad}"));
        assert!(error.to_string().contains(&format!(" {place}")), "{error}");
    }
}

/// The definition that this server is built for: everything in it must be understood.
#[test]
fn the_milvus_definition_compiles() {
    let text = include_str!("../../../../crds/generated/milvusclusters.operator.milvus.io.yaml");
    let crd = crate::decode::decode_body("application/yaml", text.as_bytes())
        .expect("yaml")
        .value;
    let version = &crd["spec"]["versions"][0];
    let schema = Schema::compile(&version["schema"]["openAPIV3Schema"].to_string())
        .unwrap_or_else(|e| panic!("{e}"));
    let columns = &version["additionalPrinterColumns"];
    assert!(columns.as_array().is_some_and(|c| !c.is_empty()));
    crate::table::Columns::from_printer_columns(columns).unwrap_or_else(|e| panic!("{e}"));
    let mut obj = json!({"apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster",
        "metadata": {"name": "a"}, "spec": {"mode": "nonsense", "unheardOf": 1}});
    assert_eq!(schema.prune(&mut obj), ["spec.unheardOf"]);
    let errors = schema.validate(&obj, None);
    assert!(
        errors
            .iter()
            .any(|e| e.field == "spec.mode" && e.reason == Reason::FieldValueNotSupported),
        "{errors:?}"
    );
}

#[test]
fn schemas_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Schema>();
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name = prop_oneof![
            Just("spec".to_owned()),
            Just("metadata".to_owned()),
            Just("env".to_owned()),
            Just("name".to_owned()),
            Just("free".to_owned()),
            Just("labels".to_owned()),
            Just("nested".to_owned()),
            Just("mode".to_owned()),
            "[a-z]{1,3}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn prune_and_default_are_idempotent_and_validate_is_total(
        spec in anything(), rest in anything(), old in anything()
    ) {
        let schema = schema();
        let mut obj = json!({"metadata": rest, "spec": spec});
        schema.prune(&mut obj);
        let once = obj.clone();
        prop_assert_eq!(schema.prune(&mut obj), Vec::<String>::new());
        prop_assert_eq!(&obj, &once);
        schema.default(&mut obj);
        let once = obj.clone();
        schema.default(&mut obj);
        prop_assert_eq!(&obj, &once);
        prop_assert_eq!(schema.prune(&mut obj), Vec::<String>::new());
        schema.validate(&obj, Some(&json!({"spec": old})));
        // Unchanged values are not judged again; only rules that cannot be evaluated still say so.
        for error in schema.validate(&obj, Some(&obj.clone())) {
            prop_assert!(error.message.contains(" evaluating rule: "), "{}", error);
        }
    }
}
