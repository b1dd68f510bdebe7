//! Members that begin on volumes that are not those that they had: seen before anything is connected to them.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::time::Duration;

use milvus_core::component::{Component, WorkloadKey};
use milvus_crds::Phase;
use milvus_sim::scenario::{DEMO, MINIMAL, REFERENCE, Sim};
use milvus_sim::{Options, TaskState};

const LONG: Duration = Duration::from_secs(300);
const ANNOTATION: &str = "operator.milvus.io/accept-data-loss";

fn up(yaml: &str, kubernetes: bool) -> Sim {
    let options = Options {
        kubernetes,
        ..Options::default()
    };
    let mut sim = Sim::new(yaml, options);
    sim.settle(LONG).unwrap();
    let known = &sim.store.ledger.as_ref().unwrap().stores;
    let names: Vec<&Component> = known.keys().collect();
    assert_eq!(names, [&Component::Etcd, &Component::Minio]);
    sim.rests(5).unwrap();
    sim
}

fn member(name: &str) -> WorkloadKey {
    WorkloadKey::parse(name).unwrap()
}

/// The conditions say what is lost, on which volume, and what can be done.
fn assert_lost(sim: &Sim, words: &[&str]) {
    assert_eq!(sim.phase(), Some(Phase::Degraded));
    for (kind, status) in [
        ("DependenciesReady", "False"),
        ("Ready", "False"),
        ("Degraded", "True"),
    ] {
        let (found, reason, message) = sim.condition(kind).unwrap();
        assert_eq!(
            (found.as_str(), reason.as_str()),
            (status, "DataLost"),
            "{kind}: {message}"
        );
        for word in words {
            assert!(message.contains(word), "{kind} without {word}: {message}");
        }
    }
}

/// Once it is not Ready it is not Ready again.
fn stays_unready(sim: &mut Sim) {
    let ready = |sim: &Sim| sim.condition("Ready").unwrap().0 == "True";
    for _ in 0..200 {
        if !ready(sim) {
            break;
        }
        sim.step();
    }
    let end = sim.world.now + Duration::from_secs(60);
    while sim.world.now < end {
        assert!(!ready(sim), "{:?}", sim.condition("Ready"));
        sim.step();
    }
}

fn annotate(sim: &mut Sim, text: Option<&str>) {
    let meta = &mut sim.store.resource.as_mut().unwrap().metadata;
    let annotations = meta.annotations.get_or_insert_default();
    annotations.remove(ANNOTATION);
    annotations.extend(text.map(|text| (ANNOTATION.to_owned(), text.to_owned())));
}

/// Ids of the processes of Milvus that are to run.
fn milvus(sim: &Sim) -> Vec<String> {
    let tasks = sim.world.tasks.iter();
    tasks
        .filter(|t| t.wanted && t.key.component.is_milvus())
        .map(|t| t.id.clone())
        .collect()
}

#[test]
fn an_etcd_on_an_emptied_volume_is_never_ready() {
    for kubernetes in [false, true] {
        for away in [false, true] {
            let mut sim = up(MINIMAL, kubernetes);
            sim.world.lose_volumes(member("etcd-0"));
            if away {
                // Nothing is known of the time before but what was written down.
                sim.world.advance(Duration::from_secs(60));
                sim.restart();
            }
            stays_unready(&mut sim);
            let volume = match kubernetes {
                true => "volume data-minimal-etcd-0 was emptied",
                false => "volume minimal_etcd-0-data-",
            };
            assert_lost(&sim, &[volume, "accept-data-loss=etcd"]);
            sim.sound().unwrap();
        }
    }
}

