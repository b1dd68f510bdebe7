//! The operator's end of the tunnel: streams into a cluster's overlay through any of its gateways.
//!
//! One HTTP/2 connection is kept for each gateway, so a dial costs one round trip. A gateway that does not answer is left for the
//! next one. What a gateway refuses is an answer, but whether a name resolves and a target answers is one node's word: a second
//! gateway is asked before it counts.

use crate::pki::GATEWAY_NAME;
use crate::wire::{
    ADDRESS_HEADER, DRAIN, DrainAnswer, DrainRequest, Draining, Kind, RESOLVE, Refusal,
    ResolveAnswer, ResolveRequest, STATS, Stats,
};
use bytes::Bytes;
use futures::future::join_all;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// TCP, TLS and HTTP/2 set-up with one gateway.
const SETUP_TIMEOUT: Duration = Duration::from_secs(2);
/// One request; longer than the gateway's own dial time-out, so that its answer arrives.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
/// All gateways together.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// A gateway that was cut off is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(5);
const MAX_BODY: usize = 1024 * 1024;

/// Why the tunnel gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// No gateway answered.
    #[error("no gateway answered: {}", reasons.join("; "))]
    NoGateway {
        /// What happened with each that was tried.
        reasons: Vec<String>,
    },
    /// A gateway answered with a refusal.
    #[error("gateway {gateway} refused: {}", refusal.error)]
    Refused {
        /// Which gateway.
        gateway: SocketAddr,
        /// Its answer.
        refusal: Refusal,
    },
    /// A gateway answered something that is not ours.
    #[error("gateway {gateway} answered {answer}")]
    Protocol {
        /// Which gateway.
        gateway: SocketAddr,
        /// What is wrong with it.
        answer: String,
    },
    /// The host of a target is not part of an address.
    #[error("{target:?} is not a target")]
    Target {
        /// As given.
        target: String,
        /// What is wrong with it.
        #[source]
        source: http::Error,
    },
}

impl TunnelError {
    /// The gateway's verdict on the target; `None` when the tunnel itself failed.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.kind),
            Self::NoGateway { .. } | Self::Protocol { .. } | Self::Target { .. } => None,
        }
    }
}

/// A stream to a target inside of the overlay.
pub struct TunnelStream {
    io: TokioIo<Upgraded>,
    address: Option<SocketAddr>,
    gateway: SocketAddr,
}

impl TunnelStream {
    /// The address that the gateway dialled.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The gateway that carries the stream.
    #[must_use]
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// One gateway and the connection to it.
struct Endpoint {
    address: SocketAddr,
    session: AsyncMutex<Option<Sender>>,
}

/// A gateway that did not reach what another one reached.
struct CutOff {
    /// When it was last asked.
    asked: Instant,
    /// It was the same when it was asked again: not just a name server that lagged behind the other.
    again: bool,
}

/// The gateways of one cluster.
pub struct Client {
    endpoints: RwLock<Arc<[Arc<Endpoint>]>>,
    /// Where the last success was.
    preferred: Mutex<Option<SocketAddr>>,
    /// Gateways that did not reach what another one reached.
    cut_off: Arc<Mutex<BTreeMap<SocketAddr, CutOff>>>,
    tls: Arc<rustls::ClientConfig>,
}

impl Client {
    /// A client of the gateways at `addresses`; nothing is connected before the first use. `tls` is from
    /// [`crate::pki::client_config`].
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>, tls: Arc<rustls::ClientConfig>) -> Self {
        let client = Self {
            endpoints: RwLock::new(Arc::new([])),
            preferred: Mutex::default(),
            cut_off: Arc::default(),
            tls,
        };
        client.set_addresses(&addresses);
        client
    }

    /// Replaces the gateways; connections to those that stay are kept, and streams through those that go run on.
    pub fn set_addresses(&self, addresses: &[SocketAddr]) {
        let mut endpoints = self
            .endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if endpoints.iter().map(|e| &e.address).eq(addresses) {
            return;
        }
        let next = addresses
            .iter()
            .map(|address| {
                let kept = endpoints.iter().find(|e| e.address == *address);
                kept.map_or_else(
                    || {
                        Arc::new(Endpoint {
                            address: *address,
                            session: AsyncMutex::new(None),
                        })
                    },
                    Arc::clone,
                )
            })
            .collect();
        *endpoints = next;
        locked(&self.cut_off).retain(|address, _| addresses.contains(address));
    }

