//! Watch order under load, against a model: every watcher sees the same changes in the same order, from
//! where its list ended, with no gap and nothing twice, whatever the writers do and however slow it reads.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use futures::{Stream, StreamExt};
use http::Request;
use http_body_util::BodyExt;
use milvus_apiserver::Identity;
use milvus_apiserver::store::memory::MemoryStore;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

const GADGETS: &str = "/apis/test.example.io/v1beta1/namespaces/default/gadgets";

#[derive(Debug, Clone)]
enum Act {
    Create(u8),
    Label(u8, u8),
    Delete(u8),
    /// Let a watcher start here.
    Watch,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..6u8).prop_map(Act::Create),
        5 => (0..6u8, 0..3u8).prop_map(|(name, label)| Act::Label(name, label)),
        2 => (0..6u8).prop_map(Act::Delete),
        1 => Just(Act::Watch),
    ]
}

async fn send(router: &Router, method: &str, uri: &str, body: &Value) -> (u16, Value) {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", content_type)
        .extension(Identity::in_process("test"))
        .body(Body::from(match body {
            Value::Null => String::new(),
            body => body.to_string(),
        }))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

async fn lines(router: &Router, uri: &str) -> impl Stream<Item = Value> + Unpin + use<> {
    let request = Request::builder()
        .uri(uri)
        .extension(Identity::in_process("test"))
        .body(Body::empty())
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    response
        .into_body()
        .into_data_stream()
        .flat_map(|chunk| {
            let chunk = chunk.unwrap();
            let lines: Vec<Value> = serde_json::Deserializer::from_slice(&chunk)
                .into_iter()
                .map(Result::unwrap)
                .collect();
            futures::stream::iter(lines)
        })
        .boxed()
}

fn gadget(name: &str) -> Value {
    json!({
        "apiVersion": "test.example.io/v1beta1", "kind": "Gadget",
        "metadata": {"name": name}, "spec": {"version": "v1.0"},
    })
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn by_name(list: &Value) -> BTreeMap<String, Value> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["metadata"]["name"].as_str().unwrap().to_owned(),
                item.clone(),
            )
        })
        .collect()
}

/// A list, and a watch from where it ended; with a label selector for every second one.
struct Follower {
    selector: &'static str,
    known: BTreeMap<String, Value>,
    events: Box<dyn Stream<Item = Value> + Unpin + Send>,
}

impl Follower {
    async fn start(router: &Router, selector: &'static str) -> Self {
        let (_, list) = send(
            router,
            "GET",
            &format!("{GADGETS}?{selector}"),
            &Value::Null,
        )
        .await;
        let from = list["metadata"]["resourceVersion"].as_str().unwrap();
        let uri =
            format!("{GADGETS}?watch=true&timeoutSeconds=1&resourceVersion={from}&{selector}");
        Self {
            selector,
            known: by_name(&list),
            events: Box::new(lines(router, &uri).await),
        }
    }

    /// Reads to the end and answers the versions seen. The state must be that of a fresh list.
    async fn finish(mut self, router: &Router) -> Vec<(u64, String)> {
        let mut seen = Vec::new();
        let mut last = 0;
        while let Some(event) = self.events.next().await {
            let (kind, object) = (event["type"].as_str().unwrap(), &event["object"]);
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            assert!(version(object) > last, "out of order: {event}");
            last = version(object);
            match kind {
                "ADDED" => {
                    let old = self.known.insert(name.clone(), object.clone());
                    assert!(old.is_none(), "added twice: {event}");
                }
                "MODIFIED" => {
                    let old = self.known.insert(name.clone(), object.clone());
                    assert!(old.is_some(), "modified before it was added: {event}");
                }
                "DELETED" => {
                    assert!(self.known.remove(&name).is_some(), "deleted twice: {event}");
                }
                other => panic!("{other}: {event}"),
            }
            seen.push((last, format!("{kind} {name}")));
        }
        let uri = format!("{GADGETS}?{}", self.selector);
        let (_, list) = send(router, "GET", &uri, &Value::Null).await;
        assert_eq!(self.known, by_name(&list), "a follower differs from a list");
        seen
    }
}

