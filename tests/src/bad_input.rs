//! What cannot be, and how people hear of it: one table for all platforms, and the judge of a row. A suite adds what only its
//! platform knows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kubectl::{Kubectl, condition};

/// How people hear of it.
#[derive(Clone, Copy, Debug)]
pub enum Heard {
    /// The API server does not take it; these words are in its answer.
    Refused(&'static [&'static str]),
    /// This condition has this status, and an event says it too as a warning; both hold these words.
    Told(&'static str, &'static str, &'static [&'static str]),
    /// The same where it may come right by itself: the event is that of a wait.
    Waits(&'static str, &'static str, &'static [&'static str]),
}

/// One row.
#[derive(Clone, Debug)]
pub struct Bad {
    /// Name of the resource.
    pub name: String,
    /// For people.
    pub what: &'static str,
    /// The resource.
    pub resource: Value,
    /// What becomes of it.
    pub heard: Heard,
}

/// Values of the etcd of a cluster.
pub const ETCD: &str = "/spec/dependencies/etcd/inCluster/values";
/// Values of its MinIO.
pub const MINIO: &str = "/spec/dependencies/storage/inCluster/values";

/// A resource with something put at paths (`/spec/...`).
pub fn bad(mut resource: Value, what: &'static str, edits: &[(&str, Value)], heard: Heard) -> Bad {
    for (path, value) in edits {
        let mut at = &mut resource;
        for step in path.split('/').skip(1) {
            at = &mut at[step];
        }
        *at = value.clone();
    }
    Bad {
        name: resource["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        what,
        resource,
        heard,
    }
}

/// What every platform refuses alike. `standalone` makes a good resource of a name, a standalone Milvus 2.3.5 with an etcd
/// and a MinIO of its own, in which something is put wrong.
pub fn everywhere(mut standalone: impl FnMut(&str) -> Value) -> Vec<Bad> {
    let long = "a-name-that-leaves-no-room-for-the-names-of-services-made-of-it";
    let at = |base: &str, field: &str| format!("{base}/{field}");
    vec![
        bad(
            standalone(long),
            "a name that is too long",
            &[],
            Heard::Refused(&["metadata.name", "50"]),
        ),
        bad(
            standalone("four"),
            "four members of etcd",
            &[(&at(ETCD, "replicaCount"), json!(4))],
            Heard::Refused(&["spec.dependencies.etcd.inCluster.values.replicaCount"]),
        ),
        bad(
            standalone("three"),
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
            standalone("role"),
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
            standalone("external"),
            "an external etcd without endpoints",
            &[("/spec/dependencies/etcd", json!({"external": true}))],
            Heard::Refused(&["spec.dependencies.etcd", "endpoint"]),
        ),
        bad(
            standalone("secret"),
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
            standalone("latest"),
            "an image whose tag does not contain its version",
            &[("/spec/components/image", json!("milvusdb/milvus:latest"))],
            Heard::Told("Accepted", "False", &["spec.components.image", "latest"]),
        ),
        bad(
            standalone("unknown"),
            "a misspelt field",
            &[("/spec/components/standalone/replcas", json!(1))],
            Heard::Refused(&["replcas", "unknown field"]),
        ),
    ]
}

/// Applies a row; an error where people did not hear of it in time as they should.
pub fn hear(kubectl: &Kubectl, bad: &Bad, limit: Duration) -> Result<(), String> {
    let start = Instant::now();
    let answer = kubectl.pipe(&["apply", "-f", "-"], &bad.resource.to_string());
    let warning = !matches!(bad.heard, Heard::Waits(..));
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
        Heard::Told(kind, status, words) | Heard::Waits(kind, status, words) => {
            (kind, status, words)
        }
    };
    answer.result()?;
    let all = |text: &str| words.iter().all(|w| text.contains(w));
    let mut last = String::new();
    while start.elapsed() < limit {
        let resource = kubectl.cluster(&bad.name).unwrap_or_default();
        let found = condition(&resource, kind);
        let events = kubectl.events(&bad.name);
        let event = events
            .iter()
            .find(|e| (e.kind == "Warning") == warning && all(&e.message));
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
