//! Request bodies to JSON values, with repeated keys noted. Pure; never panics on any input.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deeper bodies are refused: recursion is bounded whatever a client sends.
const MAX_DEPTH: usize = 100;

/// Repeated keys that are reported; kube-apiserver reports as many. The work stays linear in the size of the body.
const MAX_DUPLICATES: usize = 100;
/// Bytes of a reported path; a body can have keys of megabytes.
const MAX_PATH: usize = 1024;

/// Whole floats below this are exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What a body decoded to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The value; of a repeated key the last one stands.
    pub value: Value,
    /// Paths of repeated keys, e.g. `spec.version`, each once, in order of appearance; the first hundred.
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

/// Decodes `bytes` according to `content_type`: parameters are ignored and nothing at all means JSON, as some clients
/// send it. YAML types (`application/yaml`, `application/apply-patch+yaml`) take JSON too.
pub fn decode_body(content_type: &str, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let media = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match media.as_str() {
        "" | "application/json" | "text/json" => decode_json(bytes),
        m if m.starts_with("application/") && m.ends_with("+json") => decode_json(bytes),
        m if m.ends_with("/yaml") || m.ends_with("+yaml") || m.ends_with("/x-yaml") => {
            decode_yaml(bytes)
        }
        _ => Err(DecodeError::MediaType {
            content_type: content_type.to_owned(),
        }),
    }
}

fn decode_json(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let state = RefCell::new(State::default());
    let json = |e: serde_json::Error| DecodeError::Json {
        problem: e.to_string(),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Seed {
        state: &state,
        depth: 0,
    }
    .deserialize(&mut deserializer)
    .map_err(json)?;
    deserializer.end().map_err(json)?;
    Ok(Decoded {
        value,
        duplicates: state.into_inner().duplicates,
    })
}

fn decode_yaml(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    // Clients send JSON under YAML names; its own parser keeps numbers and escapes exact.
    let looks_like_json = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    if looks_like_json && let Ok(decoded) = decode_json(bytes) {
        return Ok(decoded);
    }
    let yaml = |problem: String| DecodeError::Yaml { problem };
    let text = std::str::from_utf8(bytes).map_err(|e| yaml(e.to_string()))?;
    let state = RefCell::new(State::default());
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
    };
    let value =
        serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
            Seed {
                state: &state,
                depth: 0,
            }
            .deserialize(deserializer)
        })
        .map_err(|e| {
            yaml(
                e.to_string()
                    .lines()
                    .next()
                    .unwrap_or("not yaml")
                    .to_owned(),
            )
        })?;
    Ok(Decoded {
        value,
        duplicates: state.into_inner().duplicates,
    })
}

/// Where the decoder is, and what it met twice.
#[derive(Default)]
struct State {
    path: String,
    duplicates: Vec<String>,
}

impl State {
    fn push_key(&mut self, key: &str) -> usize {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        length
    }

    /// Notes the present path as that of a repeated key.
    fn note_duplicate(&mut self) {
        if self.duplicates.len() >= MAX_DUPLICATES {
            return;
        }
        let path = if self.path.len() > MAX_PATH {
            let end = (0..=MAX_PATH)
                .rev()
                .find(|at| self.path.is_char_boundary(*at));
            format!("{}...", &self.path[..end.unwrap_or(0)])
        } else {
            self.path.clone()
        };
        if !self.duplicates.contains(&path) {
            self.duplicates.push(path);
        }
    }

    fn push_index(&mut self, index: usize) -> usize {
        let length = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        length
    }
}

/// Builds one value at the state's path.
struct Seed<'a> {
    state: &'a RefCell<State>,
    depth: usize,
}

