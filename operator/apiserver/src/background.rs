//! Work that no request asks for: events that outlive their use, changes of the store by others,
//! another server that takes over, namespaces that empty, and dependents of owners that are gone.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error, warn};

use crate::builtin::NAMESPACE_FINALIZER;
use crate::commit::{Decision, record_name};
use crate::leadership::VERSION_KEY;
use crate::namespace::Contents;
use crate::object::{Object, finalizers, metadata_mut, object_mut, set_finalizers};
use crate::resource::{Flavor, Lane, Resource};
use crate::server::Shared;
use crate::status::ApiError;
use crate::store::Store;
use crate::strategy::{DeleteOptions, FOREGROUND, ORPHAN, Propagation};

/// How often to look for events past their time.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Changes come in bursts: one look after this long covers them all.
const SETTLE: Duration = Duration::from_millis(20);
/// After a failure, look again without waiting for a change.
const RETRY: Duration = Duration::from_secs(5);

/// Starts the tasks. They end when the server is stopped.
pub(crate) fn spawn(shared: &Arc<Shared>, store: Arc<dyn Store>) {
    let stop = shared.shutdown.clone();
    let (sweeper, feed, collector) = (shared.clone(), shared.clone(), shared.clone());
    let sweeping = again(RETRY, move || sweep(sweeper.clone()));
    let following = again(RETRY, move || follow(feed.clone(), store.clone()));
    let collecting = again(RETRY, move || collect(collector.clone()));
    tokio::spawn(stop.clone().run_until_cancelled_owned(sweeping));
    tokio::spawn(stop.clone().run_until_cancelled_owned(following));
    tokio::spawn(stop.run_until_cancelled_owned(collecting));
}

/// Runs a task to its end, and from its beginning again after a fault in it.
async fn again<F: Future<Output = ()>>(pause: Duration, task: impl Fn() -> F) {
    while AssertUnwindSafe(task()).catch_unwind().await.is_err() {
        error!("background work of the api server met a fault and begins again");
        tokio::time::sleep(pause).await;
    }
}

async fn sweep(shared: Arc<Shared>) {
    let mut tick = interval(SWEEP_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let volatile = shared
            .registry
            .stored()
            .filter(|resource| resource.lane() == Lane::Volatile);
        for resource in volatile {
            let old = shared
                .volatile
                .cache()
                .older_than(&resource.storage(), shared.limits.event_ttl);
            shared.remove_quietly(resource, old).await;
        }
    }
}

async fn follow(shared: Arc<Shared>, store: Arc<dyn Store>) {
    let mut changes = store.changes(VERSION_KEY);
    while let Some(change) = changes.next().await {
        let key = match &change {
            crate::store::Change::Vanished { key } => key.clone(),
            crate::store::Change::Changed(record) => record.key.clone(),
        };
        if key == VERSION_KEY {
            shared.durable.leadership(change).await;
            continue;
        }
        let resource = shared
            .registry
            .stored()
            .find(|resource| record_name(&resource.storage(), &key).is_some())
            .cloned();
        let Some(resource) = resource else {
            continue;
        };
        if let Some(object) = shared.durable.external(&resource, change).await {
            shared
                .post_event(
                    &resource,
                    &object,
                    "StoredRecordRestored",
                    "the stored record of this object was removed from outside and has been written again; use kubectl delete to remove the object",
                )
                .await;
        }
    }
    warn!("the store's feed of changes has ended");
}

/// Deletes what has lost its owner and finishes namespaces and foreground deletions. Each pass looks at
/// everything: the objects are few, and nothing can be missed.
async fn collect(shared: Arc<Shared>) {
    let mut published = shared.durable.cache().subscribe();
    loop {
        published.mark_unchanged();
        let failed = pass(&shared).await;
        let wait = async {
            if failed {
                tokio::time::sleep(RETRY).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            changed = published.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(SETTLE).await;
            }
            () = wait => {}
        }
    }
}

