//! Answers on the wire, request by request, in process: codes, reasons, texts and headers as
//! kube-apiserver gives them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::StreamExt;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use milvus_apiserver::Identity;
use milvus_apiserver::auth::{EDIT, VIEW};
use milvus_apiserver::store::memory::MemoryStore;
use serde_json::{Value, json};
use tower::ServiceExt;

const GADGETS: &str = "/apis/test.example.io/v1beta1/namespaces/default/gadgets";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

struct Client {
    router: Router,
    identity: Option<Identity>,
}

struct Answer {
    code: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in {} {}", self.code, self.text))
    }

    /// The message holds this text.
    fn says(&self, text: &str) {
        assert!(
            self.message().contains(text),
            "{text:?} is not in {}",
            self.text
        );
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }
}

impl Client {
    async fn new() -> Self {
        let server = support::build(MemoryStore::new()).await;
        let client = Self {
            router: server.router(),
            identity: Some(Identity::in_process("test")),
        };
        // The server lives as long as its background work may be wanted.
        std::mem::forget(server);
        client
    }

    fn as_user(&self, identity: Option<Identity>) -> Self {
        Self {
            router: self.router.clone(),
            identity,
        }
    }

    async fn send(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(identity) = &self.identity {
            request = request.extension(identity.clone());
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::from(body.to_owned())).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        Answer {
            code: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(text.to_vec()).unwrap(),
        }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send("GET", uri, &[], "").await
    }

    async fn post(&self, uri: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send("POST", uri, &headers, &body.to_string()).await
    }

    async fn put(&self, uri: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send("PUT", uri, &headers, &body.to_string()).await
    }

    async fn patch(&self, uri: &str, kind: &str, body: &Value) -> Answer {
        let content_type = format!("application/{kind}");
        let headers = [("content-type", content_type.as_str())];
        self.send("PATCH", uri, &headers, &body.to_string()).await
    }

    async fn delete(&self, uri: &str, body: &str) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send("DELETE", uri, &headers, body).await
    }

    async fn made(&self, name: &str) -> Value {
        let answer = self.post(GADGETS, &gadget(name)).await;
        assert_eq!(answer.code, 201, "{}", answer.text);
        answer.json()
    }

    /// The lines of a watch, as they come.
    async fn watch(&self, uri: &str) -> impl futures::Stream<Item = Value> + Unpin + use<> {
        let mut request = Request::builder().uri(uri);
        if let Some(identity) = &self.identity {
            request = request.extension(identity.clone());
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response
            .into_body()
            .into_data_stream()
            .flat_map(|chunk| {
                let chunk = chunk.unwrap();
                let lines: Vec<Value> = String::from_utf8(chunk.to_vec())
                    .unwrap()
                    .lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect();
                futures::stream::iter(lines)
            })
            .boxed()
    }
}

async fn next(stream: &mut (impl futures::Stream<Item = Value> + Unpin)) -> (String, Value) {
    let event = tokio::time::timeout(Duration::from_secs(5), stream.next())
        .await
        .expect("no event came")
        .expect("the watch ended");
    (
        event["type"].as_str().unwrap().to_owned(),
        event["object"].clone(),
    )
}

fn gadget(name: &str) -> Value {
    json!({
        "apiVersion": "test.example.io/v1beta1", "kind": "Gadget",
        "metadata": {"name": name}, "spec": {"version": "v1.0"},
    })
}

