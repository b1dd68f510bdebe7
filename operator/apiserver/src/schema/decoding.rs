//! Wrong JSON types as a typed decoder reports them: the first one, in Go's words. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::format::Format;
use super::meta;
use super::node::{Additional, Node, Type};

/// The first field of `obj.metadata` with a wrong JSON type: such an object cannot be read at all (400), which comes
/// before all validation (422).
pub fn metadata_type_error(obj: &Value) -> Option<String> {
    metadata_error(obj, "ObjectMeta", "")
}

/// The same for a kind that is decoded as a whole: its name and the way to the metadata stand in the text.
pub(super) fn metadata_error(obj: &Value, kind: &str, prefix: &str) -> Option<String> {
    let metadata = obj.get("metadata")?;
    if !metadata.is_object() && !metadata.is_null() {
        let place = if prefix.is_empty() {
            "Go value".to_owned()
        } else {
            format!("Go struct field {kind}.metadata")
        };
        return Some(format!(
            "json: cannot unmarshal {} into {place} of type v1.ObjectMeta",
            type_of(metadata)
        ));
    }
    type_error(metadata, meta::node()?, kind, prefix)
}

/// Walks `value`; `place` is the path so far, with a dot at its end.
pub(super) fn type_error(value: &Value, node: &Node, kind: &str, place: &str) -> Option<String> {
    let told = |go_type: &str| {
        let field = place.trim_end_matches('.');
        Some(format!(
            "json: cannot unmarshal {} into Go struct field {kind}.{field} of type {go_type}",
            type_of(value)
        ))
    };
    match (node.types.first()?, value) {
        (_, Value::Null) => None,
        (Type::Object, Value::Object(map)) => {
            map.iter()
                .find_map(|(key, field)| match node.properties.get(key) {
                    Some(child) => type_error(field, child, kind, &format!("{place}{key}.")),
                    None => match &node.additional {
                        // Keys of maps are not part of the place.
                        Additional::Schema(child) => type_error(field, child, kind, place),
                        Additional::Absent | Additional::Any => None,
                    },
                })
        }
        (Type::Object, _) => match &node.additional {
            Additional::Schema(child) if child.format == Some(Format::Byte) => {
                told("map[string][]uint8")
            }
            Additional::Schema(_) => told("map[string]string"),
            Additional::Absent | Additional::Any => told("object"),
        },
        (Type::Array, Value::Array(items)) => {
            let child = node.items.as_ref()?;
            items
                .iter()
                .find_map(|item| type_error(item, child, kind, place))
        }
        (Type::Array, _) => told("[]string"),
        (Type::String, Value::String(text)) => match node.format {
            Some(Format::Byte) => base64_error(text),
            Some(Format::DateTime) if !text.is_empty() && !Format::DateTime.accepts(text) => {
                Some(format!(
                    "parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": it has another form"
                ))
            }
            _ => None,
        },
        (Type::String, _) => told("string"),
        (Type::Integer, Value::Number(number)) if number.is_i64() => None,
        (Type::Integer, Value::Number(number)) => {
            let field = place.trim_end_matches('.');
            Some(format!(
                "json: cannot unmarshal number {number} into Go struct field {kind}.{field} of type int64"
            ))
        }
        (Type::Integer, _) => told("int64"),
        (Type::Number, Value::Number(_)) | (Type::Boolean, Value::Bool(_)) => None,
        (Type::Number, _) => told("float64"),
        (Type::Boolean, _) => told("bool"),
    }
}

/// Where base64 goes wrong, by the byte.
fn base64_error(text: &str) -> Option<String> {
    // Line breaks are allowed, as files carry them.
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let problem = STANDARD.decode(&text).err()?;
    let at = match problem {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => {
            at
        }
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
            text.len() / 4 * 4
        }
    };
    Some(format!("illegal base64 data at input byte {at}"))
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::builtin;

    #[test]
    fn metadata_of_wrong_types() {
        let told = |obj: Value| metadata_type_error(&obj);
        assert_eq!(
            told(
                json!({"metadata": {"name": "a", "labels": {"a": "b"}, "generation": 1, "uid": null}})
            ),
            None
        );
        assert_eq!(
            told(json!({"metadata": {"labels": {"a": 5}}})).as_deref(),
            Some(
                "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
            )
        );
        assert!(told(json!({"metadata": []})).is_some());
        assert!(told(json!({"metadata": {"finalizers": "x"}})).is_some());
        assert!(told(json!({"metadata": {"creationTimestamp": "yesterday"}})).is_some());
    }

    #[test]
    fn built_in_kinds_of_wrong_types() {
        let map = builtin("", "v1", "ConfigMap").expect("schema");
        assert_eq!(
            map.decode_error("ConfigMap", &json!({"data": {"a": 5}}))
                .as_deref(),
            Some(
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
            )
        );
        assert_eq!(
            map.decode_error(
                "ConfigMap",
                &json!({"data": {"a": "b"}, "metadata": {"name": "x"}})
            ),
            None
        );
        assert!(
            map.decode_error("ConfigMap", &json!({"metadata": {"name": 5}}))
                .is_some()
        );
        let secret = builtin("", "v1", "Secret").expect("schema");
        assert_eq!(
            secret
                .decode_error("Secret", &json!({"data": {"a": "*"}}))
                .as_deref(),
            Some("illegal base64 data at input byte 0")
        );
        assert_eq!(
            secret.decode_error("Secret", &json!({"data": {"a": "aGk="}})),
            None
        );
        assert!(
            secret
                .decode_error("Secret", &json!({"data": {"a": "aGk"}}))
                .is_some()
        );
        let broken = json!({"data": {"a": "aG\nk=\n"}});
        assert_eq!(secret.decode_error("Secret", &broken), None);
    }
}
