//! How fast the server is, over TLS as clients come. Prints its figures. The promised limits hold for an optimised
//! build; without optimisation the figures say little, and only what is counted is checked.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use milvus_apiserver::auth::MASTERS;
use milvus_apiserver::pki;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};

const GADGETS: &str = "/apis/test.example.io/v1beta1/namespaces/default/gadgets";

type Sender = hyper::client::conn::http2::SendRequest<Full<bytes::Bytes>>;

async fn connect(running: &support::Running) -> Sender {
    let client = pki::create_client(&running.ca, "admin", MASTERS).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(running.ca.certificate.as_bytes()).unwrap())
        .unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(client.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = running.url.strip_prefix("https://").unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let tls = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(
    running: &support::Running,
    sender: &Sender,
    (method, uri, accept): (&str, &str, &str),
    body: &Value,
) -> bytes::Bytes {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{}{uri}", running.url))
        .header("content-type", content_type)
        .header("accept", accept)
        .body(Full::from(body))
        .unwrap();
    let response = sender.clone().send_request(request).await.unwrap();
    assert!(
        response.status().is_success(),
        "{method} {uri}: {}",
        response.status()
    );
    response.into_body().collect().await.unwrap().to_bytes()
}

fn gadget(name: &str) -> Value {
    // About 10 kB, as a cluster with its status is.
    let config: serde_json::Map<String, Value> = (0..100)
        .map(|index| {
            (
                format!("setting{index}"),
                json!({"value": "x".repeat(60), "index": index}),
            )
        })
        .collect();
    json!({
        "apiVersion": "test.example.io/v1beta1", "kind": "Gadget",
        "metadata": {"name": name}, "spec": {"version": "v1.0", "config": config},
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Prints a figure and holds it against its limit.
fn figure(what: &str, time: Duration, limit: Duration) {
    println!("{what}: {time:?}");
    if !cfg!(debug_assertions) {
        assert!(time <= limit, "{what} took {time:?}, more than {limit:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_writes_are_fast_with_and_without_watchers() {
    const JSON: &str = "application/json";
    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let running = support::start().await;
    let sender = connect(&running).await;
    for index in 0..100 {
        send(
            &running,
            &sender,
            ("POST", GADGETS, JSON),
            &gadget(&format!("g{index:03}")),
        )
        .await;
    }
    for (what, accept, uri) in [
        ("list of 100, json", JSON, format!("{GADGETS}?limit=500")),
        ("list of 100, table", TABLE, format!("{GADGETS}?limit=500")),
        ("get", JSON, format!("{GADGETS}/g050")),
    ] {
        let mut times = Vec::new();
        let mut size = 0;
        for _ in 0..20 {
            let begun = Instant::now();
            size = send(&running, &sender, ("GET", &uri, accept), &Value::Null)
                .await
                .len();
            times.push(begun.elapsed());
        }
        let time = median(times);
        figure(
            &format!("{what} ({size} bytes)"),
            time,
            Duration::from_millis(20),
        );
    }
    let write = |rounds: u32, from: u32| {
        let (running, sender) = (&running, &sender);
        async move {
            let mut times = Vec::new();
            for round in from..from + rounds {
                let body = json!({"spec": {"config": {"round": round}}});
                let uri = format!("{GADGETS}/g050?fieldValidation=Strict");
                let begun = Instant::now();
                send(running, sender, ("PATCH", &uri, JSON), &body).await;
                times.push(begun.elapsed());
            }
            median(times)
        }
    };
    let alone = write(100, 0).await;
    figure("patch", alone, Duration::from_millis(15));
    // Fifty watchers on the wire, each with a connection of its own, all reading.
    let mut watchers = Vec::new();
    for _ in 0..50 {
        let sender = connect(&running).await;
        let uri = format!("{}{GADGETS}?watch=true&resourceVersion=0", running.url);
        let request = http::Request::builder()
            .uri(uri)
            .body(Full::default())
            .unwrap();
        let mut body = sender
            .clone()
            .send_request(request)
            .await
            .unwrap()
            .into_body();
        watchers.push(tokio::spawn(async move {
            let mut lines = 0;
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap_or_default();
                lines += data.iter().filter(|byte| **byte == b'\n').count();
                if lines >= 200 {
                    break;
                }
            }
            drop(sender);
            lines
        }));
    }
    let watched = write(100, 100).await;
    figure("patch with 50 watchers", watched, Duration::from_millis(15));
    for watcher in watchers {
        let lines = tokio::time::timeout(Duration::from_secs(30), watcher)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(lines, 200, "100 objects and 100 changes");
    }
    let begun = Instant::now();
    running.shutdown.cancel();
    running.task.await.unwrap();
    figure("drain", begun.elapsed(), Duration::from_secs(5));
}
