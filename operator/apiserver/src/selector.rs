//! Label and field selectors. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::object::Object;
use crate::resource::{Flavor, Resource};
use crate::status::ApiError;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    Absent(String),
}

/// A label selector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    requirements: Vec<Requirement>,
}

impl Labels {
    /// Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let refuse = |what: &str| {
            ApiError::bad_request(format!(
                "unable to parse requirement: {what} in label selector {text:?}"
            ))
        };
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if part.is_empty() {
                if text.trim().is_empty() {
                    continue;
                }
                return Err(refuse("found an empty requirement"));
            }
            let requirement = if let Some(key) = part.strip_prefix('!') {
                Requirement::Absent(key.trim().to_owned())
            } else if let Some((key, value)) = part.split_once("!=") {
                Requirement::NotIn(trimmed(key), one(value))
            } else if let Some((key, value)) = part.split_once("==") {
                Requirement::In(trimmed(key), one(value))
            } else if let Some((key, value)) = part.split_once('=') {
                Requirement::In(trimmed(key), one(value))
            } else if let Some((head, rest)) = part.split_once('(') {
                let values = rest
                    .strip_suffix(')')
                    .ok_or_else(|| refuse("expected a closing parenthesis"))?
                    .split(',')
                    .map(|value| value.trim().to_owned())
                    .collect();
                match head.split_whitespace().collect::<Vec<_>>().as_slice() {
                    [key, "in"] => Requirement::In((*key).to_owned(), values),
                    [key, "notin"] => Requirement::NotIn((*key).to_owned(), values),
                    _ => return Err(refuse("expected 'in' or 'notin'")),
                }
            } else {
                Requirement::Exists(part.to_owned())
            };
            let (key, values) = match &requirement {
                Requirement::In(key, values) | Requirement::NotIn(key, values) => {
                    (key, values.clone())
                }
                Requirement::Exists(key) | Requirement::Absent(key) => (key, BTreeSet::new()),
            };
            if key.is_empty() || !key.chars().all(is_label_char) {
                return Err(refuse(&format!("{key:?} is not a label key")));
            }
            if let Some(value) = values
                .iter()
                .find(|value| value.len() > 63 || !value.chars().all(is_label_char))
            {
                return Err(refuse(&format!("{value:?} is not a label value")));
            }
            requirements.push(requirement);
        }
        Ok(Self { requirements })
    }

    /// Whether every object matches.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether the object's labels match.
    pub fn matches(&self, object: &Object) -> bool {
        let label = |key: &String| object.labels.get(key);
        self.requirements
            .iter()
            .all(|requirement| match requirement {
                Requirement::In(key, values) => {
                    label(key).is_some_and(|value| values.contains(value))
                }
                Requirement::NotIn(key, values) => {
                    label(key).is_none_or(|value| !values.contains(value))
                }
                Requirement::Exists(key) => label(key).is_some(),
                Requirement::Absent(key) => label(key).is_none(),
            })
    }
}

fn trimmed(key: &str) -> String {
    key.trim().to_owned()
}

fn one(value: &str) -> BTreeSet<String> {
    BTreeSet::from([value.trim().to_owned()])
}

fn is_label_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A field selector of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields {
    /// Wanted `metadata.name`.
    pub name: Option<String>,
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq)]
struct Term {
    field: Field,
    value: String,
    equal: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Field {
    Name,
    Namespace,
    /// A JSON pointer, for built-in kinds.
    Pointer(String),
    /// Index into the resource's selectable fields.
    Selectable(crate::jsonpath::JsonPath),
}

const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject.kind", "/involvedObject/kind"),
    ("involvedObject.namespace", "/involvedObject/namespace"),
    ("involvedObject.name", "/involvedObject/name"),
    ("involvedObject.uid", "/involvedObject/uid"),
    ("involvedObject.apiVersion", "/involvedObject/apiVersion"),
    (
        "involvedObject.resourceVersion",
        "/involvedObject/resourceVersion",
    ),
    ("involvedObject.fieldPath", "/involvedObject/fieldPath"),
    ("regarding.kind", "/involvedObject/kind"),
    ("regarding.namespace", "/involvedObject/namespace"),
    ("regarding.name", "/involvedObject/name"),
    ("regarding.uid", "/involvedObject/uid"),
    ("regarding.apiVersion", "/involvedObject/apiVersion"),
    (
        "regarding.resourceVersion",
        "/involvedObject/resourceVersion",
    ),
    ("regarding.fieldPath", "/involvedObject/fieldPath"),
    ("reason", "/reason"),
    ("reportingComponent", "/reportingComponent"),
    ("reportingController", "/reportingComponent"),
    ("source", "/source/component"),
    ("type", "/type"),
];

