//! HTTP/1.1 and gRPC over a dialled connection. One request per connection: probes are rare and must not depend on the
//! state of an older one.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use milvus_core::probe::{ProbeFailure, ProbeFailureKind};
use milvus_platform::Connection;

/// Longest answer that is read, in bytes. Session listings of a large cluster stay well below.
const MAX_BODY: usize = 4 << 20;

/// An answer.
pub(crate) struct Answer {
    /// Status code.
    pub status: u16,
    /// Body, at most [`MAX_BODY`].
    pub body: Bytes,
    /// When it was made, by the clock of the service that answered, and when it came, by ours.
    pub times: Option<(Timestamp, Timestamp)>,
}

impl Answer {
    /// By how many seconds the clock of the service that answered is ahead of ours.
    pub(crate) fn clock_ahead(&self) -> Option<i64> {
        let (theirs, ours) = self.times?;
        Some(theirs.duration_since(ours).as_secs())
    }

    /// The body as one short line for people.
    pub(crate) fn line(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().take(160).collect()
    }
}

pub(crate) fn failure(kind: ProbeFailureKind, message: impl Into<String>) -> ProbeFailure {
    ProbeFailure {
        kind,
        message: message.into(),
    }
}

fn broken(error: impl std::fmt::Display) -> ProbeFailure {
    failure(
        ProbeFailureKind::Other,
        format!("the connection broke: {error}"),
    )
}

/// One request and its whole answer.
pub(crate) async fn request(
    connection: Box<dyn Connection>,
    host: &str,
    method: http::Method,
    path: &str,
    body: Option<Bytes>,
) -> Result<Answer, ProbeFailure> {
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection))
        .await
        .map_err(broken)?;
    let driver = tokio::spawn(driver);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
        .header("connection", "close");
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let request = request
        .body(Full::new(body.unwrap_or_default()))
        .map_err(|e| {
            failure(
                ProbeFailureKind::Other,
                // Without its path: that may bear a signature.
                format!("the request to {host} cannot be made: {e}"),
            )
        })?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let date = response.headers().get(http::header::DATE);
        let date = date.and_then(|date| {
            let zoned = jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok()?;
            Some(zoned.timestamp())
        });
        let times = date.map(|date| (date, Timestamp::now()));
        let body = Limited::new(response.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(broken)?
            .to_bytes();
        Ok(Answer {
            status,
            body,
            times,
        })
    }
    .await;
    driver.abort();
    answer
}

/// A gRPC call with an empty message. Gives the `grpc-status` that came back.
pub(crate) async fn grpc_empty(
    connection: Box<dyn Connection>,
    host: &str,
    method: &str,
) -> Result<u32, ProbeFailure> {
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(connection))
            .await
            .map_err(broken)?;
    let driver = tokio::spawn(driver);
    let request = Request::builder()
        .method(http::Method::POST)
        .uri(format!("http://{host}{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(&[0, 0, 0, 0, 0])))
        .map_err(|e| {
            failure(
                ProbeFailureKind::Other,
                format!("the call of {method} cannot be made: {e}"),
            )
        })?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let header = response.headers().get("grpc-status").cloned();
        let collected = Limited::new(response.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(broken)?;
        let status = header.or_else(|| {
            collected
                .trailers()
                .and_then(|t| t.get("grpc-status").cloned())
        });
        status
            .and_then(|s| s.to_str().ok().and_then(|s| s.parse().ok()))
            .ok_or_else(|| failure(ProbeFailureKind::Other, "the answer is not gRPC"))
    }
    .await;
    driver.abort();
    answer
}
