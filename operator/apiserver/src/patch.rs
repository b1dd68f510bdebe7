//! The patch formats: JSON patch, JSON merge patch, and for built-in kinds the strategic merge patch
//! as far as their few lists need it. Pure.

use json_patch::{Patch, PatchOperation};
use serde_json::{Map, Value};

use crate::resource::{Flavor, Resource};
use crate::status::ApiError;

/// JSON patch (RFC 6902).
pub const JSON_PATCH: &str = "application/json-patch+json";
/// JSON merge patch (RFC 7396).
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// Strategic merge patch, built-in kinds only.
pub const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
/// Server-side apply.
pub const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// Operations of a JSON patch, as kube-apiserver takes them.
const MAX_OPERATIONS: usize = 10_000;
/// Bytes that the copies of a JSON patch may add together.
const MAX_COPIED: usize = 3 << 20;
/// Bytes that may be looked through for moves to deeper places.
const MAX_MOVED: usize = 32 << 20;
/// Nesting that the operations of a JSON patch may make: work on values is recursive.
const MAX_DEPTH: usize = 128;

/// A decoded patch.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Operations in order.
    Json(Patch),
    /// A tree in which null removes.
    Merge(Value),
    /// The same with directives and merged lists.
    Strategic(Value),
}

impl Edit {
    /// Takes a patch body by its media type, already decoded from JSON.
    pub fn decode(resource: &Resource, media_type: &str, body: Value) -> Result<Self, ApiError> {
        match media_type {
            JSON_PATCH => {
                if !body.is_array() {
                    return Err(ApiError::bad_request(
                        "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
                    ));
                }
                let operations = body.as_array().map_or(0, Vec::len);
                if operations > MAX_OPERATIONS {
                    return Err(ApiError::too_large(format!(
                        "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {operations}"
                    )));
                }
                serde_json::from_value(body)
                    .map(Self::Json)
                    .map_err(|_| rejected())
            }
            MERGE_PATCH | STRATEGIC_PATCH if !body.is_object() => Err(ApiError::bad_request(
                "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
            )),
            MERGE_PATCH => Ok(Self::Merge(body)),
            STRATEGIC_PATCH if resource.flavor != Flavor::Custom => Ok(Self::Strategic(body)),
            APPLY_PATCH => Err(ApiError::unsupported(
                "server-side apply is not supported yet; use client-side apply or a merge patch",
            )),
            _ => {
                let mut accepted = vec![JSON_PATCH, MERGE_PATCH];
                if resource.flavor != Flavor::Custom {
                    accepted.push(STRATEGIC_PATCH);
                }
                Err(ApiError::unsupported_media_type(&accepted))
            }
        }
    }

    /// The tree of a merge patch.
    pub fn tree(&self) -> Option<&Value> {
        match self {
            Self::Merge(tree) | Self::Strategic(tree) => Some(tree),
            Self::Json(_) => None,
        }
    }

    /// Applies the patch to a copy.
    pub fn apply(&self, current: &Value) -> Result<Value, ApiError> {
        let mut patched = current.clone();
        match self {
            Self::Merge(tree) => {
                let mut tree = tree.clone();
                drop_nulls(&mut tree, false);
                json_patch::merge(&mut patched, &tree);
            }
            Self::Strategic(tree) => merge_strategic(&mut patched, tree, ""),
            Self::Json(Patch(operations)) => {
                let mut spent = Spent::default();
                for operation in operations {
                    bound(&patched, operation, &mut spent)?;
                    apply_operation(&mut patched, operation)?;
                }
            }
        }
        Ok(patched)
    }
}

/// Refuses an operation after which the document would be far larger or deeper than the patch: each copy of a parent into
/// itself doubles both.
fn bound(value: &Value, operation: &PatchOperation, spent: &mut Spent) -> Result<(), ApiError> {
    let levels = |path: &str| path.matches('/').count();
    let at = levels(operation.path().as_str());
    let found = |from: &str| value.pointer(from).map_or((0, 0), measure);
    let depth = match operation {
        PatchOperation::Add(add) => measure(&add.value).0,
        PatchOperation::Replace(replace) => measure(&replace.value).0,
        PatchOperation::Copy(copy) => {
            let (depth, size) = found(copy.from.as_str());
            spent.copied = spent.copied.saturating_add(size);
            depth
        }
        PatchOperation::Move(moved) if at > levels(moved.from.as_str()) => {
            let (depth, size) = found(moved.from.as_str());
            spent.moved = spent.moved.saturating_add(size);
            depth
        }
        PatchOperation::Move(_) | PatchOperation::Remove(_) | PatchOperation::Test(_) => 0,
    };
    let too_deep = at.saturating_add(depth) > MAX_DEPTH;
    if too_deep || spent.copied > MAX_COPIED || spent.moved > MAX_MOVED {
        return Err(rejected());
    }
    Ok(())
}

