//! Random lives: edits, other clients, lost nodes, killed operators, stale looks, refused writes and lost answers, in any order.
//! When it is over, the cluster must come to rest as the last resource asks, and on the way nothing may have happened that
//! never may. `make sim CASES=500` looks further than `make check` does.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may end them

mod lives;

use lives::hunt::{Kind, hunt};
use milvus_sim::scenario::{DEMO, REFERENCE};

#[test]
fn any_story_ends_well_small() {
    hunt(&Kind {
        name: "small",
        yaml: DEMO,
        cases: 16,
        longest: 14,
    });
}

#[test]
fn any_story_ends_well_reference() {
    hunt(&Kind {
        name: "reference",
        yaml: REFERENCE,
        cases: 6,
        longest: 10,
    });
}
