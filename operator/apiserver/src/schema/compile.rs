//! The making of nodes from a definition's text. Pure.
//!
//! Definitions repeat themselves: every role of a cluster has the same resources, environment, placement. Nodes that say the
//! same are one node, and a definition is read level by level from its text, never held as a tree: together that keeps a large
//! definition small in memory, at work and while it is compiled.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;
use serde_json::value::RawValue;

use super::cel::{RULES, Rules};
use super::format::Format;
use super::node::{Additional, Bound, INT_OR_STRING, ListType, Node, Type};
use super::{SchemaError, pattern};

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

/// Makes nodes of schemas; equal nodes become one.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    /// By all that a node says, its children by their addresses: they stay where they are while they are in here.
    nodes: HashMap<String, Arc<Node>>,
    /// Compiled patterns by their texts.
    patterns: BTreeMap<String, Arc<(String, Regex)>>,
}

impl Compiler {
    /// The node of a schema. `path` and `depth` say where it stands in the definition.
    pub(super) fn compile(
        &mut self,
        schema: &str,
        path: &str,
        depth: usize,
    ) -> Result<Arc<Node>, SchemaError> {
        let keywords: Keywords<'_> =
            serde_json::from_str(schema).map_err(|_| problem(path, "a schema is an object"))?;
        let mut reader = Reader {
            keywords: &keywords,
            path,
            depth,
            compiler: self,
        };
        if depth > MAX_DEPTH {
            return Err(reader.problem(format!("nests deeper than {MAX_DEPTH}")));
        }
        for key in keywords.keys() {
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
            default: reader.value("default")?,
            one_of_values: reader.list("enum")?,
            minimum: reader.bound("minimum", "exclusiveMinimum")?,
            maximum: reader.bound("maximum", "exclusiveMaximum")?,
            multiple_of: reader.number("multipleOf")?,
            min_length: reader.count("minLength")?,
            max_length: reader.count("maxLength")?,
            pattern: reader.pattern()?,
            items: reader.child("items")?,
            list_type: reader.list_type()?,
            atomic_map: reader.word("x-kubernetes-map-type")?.as_deref() == Some("atomic"),
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
            not: reader.child("not")?,
            rules: None,
        };
        if let Some(word) = reader.word("format")? {
            node.format = Format::parse(&word).map_err(|problem| reader.problem(problem))?;
        }
        for key in ["allOf", "anyOf", "oneOf", "not"] {
            if keywords
                .get(key)
                .is_some_and(|branches| branches.get().contains(RULES))
            {
                return Err(reader.problem(format!("{RULES} inside {key} is not supported")));
            }
        }
        let rules = reader.value(RULES)?;
        let identity = identity(&keywords, &node);
        if let Some(same) = self.nodes.get(&identity) {
            return Ok(same.clone());
        }
        if let Some(rules) = rules {
            node.rules = Rules::compile(rules, &node, path)?;
        }
        let node = Arc::new(node);
        self.nodes.insert(identity, node.clone());
        Ok(node)
    }
}

/// The keywords of one schema with their texts.
type Keywords<'a> = BTreeMap<String, &'a RawValue>;

/// All that a schema says, descriptions aside. Equal texts mean equal nodes; a difference in spacing costs a node, no more.
fn identity(keywords: &Keywords<'_>, node: &Node) -> String {
    let said = keywords
        .iter()
        .filter(|(key, _)| !INERT.contains(&key.as_str()) && !NESTING.contains(&key.as_str()))
        .map(|(key, text)| format!("{key}={}", text.get()));
    let additional = match &node.additional {
        Additional::Absent => None,
        Additional::Any => Some("additionalProperties".to_owned()),
        Additional::Schema(node) => Some(format!("additionalProperties@{:p}", Arc::as_ptr(node))),
    };
    let properties = node
        .properties
        .iter()
        .map(|(name, node)| format!("{name:?}@{:p}", Arc::as_ptr(node)));
    let nested = [
        ("items", node.items.as_slice()),
        ("not", node.not.as_slice()),
        ("allOf", &node.all_of),
        ("anyOf", &node.any_of),
        ("oneOf", &node.one_of),
    ];
    let nested = nested.into_iter().flat_map(|(key, nodes)| {
        nodes
            .iter()
            .map(move |node| format!("{key}@{:p}", Arc::as_ptr(node)))
    });
    let parts: Vec<String> = said
        .chain(additional)
        .chain(properties)
        .chain(nested)
        .collect();
    parts.join("\n")
}

