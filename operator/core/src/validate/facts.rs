//! Rules that need more than the resource: names of native objects, the ledger, other clusters, the machines. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use milvus_crds::Quantity;

use super::places;
use super::subnets;
use super::violations::Findings;
use super::{Input, Part, Queue, ValidatedCluster};
use crate::component::{Component, WorkloadKey};
use crate::components;
use crate::config::settings::{self, ETCD_ROOT, Places};
use crate::desired::VolumeBacking;
use crate::ledger::Ledger;
use crate::names::{HASH_IN_NAME, MAX_CONFIG_NAME, OPERATOR_STACK};
use crate::observed::Node;
use crate::place::{terms, unmet};
use crate::prefixes::Prefixes;
use crate::reasons::Reason;
use crate::rebuild::Origin;

pub(super) fn check(input: &Input<'_>, cluster: &ValidatedCluster, findings: &mut Findings) {
    names(input, cluster, findings);
    file_names(input, cluster, findings);
    if let Some(ledger) = &input.facts.ledger {
        // What a rebuilt one does not tell of is told apart from a change of their number.
        let counted = !matches!(input.facts.origin, Origin::Rebuilt { .. });
        against_ledger(input, cluster, ledger, counted, findings);
    }
    places::unknown(input, cluster, findings);
    ports(input, cluster, findings);
    subnets::check(input, cluster, findings);
    prefixes(input, cluster, findings);
    machines(input, cluster, findings);
}

/// Names of native objects have a limit; the longest of this cluster must keep it.
fn names(input: &Input<'_>, cluster: &ValidatedCluster, findings: &mut Findings) {
    let key = &cluster.cluster.key;
    let name = &key.name;
    let label = !name.is_empty()
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !label {
        findings.invalid(
            "metadata.name",
            "names of services are made from it: lower-case letters, digits and dashes only, beginning with a letter",
        );
    }
    if input.capabilities.places_members && key.stack() == OPERATOR_STACK {
        findings.invalid(
            "metadata.name",
            format!("{OPERATOR_STACK:?} is the stack of the operator itself; choose another name"),
        );
    }
    let mut keys: Vec<WorkloadKey> = cluster.parts().into_iter().flat_map(Part::keys).collect();
    if cluster.gateway.is_some() {
        keys.push(WorkloadKey::shared(Component::Gateway));
    }
    if let Queue::Pulsar(_) = &cluster.queue {
        keys.push(WorkloadKey::shared(Component::PulsarInit));
    }
    let longest = keys
        .into_iter()
        .map(|workload| input.capabilities.workload_name(key, workload))
        .max_by_key(String::len);
    let limit = input.capabilities.max_workload_name;
    if let Some(longest) = longest
        && longest.len() > limit
    {
        findings.invalid(
            "metadata.name",
            format!(
                "too long by {}: {longest:?} would have {} characters, and {} allows {limit}; shorten the name or the namespace",
                longest.len() - limit,
                longest.len(),
                input.capabilities.platform
            ),
        );
    }
}

/// Configs and secrets of an engine carry a hash of their content in their names.
fn file_names(input: &Input<'_>, cluster: &ValidatedCluster, findings: &mut Findings) {
    const LONGEST: &str = "gateway-tls";
    let length = cluster.cluster.key.stack().len() + LONGEST.len() + HASH_IN_NAME + 2;
    if input.capabilities.places_members && length > MAX_CONFIG_NAME {
        findings.invalid(
            "metadata.name",
            format!(
                "too long by {}: names of configs are made from it, and {} allows {MAX_CONFIG_NAME} characters; shorten the name or the namespace",
                length - MAX_CONFIG_NAME,
                input.capabilities.platform
            ),
        );
    }
}

