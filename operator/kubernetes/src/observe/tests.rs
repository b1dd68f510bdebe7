use milvus_core::names::ClusterKey;
use serde_json::json;

use super::*;
use crate::cache::Cache;
use crate::unstructured::Unstructured;

fn put(cache: &Cache, kind: Kind, name: &str, owner: Option<&str>, uses: &str) {
    put_applied(cache, kind, name, owner, uses, owner.is_some());
}

fn put_applied(
    cache: &Cache,
    kind: Kind,
    name: &str,
    owner: Option<&str>,
    uses: &str,
    applied: bool,
) {
    let owners: Vec<_> = owner
        .map(|uid| json!({"apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster", "name": "demo", "uid": uid}))
        .into_iter()
        .collect();
    let object: Unstructured = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "team", "uid": format!("uid-{name}"), "ownerReferences": owners,
            "annotations": applied.then(|| json!({"operator.milvus.io/applied": "hash"})),
            "labels": {"app.kubernetes.io/component": "proxy", "app.kubernetes.io/instance": "demo"}},
        "spec": {"template": {"spec": {"volumes": [{"name": "a", "configMap": {"name": uses}}]}}}
    }))
    .expect("an object");
    cache.put(kind, object);
}

#[test]
fn owners_and_references() {
    let cache = Cache::default();
    put(&cache, Kind::Deployment, "demo-proxy", Some("c2"), "new");
    put(&cache, Kind::ConfigMap, "new", Some("c2"), "");
    put(&cache, Kind::ConfigMap, "old", Some("c1"), "");
    // Neither was ever applied by us, whoever it is given to.
    put(&cache, Kind::ConfigMap, "theirs", None, "");
    put_applied(&cache, Kind::ConfigMap, "let-go", None, "", true);
    let cluster = ClusterRef {
        key: ClusterKey::new("team", "demo"),
        uid: "c2".to_owned(),
        generation: 1,
    };
    let observed = cache.with(&cluster.key, |known| {
        observe(&cluster, None, known, Timestamp::UNIX_EPOCH)
    });
    let of = |kind: Kind, name: &str| {
        let object = &observed.objects[&ObjectId::new(kind.name(), name)];
        (object.owner.clone(), object.in_use)
    };
    assert_eq!(of(Kind::ConfigMap, "new"), (Owner::Ours, true));
    let uid = "c1".to_owned();
    assert_eq!(
        of(Kind::ConfigMap, "old"),
        (Owner::Predecessor { uid }, false)
    );
    assert_eq!(of(Kind::ConfigMap, "let-go"), (Owner::Released, false));
    let theirs = ObjectId::new(Kind::ConfigMap.name(), "theirs");
    assert!(!observed.objects.contains_key(&theirs));
    let workload = &observed.objects[&ObjectId::new("Deployment", "demo-proxy")];
    assert_eq!(
        workload.workload,
        Some(WorkloadKey::shared(
            milvus_core::component::Component::Proxy
        ))
    );
}

/// Of a StatefulSet whose pods are refused there are only events; a Job that has ended needs no pods to be believed.
#[test]
fn without_pods_the_object_speaks() {
    let cache = Cache::default();
    let cluster = ClusterRef {
        key: ClusterKey::new("team", "demo"),
        uid: "c1".to_owned(),
        generation: 1,
    };
    let made: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let add = |kind: Kind, name: &str, component: &str, status: serde_json::Value| {
        let owner = json!({"apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster", "name": "demo", "uid": "c1"});
        let object = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "team", "uid": name, "ownerReferences": [owner],
                "creationTimestamp": made.to_string(), "annotations": {"operator.milvus.io/applied": "hash"},
                "labels": {"app.kubernetes.io/component": component, "app.kubernetes.io/instance": "demo"}},
            "spec": {},
            "status": status,
        }));
        cache.put(kind, object.expect("an object"));
    };
    add(Kind::StatefulSet, "demo-etcd", "etcd", json!({}));
    let complete =
        json!({"type": "Complete", "status": "True", "lastTransitionTime": made.to_string()});
    let ended = json!({"conditions": [complete]});
    add(Kind::Job, "demo-pulsar-init", "pulsar-init", ended);
    let look = |seconds: i64| {
        let at = made + SignedDuration::from_secs(seconds);
        cache.with(&cluster.key, |known| observe(&cluster, None, known, at))
    };
    let told = |observed: &Observed, kind: Kind, name: &str| {
        let id = ObjectId::new(kind.name(), name);
        observed.objects[&id].update_stalled.clone()
    };
    assert_eq!(told(&look(9), Kind::StatefulSet, "demo-etcd"), None);
    let late = look(10);
    let words = told(&late, Kind::StatefulSet, "demo-etcd").expect("told");
    assert!(
        words.contains("kubectl -n team describe statefulset demo-etcd"),
        "{words}"
    );
    assert_eq!(told(&late, Kind::Job, "demo-pulsar-init"), None);
    let job = &late.instances[0];
    assert_eq!(
        (job.id.as_str(), &job.state, job.current),
        ("demo-pulsar-init", &InstanceState::Complete, true)
    );
    // The work of an earlier resource's Job is none of this one's.
    let next = ClusterRef {
        uid: "c2".to_owned(),
        ..cluster.clone()
    };
    let later = cache.with(&next.key, |known| observe(&next, None, known, made));
    assert_eq!(later.instances, []);
}

