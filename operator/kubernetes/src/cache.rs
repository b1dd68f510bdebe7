//! What the API server told of the objects and pods of all clusters, as far as somebody asks for it: kept small, because there
//! may be thousands. Filled by `watch` and by the answers to our own writes; read by `observe`. No I/O.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use milvus_core::component::Component;
use milvus_core::names::ClusterKey;
use milvus_core::observed::{Difference, InstanceState};
use milvus_core::outline::ObjectId;

use crate::render::Native;
use crate::unstructured::Unstructured;
use crate::{Kind, drift};
pub(crate) use read::{cluster_of, marked, owner_uid, version};
use read::{older, read_object, read_pod};

/// How long an object of somebody else counts as being in the way until it is looked at again.
const IN_THE_WAY: Duration = Duration::from_secs(10);

/// One native object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) uid: String,
    pub(crate) version: Option<u64>,
    /// The version since which nothing but its status has changed: status is written all the time, and what is decided of an
    /// object rests on the rest of it.
    pub(crate) content: Option<u64>,
    /// When it was last heard of.
    heard: Instant,
    /// uid of the resource that owns it.
    pub(crate) owner: Option<String>,
    pub(crate) component: Option<Component>,
    pub(crate) deleting: bool,
    /// [`labels::REVISION`] of a workload.
    pub(crate) revision: Option<String>,
    /// [`labels::APPLIED`].
    pub(crate) applied: Option<String>,
    /// The object without its status and bookkeeping, as JSON.
    pub(crate) body: Box<[u8]>,
    pub(crate) state: State,
    /// Objects that it refers to.
    pub(crate) uses: BTreeSet<(Kind, String)>,
    /// The difference to the rendering with this hash, worked out once.
    pub(crate) judged: Option<(String, Option<Difference>)>,
    /// What of a rendering does not stay.
    pub(crate) kept: Option<Kept>,
}

/// Fields that stood otherwise in the API server's own answer to a write of them: admission (a webhook, a policy) rewrites them,
/// and one more write would end the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Hash of the rendering that was written.
    pub(crate) hash: String,
    /// All fields in which the answer differed from it.
    pub(crate) fields: Vec<String>,
}

/// What an object's status tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) replicas: Option<u32>,
    pub(crate) updating: bool,
    pub(crate) stalled: Option<String>,
    /// When the object was made.
    pub(crate) created: Option<Timestamp>,
    /// How a Job has ended, and when.
    pub(crate) ended: Option<(InstanceState, Option<Timestamp>)>,
    pub(crate) cluster_ip: Option<IpAddr>,
    /// Addresses of a load balancer.
    pub(crate) ingress: Vec<String>,
    /// Port on the nodes of a Service's first port.
    pub(crate) node_port: Option<u16>,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) uid: String,
    version: Option<u64>,
    heard: Instant,
    pub(crate) component: Component,
    pub(crate) ordinal: Option<u16>,
    pub(crate) node: Option<String>,
    pub(crate) host: Option<IpAddr>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) state: InstanceState,
    pub(crate) ready: bool,
    /// Has ended for good (phase Failed or Succeeded): its kubelet starts nothing in it any more.
    pub(crate) finished: bool,
    pub(crate) deleting: bool,
    /// When its deletion was asked for, and when its grace is over.
    pub(crate) grace: Option<(Timestamp, Timestamp)>,
    pub(crate) revision: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) image: String,
    /// Has data of its own.
    pub(crate) claims: bool,
    pub(crate) uses: BTreeSet<(Kind, String)>,
}

/// Everything of one cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) objects: BTreeMap<(Kind, String), Object>,
    pub(crate) pods: BTreeMap<String, Pod>,
    /// Objects of somebody else under one of our names, and when they were seen.
    pub(crate) foreign: BTreeMap<ObjectId, Instant>,
}