    /// Gateways that repeatedly did not reach a target that another one reached: the network of their nodes is cut off from
    /// the others'.
    #[must_use]
    pub fn cut_off(&self) -> Vec<SocketAddr> {
        let cut_off = locked(&self.cut_off);
        let again = cut_off.iter().filter(|(_, c)| c.again);
        again.map(|(address, _)| *address).collect()
    }

    /// Opens a stream to `host:port` as the overlay knows it.
    ///
    /// # Errors
    /// When no gateway answers, or one refuses: see [`TunnelError::kind`].
    pub async fn connect(&self, host: &str, port: u16) -> Result<TunnelStream, TunnelError> {
        let target = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let uri = Uri::builder()
            .authority(target.as_str())
            .build()
            .map_err(|source| TunnelError::Target { target, source })?;
        let (gateway, response) = self.any(&Method::CONNECT, &uri, &Bytes::new()).await?;
        let address = response
            .headers()
            .get(ADDRESS_HEADER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok());
        let upgraded = timeout(REQUEST_TIMEOUT, hyper::upgrade::on(response))
            .await
            .map_err(|_| "nothing after the stream was opened".to_owned())
            .and_then(|upgraded| upgraded.map_err(|error| with_cause(&error)))
            .map_err(|answer| TunnelError::Protocol { gateway, answer })?;
        Ok(TunnelStream {
            io: TokioIo::new(upgraded),
            address,
            gateway,
        })
    }

    /// The addresses of a name in the overlay, for instance `tasks.milvus_querynode`.
    ///
    /// # Errors
    /// As [`Client::connect`]; a name without an address is [`Kind::NotFound`].
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, TunnelError> {
        let body = encode(&ResolveRequest {
            name: name.to_owned(),
        });
        let (gateway, response) = self.any(&Method::POST, &path(RESOLVE), &body).await?;
        let answer: ResolveAnswer = decode(gateway, response).await?;
        Ok(answer.addresses)
    }

