//! Deletion: with the data, and keeping it for the next cluster of that name.

use std::collections::BTreeSet;

use milvus_tests::{client, wait};
use serde_json::json;

use crate::suite::{DEMO, SOON, START, Suite, standalone, suite};

fn volumes(suite: &Suite, prefix: &str) -> BTreeSet<(String, String)> {
    let on = |node: &milvus_tests::testbed::Node| {
        let name = node.name();
        node.docker()
            .names("volume", prefix)
            .into_iter()
            .map(move |v| (name.clone(), v))
            .collect::<Vec<_>>()
    };
    suite.bed.nodes.iter().flat_map(on).collect()
}

fn left(suite: &Suite, prefix: &str) -> Vec<String> {
    let kinds = ["service", "config", "secret", "network"];
    let named = |kind: &&str| {
        suite
            .docker
            .names(kind, prefix)
            .into_iter()
            .map(move |n| format!("{kind} {n}"))
            .collect::<Vec<_>>()
    };
    kinds.iter().flat_map(named).collect()
}

/// Under Delete nothing is left: no volume on any node, no service, config, secret or network; the other objects of the Swarm stay.
#[test]
fn with_its_data() {
    let mut suite = suite();
    let _story = suite.demo();
    let before = volumes(&suite, "demo_");
    assert!(before.len() >= 6, "{before:?}");
    suite
        .kubectl
        .patch(DEMO, &json!({"spec": {"deletionPolicy": "Delete"}}));
    suite.delete(DEMO);
    assert_eq!(volumes(&suite, "demo_"), BTreeSet::new());
    assert_eq!(left(&suite, "demo_"), Vec::<String>::new());
    assert_eq!(left(&suite, "milvus-node-task"), Vec::<String>::new());
    let told = suite.kubectl.events(DEMO);
    for (node, volume) in &before {
        assert!(
            told.iter().any(|e| e.reason == "VolumesDeleted"
                && e.message.contains(&format!("{volume} on {node}"))),
            "nothing was said of {volume} on {node}: {told:?}"
        );
    }
}

/// Under Retain (the default) the volumes stay where they are and the last event names them; the same name needs `adopt: true`,
/// and then finds its rows.
#[test]
fn keeping_its_data_for_the_next() {
    let suite = suite();
    let _story = suite.story("single");
    suite.remove("single");
    let resource = standalone("single", 19540);
    let endpoint = format!("{}:19540", suite.bed.nodes[0].address);
    suite.kubectl.apply(&resource);
    suite.ready("single", START);
    client::fill_at(&endpoint);
    let before = volumes(&suite, "single_");
    assert!(before.len() >= 3, "{before:?}");
    suite.delete("single");
    assert_eq!(before, volumes(&suite, "single_"), "volumes under Retain");
    assert_eq!(left(&suite, "single_"), Vec::<String>::new());
    let events = suite.kubectl.events("single");
    let last = events.last().unwrap();
    assert_eq!(last.reason, "VolumesRetained", "{events:?}");
    for (node, volume) in &before {
        assert!(
            last.message.contains(&format!("{volume} on {node}")),
            "{last:?}"
        );
    }

    suite.kubectl.apply(&resource);
    wait::until("the name to be refused", SOON, || {
        let accepted = suite.kubectl.condition("single", "Accepted");
        let named = before
            .iter()
            .all(|(_, volume)| accepted.message.contains(volume));
        let refused = accepted.status == "False" && accepted.reason == "RetainedData" && named;
        refused.then_some(()).ok_or_else(|| format!("{accepted:?}"))
    });
    assert_eq!(left(&suite, "single_service"), Vec::<String>::new());
    assert_eq!(before, volumes(&suite, "single_"));
    suite
        .kubectl
        .patch("single", &json!({"spec": {"adopt": true}}));
    suite.ready("single", START);
    client::check_at(&endpoint);
    assert_eq!(before, volumes(&suite, "single_"), "adopted volumes");
    suite.remove("single");
    assert_eq!(volumes(&suite, "single_"), BTreeSet::new());
}
