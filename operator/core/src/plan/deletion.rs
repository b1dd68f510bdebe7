//! Taking a cluster down: from what was seen, the ledger and the policy alone, because the spec of a deleted resource may be
//! invalid. Processes go first, front to back, so that nothing writes to what is gone already; then what they used; volumes
//! by policy; the finalizer last.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use milvus_crds::{DeletionPolicy, MilvusClusterSpec};

use crate::action::{Action, Notice, Plan, RemoveCause, Waiting, WaitingOn};
use crate::capabilities::Rhythm;
use crate::component::{Component, WorkloadKey};
use crate::ledger::{Ledger, MemberEntry, RetainedVolume};
use crate::names::ClusterRef;
use crate::observed::{Instance, InstanceState, NodeState, Observed, Owner};
use crate::outline::ObjectClass;
use crate::plan::memory::place;
use crate::plan::{Draft, Memory, next_check, trouble};
use crate::reasons::Reason;

/// What becomes of volumes, by component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletionPolicies {
    /// Where nothing else is said.
    pub default: DeletionPolicy,
    /// Exceptions.
    pub by_component: BTreeMap<Component, DeletionPolicy>,
}

impl DeletionPolicies {
    /// Reads them from a spec, valid or not.
    pub fn from_spec(spec: &MilvusClusterSpec) -> Self {
        Self {
            default: spec.deletion_policy.unwrap_or_default(),
            by_component: crate::validate::deletion(spec),
        }
    }

    /// The policy for one component.
    pub fn of(&self, component: Component) -> DeletionPolicy {
        self.by_component
            .get(&component)
            .copied()
            .unwrap_or(self.default)
    }
}

/// What one pass of a deletion decides from.
#[derive(Clone, Copy, Debug)]
pub struct DeletionInput<'a> {
    /// Whose.
    pub cluster: &'a ClusterRef,
    /// What was seen in this pass.
    pub observed: &'a Observed,
    /// The ledger as it is stored.
    pub ledger: Option<&'a Ledger>,
    /// Whether all that was made for the resource is to stay (`kubectl delete --cascade=orphan`).
    pub orphan: bool,
    /// What becomes of volumes.
    pub policies: &'a DeletionPolicies,
    /// Nodes that the admin has given up (`operator.milvus.io/abandon-node`), by name or by id.
    pub abandoned: &'a BTreeSet<String>,
    /// How often the world is looked at.
    pub rhythm: Rhythm,
    /// The time of this pass.
    pub now: Timestamp,
    /// What earlier passes saw.
    pub memory: &'a Memory,
}

impl DeletionInput<'_> {
    /// Whether everything stays. The word that it is to stay may have come and gone while nobody listened; what it has done is
    /// seen on the objects.
    pub(crate) fn leaves_all(&self) -> bool {
        let mut objects = self.observed.objects.values();
        self.orphan || objects.any(|o| o.owner == Owner::Released)
    }

    /// Whether a process is waited for before what it used goes: it ends with its node where that is away, and where its end is
    /// overdue on a node that was given up.
    pub(crate) fn awaits(&self, instance: &Instance) -> bool {
        let topology = &self.observed.topology;
        let is_given_up = |node: &String| {
            let name = topology.node(node).map(|found| &found.name);
            self.abandoned.contains(node) || name.is_some_and(|name| self.abandoned.contains(name))
        };
        let given_up =
            instance.overdue(self.now).is_some() && instance.node.as_ref().is_some_and(is_given_up);
        instance.state.may_run() && instance.state != InstanceState::Lost && !given_up
    }
}

/// Decides one pass for a resource that is being deleted.
pub fn plan_deletion(input: &DeletionInput<'_>) -> Plan {
    let mut draft = Draft::default();
    if input.leaves_all() {
        leave(input, &mut draft);
        let next = next_check(&draft, input.rhythm);
        return draft.finish(BTreeMap::new(), next);
    }
    let gone = processes(input, &mut draft) && leftovers(input, &mut draft);
    if gone {
        data(input, &mut draft);
    }
    let next = next_check(&draft, input.rhythm);
    draft.finish(BTreeMap::new(), next)
}

