//! One pass over one cluster: gather, validate, place, desire, render, observe, probe, plan, execute, report. Each step is
//! either pure (in core) or effectful (here), never both.

mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use milvus_core::action::{Action, Notice, Plan, Waiting};
use milvus_core::desired::Desired;
use milvus_core::facts::Facts;
use milvus_core::ledger::Ledger;
use milvus_core::names::{ClusterKey, ClusterRef, member_of_directory};
use milvus_core::observed::Observed;
use milvus_core::pins;
use milvus_core::place::{self, Placed};
use milvus_core::plan::{self, DeletionInput, DeletionPolicies, PlanInput};
use milvus_core::probe::{ProbeId, ProbeResult};
use milvus_core::reasons::Reason;
use milvus_core::rebuild::ACCEPT_DATA_LOSS;
use milvus_core::status::Failure;
use milvus_core::validate::Violation;
use milvus_core::{abandoned, check, desire, validate};
use milvus_crds::{MilvusCluster, MilvusClusterSpec};
use milvus_platform::{Backend, Class, PlatformError, Rendered};
use milvus_probes::{ProbeMemory, Ways};
use tokio::time::Instant;

use crate::context::Context;
use crate::execute::{self, Basis, Executed};
use crate::gather::{self, GatherError, SecretRead};
use crate::ledger_store;
use crate::marks::Stores;
use crate::outside::Outside;
use crate::report::{self, ReportError};
use crate::resource_store::ResourceStore;
use crate::seams::Clock;
use crate::turns::Turn;
use tell::{Telling, Told, reason, tell, unseen};

/// What one worker remembers between passes. Losing it costs a read or a delay, never a wrong decision.
#[derive(Clone)]
pub struct Memory<N> {
    /// The ledger as last read or written; `None` before the first read.
    pub(crate) ledger: Option<Option<Ledger>>,
    /// The version in which it was read or written.
    pub(crate) ledger_version: Option<String>,
    /// The version that the watch showed when it was last looked at.
    pub(crate) ledger_shown: Option<String>,
    /// The stored ledger was removed under the cluster, and is to be recorded again from the one above.
    pub(crate) ledger_lost: bool,
    /// The deletion of the stored ledger was asked for; it is held.
    pub(crate) ledger_going: bool,
    /// Secrets as last read.
    pub(crate) secrets: BTreeMap<String, SecretRead>,
    /// What the planner saw before.
    pub(crate) plan: plan::Memory,
    /// What the probes learnt before.
    pub(crate) probes: ProbeMemory,
    /// Whether the processes did not all answer in time at the last time.
    slow: bool,
    /// Why the spec of a generation cannot be honoured; empty when it can.
    refusals: Option<(i64, Vec<Notice>)>,
    /// The last spec that could be honoured: a refused edit leaves the cluster looked after as it was.
    good: Option<MilvusClusterSpec>,
    /// What people were told lately.
    told: report::Told,
    /// What they are to be told, and when.
    telling: Telling,
    /// What was made of the last spec and facts: the same again, while neither changes.
    prepared: Option<Prepared<N>>,
    /// A moment by both clocks.
    began: Option<(Timestamp, Instant)>,
    /// uid that all of this belongs to.
    uid: String,
}

impl<N> Memory<N> {
    /// That of a worker that begins with a resource of this uid.
    pub fn of(uid: String) -> Self {
        Self {
            ledger: None,
            ledger_version: None,
            ledger_shown: None,
            ledger_lost: false,
            ledger_going: false,
            secrets: BTreeMap::new(),
            plan: plan::Memory::default(),
            probes: ProbeMemory::default(),
            slow: false,
            refusals: None,
            good: None,
            told: report::Told::default(),
            telling: Telling::default(),
            prepared: None,
            began: None,
            uid,
        }
    }

    /// The digests that the spec of a generation was worked out with, where it was.
    fn digests(&self, generation: i64) -> Option<BTreeMap<String, String>> {
        let prepared = self.prepared.as_ref();
        let prepared = prepared.filter(|prepared| prepared.generation == generation)?;
        Some(prepared.facts.digests.clone())
    }

