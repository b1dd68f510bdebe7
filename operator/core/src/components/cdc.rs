//! Change data capture, from 2.6.6 on. Pure data.

use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::Cdc,
    name: "cdc",
    verb: &["cdc"],
    ports: &[],
    size: Size {
        millicpu: 250,
        mebibytes: 512,
    },
    standby: &[],
    leaves: Leaves::Quickly,
};
