//! What a platform can honour. Consulted in validation and by the planner, so neither ever asks which platform it is.
//! Pure data; each platform crate states its own value.

use std::time::Duration;

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
    /// Name of a member's volume claim, as a pattern with `{volume}` beside those of [`Addressing`]; `None` where the
    /// operator names and places volumes itself.
    pub claim: Option<&'static str>,
    /// Labels that select the pods of a component, as a pattern with `{cluster}` and `{component}`; `None` where there are no
    /// pods.
    pub pods: Option<&'static str>,
    /// The number of a role's processes can be left out of what is written, for an autoscaler to set.
    pub external_scaling: bool,
    /// Registry logins and values of variables can be given as references to Secrets, so that nobody has to write them in
    /// clear into a native object.
    pub secret_references: bool,
    /// References of images are pinned to the digests of their registries ([`crate::pins`]). Where they are not, each node goes
    /// by the tag.
    pub pins_images: bool,
    /// The operator asks processes itself. Where it does not, the platform's own readiness checks ([`Instance::ready`])
    /// stand for its answers, and sessions and the client endpoint are not asked for.
    ///
    /// [`Instance::ready`]: crate::observed::Instance::ready
    pub wire_checks: bool,
    /// How often the world is looked at although nobody said that it changed.
    pub rhythm: Rhythm,
}

impl Capabilities {
    /// The name of the native object of a workload.
    pub fn workload_name(&self, cluster: &ClusterKey, key: WorkloadKey) -> String {
        if self.places_members {
            cluster.workload(key)
        } else {
            format!("{}-{}", cluster.name, key.component)
        }
    }

    /// The names of a member's volume claims, where the platform makes them.
    pub fn claim_name(
        &self,
        cluster: &ClusterKey,
        key: WorkloadKey,
        volume: &str,
    ) -> Option<String> {
        let pattern = self.claim?.replace("{volume}", volume);
        let ordinal = key.ordinal.unwrap_or_default().to_string();
        Some(fill(&pattern, cluster, key.component).replace("{ordinal}", &ordinal))
    }

    /// Labels that select the pods of a component, where there are pods.
    pub fn pod_selector(&self, cluster: &ClusterKey, component: Component) -> Option<String> {
        self.pods.map(|pattern| fill(pattern, cluster, component))
    }
}

/// Pauses between passes. A platform whose events tell everything needs few looks, one whose events may be lost needs many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// While something comes up that the operator started: it decides how fast a cluster starts.
    pub soon: Duration,
    /// While something is waited for that may take a while (a node, an image, room).
    pub patient: Duration,
    /// At rest.
    pub rest: Duration,
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
            None => fill(self.service, cluster, key.component),
        }
    }

    /// The host name of members, with this text where the ordinal belongs (`{0...3}` for MinIO's ranges).
    pub fn members(&self, cluster: &ClusterKey, component: Component, ordinal: &str) -> String {
        fill(self.member, cluster, component).replace("{ordinal}", ordinal)
    }
}

fn fill(pattern: &str, cluster: &ClusterKey, component: Component) -> String {
    pattern
        .replace("{cluster}", &cluster.name)
        .replace("{namespace}", &cluster.namespace)
        .replace("{component}", component.name())
}
