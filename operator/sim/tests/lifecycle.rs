//! The life of a cluster on a platform that keeps its word: first start, rest, repair, edits, deletion.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::collections::BTreeSet;
use std::time::Duration;

use milvus_core::action::Action;
use milvus_core::component::Component;
use milvus_core::outline::{ObjectClass, ObjectId};
use milvus_core::reasons::Reason;
use milvus_crds::{DeletionPolicy, Phase};
use milvus_sim::Options;
use milvus_sim::scenario::{DEMO, MINIMAL, REFERENCE, Sim};

const LONG: Duration = Duration::from_secs(300);

fn up(yaml: &str) -> Sim {
    let mut sim = Sim::new(yaml, Options::default());
    sim.settle(LONG).unwrap();
    sim.store.events.clear();
    sim
}

fn told(sim: &Sim, reason: Reason) -> Vec<String> {
    sim.store
        .events
        .iter()
        .filter(|e| e.reason == reason)
        .map(|e| e.message.clone())
        .collect()
}

fn volumes_of(sim: &Sim, component: Component) -> usize {
    let ledger = sim.store.ledger.as_ref().unwrap();
    let volumes: BTreeSet<&String> = ledger
        .members
        .iter()
        .filter(|(name, _)| name.starts_with(component.name()))
        .flat_map(|(_, e)| &e.volumes)
        .collect();
    volumes.len()
}

#[test]
fn first_starts_need_no_crash_loop_and_then_nothing_is_written() {
    for yaml in [MINIMAL, DEMO, REFERENCE] {
        let mut sim = Sim::new(yaml, Options::default());
        let took = sim.settle(LONG).unwrap();
        assert!(took < Duration::from_secs(60), "{took:?}");
        assert!(
            sim.world.crash_loops.is_empty(),
            "{:?}",
            sim.world.crash_loops
        );
        // The ledger: placement, then what came to life and the marks of the stores, each when it was seen.
        assert!(sim.store.ledger_writes <= 7, "{}", sim.store.ledger_writes);
        let updates = sim
            .world
            .writes
            .iter()
            .filter(|w| matches!(w.action, Action::Update { .. } | Action::Stop { .. }))
            .count();
        assert_eq!(updates, 0, "a first start changes nothing that it made");
        sim.rests(20).unwrap();
        sim.sound().unwrap();
        let ready = told(&sim, Reason::Ready);
        assert_eq!(ready.len(), 1, "{ready:?}");
        assert!(!told(&sim, Reason::Created).is_empty());
        assert!(
            told(&sim, Reason::Recreated).is_empty(),
            "{:?}",
            told(&sim, Reason::Recreated)
        );
        assert!(!told(&sim, Reason::ComponentReady).is_empty());
        assert!(told(&sim, Reason::ActionFailed).is_empty());
        assert_eq!(told(&sim, Reason::Placed).len(), 1);
    }
}

#[test]
fn the_first_wave_starts_in_one_plan() {
    let mut sim = Sim::new(REFERENCE, Options::default());
    sim.step();
    sim.step();
    let services = sim
        .world
        .objects
        .keys()
        .filter(|id| id.kind == "service")
        .count();
    // etcd, MinIO, ZooKeeper and the gateway wait for nothing.
    assert_eq!(services, 3 + 4 + 3 + 1);
    assert_eq!(sim.world.metadata_written, 0);
    sim.settle(LONG).unwrap();
    assert_eq!(sim.world.metadata_written, 1);
}

#[test]
fn every_object_removed_by_hand_comes_back() {
    let mut sim = up(REFERENCE);
    let shape = sim.shape();
    let ids: Vec<ObjectId> = sim.world.objects.keys().cloned().collect();
    for id in ids {
        if !sim.world.remove_by_hand(&id) {
            continue;
        }
        sim.store.events.clear();
        sim.settle(LONG).unwrap_or_else(|e| panic!("{id}: {e}"));
        let recreated = told(&sim, Reason::Recreated);
        assert!(
            recreated.iter().any(|m| m.contains(&id.name)),
            "{id}: {recreated:?}"
        );
        assert_eq!(sim.shape(), shape, "{id}");
    }
    sim.rests(20).unwrap();
    sim.sound().unwrap();
}

