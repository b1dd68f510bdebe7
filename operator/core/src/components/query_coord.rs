//! Query coordinator: what is loaded where. Pure data.

use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::QueryCoord,
    name: "queryCoord",
    verb: &["querycoord"],
    ports: &[("querycoord", 19531)],
    size: Size {
        millicpu: 200,
        mebibytes: 256,
    },
    standby: &["queryCoord"],
    leaves: Leaves::Quickly,
};
