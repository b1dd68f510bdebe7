//! `docs/api.md`: every field of the resource on one page, written from the definition. `UPDATE_DOCS=1` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value};

const HEAD: &str = "\
<!-- Written from crds/src by `make regen`. -->
# API reference

`MilvusCluster`, API version `operator.milvus.io/v1beta1`, short name `mvc`. `kubectl explain mvc.spec` shows the same texts. Names in angle brackets
are chosen by you. Required fields are marked with *; every other one may be left out or `null`.
";
/// What a field takes, in the words of the schema.
fn kind(schema: &Map<String, Value>) -> String {
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return "number or text".to_owned();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let shown: Vec<String> = values
            .iter()
            .filter_map(Value::as_str)
            .map(|value| format!("`{value}`"))
            .collect();
        return shown.join(", ");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => {
            let items = schema.get("items").and_then(Value::as_object);
            format!("list of {}", items.map_or_else(String::new, kind))
        }
        Some("object") => match inner(schema, "additionalProperties") {
            Some(values) => format!("map to {}", kind(values)),
            None => "object".to_owned(),
        },
        Some("string") => "text".to_owned(),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

fn inner<'a>(schema: &'a Map<String, Value>, key: &str) -> Option<&'a Map<String, Value>> {
    schema.get(key).and_then(Value::as_object)
}

/// The schema that has the fields of a field, and the path of it.
fn fields<'a>(
    path: &str,
    schema: &'a Map<String, Value>,
) -> Option<(String, &'a Map<String, Value>)> {
    if inner(schema, "properties").is_some() {
        return Some((path.to_owned(), schema));
    }
    if let Some(items) = inner(schema, "items") {
        return fields(&format!("{path}[]"), items);
    }
    inner(schema, "additionalProperties")
        .and_then(|values| fields(&format!("{path}.<name>"), values))
}

fn bounds(schema: &Map<String, Value>) -> String {
    let number = |key: &str| schema.get(key).map(ToString::to_string);
    match (number("minimum"), number("maximum")) {
        (Some(low), Some(high)) => format!(" From {low} to {high}."),
        (Some(low), None) => format!(" At least {low}."),
        (None, Some(high)) => format!(" At most {high}."),
        (None, None) => String::new(),
    }
}

/// A description as a cell of a table.
fn cell(schema: &Map<String, Value>) -> String {
    let text = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let bounds = bounds(schema);
    if !bounds.is_empty() && !text.ends_with('.') {
        text.push('.');
    }
    text.replace('|', "\\|").replace('<', "&lt;") + &bounds
}

#[derive(Default)]
struct Page {
    text: String,
    /// Blocks that are described already, as JSON, and their paths: a block that occurs again refers to the first place.
    seen: Vec<(Value, String)>,
}

impl Page {
    /// One block: a table of its fields, then the blocks in it.
    fn block(&mut self, path: &str, schema: &Map<String, Value>) {
        let properties = inner(schema, "properties").expect("a block has fields");
        let own = Value::Object(properties.clone());
        let _ = write!(self.text, "\n## {path}\n\n");
        if let Some((_, first)) = self.seen.iter().find(|(block, _)| *block == own) {
            let _ = writeln!(self.text, "The same fields as `{first}`.");
            return;
        }
        self.seen.push((own, path.to_owned()));
        self.text
            .push_str("| field | takes | meaning |\n| --- | --- | --- |\n");
        let required = schema.get("required").and_then(Value::as_array);
        let mut below = Vec::new();
        for (name, property) in properties {
            let property = property.as_object().expect("a field has a schema");
            let mark = required.is_some_and(|r| r.iter().any(|r| r == name));
            let mark = if mark { "*" } else { "" };
            let _ = writeln!(
                self.text,
                "| `{name}`{mark} | {} | {} |",
                kind(property),
                cell(property)
            );
            below.extend(fields(&format!("{path}.{name}"), property));
        }
        for (path, schema) in below {
            self.block(&path, schema);
        }
    }
}

fn page() -> String {
    let definition: Value = serde_json::from_str(milvus_crds::CRD_JSON).expect("JSON");
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut page = Page {
        text: HEAD.to_owned(),
        ..Page::default()
    };
    for part in ["spec", "status"] {
        page.block(part, schema[part].as_object().expect("a schema"));
    }
    page.text
}

#[test]
fn the_committed_page_is_written_from_the_definition() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page()).expect("the file can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page(),
        "{} is out of date; run make regen",
        path.display()
    );
}

#[test]
fn the_page_shows_fields_with_type_meaning_and_what_is_required() {
    let page = page();
    for line in [
        "| `mode` | `standalone`, `cluster` |",
        "| `secretRef`* | text |",
        "## spec.dependencies.etcd.inCluster.values",
        "## status.conditions[]",
    ] {
        assert!(page.contains(line), "{line}");
    }
}