/// Lets go of the resource and of nothing else.
fn leave(input: &DeletionInput<'_>, draft: &mut Draft) {
    let keep = DeletionPolicies {
        default: DeletionPolicy::Retain,
        by_component: BTreeMap::new(),
    };
    let input = DeletionInput {
        policies: &keep,
        ..*input
    };
    data(&input, draft);
    if matches!(draft.actions.last(), Some(Action::DropFinalizer)) {
        draft.note(Notice {
            reason: Reason::Orphaned,
            message: "all that was made for the resource stays, as its deletion asked for: processes go on running, and are not \
                      looked after any more"
                .to_owned(),
            field: None,
        });
    }
}

/// The order in which processes go: a wave starts when nothing of the earlier ones runs.
fn wave(component: Option<Component>) -> u8 {
    match component {
        None => 0,
        Some(component) if component.is_milvus() => 0,
        Some(Component::Gateway | Component::PulsarInit) => 0,
        Some(Component::Broker) => 1,
        Some(_) => 2,
    }
}

/// Within a wave: the front door, the proxy, nodes, coordinators.
fn rank(component: Option<Component>) -> usize {
    let order = component.and_then(|c| Component::ALL.iter().position(|other| *other == c));
    Component::ALL.len() - order.unwrap_or(0)
}

/// Removes processes wave by wave; true when there are none left.
fn processes(input: &DeletionInput<'_>, draft: &mut Draft) -> bool {
    let mut objects: Vec<_> = input
        .observed
        .objects
        .iter()
        .filter(|(_, o)| o.owner != Owner::Foreign && o.class == ObjectClass::Workload)
        .map(|(id, o)| (o.workload.map(|k| k.component), id, o))
        .collect();
    objects.sort_by_key(|(component, id, _)| (wave(*component), rank(*component), (*id).clone()));
    let alive = input.observed.instances.iter().filter(|i| input.awaits(i));
    let alive: Vec<u8> = alive
        .inspect(|i| unconfirmed(input, i, draft))
        .map(|i| wave(Some(i.workload.component)))
        .collect();
    let standing = objects.iter().map(|(component, _, _)| wave(*component));
    let Some(now) = standing.chain(alive.iter().copied()).min() else {
        return true;
    };
    for (component, id, object) in objects {
        if wave(component) == now {
            draft
                .actions
                .push(Action::remove(id, object, RemoveCause::Deleted));
        }
    }
    let instances = u32::try_from(alive.len()).unwrap_or(u32::MAX);
    draft.waiting.push(Waiting {
        component: None,
        on: WaitingOn::Stopping {
            instances,
            which: standing_names(input, now),
        },
    });
    false
}

/// Names of that many processes; the others are counted.
const NAMED: usize = 5;

/// The processes of a wave that are still there, each with its node.
fn standing_names(input: &DeletionInput<'_>, now: u8) -> String {
    let observed = input.observed;
    let waited = observed.instances.iter().filter(|i| input.awaits(i));
    let alive = waited.filter(|i| wave(Some(i.workload.component)) == now);
    let names: BTreeSet<String> = alive
        .map(|i| {
            let node = i.node.as_deref().and_then(|id| observed.topology.node(id));
            let node = node.map(|n| match n.withheld() {
                Some(why) => format!(" on {} ({why})", n.name),
                None => format!(" on {}", n.name),
            });
            format!("{}{}", i.workload, node.unwrap_or_default())
        })
        .collect();
    let mut named: Vec<String> = names.iter().take(NAMED).cloned().collect();
    if names.len() > NAMED {
        named.push(format!("{} more", names.len() - NAMED));
    }
    if named.is_empty() {
        "none runs any more".to_owned()
    } else {
        named.join(", ")
    }
}

