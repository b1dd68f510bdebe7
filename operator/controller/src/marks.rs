//! Leaves a cluster's mark in the stores that it runs for itself. What is written, and when, is the planner's decision.

use milvus_core::component::Component;
use milvus_core::desired::Desired;
use milvus_core::observed::Observed;
use milvus_platform::{Backend, Class, Dial, PlatformError};
use milvus_probes::Marking;

use crate::context::Context;
use crate::resource_store::ResourceStore;

/// The way to the stores of a cluster.
pub(crate) struct Stores<'a> {
    /// Into its network.
    pub inside: &'a dyn Dial,
    /// What the cluster should be.
    pub desired: &'a Desired,
    /// What was seen of it.
    pub observed: &'a Observed,
}

/// Leaves the cluster's mark in a store.
pub(crate) async fn leave<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    component: Component,
    text: &str,
    stores: Option<&Stores<'_>>,
) -> Result<(), PlatformError> {
    let operation = || format!("leave the cluster's mark in {component}");
    let Some(stores) = stores else {
        let class = Class::Bug;
        return Err(PlatformError::new(
            class,
            operation(),
            "there is no way to it",
        ));
    };
    let marking = Marking {
        addressing: context.backend.capabilities().addressing,
        desired: stores.desired,
        observed: stores.observed,
        component,
        text,
    };
    let marked = context.seams.wire.mark(stores.inside, &marking).await;
    // What ails a store is found by its own checks. A mark that is not left takes nothing from a cluster that is well: it is
    // tried again, and the log has the reason.
    marked.map_err(|failed| PlatformError::new(Class::Conflict, operation(), failed.message))
}
