//! From objects and pods as the API server tells them to what is kept of them. Pure.

use std::collections::BTreeSet;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use milvus_core::component::Component;
use milvus_core::names::ClusterKey;
use milvus_core::observed::InstanceState;
use serde_json::Value;

use super::{Object, Pod, State};
use crate::unstructured::Unstructured;
use crate::{Kind, labels};

/// Annotations that controllers of Kubernetes itself keep on our objects.
const CONTROLLERS: [&str; 1] = ["deployment.kubernetes.io/revision"];

/// Versions can be compared as numbers in every API server there is; where one cannot be read, the later event counts.
pub(super) fn older(new: Option<u64>, old: Option<u64>) -> bool {
    matches!((new, old), (Some(new), Some(old)) if new < old)
}

/// The version of an object, as a number.
pub(crate) fn version(object: &Unstructured) -> Option<u64> {
    object.metadata.resource_version.as_deref()?.parse().ok()
}

/// The resource that an object belongs to: its owner, else what its label says.
pub(crate) fn cluster_of(object: &Unstructured) -> Option<ClusterKey> {
    let namespace = object.metadata.namespace.as_deref()?;
    let owner = object
        .metadata
        .owner_references
        .iter()
        .flatten()
        .find(|o| is_ours(o));
    let name = match owner {
        Some(owner) => owner.name.as_str(),
        None => object.metadata.labels.as_ref()?.get(labels::INSTANCE)?,
    };
    Some(ClusterKey::new(namespace, name))
}

fn is_ours(owner: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference) -> bool {
    owner.kind == "MilvusCluster" && owner.api_version.starts_with("operator.milvus.io/")
}

/// uid of the resource that owns an object, as its owner reference says.
pub(crate) fn owner_uid(object: &Unstructured) -> Option<String> {
    let owners = object.metadata.owner_references.iter().flatten();
    owners.filter(|o| is_ours(o)).map(|o| o.uid.clone()).next()
}

/// Whether an object carries the mark of what was applied last: it was made by an operator, whatever was taken off it since.
pub(crate) fn marked(object: &Unstructured) -> bool {
    let annotations = object.metadata.annotations.as_ref();
    annotations.is_some_and(|a| a.contains_key(labels::APPLIED))
}

pub(super) fn read_object(kind: Kind, mut object: Unstructured) -> Option<Object> {
    let version = version(&object);
    let owner = owner_uid(&object);
    let metadata = &mut object.metadata;
    let name = metadata.name.clone()?;
    let annotation = |key: &str| {
        metadata
            .annotations
            .as_ref()
            .and_then(|a| a.get(key).cloned())
    };
    let (revision, applied) = (annotation(labels::REVISION), annotation(labels::APPLIED));
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| !CONTROLLERS.contains(&key.as_str()));
    }
    let component = metadata
        .labels
        .as_ref()
        .and_then(|l| l.get(labels::COMPONENT))
        .and_then(|name| Component::from_name(name));
    let status = object
        .data
        .get_mut("status")
        .map(Value::take)
        .unwrap_or_default();
    if let Some(data) = object.data.as_object_mut() {
        data.remove("status");
    }
    let mut state = state(kind, metadata.generation, &object.data, &status);
    state.created = metadata.creation_timestamp.as_ref().map(|t| t.0);
    if kind == Kind::Deployment && state.paused(&object.data) {
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        state.stalled = Some(format!(
            "its rollout is paused; `kubectl -n {namespace} rollout resume deployment {name}` lets it go on"
        ));
    }
    let uses = uses(kind, &object.data);
    let body = serde_json::json!({
        "labels": metadata.labels, "annotations": metadata.annotations, "ownerReferences": metadata.owner_references,
        "name": name, "namespace": metadata.namespace,
    });
    let Value::Object(mut whole) = object.data else {
        return None;
    };
    whole.insert("metadata".to_owned(), body);
    whole.insert("kind".to_owned(), Value::from(kind.name()));
    whole.insert("apiVersion".to_owned(), Value::from(kind.api_version()));
    let read = Object {
        uid: metadata.uid.clone()?,
        version,
        content: version,
        heard: Instant::now(),
        owner,
        component,
        deleting: metadata.deletion_timestamp.is_some(),
        revision,
        applied,
        body: serde_json::to_vec(&whole).ok()?.into_boxed_slice(),
        state,
        uses,
        judged: None,
        kept: None,
    };
    Some(read)
}

fn number(value: &Value, pointer: &str) -> Option<u32> {
    value.pointer(pointer)?.as_u64()?.try_into().ok()
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// The first condition of a status that is as asked for.
fn condition_of(status: &Value, is: impl Fn(&Value) -> bool) -> Option<&Value> {
    let all = status.get("conditions").and_then(Value::as_array);
    all.into_iter().flatten().find(|c| is(c))
}

/// A condition that holds.
fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    condition_of(status, |c| {
        text(c, "/type") == Some(kind) && text(c, "/status") == Some("True")
    })
}

