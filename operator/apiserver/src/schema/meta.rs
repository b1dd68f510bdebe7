//! Object metadata: its fields and types, which no definition declares. Pure.

use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

use super::SchemaError;
use super::compile::Compiler;
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

pub(super) fn node() -> Option<&'static Node> {
    static NODE: OnceLock<Option<Arc<Node>>> = OnceLock::new();
    // The unit test below compiles this very schema, so it is always there.
    NODE.get_or_init(|| compile().ok()).as_deref()
}

fn compile() -> Result<Arc<Node>, SchemaError> {
    Compiler::default().compile(&object_meta_schema().to_string(), "metadata", 0)
}

/// Removes unknown fields of `obj.metadata` and adds their paths, e.g. `metadata.labls`.
pub(super) fn prune_metadata(obj: &mut Value, removed: &mut Vec<String>) {
    if let (Some(metadata), Some(node)) = (obj.get_mut("metadata"), node()) {
        prune::prune_below(metadata, node, &Path::Root.field("metadata"), removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_compiles() {
        assert!(compile().is_ok());
    }
}