fn against_ledger(
    input: &Input<'_>,
    cluster: &ValidatedCluster,
    ledger: &Ledger,
    counted: bool,
    findings: &mut Findings,
) {
    let ours = ledger.owner_uid == cluster.cluster.uid;
    if !ours && ledger.members.is_empty() {
        return; // nothing of an earlier cluster is left
    }
    if !ours && !cluster.adopt {
        let places: BTreeSet<String> = ledger
            .members
            .values()
            .flat_map(|entry| {
                let node = entry.node_name.clone();
                entry.places().into_iter().map(move |place| {
                    if node.is_empty() {
                        place
                    } else {
                        format!("{place} on {node}")
                    }
                })
            })
            .collect();
        let places: Vec<String> = places.into_iter().collect();
        findings.refuse(
            Reason::RetainedData,
            "spec.adopt",
            format!(
                "an earlier cluster of this name left data: {}; set spec.adopt to true to take it over, choose another name, or remove it with the volumes",
                places.join(", ")
            ),
        );
        return;
    }
    fixed(input, cluster, ledger, findings);
    if counted {
        members(cluster, ledger, findings);
    }
    claims(cluster, ledger, findings);
}

/// Choices that stand for as long as the data does.
fn fixed(input: &Input<'_>, cluster: &ValidatedCluster, ledger: &Ledger, findings: &mut Findings) {
    let Some(was) = &ledger.fixed else {
        return;
    };
    let now = cluster.fixed();
    // What an earlier operator recorded of a root that Milvus took from elsewhere is not where the metadata is.
    let elsewhere = Places::of(input.spec, &cluster.cluster.key) != cluster.places
        || !settings::field(input.spec, ETCD_ROOT).starts_with("spec.config");
    let unwritten = !was.root_as_read && elsewhere;
    let etcd_root = match unwritten {
        true => now.etcd_root.clone(),
        false => was.etcd_root.clone(),
    };
    let layout = |l: &Option<String>| l.clone().unwrap_or_else(|| "none".to_owned());
    let mtu = |m: Option<u32>| m.map_or("the engine's".to_owned(), |m| m.to_string());
    let subnet = |s: &Option<String>| {
        s.clone()
            .unwrap_or_else(|| "one of the engine's".to_owned())
    };
    let network = |internal: bool| {
        if internal {
            "without a way out"
        } else {
            "with a way out"
        }
        .to_owned()
    };
    for (field, what, before, after) in [
        ("spec.mode", "the mode", was.mode.clone(), now.mode),
        (
            "spec.dependencies.msgStreamType",
            "the message queue",
            was.message_queue.clone(),
            now.message_queue,
        ),
        (
            "spec.dependencies.storage",
            "bucket and root path",
            was.storage_root.clone(),
            now.storage_root,
        ),
        (
            "spec.config.etcd.rootPath",
            "the root of the metadata",
            etcd_root,
            now.etcd_root,
        ),
        (
            "spec.swarm.mtu",
            "the MTU of the networks",
            mtu(was.mtu),
            mtu(now.mtu),
        ),
        (
            "spec.swarm.subnet.backend",
            "the range of the backend network",
            subnet(&was.backend_subnet),
            subnet(&now.backend_subnet),
        ),
        (
            "spec.swarm.subnet.frontend",
            "the range of the frontend network",
            subnet(&was.frontend_subnet),
            subnet(&now.frontend_subnet),
        ),
        (
            "spec.dependencies",
            "the network (one with external dependencies needs a way out)",
            network(was.internal_network),
            network(now.internal_network),
        ),
        (
            "spec.dependencies.storage.inCluster.values",
            "MinIO's layout (members x drives)",
            layout(&was.minio_layout),
            layout(&now.minio_layout),
        ),
    ] {
        if before != after {
            findings.refuse(
                Reason::ImmutableField,
                field,
                format!("{what} cannot change after creation: it is {before}, and {after} is asked for; put it back, or make a new cluster"),
            );
        }
    }
    if !was.version.is_empty() && was.version != now.version {
        findings.not_yet(
            "spec.components.image",
            format!("version change from {} to {}", was.version, now.version),
        );
    }
}

