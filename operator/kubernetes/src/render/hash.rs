//! Hashes over JSON that do not depend on the order in which fields were put in. Pure.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Characters of a hash that are kept: 64 bits.
const LENGTH: usize = 16;

/// SHA-256 over the canonical form (keys in order, no space), in hex, cut.
pub(super) fn of(value: &Value) -> String {
    let mut digest = Sha256::new();
    feed(value, &mut digest);
    let mut text = hex::encode(digest.finalize());
    text.truncate(LENGTH);
    text
}

/// The first characters of the SHA-256 of a text, as part of a name.
pub(super) fn in_name(text: &str) -> String {
    let mut hash = hex::encode(Sha256::digest(text.as_bytes()));
    hash.truncate(milvus_core::names::HASH_IN_NAME);
    hash
}

fn feed(value: &Value, digest: &mut Sha256) {
    match value {
        Value::Array(items) => {
            digest.update(b"[");
            for item in items {
                feed(item, digest);
                digest.update(b",");
            }
            digest.update(b"]");
        }
        Value::Object(fields) => {
            digest.update(b"{");
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            for (name, field) in fields {
                feed(&Value::from(name.as_str()), digest);
                digest.update(b":");
                feed(field, digest);
                digest.update(b",");
            }
            digest.update(b"}");
        }
        // Quotes and escapes as in JSON, so that a text never reads like structure.
        scalar => digest.update(scalar.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_does_not_matter_and_structure_does() {
        let a: Value = serde_json::from_str(r#"{"a": 1, "b": {"c": [1, 2]}}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"b": {"c": [1, 2]}, "a": 1}"#).unwrap();
        assert_eq!(of(&a), of(&b));
        assert_eq!(of(&a).len(), LENGTH);
        for other in [
            json!({"a": "1", "b": {"c": [1, 2]}}),
            json!({"a": 1, "b": {"c": [2, 1]}}),
            json!({"a": 1, "b": {"c": [[1], 2]}}),
            json!({"a": 1}),
        ] {
            assert_ne!(of(&a), of(&other), "{other}");
        }
    }
}
