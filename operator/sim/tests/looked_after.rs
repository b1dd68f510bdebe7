//! A running cluster is observed, probed, repaired and reported whatever becomes of the machines around it.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::time::Duration;

use milvus_core::observed::Availability;
use milvus_sim::Options;
use milvus_sim::scenario::{REFERENCE, Sim};

const LONG: Duration = Duration::from_secs(300);

fn up() -> Sim {
    let mut sim = Sim::new(REFERENCE, Options::default());
    sim.settle(LONG).unwrap();
    sim
}

/// Removes a role's object by hand, and sees it come back.
fn is_repaired(sim: &mut Sim) {
    let proxy = sim.service("proxy");
    sim.world.objects.remove(&proxy);
    sim.run(Duration::from_secs(60));
    assert!(sim.world.objects.contains_key(&proxy), "it is made again");
    let ready = sim.condition("Ready").unwrap();
    assert_eq!((ready.0.as_str(), ready.1.as_str()), ("True", "AllReady"));
    sim.sound().unwrap();
}

#[test]
fn a_bookie_without_room_holds_up_nothing_else() {
    let mut sim = up();
    for node in sim.world.nodes.values_mut() {
        node.node.availability = Availability::Paused;
    }
    let four = REFERENCE.replace(
        "bookkeeper:\n            replicaCount: 3",
        "bookkeeper:\n            replicaCount: 4",
    );
    assert_ne!(four, REFERENCE);
    sim.apply(&four);
    sim.run(Duration::from_secs(30));
    let degraded = sim.condition("Degraded").unwrap();
    assert_eq!(
        (degraded.0.as_str(), degraded.1.as_str()),
        ("True", "Unschedulable")
    );
    assert!(degraded.2.contains("bookkeeper-3"), "{}", degraded.2);
    let updated = sim.condition("Updated").unwrap();
    assert_eq!(updated.0, "False");
    // Machines that take no new work are not what a test of repair is about.
    for node in sim.world.nodes.values_mut() {
        node.node.availability = Availability::Active;
        node.node.memory = 1 << 20;
        node.node.reserved_memory = 1 << 20;
    }
    is_repaired(&mut sim);
}
