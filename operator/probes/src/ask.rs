//! One question to one host, by kind.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use milvus_core::desired::EndpointTls;
use milvus_core::probe::{
    EnsembleMember, KafkaAccess, ProbeDetail, ProbeFailure, ProbeFailureKind, S3Access,
};
use milvus_platform::{Connection, Dial, DialError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bookies;
use crate::client_tls;
use crate::etcd;
use crate::http::{Answer, failure, grpc_empty, request};
use crate::kafka;
use crate::marks;
use crate::s3::{self, Asked};
use crate::sessions::count_sessions;
use crate::tls;

/// For one question, from dialling to the last byte. Pulsar's health check writes and reads a message, which takes a
/// second or two on a broker that has just started.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A question to one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// etcd: is there a quorum, seen from this member?
    EtcdHealth,
    /// MinIO: does it say that it has its write quorum? Nothing is written.
    MinioCluster,
    /// Any HTTP answer will do.
    AnyHttp {
        /// Over TLS.
        tls: bool,
    },
    /// S3: are these keys known?
    S3Bucket {
        /// Bucket and keys.
        access: S3Access,
        /// Over TLS.
        tls: bool,
    },
    /// ZooKeeper: in which mode does it serve?
    ZookeeperMode,
    /// A connection will do.
    Tcp,
    /// Kafka: is the login good, and does it answer for metadata?
    Kafka(KafkaAccess),
    /// BookKeeper: does it take connections, and has it not told ZooKeeper that it takes no writes?
    Bookie {
        /// A ZooKeeper that may be asked.
        zookeeper: Option<(String, u16)>,
    },
    /// Pulsar broker: can a message be written and read back? Writes one.
    BrokerHealth,
    /// Pulsar broker: is it registered and serving? Writes nothing.
    BrokerReady,
    /// Milvus role: is every component in this process healthy?
    MilvusHealthz,
    /// etcd: which Milvus sessions are there below this root? Addresses limit the count to living instances.
    Sessions {
        /// The prefix of Milvus' metadata.
        root: String,
        /// Addresses that count; all when empty.
        addresses: Vec<String>,
    },
    /// etcd: what mark does it bear?
    EtcdMark,
    /// S3: is the bucket there, and what mark does it bear?
    BucketMark(S3Access),
    /// Milvus proxy: gRPC `GetVersion`.
    GrpcVersion {
        /// How the proxy speaks.
        tls: EndpointTls,
    },
}

/// Asks `question` at `host:port`, through `dial`.
///
/// # Errors
/// What went wrong, in one line for people.
pub async fn ask(
    dial: &dyn Dial,
    host: &str,
    port: u16,
    question: &Question,
) -> Result<ProbeDetail, ProbeFailure> {
    match tokio::time::timeout(TIMEOUT, ask_unbounded(dial, host, port, question)).await {
        Ok(answer) => answer,
        Err(_) => Err(failure(
            ProbeFailureKind::Timeout,
            format!(
                "{host}:{port} did not answer within {} s",
                TIMEOUT.as_secs()
            ),
        )),
    }
}

/// Host and port as one text; an IPv6 address in brackets.
fn authority(host: &str, port: u16) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    }
}

