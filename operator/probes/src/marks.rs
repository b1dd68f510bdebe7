//! The mark of a cluster in the stores that it runs for itself: what the store holds of it, and leaving it there where the
//! planner asks for that. Nothing else is ever written.

use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use milvus_core::capabilities::Addressing;
use milvus_core::component::Component;
use milvus_core::desired::{Desired, Store};
use milvus_core::observed::Observed;
use milvus_core::probe::{MARK, ProbeDetail, ProbeFailure, ProbeFailureKind, S3Access, StoreSeen};
use milvus_platform::{Connection, Dial};
use serde::Deserialize;
use serde_json::json;

use crate::ask::dial_failure;
use crate::http::{Answer, failure, request};
use crate::pass;
use crate::s3::{self, Asked};

/// Longest mark that is read, in bytes.
const LONGEST: usize = 256;
/// For leaving a mark through one member.
const LIMIT: Duration = Duration::from_secs(5);

/// A mark that is to be left.
#[derive(Clone, Copy, Debug)]
pub struct Marking<'a> {
    /// How one finds another inside.
    pub addressing: Addressing,
    /// The cluster.
    pub desired: &'a Desired,
    /// What was seen of it.
    pub observed: &'a Observed,
    /// In which store.
    pub component: Component,
    /// What is written.
    pub text: &'a str,
}

/// Leaves a mark through the first member that takes it, unless there is one.
///
/// # Errors
/// What the last member said.
pub async fn mark(dial: &dyn Dial, marking: &Marking<'_>) -> Result<(), ProbeFailure> {
    let Marking {
        addressing,
        desired,
        observed,
        component,
        text,
    } = *marking;
    let mut result = Err(failure(
        ProbeFailureKind::NotFound,
        format!("no member of {component} runs"),
    ));
    let Some(store) = desired.stores.get(&component) else {
        return result;
    };
    for host in pass::member_hosts(addressing, desired, observed, component) {
        let left = tokio::time::timeout(LIMIT, leave(dial, &host, store, text)).await;
        result = left.unwrap_or_else(|_| {
            let message = format!("{host}: no answer in time");
            Err(failure(ProbeFailureKind::Timeout, message))
        });
        if result.is_ok() {
            break;
        }
    }
    result
}

async fn leave(dial: &dyn Dial, host: &str, store: &Store, text: &str) -> Result<(), ProbeFailure> {
    let port = store.port;
    let authority = format!("{host}:{port}");
    let connection = dial.dial(host, port).await.map_err(dial_failure)?;
    let answer = match &store.bucket {
        None => {
            let body = Bytes::from(put_if_absent(text).to_string());
            post(connection, &authority, "/v3/kv/txn", body).await?
        }
        Some(access) => {
            let (host, path) = s3::signed(&authority, access, false, Asked::Put(MARK))?;
            let body = Some(Bytes::from(text.to_owned()));
            request(connection, &host, http::Method::PUT, &path, body).await?
        }
    };
    if answer.status == 200 {
        return Ok(());
    }
    let kind = match answer.status {
        500.. => ProbeFailureKind::NotReady,
        _ => ProbeFailureKind::Denied,
    };
    let message = format!("{authority}: answers {} {}", answer.status, answer.line());
    Err(failure(kind, message))
}

/// What etcd holds of the cluster.
pub(crate) async fn of_etcd(
    connection: Box<dyn Connection>,
    authority: &str,
) -> Result<ProbeDetail, ProbeFailure> {
    let body = Bytes::from(json!({ "key": encode(MARK) }).to_string());
    let answer = post(connection, authority, "/v3/kv/range", body).await?;
    if answer.status != 200 {
        let message = format!("{authority}: {}", answer.line());
        return Err(failure(ProbeFailureKind::NotReady, message));
    }
    let found: Range = serde_json::from_slice(&answer.body).map_err(|e| {
        let message = format!("{authority}: its answer is not understood: {e}");
        failure(ProbeFailureKind::Other, message)
    })?;
    let decode = |text: &String| base64::engine::general_purpose::STANDARD.decode(text).ok();
    let value = found.kvs.first().map(|kv| decode(&kv.value));
    Ok(held(true, value.map(|v| plain(&v.unwrap_or_default()))))
}

/// What Milvus' bucket holds of the cluster.
pub(crate) async fn of_bucket(
    connection: Box<dyn Connection>,
    authority: &str,
    access: &S3Access,
) -> Result<ProbeDetail, ProbeFailure> {
    let (host, path) = s3::signed(authority, access, false, Asked::Get(MARK))?;
    let answer = request(connection, &host, http::Method::GET, &path, None).await?;
    let mut detail = s3::judge(authority, &answer)?;
    // The store is asked for its clock elsewhere.
    detail.clock_ahead = None;
    if let Some(store) = &mut detail.store {
        store.mark = (answer.status == 200).then(|| plain(&answer.body));
    }
    Ok(detail)
}

fn held(there: bool, mark: Option<String>) -> ProbeDetail {
    ProbeDetail {
        store: Some(StoreSeen { there, mark }),
        ..ProbeDetail::default()
    }
}

fn plain(bytes: &[u8]) -> String {
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    String::from_utf8_lossy(bytes).trim().to_owned()
}

