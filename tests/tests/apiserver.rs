//! Our API server beside a real kube-apiserver: the same requests and the same kubectl commands go to both, and the
//! answers must be alike: status codes, content types, warnings, bodies, printed texts. Differences that are meant
//! stand in one table below, each with its reason; one that has gone away must leave the table.
//!
//! Needs `MILVUS_TEST_KUBE_APISERVER` (see `tests/testbed/kubernetes/build.sh`), curl and kubectl.

#![allow(clippy::panic)] // a comparison that cannot be made is a failure

#[path = "apiserver/cases.rs"]
mod cases;
#[path = "apiserver/normalise.rs"]
mod normalise;
#[path = "apiserver/random.rs"]
mod random;
#[path = "apiserver/sides.rs"]
mod sides;

use std::collections::BTreeMap;

use cases::{Act, Step};
use serde_json::{Value, json};
use sides::{Answer, Real, Side};

/// Differences that are meant: step and reason.
const ACCEPTED: &[(&str, &str)] = &[
    (
        "metadata: resource version on create",
        "a client's mistake: 400 here, 500 there",
    ),
    (
        "put: bad version",
        "a client's mistake: 409 here, 500 there",
    ),
    (
        "create: wrong kind",
        "refused before the rules run: there it passes decoding, and rules fail on missing defaults",
    ),
    (
        "create: wrong version",
        "there a schema that does not exist makes every field unknown",
    ),
    ("create: a list", "the text names a type of the Go program"),
    (
        "get: unacceptable",
        "ours names the media types that it serves",
    ),
    (
        "get: protobuf alone",
        "protobuf is read, not written; the refusal itself is JSON",
    ),
    (
        "list: bad continue",
        "the text quotes a parser of the Go program",
    ),
    (
        "list: bad label selector",
        "the text quotes a parser of the Go program",
    ),
    ("put: other uid", "the text there quotes a key of etcd"),
    (
        "merge patch: unknown field, strict",
        "ours shows the patch, the real one the whole object with its field owners",
    ),
    (
        "kubectl apply: unknown field",
        "ours shows the patch, the real one the whole object with its field owners",
    ),
    (
        "patch: strategic",
        "server-side apply is not served, so it is not offered",
    ),
    (
        "patch: plain json",
        "server-side apply is not served, so it is not offered",
    ),
    (
        "kubectl patch: strategic",
        "server-side apply is not served, so it is not offered",
    ),
    (
        "discovery: resources",
        "hashes of storage versions are for migrations between versions; there is one",
    ),
    (
        "discovery: core versions",
        "the address that a client reached is the one to use",
    ),
    (
        "finalizer: add while going",
        "the real one says the same thing twice",
    ),
    (
        "kubectl explain: metadata",
        "descriptions are in our own words",
    ),
];

const WIDGETS: &str = include_str!("apiserver/widgets.yaml");
const MILVUS: &str = include_str!("../../crds/generated/milvusclusters.operator.milvus.io.yaml");

/// A definition in JSON.
fn definition(yaml: &str) -> String {
    let definition: Value = serde_saphyr::from_str(yaml).expect("definition");
    definition.to_string()
}

fn answer(answer: &Answer) -> Value {
    let mut body = normalise::body(&answer.body);
    body.iter_mut().for_each(unordered_causes);
    let warnings: Vec<String> = answer.warnings.iter().map(|w| normalise::text(w)).collect();
    json!({"code": answer.code, "type": answer.content_type, "warnings": warnings, "body": body})
}

/// Several failures come in no fixed order: they are sorted, and the message that joins them is left out.
fn unordered_causes(status: &mut Value) {
    let many = status
        .pointer_mut("/details/causes")
        .and_then(Value::as_array_mut)
        .filter(|causes| causes.len() > 1);
    if let Some(causes) = many {
        causes.sort_by_key(ToString::to_string);
        status["message"] = json!("<several>");
    }
}

fn perform(side: &Side, step: &Step) -> Value {
    match &step.act {
        Act::Http {
            method,
            path,
            headers,
            body,
        } => {
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            answer(&side.send(method, path, &headers, body.as_deref()))
        }
        Act::Edit { path, to, edit } => {
            let before = side.send("GET", path, &[], None);
            let mut object: Value = serde_json::from_str(&before.body).unwrap_or_default();
            edit(&mut object);
            let json = [("Content-Type", "application/json")];
            answer(&side.send("PUT", to, &json, Some(&object.to_string())))
        }
        Act::Kubectl { words, stdin } => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let printed = side.kubectl(&words, stdin);
            json!({
                "code": printed.code,
                "stdout": normalise::printed(&printed.stdout).lines().collect::<Vec<_>>(),
                "stderr": normalise::printed(&printed.stderr).lines().collect::<Vec<_>>(),
            })
        }
    }
}

/// The places where two answers differ.
fn differences(path: &str, ours: &Value, real: &Value, out: &mut Vec<String>) {
    match (ours, real) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let none = Value::Null;
                let place = format!("{path}/{key}");
                match (a.get(key), b.get(key)) {
                    (Some(x), Some(y)) => differences(&place, x, y, out),
                    (x, y) => out.push(format!(
                        "{place}\n      ours {}\n      real {}",
                        show(x.unwrap_or(&none)),
                        show(y.unwrap_or(&none))
                    )),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}/{i}"), x, y, out);
            }
        }
        _ if ours != real => out.push(format!(
            "{path}\n      ours {}\n      real {}",
            show(ours),
            show(real)
        )),
        _ => {}
    }
}

