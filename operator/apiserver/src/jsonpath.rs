//! kubectl's JSONPath dialect, as far as printer columns and selectable fields use it. Pure.
//!
//! `.a.b`, `a.b`, `.a[0]`, `.a[-1]`, `.a[1:3]`, `.a[*].b`, `['key']`, `.a\.b`, `[?(@.type=="Ready")].status`.
//! Braces around the whole expression are allowed, `..` is refused. What is not there is skipped, never an error.

use std::iter::Peekable;
use std::str::CharIndices;

use serde_json::Value;

/// Why an expression was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JsonPathError {
    /// The expression cannot be parsed.
    #[error("parse json path {expression:?} at byte {at}: {problem}")]
    Parse {
        /// The expression.
        expression: String,
        /// Where.
        at: usize,
        /// What is wrong.
        problem: String,
    },
}

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    All,
    Filter(Filter),
}

#[derive(Debug, Clone, PartialEq)]
struct Filter {
    path: JsonPath,
    /// Without an operator it is enough that something is there.
    test: Option<(Operator, Value)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// The field names that the expression begins with: all that it finds lies under them.
    pub fn leading_fields(&self) -> Vec<&str> {
        self.steps
            .iter()
            .map_while(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Parses an expression, with or without braces around it.
    pub fn parse(expression: &str) -> Result<JsonPath, JsonPathError> {
        let trimmed = expression.trim();
        let inner = trimmed
            .strip_prefix('{')
            .and_then(|e| e.strip_suffix('}'))
            .unwrap_or(trimmed);
        Parser {
            expression: inner,
            chars: inner.char_indices().peekable(),
        }
        .path()
    }

    /// Every value the expression finds, in order.
    pub fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![root];
        for step in &self.steps {
            found = found
                .into_iter()
                .flat_map(|value| step.apply(value))
                .collect();
        }
        found
    }

    /// The field names, if the expression is nothing but fields: then it names one place.
    pub fn fields(&self) -> Option<Vec<&str>> {
        self.steps
            .iter()
            .map(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }
}

impl Step {
    fn apply<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Step::Field(name), Value::Object(map)) => map.get(name).into_iter().collect(),
            (Step::Index(index), Value::Array(items)) => place(*index, items.len())
                .and_then(|i| items.get(i))
                .into_iter()
                .collect(),
            (Step::Slice(from, to), Value::Array(items)) => {
                let bound = |end: &Option<i64>, absent: usize| match end {
                    None => absent,
                    Some(i) if *i < 0 => items.len().saturating_sub(i.unsigned_abs() as usize),
                    Some(i) => (*i as usize).min(items.len()),
                };
                items
                    .get(bound(from, 0)..bound(to, items.len()))
                    .unwrap_or_default()
                    .iter()
                    .collect()
            }
            (Step::All, Value::Array(items)) => items.iter().collect(),
            (Step::All, Value::Object(map)) => map.values().collect(),
            (Step::Filter(filter), Value::Array(items)) => {
                items.iter().filter(|i| filter.keeps(i)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A place counted from the end when negative.
fn place(index: i64, length: usize) -> Option<usize> {
    if index >= 0 {
        usize::try_from(index).ok()
    } else {
        length.checked_sub(index.unsigned_abs() as usize)
    }
}

impl Filter {
    fn keeps(&self, item: &Value) -> bool {
        let found = self.path.find(item);
        let Some((operator, wanted)) = &self.test else {
            return !found.is_empty();
        };
        found.into_iter().any(|value| {
            let order = match (value, wanted) {
                (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
                (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
                _ => None,
            };
            match (operator, order) {
                (Operator::Equal, _) => value == wanted || order.is_some_and(|o| o.is_eq()),
                (Operator::NotEqual, _) => value != wanted && !order.is_some_and(|o| o.is_eq()),
                (_, None) => false,
                (Operator::Less, Some(o)) => o.is_lt(),
                (Operator::LessOrEqual, Some(o)) => o.is_le(),
                (Operator::Greater, Some(o)) => o.is_gt(),
                (Operator::GreaterOrEqual, Some(o)) => o.is_ge(),
            }
        })
    }
}

struct Parser<'a> {
    expression: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl Parser<'_> {
    fn problem<T>(&mut self, problem: &str) -> Result<T, JsonPathError> {
        let at = self.chars.peek().map_or(self.expression.len(), |(i, _)| *i);
        Err(JsonPathError::Parse {
            expression: self.expression.to_owned(),
            at,
            problem: problem.to_owned(),
        })
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    fn take(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), JsonPathError> {
        if self.take(wanted) {
            Ok(())
        } else {
            self.problem(&format!("expected {wanted:?}"))
        }
    }

    fn spaces(&mut self) {
        while self.take(' ') {}
    }

    fn path(mut self) -> Result<JsonPath, JsonPathError> {
        let steps = self.steps(false)?;
        if self.peek().is_some() {
            self.problem("unexpected character")
        } else {
            Ok(JsonPath { steps })
        }
    }

    /// Steps up to the end, or inside a filter up to what cannot be part of a path.
    fn steps(&mut self, in_filter: bool) -> Result<Vec<Step>, JsonPathError> {
        let mut steps = Vec::new();
        self.take('$');
        loop {
            match self.peek() {
                None => return Ok(steps),
                Some('[') => steps.push(self.bracket()?),
                Some('.') => {
                    self.take('.');
                    match self.peek() {
                        Some('.') => return self.problem("recursive descent is not supported"),
                        Some('[') | None => {}
                        Some(' ' | ')') if in_filter => {}
                        Some(_) => steps.push(self.name(in_filter)?),
                    }
                }
                Some(_) if steps.is_empty() && !in_filter => steps.push(self.name(in_filter)?),
                Some(_) => return Ok(steps),
            }
        }
    }

    fn name(&mut self, in_filter: bool) -> Result<Step, JsonPathError> {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            match c {
                '.' | '[' => break,
                ' ' | ')' | '=' | '!' | '<' | '>' if in_filter => break,
                ']' | '(' | ')' | '{' | '}' | '"' | '\'' => {
                    return self.problem("unexpected character in a name");
                }
                '\\' => {
                    self.chars.next();
                    match self.chars.next() {
                        Some((_, c)) => name.push(c),
                        None => return self.problem("nothing after the backslash"),
                    }
                }
                c => {
                    self.chars.next();
                    name.push(c);
                }
            }
        }
        match name.as_str() {
            "" => self.problem("expected a name"),
            "*" => Ok(Step::All),
            _ => Ok(Step::Field(name)),
        }
    }

    fn bracket(&mut self) -> Result<Step, JsonPathError> {
        self.expect('[')?;
        self.spaces();
        let step = match self.peek() {
            Some('*') => {
                self.take('*');
                Step::All
            }
            Some('?') => {
                self.take('?');
                self.filter()?
            }
            Some('\'' | '"') => Step::Field(self.quoted()?),
            _ => {
                let from = self.integer()?;
                if self.take(':') {
                    Step::Slice(from, self.integer()?)
                } else {
                    match from {
                        Some(index) => Step::Index(index),
                        None => {
                            return self.problem("expected an index, a quoted key, * or a filter");
                        }
                    }
                }
            }
        };
        self.spaces();
        self.expect(']')?;
        Ok(step)
    }

    fn integer(&mut self) -> Result<Option<i64>, JsonPathError> {
        let mut text = String::new();
        while let Some((_, c)) = self.chars.next_if(|(_, c)| c.is_ascii_digit() || *c == '-') {
            text.push(c);
        }
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => self.problem("not a whole number"),
        }
    }

    fn quoted(&mut self) -> Result<String, JsonPathError> {
        let Some((_, quote)) = self.chars.next() else {
            return self.problem("expected a quoted text");
        };
        let mut text = String::new();
        loop {
            match self.chars.next() {
                None => return self.problem("the quoted text does not end"),
                Some((_, c)) if c == quote => return Ok(text),
                Some((_, '\\')) => match self.chars.next() {
                    Some((_, c)) => text.push(c),
                    None => return self.problem("the quoted text does not end"),
                },
                Some((_, c)) => text.push(c),
            }
        }
    }

    fn filter(&mut self) -> Result<Step, JsonPathError> {
        self.expect('(')?;
        self.spaces();
        self.expect('@')?;
        let path = JsonPath {
            steps: self.steps(true)?,
        };
        self.spaces();
        let test = match self.operator()? {
            None => None,
            Some(operator) => {
                self.spaces();
                Some((operator, self.literal()?))
            }
        };
        self.spaces();
        self.expect(')')?;
        Ok(Step::Filter(Filter { path, test }))
    }

    fn operator(&mut self) -> Result<Option<Operator>, JsonPathError> {
        let mut text = String::new();
        while let Some((_, c)) = self.chars.next_if(|(_, c)| "=!<>".contains(*c)) {
            text.push(c);
        }
        Ok(Some(match text.as_str() {
            "" => return Ok(None),
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            _ => return self.problem("unknown operator"),
        }))
    }

    fn literal(&mut self) -> Result<Value, JsonPathError> {
        if matches!(self.peek(), Some('"' | '\'')) {
            return self.quoted().map(Value::String);
        }
        let mut text = String::new();
        while let Some((_, c)) = self.chars.next_if(|(_, c)| !" )".contains(*c)) {
            text.push(c);
        }
        match serde_json::from_str(&text) {
            Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::Null)) => Ok(value),
            _ => self.problem("expected a quoted text, a number, true or false"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn found(expression: &str) -> Value {
        let root = json!({
            "spec": {"mode": "cluster", "a.b": 7, "n": 3},
            "list": [{"k": 1, "v": "x"}, {"k": 2, "v": "y"}, {"k": 3}],
            "status": {"conditions": [
                {"type": "Accepted", "status": "True"}, {"type": "Ready", "status": "False", "n": 5}]}
        });
        let path = JsonPath::parse(expression).unwrap_or_else(|e| panic!("{e}"));
        path.find(&root).into_iter().cloned().collect()
    }

    #[test]
    fn paths() {
        for (expression, values) in [
            (".spec.mode", json!(["cluster"])),
            ("{.spec.mode}", json!(["cluster"])),
            ("spec.mode", json!(["cluster"])),
            ("$.spec.mode", json!(["cluster"])),
            (".spec['a.b']", json!([7])),
            (r".spec.a\.b", json!([7])),
            (".list[0].v", json!(["x"])),
            (".list[-1].k", json!([3])),
            (".list[9]", json!([])),
            (".list[0:2].k", json!([1, 2])),
            (".list[1:].k", json!([2, 3])),
            (".list[*].v", json!(["x", "y"])),
            (".list.*.k", json!([1, 2, 3])),
            (".list[?(@.k>=2)].k", json!([2, 3])),
            (".list[?(@.v)].k", json!([1, 2])),
            (".list[?(@.v!='x')].k", json!([2])),
            (
                r#".status.conditions[?(@.type=="Ready")].status"#,
                json!(["False"]),
            ),
            (
                r#".status.conditions[?( @.type == "Ready" )].n"#,
                json!([5]),
            ),
            (".status.missing.deep", json!([])),
            (".spec.mode.deeper", json!([])),
        ] {
            assert_eq!(found(expression), values, "{expression}");
        }
    }

    #[test]
    fn bad_expressions() {
        for bad in [
            "..a",
            ".a[",
            ".a[]",
            ".a[x]",
            ".a['k]",
            ".a[?(@.b==)]",
            ".a[?(@.b=1)]",
            ".a b]",
            ".a[?(.b==1)]",
            ".a[--1]",
        ] {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_paths_name_fields() {
        assert_eq!(
            JsonPath::parse(".spec.replicas").expect("path").fields(),
            Some(vec!["spec", "replicas"])
        );
        assert_eq!(JsonPath::parse(".a[0]").expect("path").fields(), None);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[.a-c\\[\\]?()@='\"0-9:*\\\\ {}$<>!-]{0,24}") {
            if let Ok(path) = JsonPath::parse(&text) {
                path.find(&json!({"a": [{"b": 1}], "c": {"a": null}}));
            }
        }
    }
}
