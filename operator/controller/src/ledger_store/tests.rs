use std::sync::Arc;

use axum::Extension;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use milvus_apiserver::store::memory::MemoryStore;
use milvus_apiserver::{ApiServer, Authenticator, Guard, Identity};

use super::*;

/// An API server in memory: with its guard it is the embedded one, without it what it does with finalizers is Kubernetes'.
async fn api(guarded: bool) -> (ApiServer, Client) {
    let mut builder = ApiServer::builder()
        .store(Arc::new(MemoryStore::new()))
        .authenticator(Authenticator::new().expect("an authenticator"));
    if guarded {
        builder = builder.guard(Guard {
            finalizer: KEPT.into(),
            advice: ADVICE.into(),
        });
    }
    let server = builder.build().await.expect("a server");
    let identity = Extension(Identity::in_process("test"));
    let client = Client::new(server.router().layer(identity), "default");
    (server, client)
}

fn demo() -> ClusterKey {
    ClusterKey::new("default", "demo")
}

fn ledger(owner: &str, epoch: u32) -> Ledger {
    Ledger {
        owner_uid: owner.to_owned(),
        last_epoch: epoch,
        ..Ledger::default()
    }
}

async fn read(ledgers: &Ledgers) -> Option<(u32, bool)> {
    let read = ledgers.read(&demo()).await.expect("an answer");
    read.map(|read| (read.ledger.last_epoch, read.going))
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> String {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 403 => status.message,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_embedded_server_deletes_no_ledger_and_no_namespace_of_ledgers() {
    let (_server, client) = api(true).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let ledgers = Ledgers::new(client, Home::System);
    // Without a ledger in it the namespace may go, and comes back when it is needed.
    ledgers.ensure_namespace().await.expect("a namespace");
    let delete = DeleteParams::default();
    namespaces
        .delete(NAMESPACE, &delete)
        .await
        .expect("no ledgers");
    while namespaces
        .get_opt(NAMESPACE)
        .await
        .expect("an answer")
        .is_some()
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    ledgers
        .create(&demo(), &ledger("u1", 1))
        .await
        .expect("a ledger");
    let name = "ledger.default.demo";
    let advice = "delete the MilvusCluster instead";
    let refused = refusal(maps.delete(name, &delete).await);
    assert!(
        refused.contains(name) && refused.contains(advice),
        "{refused}"
    );
    let refused = refusal(namespaces.delete(NAMESPACE, &delete).await);
    assert!(
        refused.contains(name) && refused.contains(advice),
        "{refused}"
    );
    // So is that of volumes without a cluster. Who means it takes the finalizer off.
    ledgers
        .write(&demo(), &ledger("", 2), None)
        .await
        .expect("written");
    refusal(maps.delete(name, &delete).await);
    let off = Patch::Merge(serde_json::json!({"metadata": {"finalizers": null}}));
    let patched = maps.patch(name, &PatchParams::default(), &off).await;
    patched.expect("any client may take its finalizer off");
    // One of an earlier version is without it as well, and is kept from then on.
    ledgers.keep(&demo()).await.expect("kept");
    refusal(maps.delete(name, &delete).await);
    ledgers.forget(&demo()).await.expect("forgotten");
    assert_eq!(read(&ledgers).await, None);
}

#[tokio::test]
async fn on_kubernetes_a_ledger_is_held_while_its_cluster_exists() {
    let (_server, client) = api(false).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let ledgers = Ledgers::new(client, Home::Beside);
    ledgers
        .create(&demo(), &ledger("u1", 1))
        .await
        .expect("a ledger");
    let delete = DeleteParams::default();
    let deleted = maps.delete("demo-ledger", &delete).await;
    assert!(deleted.expect("an answer").is_left(), "it is held");
    assert_eq!(read(&ledgers).await, Some((1, true)));
    assert!(held().message.contains(KEPT), "{}", held().message);
    // It is written to all the while; what is left of its cluster is a ledger that no deletion waits for.
    ledgers
        .write(&demo(), &ledger("u1", 2), None)
        .await
        .expect("written");
    assert_eq!(read(&ledgers).await, Some((2, true)));
    ledgers
        .write(&demo(), &ledger("", 3), None)
        .await
        .expect("written anew");
    assert_eq!(read(&ledgers).await, Some((3, false)));
    let deleted = maps.delete("demo-ledger", &delete).await;
    assert!(deleted.expect("an answer").is_right(), "nothing holds it");
    // One that goes is let go with its cluster.
    ledgers
        .create(&demo(), &ledger("u2", 4))
        .await
        .expect("a ledger");
    maps.delete("demo-ledger", &delete)
        .await
        .expect("an answer");
    ledgers.forget(&demo()).await.expect("forgotten");
    assert_eq!(read(&ledgers).await, None);
}

#[tokio::test]
async fn a_ledger_is_found_again_by_its_place() {
    let config = kube::Config::new("http://127.0.0.1:1".parse().expect("a URL"));
    let client = Client::try_from(config).expect("a client");
    let key = ClusterKey::new("team-a", "demo");
    for home in [Home::System, Home::Beside] {
        let ledgers = Ledgers::new(client.clone(), home);
        let (namespace, name) = ledgers.place(&key);
        assert_eq!(ledgers.cluster_of(&namespace, &name), Some(key.clone()));
        assert_eq!(ledgers.cluster_of("elsewhere", "other"), None);
    }
}

#[test]
fn a_namespace_that_goes_is_told_from_other_refusals() {
    let answer = |reason: &str| -> kube::Error {
        let status = serde_json::json!({
            "status": "Failure", "message": "forbidden", "reason": "Forbidden", "code": 403,
            "details": {"name": "demo-ledger", "kind": "configmaps", "causes": [
                {"reason": reason, "message": "namespace d is being terminated", "field": "metadata.namespace"}]}});
        kube::Error::Api(Box::new(serde_json::from_value(status).expect("a status")))
    };
    assert!(namespace_goes(&answer("NamespaceTerminating")));
    assert!(!namespace_goes(&answer("SomethingElse")));
}