#[test]
fn every_service_edited_or_scaled_by_hand_is_put_back() {
    let mut sim = up(REFERENCE);
    let shape = sim.shape();
    let ids: Vec<ObjectId> = sim
        .world
        .objects
        .keys()
        .filter(|id| id.kind == "service")
        .cloned()
        .collect();
    for id in ids {
        sim.store.events.clear();
        sim.world.edit_by_hand(&id, "Env");
        sim.settle(LONG).unwrap_or_else(|e| panic!("{id}: {e}"));
        let repaired = told(&sim, Reason::Repaired);
        assert_eq!(repaired.len(), 1, "{id}: {repaired:?}");
        assert!(
            repaired[0].starts_with(&format!("{id} was edited by hand: Env")),
            "{repaired:?}"
        );
        if sim.world.objects[&id].replicas.is_some() {
            for replicas in [0, 3] {
                sim.world.scale_by_hand(&id, replicas);
                sim.settle(LONG).unwrap_or_else(|e| panic!("{id}: {e}"));
            }
        }
        assert_eq!(sim.shape(), shape, "{id}");
    }
    sim.rests(20).unwrap();
    // A hand that scales a member to three puts three processes on its data; that is not ours to answer for.
    let ours: Vec<_> = sim
        .world
        .violations
        .iter()
        .filter(|v| !v.contains("are both on volume"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn a_removed_stack_comes_back_with_its_data() {
    let mut sim = up(REFERENCE);
    let ledger = sim.store.ledger.clone();
    let shape = sim.shape();
    let volumes = sim.world.volumes();
    sim.world.remove_stack_by_hand();
    // Even when the operator was not there to see it.
    sim.restart();
    sim.settle(LONG).unwrap();
    assert_eq!(sim.store.ledger, ledger);
    assert_eq!(sim.shape(), shape);
    assert_eq!(sim.world.volumes(), volumes);
    assert_eq!(sim.world.metadata_written, 1, "metadata is written once");
    sim.sound().unwrap();
}

#[test]
fn a_lost_network_is_made_again_and_its_users_follow() {
    let mut sim = up(REFERENCE);
    let network = ObjectId::new("network", "reference_backend");
    sim.world.lose_network(&network);
    sim.settle(LONG).unwrap();
    sim.rests(20).unwrap();
    sim.sound().unwrap();
    let updates = sim
        .world
        .writes
        .iter()
        .filter(|w| matches!(&w.action, Action::Update { id, .. } if id.kind == "service"))
        .count();
    assert!(updates >= 20, "{updates} services follow");
}

#[test]
fn edits_are_rolled_one_at_a_time_and_lead_where_a_fresh_start_leads() {
    let edited = REFERENCE
        .replace(
            "replicaCount: 3\n    storage",
            "replicaCount: 3\n          quotaBackendBytes: 8589934592\n    storage",
        )
        .replace(
            "queryNode:\n      replicas: 2",
            "queryNode:\n      replicas: 3",
        );
    let mut sim = up(REFERENCE);
    sim.apply(&edited);
    sim.edit(|r| {
        let mut config = serde_json();
        r.spec.config.append(&mut config);
    });
    let target = sim.store.resource.clone().unwrap();
    sim.settle(Duration::from_secs(900)).unwrap();
    sim.rests(20).unwrap();
    sim.sound().unwrap();
    assert!(
        sim.world.crash_loops.is_empty(),
        "{:?}",
        sim.world.crash_loops
    );

    let mut fresh = Sim::new(&edited, Options::default());
    fresh.edit(|r| r.spec = target.spec.clone());
    fresh.settle(LONG).unwrap();
    assert_eq!(sim.shape(), fresh.shape());
}

/// One process of a change fails once, and the platform stops there: with its cause gone the change goes on.
#[test]
fn a_rollout_that_was_stopped_goes_on() {
    let mut sim = up(REFERENCE);
    let id = sim.service("querynode");
    sim.edit(|r| {
        let node = r.spec.components.query_node.get_or_insert_default();
        node.env.push(env("EDITED", "1"));
    });
    let stopped = (0..2000).any(|_| {
        sim.step();
        let tasks = sim.world.tasks.clone();
        let object = sim.world.objects.get_mut(&id).unwrap();
        let outdated = |t: &milvus_sim::Task| {
            t.object.0 == id && t.wanted && t.native.fields != object.native.fields
        };
        let half_way = object.version > 1 && tasks.iter().any(outdated);
        if half_way {
            object.paused = Some("update paused: a task has failed".to_owned());
        }
        half_way
    });
    assert!(stopped);
    sim.settle(LONG).unwrap();
    let (status, _, message) = sim.condition("Degraded").unwrap();
    assert_eq!(status, "False", "{message}");
    let goes_on = told(&sim, Reason::Updated);
    assert!(goes_on.iter().any(|m| m.contains("goes on")), "{goes_on:?}");
    sim.sound().unwrap();
}

fn serde_json() -> serde_json::Map<String, serde_json::Value> {
    let value = serde_json::json!({"log": {"level": "debug"}});
    match value {
        serde_json::Value::Object(map) => map,
        _ => serde_json::Map::new(),
    }
}

#[test]
fn a_change_back_undoes_a_broken_one() {
    let mut sim = up(REFERENCE);
    let shape = sim.shape();
    let good = sim.store.resource.clone().unwrap().spec;
    type Edit = fn(&mut milvus_crds::MilvusCluster);
    let breaks: [(&str, Edit, Reason); 3] = [
        (
            "an image that is not there",
            |r| {
                let proxy = r.spec.components.proxy.get_or_insert_default();
                proxy.common.image = Some("milvusdb/missing:v2.3.5".to_owned());
            },
            Reason::ImagePullFailed,
        ),
        (
            "more processes than there is memory for",
            |r| {
                let node = r.spec.components.query_node.get_or_insert_default();
                node.replicas = Some(6);
                node.resources.requests.memory = Some(quantity("40Gi"));
            },
            Reason::Unschedulable,
        ),
        (
            "a process that ends at once",
            |r| {
                let node = r.spec.components.data_node.get_or_insert_default();
                node.env.push(env("CRASH", "1"));
            },
            Reason::InstanceFailed,
        ),
    ];
    for (name, edit, reason) in breaks {
        sim.store.events.clear();
        sim.edit(edit);
        sim.run(Duration::from_secs(60));
        assert_ne!(sim.phase(), Some(Phase::Ready), "{name}");
        let told = told(&sim, reason);
        assert!(!told.is_empty(), "{name}: {:?}", sim.store.events);
        let (status, _, message) = sim.condition("Degraded").unwrap();
        assert_eq!(status, "True", "{name}: {message}");
        let good = good.clone();
        sim.edit(|r| r.spec = good);
        sim.settle(LONG).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(sim.shape(), shape, "{name}");
    }
    sim.rests(20).unwrap();
    sim.sound().unwrap();
}

fn quantity(text: &str) -> milvus_crds::Quantity {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).unwrap()
}

fn env(name: &str, value: &str) -> milvus_crds::EnvVar {
    serde_json::from_value(serde_json::json!({"name": name, "value": value})).unwrap()
}

#[test]
fn objects_of_others_are_left_alone_and_reported() {
    let mut sim = Sim::new(DEMO, Options::default());
    let foreign = ObjectId::new("service", "demo_querynode");
    sim.world.make_foreign(&foreign, ObjectClass::Workload);
    sim.run(Duration::from_secs(120));
    assert_ne!(sim.phase(), Some(Phase::Ready));
    let told = told(&sim, Reason::ForeignObject);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("demo_querynode"));
    assert!(sim.world.objects.contains_key(&foreign));
    // The rest goes on.
    assert!(
        sim.world
            .objects
            .contains_key(&ObjectId::new("service", "demo_proxy"))
    );
    sim.world.objects.remove(&foreign);
    sim.settle(LONG).unwrap();
    sim.sound().unwrap();
}

#[test]
fn deletion_keeps_or_deletes_volumes_and_adoption_finds_them() {
    let mut sim = up(REFERENCE);
    let volumes = sim.world.volumes();
    assert!(volumes_of(&sim, Component::Etcd) == 3);
    let before = sim.store.ledger.clone().unwrap();
    sim.delete();
    sim.settle_deletion(LONG).unwrap();
    assert!(sim.world.objects.is_empty());
    assert_eq!(sim.world.volumes(), volumes);
    let kept = told(&sim, Reason::VolumesRetained);
    assert_eq!(kept.len(), 1);
    assert!(
        kept[0].contains("reference_etcd-0-data-d00001-e1"),
        "{kept:?}"
    );
    assert!(sim.store.ledger.as_ref().unwrap().is_retained());

    // The same name again: refused, and nothing is touched.
    sim.apply(REFERENCE);
    sim.run(Duration::from_secs(60));
    assert_eq!(sim.condition("Accepted").unwrap().1, "RetainedData");
    assert!(sim.world.objects.is_empty());
    // Deleting the refused one touches nothing either.
    sim.delete();
    sim.settle_deletion(LONG).unwrap();
    assert_eq!(sim.world.volumes(), volumes);

    // Taken over: same nodes and volumes, metadata not written again.
    sim.apply(&REFERENCE.replace(
        "deletionPolicy: Retain",
        "adopt: true\n  deletionPolicy: Delete",
    ));
    sim.settle(LONG).unwrap();
    let adopted = sim.store.ledger.clone().unwrap();
    assert_eq!(adopted.members, before.members);
    assert_eq!(sim.world.metadata_written, 1);
    sim.rests(20).unwrap();

    // And gone at last, on every node.
    sim.delete();
    sim.settle_deletion(LONG).unwrap();
    assert!(sim.world.volumes().is_empty(), "{:?}", sim.world.volumes());
    assert!(sim.store.ledger.is_none());
    sim.sound().unwrap();
}

#[test]
fn a_deletion_that_orphans_touches_nothing_and_the_next_of_the_name_adopts() {
    let mut sim = up(&REFERENCE.replace("deletionPolicy: Retain", "deletionPolicy: Delete"));
    let objects: Vec<_> = sim.world.objects.keys().cloned().collect();
    let running = |sim: &Sim| -> Vec<String> {
        let wanted = sim.world.tasks.iter().filter(|task| task.wanted);
        wanted.map(|task| task.id.clone()).collect()
    };
    let (volumes, tasks) = (sim.world.volumes(), running(&sim));
    sim.store.orphan = true;
    sim.delete();
    sim.settle_deletion(LONG).unwrap();
    assert!(sim.world.objects.keys().eq(&objects));
    assert_eq!(sim.world.volumes(), volumes);
    assert_eq!(running(&sim), tasks);
    assert_eq!(told(&sim, Reason::Orphaned).len(), 1);
    assert!(sim.store.ledger.as_ref().unwrap().is_retained());

    sim.store.orphan = false;
    sim.apply(&REFERENCE.replace("deletionPolicy: Retain", "adopt: true"));
    sim.settle(LONG).unwrap();
    assert_eq!(sim.world.volumes(), volumes);
    sim.sound().unwrap();
}

#[test]
fn a_node_that_is_away_holds_the_deletion_until_it_is_given_up() {
    let mut sim = up(DEMO);
    sim.edit(|r| r.spec.deletion_policy = Some(DeletionPolicy::Delete));
    let node = sim.store.ledger.as_ref().unwrap().members["etcd-0"]
        .node
        .clone();
    sim.world.cut_node(&node);
    sim.run(Duration::from_secs(30));
    sim.delete();
    assert!(sim.settle_deletion(Duration::from_secs(120)).is_err());
    let (_, _, message) = sim.condition("Degraded").unwrap();
    assert!(message.contains("abandon-node"), "{message}");
    sim.store.abandoned.insert(node);
    sim.settle_deletion(LONG).unwrap();
    assert!(sim.store.ledger.as_ref().unwrap().last_epoch >= 1);
    // A fresh one of the name never opens what stayed on that node.
    sim.apply(DEMO);
    sim.run(Duration::from_secs(5));
    assert!(sim.store.ledger.as_ref().unwrap().members["etcd-0"].volumes[0].ends_with("-e2"));
    sim.sound().unwrap();
}

#[test]
fn a_lost_node_is_reported_and_its_members_stay_its_own() {
    let mut sim = up(REFERENCE);
    let ledger = sim.store.ledger.clone();
    let node = ledger.as_ref().unwrap().members["etcd-1"].node.clone();
    sim.world.cut_node(&node);
    sim.run(Duration::from_secs(120));
    let (status, reason, message) = sim.condition("Degraded").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NodeDown"));
    assert!(message.contains("etcd-1"), "{message}");
    assert_eq!(
        sim.condition("Ready").unwrap().0,
        "True",
        "two of three still serve"
    );
    assert_eq!(sim.store.ledger, ledger);
    sim.rests(20).unwrap();
    sim.world.heal_node(&node);
    sim.settle(LONG).unwrap();
    assert_eq!(sim.store.ledger, ledger);
    sim.rests(20).unwrap();
    sim.sound().unwrap();
}

#[test]
fn power_loss_of_every_node_heals_by_itself() {
    let mut sim = up(REFERENCE);
    let ids: Vec<String> = sim.world.nodes.keys().cloned().collect();
    for id in &ids {
        sim.world.cut_node(id);
    }
    sim.run(Duration::from_secs(90));
    for id in &ids {
        sim.world.heal_node(id);
    }
    sim.settle(Duration::from_secs(600)).unwrap();
    sim.rests(20).unwrap();
    sim.sound().unwrap();
}

#[test]
fn a_bad_resource_is_refused_and_the_running_cluster_stays() {
    let mut sim = up(DEMO);
    let shape = sim.shape();
    let writes = sim.world.writes.len();
    sim.edit(|r| r.spec.dependencies.etcd.in_cluster.values.replica_count = Some(4));
    sim.run(Duration::from_secs(60));
    let (status, _, message) = sim.condition("Accepted").unwrap();
    assert_eq!(status, "False");
    assert!(message.contains("spec.dependencies.etcd"), "{message}");
    assert_eq!(sim.phase(), Some(Phase::Invalid));
    assert_eq!(
        sim.condition("Ready").unwrap().0,
        "True",
        "it still answers"
    );
    assert_eq!(sim.world.writes.len(), writes);
    // It is looked after as it was last accepted.
    let proxy = sim.service("proxy");
    assert!(sim.world.remove_by_hand(&proxy));
    sim.run(Duration::from_secs(60));
    assert_eq!(sim.shape(), shape);
    assert_eq!(sim.phase(), Some(Phase::Invalid));
    // So does an operator that starts while it is refused, and writes nothing for that.
    sim.restart();
    let records = sim.store.ledger_writes;
    assert!(sim.world.remove_by_hand(&proxy));
    sim.run(Duration::from_secs(60));
    assert_eq!(sim.shape(), shape);
    assert_eq!(sim.condition("Ready").unwrap().0, "True");
    assert_eq!(sim.phase(), Some(Phase::Invalid));
    assert_eq!(sim.store.ledger_writes, records);
    sim.rests(10).unwrap();
    // One that finds no word of a good one touches nothing and claims nothing.
    sim.restart();
    sim.store.ledger.as_mut().unwrap().last_good = None;
    let writes = sim.world.writes.len();
    sim.run(Duration::from_secs(60));
    assert_eq!(sim.condition("Ready").unwrap().0, "Unknown");
    assert_eq!(sim.world.writes.len(), writes);
    sim.rests(10).unwrap();
    sim.edit(|r| r.spec.dependencies.etcd.in_cluster.values.replica_count = Some(3));
    sim.settle(LONG).unwrap();
    assert_eq!(sim.shape(), shape);
    assert_eq!(sim.store.ledger.as_ref().unwrap().last_good, None);
    sim.sound().unwrap();
}