fn show(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(1500) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Waits until the real server serves a definition; ours does from the start.
fn wait_served(side: &Side, path: &str) {
    for _ in 0..100 {
        if side.send("GET", path, &[], None).code == 200 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{path} is not served by {}", side.name);
}

/// Both servers with the definitions of the comparison.
async fn both(dir: &std::path::Path) -> (Side, Real) {
    let definitions = vec![definition(WIDGETS), definition(MILVUS)];
    let ours = sides::ours(&dir.join("ours"), definitions).await;
    let real = Real::start(dir);
    for yaml in [WIDGETS, MILVUS] {
        let printed = real.side.kubectl(&["create", "-f", "-"], yaml);
        assert_eq!(printed.code, 0, "{}", printed.stderr);
    }
    let milvus = "/apis/operator.milvus.io/v1beta1/milvusclusters";
    for path in [cases::WIDGETS, milvus] {
        wait_served(&real.side, path);
        wait_served(&ours, path);
    }
    (ours, real)
}

/// Runs something on both servers at once.
fn on_both<T: Send>(ours: &Side, real: &Side, run: impl Fn(&Side) -> T + Sync) -> (T, T) {
    std::thread::scope(|scope| {
        let a = scope.spawn(|| run(ours));
        let b = run(real);
        (a.join().expect("our side"), b)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_a_real_server() {
    let dir = tempfile::tempdir().expect("folder");
    let (ours, real) = both(dir.path()).await;
    let accepted: BTreeMap<&str, &str> = ACCEPTED.iter().copied().collect();
    let steps = cases::steps();
    let only = std::env::var("MILVUS_TEST_ONLY").ok();
    let (mut alike, mut wrong, mut unused) = (0, Vec::new(), accepted.clone());
    for step in &steps {
        let (a, b) = on_both(&ours, &real.side, |side| perform(side, step));
        let mut found = Vec::new();
        differences("", &a, &b, &mut found);
        if only.as_deref().is_some_and(|only| step.name.contains(only)) {
            println!("{}\n  ours {a}\n  real {b}", step.name);
        }
        match (found.is_empty(), unused.remove(step.name.as_str())) {
            (true, None) => alike += 1,
            (false, Some(_)) => {}
            (true, Some(reason)) => wrong.push(format!(
                "{}\n    is alike now, yet accepted as different: {reason}",
                step.name
            )),
            (false, None) => wrong.push(format!("{}\n    {}", step.name, found.join("\n    "))),
        }
    }
    wrong.extend(
        unused
            .keys()
            .map(|name| format!("{name}\n    is accepted as different, but there is no such step")),
    );
    println!(
        "{alike} of {} answers alike, {} accepted as different",
        steps.len(),
        accepted.len()
    );
    assert!(
        wrong.is_empty(),
        "{} answers differ:\n  {}",
        wrong.len(),
        wrong.join("\n  ")
    );
}

/// Random objects and random changes of one object, most of them wrong somewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_objects_are_judged_alike() {
    // A few hundred here; MILVUS_TEST_RANDOM=5000 for a long look.
    let objects: usize = std::env::var("MILVUS_TEST_RANDOM")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(300);
    let dir = tempfile::tempdir().expect("folder");
    let (ours, real) = both(dir.path()).await;
    let mut random = random::Random::new(7);
    let json = [("Content-Type", "application/json")];
    let merge = [("Content-Type", "application/merge-patch+json")];
    let start = json!({"apiVersion": "testbed.example.io/v1", "kind": "Widget", "metadata": {"name": "base"},
        "spec": {"version": "v1.0.0", "env": [{"name": "A", "value": "1"}], "labels": {"a": "bb"}}});
    on_both(&ours, &real.side, |side| {
        side.send("POST", cases::WIDGETS, &json, Some(&start.to_string()))
    });
    let (mut refused, mut wrong) = (0, Vec::new());
    for round in 0..objects {
        let (method, path, headers, body) = if round % 2 == 0 {
            let mut object = start.clone();
            object["metadata"]["name"] = json!("random");
            object["spec"] = random::spec(&mut random);
            let path = format!("{}?dryRun=All", cases::WIDGETS);
            ("POST", path, &json, object)
        } else {
            let path = format!("{}/base", cases::WIDGETS);
            ("PATCH", path, &merge, random::change(&mut random))
        };
        let (a, b) = on_both(&ours, &real.side, |side| {
            answer(&side.send(method, &path, headers, Some(&body.to_string())))
        });
        refused += usize::from(b["code"] != 200 && b["code"] != 201);
        let mut found = Vec::new();
        differences("", &a, &b, &mut found);
        if !found.is_empty() {
            wrong.push(format!("{method} {body}\n    {}", found.join("\n    ")));
        }
    }
    println!("{objects} random objects and changes, {refused} refused");
    assert!(
        refused > objects / 5 && refused < objects * 9 / 10,
        "the objects are not a mix: {refused} refused"
    );
    assert!(
        wrong.is_empty(),
        "{} answers differ:\n  {}",
        wrong.len(),
        wrong.join("\n  ")
    );
}
