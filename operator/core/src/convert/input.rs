//! Reading somebody else's document so that nothing of it can be lost: whatever is taken out must be carried or spoken of
//! (`#[must_use]`), and what nobody takes out is left in the block for its last reader to speak of. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::draft::Draft;

/// A value of the input with its path.
#[derive(Clone, Debug)]
#[must_use = "say what becomes of it: carry, same, left or refuse"]
pub(super) struct Given<T> {
    pub(super) path: String,
    pub(super) value: T,
}

/// The path of a field.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Whether a value says nothing: null, an empty text, and maps and lists of nothing else.
pub(super) fn blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(blank),
        Value::Object(fields) => fields.values().all(blank),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a value asks for nothing: it says nothing, or switches off what is not there anyway.
pub(super) fn off(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => !flag,
        Value::Array(items) => items.iter().all(off),
        Value::Object(fields) => fields.values().all(off),
        other => blank(other),
    }
}

impl<T> Given<T> {
    pub(super) fn new(path: impl Into<String>, value: T) -> Self {
        Self {
            path: path.into(),
            value,
        }
    }

    /// It asks for what holds here anyway: nothing to write, nothing to say.
    pub(super) fn same(self, draft: &mut Draft) {
        draft.used(&self.path);
    }

    /// It is not carried over, and nothing essential changes.
    pub(super) fn left(self, draft: &mut Draft, message: impl Into<String>) {
        draft.left(self.path, message);
    }

    /// It stands in the way.
    pub(super) fn refuse(self, draft: &mut Draft, message: impl Into<String>) {
        draft.refuse(self.path, message);
    }

    /// The value, for a reader that writes it in another form.
    pub(super) fn read(self, draft: &mut Draft) -> T {
        draft.used(&self.path);
        self.value
    }
}

impl<T: Into<Value>> Given<T> {
    /// Written into the new resource at this path of its own.
    pub(super) fn carry(self, draft: &mut Draft, target: &str) {
        draft.used(&self.path);
        draft.set(target, self.value.into(), &self.path);
    }
}

impl Given<Value> {
    /// As text; nothing when it is empty.
    pub(super) fn text(self, draft: &mut Draft) -> Option<Given<String>> {
        match self.value {
            Value::String(text) if text.is_empty() => {
                draft.used(&self.path);
                None
            }
            Value::String(text) => Some(Given::new(self.path, text)),
            _ => self.wrong(draft, "a text"),
        }
    }

    /// As text, where programs that read it take numbers and switches as well.
    pub(super) fn scalar(self, draft: &mut Draft) -> Option<Given<String>> {
        match self.value {
            Value::Number(number) => Some(Given::new(self.path, number.to_string())),
            Value::Bool(flag) => Some(Given::new(self.path, flag.to_string())),
            _ => self.text(draft),
        }
    }

    /// As true or false; programs take the words as well.
    pub(super) fn flag(self, draft: &mut Draft) -> Option<Given<bool>> {
        match &self.value {
            Value::Bool(flag) => Some(Given::new(self.path, *flag)),
            Value::String(text) if text.eq_ignore_ascii_case("true") => {
                Some(Given::new(self.path, true))
            }
            Value::String(text) if text.eq_ignore_ascii_case("false") => {
                Some(Given::new(self.path, false))
            }
            _ => self.wrong(draft, "true or false"),
        }
    }

    /// As a whole number.
    pub(super) fn number(self, draft: &mut Draft) -> Option<Given<i64>> {
        match self.value.as_i64() {
            Some(number) => Some(Given::new(self.path, number)),
            None => self.wrong(draft, "a whole number"),
        }
    }

    /// As a block with fields.
    pub(super) fn block(self, draft: &mut Draft) -> Option<Block> {
        match self.value {
            Value::Object(fields) => Some(Block {
                path: self.path,
                fields,
            }),
            _ => self.wrong(draft, "an object"),
        }
    }

    /// As a list.
    pub(super) fn list(self, draft: &mut Draft) -> Vec<Given<Value>> {
        match self.value {
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, value)| Given::new(format!("{}[{index}]", self.path), value))
                .collect(),
            _ => self.wrong(draft, "a list").unwrap_or_default(),
        }
    }

    /// As a map of texts.
    pub(super) fn texts(self, draft: &mut Draft) -> Option<Given<Value>> {
        let Value::Object(mut fields) = self.value else {
            return self.wrong(draft, "a map of texts");
        };
        fields.retain(|_, value| !value.is_null());
        if fields.values().all(Value::is_string) {
            return Some(Given::new(self.path, Value::Object(fields)));
        }
        for (key, value) in fields {
            let given = Given::new(join(&self.path, &key), value);
            if given.value.is_string() {
                given.same(draft);
            } else {
                given.refuse(draft, "must be a text; put it into quotation marks");
            }
        }
        None
    }

    /// As a list of objects that stay as they are.
    pub(super) fn objects(self, draft: &mut Draft) -> Option<Given<Value>> {
        match &self.value {
            Value::Array(items) if items.iter().all(Value::is_object) => Some(self),
            _ => self.wrong(draft, "a list of objects"),
        }
    }

    /// As an object that stays as it is.
    pub(super) fn object(self, draft: &mut Draft) -> Option<Given<Value>> {
        match &self.value {
            Value::Object(_) => Some(self),
            _ => self.wrong(draft, "an object"),
        }
    }

    fn wrong<T>(self, draft: &mut Draft, what: &str) -> Option<T> {
        self.refuse(draft, format!("must be {what}; correct it"));
        None
    }
}

