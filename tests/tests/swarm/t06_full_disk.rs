//! Disks that are full.

use milvus_tests::{client, wait};
use serde_json::{Value, json};

use crate::suite::{DEMO, START, suite};

/// How full the disk of a bookie may be.
fn threshold(part: &str, warn: &str) -> Value {
    let settings = json!({"diskUsageThreshold": part, "diskUsageWarnThreshold": warn});
    json!({"spec": {"dependencies": {"pulsar": {"inCluster": {"values": {"bookkeeper": {"configData": settings}}}}}}})
}

/// A bookie whose disk is fuller than it may be goes on to answer and takes no writes: the cluster is not Ready, and says whose
/// disk it is. With room again nobody has to do anything.
#[test]
fn a_bookie_that_takes_no_writes_is_named() {
    let mut suite = suite();
    let _story = suite.demo();
    suite.kubectl.patch(DEMO, &threshold("0.02", "0.01"));
    wait::until("the bookie to be named", START, || {
        let ready = suite.kubectl.condition(DEMO, "Ready");
        let named = ["bookkeeper-0", "read-only", "diskUsageThreshold"];
        (ready.status == "False" && named.iter().all(|word| ready.message.contains(word)))
            .then(|| println!("    {}", ready.message))
            .ok_or_else(|| format!("{ready:?}"))
    });
    let demo = crate::suite::demo();
    let settings =
        &demo["spec"]["dependencies"]["pulsar"]["inCluster"]["values"]["bookkeeper"]["configData"];
    let part = |key: &str| settings[key].as_str().unwrap().to_owned();
    suite.kubectl.patch(
        DEMO,
        &threshold(&part("diskUsageThreshold"), &part("diskUsageWarnThreshold")),
    );
    suite.ready(DEMO, START);
    client::check(&suite.bed.nodes[0].address);
}
