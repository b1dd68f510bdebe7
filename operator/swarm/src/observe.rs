//! What is there now. Reads only; every answer is turned into the planner's words by pure functions.

use std::collections::{BTreeMap, BTreeSet};

use futures::try_join;
use jiff::Timestamp;
use milvus_core::component::WorkloadKey;
use milvus_core::names::ClusterRef;
use milvus_core::observed::{
    Availability, Difference, DifferenceCause, Instance, InstanceState, Node, NodeState, Observed,
    ObservedObject, Owner, SeenVersion, Topology, Touches,
};
use milvus_core::outline::{ObjectClass, ObjectId, Revision};
use milvus_platform::Rendered;

use crate::api::wire::{self, Reservation, Service, Task};
use crate::api::{ApiError, Engine, FileKind};
use crate::drift::{self, References};
use crate::labels;
use crate::node_task;
use crate::render::{CONFIG, NETWORK, Native, SECRET, SERVICE};

/// Memory and CPU (thousandths) reserved on each node.
pub type Reserved = BTreeMap<String, (u64, u64)>;

/// Everything that the engine knows about one stack.
pub struct Look {
    /// Services under the stack's names, whoever they belong to.
    pub services: Vec<Service>,
    /// Tasks of the stack, also of services that are gone.
    pub tasks: Vec<Task>,
    /// The machines.
    pub nodes: Vec<wire::Node>,
    /// Networks under the stack's names.
    pub networks: Vec<wire::Network>,
    /// Configs under the stack's names.
    pub configs: Vec<wire::StoredFile>,
    /// Secrets under the stack's names.
    pub secrets: Vec<wire::StoredFile>,
}

/// Takes a look. Services come first: what they refer to is then read later, and cannot seem to be missing because it was
/// made in between.
///
/// Networks are listed between calls that need the Swarm's leader: an engine that has lost it answers all other lists with
/// an error, but this one with what it happens to have itself. For the same reason a network that is missed is looked for
/// again.
pub async fn look(engine: &Engine, cluster: &ClusterRef) -> Result<Look, ApiError> {
    let stack = cluster.key.stack();
    let prefix = format!("{stack}_");
    let label = format!("{}={stack}", labels::STACK);
    let services = engine.services(&prefix).await?;
    let mut networks = engine.networks(&prefix).await?;
    let (tasks, mut nodes, configs, secrets) = try_join!(
        engine.tasks_labelled(&label),
        engine.nodes(),
        engine.files(FileKind::Config, &prefix),
        engine.files(FileKind::Secret, &prefix),
    )?;
    let missed = services
        .iter()
        .flat_map(Service::networks)
        .any(|id| !networks.iter().any(|n| n.id == id));
    if missed {
        networks = engine.networks(&prefix).await?;
        nodes = engine.nodes().await?;
    }
    Ok(Look {
        services,
        tasks,
        nodes,
        networks,
        configs,
        secrets,
    })
}

/// What the ids in specs stand for, by what was seen.
pub fn references(
    networks: &[wire::Network],
    configs: &[wire::StoredFile],
    secrets: &[wire::StoredFile],
) -> References {
    let by_name = |files: &[wire::StoredFile]| {
        files
            .iter()
            .map(|f| (f.spec.name.clone(), f.id.clone()))
            .collect()
    };
    References {
        networks: networks
            .iter()
            .map(|n| (n.id.clone(), n.name.clone()))
            .collect(),
        configs: by_name(configs),
        secrets: by_name(secrets),
    }
}

