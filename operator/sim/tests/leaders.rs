//! Two operators at once: one has taken over, and the one before it has not ended yet.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::time::Duration;

use milvus_sim::Options;
use milvus_sim::scenario::{DEMO, REFERENCE, Sim};

const LONG: Duration = Duration::from_secs(600);

/// In the middle of a change of everything, wherever that is.
#[test]
fn an_operator_that_was_superseded_takes_nothing_down() {
    for (yaml, seconds) in [(DEMO, 0), (DEMO, 3), (REFERENCE, 1), (REFERENCE, 10)] {
        let mut sim = Sim::new(yaml, Options::default());
        sim.settle(LONG).unwrap();
        sim.edit(|r| {
            let debug = serde_json::json!({"level": "debug"});
            r.spec.config.insert("log".to_owned(), debug);
            let values = &mut r.spec.dependencies.etcd.in_cluster.values;
            values.auto_compaction_retention = Some("2000".to_owned());
        });
        sim.run(Duration::from_secs(seconds));
        sim.supersede();
        sim.run(Duration::from_secs(60));
        sim.sound().unwrap();
        sim.calm();
        sim.settle(LONG).unwrap();
        sim.rests(20).unwrap();
        sim.sound().unwrap();
    }
}

/// Both begin a cluster, and only one of them places its members.
#[test]
fn two_operators_begin_one_cluster() {
    let mut sim = Sim::new(REFERENCE, Options::default());
    sim.step();
    sim.supersede();
    sim.run(Duration::from_secs(30));
    sim.calm();
    sim.settle(LONG).unwrap();
    assert_eq!(sim.world.metadata_written, 1);
    sim.rests(20).unwrap();
    sim.sound().unwrap();
}

#[test]
fn one_that_was_superseded_ends_no_cluster() {
    let mut sim = Sim::new(DEMO, Options::default());
    sim.settle(LONG).unwrap();
    sim.supersede();
    // The new one is not there yet.
    sim.world.faults.unreachable = 100;
    sim.delete();
    sim.run(Duration::from_secs(30));
    assert!(sim.store.resource.is_some());
    sim.sound().unwrap();
    sim.calm();
    sim.settle_deletion(LONG).unwrap();
    assert!(sim.world.objects.is_empty());
    sim.sound().unwrap();
}
