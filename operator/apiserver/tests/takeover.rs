//! Two servers on one store: the one that was started last has it, the other one finds out and does
//! no harm.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use milvus_apiserver::store::memory::MemoryStore;
use milvus_apiserver::store::swarm::{SwarmStore, SwarmStoreOptions};
use milvus_apiserver::store::{Record, Revision, Store, StoreError, StoreFuture};
use milvus_apiserver::{ApiServer, BuildError, Identity};
use serde_json::{Value, json};
use support::engine::{Engine, Fault};
use support::swarm::{GADGETS, gadget, options, send, server, server_on};
use tokio::time::timeout;
use tower::ServiceExt;

const VERSION_KEY: &str = "meta/resource-version";
const SOON: Duration = Duration::from_secs(5);

/// A server that does not hear of what others do.
async fn deaf_server(engine: &Engine) -> ApiServer {
    let options = SwarmStoreOptions {
        resync: Duration::from_secs(3600),
        ..options()
    };
    let store = SwarmStore::new(engine.clone(), options);
    let server = server_on(Arc::new(store), 1).await.unwrap();
    // The first comparison is made at once.
    tokio::time::sleep(Duration::from_millis(50)).await;
    server
}

fn uri(name: &str) -> String {
    format!("{GADGETS}/{name}")
}

fn is_stored(engine: &Engine, key: &str) -> bool {
    let name = options().object_name(key);
    engine.objects(|objects| objects.values().any(|object| object.name == name))
}

fn is_gadget_stored(engine: &Engine, name: &str) -> bool {
    is_stored(engine, &format!("gadgets.test.example.io/default/{name}"))
}

async fn until_superseded(server: &ApiServer) {
    timeout(SOON, server.superseded().cancelled())
        .await
        .expect("the older server did not notice");
}

fn assert_refused(answer: &(u16, Value)) {
    let (code, status) = answer;
    assert_eq!(*code, 503, "{status}");
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("taken over the store"), "{message}");
}

#[tokio::test]
async fn the_older_of_two_ends_its_work_and_brings_nothing_back() {
    let engine = Engine::default();
    let old = server(&engine, 1).await.unwrap();
    send(&old, "POST", GADGETS, gadget("demo")).await;
    send(&old, "POST", GADGETS, gadget("stays")).await;
    let request = Request::get(format!("{GADGETS}?watch=true&resourceVersion=0"))
        .extension(Identity::in_process("test"))
        .body(Body::empty())
        .unwrap();
    let watch = old.router().oneshot(request).await.unwrap();
    let watch = tokio::spawn(watch.into_body().collect());

    let new = server(&engine, 1).await.unwrap();
    assert_eq!(send(&new, "DELETE", &uri("demo"), json!({})).await.0, 200);
    until_superseded(&old).await;
    timeout(SOON, watch)
        .await
        .expect("its watch goes on")
        .unwrap()
        .unwrap();
    assert_refused(&send(&old, "POST", GADGETS, gadget("other")).await);
    let edit = json!({"spec": {"version": "v2.0"}});
    assert_refused(&send(&old, "PATCH", &uri("stays"), edit.clone()).await);
    assert_refused(&send(&old, "DELETE", &uri("stays"), json!({})).await);
    assert_eq!(send(&old, "GET", &uri("stays"), Value::Null).await.0, 200);

    let writes = engine.writes();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(engine.writes(), writes, "somebody writes");
    assert!(!is_gadget_stored(&engine, "demo"), "it rose from the dead");
    assert!(is_gadget_stored(&engine, "stays"));
    assert!(!new.superseded().is_cancelled());
    assert_eq!(send(&new, "PATCH", &uri("stays"), edit).await.0, 200);
    assert_eq!(send(&new, "GET", &uri("demo"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn one_that_has_heard_of_nothing_looks_after_a_lost_race_and_before_it_writes_again_or_removes()
 {
    let engine = Engine::default();
    for act in ["PATCH", "POST", "DELETE"] {
        let old = deaf_server(&engine).await;
        send(&old, "POST", GADGETS, gadget("demo")).await;
        send(&old, "POST", GADGETS, gadget("stays")).await;
        let new = deaf_server(&engine).await;
        assert_eq!(send(&new, "DELETE", &uri("demo"), json!({})).await.0, 200);
        assert!(!old.superseded().is_cancelled());
        if act == "POST" {
            assert_eq!(send(&new, act, GADGETS, gadget("made")).await.0, 201);
            assert_refused(&send(&old, act, GADGETS, gadget("made")).await);
            assert_eq!(send(&new, "DELETE", &uri("made"), json!({})).await.0, 200);
        } else if act == "PATCH" {
            // It finds the record gone, which it wrote again until it knew of takeovers.
            let edit = json!({"spec": {"version": "v2.0"}});
            assert_refused(&send(&old, act, &uri("demo"), edit).await);
        } else {
            assert_refused(&send(&old, act, &uri("stays"), json!({})).await);
        }
        until_superseded(&old).await;
        assert!(!is_gadget_stored(&engine, "demo"), "{act}");
        assert!(is_gadget_stored(&engine, "stays"), "{act}");
        assert_eq!(send(&new, "DELETE", &uri("stays"), json!({})).await.0, 200);
    }
}

#[tokio::test]
async fn a_start_is_one_write_of_a_higher_number() {
    let engine = Engine::default();
    let first = server(&engine, 1).await.unwrap();
    send(&first, "POST", GADGETS, gadget("demo")).await;
    drop(first);
    let number = || {
        let name = options().object_name(VERSION_KEY);
        engine.objects(|objects| {
            let record = objects.values().find(|object| object.name == name).unwrap();
            // Older releases read it as this, too.
            record.labels["test.example.io/body"]
                .parse::<u64>()
                .unwrap()
        })
    };
    for _ in 0..3 {
        let (writes, before) = (engine.writes(), number());
        let server = server(&engine, 1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(engine.writes(), writes + 1);
        assert!(number() > before);
        // It has set versions aside already.
        let edit = json!({"metadata": {"labels": {"edited": format!("after-{before}")}}});
        let (code, made) = send(&server, "PATCH", &uri("demo"), edit).await;
        assert_eq!((code, engine.writes()), (200, writes + 2));
        let version = made["metadata"]["resourceVersion"].as_str().unwrap();
        let version: u64 = version.parse().unwrap();
        assert!(before < version && version <= number());
    }
}

#[tokio::test]
async fn a_takeover_without_an_answer_is_tried_again() {
    let engine = Engine::default();
    let old = server(&engine, 1).await.unwrap();
    send(&old, "POST", GADGETS, gadget("demo")).await;
    let silent = |built: Result<ApiServer, BuildError>| {
        matches!(built, Err(BuildError::Load(StoreError::Unavailable { .. })))
    };
    engine.set(Fault::Down);
    assert!(silent(server(&engine, 1).await));
    assert!(!old.superseded().is_cancelled());
    // Carried out, though nobody was told: the old one goes, whoever comes.
    engine.set(Fault::AnswersLost);
    assert!(silent(server(&engine, 1).await));
    until_superseded(&old).await;
    engine.set(Fault::None);
    let new = server(&engine, 1).await.unwrap();
    assert_eq!(send(&new, "DELETE", &uri("demo"), json!({})).await.0, 200);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!new.superseded().is_cancelled());
    assert!(!is_gadget_stored(&engine, "demo"));
}

#[tokio::test]
async fn one_that_cannot_read_the_store_takes_nothing_over() {
    let engine = Engine::default();
    let old = server(&engine, 1).await.unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "minio"},
        "stringData": {"password": "correct horse battery staple"},
    });
    let secrets = "/api/v1/namespaces/default/secrets";
    assert_eq!(send(&old, "POST", secrets, secret).await.0, 201);
    let writes = engine.writes();
    assert!(matches!(
        server(&engine, 2).await,
        Err(BuildError::Record { .. })
    ));
    assert_eq!(engine.writes(), writes);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!old.superseded().is_cancelled());
}