    /// The time for how long things last: it goes on evenly whatever is done to the clock of the machine.
    fn steady(&mut self, clock: &dyn Clock) -> Timestamp {
        let now = clock.instant();
        let (wall, began) = *self.began.get_or_insert_with(|| (clock.now(), now));
        let passed = now.saturating_duration_since(began);
        wall.checked_add(passed).unwrap_or(wall)
    }
}

/// A cluster as it is to be, and what that was worked out from.
#[derive(Clone)]
struct Prepared<N> {
    generation: i64,
    /// What the resource says of nodes that have come back.
    node_is: Option<String>,
    facts: Facts,
    offers: u64,
    cluster: Arc<Wanted<N>>,
}

/// A cluster as it is to be.
struct Wanted<N> {
    ledger: Ledger,
    notices: Vec<Notice>,
    /// Members that have no place yet.
    unplaced: Vec<Waiting>,
    /// It is looked at, and nothing of it is changed.
    frozen: bool,
    desired: Desired,
    rendered: Rendered<N>,
}

/// What ended a pass before its end.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum PassError {
    #[error(transparent)]
    Gather(#[from] GatherError),
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Told already.
    #[error(transparent)]
    Action(PlatformError),
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl PassError {
    /// The error of the platform or of an action, if it is one.
    fn platform(&self) -> Option<&PlatformError> {
        match self {
            PassError::Action(error) | PassError::Platform(error) => Some(error),
            PassError::Gather(_) | PassError::Report(_) => None,
        }
    }

    /// Metric label.
    pub fn outcome(&self) -> &'static str {
        match self {
            PassError::Gather(_) => "gather_failed",
            PassError::Report(_) => "report_failed",
            PassError::Action(error) | PassError::Platform(error) => match error.class {
                Class::Invalid => "invalid",
                Class::Conflict => "conflict",
                Class::Transient => "platform_unreachable",
                Class::Denied => "denied",
                Class::Bug => "bug",
            },
        }
    }

    /// How long to wait before the next try, after `failures` in a row.
    pub fn pause(&self, failures: u32) -> Duration {
        if let Some(after) = self.platform().and_then(|e| e.retry_after) {
            return after;
        }
        let conflict = self.platform().is_some_and(|e| e.class == Class::Conflict);
        if conflict && failures <= 3 {
            return Duration::from_millis(100);
        }
        // Doubling from half a second to half a minute: soon enough to notice a manager that is back.
        Duration::from_millis(500 << failures.min(6)).min(Duration::from_secs(30))
    }
}

/// One pass. Gives the time until the next one, should nothing happen before.
pub async fn pass<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    key: &ClusterKey,
    resource: Arc<MilvusCluster>,
    memory: &mut Memory<B::Native>,
    turn: &mut Turn,
) -> Result<Duration, PassError> {
    let cluster = validate::identity(&resource);
    debug_assert_eq!(cluster.key, *key);
    if memory.uid != cluster.uid {
        *memory = Memory::of(cluster.uid.clone());
    }
    let mut resource = (*resource).clone();
    if let Some(written) = memory.telling.status() {
        let written = written.clone();
        // The watch may lag behind our own writes.
        let shown = resource.status.replace(written);
        if !context.resources.is_own_status(key, shown.as_ref()) {
            let now = context.seams.clock.instant();
            memory.telling.doubt(shown.as_ref(), now);
        }
    }
    let result = match resource.meta().deletion_timestamp {
        Some(_) => delete(context, &cluster, &resource, memory).await,
        None => keep(context, &cluster, &resource, memory, turn).await,
    };
    if let Err(error) = &result {
        unseen(context, &resource, memory, error).await;
    }
    result
}

/// Says in the status that a pass came to no end because of a fault in it.
pub(crate) async fn broke<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    resource: &MilvusCluster,
    memory: &mut Memory<B::Native>,
    fault: &str,
) {
    let error = PlatformError::new(
        Class::Bug,
        "look after the cluster",
        format!("the operator has a fault ({fault}); it tries again, please report it"),
    );
    unseen(context, resource, memory, &PassError::Platform(error)).await;
}

