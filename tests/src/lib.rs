//! What the suites on real parts share: a Swarm or a Kubernetes of the testbed, the operator's process, the docker and kubectl
//! command lines with time-outs, a real client, and waits that say what they wait for. May start processes; of the product it
//! asserts what every platform promises alike, in the tables of [`behaviour`] and [`bad_input`]. The suites themselves, with what
//! each platform has beyond, are in `tests/tests`.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test's scenery that does not stand ends the test"
)]

pub mod api;
pub mod bad_input;
pub mod behaviour;
pub mod client;
pub mod docker;
pub mod endpoint;
pub mod kubectl;
pub mod kubernetes;
pub mod operator;
pub mod process;
pub mod silent;
pub mod testbed;
pub mod wait;

use std::collections::{BTreeMap, BTreeSet};

/// An environment variable that `tests/testbed/prepare.sh` prints.
pub fn prepared(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make test`, or eval \"$(tests/testbed/prepare.sh)\" first")
    })
}

/// What differs between two looks at the same things, a line for each.
pub fn moved<V: PartialEq + std::fmt::Debug>(
    before: &BTreeMap<String, V>,
    after: &BTreeMap<String, V>,
) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| format!("{name}: {:?} -> {:?}", before.get(name), after.get(name)))
        .collect()
}