/// What one pass needs to know of an object.
struct Seen {
    resource: Arc<Resource>,
    object: Arc<Object>,
    owners: Vec<String>,
    finalizers: Vec<String>,
}

fn look(shared: &Shared) -> Vec<Seen> {
    let mut all = Vec::new();
    let durable = shared.registry.stored().filter(|resource| {
        resource.lane() == Lane::Durable && resource.flavor != Flavor::Definition
    });
    for resource in durable {
        let (objects, _) = shared.durable.cache().list(&resource.storage(), None);
        for object in objects {
            // Only objects that can matter are parsed.
            let (owners, held) = if object.deleting || object.owned {
                let value = object.value();
                (owners(&value), finalizers(&value))
            } else {
                (Vec::new(), Vec::new())
            };
            all.push(Seen {
                resource: resource.clone(),
                object,
                owners,
                finalizers: held,
            });
        }
    }
    all
}

fn owners(value: &Value) -> Vec<String> {
    value
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|owner| owner.get("uid")?.as_str().map(str::to_owned))
        .collect()
}

/// One look at everything. Says whether something failed.
async fn pass(shared: &Arc<Shared>) -> bool {
    let all = look(shared);
    let uids: BTreeSet<&str> = all.iter().map(|seen| seen.object.uid.as_str()).collect();
    let mut failed = false;
    let mut note = |what: &str, result: Result<(), ApiError>| {
        if let Err(error) = result
            && error.reason != "NotFound"
            && error.reason != "Conflict"
        {
            warn!(%error, "cannot {what}");
            failed = true;
        }
    };
    for seen in &all {
        let orphaned =
            !seen.owners.is_empty() && !seen.owners.iter().any(|owner| uids.contains(&**owner));
        if orphaned && !seen.object.deleting {
            debug!(name = seen.object.name.name, "all owners are gone");
            note(
                "delete an object whose owners are gone",
                delete(shared, seen, None).await,
            );
        }
        if !seen.object.deleting {
            continue;
        }
        let dependents: Vec<&Seen> = all
            .iter()
            .filter(|other| other.owners.contains(&seen.object.uid))
            .collect();
        if seen.finalizers.iter().any(|held| held == FOREGROUND) {
            for dependent in dependents.iter().filter(|other| !other.object.deleting) {
                note(
                    "delete a dependent",
                    delete(shared, dependent, Some(Propagation::Foreground)).await,
                );
            }
            if dependents.is_empty() {
                note(
                    "finish a foreground deletion",
                    release(shared, seen, FOREGROUND).await,
                );
            }
        } else if seen.finalizers.iter().any(|held| held == ORPHAN) {
            for dependent in &dependents {
                note(
                    "release a dependent",
                    disown(shared, dependent, &seen.object.uid).await,
                );
            }
            // Last of all: those who hold the object by finalizers of their own are to see that theirs is to stay too.
            if dependents.is_empty() && seen.finalizers.len() == 1 {
                note(
                    "finish an orphaning deletion",
                    release(shared, seen, ORPHAN).await,
                );
            }
        }
        if seen.resource.flavor == Flavor::Namespace {
            note(
                "empty a namespace",
                empty_namespace(shared, seen, &all).await,
            );
        }
    }
    failed
}

async fn delete(
    shared: &Shared,
    seen: &Seen,
    propagation: Option<Propagation>,
) -> Result<(), ApiError> {
    let options = DeleteOptions {
        propagation,
        uid: Some(seen.object.uid.clone()),
        ..DeleteOptions::default()
    };
    shared
        .delete(seen.resource.clone(), seen.object.name.clone(), options)
        .await?;
    Ok(())
}

