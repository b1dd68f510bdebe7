//! What every pass shares.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use kube::Client;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use milvus_core::names::ClusterKey;
use milvus_core::prefixes::Prefixes;
use milvus_crds::{MilvusCluster, MilvusClusterStatus};
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
    /// What this operator has written, to tell it from what others write.
    written: RwLock<BTreeMap<ClusterKey, Written>>,
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

/// What this operator wrote of one cluster, and what the watch shows.
#[derive(Default)]
struct Written {
    /// The last statuses, as hashes: the watch may lag behind.
    statuses: VecDeque<u64>,
    /// The version of the ledger that was written last.
    ledger: Option<String>,
    /// The version of the ledger that the watch showed last.
    ledger_shown: Option<String>,
}

/// Statuses of this operator that are remembered: the last written, and those that a lagging watch may still show.
const STATUSES: usize = 4;

fn hash_of(status: Option<&MilvusClusterStatus>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let text = status.and_then(|status| serde_json::to_string(status).ok());
    text.hash(&mut hasher);
    hasher.finish()
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

    fn of_written<T>(&self, key: &ClusterKey, change: impl FnOnce(&mut Written) -> T) -> T {
        let mut all = self.written.write().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(key.clone()).or_default())
    }

    /// A status is about to be written over the one that stands.
    pub(crate) fn writes_status(
        &self,
        key: &ClusterKey,
        old: Option<&MilvusClusterStatus>,
        new: &MilvusClusterStatus,
    ) {
        self.of_written(key, |written| {
            for hash in [hash_of(old), hash_of(Some(new))] {
                written.statuses.retain(|known| *known != hash);
                written.statuses.push_back(hash);
            }
            while written.statuses.len() > STATUSES {
                written.statuses.pop_front();
            }
        });
    }

    /// Whether a status is one that this operator wrote lately, or found when it did.
    pub(crate) fn is_own_status(
        &self,
        key: &ClusterKey,
        status: Option<&MilvusClusterStatus>,
    ) -> bool {
        let hash = hash_of(status);
        self.of_written(key, |written| written.statuses.contains(&hash))
    }

    /// A ledger was written.
    pub(crate) fn wrote_ledger(&self, key: &ClusterKey, version: Option<String>) {
        self.of_written(key, |written| written.ledger = version);
    }

    /// The version of the ledger that was written last.
    pub(crate) fn written_ledger(&self, key: &ClusterKey) -> Option<String> {
        self.of_written(key, |written| written.ledger.clone())
    }

    /// The watch shows a ledger in this version, or (`None`) that it is gone. Gives whether another has done that.
    pub fn show_ledger(&self, key: &ClusterKey, version: Option<String>) -> bool {
        self.of_written(key, |written| {
            let foreign = version != written.ledger;
            written.ledger_shown = version;
            foreign
        })
    }

    /// The version of the ledger that the watch showed last.
    pub(crate) fn shown_ledger(&self, key: &ClusterKey) -> Option<String> {
        self.of_written(key, |written| written.ledger_shown.clone())
    }

    /// A resource that went.
    pub fn remove(&self, key: &ClusterKey) -> Option<Arc<MilvusCluster>> {
        let mut written = self.written.write().unwrap_or_else(PoisonError::into_inner);
        // What the watch shows of a ledger stays true: the ledger outlives the resource.
        if let Some(written) = written.get_mut(key) {
            written.statuses.clear();
        }
        drop(written);
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

#[cfg(test)]
mod tests {
    use milvus_crds::Phase;

    use super::*;

    #[test]
    fn what_others_write_is_told_from_our_own() {
        let resources = Resources::default();
        let key = ClusterKey::new("default", "demo");
        let status = |phase| MilvusClusterStatus {
            phase: Some(phase),
            ..MilvusClusterStatus::default()
        };
        let (creating, ready) = (status(Phase::Creating), status(Phase::Ready));
        assert!(!resources.is_own_status(&key, Some(&creating)));
        resources.writes_status(&key, None, &creating);
        resources.writes_status(&key, Some(&creating), &ready);
        // The watch may lag behind.
        for own in [None, Some(&creating), Some(&ready)] {
            assert!(resources.is_own_status(&key, own), "{own:?}");
        }
        assert!(!resources.is_own_status(&key, Some(&status(Phase::Pending))));

        let version = |n: u8| Some(n.to_string());
        resources.wrote_ledger(&key, version(7));
        assert!(!resources.show_ledger(&key, version(7)));
        assert!(resources.show_ledger(&key, version(8)));
        assert_eq!(resources.shown_ledger(&key), version(8));
    }
}
