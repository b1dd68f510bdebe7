//! Texts of field failures, as API clients know them. Pure.

use serde_json::Value;

use super::path::Path;
use super::{FieldError, Reason};

/// A JSON value as it stands in messages: strings quoted, numbers plain, the rest as JSON.
pub(super) fn bad_value(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => i.to_string(),
            (None, Some(f)) => float(f),
            (None, None) => n.to_string(),
        },
        other => other.to_string(),
    }
}

/// A string quoted the way Go's `%q` does it.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", c as u32))
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A float the way Go's `%v` does it: shortest digits, an exponent from a million up.
pub(super) fn float(f: f64) -> String {
    let magnitude = f.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{f:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(e) => ('-', e),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{f}")
}

fn name(path: &Path<'_>) -> String {
    if path.is_root() {
        "<nil>".to_owned()
    } else {
        path.to_string()
    }
}

pub(super) fn invalid(path: &Path<'_>, value: &Value, detail: &str) -> FieldError {
    let message = format!("Invalid value: {}: {detail}", bad_value(value));
    FieldError {
        field: name(path),
        reason: Reason::FieldValueInvalid,
        message,
    }
}

pub(super) fn type_invalid(path: &Path<'_>, value: &Value, detail: &str) -> FieldError {
    FieldError {
        reason: Reason::FieldValueTypeInvalid,
        ..invalid(path, value, detail)
    }
}

pub(super) fn required(path: &Path<'_>) -> FieldError {
    FieldError {
        field: name(path),
        reason: Reason::FieldValueRequired,
        message: "Required value".to_owned(),
    }
}

pub(super) fn duplicate(path: &Path<'_>, value: &Value) -> FieldError {
    let message = format!("Duplicate value: {}", bad_value(value));
    FieldError {
        field: name(path),
        reason: Reason::FieldValueDuplicate,
        message,
    }
}

pub(super) fn not_supported(path: &Path<'_>, value: &Value, supported: &[Value]) -> FieldError {
    let words: Vec<String> = supported
        .iter()
        .map(|v| v.as_str().map_or_else(|| quote(&v.to_string()), quote))
        .collect();
    let message = format!(
        "Unsupported value: {}: supported values: {}",
        bad_value(value),
        words.join(", ")
    );
    FieldError {
        field: name(path),
        reason: Reason::FieldValueNotSupported,
        message,
    }
}

pub(super) fn too_long(path: &Path<'_>, limit: u64) -> FieldError {
    let unit = if limit == 1 { "byte" } else { "bytes" };
    let message = format!("Too long: may not be more than {limit} {unit}");
    FieldError {
        field: name(path),
        reason: Reason::FieldValueTooLong,
        message,
    }
}

pub(super) fn too_many(path: &Path<'_>, actual: usize, limit: u64) -> FieldError {
    let unit = if limit == 1 { "item" } else { "items" };
    let message = format!("Too many: {actual}: must have at most {limit} {unit}");
    FieldError {
        field: name(path),
        reason: Reason::FieldValueTooMany,
        message,
    }
}

/// The note that stands in for the CEL rules that could not run.
pub fn rules_not_checked() -> FieldError {
    FieldError {
        field: "<nil>".to_owned(),
        reason: Reason::FieldValueInvalid,
        message: "Invalid value: null: some validation rules were not checked because the object was invalid; \
                  correct the existing errors to complete validation"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_and_quotes_read_as_go_prints_them() {
        for (f, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (1e6, "1e+06"),
            (2_000_000.5, "2.0000005e+06"),
            (999_999.5, "999999.5"),
            (1.5e-5, "1.5e-05"),
            (-2.0, "-2"),
        ] {
            assert_eq!(float(f), text);
        }
        assert_eq!(quote("a\"b\\\n\u{1}ä"), "\"a\\\"b\\\\\\n\\x01ä\"");
    }
}
