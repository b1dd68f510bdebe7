//! What cannot be is refused or reported within seconds, by field and cause, while other clusters go on.

use std::time::{Duration, Instant};

use milvus_tests::kubectl::condition;
use milvus_tests::wait;
use serde_json::{Value, json};

use crate::suite::{DEMO, SOON, Suite, is_ready, standalone, suite, versions};

/// How the user hears of it.
enum Heard {
    /// The API server does not take it; these words are in its answer.
    Refused(&'static [&'static str]),
    /// This condition has this status, and an event says it too; both hold these words.
    Told(&'static str, &'static str, &'static [&'static str]),
}

struct Bad {
    name: String,
    what: &'static str,
    resource: Value,
    heard: Heard,
}

/// A standalone Milvus with something put at a path (`/spec/...`).
fn bad(name: &str, port: u16, what: &'static str, edits: &[(&str, Value)], heard: Heard) -> Bad {
    let mut resource = standalone(name, port);
    for (path, value) in edits {
        let mut at = &mut resource;
        for step in path.split('/').skip(1) {
            at = &mut at[step];
        }
        *at = value.clone();
    }
    Bad {
        name: name.to_owned(),
        what,
        resource,
        heard,
    }
}

const ETCD: &str = "/spec/dependencies/etcd/inCluster/values";
const MINIO: &str = "/spec/dependencies/storage/inCluster/values";

fn table() -> Vec<Bad> {
    let at = |base: &str, field: &str| format!("{base}/{field}");
    let long = "a-name-that-leaves-no-room-for-the-names-of-services-made-of-it";
    vec![
        bad(
            long,
            19550,
            "a name that is too long",
            &[],
            Heard::Refused(&["metadata.name: Invalid value", "50"]),
        ),
        bad(
            "four",
            19551,
            "four members of etcd",
            &[(&at(ETCD, "replicaCount"), json!(4))],
            Heard::Refused(&["spec.dependencies.etcd.inCluster.values.replicaCount"]),
        ),
        bad(
            "three",
            19552,
            "MinIO with three members of one drive",
            &[
                (&at(MINIO, "mode"), json!("distributed")),
                (&at(MINIO, "replicas"), json!(3)),
                (&at(MINIO, "drivesPerNode"), json!(1)),
            ],
            Heard::Told(
                "Accepted",
                "False",
                &["spec.dependencies.storage.inCluster.values"],
            ),
        ),
        bad(
            "role",
            19553,
            "a role that the version does not have",
            &[
                ("/spec/mode", json!("cluster")),
                ("/spec/dependencies/msgStreamType", json!("pulsar")),
                ("/spec/components/streamingNode", json!({"replicas": 1})),
            ],
            Heard::Told(
                "Accepted",
                "False",
                &["spec.components.streamingNode", "2.3.5"],
            ),
        ),
        bad(
            "external",
            19554,
            "an external etcd without endpoints",
            &[("/spec/dependencies/etcd", json!({"external": true}))],
            Heard::Refused(&["spec.dependencies.etcd", "endpoint"]),
        ),
        bad(
            "secret",
            19555,
            "a Secret that is not there",
            &[(
                "/spec/dependencies/storage/secretRef",
                json!("no-such-secret"),
            )],
            Heard::Told(
                "Accepted",
                "False",
                &["spec.dependencies.storage.secretRef", "no-such-secret"],
            ),
        ),
        bad(
            "image",
            19556,
            "an image that cannot be pulled",
            &[(&at(ETCD, "image/tag"), json!("no-such-tag"))],
            Heard::Told(
                "Degraded",
                "True",
                &[
                    "spec.dependencies.etcd.inCluster.values.image",
                    "no-such-tag",
                ],
            ),
        ),
        bad(
            "bind",
            19557,
            "a directory that is not there",
            &[(
                &at(ETCD, "persistence"),
                json!({"type": "bind", "path": "/srv/no/such/directory"}),
            )],
            Heard::Told(
                "Degraded",
                "True",
                &[
                    "spec.dependencies.etcd.inCluster.values.persistence",
                    "/srv/no/such/directory",
                ],
            ),
        ),
        bad(
            "port",
            19530,
            "a port that another cluster uses",
            &[],
            Heard::Told(
                "Accepted",
                "False",
                &["spec.swarm.gateway.port", "19530", DEMO],
            ),
        ),
        bad(
            "taken",
            19558,
            "a port that somebody else's service holds",
            &[],
            Heard::Told("Degraded", "True", &["spec.swarm.gateway.port"]),
        ),
        bad(
            "memory",
            19559,
            "more memory than any node has",
            &[(
                "/spec/components/standalone/resources/requests/memory",
                json!("900Gi"),
            )],
            Heard::Told(
                "Accepted",
                "False",
                &["spec.components.standalone.resources.requests.memory"],
            ),
        ),
        bad(
            "unknown",
            19560,
            "a misspelt field",
            &[("/spec/components/standalone/replcas", json!(1))],
            Heard::Refused(&["replcas", "unknown field"]),
        ),
    ]
}