impl Fields {
    /// Parses `metadata.name=a,spec.x!=b` against the fields that the kind offers.
    pub fn parse(text: &str, resource: &Resource) -> Result<Self, ApiError> {
        let mut fields = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value, equal) = if let Some((key, value)) = part.split_once("!=") {
                (key, value, false)
            } else if let Some((key, value)) = part.split_once("==") {
                (key, value, true)
            } else if let Some((key, value)) = part.split_once('=') {
                (key, value, true)
            } else {
                return Err(ApiError::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                )));
            };
            let value = &unescaped(value)?;
            let key = key.trim();
            let field = match key {
                "metadata.name" => Field::Name,
                "metadata.namespace" if resource.namespaced => Field::Namespace,
                _ => field_of(key, resource).ok_or_else(|| {
                    ApiError::bad_request(format!("field label not supported: {key}"))
                })?,
            };
            if field == Field::Name && equal {
                fields.name = Some(value.to_owned());
            }
            fields.terms.push(Term {
                field,
                value: value.to_owned(),
                equal,
            });
        }
        Ok(fields)
    }

    /// Whether every object matches.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether the object matches.
    pub fn matches(&self, object: &Object) -> bool {
        // Parsed at most once, and only when a name does not decide.
        let mut parsed: Option<Value> = None;
        self.terms.iter().all(|term| {
            let found = match &term.field {
                Field::Name => object.name.name == term.value,
                Field::Namespace => object.name.namespace == term.value,
                Field::Pointer(pointer) => {
                    let value = parsed.get_or_insert_with(|| object.value());
                    text(value.pointer(pointer)) == term.value
                }
                Field::Selectable(path) => {
                    let value = parsed.get_or_insert_with(|| object.value());
                    text(path.find(value).first().copied()) == term.value
                }
            };
            found == term.equal
        })
    }
}

/// A value of a field selector: a backslash takes the meaning off `,`, `=` and itself.
fn unescaped(value: &str) -> Result<String, ApiError> {
    let refuse = |c: char| {
        ApiError::bad_request(format!(
            "invalid field selector: unescaped character in value: {}",
            u32::from(c)
        ))
    };
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => text.push(c),
                Some(c) => return Err(refuse(c)),
                None => return Err(refuse('\\')),
            },
            '=' | ',' => return Err(refuse(c)),
            c => text.push(c),
        }
    }
    Ok(text)
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn field_of(key: &str, resource: &Resource) -> Option<Field> {
    let pointers: &[(&str, &str)] = match resource.flavor {
        Flavor::CoreEvent | Flavor::RegardingEvent => EVENT_FIELDS,
        Flavor::Secret => &[("type", "/type")],
        Flavor::Namespace => &[("status.phase", "/status/phase")],
        Flavor::ConfigMap | Flavor::Custom | Flavor::Definition => &[],
    };
    if let Some((_, pointer)) = pointers.iter().find(|(name, _)| *name == key) {
        return Some(Field::Pointer((*pointer).to_owned()));
    }
    resource
        .selectable
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, path)| Field::Selectable(path.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(labels: Value) -> Object {
        Object::new(json!({"metadata": {"name": "a", "labels": labels}}), 1).unwrap()
    }

    #[test]
    fn matches_like_kubernetes() {
        let prod = object(json!({"env": "prod", "tier": "db"}));
        let bare = object(json!({}));
        for (selector, on_prod, on_bare) in [
            ("", true, true),
            ("env=prod", true, false),
            ("env == prod", true, false),
            ("env!=prod", false, true),
            ("env in (dev, prod)", true, false),
            ("env notin (dev,test)", true, true),
            ("env notin (prod)", false, true),
            ("env", true, false),
            ("!env", false, true),
            ("env,tier=db", true, false),
            ("env in (prod),!tier", false, false),
            ("env=", false, false),
        ] {
            let labels = Labels::parse(selector).unwrap();
            assert_eq!(labels.matches(&prod), on_prod, "{selector} on prod");
            assert_eq!(labels.matches(&bare), on_bare, "{selector} on bare");
        }
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for selector in ["a in (b", "a within (b)", "a b", "=x", "a,,b", "a=b c"] {
            assert!(Labels::parse(selector).is_err(), "{selector}");
        }
    }
}
