//! The decisions of milvus-operator: pure and synchronous. No tokio, no client library, no clock, no randomness: time and
//! facts come in as arguments, so that every decision can be tested, shown and simulated.
//!
//! The pipeline of one pass: `validate` (resource and facts) -> `place` (members on nodes, into the ledger) -> `desire`
//! (platform-neutral workloads) -> a platform renders and observes -> `plan` (what is safe to do now, and what is waited
//! for) -> `status` (what people are told).

pub mod abandoned;
pub mod action;
pub mod capabilities;
pub mod check;
pub mod component;
pub mod components;
mod config;
mod constraint;
pub mod convert;
pub mod desire;
pub mod desired;
pub mod effects;
pub mod endpoint;
pub mod facts;
pub mod ledger;
pub mod names;
pub mod observed;
pub mod outline;
pub mod pins;
pub mod place;
pub mod plan;
pub mod prefixes;
pub mod probe;
pub mod reasons;
pub mod rebuild;
pub mod status;
pub mod subnet;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod validate;
pub mod version;
