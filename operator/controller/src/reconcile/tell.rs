//! What a pass tells people: events, and the status where it differs.

use std::time::Duration;

use kube::Resource;
use milvus_core::action::{Action, Notice, Outcome, Plan, Waiting};
use milvus_core::desired::Desired;
use milvus_core::observed::Observed;
use milvus_core::reasons::Reason;
use milvus_core::status::{self, Failure, StatusInput};
use milvus_crds::{MilvusCluster, MilvusClusterStatus, Phase};
use milvus_platform::{Backend, Class};
use tokio::time::Instant;

use super::{Memory, PassError};
use crate::context::Context;
use crate::gather::GatherError;
use crate::resource_store::ResourceStore;
use crate::{execute, report};

/// The same foreign status is corrected again after this time.
const DOUBT_AGAIN: Duration = Duration::from_secs(10);
/// Status is written at most this often while it keeps changing; every write is an entry in the Swarm's raft.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);
/// A start that is over within this time is told of once, when it is over.
const START_INTERVAL: Duration = Duration::from_secs(1);
/// Telling takes at most this part of the time: where writes take long, because many clusters start at once, the API server has
/// better to do than to hear of each step of each.
const SHARE: u32 = 40;
/// However long writes take, nobody waits longer for news.
const LONGEST_INTERVAL: Duration = Duration::from_secs(8);

/// What is not told yet, and how often may be told.
#[derive(Clone, Default)]
pub(super) struct Telling {
    /// What was done and is not told.
    done: Vec<(Action, Outcome)>,
    /// Since when there has been something to tell.
    since: Option<Instant>,
    /// The status as last written, and when: the watch may lag behind.
    written: Option<(MilvusClusterStatus, Instant)>,
    /// A write was sent whose outcome is not known: what stands may be its status or the one before.
    unsure: bool,
    /// What others had written when it was last corrected, and when.
    doubted: Option<(Option<MilvusClusterStatus>, Instant)>,
    /// How long a write took lately.
    took: Duration,
}

impl Telling {
    /// The status as last written.
    pub(super) fn status(&self) -> Option<&MilvusClusterStatus> {
        self.written.as_ref().map(|(status, _)| status)
    }

    /// What stands is not what was written: it is written anew, whatever is to be said. The same once only for some time, since a
    /// lagging watch goes on showing it.
    pub(super) fn doubt(&mut self, shown: Option<&MilvusClusterStatus>, now: Instant) {
        let known = self.doubted.as_ref().is_some_and(|(status, at)| {
            status.as_ref() == shown && now.saturating_duration_since(*at) < DOUBT_AGAIN
        });
        if !known {
            self.doubted = Some((shown.cloned(), now));
            self.unsure = true;
        }
    }

    /// A write has taken so long.
    pub(super) fn wrote(&mut self, took: Duration) {
        self.took = took;
    }

    /// The time from one news to the next.
    fn interval(&self, least: Duration) -> Duration {
        (self.took * SHARE).clamp(least, LONGEST_INTERVAL)
    }

    /// How long a new status may wait, where nothing has failed. `well` is whether nobody has to do anything about it.
    fn pause(
        &self,
        old: Option<&MilvusClusterStatus>,
        new: &MilvusClusterStatus,
        well: bool,
        now: Instant,
    ) -> Duration {
        let due = match (old, &self.written) {
            (None, _) if well && new.phase == Some(Phase::Creating) => self
                .since
                .map(|since| since + self.interval(START_INTERVAL)),
            (Some(old), Some((_, at)))
                if old.phase == new.phase
                    && old.observed_generation == new.observed_generation
                    && self.done.is_empty() =>
            {
                Some(*at + self.interval(STATUS_INTERVAL))
            }
            _ => None,
        };
        due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now))
    }
}

/// What people are told from.
#[derive(Default)]
pub(super) struct Told<'a> {
    /// `None` where nobody has judged the present spec.
    pub(super) refusals: Option<&'a [Notice]>,
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

impl Told<'_> {
    /// Whether nobody has to do anything about what was seen: a cluster that comes up waits for its own parts alone.
    fn well(&self) -> bool {
        let answer = |plan: &Plan| plan.readiness.values().all(|r| !r.external || r.ready);
        self.refusals.is_none_or(<[Notice]>::is_empty)
            && self.unplaced.is_empty()
            && self
                .plan
                .is_some_and(|plan| plan.notices.is_empty() && answer(plan))
    }
}

