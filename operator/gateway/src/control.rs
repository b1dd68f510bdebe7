//! The gateway's end of the tunnel: TLS with the operator's certificate only, HTTP/2 inside, dials on an allow-list.

use crate::lookup::{Lookup, LookupError};
use crate::server::{Gateway, ParseTargetError, Target};
use crate::stream::{Replay, tune};
use crate::wire::{
    ADDRESS_HEADER, DRAIN, DrainAnswer, DrainRequest, Kind, RESOLVE, Refusal, ResolveAnswer,
    ResolveRequest, STATS, TunnelStats,
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_STREAMS: u32 = 256;
const MAX_BODY: usize = 64 * 1024;
const MAX_DRAIN: Duration = Duration::from_secs(3600);

/// One entry of the list of what the tunnel may dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// One name on one port.
    Target(Target),
    /// One port of any name.
    Port(u16),
}

impl Allow {
    fn covers(&self, target: &Target) -> bool {
        match self {
            Self::Target(allowed) => {
                allowed.port == target.port
                    && allowed
                        .host
                        .eq_ignore_ascii_case(target.host.trim_end_matches('.'))
            }
            Self::Port(port) => *port == target.port,
        }
    }
}

impl FromStr for Allow {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let target: Target = text.parse()?;
        Ok(if target.host == "*" {
            Self::Port(target.port)
        } else {
            Self::Target(target)
        })
    }
}

pub(crate) struct Control {
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
}

struct Shared {
    lookup: Arc<dyn Lookup>,
    allow: Vec<Allow>,
    dial_timeout: Duration,
    sessions: AtomicU64,
    handshakes_failed: AtomicU64,
    streams: AtomicU64,
    dials: AtomicU64,
    dials_failed: AtomicU64,
}

type Answer = Response<Full<Bytes>>;

impl Control {
    pub(crate) fn new(
        tls: Arc<rustls::ServerConfig>,
        lookup: Arc<dyn Lookup>,
        allow: Vec<Allow>,
        dial_timeout: Duration,
    ) -> Self {
        Self {
            acceptor: TlsAcceptor::from(tls),
            shared: Arc::new(Shared {
                lookup,
                allow,
                dial_timeout,
                sessions: AtomicU64::new(0),
                handshakes_failed: AtomicU64::new(0),
                streams: AtomicU64::new(0),
                dials: AtomicU64::new(0),
                dials_failed: AtomicU64::new(0),
            }),
        }
    }

    pub(crate) fn stats(&self) -> TunnelStats {
        let shared = &self.shared;
        TunnelStats {
            sessions: shared.sessions.load(Relaxed),
            handshakes_failed_total: shared.handshakes_failed.load(Relaxed),
            streams: shared.streams.load(Relaxed),
            dials_total: shared.dials.load(Relaxed),
            dials_failed_total: shared.dials_failed.load(Relaxed),
        }
    }

