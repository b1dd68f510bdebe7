//! Typed names with their length budgets. Everything that becomes a name of a native object passes through here.
//! Pure.

use serde::{Deserialize, Serialize};

use crate::component::WorkloadKey;

/// The longest name of a Swarm service: it must be a DNS label.
pub const MAX_SERVICE_NAME: usize = 63;

/// The longest name of a Swarm config or secret.
pub const MAX_CONFIG_NAME: usize = 64;

/// Characters of a content's hash in the name of a Swarm config or secret.
pub const HASH_IN_NAME: usize = 10;

/// The stack that the operator itself is installed as.
pub const OPERATOR_STACK: &str = "milvus-operator";

/// Namespace and name of a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ClusterKey {
    /// A key from its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The name under which the cluster's native objects stand: the resource's name in namespace `default`, else
    /// `<namespace>_<name>`. `_` cannot occur in either part, so two resources never share a stack.
    pub fn stack(&self) -> String {
        if self.namespace == "default" {
            self.name.clone()
        } else {
            format!("{}_{}", self.namespace, self.name)
        }
    }

    /// A name that no other cluster of this operator has. A dot joins namespace and name, because Milvus gives `_` in names
    /// of channels a meaning of its own.
    pub fn unique(&self) -> String {
        if self.namespace == "default" {
            self.name.clone()
        } else {
            format!("{}.{}", self.namespace, self.name)
        }
    }

    /// The inverse of [`ClusterKey::stack`].
    pub fn from_stack(stack: &str) -> Self {
        match stack.split_once('_') {
            Some((namespace, name)) => Self::new(namespace, name),
            None => Self::new("default", stack),
        }
    }

    /// The name of the native object of one workload: `<stack>_<component>[-<ordinal>]`.
    pub fn workload(&self, key: WorkloadKey) -> String {
        format!("{}_{key}", self.stack())
    }

    /// The name of the volume of one member: `<stack>_<member>-<volume>-e<epoch>`. The epoch makes sure that a new
    /// incarnation never opens the data of an older one by accident.
    pub fn volume(&self, key: WorkloadKey, volume: &str, epoch: u32) -> String {
        format!("{}_{key}-{volume}-e{epoch}", self.stack())
    }

    /// The directory of one member below a base path: `<stack>/<member>-e<epoch>`, and `<stack>/<member>-<volume>-e<epoch>`
    /// for volumes beside the main one (`data`).
    pub fn directory(&self, key: WorkloadKey, volume: &str, epoch: u32) -> String {
        if volume == "data" {
            format!("{}/{key}-e{epoch}", self.stack())
        } else {
            format!("{}/{key}-{volume}-e{epoch}", self.stack())
        }
    }
}

impl std::fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A resource as it stands in the API: its key, its identity, and the generation that a pass works on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterRef {
    /// Namespace and name.
    pub key: ClusterKey,
    /// `metadata.uid`: tells this resource from an older one of the same name.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::Component;

    #[test]
    fn stacks_are_injective_and_parse_back() {
        for key in [
            ClusterKey::new("default", "demo"),
            ClusterKey::new("team-a", "demo"),
        ] {
            assert_eq!(ClusterKey::from_stack(&key.stack()), key);
        }
        assert_eq!(
            ClusterKey::new("a", "b").volume(WorkloadKey::member(Component::Etcd, 0), "data", 2),
            "a_b_etcd-0-data-e2"
        );
    }
}
