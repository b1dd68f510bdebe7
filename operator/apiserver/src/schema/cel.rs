//! `x-kubernetes-validations`: CEL rules at every level of an object. Pure.
//!
//! The walk is ours, because paths, list-map correlation and ratcheting must be Kubernetes'; one node's rules are
//! evaluated by kube-cel, on a schema whose children keep their types (CEL needs them) and lose their rules and defaults.

use std::collections::BTreeMap;

use kube_cel::cel::ExecutionError;
use kube_cel::{CompiledSchema, ErrorKind, ValidationError, compile_schema, validate_compiled};
use serde_json::Value;

use super::node::{Additional, ListType, Node};
use super::path::Path;
use super::{FieldError, Reason, SchemaError, errors};

const RULES: &str = "x-kubernetes-validations";

/// The rules of one node.
#[derive(Debug)]
pub(super) struct Rules {
    compiled: CompiledSchema,
    /// Rule text to what its failure needs.
    facts: BTreeMap<String, Facts>,
    /// The node's type, which stands for the value in messages.
    type_name: String,
}

#[derive(Debug, Clone)]
struct Facts {
    message: Option<String>,
    uses_old_self: bool,
}

impl Rules {
    pub(super) fn compile(schema: &Value, path: &str) -> Result<Option<Rules>, SchemaError> {
        let problem = |problem: String| SchemaError::Compile {
            path: path.to_owned(),
            problem,
        };
        for key in ["allOf", "anyOf", "oneOf", "not"] {
            if schema
                .get(key)
                .is_some_and(|branches| branches.to_string().contains(RULES))
            {
                return Err(problem(format!("{RULES} inside {key} is not supported")));
            }
        }
        let has_rules = |s: &Value| {
            s.get(RULES)
                .and_then(Value::as_array)
                .is_some_and(|r| !r.is_empty())
        };
        if !has_rules(schema) {
            return Ok(None);
        }
        let compiled = compile_schema(&types_only(schema, true));
        let mut facts = BTreeMap::new();
        for outcome in &compiled.validations {
            match outcome {
                Ok(rule) => {
                    if rule.rule.optional_old_self == Some(true) {
                        return Err(problem(format!(
                            "optionalOldSelf is not supported: {}",
                            rule.rule.rule
                        )));
                    }
                    let message = rule
                        .rule
                        .message
                        .as_deref()
                        .map(str::trim)
                        .filter(|m| !m.is_empty());
                    facts.insert(
                        rule.rule.rule.clone(),
                        Facts {
                            message: message.map(str::to_owned),
                            uses_old_self: rule.is_transition_rule,
                        },
                    );
                }
                Err(e) => return Err(problem(e.to_string())),
            }
        }
        let type_name = schema
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        Ok(Some(Rules {
            compiled,
            facts,
            type_name,
        }))
    }

    fn evaluate(
        &self,
        value: &Value,
        old: Option<&Value>,
        unchanged: bool,
        path: &Path<'_>,
        out: &mut Vec<FieldError>,
    ) {
        let Err(failures) = validate_compiled(&self.compiled, value, old) else {
            return;
        };
        for failure in failures {
            let facts = self.facts.get(&failure.rule);
            if unchanged
                && facts.is_some_and(|f| !f.uses_old_self)
                && failure.kind == ErrorKind::ValidationFailure
            {
                continue;
            }
            out.push(self.field_error(&failure, facts, path));
        }
    }

    fn field_error(
        &self,
        failure: &ValidationError,
        facts: Option<&Facts>,
        path: &Path<'_>,
    ) -> FieldError {
        let named = facts
            .and_then(|f| f.message.as_deref())
            .unwrap_or(failure.rule.trim());
        if failure.kind != ErrorKind::ValidationFailure {
            let detail = format!("{} evaluating rule: {named}", evaluation_problem(failure));
            return errors::invalid(path, &Value::from(self.type_name.as_str()), &detail);
        }
        let below = failure.field_path.trim_start_matches('.');
        let field = match (path.is_root(), below.is_empty()) {
            (_, true) => path.to_string(),
            (true, false) => below.to_owned(),
            (false, false) => format!("{path}.{below}"),
        };
        let message = failure.message.trim();
        let message = if message.is_empty() || message.contains('\n') {
            named
        } else {
            message
        };
        let type_name = Value::from(self.type_name.as_str());
        match failure.reason.as_deref() {
            Some("FieldValueForbidden") => FieldError {
                field,
                reason: Reason::FieldValueForbidden,
                message: format!("Forbidden: {message}"),
            },
            Some("FieldValueRequired") => FieldError {
                field,
                reason: Reason::FieldValueRequired,
                message: format!("Required value: {message}"),
            },
            Some("FieldValueDuplicate") => FieldError {
                field,
                reason: Reason::FieldValueDuplicate,
                message: format!("Duplicate value: {}", errors::bad_value(&type_name)),
            },
            _ => FieldError {
                field,
                reason: Reason::FieldValueInvalid,
                message: format!(
                    "Invalid value: {}: {message}",
                    errors::bad_value(&type_name)
                ),
            },
        }
    }
}

