//! Calls whose requests and answers are ours: specs that are kept whole, words that a newer engine may know, bodies that no log may
//! show. They go over the same transport as bollard's.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::error::ApiError;
use super::host::Host;
use super::transport;

/// For one call, from connecting to the last byte of the answer.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// For a list: the engine itself gives the Swarm's leader 20 s, and a large Swarm needs them.
const LIST_TIMEOUT: Duration = Duration::from_secs(25);
/// The largest answer that is read: tasks of thousands of services fit in.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Objects that are listed whole.
const LISTS: [&str; 6] = [
    "services", "tasks", "nodes", "networks", "configs", "secrets",
];

/// How long an answer may take.
fn limit(call: &Call<'_>) -> Duration {
    let path = call.path.split('?').next().unwrap_or_default();
    let kind = path.rsplit('/').next().unwrap_or_default();
    if call.method == Method::GET && LISTS.contains(&kind) {
        LIST_TIMEOUT
    } else {
        CALL_TIMEOUT
    }
}

/// What is sent.
pub struct Call<'a> {
    /// What is tried, for messages (`create service demo_proxy`). Never holds content.
    pub operation: String,
    /// Verb.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// JSON body.
    pub body: Option<Vec<u8>>,
    /// Credentials of an image registry, as the engine wants them.
    pub registry_auth: Option<&'a str>,
}

/// Sends a call and reads the whole answer.
pub async fn send(host: &Host, call: Call<'_>) -> Result<Bytes, ApiError> {
    let operation = call.operation.clone();
    let limit = limit(&call);
    let exchange = async {
        let answer = open(host, call).await?;
        read_all(&operation, answer).await
    };
    match timeout(limit, exchange).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::Timeout { operation }),
    }
}

/// Sends a call and hands out its answer as it comes. The call ends when the answer is dropped.
pub async fn open_stream(host: &Host, call: Call<'_>) -> Result<Incoming, ApiError> {
    let operation = call.operation.clone();
    match timeout(CALL_TIMEOUT, open(host, call)).await {
        Ok(answer) => Ok(answer?.into_body()),
        Err(_) => Err(ApiError::Timeout { operation }),
    }
}

async fn open(host: &Host, call: Call<'_>) -> Result<http::Response<Incoming>, ApiError> {
    let operation = call.operation;
    let mut builder = Request::builder().method(call.method).uri(&call.path);
    if call.body.is_some() {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(auth) = call.registry_auth {
        builder = builder.header("X-Registry-Auth", auth);
    }
    let request = builder
        .body(Full::new(Bytes::from(call.body.unwrap_or_default())))
        .map_err(|source| ApiError::Broken {
            operation: operation.clone(),
            source: Box::new(source),
        })?;
    let answer = transport::send(host, request)
        .await
        .map_err(|error| ApiError::of_transport(&operation, host, error))?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status().as_u16();
    let body = read_all(&operation, answer).await?;
    Err(ApiError::Refused {
        operation,
        status,
        message: message_of(&body),
    })
}

async fn read_all(operation: &str, answer: http::Response<Incoming>) -> Result<Bytes, ApiError> {
    Limited::new(answer.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|source| ApiError::Broken {
            operation: operation.to_owned(),
            source,
        })
}

fn message_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    match serde_json::from_slice::<Message>(body) {
        Ok(Message { message }) => message.trim().to_owned(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

/// Encodes a value for a query.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        assert_eq!(
            escape(r#"{"a":["b c"]}"#),
            "%7B%22a%22%3A%5B%22b%20c%22%5D%7D"
        );
    }

    #[test]
    fn messages_come_out_of_json_or_text() {
        assert_eq!(
            message_of(br#"{"message":"no such thing\n"}"#),
            "no such thing"
        );
        assert_eq!(message_of(b"404 page not found\n"), "404 page not found");
    }
}
