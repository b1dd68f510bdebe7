//! `operator.milvus.io/v1beta1`. One file per part of the resource.

mod cluster;
mod components;
mod dependencies;
mod persistence;
mod platform;
mod status;
mod values;

pub use cluster::*;
pub use components::*;
pub use dependencies::*;
pub use persistence::*;
pub use platform::*;
pub use status::*;
pub use values::*;
