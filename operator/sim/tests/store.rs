//! Other clients write where the operator writes: the ledger, the status, Secrets.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

use std::time::Duration;

use milvus_crds::{MilvusClusterStatus, Phase};
use milvus_sim::scenario::{DEMO, REFERENCE, Sim};
use milvus_sim::{Lag, Options};

const LONG: Duration = Duration::from_secs(300);

fn up(yaml: &str) -> Sim {
    let mut sim = Sim::new(yaml, Options::default());
    sim.settle(LONG).unwrap();
    sim
}

/// An import writes the ledger of a running cluster: the operator reads it without being started anew, and what it writes itself
/// goes over the last one that it read, not over another.
#[test]
fn what_others_write_into_the_ledger_is_not_lost() {
    let mut sim = up(DEMO);
    let ledger = sim.store.ledger.as_mut().unwrap();
    ledger.members.get_mut("etcd-0").unwrap().node_name = "renamed".to_owned();
    sim.run(Duration::from_secs(30));
    let status = sim.store.resource.as_ref().unwrap().status.clone().unwrap();
    let member = &status.dependencies["etcd"].members[0];
    assert_eq!(member.node.as_deref(), Some("renamed"));

    // While the watch does not show it yet, a refused edit has the last good spec recorded.
    sim.store.lag = Lag {
        ledger: 100,
        ..Lag::default()
    };
    sim.store.ledger.as_mut().unwrap().last_epoch += 7;
    let epoch = sim.store.ledger.as_ref().unwrap().last_epoch;
    sim.edit(|r| r.spec.dependencies.etcd.in_cluster.values.replica_count = Some(4));
    sim.run(Duration::from_secs(30));
    let ledger = sim.store.ledger.as_ref().unwrap();
    assert!(ledger.last_good.is_some());
    assert_eq!(ledger.last_epoch, epoch);
    sim.sound().unwrap();
}

/// A status of another client's making is corrected at once.
#[test]
fn a_status_that_others_write_is_corrected() {
    let mut sim = up(DEMO);
    let good = sim.store.resource.as_ref().unwrap().status.clone();
    for bad in [
        None,
        Some(MilvusClusterStatus::default()),
        Some(MilvusClusterStatus {
            phase: Some(Phase::Invalid),
            ..good.clone().unwrap()
        }),
    ] {
        sim.store.resource.as_mut().unwrap().status = bad;
        // The watch shows it to the next pass.
        sim.step();
        let now = sim.store.resource.as_ref().unwrap().status.clone();
        assert_eq!(now, good);
        sim.run(Duration::from_secs(60));
        sim.rests(10).unwrap();
    }
}

/// What the operator made is made again as it was, and nothing restarts for it.
#[test]
fn secrets_that_are_removed_come_back() {
    let mut sim = up(REFERENCE);
    let writes = sim.world.writes.len();
    let names: Vec<String> = sim.store.secrets.keys().cloned().collect();
    assert!(!names.is_empty());
    for name in names {
        let secret = sim.store.secrets.remove(&name).unwrap();
        sim.run(Duration::from_secs(30));
        assert_eq!(sim.store.secrets[&name].data, secret.data, "{name}");
    }
    assert_eq!(sim.world.writes.len(), writes);
    sim.settle(LONG).unwrap();
    sim.rests(10).unwrap();
    sim.sound().unwrap();
}

/// Other credentials of MinIO: its members take them together.
#[test]
fn credentials_that_are_edited_are_taken_over() {
    let mut sim = up(REFERENCE);
    let minio = |name: &&String| name.ends_with("-minio");
    let name = sim.store.secrets.keys().find(minio).unwrap().clone();
    let other = k8s_openapi::ByteString(b"another-secret-key".to_vec());
    assert!(sim.store.edit_secret(&name, |secret| {
        let data = secret.data.get_or_insert_default();
        data.insert("secretkey".to_owned(), other);
    }));
    let writes = sim.world.writes.len();
    sim.run(Duration::from_secs(30));
    sim.settle(LONG).unwrap();
    assert!(sim.world.writes.len() > writes);
    sim.rests(10).unwrap();
    sim.sound().unwrap();
}

/// Every watch is behind most of the time, and the store refuses every third call.
#[test]
fn a_store_that_lags_and_refuses_delays_and_breaks_nothing() {
    for seed in 1..4 {
        let options = Options {
            seed,
            ..Options::default()
        };
        let mut sim = Sim::new(REFERENCE, options);
        sim.store.lag = Lag {
            resource: 70,
            ledger: 70,
            secrets: 70,
        };
        sim.world.faults.store = 33;
        sim.run(Duration::from_secs(120));
        sim.edit(|r| {
            let values = &mut r.spec.dependencies.etcd.in_cluster.values;
            values.auto_compaction_retention = Some("2000".to_owned());
        });
        sim.run(LONG);
        sim.calm();
        sim.settle(LONG).unwrap();
        sim.rests(20).unwrap();
        sim.sound().unwrap();
    }
}
