//! Lists, watches and the forms of answers.

use futures::StreamExt;
use serde_json::json;

use crate::client::{Client, GADGETS, TABLE, next};

#[tokio::test]
async fn lists_come_in_pages_of_one_version() {
    let client = Client::new().await;
    for index in 0..5 {
        client.made(&format!("g{index}")).await;
    }
    let first = client.get(&format!("{GADGETS}?limit=2")).await.json();
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    let token = first["metadata"]["continue"].as_str().unwrap();
    client.delete(&format!("{GADGETS}/g3"), "{}").await;
    client.made("g9").await;
    let rest = client
        .get(&format!("{GADGETS}?continue={token}"))
        .await
        .json();
    let names: Vec<&str> = rest["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["g2", "g3", "g4"], "as it was when the list began");
    assert_eq!(
        rest["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    assert_eq!(rest["metadata"]["continue"], "", "{rest}");
    assert_eq!(
        client.get(&format!("{GADGETS}?continue=junk")).await.code,
        400
    );
    let future = client
        .get(&format!("{GADGETS}?resourceVersion=999999"))
        .await;
    assert_eq!(future.code, 504);
    assert_eq!(future.headers["retry-after"], "1");
    assert_eq!(
        future.json()["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
}

#[tokio::test]
async fn watches_go_on_where_a_list_ended() {
    let client = Client::new().await;
    client.made("old").await;
    let list = client.get(GADGETS).await.json();
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    client.made("new").await;
    let uri = format!("{GADGETS}/new");
    client
        .patch(
            &uri,
            "merge-patch+json",
            &json!({"spec": {"version": "v2.0"}}),
        )
        .await;
    client.delete(&uri, "{}").await;
    let mut watch = client
        .watch(&format!("{GADGETS}?watch=true&resourceVersion={version}"))
        .await;
    let mut last: u64 = version.parse().unwrap();
    for kind in ["ADDED", "MODIFIED", "DELETED"] {
        let (found, object) = next(&mut watch).await;
        assert_eq!(
            (found.as_str(), object["metadata"]["name"].as_str()),
            (kind, Some("new"))
        );
        let version: u64 = object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(version > last);
        last = version;
    }
    let mut from_any = client
        .watch(&format!("{GADGETS}?watch=true&resourceVersion=0"))
        .await;
    let (kind, object) = next(&mut from_any).await;
    assert_eq!(
        (kind.as_str(), object["metadata"]["name"].as_str()),
        ("ADDED", Some("old"))
    );
    // A version from another life of the store.
    let mut expired = client
        .watch(&format!("{GADGETS}?watch=true&resourceVersion=999999"))
        .await;
    let (kind, status) = next(&mut expired).await;
    assert_eq!(
        (
            kind.as_str(),
            status["code"].as_u64(),
            status["reason"].as_str()
        ),
        ("ERROR", Some(410), Some("Expired"))
    );
    assert!(expired.next().await.is_none());
    let mut short = client
        .watch(&format!(
            "{GADGETS}?watch=true&resourceVersion={last}&timeoutSeconds=1"
        ))
        .await;
    assert!(short.next().await.is_none(), "ends without an error");
}

#[tokio::test]
async fn what_leaves_a_selector_is_deleted_for_it() {
    let client = Client::new().await;
    client.made("demo").await;
    let uri = format!("{GADGETS}/demo");
    let mut watch = client
        .watch(&format!("{GADGETS}?watch=true&labelSelector=tier%3Dgold"))
        .await;
    for (tier, kind) in [("gold", "ADDED"), ("silver", "DELETED"), ("gold", "ADDED")] {
        client
            .patch(
                &uri,
                "merge-patch+json",
                &json!({"metadata": {"labels": {"tier": tier}}}),
            )
            .await;
        let (found, object) = next(&mut watch).await;
        assert_eq!(found, kind);
        assert_eq!(
            object["metadata"]["labels"]["tier"], "gold",
            "what the watcher last saw"
        );
    }
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let client = Client::new().await;
    client.made("demo").await;
    let bad = client
        .get(&format!("{GADGETS}?watch=true&sendInitialEvents=true"))
        .await;
    assert_eq!(bad.code, 422);
    let mut watch = client
        .watch(&format!("{GADGETS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"))
        .await;
    assert_eq!(next(&mut watch).await.0, "ADDED");
    let (kind, object) = next(&mut watch).await;
    assert_eq!(kind, "BOOKMARK");
    assert_eq!(
        object["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(object["kind"], "Gadget");
    client.made("later").await;
    assert_eq!(next(&mut watch).await.0, "ADDED");
}

#[tokio::test]
async fn answers_take_the_form_asked_for() {
    let client = Client::new().await;
    client.made("demo").await;
    let table = client
        .send("GET", GADGETS, &[("accept", TABLE)], "")
        .await
        .json();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["columnDefinitions"][0]["format"], "name");
    assert_eq!(table["rows"][0]["cells"][0], "demo");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let whole = client
        .send(
            "GET",
            &format!("{GADGETS}?includeObject=Object"),
            &[("accept", TABLE)],
            "",
        )
        .await
        .json();
    assert_eq!(whole["rows"][0]["object"]["spec"]["version"], "v1.0");
    let partial = client
        .send(
            "GET",
            GADGETS,
            &[(
                "accept",
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            )],
            "",
        )
        .await
        .json();
    assert_eq!(partial["kind"], "PartialObjectMetadataList");
    assert_eq!(partial["items"][0]["kind"], "PartialObjectMetadata");
    assert!(partial["items"][0].get("spec").is_none());
    for accept in [
        "application/cbor",
        "text/html",
        "application/vnd.kubernetes.protobuf",
    ] {
        assert_eq!(
            client
                .send("GET", GADGETS, &[("accept", accept)], "")
                .await
                .code,
            406,
            "{accept}"
        );
    }
    for (kind, code) in [
        ("strategic-merge-patch+json", 415),
        ("json", 415),
        ("apply-patch+yaml", 415),
        ("merge-patch+json", 200),
    ] {
        let answer = client
            .patch(&format!("{GADGETS}/demo"), kind, &json!({}))
            .await;
        assert_eq!(answer.code, code, "{kind}: {}", answer.text);
    }
    let scale = client.get(&format!("{GADGETS}/demo/scale")).await.json();
    assert_eq!(
        (scale["kind"].as_str(), scale["spec"]["replicas"].as_i64()),
        (Some("Scale"), Some(1))
    );
    // A selector is shown once there is one: an autoscaler says then what it lacks.
    assert_eq!(scale["status"], json!({"replicas": 0}));
    let selector = json!({"status": {"selector": "app=gadget,part=worker", "replicas": 1}});
    let path = format!("{GADGETS}/demo/status");
    let answer = client.patch(&path, "merge-patch+json", &selector).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    let scale = client.get(&format!("{GADGETS}/demo/scale")).await.json();
    assert_eq!(scale["status"], selector["status"]);
    let scale = json!({"spec": {"replicas": 3}});
    let answer = client
        .patch(&format!("{GADGETS}/demo/scale"), "merge-patch+json", &scale)
        .await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    let scale = answer.json();
    assert_eq!(scale["spec"]["replicas"], 3);
    assert_eq!(scale["status"], selector["status"]);
}