/// Puts a look into the planner's words.
pub fn interpret(
    cluster: &ClusterRef,
    rendered: Option<&Rendered<Native>>,
    look: &Look,
    reserved: &Reserved,
    now: Timestamp,
) -> Observed {
    let references = references(&look.networks, &look.configs, &look.secrets);
    let instances = instances(cluster, look);
    let native = |id: &ObjectId| rendered.and_then(|r| r.native.get(id));
    // An object of somebody else matters only if it has one of our names.
    let relevant = |id: &ObjectId, owner: &Owner| *owner != Owner::Foreign || native(id).is_some();
    let used: BTreeSet<&str> = look.services.iter().flat_map(Service::references).collect();

    let mut objects = BTreeMap::new();
    for service in &look.services {
        let id = ObjectId::new(SERVICE, service.name());
        let all = service.labels();
        let owner = labels::owner_of(&all, cluster);
        if !relevant(&id, &owner) {
            continue;
        }
        let helper = all.contains_key(labels::NODE_TASK);
        // Of a cluster that goes no directory is made any more.
        let pointless = rendered.is_none() && node_task::makes_directory(service);
        if helper && !pointless && !node_task::is_left_over(service, &look.tasks, now) {
            continue;
        }
        let difference = match native(&id) {
            Some(Native::Service(wanted)) if owner != Owner::Foreign => {
                drift::service(wanted, service, &references).or_else(|| stalled(service, look, now))
            }
            _ => None,
        };
        let status = service.update_status.clone().unwrap_or_default();
        let object = ObservedObject {
            native_id: service.id.clone(),
            version: Some(seen(service.version)),
            class: if helper {
                ObjectClass::Ancillary
            } else {
                ObjectClass::Workload
            },
            workload: labels::workload_of(&all),
            revision: all.get(labels::REVISION).cloned().map(Revision),
            difference,
            kept: Vec::new(), // there is no admission here
            replicas: service.replicas(),
            in_use: false,
            updating: matches!(status.state.as_str(), "updating" | "rollback_started"),
            update_stalled: matches!(
                status.state.as_str(),
                "paused" | "rollback_paused" | "rollback_completed"
            )
            .then_some(status.message)
            // With every process of the present spec there is nothing left to roll, whatever became of the rollout.
            .filter(|_| outdated(service, look).next().is_some()),
            owner,
        };
        objects.insert(id, object);
    }
    for network in &look.networks {
        let id = ObjectId::new(NETWORK, network.name.clone());
        let owner = labels::owner_of(&network.labels, cluster);
        if !relevant(&id, &owner) {
            continue;
        }
        let difference = match native(&id) {
            Some(Native::Network(wanted)) if owner != Owner::Foreign => {
                drift::network(wanted, network)
            }
            _ => None,
        };
        let attached = look.tasks.iter().any(|task| holds(task, network, look));
        let in_use = attached || used.contains(network.id.as_str());
        objects.insert(
            id,
            ObservedObject {
                difference,
                ..prerequisite(&network.id, None, owner, in_use)
            },
        );
    }
    for (kind, files) in [(CONFIG, &look.configs), (SECRET, &look.secrets)] {
        for file in files {
            let id = ObjectId::new(kind, file.spec.name.clone());
            let owner = labels::owner_of(&file.spec.labels, cluster);
            if relevant(&id, &owner) {
                let in_use = used.contains(file.id.as_str());
                objects.insert(
                    id,
                    prerequisite(&file.id, Some(seen(file.version)), owner, in_use),
                );
            }
        }
    }
    Observed {
        at: now,
        objects,
        instances,
        topology: topology(&look.nodes, reserved),
        probes: BTreeMap::new(),
    }
}

/// Whether a task keeps its network from being removed. One that is not to run any more, of a node that is away, keeps none: the
/// engine lets the network go, and never hears of the task's end where the node has joined again under another id.
fn holds(task: &Task, network: &wire::Network, look: &Look) -> bool {
    let node = look.nodes.iter().find(|n| n.id == task.node_id);
    let away = !task.node_id.is_empty() && node.is_none_or(|node| host(node) == Host::Away);
    state(task, Host::Up).may_run()
        && (is_wanted(task) || !away)
        && task.address_in(&network.name).is_some()
}

/// A rollout that the engine does not begin within this time it does not begin.
const BEGINS_WITHIN_SECONDS: i64 = 10;

/// Whether a rollout has stopped half-way where it could go on: every accepted update lets it, also one to the same spec. It may
/// have stopped without a word: while an engine gives a rollout up, it takes an update to the same spec for the one that it is at
/// work on, clears what it said of it, and begins none (`Supervisor.Update` in swarmkit's
/// `manager/orchestrator/update/updater.go`).
fn stalled(service: &Service, look: &Look, now: Timestamp) -> Option<Difference> {
    let written = service.updated_at.map(Timestamp::as_second);
    let silent =
        || written.is_some_and(|at| now.as_second().saturating_sub(at) >= BEGINS_WITHIN_SECONDS);
    let stopped = service.paused() || (!service.rolls() && silent());
    let takes_work = |task: &&Task| {
        let node = look.nodes.iter().find(|n| n.id == task.node_id);
        node.is_none_or(|n| n.spec.availability == "active")
    };
    let stalled = stopped && outdated(service, look).any(|task| takes_work(&task));
    stalled.then(|| Difference {
        cause: DifferenceCause::Stalled,
        fields: vec!["UpdateStatus".to_owned()],
        touches: Touches::Process,
        in_place: false,
    })
}

