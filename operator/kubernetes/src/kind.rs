//! The kinds of objects that a cluster consists of, and where each is found in the API. Pure.

/// One kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Identity of the pods.
    ServiceAccount,
    /// Readable files.
    ConfigMap,
    /// Files with credentials.
    Secret,
    /// A name in the network.
    Service,
    /// Interchangeable processes.
    Deployment,
    /// Members with identity and data.
    StatefulSet,
    /// A process that ends.
    Job,
    /// Bound on voluntary disruption.
    PodDisruptionBudget,
    /// HTTP way in.
    Ingress,
    /// Scrape targets of the Prometheus operator.
    PodMonitor,
}

impl Kind {
    /// All of them, prerequisites first.
    pub const ALL: [Kind; 10] = [
        Kind::ServiceAccount,
        Kind::ConfigMap,
        Kind::Secret,
        Kind::Service,
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::Job,
        Kind::PodDisruptionBudget,
        Kind::Ingress,
        Kind::PodMonitor,
    ];

    /// The kind as in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::ServiceAccount => "ServiceAccount",
            Kind::ConfigMap => "ConfigMap",
            Kind::Secret => "Secret",
            Kind::Service => "Service",
            Kind::Deployment => "Deployment",
            Kind::StatefulSet => "StatefulSet",
            Kind::Job => "Job",
            Kind::PodDisruptionBudget => "PodDisruptionBudget",
            Kind::Ingress => "Ingress",
            Kind::PodMonitor => "PodMonitor",
        }
    }

    /// The inverse of [`Kind::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// API group; empty for the core group.
    pub const fn group(self) -> &'static str {
        match self {
            Kind::ServiceAccount | Kind::ConfigMap | Kind::Secret | Kind::Service => "",
            Kind::Deployment | Kind::StatefulSet => "apps",
            Kind::Job => "batch",
            Kind::PodDisruptionBudget => "policy",
            Kind::Ingress => "networking.k8s.io",
            Kind::PodMonitor => "monitoring.coreos.com",
        }
    }

    /// Plural name in paths and roles.
    pub const fn plural(self) -> &'static str {
        match self {
            Kind::ServiceAccount => "serviceaccounts",
            Kind::ConfigMap => "configmaps",
            Kind::Secret => "secrets",
            Kind::Service => "services",
            Kind::Deployment => "deployments",
            Kind::StatefulSet => "statefulsets",
            Kind::Job => "jobs",
            Kind::PodDisruptionBudget => "poddisruptionbudgets",
            Kind::Ingress => "ingresses",
            Kind::PodMonitor => "podmonitors",
        }
    }

    /// `apiVersion` as in manifests.
    pub const fn api_version(self) -> &'static str {
        match self {
            Kind::ServiceAccount | Kind::ConfigMap | Kind::Secret | Kind::Service => "v1",
            Kind::Deployment | Kind::StatefulSet => "apps/v1",
            Kind::Job => "batch/v1",
            Kind::PodDisruptionBudget => "policy/v1",
            Kind::Ingress => "networking.k8s.io/v1",
            Kind::PodMonitor => "monitoring.coreos.com/v1",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
            let (group, version) = kind.api_version().rsplit_once('/').unwrap_or(("", "v1"));
            assert_eq!((group, version), (kind.group(), "v1"));
        }
    }
}
