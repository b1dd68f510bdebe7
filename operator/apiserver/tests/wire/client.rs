//! A client without a socket, and what it makes.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::StreamExt;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use milvus_apiserver::Identity;
use milvus_apiserver::store::memory::MemoryStore;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support;

pub const GADGETS: &str = "/apis/test.example.io/v1beta1/namespaces/default/gadgets";
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

pub struct Client {
    pub router: Router,
    pub identity: Option<Identity>,
}

pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in {} {}", self.code, self.text))
    }

    /// The message holds this text.
    pub fn says(&self, text: &str) {
        assert!(
            self.message().contains(text),
            "{text:?} is not in {}",
            self.text
        );
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }
}

impl Client {
    pub async fn new() -> Self {
        let server = support::build(MemoryStore::new()).await;
        let client = Self {
            router: server.router(),
            identity: Some(Identity::in_process("test")),
        };
        // The server lives as long as its background work may be wanted.
        std::mem::forget(server);
        client
    }

    pub fn as_user(&self, identity: Option<Identity>) -> Self {
        Self {
            router: self.router.clone(),
            identity,
        }
    }

    pub async fn send(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(identity) = &self.identity {
            request = request.extension(identity.clone());
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::from(body.to_owned())).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        Answer {
            code: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(text.to_vec()).unwrap(),
        }
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.send("GET", uri, &[], "").await
    }

    pub async fn post(&self, uri: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send("POST", uri, &headers, &body.to_string()).await
    }

    pub async fn put(&self, uri: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send("PUT", uri, &headers, &body.to_string()).await
    }

    pub async fn patch(&self, uri: &str, kind: &str, body: &Value) -> Answer {
        let content_type = format!("application/{kind}");
        let headers = [("content-type", content_type.as_str())];
        self.send("PATCH", uri, &headers, &body.to_string()).await
    }

    pub async fn delete(&self, uri: &str, body: &str) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send("DELETE", uri, &headers, body).await
    }

    pub async fn made(&self, name: &str) -> Value {
        let answer = self.post(GADGETS, &gadget(name)).await;
        assert_eq!(answer.code, 201, "{}", answer.text);
        answer.json()
    }

    /// The lines of a watch, as they come.
    pub async fn watch(&self, uri: &str) -> impl futures::Stream<Item = Value> + Unpin + use<> {
        let mut request = Request::builder().uri(uri);
        if let Some(identity) = &self.identity {
            request = request.extension(identity.clone());
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response
            .into_body()
            .into_data_stream()
            .flat_map(|chunk| {
                let chunk = chunk.unwrap();
                let lines: Vec<Value> = String::from_utf8(chunk.to_vec())
                    .unwrap()
                    .lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect();
                futures::stream::iter(lines)
            })
            .boxed()
    }
}

pub async fn next(stream: &mut (impl futures::Stream<Item = Value> + Unpin)) -> (String, Value) {
    let event = tokio::time::timeout(Duration::from_secs(5), stream.next())
        .await
        .expect("no event came")
        .expect("the watch ended");
    (
        event["type"].as_str().unwrap().to_owned(),
        event["object"].clone(),
    )
}

pub fn gadget(name: &str) -> Value {
    json!({
        "apiVersion": "test.example.io/v1beta1", "kind": "Gadget",
        "metadata": {"name": name}, "spec": {"version": "v1.0"},
    })
}
