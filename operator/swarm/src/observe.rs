//! What is there now. Reads only; every answer is turned into the planner's words by pure functions.

use std::collections::{BTreeMap, BTreeSet};

use futures::try_join;
use jiff::Timestamp;
use milvus_core::component::WorkloadKey;
use milvus_core::names::ClusterRef;
use milvus_core::observed::{
    Instance, InstanceState, Node, Observed, ObservedObject, Owner, Topology,
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
        if helper && !node_task::is_left_over(service, &look.tasks, now) {
            continue;
        }
        let difference = match native(&id) {
            Some(Native::Service(wanted)) if owner != Owner::Foreign => {
                drift::service(wanted, service, &references)
            }
            _ => None,
        };
        let status = service.update_status.clone().unwrap_or_default();
        let object = ObservedObject {
            native_id: service.id.clone(),
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
            .then_some(status.message),
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
        let attached = look
            .tasks
            .iter()
            .any(|t| state(t, true).may_run() && t.address_in(&network.name).is_some());
        let in_use = attached || used.contains(network.id.as_str());
        objects.insert(
            id,
            ObservedObject {
                difference,
                ..prerequisite(&network.id, owner, in_use)
            },
        );
    }
    for (kind, files) in [(CONFIG, &look.configs), (SECRET, &look.secrets)] {
        for file in files {
            let id = ObjectId::new(kind, file.spec.name.clone());
            let owner = labels::owner_of(&file.spec.labels, cluster);
            if relevant(&id, &owner) {
                let in_use = used.contains(file.id.as_str());
                objects.insert(id, prerequisite(&file.id, owner, in_use));
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

fn prerequisite(native_id: &str, owner: Owner, in_use: bool) -> ObservedObject {
    ObservedObject {
        native_id: native_id.to_owned(),
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
            // A node that nobody knows any more was removed from the Swarm: the same as one that is down.
            let reachable = node.as_ref().is_none_or(|id| {
                nodes
                    .get(id.as_str())
                    .is_some_and(|n| !matches!(n.status.state.as_str(), "down" | "disconnected"))
            });
            let state = state(task, reachable);
            if service.is_none() && !state.may_run() {
                return None; // what became of a service that is gone says nothing of the next one
            }
            let instance = Instance {
                workload,
                id: task.id.clone(),
                slot: task.slot.filter(|s| *s > 0),
                node,
                wanted: !matches!(
                    task.desired_state.as_str(),
                    "shutdown" | "remove" | "orphaned"
                ) && service.is_some(),
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

/// What a task is doing. The record of a task on a node that does not answer says what it did last.
fn state(task: &Task, reachable: bool) -> InstanceState {
    let trouble = || {
        let status = &task.status;
        match (status.err.is_empty(), status.container_status.exit_code) {
            (false, _) => status.err.clone(),
            (true, 0) => status.message.clone(),
            (true, code) => format!("exit code {code}"),
        }
    };
    match task.status.state.as_str() {
        "complete" => InstanceState::Complete,
        "shutdown" | "remove" => InstanceState::Shutdown,
        "failed" => InstanceState::Failed { message: trouble() },
        "rejected" => InstanceState::Rejected { message: trouble() },
        "orphaned" => InstanceState::Lost,
        "new" | "allocated" | "pending" => InstanceState::Pending {
            reason: task.status.err.clone(),
        },
        _ if !reachable => InstanceState::Lost,
        "starting" => InstanceState::Starting,
        "running" => InstanceState::Running,
        // assigned, accepted, preparing, ready, and whatever a newer engine may add.
        _ => InstanceState::Preparing,
    }
}

/// The machines.
pub fn topology(nodes: &[wire::Node], reserved: &Reserved) -> Topology {
    let mut nodes: Vec<Node> = nodes
        .iter()
        .map(|node| {
            let (reserved_memory, reserved_millicpu) =
                reserved.get(&node.id).copied().unwrap_or_default();
            let up = node.status.state == "ready";
            Node {
                id: node.id.clone(),
                name: node.description.hostname.clone(),
                address: address(node),
                manager: node.spec.role == "manager",
                up,
                schedulable: up && node.spec.availability == "active",
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
