//! Data node: writes and compacts segments; from 2.6 on builds indexes too. Pure data.

use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::DataNode,
    name: "dataNode",
    verb: &["datanode"],
    ports: &[("datanode", 21124)],
    size: Size {
        millicpu: 750,
        mebibytes: 1536,
    },
    standby: &[],
    leaves: Leaves::WithHandOver,
};
