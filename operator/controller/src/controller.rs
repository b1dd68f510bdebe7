//! Who looks at what, and when: one worker per resource, woken by the watch, by the platform's hints and by its own timer.
//! A slow cluster delays nobody else.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::select_all;
use futures::{FutureExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use milvus_core::names::ClusterKey;
use milvus_crds::MilvusCluster;
use milvus_kubernetes::reopening;
use milvus_platform::{Backend, Change};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::context::{Context, FirstList, secret_key};
use crate::reconcile::{self, Memory};
use crate::server::Readiness;
use crate::{definition, gather, ledger_store};

/// Hints that come in a burst (our own writes echo as events) lead to one pass.
const SETTLE: Duration = Duration::from_millis(30);
/// The least time between a pass that has done something and the next.
pub const PASS_INTERVAL: Duration = Duration::from_millis(100);
/// The least time between the beginnings of two passes where hints ask for the second: of a cluster whose processes come up one
/// after the other, every change is a hint.
const HINTED_INTERVAL: Duration = Duration::from_millis(250);
/// A pass that takes longer is abandoned; every call in it has a shorter time-out of its own.
pub const PASS_TIMEOUT: Duration = Duration::from_secs(120);
/// While a cluster rests, what somebody else runs for it is asked again after at most this long: no watch tells of that.
const EXTERNAL_INTERVAL: Duration = Duration::from_secs(15);
/// The good answer that another cluster had so lately counts as this one's: many share one service, and few of them ask.
const EXTERNAL_FRESH: Duration = Duration::from_secs(10);
/// At the end passes may take this long to come to theirs: less than the grace that a platform gives the operator, so that a
/// Lease can still be let go.
const DRAIN: Duration = Duration::from_secs(15);

/// How long the finalizer of a ledger waits for the resources to be known.
const RESOURCES_LISTED: Duration = Duration::from_secs(60);
/// Between counts of clusters for the metrics.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);

struct Worker {
    wake: Arc<Notify>,
    stop: CancellationToken,
    /// Ends with this, in the middle of a pass if need be: whoever may not act any more drops everything.
    task: AbortOnDropHandle<()>,
}

/// Runs until `shutdown`, then lets running passes come to an end. Dropped, it ends them where they are.
pub(crate) async fn run<B: Backend>(
    context: Arc<Context<B>>,
    readiness: Readiness,
    shutdown: CancellationToken,
) {
    let clusters = context.namespaces.apis::<MilvusCluster>(&context.client);
    let scopes = clusters.iter().map(|(scope, _)| scope.clone());
    context.resources.expect(scopes);
    let mut resources = select_all(clusters.into_iter().map(|(scope, api)| {
        let events = watcher(api, watcher::Config::default()).backoff(reopening());
        events.map(move |event| (scope.clone(), event)).boxed()
    }));
    let secrets = context
        .namespaces
        .apis::<PartialObjectMeta<Secret>>(&context.client);
    let mut secrets = select_all(secrets.into_iter().map(|(scope, api)| {
        let events = watcher(api, watcher::Config::default()).backoff(reopening());
        events.map(move |event| (scope.clone(), event)).boxed()
    }));
    let own = watcher::Config::default().labels(ledger_store::MANAGED);
    let ledgers: Vec<Api<PartialObjectMeta<ConfigMap>>> = match context.ledgers.namespace() {
        Some(namespace) => vec![Api::namespaced(context.client.clone(), namespace)],
        None => {
            let all = context.namespaces.apis(&context.client);
            all.into_iter().map(|(_, api)| api).collect()
        }
    };
    let mut ledgers = select_all(
        ledgers
            .into_iter()
            .map(|api| watcher(api, own.clone()).backoff(reopening()).boxed()),
    );
    let mut changes = pin!(hints(&context));
    let mut workers: BTreeMap<ClusterKey, Worker> = BTreeMap::new();
    let mut listed: BTreeMap<Option<String>, Vec<ClusterKey>> = BTreeMap::new();
    let mut secrets_listed: BTreeMap<Option<String>, BTreeMap<(String, String), String>> =
        BTreeMap::new();
    // Whether it has been said that the definition is missing.
    let mut undefined = false;
    let mut count_at = Instant::now() + COUNT_INTERVAL;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some((scope, event)) = resources.next() => match event {
                Ok(Event::Init) => {
                    listed.insert(scope, Vec::new());
                }
                Ok(Event::InitApply(resource)) => {
                    let key = key_of(&resource);
                    listed.entry(scope).or_default().push(key.clone());
                    applied(&context, &mut workers, key, resource, &shutdown);
                }
                Ok(Event::InitDone) => {
                    let present = listed.remove(&scope).unwrap_or_default();
                    for (key, _) in context.resources.all() {
                        let looked = scope.as_ref().is_none_or(|scope| *scope == key.namespace);
                        if looked && !present.contains(&key) { deleted(&context, &mut workers, &key); }
                    }
                    defined(&context, &readiness, &mut undefined);
                    settled(&context, &readiness, &workers, &scope, FirstList::Done);
                }
                Ok(Event::Apply(resource)) => {
                    defined(&context, &readiness, &mut undefined);
                    applied(&context, &mut workers, key_of(&resource), resource, &shutdown);
                }
                Ok(Event::Delete(resource)) => deleted(&context, &mut workers, &key_of(&resource)),
                Err(error) if definition::is_missing(&error) => {
                    // A list that came just before the definition went may have made it ready.
                    readiness.clear();
                    if !std::mem::replace(&mut undefined, true) { definition::tell(); }
                }
                Err(error) => {
                    let namespace = scope.as_deref().unwrap_or("*");
                    tracing::warn!(namespace, error = %crate::telemetry::chain(&error), "the watch of resources broke; it is opened again");
                    if scope.is_some() && definition::is_refused(&error) {
                        settled(&context, &readiness, &workers, &scope, FirstList::Refused);
                    }
                }
            },
            () = tokio::time::sleep_until(count_at) => {
                count(&context);
                count_at = Instant::now() + COUNT_INTERVAL;
            }
            Some((scope, event)) = secrets.next() => match event {
                Ok(Event::Init) => {
                    secrets_listed.insert(scope, BTreeMap::new());
                }
                Ok(Event::InitApply(secret)) => {
                    let version = secret.resource_version().unwrap_or_default();
                    secrets_listed.entry(scope).or_default().insert(secret_key(&secret), version);
                }
                Ok(Event::InitDone) => {
                    let all = secrets_listed.remove(&scope).unwrap_or_default();
                    context.secrets.replace(scope.as_deref(), all);
                    wake(&workers, |key| scope.as_ref().is_none_or(|scope| *scope == key.namespace));
                }
                Ok(Event::Apply(secret)) => {
                    context.secrets.put(&secret);
                    concerned(&context, &workers, &secret);
                }
                Ok(Event::Delete(secret)) => {
                    context.secrets.remove(&secret);
                    concerned(&context, &workers, &secret);
                }
                Err(error) => tracing::warn!(error = %crate::telemetry::chain(&error), "the watch of secrets broke; it is opened again"),
            },
            Some(event) = ledgers.next() => match event {
                Ok(Event::InitApply(object)) => {
                    ledger_shown(&context, &workers, &object, object.resource_version());
                    tend(&context, &object, true);
                }
                Ok(Event::Apply(object)) => {
                    ledger_shown(&context, &workers, &object, object.resource_version());
                    tend(&context, &object, false);
                }
                Ok(Event::Delete(object)) => ledger_shown(&context, &workers, &object, None),
                Ok(Event::Init | Event::InitDone) => {}
                Err(error) => tracing::warn!(error = %crate::telemetry::chain(&error), "the watch of ledgers broke; it is opened again"),
            },
            Some(change) = changes.next() => match change {
                Change::Cluster(cluster) => wake(&workers, |key| *key == cluster),
                Change::Everything => wake(&workers, |_| true),
            },
        }
    }
    let tasks: Vec<_> = std::mem::take(&mut workers)
        .into_values()
        .map(|worker| {
            worker.stop.cancel();
            worker.task
        })
        .collect();
    let ends = futures::future::join_all(tasks);
    if tokio::time::timeout(DRAIN, ends).await.is_err() {
        tracing::warn!(
            "some passes did not end in time and are cut off; the next operator goes on with them"
        );
    }
}