#[test]
fn nothing_of_milvus_is_changed_while_its_data_is_lost() {
    for (yaml, store, words) in [
        (MINIMAL, "etcd-0", "its keys are not those"),
        (MINIMAL, "minio-0", "bucket"),
        (DEMO, "minio-0", "bucket"),
    ] {
        let mut sim = up(yaml, false);
        sim.world.lose_volumes(member(store));
        sim.run(Duration::from_secs(30));
        let before = milvus(&sim);
        sim.edit(|resource| {
            let level = serde_json::json!({"level": "debug"});
            resource.spec.config.insert("log".to_owned(), level);
        });
        sim.run(Duration::from_secs(60));
        assert_eq!(milvus(&sim), before, "{store}");
        assert_lost(&sim, &[words]);
        sim.sound().unwrap();
    }
}

#[test]
fn a_bucket_that_milvus_makes_anew_is_still_a_loss() {
    let mut sim = up(MINIMAL, false);
    sim.world.lose_volumes(member("minio-0"));
    sim.run(Duration::from_secs(20));
    assert_lost(&sim, &["is gone"]);
    sim.world.lose_volumes(member("standalone-0"));
    sim.run(Duration::from_secs(60));
    assert_lost(&sim, &["was made anew"]);
    sim.sound().unwrap();
}

#[test]
fn an_accepted_loss_is_over_and_the_next_one_is_another() {
    for store in ["etcd", "minio"] {
        let mut sim = up(MINIMAL, false);
        let name = format!("{store}-0");
        sim.world.lose_volumes(member(&name));
        sim.run(Duration::from_secs(20));
        annotate(&mut sim, Some(store));
        sim.run(Duration::from_secs(5));
        // Milvus makes its bucket when it starts.
        sim.world.lose_volumes(member("standalone-0"));
        sim.settle(LONG).unwrap();
        sim.rests(5).unwrap();
        sim.world.lose_volumes(member(&name));
        sim.run(Duration::from_secs(20));
        assert_lost(&sim, &["remove it and set it again"]);
        annotate(&mut sim, None);
        sim.run(Duration::from_secs(20));
        assert_lost(&sim, &["annotate the resource"]);
        annotate(&mut sim, Some(&name));
        sim.run(Duration::from_secs(5));
        sim.world.lose_volumes(member("standalone-0"));
        sim.settle(LONG).unwrap();
        sim.sound().unwrap();
    }
}

#[test]
fn a_cluster_of_an_older_operator_is_marked_as_it_is() {
    let mut sim = up(DEMO, false);
    let running = milvus(&sim);
    sim.store.ledger.as_mut().unwrap().stores.clear();
    sim.restart();
    sim.settle(LONG).unwrap();
    assert_eq!(sim.store.ledger.as_ref().unwrap().stores.len(), 2);
    assert_eq!(milvus(&sim), running);
    sim.rests(5).unwrap();
}

/// One of several has lost its volume: it is refused by the others, who serve on, and its volume is named as the likely cause.
#[test]
fn a_member_that_is_refused_by_the_others_names_its_volume() {
    for (name, code) in [("etcd-0", 1), ("bookkeeper-1", 2)] {
        for kubernetes in [false, true] {
            let mut sim = up(REFERENCE, kubernetes);
            sim.world.lose_volumes(member(name));
            sim.run(Duration::from_secs(60));
            let tasks = sim.world.tasks.iter().filter(|t| t.key == member(name));
            let states: Vec<&TaskState> = tasks.map(|t| &t.state).collect();
            let refused = TaskState::Failed(format!("task: non-zero exit ({code})"));
            assert!(states.contains(&&refused), "{states:?}");
            let (status, reason, message) = sim.condition("Degraded").unwrap();
            assert_eq!(
                (status.as_str(), reason.as_str()),
                ("True", "InstanceFailed")
            );
            let entry = sim.store.ledger.as_ref().unwrap().members[name].clone();
            let volume = format!("it is likely that volume {}", entry.places()[0]);
            assert!(message.contains(&volume), "{message}");
            assert_eq!(sim.condition("Ready").unwrap().0, "True");
            sim.sound().unwrap();
        }
    }
}
