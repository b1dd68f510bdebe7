//! The operator may end at any instant.

use std::thread;
use std::time::Duration;

use milvus_tests::client;

use crate::suite::{START, standalone, suite};

/// Killed again and again in the middle of a creation: it goes on where it was, and the cluster answers.
#[test]
fn killed_while_creating_it_goes_on() {
    let mut suite = suite();
    suite.remove("crash");
    let _story = suite.story("crash");
    suite.kubectl.apply(&standalone("crash", 19541));
    for pause in [0, 300, 1500, 4000] {
        thread::sleep(Duration::from_millis(pause));
        suite.operator.kill();
        println!(
            "  killed; there are {:?}",
            suite.docker.names("service", "crash_")
        );
        suite.operator.start();
    }
    suite.ready("crash", START);
    client::fill_at(&format!("{}:19541", suite.bed.nodes[0].address));
    for service in suite.docker.names("service", "crash_") {
        let tasks = suite.docker.tasks(&service);
        assert!(
            tasks.iter().all(|t| t.runs()),
            "{service} was restarted: {tasks:#?}"
        );
    }
    suite.remove("crash");
}
