//! The compiled form of one schema node. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use super::cel::Rules;
use super::format::Format;

/// The JSON types a schema can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Type::Object => "object",
            Type::Array => "array",
            Type::String => "string",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Type> {
        [
            Type::Object,
            Type::Array,
            Type::String,
            Type::Integer,
            Type::Number,
            Type::Boolean,
        ]
        .into_iter()
        .find(|t| t.as_str() == word)
    }
}

/// What `x-kubernetes-int-or-string` allows.
pub(super) const INT_OR_STRING: [Type; 2] = [Type::Integer, Type::String];

/// What `x-kubernetes-list-type` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListType {
    Atomic,
    Set,
    Map(Vec<String>),
}

/// What `additionalProperties` says.
#[derive(Debug)]
pub(super) enum Additional {
    /// Not given: undeclared fields are pruned, and allowed while they are there.
    Absent,
    /// `true`: anything.
    Any,
    /// A schema for every further key.
    Schema(Arc<Node>),
}

/// A bound of a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) limit: f64,
    pub(super) exclusive: bool,
}

/// One schema node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) types: Vec<Type>,
    pub(super) nullable: bool,
    pub(super) format: Option<Format>,
    pub(super) default: Option<Value>,
    pub(super) one_of_values: Vec<Value>,
    pub(super) minimum: Option<Bound>,
    pub(super) maximum: Option<Bound>,
    pub(super) multiple_of: Option<f64>,
    pub(super) min_length: Option<u64>,
    pub(super) max_length: Option<u64>,
    pub(super) pattern: Option<Arc<(String, Regex)>>,
    pub(super) items: Option<Arc<Node>>,
    pub(super) list_type: ListType,
    pub(super) atomic_map: bool,
    pub(super) unique_items: bool,
    pub(super) min_items: Option<u64>,
    pub(super) max_items: Option<u64>,
    pub(super) properties: BTreeMap<String, Arc<Node>>,
    pub(super) additional: Additional,
    pub(super) min_properties: Option<u64>,
    pub(super) max_properties: Option<u64>,
    pub(super) required: Vec<String>,
    pub(super) preserve_unknown: bool,
    pub(super) embedded_resource: bool,
    pub(super) all_of: Vec<Arc<Node>>,
    pub(super) any_of: Vec<Arc<Node>>,
    pub(super) one_of: Vec<Arc<Node>>,
    pub(super) not: Option<Arc<Node>>,
    pub(super) rules: Option<Rules>,
}

impl Node {
    /// The schema of a field: its own, or the one for additional keys.
    pub(super) fn field(&self, key: &str) -> Option<&Node> {
        self.properties
            .get(key)
            .map(Arc::as_ref)
            .or(match &self.additional {
                Additional::Schema(node) => Some(node),
                _ => None,
            })
    }
}
