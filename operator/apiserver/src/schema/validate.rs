//! Structural validation: everything a schema says but CEL rules and list uniqueness. Pure.
//!
//! Order and texts follow what API clients know. A value that an update leaves as it was is not judged again, so that
//! a tightened schema does not lock out old objects.

use std::sync::Arc;

use serde_json::Value;

use super::cel::correlate;
use super::node::{Additional, Node, Type};
use super::path::Path;
use super::{FieldError, Reason, errors};

/// Whole floats below this are exact; larger ones are no integers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The findings at one place. `matches` counts the checks that passed: of several alternatives that all fail, the one
/// with the most is reported.
#[derive(Default)]
struct Findings {
    errors: Vec<FieldError>,
    matches: usize,
}

impl Findings {
    fn add(&mut self, error: FieldError) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn merge(&mut self, other: Findings) {
        other.errors.into_iter().for_each(|e| self.add(e));
        self.matches += other.matches;
    }

    fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Checks `new` against `node`.
pub(super) fn check(node: &Node, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    walk(node, new, old, &Path::Root).errors
}

fn walk(node: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>) -> Findings {
    let mut found = Findings::default();
    if old == Some(value) {
        found.matches = 1;
        return found;
    }
    if value.is_null() {
        if !node.types.is_empty() && !node.nullable {
            found.add(wrong_type(node, "null", path));
        } else {
            found.matches += 1;
        }
        found.merge(check_enum(node, value, path));
        return found;
    }
    if !node.types.is_empty() || node.format.is_some() {
        found.merge(check_type(node, value, path));
        found.matches += 1;
    }
    found.merge(check_branches(node, value, old, path));
    found.matches += 1;
    match value {
        Value::String(text) => {
            found.merge(check_string(node, text, value, path));
            found.matches += 1;
            if let Some(format) = node.format {
                if !format.accepts(text) {
                    let detail = format!(
                        "{path} in body must be of type {}: {}",
                        format.as_str(),
                        errors::quote(text)
                    );
                    found.add(errors::type_invalid(path, value, &detail));
                }
                found.matches += 1;
            }
        }
        Value::Number(number) => {
            found.merge(check_number(node, number, value, path));
            found.matches += 2;
        }
        Value::Array(items) => {
            found.merge(check_items(node, items, old, path));
            found.matches += 2;
        }
        _ => {}
    }
    found.merge(check_enum(node, value, path));
    found.matches += 1;
    if let Value::Object(map) = value {
        found.merge(check_fields(node, map, old, path));
        found.matches += 1;
    }
    found.matches += 1;
    found
}

/// The type a value has, as messages call it.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong_type(node: &Node, actual: &str, path: &Path<'_>) -> FieldError {
    let wanted: Vec<&str> = node.types.iter().map(|t| t.as_str()).collect();
    let detail = format!(
        "{path} in body must be of type {}: {}",
        wanted.join(","),
        errors::quote(actual)
    );
    errors::type_invalid(path, &Value::from(actual), &detail)
}

fn check_type(node: &Node, value: &Value, path: &Path<'_>) -> Findings {
    let mut found = Findings::default();
    let fits = node.types.is_empty()
        || node.types.iter().any(|t| match (t, value) {
            (Type::Object, Value::Object(_))
            | (Type::Array, Value::Array(_))
            | (Type::String, Value::String(_))
            | (Type::Boolean, Value::Bool(_))
            | (Type::Number, Value::Number(_)) => true,
            (Type::Integer, Value::Number(n)) => {
                n.is_i64()
                    || n.as_f64()
                        .is_some_and(|f| f.fract() == 0.0 && f.abs() < EXACT)
            }
            _ => false,
        });
    if fits {
        found.matches += 1;
        return found;
    }
    match node.format {
        // A value that is neither string nor list is told the format, and by its own format.
        Some(format) if !matches!(value, Value::String(_) | Value::Array(_)) => {
            let actual = match type_of(value) {
                "integer" => "int64",
                "number" => "float64",
                _ => "",
            };
            let detail = format!(
                "{path} in body must be of type {}: {}",
                format.as_str(),
                errors::quote(actual)
            );
            found.add(errors::type_invalid(path, &Value::from(actual), &detail));
        }
        _ => found.add(wrong_type(node, type_of(value), path)),
    }
    found
}

