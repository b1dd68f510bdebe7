//! Objects that belong together: owners, namespaces, events.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Client, GADGETS, gadget};

#[tokio::test]
async fn dependents_go_with_their_owner() {
    let client = Client::new().await;
    let owner = client.made("owner").await;
    let child = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "ownerReferences": [{
                "apiVersion": "test.example.io/v1beta1", "kind": "Gadget", "name": "owner",
                "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true,
            }]},
        })
    };
    let maps = "/api/v1/namespaces/default/configmaps";
    client.post(maps, &child("one")).await;
    let gone = |uri: String| {
        let client = client.as_user(client.identity.clone());
        async move {
            for _ in 0..200 {
                if client.get(&uri).await.code == 404 {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            false
        }
    };
    client
        .delete(
            &format!("{GADGETS}/owner"),
            r#"{"propagationPolicy":"Foreground"}"#,
        )
        .await;
    assert!(
        gone(format!("{GADGETS}/owner")).await,
        "a foreground deletion ends"
    );
    assert_eq!(client.get(&format!("{maps}/one")).await.code, 404);
    client.post(maps, &child("late")).await;
    assert!(
        gone(format!("{maps}/late")).await,
        "its owner was gone already"
    );
}

#[tokio::test]
async fn namespaces_wait_for_their_contents() {
    let client = Client::new().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    let made = client.post("/api/v1/namespaces", &namespace).await.json();
    assert_eq!(made["status"]["phase"], "Active");
    assert_eq!(
        made["metadata"]["labels"]["kubernetes.io/metadata.name"],
        "team"
    );
    let gadgets = "/apis/test.example.io/v1beta1/namespaces/team/gadgets";
    let mut held = gadget("held");
    held["metadata"]["finalizers"] = json!(["test.example.io/hold"]);
    client.post(gadgets, &held).await;
    client.post(gadgets, &gadget("free")).await;
    let deleted = client.delete("/api/v1/namespaces/team", "{}").await.json();
    assert_eq!(deleted["status"]["phase"], "Terminating");
    let refused = client.post(gadgets, &gadget("late")).await;
    assert_eq!(refused.code, 403);
    refused.says("because it is being terminated");
    for _ in 0..200 {
        if client.get(&format!("{gadgets}/free")).await.code == 404 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.get(&format!("{gadgets}/free")).await.code, 404);
    let waiting = client.get(&format!("{gadgets}/held")).await.json();
    assert!(waiting["metadata"]["deletionTimestamp"].is_string());
    let condition = |namespace: &Value, kind: &str| {
        let conditions = namespace["status"]["conditions"].as_array().cloned();
        let found = conditions.into_iter().flatten().find(|c| c["type"] == kind);
        found.unwrap_or_default()
    };
    let mut terminating = client.get("/api/v1/namespaces/team").await.json();
    for _ in 0..200 {
        if condition(&terminating, "NamespaceContentRemaining")["message"].is_string() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        terminating = client.get("/api/v1/namespaces/team").await.json();
    }
    let remaining = condition(&terminating, "NamespaceContentRemaining");
    assert_eq!(remaining["status"], "True");
    assert_eq!(
        remaining["message"],
        "Some resources are remaining: gadgets.test.example.io has 1 resource instances"
    );
    assert_eq!(
        condition(&terminating, "NamespaceFinalizersRemaining")["message"],
        "Some content in the namespace has finalizers remaining: test.example.io/hold in 1 resource instances"
    );
    // What has not changed is not written again.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let later = client.get("/api/v1/namespaces/team").await.json();
    assert_eq!(later, terminating);
    client
        .patch(
            &format!("{gadgets}/held"),
            "merge-patch+json",
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
    for _ in 0..200 {
        if client.get("/api/v1/namespaces/team").await.code == 404 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the namespace stayed");
}

#[tokio::test]
async fn events_have_two_views() {
    let client = Client::new().await;
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"generateName": "demo."},
        "regarding": {"kind": "Gadget", "name": "demo", "namespace": "default"},
        "reason": "Waiting", "action": "Reconcile", "note": "waits", "type": "Warning",
        "eventTime": "2024-01-01T00:00:00.000000Z", "reportingController": "test", "reportingInstance": "t",
    });
    let answer = client
        .post("/apis/events.k8s.io/v1/namespaces/default/events", &event)
        .await;
    assert_eq!(answer.code, 201, "{}", answer.text);
    let name = answer.json()["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let core = client
        .get(&format!("/api/v1/namespaces/default/events/{name}"))
        .await
        .json();
    assert_eq!(
        (core["message"].as_str(), core["apiVersion"].as_str()),
        (Some("waits"), Some("v1"))
    );
    assert_eq!(core["involvedObject"]["name"], "demo");
    // A repeat is written as a merge patch of the whole event.
    let mut repeat = answer.json();
    repeat["series"] = json!({"count": 2, "lastObservedTime": "2024-01-01T00:00:05.000000Z"});
    let patched = client
        .patch(
            &format!("/apis/events.k8s.io/v1/namespaces/default/events/{name}"),
            "merge-patch+json",
            &repeat,
        )
        .await;
    assert_eq!(
        (patched.code, patched.json()["series"]["count"].as_i64()),
        (200, Some(2)),
        "{}",
        patched.text
    );
    let mut wrong = event.clone();
    wrong["regarding"]["namespace"] = "other".into();
    assert_eq!(
        client
            .post("/apis/events.k8s.io/v1/namespaces/default/events", &wrong)
            .await
            .code,
        422
    );
    wrong = event;
    wrong.as_object_mut().unwrap().remove("eventTime");
    assert_eq!(
        client
            .post("/apis/events.k8s.io/v1/namespaces/default/events", &wrong)
            .await
            .code,
        422
    );
}