fn message(condition: &Value) -> String {
    text(condition, "/message").unwrap_or("").to_owned()
}

impl State {
    /// Whether somebody keeps a change from reaching the pods of a Deployment.
    fn paused(&self, data: &Value) -> bool {
        let paused = data.pointer("/spec/paused").and_then(Value::as_bool);
        self.updating && paused == Some(true)
    }
}

fn state(kind: Kind, generation: Option<i64>, data: &Value, status: &Value) -> State {
    let mut state = State::default();
    match kind {
        Kind::Deployment | Kind::StatefulSet => {
            let wanted = number(data, "/spec/replicas").unwrap_or(1);
            state.replicas = Some(wanted);
            let seen = status.get("observedGeneration").and_then(Value::as_i64);
            let updated = number(status, "/updatedReplicas").unwrap_or(0);
            let there = number(status, "/replicas").unwrap_or(0);
            // Revisions of a StatefulSet meet once the last pod is new; before the first pod there is nothing to update.
            let revisions = kind == Kind::StatefulSet
                && there > 0
                && text(status, "/currentRevision") != text(status, "/updateRevision");
            state.updating = seen < generation
                || revisions
                || (kind == Kind::Deployment && (updated < wanted || there > updated));
            // What keeps its pods from being made says more than that none came.
            let refused = condition(status, "ReplicaFailure").map(message);
            let late = condition_of(status, |c| {
                text(c, "/reason") == Some("ProgressDeadlineExceeded")
            });
            state.stalled = refused.or_else(|| late.map(message));
        }
        Kind::Job => {
            let since = |c: &Value| text(c, "/lastTransitionTime").and_then(|t| t.parse().ok());
            let failed = condition(status, "Failed");
            state.ended = match condition(status, "Complete") {
                Some(c) => Some((InstanceState::Complete, since(c))),
                None => failed.map(|c| {
                    let message = format!("the Job has failed: {}", message(c));
                    (InstanceState::Failed { message }, since(c))
                }),
            };
        }
        Kind::Service => {
            state.cluster_ip = text(data, "/spec/clusterIP").and_then(|ip| ip.parse().ok());
            state.node_port =
                number(data, "/spec/ports/0/nodePort").and_then(|p| p.try_into().ok());
            let ingress = status
                .pointer("/loadBalancer/ingress")
                .and_then(Value::as_array);
            state.ingress = ingress
                .into_iter()
                .flatten()
                .filter_map(|i| text(i, "/ip").or_else(|| text(i, "/hostname")))
                .map(str::to_owned)
                .collect();
        }
        Kind::ServiceAccount
        | Kind::ConfigMap
        | Kind::Secret
        | Kind::PodDisruptionBudget
        | Kind::Ingress
        | Kind::PodMonitor => {}
    }
    state
}

/// What a workload or a pod refers to.
fn uses(kind: Kind, data: &Value) -> BTreeSet<(Kind, String)> {
    let pod = match kind {
        Kind::Deployment | Kind::StatefulSet | Kind::Job => data.pointer("/spec/template/spec"),
        _ => None,
    };
    let mut found = pod.map(pod_uses).unwrap_or_default();
    if let Some(service) = text(data, "/spec/serviceName") {
        found.insert((Kind::Service, service.to_owned()));
    }
    found
}

fn pod_uses(spec: &Value) -> BTreeSet<(Kind, String)> {
    let mut found = BTreeSet::new();
    let mut add = |kind, name: Option<&str>| {
        if let Some(name) = name {
            found.insert((kind, name.to_owned()));
        }
    };
    add(Kind::ServiceAccount, text(spec, "/serviceAccountName"));
    for volume in spec
        .get("volumes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        add(Kind::ConfigMap, text(volume, "/configMap/name"));
        add(Kind::Secret, text(volume, "/secret/secretName"));
        let sources = volume
            .pointer("/projected/sources")
            .and_then(Value::as_array);
        for source in sources.into_iter().flatten() {
            add(Kind::ConfigMap, text(source, "/configMap/name"));
            add(Kind::Secret, text(source, "/secret/name"));
        }
    }
    found
}

