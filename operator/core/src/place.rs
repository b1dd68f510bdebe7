//! Which node each member lives on. Written into the ledger before anything is made of it, and never changed here once it
//! stands: a member that moved would start on an empty volume. Pure.

mod rejoined;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use rejoined::is_same_place;
pub use rejoined::{NODE_IS, Rejoined, rejoined, take_over};

use crate::action::{Notice, Waiting, WaitingOn};
use crate::capabilities::Capabilities;
use crate::component::{Component, WorkloadKey};
use crate::constraint::{Constraint, Network};
use crate::desired::{Placement, VolumeBacking, VolumeMount};
use crate::ledger::{ClaimTerms, FixedChoices, Ledger, MemberDirectory, MemberEntry};
use crate::names::{ClusterRef, Incarnation};
use crate::observed::{Node, Topology};
use crate::reasons::Reason;

/// What one member asks of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberNeed {
    /// Which member.
    pub key: WorkloadKey,
    /// Its volumes; the durable ones are entered into the ledger.
    pub volumes: Vec<VolumeMount>,
    /// Hard rules about its node.
    pub placement: Placement,
    /// Path in the resource of these rules, for messages.
    pub placement_field: String,
    /// Path in the resource of its resources, for messages.
    pub resources_field: String,
    /// Memory that it reserves, bytes.
    pub request_memory: Option<u64>,
    /// CPU that it reserves, thousandths of a core.
    pub request_millicpu: Option<u64>,
}

/// Where the members live, and which of them have no place yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The ledger with an entry for every member that has a place.
    pub ledger: Ledger,
    /// The members without one, and why no node can take them. They are left out of what is started; all others are looked
    /// after.
    pub waiting: Vec<Waiting>,
}

/// Makes the ledger that the cluster needs: entries that stand stay as they are, new members get a node and an epoch.
/// Equal input gives an equal ledger, so a pass that changes nothing records nothing.
///
/// # Errors
/// Which members no node can take, and why, where the cluster has no ledger of its own yet. Such a cluster begins as a whole
/// or not at all: what is fixed at creation is not fixed before its members have their places.
pub fn place(
    needs: &[MemberNeed],
    fixed: FixedChoices,
    ledger: Option<&Ledger>,
    topology: &Topology,
    capabilities: &Capabilities,
    cluster: &ClusterRef,
    adopt: bool,
) -> Result<Placed, Vec<Waiting>> {
    let begun = ledger.is_some_and(|own| own.owner_uid == cluster.uid);
    let mut wanted = match ledger {
        Some(own) if own.owner_uid == cluster.uid => own.clone(),
        Some(left) if left.members.is_empty() => fresh(left.last_epoch, cluster),
        Some(left) if adopt => Ledger {
            owner_uid: cluster.uid.clone(),
            retained: Vec::new(),
            last_good: None,
            ..left.clone()
        },
        Some(left) => return Err(refused(left)),
        None => fresh(0, cluster),
    };
    if let Some(was) = wanted.fixed.as_mut().filter(|was| !was.root_as_read) {
        // Validation has compared them, and knows where the metadata of such a cluster is.
        was.etcd_root = fixed.etcd_root;
        was.root_as_read = true;
    } else if wanted.fixed.is_none() {
        wanted.fixed = Some(fixed);
    }
    let mut needs: Vec<&MemberNeed> = needs.iter().collect();
    needs.sort_by_key(|n| n.key);
    let mut spare = spare(topology);
    let mut waiting = Vec::new();
    for need in needs {
        let name = need.key.to_string();
        if wanted.members.contains_key(&name) {
            continue;
        }
        let node = if capabilities.places_members {
            match choose(need, &wanted, topology, &spare) {
                Ok(node) => Some(node),
                Err(detail) => {
                    waiting.push(Waiting {
                        component: Some(need.key.component),
                        on: WaitingOn::Placement {
                            workload: need.key,
                            detail,
                        },
                    });
                    continue;
                }
            }
        } else {
            None
        };
        if let Some(node) = node {
            let left = spare.entry(node.id.as_str()).or_default();
            left.memory = left.memory.saturating_sub(need.request_memory.unwrap_or(0));
            left.millicpu = left
                .millicpu
                .saturating_sub(need.request_millicpu.unwrap_or(0));
        }
        let of = Incarnation {
            mark: node.and_then(|_| Incarnation::mark(&cluster.uid)),
            epoch: wanted.last_epoch,
        };
        let entry = entry(need, node, &of, capabilities, cluster);
        wanted.members.insert(name, entry);
    }
    if !begun && !waiting.is_empty() {
        return Err(waiting);
    }
    Ok(Placed {
        ledger: wanted,
        waiting,
    })
}

