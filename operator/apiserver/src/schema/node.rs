//! The compiled form of one schema node, and its making from JSON. Pure.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::SchemaError;
use super::cel::Rules;
use super::format::Format;
use super::pattern;

/// Schemas nest no deeper than this: a bound on recursion, far above any real definition.
const MAX_DEPTH: usize = 64;

/// Keywords that a structural schema may carry and that say nothing about validity.
const INERT: &[&str] = &[
    "$schema",
    "description",
    "example",
    "externalDocs",
    "id",
    "title",
];

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

    fn parse(word: &str) -> Option<Type> {
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
    Schema(Box<Node>),
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
    pub(super) pattern: Option<(String, Regex)>,
    pub(super) items: Option<Box<Node>>,
    pub(super) list_type: ListType,
    pub(super) atomic_map: bool,
    pub(super) unique_items: bool,
    pub(super) min_items: Option<u64>,
    pub(super) max_items: Option<u64>,
    /// Boxed: a map keeps room for eleven entries at a time, and a node is large.
    pub(super) properties: BTreeMap<String, Box<Node>>,
    pub(super) additional: Additional,
    pub(super) min_properties: Option<u64>,
    pub(super) max_properties: Option<u64>,
    pub(super) required: Vec<String>,
    pub(super) preserve_unknown: bool,
    pub(super) embedded_resource: bool,
    pub(super) all_of: Vec<Node>,
    pub(super) any_of: Vec<Node>,
    pub(super) one_of: Vec<Node>,
    pub(super) not: Option<Box<Node>>,
    pub(super) rules: Option<Rules>,
}

impl Node {
    /// The schema of a field: its own, or the one for additional keys.
    pub(super) fn field(&self, key: &str) -> Option<&Node> {
        self.properties
            .get(key)
            .map(Box::as_ref)
            .or(match &self.additional {
                Additional::Schema(node) => Some(node),
                _ => None,
            })
    }

    pub(super) fn compile(schema: &Value, path: &str, depth: usize) -> Result<Node, SchemaError> {
        let reader = Reader {
            schema,
            path,
            depth,
        };
        let map = reader.map()?;
        if depth > MAX_DEPTH {
            return Err(reader.problem(format!("nests deeper than {MAX_DEPTH}")));
        }
        for key in map.keys() {
            if !KNOWN.contains(&key.as_str()) && !INERT.contains(&key.as_str()) {
                return Err(reader.problem(format!(
                    "keyword {key:?} is not part of a structural schema"
                )));
            }
        }
        let mut node = Node {
            types: reader.types()?,
            nullable: reader.flag("nullable")?,
            format: None,
            default: map.get("default").filter(|v| !v.is_null()).cloned(),
            one_of_values: reader.list("enum")?.to_vec(),
            minimum: reader.bound("minimum", "exclusiveMinimum")?,
            maximum: reader.bound("maximum", "exclusiveMaximum")?,
            multiple_of: reader.number("multipleOf")?,
            min_length: reader.count("minLength")?,
            max_length: reader.count("maxLength")?,
            pattern: reader.pattern()?,
            items: reader.child("items")?.map(Box::new),
            list_type: reader.list_type()?,
            atomic_map: reader.word("x-kubernetes-map-type")? == Some("atomic"),
            unique_items: reader.flag("uniqueItems")?,
            min_items: reader.count("minItems")?,
            max_items: reader.count("maxItems")?,
            properties: reader.properties()?,
            additional: reader.additional()?,
            min_properties: reader.count("minProperties")?,
            max_properties: reader.count("maxProperties")?,
            required: reader.words("required")?,
            preserve_unknown: reader.flag("x-kubernetes-preserve-unknown-fields")?,
            embedded_resource: reader.flag("x-kubernetes-embedded-resource")?,
            all_of: reader.branches("allOf")?,
            any_of: reader.branches("anyOf")?,
            one_of: reader.branches("oneOf")?,
            not: reader.child("not")?.map(Box::new),
            rules: Rules::compile(schema, path)?,
        };
        if let Some(word) = reader.word("format")? {
            node.format = Format::parse(word).map_err(|problem| reader.problem(problem))?;
        }
        Ok(node)
    }
}

/// Every keyword that `Node::compile` reads.
const KNOWN: &[&str] = &[
    "type",
    "nullable",
    "format",
    "default",
    "enum",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "items",
    "uniqueItems",
    "minItems",
    "maxItems",
    "properties",
    "additionalProperties",
    "minProperties",
    "maxProperties",
    "required",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-validations",
];

