//! Words for whatever is not well: which node, image, mount or port, and which field of the resource leads there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::action::{Notice, WaitingOn};
use crate::component::{Component, WorkloadKey};
use crate::components::resource_name;
use crate::desired::{Shape, Workload};
use crate::observed::{Deleting, Instance, InstanceState, Topology};
use crate::plan::readiness::{self, Health, instances};
use crate::plan::{Draft, View, WorkloadObject, emptied, start, stores};
use crate::probe::ProbeFailureKind;
use crate::reasons::Reason;

pub(super) fn explain(view: &View<'_>, draft: &mut Draft) {
    nodes(view, draft);
    stores::explain(view, draft);
    for object in view.workload_objects() {
        if view.ours(object.id).is_some() && !start::done(view, &object) {
            workload(view, &object, draft);
        }
    }
    for (component, readiness) in &view.readiness {
        if readiness.external && !readiness.ready && !readiness.lost {
            draft.wait(
                *component,
                WaitingOn::Answer {
                    component: *component,
                    detail: readiness.detail.clone(),
                },
            );
            refused(view, *component, draft);
        }
    }
    if draft.waiting.is_empty() && draft.leaves_workloads(view.input.outline) {
        whole(view, draft);
    }
}

/// Nodes whose gateway does not reach what the gateways of other nodes reach, by their addresses.
pub fn cut_off(topology: &Topology, addresses: &[IpAddr]) -> Vec<Notice> {
    let of = |address: &IpAddr| {
        let text = address.to_string();
        let node = topology.nodes.iter().find(|n| n.address == text);
        node.map_or(text, |n| n.name.clone())
    };
    let names: BTreeSet<String> = addresses.iter().map(of).collect();
    names
        .into_iter()
        .map(|name| Notice {
            reason: Reason::NetworkBroken,
            message: format!(
                "the gateway on node {name} does not reach processes that the gateways on other nodes reach: look at the overlay \
                 network of that node (UDP port 4789, TCP and UDP port 7946, MTU)"
            ),
            field: None,
        })
        .collect()
}

/// Keys that a service of somebody else does not know: whoever needs them would only start to fail.
fn refused(view: &View<'_>, component: Component, draft: &mut Draft) {
    let answers = view.input.observed.probes.iter();
    let denied = answers
        .filter(|(id, _)| id.component == component)
        .filter_map(|(_, result)| result.outcome.as_ref().err())
        .find(|failure| failure.kind == ProbeFailureKind::Denied);
    if let Some(failure) = denied {
        draft.note(Notice {
            reason: Reason::CredentialsRefused,
            message: failure.message.clone(),
            field: match component {
                Component::Minio => Some("spec.dependencies.storage.secretRef".to_owned()),
                Component::Broker => Some("spec.dependencies.kafka.secretRef".to_owned()),
                _ => None,
            },
        });
    }
}

/// Nodes that do not answer and hold members.
fn nodes(view: &View<'_>, draft: &mut Draft) {
    let mut away: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for name in view.input.ledger.members.keys() {
        let Some(key) = WorkloadKey::parse(name) else {
            continue;
        };
        let wanted = view
            .workload(key.component)
            .is_some_and(|w| w.keys().contains(&key));
        if wanted && let Some(node) = view.node_down(key) {
            away.entry(node).or_default().insert(name);
        }
    }
    for (node, members) in away {
        let members: Vec<&str> = members.into_iter().collect();
        draft.note(Notice {
            reason: Reason::NodeDown,
            message: format!(
                "node {node} does not answer: {} stay down until it is back",
                members.join(", ")
            ),
            field: None,
        });
    }
}

/// What the cluster as a whole lacks when every part is well.
fn whole(view: &View<'_>, draft: &mut Draft) {
    let component = view.input.desired.endpoint.component;
    if let Some(detail) = readiness::sessions_lacking(view.input.desired, view.input.observed) {
        draft.wait(component, WaitingOn::Answer { component, detail });
    }
    if let Some(detail) = readiness::endpoint_lacking(view.input.desired, view.input.observed) {
        draft.wait(component, WaitingOn::Answer { component, detail });
    }
}

fn workload(view: &View<'_>, object: &WorkloadObject<'_>, draft: &mut Draft) {
    let observed = view.input.observed;
    let key = object.key;
    if view.node_down(key).is_some() {
        return; // said with its node
    }
    let stopping = draft
        .waiting
        .iter()
        .any(|w| matches!(&w.on, WaitingOn::MemberStop { workload } if *workload == key));
    if stopping {
        return;
    }
    let wanted = match object.workload.shape {
        Shape::Job => 1,
        _ => object.workload.owed(match object.outline.replicas {
            Some(replicas) => replicas,
            None => readiness::wanted(object.workload, observed),
        }),
    };
    let running = instances(observed, key)
        .filter(|i| i.wanted && i.state == InstanceState::Running)
        .count();
    let running = u32::try_from(running).unwrap_or(u32::MAX);
    if running < wanted || object.workload.shape == Shape::Job {
        absent(view, object, running, wanted, draft);
        return;
    }
    match readiness::health(object.workload, key, observed) {
        Health::Serving => {}
        Health::NotReady | Health::Down | Health::Unknown => {
            let detail = detail(view, object);
            // It runs now, but has it ended by itself just before?
            let ended = telling(view, key);
            if let Some((cause, ended)) = ended.and_then(|i| Some((cause(object.workload, i)?, i)))
            {
                note(view, object, &cause, ended, draft);
            }
            draft.wait(
                key.component,
                WaitingOn::Answer {
                    component: key.component,
                    detail,
                },
            );
        }
    }
}

