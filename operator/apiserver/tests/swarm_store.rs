//! The store on a Swarm's configs, alone and under the server, with the faults that a Swarm has.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use milvus_apiserver::store::{Change, Record, Store, StoreError};
use milvus_apiserver::{ApiServer, Authenticator, BuildError};
use serde_json::{Value, json};
use support::engine::{Engine, Fault};
use support::swarm::{GADGETS, SECRETS, gadget, options, send, server, store};

#[tokio::test]
async fn keeps_records_over_a_restart() {
    let engine = Engine::default();
    let first = store(&engine);
    let created = first
        .create("a/b/c", Bytes::from_static(b"1"))
        .await
        .unwrap();
    let updated = first
        .update("a/b/c", created, Bytes::from_static(b"2"))
        .await
        .unwrap();
    assert!(updated > created);
    let second = store(&engine);
    assert_eq!(
        second.load_all().await.unwrap(),
        [Record {
            key: "a/b/c".into(),
            revision: updated,
            body: Bytes::from_static(b"2")
        }]
    );
    second.delete("a/b/c", updated).await.unwrap();
    assert_eq!(second.get("a/b/c").await.unwrap(), None);
}

#[tokio::test]
async fn a_second_writer_is_refused_and_sees_why() {
    let engine = Engine::default();
    let (one, two) = (store(&engine), store(&engine));
    let revision = one.create("k", Bytes::from_static(b"1")).await.unwrap();
    two.load_all().await.unwrap();
    two.update("k", revision, Bytes::from_static(b"2"))
        .await
        .unwrap();
    assert!(matches!(
        one.update("k", revision, Bytes::from_static(b"3")).await,
        Err(StoreError::Conflict { .. })
    ));
    assert!(matches!(
        one.delete("k", revision).await,
        Err(StoreError::Conflict { .. })
    ));
    let seen = one.get("k").await.unwrap().unwrap();
    assert_eq!(seen.body, "2");
    one.update("k", seen.revision, Bytes::from_static(b"3"))
        .await
        .unwrap();
}

#[tokio::test]
async fn tells_what_others_did() {
    let engine = Engine::default();
    let mine = store(&engine);
    let stays = mine
        .create("stays", Bytes::from_static(b"1"))
        .await
        .unwrap();
    mine.create("goes", Bytes::from_static(b"1")).await.unwrap();
    let mut changes = mine.changes("none");
    engine.objects(|objects| {
        objects.retain(|_, object| object.labels["test.example.io/key"] != "goes");
    });
    let change = changes.next().await.unwrap();
    assert_eq!(change, Change::Vanished { key: "goes".into() });
    mine.create("goes", Bytes::from_static(b"again"))
        .await
        .unwrap();
    let other = store(&engine);
    other.load_all().await.unwrap();
    other
        .update("stays", stays, Bytes::from_static(b"2"))
        .await
        .unwrap();
    let change = changes.next().await.unwrap();
    assert!(
        matches!(&change, Change::Changed(record) if record.body == "2"),
        "{change:?}"
    );
}

#[tokio::test]
async fn refuses_what_the_swarm_would_refuse() {
    let store = store(&Engine::default());
    let large = Bytes::from(vec![b'x'; (1 << 20) + 1]);
    assert!(matches!(
        store.create("k", large).await,
        Err(StoreError::TooLarge { .. })
    ));
    let name = options().object_name("a/very/long-key");
    assert!(
        name.len() <= 64 && name.starts_with("test-store-"),
        "{name}"
    );
}

fn secret(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "stringData": {"password": "correct horse battery staple"},
    })
}