/// An object of the input, of which fields are taken out one by one.
#[derive(Clone, Debug, Default)]
#[must_use = "speak of what nobody took out: unknown or left"]
pub(super) struct Block {
    pub(super) path: String,
    fields: Map<String, Value>,
}

impl Block {
    pub(super) fn new(path: impl Into<String>, fields: Map<String, Value>) -> Self {
        Self {
            path: path.into(),
            fields,
        }
    }

    /// The path of one of its fields.
    pub(super) fn at(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Takes a field out; null says as little as no field.
    pub(super) fn take(&mut self, key: &str) -> Option<Given<Value>> {
        match self.fields.remove(key)? {
            Value::Null => None,
            value => Some(Given::new(self.at(key), value)),
        }
    }

    /// Takes some fields out into a block of their own, with the paths that they have.
    pub(super) fn part(&mut self, keys: &[&str]) -> Block {
        let fields = keys
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), self.fields.remove(*key)?)))
            .collect();
        Block::new(self.path.clone(), fields)
    }

    /// What a field says, without taking it out.
    pub(super) fn peek(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    /// Whether a field is there and says something, if only that it is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.peek(key).is_some()
    }

    pub(super) fn text(&mut self, key: &str, draft: &mut Draft) -> Option<Given<String>> {
        self.take(key)?.text(draft)
    }

    pub(super) fn scalar(&mut self, key: &str, draft: &mut Draft) -> Option<Given<String>> {
        self.take(key)?.scalar(draft)
    }

    pub(super) fn flag(&mut self, key: &str, draft: &mut Draft) -> Option<Given<bool>> {
        self.take(key)?.flag(draft)
    }

    pub(super) fn number(&mut self, key: &str, draft: &mut Draft) -> Option<Given<i64>> {
        self.take(key)?.number(draft)
    }

    pub(super) fn list(&mut self, key: &str, draft: &mut Draft) -> Vec<Given<Value>> {
        self.take(key)
            .map(|given| given.list(draft))
            .unwrap_or_default()
    }

    /// A map of texts; nothing when it is empty.
    pub(super) fn texts(&mut self, key: &str, draft: &mut Draft) -> Option<Given<Value>> {
        self.take(key)?
            .texts(draft)
            .filter(|given| given.value.as_object().is_some_and(|m| !m.is_empty()))
    }

    /// A block in this one; an empty one where there is none.
    pub(super) fn block(&mut self, key: &str, draft: &mut Draft) -> Block {
        let empty = Block::new(self.at(key), Map::new());
        match self.take(key) {
            Some(given) => given.block(draft).unwrap_or(empty),
            None => empty,
        }
    }

    /// One of a few words; nothing when it is empty.
    pub(super) fn choice(
        &mut self,
        key: &str,
        words: &[&str],
        draft: &mut Draft,
    ) -> Option<Given<String>> {
        let given = self.text(key, draft)?;
        if words.contains(&given.value.as_str()) {
            return Some(given);
        }
        let message = format!("must be one of {}; correct it", words.join(", "));
        given.refuse(draft, message);
        None
    }

    /// A switch: what it says when it is on is refused, and off is what holds here anyway.
    pub(super) fn refuse_if_on(&mut self, key: &str, message: &str, draft: &mut Draft) {
        if let Some(flag) = self.flag(key, draft) {
            if flag.value {
                flag.refuse(draft, message);
            } else {
                flag.same(draft);
            }
        }
    }

    /// A field without which the result would not be what was asked for.
    pub(super) fn refuse_if_set(&mut self, key: &str, message: &str, draft: &mut Draft) {
        if let Some(given) = self.take(key) {
            if blank(&given.value) {
                given.same(draft);
            } else {
                given.refuse(draft, message);
            }
        }
    }

    /// A field that can be left out without harm.
    pub(super) fn leave(&mut self, key: &str, message: &str, draft: &mut Draft) {
        if let Some(given) = self.take(key) {
            if off(&given.value) {
                given.same(draft);
            } else {
                given.left(draft, message);
            }
        }
    }

    /// A field of which one value is what holds here anyway, and every other can be left out without harm.
    pub(super) fn leave_unless(
        &mut self,
        key: &str,
        value: impl Into<Value>,
        message: &str,
        draft: &mut Draft,
    ) {
        let value = value.into();
        if self.fields.get(key) == Some(&value) {
            self.fields.remove(key);
            draft.used(&self.at(key));
        } else if let Some(given) = self.take(key) {
            if blank(&given.value) {
                given.same(draft);
            } else {
                given.left(draft, message);
            }
        }
    }

    /// Everything that nobody took out, by path.
    pub(super) fn rest(self) -> Vec<Given<Value>> {
        let Block { path, fields } = self;
        fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| Given::new(join(&path, &key), value))
            .collect()
    }

    /// What is still in it is no field of the old type.
    pub(super) fn unknown(self, draft: &mut Draft) {
        for given in self.rest() {
            given.refuse(
                draft,
                "milvus-operator has no such field and ignores it; correct its name, or remove it",
            );
        }
    }

    /// What is still in it is not carried over, and nothing essential changes; what asks for nothing is not spoken of.
    pub(super) fn leave_rest(self, draft: &mut Draft, message: &str) {
        for given in self.rest() {
            if off(&given.value) {
                given.same(draft);
            } else {
                given.left(draft, message);
            }
        }
    }
}

/// The leaves of a value by path: everything that is neither a map, nor a list, nor null.
pub(super) fn leaves(path: &str, value: &Value, out: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                leaves(&join(path, key), value, out);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                leaves(&format!("{path}[{index}]"), value, out);
            }
        }
        Value::Null => {}
        leaf => {
            out.insert(path.to_owned(), leaf.clone());
        }
    }
}