/// A resource that is to exist.
async fn keep<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    cluster: &ClusterRef,
    resource: &MilvusCluster,
    memory: &mut Memory<B::Native>,
    turn: &mut Turn,
) -> Result<Duration, PassError> {
    if !resource
        .meta()
        .finalizers
        .as_ref()
        .is_some_and(|f| f.iter().any(|f| f == report::FINALIZER))
    {
        // Its own echo wakes the next pass.
        let began = context.seams.clock.instant();
        report::add_finalizer(&context.client, resource).await?;
        let took = context
            .seams
            .clock
            .instant()
            .saturating_duration_since(began);
        memory.telling.wrote(took);
    }
    let capabilities = context.backend.capabilities();
    let mut facts = gather::facts(context, &cluster.key, resource, memory, turn).await?;
    facts.digests = match memory.digests(cluster.generation) {
        Some(digests) => digests,
        None => gather::digests(context, resource, &facts, memory.good.as_ref(), turn).await,
    };
    let mut refusals = Vec::new();
    let wanted = match wanted(context, cluster, resource, &facts, memory, &mut refusals)? {
        Ok(wanted) => wanted,
        Err(unplaced) => {
            let told = Told {
                refusals: Some(&refusals),
                unplaced: &unplaced,
                ..Told::default()
            };
            let pause = tell(context, resource, memory, told).await?;
            // What it lacks (a node, room, a Secret) may come, and then the world is looked at anyway.
            return Ok(pause.min(capabilities.rhythm.rest));
        }
    };
    let rendered = &wanted.rendered;
    let mut observed = context.backend.observe(cluster, Some(rendered)).await?;
    let given_up = abandoned::nodes(resource.meta().annotations.as_ref());
    abandoned::settle(&mut observed, &given_up, facts.ledger.as_ref());
    let addresses = context.backend.endpoints(&wanted.desired, &observed);
    let looked;
    (observed.probes, looked) = ask(
        context,
        cluster,
        &wanted.desired,
        &observed,
        &addresses,
        &facts,
        Asking { memory, turn },
    )
    .await;
    let now = memory.steady(context.seams.clock.as_ref());
    let recorded = facts.recorded().cloned().unwrap_or_default();
    let accepted = listed(resource, ACCEPT_DATA_LOSS);
    let input = PlanInput {
        desired: &wanted.desired,
        outline: &rendered.outline,
        observed: &observed,
        ledger: &recorded,
        wanted_ledger: &wanted.ledger,
        capabilities,
        now,
        memory: &memory.plan,
        accepted: &accepted,
    };
    let mut plan = plan::plan(&input);
    if let Some(judge) = &context.seams.judge {
        judge.plan(&plan, &input);
    }
    plan.add_unplaced(&wanted.unplaced, capabilities.rhythm.patient);
    plan.notices.extend(wanted.notices.iter().cloned());
    plan.notices
        .extend(memory.ledger_going.then(ledger_store::held));
    let credentials = gather::tunnel_credentials(&facts, &cluster.key);
    let way = context.backend.dial(cluster, &observed, &credentials);
    let cut_off = plan::cut_off(&observed.topology, &way.cut_off());
    plan.notices.extend(cut_off);
    if wanted.frozen {
        plan.freeze(&rendered.outline, &observed);
    }
    let wrong = check::check(&plan, &input);
    let version = memory.ledger_version.clone();
    let basis = Basis {
        recorded: facts.recorded(),
        version: version.as_deref(),
        rendered: Some(rendered),
        looked,
        stores: Some(Stores {
            inside: way.as_ref(),
            desired: &wanted.desired,
            observed: &observed,
        }),
    };
    let executed = match execute::unsound(&plan, &wrong) {
        Some(refused) => refused,
        None => execute::execute(context, cluster, resource, &plan, basis).await,
    };
    finish(
        context,
        resource,
        memory,
        Seen {
            refusals: Some(&refusals),
            unplaced: &wanted.unplaced,
            desired: Some(&wanted.desired),
            addresses: &addresses,
            observed,
            plan,
        },
        executed,
    )
    .await
}

/// A cluster as it is to be, or what of it cannot be placed; nothing of that where the resource was refused.
type Prospect<N> = Result<Arc<Wanted<N>>, Vec<Waiting>>;

