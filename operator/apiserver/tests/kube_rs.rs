//! The Rust client in process, as the operator uses it: typed calls, finalizer, recorder, watcher and
//! controller, all over the router and without a socket.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::{StreamExt, TryStreamExt};
use http::Request;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams,
    PropagationPolicy,
};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event as Note, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{Event as Finalizer, finalizer};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{Controller, WatchStreamExt};
use kube::{Client, ResourceExt};
use milvus_apiserver::store::memory::MemoryStore;
use milvus_apiserver::{ApiServer, Authenticator, Identity};
use serde_json::json;
use tower::ServiceBuilder;

fn client(server: &ApiServer) -> Client {
    let service = ServiceBuilder::new()
        .map_request(|request: Request<kube::client::Body>| {
            let mut request = request.map(Body::new);
            request
                .extensions_mut()
                .insert(Identity::in_process("operator"));
            request
        })
        .service(server.router());
    Client::new(service, "default")
}

fn kind() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("test.example.io", "v1beta1", "Gadget"),
        "gadgets",
    )
}

fn gadget(name: &str) -> DynamicObject {
    DynamicObject::new(name, &kind()).data(json!({"spec": {"version": "v1.0"}}))
}

#[tokio::test]
async fn typed_calls_work() {
    let server = support::build(MemoryStore::new()).await;
    let client = client(&server);
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("a".into()),
            ..ObjectMeta::default()
        },
        data: Some([("k".to_owned(), "v".to_owned())].into()),
        ..ConfigMap::default()
    };
    let made = maps.create(&PostParams::default(), &map).await.unwrap();
    assert_eq!(made.data, map.data);
    let refused = maps.create(&PostParams::default(), &map).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.is_already_exists()));
    assert!(maps.get_opt("nobody").await.unwrap().is_none());
    let replaced = maps
        .replace("a", &PostParams::default(), &made)
        .await
        .unwrap();
    assert_eq!(replaced.resource_version(), made.resource_version());
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(
        maps.list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let version = client.apiserver_version().await.unwrap();
    assert_eq!(
        (version.major.as_str(), version.minor.as_str()),
        ("1", "32")
    );
    let secrets: Api<Secret> = Api::namespaced(client, "kube-system");
    let patched = secrets
        .patch("nobody", &PatchParams::default(), &Patch::Merge(json!({})))
        .await
        .unwrap_err();
    assert!(matches!(patched, kube::Error::Api(status) if status.is_not_found()));
}

#[tokio::test]
async fn discovery_finds_the_kind() {
    let server = support::build(MemoryStore::new()).await;
    let client = client(&server);
    let gvk = GroupVersionKind::gvk("test.example.io", "v1beta1", "Gadget");
    let (resource, capabilities) = kube::discovery::pinned_kind(&client, &gvk).await.unwrap();
    assert_eq!(resource.plural, "gadgets");
    assert_eq!(capabilities.subresources.len(), 2);
    let discovery = kube::Discovery::new(client).run().await.unwrap();
    assert!(discovery.resolve_gvk(&gvk).is_some());
}

#[tokio::test]
async fn both_ways_of_watching_work() {
    let server = support::build(MemoryStore::new()).await;
    let client = client(&server);
    let gadgets: Api<DynamicObject> = Api::default_namespaced_with(client, &kind());
    gadgets
        .create(&PostParams::default(), &gadget("first"))
        .await
        .unwrap();
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let mut seen = watcher(gadgets.clone(), config).applied_objects().boxed();
        assert_eq!(seen.try_next().await.unwrap().unwrap().name_any(), "first");
        gadgets
            .create(&PostParams::default(), &gadget("later"))
            .await
            .unwrap();
        assert_eq!(seen.try_next().await.unwrap().unwrap().name_any(), "later");
        gadgets
            .delete("later", &DeleteParams::default())
            .await
            .unwrap();
    }
}

struct Context {
    client: Client,
    recorder: Recorder,
}

async fn reconcile(
    object: Arc<DynamicObject>,
    context: Arc<Context>,
) -> Result<Action, kube::Error> {
    let gadgets: Api<DynamicObject> = Api::default_namespaced_with(context.client.clone(), &kind());
    let maps: Api<ConfigMap> = Api::default_namespaced(context.client.clone());
    let handle = |event: Finalizer<DynamicObject>| async {
        match event {
            Finalizer::Apply(object) => {
                let owner = json!({
                    "apiVersion": "test.example.io/v1beta1", "kind": "Gadget",
                    "name": object.name_any(), "uid": object.uid(), "controller": true,
                });
                let child: ConfigMap = serde_json::from_value(json!({
                    "metadata": {"name": object.name_any(), "ownerReferences": [owner]},
                }))
                .map_err(kube::Error::SerdeError)?;
                match maps.create(&PostParams::default(), &child).await {
                    Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                    other => {
                        other?;
                        let note = Note {
                            type_: EventType::Normal,
                            reason: "Made".into(),
                            note: Some("made the child".into()),
                            action: "Reconcile".into(),
                            secondary: None,
                        };
                        let reference = kube::Resource::object_ref(&*object, &kind());
                        context.recorder.publish(&note, &reference).await?;
                    }
                }
                let status = json!({"status": {"phase": "Ready"}});
                gadgets
                    .patch_status(
                        &object.name_any(),
                        &PatchParams::default(),
                        &Patch::Merge(status),
                    )
                    .await?;
            }
            Finalizer::Cleanup(object) => {
                maps.delete(&object.name_any(), &DeleteParams::default())
                    .await?;
            }
        }
        Ok::<_, kube::Error>(Action::await_change())
    };
    finalizer(&gadgets, "test.example.io/cleanup", object, handle)
        .await
        .map_err(|error| match error {
            kube::runtime::finalizer::Error::ApplyFailed(error)
            | kube::runtime::finalizer::Error::CleanupFailed(error)
            | kube::runtime::finalizer::Error::AddFinalizer(error)
            | kube::runtime::finalizer::Error::RemoveFinalizer(error) => error,
            other => panic!("{other}"),
        })
}