/// Says which process does not end, on which node, and what helps.
fn unconfirmed(input: &DeletionInput<'_>, instance: &Instance, draft: &mut Draft) {
    let Some(overdue) = instance.overdue(input.now) else {
        return;
    };
    let mut message = trouble::unconfirmed(instance, overdue);
    if let Some(node) = &instance.node {
        message += &format!(
            "; with the annotation operator.milvus.io/abandon-node={node} on the resource, its deletion goes on without it"
        );
    }
    draft.note(Notice {
        reason: Reason::NodeDown,
        message,
        field: None,
    });
}

/// Removes what processes used; true when nothing is left.
fn leftovers(input: &DeletionInput<'_>, draft: &mut Draft) -> bool {
    let mut left = false;
    for class in [ObjectClass::Ancillary, ObjectClass::Prerequisite] {
        for (id, object) in &input.observed.objects {
            if object.owner == Owner::Foreign || object.class != class {
                continue;
            }
            left = true;
            if object.in_use {
                continue; // by somebody else's object: said below, and looked at again
            }
            draft
                .actions
                .push(Action::remove(id, object, RemoveCause::Deleted));
        }
    }
    if left && draft.actions.is_empty() {
        draft.waiting.push(Waiting {
            component: None,
            on: WaitingOn::Stopping {
                instances: 0,
                which: String::new(),
            },
        });
    }
    !left
}

/// Volumes by policy, then the ledger, then the finalizer.
fn data(input: &DeletionInput<'_>, draft: &mut Draft) {
    // A ledger of another resource (this one was refused because of it) is not ours to empty.
    let ledger = input.ledger.filter(|l| l.owner_uid == input.cluster.uid);
    let Some(ledger) = ledger else {
        draft.actions.push(Action::DropFinalizer);
        return;
    };
    let mut left = 0u32;
    let mut abandoned = false;
    for (name, entry) in &ledger.members {
        if !deletes(input, name) {
            continue;
        }
        let access = access(input, entry);
        let remaining: Vec<(String, Option<String>)> = places(entry)
            .into_iter()
            .filter(|(volume, base)| {
                let done = (entry.node.clone(), place(volume, base.as_deref()));
                !input.memory.removed.contains(&done)
            })
            .collect();
        if remaining.is_empty() {
            continue;
        }
        let given_up = input.abandoned.contains(&entry.node)
            || (!entry.node_name.is_empty() && input.abandoned.contains(&entry.node_name));
        if given_up && matches!(access, Access::Down | Access::Withheld(_)) {
            abandoned = true;
            draft.note(Notice {
                reason: Reason::VolumesRetained,
                message: format!(
                    "{} of {name} stays on node {}, which was given up",
                    entry.places().join(", "),
                    entry.node_name
                ),
                field: None,
            });
            continue;
        }
        left += u32::try_from(remaining.len()).unwrap_or(u32::MAX);
        let data = format!("{} of {name}", entry.places().join(", "));
        let node = entry.node_name.clone();
        let (what, notice) = match access {
            Access::Open => {
                for (volume, bind_base) in remaining {
                    draft.actions.push(Action::RemoveVolume {
                        node: entry.node.clone(),
                        volume,
                        bind_base,
                    });
                }
                continue;
            }
            Access::Unknown => (data, None),
            Access::Down => {
                let message = format!(
                    "node {node} does not answer and holds {data}: bring it back, or give it up with the annotation \
                     operator.milvus.io/abandon-node={node}"
                );
                (data, Some((Reason::NodeDown, message)))
            }
            Access::Withheld(why) => {
                let message = format!(
                    "node {node} is {why} and holds {data}: set its availability to active, or give it up with the annotation \
                     operator.milvus.io/abandon-node={node}"
                );
                let what = format!("it is {why}; {data}");
                (what, Some((Reason::NodeUnavailable, message)))
            }
        };
        if let Some((reason, message)) = notice {
            draft.note(Notice {
                reason,
                message,
                field: None,
            });
        }
        draft.waiting.push(Waiting {
            component: WorkloadKey::parse(name).map(|k| k.component),
            on: WaitingOn::Node { node, what },
        });
    }
    if left > 0 {
        draft.waiting.push(Waiting {
            component: None,
            on: WaitingOn::Volumes { left },
        });
        return;
    }
    close(input, ledger, abandoned, draft);
}