/// Members that stand: their number and the kind of their place.
fn members(cluster: &ValidatedCluster, ledger: &Ledger, findings: &mut Findings) {
    let parts = cluster.parts();
    for component in [
        Component::Etcd,
        Component::Minio,
        Component::Zookeeper,
        Component::Bookkeeper,
    ] {
        let entries: Vec<_> = ledger
            .members
            .iter()
            .filter(|(name, _)| WorkloadKey::parse(name).is_some_and(|k| k.component == component))
            .map(|(_, entry)| entry)
            .collect();
        if entries.is_empty() {
            continue;
        }
        let had = entries.len();
        let part = parts.iter().find(|p| p.component == component);
        let Some(part) = part else {
            findings.refuse(
                Reason::ImmutableField,
                external_field(component),
                format!("the operator runs {component} for this cluster, and its data is there; a move to an external one is not possible in place"),
            );
            continue;
        };
        let wants = part.keys().len();
        let path = components::resource_path(component);
        let field = match component {
            Component::Minio => format!("{path}.replicas"),
            _ => format!("{path}.replicaCount"),
        };
        // Bookies may join at any time; nobody else may come or go without a change of membership.
        let grows = component == Component::Bookkeeper && wants > had;
        if wants != had && !grows && component != Component::Minio {
            findings.not_yet(
                field,
                format!("a change of the number of members of {component} from {had} to {wants}"),
            );
        }
        let binds = part
            .volumes
            .iter()
            .any(|v| matches!(v.backing, VolumeBacking::Bind { .. }));
        let bound = entries
            .iter()
            .any(|e| e.volumes.is_empty() && !e.directories.is_empty());
        let named = entries.iter().any(|e| !e.volumes.is_empty());
        if (binds && named) || (!binds && bound) {
            findings.refuse(
                Reason::ImmutableField,
                format!("{path}.persistence.type"),
                "the data is on the other kind of place, and members do not move; put it back",
            );
        }
    }
}

/// Claims keep size and class: no platform changes them in the template of claims that are there.
fn claims(cluster: &ValidatedCluster, ledger: &Ledger, findings: &mut Findings) {
    for part in cluster.parts() {
        let entries = ledger.members.iter();
        let mut of_part = entries
            .filter(|(name, _)| {
                WorkloadKey::parse(name).is_some_and(|k| k.component == part.component)
            })
            .filter_map(|(_, entry)| entry.claim.as_ref());
        let volume = part.volumes.iter().find(|volume| volume.durable);
        // Bookies that joined later were made from the template of the first ones.
        let (Some(was), Some(now)) = (of_part.next(), volume.and_then(terms)) else {
            continue;
        };
        let path = &part.origin.persistence;
        if was.size != now.size {
            let (before, after) = (Quantity::of_bytes(was.size), Quantity::of_bytes(now.size));
            findings.not_yet(
                format!("{path}.size"),
                format!("another size for volumes that are there: they were made with {before}, and {after} is asked for; write {before} again (how a claim is grown by hand is not supported yet either)"),
            );
        }
        if was.storage_class != now.storage_class {
            let word = |class: &Option<String>| match class {
                Some(class) => format!("class {class:?}"),
                None => "the default class".to_owned(),
            };
            let back = match &was.storage_class {
                Some(class) => format!("write {class} again"),
                None => "remove the field".to_owned(),
            };
            findings.refuse(
                Reason::ImmutableField,
                format!("{path}.storageClass"),
                format!("the volumes are there and were made with {}, and {} is asked for; {back}, or make a new cluster and move the data with a backup", word(&was.storage_class), word(&now.storage_class)),
            );
        }
    }
}

const fn external_field(component: Component) -> &'static str {
    match component {
        Component::Etcd => "spec.dependencies.etcd.external",
        Component::Minio => "spec.dependencies.storage.external",
        _ => "spec.dependencies.pulsar.external",
    }
}

/// One port on one node serves one cluster: the older one keeps it.
fn ports(input: &Input<'_>, cluster: &ValidatedCluster, findings: &mut Findings) {
    let Some(gateway) = &cluster.gateway else {
        return;
    };
    let nodes = &input.facts.topology.nodes;
    let ours: BTreeSet<&str> = if gateway.part.placement.constraints.is_empty() {
        BTreeSet::new()
    } else {
        nodes
            .iter()
            .filter(|node| unmet(&gateway.part.placement, node).is_none())
            .map(|node| node.id.as_str())
            .collect()
    };
    let everywhere = gateway.part.placement.constraints.is_empty() || nodes.is_empty();
    for other in &input.facts.others {
        if other.key == cluster.cluster.key || other.port != gateway.port {
            continue;
        }
        let meet = everywhere
            || other.gateway_nodes.is_empty()
            || other
                .gateway_nodes
                .iter()
                .any(|n| ours.contains(n.as_str()));
        if meet && other.is_older_than(&cluster.cluster.key, created(input)) {
            findings.refuse(
                Reason::PortConflict,
                "spec.swarm.gateway.port",
                format!(
                    "port {} is used by cluster {} on the same nodes; choose another port or other nodes (spec.swarm.gateway.constraints)",
                    gateway.port, other.key
                ),
            );
        }
    }
}

