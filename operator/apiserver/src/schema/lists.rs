//! Uniqueness in lists: items of sets, keys of list maps. Pure.

use serde_json::{Map, Value};

use super::node::{Additional, ListType, Node};
use super::path::Path;
use super::{FieldError, errors};

/// Checks every list below `node`.
pub(super) fn check(node: &Node, value: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    walk(node, value, &Path::Root, &mut out);
    out
}

fn walk(node: &Node, value: &Value, path: &Path<'_>, out: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            for (key, field) in map {
                if let Some(schema) = node.properties.get(key) {
                    walk(schema, field, &path.field(key), out);
                } else if let Additional::Schema(schema) = &node.additional {
                    walk(schema, field, &path.key(key), out);
                }
            }
        }
        Value::Array(items) => {
            check_list(node, items, path, out);
            if let Some(schema) = &node.items {
                for (i, item) in items.iter().enumerate() {
                    walk(schema, item, &path.index(i), out);
                }
            }
        }
        _ => {}
    }
}

fn check_list(node: &Node, items: &[Value], path: &Path<'_>, out: &mut Vec<FieldError>) {
    match &node.list_type {
        ListType::Atomic => {}
        ListType::Set => {
            let repeats = second_occurrences(items);
            out.extend(
                repeats
                    .into_iter()
                    .map(|i| errors::duplicate(&path.index(i), &items[i])),
            );
        }
        ListType::Map(keys) => {
            if let Some(i) = items
                .iter()
                .position(|item| !item.is_object() && !item.is_null())
            {
                let detail = "must be an object for an array of list-type map";
                out.push(errors::invalid(&path.index(i), &items[i], detail));
                return;
            }
            let found: Vec<Value> = items
                .iter()
                .map(|item| {
                    let pairs = keys
                        .iter()
                        .filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
                    Value::Object(pairs.collect::<Map<String, Value>>())
                })
                .collect();
            let repeats = second_occurrences(&found);
            out.extend(
                repeats
                    .into_iter()
                    .map(|i| errors::duplicate(&path.index(i), &found[i])),
            );
        }
    }
}

/// The places where a value stands for the second time; third and later times are not reported.
fn second_occurrences(items: &[Value]) -> Vec<usize> {
    let mut seen: std::collections::HashMap<String, usize> =
        std::collections::HashMap::with_capacity(items.len());
    let mut repeats = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let times = seen.entry(item.to_string()).or_insert(0);
        *times += 1;
        if *times == 2 {
            repeats.push(i);
        }
    }
    repeats
}