async fn ask_unbounded(
    dial: &dyn Dial,
    host: &str,
    port: u16,
    question: &Question,
) -> Result<ProbeDetail, ProbeFailure> {
    let connection = dial.dial(host, port).await.map_err(dial_failure)?;
    let authority = authority(host, port);
    match question {
        Question::Tcp => Ok(ProbeDetail::default()),
        Question::Kafka(access) => kafka::ask(connection, host, &authority, access).await,
        Question::Bookie { zookeeper } => {
            drop(connection);
            let Some((host, port)) = zookeeper else {
                return Ok(ProbeDetail::default());
            };
            // A ZooKeeper that does not answer is its own trouble.
            match bookies::read_only(dial, host, *port, &authority).await {
                Some(true) => not_ready(format!(
                    "{authority} takes no writes: it is read-only, as it is when its disk is full beyond diskUsageThreshold"
                )),
                Some(false) => Ok(note("takes writes")),
                None => Ok(ProbeDetail::default()),
            }
        }
        Question::EtcdHealth => etcd::health(dial, connection, host, port).await,
        Question::MinioCluster => {
            let answer = request(
                connection,
                &authority,
                http::Method::GET,
                "/minio/health/cluster",
                None,
            )
            .await?;
            match answer.status {
                // What it says of itself: nothing was written.
                200 => Ok(noted("write quorum", &answer)),
                503 => not_ready(format!("{authority}: no write quorum")),
                other => not_ready(format!("{authority}: answers {other} to its cluster check")),
            }
        }
        Question::AnyHttp { tls } => {
            let connection = unproved(connection, host, *tls).await?;
            let answer = request(connection, &authority, http::Method::GET, "/", None).await?;
            if answer.status < 500 {
                Ok(noted("answers", &answer))
            } else {
                not_ready(format!("{authority}: answers {}", answer.status))
            }
        }
        Question::S3Bucket { access, tls } => {
            let connection = unproved(connection, host, *tls).await?;
            let (host, path) = s3::signed(&authority, access, *tls, Asked::Get(s3::OBJECT))?;
            let answer = request(connection, &host, http::Method::GET, &path, None).await?;
            s3::judge(&authority, &answer)
        }
        Question::EtcdMark => marks::of_etcd(connection, &authority).await,
        Question::BucketMark(access) => marks::of_bucket(connection, &authority, access).await,
        Question::ZookeeperMode => zookeeper(connection, &authority).await,
        Question::BrokerHealth => {
            let path = "/admin/v2/brokers/health?topicVersion=V2";
            let answer = request(connection, &authority, http::Method::GET, path, None).await?;
            if answer.status == 200 {
                Ok(note("serves"))
            } else {
                not_ready(format!("{authority}: {}", brief(&answer)))
            }
        }
        Question::BrokerReady => {
            let answer = request(
                connection,
                &authority,
                http::Method::GET,
                "/admin/v2/brokers/ready",
                None,
            )
            .await?;
            if answer.status == 200 {
                Ok(note("ready"))
            } else {
                not_ready(format!("{authority}: {}", brief(&answer)))
            }
        }
        Question::MilvusHealthz => {
            let answer =
                request(connection, &authority, http::Method::GET, "/healthz", None).await?;
            if answer.status == 200 {
                Ok(noted("healthy", &answer))
            } else {
                not_ready(format!("{authority}: {}", answer.line()))
            }
        }
        Question::Sessions { root, addresses } => {
            let body = range_request(&format!("{root}/session/"));
            let answer = request(
                connection,
                &authority,
                http::Method::POST,
                "/v3/kv/range",
                Some(body),
            )
            .await?;
            if answer.status != 200 {
                return not_ready(format!("{authority}: {}", brief(&answer)));
            }
            let sessions = count_sessions(&answer.body, addresses).map_err(|e| {
                failure(
                    ProbeFailureKind::Other,
                    format!("{authority}: its answer is not understood: {e}"),
                )
            })?;
            Ok(ProbeDetail {
                sessions,
                ..ProbeDetail::default()
            })
        }
        Question::GrpcVersion { tls } => {
            let connection: Box<dyn Connection> = match tls {
                EndpointTls::None => connection,
                EndpointTls::Server => Box::new(client_tls::connect(connection, host).await?),
                EndpointTls::Mutual => {
                    return client_tls::asks_for_certificate(connection, host).await;
                }
            };
            let status = grpc_empty(
                connection,
                &authority,
                "/milvus.proto.milvus.MilvusService/GetVersion",
            )
            .await?;
            match status {
                // 16 is UNAUTHENTICATED: with authorization on, the proxy has understood the call and wants a user.
                0 | 16 => Ok(note("answers")),
                other => not_ready(format!(
                    "{authority}: GetVersion ended with gRPC status {other}"
                )),
            }
        }
    }
}