#[tokio::test]
async fn errors_are_kubernetes_errors() {
    let client = Client::new().await;
    let demo = client.made("demo").await;

    let answer = client.get(&format!("{GADGETS}/nobody")).await;
    assert_eq!(
        answer.json(),
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "gadgets.test.example.io \"nobody\" not found", "reason": "NotFound",
            "details": {"name": "nobody", "group": "test.example.io", "kind": "gadgets"}, "code": 404,
        })
    );
    let answer = client.post(GADGETS, &gadget("demo")).await;
    assert_eq!(
        (answer.code, answer.json()["reason"].as_str()),
        (409, Some("AlreadyExists"))
    );

    let mut stale = demo.clone();
    stale["metadata"]["resourceVersion"] = "1".into();
    let answer = client.put(&format!("{GADGETS}/demo"), &stale).await;
    assert_eq!(answer.code, 409);
    assert_eq!(
        answer.message(),
        "Operation cannot be fulfilled on gadgets.test.example.io \"demo\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let answer = client
        .put(&format!("{GADGETS}/demo"), &gadget("demo"))
        .await;
    assert_eq!(answer.code, 422);
    answer.says("metadata.resourceVersion: Invalid value: 0: must be specified for an update");

    for (body, text) in [
        (
            gadget("other"),
            "the name of the object (other) does not match the name on the URL (demo)",
        ),
        (json!({"kind": "Gadget"}), "Object 'apiVersion' is missing"),
        (
            json!({"apiVersion": "test.example.io/v1", "kind": "Gadget", "metadata": {"name": "demo"}}),
            "the API version in the data (test.example.io/v1) does not match the expected API version (test.example.io/v1beta1)",
        ),
        (
            json!({"apiVersion": "test.example.io/v1beta1", "kind": "Gadget", "metadata": {"name": "demo", "namespace": "other"}}),
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ] {
        let answer = client.put(&format!("{GADGETS}/demo"), &body).await;
        assert_eq!(answer.code, 400, "{}", answer.text);
        assert!(answer.message().contains(text), "{}", answer.text);
    }
    let answer = client
        .send(
            "POST",
            GADGETS,
            &[("content-type", "application/json")],
            "{not json",
        )
        .await;
    assert_eq!(
        (answer.code, answer.json()["reason"].as_str()),
        (400, Some("BadRequest"))
    );

    let mut moved = demo.clone();
    moved["metadata"]["uid"] = "another".into();
    let answer = client.put(&format!("{GADGETS}/demo"), &moved).await;
    assert_eq!(answer.code, 409, "{}", answer.text);
    answer.says("Precondition failed: UID in precondition: another");

    let answer = client.get("/apis/other.example.io/v1/things").await;
    assert_eq!(
        (answer.code, answer.text.as_str()),
        (404, "404 page not found\n")
    );
    let answer = client
        .send("POST", &format!("{GADGETS}/demo"), &[], "")
        .await;
    assert_eq!(answer.code, 405);
}

#[tokio::test]
async fn validation_failures_name_field_and_reason() {
    let client = Client::new().await;
    let mut wrong = gadget("wrong");
    wrong["spec"] = json!({"version": "latest", "mode": "both"});
    let answer = client.post(GADGETS, &wrong).await;
    assert_eq!(answer.code, 422);
    let status = answer.json();
    assert_eq!(status["reason"], "Invalid");
    assert_eq!(status["details"]["kind"], "Gadget");
    let causes: Vec<(&str, &str)> = status["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| {
            (
                cause["reason"].as_str().unwrap(),
                cause["field"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(
        causes.contains(&("FieldValueInvalid", "spec.version")),
        "{causes:?}"
    );
    assert!(
        causes.contains(&("FieldValueNotSupported", "spec.mode")),
        "{causes:?}"
    );
    let answer = client
        .post(GADGETS, &json!({"apiVersion": "test.example.io/v1beta1", "kind": "Gadget", "metadata": {"name": "x"}, "spec": {}}))
        .await;
    assert!(
        answer.message().contains("spec.version: Required value"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn unknown_and_repeated_fields_by_choice() {
    let client = Client::new().await;
    let body = r#"{"apiVersion":"test.example.io/v1beta1","kind":"Gadget","metadata":{"name":"a","labls":{}},"spec":{"version":"v1.0","version":"v1.1","x":1}}"#;
    let json_type = [("content-type", "application/json")];
    let strict = client
        .send(
            "POST",
            &format!("{GADGETS}?fieldValidation=Strict"),
            &json_type,
            body,
        )
        .await;
    assert_eq!(strict.code, 400);
    assert_eq!(
        strict.message(),
        "Gadget in version \"v1beta1\" cannot be handled as a Gadget: strict decoding error: duplicate field \"spec.version\", unknown field \"metadata.labls\", unknown field \"spec.x\""
    );
    let warn = client.send("POST", GADGETS, &json_type, body).await;
    assert_eq!(warn.code, 201, "{}", warn.text);
    let warnings: Vec<&str> = warn
        .headers
        .get_all("warning")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(
        warnings,
        [
            r#"299 - "duplicate field \"spec.version\"""#,
            r#"299 - "unknown field \"metadata.labls\"""#,
            r#"299 - "unknown field \"spec.x\"""#
        ]
    );
    assert!(warn.json()["spec"].get("x").is_none());
    let ignore = client
        .send(
            "POST",
            &format!("{GADGETS}?fieldValidation=Ignore"),
            &json_type,
            &body.replace("\"a\"", "\"b\""),
        )
        .await;
    assert_eq!((ignore.code, ignore.headers.get("warning")), (201, None));
    let patched = client
        .patch(
            &format!("{GADGETS}/a?fieldValidation=Strict"),
            "merge-patch+json",
            &json!({"spec": {"y": 1}}),
        )
        .await;
    assert_eq!(patched.code, 422);
    patched.says("strict decoding error: unknown field \"spec.y\"");
}

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
}

#[tokio::test]
async fn only_those_who_may_come_in() {
    let client = Client::new().await;
    client.made("demo").await;
    let nobody = client.as_user(None);
    for (uri, code) in [
        ("/readyz", 200),
        ("/livez", 200),
        ("/healthz", 200),
        ("/version", 200),
        ("/api", 403),
        ("/openapi/v3", 403),
        ("/nothing", 403),
        (GADGETS, 403),
    ] {
        assert_eq!(nobody.get(uri).await.code, code, "{uri}");
    }
    let headers = [("authorization", "Bearer wrong")];
    let answer = nobody.send("GET", GADGETS, &headers, "").await;
    assert_eq!(
        (answer.code, answer.json()["reason"].as_str()),
        (401, Some("Unauthorized"))
    );
    let token = format!("Bearer {}", support::VIEW_TOKEN);
    let headers = [("authorization", token.as_str())];
    assert_eq!(nobody.send("GET", GADGETS, &headers, "").await.code, 200);
    let refused = nobody
        .send("DELETE", &format!("{GADGETS}/demo"), &headers, "")
        .await;
    assert_eq!(
        refused.message(),
        "gadgets.test.example.io \"demo\" is forbidden: User \"viewer\" cannot delete resource \"gadgets\" in API group \"test.example.io\" in the namespace \"default\""
    );
    let user = |group: &str| client.as_user(Some(Identity::new("u", [group.to_owned()])));
    assert_eq!(
        user(VIEW)
            .get("/api/v1/namespaces/default/secrets")
            .await
            .code,
        403
    );
    assert_eq!(
        user(EDIT)
            .get("/api/v1/namespaces/default/secrets")
            .await
            .code,
        200
    );
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}});
    assert_eq!(
        user(EDIT).post("/api/v1/namespaces", &namespace).await.code,
        403
    );
}

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
    assert_eq!(client.get("/api/v1/namespaces/team").await.code, 200);
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

#[tokio::test]
async fn too_much_is_refused() {
    let client = Client::new().await;
    let mut large = gadget("large");
    large["metadata"]["annotations"] = json!({"a": "x".repeat(257 * 1024)});
    let answer = client.post(GADGETS, &large).await;
    assert_eq!(answer.code, 422);
    answer.says("metadata.annotations: Too long");
    large["metadata"]["annotations"] = json!({"a": "x".repeat(3 << 20)});
    assert_eq!(client.post(GADGETS, &large).await.code, 413);
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