/// The definition is there: ready again, where its absence had ended that.
fn defined<B: Backend>(context: &Context<B>, readiness: &Readiness, undefined: &mut bool) {
    if std::mem::take(undefined) && context.resources.listed() {
        readiness.set();
    }
}

/// The first list of a namespace has come to its end, or cannot. Clusters that waited for the last one go on.
fn settled<B: Backend>(
    context: &Context<B>,
    readiness: &Readiness,
    workers: &BTreeMap<ClusterKey, Worker>,
    scope: &Option<String>,
    became: FirstList,
) {
    if !context.resources.list(scope, became) {
        return;
    }
    if became == FirstList::Refused {
        tracing::warn!(
            namespace = scope.as_deref().unwrap_or("*"),
            "the operator may not list the resources of this namespace, and looks after none there: give it the Role, or take the \
             namespace from the list of those that it watches"
        );
    }
    if context.resources.listed() {
        readiness.set();
        wake(workers, |_| true);
    }
}

/// Counts clusters by phase.
fn count<B: Backend>(context: &Context<B>) {
    context.metrics.clusters.reset();
    for (_, resource) in context.resources.all() {
        let phase = resource
            .status
            .as_ref()
            .and_then(|status| status.phase)
            .unwrap_or_default();
        context
            .metrics
            .clusters
            .with_label_values(&[&format!("{phase:?}")])
            .inc();
    }
}

