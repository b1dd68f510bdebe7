//! One HTTP request to an engine, over a unix socket or TCP. Every request has its own connection: the engine is next door,
//! and a pool would only add connections that broke while nobody looked.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::error::ApiError;

/// For one call, from connecting to the last byte of the answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// For a list: the engine itself gives the Swarm's leader 20 s, and a large Swarm needs them.
const LIST_TIMEOUT: Duration = Duration::from_secs(25);
/// The largest answer that is read: tasks of thousands of services fit in.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A socket on this machine.
    Unix(PathBuf),
    /// `host:port`, plain HTTP.
    Tcp(String),
}

impl Host {
    /// Reads `unix:///path`, `tcp://host:port` or `http://host:port`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let problem = |problem| ApiError::Host {
            host: text.to_owned(),
            problem,
        };
        if let Some(path) = text.strip_prefix("unix://") {
            if path.starts_with('/') {
                return Ok(Host::Unix(PathBuf::from(path)));
            }
            return Err(problem("the path of the socket must be absolute"));
        }
        if let Some(address) = text
            .strip_prefix("tcp://")
            .or_else(|| text.strip_prefix("http://"))
        {
            let address = address.trim_end_matches('/');
            if address.is_empty() || address.contains('/') {
                return Err(problem("write tcp://host:port"));
            }
            if address.rsplit_once(':').is_some() {
                return Ok(Host::Tcp(address.to_owned()));
            }
            return Ok(Host::Tcp(format!("{address}:2375")));
        }
        Err(problem("write unix:///path or tcp://host:port"))
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Unix(path) => write!(f, "unix://{}", path.display()),
            Host::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

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
    let connect = |source| ApiError::Connect {
        host: host.to_string(),
        source,
    };
    let operation = call.operation.clone();
    let broken = |source: hyper::Error| ApiError::Broken {
        operation: operation.clone(),
        source: Box::new(source),
    };
    let mut builder = Request::builder()
        .method(call.method)
        .uri(&call.path)
        .header(header::HOST, "docker");
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
    let mut sender = match host {
        Host::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(connect)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(broken)?;
            tokio::spawn(connection);
            sender
        }
        Host::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(connect)?;
            stream.set_nodelay(true).map_err(connect)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(broken)?;
            tokio::spawn(connection);
            sender
        }
    };
    let answer = sender.send_request(request).await.map_err(broken)?;
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
    fn hosts() {
        assert_eq!(
            Host::parse("unix:///run/docker.sock").unwrap(),
            Host::Unix("/run/docker.sock".into())
        );
        assert_eq!(
            Host::parse("tcp://10.0.0.1:2375/").unwrap(),
            Host::Tcp("10.0.0.1:2375".into())
        );
        assert_eq!(
            Host::parse("http://manager").unwrap(),
            Host::Tcp("manager:2375".into())
        );
        for wrong in [
            "unix://relative",
            "https://a:1",
            "/run/docker.sock",
            "tcp://",
        ] {
            assert!(Host::parse(wrong).is_err(), "{wrong}");
        }
    }

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