fn detail(view: &View<'_>, object: &WorkloadObject<'_>) -> String {
    let own = object.key.ordinal.is_some().then(|| {
        readiness::answer(object.workload, object.key, view.input.observed)
            .err()
            .map(|(_, why)| why)
    });
    match own {
        Some(why) => why.unwrap_or_default(),
        None => view
            .readiness
            .get(&object.key.component)
            .map(|r| r.detail.clone())
            .unwrap_or_default(),
    }
}

/// Fewer processes run than are wanted: the last words of the platform tell why.
fn absent(
    view: &View<'_>,
    object: &WorkloadObject<'_>,
    running: u32,
    wanted: u32,
    draft: &mut Draft,
) {
    let key = object.key;
    let component = key.component;
    for instance in instances(view.input.observed, key) {
        if let Some(overdue) = instance.overdue(view.input.now) {
            draft.note(Notice {
                reason: Reason::NodeDown,
                message: unconfirmed(instance, overdue),
                field: None,
            });
        }
    }
    if let Some((node, why)) = view.node_withheld(key) {
        let message = format!("{key}: its node {node} is {why}: set its availability to active");
        draft.note(Notice {
            reason: Reason::NodeUnavailable,
            message,
            field: None,
        });
        let what = format!("it is {why}; {key} lives there");
        draft.wait(component, WaitingOn::Node { node, what });
        return;
    }
    let telling = telling(view, key);
    let cause = telling.and_then(|i| cause(object.workload, i).map(|c| (c, i)));
    // A port that an earlier process of its own still has comes free by itself.
    let own = |c: &Cause| c.reason == Reason::PortTaken && leaves(view, key);
    let Some((cause, instance)) = cause.filter(|(c, _)| !own(c)) else {
        let detail = instances(view.input.observed, key)
            .find(|i| i.wanted && i.state != InstanceState::Running)
            .map(|i| readiness::state_in_words(i, view.input.observed))
            .or_else(|| leaving(view, object))
            .unwrap_or_default();
        draft.wait(
            component,
            WaitingOn::Instances {
                workload: key,
                running,
                wanted,
                detail,
            },
        );
        return;
    };
    let on = match cause.reason {
        Reason::ImagePullFailed => WaitingOn::Image {
            reference: object.workload.image.reference.clone(),
            detail: cause.message.clone(),
        },
        Reason::Unschedulable | Reason::PortTaken => WaitingOn::Placement {
            workload: key,
            detail: cause.message.clone(),
        },
        _ => WaitingOn::Instances {
            workload: key,
            running,
            wanted,
            detail: readiness::state_in_words(instance, view.input.observed),
        },
    };
    draft.wait(component, on);
    note(view, object, &cause, instance, draft);
}

/// Whether an earlier process of a workload has still to end.
fn leaves(view: &View<'_>, key: WorkloadKey) -> bool {
    instances(view.input.observed, key).any(|i| !i.wanted && i.state.may_run())
}

/// The nodes on which processes of a workload could not be started, or have ended for the same reason.
fn places(view: &View<'_>, key: WorkloadKey, cause: &Cause, workload: &Workload) -> String {
    let observed = view.input.observed;
    let alike = instances(observed, key).filter(|i| {
        let same = self::cause(workload, i);
        same.is_some_and(|c| c.reason == cause.reason && c.message == cause.message)
    });
    let names: BTreeSet<&str> = alike
        .filter_map(|i| observed.topology.node(i.node.as_deref()?))
        .map(|node| node.name.as_str())
        .collect();
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = names.into_iter().collect();
    format!(" on {}", names.join(", "))
}

/// A member that is being deleted and that none follows yet.
fn leaving(view: &View<'_>, object: &WorkloadObject<'_>) -> Option<String> {
    let observed = view.input.observed;
    let mut keys = object.workload.keys().into_iter().filter(|member| {
        let within = object.key.ordinal.is_none() || *member == object.key;
        within && !instances(observed, *member).any(|i| i.wanted)
    });
    keys.find_map(|key| Some(format!("{key} {}", readiness::leaving(key, observed)?)))
}

