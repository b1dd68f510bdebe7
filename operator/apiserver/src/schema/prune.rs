//! Removal of undeclared fields, with their paths. Pure.

use serde_json::Value;

use super::node::{Additional, Node};
use super::path::Path;

/// Fields that every resource has, whatever its schema says.
const RESOURCE_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// What is known of a value while pruning.
enum Known<'a> {
    /// Nothing is declared here: everything inside goes.
    Nothing,
    /// This much.
    Schema(&'a Node),
}

/// Prunes a whole resource: its type and metadata are known by being there.
pub(super) fn prune_resource(obj: &mut Value, root: &Node) -> Vec<String> {
    let mut removed = Vec::new();
    prune_node(obj, root, true, &Path::Root, &mut removed);
    removed
}

fn prune(value: &mut Value, known: &Known<'_>, path: &Path<'_>, removed: &mut Vec<String>) {
    match known {
        Known::Schema(node) => prune_node(value, node, node.embedded_resource, path, removed),
        Known::Nothing => match value {
            Value::Object(map) => {
                removed.extend(map.keys().map(|key| path.field(key).to_string()));
                map.clear();
            }
            Value::Array(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    prune(item, &Known::Nothing, &path.index(i), removed);
                }
            }
            _ => {}
        },
    }
}

fn prune_node(
    value: &mut Value,
    node: &Node,
    resource: bool,
    path: &Path<'_>,
    removed: &mut Vec<String>,
) {
    let keep_rest = node.preserve_unknown;
    match value {
        Value::Object(map) => map.retain(|key, field| {
            if resource && RESOURCE_FIELDS.contains(&key.as_str()) {
                return true;
            }
            let path = path.field(key);
            if let Some(child) = node.properties.get(key) {
                prune(field, &Known::Schema(child), &path, removed);
                return true;
            }
            match &node.additional {
                Additional::Schema(child) => prune(field, &Known::Schema(child), &path, removed),
                Additional::Any => prune(field, &Known::Nothing, &path, removed),
                Additional::Absent if keep_rest => {}
                Additional::Absent => {
                    removed.push(path.to_string());
                    return false;
                }
            }
            true
        }),
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                let path = path.index(i);
                match &node.items {
                    // Below a field that keeps unknown fields, items without a schema keep theirs too.
                    Some(child) if keep_rest => prune_kept(item, child, &path, removed),
                    Some(child) => prune(item, &Known::Schema(child), &path, removed),
                    None if keep_rest => {}
                    None => prune(item, &Known::Nothing, &path, removed),
                }
            }
        }
        _ => {}
    }
}

/// An item of a list that keeps unknown fields: only what is declared below it is looked at.
fn prune_kept(value: &mut Value, node: &Node, path: &Path<'_>, removed: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, field) in map.iter_mut() {
                let own = node.embedded_resource && RESOURCE_FIELDS.contains(&key.as_str());
                if let (false, Some(child)) = (own, node.field(key)) {
                    prune(field, &Known::Schema(child), &path.field(key), removed);
                }
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                if let Some(child) = &node.items {
                    prune_kept(item, child, &path.index(i), removed);
                }
            }
        }
        _ => {}
    }
}

/// Prunes a part of a resource that is at `path`.
pub(super) fn prune_below(
    value: &mut Value,
    node: &Node,
    path: &Path<'_>,
    removed: &mut Vec<String>,
) {
    prune_node(value, node, node.embedded_resource, path, removed);
}
