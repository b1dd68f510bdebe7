//! Filling in declared defaults. Pure.
//!
//! Nulls first: a null where null is not allowed counts as absent, so it is removed or replaced by the default.

use serde_json::Value;

use super::node::{Additional, Node};

pub(super) fn fill(value: &mut Value, node: &Node) {
    drop_nulls(value, node);
    fill_node(value, node);
}

fn drop_nulls(value: &mut Value, node: &Node) {
    match value {
        Value::Object(map) => map.retain(|key, field| match node.field(key) {
            Some(child) if field.is_null() => child.nullable || child.default.is_some(),
            Some(child) => {
                drop_nulls(field, child);
                true
            }
            None => true,
        }),
        Value::Array(items) => {
            if let Some(child) = &node.items {
                items.iter_mut().for_each(|item| drop_nulls(item, child));
            }
        }
        _ => {}
    }
}

/// A null that may not be one takes the default.
fn replace_null(value: &mut Value, node: &Node) {
    if let (true, false, Some(default)) = (value.is_null(), node.nullable, &node.default) {
        *value = default.clone();
    }
}

fn fill_node(value: &mut Value, node: &Node) {
    match value {
        Value::Object(map) => {
            for (key, child) in &node.properties {
                match (&child.default, map.get_mut(key)) {
                    (Some(default), None) => {
                        map.insert(key.clone(), default.clone());
                    }
                    (_, Some(field)) => replace_null(field, child),
                    (None, None) => {}
                }
            }
            for (key, field) in map.iter_mut() {
                if let Some(child) = node.properties.get(key) {
                    fill_node(field, child);
                } else if let Additional::Schema(child) = &node.additional {
                    replace_null(field, child);
                    fill_node(field, child);
                }
            }
        }
        Value::Array(items) => {
            if let Some(child) = &node.items {
                for item in items {
                    replace_null(item, child);
                    fill_node(item, child);
                }
            }
        }
        _ => {}
    }
}