/// What the loss of one node would stop, said once for the whole cluster; nothing where any single node may go.
pub fn risks(ledger: &Ledger) -> Vec<Notice> {
    let mut by_node: BTreeMap<&str, BTreeSet<Component>> = BTreeMap::new();
    let mut members: BTreeMap<Component, Vec<&MemberEntry>> = BTreeMap::new();
    for (name, entry) in &ledger.members {
        if let Some(key) = WorkloadKey::parse(name)
            && !entry.node.is_empty()
        {
            members.entry(key.component).or_default().push(entry);
        }
    }
    for (component, entries) in members {
        let needed = needed(component, entries.len(), ledger);
        let mut per_node: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in &entries {
            *per_node.entry(name_of(entry)).or_default() += 1;
        }
        for (node, there) in per_node {
            if entries.len() - there < needed {
                by_node.entry(node).or_default().insert(component);
            }
        }
    }
    if by_node.is_empty() {
        return Vec::new();
    }
    let parts: Vec<String> = by_node
        .iter()
        .map(|(node, components)| {
            let names: Vec<&str> = components.iter().map(|c| c.name()).collect();
            format!("{node} ({})", names.join(", "))
        })
        .collect();
    vec![Notice {
        reason: Reason::PlacementAtRisk,
        message: format!(
            "the cluster cannot lose these nodes, for what is on them: {}",
            parts.join("; ")
        ),
        field: None,
    }]
}

/// How many members of a component must be there for it to work.
pub fn needed(component: Component, members: usize, ledger: &Ledger) -> usize {
    members_needed(component, members, drives_each(ledger))
}

/// How many members of a component must be there for it to work, where each member of MinIO has this many drives.
pub fn members_needed(component: Component, members: usize, drives_each: usize) -> usize {
    match component {
        Component::Etcd | Component::Zookeeper => members / 2 + 1,
        Component::Minio => minio_needed(members, drives_each.max(1)),
        // Ensemble, write and ack quorum are 2 as soon as there are two bookies.
        Component::Bookkeeper => members.min(2),
        _ => 1,
    }
}

