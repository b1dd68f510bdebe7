//! The cells of a table row. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::jsonpath::JsonPath;

/// How one cell is computed.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Name,
    /// A column of a definition: path and type.
    Path(JsonPath, String),
    /// Age of a timestamp; the first path that finds one counts.
    Age(Vec<&'static [&'static str]>),
    /// Who reports an event.
    Source,
    /// Text at a place.
    Text(&'static [&'static str]),
    /// How often an event happened.
    Count,
    /// Number of entries in maps.
    Entries(&'static [&'static str]),
    /// `kind/name` of the object an event is about.
    Subject,
}

pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter()
        .try_fold(value, |value, key| value.get(key))
        .filter(|value| !value.is_null())
}

impl Cell {
    pub(super) fn render(&self, item: &Value, now: Timestamp) -> Value {
        match self {
            Cell::Name => at(item, &["metadata", "name"])
                .cloned()
                .unwrap_or_else(|| Value::from("")),
            Cell::Path(path, kind) => path_cell(&path.find(item), kind, now),
            Cell::Age(paths) => {
                let found = paths.iter().find_map(|path| at(item, path)?.as_str());
                found.map_or_else(|| Value::from("<unknown>"), |text| age(text, now))
            }
            Cell::Text(path) => {
                Value::from(at(item, path).and_then(Value::as_str).unwrap_or("").trim())
            }
            Cell::Count => {
                let places: [&[&str]; 3] = [&["series", "count"], &["count"], &["deprecatedCount"]];
                let count = places
                    .iter()
                    .find_map(|path| at(item, path)?.as_i64())
                    .filter(|count| *count > 0);
                Value::from(count.unwrap_or(1))
            }
            Cell::Source => Value::from(source(item)),
            Cell::Entries(keys) => {
                let count: usize = keys
                    .iter()
                    .filter_map(|key| item.get(key)?.as_object())
                    .map(Map::len)
                    .sum();
                Value::from(count)
            }
            Cell::Subject => {
                let subject = at(item, &["involvedObject"]).or_else(|| at(item, &["regarding"]));
                let text = |key: &str| {
                    subject
                        .and_then(|s| s.get(key))
                        .and_then(Value::as_str)
                        .unwrap_or("")
                };
                let kind = text("kind").to_lowercase();
                match text("name") {
                    "" => Value::from(kind),
                    name => Value::from(format!("{kind}/{name}")),
                }
            }
        }
    }
}

/// Who reports an event: the component, and the host or instance after a comma.
fn source(item: &Value) -> String {
    let text = |paths: [&[&str]; 3]| {
        let found = paths
            .iter()
            .filter_map(|path| at(item, path)?.as_str())
            .find(|text| !text.is_empty());
        found.unwrap_or("").to_owned()
    };
    let component = text([
        &["source", "component"],
        &["deprecatedSource", "component"],
        if item.get("reportingController").is_some() {
            &["reportingController"]
        } else {
            &["reportingComponent"]
        },
    ]);
    let instance = text([
        &["source", "host"],
        &["deprecatedSource", "host"],
        &["reportingInstance"],
    ]);
    if instance.is_empty() {
        component
    } else {
        format!("{component}, {instance}")
    }
}

/// A cell of a definition's column: the first value found, null if there is none or it is of another type.
fn path_cell(found: &[&Value], kind: &str, now: Timestamp) -> Value {
    let Some(first) = found.first() else {
        return Value::Null;
    };
    match (kind, first) {
        (_, Value::Null) => Value::Null,
        ("integer", Value::Number(n)) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => Value::from(i),
            (None, Some(f)) => Value::from(f as i64),
            (None, None) => Value::Null,
        },
        ("number", Value::Number(_))
        | ("boolean", Value::Bool(_))
        | ("string", Value::String(_)) => (*first).clone(),
        ("string", other) => Value::from(other.to_string()),
        ("date", Value::String(text)) => age(text, now),
        _ => Value::Null,
    }
}

fn age(text: &str, now: Timestamp) -> Value {
    match text.parse::<Timestamp>() {
        Ok(then) => Value::from(human_duration(now.as_second() - then.as_second())),
        Err(_) => Value::from("<invalid>"),
    }
}

/// A span as kubectl prints it: two units while small, one when large.
fn human_duration(seconds: i64) -> String {
    // A clock that is a second behind is no reason for a strange text.
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{small_unit}")
        }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let years = days / 365;
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 192 {
        two(days, "d", hours % 24, "h")
    } else if days < 730 {
        format!("{days}d")
    } else if days < 2920 {
        two(years, "y", days % 365, "d")
    } else {
        format!("{years}y")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        for (seconds, text) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (190, "3m10s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (5 * 3600 + 60, "5h1m"),
            (8 * 3600, "8h"),
            (47 * 3600, "47h"),
            (51 * 3600, "2d3h"),
            (192 * 3600, "8d"),
            (400 * 86_400, "400d"),
            (730 * 86_400, "2y"),
            (800 * 86_400, "2y70d"),
            (2920 * 86_400, "8y"),
        ] {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }
}
