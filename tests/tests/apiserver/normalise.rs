//! Takes out of answers what differs between any two servers: ids, times, versions, ages.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

static UUID: LazyLock<Regex> =
    LazyLock::new(|| regex(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));
static TIME: LazyLock<Regex> =
    LazyLock::new(|| regex(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z"));
static RANDOM: LazyLock<Regex> = LazyLock::new(|| regex(r"\bgen-[b-df-hj-np-tv-z2-9]{5}\b"));
static AGE: LazyLock<Regex> = LazyLock::new(|| regex(r"^(\d+[smhdy]){1,2}$"));
static AGE_WORD: LazyLock<Regex> = LazyLock::new(|| regex(r"\b\d+s\b"));
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    regex(r#"(resourceVersion"?: *"?|Resource Version: +|resource version: )\d+( \(\d+\))?"#)
});
static RECORD: LazyLock<Regex> = LazyLock::new(|| regex(r"(in record \(|, current: )\d+"));
static DIFF: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"/tmp/(LIVE|MERGED)-\d+|\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d+ \+0000")
});
static SERVER: LazyLock<Regex> =
    LazyLock::new(|| regex(r"https://127\.0\.0\.1:\d+|127\.0\.0\.1:\d+"));
static DESCRIBED_TIME: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(Creation Timestamp|Deletion Timestamp): .*"));
static SPACES: LazyLock<Regex> = LazyLock::new(|| regex(r"[ \t]+"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("pattern")
}

/// A text with its ids, times and versions named instead.
pub fn text(text: &str) -> String {
    let text = UUID.replace_all(text, "<uid>");
    let text = TIME.replace_all(&text, "<time>");
    let text = RANDOM.replace_all(&text, "gen-<random>");
    let text = VERSION.replace_all(&text, "${1}<version>");
    let text = RECORD.replace_all(&text, "${1}<version>");
    let text = DIFF.replace_all(&text, "<$1>");
    let text = SERVER.replace_all(&text, "<server>");
    let text = DESCRIBED_TIME.replace_all(&text, "$1: <time>");
    text.into_owned()
}

/// What kubectl printed: columns one space apart, ages named.
pub fn printed(output: &str) -> String {
    let mut lines: Vec<String> = text(output)
        .lines()
        .map(|line| {
            AGE_WORD
                .replace_all(&SPACES.replace_all(line, " "), "<age>")
                .trim_end()
                .to_owned()
        })
        .collect();
    lines.retain(|line| !line.is_empty());
    // Several failures come in no fixed order.
    lines
        .chunk_by_mut(|a, b| a.starts_with("* ") && b.starts_with("* "))
        .for_each(<[String]>::sort);
    lines.join("\n")
}

/// A body: JSON with the same replacements in every place, anything else as text. Several documents, one a line, are a watch.
pub fn body(body: &str) -> Vec<Value> {
    let documents: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(body)
        .into_iter::<Value>()
        .collect();
    match documents {
        Ok(mut documents) => {
            documents.iter_mut().for_each(|d| walk("", d));
            documents
        }
        Err(_) => vec![Value::from(text(body))],
    }
}

fn walk(key: &str, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("managedFields");
            let is_column = map.contains_key("format") && map.contains_key("priority");
            if is_column {
                map.remove("description");
            }
            for (key, field) in map.iter_mut() {
                walk(key, field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(key, item)),
        Value::String(words) => {
            *words = match key {
                "resourceVersion" if !words.is_empty() => "<version>".to_owned(),
                "continue" if !words.is_empty() => "<continue>".to_owned(),
                "creationTimestamp" | "deletionTimestamp" | "eventTime" | "firstTimestamp"
                | "lastTimestamp" => "<time>".to_owned(),
                "cells" if AGE.is_match(words) => "<age>".to_owned(),
                _ => text(words),
            };
        }
        _ => {}
    }
}