pub(super) fn created(input: &Input<'_>) -> Option<Timestamp> {
    let metadata = &input.resource.metadata;
    metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// A prefix on somebody else's service belongs to one cluster. What lies there and is not in its own metadata, Milvus takes
/// for garbage and removes.
fn prefixes(input: &Input<'_>, cluster: &ValidatedCluster, findings: &mut Findings) {
    let ours = Prefixes::of(input.resource);
    if ours.is_empty() {
        return;
    }
    let key = &cluster.cluster.key;
    let ledger = input.facts.ledger.as_ref();
    let begun = input.facts.holds_prefixes
        || ledger.is_some_and(|ledger| ledger.owner_uid == cluster.cluster.uid);
    for other in &input.facts.others {
        if other.key == *key || !other.precedes(key, created(input), begun) {
            continue;
        }
        if ours.meet_in_storage(&other.prefixes, input.capabilities) {
            findings.refuse(
                Reason::PrefixConflict,
                "spec.dependencies.storage.rootPath",
                format!(
                    "cluster {} keeps its data in the same place (bucket {}, {}), and each of the two would delete what is not its own; make this cluster with a rootPath or a bucket of its own, for example rootPath {}",
                    other.key,
                    cluster.storage.bucket,
                    cluster.storage.root_path,
                    key.unique()
                ),
            );
        }
        if ours.meet_in_etcd(&other.prefixes, input.capabilities) {
            findings.refuse(
                Reason::PrefixConflict,
                "spec.config.etcd.rootPath",
                format!(
                    "cluster {} keeps its metadata in the same place of this etcd ({}), and each of the two would destroy the other's; make this cluster without the field, which gives it {}, or with another",
                    other.key,
                    cluster.etcd_root(),
                    key.unique()
                ),
            );
        }
    }
}

/// What no machine can ever take is refused at once; what is full for the moment is waited for.
fn machines(input: &Input<'_>, cluster: &ValidatedCluster, findings: &mut Findings) {
    let nodes = &input.facts.topology.nodes;
    if nodes.is_empty() {
        return;
    }
    for part in cluster.parts().into_iter().filter(|p| p.replicas > 0) {
        let admitted: Vec<&Node> = nodes
            .iter()
            .filter(|node| unmet(&part.placement, node).is_none())
            .collect();
        if admitted.is_empty() {
            continue; // said where the placement is waited for: a label can be added at any time
        }
        let largest = |of: fn(&Node) -> u64| admitted.iter().map(|n| of(n)).max().unwrap_or(0);
        let field = |what: &str| {
            if part.origin.resources == "spec.profile" {
                part.origin.resources.clone()
            } else {
                format!("{}.requests.{what}", part.origin.resources)
            }
        };
        let memory = part.resources.request_memory.unwrap_or(0);
        let most = largest(|n| n.memory);
        if memory > most {
            findings.refuse(
                Reason::Unschedulable,
                field("memory"),
                format!(
                    "{} reserves {} MiB of memory, and the largest node that it may run on has {} MiB; ask for less or add a node",
                    part.component,
                    memory >> 20,
                    most >> 20
                ),
            );
        }
        let cpu = part.resources.request_millicpu.unwrap_or(0);
        let most = largest(|n| n.millicpu);
        if cpu > most {
            findings.refuse(
                Reason::Unschedulable,
                field("cpu"),
                format!(
                    "{} reserves {cpu}m of CPU, and the largest node that it may run on has {most}m; ask for less or add a node",
                    part.component
                ),
            );
        }
        let members = part.keys().len();
        if part.has_members() && members > admitted.len() {
            findings.notice(
                Reason::PlacementAtRisk,
                part.origin.placement.clone(),
                format!(
                    "{members} members of {} share {} nodes: the loss of one node may stop it",
                    part.component,
                    admitted.len()
                ),
            );
        }
    }
}
