//! Streaming node: owns the write-ahead log, from 2.6 on. Pure data.

use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::StreamingNode,
    name: "streamingNode",
    verb: &["streamingnode"],
    ports: &[("streamingnode", 22222)],
    size: Size {
        millicpu: 750,
        mebibytes: 1536,
    },
    standby: &[],
    leaves: Leaves::WithHandOver,
};
