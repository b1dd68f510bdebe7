//! Tables: the `meta.k8s.io/v1` rendering of lists and watch events that kubectl prints.
//! Pure; the current time is an argument.

mod cell;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::jsonpath::{JsonPath, JsonPathError};
use cell::{Cell, at};

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
    /// A printer column lacks a field or has one of the wrong type.
    #[error("printer column {column}: {problem}")]
    Column {
        /// The column's name or number.
        column: String,
        /// What is wrong.
        problem: String,
    },
    /// The path of a printer column cannot be parsed.
    #[error("printer column {column}")]
    Path {
        /// The column's name.
        column: String,
        /// The parser's complaint.
        #[source]
        source: JsonPathError,
    },
}

/// The columns of one kind.
#[derive(Debug, Clone)]
pub struct Columns {
    definitions: Value,
    cells: Vec<Cell>,
}

const NAME: &str = "Name, unique among the objects of this kind in the namespace.";
const AGE: &str = "Time since the server stored the object first.";
const CREATED: &[&str] = &["metadata", "creationTimestamp"];

fn definition(name: &str, kind: &str, format: &str, description: &str, priority: i64) -> Value {
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

impl Columns {
    /// Paths of field names under which all lies that the cells and the rows' metadata show; `None` if a cell
    /// looks anywhere.
    pub fn reads(&self) -> Option<Vec<Vec<&str>>> {
        let mut paths = vec![vec!["metadata"]];
        for cell in &self.cells {
            match cell {
                Cell::Name => {}
                Cell::Path(path, _) => paths.push(path.leading_fields()),
                Cell::Age(places) => paths.extend(places.iter().map(|place| place.to_vec())),
                Cell::Text(place) => paths.push(place.to_vec()),
                Cell::Entries(fields) => paths.extend(fields.iter().map(|field| vec![*field])),
                Cell::Source | Cell::Count | Cell::Subject => return None,
            }
        }
        Some(paths)
    }

    /// From a CRD version's `additionalPrinterColumns` (`null` or empty: Name and Age).
    pub fn from_printer_columns(columns: &Value) -> Result<Columns, TableError> {
        let mut definitions = vec![definition("Name", "string", "name", NAME, 0)];
        let mut cells = vec![Cell::Name];
        let columns = columns.as_array().map_or(&[][..], Vec::as_slice);
        for (number, column) in columns.iter().enumerate() {
            let text = |key: &str| column.get(key).and_then(Value::as_str);
            let missing = |key: &str| TableError::Column {
                column: text("name").map_or_else(|| number.to_string(), str::to_owned),
                problem: format!("{key} is missing"),
            };
            let name = text("name").ok_or_else(|| missing("name"))?;
            let kind = text("type").ok_or_else(|| missing("type"))?;
            if !["integer", "number", "string", "boolean", "date"].contains(&kind) {
                let problem =
                    format!("type {kind:?} is none of integer, number, string, boolean, date");
                return Err(TableError::Column {
                    column: name.to_owned(),
                    problem,
                });
            }
            let expression = text("jsonPath").ok_or_else(|| missing("jsonPath"))?;
            let path = JsonPath::parse(expression).map_err(|source| TableError::Path {
                column: name.to_owned(),
                source,
            })?;
            let description = match text("description").unwrap_or("") {
                "" => format!("Value at {expression}."),
                words => words.to_owned(),
            };
            let priority = column.get("priority").and_then(Value::as_i64).unwrap_or(0);
            let format = text("format").unwrap_or("");
            definitions.push(definition(name, kind, format, &description, priority));
            cells.push(Cell::Path(path, kind.to_owned()));
        }
        if columns.is_empty() {
            definitions.push(definition("Age", "date", "", AGE, 0));
            cells.push(Cell::Age(vec![CREATED]));
        }
        Ok(Columns {
            definitions: Value::Array(definitions),
            cells,
        })
    }

    /// The columns of a built-in kind; `None` if it has none of its own (Name and Age then).
    pub fn builtin(group: &str, kind: &str) -> Option<Columns> {
        let name = ("Name", "name", NAME, 0, Cell::Name);
        let age = ("Age", "", AGE, 0, Cell::Age(vec![CREATED]));
        let columns = match (group, kind) {
            ("", "Namespace") => {
                vec![
                    name,
                    (
                        "Status",
                        "",
                        "Active or Terminating.",
                        0,
                        Cell::Text(&["status", "phase"]),
                    ),
                    age,
                ]
            }
            ("", "Secret") => vec![
                name,
                (
                    "Type",
                    "",
                    "What the values are for.",
                    0,
                    Cell::Text(&["type"]),
                ),
                ("Data", "", "Number of values.", 0, Cell::Entries(&["data"])),
                age,
            ],
            ("", "ConfigMap") => {
                vec![
                    name,
                    (
                        "Data",
                        "",
                        "Number of values.",
                        0,
                        Cell::Entries(&["data", "binaryData"]),
                    ),
                    age,
                ]
            }
            ("" | "events.k8s.io", "Event") => event_columns(group.is_empty()),
            _ => return None,
        };
        let (definitions, cells): (Vec<Value>, Vec<Cell>) = columns
            .into_iter()
            .map(|(name, format, description, priority, cell)| {
                (
                    definition(name, "string", format, description, priority),
                    cell,
                )
            })
            .unzip();
        Some(Columns {
            definitions: Value::Array(definitions),
            cells,
        })
    }

    /// A Table of `items`; `list_meta` is the list's own metadata (resourceVersion, continue, remainingItemCount).
    pub fn list<'a>(
        &self,
        items: impl IntoIterator<Item = &'a Value>,
        list_meta: Value,
        include: IncludeObject,
        now: Timestamp,
    ) -> Value {
        let rows: Vec<Value> = items
            .into_iter()
            .map(|item| self.row(item, include, now))
            .collect();
        json!({
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": list_meta,
            "columnDefinitions": self.definitions,
            "rows": rows,
        })
    }

    /// The Table of one object (`get NAME`, or one watch event): its resourceVersion is the object's, and column
    /// definitions stand only in the `first` one of a stream.
    pub fn event(
        &self,
        item: &Value,
        first: bool,
        include: IncludeObject,
        now: Timestamp,
    ) -> Value {
        let mut list_meta = Map::new();
        if let Some(version) = at(item, &["metadata", "resourceVersion"]) {
            list_meta.insert("resourceVersion".to_owned(), version.clone());
        }
        let mut table = self.list([item], Value::Object(list_meta), include, now);
        if !first {
            table["columnDefinitions"] = Value::Null;
        }
        table
    }

    fn row(&self, item: &Value, include: IncludeObject, now: Timestamp) -> Value {
        let cells: Vec<Value> = self
            .cells
            .iter()
            .map(|cell| cell.render(item, now))
            .collect();
        let mut row = json!({ "cells": cells });
        match include {
            IncludeObject::None => {}
            IncludeObject::Metadata => {
                row["object"] = json!({
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": item.get("metadata").cloned().unwrap_or_else(|| json!({})),
                });
            }
            IncludeObject::Object => row["object"] = item.clone(),
        }
        row
    }
}

