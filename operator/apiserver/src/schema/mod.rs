//! Structural schemas: what a CRD version says about its objects, compiled once and applied to many.
//!
//! Pure: no clock, no store, no wire. `Schema::prune`, `Schema::default` and `Schema::validate` are
//! called in that order on every write; `default` also on every read of stored data.

mod builtin;
mod cel;
mod default;
mod errors;
mod format;
mod lists;
mod meta;
mod node;
mod path;
mod pattern;
mod prune;
#[cfg(test)]
mod tests;
mod validate;

use std::fmt;

use serde_json::Value;

pub use builtin::{BuiltinKind, builtin, builtin_kinds};
pub use meta::{metadata_type_error, object_meta_schema};
use node::Node;

/// Why a schema could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The schema (or a part of it) is not what structural schemas allow.
    #[error("compile schema at {path}: {problem}")]
    Compile {
        /// Where in the schema, dotted.
        path: String,
        /// What is wrong there.
        problem: String,
    },
    /// A `pattern` is not a regular expression.
    #[error("compile pattern of {path}")]
    Pattern {
        /// The field that has the pattern.
        path: String,
        /// The parser's complaint.
        #[source]
        source: Box<regex::Error>,
    },
}

/// The machine-readable kind of a field failure, as in `StatusCause.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reason {
    FieldValueInvalid,
    FieldValueRequired,
    FieldValueNotSupported,
    FieldValueForbidden,
    FieldValueDuplicate,
    FieldValueTypeInvalid,
    FieldValueTooLong,
    FieldValueTooMany,
}

impl Reason {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::FieldValueInvalid => "FieldValueInvalid",
            Reason::FieldValueRequired => "FieldValueRequired",
            Reason::FieldValueNotSupported => "FieldValueNotSupported",
            Reason::FieldValueForbidden => "FieldValueForbidden",
            Reason::FieldValueDuplicate => "FieldValueDuplicate",
            Reason::FieldValueTypeInvalid => "FieldValueTypeInvalid",
            Reason::FieldValueTooLong => "FieldValueTooLong",
            Reason::FieldValueTooMany => "FieldValueTooMany",
        }
    }

    /// Whether CEL rules are left out after such a failure: they could not trust the object's shape.
    fn blocks_rules(self) -> bool {
        matches!(
            self,
            Reason::FieldValueNotSupported
                | Reason::FieldValueRequired
                | Reason::FieldValueTooLong
                | Reason::FieldValueTooMany
                | Reason::FieldValueTypeInvalid
        )
    }
}

/// One failure at one field. `Display` is `field: message`, as it stands in a Status message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field, e.g. `spec.list[0].bar`; `<nil>` when the failure has none.
    pub field: String,
    /// The kind of failure.
    pub reason: Reason,
    /// The text without the field in front, as in `StatusCause.message`.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// A compiled structural schema.
#[derive(Debug)]
pub struct Schema {
    root: Node,
}

impl Schema {
    /// Compiles a CRD version's `openAPIV3Schema`.
    pub fn compile(schema: &Value) -> Result<Schema, SchemaError> {
        Ok(Schema {
            root: Node::compile(schema, "", 0)?,
        })
    }

    /// Removes what neither the schema nor ObjectMeta declares and returns the removed paths, sorted.
    pub fn prune(&self, obj: &mut Value) -> Vec<String> {
        let mut removed = prune::prune_resource(obj, &self.root);
        meta::prune_metadata(obj, &mut removed);
        removed.sort();
        removed
    }

    /// Fills in the declared defaults; nulls where null is not allowed go first.
    pub fn default(&self, obj: &mut Value) {
        default::fill(obj, &self.root);
    }

    /// Checks the object. `old` is the stored one on an update: transition rules compare with it, and values that it
    /// has already are not judged again.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = validate::check(&self.root, new, old);
        if old.is_none_or(|old| lists::check(&self.root, old).is_empty()) {
            errors.extend(lists::check(&self.root, new));
        }
        if errors.iter().any(|e| e.reason.blocks_rules()) {
            errors.push(errors::rules_not_checked());
        } else {
            cel::check(&self.root, new, old, &mut errors);
        }
        errors
    }
}
