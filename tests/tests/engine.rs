//! What the crate `milvus-swarm` promises its callers, on a real Swarm: what it makes, sees, undoes and removes there, without the
//! operator around it. All tests share one Swarm of three managers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: what they cannot read ends the test"
)]

#[path = "engine/bed.rs"]
mod bed;
#[path = "engine/edges.rs"]
mod edges;
#[path = "../../operator/swarm/tests/fixtures/mod.rs"]
mod fixtures;
#[path = "engine/life.rs"]
mod life;
#[path = "engine/reach.rs"]
mod reach;