/// A claim and its pod are made together and reach the scheduler by two watches: that it has not heard of the claim yet is no
/// reason to give.
#[test]
fn a_claim_that_is_just_made_is_not_missing() {
    let cache = Cache::default();
    let made: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let words =
        "0/2 nodes are available: persistentvolumeclaim \"data-demo-minio-0\" not found. not found";
    let cluster = ClusterRef {
        key: ClusterKey::new("team", "demo"),
        uid: "c1".to_owned(),
        generation: 1,
    };
    put(&cache, Kind::ConfigMap, "any", Some("c1"), "");
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "demo-minio-0", "namespace": "team", "uid": "pod", "creationTimestamp": made.to_string(),
            "labels": {"app.kubernetes.io/component": "minio", "app.kubernetes.io/instance": "demo",
                "operator.milvus.io/revision": "r1"}},
        "spec": {"containers": [{"name": "minio", "image": "minio"}]},
        "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": words}]},
    }));
    cache.put_pod(pod.expect("a pod"));
    let reason = |seconds: i64| {
        let at = made + SignedDuration::from_secs(seconds);
        let observed = cache.with(&cluster.key, |known| observe(&cluster, None, known, at));
        observed.instances[0].state.clone()
    };
    let pending = |reason: &str| InstanceState::Pending {
        reason: reason.to_owned(),
    };
    assert_eq!(reason(9), pending(""));
    assert_eq!(reason(10), pending(words));
}

fn cluster() -> ClusterRef {
    ClusterRef {
        key: ClusterKey::new("team", "demo"),
        uid: "c1".to_owned(),
        generation: 1,
    }
}

fn workload(cache: &Cache, kind: Kind, component: &str, replicas: u32) {
    let owner = json!({"apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster", "name": "demo", "uid": "c1"});
    let object = json!({
        "metadata": {"name": format!("demo-{component}"), "namespace": "team", "uid": component, "ownerReferences": [owner],
            "annotations": {"operator.milvus.io/applied": "hash", "operator.milvus.io/revision": "r1"},
            "labels": {"app.kubernetes.io/component": component, "app.kubernetes.io/instance": "demo"}},
        "spec": {"replicas": replicas},
    });
    cache.put(kind, serde_json::from_value(object).expect("an object"));
}