#[tokio::test]
async fn everything_removed_by_hand_is_written_again_by_the_one_that_leads() {
    let engine = Engine::default();
    let server = server(&engine, 1).await.unwrap();
    send(&server, "POST", GADGETS, gadget("demo")).await;
    engine.objects(|objects| objects.clear());
    timeout(SOON, async {
        while !(is_gadget_stored(&engine, "demo") && is_stored(&engine, VERSION_KEY)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the records were not written again");
    assert!(!server.superseded().is_cancelled());
    assert_eq!(
        send(&server, "DELETE", &uri("demo"), json!({})).await.0,
        200
    );
}

/// Before each of the first writes of the record, somebody else writes it.
struct Contended {
    inner: MemoryStore,
    times: AtomicU32,
}

impl Contended {
    async fn interfere(&self, key: &str) {
        if key != VERSION_KEY || self.times.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.times.fetch_sub(1, Ordering::Relaxed);
        match self.inner.get(key).await.unwrap() {
            None => {
                let body = Bytes::from_static(b"1234567");
                self.inner.create(key, body).await.unwrap();
            }
            Some(record) => {
                let number: u64 = std::str::from_utf8(&record.body).unwrap().parse().unwrap();
                let body = Bytes::from((number + 1234).to_string());
                self.inner.update(key, record.revision, body).await.unwrap();
            }
        }
    }
}

impl Store for Contended {
    fn load_all(&self) -> StoreFuture<'_, Vec<Record>> {
        self.inner.load_all()
    }

    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        self.inner.get(key)
    }

    fn create<'a>(&'a self, key: &'a str, body: Bytes) -> StoreFuture<'a, Revision> {
        Box::pin(async move {
            self.interfere(key).await;
            self.inner.create(key, body).await
        })
    }

    fn update<'a>(
        &'a self,
        key: &'a str,
        expected: Revision,
        body: Bytes,
    ) -> StoreFuture<'a, Revision> {
        Box::pin(async move {
            self.interfere(key).await;
            self.inner.update(key, expected, body).await
        })
    }

    fn delete<'a>(&'a self, key: &'a str, expected: Revision) -> StoreFuture<'a, ()> {
        self.inner.delete(key, expected)
    }

    fn is_private(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_lost_race_at_the_start_is_run_again_and_not_for_ever() {
    let contended = |times| {
        Arc::new(Contended {
            inner: MemoryStore::new(),
            times: AtomicU32::new(times),
        })
    };
    let server = server_on(contended(3), 1).await.unwrap();
    assert_eq!(send(&server, "POST", GADGETS, gadget("demo")).await.0, 201);
    assert!(!server.superseded().is_cancelled());
    let refused = server_on(contended(100), 1).await;
    assert!(matches!(refused, Err(BuildError::Contended(_))));
}
