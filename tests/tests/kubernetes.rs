//! The product on a real kube-apiserver, controller-manager and scheduler with fake nodes (KWOK: a pod that is bound is ready at
//! once, nothing runs in it), under the rights of the plain manifests. What is asserted comes from the API and from kubectl;
//! the operator's own log only where the log is what people look at.
//!
//! All tests share one Kubernetes and one operator; they run one at a time in the order of their names (`--test-threads=1`), each in
//! a namespace of its own, so each can also be run alone. `MILVUS_TEST_KEEP=1` uses a Kubernetes that stands already.
//!
//! Needs what `tests/testbed/prepare.sh kubernetes` prints, and root.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: what they cannot read ends the test"
)]

#[path = "kubernetes/stage.rs"]
mod stage;
#[path = "kubernetes/suite.rs"]
mod suite;
#[path = "kubernetes/t01_first_start.rs"]
mod t01_first_start;
#[path = "kubernetes/t02_at_rest.rs"]
mod t02_at_rest;
#[path = "kubernetes/t02_behaviours.rs"]
mod t02_behaviours;
#[path = "kubernetes/t03_repair.rs"]
mod t03_repair;
#[path = "kubernetes/t04_others_fields.rs"]
mod t04_others_fields;
#[path = "kubernetes/t05_edits.rs"]
mod t05_edits;
#[path = "kubernetes/t06_restart.rs"]
mod t06_restart;
#[path = "kubernetes/t07_api_server.rs"]
mod t07_api_server;
#[path = "kubernetes/t08_foreign.rs"]
mod t08_foreign;
#[path = "kubernetes/t09_bad_input.rs"]
mod t09_bad_input;
#[path = "kubernetes/t10_many.rs"]
mod t10_many;
#[path = "kubernetes/t11_delete.rs"]
mod t11_delete;
#[path = "kubernetes/t12_secrets.rs"]
mod t12_secrets;
#[path = "kubernetes/t13_dependencies.rs"]
mod t13_dependencies;
#[path = "kubernetes/t14_admission.rs"]
mod t14_admission;
#[path = "kubernetes/t15_definition.rs"]
mod t15_definition;
