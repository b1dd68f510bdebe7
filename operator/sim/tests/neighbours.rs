//! Several clusters in one world, looked after by one operator: what is wrong with one is no trouble of the others.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::time::Duration;

use milvus_crds::DeletionPolicy;
use milvus_sim::Options;
use milvus_sim::scenario::{DEMO, MINIMAL, Sim};

const LONG: Duration = Duration::from_secs(300);

/// The smallest cluster, on a port of its own.
fn minimal() -> String {
    MINIMAL.replace(
        "spec:\n",
        "spec:\n  swarm:\n    gateway:\n      port: 19531\n",
    )
}

/// Both of them are ready; the first one is in front.
fn two() -> Sim {
    let mut sim = Sim::new(DEMO, Options::default());
    sim.apply_beside(&minimal());
    sim.settle(LONG).unwrap();
    sim.turn_to(0);
    sim.settle(LONG).unwrap();
    sim.turn_to(0);
    sim
}

#[test]
fn the_deletion_of_one_leaves_the_other_alone() {
    let mut sim = two();
    let of_other = |sim: &Sim| {
        let tasks = sim.world.tasks.iter();
        let other = tasks.filter(|t| t.wanted && t.object.0.name.starts_with("minimal_"));
        other.map(|t| t.id.clone()).collect::<Vec<_>>()
    };
    let before = of_other(&sim);
    sim.edit(|r| r.spec.deletion_policy = Some(DeletionPolicy::Delete));
    sim.delete();
    sim.settle_deletion(LONG).unwrap();
    assert_eq!(of_other(&sim), before);
    let kept = |volume: &String| volume.contains("/minimal_");
    assert!(sim.world.volumes().iter().all(kept));
    sim.turn_to(0);
    sim.settle(LONG).unwrap();
    sim.rests(20).unwrap();
    sim.sound().unwrap();
}

/// Two that want the same port of the same nodes: the second one is refused and says who has it, and the first one works on.
#[test]
fn the_second_that_wants_a_port_is_refused() {
    let mut sim = Sim::new(DEMO, Options::default());
    sim.settle(LONG).unwrap();
    sim.apply_beside(MINIMAL);
    sim.run(Duration::from_secs(30));
    sim.turn_to(0);
    let (status, _, message) = sim.condition("Accepted").unwrap();
    assert_eq!(status, "False", "{message}");
    assert!(message.contains("demo"), "{message}");
    sim.turn_to(0);
    sim.settle(LONG).unwrap();
    // With the first one gone the port is free.
    sim.delete();
    sim.settle_deletion(LONG).unwrap();
    sim.turn_to(0);
    sim.settle(LONG).unwrap();
    sim.sound().unwrap();
}
