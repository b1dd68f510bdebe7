//! What all rows look at and wait for, in the words of the resource.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{DEMO, SINGLE, Stage};
use crate::kubectl::{Condition, Event, condition, is_ready};
use crate::wait;

/// So long nothing may move until it counts as settled.
const QUIET: Duration = Duration::from_secs(2);

/// A resource that has to be there.
#[track_caller]
pub(super) fn resource(stage: &dyn Stage, cluster: &str) -> Value {
    let found = stage.kubectl().cluster(cluster);
    found.unwrap_or_else(|| panic!("there is no {cluster}"))
}

/// Waits until a cluster is Ready for the spec that it has now.
#[track_caller]
pub(super) fn ready(stage: &dyn Stage, cluster: &str) -> Value {
    wait::until(
        &format!("{cluster} to be Ready"),
        stage.limits().start,
        || {
            let found = stage.kubectl().cluster(cluster).ok_or("it is not there")?;
            is_ready(&found).map(|()| found)
        },
    )
}

/// Waits until a cluster is Ready, and neither it nor anything of it is written to any more.
#[track_caller]
pub(super) fn settled(stage: &dyn Stage, cluster: &str) -> Value {
    let mut seen = (None, Instant::now());
    wait::until(
        &format!("{cluster} to settle"),
        stage.limits().start,
        || {
            let found = stage.kubectl().cluster(cluster).ok_or("it is not there")?;
            is_ready(&found)?;
            let version = found["metadata"]["resourceVersion"].clone();
            let now = Some((
                version,
                stage.written(cluster),
                events(stage, cluster).len(),
            ));
            if now != seen.0 {
                seen = (now, Instant::now());
            }
            let quiet = seen.1.elapsed() >= QUIET;
            quiet.then_some(found).ok_or("it moves".to_owned())
        },
    )
}

/// [`DEMO`] is there and at rest, with what its manifest says: an edit that an earlier row left is undone.
#[track_caller]
pub(super) fn demo(stage: &dyn Stage) -> Value {
    stage.kubectl().apply(&stage.demo());
    settled(stage, DEMO)
}

/// [`SINGLE`] is there and Ready.
#[track_caller]
pub(super) fn single(stage: &dyn Stage) -> Value {
    if stage.kubectl().cluster(SINGLE).is_none() {
        stage.kubectl().apply(&stage.standalone(SINGLE));
    }
    ready(stage, SINGLE)
}

/// Events about a cluster so far.
pub(super) fn events(stage: &dyn Stage, cluster: &str) -> Vec<Event> {
    stage.kubectl().events(cluster)
}

/// Waits for an event with this reason whose message holds all these words, after the first `skip` events.
#[track_caller]
pub(super) fn event(
    stage: &dyn Stage,
    cluster: &str,
    skip: usize,
    reason: &str,
    words: &[&str],
) -> Event {
    let what = format!("an event {reason} of {cluster} with {words:?}");
    let event = wait::until(&what, stage.limits().told, || {
        let all = events(stage, cluster);
        let new = &all[skip.min(all.len())..];
        let found = new
            .iter()
            .find(|e| e.reason == reason && words.iter().all(|w| e.message.contains(w)));
        found.cloned().ok_or_else(|| format!("{new:?}"))
    });
    println!("    {} {}: {}", event.kind, event.reason, event.message);
    event
}

/// Waits until a condition has this status and reason, and all these words are in its message.
#[track_caller]
pub(super) fn told(
    stage: &dyn Stage,
    cluster: &str,
    kind: &str,
    wanted: (&str, &str),
    words: &[&str],
) -> Condition {
    let (status, reason) = wanted;
    let what = format!("{kind}={status} of {cluster}, {reason}, with {words:?}");
    let found = wait::until(&what, stage.limits().told, || {
        let found = condition(&resource(stage, cluster), kind);
        let all = found.status == status
            && found.reason == reason
            && words.iter().all(|w| found.message.contains(w));
        all.then_some(found.clone())
            .ok_or_else(|| format!("{found:?}"))
    });
    println!("    {kind}={status} {reason}: {}", found.message);
    found
}

/// Names of what differs between two looks.
pub(super) fn differing<V: PartialEq>(
    before: &BTreeMap<String, V>,
    after: &BTreeMap<String, V>,
) -> BTreeSet<String> {
    before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect()
}

/// Exactly this differs between two looks.
#[track_caller]
pub(super) fn only<V: PartialEq + std::fmt::Debug>(
    what: &str,
    before: &BTreeMap<String, V>,
    after: &BTreeMap<String, V>,
    wanted: &[&str],
) {
    let wanted: BTreeSet<String> = wanted.iter().map(|w| (*w).to_owned()).collect();
    assert_eq!(
        differing(before, after),
        wanted,
        "{what}: {:#?}",
        crate::moved(before, after)
    );
}

/// Deletes a cluster and waits until neither it, nor an object, nor a process of it is there.
#[track_caller]
pub(super) fn delete(stage: &dyn Stage, cluster: &str) {
    let delete = ["delete", "milvuscluster", cluster, "--wait=false"];
    stage.kubectl().run(&delete);
    wait::until(
        &format!("{cluster} to be gone"),
        stage.limits().gone,
        || {
            let answer = stage.kubectl().try_run(&["get", "milvuscluster", cluster]);
            if !answer.stderr.contains("NotFound") {
                return Err(answer.text());
            }
            let left: Vec<String> = stage.written(cluster).into_keys().collect();
            let running = stage.processes(cluster);
            (left.is_empty() && running.values().all(BTreeSet::is_empty))
                .then_some(())
                .ok_or_else(|| format!("{left:?} {running:?}"))
        },
    );
}

/// No cluster of this name is there, and no data of one.
#[track_caller]
pub(super) fn nothing_of(stage: &dyn Stage, cluster: &str) {
    let policy = serde_json::json!({"spec": {"deletionPolicy": "Delete", "adopt": true}});
    if stage.kubectl().cluster(cluster).is_none() {
        let (namespace, name) = stage.ledger(cluster);
        let ledger = ["get", "configmap", &name, "--namespace", &namespace];
        if !stage.kubectl().try_run(&ledger).ok() {
            return;
        }
        // What an earlier one retained goes with the next that adopts it.
        stage.kubectl().apply(&stage.standalone(cluster));
    }
    stage.kubectl().patch(cluster, &policy);
    wait::until("it to be taken over", stage.limits().told, || {
        let accepted = condition(&resource(stage, cluster), "Accepted");
        (accepted.status == "True")
            .then_some(())
            .ok_or_else(|| format!("{accepted:?}"))
    });
    delete(stage, cluster);
}