/// Tasks that are to run, and are of an older spec than their service's.
fn outdated<'a>(service: &'a Service, look: &'a Look) -> impl Iterator<Item = &'a Task> {
    look.tasks.iter().filter(|task| {
        task.service_id == service.id
            && is_wanted(task)
            && !drift::is_current(&task.spec, &service.spec)
    })
}

/// Whether the engine wants a task to run on.
fn is_wanted(task: &Task) -> bool {
    !matches!(
        task.desired_state.as_str(),
        "shutdown" | "remove" | "orphaned"
    )
}

/// A version in the planner's words.
pub(crate) fn seen(version: wire::ObjectVersion) -> SeenVersion {
    SeenVersion(version.index)
}

fn prerequisite(
    native_id: &str,
    version: Option<SeenVersion>,
    owner: Owner,
    in_use: bool,
) -> ObservedObject {
    ObservedObject {
        native_id: native_id.to_owned(),
        version,
        owner,
        class: ObjectClass::Prerequisite,
        workload: None,
        revision: None,
        difference: None,
        kept: Vec::new(),
        replicas: None,
        in_use,
        updating: false,
        update_stalled: None,
    }
}

fn instances(cluster: &ClusterRef, look: &Look) -> Vec<Instance> {
    let services: BTreeMap<&str, &Service> =
        look.services.iter().map(|s| (s.id.as_str(), s)).collect();
    let nodes: BTreeMap<&str, &wire::Node> =
        look.nodes.iter().map(|n| (n.id.as_str(), n)).collect();
    let backend = format!("{}_backend", cluster.key.stack());
    let mut found: Vec<(Option<Timestamp>, Instance)> = look
        .tasks
        .iter()
        .filter_map(|task| {
            let service = services.get(task.service_id.as_str());
            let workload = workload(cluster, task, service.copied())?;
            let node = (!task.node_id.is_empty()).then(|| task.node_id.clone());
            let host = match node.as_deref() {
                None => Host::None,
                Some(id) => nodes.get(id).map_or(Host::Away, |n| host(n)),
            };
            let state = state(task, host);
            if service.is_none() && !state.may_run() {
                return None; // what became of a service that is gone says nothing of the next one
            }
            let instance = Instance {
                workload,
                id: task.id.clone(),
                slot: task.slot.filter(|s| *s > 0),
                node,
                wanted: is_wanted(task) && service.is_some(),
                state,
                ready: None,
                address: task.address_in(&backend),
                since: task.status.timestamp,
                image: task.image().to_owned(),
                current: service.is_some_and(|s| drift::is_current(&task.spec, &s.spec)),
                deleting: None,
            };
            Some((task.created_at, instance))
        })
        .collect();
    found.sort_by(|(a_time, a), (b_time, b)| {
        (a.workload, b_time, &b.id).cmp(&(b.workload, a_time, &a.id))
    });
    found.into_iter().map(|(_, instance)| instance).collect()
}

/// Which workload of this cluster a task belongs to: by its service, or by its container's label when the service is gone.
fn workload(cluster: &ClusterRef, task: &Task, service: Option<&Service>) -> Option<WorkloadKey> {
    if let Some(service) = service {
        let all = service.labels();
        if all.contains_key(labels::NODE_TASK) || labels::owner_of(&all, cluster) == Owner::Foreign
        {
            return None;
        }
        return labels::workload_of(&all);
    }
    if task.container_label(labels::CLUSTER)? != cluster.key.to_string() {
        return None;
    }
    WorkloadKey::parse(task.container_label(labels::WORKLOAD)?)
}

/// What is known of the node of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    /// The task has none yet.
    None,
    /// It answers: its agent tells of every task that it has.
    Up,
    /// A new leader waits for it to register again.
    Unknown,
    /// It does not answer, or was removed from the Swarm.
    Away,
}

fn host(node: &wire::Node) -> Host {
    match node_state(&node.status.state) {
        NodeState::Up => Host::Up,
        NodeState::Unknown => Host::Unknown,
        NodeState::Down => Host::Away,
    }
}

fn node_state(state: &str) -> NodeState {
    match state {
        "ready" => NodeState::Up,
        "down" | "disconnected" => NodeState::Down,
        _ => NodeState::Unknown,
    }
}