/// A pod of ours: every template has a revision. Other operators label theirs alike otherwise.
pub(super) fn read_pod(pod: &Unstructured) -> Option<Pod> {
    let metadata = &pod.metadata;
    let labels = metadata.labels.as_ref()?;
    let revision = labels.get(labels::REVISION)?.clone();
    let component = Component::from_name(labels.get(labels::COMPONENT)?)?;
    let spec = pod.data.get("spec").unwrap_or(&Value::Null);
    let status = pod.data.get("status").unwrap_or(&Value::Null);
    let running = container(status, "containerStatuses", component);
    let condition = |kind: &str| {
        let all = status.get("conditions").and_then(Value::as_array);
        all.into_iter()
            .flatten()
            .find(|c| c.get("type").is_some_and(|t| t == kind))
    };
    let ready = condition("Ready").is_some_and(|c| c.get("status").is_some_and(|s| s == "True"));
    let scheduled = condition("PodScheduled");
    let since = text(running, "/state/running/startedAt")
        .or_else(|| text(running, "/state/terminated/finishedAt"))
        .or_else(|| text(status, "/startTime"));
    let read = Pod {
        uid: metadata.uid.clone()?,
        version: version(pod),
        heard: Instant::now(),
        component,
        ordinal: labels
            .get("apps.kubernetes.io/pod-index")
            .and_then(|i| i.parse().ok()),
        node: text(spec, "/nodeName").map(str::to_owned),
        host: text(status, "/hostIP").and_then(|ip| ip.parse().ok()),
        address: text(status, "/podIP").and_then(|ip| ip.parse().ok()),
        state: pod_state(status, running, scheduled),
        ready,
        finished: matches!(text(status, "/phase"), Some("Failed" | "Succeeded")),
        deleting: metadata.deletion_timestamp.is_some(),
        grace: grace(metadata),
        revision,
        since: since.and_then(|t| t.parse().ok()),
        created: metadata.creation_timestamp.as_ref().map(|t| t.0),
        image: text(container(spec, "containers", component), "/image")
            .unwrap_or("")
            .to_owned(),
        claims: spec
            .get("volumes")
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|v| v.get("persistentVolumeClaim").is_some())),
        uses: pod_uses(spec),
    };
    Some(read)
}

/// When the deletion of an object was asked for, and when its grace is over: the API server writes down the latter.
fn grace(metadata: &ObjectMeta) -> Option<(Timestamp, Timestamp)> {
    let due = metadata.deletion_timestamp.as_ref()?.0;
    let seconds = metadata.deletion_grace_period_seconds.unwrap_or(0);
    let since = due.checked_sub(SignedDuration::from_secs(seconds));
    Some((since.unwrap_or(due), due))
}

/// The component's own container in a list of them; the first one where none has its name.
fn container<'a>(of: &'a Value, key: &str, component: Component) -> &'a Value {
    let all = of.get(key).and_then(Value::as_array);
    let mut all = all.into_iter().flatten();
    let first = all.clone().next();
    let own = all.find(|c| c.get("name").is_some_and(|n| n == component.name()));
    own.or(first).unwrap_or(&Value::Null)
}

/// What a pod is doing, in the words of its kubelet.
pub(super) fn pod_state(
    status: &Value,
    container: &Value,
    scheduled: Option<&Value>,
) -> InstanceState {
    let said = |what: &Value| {
        let reason = text(what, "/reason").unwrap_or("");
        match text(what, "/message") {
            Some(message) if !message.is_empty() => format!("{reason}: {message}"),
            _ => reason.to_owned(),
        }
    };
    let ended = |what: &Value| {
        let code = what.get("exitCode").and_then(Value::as_i64).unwrap_or(-1);
        format!("exit code {code} ({})", said(what))
    };
    match text(status, "/phase").unwrap_or("Pending") {
        "Succeeded" => return InstanceState::Complete,
        "Failed" => {
            let message = match container.pointer("/state/terminated") {
                Some(terminated) => ended(terminated),
                None => said(status),
            };
            return InstanceState::Failed { message };
        }
        _ => {}
    }
    if let Some(refused) = scheduled.filter(|c| c.get("status").is_some_and(|s| s == "False")) {
        let reason = text(refused, "/message").unwrap_or("").to_owned();
        return InstanceState::Pending { reason };
    }
    if container.pointer("/state/running").is_some() {
        let started = container
            .get("started")
            .and_then(Value::as_bool)
            .unwrap_or(true);
        return if started {
            InstanceState::Running
        } else {
            InstanceState::Starting
        };
    }
    if let Some(terminated) = container.pointer("/state/terminated") {
        if terminated.get("exitCode").is_some_and(|code| code == 0) {
            return InstanceState::Complete;
        }
        let message = ended(terminated);
        return InstanceState::Failed { message };
    }
    match container.pointer("/state/waiting") {
        Some(waiting) => match text(waiting, "/reason").unwrap_or("") {
            "" | "ContainerCreating" | "PodInitializing" => InstanceState::Preparing,
            "CrashLoopBackOff" => InstanceState::Failed {
                message: container
                    .pointer("/lastState/terminated")
                    .map_or_else(|| said(waiting), ended),
            },
            _ => InstanceState::Rejected {
                message: said(waiting),
            },
        },
        None => InstanceState::Preparing,
    }
}

#[cfg(test)]
mod tests;
