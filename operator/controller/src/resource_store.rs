//! What a pass asks of the API that holds resources, as a seam: the client of an API server in the product, a store in memory in
//! the simulator. Objects go in and out as the API has them; what they mean is decided by the callers.

use std::future::Future;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::core::PartialObjectMeta;
use kube::{Client, Resource, ResourceExt};
use milvus_core::status::EventNote;
use milvus_crds::{MilvusCluster, MilvusClusterStatus};
use serde_json::json;

use jiff::Timestamp;

use crate::ledger_store;
use crate::report::{self, FIELD_MANAGER};

/// What a call gives, or how the API refused it.
type Answer<T> = Result<T, kube::Error>;

/// The API that holds resources, as far as a pass uses it.
pub trait ResourceStore: Clone + Send + Sync + 'static {
    /// Writes `status` to this very resource, not to another of its name.
    fn write_status(
        &self,
        resource: &MilvusCluster,
        status: &MilvusClusterStatus,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// Sets the finalizers of a resource that is still in the version of `resource`.
    fn set_finalizers(
        &self,
        resource: &MilvusCluster,
        finalizers: &[String],
    ) -> impl Future<Output = Answer<()>> + Send;

    /// Posts an event about a resource.
    fn post_event(
        &self,
        resource: &MilvusCluster,
        note: &EventNote,
        at: Timestamp,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// Reads a Secret; `None` when there is none.
    fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Answer<Option<Secret>>> + Send;

    /// Makes a Secret. One of this name is a conflict.
    fn create_secret(
        &self,
        namespace: &str,
        secret: &Secret,
    ) -> impl Future<Output = Answer<Secret>> + Send;

    /// Removes a Secret if it still has this uid.
    fn delete_secret(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<String>,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// Reads a ConfigMap; `None` when there is none.
    fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Answer<Option<ConfigMap>>> + Send;

    /// Makes a ConfigMap. One of this name is a conflict.
    fn create_config_map(
        &self,
        namespace: &str,
        object: &ConfigMap,
    ) -> impl Future<Output = Answer<ConfigMap>> + Send;

    /// Replaces a ConfigMap; a conflict where it carries a version that is not the present one.
    fn replace_config_map(
        &self,
        namespace: &str,
        object: &ConfigMap,
    ) -> impl Future<Output = Answer<ConfigMap>> + Send;

    /// Makes a namespace when it is missing. In the simulator it never is.
    fn ensure_namespace(&self, _name: &str) -> impl Future<Output = Answer<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Removes a ConfigMap, with the finalizer that keeps a ledger.
    fn delete_config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Answer<()>> + Send;
}

/// Answers tell nothing that is asked: no more of them is read than metadata.
fn clusters(client: &Client, resource: &MilvusCluster) -> Api<PartialObjectMeta<MilvusCluster>> {
    Api::namespaced(client.clone(), &resource.namespace().unwrap_or_default())
}

fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

impl ResourceStore for Client {
    async fn write_status(
        &self,
        resource: &MilvusCluster,
        status: &MilvusClusterStatus,
    ) -> Answer<()> {
        let patch = serde_json::from_value(json!([
            { "op": "test", "path": "/metadata/uid", "value": resource.meta().uid },
            { "op": "add", "path": "/status", "value": status },
        ]))
        .map_err(kube::Error::SerdeError)?;
        let patch = Patch::Json::<()>(patch);
        let api = clusters(self, resource);
        let (name, params) = (resource.name_any(), params());
        let written = api.patch_status(&name, &params, &patch).await;
        written.map(|_| ())
    }

    async fn set_finalizers(&self, resource: &MilvusCluster, finalizers: &[String]) -> Answer<()> {
        // With the resource version: a foreign finalizer that came in between is not lost.
        let patch = json!({ "metadata": { "finalizers": finalizers, "resourceVersion": resource.meta().resource_version } });
        let api = clusters(self, resource);
        let patch = Patch::Merge(patch);
        let (name, params) = (resource.name_any(), params());
        let written = api.patch(&name, &params, &patch).await;
        written.map(|_| ())
    }

    async fn post_event(
        &self,
        resource: &MilvusCluster,
        note: &EventNote,
        at: Timestamp,
    ) -> Answer<()> {
        let api = Api::namespaced(self.clone(), &resource.namespace().unwrap_or_default());
        let event = report::event(resource, note, at);
        let posted = api.create(&PostParams::default(), &event).await;
        posted.map(|_| ())
    }

    async fn secret(&self, namespace: &str, name: &str) -> Answer<Option<Secret>> {
        Api::namespaced(self.clone(), namespace).get_opt(name).await
    }

    async fn create_secret(&self, namespace: &str, secret: &Secret) -> Answer<Secret> {
        let api = Api::namespaced(self.clone(), namespace);
        api.create(&PostParams::default(), secret).await
    }

    async fn delete_secret(&self, namespace: &str, name: &str, uid: Option<String>) -> Answer<()> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid,
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let api: Api<Secret> = Api::namespaced(self.clone(), namespace);
        api.delete(name, &params).await.map(|_| ())
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Answer<Option<ConfigMap>> {
        Api::namespaced(self.clone(), namespace).get_opt(name).await
    }

    async fn create_config_map(&self, namespace: &str, object: &ConfigMap) -> Answer<ConfigMap> {
        let api = Api::namespaced(self.clone(), namespace);
        api.create(&PostParams::default(), object).await
    }

    async fn replace_config_map(&self, namespace: &str, object: &ConfigMap) -> Answer<ConfigMap> {
        let api = Api::namespaced(self.clone(), namespace);
        api.replace(&object.name_any(), &PostParams::default(), object)
            .await
    }

    async fn ensure_namespace(&self, name: &str) -> Answer<()> {
        let api: Api<Namespace> = Api::all(self.clone());
        if api.get_opt(name).await?.is_some() {
            return Ok(());
        }
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        match api.create(&PostParams::default(), &namespace).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            made => made.map(|_| ()),
        }
    }

    async fn delete_config_map(&self, namespace: &str, name: &str) -> Answer<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.clone(), namespace);
        if let Some(mut found) = api.get_opt(name).await? {
            let finalizers = found.finalizers_mut();
            let before = finalizers.len();
            finalizers.retain(|finalizer| finalizer != ledger_store::KEPT);
            if finalizers.len() < before {
                let replaced = api.replace(name, &PostParams::default(), &found).await?;
                if replaced.meta().deletion_timestamp.is_some() {
                    return Ok(()); // it was only waiting for that
                }
            }
        }
        let deleted = api.delete(name, &DeleteParams::default()).await;
        deleted.map(|_| ())
    }
}
