//! Which components answer, judged by the wire checks of this pass alone.

use std::collections::BTreeMap;

use crate::component::{Component, WorkloadKey};
use crate::desired::{Desired, Shape, Workload};
use crate::ledger::Ledger;
use crate::observed::{Availability, Instance, InstanceState, NodeState, Observed, Owner};
use crate::place;
use crate::plan::stores;
use crate::probe::{Probe, ProbeFailureKind, ProbeId, ProbeKind, ProbeTarget};

/// How one component stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Good enough for those who need it: a quorum, one broker, one coordinator.
    pub ready: bool,
    /// Everybody answers.
    pub full: bool,
    /// As many answer as clients are owed ([`Workload::owed`]).
    pub enough: bool,
    /// Instances that there should be.
    pub wanted: u32,
    /// Instances that run.
    pub running: u32,
    /// Instances that run and answer well.
    pub answering: u32,
    /// Instances that run and were started from the present spec.
    pub current: u32,
    /// What is lacking, for people; empty when [`Readiness::full`].
    pub detail: String,
    /// Somebody else runs it.
    pub external: bool,
    /// It answers, and does not hold the data of this cluster any more: not ready for those who need it.
    pub lost: bool,
}

/// What is known of one member or one group of instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every instance that is owed runs and answers well.
    Serving,
    /// Runs, and says itself that it is not ready.
    NotReady,
    /// Does not run, or nobody listens.
    Down,
    /// Runs, but could not be asked.
    Unknown,
}

/// Judges every component of a cluster, external ones included.
pub fn judge(
    desired: &Desired,
    observed: &Observed,
    ledger: &Ledger,
) -> BTreeMap<Component, Readiness> {
    let mut all = BTreeMap::new();
    for workload in &desired.workloads {
        all.insert(workload.component, of_workload(workload, observed, ledger));
    }
    for (component, probe) in &desired.external {
        all.insert(*component, of_external(*component, probe, observed));
    }
    for (component, lacks) in stores::lost(desired, observed, ledger) {
        if let Some(found) = all.get_mut(&component) {
            found.ready = false;
            found.full = false;
            found.enough = false;
            found.detail = lacks;
            found.lost = true;
        }
    }
    all
}

/// How many instances of a workload there should be.
pub fn wanted(workload: &Workload, observed: &Observed) -> u32 {
    workload.replicas().unwrap_or_else(|| {
        let eligible = observed.topology.nodes.iter().filter(|n| {
            n.state != NodeState::Down
                && n.availability == Availability::Active
                && place::unmet(&workload.placement, n).is_none()
        });
        u32::try_from(eligible.count()).unwrap_or(u32::MAX)
    })
}

/// Whether the platform would give an instance its place: of one per node, those on nodes that take no work (paused,
/// drained, away, or against the rules) are left as they are, and count for nothing.
pub(crate) fn takes_work(workload: &Workload, instance: &Instance, observed: &Observed) -> bool {
    if workload.shape != Shape::PerNode {
        return true;
    }
    let node = instance.node.as_deref();
    let Some(node) = node.and_then(|id| observed.topology.node(id)) else {
        return true;
    };
    node.state != NodeState::Down
        && node.availability == Availability::Active
        && place::unmet(&workload.placement, node).is_none()
}

/// Whether an instance runs what its object asks for, where it may run. Swarm leaves the task of an interchangeable process that
/// has to move as current until its turn comes.
pub(crate) fn is_current(workload: &Workload, instance: &Instance, observed: &Observed) -> bool {
    let node = instance.node.as_deref();
    let node = node.and_then(|id| observed.topology.node(id));
    let pinned = instance.workload.ordinal.is_some();
    instance.current
        && (pinned || node.is_none_or(|node| place::unmet(&workload.placement, node).is_none()))
}

/// The instances of one native workload, newest first. A key without ordinal stands for the whole component.
pub fn instances(observed: &Observed, key: WorkloadKey) -> impl Iterator<Item = &Instance> {
    observed.instances.iter().filter(move |i| {
        i.workload.component == key.component
            && (key.ordinal.is_none() || i.workload.ordinal == key.ordinal)
    })
}