    /// The state of the first gateway that answers.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn stats(&self) -> Result<Stats, TunnelError> {
        let (gateway, response) = self.any(&Method::GET, &path(STATS), &Bytes::new()).await?;
        decode(gateway, response).await
    }

    /// The state of every gateway.
    pub async fn stats_of_all(&self) -> Vec<(SocketAddr, Result<Stats, TunnelError>)> {
        self.every(&Method::GET, STATS, &Bytes::new()).await
    }

    /// Tells every gateway which backends get no new connections (all of them; empty ends the drain) and hears how many
    /// connections each still has there. Forgotten after `lasts`, so repeat it while the drain goes on.
    ///
    /// Every gateway has a list of its own: a backend is free of clients only when all have answered and none has any.
    pub async fn drain(
        &self,
        addresses: &[IpAddr],
        lasts: Duration,
    ) -> Vec<(SocketAddr, Result<Vec<Draining>, TunnelError>)> {
        let body = encode(&DrainRequest {
            addresses: addresses.to_vec(),
            seconds: lasts.as_secs(),
        });
        let answers = self.every::<DrainAnswer>(&Method::PUT, DRAIN, &body).await;
        answers
            .into_iter()
            .map(|(gateway, answer)| (gateway, answer.map(|answer| answer.draining)))
            .collect()
    }

    fn endpoints(&self) -> Arc<[Arc<Endpoint>]> {
        let endpoints = self.endpoints.read();
        Arc::clone(&endpoints.unwrap_or_else(PoisonError::into_inner))
    }

    /// The gateways in the order in which they are asked: where it worked last, then as given, those that are cut off last.
    fn in_order(&self) -> Vec<Arc<Endpoint>> {
        let mut endpoints = self.endpoints().to_vec();
        let preferred = *locked(&self.preferred);
        let cut_off = locked(&self.cut_off);
        endpoints.sort_by_key(|e| {
            let cut_off = cut_off.contains_key(&e.address);
            (cut_off, Some(e.address) != preferred)
        });
        endpoints
    }

    /// Asks the gateways one after the other, beginning where it worked last. A second one is asked where the first does not
    /// reach the target.
    async fn any(
        &self,
        method: &Method,
        uri: &Uri,
        body: &Bytes,
    ) -> Result<(SocketAddr, Response<Incoming>), TunnelError> {
        let mut reasons = Vec::new();
        let mut doubted: Option<(Arc<Endpoint>, TunnelError)> = None;
        let attempts = async {
            for endpoint in self.in_order() {
                let gateway = endpoint.address;
                let answer = match endpoint.ask(&self.tls, method, uri, body).await {
                    Ok(response) => accept(gateway, response).await,
                    Err(reason) => {
                        reasons.push(format!("{gateway}: {reason}"));
                        continue;
                    }
                };
                match (answer, doubted.take()) {
                    (Err(error), None) if unreached(&error) => {
                        // The caller may not wait for the second answer: the next question goes there at once.
                        doubted = Some((endpoint, error));
                        let next = self.in_order().into_iter().find(|e| e.address != gateway);
                        *locked(&self.preferred) = next.map(|e| e.address);
                    }
                    (Err(error), Some((first, word))) if unreached(&error) => {
                        *locked(&self.preferred) = Some(first.address);
                        return Some(Err(word));
                    }
                    (answer, first) => {
                        *locked(&self.preferred) = Some(gateway);
                        if let Some((first, _)) = first {
                            not_reached(&self.cut_off, first.address);
                        } else if answer.is_ok() {
                            locked(&self.cut_off).remove(&gateway);
                            self.look_after(method, uri, body);
                        }
                        return Some(answer.map(|response| (gateway, response)));
                    }
                }
            }
            None
        };
        let answered = timeout(TOTAL_TIMEOUT, attempts).await.unwrap_or_default();
        match (answered, doubted) {
            (Some(answer), _) => answer,
            // There is no second one that answers.
            (None, Some((first, word))) => {
                *locked(&self.preferred) = Some(first.address);
                Err(word)
            }
            (None, None) => {
                if reasons.is_empty() {
                    reasons.push(
                        "no address of a gateway is known, or none answered in time".to_owned(),
                    );
                }
                Err(TunnelError::NoGateway { reasons })
            }
        }
    }

    /// Asks a gateway that was found cut off some time ago the same that another one has just answered well.
    fn look_after(&self, method: &Method, uri: &Uri, body: &Bytes) {
        let due = {
            let mut cut_off = locked(&self.cut_off);
            let due = cut_off
                .iter_mut()
                .find(|(_, c)| c.asked.elapsed() >= ASK_AGAIN);
            let Some((address, found)) = due else {
                return;
            };
            found.asked = Instant::now();
            *address
        };
        let endpoints = self.endpoints();
        let Some(endpoint) = endpoints.iter().find(|e| e.address == due) else {
            return;
        };
        let (endpoint, cut_off) = (Arc::clone(endpoint), Arc::clone(&self.cut_off));
        let (tls, method) = (Arc::clone(&self.tls), method.clone());
        let (uri, body) = (uri.clone(), body.clone());
        tokio::spawn(async move {
            let Ok(response) = endpoint.ask(&tls, &method, &uri, &body).await else {
                return;
            };
            let answer = accept(endpoint.address, response).await;
            let mut cut_off = locked(&cut_off);
            if !answer.as_ref().is_err_and(unreached) {
                cut_off.remove(&endpoint.address);
            } else if let Some(found) = cut_off.get_mut(&endpoint.address) {
                found.again = true;
            }
        });
    }

    /// Asks every gateway at once.
    async fn every<T: DeserializeOwned>(
        &self,
        method: &Method,
        to: &'static str,
        body: &Bytes,
    ) -> Vec<(SocketAddr, Result<T, TunnelError>)> {
        let endpoints = self.endpoints();
        let uri = path(to);
        let uri = &uri;
        join_all(endpoints.iter().map(|endpoint| async move {
            let gateway = endpoint.address;
            let answer = async {
                let response =
                    endpoint
                        .ask(&self.tls, method, uri, body)
                        .await
                        .map_err(|reason| TunnelError::NoGateway {
                            reasons: vec![format!("{gateway}: {reason}")],
                        })?;
                decode(gateway, accept(gateway, response).await?).await
            };
            (gateway, answer.await)
        }))
        .await
    }
}

