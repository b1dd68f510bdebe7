//! What is particular to Namespaces, Secrets, ConfigMaps and Events. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::meta::{invalid, required};
use crate::object::{meta_str, metadata_mut, object_mut};
use crate::resource::{Flavor, Resource};
use crate::status::{ApiError, Cause};

/// The label that every namespace carries.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";
/// The finalizer in a namespace's spec, removed when its contents are gone.
pub const NAMESPACE_FINALIZER: &str = "kubernetes";

/// Fields of the two views of events: core name, events.k8s.io name.
const EVENT_NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// A stored object as the kind shows it.
pub fn to_view(resource: &Resource, mut value: Value) -> Value {
    if resource.flavor == Flavor::RegardingEvent {
        rename(&mut value, |core, view| (core, view));
        let map = object_mut(&mut value);
        map.insert("apiVersion".into(), "events.k8s.io/v1".into());
        for name in ["reportingController", "reportingInstance"] {
            if map.get(name).and_then(Value::as_str) == Some("") {
                map.remove(name);
            }
        }
    }
    value
}

/// An object of the kind as it is stored.
pub fn from_view(resource: &Resource, value: &mut Value) {
    if resource.flavor == Flavor::RegardingEvent {
        rename(value, |core, view| (view, core));
        object_mut(value).insert("apiVersion".into(), "v1".into());
    }
}

fn rename(
    value: &mut Value,
    direction: impl Fn(&'static str, &'static str) -> (&'static str, &'static str),
) {
    let map = object_mut(value);
    for (core, view) in EVENT_NAMES {
        let (from, to) = direction(core, view);
        if let Some(field) = map.remove(from) {
            map.insert(to.to_owned(), field);
        }
    }
}

/// Fills in what the kind sets by itself, before validation.
pub fn complete(resource: &Resource, value: &mut Value, old: Option<&Value>) {
    match resource.flavor {
        Flavor::Namespace => {
            let name = meta_str(value, "name").to_owned();
            let labels = metadata_mut(value)
                .entry("labels")
                .or_insert_with(|| json!({}));
            object_mut(labels).insert(NAMESPACE_LABEL.into(), name.into());
            let map = object_mut(value);
            match old {
                None => {
                    map.insert("spec".into(), json!({"finalizers": [NAMESPACE_FINALIZER]}));
                    map.insert("status".into(), json!({"phase": "Active"}));
                }
                Some(old) => {
                    for field in ["spec", "status"] {
                        if let Some(kept) = old.get(field) {
                            map.insert(field.into(), kept.clone());
                        }
                    }
                }
            }
        }
        Flavor::Secret => {
            let map = object_mut(value);
            if let Some(Value::Object(plain)) = map.remove("stringData") {
                let data = object_mut(map.entry("data").or_insert_with(|| json!({})));
                for (key, text) in plain {
                    let text = text.as_str().unwrap_or_default();
                    data.insert(key, STANDARD.encode(text).into());
                }
            }
            if let Some(Value::Object(data)) = map.get_mut("data") {
                for text in data.values_mut() {
                    if let Value::String(text) = text {
                        text.retain(|c| !matches!(c, '\r' | '\n'));
                    }
                }
            }
            let empty = map
                .get("type")
                .and_then(Value::as_str)
                .is_none_or(str::is_empty);
            if empty {
                map.insert("type".into(), "Opaque".into());
            }
            drop_empty(map, &["data"]);
        }
        Flavor::ConfigMap => drop_empty(object_mut(value), &["data", "binaryData"]),
        Flavor::CoreEvent | Flavor::RegardingEvent => {
            // Clients written in Go rely on these being there, empty or not.
            let map = object_mut(value);
            let core = resource.flavor == Flavor::CoreEvent;
            for (core_name, name) in EVENT_NAMES {
                let name = if core { core_name } else { name };
                let empty = match *core_name {
                    "source" => json!({}),
                    "firstTimestamp" | "lastTimestamp" => Value::Null,
                    "reportingComponent" if core => "".into(),
                    _ => continue,
                };
                map.entry((*name).to_owned()).or_insert(empty);
            }
            map.entry("eventTime").or_insert(Value::Null);
            if core {
                map.entry("reportingInstance").or_insert("".into());
            }
        }
        Flavor::Custom | Flavor::Definition => {}
    }
}

fn drop_empty(map: &mut Map<String, Value>, fields: &[&str]) {
    for field in fields {
        let empty = match map.get(*field) {
            Some(Value::Null) => true,
            Some(Value::Object(inner)) => inner.is_empty(),
            _ => false,
        };
        if empty {
            map.remove(*field);
        }
    }
}

