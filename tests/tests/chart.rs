//! The chart and the plain manifests, by real Helm on a real control plane: what they render, and that an operator with exactly the
//! rights that they grant does its whole work, in all namespaces and in a few. Nodes are fake: the operator's pod is there and
//! runs nothing, so its process runs here, with the arguments and the identity of the pod.
//!
//! Needs what `tests/testbed/prepare.sh kubernetes` prints, and root.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: what they cannot read ends the test"
)]

#[path = "chart/bed.rs"]
mod bed;
#[path = "chart/everywhere.rs"]
mod everywhere;
#[path = "chart/manifests.rs"]
mod manifests;
#[path = "chart/namespaces.rs"]
mod namespaces;
#[path = "chart/rendering.rs"]
mod rendering;

/// One cluster for all: each part leaves it without an operator.
#[test]
fn an_operator_with_the_rights_of_its_installation_does_its_work() {
    let bed = bed::Bed::up();
    everywhere::story(&bed);
    namespaces::story(&bed);
    manifests::story(&bed);
}
