//! Tables: the `meta.k8s.io/v1` rendering of lists and watch events that kubectl prints.
//! Pure; the current time is an argument.

use jiff::Timestamp;
use serde_json::Value;

/// What each row embeds (`includeObject` in the query).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// PartialObjectMetadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl IncludeObject {
    /// Parses the query value; `None` for an unknown word.
    pub fn parse(word: &str) -> Option<IncludeObject> {
        match word {
            "" | "Metadata" => Some(IncludeObject::Metadata),
            "None" => Some(IncludeObject::None),
            "Object" => Some(IncludeObject::Object),
            _ => None,
        }
    }
}

/// Why the columns of a kind could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A printer column lacks a field or has a bad expression.
    #[error("printer column {column:?}: {problem}")]
    Column {
        /// The column's name or number.
        column: String,
        /// What is wrong.
        problem: String,
    },
}

/// The columns of one kind.
#[derive(Debug, Clone)]
pub struct Columns {
    _todo: (),
}

impl Columns {
    /// From a CRD version's `additionalPrinterColumns` (`null` or empty: Name and Age).
    pub fn from_printer_columns(_columns: &Value) -> Result<Columns, TableError> {
        Ok(Columns { _todo: () })
    }

    /// The columns of a built-in kind; `None` if it has none of its own (Name and Age then).
    pub fn builtin(_group: &str, _kind: &str) -> Option<Columns> {
        None
    }

    /// A Table of `items`; `list_meta` is the list's own metadata (resourceVersion, continue, remainingItemCount).
    pub fn list<'a>(
        &self,
        items: impl IntoIterator<Item = &'a Value>,
        list_meta: Value,
        include: IncludeObject,
        now: Timestamp,
    ) -> Value {
        let _ = (items.into_iter().count(), include, now);
        serde_json::json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_meta, "columnDefinitions": [], "rows": []})
    }

    /// The Table of one watch event's object; column definitions only in the `first` event of a stream.
    pub fn event(
        &self,
        item: &Value,
        first: bool,
        include: IncludeObject,
        now: Timestamp,
    ) -> Value {
        let mut table = self.list([item], serde_json::json!({}), include, now);
        if !first {
            table["columnDefinitions"] = Value::Null;
        }
        table
    }
}