/// What the cluster should be: validated, placed and rendered, or as in the last pass where nothing has changed since.
fn wanted<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    cluster: &ClusterRef,
    resource: &MilvusCluster,
    facts: &Facts,
    memory: &mut Memory<B::Native>,
    refusals: &mut Vec<Notice>,
) -> Result<Prospect<B::Native>, PlatformError> {
    let annotations = resource.meta().annotations.as_ref();
    let node_is = annotations.and_then(|a| a.get(place::NODE_IS)).cloned();
    if let Some(prepared) = &memory.prepared
        && prepared.generation == cluster.generation
        && prepared.node_is == node_is
        && prepared.offers == context.backend.offers()
        && prepared.facts == *facts
    {
        return Ok(Ok(prepared.cluster.clone()));
    }
    let capabilities = context.backend.capabilities();
    let judged = validate::judge(resource, facts, capabilities, memory.good.as_ref());
    let found = judged.violations.iter().cloned();
    *refusals = found.map(refusal).collect();
    memory.refusals = Some((cluster.generation, refusals.clone()));
    if refusals.is_empty() {
        memory.good = Some(resource.spec.clone());
    }
    let Some(validated) = &judged.cluster else {
        return Ok(Err(Vec::new()));
    };
    let own = facts.ledger.as_ref();
    let own = own.filter(|ledger| capabilities.places_members && ledger.owner_uid == cluster.uid);
    let rejoined = own.map(|own| place::rejoined(own, &facts.topology, node_is.as_deref()));
    let rejoined = rejoined.unwrap_or_default();
    let stands = facts
        .ledger
        .as_ref()
        .map(|ledger| place::take_over(ledger, &rejoined));
    let placed = match &stands {
        // What is not all known gets no new place either.
        Some(own) if judged.frozen => Ok(Placed {
            ledger: own.clone(),
            waiting: Vec::new(),
        }),
        ledger => place::place(
            &validated.members(),
            validated.fixed(),
            ledger.as_ref(),
            &facts.topology,
            capabilities,
            cluster,
            resource.spec.adopt,
        ),
    };
    let Placed {
        mut ledger,
        waiting: unplaced,
    } = match placed {
        Ok(placed) => placed,
        Err(unplaced) => return Ok(Err(unplaced)),
    };
    if !judged.frozen {
        judged.note(&mut ledger);
        if capabilities.pins_images {
            let images = validated.images();
            pins::decide(&mut ledger, facts.ledger.as_ref(), &images, &facts.digests);
        }
        // One that is not asked for any more is still there, and opens what was made with it.
        let made = gather::lasting_secrets(resource, capabilities);
        ledger.generated_secrets.extend(made);
    }
    let desired = desire::desire(validated, &ledger, facts, capabilities);
    // Asked before: what changes in between is rendered anew in the next pass.
    let offers = context.backend.offers();
    let rendered = context.backend.render(&desired)?;
    let wanted = Arc::new(Wanted {
        ledger,
        notices: [validated.notices.as_slice(), &rejoined.notices].concat(),
        unplaced,
        frozen: judged.frozen,
        desired,
        rendered,
    });
    // A refused spec is validated anew in every pass: it is told what is wrong with it each time.
    memory.prepared = refusals.is_empty().then(|| Prepared {
        generation: cluster.generation,
        node_is,
        facts: facts.clone(),
        offers,
        cluster: wanted.clone(),
    });
    Ok(Ok(wanted))
}

/// What an annotation lists, separated by commas.
fn listed(resource: &MilvusCluster, annotation: &str) -> BTreeSet<String> {
    let annotations = resource.meta().annotations.as_ref();
    let text = annotations.and_then(|a| a.get(annotation));
    text.map(|names| names.split(',').map(|n| n.trim().to_owned()).collect())
        .unwrap_or_default()
}

fn refusal(violation: Violation) -> Notice {
    Notice {
        reason: violation.reason,
        message: violation.message,
        field: Some(violation.field),
    }
}

