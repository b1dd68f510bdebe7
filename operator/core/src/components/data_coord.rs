//! Data coordinator: segments, flushes, compactions; from 2.3 on also index builds. Pure data.

use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::DataCoord,
    name: "dataCoord",
    verb: &["datacoord"],
    ports: &[("datacoord", 13333)],
    size: Size {
        millicpu: 200,
        mebibytes: 256,
    },
    standby: &["dataCoord"],
    leaves: Leaves::Quickly,
};
