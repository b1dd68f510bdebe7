use serde_json::json;

use serde_json::Value;

use super::read::pod_state;
use super::*;

fn object(value: Value) -> Unstructured {
    serde_json::from_value(value).expect("an object")
}

fn deployment(version: &str, replicas: u32, image: &str) -> Unstructured {
    object(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "demo-proxy", "namespace": "team", "uid": "u1", "resourceVersion": version, "generation": 2,
            "labels": {"app.kubernetes.io/component": "proxy", "app.kubernetes.io/instance": "demo"},
            "annotations": {"operator.milvus.io/revision": "r1", "operator.milvus.io/applied": "h1",
                "deployment.kubernetes.io/revision": version},
            "ownerReferences": [{"apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster", "name": "demo", "uid": "c1"}]},
        "spec": {"replicas": replicas, "template": {"spec": {"serviceAccountName": "demo-milvus",
            "containers": [{"name": "proxy", "image": image}],
            "volumes": [{"name": "a", "configMap": {"name": "cm"}}, {"name": "b", "secret": {"secretName": "s"}}]}}},
        "status": {"observedGeneration": 2, "replicas": replicas, "updatedReplicas": replicas}
    }))
}

fn key() -> ClusterKey {
    ClusterKey::new("team", "demo")
}

#[test]
fn only_news_is_told() {
    let cache = Cache::default();
    assert_eq!(
        cache.put(Kind::Deployment, deployment("5", 1, "a")),
        [key()]
    );
    // The controller's own annotation and a new version are no news.
    assert_eq!(cache.put(Kind::Deployment, deployment("6", 1, "a")), []);
    assert_eq!(
        cache.put(Kind::Deployment, deployment("7", 1, "b")),
        [key()]
    );
    // An event that is older than the answer to our own write changes nothing.
    assert_eq!(cache.put(Kind::Deployment, deployment("6", 9, "c")), []);
    cache.with(&key(), |known| {
        let object = &known.objects[&(Kind::Deployment, "demo-proxy".to_owned())];
        assert_eq!(object.owner.as_deref(), Some("c1"));
        assert_eq!(object.revision.as_deref(), Some("r1"));
        assert_eq!(object.state.replicas, Some(1));
        assert!(!object.state.updating);
        let uses: Vec<&str> = object.uses.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(uses, ["demo-milvus", "cm", "s"]);
    });
}

#[test]
fn a_list_forgets_what_it_does_not_hold() {
    let cache = Cache::default();
    cache.put(Kind::Deployment, deployment("5", 1, "a"));
    let began = Instant::now();
    assert_eq!(cache.retain(Some(Kind::Service), None, began), []);
    assert_eq!(
        cache.retain(Some(Kind::Deployment), Some("other"), began),
        []
    );
    assert_eq!(
        cache.retain(Some(Kind::Deployment), Some("team"), began),
        [key()]
    );
    let began = Instant::now();
    cache.put(Kind::Deployment, deployment("5", 1, "a"));
    assert_eq!(cache.retain(Some(Kind::Deployment), None, began), []);
}

#[test]
fn a_deletion_of_an_older_object_leaves_the_newer_one() {
    let cache = Cache::default();
    cache.put(Kind::Deployment, deployment("5", 1, "a"));
    let mut old = deployment("4", 1, "a");
    old.metadata.uid = Some("u0".to_owned());
    assert_eq!(cache.forget(Kind::Deployment, &old), None);
    assert_eq!(
        cache.forget(Kind::Deployment, &deployment("6", 1, "a")),
        Some(key())
    );
}

