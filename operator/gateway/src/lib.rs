//! The front door of one Milvus cluster on Swarm: a TCP balancer over the live proxies, and on the same port a
//! mutually authenticated tunnel through which the operator reaches the cluster's overlay network.
//!
//! This room owns sockets, DNS look-ups and TLS. It knows nothing of Swarm, of the resource or of Milvus beyond an HTTP
//! health path; it keeps no state on disk and works on without the operator.
//!
//! * The binary `milvus-gateway` wires [`server::Gateway`] to flags, signals and logs.
//! * The operator uses [`tunnel::Client`] and [`pki`].
#![forbid(unsafe_code)]

mod control;
mod health;
pub mod hello;
pub mod lookup;
pub mod pki;
pub mod pool;
pub mod server;
mod stream;
pub mod tunnel;
pub mod wire;

pub use control::Allow;
pub use health::Check;

/// The gateway's own version, which is also the tag of its image.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
