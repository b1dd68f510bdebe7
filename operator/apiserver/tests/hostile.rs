//! A server on a real socket under careless and hostile use: others go on being answered, and nothing ends the process.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use milvus_apiserver::auth::{ADMIN, MASTERS, VIEW};
use milvus_apiserver::pki;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use support::Running;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const SECOND: Duration = Duration::from_secs(1);
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A client with a certificate of a group, or without one.
struct Client {
    tls: tokio_rustls::TlsConnector,
    address: String,
}

impl Client {
    fn new(running: &Running, group: Option<&str>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(running.ca.certificate.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match group {
            None => builder.with_no_client_auth(),
            Some(group) => {
                let pair = pki::create_client(&running.ca, &format!("u-{group}"), group).unwrap();
                let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(vec![certificate.unwrap()], key)
                    .unwrap()
            }
        };
        Self {
            tls: Arc::new(config).into(),
            address: running.url.trim_start_matches("https://").to_owned(),
        }
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&self.address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        self.tls.connect(name, stream).await
    }

    /// Sends bytes and reads until the server closes.
    async fn raw(&self, bytes: &[u8]) -> std::io::Result<String> {
        let mut stream = self.connect().await?;
        stream.write_all(bytes).await?;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        if answer.is_empty() {
            read?;
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let answer = self.raw(request.as_bytes()).await.unwrap();
        let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (code, answer)
    }

    async fn get(&self, path: &str) -> u16 {
        self.send("GET", path, "", "").await.0
    }

    /// The server answers within a second.
    async fn is_answered(&self) {
        let began = Instant::now();
        assert_eq!(self.get("/version").await, 200);
        assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_shut_nobody_out() {
    let running = support::start().await;
    let (anonymous, admin) = (
        Client::new(&running, None),
        Client::new(&running, Some(MASTERS)),
    );
    let mut silent = Vec::new();
    let mut half_open = Vec::new();
    for i in 0..512 {
        silent.push(anonymous.connect().await.unwrap());
        half_open.push(TcpStream::connect(&anonymous.address).await.unwrap());
        if i % 128 == 127 {
            admin.is_answered().await;
            anonymous.is_answered().await;
        }
    }
    admin.is_answered().await;
    anonymous.is_answered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_beyond_any_clock_are_refused() {
    let running = support::start().await;
    let viewer = Client::new(&running, Some(VIEW));
    for (path, code) in [
        (
            "/api/v1/configmaps?watch=1&timeoutSeconds=18446744073709551615",
            400,
        ),
        (
            "/api/v1/configmaps?watch=1&resourceVersion=18446744073709551615",
            200,
        ),
        ("/api/v1/configmaps?limit=18446744073709551615", 400),
        ("/api/v1/configmaps?limit=9223372036854775807", 200),
        (
            "/api/v1/configmaps?resourceVersion=18446744073709551615",
            504,
        ),
    ] {
        assert_eq!(viewer.get(path).await, code, "{path}");
    }
    let mut watch = viewer.connect().await.unwrap();
    let path = "/api/v1/configmaps?watch=1&timeoutSeconds=9223372036854775807";
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    watch.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    watch.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    viewer.is_answered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_hold_little_and_others_are_answered() {
    let running = support::start().await;
    let admin = Client::new(&running, Some(MASTERS));
    let mut slow = Vec::new();
    let half = "x".repeat(400_000);
    for _ in 0..100 {
        let mut stream = admin.connect().await.unwrap();
        let head = format!(
            "POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Those whose turn it is not are not read from.
        let _ = tokio::time::timeout(SECOND / 20, stream.write_all(half.as_bytes())).await;
        slow.push(stream);
    }
    let other = Client::new(&running, Some(ADMIN));
    let began = Instant::now();
    let body = r#"{"metadata":{"name":"quick"}}"#;
    assert_eq!(other.send("POST", MAPS, "", body).await.0, 201);
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_s_heavy_requests_leave_others_answered() {
    let running = support::start().await;
    let admin = Arc::new(Client::new(&running, Some(MASTERS)));
    let keys: String = (0..50_000)
        .map(|i| format!("\"k{i}\":1,\"k{i}\":2,"))
        .collect();
    let body = Arc::new(format!("{{{keys}\"metadata\":{{\"name\":\"x\"}}}}"));
    let heavy: Vec<_> = (0..6)
        .map(|_| {
            let (admin, body) = (admin.clone(), body.clone());
            tokio::spawn(async move { admin.send("POST", MAPS, "", &body).await })
        })
        .collect();
    let other = Client::new(&running, Some(VIEW));
    for _ in 0..5 {
        other.is_answered().await;
        tokio::time::sleep(SECOND / 10).await;
    }
    for request in heavy {
        let (code, answer) = request.await.unwrap();
        assert!(matches!(code, 201 | 409 | 422 | 429), "{code}");
        let head = answer.split("\r\n\r\n").next().unwrap();
        assert!(head.len() < 16_000, "{}", head.len());
    }
    let none = Client::new(&running, Some("none"));
    let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(none.send("POST", review, "", &body).await.0, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impersonation_needs_the_right_and_is_honoured() {
    let running = support::start().await;
    let (admin, viewer) = (
        Client::new(&running, Some(ADMIN)),
        Client::new(&running, Some(VIEW)),
    );
    let secrets = "/api/v1/secrets";
    let bob = "Impersonate-User: bob\r\n";
    let (code, text) = admin.send("GET", secrets, bob, "").await;
    assert_eq!(code, 403);
    assert!(
        text.contains("User \\\"bob\\\" cannot list resource"),
        "{text}"
    );
    let as_viewer = format!("{bob}Impersonate-Group: {VIEW}\r\n");
    assert_eq!(
        admin
            .send("GET", "/api/v1/configmaps", &as_viewer, "")
            .await
            .0,
        200
    );
    assert_eq!(admin.send("GET", secrets, &as_viewer, "").await.0, 403);
    let (code, text) = viewer
        .send(
            "GET",
            secrets,
            &format!("{bob}Impersonate-Group: {MASTERS}\r\n"),
            "",
        )
        .await;
    assert_eq!(code, 403);
    assert!(text.contains("users \\\"bob\\\" is forbidden: User \\\"u-milvus:view\\\" cannot impersonate resource \\\"users\\\""), "{text}");
    for header in ["Impersonate-Uid: 1\r\n", "Impersonate-Extra-a: 1\r\n"] {
        let (code, text) = admin
            .send("GET", secrets, &format!("{bob}{header}"), "")
            .await;
        assert_eq!(code, 403, "{text}");
        let (code, _) = admin.send("GET", secrets, header, "").await;
        assert_eq!(code, 400);
    }
}

/// Requests that are whole, cut, mixed up or no requests.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "X"]);
    let path = prop_oneof![
        prop::sample::select(vec![
            "/",
            "/version",
            "/api/v1/configmaps",
            MAPS,
            "/api/v1/namespaces/default",
            "/apis/test.example.io/v1beta1/namespaces/default/gadgets/a/scale",
            "/openapi/v3",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        ])
        .prop_map(str::to_owned),
        "/[ -~]{0,40}",
    ];
    let query = prop_oneof![
        Just(String::new()),
        "\\?(watch|limit|timeoutSeconds|resourceVersion|continue|labelSelector|fieldSelector|dryRun)=[-a-z0-9%,=!().]{0,24}",
    ];
    let kind = prop::sample::select(vec![
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ]);
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[-a-z0-9{}\\[\\]\":,. \n]{0,200}".prop_map(String::into_bytes),
        any::<i64>().prop_map(|n| format!(
            "{{\"metadata\":{{\"name\":\"f\",\"generation\":{n}}},\"data\":{{\"a\":\"{n}\"}}}}"
        )
        .into_bytes()),
    ];
    let whole = (method, path, query, kind, body).prop_map(|(method, path, query, kind, body)| {
        let mut request = format!(
            "{method} {path}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend(body);
        request
    });
    let mutated = (whole, any::<prop::sample::Index>(), any::<u8>(), 0..4_u8).prop_map(
        |(mut request, at, byte, how)| {
            let at = at.index(request.len());
            match how {
                0 => request[at] = byte,
                1 => request.truncate(at),
                _ => {}
            }
            request
        },
    );
    let frames = prop::collection::vec(any::<u8>(), 0..120).prop_map(|rest| {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(rest);
        bytes
    });
    prop_oneof![6 => mutated, 1 => frames, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

/// `FUZZ_CASES` sets the number of cases; the few without it fit into every run of the tests.
#[test]
fn bytes_of_any_kind_end_at_most_their_connection() {
    let cases = std::env::var("FUZZ_CASES").map_or(100, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let running = runtime.block_on(support::start());
    let clients = [None, Some(MASTERS), Some(VIEW)].map(|group| Client::new(&running, group));
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&(bytes(), 0..4_usize), |(bytes, who)| {
        runtime.block_on(async {
            match clients.get(who) {
                Some(client) => {
                    // What is not a whole request may be waited for; the client leaves.
                    let answer = tokio::time::timeout(SECOND / 5, client.raw(&bytes)).await;
                    if let Ok(Ok(answer)) = answer {
                        prop_assert!(!answer.starts_with("HTTP/1.1 500"), "{}", answer);
                    }
                }
                None => {
                    let mut plain = TcpStream::connect(&clients[0].address).await.unwrap();
                    let _ = plain.write_all(&bytes).await;
                }
            }
            Ok(())
        })
    });
    result.unwrap();
    runtime.block_on(async {
        for client in &clients {
            client.is_answered().await;
        }
    });
}
