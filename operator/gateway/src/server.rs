//! Accepts connections on the client port, tells the tunnel from clients, and carries clients to a proxy.

use crate::control::{Allow, Control};
use crate::health::{self, Check};
use crate::hello::{MAX_HELLO, Verdict, classify};
use crate::lookup::Lookup;
use crate::pool::{Lease, Policy, Pool};
use crate::stream::{Replay, reset_on_close, tune};
use crate::wire::{ConnectionStats, Stats};
use std::collections::BTreeSet;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Places beyond the client limit, so that the operator gets in when clients fill the port.
const RESERVED: usize = 64;
/// One direction of one connection.
const COPY_BUFFER: usize = 16 * 1024;
/// Between looks at the pool while a client waits for a backend.
const RECHECK: Duration = Duration::from_millis(200);
/// After a failed accept, which mostly means that descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A name and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A string is not `host:port`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0:?} is not of the form host:port")]
pub struct ParseTargetError(String);

impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseTargetError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(address) => address,
            None if host.contains(':') => return Err(error()),
            None => host,
        };
        match port.parse() {
            Ok(port) if port > 0 && !host.is_empty() => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            _ => Err(error()),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Everything that may be set.
#[derive(Debug, Clone)]
pub struct Config {
    /// The names to follow and their client ports.
    pub backends: Vec<Target>,
    /// Between look-ups of the names.
    pub resolve_interval: Duration,
    /// For one attempt to connect to one backend.
    pub connect_timeout: Duration,
    /// How long a client is kept waiting while no backend can be reached.
    pub backend_wait: Duration,
    /// When a backend is out.
    pub policy: Policy,
    /// Active health checks; `None` leaves it to failed connections.
    pub check: Option<Check>,
    /// Client connections open at a time.
    pub max_connections: usize,
    /// How long clients may finish after the stop was asked for.
    pub drain_timeout: Duration,
    /// A connection whose first byte does not come within this time goes to a backend: its client waits for the server.
    pub first_byte_wait: Duration,
    /// A begun ClientHello must be complete after this time.
    pub hello_wait: Duration,
    /// What the tunnel may dial.
    pub allow: Vec<Allow>,
    /// For one dial through the tunnel, the look-up included.
    pub dial_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backends: Vec::new(),
            resolve_interval: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            backend_wait: Duration::from_secs(3),
            policy: Policy {
                checked: false,
                ..Policy::default()
            },
            check: None,
            max_connections: 65536,
            drain_timeout: Duration::from_secs(30),
            first_byte_wait: Duration::from_secs(1),
            hello_wait: Duration::from_secs(5),
            allow: Vec::new(),
            dial_timeout: Duration::from_secs(3),
        }
    }
}

#[derive(Default)]
struct Counters {
    served: AtomicU64,
    over_limit: AtomicU64,
    unserved: AtomicU64,
    broken: AtomicU64,
    cut: AtomicU64,
    stopping: AtomicBool,
}

/// How a gateway ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Client connections that had not ended by themselves within the drain time-out.
    pub interrupted: u64,
}

/// One gateway.
pub struct Gateway {
    config: Config,
    pool: Arc<Pool>,
    lookup: Arc<dyn Lookup>,
    control: Option<Control>,
    counters: Counters,
    clients: Arc<Semaphore>,
    places: Arc<Semaphore>,
    started: Instant,
}

impl Gateway {
    /// A gateway; without `tls` there is no tunnel, and TLS of any sort is the clients'.
    #[must_use]
    pub fn new(
        mut config: Config,
        lookup: Arc<dyn Lookup>,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Arc<Self> {
        config.policy.checked = config.check.is_some();
        let names = config.backends.iter().map(Target::to_string);
        let pool = Pool::new(config.policy.clone(), names);
        let limit = config.max_connections.clamp(1, Semaphore::MAX_PERMITS / 2);
        config.max_connections = limit;
        let control = tls.map(|tls| {
            Control::new(
                tls,
                Arc::clone(&lookup),
                config.allow.clone(),
                config.dial_timeout,
            )
        });
        Arc::new(Self {
            pool,
            lookup,
            control,
            counters: Counters::default(),
            clients: Arc::new(Semaphore::new(limit)),
            places: Arc::new(Semaphore::new(limit + RESERVED)),
            started: Instant::now(),
            config,
        })
    }

    /// The backends.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Serves until `stop`, then lets the clients finish, for as long as the drain time-out allows.
    pub async fn run(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) -> Stopped {
        let background = CancellationToken::new();
        let abort = CancellationToken::new();
        self.spawn_background(&background);
        let tasks = TaskTracker::new();
        self.accept(&listener, &stop, &abort, &tasks).await;
        drop(listener);
        self.counters.stopping.store(true, Relaxed);
        tasks.close();
        tracing::info!(
            connections = self.pool.active(),
            "stopping, no new connections"
        );
        if timeout(self.config.drain_timeout, tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = self.pool.active(),
                "drain time-out, closing what is left"
            );
        }
        let interrupted = self.pool.active();
        abort.cancel();
        tasks.wait().await;
        background.cancel();
        Stopped { interrupted }
    }

    fn spawn_background(&self, until: &CancellationToken) {
        let follow = health::follow(
            Arc::clone(&self.pool),
            Arc::clone(&self.lookup),
            self.config.backends.clone(),
            self.config.resolve_interval,
        );
        tokio::spawn(until.clone().run_until_cancelled_owned(follow));
        if let Some(check) = self.config.check.clone() {
            let check = health::check(Arc::clone(&self.pool), check);
            tokio::spawn(until.clone().run_until_cancelled_owned(check));
        }
    }