async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come true");
}

#[tokio::test]
async fn a_controller_reconciles_repairs_and_cleans_up() {
    let server = support::build(MemoryStore::new()).await;
    let client = client(&server);
    let gadgets: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &kind());
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let context = Arc::new(Context {
        client: client.clone(),
        recorder: Recorder::new(client.clone(), Reporter::from("test")),
    });
    let controller = Controller::new_with(gadgets.clone(), watcher::Config::default(), kind())
        .owns(maps.clone(), watcher::Config::default())
        .run(
            reconcile,
            |_, error, _| {
                eprintln!("reconcile: {error}");
                Action::requeue(Duration::from_millis(100))
            },
            context,
        )
        .for_each(|_| async {});
    let running = tokio::spawn(controller);
    gadgets
        .create(&PostParams::default(), &gadget("demo"))
        .await
        .unwrap();
    until("ready", || async {
        gadgets.get("demo").await.unwrap().data["status"]["phase"] == "Ready"
    })
    .await;
    let demo = gadgets.get("demo").await.unwrap();
    assert_eq!(demo.finalizers(), ["test.example.io/cleanup"]);
    let events: Api<Event> = Api::default_namespaced(client.clone());
    let notes = events
        .list(&ListParams::default().fields(&format!("involvedObject.uid={}", demo.uid().unwrap())))
        .await
        .unwrap();
    assert_eq!(notes.items[0].message.as_deref(), Some("made the child"));
    maps.delete("demo", &DeleteParams::default()).await.unwrap();
    until("the child back", || async {
        maps.get_opt("demo").await.unwrap().is_some()
    })
    .await;
    gadgets
        .delete("demo", &DeleteParams::default())
        .await
        .unwrap();
    until("gone", || async {
        gadgets.get_opt("demo").await.unwrap().is_none()
    })
    .await;
    assert!(maps.get_opt("demo").await.unwrap().is_none());
    running.abort();
}

/// Whoever holds an object by a finalizer sees until its end that what depends on it is to stay.
#[tokio::test]
async fn the_orphaning_finalizer_goes_last() {
    let server = support::build(MemoryStore::new()).await;
    let gadgets: Api<DynamicObject> = Api::default_namespaced_with(client(&server), &kind());
    let mut held = gadget("held");
    held.metadata.finalizers = Some(vec!["example.io/hold".into()]);
    gadgets.create(&PostParams::default(), &held).await.unwrap();
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    gadgets.delete("held", &orphan).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let going = gadgets.get("held").await.unwrap();
    assert_eq!(going.finalizers(), ["example.io/hold", "orphan"]);
    let release = json!({"metadata": {"finalizers": ["orphan"]}});
    gadgets
        .patch("held", &PatchParams::default(), &Patch::Merge(release))
        .await
        .unwrap();
    until("the object is gone", || async {
        gadgets.get_opt("held").await.unwrap().is_none()
    })
    .await;
}

#[tokio::test]
async fn requests_are_measured_and_watches_are_not() {
    let registry = prometheus::Registry::new();
    let server = ApiServer::builder()
        .crd(support::sample_crd())
        .store(Arc::new(MemoryStore::new()))
        .authenticator(Authenticator::new().unwrap())
        .metrics(registry.clone())
        .build()
        .await
        .unwrap();
    let gadgets: Api<DynamicObject> = Api::default_namespaced_with(client(&server), &kind());
    let made = gadgets.create(&PostParams::default(), &gadget("a")).await;
    made.unwrap();
    let watching = gadgets.watch(&Default::default(), "0").await.unwrap();
    drop(watching);
    let families = registry.gather();
    let measured: Vec<(Vec<&str>, u64)> = families
        .iter()
        .find(|f| f.name() == "milvus_operator_apiserver_request_duration_seconds")
        .unwrap()
        .get_metric()
        .iter()
        .map(|metric| {
            let labels = metric.get_label().iter().map(|label| label.value());
            (labels.collect(), metric.get_histogram().get_sample_count())
        })
        .collect();
    assert_eq!(measured, [(vec!["gadgets", "", "create"], 1)]);
}