/// TLS with a service whose certificate proves nothing here: the authorities that Milvus knows are those of its image. What is sent
/// over it could be seen by any listener: a signature for an object that does not exist, good for a few minutes.
async fn unproved(
    connection: Box<dyn Connection>,
    host: &str,
    tls: bool,
) -> Result<Box<dyn Connection>, ProbeFailure> {
    if !tls {
        return Ok(connection);
    }
    let stream = tls::connect(connection, host, None).await;
    stream.map_err(|problem| failure(ProbeFailureKind::NotReady, format!("{host}: {problem}")))
}

/// ZooKeeper's `srvr`: it names a mode only while it serves.
async fn zookeeper(
    mut connection: Box<dyn Connection>,
    authority: &str,
) -> Result<ProbeDetail, ProbeFailure> {
    let io = |e: std::io::Error| failure(ProbeFailureKind::Other, format!("{authority}: {e}"));
    connection.write_all(b"srvr").await.map_err(io)?;
    let mut text = Vec::new();
    connection
        .take(16 << 10)
        .read_to_end(&mut text)
        .await
        .map_err(io)?;
    let text = String::from_utf8_lossy(&text);
    match text.lines().find_map(|line| line.strip_prefix("Mode: ")) {
        Some(mode) => Ok(ProbeDetail {
            ensemble: Some(member(mode.trim(), &text)),
            ..note(mode.trim())
        }),
        None => not_ready(format!(
            "{authority}: {}",
            text.split_whitespace()
                .take(12)
                .collect::<Vec<_>>()
                .join(" ")
        )),
    }
}

/// What a member of ZooKeeper says of itself: the upper half of a transaction's number is its epoch.
fn member(mode: &str, text: &str) -> EnsembleMember {
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix("Zxid: 0x"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or_default();
    EnsembleMember {
        mode: mode.to_owned(),
        epoch: u32::try_from(number >> 32).unwrap_or_default(),
        counter: u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default(),
    }
}

fn range_request(prefix: &str) -> Bytes {
    use base64::Engine;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1; // the prefix ends in '/', so this cannot overflow
    }
    let body = BTreeMap::from([
        ("key", encode(prefix.as_bytes())),
        ("range_end", encode(&end)),
    ]);
    Bytes::from(serde_json::to_vec(&body).unwrap_or_default())
}

fn note(text: &str) -> ProbeDetail {
    ProbeDetail {
        note: text.to_owned(),
        ..ProbeDetail::default()
    }
}

/// With what the answer tells of the other's clock.
pub(crate) fn noted(text: &str, answer: &Answer) -> ProbeDetail {
    ProbeDetail {
        clock_ahead: answer.clock_ahead(),
        ..note(text)
    }
}

pub(crate) fn not_ready<T>(message: String) -> Result<T, ProbeFailure> {
    Err(failure(ProbeFailureKind::NotReady, message))
}

/// Status code and the first words; error pages of Jetty are long.
fn brief(answer: &Answer) -> String {
    let line = answer.line();
    let line = if line.contains("<html") {
        String::new()
    } else {
        line
    };
    format!("answers {} {line}", answer.status)
        .trim_end()
        .to_owned()
}

pub(crate) fn dial_failure(error: DialError) -> ProbeFailure {
    let kind = match &error {
        DialError::NotFound(_) => ProbeFailureKind::NotFound,
        DialError::Refused(_) => ProbeFailureKind::Refused,
        DialError::Timeout(_) => ProbeFailureKind::Timeout,
        DialError::NoPath(_) => ProbeFailureKind::NoPath,
        DialError::Other(_) => ProbeFailureKind::Other,
    };
    failure(kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_told_by_its_epoch_and_its_number() {
        let text = "Zookeeper version: 3.9.1\nZxid: 0x500000010\nMode: follower\nNode count: 7\n";
        let found = member("follower", text);
        assert_eq!((found.epoch, found.counter), (5, 16));
    }
}
