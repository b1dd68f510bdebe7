//! Against a real Swarm of three nodes. Ignored unless asked for: `SWARM_HOST=unix:///... cargo test -p milvus-swarm --test
//! live -- --ignored --test-threads 1`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bed;
mod edges;
#[path = "../fixtures/mod.rs"]
mod fixtures;
mod life;
