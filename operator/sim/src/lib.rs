//! A whole platform in memory: nodes, objects, processes with volumes, a store of resources, a virtual clock and seeded faults,
//! driven by the pass of the operator that ships: this crate depends on the library of `milvus-operator` and is used by tests
//! alone, so there is no circle. What it proves are the promises of the operator: it converges after any fault, then writes
//! nothing, never opens data that is not a member's own, never deletes what it was not told to, and says only what it
//! knows. For tests; nothing here talks to anything.

mod apply;
mod backend;
mod faults;
mod observe;
mod operator;
mod oracle;
mod probes;
mod records;
mod render;
pub mod scenario;
mod seat;
mod store;
mod tasks;
mod volumes;
mod world;

pub use faults::{Fault, Faults};
pub use operator::{Operator, PassReport};
pub use render::Native;
pub use store::{Lag, Store};
pub use tasks::{Task, TaskState};
pub use world::{CAPABILITIES, KUBERNETES, Object, Options, SimNode, World, Write};
