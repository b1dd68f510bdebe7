//! From what is known of a cluster to what the planner looks at. Pure but for the differences that it notes in the cache.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::names::ClusterRef;
use milvus_core::observed::{
    Deleting, Instance, InstanceState, Observed, ObservedObject, Owner, SeenVersion, Topology,
};
use milvus_core::outline::{ObjectClass, ObjectId, Revision};
use milvus_platform::Rendered;

use crate::cache::{Known, Object, Pod, State};
use crate::render::Native;
use crate::{Kind, drift};

/// Everything of a cluster as it is now.
pub(crate) fn observe(
    cluster: &ClusterRef,
    rendered: Option<&Rendered<Native>>,
    known: &mut Known,
    at: Timestamp,
) -> Observed {
    let used = used(cluster, known, at);
    let with_pods: BTreeSet<Component> = known.pods.values().map(|p| p.component).collect();
    let mut objects = BTreeMap::new();
    for ((kind, name), object) in &mut known.objects {
        let id = ObjectId::new(kind.name(), name.as_str());
        let wanted = rendered.is_some_and(|r| r.outline.contains_key(&id));
        // What is on its way out needs no second farewell; but where one of that name is wanted, it has to wait.
        if object.deleting && !wanted {
            continue;
        }
        // Somebody may give the resource an object of his own to take with it; only what we applied is ours to remove.
        if object.applied.is_none() && !wanted {
            continue;
        }
        let in_use = used.contains(&(*kind, name.clone()));
        let mut seen = look(cluster, *kind, &id, object, rendered, in_use);
        if object.component.is_some_and(|c| !with_pods.contains(&c)) {
            let refused = || without_pods(cluster, &id, *kind, object, at);
            seen.update_stalled = seen.update_stalled.or_else(refused);
        }
        objects.insert(id, seen);
    }
    for id in known.foreign.keys() {
        objects.entry(id.clone()).or_insert_with(|| in_the_way(id));
    }
    Observed {
        at,
        instances: instances(cluster, known, at),
        objects,
        topology: Topology::default(),
        probes: BTreeMap::new(),
    }
}

/// How long a controller may take to make the first pod.
const FIRST_POD: SignedDuration = SignedDuration::from_secs(10);

/// What to do about a workload of which there is no pod. Why they are refused says only a Deployment itself; of the others
/// there are events.
fn without_pods(
    cluster: &ClusterRef,
    id: &ObjectId,
    kind: Kind,
    object: &Object,
    at: Timestamp,
) -> Option<String> {
    let State {
        replicas,
        created,
        ended,
        ..
    } = &object.state;
    let word = match kind {
        Kind::StatefulSet => "statefulset",
        Kind::Job => "job",
        _ => return None,
    };
    let due = *replicas != Some(0) && ended.is_none() && !object.deleting;
    let late = created.is_some_and(|created| at.duration_since(created) >= FIRST_POD);
    (due && late).then(|| {
        let namespace = &cluster.key.namespace;
        format!(
            "no pod of it was made; `kubectl -n {namespace} describe {word} {}` says why",
            id.name
        )
    })
}

/// Everything that a workload or a pod that may still run refers to. A pod whose end its node does not confirm starts nothing any
/// more, and would hold what it refers to until its node is back.
fn used(cluster: &ClusterRef, known: &Known, at: Timestamp) -> BTreeSet<(Kind, String)> {
    let workloads = known.objects.values().flat_map(|o| &o.uses);
    let pods = known.pods.iter().filter(|(name, pod)| {
        let look = Look {
            cluster,
            wanted: false,
            at,
        };
        pod.state.may_run() && instance(known, name, pod, look).overdue(at).is_none()
    });
    let pods = pods.map(|(_, pod)| pod);
    workloads
        .chain(pods.flat_map(|p| &p.uses))
        .cloned()
        .collect()
}

const fn class(kind: Kind) -> ObjectClass {
    match kind {
        Kind::ServiceAccount | Kind::ConfigMap | Kind::Secret | Kind::Service => {
            ObjectClass::Prerequisite
        }
        Kind::Deployment | Kind::StatefulSet | Kind::Job => ObjectClass::Workload,
        Kind::PodDisruptionBudget | Kind::Ingress | Kind::PodMonitor => ObjectClass::Ancillary,
    }
}