fn of_workload(workload: &Workload, observed: &Observed, ledger: &Ledger) -> Readiness {
    let component = workload.component;
    let shared = WorkloadKey::shared(component);
    if workload.shape == Shape::Job {
        return of_job(component, observed, ledger);
    }
    let wanted = wanted(workload, observed);
    let alive: Vec<&Instance> = instances(observed, shared)
        .filter(|i| {
            i.wanted && i.state == InstanceState::Running && has_object(observed, i.workload)
        })
        .collect();
    let running = u32::try_from(alive.len()).unwrap_or(u32::MAX).min(wanted);
    let current = alive.iter().filter(|i| i.current).count();
    let current = u32::try_from(current).unwrap_or(u32::MAX).min(wanted);
    let mut lacking = Vec::new();
    let mut answering = 0;
    match &workload.shape {
        Shape::Members { .. } => {
            for key in workload.keys() {
                match answer(workload, key, observed) {
                    Ok(()) => answering += 1,
                    Err((_, why)) => lacking.push(why),
                }
            }
        }
        Shape::Replicated { .. } | Shape::PerNode | Shape::Job => {
            for instance in &alive {
                match instance_answer(workload, instance, observed) {
                    Ok(()) => answering += 1,
                    Err((_, why)) => lacking.push(why),
                }
            }
            if running < wanted {
                lacking.insert(0, format!("{running} of {wanted} run"));
            }
        }
    }
    let answering = answering.min(wanted);
    let needed = needed(workload, wanted, ledger);
    // MinIO's check speaks for the whole: one yes from any member is the quorum's.
    let ready = if component == Component::Minio {
        answering >= 1
    } else {
        answering >= needed
    };
    let full = answering >= wanted && ready;
    let enough = answering >= workload.owed(wanted) && ready;
    lacking.dedup();
    Readiness {
        ready,
        full,
        enough,
        wanted,
        running,
        answering,
        current,
        detail: if full {
            String::new()
        } else if lacking.is_empty() {
            format!("{answering} of {wanted} answer")
        } else {
            lacking.join("; ")
        },
        external: false,
        lost: false,
    }
}

fn of_job(component: Component, observed: &Observed, ledger: &Ledger) -> Readiness {
    let done = ledger.is_bootstrapped(component) || job_complete(component, observed);
    let running = instances(observed, WorkloadKey::shared(component))
        .any(|i| i.wanted && i.state == InstanceState::Running);
    Readiness {
        ready: done,
        full: done,
        enough: done,
        wanted: 1,
        running: u32::from(running),
        answering: u32::from(done),
        current: u32::from(running || done),
        detail: if done {
            String::new()
        } else {
            "has not finished".to_owned()
        },
        external: false,
        lost: false,
    }
}

/// Whether a job has been seen to its good end.
pub fn job_complete(component: Component, observed: &Observed) -> bool {
    instances(observed, WorkloadKey::shared(component))
        .any(|i| i.state == InstanceState::Complete && i.current)
}

fn of_external(component: Component, probe: &Probe, observed: &Observed) -> Readiness {
    let targets: &[String] = match &probe.target {
        ProbeTarget::External(addresses) => addresses,
        ProbeTarget::Host(host) => std::slice::from_ref(host),
        ProbeTarget::EachMember | ProbeTarget::EachInstance => &[],
    };
    let mut lacking = Vec::new();
    let mut answering = 0u32;
    for target in targets {
        match asked(observed, component, target) {
            Ok(()) => answering += 1,
            Err((_, why)) => lacking.push(why),
        }
    }
    let wanted = u32::try_from(targets.len()).unwrap_or(u32::MAX);
    // One address that answers is enough for those who need it: they all lead to the same store.
    let ready = answering >= 1;
    Readiness {
        ready,
        full: ready,
        enough: ready,
        wanted,
        running: answering,
        answering,
        current: answering,
        detail: if ready {
            String::new()
        } else {
            lacking.join("; ")
        },
        external: true,
        lost: false,
    }
}

/// How many of the wanted instances must answer for those who need the component.
pub(crate) fn needed(workload: &Workload, wanted: u32, ledger: &Ledger) -> u32 {
    let members = usize::try_from(wanted).unwrap_or(usize::MAX);
    let needed = place::needed(workload.component, members, ledger);
    u32::try_from(needed).unwrap_or(u32::MAX).min(wanted.max(1))
}