/// The platform's hints.
fn hints<B: Backend>(context: &Context<B>) -> impl Stream<Item = Change> + Send + 'static {
    context.backend.changes()
}

fn key_of(resource: &MilvusCluster) -> ClusterKey {
    ClusterKey::new(
        resource.namespace().unwrap_or_default(),
        resource.name_any(),
    )
}

fn wake(workers: &BTreeMap<ClusterKey, Worker>, chosen: impl Fn(&ClusterKey) -> bool) {
    workers
        .iter()
        .filter(|(key, _)| chosen(key))
        .for_each(|(_, worker)| worker.wake.notify_one());
}

/// Wakes those who refer to a Secret.
fn concerned<B: Backend, K: ResourceExt>(
    context: &Context<B>,
    workers: &BTreeMap<ClusterKey, Worker>,
    secret: &K,
) {
    let (namespace, name) = secret_key(secret);
    wake(workers, |key| {
        key.namespace == namespace
            && context.resources.get(key).is_some_and(|resource| {
                gather::secret_names(&resource, context.backend.capabilities()).contains(&name)
            })
    });
}

/// Wakes the cluster whose ledger another has written, or removed.
fn ledger_shown<B: Backend, K: ResourceExt>(
    context: &Context<B>,
    workers: &BTreeMap<ClusterKey, Worker>,
    object: &K,
    version: Option<String>,
) {
    let namespace = object.namespace().unwrap_or_default();
    let Some(cluster) = context.ledgers.cluster_of(&namespace, &object.name_any()) else {
        return;
    };
    if context.resources.show_ledger(&cluster, version) {
        wake(workers, |key| *key == cluster);
    }
}

/// What the finalizer of a ledger needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tending {
    /// An earlier version has written it without: it is kept from now on.
    Keep,
    /// It is to go, and no resource is left that would let it go.
    LetGo,
}

