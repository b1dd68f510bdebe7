//! A cluster at rest is at rest.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use milvus_tests::docker::Docker;
use serde_json::Value;

use crate::suite::{DEMO, suite, versions};

const WINDOW: Duration = Duration::from_secs(120);

/// For two minutes no service, config or secret (the store's among them, and with them every resource) is written or made, no
/// network is made anew and no task is restarted.
#[test]
fn nothing_moves() {
    let mut suite = suite();
    let _story = suite.demo();
    // What the last change still moves: sessions that expire, status that settles.
    thread::sleep(Duration::from_secs(10));
    let facts = |docker: &Docker| {
        let mut facts: BTreeMap<String, String> = BTreeMap::new();
        for kind in ["service", "config", "secret"] {
            for (name, index) in versions(docker, kind, "") {
                facts.insert(format!("{kind} {name}"), format!("version {index}"));
            }
        }
        for (name, network) in docker.all("network") {
            facts.insert(format!("network {name}"), network["Id"].to_string());
        }
        for service in docker.names("service", "") {
            for task in docker.tasks(&service) {
                facts.insert(format!("task {} {}", task.name, task.id), task.desired);
            }
        }
        facts
    };
    let resource = |suite: &crate::suite::Suite| -> Value {
        suite.kubectl.cluster(DEMO).unwrap()["metadata"]["resourceVersion"].clone()
    };
    let (before, version) = (facts(&suite.docker), resource(&suite));
    assert!(before.len() > 40, "{before:#?}");
    println!(
        "  watching {} objects for {} s",
        before.len(),
        WINDOW.as_secs()
    );
    thread::sleep(WINDOW);
    let (after, version_after) = (facts(&suite.docker), resource(&suite));
    let moved = milvus_tests::moved(&before, &after);
    assert!(moved.is_empty(), "{moved:#?}");
    assert_eq!(version, version_after, "the resource was written");
}