/// Keywords that hold schemas.
const NESTING: &[&str] = &[
    "additionalProperties",
    "allOf",
    "anyOf",
    "items",
    "not",
    "oneOf",
    "properties",
];

/// Every keyword that `Compiler::compile` reads.
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

/// A failure at a place in the definition.
fn problem(path: &str, problem: impl Into<String>) -> SchemaError {
    SchemaError::Compile {
        path: if path.is_empty() { "the root" } else { path }.to_owned(),
        problem: problem.into(),
    }
}

/// Reads the keywords of one node with their place for messages.
struct Reader<'a> {
    keywords: &'a Keywords<'a>,
    path: &'a str,
    depth: usize,
    compiler: &'a mut Compiler,
}

impl<'a> Reader<'a> {
    fn problem(&self, what: impl Into<String>) -> SchemaError {
        problem(self.path, what)
    }

    /// The text of a keyword; one that is null is not there.
    fn text(&self, key: &str) -> Option<&'a str> {
        self.keywords
            .get(key)
            .map(|text| text.get())
            .filter(|text| *text != "null")
    }

    fn value(&self, key: &str) -> Result<Option<Value>, SchemaError> {
        self.text(key)
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| self.problem(format!("{key}: {error}")))
    }

    fn read<T>(
        &self,
        key: &str,
        what: &str,
        convert: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, SchemaError> {
        self.value(key)?
            .map(|value| convert(value).ok_or_else(|| self.problem(format!("{key} is not {what}"))))
            .transpose()
    }

    fn flag(&self, key: &str) -> Result<bool, SchemaError> {
        Ok(self
            .read(key, "true or false", |v| v.as_bool())?
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
        self.read(key, "a number", |v| v.as_f64())
    }

    fn word(&self, key: &str) -> Result<Option<String>, SchemaError> {
        self.read(key, "a string", |v| match v {
            Value::String(word) => Some(word),
            _ => None,
        })
    }

    fn list(&self, key: &str) -> Result<Vec<Value>, SchemaError> {
        let list = self.read(key, "a list", |v| match v {
            Value::Array(list) => Some(list),
            _ => None,
        })?;
        Ok(list.unwrap_or_default())
    }

    fn words(&self, key: &str) -> Result<Vec<String>, SchemaError> {
        self.list(key)?
            .into_iter()
            .map(|word| match word {
                Value::String(word) => Ok(word),
                _ => Err(self.problem(format!("{key} is not a list of strings"))),
            })
            .collect()
    }

    fn bound(&self, key: &str, exclusive: &str) -> Result<Option<Bound>, SchemaError> {
        let exclusive = self.flag(exclusive)?;
        Ok(self.number(key)?.map(|limit| Bound { limit, exclusive }))
    }

    fn types(&self) -> Result<Vec<Type>, SchemaError> {
        if self.flag("x-kubernetes-int-or-string")? {
            return Ok(INT_OR_STRING.to_vec());
        }
        match self.word("type")?.as_deref() {
            None | Some("") => Ok(Vec::new()),
            Some(word) => match Type::parse(word) {
                Some(t) => Ok(vec![t]),
                None => Err(self.problem(format!("type {word:?} is unknown"))),
            },
        }
    }

    fn pattern(&mut self) -> Result<Option<Arc<(String, Regex)>>, SchemaError> {
        let Some(text) = self.word("pattern")?.filter(|p| !p.is_empty()) else {
            return Ok(None);
        };
        if let Some(compiled) = self.compiler.patterns.get(&text) {
            return Ok(Some(compiled.clone()));
        }
        let regex = pattern::compile(&text).map_err(|source| SchemaError::Pattern {
            path: self.path.to_owned(),
            source: Box::new(source),
        })?;
        let compiled = Arc::new((text.clone(), regex));
        self.compiler.patterns.insert(text, compiled.clone());
        Ok(Some(compiled))
    }

    fn list_type(&self) -> Result<ListType, SchemaError> {
        let keys = self.words("x-kubernetes-list-map-keys")?;
        match self.word("x-kubernetes-list-type")?.as_deref() {
            None | Some("atomic") => Ok(ListType::Atomic),
            Some("set") => Ok(ListType::Set),
            Some("map") if !keys.is_empty() => Ok(ListType::Map(keys)),
            Some("map") => {
                Err(self.problem("x-kubernetes-list-type map needs x-kubernetes-list-map-keys"))
            }
            Some(word) => Err(self.problem(format!("x-kubernetes-list-type {word:?} is unknown"))),
        }
    }

    fn below(&mut self, name: &str, schema: &str) -> Result<Arc<Node>, SchemaError> {
        let path = match self.path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        self.compiler.compile(schema, &path, self.depth + 1)
    }

    fn child(&mut self, key: &str) -> Result<Option<Arc<Node>>, SchemaError> {
        self.text(key)
            .map(|schema| self.below(key, schema))
            .transpose()
    }

    fn branches(&mut self, key: &str) -> Result<Vec<Arc<Node>>, SchemaError> {
        let Some(text) = self.text(key) else {
            return Ok(Vec::new());
        };
        let list: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|_| self.problem(format!("{key} is not a list")))?;
        list.iter()
            .enumerate()
            .map(|(i, schema)| self.below(&format!("{key}[{i}]"), schema.get()))
            .collect()
    }

    fn properties(&mut self) -> Result<BTreeMap<String, Arc<Node>>, SchemaError> {
        let Some(text) = self.text("properties") else {
            return Ok(BTreeMap::new());
        };
        let schemas: Keywords<'_> =
            serde_json::from_str(text).map_err(|_| self.problem("properties is not an object"))?;
        schemas
            .into_iter()
            .map(|(name, schema)| {
                let node = self.below(&name, schema.get())?;
                Ok((name, node))
            })
            .collect()
    }

    fn additional(&mut self) -> Result<Additional, SchemaError> {
        match self.text("additionalProperties") {
            None => Ok(Additional::Absent),
            Some("true") => Ok(Additional::Any),
            Some("false") => {
                Err(self
                    .problem("additionalProperties cannot be false: undeclared fields are pruned"))
            }
            Some(schema) => Ok(Additional::Schema(self.below("*", schema)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Schema;

    #[test]
    fn schemas_that_say_the_same_are_one() {
        let block = |description: &str, limit: u64| {
            json!({"type": "object", "description": description, "properties": {
                "a": {"type": "array", "items": {"type": "string", "pattern": "^a"}},
                "b": {"type": "integer", "maximum": limit}}})
        };
        let schema = json!({"type": "object", "properties": {
            "x": block("one", 5), "y": block("another", 5), "z": block("one", 6)}});
        let schema = Schema::compile(&schema.to_string()).expect("schema");
        let field = |name: &str| &schema.root.properties[name];
        assert!(Arc::ptr_eq(field("x"), field("y")));
        assert!(!Arc::ptr_eq(field("x"), field("z")));
        assert!(Arc::ptr_eq(
            &field("x").properties["a"],
            &field("z").properties["a"]
        ));
        // The path is that of the place, not of the place where the schema stood first.
        let wrong = schema.validate(&json!({"y": {"b": 6}}), None);
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].field, "y.b");
    }
}