/// How one native workload stands: a member, or all instances of a component.
pub fn health(workload: &Workload, key: WorkloadKey, observed: &Observed) -> Health {
    let answers: Vec<Answer> = if key.ordinal.is_some() {
        vec![answer(workload, key, observed)]
    } else {
        let alive: Vec<&Instance> = instances(observed, key)
            .filter(|i| {
                i.wanted && i.state == InstanceState::Running && has_object(observed, i.workload)
            })
            .filter(|i| takes_work(workload, i, observed))
            .collect();
        let wanted = wanted(workload, observed);
        let owed = workload.owed(wanted);
        let missing = usize::try_from(owed)
            .unwrap_or(usize::MAX)
            .saturating_sub(alive.len());
        let mut answers: Vec<Answer> = alive
            .iter()
            .map(|i| instance_answer(workload, i, observed))
            .collect();
        if owed < wanted && answers.iter().any(Result::is_ok) {
            // Those that come up beyond what is owed take nothing away.
            answers.retain(Result::is_ok);
        }
        if missing > 0 {
            answers.push(Err((Health::Down, String::new())));
        }
        answers
    };
    let worst = |health: Health| {
        answers
            .iter()
            .any(|a| matches!(a, Err((found, _)) if *found == health))
    };
    if worst(Health::Down) {
        Health::Down
    } else if worst(Health::NotReady) {
        Health::NotReady
    } else if worst(Health::Unknown) {
        Health::Unknown
    } else {
        Health::Serving
    }
}

/// How one running process stands.
pub(crate) fn instance_health(
    workload: &Workload,
    instance: &Instance,
    observed: &Observed,
) -> Health {
    match instance_answer(workload, instance, observed) {
        Ok(()) => Health::Serving,
        Err((health, _)) => health,
    }
}

/// Whether nothing of a workload serves: every process that runs says itself that it is not ready, or does not listen. One
/// that could not be asked may serve.
pub(crate) fn silent(workload: &Workload, key: WorkloadKey, observed: &Observed) -> bool {
    instances(observed, key)
        .filter(|i| i.wanted && i.state == InstanceState::Running)
        .filter(|i| has_object(observed, i.workload))
        .all(|i| {
            let health = instance_health(workload, i, observed);
            matches!(health, Health::Down | Health::NotReady)
        })
}

type Answer = Result<(), (Health, String)>;

/// Whether the object of a workload is there. Processes whose object was removed are on their way out, however well they
/// still answer.
pub(crate) fn has_object(observed: &Observed, key: WorkloadKey) -> bool {
    observed.objects.values().any(|o| {
        o.owner == Owner::Ours
            && o.workload
                .is_some_and(|w| w == key || w == WorkloadKey::shared(key.component))
    })
}

/// What a member answers.
pub fn answer(workload: &Workload, key: WorkloadKey, observed: &Observed) -> Answer {
    if !has_object(observed, key) {
        return Err((Health::Down, format!("{key} is not there")));
    }
    let newest = instances(observed, key).find(|i| i.wanted);
    let Some(instance) = newest else {
        let why = leaving(key, observed).unwrap_or_else(|| "is not there".to_owned());
        return Err((Health::Down, format!("{key} {why}")));
    };
    if instance.state != InstanceState::Running {
        return Err((
            Health::Down,
            format!("{key} {}", state_in_words(instance, observed)),
        ));
    }
    instance_answer(workload, instance, observed)
}

/// What is known of a member that is being deleted: none takes its place before it has ended.
pub(crate) fn leaving(key: WorkloadKey, observed: &Observed) -> Option<String> {
    key.ordinal?;
    let instance = instances(observed, key).find(|i| i.state.may_run())?;
    let deleting = instance.deleting.as_ref()?;
    let node = instance.node.as_deref().unwrap_or("its node");
    Some(match instance.overdue(observed.at) {
        Some(_) => format!(
            "was to end by {}, which node {node} has not confirmed",
            deleting.due
        ),
        None => format!("is being stopped on node {node}"),
    })
}

fn instance_answer(workload: &Workload, instance: &Instance, observed: &Observed) -> Answer {
    if instance.ready == Some(false) {
        let why = format!(
            "{} runs, but the platform's check does not find it ready",
            instance.id
        );
        return Err((Health::NotReady, why));
    }
    let Some(probe) = &workload.probe else {
        return Ok(());
    };
    // The front door is judged by its process here, and through the client endpoint as a whole.
    if matches!(probe.kind, ProbeKind::Gateway | ProbeKind::Endpoint { .. }) {
        return Ok(());
    }
    let target = match &probe.target {
        ProbeTarget::EachMember => Some(instance.workload.to_string()),
        ProbeTarget::EachInstance => instance.address.map(|address| address.to_string()),
        ProbeTarget::Host(_) | ProbeTarget::External(_) => None,
    };
    if instance.ready == Some(true) {
        // Its own answer counts for more, where it was asked for one.
        let id = target.map(|target| ProbeId::target(workload.component, target));
        return match id.filter(|id| observed.probes.contains_key(id)) {
            Some(id) => asked(observed, workload.component, &id.target),
            None => Ok(()),
        };
    }
    match &probe.target {
        ProbeTarget::EachMember => {
            asked(observed, workload.component, &instance.workload.to_string())
        }
        ProbeTarget::EachInstance => match instance.address {
            Some(address) => asked(observed, workload.component, &address.to_string()),
            None => Err((
                Health::Unknown,
                format!("{} has no address yet", instance.workload),
            )),
        },
        ProbeTarget::Host(host) => asked(observed, workload.component, host),
        ProbeTarget::External(addresses) => addresses
            .iter()
            .map(|a| asked(observed, workload.component, a))
            .find(Result::is_ok)
            .unwrap_or_else(|| Err((Health::NotReady, "no address answers".to_owned()))),
    }
}