/// A resource that is to go.
async fn delete<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    cluster: &ClusterRef,
    resource: &MilvusCluster,
    memory: &mut Memory<B::Native>,
) -> Result<Duration, PassError> {
    let held = |finalizer: &str| resource.finalizers().iter().any(|f| f == finalizer);
    if !held(report::FINALIZER) {
        return Ok(context.backend.capabilities().rhythm.rest); // somebody else's finalizer holds it; ours is done
    }
    gather::ledger(context, &cluster.key, memory).await?;
    let observed = context.backend.observe(cluster, None).await?;
    let looked = context.seams.clock.instant();
    let annotations = resource.meta().annotations.as_ref();
    let abandoned = abandoned::nodes(annotations);
    let node_is = annotations.and_then(|a| a.get(place::NODE_IS));
    let ledger = memory.ledger.clone().flatten().map(|ledger| {
        if ledger.owner_uid != cluster.uid {
            return ledger;
        }
        // A node that has come back under another id has its volumes.
        let topology = &observed.topology;
        let rejoined = place::rejoined(&ledger, topology, node_is.map(String::as_str));
        place::take_over(&ledger, &rejoined)
    });
    let now = memory.steady(context.seams.clock.as_ref());
    let input = DeletionInput {
        cluster,
        observed: &observed,
        ledger: ledger.as_ref(),
        orphan: held(report::ORPHAN),
        policies: &DeletionPolicies::from_spec(&resource.spec),
        abandoned: &abandoned,
        rhythm: context.backend.capabilities().rhythm,
        now,
        memory: &memory.plan,
    };
    let mut plan = plan::plan_deletion(&input);
    if let Some(judge) = &context.seams.judge {
        judge.deletion(&plan, &input);
    }
    let wrong = check::check_deletion(&plan, &input);
    let version = memory.ledger_version.clone();
    let basis = Basis {
        recorded: ledger.as_ref(),
        version: version.as_deref(),
        rendered: None,
        looked,
        stores: None,
    };
    let executed = match execute::unsound(&plan, &wrong) {
        Some(refused) => refused,
        None => execute::execute(context, cluster, resource, &plan, basis).await,
    };
    if matches!(executed.ledger, Some(None)) {
        // Not even the ledger is kept: the namespace goes with all there is.
        plan.notices
            .retain(|notice| notice.reason != Reason::VolumesRetained);
    }
    finish(
        context,
        resource,
        memory,
        Seen {
            refusals: None,
            unplaced: &[],
            desired: None,
            addresses: &[],
            observed,
            plan,
        },
        executed,
    )
    .await
}

/// Between passes while something goes on and what goes beside it is refused.
const BESIDE: Duration = Duration::from_secs(2);

/// What asking changes.
struct Asking<'a, N> {
    memory: &'a mut Memory<N>,
    turn: &'a mut Turn,
}

/// The answers of the wire checks, and when they were in.
async fn ask<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    cluster: &ClusterRef,
    desired: &Desired,
    observed: &Observed,
    endpoints: &[String],
    facts: &Facts,
    asking: Asking<'_, B::Native>,
) -> (BTreeMap<ProbeId, ProbeResult>, Instant) {
    let credentials = gather::tunnel_credentials(facts, &cluster.key);
    let inside = context.backend.dial(cluster, observed, &credentials);
    let capabilities = context.backend.capabilities();
    let ways = Ways {
        inside: inside.clone(),
        // Through a gateway each cluster has a way of its own.
        via: capabilities.gateway.then(|| cluster.key.clone()),
        // Without a gateway clients come the way that the operator goes.
        outside: if capabilities.gateway {
            &Outside
        } else {
            inside.as_ref()
        },
        addressing: capabilities.addressing,
        processes: capabilities.wire_checks,
        external: &context.external,
    };
    let Asking { memory, turn } = asking;
    let questions = context
        .seams
        .wire
        .ask(&ways, desired, observed, endpoints, &mut memory.probes);
    let questions = async { (questions.await, context.seams.clock.instant()) };
    turn.ask(&mut memory.slow, questions).await
}

/// What one pass saw and decided.
struct Seen<'a> {
    refusals: Option<&'a [Notice]>,
    unplaced: &'a [Waiting],
    desired: Option<&'a Desired>,
    addresses: &'a [String],
    observed: Observed,
    plan: Plan,
}

