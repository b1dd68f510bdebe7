//! What a platform can honour. Consulted in validation and by the planner, so neither ever asks which platform it is.
//! Pure data; each platform crate states its own value.

use crate::component::{Component, WorkloadKey};
use crate::names::ClusterKey;

/// The capabilities of one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The platform's name, for messages (`swarm`, `kubernetes`).
    pub platform: &'static str,
    /// Which `spec.<key>` escape hatch belongs to it (`swarm` or `kubernetes`); the other one is refused with its path.
    pub escape_hatch: &'static str,
    /// The operator chooses the node of each member and keeps it in the ledger; otherwise the platform does (volume claims).
    pub places_members: bool,
    /// Replacing a member's process may let two of them overlap, so a member is stopped, seen gone, and only then respecified.
    pub member_updates_overlap: bool,
    /// The client port is served by the operator's gateway.
    pub gateway: bool,
    /// The longest name that a workload object may have.
    pub max_workload_name: usize,
    /// How one finds another in the cluster's network.
    pub addressing: Addressing,
    /// `persistence.type` values that can be honoured.
    pub volume_types: &'static [&'static str],
    /// `serviceType` values that can be honoured.
    pub service_types: &'static [&'static str],
}

/// Host names inside a cluster's network, as patterns with `{cluster}`, `{namespace}`, `{component}` and `{ordinal}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressing {
    /// Of one member: `{component}-{ordinal}` on Swarm.
    pub member: &'static str,
    /// Of all instances of a component: `{component}` on Swarm.
    pub service: &'static str,
}

impl Addressing {
    /// The host name of a workload.
    pub fn host(&self, cluster: &ClusterKey, key: WorkloadKey) -> String {
        match key.ordinal {
            Some(ordinal) => self.members(cluster, key.component, &ordinal.to_string()),
            None => self.fill(self.service, cluster, key.component),
        }
    }

    /// The host name of members, with this text where the ordinal belongs (`{0...3}` for MinIO's ranges).
    pub fn members(&self, cluster: &ClusterKey, component: Component, ordinal: &str) -> String {
        self.fill(self.member, cluster, component)
            .replace("{ordinal}", ordinal)
    }

    fn fill(&self, pattern: &str, cluster: &ClusterKey, component: Component) -> String {
        pattern
            .replace("{cluster}", &cluster.name)
            .replace("{namespace}", &cluster.namespace)
            .replace("{component}", component.name())
    }
}
