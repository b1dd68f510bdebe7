//! The schemas of a document: those of the kinds, and those that all share. Pure.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Part, ServedKind};
use crate::schema::object_meta_schema;

pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const MANAGED_FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry";
const FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
const OWNER_REFERENCE: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference";
pub(super) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(super) const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// A reference with a description of its own: `$ref` alone allows no neighbours.
fn described(name: &str, description: &str) -> Value {
    json!({"allOf": [reference(name)], "default": {}, "description": description})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn number(format: &str, description: &str) -> Value {
    json!({"type": "integer", "format": format, "description": description})
}

/// The schema of a kind with its identity, and with metadata as a reference so that clients can look into it.
pub(super) fn object<'a>(kind: &'a ServedKind<'_>) -> Result<Part<'a>, serde_json::Error> {
    let mut schema = said(&kind.schema)?;
    let mut properties = match schema.get("properties") {
        Some(Part::Said(text)) => said(text.get())?,
        _ => BTreeMap::new(),
    };
    let metadata = described(
        OBJECT_META,
        "Name, labels, owners and history of the object.",
    );
    for (name, property) in [
        ("apiVersion", text("API group and version of the object.")),
        ("kind", text("Kind of the object.")),
        ("metadata", metadata),
    ] {
        properties.insert(name.to_owned(), Part::Made(property));
    }
    schema.insert("properties".to_owned(), Part::Fields(properties));
    schema.insert(
        "x-kubernetes-group-version-kind".to_owned(),
        Part::Made(json!([kind.identity(&kind.kind)])),
    );
    Ok(Part::Fields(schema))
}

/// The fields of an object, each as it is written.
fn said(object: &str) -> Result<BTreeMap<String, Part<'_>>, serde_json::Error> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(object)?;
    Ok(fields
        .into_iter()
        .map(|(name, text)| (name, Part::Said(text)))
        .collect())
}

/// The schema of a kind's list.
pub(super) fn list(kind: &ServedKind<'_>) -> Value {
    let list_kind = format!("{}List", kind.kind);
    json!({
        "type": "object",
        "description": format!("A list of {} objects.", kind.kind),
        "required": ["items"],
        "properties": {
            "apiVersion": text("API group and version of the list."),
            "kind": text("Kind of the list."),
            "metadata": described(LIST_META, "Version and paging of the list."),
            "items": {"type": "array", "items": reference(&kind.schema_name()), "description": "The objects."},
        },
        "x-kubernetes-group-version-kind": [kind.identity(&list_kind)],
    })
}

/// The schemas that kinds refer to.
pub(super) fn shared(scale: bool) -> Map<String, Value> {
    let mut schemas = Map::new();
    let mut meta = object_meta_schema();
    // Parts of ObjectMeta have names of their own, which `explain` shows.
    for (pointer, name) in [
        (
            "/properties/managedFields/items/properties/fieldsV1",
            FIELDS,
        ),
        ("/properties/managedFields/items", MANAGED_FIELDS),
        ("/properties/ownerReferences/items", OWNER_REFERENCE),
    ] {
        if let Some(part) = meta.pointer_mut(pointer) {
            let named = match part.get("description").and_then(Value::as_str) {
                Some(words) => json!({"allOf": [reference(name)], "description": words}),
                None => json!({"allOf": [reference(name)], "default": {}}),
            };
            schemas.insert(name.to_owned(), std::mem::replace(part, named));
        }
    }
    schemas.insert(OBJECT_META.to_owned(), meta);
    schemas.insert(
        LIST_META.to_owned(),
        json!({"type": "object", "description": "What every list carries.", "properties": {
            "continue": text("Send it back to get the rest."),
            "remainingItemCount": number("int64", "How many objects follow."),
            "resourceVersion": text("State that the list shows; a watch can start from it."),
            "selfLink": text("No longer filled in."),
        }}),
    );
    schemas.insert(
        STATUS.to_owned(),
        json!({"type": "object", "description": "The answer when there is no object to return.", "properties": {
            "apiVersion": text("v1."),
            "kind": text("Status."),
            "code": number("int32", "HTTP status code."),
            "details": {"type": "object", "description": "Which object, and which of its fields."},
            "message": text("A sentence for people."),
            "metadata": described(LIST_META, "Empty."),
            "reason": text("One word for programs."),
            "status": text("Success or Failure."),
        }, "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Status"}]}),
    );
    schemas.insert(
        DELETE_OPTIONS.to_owned(),
        json!({"type": "object", "description": "How to delete.", "properties": {
            "apiVersion": text("v1."),
            "kind": text("DeleteOptions."),
            "dryRun": {"type": "array", "items": {"type": "string"}, "description": "All: do everything but store."},
            "gracePeriodSeconds": number("int64", "Seconds granted for a graceful end."),
            "preconditions": {"type": "object", "description": "Delete only if this holds.", "properties": {
                "resourceVersion": text("The version that must stand."),
                "uid": text("The unique id that must stand."),
            }},
            "propagationPolicy": text("What becomes of dependents: Background, Foreground or Orphan."),
        }}),
    );
    schemas.insert(
        PATCH.to_owned(),
        json!({"type": "object", "description": "A change in one of the patch notations."}),
    );
    if scale {
        schemas.insert(SCALE.to_owned(), scale_schema());
    }
    schemas
}

fn scale_schema() -> Value {
    json!({"type": "object", "description": "Wanted and observed number of replicas.", "properties": {
        "apiVersion": text("autoscaling/v1."),
        "kind": text("Scale."),
        "metadata": described(OBJECT_META, "Name, labels, owners and history of the object."),
        "spec": {"type": "object", "description": "What is wanted.",
            "properties": {"replicas": number("int32", "Wanted number.")}},
        "status": {"type": "object", "description": "What is there.", "required": ["replicas"], "properties": {
            "replicas": number("int32", "Observed number."),
            "selector": text("Labels of the replicas, as text."),
        }},
    }, "x-kubernetes-group-version-kind": [{"group": "autoscaling", "version": "v1", "kind": "Scale"}]})
}
