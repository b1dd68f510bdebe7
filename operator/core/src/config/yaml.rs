//! Writes YAML that every parser reads the same way: block mappings with sorted keys, text always in double quotes. Old
//! parsers take `on`, `12:30` or `0o7` for something else than text. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The text of one document.
pub(crate) fn write(document: &Map<String, Value>) -> String {
    let mut text = String::new();
    mapping(&mut text, document, 0);
    text
}

fn mapping(text: &mut String, map: &Map<String, Value>, depth: usize) {
    // Sorted here, so that the text does not depend on how the map was built.
    let sorted: BTreeMap<&String, &Value> = map.iter().collect();
    for (key, value) in sorted {
        indent(text, depth);
        text.push_str(&name(key));
        text.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                mapping(text, inner, depth + 1);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                for item in items {
                    indent(text, depth + 1);
                    text.push_str("- ");
                    text.push_str(&flow(item));
                    text.push('\n');
                }
            }
            other => {
                text.push(' ');
                text.push_str(&flow(other));
                text.push('\n');
            }
        }
    }
}

/// One value on one line; JSON is YAML's flow style.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            let fields: Vec<String> = sorted
                .into_iter()
                .map(|(k, v)| format!("{}: {}", quoted(k), flow(v)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A key as it is where nobody can misread it.
fn name(key: &str) -> String {
    let plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    let word = matches!(
        key.to_ascii_lowercase().as_str(),
        "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null"
    );
    if plain && !word {
        key.to_owned()
    } else {
        quoted(key)
    }
}

fn indent(text: &mut String, depth: usize) {
    for _ in 0..depth {
        text.push_str("  ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_back_as_written() {
        let value = json!({
            "log": {"level": "on", "file": {}, "empty": []},
            "a": ["12:30", 1, true, {"k": "v: #", "b": [1.5]}],
            "quorum pools": "p\"q\\\n\u{7}ü",
            "on": null,
            "n": {"1": -7, "x.y": "0o7"},
        });
        let text = write(value.as_object().unwrap());
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, value, "{text}");
        assert!(text.contains("\n  level: \"on\"\n"), "{text}");
    }
}
