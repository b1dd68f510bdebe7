//! Structural schemas: what a CRD version says about its objects, compiled once and applied to many.
//!
//! Pure: no clock, no store, no wire. `Schema::prune`, `Schema::default` and `Schema::validate` are
//! called in that order on every write; `default` also on every read of stored data.

use std::fmt;

use serde_json::Value;

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
    _todo: (),
}

impl Schema {
    /// Compiles a CRD version's `openAPIV3Schema`.
    pub fn compile(_schema: &Value) -> Result<Schema, SchemaError> {
        Ok(Schema { _todo: () })
    }

    /// Removes what the schema does not declare and returns the removed paths, sorted.
    pub fn prune(&self, _obj: &mut Value) -> Vec<String> {
        Vec::new()
    }

    /// Fills in the declared defaults.
    pub fn default(&self, _obj: &mut Value) {}

    /// Checks the object; `old` is the stored one on an update (transition rules need it).
    pub fn validate(&self, _new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
        Vec::new()
    }
}

/// The schema of a built-in kind this server serves (Namespace, Secret, ConfigMap, Event, Lease and the review
/// kinds), for pruning and strict decoding; `None` for any other.
pub fn builtin(_group: &str, _version: &str, _kind: &str) -> Option<&'static Schema> {
    None
}