/// Sees to the finalizer of a ledger. One that is missing is put on where ledgers are listed, and not where it was just taken
/// off: that is how an admin says that a ledger may go.
fn tend<B: Backend, K: ResourceExt>(context: &Arc<Context<B>>, object: &K, listed: bool) {
    let kept = object.finalizers().iter().any(|f| f == ledger_store::KEPT);
    let tending = match (kept, object.meta().deletion_timestamp.is_some()) {
        (true, true) => Tending::LetGo,
        (false, false) if listed => Tending::Keep,
        (true | false, _) => return,
    };
    let namespace = object.namespace().unwrap_or_default();
    if let Some(cluster) = context.ledgers.cluster_of(&namespace, &object.name_any()) {
        tokio::spawn(tended(context.clone(), cluster, tending));
    }
}

async fn tended<B: Backend>(context: Arc<Context<B>>, cluster: ClusterKey, tending: Tending) {
    if !context.resources.listed_within(RESOURCES_LISTED).await {
        return;
    }
    let resource = context.resources.get(&cluster);
    let goes = |r: &Arc<MilvusCluster>| r.meta().deletion_timestamp.is_some();
    let done = match (tending, &resource) {
        (Tending::LetGo, None) => context.ledgers.forget(&cluster).await,
        (Tending::Keep, None) if context.ledgers.namespace().is_some() => {
            context.ledgers.keep(&cluster).await
        }
        (Tending::Keep, Some(resource)) if !goes(resource) => context.ledgers.keep(&cluster).await,
        (Tending::LetGo | Tending::Keep, _) => return,
    };
    if let Err(error) = done {
        tracing::warn!(%cluster, error = %crate::telemetry::chain(&error), "the finalizer of a ledger is not as it should be");
    }
}

/// Lets the ledger of a resource that is gone go where it is to go.
async fn let_go<B: Backend>(context: Arc<Context<B>>, cluster: ClusterKey) {
    if matches!(context.ledgers.read(&cluster).await, Ok(Some(read)) if read.going) {
        tended(context, cluster, Tending::LetGo).await;
    }
}

fn applied<B: Backend>(
    context: &Arc<Context<B>>,
    workers: &mut BTreeMap<ClusterKey, Worker>,
    key: ClusterKey,
    mut resource: MilvusCluster,
    shutdown: &CancellationToken,
) {
    // Who owns which field is the API server's business, and the largest part of a small resource.
    resource.meta_mut().managed_fields = None;
    let resource = Arc::new(resource);
    let old = context.resources.put(key.clone(), resource.clone());
    let ours_alone = old.is_some_and(|old| {
        // Our own status writes and nothing else.
        context
            .resources
            .is_own_status(&key, resource.status.as_ref())
            && old.meta().uid == resource.meta().uid
            && old.meta().generation == resource.meta().generation
            && old.meta().deletion_timestamp == resource.meta().deletion_timestamp
            && old.meta().annotations == resource.meta().annotations
            && old.meta().finalizers == resource.meta().finalizers
    });
    let worker = workers
        .entry(key.clone())
        .or_insert_with(|| spawn(context.clone(), key, shutdown.child_token()));
    if !ours_alone {
        worker.wake.notify_one();
    }
}

fn deleted<B: Backend>(
    context: &Arc<Context<B>>,
    workers: &mut BTreeMap<ClusterKey, Worker>,
    key: &ClusterKey,
) {
    // Where the deletion of its ledger was asked for before its own, no event of the ledger follows any more.
    tokio::spawn(let_go(context.clone(), key.clone()));
    if let Some(old) = context.resources.remove(key)
        && old.meta().deletion_timestamp.is_none()
    {
        tracing::warn!(cluster = %key, "the resource is gone without having been deleted; its cluster is left as it is");
    }
    if let Some(worker) = workers.remove(key) {
        worker.stop.cancel();
        // Its last pass still has to tell of what it did.
        worker.task.detach();
    }
}

