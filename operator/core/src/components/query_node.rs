//! Query node: holds loaded segments and searches them. Pure data.

use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::QueryNode,
    name: "queryNode",
    verb: &["querynode"],
    ports: &[("querynode", 21123)],
    size: Size {
        millicpu: 1250,
        mebibytes: 3072,
    },
    standby: &[],
    leaves: Leaves::WithHandOver,
};
