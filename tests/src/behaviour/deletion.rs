//! Deletion: keeping the data for the next cluster of that name, and with it.

use serde_json::{Value, json};

use super::looks::{delete, event, events, only, ready, single, told};
use super::{SINGLE, Stage};
use crate::wait;

/// The credentials that were made for the data of [`SINGLE`].
fn login(stage: &dyn Stage) -> Option<Value> {
    let secret = ["get", "secret", "single-minio", "-o", "json"];
    let found = stage.kubectl().try_run(&secret);
    let secret: Value = serde_json::from_str(&found.stdout).ok()?;
    Some(secret["data"].clone())
}

pub(super) fn retains(stage: &mut dyn Stage) {
    single(stage);
    stage.fill(SINGLE);
    let (data, keys) = (stage.data(SINGLE), login(stage));
    assert!(data.len() >= 3 && keys.is_some(), "{data:?}");
    delete(stage, SINGLE);
    only("data", &data, &stage.data(SINGLE), &[]);
    let story = events(stage, SINGLE);
    let last = story.last().unwrap();
    assert_eq!(last.reason, "VolumesRetained", "{story:#?}");
    for place in data.keys() {
        assert!(last.message.contains(place.as_str()), "{place}: {last:?}");
    }

    stage.kubectl().apply(&stage.standalone(SINGLE));
    let mut words = vec!["spec.adopt"];
    words.extend(data.keys().map(String::as_str));
    told(stage, SINGLE, "Accepted", ("False", "RetainedData"), &words);
    let said = event(stage, SINGLE, story.len(), "RetainedData", &words);
    assert_eq!(said.kind, "Warning", "{said:?}");
    told(stage, SINGLE, "Ready", ("False", "RetainedData"), &[]);
    assert!(stage.written(SINGLE).is_empty());
    only("data", &data, &stage.data(SINGLE), &[]);

    stage
        .kubectl()
        .patch(SINGLE, &json!({"spec": {"adopt": true}}));
    ready(stage, SINGLE);
    only("data", &data, &stage.data(SINGLE), &[]);
    assert_eq!(keys, login(stage), "credentials of the data");
    stage.find(SINGLE);
}

pub(super) fn deletes(stage: &mut dyn Stage) {
    single(stage);
    let patch = json!({"spec": {"deletionPolicy": "Delete"}});
    stage.kubectl().patch(SINGLE, &patch);
    ready(stage, SINGLE);
    let (data, count) = (stage.data(SINGLE), events(stage, SINGLE).len());
    assert!(data.len() >= 3, "{data:?}");
    delete(stage, SINGLE);
    wait::until("its data to be gone", stage.limits().gone, || {
        let left = stage.data(SINGLE);
        left.is_empty()
            .then_some(())
            .ok_or_else(|| format!("{left:?}"))
    });
    for place in data.keys() {
        event(stage, SINGLE, count, "VolumesDeleted", &[place]);
    }
    // What was left of it would refuse the next of that name.
    let (namespace, name) = stage.ledger(SINGLE);
    let ledger = ["get", "configmap", &name, "--namespace", &namespace];
    assert!(!stage.kubectl().try_run(&ledger).ok(), "a ledger was left");
}
