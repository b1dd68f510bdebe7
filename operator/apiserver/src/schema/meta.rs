//! Object metadata: its fields and types, which no definition declares. Pure.

use serde_json::{Value, json};
use std::sync::OnceLock;

use super::node::Node;
use super::path::Path;
use super::prune;

/// The schema of ObjectMeta, with descriptions for `explain`.
pub fn object_meta_schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let time = |description: &str| json!({"type": "string", "format": "date-time", "description": description});
    let words = |description: &str| json!({"type": "object", "additionalProperties": {"type": "string", "default": ""}, "description": description});
    json!({
        "type": "object",
        "description": "What every stored object carries: its name, labels, owners and history.",
        "properties": {
            "annotations": words("Free key-value pairs kept with the object for tools; not used for selection."),
            "creationTimestamp": time("When the server stored the object first. Set by the server."),
            "deletionGracePeriodSeconds": {
                "type": "integer", "format": "int64",
                "description": "Seconds granted for a graceful end once deletion began. Set by the server.",
            },
            "deletionTimestamp": time("When deletion was asked for; the object goes once its finalizers are gone. Set by the server."),
            "finalizers": {
                "type": "array", "items": {"type": "string", "default": ""},
                "x-kubernetes-list-type": "set",
                "description": "Names of those who must finish their work before the object may go.",
            },
            "generateName": text("Prefix from which the server makes a unique name when none is given."),
            "generation": {
                "type": "integer", "format": "int64",
                "description": "Counts the changes of the desired state. Set by the server.",
            },
            "labels": words("Key-value pairs to select and group objects by."),
            "managedFields": {
                "type": "array",
                "description": "Which writer owns which fields. Set by the server.",
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "properties": {
                        "apiVersion": text("Version in which the fields are named."),
                        "fieldsType": text("Notation of the fields; FieldsV1 is the only one."),
                        "fieldsV1": {
                            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                            "description": "The fields owned, as a tree.",
                        },
                        "manager": text("Name of the writer."),
                        "operation": text("Apply or Update."),
                        "subresource": text("Subresource through which the fields were written."),
                        "time": time("When the entry changed last."),
                    },
                },
            },
            "name": text("Name, unique among the objects of its kind in its namespace. Cannot be changed."),
            "namespace": text("Namespace within which the name is unique. Cannot be changed."),
            "ownerReferences": {
                "type": "array",
                "description": "Objects this one depends on; when all are gone, this one is collected.",
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
                "items": {
                    "type": "object", "required": ["apiVersion", "kind", "name", "uid"],
                    "x-kubernetes-map-type": "atomic",
                    "properties": {
                        "apiVersion": text("API version of the owner."),
                        "blockOwnerDeletion": {
                            "type": "boolean",
                            "description": "Whether a foreground deletion of the owner waits for this object.",
                        },
                        "controller": {"type": "boolean", "description": "Whether the owner manages this object."},
                        "kind": text("Kind of the owner."),
                        "name": text("Name of the owner."),
                        "uid": text("Unique id of the owner."),
                    },
                },
            },
            "resourceVersion": text("Changes with every write; send it back to write only over what was read."),
            "selfLink": text("No longer filled in."),
            "uid": text("Unique id over all objects and all time. Set by the server."),
        },
    })
}

fn node() -> Option<&'static Node> {
    static NODE: OnceLock<Option<Node>> = OnceLock::new();
    // The unit test below compiles this very schema, so it is always there.
    NODE.get_or_init(|| Node::compile(&object_meta_schema(), "metadata", 0).ok())
        .as_ref()
}

/// Removes unknown fields of `obj.metadata` and adds their paths, e.g. `metadata.labls`.
pub(super) fn prune_metadata(obj: &mut Value, removed: &mut Vec<String>) {
    if let (Some(metadata), Some(node)) = (obj.get_mut("metadata"), node()) {
        prune::prune_below(metadata, node, &Path::Root.field("metadata"), removed);
    }
}

/// The first field of `obj.metadata` whose JSON type is wrong, in the words of a decoder: such an object cannot be
/// read at all (400), which comes before all validation (422).
pub fn metadata_type_error(obj: &Value) -> Option<String> {
    let metadata = obj.get("metadata")?;
    type_error(metadata, node()?, "ObjectMeta", "metadata")
}

fn type_error(value: &Value, node: &Node, parent: &str, place: &str) -> Option<String> {
    use super::node::{Additional, Type};
    let go_type = match (node.types.first()?, &node.additional) {
        (Type::Object, Additional::Schema(_)) => "map[string]string",
        (Type::Object, _) => "v1.ObjectMeta",
        (Type::Array, _) => "[]string",
        (Type::String, _) => "string",
        (Type::Integer, _) => "int64",
        (Type::Number, _) => "float64",
        (Type::Boolean, _) => "bool",
    };
    let fits = match (node.types.first()?, value) {
        (_, Value::Null) => return None,
        (Type::Object, Value::Object(map)) => {
            return map.iter().find_map(|(key, field)| {
                type_error(field, node.field(key)?, parent, &format!("{place}.{key}"))
            });
        }
        (Type::Array, Value::Array(items)) => {
            let child = node.items.as_ref()?;
            return items
                .iter()
                .find_map(|item| type_error(item, child, parent, place));
        }
        (Type::String, Value::String(_)) | (Type::Boolean, Value::Bool(_)) => true,
        (Type::Integer, Value::Number(n)) => n.is_i64(),
        _ => false,
    };
    let actual = match value {
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        _ => "string",
    };
    (!fits).then(|| format!("json: cannot unmarshal {actual} into Go struct field {parent}.{place} of type {go_type}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_compiles() {
        assert!(Node::compile(&object_meta_schema(), "metadata", 0).is_ok());
    }

    #[test]
    fn wrong_types_are_told_as_a_decoder_does() {
        let told = |obj: Value| metadata_type_error(&obj);
        assert_eq!(
            told(json!({"metadata": {"name": "a", "labels": {"a": "b"}, "generation": 1}})),
            None
        );
        assert_eq!(
            told(json!({"metadata": {"labels": {"a": 5}}})).as_deref(),
            Some(
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels.a of type string"
            )
        );
        assert!(told(json!({"metadata": []})).is_some());
        assert!(told(json!({"metadata": {"finalizers": "x"}})).is_some());
    }
}