/// Broken rules of the kind. The value is in the stored form.
pub fn validate(resource: &Resource, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    match resource.flavor {
        Flavor::Secret => {
            check_keys(value, "data", &mut causes);
            for (key, entry) in map_of(value, "data") {
                let decoded = entry.as_str().map(|text| STANDARD.decode(text));
                if !matches!(decoded, Some(Ok(_))) {
                    causes.push(invalid(
                        &format!("data[{key}]"),
                        "\"<secret contents redacted>\"",
                        "must be base64-encoded text",
                    ));
                }
            }
            if value.get("type").and_then(Value::as_str) == Some("kubernetes.io/tls") {
                for key in ["tls.crt", "tls.key"] {
                    if value.get("data").and_then(|data| data.get(key)).is_none() {
                        causes.push(required(&format!("data[{key}]"), ""));
                    }
                }
            }
            if let Some(old) = old {
                if old.get("type") != value.get("type") {
                    let kind = value.get("type").unwrap_or(&Value::Null);
                    causes.push(invalid("type", kind, "field is immutable"));
                }
                check_immutable(value, old, &["data"], &mut causes);
            }
        }
        Flavor::ConfigMap => {
            check_keys(value, "data", &mut causes);
            check_keys(value, "binaryData", &mut causes);
            let binary = map_of(value, "binaryData");
            for key in map_of(value, "data")
                .keys()
                .filter(|key| binary.contains_key(*key))
            {
                let why = "duplicate of key present in binaryData";
                causes.push(invalid(
                    &format!("data[{key}]"),
                    format_args!("{key:?}"),
                    why,
                ));
            }
            if let Some(old) = old {
                check_immutable(value, old, &["data", "binaryData"], &mut causes);
            }
        }
        Flavor::CoreEvent | Flavor::RegardingEvent => {
            validate_event(resource, value, old, &mut causes);
        }
        Flavor::Namespace | Flavor::Custom | Flavor::Definition => {}
    }
    causes
}

fn map_of(value: &Value, field: &str) -> Map<String, Value> {
    value
        .get(field)
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn check_keys(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    for key in map_of(value, field).keys() {
        let fits = !key.is_empty()
            && key.len() <= 253
            && key != "."
            && key != ".."
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !fits {
            causes.push(invalid(
                &format!("{field}[{key}]"),
                format_args!("{key:?}"),
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
            ));
        }
    }
}

fn check_immutable(value: &Value, old: &Value, fields: &[&str], causes: &mut Vec<Cause>) {
    if old.get("immutable") != Some(&Value::Bool(true)) {
        return;
    }
    let mut refuse = |field: &str| {
        causes.push(Cause {
            reason: "FieldValueForbidden".into(),
            message: "Forbidden: field is immutable when `immutable` is set".into(),
            field: field.to_owned(),
        });
    };
    if value.get("immutable") != Some(&Value::Bool(true)) {
        refuse("immutable");
    }
    for field in fields {
        if old.get(*field) != value.get(*field) {
            refuse(field);
        }
    }
}

fn validate_event(
    resource: &Resource,
    value: &Value,
    old: Option<&Value>,
    causes: &mut Vec<Cause>,
) {
    let text = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let namespace = meta_str(value, "namespace");
    let involved = text("/involvedObject/namespace");
    let regarding = resource.flavor == Flavor::RegardingEvent;
    let object = if regarding {
        "regarding"
    } else {
        "involvedObject"
    };
    // Objects outside of namespaces have their events in `default`.
    let fits = if involved.is_empty() {
        matches!(namespace, "default" | "kube-system")
    } else {
        involved == namespace
    };
    if !fits {
        causes.push(invalid(
            &format!("{object}.namespace"),
            format_args!("{involved:?}"),
            "does not match event.namespace",
        ));
    }
    if !regarding || old.is_some() {
        return;
    }
    for (pointer, field) in [
        ("/eventTime", "eventTime"),
        ("/reportingComponent", "reportingController"),
        ("/reportingInstance", "reportingInstance"),
        ("/action", "action"),
        ("/reason", "reason"),
    ] {
        if text(pointer).is_empty() {
            causes.push(required(field, ""));
        }
    }
    let kind = text("/type");
    if !matches!(kind, "Normal" | "Warning") {
        causes.push(invalid(
            "type",
            format_args!("{kind:?}"),
            "must be \"Normal\" or \"Warning\"",
        ));
    }
}

/// Refuses to delete the namespaces that must be there.
pub fn check_deletion(resource: &Resource, name: &str) -> Result<(), ApiError> {
    if resource.flavor == Flavor::Namespace && matches!(name, "default" | "kube-system") {
        return Err(ApiError::forbidden(
            resource,
            name,
            "this namespace may not be deleted",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_views_are_each_others_reverse() {
        let registry = crate::resource::Registry::new(&[]).unwrap();
        let view = registry.flavor(Flavor::RegardingEvent).unwrap();
        let core = json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"name": "a"}, "message": "m", "count": 2, "reason": "r"});
        let shown = to_view(view, core.clone());
        assert_eq!(
            shown,
            json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "regarding": {"name": "a"}, "note": "m", "deprecatedCount": 2, "reason": "r"})
        );
        let mut back = shown;
        from_view(view, &mut back);
        assert_eq!(back, core);
    }

    #[test]
    fn folds_string_data_into_data() {
        let registry = crate::resource::Registry::new(&[]).unwrap();
        let secret = registry.flavor(Flavor::Secret).unwrap();
        let mut value =
            json!({"metadata": {"name": "a"}, "stringData": {"k": "v"}, "data": {"x": "eQ=="}});
        complete(secret, &mut value, None);
        assert_eq!(
            value,
            json!({"metadata": {"name": "a"}, "type": "Opaque", "data": {"x": "eQ==", "k": "dg=="}})
        );
        assert!(validate(secret, &value, None).is_empty());
        value["data"]["x"] = "not base64!".into();
        assert_eq!(validate(secret, &value, None).len(), 1);
    }
}
