//! Servers on the Swarm of [`super::engine`], and requests to them without a socket.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use milvus_apiserver::seal::Sealer;
use milvus_apiserver::store::Store;
use milvus_apiserver::store::swarm::{SwarmStore, SwarmStoreOptions};
use milvus_apiserver::{ApiServer, Authenticator, BuildError, Identity};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::engine::Engine;

pub const GADGETS: &str = "/apis/test.example.io/v1beta1/namespaces/default/gadgets";
pub const SECRETS: &str = "/api/v1/namespaces/default/secrets";

pub fn options() -> SwarmStoreOptions {
    SwarmStoreOptions {
        label_prefix: "test.example.io".into(),
        name_prefix: "test-store".into(),
        instance: "main".into(),
        resync: Duration::from_millis(10),
    }
}

pub fn store(engine: &Engine) -> SwarmStore<Engine> {
    SwarmStore::new(engine.clone(), options())
}

pub async fn server(engine: &Engine, key: u8) -> Result<ApiServer, BuildError> {
    server_on(Arc::new(store(engine)), key).await
}

pub async fn server_on(store: Arc<dyn Store>, key: u8) -> Result<ApiServer, BuildError> {
    ApiServer::builder()
        .crd(super::sample_crd())
        .store(store)
        .sealer(Arc::new(Sealer::new([key; 32]).unwrap()))
        .authenticator(Authenticator::new().unwrap())
        .build()
        .await
}

pub async fn send(server: &ApiServer, method: &str, uri: &str, body: Value) -> (u16, Value) {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", content_type)
        .extension(Identity::in_process("test"))
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = server.router().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

pub fn gadget(name: &str) -> Value {
    json!({
        "apiVersion": "test.example.io/v1beta1", "kind": "Gadget",
        "metadata": {"name": name}, "spec": {"version": "v1.0"},
    })
}