/// Changes an object if it is still the one that was seen.
async fn change(
    shared: &Shared,
    seen: &Seen,
    edit: impl FnOnce(&mut Value) + Send + 'static,
) -> Result<(), ApiError> {
    let resource = seen.resource.clone();
    let version = seen.object.version;
    let name = seen.object.name.clone();
    shared
        .committer(&resource)
        .transact(resource.clone(), name.clone(), move |current, _| {
            let current = current
                .filter(|current| current.version == version)
                .ok_or_else(|| ApiError::modified(&resource, &name.name))?;
            let mut value = current.value();
            edit(&mut value);
            let spec_holds = resource.flavor == Flavor::Namespace
                && value
                    .pointer("/spec/finalizers")
                    .and_then(Value::as_array)
                    .is_some_and(|held| !held.is_empty());
            let decision = if current.deleting && finalizers(&value).is_empty() && !spec_holds {
                Decision::Remove(value)
            } else {
                Decision::Put(value)
            };
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

async fn release(shared: &Shared, seen: &Seen, finalizer: &'static str) -> Result<(), ApiError> {
    change(shared, seen, move |value| {
        let mut held = finalizers(value);
        held.retain(|name| name != finalizer);
        set_finalizers(value, &held);
    })
    .await
}

async fn disown(shared: &Shared, seen: &Seen, owner: &str) -> Result<(), ApiError> {
    let owner = owner.to_owned();
    change(shared, seen, move |value| {
        let metadata = metadata_mut(value);
        if let Some(Value::Array(owners)) = metadata.get_mut("ownerReferences") {
            owners.retain(|entry| entry.get("uid").and_then(Value::as_str) != Some(&owner));
            if owners.is_empty() {
                metadata.remove("ownerReferences");
            }
        }
    })
    .await
}

async fn empty_namespace(shared: &Shared, namespace: &Seen, all: &[Seen]) -> Result<(), ApiError> {
    let name = &namespace.object.name.name;
    let contents: Vec<&Seen> = all
        .iter()
        .filter(|seen| seen.object.name.namespace == *name)
        .collect();
    for seen in contents.iter().filter(|seen| !seen.object.deleting) {
        delete(shared, seen, Some(Propagation::Background)).await?;
    }
    // Asked again under the lock of the next pass; until then something may hold a finalizer.
    if !contents.is_empty() {
        return report_contents(shared, namespace).await;
    }
    if let Some(events) = shared.registry.flavor(Flavor::CoreEvent) {
        let (left, _) = shared.volatile.cache().list(&events.storage(), Some(name));
        let names = left.iter().map(|event| event.name.clone()).collect();
        shared.remove_quietly(events, names).await;
    }
    change(shared, namespace, |value| {
        if let Some(Value::Array(held)) = object_mut(value)
            .get_mut("spec")
            .and_then(|spec| spec.get_mut("finalizers"))
        {
            held.retain(|entry| entry.as_str() != Some(NAMESPACE_FINALIZER));
        }
    })
    .await
}

/// Says in the namespace's conditions what is left in it. Writes only what has changed.
async fn report_contents(shared: &Shared, namespace: &Seen) -> Result<(), ApiError> {
    let name = &namespace.object.name.name;
    let mut left = Contents::default();
    for resource in shared.registry.stored() {
        if resource.lane() != Lane::Durable || !resource.namespaced {
            continue;
        }
        let cache = shared.durable.cache();
        let (objects, _) = cache.list(&resource.storage(), Some(name));
        for object in objects {
            left.add(resource, &finalizers(&object.value()));
        }
    }
    if left.is_empty() {
        // The next pass ends the namespace.
        return Ok(());
    }
    let before = namespace.object.value();
    let conditions = left.conditions(before.pointer("/status/conditions"));
    if before.pointer("/status/conditions") == Some(&conditions) {
        return Ok(());
    }
    change(shared, namespace, move |value| {
        let status = object_mut(value)
            .entry("status")
            .or_insert_with(|| json!({}));
        if let Some(status) = status.as_object_mut() {
            status.insert("conditions".into(), conditions);
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn work_that_meets_a_fault_begins_again() {
        let begun = AtomicUsize::new(0);
        let empty: [u8; 0] = [];
        again(Duration::from_millis(1), || async {
            if begun.fetch_add(1, Ordering::Relaxed) < 2 {
                assert_eq!(empty.first(), Some(&1), "a fault");
            }
        })
        .await;
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }
}
