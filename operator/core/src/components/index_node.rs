//! Index node: builds indexes, before 2.6. Pure data.

use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::IndexNode,
    name: "indexNode",
    verb: &["indexnode"],
    ports: &[("indexnode", 21121)],
    size: Size {
        millicpu: 750,
        mebibytes: 1536,
    },
    standby: &[],
    leaves: Leaves::WithHandOver,
};
