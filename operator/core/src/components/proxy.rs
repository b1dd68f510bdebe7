//! Proxy: the access layer that clients talk to. Pure data.

use super::PROXY_INTERNAL_PORT;
use super::role::{Leaves, Role, Size};
use crate::component::Component;

pub(crate) const ROLE: Role = Role {
    component: Component::Proxy,
    name: "proxy",
    verb: &["proxy"],
    ports: &[("internal", PROXY_INTERNAL_PORT)],
    size: Size {
        millicpu: 500,
        mebibytes: 1024,
    },
    standby: &[],
    leaves: Leaves::WithRequests,
};
