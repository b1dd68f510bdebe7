//! Random lives: edits, hands, lost nodes, killed operators, stale looks, refused writes and lost answers, in any order. When
//! it is over, the cluster must come to rest as the last resource asks, and on the way nothing may have happened that never
//! may. `SIM_CASES=500 cargo test -p milvus-sim --test faults` looks further than the default does.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::time::Duration;

use milvus_core::outline::ObjectId;
use milvus_crds::MilvusCluster;
use milvus_sim::scenario::{DEMO, REFERENCE, Sim};
use milvus_sim::{Faults, Options};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

#[derive(Clone, Debug)]
enum Happening {
    /// Nothing, for a while (tenths of seconds).
    Time(u16),
    /// The operator is killed after that many more actions.
    Kill(u8),
    /// The operator is killed now.
    KillNow,
    /// Writes to the platform or to the store are refused or their answers lost, looks are stale, the platform is silent: in
    /// percent.
    Weather {
        errors: u8,
        stale: u8,
        silent: u8,
        store: u8,
    },
    /// A hand edits a service.
    EditByHand(u8),
    /// A hand scales a service to nothing.
    StopByHand(u8),
    /// A hand removes an object.
    RemoveByHand(u8),
    /// `docker stack rm`.
    RemoveStack,
    /// A node loses its power for that many seconds.
    CutNode { node: u8, seconds: u8 },
    /// The resource is edited.
    Edit(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1u16..400).prop_map(Happening::Time),
        2 => (0u8..12).prop_map(Happening::Kill),
        1 => Just(Happening::KillNow),
        2 => (0u8..30, 0u8..40, 0u8..30, 0u8..30).prop_map(|(errors, stale, silent, store)| Happening::Weather { errors, stale, silent, store }),
        2 => any::<u8>().prop_map(Happening::EditByHand),
        1 => any::<u8>().prop_map(Happening::StopByHand),
        2 => any::<u8>().prop_map(Happening::RemoveByHand),
        1 => Just(Happening::RemoveStack),
        1 => (any::<u8>(), 1u8..90).prop_map(|(node, seconds)| Happening::CutNode { node, seconds }),
        3 => (0u8..9).prop_map(Happening::Edit),
    ]
}

fn pick(sim: &Sim, number: u8, services: bool) -> Option<ObjectId> {
    let ids: Vec<&ObjectId> = sim
        .world
        .objects
        .keys()
        .filter(|id| !services || id.kind == "service")
        .collect();
    ids.get(usize::from(number) % ids.len().max(1))
        .map(|id| (*id).clone())
}

fn constrain(resource: &mut MilvusCluster, component: &str, rule: &str) {
    let rules = serde_json::json!({ "constraints": [rule] });
    let mut components = serde_json::to_value(&resource.spec.swarm.components).unwrap();
    components[component] = rules;
    resource.spec.swarm.components = serde_json::from_value(components).unwrap();
}

fn edit(sim: &mut Sim, number: u8) {
    sim.edit(|r| {
        let components = &mut r.spec.components;
        match number {
            0 => components.query_node.get_or_insert_default().replicas = Some(3),
            1 => components.query_node.get_or_insert_default().replicas = Some(1),
            2 => {
                r.spec
                    .config
                    .insert("log".to_owned(), serde_json::json!({"level": "debug"}));
            }
            3 => r.spec.config = serde_json::Map::new(),
            4 => {
                let values = &mut r.spec.dependencies.etcd.in_cluster.values;
                values.auto_compaction_retention = Some("2000".to_owned());
            }
            5 => constrain(r, "queryNode", "node.hostname!=node-2"),
            6 => constrain(r, "etcd", "node.hostname!=node-1"),
            7 => {
                let values = &mut r.spec.dependencies.storage.in_cluster.values;
                let slow = ("MINIO_SCANNER_SPEED".to_owned(), "slow".to_owned());
                values.environment.extend([slow]);
            }
            _ => {
                // Four members are refused; the cluster must stay as it is.
                r.spec.dependencies.etcd.in_cluster.values.replica_count = Some(4);
            }
        }
    });
}

