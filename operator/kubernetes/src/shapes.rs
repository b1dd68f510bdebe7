//! Which fields the API server is known to know. A strict check has it parse what it is sent a second time, which is a good part
//! of what a small object costs it, and what comes of it is the same for all objects with the same fields. Pure but for the
//! memory of it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::Kind;

/// Shapes that are remembered. A cluster has one for each of its objects, and clusters are mostly alike.
const MOST: usize = 1024;

/// The fields of an object, without their values.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shape(u64);

impl Shape {
    /// The shape of an object of this kind.
    pub(crate) fn of(kind: Kind, object: &Value) -> Self {
        let mut hasher = DefaultHasher::new();
        kind.name().hash(&mut hasher);
        feed(object, &mut hasher);
        Self(hasher.finish())
    }
}

fn feed(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(fields) => {
            // The order is part of it: one of our renderings has but one.
            fields.len().hash(hasher);
            for (name, field) in fields {
                name.hash(hasher);
                feed(field, hasher);
            }
        }
        Value::Array(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| feed(item, hasher));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0.hash(hasher),
    }
}

/// The shapes that have passed a strict check.
#[derive(Default)]
pub(crate) struct Shapes(Mutex<HashSet<Shape>>);

impl Shapes {
    /// Whether an object of this shape has passed.
    pub(crate) fn passed(&self, shape: Shape) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&shape)
    }

    /// An object of this shape has passed.
    pub(crate) fn remember(&self, shape: Shape) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(shape);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, ports: &[u16]) -> Value {
        let ports: Vec<Value> = ports
            .iter()
            .map(|p| json!({ "containerPort": p }))
            .collect();
        json!({ "metadata": { "name": name }, "spec": { "containers": [{ "ports": ports }] } })
    }

    #[test]
    fn fields_count_and_values_do_not() {
        let shape = |object: &Value| Shape::of(Kind::Deployment, object);
        let one = shape(&pod("a", &[1, 2]));
        assert!(one == shape(&pod("b", &[3, 4])));
        assert!(one != shape(&pod("a", &[1])));
        assert!(one != Shape::of(Kind::StatefulSet, &pod("a", &[1, 2])));
        let mut more = pod("a", &[1, 2]);
        more["spec"]["containers"][0]["prots"] = json!([]);
        assert!(one != shape(&more));
    }

    #[test]
    fn memory_is_bounded() {
        let shapes = Shapes::default();
        let of = |n: usize| Shape::of(Kind::Secret, &json!({ "data": vec![0; n] }));
        (0..3 * MOST).for_each(|n| shapes.remember(of(n)));
        assert!(shapes.passed(of(3 * MOST - 1)));
        assert!(!shapes.passed(of(0)));
        assert!(shapes.0.lock().unwrap().len() <= MOST);
    }
}