/// The drives of each member of MinIO.
fn drives_each(ledger: &Ledger) -> usize {
    let layout = ledger.fixed.as_ref().and_then(|f| f.minio_layout.as_ref());
    let numbers: Vec<usize> = layout
        .map(|text| {
            text.split(|c: char| !c.is_ascii_digit())
                .filter_map(|n| n.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    numbers.get(1).copied().unwrap_or(1)
}

/// How many members MinIO cannot do without, whichever of the others are away: every erasure set needs its write quorum,
/// which is all of its drives less the parity, and one more where parity is half.
fn minio_needed(members: usize, drives_each: usize) -> usize {
    let set = minio_set(members, drives_each);
    let parity = match set {
        0 | 1 => 0,
        2 | 3 => 1,
        4 | 5 => 2,
        6 | 7 => 3,
        _ => 4,
    };
    let spare = if parity * 2 == set {
        parity.saturating_sub(1)
    } else {
        parity
    };
    // A set's drives follow each other over the members, so each member holds as many of it, or one in some sets only.
    let held = (set / members.max(1)).max(1);
    members - (spare / held).min(members.saturating_sub(1))
}

/// Drives of each of MinIO's erasure sets: the largest number from 2 to 16 that divides all drives and goes evenly into the
/// members, or they into it. The rule is `commonSetDriveCount` and `possibleSetCountsWithSymmetry` in MinIO's
/// `cmd/endpoint-ellipses.go` (<https://github.com/minio/minio/blob/master/cmd/endpoint-ellipses.go>), told in
/// `docs/distributed/DESIGN.md` beside it; of the patterns in an argument the first one counts there, which is the hosts'.
fn minio_set(members: usize, drives_each: usize) -> usize {
    let drives = members * drives_each;
    let spread = if members > 1 { members } else { drives_each };
    let even = |set: usize| {
        if spread > set {
            spread.is_multiple_of(set)
        } else {
            set.is_multiple_of(spread)
        }
    };
    let fits = |set: &usize| drives.is_multiple_of(*set) && even(*set);
    // Where none fits MinIO does not start at all.
    (2..=16).rev().find(fits).unwrap_or(drives)
}

/// What a node can still take.
#[derive(Clone, Copy, Debug, Default)]
struct Spare {
    memory: u64,
    millicpu: u64,
}

fn spare(topology: &Topology) -> BTreeMap<&str, Spare> {
    topology
        .nodes
        .iter()
        .map(|n| {
            let left = Spare {
                memory: n.memory.saturating_sub(n.reserved_memory),
                millicpu: n.millicpu.saturating_sub(n.reserved_millicpu),
            };
            (n.id.as_str(), left)
        })
        .collect()
}

fn fresh(last_epoch: u32, cluster: &ClusterRef) -> Ledger {
    Ledger {
        owner_uid: cluster.uid.clone(),
        last_epoch: last_epoch.saturating_add(1),
        first_epoch: last_epoch.saturating_add(1),
        etcd_token: cluster.uid.clone(),
        ..Ledger::default()
    }
}

fn refused(left: &Ledger) -> Vec<Waiting> {
    left.members
        .keys()
        .filter_map(|name| WorkloadKey::parse(name))
        .map(|workload| Waiting {
            component: Some(workload.component),
            on: WaitingOn::Placement {
                workload,
                detail: "data of an earlier cluster of this name is there: set spec.adopt to take it over"
                    .to_owned(),
            },
        })
        .collect()
}

fn entry(
    need: &MemberNeed,
    node: Option<&Node>,
    of: &Incarnation,
    capabilities: &Capabilities,
    cluster: &ClusterRef,
) -> MemberEntry {
    let mut entry = MemberEntry {
        node: node.map(|n| n.id.clone()).unwrap_or_default(),
        node_name: node.map(|n| n.name.clone()).unwrap_or_default(),
        epoch: of.epoch,
        mark: of.mark.clone(),
        volumes: Vec::new(),
        directories: Vec::new(),
        claim: None,
    };
    if node.is_none() {
        // The platform's claims carry the data: one for each member and volume, for as long as nobody deletes it.
        let durable = need.volumes.iter().filter(|v| v.durable);
        entry.volumes = durable
            .filter_map(|v| capabilities.claim_name(&cluster.key, need.key, &v.name))
            .collect();
        entry.claim = need.volumes.iter().find(|v| v.durable).and_then(terms);
        return entry;
    }
    for volume in need.volumes.iter().filter(|v| v.durable) {
        let directory = |base: &str| MemberDirectory {
            base: base.to_owned(),
            directory: cluster.key.directory(need.key, &volume.name, of),
        };
        match &volume.backing {
            VolumeBacking::Volume { options, .. } => {
                entry
                    .volumes
                    .push(cluster.key.volume(need.key, &volume.name, of));
                // A device that is a directory of the node needs a directory of its own per member, too.
                if options.get("type").is_some_and(|t| t == "none")
                    && let Some(device) = options.get("device")
                {
                    entry.directories.push(directory(device));
                }
            }
            VolumeBacking::Bind { base } => entry.directories.push(directory(base)),
            VolumeBacking::Tmpfs { .. } => {}
        }
    }
    entry
}

/// What the claim of a volume is made with.
pub(crate) fn terms(volume: &VolumeMount) -> Option<ClaimTerms> {
    volume.size.map(|size| ClaimTerms {
        size,
        storage_class: volume.storage_class.clone(),
    })
}

fn choose<'a>(
    need: &MemberNeed,
    ledger: &Ledger,
    topology: &'a Topology,
    spare: &BTreeMap<&str, Spare>,
) -> Result<&'a Node, String> {
    let mut refusals: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut fitting = Vec::new();
    for (index, node) in topology.nodes.iter().enumerate() {
        let left = spare.get(node.id.as_str()).copied().unwrap_or_default();
        match unfit(need, node, left) {
            Some(why) => refusals.entry(why).or_default().push(&node.name),
            None => fitting.push((index, node)),
        }
    }
    let count = topology.nodes.len().max(1);
    let start = Component::ALL
        .iter()
        .position(|c| *c == need.key.component)
        .unwrap_or(0);
    let best = fitting.into_iter().min_by_key(|(index, node)| {
        let here = |name: &str| {
            ledger
                .members
                .get(name)
                .is_some_and(|entry| entry.node == node.id)
        };
        let of_kind = ledger
            .members
            .keys()
            .filter(|name| {
                here(name)
                    && WorkloadKey::parse(name).is_some_and(|k| k.component == need.key.component)
            })
            .count();
        let of_all = ledger.members.keys().filter(|name| here(name)).count();
        // Each component starts its round at another node, so that single members do not all meet on the first one.
        let turn = (index + count - start % count) % count;
        (of_kind, of_all, turn)
    });
    match best {
        Some((_, node)) => Ok(node),
        None if topology.nodes.is_empty() => Err("there is no node".to_owned()),
        None => Err(refusals
            .iter()
            .map(|(why, nodes)| format!("{}: {why}", nodes.join(", ")))
            .collect::<Vec<_>>()
            .join("; ")),
    }
}

/// Why a node cannot take a member; `None` when it can.
fn unfit(need: &MemberNeed, node: &Node, left: Spare) -> Option<String> {
    if !node.up() {
        return Some("does not answer".to_owned());
    }
    if let Some(why) = node.withheld() {
        return Some(format!("is {why} and takes no new work"));
    }
    if let Some(rule) = unmet(&need.placement, node) {
        return Some(format!("does not meet {rule} ({})", need.placement_field));
    }
    if let Some(memory) = need.request_memory
        && left.memory < memory
    {
        return Some(format!(
            "{} of memory unreserved, {} asked for ({})",
            mebibytes(left.memory),
            mebibytes(memory),
            need.resources_field
        ));
    }
    if let Some(millicpu) = need.request_millicpu
        && left.millicpu < millicpu
    {
        return Some(format!(
            "{}m of CPU unreserved, {millicpu}m asked for ({})",
            left.millicpu, need.resources_field
        ));
    }
    None
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// The first hard rule that a node does not meet.
pub fn unmet(placement: &Placement, node: &Node) -> Option<String> {
    for (key, value) in &placement.node_selector {
        if node.labels.get(key) != Some(value) {
            return Some(format!("{key}={value}"));
        }
    }
    placement
        .constraints
        .iter()
        .find(|c| !meets(c, node))
        .cloned()
}

/// One Swarm constraint, as the scheduler reads it: exact, without regard to case, `==` and `!=` only.
fn meets(constraint: &str, node: &Node) -> bool {
    let Ok(read) = Constraint::parse(constraint) else {
        return false;
    };
    let Constraint { key, equal, value } = read;
    let role = if node.manager { "manager" } else { "worker" };
    let actual: Option<&str> = match key.to_ascii_lowercase().as_str() {
        "node.id" => Some(&node.id),
        "node.hostname" => Some(&node.name),
        "node.ip" => {
            return Network::parse(value).is_some_and(|net| net.has(&node.address) == equal);
        }
        "node.role" => Some(role),
        "node.platform.os" => Some(&node.os),
        "node.platform.arch" => {
            return (architecture(&node.arch) == architecture(value)) == equal;
        }
        _ => {
            if let Some(name) = read.label("node.labels.") {
                Some(node.labels.get(name).map_or("", String::as_str))
            } else if let Some(name) = read.label("engine.labels.") {
                Some(node.engine_labels.get(name).map_or("", String::as_str))
            } else {
                None
            }
        }
    };
    actual.is_some_and(|actual| actual.eq_ignore_ascii_case(value) == equal)
}

fn architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn name_of(entry: &MemberEntry) -> &str {
    if entry.node_name.is_empty() {
        &entry.node
    } else {
        &entry.node_name
    }
}

#[cfg(test)]
mod tests;
