//! All of Milvus in one process. Pure data.

use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::Standalone,
    name: "standalone",
    verb: &["standalone"],
    ports: &[],
    size: Size {
        millicpu: 4000,
        mebibytes: 8192,
    },
    standby: &[],
    leaves: Leaves::WithHandOver,
};
