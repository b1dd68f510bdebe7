//! The operator is killed after each of its actions, one at a time, in everything that it does. It must go on where it was,
//! and end where an operator that was never killed ends.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::time::Duration;

use milvus_core::outline::ObjectId;
use milvus_crds::DeletionPolicy;
use milvus_sim::Options;
use milvus_sim::scenario::{DEMO, Sim};

const LONG: Duration = Duration::from_secs(600);

fn up() -> Sim {
    let mut sim = Sim::new(DEMO, Options::default());
    sim.settle(LONG).unwrap();
    sim
}

/// Runs `act` and kills the operator after action 0, 1, 2, ... until it is no longer killed; `end` brings it to its end.
fn matrix(
    name: &str,
    begin: impl FnOnce() -> Sim,
    end: impl Fn(&mut Sim) -> Result<(), String>,
) -> u32 {
    let start = begin();
    let mut reference = start.clone();
    end(&mut reference).unwrap_or_else(|e| panic!("{name}: {e}"));
    for kill in 0..400 {
        let mut sim = start.clone();
        sim.world.faults.crash_after = Some(kill);
        end(&mut sim).unwrap_or_else(|e| panic!("{name}, killed after action {kill}: {e}"));
        if sim.crashes == 0 {
            return kill;
        }
        sim.sound()
            .unwrap_or_else(|e| panic!("{name}, killed after action {kill}: {e}"));
        assert!(
            sim.world.crash_loops.is_empty(),
            "{name}, killed after action {kill}: {:?}",
            sim.world.crash_loops
        );
        assert_eq!(
            sim.shape(),
            reference.shape(),
            "{name}, killed after action {kill}"
        );
        assert_eq!(
            sim.store.ledger.as_ref().map(|l| &l.members),
            reference.store.ledger.as_ref().map(|l| &l.members),
            "{name}, killed after action {kill}"
        );
        assert_eq!(sim.world.volumes(), reference.world.volumes());
        assert_eq!(
            sim.world.metadata_written, 1,
            "{name}, killed after action {kill}"
        );
        if sim.store.resource.is_some() {
            // Long rests are looked at in `lifecycle`; here that nothing is left to do.
            sim.rests(5)
                .unwrap_or_else(|e| panic!("{name}, killed after action {kill}: {e}"));
        }
    }
    panic!("{name}: never comes to its end");
}

fn settle(sim: &mut Sim) -> Result<(), String> {
    sim.settle(LONG).map(|_| ())
}

#[test]
fn in_the_middle_of_a_first_start() {
    let actions = matrix("first start", || Sim::new(DEMO, Options::default()), settle);
    assert!(actions > 20, "{actions}");
}

#[test]
fn in_the_middle_of_an_edit() {
    let edited = || {
        let mut sim = up();
        sim.edit(|r| {
            let values = &mut r.spec.dependencies.etcd.in_cluster.values;
            values.auto_compaction_retention = Some("2000".to_owned());
            let node = r.spec.components.query_node.get_or_insert_default();
            node.replicas = Some(2);
            r.spec
                .config
                .insert("log".to_owned(), serde_json::json!({"level": "debug"}));
        });
        sim
    };
    let actions = matrix("edit", edited, settle);
    assert!(actions > 10, "{actions}");
}

#[test]
fn in_the_middle_of_a_repair() {
    let broken = || {
        let mut sim = up();
        sim.world.remove_stack_by_hand();
        sim
    };
    matrix("repair of a removed stack", broken, settle);
    let edited = || {
        let mut sim = up();
        for name in ["etcd-0", "etcd-1", "proxy", "bookkeeper-0"] {
            let id = ObjectId::new("service", format!("demo_{name}"));
            sim.world.edit_by_hand(&id, "Env");
        }
        sim
    };
    matrix("repair of edits", edited, settle);
}

#[test]
fn in_the_middle_of_a_deletion() {
    let delete = |sim: &mut Sim| sim.settle_deletion(LONG);
    for policy in [DeletionPolicy::Retain, DeletionPolicy::Delete] {
        let begin = || {
            let mut sim = up();
            sim.edit(|r| r.spec.deletion_policy = Some(policy));
            sim.delete();
            sim
        };
        let actions = matrix("deletion", begin, delete);
        assert!(actions > 15, "{actions}");
    }
}