/// A pod, made in this minute; `more` goes into its metadata.
fn pod(
    cache: &Cache,
    component: &str,
    name: &str,
    minute: u8,
    phase: &str,
    more: serde_json::Value,
) {
    let status = match phase {
        "Running" => {
            json!({"phase": phase, "containerStatuses": [{"name": component, "started": true, "state": {"running": {}}}]})
        }
        "Failed" => {
            json!({"phase": phase, "reason": "Evicted", "message": "The node was low on resource: memory."})
        }
        _ => json!({"phase": phase}),
    };
    let mut object = json!({
        "metadata": {"name": name, "namespace": "team", "uid": name, "creationTimestamp": format!("2026-01-01T00:{minute:02}:00Z"),
            "labels": {"app.kubernetes.io/component": component, "app.kubernetes.io/instance": "demo",
                "operator.milvus.io/revision": "r1"}},
        "spec": {"nodeName": "worker-2", "volumes": [{"name": "a", "configMap": {"name": "settings"}}],
            "containers": [{"name": component, "image": "i"}]},
        "status": status,
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        match (field.as_str(), value) {
            ("labels", value) => {
                for (label, value) in value.as_object().into_iter().flatten() {
                    object["metadata"]["labels"][label] = value.clone();
                }
            }
            _ => object["metadata"][field] = value.clone(),
        }
    }
    cache.put_pod(serde_json::from_value(object).expect("a pod"));
}

fn look(cache: &Cache, at: &str) -> Observed {
    let cluster = cluster();
    let at = at.parse().expect("a time");
    cache.with(&cluster.key, |known| observe(&cluster, None, known, at))
}

const LATER: &str = "2026-01-01T01:00:00Z";

fn wanted(cache: &Cache) -> Vec<String> {
    let observed = look(cache, LATER);
    let wanted = observed.instances.into_iter().filter(|i| i.wanted);
    wanted.map(|i| i.id).collect()
}

#[test]
fn a_pod_that_has_ended_and_was_replaced_does_not_count() {
    let cache = Cache::default();
    workload(&cache, Kind::Deployment, "proxy", 2);
    pod(&cache, "proxy", "evicted-1", 0, "Failed", json!({}));
    pod(&cache, "proxy", "evicted-2", 1, "Failed", json!({}));
    pod(&cache, "proxy", "done", 2, "Succeeded", json!({}));
    pod(&cache, "proxy", "a", 3, "Running", json!({}));
    // A quota keeps the second one from being made: the last that ended stands for it.
    assert_eq!(wanted(&cache), ["a", "done"]);
    pod(&cache, "proxy", "b", 4, "Pending", json!({}));
    assert_eq!(wanted(&cache), ["b", "a"]);
    let state = |id: &str| {
        let observed = look(&cache, LATER);
        let found = observed.instances.into_iter().find(|i| i.id == id);
        found.map(|i| i.state)
    };
    assert!(
        matches!(state("evicted-1"), Some(InstanceState::Failed { message }) if message.contains("low on resource"))
    );
}

#[test]
fn a_pod_that_has_ended_and_was_not_replaced_counts() {
    let cache = Cache::default();
    workload(&cache, Kind::Deployment, "proxy", 2);
    pod(&cache, "proxy", "evicted-1", 0, "Failed", json!({}));
    pod(&cache, "proxy", "evicted-2", 1, "Failed", json!({}));
    assert_eq!(wanted(&cache), ["evicted-2", "evicted-1"]);
    // One that is on its way out does not count.
    pod(
        &cache,
        "proxy",
        "a",
        2,
        "Running",
        json!({"deletionTimestamp": "2026-01-01T00:50:00Z"}),
    );
    assert_eq!(wanted(&cache), ["evicted-2", "evicted-1"]);
    // A member is made again under its own name.
    workload(&cache, Kind::StatefulSet, "etcd", 3);
    let index = |i: u8| json!({"labels": {"apps.kubernetes.io/pod-index": i.to_string()}});
    pod(&cache, "etcd", "etcd-0", 0, "Running", index(0));
    pod(&cache, "etcd", "etcd-1", 0, "Failed", index(1));
    assert!(wanted(&cache).contains(&"etcd-1".to_owned()));
}

#[test]
fn a_pod_that_does_not_end_is_told_with_its_node() {
    let cache = Cache::default();
    workload(&cache, Kind::Deployment, "proxy", 1);
    put_applied(&cache, Kind::ConfigMap, "settings", Some("c1"), "", true);
    let going =
        json!({"deletionTimestamp": "2026-01-01T00:10:30Z", "deletionGracePeriodSeconds": 30});
    pod(&cache, "proxy", "a", 0, "Running", going);
    let used =
        |observed: &Observed| observed.objects[&ObjectId::new("ConfigMap", "settings")].in_use;
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let early = look(&cache, "2026-01-01T00:10:45Z");
    let pod = &early.instances[0];
    let deleting = pod.deleting.as_ref().expect("being deleted");
    assert_eq!(deleting.since, at("2026-01-01T00:10:00Z"));
    assert_eq!(deleting.due, at("2026-01-01T00:10:30Z"));
    assert!(!pod.wanted && pod.overdue(early.at).is_none() && used(&early));
    let late = look(&cache, "2026-01-01T00:11:00Z");
    let pod = &late.instances[0];
    let overdue = pod.overdue(late.at).expect("overdue");
    assert!(overdue.help.contains(
        "kubectl taint node worker-2 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
    ));
    assert!(
        overdue
            .help
            .contains("kubectl -n team delete pod a --force")
    );
    // It starts nothing any more, so that what it refers to can go.
    assert!(!used(&late));
}
