//! What a write does to an object, and what it leaves alone.

use milvus_apiserver::Identity;
use milvus_apiserver::store::memory::MemoryStore;
use serde_json::json;

use crate::client::{Client, GADGETS, gadget, next};
use crate::support;

#[tokio::test]
async fn the_server_keeps_its_own_fields() {
    let client = Client::new().await;
    let made = client.made("demo").await;
    let metadata = &made["metadata"];
    assert_eq!(metadata["generation"], 1);
    assert!(metadata.get("managedFields").is_none());
    let uri = format!("{GADGETS}/demo");
    let same = client
        .patch(
            &uri,
            "merge-patch+json",
            &json!({"spec": {"version": "v1.0"}}),
        )
        .await
        .json();
    assert_eq!(
        same["metadata"]["resourceVersion"],
        metadata["resourceVersion"]
    );
    let labelled = client
        .patch(
            &uri,
            "merge-patch+json",
            &json!({"metadata": {"labels": {"a": "b"}}}),
        )
        .await
        .json();
    assert_eq!(labelled["metadata"]["generation"], 1);
    assert_ne!(
        labelled["metadata"]["resourceVersion"],
        metadata["resourceVersion"]
    );
    let changed = client.patch(&uri, "merge-patch+json", &json!({"spec": {"version": "v1.1"}, "status": {"phase": "Lies"}, "metadata": {"generation": 9, "creationTimestamp": null}}))
        .await
        .json();
    assert_eq!(changed["metadata"]["generation"], 2);
    assert_eq!(
        changed["metadata"]["creationTimestamp"],
        metadata["creationTimestamp"]
    );
    assert!(changed.get("status").is_none());
    let status = client
        .patch(&format!("{uri}/status"), "merge-patch+json", &json!({"status": {"phase": "Fine"}, "spec": {"version": "v7.0"}, "metadata": {"labels": {"c": "d"}}}))
        .await
        .json();
    assert_eq!(status["status"]["phase"], "Fine");
    assert_eq!(status["spec"]["version"], "v1.1");
    assert_eq!(status["metadata"]["generation"], 2);
    assert_eq!(status["metadata"]["labels"], json!({"a": "b"}));
}

#[tokio::test]
async fn finalizers_hold_a_deletion() {
    let client = Client::new().await;
    let mut held = gadget("held");
    held["metadata"]["finalizers"] = json!(["test.example.io/hold"]);
    let made = client.post(GADGETS, &held).await.json();
    let uri = format!("{GADGETS}/held");
    let wrong = client
        .delete(&uri, r#"{"preconditions":{"uid":"another"}}"#)
        .await;
    assert_eq!(wrong.code, 409);
    wrong.says("the UID in the precondition (another) does not match the UID in record");
    let wrong = client
        .delete(&uri, r#"{"preconditions":{"resourceVersion":"1"}}"#)
        .await;
    assert_eq!(wrong.code, 409);
    let deleted = client.delete(&uri, "{}").await.json();
    assert_eq!(deleted["kind"], "Gadget");
    assert_eq!(deleted["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(deleted["metadata"]["generation"], 2);
    let again = client.delete(&uri, "").await.json();
    assert_eq!(
        again["metadata"]["resourceVersion"],
        deleted["metadata"]["resourceVersion"]
    );
    let added = client
        .patch(
            &uri,
            "merge-patch+json",
            &json!({"metadata": {"finalizers": ["test.example.io/hold", "test.example.io/more"]}}),
        )
        .await;
    assert_eq!(added.code, 422);
    added.says("no new finalizers can be added if the object is being deleted");
    let released = client
        .patch(
            &uri,
            "json-patch+json",
            &json!([{"op": "remove", "path": "/metadata/finalizers"}]),
        )
        .await;
    assert_eq!(released.code, 200, "{}", released.text);
    assert_eq!(client.get(&uri).await.code, 404);
    let plain = client.made("plain").await;
    let gone = client.delete(&format!("{GADGETS}/plain"), "{}").await;
    assert_eq!(
        gone.json(),
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {"name": "plain", "group": "test.example.io", "kind": "gadgets", "uid": plain["metadata"]["uid"]},
        })
    );
    assert_eq!(
        made["metadata"]["finalizers"],
        json!(["test.example.io/hold"])
    );
}

#[tokio::test]
async fn dry_runs_leave_no_trace() {
    let client = Client::new().await;
    let answer = client
        .post(&format!("{GADGETS}?dryRun=All"), &gadget("ghost"))
        .await;
    assert_eq!(answer.code, 201, "{}", answer.text);
    assert!(answer.json()["metadata"]["uid"].is_string());
    assert_eq!(client.get(&format!("{GADGETS}/ghost")).await.code, 404);
    let made = client.made("demo").await;
    let uri = format!("{GADGETS}/demo");
    let changed = client
        .patch(
            &format!("{uri}?dryRun=All"),
            "merge-patch+json",
            &json!({"spec": {"version": "v3.0"}}),
        )
        .await
        .json();
    assert_eq!(changed["spec"]["version"], "v3.0");
    client.delete(&format!("{uri}?dryRun=All"), "{}").await;
    assert_eq!(client.get(&uri).await.json(), made);
    assert_eq!(
        client
            .post(&format!("{GADGETS}?dryRun=Most"), &gadget("x"))
            .await
            .code,
        422
    );
}

#[tokio::test]
async fn a_restart_keeps_objects_and_never_turns_versions_back() {
    let store = MemoryStore::new();
    let client = |server: &milvus_apiserver::ApiServer| Client {
        router: server.router(),
        identity: Some(Identity::in_process("test")),
    };
    let first = support::build(store.clone()).await;
    let before = client(&first);
    let kept = before.made("kept").await;
    before.made("gone").await;
    before.delete(&format!("{GADGETS}/gone"), "{}").await;
    let last: u64 = before.get(GADGETS).await.json()["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    drop(first);
    let second = support::build(store).await;
    let after = client(&second);
    assert_eq!(after.get(&format!("{GADGETS}/kept")).await.json(), kept);
    assert_eq!(after.get(&format!("{GADGETS}/gone")).await.code, 404);
    let mut watch = after
        .watch(&format!("{GADGETS}?watch=true&resourceVersion={last}"))
        .await;
    let (kind, status) = next(&mut watch).await;
    assert_eq!(
        (kind.as_str(), status["code"].as_u64()),
        ("ERROR", Some(410)),
        "list again after a restart"
    );
    let made = after.made("new").await;
    let version: u64 = made["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(version > last, "{version} after {last}");
}
