//! Random widgets, mostly wrong in one or two places: each field has good and bad values, and now and then a value of
//! another field. The same sequence at every run.

use serde_json::{Map, Value, json};

/// A small generator (splitmix64): reproducible, and no dependency.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Fields with values that fit and values that do not.
fn fields() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    vec![
        (
            "version",
            vec![json!("v1.0.0"), json!("v12.3.4")],
            vec![json!("1.0"), json!("v1.0.00000000"), json!(1), json!("")],
        ),
        (
            "mode",
            vec![json!("cluster"), json!("standalone"), json!(null)],
            vec![json!("x"), json!(5), json!(["cluster"])],
        ),
        (
            "replicas",
            vec![json!(1), json!(0), json!(9), json!(null)],
            vec![json!(-1), json!(10), json!("1"), json!(1.5), json!(1e30)],
        ),
        (
            "storage",
            vec![json!("fast"), json!("ab")],
            vec![json!("a"), json!("abcdefghijklm"), json!({}), json!(true)],
        ),
        (
            "ratio",
            vec![json!(0.5), json!(7.5), json!(999_999.5)],
            vec![
                json!(0.0),
                json!(0.3),
                json!(1_000_001.5),
                json!("1"),
                json!(-3.5),
            ],
        ),
        (
            "port",
            vec![json!(80), json!("http"), json!("80")],
            vec![json!(1.5), json!({}), json!(false)],
        ),
        (
            "when",
            vec![
                json!("2024-02-29T01:02:03Z"),
                json!("2024-01-01T00:00:00.5+02:00"),
            ],
            vec![
                json!("2024-02-30T00:00:00Z"),
                json!("2024-01-01"),
                json!(5),
                json!(""),
            ],
        ),
        (
            "timeout",
            vec![json!("1h30m"), json!("5 minutes"), json!("0s")],
            vec![json!("1 fortnight"), json!("h"), json!(5), json!("")],
        ),
        (
            "address",
            vec![json!("1.2.3.4")],
            vec![json!("1.2.3"), json!("::1"), json!("01.2.3.4"), json!(4)],
        ),
        (
            "secret",
            vec![json!("aGk="), json!("")],
            vec![json!("aGk"), json!("a b"), json!(5)],
        ),
        (
            "maybe",
            vec![json!("x"), json!(null), json!("")],
            vec![json!(1), json!({})],
        ),
        (
            "flag",
            vec![json!(true), json!(false)],
            vec![json!("true"), json!(0)],
        ),
        (
            "env",
            vec![
                json!([]),
                json!([{"name": "A", "value": "1"}]),
                json!([{"name": "A"}, {"name": "B"}]),
            ],
            vec![
                json!([{"name": "A"}, {"name": "A"}]),
                json!([{}]),
                json!([5]),
                json!([null]),
                json!({}),
                json!([{"name": null}]),
                json!([{"name": "A", "value": 5}]),
            ],
        ),
        (
            "tags",
            vec![json!(["a"]), json!(["a", "b"])],
            vec![
                json!([]),
                json!(["a", "a"]),
                json!([1]),
                json!([["a"], ["a"]]),
                json!("a"),
            ],
        ),
        (
            "pairs",
            vec![json!([{"a": "x", "b": 1}, {"a": "x", "b": 2}])],
            vec![
                json!([{"a": "x", "b": 1}, {"b": 1, "a": "x"}]),
                json!([{"a": "x"}]),
            ],
        ),
        (
            "labels",
            vec![json!({"a": "bb"}), json!({"x/y": "zz", "q": "rr"})],
            vec![
                json!({}),
                json!({"a": "b"}),
                json!({"a": "xx"}),
                json!({"a": null}),
                json!({"a": 1, "b": "cc"}),
                json!({"a": "bb", "b": "bb", "c": "bb"}),
            ],
        ),
        (
            "free",
            vec![json!({"any": [1, {"x": null}]}), json!({"known": {"a": 1}})],
            vec![
                json!({"known": {"a": 0}}),
                json!({"known": {"a": "x"}}),
                json!({"known": {"nested": {"x": 1}}}),
                json!([]),
            ],
        ),
        (
            "nested",
            vec![json!({}), json!({"a": 1, "b": [1, 2]}), json!(null)],
            vec![
                json!({"a": "x"}),
                json!({"b": [1, "x", 2.5]}),
                json!({"b": 5}),
                json!({"unknown": 1}),
            ],
        ),
        (
            "choice",
            vec![json!({"a": "1"}), json!({"b": "1"})],
            vec![
                json!({}),
                json!({"a": "1", "b": "2"}),
                json!({"a": 1}),
                json!("a"),
            ],
        ),
        (
            "text",
            vec![json!("abc"), json!("nn")],
            vec![
                json!("a"),
                json!("abcdef"),
                json!("no"),
                json!("xyz"),
                json!(5),
                json!("x"),
                json!(""),
            ],
        ),
        ("unknown", vec![], vec![json!(1), json!({"a": [1]})]),
    ]
}

/// A spec: a handful of fields, most of them good.
pub fn spec(random: &mut Random) -> Value {
    let fields = fields();
    let mut spec = Map::new();
    if !random.one_in(12) {
        spec.insert("version".into(), json!("v1.0.0"));
    }
    for _ in 0..=random.below(6) {
        let (name, good, bad) = random.pick(&fields);
        let value = if random.one_in(25) {
            // What fits elsewhere.
            let (_, others, _) = random.pick(&fields);
            if others.is_empty() {
                json!([])
            } else {
                random.pick(others).clone()
            }
        } else if good.is_empty() || random.one_in(3) {
            random.pick(bad).clone()
        } else {
            random.pick(good).clone()
        };
        // A real server takes a list for a string that has a format; ours does not, on purpose.
        let formatted = ["when", "timeout", "address", "secret"].contains(name);
        // And a real server truncates a factor of 0.5 to 0 where the value is a whole number.
        let truncated = *name == "ratio" && value.is_i64();
        if !(truncated || formatted && value.is_array()) {
            spec.insert((*name).to_owned(), value);
        }
    }
    Value::Object(spec)
}

/// Something to send as a merge patch to an object that exists.
pub fn change(random: &mut Random) -> Value {
    let Value::Object(mut spec) = spec(random) else {
        return json!({});
    };
    if random.one_in(4)
        && let Some(name) = spec.keys().next().cloned()
    {
        spec.insert(name, Value::Null);
    }
    json!({ "spec": spec })
}
