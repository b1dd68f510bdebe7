//! The paths of a document: which operations a kind has, and what they take and answer. Pure.

use serde_json::{Map, Value, json};

use super::ServedKind;
use super::schemas::{DELETE_OPTIONS, PATCH, SCALE, STATUS, reference};

/// Query parameters of a write.
const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
/// Query parameters of a list.
const LIST: &[&str] = &[
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "resourceVersion",
    "watch",
];

/// Adds every path of a kind.
pub(super) fn add(kind: &ServedKind<'_>, paths: &mut Map<String, Value>) {
    let base = format!("/{}", kind.base_path());
    let collection = match kind.namespaced {
        true => format!("{base}/namespaces/{{namespace}}/{}", kind.plural),
        false => format!("{base}/{}", kind.plural),
    };
    let own = kind.schema_name();
    let mut many = Map::new();
    if kind.has("list") {
        let list = operation(kind, "list", None, &kind.list_schema_name(), LIST);
        if kind.namespaced {
            let mut everywhere = list.clone();
            everywhere["operationId"] =
                Value::from(format!("list{}ForAllNamespaces", suffix(kind)));
            paths.insert(
                format!("{base}/{}", kind.plural),
                json!({ "get": everywhere }),
            );
        }
        many.insert("get".to_owned(), list);
    }
    if kind.has("create") {
        many.insert(
            "post".to_owned(),
            operation(kind, "post", Some(&own), &own, WRITE),
        );
    }
    if kind.has("deletecollection") {
        let parameters = [
            "labelSelector",
            "fieldSelector",
            "dryRun",
            "propagationPolicy",
        ];
        let delete = operation(
            kind,
            "deletecollection",
            Some(DELETE_OPTIONS),
            STATUS,
            &parameters,
        );
        many.insert("delete".to_owned(), delete);
    }
    insert(paths, &collection, many, kind.namespaced, false);
    if !kind.has("get") {
        return;
    }
    let one = format!("{collection}/{{name}}");
    let mut item = read_write(kind, &own, kind.has("update"), kind.has("patch"));
    if kind.has("delete") {
        let parameters = ["dryRun", "propagationPolicy", "gracePeriodSeconds"];
        item.insert(
            "delete".to_owned(),
            operation(kind, "delete", Some(DELETE_OPTIONS), STATUS, &parameters),
        );
    }
    insert(paths, &one, item, kind.namespaced, true);
    for subresource in &kind.subresources {
        let (schema, identity) = match subresource.as_str() {
            "scale" => (
                SCALE,
                json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}),
            ),
            _ => (own.as_str(), kind.identity(&kind.kind)),
        };
        let mut item = read_write(kind, schema, true, true);
        for (method, operation) in &mut item {
            operation["x-kubernetes-group-version-kind"] = identity.clone();
            let id = format!("{method}{}{}", suffix(kind), capital(subresource));
            operation["operationId"] = Value::from(id);
        }
        insert(
            paths,
            &format!("{one}/{subresource}"),
            item,
            kind.namespaced,
            true,
        );
    }
}

fn read_write(
    kind: &ServedKind<'_>,
    schema: &str,
    update: bool,
    patch: bool,
) -> Map<String, Value> {
    let mut item = Map::new();
    item.insert(
        "get".to_owned(),
        operation(kind, "get", None, schema, &["resourceVersion"]),
    );
    if update {
        item.insert(
            "put".to_owned(),
            operation(kind, "put", Some(schema), schema, WRITE),
        );
    }
    if patch {
        let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"];
        item.insert(
            "patch".to_owned(),
            operation(kind, "patch", Some(PATCH), schema, &parameters),
        );
    }
    item
}

/// What makes operation ids of a kind its own.
fn suffix(kind: &ServedKind<'_>) -> String {
    let group: String = kind.group.split('.').map(capital).collect();
    let scope = if kind.namespaced { "Namespaced" } else { "" };
    format!("{group}{}{scope}{}", capital(&kind.version), kind.kind)
}

fn operation(
    kind: &ServedKind<'_>,
    action: &str,
    body: Option<&str>,
    answer: &str,
    parameters: &[&str],
) -> Value {
    let parameters: Vec<Value> = parameters.iter().map(|name| parameter(name)).collect();
    let mut operation = json!({
        "operationId": format!("{action}{}", suffix(kind)),
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": reference(answer)}}},
        },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind.identity(&kind.kind),
    });
    if let Some(body) = body {
        let media: &[&str] = match action {
            "patch" => &[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ],
            _ => &["application/json", "application/yaml"],
        };
        let content: Map<String, Value> = media
            .iter()
            .map(|media| ((*media).to_owned(), json!({"schema": reference(body)})))
            .collect();
        operation["requestBody"] = json!({ "content": content });
    }
    operation
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + chars.as_str()
    })
}

fn parameter(name: &str) -> Value {
    let (kind, description) = match name {
        "labelSelector" => ("string", "Only objects whose labels fit."),
        "fieldSelector" => ("string", "Only objects whose fields fit."),
        "limit" => (
            "integer",
            "At most so many objects; the rest follows by continue.",
        ),
        "continue" => ("string", "Where the list before ended."),
        "resourceVersion" => ("string", "Not older than this; for a watch, from here on."),
        "watch" => ("boolean", "Send changes as they happen."),
        "dryRun" => ("string", "All: do everything but store."),
        "fieldManager" => ("string", "Name of the writer."),
        "fieldValidation" => (
            "string",
            "What to do with unknown or repeated fields: Strict, Warn or Ignore.",
        ),
        "force" => ("boolean", "Take over fields that others own."),
        "propagationPolicy" => (
            "string",
            "What becomes of dependents: Background, Foreground or Orphan.",
        ),
        "gracePeriodSeconds" => ("integer", "Seconds granted for a graceful end."),
        _ => ("string", ""),
    };
    json!({"name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": true}})
}

fn insert(
    paths: &mut Map<String, Value>,
    path: &str,
    mut item: Map<String, Value>,
    namespaced: bool,
    named: bool,
) {
    if item.is_empty() {
        return;
    }
    let part = |name: &str, description: &str| {
        let schema = json!({"type": "string", "uniqueItems": true});
        json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema})
    };
    let mut parameters = Vec::new();
    if named {
        parameters.push(part("name", "Name of the object."));
    }
    if namespaced {
        parameters.push(part("namespace", "Namespace of the object."));
    }
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), Value::Array(parameters));
    }
    paths.insert(path.to_owned(), Value::Object(item));
}