fn check_enum(node: &Node, value: &Value, path: &Path<'_>) -> Findings {
    let mut found = Findings::default();
    let equal = |allowed: &Value| match (allowed.as_f64(), value.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => allowed == value,
    };
    if !node.one_of_values.is_empty() && !node.one_of_values.iter().any(equal) {
        found.add(errors::not_supported(path, value, &node.one_of_values));
    }
    found
}

fn check_string(node: &Node, text: &str, value: &Value, path: &Path<'_>) -> Findings {
    let mut found = Findings::default();
    let length = text.chars().count() as u64;
    if let Some(limit) = node.max_length.filter(|max| length > *max) {
        found.add(errors::too_long(path, limit));
    } else if let Some(limit) = node.min_length.filter(|min| length < *min) {
        let detail = format!("{path} in body should be at least {limit} chars long");
        found.add(errors::invalid(path, value, &detail));
    } else if let Some((pattern, _)) = node
        .pattern
        .as_deref()
        .filter(|(_, regex)| !regex.is_match(text))
    {
        found.add(errors::invalid(
            path,
            value,
            &format!("{path} in body should match '{pattern}'"),
        ));
    }
    found
}

fn check_number(
    node: &Node,
    number: &serde_json::Number,
    value: &Value,
    path: &Path<'_>,
) -> Findings {
    let mut found = Findings::default();
    // Whole numbers are compared as such: a float would round the large ones.
    let compare = |limit: f64| match number.as_i64() {
        Some(i) if limit.fract() == 0.0 && limit.abs() < 9e18 => i.cmp(&(limit as i64)),
        Some(i) => (i as f64).total_cmp(&limit),
        None => number.as_f64().unwrap_or(f64::NAN).total_cmp(&limit),
    };
    if let Some(factor) = node.multiple_of {
        let quotient = number.as_f64().unwrap_or(f64::NAN) / factor;
        let whole = match number.as_i64() {
            Some(i) if factor.fract() == 0.0 && factor >= 1.0 => i % (factor as i64) == 0,
            _ => quotient.fract().abs() < 1e-9,
        };
        if !whole {
            let detail = format!(
                "{path} in body should be a multiple of {}",
                errors::float(factor)
            );
            found.add(errors::invalid(path, value, &detail));
        }
    }
    if let Some(bound) = node.minimum {
        let order = compare(bound.limit);
        if order.is_lt() || (bound.exclusive && order.is_eq()) {
            let words = if bound.exclusive {
                "greater than"
            } else {
                "greater than or equal to"
            };
            let detail = format!(
                "{path} in body should be {words} {}",
                errors::float(bound.limit)
            );
            found.add(errors::invalid(path, value, &detail));
        }
    }
    if let Some(bound) = node.maximum {
        let order = compare(bound.limit);
        if order.is_gt() || (bound.exclusive && order.is_eq()) {
            let words = if bound.exclusive {
                "less than"
            } else {
                "less than or equal to"
            };
            let detail = format!(
                "{path} in body should be {words} {}",
                errors::float(bound.limit)
            );
            found.add(errors::invalid(path, value, &detail));
        }
    }
    found
}

fn check_items(node: &Node, items: &[Value], old: Option<&Value>, path: &Path<'_>) -> Findings {
    let mut found = Findings::default();
    let old_items = old.and_then(Value::as_array);
    if let Some(schema) = &node.items {
        for (i, item) in items.iter().enumerate() {
            let old_item = old_items.and_then(|o| correlate(&node.list_type, o, item));
            found.merge(walk(schema, item, old_item, &path.index(i)));
        }
    }
    let count = items.len() as u64;
    if let Some(min) = node.min_items.filter(|min| count < *min) {
        let detail = format!("{path} in body should have at least {min} items");
        found.add(errors::invalid(path, &Value::from(count), &detail));
    }
    if let Some(max) = node.max_items.filter(|max| count > *max) {
        found.add(errors::too_many(path, items.len(), max));
    }
    let mut seen = std::collections::HashSet::with_capacity(items.len());
    if node.unique_items && !items.iter().all(|item| seen.insert(item)) {
        let detail = format!("{path} in body shouldn't contain duplicates");
        found.add(errors::invalid(path, &Value::from(""), &detail));
    }
    found
}