/// Name, format, description, priority and content; built-in columns are all of type string.
type Column = (&'static str, &'static str, &'static str, i64, Cell);

fn event_columns(core: bool) -> Vec<Column> {
    const CORE_LAST: &[&[&str]] = &[
        &["series", "lastObservedTime"],
        &["lastTimestamp"],
        &["firstTimestamp"],
        &["eventTime"],
    ];
    const CORE_FIRST: &[&[&str]] = &[&["firstTimestamp"], &["eventTime"]];
    const NEW_LAST: &[&[&str]] = &[
        &["series", "lastObservedTime"],
        &["deprecatedLastTimestamp"],
        &["deprecatedFirstTimestamp"],
        &["eventTime"],
    ];
    const NEW_FIRST: &[&[&str]] = &[&["deprecatedFirstTimestamp"], &["eventTime"]];
    let (last, first) = if core {
        (CORE_LAST, CORE_FIRST)
    } else {
        (NEW_LAST, NEW_FIRST)
    };
    let message: &[&str] = if core { &["message"] } else { &["note"] };
    let part: &[&str] = if core {
        &["involvedObject", "fieldPath"]
    } else {
        &["regarding", "fieldPath"]
    };
    vec![
        (
            "Last Seen",
            "",
            "When it was last seen.",
            0,
            Cell::Age(last.to_vec()),
        ),
        ("Type", "", "Normal or Warning.", 0, Cell::Text(&["type"])),
        (
            "Reason",
            "",
            "One word for programs.",
            0,
            Cell::Text(&["reason"]),
        ),
        ("Object", "", "The object it is about.", 0, Cell::Subject),
        (
            "Subobject",
            "",
            "The part of the object that is meant.",
            1,
            Cell::Text(part),
        ),
        ("Source", "", "Who reports it.", 1, Cell::Source),
        (
            "Message",
            "",
            "A sentence for people.",
            0,
            Cell::Text(message),
        ),
        (
            "First Seen",
            "",
            "When it was first seen.",
            1,
            Cell::Age(first.to_vec()),
        ),
        ("Count", "", "How often it happened.", 1, Cell::Count),
        ("Name", "name", NAME, 1, Cell::Name),
    ]
}