fn happen(sim: &mut Sim, what: &Happening) {
    match what {
        Happening::Time(tenths) => sim.run(Duration::from_millis(u64::from(*tenths) * 100)),
        Happening::Kill(actions) => sim.world.faults.crash_after = Some(u32::from(*actions)),
        Happening::KillNow => sim.restart(),
        Happening::Weather {
            errors,
            stale,
            silent,
            store,
        } => {
            sim.world.faults = Faults {
                errors: u32::from(*errors),
                stale: u32::from(*stale),
                unreachable: u32::from(*silent),
                store: u32::from(*store),
                crash_after: sim.world.faults.crash_after,
            };
        }
        Happening::EditByHand(number) => {
            if let Some(id) = pick(sim, *number, true) {
                sim.world.edit_by_hand(&id, "Env");
            }
        }
        Happening::StopByHand(number) => {
            if let Some(id) = pick(sim, *number, true) {
                sim.world.scale_by_hand(&id, 0);
            }
        }
        Happening::RemoveByHand(number) => {
            if let Some(id) = pick(sim, *number, false) {
                sim.world.remove_by_hand(&id);
            }
        }
        Happening::RemoveStack => sim.world.remove_stack_by_hand(),
        Happening::CutNode { node, seconds } => {
            let ids: Vec<String> = sim.world.nodes.keys().cloned().collect();
            let id = &ids[usize::from(*node) % ids.len()];
            sim.world.cut_node(id);
            sim.run(Duration::from_secs(u64::from(*seconds)));
            sim.world.heal_node(id);
        }
        Happening::Edit(number) => edit(sim, *number),
    }
}

fn live(yaml: &str, seed: u64, slow_stops: bool, story: &[Happening]) -> Result<(), TestCaseError> {
    let options = Options {
        seed,
        nodes: 4,
        slow_stops,
        ..Options::default()
    };
    let mut sim = Sim::new(yaml, options.clone());
    for what in story {
        happen(&mut sim, what);
    }
    // The weather clears, and a refused resource is put right.
    sim.calm();
    sim.edit(|r| {
        let values = &mut r.spec.dependencies.etcd.in_cluster.values;
        if values.replica_count == Some(4) {
            values.replica_count = Some(3);
        }
        // Refused where a member of etcd is on that node.
        r.spec.swarm.components.etcd = None;
    });
    let fail = |what: &str, why: String| TestCaseError::fail(format!("{what}: {why}"));
    sim.settle(Duration::from_secs(3600))
        .map_err(|e| fail("converges", e))?;
    sim.rests(20).map_err(|e| fail("rests", e))?;
    sim.sound().map_err(|e| fail("is sound", e))?;
    prop_assert!(sim.world.deleted_volumes.is_empty(), "no volume is deleted");
    // Where a fresh start of the same resource leads.
    let mut fresh = Sim::new(yaml, Options::default());
    let wanted = sim.store.resource.clone();
    fresh.edit(|r| {
        if let Some(wanted) = wanted {
            r.spec = wanted.spec;
        }
    });
    fresh
        .settle(Duration::from_secs(600))
        .map_err(|e| fail("a fresh start converges", e))?;
    let homes = |sim: &Sim| sim.store.ledger.as_ref().map(|l| l.members.clone());
    if homes(&sim) == homes(&fresh) {
        prop_assert_eq!(sim.shape(), fresh.shape());
    }
    Ok(())
}

fn cases(default: u32) -> u32 {
    std::env::var("SIM_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default)
}

/// Shrinking takes as long as many cases: only where somebody looks on.
fn shrinks() -> u32 {
    if std::env::var_os("SIM_CASES").is_some() {
        100
    } else {
        0
    }
}

fn config(default: u32) -> ProptestConfig {
    ProptestConfig {
        cases: cases(default),
        max_shrink_iters: shrinks(),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn any_story_ends_well_small(seed in any::<u64>(), slow in any::<bool>(), story in prop::collection::vec(happening(), 1..14)) {
        live(DEMO, seed, slow, &story)?;
    }
}

proptest! {
    #![proptest_config(config(6))]

    #[test]
    fn any_story_ends_well_reference(seed in any::<u64>(), slow in any::<bool>(), story in prop::collection::vec(happening(), 1..10)) {
        live(REFERENCE, seed, slow, &story)?;
    }
}
