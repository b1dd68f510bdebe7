//! The schemas of the kinds this server brings along, from `builtin.json`. Pure.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Schema;

/// A built-in kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuiltinKind {
    /// API group, empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural resource name.
    pub plural: String,
    /// Singular resource name.
    pub singular: String,
    /// Short names, e.g. `cm`.
    pub short_names: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Subresources in Kubernetes.
    pub subresources: Vec<String>,
    /// Verbs of the main endpoint.
    pub verbs: Vec<String>,
    /// The structural schema, type and metadata fields included.
    pub schema: Value,
}

#[derive(Deserialize)]
struct File {
    kinds: Vec<BuiltinKind>,
    shared: Map<String, Value>,
}

/// Every built-in kind, in a fixed order. Read anew at each call: a server needs them while it is built, and then no more.
pub fn builtin_kinds() -> Vec<BuiltinKind> {
    // The file is part of the program and the unit test below reads it, so the fallback is never seen.
    let Ok(File { mut kinds, shared }) = serde_json::from_str::<File>(include_str!("builtin.json"))
    else {
        return Vec::new();
    };
    for kind in &mut kinds {
        expand(&mut kind.schema, &shared);
        if let Some(Value::Object(properties)) = kind.schema.get_mut("properties") {
            properties.insert(
                "apiVersion".into(),
                json!({"type": "string", "description": "API group and version."}),
            );
            properties.insert(
                "kind".into(),
                json!({"type": "string", "description": "Kind of the object."}),
            );
            properties.insert(
                "metadata".into(),
                json!({"type": "object", "description": "Name, labels, owners."}),
            );
        }
    }
    kinds
}

/// Puts the shared schema in the place of each `$use`.
fn expand(schema: &mut Value, shared: &Map<String, Value>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(name)) = map.remove("$use")
                && let Some(Value::Object(common)) = shared.get(&name)
            {
                map.extend(common.clone());
            }
            map.values_mut().for_each(|child| expand(child, shared));
        }
        Value::Array(items) => items.iter_mut().for_each(|child| expand(child, shared)),
        _ => {}
    }
}

/// The compiled schema of a built-in kind, for pruning and strict decoding; `None` for any other kind.
pub fn builtin(group: &str, version: &str, kind: &str) -> Option<&'static Schema> {
    static SCHEMAS: OnceLock<Vec<([String; 3], Schema)>> = OnceLock::new();
    let schemas = SCHEMAS.get_or_init(|| {
        builtin_kinds()
            .into_iter()
            .filter_map(|kind| {
                let schema = Schema::compile(&kind.schema.to_string()).ok()?;
                Some(([kind.group, kind.version, kind.kind], schema))
            })
            .collect()
    });
    let wanted = [group, version, kind];
    let (_, schema) = schemas.iter().find(|(name, _)| *name == wanted)?;
    Some(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_and_every_schema_compiles() {
        assert_eq!(builtin_kinds().len(), 9);
        for kind in builtin_kinds() {
            Schema::compile(&kind.schema.to_string())
                .unwrap_or_else(|e| panic!("{}: {e}", kind.kind));
            assert!(
                builtin(&kind.group, &kind.version, &kind.kind).is_some(),
                "{}",
                kind.kind
            );
            assert!(!kind.schema.to_string().contains("$use"), "{}", kind.kind);
        }
        assert!(builtin("", "v1", "Pod").is_none());
    }

    #[test]
    fn unknown_fields_of_built_in_kinds_are_told() {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "nam": 1},
            "data": {"k": "dg=="}, "dta": {}, "stringData": {"a": "b"}});
        let schema = builtin("", "v1", "Secret").expect("schema");
        assert_eq!(schema.prune(&mut secret), ["metadata.nam", "dta"]);
    }
}