fn look(
    cluster: &ClusterRef,
    kind: Kind,
    id: &ObjectId,
    object: &mut Object,
    rendered: Option<&Rendered<Native>>,
    in_use: bool,
) -> ObservedObject {
    let owner = match &object.owner {
        Some(uid) if *uid == cluster.uid => Owner::Ours,
        Some(uid) => Owner::Predecessor { uid: uid.clone() },
        // Somebody took the owner off; the mark of what was applied is still there. Of a resource that goes it was taken off
        // for the object to stay.
        None if object.applied.is_some() && rendered.is_some() => Owner::Ours,
        None if object.applied.is_some() => Owner::Released,
        None => Owner::Foreign,
    };
    let native = rendered
        .and_then(|r| Some((r.native.get(id)?, r.outline.get(id)?)))
        .filter(|_| owner == Owner::Ours && !object.deleting);
    let kept = object
        .kept
        .as_ref()
        .filter(|kept| native.is_some_and(|(native, _)| native.hash == kept.hash))
        .map(|kept| {
            let mut fields = kept.fields.clone();
            drift::shorten(&mut fields);
            fields
        });
    let difference = native
        // Where it does not stay, it is not written again.
        .filter(|_| kept.is_none())
        .and_then(|(native, outline)| {
            let judged = object
                .judged
                .take()
                .filter(|(hash, _)| *hash == native.hash);
            let (hash, difference) = judged.unwrap_or_else(|| {
                (
                    native.hash.clone(),
                    drift::difference(native, outline, object),
                )
            });
            object.judged = Some((hash, difference.clone()));
            difference
        });
    ObservedObject {
        native_id: object.uid.clone(),
        version: object.content.map(SeenVersion),
        owner,
        class: class(kind),
        workload: (class(kind) == ObjectClass::Workload)
            .then_some(object.component)
            .flatten()
            .map(WorkloadKey::shared),
        revision: object.revision.clone().map(Revision),
        difference,
        kept: kept.unwrap_or_default(),
        replicas: object.state.replicas,
        in_use,
        updating: object.state.updating,
        update_stalled: object.state.stalled.clone(),
    }
}

/// An object of somebody else, of which no more is known than that it is there.
fn in_the_way(id: &ObjectId) -> ObservedObject {
    ObservedObject {
        native_id: String::new(),
        version: None,
        owner: Owner::Foreign,
        class: Kind::from_name(id.kind).map_or(ObjectClass::Ancillary, class),
        workload: None,
        revision: None,
        difference: None,
        kept: Vec::new(),
        replicas: None,
        in_use: false,
        updating: false,
        update_stalled: None,
    }
}

fn instances(cluster: &ClusterRef, known: &Known, at: Timestamp) -> Vec<Instance> {
    let mut pods: Vec<(&String, &Pod)> = known.pods.iter().collect();
    pods.sort_by(|(a_name, a), (b_name, b)| {
        (a.component, a.ordinal, b.created, b_name).cmp(&(
            b.component,
            b.ordinal,
            a.created,
            a_name,
        ))
    });
    let ended = known
        .objects
        .iter()
        .filter(|(_, o)| o.owner.as_ref() == Some(&cluster.uid) && !o.deleting)
        .filter_map(|((_, name), o)| end(name, o));
    let mut vacant = vacant(cluster, known);
    let pods = pods.into_iter().map(|(name, pod)| {
        let wanted = !pod.deleting && (!pod.finished || counts(pod, &mut vacant));
        instance(
            known,
            name,
            pod,
            Look {
                cluster,
                wanted,
                at,
            },
        )
    });
    ended.chain(pods).collect()
}

/// How many pods each controller has yet to make. Where it is none, a pod that has ended was replaced: it stays in the API for its
/// logs (evicted, refused by a kubelet, ended by a shutdown of its node), and nothing becomes of it.
fn vacant(cluster: &ClusterRef, known: &Known) -> BTreeMap<Component, u32> {
    let ours = |o: &&Object| o.owner.as_ref() == Some(&cluster.uid) && !o.deleting;
    let mut vacant = BTreeMap::new();
    for ((kind, _), object) in &known.objects {
        let (Some(component), true) = (object.component, ours(&object)) else {
            continue;
        };
        match kind {
            Kind::Deployment => {
                let replicas = object.state.replicas.unwrap_or(1);
                vacant.insert(component, replicas);
            }
            Kind::Job => {
                vacant.insert(component, 1);
            }
            _ => {}
        }
    }
    for pod in known.pods.values() {
        if !pod.finished
            && !pod.deleting
            && let Some(left) = vacant.get_mut(&pod.component)
        {
            *left = left.saturating_sub(1);
        }
    }
    vacant
}