/// Without labels and owner an object stays with those who had it, as long as the watch shows it at all; so does its end.
#[test]
fn what_was_stripped_is_not_lost_from_sight() {
    let cache = Cache::default();
    cache.put(Kind::Deployment, deployment("5", 1, "a"));
    let mut stripped = deployment("6", 1, "a");
    stripped.metadata.labels = None;
    stripped.metadata.owner_references = None;
    assert_eq!(cache.put(Kind::Deployment, stripped.clone()), [key()]);
    cache.with(&key(), |known| {
        let object = &known.objects[&(Kind::Deployment, "demo-proxy".to_owned())];
        assert_eq!(object.owner, None);
    });
    stripped.metadata.resource_version = Some("7".to_owned());
    assert_eq!(cache.forget(Kind::Deployment, &stripped), Some(key()));

    // Somebody else's label does not take it away either; an owner does.
    cache.put(Kind::Deployment, deployment("8", 1, "a"));
    let mut moved = deployment("9", 1, "a");
    let label = [("app.kubernetes.io/instance".to_owned(), "other".to_owned())];
    moved.metadata.labels = Some(label.into());
    moved.metadata.owner_references = None;
    assert_eq!(cache.put(Kind::Deployment, moved), [key()]);
    let mut taken = deployment("10", 1, "a");
    if let Some(owners) = &mut taken.metadata.owner_references {
        owners[0].name = "other".to_owned();
    }
    let other = ClusterKey::new("team", "other");
    assert_eq!(cache.put(Kind::Deployment, taken), [key(), other]);

    // What never was ours stays nobody's.
    let mut nobody = deployment("5", 1, "a");
    nobody.metadata.name = Some("demo-else".to_owned());
    nobody.metadata.labels = None;
    nobody.metadata.owner_references = None;
    assert_eq!(cache.put(Kind::Deployment, nobody), []);
}

/// The end of an object as the watch tells it when only a label was taken off comes after our own write that put it back.
#[test]
fn an_end_older_than_our_write_is_none() {
    let cache = Cache::default();
    cache.put(Kind::Deployment, deployment("7", 1, "a"));
    assert_eq!(
        cache.forget(Kind::Deployment, &deployment("6", 1, "a")),
        None
    );
}

#[test]
fn a_pod_without_its_labels_is_nobodys() {
    let cache = Cache::default();
    let pod = |labels: Value| {
        object(
            json!({"metadata": {"name": "demo-proxy-x", "namespace": "team", "uid": "p", "labels": labels}}),
        )
    };
    let labels = json!({"app.kubernetes.io/component": "proxy", "app.kubernetes.io/instance": "demo",
        "operator.milvus.io/revision": "r1"});
    assert_eq!(cache.put_pod(pod(labels.clone())), [key()]);
    assert_eq!(
        cache.put_pod(pod(json!({"app.kubernetes.io/component": "proxy"}))),
        [key()]
    );
    cache.put_pod(pod(labels));
    assert_eq!(
        cache.put_pod(pod(json!({"app.kubernetes.io/instance": "demo"}))),
        [key()]
    );
    assert!(cache.lock().values().all(|known| known.pods.is_empty()));
}

#[test]
fn a_pod_of_another_operator_is_not_ours() {
    let cache = Cache::default();
    // As zilliztech's milvus-operator labels its pods.
    let theirs = object(
        json!({"metadata": {"name": "demo-milvus-proxy-x", "namespace": "team", "uid": "p", "labels": {
        "app.kubernetes.io/name": "milvus", "app.kubernetes.io/instance": "demo", "app.kubernetes.io/component": "proxy",
        "app.kubernetes.io/managed-by": "milvus-operator"}}}),
    );
    assert_eq!(cache.put_pod(theirs), []);
    assert!(cache.lock().values().all(|known| known.pods.is_empty()));
}

#[test]
fn pods_say_what_they_are_doing() {
    let state = |status: Value| {
        pod_state(
            &status,
            &status["containerStatuses"][0],
            status["conditions"].get(0),
        )
    };
    let waiting = |reason: &str| {
        json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting":
        {"reason": reason, "message": "why"}}, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}]})
    };
    assert_eq!(
        state(waiting("ContainerCreating")),
        InstanceState::Preparing
    );
    assert_eq!(
        state(waiting("ErrImagePull")),
        InstanceState::Rejected {
            message: "ErrImagePull: why".to_owned()
        }
    );
    assert_eq!(
        state(waiting("CrashLoopBackOff")),
        InstanceState::Failed {
            message: "exit code 1 (Error)".to_owned()
        }
    );
    assert_eq!(
        state(
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message":
            "0/3 nodes are available: 3 Insufficient memory."}]})
        ),
        InstanceState::Pending {
            reason: "0/3 nodes are available: 3 Insufficient memory.".to_owned()
        }
    );
    let running = |started: bool| {
        json!({"phase": "Running", "containerStatuses": [{"started": started,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]})
    };
    assert_eq!(state(running(true)), InstanceState::Running);
    assert_eq!(state(running(false)), InstanceState::Starting);
    assert_eq!(
        state(json!({"phase": "Succeeded"})),
        InstanceState::Complete
    );
}