/// What the operations so far have cost.
#[derive(Default)]
struct Spent {
    copied: usize,
    moved: usize,
}

/// Levels and about the bytes of a value.
fn measure(value: &Value) -> (usize, usize) {
    let below = |inside: &mut dyn Iterator<Item = (usize, usize)>| {
        inside.fold((0, 2), |(depth, size), (d, s): (usize, usize)| {
            (depth.max(d), size + s)
        })
    };
    let (depth, size) = match value {
        Value::String(text) => (0, text.len() + 2),
        Value::Array(items) => below(&mut items.iter().map(measure)),
        Value::Object(map) => below(&mut map.iter().map(|(key, field)| {
            let (depth, size) = measure(field);
            (depth, size + key.len() + 4)
        })),
        Value::Null | Value::Bool(_) | Value::Number(_) => (0, 8),
    };
    (depth + 1, size)
}

/// One operation, in two points as kube-apiserver does it: `test` of null holds where nothing is, and
/// negative indices count from the end.
fn apply_operation(value: &mut Value, operation: &PatchOperation) -> Result<(), ApiError> {
    if let PatchOperation::Test(test) = operation
        && test.value.is_null()
        && value.pointer(test.path.as_str()).is_none()
    {
        return Ok(());
    }
    let operation = from_the_end(value, operation);
    // Unsafe to interrupt only for the document, which is a copy and dropped on failure.
    json_patch::patch_unsafe(value, std::slice::from_ref(&operation)).map_err(|_| rejected())
}

/// Fields that are null inside of lists go, as kube-apiserver does it; elsewhere null is a directive and stays.
fn drop_nulls(tree: &mut Value, in_list: bool) {
    match tree {
        Value::Object(map) => {
            if in_list {
                map.retain(|_, field| !field.is_null());
            }
            map.values_mut()
                .for_each(|field| drop_nulls(field, in_list));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| drop_nulls(item, true)),
        _ => {}
    }
}

/// A JSON patch that does not apply; clients know this text.
fn rejected() -> ApiError {
    ApiError::unprocessable("the server rejected our request due to an error in our request")
}

fn from_the_end(value: &Value, operation: &PatchOperation) -> PatchOperation {
    let path = operation.path().as_str();
    let Some((parent, index)) = path
        .rsplit_once("/-")
        .and_then(|(parent, digits)| Some((parent, digits.parse::<usize>().ok()?)))
    else {
        return operation.clone();
    };
    let Some(at) = value
        .pointer(parent)
        .and_then(Value::as_array)
        .and_then(|list| list.len().checked_sub(index))
    else {
        return operation.clone();
    };
    let mut rewritten = serde_json::to_value(operation).unwrap_or_default();
    if let Some(map) = rewritten.as_object_mut() {
        map.insert("path".into(), format!("{parent}/{at}").into());
    }
    serde_json::from_value(rewritten).unwrap_or_else(|_| operation.clone())
}

/// Lists of `metadata` that merge instead of replacing, with the key of their items.
const MERGED_LISTS: &[(&str, &str)] = &[
    ("metadata.finalizers", ""),
    ("metadata.ownerReferences", "uid"),
];

fn merge_strategic(target: &mut Value, patch: &Value, path: &str) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if fields.get("$patch").and_then(Value::as_str) == Some("replace") {
        let mut whole = fields.clone();
        whole.remove("$patch");
        *target = Value::Object(whole);
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(map) = target.as_object_mut() else {
        return;
    };
    for (key, change) in fields {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Some(gone)) = (map.get_mut(list), change.as_array())
            {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        // Directives about order and unions have nothing to act on in these kinds.
        if key.starts_with('$') {
            continue;
        }
        let at = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let deletes = change
            .as_object()
            .and_then(|change| change.get("$patch"))
            .and_then(Value::as_str)
            == Some("delete");
        if change.is_null() || deletes {
            map.remove(key);
            continue;
        }
        let merged = MERGED_LISTS.iter().find(|(list, _)| *list == at);
        match (merged, change, map.get_mut(key)) {
            (Some((_, item_key)), Value::Array(changes), Some(Value::Array(items))) => {
                merge_list(items, changes, item_key);
            }
            (_, Value::Object(_), _) => {
                merge_strategic(map.entry(key.clone()).or_insert(Value::Null), change, &at);
            }
            _ => {
                map.insert(key.clone(), change.clone());
            }
        }
    }
}

