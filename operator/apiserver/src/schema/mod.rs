//! Structural schemas: what a CRD version says about its objects, compiled once and applied to many.
//!
//! Pure: no clock, no store, no wire. `Schema::prune`, `Schema::default` and `Schema::validate` are
//! called in that order on every write; `default` also on every read of stored data.

mod builtin;
mod cel;
mod compile;
mod decoding;
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
use std::sync::Arc;

use serde_json::Value;

pub use builtin::{BuiltinKind, builtin, builtin_kinds};
use compile::Compiler;
pub use decoding::metadata_type_error;
pub use errors::rules_not_checked;
pub use meta::object_meta_schema;
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
    pub fn blocks_rules(self) -> bool {
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
    root: Arc<Node>,
}

impl Schema {
    /// Compiles a CRD version's `openAPIV3Schema`, given as JSON.
    pub fn compile(schema: &str) -> Result<Schema, SchemaError> {
        Ok(Schema {
            root: Compiler::default().compile(schema, "", 0)?,
        })
    }

    /// Removes what neither ObjectMeta nor the schema declares and returns the removed paths: those of metadata first,
    /// sorted each.
    pub fn prune(&self, obj: &mut Value) -> Vec<String> {
        let mut removed = Vec::new();
        meta::prune_metadata(obj, &mut removed);
        removed.sort();
        let mut undeclared = prune::prune_resource(obj, &self.root);
        undeclared.sort();
        removed.extend(undeclared);
        removed
    }

    /// Fills in the declared defaults; nulls where null is not allowed go first.
    pub fn default(&self, obj: &mut Value) {
        default::fill(obj, &self.root);
    }

    /// Checks the object. `old` is the stored one on an update: transition rules compare with it, and values that it
    /// has already are not judged again.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = self.validate_shape(new, old);
        errors.extend(self.validate_lists(new, old));
        if errors.iter().any(|e| e.reason.blocks_rules()) {
            errors.push(errors::rules_not_checked());
        } else {
            errors.extend(self.validate_rules(new, old));
        }
        errors
    }

    /// The first part of [`validate`](Self::validate): types, bounds, required fields.
    pub fn validate_shape(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        validate::check(&self.root, new, old)
    }

    /// The second part: uniqueness in sets and list maps.
    pub fn validate_lists(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        if old.is_some_and(|old| !lists::check(&self.root, old).is_empty()) {
            return Vec::new();
        }
        lists::check(&self.root, new)
    }

    /// The last part: CEL rules. They trust the object's shape, so after a failure that
    /// [blocks them](Reason::blocks_rules) the note [`rules_not_checked`] stands in for them.
    pub fn validate_rules(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        cel::check(&self.root, new, old, &mut errors);
        errors
    }

    /// The first field whose JSON type is not the declared one, in the words of a typed decoder. Built-in kinds are
    /// decoded before they are validated, so this is a bad request (400), not an invalid object (422).
    pub fn decode_error(&self, kind: &str, obj: &Value) -> Option<String> {
        decoding::type_error(obj, &self.root, kind, "")
            .or_else(|| decoding::metadata_error(obj, kind, "metadata."))
    }
}
