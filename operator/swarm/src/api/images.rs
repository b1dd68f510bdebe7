//! Images, as far as putting one on nodes without a registry needs it: ask, carry from one engine to another.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::error::ApiError;
use super::http::{Call, Host, escape, open_stream};
use super::{Engine, decode};

/// For carrying one image from engine to engine: some tens of megabytes over a network that may be slow.
const CARRY_TIMEOUT: Duration = Duration::from_secs(600);
/// The engine's report about a loaded image is short.
const MAX_REPORT: usize = 1024 * 1024;

/// An image on an engine.
#[derive(Clone, Debug, Deserialize)]
pub struct Image {
    /// Hash of its configuration: the same wherever the image was loaded.
    #[serde(rename = "Id")]
    pub id: String,
}

/// What an engine is in its Swarm.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Info {
    /// Its machine's name.
    pub name: String,
    /// Its place in a Swarm.
    pub swarm: SwarmInfo,
}

/// An engine's place in a Swarm.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SwarmInfo {
    /// Id of its node; empty outside of a Swarm.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// It is a manager, and managers have a majority.
    pub control_available: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Distribution {
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

/// One line of a report about loading.
#[derive(Deserialize)]
struct Line {
    error: Option<String>,
}

impl Engine {
    /// What this engine is in its Swarm.
    pub async fn info(&self) -> Result<Info, ApiError> {
        self.get("ask what the engine is", "/info").await
    }

    /// Where the engine is.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// An image on this engine.
    pub async fn image(&self, reference: &str) -> Result<Option<Image>, ApiError> {
        Self::found(
            self.get(
                format!("look for image {reference}"),
                &format!("/images/{}/json", escape_path(reference)),
            )
            .await,
        )
    }

    /// The digest that the image's registry has for it now, asked by the engine.
    pub async fn registry_digest(
        &self,
        reference: &str,
        registry_auth: Option<&str>,
    ) -> Result<String, ApiError> {
        let answer: Distribution = self
            .call(
                format!("ask the registry of image {reference}"),
                Method::GET,
                &format!("/distribution/{}/json", escape_path(reference)),
                None,
                registry_auth,
            )
            .await?;
        Ok(answer.descriptor.digest)
    }

    /// Carries an image to another engine, without keeping it in between.
    pub async fn carry_image(&self, reference: &str, to: &Engine) -> Result<(), ApiError> {
        let operation = format!("carry image {reference} to the engine at {}", to.host);
        let carried = async {
            let content = open_stream(
                &self.host,
                Call {
                    operation: format!("save image {reference}"),
                    method: Method::GET,
                    path: self.versioned(&format!("/images/{}/get", escape_path(reference))),
                    body: None,
                    registry_auth: None,
                },
            )
            .await?;
            let path = to.versioned("/images/load?quiet=1");
            let report = upload(&to.host, &operation, &path, content).await?;
            loaded(&operation, &report)
        };
        match timeout(CARRY_TIMEOUT, carried).await {
            Ok(result) => result,
            Err(_) => Err(ApiError::Timeout { operation }),
        }
    }
}

/// The engine answers 200 before it has read the image; what went wrong then is in its report.
fn loaded(operation: &str, report: &[u8]) -> Result<(), ApiError> {
    for line in report
        .split(|b| *b == b'\n')
        .filter(|l| !l.trim_ascii().is_empty())
    {
        let line: Line = decode(operation, line)?;
        if let Some(message) = line.error {
            return Err(ApiError::Refused {
                operation: operation.to_owned(),
                status: 200,
                message,
            });
        }
    }
    Ok(())
}

async fn upload(
    host: &Host,
    operation: &str,
    path: &str,
    content: Incoming,
) -> Result<Bytes, ApiError> {
    let connect = |source| ApiError::Connect {
        host: host.to_string(),
        source,
    };
    let broken = |source: Box<dyn std::error::Error + Send + Sync>| ApiError::Broken {
        operation: operation.to_owned(),
        source,
    };
    let request = Request::post(path)
        .header(header::HOST, "docker")
        .header(header::CONTENT_TYPE, "application/x-tar")
        .body(content)
        .map_err(|e| broken(e.into()))?;
    let mut sender = match host {
        Host::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(connect)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|e| broken(e.into()))?;
            tokio::spawn(connection);
            sender
        }
        Host::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(connect)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|e| broken(e.into()))?;
            tokio::spawn(connection);
            sender
        }
    };
    let answer = sender
        .send_request(request)
        .await
        .map_err(|e| broken(e.into()))?;
    let status = answer.status();
    let report = Limited::new(answer.into_body(), MAX_REPORT)
        .collect()
        .await
        .map_err(broken)?
        .to_bytes();
    if status.is_success() {
        return Ok(report);
    }
    Err(ApiError::Refused {
        operation: operation.to_owned(),
        status: status.as_u16(),
        message: String::from_utf8_lossy(&report).trim().to_owned(),
    })
}

/// Encodes an image reference as part of a path; its slashes stay.
fn escape_path(reference: &str) -> String {
    reference
        .split('/')
        .map(escape)
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_keep_their_slashes() {
        assert_eq!(
            escape_path("registry.example:5000/a/b:1@sha256:0"),
            "registry.example%3A5000/a/b%3A1%40sha256%3A0"
        );
    }

    #[test]
    fn a_report_of_failure_is_one() {
        assert!(loaded("carry", b"{\"stream\":\"Loaded image: a:1\\n\"}\r\n\n").is_ok());
        assert!(loaded("carry", b"").is_ok());
        let failed = b"{\"errorDetail\":{\"message\":\"no space\"},\"error\":\"no space\"}\n";
        let error = loaded("carry", failed).expect_err("must fail");
        assert_eq!(error.to_string(), "carry: no space");
    }
}
