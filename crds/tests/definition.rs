//! The definition that is committed is the one that the types say, and it stays within what API servers take.

use std::{collections::BTreeSet, fs, path::PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

fn committed(extension: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("generated")
        .join(format!("milvusclusters.operator.milvus.io.{extension}"))
}

/// Copies, for those who take the chart or the folder of manifests alone.
fn copies() -> [PathBuf; 2] {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    [
        root.join("charts/milvus-operator/crds/milvusclusters.operator.milvus.io.yaml"),
        root.join("deploy/kubernetes/10-crd.yaml"),
    ]
}

fn definition() -> Value {
    serde_json::to_value(milvus_crds::crd()).expect("the definition is JSON")
}

fn schema() -> Value {
    definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Calls `see` with the path and the body of every schema below.
fn walk(path: &str, schema: &Map<String, Value>, see: &mut dyn FnMut(&str, &Map<String, Value>)) {
    see(path, schema);
    if let Some(Value::Object(properties)) = schema.get("properties") {
        for (name, property) in properties {
            let property = property.as_object().expect("a property is an object");
            walk(&format!("{path}.{name}"), property, see);
        }
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(Value::Object(inner)) = schema.get(key) {
            walk(&format!("{path}{mark}"), inner, see);
        }
    }
}

fn walk_all(see: &mut dyn FnMut(&str, &Map<String, Value>)) {
    let schema = schema();
    for part in ["spec", "status"] {
        let body = schema["properties"][part]
            .as_object()
            .expect("both parts have a schema");
        walk(part, body, see);
    }
}

#[test]
fn the_committed_files_are_what_the_types_say() {
    let json = milvus_crds::crd_json().expect("the definition is JSON");
    let value: Value = serde_json::from_str(&json).expect("it is JSON");
    let yaml = serde_saphyr::to_string(&value).expect("the definition is YAML");
    let written = [(committed("json"), &json), (committed("yaml"), &yaml)];
    for (path, text) in written
        .into_iter()
        .chain(copies().map(|path| (path, &yaml)))
    {
        if std::env::var_os("UPDATE_CRDS").is_some() {
            fs::write(&path, text).expect("the file can be written");
        }
        let file = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            file == *text,
            "{} is out of date; run make regen",
            path.display()
        );
    }
    let read: CustomResourceDefinition = serde_json::from_str(&json).expect("it is a definition");
    assert_eq!(read, milvus_crds::crd(), "the text says what the types say");
}

#[test]
fn what_is_built_in_is_what_is_committed() {
    if std::env::var_os("UPDATE_CRDS").is_some() {
        // This very program still has the text from before.
        return;
    }
    let file = |extension| fs::read_to_string(committed(extension)).expect("the file is there");
    assert_eq!(milvus_crds::CRD_JSON, file("json"));
    assert_eq!(milvus_crds::crd_yaml().expect("YAML"), file("yaml"));
}

#[test]
fn the_definition_fits_into_the_annotation_of_client_side_apply() {
    let yaml = milvus_crds::crd_yaml()
        .expect("the definition is YAML")
        .len();
    let json = definition().to_string().len();
    assert!(yaml < 250_000, "{yaml} bytes of YAML");
    assert!(json < 250_000, "{json} bytes of JSON");
}

#[test]
fn every_field_is_explained() {
    let mut silent = Vec::new();
    walk_all(&mut |path, schema| {
        // Conditions are upstream's; list items and map values are explained by the field that holds them.
        if !schema.contains_key("description") && !path.ends_with("[]") && !path.ends_with("{}") {
            silent.push(path.to_owned());
        }
    });
    assert!(
        silent.is_empty(),
        "fields without a description: {silent:#?}"
    );
}

#[test]
fn every_schema_is_structural() {
    let mut wrong = Vec::new();
    walk_all(&mut |path, schema| {
        let int_or_string = schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
        let typed = schema.get("type").is_some_and(Value::is_string);
        if int_or_string == typed {
            wrong.push(format!(
                "{path}: needs a type or x-kubernetes-int-or-string, one of them"
            ));
        }
        for key in ["oneOf", "allOf", "not", "$ref"] {
            if schema.contains_key(key) {
                wrong.push(format!("{path}: {key}"));
            }
        }
        if schema.contains_key("anyOf") && !int_or_string {
            wrong.push(format!("{path}: anyOf"));
        }
        if let Some(Value::String(format)) = schema.get("format")
            && !["int32", "int64", "date-time", "double"].contains(&format.as_str())
        {
            wrong.push(format!("{path}: format {format} is unknown to API servers"));
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn optional_fields_take_null_and_only_the_scaled_one_has_a_default() {
    let mut defaults = Vec::new();
    let mut strict = Vec::new();
    walk_all(&mut |path, schema| {
        if schema.contains_key("default") {
            defaults.push(path.to_owned());
        }
        let Some(Value::Object(properties)) = schema.get("properties") else {
            return;
        };
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        for (name, property) in properties {
            let optional = !required.iter().any(|r| r == name);
            if path.starts_with("spec")
                && optional
                && property.get("nullable") != Some(&Value::Bool(true))
            {
                strict.push(format!("{path}.{name}"));
            }
        }
    });
    assert_eq!(defaults, ["spec.components.queryNode.replicas"]);
    assert!(
        strict.is_empty(),
        "these refuse an empty YAML key: {strict:#?}"
    );
}

#[test]
fn few_fields_are_required() {
    let mut names = BTreeSet::new();
    walk_all(&mut |path, schema| {
        for field in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let parent = path.rsplit('.').next().unwrap_or_default();
            names.insert(format!("{parent}.{}", field.as_str().unwrap_or_default()));
        }
    });
    let expected = [
        "auth.secretRef",
        "autoscaling.maxReplicas",
        "conditions[].lastTransitionTime",
        "conditions[].message",
        "conditions[].reason",
        "conditions[].status",
        "conditions[].type",
        "env[].name",
        "extraEnvVars[].name",
        "groups[].name",
        "groups[].replicas",
        "imagePullSecrets[].name",
        "members[].name",
        "quorumBufferPools[].name",
        "quorumBufferPools[].seeds",
        "rollout.step",
        "secretKeyRef.key",
        "secretKeyRef.name",
        "ssl.secretRef",
        "tls.secretRef",
        "valueFrom.secretKeyRef",
    ];
    assert_eq!(
        names.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn kubectl_finds_what_it_shows() {
    let definition = definition();
    let spec = &definition["spec"];
    assert_eq!(spec["names"]["shortNames"][0], "mvc");
    assert_eq!(
        spec["names"]["categories"],
        serde_json::json!(["all", "milvus"])
    );
    assert_eq!(spec["scope"], "Namespaced");
    let version = &spec["versions"][0];
    let columns: Vec<_> = version["additionalPrinterColumns"]
        .as_array()
        .expect("columns")
        .iter()
        .map(|column| column["name"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(
        columns,
        ["Mode", "Version", "Status", "Ready", "Endpoint", "Age"]
    );
    // What is in force, for `mode` has a default that nobody writes.
    let mode = &version["additionalPrinterColumns"][0]["jsonPath"];
    assert_eq!(mode, ".status.mode");
    assert_eq!(
        version["subresources"]["scale"],
        serde_json::json!({
            "specReplicasPath": ".spec.components.queryNode.replicas",
            "statusReplicasPath": ".status.components.queryNode.replicas",
            "labelSelectorPath": ".status.selector",
        })
    );
    assert!(version["subresources"]["status"].is_object());
}