impl Known {
    fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.pods.is_empty() && self.foreign.is_empty()
    }

    /// Takes an object in; tells whether there is something new in it.
    fn put(&mut self, key: (Kind, String), object: Object) -> bool {
        self.foreign
            .remove(&ObjectId::new(key.0.name(), key.1.as_str()));
        let Some(old) = self.objects.get_mut(&key) else {
            self.objects.insert(key, object);
            return true;
        };
        old.heard = object.heard;
        if older(object.version, old.version) {
            return false;
        }
        let same =
            old.uid == object.uid && old.body == object.body && old.deleting == object.deleting;
        let news = !same || old.state != object.state;
        let judged = old.judged.take().filter(|_| same);
        let kept = old.kept.take().filter(|_| same);
        let content = if same { old.content } else { object.content };
        *old = Object {
            content,
            judged,
            kept,
            ..object
        };
        news
    }

    /// The same for a pod.
    fn put_pod(&mut self, name: String, pod: Pod) -> bool {
        let Some(old) = self.pods.get_mut(&name) else {
            self.pods.insert(name, pod);
            return true;
        };
        if older(pod.version, old.version) {
            old.heard = pod.heard;
            return false;
        }
        let before = std::mem::replace(old, pod);
        let same = Pod {
            version: before.version,
            heard: before.heard,
            ..old.clone()
        } == before;
        !same
    }
}

/// Namespace, name and uid.
fn identity(object: &Unstructured) -> Option<(String, String, String)> {
    let metadata = &object.metadata;
    Some((
        metadata.namespace.clone()?,
        metadata.name.clone()?,
        metadata.uid.clone()?,
    ))
}

/// The clusters that may have an object of this name: their own names are what it begins with, up to a dash.
fn namesakes<'a>(namespace: &'a str, name: &'a str) -> impl Iterator<Item = ClusterKey> + 'a {
    let dashes = name.match_indices('-');
    dashes.map(move |(at, _)| ClusterKey::new(namespace, &name[..at]))
}

/// All clusters.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<BTreeMap<ClusterKey, Known>>);

impl Cache {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ClusterKey, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads, and may note, what is known of a cluster.
    pub(crate) fn with<T>(&self, cluster: &ClusterKey, read: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.lock();
        let known = all.entry(cluster.clone()).or_default();
        let result = read(known);
        if known.is_empty() {
            all.remove(cluster);
        }
        result
    }

    /// Takes an object in. Gives the clusters for which there is something new in it. Whose it is says its owner; where that was
    /// taken off, it stays with those who had it; else its label says it.
    pub(crate) fn put(&self, kind: Kind, object: Unstructured) -> Vec<ClusterKey> {
        let stated = cluster_of(&object);
        let owned = owner_uid(&object).is_some();
        let Some((namespace, name, uid)) = identity(&object) else {
            return Vec::new();
        };
        let key = (kind, name);
        let mut all = self.lock();
        let known = |cluster: &ClusterKey| {
            let known: Option<&Known> = all.get(cluster);
            known.and_then(|k| k.objects.get(&key))
        };
        let at_home = stated.as_ref().is_some_and(|c| known(c).is_some());
        let holder = (!at_home)
            .then(|| namesakes(&namespace, &key.1).find(|c| known(c).is_some_and(|o| o.uid == uid)))
            .flatten();
        let cluster = match (&holder, stated) {
            (Some(holder), _) if !owned => holder.clone(),
            (_, Some(stated)) => stated,
            (_, None) => return Vec::new(),
        };
        let mut news = Vec::new();
        if let Some(holder) = holder.filter(|holder| *holder != cluster) {
            all.get_mut(&holder).map(|k| k.objects.remove(&key));
            news.push(holder);
        }
        let Some(object) = read_object(kind, object) else {
            return news;
        };
        if all.entry(cluster.clone()).or_default().put(key, object) {
            news.push(cluster);
        }
        news
    }

    /// Takes in an object that was found to be this cluster's, whatever it says itself.
    pub(crate) fn adopt(&self, cluster: &ClusterKey, kind: Kind, object: Unstructured) {
        let Some((_, name, _)) = identity(&object) else {
            return;
        };
        if let Some(object) = read_object(kind, object) {
            self.with(cluster, |known| known.put((kind, name), object));
        }
    }

