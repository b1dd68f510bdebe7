use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use kube::Client;
use milvus_apiserver::seal::Sealer;
use milvus_apiserver::store::memory::MemoryStore;
use milvus_apiserver::{ApiServer, Authenticator, Identity};
use milvus_core::ledger::{Ledger, MemberEntry};
use milvus_core::names::ClusterKey;
use serde_json::{Value, json};

use super::collect::{collect, get, ledger_in};
use super::restore::{Options, Restored, restore};
use super::*;
use crate::ledger_store::{self, Home, Ledgers};

/// An API server of our own, empty.
async fn server() -> Client {
    let server = ApiServer::builder()
        .crd(milvus_crds::CRD_JSON)
        .store(Arc::new(MemoryStore::default()))
        .sealer(Arc::new(Sealer::new([7; 32]).expect("sealer")))
        .authenticator(Authenticator::new().expect("authenticator"))
        .product("milvus-operator")
        .build()
        .await
        .expect("server");
    Client::new(
        server
            .router()
            .layer(Extension(Identity::in_process("test"))),
        "default",
    )
}

async fn create(client: &Client, object: Value) {
    let kind = object["kind"].as_str().expect("kind").to_owned();
    let resource = resource(&kind).expect("known kind");
    let namespace = object
        .pointer("/metadata/namespace")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let object: DynamicObject = serde_json::from_value(object).expect("object");
    api(client, &resource, namespace.as_deref())
        .create(&Default::default(), &object)
        .await
        .expect("create");
}

fn cluster(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster",
        "metadata": {
            "namespace": namespace, "name": name, "labels": { "team": "search" }, "finalizers": ["operator.milvus.io/cluster"],
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{\"old\":1}",
                // Text that YAML reads as something else when it is not quoted.
                "note": "0o17", "yes": "null", "lines": "a: b\n  - c\n# d\n", "odd": " 1.50 ",
            },
        },
        "spec": { "mode": "standalone" },
    })
}

fn secret(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "namespace": "team-a", "name": name },
        "stringData": { "accesskey": value },
    })
}

/// What the operator enters into the ledger of the cluster.
fn made() -> BTreeMap<String, String> {
    let cluster = serde_json::from_value(cluster("team-a", "demo")).expect("cluster");
    crate::gather::lasting_secrets(&cluster, &milvus_swarm::CAPABILITIES)
}

fn ledger(owner: &str) -> Ledger {
    let member = MemberEntry {
        node: "old-id".to_owned(),
        node_name: "node1".to_owned(),
        epoch: 1,
        mark: None,
        volumes: vec!["team-a_demo_etcd-0-data-e1".to_owned()],
        directories: Vec::new(),
        claim: None,
    };
    Ledger {
        owner_uid: owner.to_owned(),
        members: BTreeMap::from([("etcd-0".to_owned(), member)]),
        last_epoch: 1,
        first_epoch: 1,
        generated_secrets: made(),
        ..Ledger::default()
    }
}

/// A store with one cluster and all that belongs to it, and things that do not.
async fn lived_in() -> Client {
    let client = server().await;
    Ledgers::new(client.clone(), Home::System)
        .ensure_namespace()
        .await
        .expect("namespace");
    create(&client, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team-a", "labels": { "a": "b" } } })).await;
    create(
        &client,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "unrelated" } }),
    )
    .await;
    for name in ["demo-minio", "demo-gateway", "somebody-elses"] {
        create(&client, secret(name, name)).await;
    }
    create(&client, json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "namespace": ledger_store::NAMESPACE, "name": "other" },
        "data": { "a": "b" },
    }))
    .await;
    create(&client, cluster("team-a", "demo")).await;
    let owner = stored(&client, milvus_crds::KIND, "demo").await["metadata"]["uid"]
        .as_str()
        .expect("uid")
        .to_owned();
    Ledgers::new(client.clone(), Home::System)
        .write(&ClusterKey::new("team-a", "demo"), &ledger(&owner), None)
        .await
        .expect("ledger");
    client
}