    async fn accept(
        self: &Arc<Self>,
        listener: &TcpListener,
        stop: &CancellationToken,
        abort: &CancellationToken,
        tasks: &TaskTracker,
    ) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.next(listener) => accepted,
            };
            match accepted {
                Ok((stream, place)) => {
                    let (gateway, stop, abort) = (Arc::clone(self), stop.clone(), abort.clone());
                    tasks.spawn(async move {
                        gateway.serve(stream, stop, abort).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Takes a place first, so that a flood waits in the kernel's queue and not in our memory.
    async fn next(&self, listener: &TcpListener) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        Ok((stream, place))
    }

    async fn serve(
        self: Arc<Self>,
        mut stream: TcpStream,
        stop: CancellationToken,
        abort: CancellationToken,
    ) {
        if let Err(error) = tune(&stream) {
            tracing::debug!(%error, "cannot set socket options");
            return;
        }
        let mut read_ahead = Vec::new();
        let route = match &self.control {
            None => Some(Verdict::Other),
            Some(_) => tokio::select! {
                route = self.sniff(&mut stream, &mut read_ahead) => route,
                () = abort.cancelled() => return,
            },
        };
        let stream = Replay::new(read_ahead, stream);
        match (route, &self.control) {
            (None, _) => {}
            (Some(Verdict::Tunnel), Some(control)) => {
                control.serve(stream, &self, &stop).await;
            }
            _ => self.forward(stream, &abort).await,
        }
    }

    /// Reads until it is known where the connection belongs; `None` if it ended before its first byte.
    async fn sniff(&self, stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Verdict> {
        match timeout(self.config.first_byte_wait, stream.read_buf(read)).await {
            Err(_) => return Some(Verdict::Other),
            Ok(Err(_) | Ok(0)) => return None,
            Ok(Ok(_)) => {}
        }
        let more = async {
            loop {
                match classify(read) {
                    Verdict::Incomplete => {}
                    decided => return decided,
                }
                read.reserve(512);
                let mut limited = (&mut *stream).take((MAX_HELLO - read.len()) as u64);
                // What is broken or closed half-way is the backend's to judge.
                if !matches!(limited.read_buf(read).await, Ok(1..)) {
                    return Verdict::Other;
                }
            }
        };
        let verdict = timeout(self.config.hello_wait, more).await;
        Some(verdict.unwrap_or(Verdict::Other))
    }

    async fn forward(&self, mut client: Replay<TcpStream>, abort: &CancellationToken) {
        let Ok(_place) = self.clients.try_acquire() else {
            self.counters.over_limit.fetch_add(1, Relaxed);
            reset_on_close(client.get_ref());
            return;
        };
        let connected = tokio::select! {
            connected = self.connect() => connected,
            () = abort.cancelled() => None,
        };
        let Some((mut backend, lease)) = connected else {
            self.counters.unserved.fetch_add(1, Relaxed);
            reset_on_close(client.get_ref());
            return;
        };
        self.counters.served.fetch_add(1, Relaxed);
        let ended = tokio::select! {
            copied = copy_bidirectional_with_sizes(&mut client, &mut backend, COPY_BUFFER, COPY_BUFFER) => copied.map(|_| ()),
            () = lease.cut() => {
                self.counters.cut.fetch_add(1, Relaxed);
                Err(io::ErrorKind::TimedOut.into())
            }
            () = abort.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
        };
        if let Err(error) = ended {
            tracing::debug!(backend = %lease.address(), %error, "connection broken");
            self.counters.broken.fetch_add(1, Relaxed);
            reset_on_close(client.get_ref());
            reset_on_close(&backend);
        }
    }

    /// Tries one backend after the other, and all of them again, until one answers or the wait is over.
    async fn connect(&self) -> Option<(TcpStream, Lease)> {
        let deadline = Instant::now() + self.config.backend_wait;
        let mut tried = BTreeSet::new();
        loop {
            while let Some(lease) = self.pool.pick(Instant::now(), &tried) {
                let attempt = TcpStream::connect(lease.address());
                let reason = match timeout(self.config.connect_timeout, attempt).await {
                    Ok(Ok(stream)) => match tune(&stream) {
                        Ok(()) => {
                            lease.connected();
                            return Some((stream, lease));
                        }
                        Err(error) => error.to_string(),
                    },
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "timed out".to_owned(),
                };
                tracing::debug!(backend = %lease.address(), %reason, "cannot connect");
                lease.failed(Instant::now());
                tried.insert(lease.address());
            }
            tried.clear();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            tokio::select! {
                () = self.pool.changed() => {}
                () = sleep(RECHECK.min(left)) => {}
            }
        }
    }

    /// The state of the gateway.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (names, backends) = self.pool.stats(Instant::now());
        Stats {
            version: crate::VERSION.to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            stopping: self.counters.stopping.load(Relaxed),
            connections: ConnectionStats {
                active: self.pool.active(),
                limit: self.config.max_connections as u64,
                served_total: self.counters.served.load(Relaxed),
                over_limit_total: self.counters.over_limit.load(Relaxed),
                unserved_total: self.counters.unserved.load(Relaxed),
                broken_total: self.counters.broken.load(Relaxed),
                cut_total: self.counters.cut.load(Relaxed),
            },
            tunnel: self
                .control
                .as_ref()
                .map(Control::stats)
                .unwrap_or_default(),
            names,
            backends,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for text in ["tasks.milvus_proxy:19530", "10.0.0.1:1", "[fd00::1]:19530"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in [
            "proxy",
            "proxy:",
            ":1",
            "proxy:0",
            "proxy:65536",
            "fd00::1:1",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