    /// Forgets an object, unless a newer one has taken its place. Gives the cluster that had it.
    pub(crate) fn forget(&self, kind: Kind, object: &Unstructured) -> Option<ClusterKey> {
        let (namespace, name, uid) = identity(object)?;
        let key = (kind, name);
        let version = version(object);
        let mut all = self.lock();
        let gone = |o: &Object| o.uid == uid && !older(version, o.version);
        let holder = cluster_of(object)
            .into_iter()
            .chain(namesakes(&namespace, &key.1))
            .find(|c| {
                all.get(c)
                    .and_then(|k| k.objects.get(&key))
                    .is_some_and(gone)
            })?;
        all.get_mut(&holder)?.objects.remove(&key);
        Some(holder)
    }

    /// Takes a pod in. One that has lost its labels is nobody's any more: what made it makes another.
    pub(crate) fn put_pod(&self, pod: Unstructured) -> Vec<ClusterKey> {
        let stated = cluster_of(&pod);
        let Some((namespace, name, _)) = identity(&pod) else {
            return Vec::new();
        };
        let read = stated.as_ref().and_then(|_| read_pod(&pod));
        let mut all = self.lock();
        let mut news = Vec::new();
        for holder in namesakes(&namespace, &name) {
            let moved = stated.as_ref() != Some(&holder) || read.is_none();
            if moved
                && all
                    .get_mut(&holder)
                    .and_then(|k| k.pods.remove(&name))
                    .is_some()
            {
                news.push(holder);
            }
        }
        let (Some(cluster), Some(pod)) = (stated, read) else {
            return news;
        };
        let known = all.entry(cluster.clone()).or_default();
        if known.put_pod(name, pod) {
            news.push(cluster);
        }
        news
    }

    /// Forgets a pod.
    pub(crate) fn forget_pod(&self, pod: &Unstructured) -> Option<ClusterKey> {
        let (namespace, name, uid) = identity(pod)?;
        let mut all = self.lock();
        let holder = cluster_of(pod)
            .into_iter()
            .chain(namesakes(&namespace, &name))
            .find(|c| {
                let pod = all.get(c).and_then(|k| k.pods.get(&name));
                pod.is_some_and(|p| p.uid == uid)
            })?;
        all.get_mut(&holder)?.pods.remove(&name);
        Some(holder)
    }

    /// After a list of one kind (`None` for pods) in `namespace` (`None` for all) that began at `since`: what was not heard
    /// of since then is gone. Gives the clusters that lost something.
    pub(crate) fn retain(
        &self,
        kind: Option<Kind>,
        namespace: Option<&str>,
        since: Instant,
    ) -> Vec<ClusterKey> {
        let mut lost = Vec::new();
        for (cluster, known) in self.lock().iter_mut() {
            if namespace.is_some_and(|namespace| namespace != cluster.namespace) {
                continue;
            }
            let before = known.objects.len() + known.pods.len();
            match kind {
                Some(kind) => known
                    .objects
                    .retain(|(k, _), o| *k != kind || o.heard >= since),
                None => known.pods.retain(|_, pod| pod.heard >= since),
            }
            if known.objects.len() + known.pods.len() != before {
                lost.push(cluster.clone());
            }
        }
        lost
    }

    /// Compares the answer to a write, which was of this version, with what was written: what differs there does not stay.
    pub(crate) fn judge_answer(
        &self,
        cluster: &ClusterKey,
        id: &ObjectId,
        native: &Native,
        version: Option<u64>,
    ) {
        self.with(cluster, |known| {
            let object = known.objects.get_mut(&(native.kind, id.name.clone()));
            // Something newer is somebody else's work.
            if let Some(object) = object.filter(|o| o.version == version) {
                let fields = drift::fields(native, object);
                object.kept = (!fields.is_empty()).then(|| Kept {
                    hash: native.hash.clone(),
                    fields,
                });
            }
        });
    }

    /// Notes that an object of somebody else stands under one of our names.
    pub(crate) fn foreign(&self, cluster: &ClusterKey, id: &ObjectId) {
        self.with(cluster, |known| {
            known.foreign.insert(id.clone(), Instant::now());
        });
    }

    /// Objects of somebody else that are to be looked at again.
    pub(crate) fn in_the_way(&self, cluster: &ClusterKey) -> Vec<ObjectId> {
        self.with(cluster, |known| {
            let old = known
                .foreign
                .iter()
                .filter(|(_, seen)| seen.elapsed() > IN_THE_WAY);
            old.map(|(id, _)| id.clone()).collect()
        })
    }
}

#[cfg(test)]
mod tests;
