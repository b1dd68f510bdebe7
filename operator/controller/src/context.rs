//! What every pass shares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use kube::Client;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use milvus_core::names::ClusterKey;
use milvus_crds::MilvusCluster;
use milvus_platform::Backend;
use tokio_util::sync::CancellationToken;

use crate::ledger_store::Ledgers;
use crate::metrics::Metrics;
use crate::turns::Turns;

/// Shared by all workers.
pub(crate) struct Context<B: Backend> {
    pub client: Client,
    pub backend: B,
    pub metrics: Metrics,
    pub resources: Resources,
    pub secrets: SecretVersions,
    pub ledgers: Ledgers,
    pub namespaces: Namespaces,
    pub gateway_image: String,
    pub turns: Turns,
    /// Cancelled once another operator leads: what this one knows is of the past, and no pass goes on.
    pub superseded: CancellationToken,
}

/// Where the operator looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces(pub Vec<String>);

impl Namespaces {
    /// The API of a kind, once for each namespace, or once for all of them (`None`).
    pub(crate) fn apis<K>(&self, client: &Client) -> Vec<(Option<String>, Api<K>)>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        if self.0.is_empty() {
            return vec![(None, Api::all(client.clone()))];
        }
        let namespaces = self.0.iter();
        namespaces
            .map(|n| (Some(n.clone()), Api::namespaced(client.clone(), n)))
            .collect()
    }
}

/// The resources as the watch last showed them.
#[derive(Default)]
pub(crate) struct Resources(RwLock<BTreeMap<ClusterKey, Arc<MilvusCluster>>>);

impl Resources {
    pub(crate) fn get(&self, key: &ClusterKey) -> Option<Arc<MilvusCluster>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    pub(crate) fn put(
        &self,
        key: ClusterKey,
        resource: Arc<MilvusCluster>,
    ) -> Option<Arc<MilvusCluster>> {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, resource)
    }

    pub(crate) fn remove(&self, key: &ClusterKey) -> Option<Arc<MilvusCluster>> {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
    }

    pub(crate) fn all(&self) -> Vec<(ClusterKey, Arc<MilvusCluster>)> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.iter()
            .map(|(key, resource)| (key.clone(), resource.clone()))
            .collect()
    }
}

/// Which version of each Secret there is, as the watch last showed: a Secret is read again only when it changed, so that a pass
/// at rest asks nothing of the API server. Contents are never kept here.
#[derive(Default)]
pub(crate) struct SecretVersions(RwLock<Listed>);

#[derive(Default)]
struct Listed {
    /// Namespaces that have been listed; `None` stands for all of them.
    scopes: BTreeSet<Option<String>>,
    versions: BTreeMap<(String, String), String>,
}

/// What is known of a Secret without asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretVersion {
    /// The list is not there yet.
    Unknown,
    /// There is none of this name.
    Absent,
    /// It is there, in this version.
    At(String),
}

impl SecretVersions {
    fn write(&self) -> RwLockWriteGuard<'_, Listed> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(&self, namespace: &str, name: &str) -> SecretVersion {
        let listed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if !listed.scopes.contains(&None) && !listed.scopes.contains(&Some(namespace.to_owned())) {
            return SecretVersion::Unknown;
        }
        match listed
            .versions
            .get(&(namespace.to_owned(), name.to_owned()))
        {
            None => SecretVersion::Absent,
            Some(version) => SecretVersion::At(version.clone()),
        }
    }

    /// Everything that there is in a namespace (`None` for all), once it has been listed (again).
    pub(crate) fn replace(&self, scope: Option<&str>, all: BTreeMap<(String, String), String>) {
        let mut listed = self.write();
        listed
            .versions
            .retain(|(namespace, _), _| scope.is_some_and(|scope| scope != namespace));
        listed.versions.extend(all);
        listed.scopes.insert(scope.map(str::to_owned));
    }

    /// One that came or changed.
    pub(crate) fn put<K: ResourceExt>(&self, secret: &K) {
        let version = secret.resource_version().unwrap_or_default();
        self.write().versions.insert(secret_key(secret), version);
    }

    /// One that was made just now, before the watch shows it. Gives the version that it has.
    pub(crate) fn made<K: ResourceExt>(&self, secret: &K) -> SecretVersion {
        let version = secret.resource_version().unwrap_or_default();
        let mut listed = self.write();
        let known = listed.versions.entry(secret_key(secret));
        known.or_insert_with(|| version.clone());
        SecretVersion::At(version)
    }

    /// One that went.
    pub(crate) fn remove<K: ResourceExt>(&self, secret: &K) {
        self.write().versions.remove(&secret_key(secret));
    }
}

/// Namespace and name.
pub(crate) fn secret_key<K: ResourceExt>(secret: &K) -> (String, String) {
    (secret.namespace().unwrap_or_default(), secret.name_any())
}
