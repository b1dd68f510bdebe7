//! What every pass shares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use kube::Client;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use milvus_core::names::ClusterKey;
use milvus_core::prefixes::Prefixes;
use milvus_crds::MilvusCluster;
use milvus_platform::Backend;
use milvus_probes::ExternalAnswers;
use tokio::sync::watch;

use crate::ledger_store::Ledgers;
use crate::metrics::Metrics;
use crate::seams::Seams;
use crate::turns::Turns;

/// Shared by all workers.
pub struct Context<B: Backend, S = Client> {
    /// The API that holds resources.
    pub client: S,
    /// The platform.
    pub backend: B,
    /// What is counted.
    pub metrics: Metrics,
    /// The resources as the watch last showed them.
    pub resources: Resources,
    /// The versions of Secrets as the watch last showed them.
    pub secrets: SecretVersions,
    /// The ledgers.
    pub ledgers: Ledgers<S>,
    /// Where the operator looks.
    pub namespaces: Namespaces,
    /// The image of gateways, where the platform needs them.
    pub gateway_image: String,
    /// Who may work now.
    pub turns: Turns,
    /// The time, new credentials, the answers of processes.
    pub seams: Seams,
    /// What services that somebody else runs have answered lately.
    pub external: ExternalAnswers,
}

/// Where the operator looks.
#[derive(Clone, Debug, Default)]
pub struct Namespaces(pub Vec<String>);

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
pub struct Resources {
    known: RwLock<BTreeMap<ClusterKey, Known>>,
    /// The first list of each namespace that the operator looks at; `None` stands for all of them.
    lists: watch::Sender<BTreeMap<Option<String>, FirstList>>,
}

/// What became of the first list of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstList {
    /// It has not come to its end.
    Awaited,
    /// The API server refuses it: the Role is missing there. No resource of it is looked after, so that none can be in the way of
    /// others.
    Refused,
    /// It is known.
    Done,
}

/// A resource, and what the passes of all others want to know of it.
pub(crate) struct Known {
    pub(crate) resource: Arc<MilvusCluster>,
    /// Its places on external services: made once for each of its generations, because everybody compares them.
    pub(crate) prefixes: Arc<Prefixes>,
    /// It was the first to claim them.
    pub(crate) holds_prefixes: bool,
}

impl Resources {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<ClusterKey, Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<ClusterKey, Known>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: &ClusterKey) -> Option<Arc<MilvusCluster>> {
        self.read().get(key).map(|known| known.resource.clone())
    }

    /// A resource that came or changed. Gives what was known of it.
    pub fn put(&self, key: ClusterKey, resource: Arc<MilvusCluster>) -> Option<Arc<MilvusCluster>> {
        let mut all = self.write();
        let same = |old: &&Known| {
            let (old, new) = (old.resource.meta(), resource.meta());
            old.uid == new.uid && old.generation == new.generation
        };
        let (prefixes, holds_prefixes) = match all.get(&key).filter(same) {
            Some(old) => (old.prefixes.clone(), old.holds_prefixes),
            None => (Arc::new(Prefixes::of(&resource)), false),
        };
        let known = Known {
            resource,
            prefixes,
            holds_prefixes,
        };
        all.insert(key, known).map(|old| old.resource)
    }

    /// A resource that went.
    pub fn remove(&self, key: &ClusterKey) -> Option<Arc<MilvusCluster>> {
        self.write().remove(key).map(|old| old.resource)
    }

    pub(crate) fn all(&self) -> Vec<(ClusterKey, Arc<MilvusCluster>)> {
        self.read()
            .iter()
            .map(|(key, known)| (key.clone(), known.resource.clone()))
            .collect()
    }

    /// Looks at all of them while nobody else does: what one is given, no other takes at the same time.
    pub(crate) fn among<T>(&self, decide: impl FnOnce(&mut BTreeMap<ClusterKey, Known>) -> T) -> T {
        decide(&mut self.write())
    }

    /// The namespaces that are looked at; nothing is known of them yet.
    pub(crate) fn expect(&self, scopes: impl IntoIterator<Item = Option<String>>) {
        let scopes = scopes.into_iter().map(|scope| (scope, FirstList::Awaited));
        self.lists.send_replace(scopes.collect());
    }

    /// What became of a list. Gives true when this is news: of one that was known once, a refusal is none.
    pub(crate) fn list(&self, scope: &Option<String>, became: FirstList) -> bool {
        self.lists.send_if_modified(|lists| {
            let known = lists.entry(scope.clone()).or_insert(FirstList::Awaited);
            let news = *known != became && *known != FirstList::Done;
            if news {
                *known = became;
            }
            news
        })
    }

    /// Every list has come to its end.
    pub fn set_listed(&self) {
        self.lists
            .send_modify(|lists| lists.values_mut().for_each(|l| *l = FirstList::Done));
    }

    /// Whether every list has come to its end, or cannot.
    pub(crate) fn listed(&self) -> bool {
        self.awaited().is_empty()
    }

    /// The namespaces whose resources are not known yet; `*` for all of them.
    pub(crate) fn awaited(&self) -> Vec<String> {
        awaited(&self.lists.borrow())
    }

    /// Waits until every list has come to its end, for `limit` at most.
    pub(crate) async fn listed_within(&self, limit: Duration) -> bool {
        let mut lists = self.lists.subscribe();
        let listed = lists.wait_for(|lists| awaited(lists).is_empty());
        // The sender is in `self`, so there is always an answer.
        tokio::time::timeout(limit, listed).await.is_ok()
    }
}

fn awaited(lists: &BTreeMap<Option<String>, FirstList>) -> Vec<String> {
    let awaited = lists.iter().filter(|(_, l)| **l == FirstList::Awaited);
    let names = awaited.map(|(scope, _)| scope.clone().unwrap_or_else(|| "*".to_owned()));
    names.collect()
}

/// Which version of each Secret there is, as the watch last showed: a Secret is read again only when it changed, so that a pass
/// at rest asks nothing of the API server. Contents are never kept here.
#[derive(Default)]
pub struct SecretVersions(RwLock<Listed>);

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
    pub fn replace(&self, scope: Option<&str>, all: BTreeMap<(String, String), String>) {
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
