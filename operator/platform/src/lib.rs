//! The seam between decisions and platforms: what a platform must offer ([`Backend`]), and how one gets into a cluster's
//! network ([`Dial`]). Traits and error classes only; no client library, no decision.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use milvus_core::action::{Action, Outcome};
use milvus_core::capabilities::Capabilities;
use milvus_core::component::Component;
use milvus_core::desired::Desired;
use milvus_core::names::{ClusterKey, ClusterRef};
use milvus_core::observed::{Observed, Topology};
use milvus_core::outline::{ObjectId, Outline};
use milvus_core::rebuild::Standing;
use tokio::io::{AsyncRead, AsyncWrite};

/// A rendered cluster: what the planner may see, and the native objects that go with it.
#[derive(Clone, Debug)]
pub struct Rendered<N> {
    /// Whose.
    pub cluster: ClusterRef,
    /// Identity, order and revision of every object.
    pub outline: Outline,
    /// The native objects.
    pub native: BTreeMap<ObjectId, N>,
}

/// A platform that runs clusters.
pub trait Backend: Send + Sync + 'static {
    /// The platform's own object type (all kinds in one).
    type Native: Clone + Send + Sync + std::fmt::Debug + 'static;

    /// What it can honour.
    fn capabilities(&self) -> &Capabilities;

    /// Pure: native objects of a cluster.
    ///
    /// # Errors
    /// Only for what validation cannot know; names the workload and the field.
    fn render(&self, desired: &Desired) -> Result<Rendered<Self::Native>, PlatformError>;

    /// The machines.
    fn topology(&self) -> impl Future<Output = Result<Topology, PlatformError>> + Send;

    /// Everything of this cluster as it is now. With `rendered`, each object is compared with its rendering. Probes are
    /// left empty: they are asked elsewhere.
    fn observe(
        &self,
        cluster: &ClusterRef,
        rendered: Option<&Rendered<Self::Native>>,
    ) -> impl Future<Output = Result<Observed, PlatformError>> + Send;

    /// Carries out one action on native objects. Idempotent. Ledger and finalizer actions are not the platform's.
    fn apply(
        &self,
        cluster: &ClusterRef,
        action: &Action,
        rendered: Option<&Rendered<Self::Native>>,
    ) -> impl Future<Output = Result<Outcome, PlatformError>> + Send;

    /// The way into the cluster's network, as things stand in `observed`. Cheap: what it needs is kept between passes.
    fn dial(
        &self,
        cluster: &ClusterRef,
        observed: &Observed,
        credentials: &TunnelCredentials,
    ) -> Arc<dyn Dial>;

    /// How many processes the workloads of a cluster ask for at present, by component, where that may be somebody else's choice
    /// ([`Capabilities::external_scaling`]).
    fn replicas(
        &self,
        _cluster: &ClusterKey,
    ) -> impl Future<Output = Result<BTreeMap<Component, u32>, PlatformError>> + Send {
        async { Ok(BTreeMap::new()) }
    }

    /// The workloads of a cluster as their own specs tell them, for whichever resource of that name they were made. Asked for
    /// where no ledger tells of them. With what stands of their data alone, where nothing else of them does.
    fn standing(
        &self,
        _cluster: &ClusterKey,
    ) -> impl Future<Output = Result<Vec<Standing>, PlatformError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Digests (`sha256:..`) that the registries of these images have for them now. Images whose registry does not answer in a few
    /// seconds, or does not know them, are absent. Asked for where [`Capabilities::pins_images`].
    fn digests(
        &self,
        _images: &BTreeSet<String>,
    ) -> impl Future<Output = BTreeMap<String, String>> + Send {
        async { BTreeMap::new() }
    }

    /// What a rendering depends on besides the cluster, as a number that changes when that does.
    fn offers(&self) -> u64 {
        0
    }

    /// Where clients reach the cluster now (`host:port`), best first. Empty while nothing is published.
    fn endpoints(&self, desired: &Desired, observed: &Observed) -> Vec<String>;

    /// Hints that something changed. Never the truth: every hint leads to a fresh look.
    fn changes(&self) -> impl Stream<Item = Change> + Send + 'static;
}

/// What the operator shows at a cluster's gateway, PEM. Empty where the platform needs none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TunnelCredentials {
    /// The cluster's own CA.
    pub ca: String,
    /// The operator's certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for TunnelCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TunnelCredentials")
    }
}

/// A hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something of one cluster.
    Cluster(ClusterKey),
    /// Anything (a node, a reconnect).
    Everything,
}

/// A two-way byte stream into a cluster's network.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection for T {}

/// A way into one cluster's network.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `host:port` as seen from inside. The host may be a name or an address.
    fn dial(
        &self,
        host: &str,
        port: u16,
    ) -> futures::future::BoxFuture<'_, Result<Box<dyn Connection>, DialError>>;

    /// Addresses of nodes whose way leads to less than that of others.
    fn cut_off(&self) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// Why a connection could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The name does not resolve inside the network.
    #[error("{0} does not resolve in the cluster's network")]
    NotFound(String),
    /// Nobody listens there.
    #[error("{0} refuses connections")]
    Refused(String),
    /// No answer in time.
    #[error("{0} did not answer in time")]
    Timeout(String),
    /// The way into the network itself is not there.
    #[error("no way into the cluster's network: {0}")]
    NoPath(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What kind of trouble an error is: drives requeue, condition reason and metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The input cannot be honoured: wait for a change.
    Invalid,
    /// Somebody else wrote in between: look again at once.
    Conflict,
    /// May pass: try again with backoff.
    Transient,
    /// Not allowed to.
    Denied,
    /// A fault of ours.
    Bug,
}

/// An error of a platform, with its class.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct PlatformError {
    /// What was tried, on which object (`create service demo_etcd-0`).
    pub operation: String,
    /// What went wrong, without secrets.
    pub message: String,
    /// What kind of trouble.
    pub class: Class,
    /// How long to wait before the next try, where the platform said so.
    pub retry_after: Option<Duration>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl PlatformError {
    /// An error without a cause.
    pub fn new(class: Class, operation: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            operation: operation.into(),
            message: message.into(),
            class,
            retry_after: None,
            source: None,
        }
    }
}