/// Posts the events of a pass and writes the status if it differs, both not too often. Gives the time until there is something
/// to tell that could not be told now.
pub(super) async fn tell<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    resource: &MilvusCluster,
    memory: &mut Memory<B::Native>,
    told: Told<'_>,
) -> Result<Duration, PassError> {
    let clock = context.seams.clock.as_ref();
    let ledger = memory.ledger.clone().flatten();
    memory.telling.done.extend_from_slice(told.done);
    let (status, notes) = status::status(StatusInput {
        resource,
        refusals: told.refusals,
        desired: told.desired,
        addresses: told.addresses,
        observed: told.observed,
        ledger: ledger.as_ref(),
        plan: told.plan,
        unplaced: told.unplaced,
        done: &memory.telling.done,
        failure: told.failure,
        memory: &memory.plan,
        now: clock.now(),
    });
    let old = resource.status.as_ref();
    let unsure = memory.telling.unsure;
    let news = !told.gone && (unsure || old != Some(&status));
    if news && told.failure.is_none() && !unsure {
        let now = clock.instant();
        memory.telling.since.get_or_insert(now);
        let pause = memory.telling.pause(old, &status, told.well(), now);
        if !pause.is_zero() {
            // Events are derived from the difference to the status that stands, so they come with the write.
            return Ok(pause);
        }
    }
    // The status first: events are derived from the difference to the one that stands, so one that could not be written is told of
    // with the next, and nothing is told twice.
    if news {
        let began = clock.instant();
        // True as well where the pass is dropped in the middle of it.
        memory.telling.unsure = true;
        let key = milvus_core::validate::identity(resource).key;
        context.resources.writes_status(&key, old, &status);
        if let Err(error) = report::status(&context.client, resource, &status).await {
            report::troubles(&context.client, resource, notes, &mut memory.told, clock).await;
            return Err(error.into());
        }
        memory.telling.unsure = false;
        context
            .metrics
            .status_writes
            .with_label_values(&["written"])
            .inc();
        let now = clock.instant();
        memory.telling.wrote(now.saturating_duration_since(began));
        memory.telling.written = Some((status, now));
    }
    memory.telling.done.clear();
    memory.telling.since = None;
    report::events(&context.client, resource, &notes, &mut memory.told, clock).await;
    Ok(Duration::MAX)
}

/// The platform cannot be seen: say so, as far as that can be said, and change nothing.
pub(super) async fn unseen<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    resource: &MilvusCluster,
    memory: &mut Memory<B::Native>,
    error: &PassError,
) {
    let error = match error {
        PassError::Platform(error)
        | PassError::Gather(
            GatherError::Topology(error)
            | GatherError::Standing(error)
            | GatherError::Replicas(error),
        ) => error,
        PassError::Gather(error) => &execute::failure("look at what is referred to", error),
        // Told already; or what cannot be told because telling is what failed.
        PassError::Action(_) | PassError::Report(_) => return,
    };
    let failure = Failure {
        reason: reason(error.class),
        message: error.to_string(),
    };
    let refusals = memory.refusals.clone();
    let generation = resource.meta().generation.unwrap_or(0);
    if let Err(error) = tell(
        context,
        resource,
        memory,
        Told {
            // What was judged of this very spec still holds.
            refusals: refusals
                .as_ref()
                .filter(|(of, _)| *of == generation)
                .map(|(_, refusals)| refusals.as_slice()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(phase: Phase) -> MilvusClusterStatus {
        MilvusClusterStatus {
            phase: Some(phase),
            ..MilvusClusterStatus::default()
        }
    }

    async fn after(millis: u64) {
        tokio::time::advance(Duration::from_millis(millis)).await;
    }

    /// Seconds that a status may wait, of a cluster whose last write took this many milliseconds.
    async fn start(took: u64, well: bool, new: Phase) -> f32 {
        let mut telling = Telling::default();
        telling.wrote(Duration::from_millis(took));
        telling.since = Some(Instant::now());
        telling
            .pause(None, &phase(new), well, Instant::now())
            .as_secs_f32()
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_is_told_of_after_a_second_or_when_it_is_over() {
        assert_eq!(start(5, true, Phase::Creating).await, 1.0);
        assert_eq!(start(5, true, Phase::Ready).await, 0.0);
        // Something has to be done about it.
        assert_eq!(start(5, false, Phase::Creating).await, 0.0);
        // The API server is busy.
        assert_eq!(start(100, true, Phase::Creating).await, 4.0);
        assert_eq!(start(10_000, true, Phase::Creating).await, 8.0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_have_written_is_written_over_once() {
        let mut telling = Telling::default();
        let foreign = phase(Phase::Pending);
        for (seconds, corrected) in [(0, true), (1, false), (10, true)] {
            after(seconds * 1000).await;
            telling.unsure = false;
            telling.doubt(Some(&foreign), Instant::now());
            assert_eq!(telling.unsure, corrected, "{seconds} s later");
        }
        telling.unsure = false;
        telling.doubt(Some(&phase(Phase::Unknown)), Instant::now());
        assert!(telling.unsure, "another one");
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_wait_and_a_phase_does_not() {
        let telling = Telling {
            written: Some((phase(Phase::Creating), Instant::now())),
            ..Telling::default()
        };
        after(500).await;
        let old = phase(Phase::Creating);
        let pause =
            |telling: &Telling, new| telling.pause(Some(&old), &phase(new), true, Instant::now());
        assert_eq!(
            pause(&telling, Phase::Creating),
            Duration::from_millis(1500)
        );
        assert_eq!(pause(&telling, Phase::Ready), Duration::ZERO);
        after(1500).await;
        assert_eq!(pause(&telling, Phase::Creating), Duration::ZERO);
    }
}