/// What a task is doing: its record, read together with its node's. Records rise through the states and never fall; what stands
/// at `orphaned` was given up by the manager while its node was away, and the agent of a node that is back has ended whatever
/// it was not given anew.
fn state(task: &Task, host: Host) -> InstanceState {
    let trouble = || {
        let status = &task.status;
        match (status.err.is_empty(), status.container_status.exit_code) {
            (false, _) => without_ids(&status.err),
            (true, 0) => without_ids(&status.message),
            (true, code) => format!("exit code {code}"),
        }
    };
    match task.status.state.as_str() {
        "complete" => InstanceState::Complete,
        "shutdown" => InstanceState::Shutdown,
        "failed" => InstanceState::Failed { message: trouble() },
        "rejected" => InstanceState::Rejected { message: trouble() },
        "orphaned" | "remove" => match host {
            Host::Up => InstanceState::Shutdown,
            Host::None | Host::Unknown | Host::Away => InstanceState::Lost,
        },
        // No agent was given it, and none will be any more.
        "new" | "allocated" | "pending" if !is_wanted(task) => InstanceState::Shutdown,
        "new" | "allocated" | "pending" => InstanceState::Pending {
            reason: task.status.err.clone(),
        },
        _ if host == Host::Away => InstanceState::Lost,
        "starting" => InstanceState::Starting,
        "running" => InstanceState::Running,
        // assigned, accepted, preparing, ready, and whatever a newer engine may add.
        _ => InstanceState::Preparing,
    }
}

/// An engine's words without the ids of containers, endpoints and tasks: each try has others, and the same trouble would read
/// as a new one every time.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| {
        let digits = word.bytes().any(|b| b.is_ascii_digit());
        let hex = word
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let swarm = word
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        digits && (word.len() == 25 && swarm || matches!(word.len(), 12 | 64) && hex)
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        out.push_str(if is_id(word) { "..." } else { word });
        let next = tail
            .find(|c: char| c.is_ascii_alphanumeric())
            .unwrap_or(tail.len());
        let (between, tail) = tail.split_at(next);
        out.push_str(between);
        rest = tail;
    }
    out
}

/// The machines.
pub fn topology(nodes: &[wire::Node], reserved: &Reserved) -> Topology {
    let mut nodes: Vec<Node> = nodes
        .iter()
        .map(|node| {
            let (reserved_memory, reserved_millicpu) =
                reserved.get(&node.id).copied().unwrap_or_default();
            Node {
                id: node.id.clone(),
                name: node.description.hostname.clone(),
                address: address(node),
                manager: node.spec.role == "manager",
                state: node_state(&node.status.state),
                availability: match node.spec.availability.as_str() {
                    "drain" => Availability::Drained,
                    "pause" => Availability::Paused,
                    _ => Availability::Active,
                },
                millicpu: node.description.resources.nano_cpus / 1_000_000,
                memory: node.description.resources.memory_bytes,
                labels: node.spec.labels.clone(),
                engine_labels: node.description.engine.labels.clone(),
                os: node.description.platform.os.clone(),
                arch: node.description.platform.architecture.clone(),
                reserved_memory,
                reserved_millicpu,
            }
        })
        .collect();
    nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Topology { nodes }
}

/// The address that others reach a node by. A manager may see itself under one that means nothing elsewhere.
fn address(node: &wire::Node) -> String {
    let seen = node.status.addr.as_str();
    let useless = seen.is_empty() || seen.starts_with("0.0.0.0") || seen.starts_with("127.");
    match &node.manager_status {
        Some(manager) if useless => manager
            .addr
            .rsplit_once(':')
            .map_or(manager.addr.as_str(), |(host, _)| host)
            .trim_matches(['[', ']'])
            .to_owned(),
        _ => seen.to_owned(),
    }
}

/// What tasks set aside on each node.
pub fn reserved(tasks: &[Reservation]) -> Reserved {
    let mut sums = Reserved::new();
    for task in tasks.iter().filter(|t| !t.node_id.is_empty()) {
        let amounts = task.spec.resources.reservations;
        let sum = sums.entry(task.node_id.clone()).or_default();
        sum.0 = sum.0.saturating_add(amounts.memory_bytes);
        sum.1 = sum.1.saturating_add(amounts.nano_cpus / 1_000_000);
    }
    sums
}

#[cfg(test)]
mod tests;
