//! What a pass tells people: events, and the status where it differs.

use std::time::Duration;

use jiff::Timestamp;
use milvus_core::action::{Action, Notice, Outcome, Plan, Waiting};
use milvus_core::desired::Desired;
use milvus_core::observed::Observed;
use milvus_core::reasons::Reason;
use milvus_core::status::{self, Failure, StatusInput};
use milvus_crds::MilvusCluster;
use milvus_platform::{Backend, Class};

use super::{Memory, PassError};
use crate::context::Context;
use crate::gather::GatherError;
use crate::{execute, report};

/// Status is written at most this often while it keeps changing; every write is an entry in the Swarm's raft.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);

/// What people are told from.
#[derive(Default)]
pub(super) struct Told<'a> {
    pub(super) refusals: &'a [Notice],
    pub(super) unplaced: &'a [Waiting],
    pub(super) desired: Option<&'a Desired>,
    pub(super) addresses: &'a [String],
    pub(super) observed: Option<&'a Observed>,
    pub(super) plan: Option<&'a Plan>,
    pub(super) done: &'a [(Action, Outcome)],
    pub(super) failure: Option<&'a Failure>,
    /// The finalizer is off: there may be no resource left to write to.
    pub(super) gone: bool,
}

/// Posts the events of a pass and writes the status if it differs, at most once per [`STATUS_INTERVAL`]. Gives the time
/// until there is something to tell that could not be told now.
pub(super) async fn tell<B: Backend>(
    context: &Context<B>,
    resource: &MilvusCluster,
    memory: &mut Memory<B::Native>,
    told: Told<'_>,
) -> Result<Duration, PassError> {
    let ledger = memory.ledger.clone().flatten();
    let (status, notes) = status::status(StatusInput {
        resource,
        refusals: told.refusals,
        desired: told.desired,
        addresses: told.addresses,
        observed: told.observed,
        ledger: ledger.as_ref(),
        plan: told.plan,
        unplaced: told.unplaced,
        done: told.done,
        failure: told.failure,
        memory: &memory.plan,
        now: Timestamp::now(),
    });
    let old = resource.status.as_ref();
    if told.gone || old == Some(&status) {
        report::events(&context.client, resource, &notes, &mut memory.told).await;
        return Ok(Duration::MAX);
    }
    let urgent = old.is_none_or(|old| {
        old.phase != status.phase || old.observed_generation != status.observed_generation
    });
    if let Some((_, at)) = &memory.status
        && !urgent
        && at.elapsed() < STATUS_INTERVAL
        && told.done.is_empty()
        && told.failure.is_none()
    {
        // Events are derived from the difference to the status that stands, so they come with the write.
        return Ok(STATUS_INTERVAL - at.elapsed());
    }
    report::events(&context.client, resource, &notes, &mut memory.told).await;
    if report::status(&context.client, resource, &status).await? {
        context
            .metrics
            .status_writes
            .with_label_values(&["written"])
            .inc();
    }
    memory.status = Some((status, tokio::time::Instant::now()));
    Ok(Duration::MAX)
}

/// The platform cannot be seen: say so, as far as that can be said, and change nothing.
pub(super) async fn unseen<B: Backend>(
    context: &Context<B>,
    resource: &MilvusCluster,
    memory: &mut Memory<B::Native>,
    error: &PassError,
) {
    let error = match error {
        PassError::Platform(error) | PassError::Gather(GatherError::Topology(error)) => error,
        PassError::Gather(error) => &execute::failure("look at what is referred to", error),
        // Told already; or what cannot be told because telling is what failed.
        PassError::Action(_) | PassError::Report(_) => return,
    };
    let failure = Failure {
        reason: reason(error.class),
        message: error.to_string(),
    };
    if let Err(error) = tell(
        context,
        resource,
        memory,
        Told {
            failure: Some(&failure),
            ..Told::default()
        },
    )
    .await
    {
        tracing::debug!(error = %crate::telemetry::chain(&error), "that the platform cannot be seen could not be written either");
    }
}

/// The reason that goes with a failure.
pub(super) fn reason(class: Class) -> Reason {
    match class {
        Class::Transient => Reason::PlatformUnreachable,
        Class::Invalid | Class::Conflict | Class::Denied | Class::Bug => Reason::ActionFailed,
    }
}