/// Learns from a pass and reports it.
async fn finish<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    resource: &MilvusCluster,
    memory: &mut Memory<B::Native>,
    mut seen: Seen<'_>,
    executed: Executed,
) -> Result<Duration, PassError> {
    let Executed {
        done,
        failed,
        complete,
        ledger,
        making,
    } = executed;
    if let Some(took) = making {
        memory.telling.wrote(took);
    }
    let ended = done.iter().filter(|(_, outcome)| !outcome.underway);
    let actions: Vec<&Action> = ended.map(|(action, _)| action).collect();
    let gone = actions.iter().any(|a| matches!(a, Action::DropFinalizer));
    let now = memory.steady(context.seams.clock.as_ref());
    memory.plan.learn(now, &seen.observed, &seen.plan, &actions);
    if let Some(ledger) = ledger {
        memory.ledger = Some(ledger);
        let key = validate::identity(resource).key;
        memory.ledger_version = context.resources.written_ledger(&key);
        memory.ledger_lost = false;
    }
    if let Some((Action::RecordLedger(_) | Action::ForgetLedger, _)) = &failed {
        // Whether it was written all the same is not known: read it again.
        memory.ledger = None;
    }
    let trouble = failed
        .as_ref()
        .and_then(|(action, error)| mount_trouble(action, error, &seen));
    let told_otherwise = trouble.is_some();
    seen.plan.notices.extend(trouble);
    // What a node says of an errand says nothing of the platform.
    let errand = failed
        .as_ref()
        .is_some_and(|(action, error)| action.is_errand() && error.source.is_none());
    let failed = failed.map(|(_, error)| error);
    let failure = failed.as_ref().map(|error| Failure {
        reason: if errand {
            Reason::ActionFailed
        } else {
            reason(error.class)
        },
        message: error.to_string(),
    });
    // A lost race is looked at again at once; nobody needs to hear of it.
    let failure = failure
        .filter(|_| !told_otherwise && failed.as_ref().is_none_or(|e| e.class != Class::Conflict));
    // What changed nothing is no reason to look again at once: it would come out the same.
    let acted = done.iter().any(|(_, outcome)| outcome.wrote);
    // Where the ledger places nobody there is nothing to tell of it, and the next pass follows at once.
    let quiet = !context.backend.capabilities().places_members
        && failed.is_none()
        && matches!(done.as_slice(), [(Action::RecordLedger(_), _)])
        && resource.meta().deletion_timestamp.is_none();
    if quiet {
        return Ok(Duration::ZERO);
    }
    let told = Told {
        refusals: seen.refusals,
        unplaced: seen.unplaced,
        desired: seen.desired,
        addresses: seen.addresses,
        observed: Some(&seen.observed),
        plan: Some(&seen.plan),
        done: &done,
        failure: failure.as_ref(),
        gone,
    };
    let pause = tell(context, resource, memory, told).await?;
    let goes_on = acted || !seen.plan.waiting.is_empty();
    let least = match failed {
        // What is refused beside the workloads does not slow down what they wait for, nor is it asked for all the time.
        Some(_) if complete && goes_on => BESIDE,
        // What is refused for one component does not slow down the others.
        Some(error) if acted && matches!(error.class, Class::Invalid | Class::Denied) => BESIDE,
        Some(error) => return Err(PassError::Action(error)),
        None => Duration::ZERO,
    };
    Ok(if acted && complete {
        Duration::ZERO
    } else if acted {
        least
    } else {
        seen.plan
            .next_check
            .max(least)
            .max(patience(&memory.plan, now))
            .min(pause)
    })
}

/// A member's directory that cannot be made on its node, in words that lead to the field.
fn mount_trouble(action: &Action, error: &PlatformError, seen: &Seen<'_>) -> Option<Notice> {
    let Action::PrepareDirectory { directory, .. } = action else {
        return None;
    };
    if error.class != Class::Invalid {
        return None;
    }
    let member = member_of_directory(directory)?;
    let component = member.component;
    let workload = seen
        .desired?
        .workloads
        .iter()
        .find(|w| w.component == component)?;
    Some(Notice {
        reason: Reason::MountFailed,
        message: format!("{member}: {error}"),
        field: Some(workload.origin.persistence.clone()),
    })
}

/// The least pause while all that is waited for has been waited for this long: something that does not come up is not looked
/// at four times a second for ever.
fn patience(memory: &plan::Memory, now: Timestamp) -> Duration {
    let newest = memory.waits.values().max();
    match newest.map(|since| now.duration_since(*since).as_secs()) {
        None | Some(..60) => Duration::ZERO,
        Some(60..600) => Duration::from_secs(1),
        Some(_) => Duration::from_secs(5),
    }
}
