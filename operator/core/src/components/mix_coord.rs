//! All coordinators in one process: how small clusters run them, and the only form from 2.6 on. Pure data.

use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::MixCoord,
    name: "mixCoord",
    verb: &[
        "mixture",
        "-rootcoord",
        "-querycoord",
        "-datacoord",
        "-indexcoord",
    ],
    ports: &[
        ("rootcoord", 53100),
        ("querycoord", 19531),
        ("datacoord", 13333),
        ("indexcoord", 31000),
    ],
    size: Size {
        millicpu: 750,
        mebibytes: 1024,
    },
    standby: &[
        "rootCoord",
        "queryCoord",
        "dataCoord",
        "indexCoord",
        "mixCoord",
    ],
    leaves: Leaves::Quickly,
};