/// Every row of the table, with the time that it took to hear of it; `demo` stays Ready and is not touched.
#[test]
fn each_is_told_by_field_and_cause() {
    let mut suite = suite();
    let _story = suite.demo();
    let before = (
        versions(&suite.docker, "service", "demo_"),
        suite.docker.running_ids("demo_"),
    );
    suite.docker.run(&[
        "service",
        "create",
        "-d",
        "--name",
        "squatter",
        "--mode",
        "global",
        "--publish",
        "mode=host,published=19558,target=1",
        "milvusdb/etcd:3.6.16",
        "sleep",
        "100000",
    ]);
    let mut wrong = Vec::new();
    for bad in table() {
        if let Err(why) = hear(&suite, &bad) {
            println!("  WRONG {}: {why}", bad.what);
            wrong.push(format!("{}: {why}", bad.what));
        }
        if let Err(why) = suite
            .kubectl
            .cluster(DEMO)
            .ok_or_else(|| "gone".to_owned())
            .and_then(|c| is_ready(&c))
        {
            wrong.push(format!("with {}, demo: {why}", bad.what));
        }
        suite.remove(&bad.name);
        let left: Vec<String> = ["service", "config", "secret", "network"]
            .iter()
            .flat_map(|kind| suite.docker.names(kind, &format!("{}_", bad.name)))
            .collect();
        if !left.is_empty() {
            wrong.push(format!("{} left {left:?}", bad.what));
        }
    }
    suite.docker.run(&["service", "rm", "squatter"]);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        before,
        (
            versions(&suite.docker, "service", "demo_"),
            suite.docker.running_ids("demo_")
        )
    );
}

fn hear(suite: &Suite, bad: &Bad) -> Result<(), String> {
    let start = Instant::now();
    let answer = suite
        .kubectl
        .pipe(&["apply", "-f", "-"], &bad.resource.to_string());
    let (kind, status, words) = match bad.heard {
        Heard::Refused(words) => {
            let text = answer.text();
            let named = words
                .iter()
                .all(|w| text.to_lowercase().contains(&w.to_lowercase()));
            println!("  {}: {}", bad.what, text.trim());
            return if !answer.ok() && named {
                Ok(())
            } else {
                Err(format!("the answer was: {text}"))
            };
        }
        Heard::Told(kind, status, words) => (kind, status, words),
    };
    answer.result()?;
    let all = |text: &str| words.iter().all(|w| text.contains(w));
    let limit = if kind == "Accepted" {
        SOON
    } else {
        Duration::from_secs(20)
    };
    let mut last = String::new();
    while start.elapsed() < limit {
        let resource = suite.kubectl.cluster(&bad.name).unwrap_or_default();
        let found = condition(&resource, kind);
        let events = suite.kubectl.events(&bad.name);
        let event = events
            .iter()
            .find(|e| e.kind == "Warning" && all(&e.message));
        if found.status == status && all(&found.message) && event.is_some() {
            println!(
                "  {}: {:.1} s, {}: {}",
                bad.what,
                start.elapsed().as_secs_f64(),
                found.reason,
                found.message
            );
            return Ok(());
        }
        last = format!("{kind} is {found:?}, events are {events:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(format!(
        "not told within {} s with {words:?}: {last}",
        limit.as_secs()
    ))
}

/// A bad resource that is put right becomes a cluster.
#[test]
fn what_is_put_right_goes_on() {
    let mut suite = suite();
    let _story = suite.demo();
    let _own = suite.story("right");
    suite.remove("right");
    let mut resource = standalone("right", 19561);
    resource["spec"]["dependencies"]["storage"]["secretRef"] = json!("right-login");
    suite.kubectl.apply(&resource);
    wait::until("the missing Secret to be named", SOON, || {
        let accepted = suite.kubectl.condition("right", "Accepted");
        (accepted.reason == "SecretMissing")
            .then_some(())
            .ok_or_else(|| format!("{accepted:?}"))
    });
    suite.kubectl.run(&[
        "create",
        "secret",
        "generic",
        "right-login",
        "--from-literal=accesskey=somebody",
        "--from-literal=secretkey=a-long-password",
    ]);
    suite.ready("right", crate::suite::START);
    suite.remove("right");
    suite.kubectl.run(&["delete", "secret", "right-login"]);
}