/// Whether work can be done on a node.
enum Access {
    Open,
    Unknown,
    Down,
    Withheld(&'static str),
}

fn access(input: &DeletionInput<'_>, entry: &MemberEntry) -> Access {
    if entry.node.is_empty() {
        return Access::Open; // without a node of its own the data is the platform's to remove
    }
    let Some(node) = input.observed.topology.node(&entry.node) else {
        return Access::Down;
    };
    match (node.state, node.withheld()) {
        (NodeState::Down, _) => Access::Down,
        (NodeState::Unknown, _) => Access::Unknown,
        (NodeState::Up, Some(why)) => Access::Withheld(why),
        (NodeState::Up, None) => Access::Open,
    }
}

fn deletes(input: &DeletionInput<'_>, member: &str) -> bool {
    WorkloadKey::parse(member)
        .is_some_and(|key| input.policies.of(key.component) == DeletionPolicy::Delete)
}

fn places(entry: &MemberEntry) -> Vec<(String, Option<String>)> {
    let volumes = entry.volumes.iter().map(|v| (v.clone(), None));
    let directories = entry
        .directories
        .iter()
        .map(|d| (d.directory.clone(), Some(d.base.clone())));
    volumes.chain(directories).collect()
}

/// What stays in the ledger when the resource goes: data that was kept, and the epochs that were ever used.
fn close(input: &DeletionInput<'_>, ledger: &Ledger, abandoned: bool, draft: &mut Draft) {
    let kept: BTreeMap<String, MemberEntry> = ledger
        .members
        .iter()
        .filter(|(name, _)| !deletes(input, name))
        .map(|(name, entry)| (name.clone(), entry.clone()))
        .collect();
    if kept.is_empty() && !abandoned {
        draft.actions.push(Action::ForgetLedger);
        draft.actions.push(Action::DropFinalizer);
        return;
    }
    if kept.is_empty() {
        // Volumes on abandoned nodes carry epochs that must never be used again.
        draft.actions.push(Action::RecordLedger(Box::new(Ledger {
            last_epoch: ledger.last_epoch,
            ..Ledger::default()
        })));
        return;
    }
    let retained: Vec<RetainedVolume> = kept
        .iter()
        .flat_map(|(name, entry)| {
            entry.places().into_iter().map(|volume| RetainedVolume {
                member: name.clone(),
                node: entry.node.clone(),
                node_name: entry.node_name.clone(),
                volume,
            })
        })
        .collect();
    let names: Vec<String> = retained
        .iter()
        .map(|r| {
            if r.node_name.is_empty() {
                r.volume.clone()
            } else {
                format!("{} on {}", r.volume, r.node_name)
            }
        })
        .collect();
    draft.note(Notice {
        reason: Reason::VolumesRetained,
        message: format!("volumes were kept: {}", names.join(", ")),
        field: None,
    });
    let alive = |component: Component| {
        // The one-time job's work lives in ZooKeeper.
        let holder = match component {
            Component::PulsarInit => Component::Zookeeper,
            other => other,
        };
        kept.keys()
            .any(|name| WorkloadKey::parse(name).is_some_and(|k| k.component == holder))
    };
    let bootstrapped = ledger
        .bootstrapped
        .iter()
        .filter(|(component, _)| alive(**component))
        .map(|(component, done)| (*component, *done))
        .collect();
    let stores = ledger.stores.iter();
    let stores = stores
        .filter(|(component, _)| alive(**component))
        .map(|(component, known)| (*component, known.clone()))
        .collect();
    draft.actions.push(Action::RecordLedger(Box::new(Ledger {
        owner_uid: String::new(),
        members: kept,
        bootstrapped,
        stores,
        accepted_losses: BTreeSet::new(),
        retained,
        last_good: None,
        ..ledger.clone()
    })));
}