/// A process whose end its node does not confirm.
pub(super) fn unconfirmed(instance: &Instance, deleting: &Deleting) -> String {
    let node = match &instance.node {
        Some(node) => format!("node {node}"),
        None => "its node".to_owned(),
    };
    format!(
        "{}: {node} has not confirmed the end of {}, which was due at {}: {}",
        instance.workload, instance.id, deleting.due, deleting.help
    )
}

fn note(
    view: &View<'_>,
    object: &WorkloadObject<'_>,
    cause: &Cause,
    ended: &Instance,
    draft: &mut Draft,
) {
    let key = object.key;
    let on = places(view, key, cause, object.workload);
    let mut message = format!("{key}{on}: {}", cause.message);
    if let Some(likely) = emptied::likely(view, object, ended) {
        message.push_str("; ");
        message.push_str(&likely);
    }
    draft.note(Notice {
        reason: cause.reason,
        message,
        field: (!cause.field.is_empty()).then(|| cause.field.clone()),
    });
}

/// The process whose state says why there is none that runs: the wanted one, or the one that ended before it.
fn telling<'a>(view: &View<'a>, key: WorkloadKey) -> Option<&'a Instance> {
    let speaks = |i: &&Instance| match &i.state {
        InstanceState::Pending { reason } => !reason.is_empty(),
        InstanceState::Failed { .. } | InstanceState::Rejected { .. } => true,
        _ => false,
    };
    let of_key: Vec<&Instance> = instances(view.input.observed, key)
        .filter(|i| i.current)
        .collect();
    let wanted = of_key.iter().copied().filter(|i| i.wanted).find(speaks);
    // The newest few only: what failed long ago says nothing about now.
    wanted.or_else(|| of_key.into_iter().take(3).find(speaks))
}

struct Cause {
    reason: Reason,
    message: String,
    field: String,
}

/// What engines, kubelets and schedulers say of an image that they cannot get.
const IMAGE: [&str; 12] = [
    "no such image",
    "pull access denied",
    "manifest unknown",
    "manifest for",
    "repository does not exist",
    "invalid reference format",
    "errimagepull",
    "imagepullbackoff",
    "invalidimagename",
    "errimageneverpull",
    "imageinspecterror",
    "registryunavailable",
];
/// ... of a place for data.
const MOUNT: [&str; 6] = [
    "invalid mount config",
    "source path does not exist",
    "invalid bind mount source",
    "failed to mount local volume",
    "error while mounting volume",
    "failedmount",
];
/// ... of a claim that has no volume, or one where the process cannot be.
const CLAIM: [&str; 4] = [
    "persistentvolumeclaim",
    "persistent volume",
    "volume node affinity conflict",
    "storageclass",
];
/// ... of a port of the node.
const PORT: [&str; 4] = [
    "port already in use",
    "address already in use",
    "port is already allocated",
    "free ports for the requested pod ports",
];
/// ... of too little room, before and after the start.
const ROOM: [&str; 3] = ["insufficient ", "oomkilled", "outof"];

fn cause(workload: &Workload, instance: &Instance) -> Option<Cause> {
    let origin = &workload.origin;
    let (text, pending, rejected) = match &instance.state {
        InstanceState::Pending { reason } => (reason, true, false),
        InstanceState::Rejected { message } => (message, false, true),
        InstanceState::Failed { message } => (message, false, false),
        _ => return None,
    };
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    let (reason, field) = if has(&PORT) {
        (Reason::PortTaken, port_field(workload.component))
    } else if pending {
        let field = if has(&CLAIM) {
            origin.persistence.clone()
        } else if has(&ROOM) {
            origin.resources.clone()
        } else {
            placement_field(workload)
        };
        (Reason::Unschedulable, field)
    } else if has(&IMAGE) {
        (Reason::ImagePullFailed, origin.image.clone())
    } else if has(&MOUNT) {
        (Reason::MountFailed, origin.persistence.clone())
    } else if has(&ROOM) {
        (Reason::InstanceFailed, origin.resources.clone())
    } else if rejected {
        (Reason::InstanceFailed, origin.block.clone())
    } else {
        (Reason::InstanceFailed, String::new())
    };
    let message = match reason {
        Reason::ImagePullFailed => format!("image {}: {text}", workload.image.reference),
        _ => text.clone(),
    };
    Some(Cause {
        reason,
        message,
        field,
    })
}

/// Where the rules about nodes were written.
fn placement_field(workload: &Workload) -> String {
    let placement = &workload.placement;
    let selector = workload.origin.placement.ends_with(".nodeSelector");
    if selector && placement.node_selector.is_empty() && !placement.constraints.is_empty() {
        let name = resource_name(workload.component);
        return format!("spec.swarm.components.{name}.constraints");
    }
    workload.origin.placement.clone()
}

fn port_field(component: Component) -> String {
    if component == Component::Gateway {
        "spec.swarm.gateway.port".to_owned()
    } else {
        String::new()
    }
}