impl Seed<'_> {
    fn below<E: serde::de::Error>(&self) -> Result<Seed<'_>, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("exceeded max depth of {MAX_DEPTH}")));
        }
        Ok(Seed {
            state: self.state,
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Value, E> {
        // Whole numbers beyond 63 bits are floats to every client of this protocol.
        i64::try_from(v).map_or_else(|_| self.visit_f64(v as f64), |v| Ok(v.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Value, E> {
        // `2.0` goes out as `2`, and typed clients read it as a whole number: so it is one from the start.
        if v.fract() == 0.0 && v.abs() < EXACT {
            return Ok((v as i64).into());
        }
        Number::from_f64(v)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number is not finite"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let length = self.state.borrow_mut().push_index(items.len());
            let item = access.next_element_seed(self.below()?)?;
            self.state.borrow_mut().path.truncate(length);
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        // Each repeated key of this object is noted once: its path may be long.
        let mut noted: HashSet<String> = HashSet::new();
        while let Some(key) = access.next_key::<String>()? {
            let length = {
                let mut state = self.state.borrow_mut();
                let length = state.push_key(&key);
                if map.contains_key(&key)
                    && state.duplicates.len() < MAX_DUPLICATES
                    && noted.insert(key.clone())
                {
                    state.note_duplicate();
                }
                length
            };
            let value = access.next_value_seed(self.below::<A::Error>()?)?;
            self.state.borrow_mut().path.truncate(length);
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Value, E> {
        Err(E::custom("binary values have no JSON form"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json(text: &str) -> Decoded {
        decode_body("application/json", text.as_bytes()).expect("json")
    }

    #[test]
    fn json_with_repeated_keys() {
        let got = json(r#"{"a":1,"spec":{"v":1,"v":2,"l":[{},{"x":1,"x":2,"x":3}]},"a":[]}"#);
        assert_eq!(
            got.value,
            json!({"a": [], "spec": {"v": 2, "l": [{}, {"x": 3}]}})
        );
        assert_eq!(got.duplicates, ["spec.v", "spec.l[1].x", "a"]);
        assert!(json(r#"{"a":{"b":1},"c":{"b":1}}"#).duplicates.is_empty());
    }

    #[test]
    fn many_repeated_keys_cost_no_more_than_their_bytes() {
        let keys: String = (0..60_000)
            .map(|i| format!("\"k{i}\":1,\"k{i}\":2,"))
            .collect();
        let many = format!("{{{keys}\"end\":1}}");
        let same = format!(
            "{{\"{}\":{{{}\"a\":1}}}}",
            "p".repeat(500_000),
            "\"a\":1,".repeat(100_000)
        );
        let began = std::time::Instant::now();
        assert_eq!(json(&many).duplicates.len(), MAX_DUPLICATES);
        let got = json(&same).duplicates;
        assert_eq!(got.len(), 1);
        assert!(got[0].len() <= MAX_PATH + 3, "{}", got[0].len());
        assert!(
            began.elapsed() < std::time::Duration::from_secs(4),
            "{:?}",
            began.elapsed()
        );
    }

    #[test]
    fn numbers_keep_their_kind() {
        let got = json("[1, -1, 1.0, 1e2, 9223372036854775807, 9223372036854775808]").value;
        assert_eq!(
            got.to_string(),
            "[1,-1,1,100,9223372036854775807,9.223372036854776e+18]"
        );
    }

    #[test]
    fn yaml_with_repeated_keys() {
        let text = "a: 1\nspec:\n  v: x\n  v: z\n  t: \"1\"\n  n: null\n  l:\n  - true\n  - {p: 1.5, p: 2}\n";
        let got = decode_body("application/yaml; charset=utf-8", text.as_bytes()).expect("yaml");
        let want = json!({"a": 1, "spec": {"v": "z", "t": "1", "n": null, "l": [true, {"p": 2}]}});
        assert_eq!(got.value, want);
        assert_eq!(got.duplicates, ["spec.v", "spec.l[1].p"]);
    }

    #[test]
    fn json_under_a_yaml_name() {
        let body = br#" {"a":{"b":1,"b":9007199254740993}}"#;
        let got = decode_body("application/apply-patch+yaml", body).expect("json");
        assert_eq!(got.value, json!({"a": {"b": 9007199254740993_i64}}));
        assert_eq!(got.duplicates, ["a.b"]);
    }

    #[test]
    fn media_types() {
        for good in [
            "",
            "application/json",
            "Application/JSON;charset=utf-8",
            "application/merge-patch+json",
        ] {
            assert!(decode_body(good, b"{}").is_ok(), "{good}");
        }
        for bad in [
            "text/html",
            "application/cbor",
            "application/vnd.kubernetes.protobuf",
        ] {
            assert!(
                matches!(decode_body(bad, b"{}"), Err(DecodeError::MediaType { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn errors_name_the_place() {
        let told = |kind: &str, text: &[u8]| decode_body(kind, text).expect_err("bad").to_string();
        assert!(told("", b"{\"a\":\n 1,}").contains("line 2"));
        assert!(told("", b"").contains("EOF"));
        assert!(told("", b"{} {}").contains("trailing"));
        assert!(told("application/yaml", b"a: [1\nb: {").starts_with("decode body as yaml: "));
        assert!(told("application/yaml", b"\xff").contains("utf-8"));
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        assert!(told("", deep.as_bytes()).contains("depth"));
        let deep = "{a: ".repeat(5000) + &"}".repeat(5000);
        assert!(decode_body("application/yaml", deep.as_bytes()).is_err());
        let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (name, below) in ["b", "c", "d", "e", "f", "g", "h"]
            .iter()
            .zip(["a", "b", "c", "d", "e", "f", "g"])
        {
            bomb += &format!(
                "{name}: &{name} [{}]\n",
                vec![format!("*{below}"); 8].join(",")
            );
        }
        assert!(decode_body("application/yaml", bomb.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn decoding_never_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            text in "[-a-c:{}\\[\\]\" \n&*!<>|0-9.]{0,80}",
        ) {
            for kind in ["application/json", "application/yaml", "x"] {
                let _ = decode_body(kind, &bytes);
                let _ = decode_body(kind, text.as_bytes());
            }
        }

        #[test]
        fn what_serde_json_accepts_is_accepted(
            text in r#"(\{"a":[0-9]{1,20}\}|\[[0-9]{1,3},"[a-z\\\\"]{0,5}"\]|[a-z]{1,5})"#,
        ) {
            prop_assert_eq!(decode_body("", text.as_bytes()).is_ok(), serde_json::from_str::<Value>(&text).is_ok());
        }
    }
}