fn asked(observed: &Observed, component: Component, target: &str) -> Answer {
    match observed.probes.get(&ProbeId::target(component, target)) {
        None => Err((Health::Unknown, format!("{target} was not asked yet"))),
        Some(result) => match &result.outcome {
            Ok(_) => Ok(()),
            Err(failure) => Err((
                match failure.kind {
                    ProbeFailureKind::Refused => Health::Down,
                    ProbeFailureKind::NotReady
                    | ProbeFailureKind::Alarm
                    | ProbeFailureKind::Denied => Health::NotReady,
                    ProbeFailureKind::NotFound
                    | ProbeFailureKind::Timeout
                    | ProbeFailureKind::NoPath
                    | ProbeFailureKind::Other => Health::Unknown,
                },
                failure.message.clone(),
            )),
        },
    }
}

/// An instance's state for people.
pub fn state_in_words(instance: &Instance, observed: &Observed) -> String {
    match &instance.state {
        InstanceState::Pending { reason } if reason.is_empty() => "waits for a node".to_owned(),
        InstanceState::Pending { reason } => format!("waits for a node: {reason}"),
        InstanceState::Preparing => "is being prepared".to_owned(),
        InstanceState::Starting => "is starting".to_owned(),
        InstanceState::Running => "runs".to_owned(),
        InstanceState::Complete => "has ended".to_owned(),
        InstanceState::Failed { message } => format!("failed: {message}"),
        InstanceState::Rejected { message } => format!("was rejected: {message}"),
        InstanceState::Shutdown => "was shut down".to_owned(),
        InstanceState::Lost => {
            let node = instance
                .node
                .as_deref()
                .and_then(|id| observed.topology.node(id))
                .map_or("its node", |n| n.name.as_str());
            format!("is out of reach: {node} is down")
        }
    }
}

/// What is lacking in the sessions of Milvus roles; `None` when they match or are not counted.
pub fn sessions_lacking(desired: &Desired, observed: &Observed) -> Option<String> {
    let sessions = desired.sessions.as_ref()?;
    let Some(result) = observed.probes.get(&ProbeId::sessions()) else {
        return Some("sessions in etcd were not asked for yet".to_owned());
    };
    match &result.outcome {
        Err(failure) => Some(format!("sessions in etcd: {}", failure.message)),
        Ok(detail) => {
            let lacking: Vec<String> = sessions
                .expected
                .iter()
                .filter_map(|(role, wanted)| {
                    let found = detail.sessions.get(role).copied().unwrap_or(0);
                    (found < *wanted).then(|| format!("{found} of {wanted} {role}"))
                })
                .collect();
            (!lacking.is_empty()).then(|| format!("sessions in etcd: {}", lacking.join(", ")))
        }
    }
}

/// What is lacking at the client endpoint; `None` when an address answers.
pub fn endpoint_lacking(desired: &Desired, observed: &Observed) -> Option<String> {
    if !desired.endpoint.asked {
        return None;
    }
    let asked: Vec<_> = observed
        .probes
        .iter()
        .filter(|(id, _)| is_endpoint(id))
        .map(|(_, result)| &result.outcome)
        .collect();
    if asked.iter().any(|outcome| outcome.is_ok()) {
        return None;
    }
    let why = asked.iter().find_map(|outcome| outcome.as_ref().err());
    Some(match why {
        Some(failure) => format!("client endpoint: {}", failure.message),
        None => "client endpoint: no address to ask yet".to_owned(),
    })
}

/// Addresses of the client endpoint that answered in this pass, in order.
pub fn answering_endpoints(observed: &Observed) -> Vec<String> {
    observed
        .probes
        .iter()
        .filter(|(id, result)| is_endpoint(id) && result.outcome.is_ok())
        .filter_map(|(id, _)| id.target.strip_prefix("endpoint ").map(str::to_owned))
        .collect()
}

fn is_endpoint(id: &ProbeId) -> bool {
    id.component == Component::Gateway && id.target.starts_with("endpoint ")
}
