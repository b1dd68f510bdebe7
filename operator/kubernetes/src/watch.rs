//! Listening: one watch for each kind (and namespace, where the operator does not look at all of them), into the cache. Gives
//! hints which clusters changed; a burst of changes of one cluster is one hint.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use milvus_core::names::ClusterKey;
use milvus_platform::Change;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::apply::resource;
use crate::cache::Cache;
use crate::{Kind, labels};

/// Objects in one answer to a list: bounds the memory of a fresh start among thousands.
const PAGE: u32 = 100;
/// How long a look waits for the first lists.
const FIRST_LISTS: Duration = Duration::from_secs(20);

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

/// Every watch of the platform. Dropping it ends them.
pub(crate) struct Watches {
    news: Arc<News>,
    /// Watches whose first list is not there yet.
    pending: Arc<AtomicUsize>,
    listed: Arc<Notify>,
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
        let (pending, listed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let mut tasks = Vec::new();
        for scope in scopes {
            for kind in kinds.iter().copied().map(Some).chain([None]) {
                pending.fetch_add(1, Ordering::SeqCst);
                let one = One {
                    client: client.clone(),
                    kind,
                    namespace: scope.clone(),
                    cache: cache.clone(),
                    news: news.clone(),
                    pending: pending.clone(),
                    listed: listed.clone(),
                };
                tasks.push(AbortOnDropHandle::new(tokio::spawn(one.run())));
            }
        }
        Self {
            news,
            pending,
            listed,
            _tasks: tasks,
        }
    }

    /// Waits until every kind was listed once; false when that takes too long.
    pub(crate) async fn complete(&self) -> bool {
        let all = async {
            loop {
                let listed = self.listed.notified();
                if self.pending.load(Ordering::SeqCst) == 0 {
                    return;
                }
                listed.await;
            }
        };
        self.pending.load(Ordering::SeqCst) == 0
            || tokio::time::timeout(FIRST_LISTS, all).await.is_ok()
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
    pending: Arc<AtomicUsize>,
    listed: Arc<Notify>,
}

impl One {
    async fn run(self) {
        let resource = match self.kind {
            Some(kind) => resource(kind),
            None => ApiResource::erase::<Pod>(&()),
        };
        let api: Api<DynamicObject> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let config = watcher::Config::default()
            .labels(&format!("{}={}", labels::MANAGED_BY, labels::OPERATOR))
            .page_size(PAGE);
        let mut events = pin!(watcher(api, config).default_backoff());
        let mut first = true;
        let mut began = Instant::now();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => began = Instant::now(),
                Ok(Event::InitApply(object) | Event::Apply(object)) => self.tell(self.put(object)),
                Ok(Event::InitDone) => {
                    let namespace = self.namespace.as_deref();
                    self.tell(self.cache.retain(self.kind, namespace, began));
                    if std::mem::take(&mut first) {
                        self.pending.fetch_sub(1, Ordering::SeqCst);
                        self.listed.notify_waiters();
                    }
                }
                Ok(Event::Delete(object)) => self.tell(match self.kind {
                    Some(kind) => self.cache.forget(kind, &object),
                    None => self.cache.forget_pod(&object),
                }),
                Err(error) => {
                    tracing::warn!(kind = %resource.kind, %error, "a watch broke; it is opened again");
                }
            }
        }
    }

    fn put(&self, object: DynamicObject) -> Vec<ClusterKey> {
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