async fn stored(client: &Client, kind: &str, name: &str) -> Value {
    let namespace = match kind {
        "Namespace" => None,
        "ConfigMap" => Some(ledger_store::NAMESPACE),
        _ => Some("team-a"),
    };
    get(client, kind, namespace, name)
        .await
        .expect("read")
        .unwrap_or_else(|| unreachable!("{kind} {name} must be there"))
}

/// Through the text of a file and back.
fn through_yaml(items: Vec<Value>) -> Vec<Value> {
    let root = tempfile::tempdir().expect("tempdir");
    let path = root.path().join("export.yaml");
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    keys::write_private(&path, &serde_saphyr::to_string(&list).expect("yaml")).expect("write");
    let documents = super::super::manifest::documents(&[path], false).expect("read");
    documents.into_iter().map(|d| d.value).collect()
}

async fn exported(client: &Client, include_secrets: bool) -> Vec<Value> {
    through_yaml(
        collect(client, include_secrets)
            .await
            .expect("collect")
            .items,
    )
}

fn names(items: &[Value]) -> Vec<String> {
    items.iter().map(what).collect()
}

async fn import_into(
    client: &Client,
    items: &[Value],
    options: Options,
) -> Result<Restored, TransferError> {
    restore(client, items.to_vec(), &options).await
}

#[tokio::test]
async fn an_export_holds_what_the_clusters_need_and_nothing_else() {
    let client = lived_in().await;
    let found = collect(&client, true).await.expect("collect");
    assert_eq!(
        names(&found.items),
        [
            "Namespace milvus-system",
            "Namespace team-a",
            "Secret team-a/demo-gateway",
            "Secret team-a/demo-minio",
            "ConfigMap milvus-system/ledger.team-a.demo",
            "MilvusCluster team-a/demo",
        ]
    );
    assert_eq!(
        found.summary(true),
        "exported 1 clusters, 1 ledgers, 2 Secrets\nwarning: the file holds credentials in clear: keep it as you keep passwords\n\
         left out, because no cluster refers to them: ConfigMap milvus-system/other, Secret team-a/somebody-elses; copy them with kubectl get -o yaml\n"
    );
    let text = serde_json::to_string(&found.items).expect("text");
    for server_set in [
        "uid\"",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "last-applied",
        "finalizers",
        "\"status\"",
    ] {
        assert!(!text.contains(server_set), "{server_set} in {text}");
    }

    let without = collect(&client, false).await.expect("collect");
    assert!(
        !names(&without.items)
            .iter()
            .any(|n| n.starts_with("Secret"))
    );
    assert!(
        without
            .summary(false)
            .contains("team-a/demo-gateway, team-a/demo-minio"),
        "{}",
        without.summary(false)
    );
}

/// The resource is gone, its data and what opens it are not: the ledger alone names them.
#[tokio::test]
async fn an_export_holds_the_credentials_of_data_that_was_kept() {
    let client = server().await;
    let ledgers = Ledgers::new(client.clone(), Home::System);
    create(
        &client,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team-a" } }),
    )
    .await;
    for name in ["demo-minio", "demo-gateway", "somebody-elses"] {
        create(&client, secret(name, name)).await;
    }
    ledgers.ensure_namespace().await.expect("namespace");
    ledgers
        .write(&ClusterKey::new("team-a", "demo"), &ledger(""), None)
        .await
        .expect("write the ledger");
    let found = collect(&client, true).await.expect("collect");
    assert_eq!(
        names(&found.items),
        [
            "Namespace milvus-system",
            "Namespace team-a",
            "Secret team-a/demo-gateway",
            "Secret team-a/demo-minio",
            "ConfigMap milvus-system/ledger.team-a.demo",
        ]
    );
}