#[tokio::test]
async fn a_server_comes_back_with_all_it_had_and_secrets_are_sealed() {
    let engine = Engine::default();
    let first = server(&engine, 1).await.unwrap();
    let (_, made) = send(&first, "POST", GADGETS, gadget("demo")).await;
    let (_, kept) = send(&first, "POST", SECRETS, secret("minio")).await;
    engine.objects(|objects| {
        let all = format!("{objects:?}");
        assert!(
            !all.contains("correct horse") && !all.contains("Y29ycmVjdCBob3JzZ"),
            "{all}"
        );
    });
    drop(first);
    let second = server(&engine, 1).await.unwrap();
    assert_eq!(
        send(&second, "GET", &format!("{GADGETS}/demo"), Value::Null)
            .await
            .1,
        made
    );
    assert_eq!(
        send(&second, "GET", &format!("{SECRETS}/minio"), Value::Null)
            .await
            .1,
        kept
    );
    let (_, later) = send(&second, "POST", GADGETS, gadget("later")).await;
    let version = |object: &Value| -> u64 {
        object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(version(&later) > version(&kept));
    drop(second);
    let wrong_key = server(&engine, 2).await.unwrap_err();
    assert!(
        wrong_key.to_string().contains("secrets/default/minio"),
        "{wrong_key}"
    );
}

#[tokio::test]
async fn a_store_that_others_can_read_needs_a_sealer() {
    let refused = ApiServer::builder()
        .store(Arc::new(store(&Engine::default())))
        .authenticator(Authenticator::new().unwrap())
        .build()
        .await;
    assert!(matches!(refused, Err(BuildError::NoSealer)));
}

#[tokio::test]
async fn at_rest_nothing_is_written() {
    let engine = Engine::default();
    let server = server(&engine, 1).await.unwrap();
    send(&server, "POST", GADGETS, gadget("demo")).await;
    let before = engine.writes();
    let body = json!({"spec": {"version": "v1.0"}});
    for _ in 0..3 {
        send(&server, "PATCH", &format!("{GADGETS}/demo"), body.clone()).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(engine.writes(), before);
}

#[tokio::test]
async fn a_swarm_without_a_leader_is_said_and_survived() {
    let engine = Engine::default();
    let server = server(&engine, 1).await.unwrap();
    let (_, made) = send(&server, "POST", GADGETS, gadget("demo")).await;
    engine.set(Fault::Down);
    let (code, status) = send(&server, "POST", GADGETS, gadget("other")).await;
    assert_eq!(
        (code, status["reason"].as_str()),
        (503, Some("ServiceUnavailable"))
    );
    assert!(
        status["message"].as_str().unwrap().contains("no leader"),
        "{status}"
    );
    let uri = format!("{GADGETS}/demo");
    assert_eq!(send(&server, "DELETE", &uri, json!({})).await.0, 503);
    // Reads go on, and nothing is taken for gone.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(send(&server, "GET", &uri, Value::Null).await.1, made);
    engine.set(Fault::None);
    assert_eq!(send(&server, "POST", GADGETS, gadget("other")).await.0, 201);
    assert_eq!(send(&server, "DELETE", &uri, json!({})).await.0, 200);
}

#[tokio::test]
async fn writes_whose_answers_were_lost_are_found() {
    let engine = Engine::default();
    let server = server(&engine, 1).await.unwrap();
    engine.set(Fault::AnswersLost);
    // Carried out, though nobody was told.
    assert_eq!(send(&server, "POST", GADGETS, gadget("demo")).await.0, 503);
    let uri = format!("{GADGETS}/demo");
    assert_eq!(send(&server, "GET", &uri, Value::Null).await.0, 200);
    assert_eq!(
        send(&server, "PATCH", &uri, json!({"spec": {"version": "v2.0"}}))
            .await
            .0,
        503
    );
    assert_eq!(
        send(&server, "GET", &uri, Value::Null).await.1["spec"]["version"],
        "v2.0"
    );
    engine.set(Fault::None);
    assert_eq!(send(&server, "POST", GADGETS, gadget("demo")).await.0, 409);
    assert_eq!(
        send(&server, "PATCH", &uri, json!({"spec": {"version": "v3.0"}}))
            .await
            .0,
        200
    );
    assert_eq!(send(&server, "DELETE", &uri, json!({})).await.0, 200);
}

#[tokio::test]
async fn a_record_removed_from_outside_is_written_again_and_reported() {
    let engine = Engine::default();
    let server = server(&engine, 1).await.unwrap();
    let (_, made) = send(&server, "POST", GADGETS, gadget("demo")).await;
    let name = options().object_name("gadgets.test.example.io/default/demo");
    let is_there = || engine.objects(|objects| objects.values().any(|object| object.name == name));
    assert!(is_there());
    engine.objects(|objects| objects.retain(|_, object| object.name != name));
    for _ in 0..200 {
        if is_there() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is_there(), "the record was not written again");
    assert_eq!(
        send(&server, "GET", &format!("{GADGETS}/demo"), Value::Null)
            .await
            .1,
        made
    );
    let events = "/api/v1/namespaces/default/events?fieldSelector=reason%3DStoredRecordRestored";
    for _ in 0..200 {
        let (_, list) = send(&server, "GET", events, Value::Null).await;
        if list["items"][0]["involvedObject"]["uid"] == made["metadata"]["uid"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no event told of it");
}

#[tokio::test]
async fn a_secret_that_does_not_fit_is_refused_with_the_size_that_does() {
    let server = server(&Engine::default(), 1).await.unwrap();
    let secret = |bytes: usize| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "large"},
            "stringData": {"a": "x".repeat(bytes)},
        })
    };
    let (code, answer) = send(&server, "POST", SECRETS, secret(700_000)).await;
    assert_eq!(
        (code, &answer["reason"]),
        (413, &json!("RequestEntityTooLarge"))
    );
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.contains("Secret \"large\" takes")
            && message.contains("about 589824 bytes of values fit"),
        "{message}"
    );
    assert_eq!(send(&server, "POST", SECRETS, secret(588_000)).await.0, 201);
}
