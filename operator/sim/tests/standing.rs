//! What works goes on working, and what is to be changed goes on, while something else is away.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::time::Duration;

use milvus_core::component::Component;
use milvus_sim::Options;
use milvus_sim::scenario::{REFERENCE, Sim};

const LONG: Duration = Duration::from_secs(300);

fn up(seed: u64) -> Sim {
    let options = Options {
        seed,
        ..Options::default()
    };
    let mut sim = Sim::new(REFERENCE, options);
    sim.settle(LONG).unwrap();
    sim
}

fn node_of(sim: &Sim, member: &str) -> String {
    let ledger = sim.store.ledger.as_ref().unwrap();
    ledger.members[member].node.clone()
}

/// A member that is away with its node holds up no change of what it does not take part in.
#[test]
fn a_change_goes_on_while_a_node_is_away() {
    let mut sim = up(1);
    let node = node_of(&sim, "etcd-1");
    sim.world.cut_node(&node);
    sim.run(Duration::from_secs(60));
    sim.edit(|r| {
        let role = r.spec.components.query_node.get_or_insert_default();
        let other = serde_json::json!({"name": "EDITED", "value": "1"});
        role.env.push(serde_json::from_value(other).unwrap());
    });
    sim.run(LONG);
    let tasks = sim.world.tasks.iter();
    let nodes = tasks.filter(|t| t.key.component == Component::QueryNode && t.wanted);
    let edited = nodes.map(|t| t.native.fields["Env"].contains("EDITED"));
    assert_eq!(edited.collect::<Vec<_>>(), [true, true]);
    let (status, _, message) = sim.condition("Updated").unwrap();
    assert_eq!(status, "True", "{message}");
    sim.world.heal_node(&node);
    sim.settle(LONG).unwrap();
    sim.sound().unwrap();
}

/// All roles that had an instance on a node lack one for a while: what is left of them serves.
#[test]
fn roles_that_partly_serve_take_turns() {
    for seed in 1..5 {
        let mut sim = up(seed);
        let node = node_of(&sim, "etcd-1");
        sim.world.cut_node(&node);
        sim.run(Duration::from_secs(16));
        sim.edit(|r| {
            let debug = serde_json::json!({"level": "debug"});
            r.spec.config.insert("log".to_owned(), debug);
        });
        sim.run(LONG);
        sim.world.heal_node(&node);
        sim.settle(LONG).unwrap();
        sim.sound().unwrap();
    }
}

/// Resource, ledger, Secrets and services are gone, and the volumes are not: the same manifest begins on volumes of its own.
#[test]
fn a_store_that_is_lost_with_all_that_is_in_it_opens_no_old_volume() {
    let mut sim = up(1);
    let volumes = sim.world.volumes();
    sim.store.resource = None;
    sim.store.ledger = None;
    sim.store.secrets.clear();
    sim.world.remove_stack_by_hand();
    sim.run(Duration::from_secs(60));
    sim.restart();
    sim.apply(REFERENCE);
    sim.settle(LONG).unwrap();
    assert!(sim.world.volumes().is_superset(&volumes));
    sim.rests(20).unwrap();
    sim.sound().unwrap();
}