    /// Serves one operator connection until it ends, or until `stop`, which ends its streams too.
    pub(crate) async fn serve(
        &self,
        stream: Replay<TcpStream>,
        gateway: &Arc<Gateway>,
        stop: &CancellationToken,
    ) {
        let peer = stream.get_ref().peer_addr().ok();
        let handshake = timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await;
        let tls = match handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(tls) => tls,
            Err(error) => {
                self.shared.handshakes_failed.fetch_add(1, Relaxed);
                tracing::warn!(?peer, %error, "tunnel handshake refused");
                return;
            }
        };
        let _open = Gauge::up(&self.shared, |shared| &shared.sessions);
        tracing::info!(?peer, "operator connected");
        let streams = TaskTracker::new();
        let service = hyper::service::service_fn(|request| {
            let (shared, gateway) = (Arc::clone(&self.shared), Arc::clone(gateway));
            let (streams, stop) = (streams.clone(), stop.clone());
            async move { Ok::<_, Infallible>(shared.answer(request, &gateway, &streams, stop).await) }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(TokioIo::new(tls), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(HANDSHAKE_TIMEOUT, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(?peer, %error, "operator connection ended");
        }
        tracing::info!(?peer, "operator disconnected");
    }
}

impl Shared {
    async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        gateway: &Arc<Gateway>,
        streams: &TaskTracker,
        stop: CancellationToken,
    ) -> Answer {
        let answer = match (request.method(), request.uri().path()) {
            (&Method::CONNECT, _) => self.open(request, streams, stop).await,
            (&Method::GET, STATS) => Ok(json(StatusCode::OK, &gateway.stats())),
            (&Method::POST, RESOLVE) => self.resolve(request).await,
            (&Method::PUT, DRAIN) => drain(request, gateway).await,
            (method, path) => Err(refusal(
                Kind::Invalid,
                format!("no such request: {method} {path}"),
            )),
        };
        answer.unwrap_or_else(|refusal| {
            let status = match refusal.kind {
                Kind::NotFound => StatusCode::NOT_FOUND,
                Kind::Refused => StatusCode::BAD_GATEWAY,
                Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
                Kind::Denied => StatusCode::FORBIDDEN,
                Kind::Invalid => StatusCode::BAD_REQUEST,
            };
            json(status, &refusal)
        })
    }

    async fn open(
        self: &Arc<Self>,
        request: Request<Incoming>,
        streams: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Answer, Refusal> {
        let dialled = self.dial(request.uri()).await;
        let (mut stream, address) = dialled.inspect_err(|_| {
            self.dials_failed.fetch_add(1, Relaxed);
        })?;
        self.dials.fetch_add(1, Relaxed);
        let shared = Arc::clone(self);
        streams.spawn(async move {
            let _open = Gauge::up(&shared, |shared| &shared.streams);
            let piped = async {
                let upgraded = hyper::upgrade::on(request)
                    .await
                    .map_err(io::Error::other)?;
                copy_bidirectional(&mut TokioIo::new(upgraded), &mut stream).await
            };
            tokio::select! {
                piped = piped => if let Err(error) = piped {
                    tracing::debug!(%address, %error, "tunnelled stream broken");
                },
                () = stop.cancelled() => {}
            }
        });
        Response::builder()
            .header(ADDRESS_HEADER, address.to_string())
            .body(Full::default())
            .map_err(|error| refusal(Kind::Invalid, error.to_string()))
    }

    async fn dial(&self, uri: &Uri) -> Result<(TcpStream, SocketAddr), Refusal> {
        let target: Target = uri
            .authority()
            .map(http::uri::Authority::as_str)
            .unwrap_or_default()
            .parse()
            .map_err(|error: ParseTargetError| refusal(Kind::Invalid, error.to_string()))?;
        if !self.allow.iter().any(|allow| allow.covers(&target)) {
            tracing::warn!(%target, "refused to dial, not on the allow-list");
            return Err(refusal(
                Kind::Denied,
                format!("{target} is not on the gateway's allow-list"),
            ));
        }
        timeout(self.dial_timeout, self.dial_allowed(&target))
            .await
            .unwrap_or_else(|_| {
                Err(refusal(
                    Kind::Timeout,
                    format!(
                        "{target} did not answer within {} ms",
                        self.dial_timeout.as_millis()
                    ),
                ))
            })
    }

    async fn dial_allowed(&self, target: &Target) -> Result<(TcpStream, SocketAddr), Refusal> {
        let addresses = self.lookup.lookup(&target.host).await.map_err(unresolved)?;
        let mut last = refusal(Kind::NotFound, format!("{} has no address", target.host));
        for address in addresses {
            let address = SocketAddr::new(address, target.port);
            match TcpStream::connect(address).await.and_then(|stream| {
                tune(&stream)?;
                Ok(stream)
            }) {
                Ok(stream) => return Ok((stream, address)),
                Err(error) => {
                    let kind = match error.kind() {
                        io::ErrorKind::TimedOut
                        | io::ErrorKind::HostUnreachable
                        | io::ErrorKind::NetworkUnreachable => Kind::Timeout,
                        _ => Kind::Refused,
                    };
                    last = refusal(
                        kind,
                        format!("cannot connect to {target} ({address}): {error}"),
                    );
                }
            }
        }
        Err(last)
    }

    async fn resolve(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let ResolveRequest { name } = body(request).await?;
        let addresses = self.lookup.lookup(&name).await.map_err(unresolved)?;
        let addresses = addresses.into_iter().collect();
        Ok(json(StatusCode::OK, &ResolveAnswer { addresses }))
    }
}

async fn drain(request: Request<Incoming>, gateway: &Gateway) -> Result<Answer, Refusal> {
    let DrainRequest { addresses, seconds } = body(request).await?;
    let lasts = Duration::from_secs(seconds);
    if lasts > MAX_DRAIN {
        return Err(refusal(
            Kind::Invalid,
            format!("seconds: {seconds} is more than {}", MAX_DRAIN.as_secs()),
        ));
    }
    let draining = gateway.pool().drain(&addresses, Instant::now() + lasts);
    Ok(json(StatusCode::OK, &DrainAnswer { draining }))
}

async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let invalid = |error: String| refusal(Kind::Invalid, error);
    let body = Limited::new(request.into_body(), MAX_BODY);
    let bytes = timeout(HANDSHAKE_TIMEOUT, body.collect())
        .await
        .map_err(|_| invalid("the request's body did not come".to_owned()))?
        .map_err(|error| invalid(error.to_string()))?
        .to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(bytes)));
    *response.status_mut() = status;
    response
}

fn refusal(kind: Kind, error: String) -> Refusal {
    Refusal { kind, error }
}

/// Whatever the name server's trouble is, the name has no address for us; the message tells the rest. A time-out is not
/// [`Kind::Timeout`], which is about the target: some engines never answer for a name that does not exist.
fn unresolved(error: LookupError) -> Refusal {
    refusal(Kind::NotFound, error.to_string())
}

/// Counts something that is open.
struct Gauge {
    shared: Arc<Shared>,
    which: fn(&Shared) -> &AtomicU64,
}

impl Gauge {
    fn up(shared: &Arc<Shared>, which: fn(&Shared) -> &AtomicU64) -> Self {
        which(shared).fetch_add(1, Relaxed);
        Self {
            shared: Arc::clone(shared),
            which,
        }
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        (self.which)(&self.shared).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allow_list() {
        let etcd: Allow = "etcd-0:2379".parse().unwrap();
        let health: Allow = "*:9091".parse().unwrap();
        let covers = |allow: &Allow, target: &str| allow.covers(&target.parse().unwrap());
        assert!(covers(&etcd, "etcd-0:2379"));
        assert!(covers(&etcd, "ETCD-0.:2379"));
        assert!(!covers(&etcd, "etcd-0:2380"));
        assert!(!covers(&etcd, "etcd-1:2379"));
        assert!(covers(&health, "10.0.1.7:9091"));
        assert!(!covers(&health, "10.0.1.7:9092"));
        assert!("*".parse::<Allow>().is_err());
    }
}