fn check_fields(
    node: &Node,
    map: &serde_json::Map<String, Value>,
    old: Option<&Value>,
    path: &Path<'_>,
) -> Findings {
    let mut found = Findings::default();
    let old_map = old.and_then(Value::as_object).filter(|_| !node.atomic_map);
    let count = map.len() as u64;
    if let Some(min) = node.min_properties.filter(|min| count < *min) {
        let detail = format!("{path} in body should have at least {min} properties");
        found.add(errors::invalid(path, &Value::from(count), &detail));
    }
    if let Some(max) = node.max_properties.filter(|max| count > *max) {
        found.add(errors::too_many(path, map.len(), max));
    }
    for (key, field) in map {
        let schema = match (node.properties.get(key), &node.additional) {
            (Some(schema), _) => schema,
            (None, Additional::Schema(schema)) => schema,
            (None, Additional::Absent | Additional::Any) => continue,
        };
        found.merge(walk(
            schema,
            field,
            old_map.and_then(|m| m.get(key)),
            &path.field(key),
        ));
    }
    for key in node.required.iter().filter(|key| !map.contains_key(*key)) {
        found.add(errors::required(&path.field(key)));
    }
    found
}

/// `allOf`, `anyOf`, `oneOf`, `not`.
fn check_branches(node: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>) -> Findings {
    let mut found = Findings::default();
    // These failures belong to no field of their own; the place is quoted in the text.
    let note = |detail: String| FieldError {
        field: "<nil>".to_owned(),
        reason: Reason::FieldValueInvalid,
        message: format!("Invalid value: \"\": {detail}"),
    };
    let place = errors::quote(&path.to_string());
    let run = |branches: &[Arc<Node>]| -> Vec<Findings> {
        branches.iter().map(|b| walk(b, value, old, path)).collect()
    };
    if !node.any_of.is_empty() {
        let mut outcomes = run(&node.any_of);
        if let Some(i) = outcomes.iter().position(Findings::is_valid) {
            found.matches += outcomes.swap_remove(i).matches;
        } else {
            found.add(note(format!(
                "{place} must validate at least one schema (anyOf)"
            )));
            best(outcomes).into_iter().for_each(|b| found.merge(b));
        }
    }
    if !node.one_of.is_empty() {
        let mut outcomes = run(&node.one_of);
        let valid: Vec<usize> = (0..outcomes.len())
            .filter(|i| outcomes[*i].is_valid())
            .collect();
        match valid[..] {
            [i] => found.matches += outcomes.swap_remove(i).matches,
            [] => {
                found.add(note(format!(
                    "{place} must validate one and only one schema (oneOf). Found none valid"
                )));
                best(outcomes).into_iter().for_each(|b| found.merge(b));
            }
            _ => {
                let count = valid.len();
                let detail = format!(
                    "{place} must validate one and only one schema (oneOf). Found {count} valid alternatives"
                );
                found.add(note(detail));
            }
        }
    }
    if !node.all_of.is_empty() {
        let outcomes = run(&node.all_of);
        let valid = outcomes.iter().filter(|o| o.is_valid()).count();
        let all = outcomes.len();
        outcomes.into_iter().for_each(|o| found.merge(o));
        if valid != all {
            let none = if valid == 0 { ". None validated" } else { "" };
            found.add(note(format!(
                "{place} must validate all the schemas (allOf){none}"
            )));
        }
    }
    if node
        .not
        .as_ref()
        .is_some_and(|not| walk(not, value, old, path).is_valid())
    {
        found.add(note(format!("{place} must not validate the schema (not)")));
    }
    found.matches += 1;
    found
}

/// The first of the outcomes with the most matches.
fn best(outcomes: Vec<Findings>) -> Option<Findings> {
    outcomes.into_iter().reduce(|best, next| {
        if next.matches > best.matches {
            next
        } else {
            best
        }
    })
}