fn merge_list(items: &mut Vec<Value>, changes: &[Value], key: &str) {
    let same = |a: &Value, b: &Value| {
        if key.is_empty() {
            a == b
        } else {
            a.get(key) == b.get(key)
        }
    };
    for change in changes {
        let deletes = change.get("$patch").and_then(Value::as_str) == Some("delete");
        let found = items.iter().position(|item| same(item, change));
        match (
            found.and_then(|at| items.get_mut(at).map(|item| (at, item))),
            deletes,
        ) {
            (Some((at, _)), true) => {
                items.remove(at);
            }
            (Some((_, item)), false) => json_patch::merge(item, change),
            (None, true) => {}
            (None, false) => items.push(change.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn json(operations: Value, on: Value) -> Result<Value, ApiError> {
        let patch = serde_json::from_value(operations).unwrap();
        Edit::Json(patch).apply(&on)
    }

    #[test]
    fn test_of_null_holds_where_nothing_is() {
        let result = json(
            json!([{"op": "test", "path": "/metadata/finalizers", "value": null}, {"op": "add", "path": "/metadata/finalizers", "value": ["x"]}]),
            json!({"metadata": {}}),
        );
        assert_eq!(result.unwrap(), json!({"metadata": {"finalizers": ["x"]}}));
        let refused = json(
            json!([{"op": "test", "path": "/metadata/finalizers", "value": null}]),
            json!({"metadata": {"finalizers": ["y"]}}),
        );
        assert_eq!(refused.unwrap_err().code, 422);
    }

    #[test]
    fn copies_of_copies_are_bounded() {
        let grow = json!({"op": "copy", "from": "/a", "path": "/a/b"});
        let nested = json(Value::Array(vec![grow; 10_000]), json!({"a": {"x": "y"}}));
        assert_eq!(nested.unwrap_err().code, 422);
        let mut doubling = Vec::new();
        for i in 0..60 {
            doubling.push(json!({"op": "copy", "from": "/a", "path": "/b"}));
            doubling.push(json!({"op": "add", "path": format!("/c{i}"), "value": {}}));
            doubling.push(json!({"op": "copy", "from": "/a", "path": format!("/c{i}/l")}));
            doubling.push(json!({"op": "copy", "from": "/b", "path": format!("/c{i}/r")}));
            doubling.push(json!({"op": "move", "from": format!("/c{i}"), "path": "/a"}));
        }
        let large = json(Value::Array(doubling), json!({"a": "x".repeat(1000)}));
        assert_eq!(large.unwrap_err().code, 422);
        let deep = |levels: usize| {
            let operations = (0..levels).map(|level| {
                json!({"op": "add", "path": format!("/a{}", "/n".repeat(level)), "value": {}})
            });
            json(Value::Array(operations.collect()), json!({}))
        };
        assert!(deep(100).is_ok());
        assert_eq!(deep(1000).unwrap_err().code, 422);
        let once = json(
            json!([{"op": "copy", "from": "/a", "path": "/b"}]),
            json!({"a": {"x": 1}}),
        );
        assert_eq!(once.unwrap(), json!({"a": {"x": 1}, "b": {"x": 1}}));
    }

    #[test]
    fn negative_indices_count_from_the_end() {
        let result = json(
            json!([{"op": "remove", "path": "/a/-1"}]),
            json!({"a": [1, 2, 3]}),
        );
        assert_eq!(result.unwrap(), json!({"a": [1, 2]}));
        let appended = json(
            json!([{"op": "add", "path": "/a/-", "value": 4}]),
            json!({"a": [1]}),
        );
        assert_eq!(appended.unwrap(), json!({"a": [1, 4]}));
    }

    #[test]
    fn strategic_patch_merges_the_lists_of_metadata() {
        let patch = Edit::Strategic(json!({
            "metadata": {
                "$setElementOrder/finalizers": ["a", "c"],
                "finalizers": ["c"],
                "$deleteFromPrimitiveList/finalizers": ["b"],
                "annotations": {"gone": null, "new": "1"}
            },
            "data": {"k": "v"}
        }));
        let on = json!({"metadata": {"finalizers": ["a", "b"], "annotations": {"gone": "x", "stays": "y"}}});
        assert_eq!(
            patch.apply(&on).unwrap(),
            json!({"metadata": {"finalizers": ["a", "c"], "annotations": {"stays": "y", "new": "1"}}, "data": {"k": "v"}})
        );
    }
}
