//! The ledger is lost: no member moves, and no volume is opened that was made for another resource.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::time::Duration;

use milvus_core::ledger::Ledger;
use milvus_sim::Options;
use milvus_sim::scenario::{DEMO, REFERENCE, Sim};

const LONG: Duration = Duration::from_secs(300);

fn up(yaml: &str) -> Sim {
    let mut sim = Sim::new(yaml, Options::default());
    sim.settle(LONG).unwrap();
    sim
}

/// Processes that are to run, by id: what restarts has another.
fn running(sim: &Sim) -> Vec<String> {
    let wanted = sim.world.tasks.iter().filter(|task| task.wanted);
    wanted.map(|task| task.id.clone()).collect()
}

fn lose(sim: &mut Sim) -> Ledger {
    sim.store.ledger.take().unwrap()
}

/// Everything but the epoch of members to come is as it was.
fn assert_same(now: &Ledger, before: &Ledger) {
    assert_eq!(now.members, before.members);
    assert_eq!(now.owner_uid, before.owner_uid);
    assert_eq!(now.etcd_token, before.etcd_token);
    assert_eq!(now.bootstrapped, before.bootstrapped);
    assert_eq!(now.fixed, before.fixed);
    assert!(now.last_epoch >= before.last_epoch);
}

#[test]
fn a_ledger_that_is_lost_is_made_again_and_nothing_moves() {
    for yaml in [REFERENCE, DEMO] {
        for restarted in [false, true] {
            let mut sim = up(yaml);
            let tasks = running(&sim);
            let volumes = sim.world.volumes();
            let before = lose(&mut sim);
            // Nodes are fuller and emptier than when its members were placed.
            for (index, node) in sim.world.nodes.values_mut().enumerate() {
                node.node.reserved_memory = if index < 2 { node.node.memory } else { 0 };
            }
            if restarted {
                sim.restart();
            }
            sim.run(Duration::from_secs(60));
            sim.settle(LONG).unwrap();
            assert_same(sim.store.ledger.as_ref().unwrap(), &before);
            assert_eq!(running(&sim), tasks);
            assert_eq!(sim.world.volumes(), volumes);
            sim.sound().unwrap();
            sim.rests(20).unwrap();
        }
    }
}

#[test]
fn a_member_without_a_service_is_not_placed_anew_when_the_ledger_is_lost() {
    let mut sim = up(REFERENCE);
    let before = lose(&mut sim);
    let etcd = sim.service("etcd-1");
    assert!(sim.world.remove_by_hand(&etcd));
    sim.restart();
    sim.run(Duration::from_secs(60));
    let (status, reason, message) = sim.condition("Accepted").unwrap();
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "RetainedData")
    );
    assert!(message.contains("etcd-1 has no service"), "{message}");
    assert!(message.contains("accept-data-loss=etcd-1"), "{message}");
    assert!(!sim.world.objects.contains_key(&etcd));
    assert_eq!(sim.store.ledger, None);
    // Restored from an export: all goes on.
    sim.store.ledger = Some(before);
    sim.settle(LONG).unwrap();
    sim.sound().unwrap();
}

#[test]
fn what_runs_of_another_resource_is_not_taken_over_unasked() {
    let mut sim = up(REFERENCE);
    let tasks = running(&sim);
    let before = lose(&mut sim);
    // The store is lost with all that is in it, and the same manifest applied again.
    sim.store.resource = None;
    sim.restart();
    sim.apply(REFERENCE);
    sim.run(Duration::from_secs(60));
    let (status, reason, message) = sim.condition("Accepted").unwrap();
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "RetainedData")
    );
    assert!(
        message.contains("reference_etcd-0-data-d00001-e1 on node-"),
        "{message}"
    );
    assert_eq!(running(&sim), tasks);

    sim.apply(&REFERENCE.replace("deletionPolicy: Retain", "adopt: true"));
    sim.settle(LONG).unwrap();
    let after = sim.store.ledger.clone().unwrap();
    assert_eq!(after.members, before.members);
    assert_eq!(after.etcd_token, before.etcd_token);
    assert_eq!(sim.world.metadata_written, 1);
    sim.sound().unwrap();
}

#[test]
fn without_ledger_and_services_the_status_keeps_members_from_being_placed_anew() {
    let mut sim = up(REFERENCE);
    let before = lose(&mut sim);
    sim.world.remove_stack_by_hand();
    sim.restart();
    sim.run(Duration::from_secs(120));
    let (status, reason, message) = sim.condition("Accepted").unwrap();
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "RetainedData")
    );
    assert!(
        message.contains("etcd-0 was on reference_etcd-0-data-d00001-e1 of "),
        "{message}"
    );
    assert!(
        sim.world.objects.is_empty(),
        "{:?}",
        sim.world.objects.keys()
    );
    sim.store.ledger = Some(before);
    sim.settle(LONG).unwrap();
    sim.sound().unwrap();
}