/// Reads the keywords of one node with their place for messages.
struct Reader<'a> {
    schema: &'a Value,
    path: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn problem(&self, problem: impl Into<String>) -> SchemaError {
        SchemaError::Compile {
            path: if self.path.is_empty() {
                "the root".to_owned()
            } else {
                self.path.to_owned()
            },
            problem: problem.into(),
        }
    }

    fn map(&self) -> Result<&'a serde_json::Map<String, Value>, SchemaError> {
        self.schema
            .as_object()
            .ok_or_else(|| self.problem("a schema is an object"))
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.schema.get(key).filter(|v| !v.is_null())
    }

    fn expect<T>(&self, key: &str, what: &str, got: Option<T>) -> Result<T, SchemaError> {
        got.ok_or_else(|| self.problem(format!("{key} is not {what}")))
    }

    fn read<T>(
        &self,
        key: &str,
        what: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, SchemaError> {
        self.get(key)
            .map(|v| self.expect(key, what, convert(v)))
            .transpose()
    }

    fn flag(&self, key: &str) -> Result<bool, SchemaError> {
        Ok(self
            .read(key, "true or false", Value::as_bool)?
            .unwrap_or(false))
    }

    fn count(&self, key: &str) -> Result<Option<u64>, SchemaError> {
        self.read(key, "a whole number of at least 0", |v| {
            v.as_u64().or_else(|| {
                v.as_f64()
                    .filter(|f| *f >= 0.0 && f.fract() == 0.0)
                    .map(|f| f as u64)
            })
        })
    }

    fn number(&self, key: &str) -> Result<Option<f64>, SchemaError> {
        self.read(key, "a number", Value::as_f64)
    }

    fn word(&self, key: &str) -> Result<Option<&'a str>, SchemaError> {
        self.read(key, "a string", Value::as_str)
    }

    fn list(&self, key: &str) -> Result<&'a [Value], SchemaError> {
        Ok(self
            .read(key, "a list", Value::as_array)?
            .map_or(&[], Vec::as_slice))
    }

    fn words(&self, key: &str) -> Result<Vec<String>, SchemaError> {
        self.list(key)?
            .iter()
            .map(|v| {
                self.expect(key, "a list of strings", v.as_str())
                    .map(str::to_owned)
            })
            .collect()
    }

    fn bound(&self, key: &str, exclusive: &str) -> Result<Option<Bound>, SchemaError> {
        let exclusive = self.flag(exclusive)?;
        Ok(self.number(key)?.map(|limit| Bound { limit, exclusive }))
    }

    fn types(&self) -> Result<Vec<Type>, SchemaError> {
        if self.flag("x-kubernetes-int-or-string")? {
            return Ok(vec![Type::Integer, Type::String]);
        }
        match self.word("type")? {
            None | Some("") => Ok(Vec::new()),
            Some(word) => match Type::parse(word) {
                Some(t) => Ok(vec![t]),
                None => Err(self.problem(format!("type {word:?} is unknown"))),
            },
        }
    }

    fn pattern(&self) -> Result<Option<(String, Regex)>, SchemaError> {
        let Some(text) = self.word("pattern")?.filter(|p| !p.is_empty()) else {
            return Ok(None);
        };
        match pattern::compile(text) {
            Ok(regex) => Ok(Some((text.to_owned(), regex))),
            Err(source) => Err(SchemaError::Pattern {
                path: self.path.to_owned(),
                source: Box::new(source),
            }),
        }
    }

    fn list_type(&self) -> Result<ListType, SchemaError> {
        let keys = self.words("x-kubernetes-list-map-keys")?;
        match self.word("x-kubernetes-list-type")? {
            None | Some("atomic") => Ok(ListType::Atomic),
            Some("set") => Ok(ListType::Set),
            Some("map") if !keys.is_empty() => Ok(ListType::Map(keys)),
            Some("map") => {
                Err(self.problem("x-kubernetes-list-type map needs x-kubernetes-list-map-keys"))
            }
            Some(word) => Err(self.problem(format!("x-kubernetes-list-type {word:?} is unknown"))),
        }
    }

    fn below(&self, name: &str, schema: &Value) -> Result<Node, SchemaError> {
        let path = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        };
        Node::compile(schema, &path, self.depth + 1)
    }

    fn child(&self, key: &str) -> Result<Option<Node>, SchemaError> {
        self.get(key)
            .map(|schema| self.below(key, schema))
            .transpose()
    }

    fn branches(&self, key: &str) -> Result<Vec<Node>, SchemaError> {
        let list = self.list(key)?;
        list.iter()
            .enumerate()
            .map(|(i, schema)| self.below(&format!("{key}[{i}]"), schema))
            .collect()
    }

    fn properties(&self) -> Result<BTreeMap<String, Box<Node>>, SchemaError> {
        let Some(map) = self.read("properties", "an object", Value::as_object)? else {
            return Ok(BTreeMap::new());
        };
        map.iter()
            .map(|(name, schema)| Ok((name.clone(), Box::new(self.below(name, schema)?))))
            .collect()
    }

    fn additional(&self) -> Result<Additional, SchemaError> {
        match self.get("additionalProperties") {
            None => Ok(Additional::Absent),
            Some(Value::Bool(true)) => Ok(Additional::Any),
            Some(Value::Bool(false)) => {
                Err(self
                    .problem("additionalProperties cannot be false: undeclared fields are pruned"))
            }
            Some(schema) => Ok(Additional::Schema(Box::new(self.below("*", schema)?))),
        }
    }
}
