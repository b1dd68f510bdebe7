//! Reading just the parts of an object that an answer shows. A table of a hundred objects looks at a few
//! fields of each; what lies beside them is skipped without being built. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Which fields to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Projection {
    /// Everything from here on.
    Whole,
    /// These fields of an object.
    Fields(BTreeMap<String, Projection>),
}

impl Projection {
    /// Keeps what the paths lead to.
    pub fn new<'a, P>(paths: impl IntoIterator<Item = P>) -> Self
    where
        P: IntoIterator<Item = &'a str>,
    {
        let mut root = Self::Fields(BTreeMap::new());
        for path in paths {
            root.keep(&mut path.into_iter());
        }
        root
    }

    fn keep(&mut self, path: &mut dyn Iterator<Item = &str>) {
        match (path.next(), &mut *self) {
            (None, _) => *self = Self::Whole,
            (Some(_), Self::Whole) => {}
            (Some(name), Self::Fields(fields)) => fields
                .entry(name.to_owned())
                .or_insert_with(|| Self::Fields(BTreeMap::new()))
                .keep(path),
        }
    }

    /// Reads the kept parts.
    pub fn read(&self, json: &[u8]) -> Result<Value, serde_json::Error> {
        self.deserialize(&mut serde_json::Deserializer::from_slice(json))
    }
}

impl<'de> DeserializeSeed<'de> for &Projection {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Projection::Whole => serde::Deserialize::deserialize(deserializer),
            Projection::Fields(fields) => deserializer.deserialize_any(Kept { fields }),
        }
    }
}

struct Kept<'a> {
    fields: &'a BTreeMap<String, Projection>,
}

impl<'de> Visitor<'de> for Kept<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.fields.get(&*key) {
                Some(projection) => {
                    map.insert(key.into_owned(), access.next_value_seed(projection)?);
                }
                None => {
                    access.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        // A path through a list by field names finds nothing.
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keeps_what_the_paths_lead_to() {
        let projection = Projection::new([
            vec!["metadata"],
            vec!["spec", "mode"],
            vec!["status", "conditions"],
            vec!["spec", "list", "x"],
        ]);
        let object = json!({
            "kind": "K", "metadata": {"name": "a", "labels": {"b": "c"}},
            "spec": {"mode": "m", "large": {"x": [1, 2.5, "y", null, true]}, "list": [{"x": 1}]},
            "status": {"conditions": [{"type": "Ready"}], "other": -1},
        });
        assert_eq!(
            projection.read(object.to_string().as_bytes()).unwrap(),
            json!({
                "metadata": {"name": "a", "labels": {"b": "c"}},
                "spec": {"mode": "m", "list": []},
                "status": {"conditions": [{"type": "Ready"}]},
            })
        );
        let odd = json!({"spec": "text", "status": null, "metadata": 7});
        assert_eq!(projection.read(odd.to_string().as_bytes()).unwrap(), odd);
    }
}