fn spawn<B: Backend>(context: Arc<Context<B>>, key: ClusterKey, stop: CancellationToken) -> Worker {
    let wake = Arc::new(Notify::new());
    let task = tokio::spawn(work(context, key, wake.clone(), stop.clone()));
    let task = AbortOnDropHandle::new(task);
    Worker { wake, stop, task }
}

/// The life of one worker: a pass, then sleep until something happens.
async fn work<B: Backend>(
    context: Arc<Context<B>>,
    key: ClusterKey,
    wake: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut memory = Memory::of(String::new());
    let mut failures = 0_u32;
    loop {
        let started = Instant::now();
        // Who waits for a turn while the operator ends does not begin any more.
        let mut turn = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            turn = context.turns.pass() => turn,
        };
        // As it is now, not as it was before the wait.
        let Some(resource) = context.resources.get(&key) else {
            break;
        };
        let pass = reconcile::pass(&context, &key, resource.clone(), &mut memory, &mut turn);
        let pass = tokio::time::timeout(PASS_TIMEOUT, pass);
        // A fault in the pass of one cluster costs that pass, not the operator.
        let pass = match AssertUnwindSafe(pass).catch_unwind().await {
            Ok(pass) => pass,
            Err(fault) => {
                let fault = words_of(fault.as_ref());
                failures += 1;
                tracing::error!(cluster = %key, fault, "pass broke off");
                context.metrics.passes.with_label_values(&["panic"]).inc();
                // What it was about to remember may be half of it.
                memory = Memory::of(String::new());
                let said = reconcile::broke(&context, &resource, &mut memory, fault);
                if AssertUnwindSafe(said).catch_unwind().await.is_err() {
                    tracing::error!(cluster = %key, "the fault could not be written to the status");
                }
                drop(turn);
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(again_after(failures)) => continue,
                }
            }
        };
        drop(turn);
        let (outcome, pause) = match pass {
            Ok(Ok(next)) => {
                failures = 0;
                ("done", next.max(PASS_INTERVAL))
            }
            Ok(Err(error)) => {
                failures += 1;
                tracing::warn!(cluster = %key, error = %crate::telemetry::chain(&error), "pass failed");
                (error.outcome(), error.pause(failures))
            }
            Err(_) => {
                failures += 1;
                tracing::warn!(cluster = %key, seconds = PASS_TIMEOUT.as_secs(), "pass abandoned");
                ("timeout", Duration::from_secs(5))
            }
        };
        let elapsed = started.elapsed();
        context.metrics.passes.with_label_values(&[outcome]).inc();
        context
            .metrics
            .duration
            .with_label_values(&[outcome])
            .observe(elapsed.as_secs_f64());
        context
            .metrics
            .last_pass
            .set(jiff::Timestamp::now().as_second());
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
            () = outside_changed(&context, &memory) => {}
            () = wake.notified() => {
                // Our own writes echo as hints: they do not put off what was to follow sooner.
                let due = HINTED_INTERVAL.min(pause).saturating_sub(started.elapsed());
                tokio::time::sleep(SETTLE.max(due)).await;
            }
        }
    }
}

/// What a fault says of itself.
fn words_of(fault: &(dyn Any + Send)) -> &str {
    let text = fault.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| fault.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

/// Doubling from a second to a minute: a cluster whose passes break off holds up no other.
fn again_after(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(60))
}

/// Comes to its end when something that somebody else runs answers otherwise than the last pass found; never where nothing is.
async fn outside_changed<B: Backend>(context: &Context<B>, memory: &Memory<B::Native>) {
    let Some(watched) = &memory.probes.watched else {
        return std::future::pending().await;
    };
    loop {
        // Clusters that came to rest together do not all ask at once: then the answer to one serves the others.
        let part = rand::random_range(0.5..1.0);
        tokio::time::sleep(EXTERNAL_INTERVAL.mul_f64(part)).await;
        let asking = watched.changed(&context.external, EXTERNAL_FRESH);
        if context.turns.again(asking).await {
            return;
        }
    }
}
