//! What a pass takes from its surroundings besides the platform and the API of resources: the time, new credentials, and the
//! answers of processes. The product gives it the real ones, the simulator its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use milvus_core::action::Plan;
use milvus_core::desired::Desired;
use milvus_core::names::ClusterKey;
use milvus_core::observed::Observed;
use milvus_core::plan::{DeletionInput, PlanInput};
use milvus_core::probe::{ProbeFailure, ProbeId, ProbeResult};
use milvus_core::validate::GeneratedSecretKind;
use milvus_platform::Dial;
use milvus_probes::{Marking, ProbeMemory, Ways};
use tokio::time::Instant;

use crate::gather::{self, GatherError};

/// The time.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, for what people read and other operators compare.
    fn now(&self) -> Timestamp;
    /// The time that never goes back, for how long something takes.
    fn instant(&self) -> Instant;
}

/// Asks the processes of a cluster over the wire, and leaves its mark in its stores.
pub trait Wire: Send + Sync + 'static {
    /// The answers to everything that `desired` wants to know of what was `observed`. `endpoints` are the client addresses.
    fn ask<'a>(
        &'a self,
        ways: &'a Ways<'a>,
        desired: &'a Desired,
        observed: &'a Observed,
        endpoints: &'a [String],
        memory: &'a mut ProbeMemory,
    ) -> BoxFuture<'a, BTreeMap<ProbeId, ProbeResult>>;

    /// Leaves a cluster's mark in a store of its own, unless one is there.
    fn mark<'a>(
        &'a self,
        inside: &'a dyn Dial,
        marking: &'a Marking<'a>,
    ) -> BoxFuture<'a, Result<(), ProbeFailure>>;
}

/// The content of generated Secrets.
pub trait Credentials: Send + Sync + 'static {
    /// New content for one of `cluster`.
    ///
    /// # Errors
    /// When certificates cannot be made.
    fn generate(
        &self,
        cluster: &ClusterKey,
        kind: &GeneratedSecretKind,
    ) -> Result<BTreeMap<String, Vec<u8>>, GatherError>;
}

/// Whether this operator still leads. Asked before anything is taken down and before a ledger is written: of two operators the
/// one that was superseded does neither.
pub trait Fence: Send + Sync + 'static {
    /// Fails where another operator leads, or where that cannot be known.
    fn confirm(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// Sees every plan before it is carried out. For tests.
pub trait Judge: Send + Sync + 'static {
    /// A plan for a cluster that is to exist.
    fn plan(&self, plan: &Plan, input: &PlanInput<'_>);
    /// A plan for one that is to go.
    fn deletion(&self, plan: &Plan, input: &DeletionInput<'_>);
}

/// All of them.
#[derive(Clone)]
pub struct Seams {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who asks processes.
    pub wire: Arc<dyn Wire>,
    /// Where new credentials come from.
    pub credentials: Arc<dyn Credentials>,
    /// Who looks at plans, if anybody does.
    pub judge: Option<Arc<dyn Judge>>,
    /// Where to ask whether this operator leads, if others may.
    pub fence: Option<Arc<dyn Fence>>,
}

impl Default for Seams {
    /// The real ones.
    fn default() -> Self {
        Self {
            clock: Arc::new(Real),
            wire: Arc::new(Real),
            credentials: Arc::new(Real),
            judge: None,
            fence: None,
        }
    }
}

/// The real surroundings.
struct Real;

impl Clock for Real {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

impl Wire for Real {
    fn ask<'a>(
        &'a self,
        ways: &'a Ways<'a>,
        desired: &'a Desired,
        observed: &'a Observed,
        endpoints: &'a [String],
        memory: &'a mut ProbeMemory,
    ) -> BoxFuture<'a, BTreeMap<ProbeId, ProbeResult>> {
        milvus_probes::probe(ways, desired, observed, endpoints, memory).boxed()
    }

    fn mark<'a>(
        &'a self,
        inside: &'a dyn Dial,
        marking: &'a Marking<'a>,
    ) -> BoxFuture<'a, Result<(), ProbeFailure>> {
        milvus_probes::mark(inside, marking).boxed()
    }
}

impl Credentials for Real {
    fn generate(
        &self,
        cluster: &ClusterKey,
        kind: &GeneratedSecretKind,
    ) -> Result<BTreeMap<String, Vec<u8>>, GatherError> {
        gather::generate(cluster, kind)
    }
}