async fn play(acts: Vec<Act>) {
    let server = support::build(MemoryStore::new()).await;
    let router = server.router();
    let mut followers = vec![Follower::start(&router, "").await];
    let mut selective = vec![Follower::start(&router, "labelSelector=l%3D1").await];
    for act in acts {
        let uri = |name| format!("{GADGETS}/g{name}");
        match act {
            Act::Create(name) => {
                send(&router, "POST", GADGETS, &gadget(&format!("g{name}"))).await;
            }
            Act::Label(name, label) => {
                let body = json!({"metadata": {"labels": {"l": label.to_string()}}});
                send(&router, "PATCH", &uri(name), &body).await;
            }
            Act::Delete(name) => {
                send(&router, "DELETE", &uri(name), &Value::Null).await;
            }
            Act::Watch => {
                followers.push(Follower::start(&router, "").await);
                selective.push(Follower::start(&router, "labelSelector=l%3D1").await);
            }
        }
    }
    for group in [followers, selective] {
        let finished = group.into_iter().map(|follower| follower.finish(&router));
        let histories = futures::future::join_all(finished).await;
        // Who started later saw the tail of what the first one saw.
        for history in &histories {
            assert!(histories[0].ends_with(history), "{histories:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_watcher_sees_one_order_without_gaps(acts in prop::collection::vec(act(), 1..60)) {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(play(acts));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_writers_lose_no_update() {
    let server = support::build(MemoryStore::new()).await;
    let router = server.router();
    send(&router, "POST", GADGETS, &gadget("shared")).await;
    let follower = Follower::start(&router, "").await;
    let uri = format!("{GADGETS}/shared");
    let writers = (0..8).map(|writer| {
        let (router, uri) = (router.clone(), uri.clone());
        tokio::spawn(async move {
            let mut done = 0;
            while done < 10 {
                // Read, change, write with the version read: half of it will conflict.
                let (_, mut object) = send(&router, "GET", &uri, &Value::Null).await;
                let count = object["spec"]["config"]["n"].as_u64().unwrap_or(0);
                object["spec"]["config"] = json!({"n": count + 1, "by": writer});
                match send(&router, "PUT", &uri, &object).await {
                    (200, _) => done += 1,
                    (409, _) => tokio::task::yield_now().await,
                    other => panic!("{other:?}"),
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let (_, object) = send(&router, "GET", &uri, &Value::Null).await;
    assert_eq!(object["spec"]["config"]["n"], 80);
    assert_eq!(object["metadata"]["generation"], 81);
    assert_eq!(follower.finish(&router).await.len(), 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_does_not_read_is_dropped_and_slows_nobody() {
    let server = support::build(MemoryStore::new()).await;
    let router = server.router();
    send(&router, "POST", GADGETS, &gadget("busy")).await;
    let mut asleep = lines(&router, &format!("{GADGETS}?watch=true")).await;
    assert_eq!(asleep.next().await.unwrap()["type"], "ADDED");
    let uri = format!("{GADGETS}/busy");
    // More than the window of 4 MiB holds.
    let padding = "x".repeat(64 << 10);
    let begun = Instant::now();
    for index in 0..100 {
        let body = json!({"spec": {"config": {"n": index, "padding": padding}}});
        let (code, _) = send(&router, "PATCH", &uri, &body).await;
        assert_eq!(code, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    let rest: Vec<Value> = asleep.collect().await;
    let last = rest.last().unwrap();
    assert_eq!(
        (last["type"].as_str(), last["object"]["code"].as_u64()),
        (Some("ERROR"), Some(410))
    );
    assert!(rest.len() < 100, "it cannot have seen them all");
}
