//! The product on a real Docker Swarm of three managers and a worker, with real Milvus, Pulsar, etcd and MinIO and a real
//! client. What is asserted comes from docker and kubectl, never from the operator's own log.
//!
//! All tests share one Swarm, one operator and one cluster named `demo`; they run one at a time in the order of their names
//! (`--test-threads=1`), and each brings about what it needs, so each can also be run alone. `MILVUS_TEST_KEEP=1` uses a Swarm
//! that stands already.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: what they cannot read ends the test"
)]

#[path = "swarm/stage.rs"]
mod stage;
#[path = "swarm/suite.rs"]
mod suite;
#[path = "swarm/t01_first_start.rs"]
mod t01_first_start;
#[path = "swarm/t02_at_rest.rs"]
mod t02_at_rest;
#[path = "swarm/t02_behaviours.rs"]
mod t02_behaviours;
#[path = "swarm/t03_repair.rs"]
mod t03_repair;
#[path = "swarm/t04_restart.rs"]
mod t04_restart;
#[path = "swarm/t05_edits.rs"]
mod t05_edits;
#[path = "swarm/t06_bad_input.rs"]
mod t06_bad_input;
#[path = "swarm/t06_full_disk.rs"]
mod t06_full_disk;
#[path = "swarm/t07_loss.rs"]
mod t07_loss;
#[path = "swarm/t08_hostile.rs"]
mod t08_hostile;
#[path = "swarm/t08_volumes.rs"]
mod t08_volumes;
#[path = "swarm/t09_reference.rs"]
mod t09_reference;
#[path = "swarm/t10_changes.rs"]
mod t10_changes;
#[path = "swarm/t11_machines.rs"]
mod t11_machines;
