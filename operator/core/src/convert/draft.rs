//! The new resource as far as it is written, and what has been said so far. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Level, Remark};

/// A conversion under way.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// The resource, without apiVersion and kind.
    body: Map<String, Value>,
    /// Paths of the input that are in the new resource, or that ask for what holds here anyway.
    used: BTreeSet<String>,
    /// For every path that was written: the path that it comes from.
    origins: BTreeMap<String, String>,
    remarks: Vec<Remark>,
    secrets: Vec<Value>,
}

/// What is left of a draft once everything is written.
pub(super) struct Finished {
    pub(super) body: Map<String, Value>,
    pub(super) used: BTreeSet<String>,
    pub(super) origins: BTreeMap<String, String>,
    pub(super) remarks: Vec<Remark>,
    pub(super) secrets: Vec<Value>,
}

impl Draft {
    /// A path of the input is accounted for.
    pub(super) fn used(&mut self, path: &str) {
        self.used.insert(path.to_owned());
    }

    /// Carried over, or made, and worth knowing.
    pub(super) fn note(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.remark(Level::Note, path, message);
    }

    /// Not carried over; nothing essential changes.
    pub(super) fn left(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.remark(Level::LeftOut, path, message);
    }

    /// Stands in the way of the document.
    pub(super) fn refuse(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.remark(Level::Refused, path, message);
    }

    fn remark(&mut self, level: Level, path: impl Into<String>, message: impl Into<String>) {
        let remark = Remark {
            path: path.into(),
            level,
            message: message.into(),
        };
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    /// Writes a value at a dotted path of the new resource. `origin` is the path of the input that it comes from.
    pub(super) fn set(&mut self, target: &str, value: Value, origin: &str) {
        self.origins.insert(target.to_owned(), origin.to_owned());
        let steps: Vec<&str> = target.split('.').collect();
        insert(&mut self.body, &steps, value);
    }

    /// Makes a block that says nothing but that it is there.
    pub(super) fn ensure(&mut self, target: &str) {
        if self.get(target).is_none() {
            let steps: Vec<&str> = target.split('.').collect();
            insert(&mut self.body, &steps, json!({}));
        }
    }

    /// What is written at a dotted path of the new resource.
    pub(super) fn get(&self, target: &str) -> Option<&Value> {
        let mut at = None;
        for step in target.split('.') {
            at = match at {
                None => self.body.get(step),
                Some(value) => Value::get(value, step),
            };
            at?;
        }
        at
    }

    /// A Secret for credentials that the input has in clear and that the new resource takes by reference.
    pub(super) fn secret(&mut self, name: &str, namespace: Option<&str>, data: &[(&str, &str)]) {
        let mut metadata = json!({"name": name});
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        let data: Map<String, Value> = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
            .collect();
        self.secrets.push(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "Opaque",
            "stringData": data,
        }));
    }

    pub(super) fn finish(self) -> Finished {
        let Draft {
            body,
            used,
            origins,
            remarks,
            secrets,
        } = self;
        Finished {
            body,
            used,
            origins,
            remarks,
            secrets,
        }
    }
}

fn insert(map: &mut Map<String, Value>, steps: &[&str], value: Value) {
    match steps {
        [] => {}
        [last] => {
            map.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let mut inner = match map.remove(*first) {
                Some(Value::Object(inner)) => inner,
                _ => Map::new(),
            };
            insert(&mut inner, rest, value);
            map.insert((*first).to_owned(), Value::Object(inner));
        }
    }
}