#[tokio::test]
async fn a_new_store_gets_everything_and_the_cluster_adopts_its_data() {
    let old = lived_in().await;
    let items = exported(&old, true).await;
    let new = server().await;
    let restored = import_into(&new, &items, Options::default())
        .await
        .expect("import");
    assert_eq!(restored.created.len(), 6);
    assert_eq!(restored.adopting, ["team-a/demo"]);
    assert!(
        restored
            .summary()
            .contains("spec.adopt is now true for team-a/demo")
    );

    let (before, after) = (
        stored(&old, milvus_crds::KIND, "demo").await,
        stored(&new, milvus_crds::KIND, "demo").await,
    );
    let mut expected = portable(&before);
    expected["spec"]["adopt"] = json!(true);
    assert_eq!(portable(&after), expected);
    assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert_eq!(
        stored(&new, "Secret", "demo-minio").await["data"],
        stored(&old, "Secret", "demo-minio").await["data"]
    );
    assert_eq!(
        stored(&new, "Namespace", "team-a").await["metadata"]["labels"]["a"],
        "b"
    );
    // The ledger is as it was, but nobody's: the operator gives it to the resource that adopts.
    let read = Ledgers::new(new.clone(), Home::System)
        .read(&ClusterKey::new("team-a", "demo"))
        .await
        .expect("ledger")
        .expect("ledger")
        .ledger;
    assert_eq!(read, ledger(""));
    assert!(read.is_retained());

    // Again, as after a failure half-way: nothing is written.
    let versions =
        stored(&new, milvus_crds::KIND, "demo").await["metadata"]["resourceVersion"].clone();
    let again = import_into(
        &new,
        &items,
        Options {
            overwrite: true,
            ..Options::default()
        },
    )
    .await
    .expect("again");
    assert_eq!(again.created, Vec::<String>::new());
    assert_eq!(
        stored(&new, milvus_crds::KIND, "demo").await["metadata"]["resourceVersion"],
        versions
    );
}

#[tokio::test]
async fn what_is_there_is_replaced_only_when_asked() {
    let items = exported(&lived_in().await, true).await;
    let new = server().await;
    create(
        &new,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team-a" } }),
    )
    .await;
    create(&new, secret("demo-minio", "another")).await;
    create(&new, cluster("team-a", "demo")).await;
    let error = import_into(&new, &items, Options::default())
        .await
        .expect_err("must be refused")
        .to_string();
    assert!(
        error.contains("Secret team-a/demo-minio, MilvusCluster team-a/demo"),
        "{error}"
    );
    assert!(
        get(&new, "Secret", Some("team-a"), "demo-gateway")
            .await
            .expect("read")
            .is_none(),
        "nothing was written"
    );

    let present = stored(&new, milvus_crds::KIND, "demo").await;
    let done = import_into(
        &new,
        &items,
        Options {
            overwrite: true,
            ..Options::default()
        },
    )
    .await
    .expect("import");
    assert_eq!(
        done.replaced,
        ["Secret team-a/demo-minio", "MilvusCluster team-a/demo"]
    );
    let replaced = stored(&new, milvus_crds::KIND, "demo").await;
    assert_eq!(replaced["metadata"]["uid"], present["metadata"]["uid"]);
    assert_eq!(
        replaced["metadata"]["finalizers"],
        json!(["operator.milvus.io/cluster"]),
        "the operator's hold stays"
    );
    // The resource that was there goes on holding the ledger.
    let held = ledger_in(&stored(&new, "ConfigMap", "ledger.team-a.demo").await).expect("ledger");
    assert_eq!(
        held.owner_uid,
        present["metadata"]["uid"].as_str().expect("uid")
    );
}

#[tokio::test]
async fn secrets_that_are_nowhere_stop_an_import() {
    let items = exported(&lived_in().await, false).await;
    let new = server().await;
    let error = import_into(&new, &items, Options::default())
        .await
        .expect_err("must be refused")
        .to_string();
    assert!(
        error.contains("team-a/demo-gateway, team-a/demo-minio"),
        "{error}"
    );
    assert!(
        get(&new, "Namespace", None, "team-a")
            .await
            .expect("read")
            .is_none(),
        "nothing was written"
    );
    import_into(
        &new,
        &items,
        Options {
            without_secrets: true,
            ..Options::default()
        },
    )
    .await
    .expect("import");

    // Or they are in the store already.
    let other = server().await;
    create(
        &other,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team-a" } }),
    )
    .await;
    for name in ["demo-minio", "demo-gateway"] {
        create(&other, secret(name, name)).await;
    }
    import_into(&other, &items, Options::default())
        .await
        .expect("import");
}

