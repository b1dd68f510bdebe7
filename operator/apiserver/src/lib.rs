//! An embedded API server that speaks Kubernetes' wire protocol: driven by CRDs, with its objects in
//! memory and behind a small store. kubectl and client libraries use it as they use a cluster.
//!
//! Reads come from memory ([`cache`]); writes go through one writer that stores first and publishes
//! then ([`commit`]), for as long as no other server has taken over the store ([`leadership`]); what a
//! write means is decided by pure code ([`strategy`], [`schema`]). The server knows no kind but the
//! built-in ones and those of the CRDs that it is given.

pub mod auth;
mod background;
mod builtin;
mod cache;
mod check;
mod commit;
mod connections;
pub mod decode;
mod definition;
mod discovery;
mod encode;
mod guard;
mod handlers;
pub mod jsonpath;
mod leadership;
mod load;
mod meta;
mod metrics;
mod namespace;
mod negotiate;
mod object;
pub mod openapi;
mod patch;
pub mod pki;
mod projection;
mod protobuf;
mod query;
mod resource;
mod route;
pub mod schema;
pub mod seal;
mod selector;
mod serve;
mod server;
mod status;
pub mod store;
mod strategy;
pub mod table;
mod watch;
mod workload;

pub use auth::{Authenticator, Identity};
pub use cache::Window;
pub use guard::Guard;
pub use resource::ResourceError;
pub use server::{ApiServer, BuildError, Builder, Limits};
pub use status::{ApiError, Cause};