impl Endpoint {
    /// Sends a request, over a new connection when the kept one turns out to be dead. The error is for people: it is always
    /// "this gateway does not answer".
    async fn ask(
        &self,
        tls: &Arc<rustls::ClientConfig>,
        method: &Method,
        uri: &Uri,
        body: &Bytes,
    ) -> Result<Response<Incoming>, String> {
        let mut last = String::new();
        for _ in 0..2 {
            let (mut sender, kept) = self.session(tls).await?;
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            match timeout(REQUEST_TIMEOUT, sender.send_request(request)).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    self.forget().await;
                    last = with_cause(&error);
                    if !kept {
                        break;
                    }
                }
                Err(_) => {
                    self.forget().await;
                    let waited = REQUEST_TIMEOUT.as_millis();
                    return Err(format!("no answer within {waited} ms"));
                }
            }
        }
        Err(last)
    }

    async fn forget(&self) {
        *self.session.lock().await = None;
    }

    /// The kept connection, or a new one; callers wait for each other here instead of connecting side by side.
    async fn session(&self, tls: &Arc<rustls::ClientConfig>) -> Result<(Sender, bool), String> {
        let mut session = self.session.lock().await;
        if let Some(sender) = session.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), true));
        }
        let sender = timeout(SETUP_TIMEOUT, open(self.address, Arc::clone(tls)))
            .await
            .map_err(|_| format!("no connection within {} ms", SETUP_TIMEOUT.as_millis()))?
            .map_err(|error| with_cause(&error))?;
        *session = Some(sender.clone());
        Ok((sender, false))
    }
}

async fn open(address: SocketAddr, tls: Arc<rustls::ClientConfig>) -> io::Result<Sender> {
    let stream = TcpStream::connect(address).await?;
    crate::stream::tune(&stream)?;
    let name = ServerName::try_from(GATEWAY_NAME).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // Ends by itself when the last sender and the last stream are gone, or when the gateway no longer answers its pings.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(gateway = %address, error = with_cause(&error), "tunnel connection ended");
        }
    });
    Ok(sender)
}

/// Whether a gateway says that it does not find or reach the target. Whether that is the target's fault or its own, another one
/// knows.
fn unreached(error: &TunnelError) -> bool {
    matches!(error.kind(), Some(Kind::NotFound | Kind::Timeout))
}

fn not_reached(cut_off: &Mutex<BTreeMap<SocketAddr, CutOff>>, gateway: SocketAddr) {
    let asked = Instant::now();
    locked(cut_off)
        .entry(gateway)
        .and_modify(|found| {
            found.again |= found.asked.elapsed() >= ASK_AGAIN;
            found.asked = asked;
        })
        .or_insert(CutOff {
            asked,
            again: false,
        });
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Turns a refusal into an error.
async fn accept(
    gateway: SocketAddr,
    response: Response<Incoming>,
) -> Result<Response<Incoming>, TunnelError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    match decode::<Refusal>(gateway, response).await {
        Ok(refusal) => Err(TunnelError::Refused { gateway, refusal }),
        Err(_) => Err(TunnelError::Protocol {
            gateway,
            answer: status.to_string(),
        }),
    }
}

async fn decode<T: DeserializeOwned>(
    gateway: SocketAddr,
    response: Response<Incoming>,
) -> Result<T, TunnelError> {
    let wrong = |answer: String| TunnelError::Protocol { gateway, answer };
    let body = Limited::new(response.into_body(), MAX_BODY);
    let bytes = timeout(REQUEST_TIMEOUT, body.collect())
        .await
        .map_err(|_| wrong("half a body".to_owned()))?
        .map_err(|error| wrong(error.to_string()))?
        .to_bytes();
    serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("a body that is not ours: {error}")))
}

fn encode(body: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(body).unwrap_or_default())
}

fn path(path: &'static str) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(http::uri::Scheme::HTTPS);
    parts.authority = Some(http::uri::Authority::from_static(GATEWAY_NAME));
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static(path));
    Uri::from_parts(parts).unwrap_or_default()
}

/// The message with what caused it; the transport's own messages say little.
fn with_cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
