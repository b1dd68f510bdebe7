//! Validation of a whole object, part by part and in the order in which kube-apiserver reports. Pure.

use serde_json::Value;

use crate::meta;
use crate::resource::{Flavor, Resource, Scale};
use crate::schema::rules_not_checked;
use crate::status::{ApiError, Cause};

/// Everything that is wrong with an object in its kind's own view: metadata, schema, scale, rules.
pub fn check(resource: &Resource, view: &Value, old_view: Option<&Value>) -> Vec<Cause> {
    let mut causes = meta::validate(resource, view);
    if let Some(old) = old_view {
        causes.extend(meta::validate_change(old, view));
    }
    // Built-in kinds have been decoded by type, and have rules of their own.
    let Some(schema) = resource
        .schema()
        .filter(|_| resource.flavor == Flavor::Custom)
    else {
        return causes;
    };
    causes.extend(
        schema
            .validate_shape(view, old_view)
            .into_iter()
            .map(Cause::from),
    );
    if let Some(scale) = &resource.scale {
        check_scale(scale, view, &mut causes);
    }
    causes.extend(
        schema
            .validate_lists(view, old_view)
            .into_iter()
            .map(Cause::from),
    );
    if causes.iter().any(Cause::blocks_rules) {
        causes.push(rules_not_checked().into());
    } else {
        causes.extend(
            schema
                .validate_rules(view, old_view)
                .into_iter()
                .map(Cause::from),
        );
    }
    causes
}

/// The fields that a scale subresource stands for must be what it needs.
fn check_scale(scale: &Scale, view: &Value, causes: &mut Vec<Cause>) {
    for path in [&scale.spec, &scale.status] {
        let place = format!(".{}", path.join("."));
        let mut refuse = |value: i64, why: &str| causes.push(meta::invalid(&place, value, why));
        let mut value = Some(view);
        for (depth, name) in path.iter().enumerate() {
            value = value.and_then(|value| value.get(name));
            let last = depth + 1 == path.len();
            let fits = match value {
                None => break,
                Some(value) if last => value.is_i64(),
                Some(value) => value.is_object(),
            };
            if let (false, Some(value)) = (fits, value) {
                let (shown, kind) = in_go(value);
                let expected = if last {
                    "int64"
                } else {
                    "map[string]interface{}"
                };
                refuse(
                    0,
                    &format!(
                        "{place} accessor error: {shown} is of the type {kind}, expected {expected}"
                    ),
                );
            }
        }
        match value.and_then(Value::as_i64) {
            Some(replicas) if replicas < 0 => refuse(replicas, "should be a non-negative integer"),
            Some(replicas) if replicas > i64::from(i32::MAX) => {
                refuse(
                    replicas,
                    &format!("should be less than or equal to {}", i32::MAX),
                );
            }
            _ => {}
        }
    }
}

/// A value and its type, as Go prints them.
fn in_go(value: &Value) -> (String, &'static str) {
    let kind = match value {
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        Value::Null => "<nil>",
    };
    (printed(value), kind)
}

fn printed(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(" ");
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(printed).collect())),
        Value::Object(map) => {
            let fields = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", printed(value)));
            format!("map[{}]", joined(fields.collect()))
        }
        other => other.to_string(),
    }
}

/// What a typed decoder would refuse in a built-in kind.
pub fn decode_builtin(resource: &Resource, value: &Value) -> Result<(), ApiError> {
    let problem = resource
        .schema()
        .filter(|_| resource.flavor != Flavor::Custom)
        .and_then(|schema| schema.decode_error(&resource.kind, value));
    match problem {
        Some(why) => Err(meta::cannot_handle(resource, &why)),
        None => Ok(()),
    }
}