async fn post(
    connection: Box<dyn Connection>,
    authority: &str,
    path: &str,
    body: Bytes,
) -> Result<Answer, ProbeFailure> {
    request(connection, authority, http::Method::POST, path, Some(body)).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Range {
    kvs: Vec<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KeyValue {
    value: String,
}

/// A transaction that writes the mark where there is none
/// (etcd.io/docs/v3.5/dev-guide/api_grpc_gateway: keys and values in base64, numbers of 64 bits as text).
fn put_if_absent(text: &str) -> serde_json::Value {
    json!({
        "compare": [{ "key": encode(MARK), "target": "CREATE", "result": "EQUAL", "createRevision": "0" }],
        "success": [{ "requestPut": { "key": encode(MARK), "value": encode(text) } }],
    })
}

fn encode(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use milvus_core::validate::{Credentials, Secret};
    use milvus_platform::DialError;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::ask::{Question, ask};

    /// A store that gives one answer, and keeps what it was asked.
    #[derive(Clone)]
    struct Fake {
        status: &'static str,
        body: String,
        asked: Arc<Mutex<String>>,
    }

    impl Fake {
        fn new(status: &'static str, body: &str) -> Self {
            Self {
                status,
                body: body.to_owned(),
                asked: Arc::default(),
            }
        }

        fn asked(&self) -> String {
            let asked = self.asked.lock();
            asked.unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    impl Dial for Fake {
        fn dial(&self, _: &str, _: u16) -> BoxFuture<'_, Result<Box<dyn Connection>, DialError>> {
            let (ours, mut theirs) = tokio::io::duplex(16 << 10);
            let fake = self.clone();
            tokio::spawn(async move {
                let mut asked = Vec::new();
                // Head and body may come apart.
                while !asked.ends_with(b"}") && !asked.ends_with(b"uid") {
                    let mut part = vec![0; 4 << 10];
                    let read = theirs.read(&mut part).await.unwrap_or_default();
                    asked.extend_from_slice(&part[..read]);
                    if read == 0 || asked.starts_with(b"GET ") {
                        break;
                    }
                }
                let text = String::from_utf8_lossy(&asked).into_owned();
                *fake.asked.lock().unwrap_or_else(PoisonError::into_inner) = text;
                let (status, body) = (fake.status, &fake.body);
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = theirs.write_all(answer.as_bytes()).await;
            });
            async move { Ok(Box::new(ours) as Box<dyn Connection>) }.boxed()
        }
    }

    fn access() -> S3Access {
        S3Access {
            bucket: "milvus".to_owned(),
            region: None,
            keys: Credentials {
                user: Secret("someone".to_owned()),
                password: Secret("something-long".to_owned()),
            },
        }
    }

    fn error(code: &str) -> String {
        format!("<Error><Code>{code}</Code></Error>")
    }

    async fn seen(fake: &Fake, question: Question) -> Option<StoreSeen> {
        let detail = ask(fake, "store", 1, &question).await;
        detail.expect("an answer").store
    }

    fn says(there: bool, mark: Option<&str>) -> Option<StoreSeen> {
        let mark = mark.map(str::to_owned);
        Some(StoreSeen { there, mark })
    }

    #[tokio::test]
    async fn etcd_reports_its_mark_or_that_it_has_none() {
        let some =
            r#"{"header":{"cluster_id":"1"},"kvs":[{"key":"bQ==","value":"dWlk"}],"count":"1"}"#;
        let marked = Fake::new("200 OK", some);
        assert_eq!(
            seen(&marked, Question::EtcdMark).await,
            says(true, Some("uid"))
        );
        assert!(marked.asked().contains(&encode(MARK)), "{}", marked.asked());
        let empty = Fake::new("200 OK", r#"{"header":{"cluster_id":"1"}}"#);
        assert_eq!(seen(&empty, Question::EtcdMark).await, says(true, None));
        let away = Fake::new("503 Service Unavailable", "no leader");
        assert!(ask(&away, "store", 1, &Question::EtcdMark).await.is_err());
    }

    #[tokio::test]
    async fn a_bucket_reports_its_mark_or_that_it_is_gone() {
        let question = || Question::BucketMark(access());
        let marked = Fake::new("200 OK", "uid\n");
        assert_eq!(seen(&marked, question()).await, says(true, Some("uid")));
        let path = format!("GET /milvus/{MARK}?");
        assert!(marked.asked().starts_with(&path), "{}", marked.asked());
        let unmarked = Fake::new("404 Not Found", &error("NoSuchKey"));
        assert_eq!(seen(&unmarked, question()).await, says(true, None));
        let gone = Fake::new("404 Not Found", &error("NoSuchBucket"));
        assert_eq!(seen(&gone, question()).await, says(false, None));
        // Not answered: nothing follows from it.
        let closed = Fake::new("403 Forbidden", &error("AccessDenied"));
        assert_eq!(seen(&closed, question()).await, None);
        let busy = Fake::new("503 Service Unavailable", &error("SlowDown"));
        assert!(ask(&busy, "store", 1, &question()).await.is_err());
    }

    #[tokio::test]
    async fn a_mark_is_left_where_there_is_none() {
        let etcd = Store {
            port: 2379,
            bucket: None,
        };
        let minio = Store {
            port: 9000,
            bucket: Some(access()),
        };
        let fake = Fake::new("200 OK", "{}");
        leave(&fake, "etcd-0", &etcd, "uid").await.expect("marked");
        let asked = fake.asked();
        assert!(asked.starts_with("POST /v3/kv/txn "), "{asked}");
        assert!(asked.contains(r#""createRevision":"0""#), "{asked}");
        leave(&fake, "minio-0", &minio, "uid")
            .await
            .expect("marked");
        let asked = fake.asked();
        assert!(
            asked.starts_with(&format!("PUT /milvus/{MARK}?")),
            "{asked}"
        );
        assert!(asked.ends_with("\r\n\r\nuid"), "{asked}");
        let full = Fake::new("507 Insufficient Storage", &error("XMinioStorageFull"));
        let failed = leave(&full, "minio-0", &minio, "uid").await;
        assert!(
            failed
                .expect_err("full")
                .message
                .contains("XMinioStorageFull")
        );
    }
}
