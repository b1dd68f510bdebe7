//! What is refused, and in which words.

use milvus_apiserver::Identity;
use milvus_apiserver::auth::{EDIT, VIEW};
use serde_json::json;

use crate::client::{Client, GADGETS, gadget};
use crate::support;

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

/// A finalizer would only hold the object, and its namespace with it, half deleted and without a word: what is guarded is not
/// deleted at all, by name, by list or with its namespace, until the guard is taken off.
#[tokio::test]
async fn what_is_guarded_is_not_deleted() {
    let client = Client::new().await;
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "records"}});
    client.post("/api/v1/namespaces", &namespace).await;
    let maps = "/api/v1/namespaces/records/configmaps";
    let kept = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kept", "finalizers": [support::GUARD]}});
    assert_eq!(client.post(maps, &kept).await.code, 201);
    let why = "kept by the finalizer test.example.io/guard: take it off first";
    for (target, message) in [
        (
            format!("{maps}/kept"),
            "configmaps \"kept\" is forbidden: the finalizer test.example.io/guard keeps it: take it off first".to_owned(),
        ),
        (
            maps.to_owned(),
            "configmaps \"kept\" is forbidden: the finalizer test.example.io/guard keeps it: take it off first".to_owned(),
        ),
        (
            "/api/v1/namespaces/records".to_owned(),
            format!("namespaces \"records\" is forbidden: configmaps \"kept\" in it is {why}"),
        ),
    ] {
        let answer = client.delete(&target, "").await;
        assert_eq!((answer.code, answer.message()), (403, message));
    }
    let found = client.get(&format!("{maps}/kept")).await.json();
    assert_eq!(found["metadata"]["deletionTimestamp"], json!(null));
    let off = json!({"metadata": {"finalizers": null}});
    let merge = "merge-patch+json";
    let answer = client.patch(&format!("{maps}/kept"), merge, &off).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    assert_eq!(client.delete(&format!("{maps}/kept"), "").await.code, 200);
    assert_eq!(
        client.delete("/api/v1/namespaces/records", "").await.code,
        200
    );
}