/// Whether a pod that has ended stands for one that its controller has yet to make. The newest come first.
fn counts(pod: &Pod, vacant: &mut BTreeMap<Component, u32>) -> bool {
    // A pod with an index of its own is made again under the same name: as long as it is there, it was not replaced.
    if pod.ordinal.is_some() {
        return true;
    }
    let Some(left) = vacant.get_mut(&pod.component) else {
        return true;
    };
    let counts = *left > 0;
    *left = left.saturating_sub(1);
    counts
}

/// What frees a pod whose node does not come back.
fn help(cluster: &ClusterRef, name: &str, pod: &Pod) -> String {
    let namespace = &cluster.key.namespace;
    let force = format!("`kubectl -n {namespace} delete pod {name} --force`");
    match &pod.node {
        Some(node) => format!(
            "if the node is shut down for good, `kubectl taint node {node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute` \
             frees its pods and volumes; if only this process is known to have ended, {force} does"
        ),
        None => format!("{force} removes it"),
    }
}

/// A Job of this resource that has ended, as a process under its own name: its pods may be gone with their nodes, or by its own hand. What a
/// Job runs cannot be changed, so it was the present spec.
fn end(name: &str, object: &Object) -> Option<Instance> {
    let (state, since) = object.state.ended.clone()?;
    Some(Instance {
        workload: WorkloadKey::shared(object.component?),
        id: name.to_owned(),
        slot: None,
        node: None,
        wanted: false,
        state,
        ready: None,
        address: None,
        since,
        image: String::new(),
        current: true,
        deleting: None,
    })
}

/// How long the scheduler may know a pod before its claim: the StatefulSet's controller makes both, and each comes by a watch
/// of its own.
const CLAIM_LAG: SignedDuration = SignedDuration::from_secs(10);

/// What a pod is doing, without what the scheduler says of a claim that it has not heard of yet.
fn state(pod: &Pod, at: Timestamp) -> InstanceState {
    let early = pod
        .created
        .is_some_and(|created| at.duration_since(created) < CLAIM_LAG);
    match &pod.state {
        InstanceState::Pending { reason }
            if early
                && reason.contains("persistentvolumeclaim")
                && reason.contains("not found") =>
        {
            InstanceState::Pending {
                reason: String::new(),
            }
        }
        state => state.clone(),
    }
}

/// From where a pod is looked at, and what is known of it from the others.
#[derive(Clone, Copy)]
struct Look<'a> {
    cluster: &'a ClusterRef,
    wanted: bool,
    at: Timestamp,
}

fn instance(known: &Known, name: &str, pod: &Pod, look: Look<'_>) -> Instance {
    let Look {
        cluster,
        wanted,
        at,
    } = look;
    let shared = WorkloadKey::shared(pod.component);
    // Members are told apart by the planner where they have data of their own; interchangeable pods have an index too.
    let key = match pod.ordinal {
        Some(ordinal) if pod.claims => WorkloadKey::member(pod.component, ordinal),
        _ => shared,
    };
    let revision = known
        .objects
        .values()
        .filter(|o| o.component == Some(pod.component))
        .find_map(|o| o.revision.as_ref());
    Instance {
        workload: key,
        id: name.to_owned(),
        slot: pod.ordinal.map(u64::from),
        node: pod.node.clone(),
        wanted,
        state: if pod.deleting && !pod.state.may_run() {
            InstanceState::Shutdown
        } else {
            state(pod, at)
        },
        ready: Some(pod.ready),
        address: pod.address,
        since: pod.since,
        image: pod.image.clone(),
        current: revision == Some(&pod.revision),
        deleting: pod.grace.map(|(since, due)| Deleting {
            since,
            due,
            help: help(cluster, name, pod),
        }),
    }
}

#[cfg(test)]
mod tests;
