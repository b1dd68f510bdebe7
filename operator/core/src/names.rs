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

    /// The name of the volume of one member: `<stack>_<member>-<volume>-<incarnation>`. The incarnation makes sure that a
    /// new member never opens the data of an older one by accident.
    pub fn volume(&self, key: WorkloadKey, volume: &str, of: &Incarnation) -> String {
        format!("{}_{key}-{volume}-{of}", self.stack())
    }

    /// The directory of one member below a base path: `<stack>/<member>-<incarnation>`, and
    /// `<stack>/<member>-<volume>-<incarnation>` for volumes beside the main one (`data`).
    pub fn directory(&self, key: WorkloadKey, volume: &str, of: &Incarnation) -> String {
        if volume == "data" {
            format!("{}/{key}-{of}", self.stack())
        } else {
            format!("{}/{key}-{volume}-{of}", self.stack())
        }
    }

    /// The incarnation in the name of a volume of this member ([`ClusterKey::volume`]); `None` for any other name.
    pub fn incarnation_of_volume(&self, key: WorkloadKey, volume: &str) -> Option<Incarnation> {
        let rest = volume.strip_prefix(&format!("{}_{key}-", self.stack()))?;
        let of = Incarnation::ending(rest)?;
        (self.volume(key, rest.strip_suffix(&format!("-{of}"))?, &of) == volume).then_some(of)
    }

    /// The base path, the directory below it and the incarnation of a path that holds data of this member
    /// ([`ClusterKey::directory`]); `None` for any other path.
    pub fn incarnation_of_path(
        &self,
        key: WorkloadKey,
        path: &str,
    ) -> Option<(String, String, Incarnation)> {
        let stack = self.stack();
        let (parent, name) = path.rsplit_once('/')?;
        let base = parent.strip_suffix(&stack)?.strip_suffix('/')?;
        let rest = name.strip_prefix(&format!("{key}-"))?;
        let of = Incarnation::ending(rest)?;
        Some((base.to_owned(), format!("{stack}/{name}"), of))
    }
}

/// The member that a directory was made for ([`ClusterKey::directory`]).
pub fn member_of_directory(directory: &str) -> Option<WorkloadKey> {
    let name = directory.rsplit('/').next()?;
    name.match_indices('-')
        .filter_map(|(at, _)| WorkloadKey::parse(name.get(..at)?))
        .find(|key| key.ordinal.is_some())
}

/// Hexadecimal digits of a resource's uid in the names of its members' volumes.
const MARK: usize = 6;

/// Which incarnation of a member's data is meant: `<mark>-e<epoch>`, and `e<epoch>` for members of older operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// The first hexadecimal digits of the uid of the resource that the data was made for: two resources of one name never
    /// have names of volumes in common, whether or not a ledger of the older one is left.
    pub mark: Option<String>,
    /// Counts the incarnations under one ledger.
    pub epoch: u32,
}

impl Incarnation {
    /// The mark of a resource; `None` for a uid that is no UUID.
    pub fn mark(uid: &str) -> Option<String> {
        let digits = uid.get(..MARK)?;
        let marks = digits.chars().all(|c| c.is_ascii_hexdigit());
        marks.then(|| digits.to_ascii_lowercase())
    }

    /// The incarnation at the end of a name.
    fn ending(name: &str) -> Option<Self> {
        let (before, epoch) = name.rsplit_once('-').unwrap_or(("", name));
        let epoch = epoch.strip_prefix('e')?;
        let number: u32 = epoch.parse().ok()?;
        if number.to_string() != epoch {
            return None;
        }
        let (_, last) = before.rsplit_once('-').unwrap_or(("", before));
        let lower = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let marked = last.len() == MARK && last.chars().all(lower);
        Some(Self {
            mark: marked.then(|| last.to_owned()),
            epoch: number,
        })
    }
}

impl std::fmt::Display for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(mark) = &self.mark {
            write!(f, "{mark}-")?;
        }
        write!(f, "e{}", self.epoch)
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
    }

    #[test]
    fn names_of_volumes_carry_the_resource_and_tell_it_again() {
        let cluster = ClusterKey::new("a", "b");
        let etcd = WorkloadKey::member(Component::Etcd, 0);
        let mark = Incarnation::mark("C0FFee12-3456-4789-8abc-def012345678");
        assert_eq!(mark.as_deref(), Some("c0ffee"));
        assert_eq!(Incarnation::mark("uid-1"), None);
        for (mark, name, directory) in [
            (mark, "a_b_etcd-0-data-c0ffee-e2", "a_b/etcd-0-c0ffee-e2"),
            (None, "a_b_etcd-0-data-e2", "a_b/etcd-0-e2"),
        ] {
            let of = Incarnation { mark, epoch: 2 };
            assert_eq!(cluster.volume(etcd, "data", &of), name);
            assert_eq!(
                cluster.incarnation_of_volume(etcd, name),
                Some(of.clone()),
                "{name}"
            );
            assert_eq!(cluster.directory(etcd, "data", &of), directory);
            assert_eq!(
                cluster.incarnation_of_path(etcd, &format!("/srv/milvus/{directory}")),
                Some(("/srv/milvus".to_owned(), directory.to_owned(), of.clone()))
            );
            let index = cluster.directory(etcd, "index", &of);
            let path = format!("/srv/{index}");
            assert_eq!(
                cluster
                    .incarnation_of_path(etcd, &path)
                    .map(|found| found.2),
                Some(of)
            );
            assert_eq!(member_of_directory(directory), Some(etcd));
            assert_eq!(member_of_directory(&index), Some(etcd));
        }
        for other in [
            "a_b_etcd-1-data-e2",
            "a_b_etcd-0-data",
            "a_b_etcd-0-data-e02",
            "shared",
        ] {
            assert_eq!(cluster.incarnation_of_volume(etcd, other), None, "{other}");
        }
        assert_eq!(cluster.incarnation_of_path(etcd, "/data"), None);
        assert_eq!(member_of_directory("a_b/other"), None);
    }
}
