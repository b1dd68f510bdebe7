//! Listening: one watch for each kind (and namespace, where the operator does not look at all of them), into the cache. Gives
//! hints which clusters changed; a burst of changes of one cluster is one hint.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::Api;
use kube::core::ApiResource;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use kube::runtime::watcher::{self, Event, ExponentialBackoff, watcher};
use milvus_core::names::ClusterKey;
use milvus_platform::Change;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::apply::resource;
use crate::cache::Cache;
use crate::unstructured::Unstructured;
use crate::{Kind, labels};

/// Objects in one answer to a list: bounds the memory of a fresh start among thousands.
const PAGE: u32 = 100;
/// How long a look waits for the first lists.
const FIRST_LISTS: Duration = Duration::from_secs(20);

/// Pauses before a broken watch is opened again. They grow to five seconds, not to the minute of kube's default: while an
/// API server is away, one refused connection every few seconds costs nothing, and once it is back what changed meanwhile is
/// seen within them. For every watch of the operator: of objects here, of resources and Secrets in the controller.
pub fn reopening() -> impl Backoff {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(400))
        .with_max_delay(Duration::from_millis(2500)) // jitter adds as much again
        .with_jitter()
        .without_max_times();
    ResetTimerBackoff::new(ExponentialBackoff::from(pauses), Duration::from_secs(30))
}

/// Clusters with news.
#[derive(Debug, Default)]
struct News {
    clusters: Mutex<BTreeSet<ClusterKey>>,
    more: Notify,
}

impl News {
    fn add(&self, cluster: ClusterKey) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        if clusters.insert(cluster) {
            self.more.notify_one();
        }
    }

    async fn next(&self) -> ClusterKey {
        loop {
            let first = self
                .clusters
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_first();
            match first {
                Some(cluster) => return cluster,
                None => self.more.notified().await,
            }
        }
    }
}

/// First lists that are not there yet.
#[derive(Debug, Default)]
struct Pending {
    /// How many, by namespace; `None` stands for all of them. A namespace that cannot be listed (it is gone, and the role in it)
    /// holds up nothing in the others.
    lists: Mutex<BTreeMap<Option<String>, usize>>,
    fewer: Notify,
}

impl Pending {
    fn lists(&self) -> MutexGuard<'_, BTreeMap<Option<String>, usize>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, scope: &Option<String>) {
        *self.lists().entry(scope.clone()).or_default() += 1;
    }

    fn done(&self, scope: &Option<String>) {
        if let Some(left) = self.lists().get_mut(scope) {
            *left = left.saturating_sub(1);
        }
        self.fewer.notify_waiters();
    }

    fn none_in(&self, namespace: &str) -> bool {
        let lists = self.lists();
        let mut concerned = lists
            .iter()
            .filter(|(scope, _)| scope.as_deref().is_none_or(|scope| scope == namespace));
        concerned.all(|(_, left)| *left == 0)
    }

    /// Waits until a namespace was listed in full.
    async fn listed(&self, namespace: &str) {
        loop {
            let fewer = self.fewer.notified();
            if self.none_in(namespace) {
                return;
            }
            fewer.await;
        }
    }
}

/// Every watch of the platform. Dropping it ends them.
pub(crate) struct Watches {
    news: Arc<News>,
    pending: Arc<Pending>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Watches {
    /// Starts them. No namespace stands for all of them.
    pub(crate) fn start(
        client: &Client,
        namespaces: &[String],
        kinds: &[Kind],
        cache: &Arc<Cache>,
    ) -> Self {
        let scopes: Vec<Option<String>> = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().cloned().map(Some).collect()
        };
        let news = Arc::new(News::default());
        let pending = Arc::new(Pending::default());
        let mut tasks = Vec::new();
        for scope in scopes {
            for kind in kinds.iter().copied().map(Some).chain([None]) {
                pending.add(&scope);
                let one = One {
                    client: client.clone(),
                    kind,
                    namespace: scope.clone(),
                    cache: cache.clone(),
                    news: news.clone(),
                    pending: pending.clone(),
                };
                tasks.push(AbortOnDropHandle::new(tokio::spawn(one.run())));
            }
        }
        Self {
            news,
            pending,
            _tasks: tasks,
        }
    }

    /// Waits until every kind was listed once in a namespace; false when that takes too long.
    pub(crate) async fn complete(&self, namespace: &str) -> bool {
        self.pending.none_in(namespace)
            || tokio::time::timeout(FIRST_LISTS, self.pending.listed(namespace))
                .await
                .is_ok()
    }

    /// Hints, for one listener.
    pub(crate) fn changes(&self) -> impl Stream<Item = Change> + Send + 'static {
        stream::unfold(self.news.clone(), |news| async move {
            let cluster = news.next().await;
            Some((Change::Cluster(cluster), news))
        })
    }
}

/// One watch. No kind stands for pods.
struct One {
    client: Client,
    kind: Option<Kind>,
    namespace: Option<String>,
    cache: Arc<Cache>,
    news: Arc<News>,
    pending: Arc<Pending>,
}

impl One {
    async fn run(self) {
        let resource = match self.kind {
            Some(kind) => resource(kind),
            None => ApiResource::erase::<Pod>(&()),
        };
        let api: Api<Unstructured> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let config = watcher::Config::default()
            .labels(&format!("{}={}", labels::MANAGED_BY, labels::OPERATOR))
            .page_size(PAGE);
        let mut events = pin!(watcher(api, config).backoff(reopening()));
        let mut first = true;
        let mut broken = false;
        let mut began = Instant::now();
        while let Some(event) = events.next().await {
            let was_broken = std::mem::replace(&mut broken, event.is_err());
            match event {
                Ok(Event::Init) => began = Instant::now(),
                Ok(Event::InitApply(object) | Event::Apply(object)) => self.tell(self.put(object)),
                Ok(Event::InitDone) => {
                    let namespace = self.namespace.as_deref();
                    self.tell(self.cache.retain(self.kind, namespace, began));
                    if std::mem::take(&mut first) {
                        self.pending.done(&self.namespace);
                    }
                }
                Ok(Event::Delete(object)) => self.tell(match self.kind {
                    Some(kind) => self.cache.forget(kind, &object),
                    None => self.cache.forget_pod(&object),
                }),
                Err(error) if was_broken => {
                    tracing::debug!(kind = %resource.kind, %error, "a watch is still broken");
                }
                Err(error) => {
                    tracing::warn!(kind = %resource.kind, %error, "a watch broke; it is opened again");
                }
            }
        }
    }

    fn put(&self, object: Unstructured) -> Vec<ClusterKey> {
        match self.kind {
            Some(kind) => self.cache.put(kind, object),
            None => self.cache.put_pod(object),
        }
    }

    fn tell(&self, clusters: impl IntoIterator<Item = ClusterKey>) {
        for cluster in clusters {
            self.news.add(cluster);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_cannot_be_listed_holds_up_no_other() {
        let scope = |name: &str| Some(name.to_owned());
        let pending = Pending::default();
        for name in ["a", "b", "b"] {
            pending.add(&scope(name));
        }
        assert!(!pending.none_in("a") && !pending.none_in("b"));
        pending.done(&scope("a"));
        assert!(pending.none_in("a") && !pending.none_in("b"));
        pending.done(&scope("b"));
        assert!(!pending.none_in("b"));
        pending.done(&scope("b"));
        assert!(pending.none_in("b"));

        let everywhere = Pending::default();
        everywhere.add(&None);
        assert!(!everywhere.none_in("a"));
        everywhere.done(&None);
        assert!(everywhere.none_in("a"));
    }
}