#[tokio::test]
async fn another_swarm_has_other_node_ids() {
    let items = exported(&lived_in().await, true).await;
    let nodes = |name: &str| Options {
        nodes: Some(BTreeMap::from([(name.to_owned(), "new-id".to_owned())])),
        ..Options::default()
    };
    let new = server().await;
    let error = import_into(&new, &items, nodes("node7"))
        .await
        .expect_err("must be refused")
        .to_string();
    assert!(error.contains("named node1"), "{error}");
    import_into(&new, &items, nodes("node1"))
        .await
        .expect("import");
    let moved = ledger_in(&stored(&new, "ConfigMap", "ledger.team-a.demo").await).expect("ledger");
    assert_eq!(moved.members["etcd-0"].node, "new-id");
}

#[tokio::test]
async fn strangers_in_the_file_are_refused() {
    let new = server().await;
    for stranger in [
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a" } }),
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a", "namespace": "default" } }),
        json!({ "apiVersion": "milvus.io/v1beta1", "kind": "MilvusCluster", "metadata": { "name": "a" } }),
    ] {
        assert!(matches!(
            import_into(&new, &[stranger], Options::default()).await,
            Err(TransferError::Kind { .. })
        ));
    }
}

#[tokio::test]
async fn an_export_of_the_same_store_changes_nothing() {
    let client = lived_in().await;
    let items = exported(&client, true).await;
    let restored = import_into(&client, &items, Options::default())
        .await
        .expect("import");
    assert_eq!(
        (restored.same, restored.adopting.len()),
        (6, 0),
        "{restored:?}"
    );
    assert!(restored.created.is_empty() && restored.replaced.is_empty());

    // Neither does one that was imported, once its cluster has its ledger.
    let new = server().await;
    import_into(&new, &items, Options::default())
        .await
        .expect("import");
    let uid = stored(&new, milvus_crds::KIND, "demo").await["metadata"]["uid"].clone();
    Ledgers::new(new.clone(), Home::System)
        .write(
            &ClusterKey::new("team-a", "demo"),
            &ledger(uid.as_str().expect("uid")),
            None,
        )
        .await
        .expect("ledger");
    let again = import_into(&new, &items, Options::default())
        .await
        .expect("import");
    assert_eq!((again.same, again.adopting.len()), (6, 0), "{again:?}");
}

#[test]
fn a_file_that_is_empty_or_cut_off_is_refused_with_its_place() {
    let root = tempfile::tempdir().expect("tempdir");
    let path = root.path().join("export.yaml");
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "a" } }, cluster("a", "demo"),
    ] });
    let text = serde_saphyr::to_string(&list).expect("yaml");
    let refused = |text: &str| {
        std::fs::write(&path, text).expect("write");
        let documents = super::super::manifest::documents(std::slice::from_ref(&path), false);
        let values: Vec<Value> = match documents {
            Ok(documents) => documents.into_iter().map(|d| d.value).collect(),
            Err(error) => return Some(error.to_string()),
        };
        let result = complete(&path, &values);
        result.err().map(|error| error.to_string())
    };
    assert_eq!(refused(&text), None);
    for empty in [
        "",
        "---\n",
        "# nothing\n",
        "apiVersion: v1\nkind: List\nitems: []\n",
    ] {
        let error = refused(empty).expect("refused");
        assert!(error.ends_with("holds nothing to import"), "{error}");
    }
    let lines: Vec<&str> = text.lines().collect();
    // The last line is the list's kind: without it, or with less, something is missing.
    for length in 1..lines.len() {
        let cut = lines.iter().take(length).map(|line| format!("{line}\n"));
        let error = refused(&cut.collect::<String>()).expect("refused");
        assert!(
            error.contains("export.yaml") && !error.contains("  "),
            "{length}: {error}"
        );
    }
    let error = refused("apiVersion: v1\nkind: Namespace\n").expect("refused");
    assert!(
        error.contains("object 1 (Namespace) has no metadata.name"),
        "{error}"
    );
}