fn evaluation_problem(failure: &ValidationError) -> String {
    use std::error::Error as _;
    match failure
        .source()
        .and_then(|s| s.downcast_ref::<ExecutionError>())
    {
        Some(ExecutionError::NoSuchKey(key)) => format!("no such key: {key}"),
        Some(ExecutionError::NoSuchOverload) => "no such overload".to_owned(),
        Some(ExecutionError::IndexOutOfBounds(_)) => "index out of bounds".to_owned(),
        Some(ExecutionError::DivisionByZero(_)) => "division by zero".to_owned(),
        Some(other) => other.to_string(),
        None => failure.message.clone(),
    }
}

/// The schema without rules and defaults below the top: what CEL needs to know of a value's types.
fn types_only(schema: &Value, top: bool) -> Value {
    let Some(map) = schema.as_object() else {
        return schema.clone();
    };
    let mut out = serde_json::Map::new();
    for (key, value) in map {
        match key.as_str() {
            "default" | "description" | "enum" | "pattern" | "example" => {}
            RULES if !top => {}
            "allOf" | "anyOf" | "oneOf" | "not" => {}
            "properties" => {
                let fields = value.as_object().into_iter().flatten();
                let fields: serde_json::Map<String, Value> = fields
                    .map(|(name, child)| (name.clone(), types_only(child, false)))
                    .collect();
                out.insert(key.clone(), Value::Object(fields));
            }
            "items" | "additionalProperties" => {
                out.insert(key.clone(), types_only(value, false));
            }
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(out)
}

/// The old counterpart of a value.
#[derive(Clone, Copy)]
struct Old<'a> {
    /// The old value at this very place.
    value: Option<&'a Value>,
    /// The nearest ancestor with an old value is unchanged, so this place is too.
    unchanged: bool,
}

/// Runs every rule below `node`.
pub(super) fn check(node: &Node, new: &Value, old: Option<&Value>, out: &mut Vec<FieldError>) {
    walk(
        node,
        new,
        Old {
            value: old,
            unchanged: old == Some(new),
        },
        &Path::Root,
        out,
    );
}

fn walk(node: &Node, value: &Value, old: Old<'_>, path: &Path<'_>, out: &mut Vec<FieldError>) {
    if value.is_null() {
        return;
    }
    if let Some(rules) = &node.rules {
        let old_value = old.value.filter(|v| !v.is_null());
        rules.evaluate(value, old_value, old.unchanged, path, out);
    }
    // An item without an old counterpart is as unchanged as what contains it.
    let below =
        |counterpart: Option<&'_ Value>, child: &Value| old.unchanged || counterpart == Some(child);
    match value {
        Value::Object(map) => {
            let old_map = old
                .value
                .and_then(Value::as_object)
                .filter(|_| !node.atomic_map);
            for (key, child) in map {
                let old_child = old_map.and_then(|m| m.get(key));
                let old = Old {
                    value: old_child,
                    unchanged: below(old_child, child),
                };
                if let Some(schema) = node.properties.get(key) {
                    walk(schema, child, old, &path.field(key), out);
                } else if let Additional::Schema(schema) = &node.additional {
                    walk(schema, child, old, &path.key(key), out);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = &node.items else { return };
            let old_items = old.value.and_then(Value::as_array);
            for (i, child) in items.iter().enumerate() {
                let old_child = old_items.and_then(|o| correlate(&node.list_type, o, child));
                let old = Old {
                    value: old_child,
                    unchanged: below(old_child, child),
                };
                walk(schema, child, old, &path.index(i), out);
            }
        }
        _ => {}
    }
}

/// The item of the old list that is "the same" one: only list maps have such a thing.
pub(super) fn correlate<'a>(
    list_type: &ListType,
    old: &'a [Value],
    item: &Value,
) -> Option<&'a Value> {
    let ListType::Map(keys) = list_type else {
        return None;
    };
    old.iter()
        .find(|o| keys.iter().all(|key| o.get(key) == item.get(key)))
}
