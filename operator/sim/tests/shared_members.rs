//! The life of a cluster on a platform where all members of a quorum are one workload, replaced by the platform itself from
//! the highest ordinal down.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::time::Duration;

use milvus_core::component::{Component, WorkloadKey};
use milvus_sim::Options;
use milvus_sim::scenario::{DEMO, MINIMAL, REFERENCE, Sim};

const LONG: Duration = Duration::from_secs(300);

fn new(yaml: &str, seed: u64) -> Sim {
    let options = Options {
        kubernetes: true,
        seed,
        ..Options::default()
    };
    Sim::new(yaml, options)
}

fn up(yaml: &str) -> Sim {
    let mut sim = new(yaml, 1);
    sim.settle(LONG).unwrap();
    sim
}

/// Another template of every quorum.
fn edit_quorums(sim: &mut Sim) {
    sim.edit(|r| {
        let dependencies = &mut r.spec.dependencies;
        let values = &mut dependencies.etcd.in_cluster.values;
        values.auto_compaction_retention = Some("2000".to_owned());
    });
}

fn node_of(sim: &Sim, component: Component, ordinal: u16) -> String {
    let key = WorkloadKey::member(component, ordinal);
    let task = sim.world.tasks.iter().find(|t| t.key == key && t.wanted);
    task.unwrap().node.clone().unwrap()
}

fn outdated(sim: &Sim, component: Component) -> usize {
    let object = &sim.world.objects[&sim.service(component.name())];
    let tasks = sim.world.tasks.iter();
    tasks
        .filter(|t| t.key.component == component && t.wanted)
        .filter(|t| t.native.fields != object.native.fields)
        .count()
}

#[test]
fn clusters_start_and_then_nothing_is_written() {
    for yaml in [MINIMAL, DEMO, REFERENCE] {
        let mut sim = up(yaml);
        sim.rests(20).unwrap();
        sim.sound().unwrap();
    }
}

#[test]
fn a_change_is_done_when_every_member_runs_it() {
    let mut sim = up(REFERENCE);
    edit_quorums(&mut sim);
    let end = sim.world.now + LONG;
    let mut rolled = false;
    while sim.world.now < end {
        sim.step();
        let left = outdated(&sim, Component::Etcd);
        rolled |= left > 0;
        let updated = sim.condition("Updated").unwrap();
        assert!(
            left == 0 || updated.0 == "False",
            "{updated:?}, {left} left"
        );
        // The rollout by itself is no reason not to be ready.
        assert_eq!(sim.condition("Ready").unwrap().0, "True");
        if rolled && updated.0 == "True" {
            break;
        }
    }
    assert!(rolled);
    sim.settle(LONG).unwrap();
    sim.sound().unwrap();
}

/// The platform would take the highest member down next, and with it the quorum.
#[test]
fn no_quorum_is_changed_while_a_lower_member_is_away() {
    for seed in 1..6 {
        let mut sim = new(REFERENCE, seed);
        sim.settle(LONG).unwrap();
        let node = node_of(&sim, Component::Etcd, 0);
        sim.world.cut_node(&node);
        sim.run(Duration::from_secs(30));
        edit_quorums(&mut sim);
        sim.run(Duration::from_secs(60));
        sim.sound().unwrap();
        let uid = sim.store.resource.as_ref().unwrap().metadata.uid.clone();
        assert!(sim.world.serves(&uid.unwrap(), Component::Etcd));
        let (_, _, message) = sim.condition("Progressing").unwrap();
        assert!(
            message.contains("etcd-0 to be healthy before etcd is changed"),
            "{message}"
        );
        sim.world.heal_node(&node);
        sim.settle(LONG).unwrap();
        sim.sound().unwrap();
        assert_eq!(outdated(&sim, Component::Etcd), 0);
    }
}

#[test]
fn a_change_goes_on_where_the_member_that_is_away_comes_first() {
    let mut sim = up(REFERENCE);
    let node = node_of(&sim, Component::Etcd, 2);
    sim.world.cut_node(&node);
    sim.run(Duration::from_secs(30));
    edit_quorums(&mut sim);
    sim.run(Duration::from_secs(30));
    let object = &sim.world.objects[&sim.service("etcd")];
    assert!(object.version > 1, "handed over");
    sim.world.heal_node(&node);
    sim.settle(LONG).unwrap();
    sim.sound().unwrap();
}
