//! Root coordinator: collections, partitions, time stamps. Pure data.

use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::RootCoord,
    name: "rootCoord",
    verb: &["rootcoord"],
    ports: &[("rootcoord", 53100)],
    size: Size {
        millicpu: 200,
        mebibytes: 256,
    },
    standby: &["rootCoord"],
    leaves: Leaves::Quickly,
};
