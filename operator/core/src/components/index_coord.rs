//! Index coordinator: a server of its own in 2.2; later versions accept the role and leave its work to the data coordinator. Pure data.

use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::IndexCoord,
    name: "indexCoord",
    verb: &["indexcoord"],
    ports: &[("indexcoord", 31000)],
    size: Size {
        millicpu: 150,
        mebibytes: 256,
    },
    standby: &["indexCoord"],
    leaves: Leaves::Quickly,
};
