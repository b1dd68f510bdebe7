//! `spec.config`: what may stay in milvus.yaml stays; what the operator writes itself moves to the field that says it. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::draft::Draft;
use super::input::{Block, Given, blank, join};
use crate::config::milvus::forced;
use crate::config::settings::{comparable, is_section, says_nothing};

/// Settings of the input's milvus.yaml that have a field of their own here, by the name that validation knows them by.
#[derive(Debug, Default)]
pub(super) struct Settings {
    forced: BTreeMap<&'static str, Given<Value>>,
    rest: Map<String, Value>,
    path: String,
}

impl Settings {
    /// Parts the user's layer of milvus.yaml.
    pub(super) fn of(spec: &mut Block, draft: &mut Draft) -> Self {
        let path = spec.at("config");
        let Some(Given { value, .. }) = spec.take("config").and_then(|given| given.object(draft))
        else {
            return Self {
                path,
                ..Self::default()
            };
        };
        let mut settings = Self {
            path: path.clone(),
            ..Self::default()
        };
        if let Value::Object(section) = value {
            settings.rest = settings.part(section, "", draft);
        }
        settings
    }

    fn part(
        &mut self,
        section: Map<String, Value>,
        name: &str,
        draft: &mut Draft,
    ) -> Map<String, Value> {
        let mut rest = Map::new();
        for (key, value) in section {
            let name = join(name, &key);
            let path = join(&self.path, &name);
            match value {
                // As for milvus-operator and Milvus' own file: a section without settings.
                value if says_nothing(&name, &value) => {}
                Value::Object(inner) if !inner.is_empty() => {
                    let inner = self.part(inner, &name, draft);
                    if !inner.is_empty() {
                        rest.insert(key, Value::Object(inner));
                    }
                }
                value if is_section(&name) && !value.is_object() => draft.refuse(
                    path,
                    "Milvus has a section of settings here; write the settings below it, or remove it",
                ),
                value => match forced(&name) {
                    Some(_) if value.is_null() => {}
                    Some((known, _)) if self.forced.contains_key(known) => draft.refuse(
                        path,
                        "the same setting is there under another spelling; keep one of them",
                    ),
                    Some((known, _)) => {
                        self.forced.insert(known, Given::new(path, value));
                    }
                    None => {
                        rest.insert(key, value);
                    }
                },
            }
        }
        rest
    }

    /// Takes out a setting that has a field of its own.
    pub(super) fn take(&mut self, name: &str) -> Option<Given<Value>> {
        self.forced.remove(name)
    }

    /// A setting that stays where it is.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        find(&self.rest, "", name)
    }

    /// Takes out a setting that would otherwise stay where it is.
    pub(super) fn extract(&mut self, name: &str) -> Option<Given<Value>> {
        let (path, value) = remove(&mut self.rest, "", name)?;
        (!value.is_null()).then(|| Given::new(join(&self.path, &path), value))
    }

    /// Adds a setting.
    pub(super) fn add(&mut self, section: &str, key: &str, value: Value) {
        // One section of a name, however it is written there; a value that is none has been refused.
        let written = self.rest.keys();
        let written = written
            .filter(|name| name.eq_ignore_ascii_case(section))
            .find(|name| self.rest[*name].is_object())
            .cloned();
        let inner = self
            .rest
            .entry(written.unwrap_or_else(|| section.to_owned()))
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(inner) = inner {
            inner.insert(key.to_owned(), value);
        }
    }

    /// Left out, where a setting has no effect there either.
    pub(super) fn leave(&mut self, name: &str, message: &str, draft: &mut Draft) {
        if let Some(given) = self.take(name) {
            if blank(&given.value) {
                given.same(draft);
            } else {
                given.left(draft, message);
            }
        }
    }

    /// Writes what stays, and speaks of what found no field.
    pub(super) fn finish(self, draft: &mut Draft) {
        for (_, given) in self.forced {
            let why = forced(given.path.strip_prefix(&self.path).unwrap_or(&given.path))
                .map_or("it holds the cluster together", |(_, why)| why);
            given.refuse(
                draft,
                format!("the operator sets this itself ({why}); remove it"),
            );
        }
        if !self.rest.is_empty() {
            Given::new(self.path, Value::Object(self.rest)).carry(draft, "spec.config");
        }
    }
}

/// A setting by its name as Milvus compares names.
fn find<'a>(section: &'a Map<String, Value>, at: &str, name: &str) -> Option<&'a Value> {
    section.iter().find_map(|(key, value)| {
        let at = join(at, key);
        match value {
            _ if comparable(&at) == comparable(name) => Some(value),
            Value::Object(inner) => find(inner, &at, name),
            _ => None,
        }
    })
}

fn remove(section: &mut Map<String, Value>, at: &str, name: &str) -> Option<(String, Value)> {
    let keys: Vec<String> = section.keys().cloned().collect();
    for key in keys {
        let path = join(at, &key);
        if comparable(&path) == comparable(name) {
            return section.remove(&key).map(|value| (path, value));
        }
        if let Some(Value::Object(inner)) = section.get_mut(&key)
            && let Some(found) = remove(inner, &path, name)
        {
            if inner.is_empty() {
                section.remove(&key);
            }
            return Some(found);
        }
    }
    None
}
