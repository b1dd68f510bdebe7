//! One object as the server keeps it: serialised once, with the parts beside it that every request
//! looks at. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value};

/// Which object of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Empty for kinds outside of namespaces.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Name {
    /// A name in a namespace; `namespace` is empty for kinds outside of namespaces.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// A stored object at one resourceVersion. Never changes.
#[derive(Debug)]
pub struct Object {
    /// Which one.
    pub name: Name,
    /// `metadata.resourceVersion`.
    pub version: u64,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Whether `metadata.ownerReferences` names anybody.
    pub owned: bool,
    /// Compact JSON of the whole object.
    pub json: Bytes,
}

impl Object {
    /// Takes a value in, with `version` as its resourceVersion.
    pub fn new(mut value: Value, version: u64) -> Result<Self, serde_json::Error> {
        metadata_mut(&mut value).insert("resourceVersion".into(), version.to_string().into());
        Self::as_is(&value, version)
    }

    /// Takes a value in without touching it (dry runs have no version of their own).
    pub fn as_is(value: &Value, version: u64) -> Result<Self, serde_json::Error> {
        let labels = value
            .pointer("/metadata/labels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        Ok(Self {
            name: Name::new(meta_str(value, "namespace"), meta_str(value, "name")),
            version,
            uid: meta_str(value, "uid").to_owned(),
            labels,
            deleting: is_deleting(value),
            owned: value
                .pointer("/metadata/ownerReferences")
                .and_then(Value::as_array)
                .is_some_and(|owners| !owners.is_empty()),
            // Boxed first: what the vector has reserved beyond its end is given back.
            json: serde_json::to_vec(value)?.into_boxed_slice().into(),
        })
    }

    /// The object as a value.
    pub fn value(&self) -> Value {
        // Written by `serde_json` itself; the null of an impossible failure is refused downstream.
        serde_json::from_slice(&self.json).unwrap_or_default()
    }
}

/// A string in `metadata`, empty if absent.
pub fn meta_str<'a>(value: &'a Value, field: &str) -> &'a str {
    value
        .get("metadata")
        .and_then(|metadata| metadata.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// `metadata`, made if absent.
pub fn metadata_mut(value: &mut Value) -> &mut Map<String, Value> {
    object_mut(object_mut(value).entry("metadata").or_insert(Value::Null))
}

/// The value as a map; anything else becomes an empty one.
pub fn object_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("replaced by an object just above"),
    }
}

/// Whether `metadata.deletionTimestamp` is set.
pub fn is_deleting(value: &Value) -> bool {
    value
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|time| !time.is_null())
}

/// `metadata.finalizers`.
pub fn finalizers(value: &Value) -> Vec<String> {
    value
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.as_str().map(str::to_owned))
        .collect()
}

/// Replaces `metadata.finalizers`; an empty list removes the field.
pub fn set_finalizers(value: &mut Value, finalizers: &[String]) {
    let metadata = metadata_mut(value);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), finalizers.into());
    }
}

/// The value at a path of field names.
pub fn field<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, part| value.get(part))
}

/// Sets the value at a path of field names and makes the objects on the way.
pub fn set_field(value: &mut Value, path: &[String], new: Value) {
    let mut at = value;
    for part in path {
        at = object_mut(at).entry(part.as_str()).or_insert(Value::Null);
    }
    *at = new;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn takes_in_what_requests_look_at() {
        let value = json!({"metadata": {"name": "a", "namespace": "b", "uid": "u", "labels": {"k": "v"}, "deletionTimestamp": "now"}});
        let object = Object::new(value, 7).unwrap();
        assert_eq!(object.name, Name::new("b", "a"));
        assert_eq!(object.labels.get("k").map(String::as_str), Some("v"));
        assert!(object.deleting);
        assert_eq!(object.value()["metadata"]["resourceVersion"], json!("7"));
    }

    #[test]
    fn sets_fields_through_missing_parents() {
        let mut value = json!({"spec": null});
        set_field(
            &mut value,
            &["spec".into(), "a".into(), "b".into()],
            3.into(),
        );
        assert_eq!(value, json!({"spec": {"a": {"b": 3}}}));
    }
}
