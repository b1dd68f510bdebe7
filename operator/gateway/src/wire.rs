//! What the tunnel's two ends say to each other: protocol name, paths, bodies and error kinds. Pure data.
//!
//! Inside the mutually authenticated TLS connection runs HTTP/2. `CONNECT host:port` opens a stream into the overlay; the
//! paths below ask and instruct the gateway. A refusal has a status of 400 and up and a [`Refusal`] as its body.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// The ALPN name that marks the operator's tunnel.
pub const ALPN: &[u8] = b"milvus-operator/1";
/// `POST`, [`ResolveRequest`] -> [`ResolveAnswer`].
pub const RESOLVE: &str = "/v1/resolve";
/// `GET` -> [`Stats`].
pub const STATS: &str = "/v1/stats";
/// `PUT`, [`DrainRequest`] -> [`DrainAnswer`]. The list replaces the one before it.
pub const DRAIN: &str = "/v1/drain";
/// Response header of a successful `CONNECT`: the address that was dialled.
pub const ADDRESS_HEADER: &str = "milvus-gateway-address";

/// Why the gateway refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The name has no address in the overlay, as far as its name server tells.
    NotFound,
    /// The target answered that nobody listens, or closed the connection.
    Refused,
    /// The target did not answer in time.
    Timeout,
    /// The target is not on the gateway's allow-list.
    Denied,
    /// The request itself is not understood.
    Invalid,
}

/// The body of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What sort of failure it is.
    pub kind: Kind,
    /// One sentence for people.
    pub error: String,
}

/// Asks for the addresses of a name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// A service name, alias or `tasks.<service>`.
    pub name: String,
}

/// The addresses of a name, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveAnswer {
    /// Sorted, without duplicates.
    pub addresses: Vec<IpAddr>,
}

/// Names the backends that get no new connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// All of them; an empty list ends every drain.
    pub addresses: Vec<IpAddr>,
    /// The instruction is forgotten after this time unless it is repeated, so that a backend is not left out for ever
    /// when the operator goes away half-way.
    pub seconds: u64,
}

/// What is still open on the draining backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainAnswer {
    /// One entry for each address of the request.
    pub draining: Vec<Draining>,
}

/// One draining backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// The backend.
    pub address: IpAddr,
    /// Client connections that are still open to it through this gateway.
    pub active: u64,
}

/// The state of one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The gateway's version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Whether it has stopped accepting and waits for its clients to leave.
    pub stopping: bool,
    /// Client connections.
    pub connections: ConnectionStats,
    /// The operator's tunnel.
    pub tunnel: TunnelStats,
    /// The names that are followed.
    pub names: Vec<NameStats>,
    /// The proxies behind the client port.
    pub backends: Vec<BackendStats>,
}

/// Counters of client connections since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionStats {
    /// Open now.
    pub active: u64,
    /// The most that may be open.
    pub limit: u64,
    /// Connections that were handed to a proxy.
    pub served_total: u64,
    /// Connections closed at once because the limit was reached.
    pub over_limit_total: u64,
    /// Connections closed because no proxy could be reached in time.
    pub unserved_total: u64,
    /// Connections that ended with an error, on either side.
    pub broken_total: u64,
    /// Connections ended because their proxy's host stopped answering.
    pub cut_total: u64,
}

/// Counters of the tunnel since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelStats {
    /// Operator connections open now.
    pub sessions: u64,
    /// Handshakes that failed: wrong authority, no certificate, not the operator.
    pub handshakes_failed_total: u64,
    /// Streams open now.
    pub streams: u64,
    /// Dials that succeeded.
    pub dials_total: u64,
    /// Dials that were refused or failed.
    pub dials_failed_total: u64,
}

/// One followed name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameStats {
    /// As configured.
    pub name: String,
    /// What it resolved to last.
    pub addresses: Vec<SocketAddr>,
    /// Why the last look-up failed; the addresses before it stay in use.
    pub error: Option<String>,
}

/// One backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStats {
    /// Its client port.
    pub address: SocketAddr,
    /// Whether new connections may go to it.
    pub live: bool,
    /// Whether a name still resolves to it.
    pub listed: bool,
    /// Whether the operator told it to drain.
    pub draining: bool,
    /// Whether failed connections took it out for a while.
    pub marked_down: bool,
    /// What the last health check said: `up`, `unknown`, or the reason it is down.
    pub health: String,
    /// Client connections open now.
    pub active: u64,
    /// Client connections since it appeared.
    pub served_total: u64,
    /// Failed connection attempts since it appeared.
    pub failed_total: u64,
}
