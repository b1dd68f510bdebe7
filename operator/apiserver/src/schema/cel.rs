//! `x-kubernetes-validations`: CEL rules at every level of an object. Pure.
//!
//! The walk is ours, because paths, list-map correlation and ratcheting must be Kubernetes'; one node's rules are
//! evaluated by kube-cel, on a schema that says of the children only what makes a difference to CEL: which strings are times,
//! durations or bytes, which objects are maps or resources.

use std::collections::BTreeMap;

use kube_cel::cel::ExecutionError;
use kube_cel::{CompiledSchema, ErrorKind, ValidationError, compile_schema, validate_compiled};
use serde_json::{Map, Value};

use super::format::Format;
use super::node::{Additional, INT_OR_STRING, ListType, Node};
use super::path::Path;
use super::{FieldError, Reason, SchemaError, errors};

pub(super) const RULES: &str = "x-kubernetes-validations";

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
    /// Compiles the rules of a node, `None` if there are none. Its children are compiled already.
    pub(super) fn compile(
        rules: Value,
        node: &Node,
        path: &str,
    ) -> Result<Option<Rules>, SchemaError> {
        let problem = |problem: String| SchemaError::Compile {
            path: path.to_owned(),
            problem,
        };
        if rules.as_array().is_none_or(Vec::is_empty) {
            return Ok(None);
        }
        let mut schema = shape(node).unwrap_or_default();
        schema.insert(RULES.to_owned(), rules);
        let compiled = compile_schema(&Value::Object(schema));
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
        let type_name = match node.types[..] {
            [one] => one.as_str().to_owned(),
            _ => String::new(),
        };
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

/// What a node says that makes a difference to CEL; `None` if it is nothing.
fn shape(node: &Node) -> Option<Map<String, Value>> {
    let mut shape = Map::new();
    if let Some(Format::DateTime | Format::Duration | Format::Byte) = node.format
        && node.types != INT_OR_STRING
    {
        let word = node.format.map(Format::as_str);
        shape.insert("format".to_owned(), word.into());
    }
    let is_map = match &node.additional {
        Additional::Absent => false,
        Additional::Any => {
            shape.insert("additionalProperties".to_owned(), true.into());
            true
        }
        Additional::Schema(node) => {
            let below = self::shape(node).unwrap_or_default();
            shape.insert("additionalProperties".to_owned(), below.into());
            true
        }
    };
    let properties: Map<String, Value> = node
        .properties
        .iter()
        .filter_map(|(name, node)| {
            // A map takes what is not here for one of its entries.
            let below = self::shape(node).or_else(|| is_map.then(Map::new))?;
            Some((name.clone(), below.into()))
        })
        .collect();
    if !properties.is_empty() {
        shape.insert("properties".to_owned(), properties.into());
    }
    if let Some(below) = node.items.as_deref().and_then(self::shape) {
        shape.insert("items".to_owned(), below.into());
    }
    if node.embedded_resource {
        shape.insert("x-kubernetes-embedded-resource".to_owned(), true.into());
    }
    (!shape.is_empty()).then_some(shape)
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
        .filter(|o| o.is_object() && item.is_object())
        .find(|o| keys.iter().all(|key| o.get(key) == item.get(key)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Schema;

    #[test]
    fn rules_see_the_types_of_fields_far_below() {
        let rules = [
            "self.deep.when < timestamp('2024-01-01T00:00:00Z')",
            "self.deep.spans[0] > duration('1m')",
            "size(self.deep.secret) == 2",
            "self.deep.labels['a-b'] == 'x' && self.deep.anything['c.d'] == 1",
            "self.deep.port == 'http' && self.deep.a__dash__b == 1",
            "self.deep.inner.metadata.size() == 0",
        ];
        let rules: Vec<Value> = rules.iter().map(|rule| json!({"rule": rule})).collect();
        let schema = json!({"type": "object", "x-kubernetes-validations": rules, "properties": {
        "deep": {"type": "object", "properties": {
            "when": {"type": "string", "format": "date-time"},
            "spans": {"type": "array", "items": {"type": "string", "format": "duration"}},
            "secret": {"type": "string", "format": "byte"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "anything": {"type": "object", "additionalProperties": true},
            "port": {"x-kubernetes-int-or-string": true, "format": "byte"},
            "a-b": {"type": "integer"},
            "inner": {"type": "object", "x-kubernetes-embedded-resource": true,
                "x-kubernetes-preserve-unknown-fields": true}
        }}}});
        let schema = Schema::compile(&schema.to_string()).expect("schema");
        let good = json!({"deep": {"when": "2023-05-05T00:00:00Z", "spans": ["2m"], "secret": "aGk=",
            "labels": {"a-b": "x"}, "anything": {"c.d": 1}, "port": "http", "a-b": 1, "inner": {}}});
        assert_eq!(schema.validate_rules(&good, None), Vec::new());
        let bad = json!({"deep": {"when": "2025-05-05T00:00:00Z", "spans": ["2s"], "secret": "aGkh",
            "labels": {"a-b": "y"}, "anything": {"c.d": 1}, "port": "x", "a-b": 1, "inner": {"metadata": {"name": "n"}}}});
        let failed = schema.validate_rules(&bad, None);
        assert_eq!(failed.len(), rules.len(), "{failed:?}");
        assert!(
            failed.iter().all(|e| e.message.contains("failed rule: ")),
            "{failed:?}"
        );
    }
}
