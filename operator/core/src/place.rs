//! Which node each member lives on. Written into the ledger before anything is made of it, and never changed here once it
//! stands: a member that moved would start on an empty volume. Pure.

use crate::component::WorkloadKey;
use crate::desired::{Placement, VolumeMount};

/// What one member asks of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberNeed {
    /// Which member.
    pub key: WorkloadKey,
    /// Its volumes; the durable ones are entered into the ledger.
    pub volumes: Vec<VolumeMount>,
    /// Hard rules about its node.
    pub placement: Placement,
    /// Path in the resource of these rules, for messages.
    pub placement_field: String,
    /// Path in the resource of its resources, for messages.
    pub resources_field: String,
    /// Memory that it reserves, bytes.
    pub request_memory: Option<u64>,
    /// CPU that it reserves, thousandths of a core.
    pub request_millicpu: Option<u64>,
}
