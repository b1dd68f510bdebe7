//! The rights that the operator needs: one table, from which the chart's rules and the plain manifests are written
//! (`tests/rbac.rs`). Pure.
//!
//! Everything is in namespaces: an operator that looks at some of them only needs no right in the cluster as a whole. There are
//! no wildcards, no right on roles, and no right to run anything in a pod.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::Kind;

/// What the objects of a cluster are dealt with by: a look at what stands where one is to be made, the watch (a list first), server-side apply
/// (`patch`; for a new object the API server asks for `create` too), and the end.
const OWNED: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];

/// Where a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In every namespace that is looked at: all, or those of `--watch-namespaces`.
    Watched,
    /// In the namespace of the Lease, which is the operator's own.
    Lease,
}

/// What may be done with one resource, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Where.
    pub place: Place,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Plural name, with the subresource where one is meant.
    pub resource: &'static str,
    /// The one object that is meant; `None` for all.
    pub name: Option<String>,
    /// What may be done.
    pub verbs: Vec<&'static str>,
    /// What it is for.
    pub reason: &'static str,
}

impl Right {
    /// As roles say it.
    pub fn rule(&self) -> PolicyRule {
        PolicyRule {
            api_groups: Some(vec![self.group.to_owned()]),
            resources: Some(vec![self.resource.to_owned()]),
            resource_names: self.name.clone().map(|name| vec![name]),
            verbs: self.verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            ..PolicyRule::default()
        }
    }
}

/// Every right. `lease` is the name of the Lease.
pub fn rights(lease: &str) -> Vec<Right> {
    let owned = Kind::ALL.into_iter().map(owned);
    owned.chain(others()).chain(leading(lease)).collect()
}

/// Rights on what clusters consist of.
fn owned(kind: Kind) -> Right {
    let mut verbs = OWNED.to_vec();
    if kind == Kind::ConfigMap {
        verbs.push("update");
    }
    Right {
        place: Place::Watched,
        group: kind.group(),
        resource: kind.plural(),
        name: None,
        verbs,
        reason: match kind {
            Kind::ServiceAccount => "Identity of the pods of Milvus.",
            Kind::ConfigMap => {
                "Configuration files; and the ledger of each cluster, which is replaced (update)."
            }
            Kind::Secret => {
                "Files with credentials; the Secrets that a MilvusCluster names, and the one that is made where it names none."
            }
            Kind::Service => "The client Service, and the names of members.",
            Kind::Deployment => "Roles of Milvus.",
            Kind::StatefulSet => "Members of etcd, MinIO, ZooKeeper, BookKeeper and brokers.",
            Kind::Job => "Pulsar's metadata, set up once.",
            Kind::PodDisruptionBudget => "One member of a quorum at a time.",
            Kind::Ingress => "Where a MilvusCluster asks for one.",
            Kind::PodMonitor => {
                "Metrics, where the Prometheus operator is installed; the rule stands for nothing where it is not."
            }
        },
    }
}

/// Rights on what is somebody else's to make.
fn others() -> Vec<Right> {
    let right = |group, resource, verbs: &[&'static str], reason| Right {
        place: Place::Watched,
        group,
        resource,
        name: None,
        verbs: verbs.to_vec(),
        reason,
    };
    vec![
        right(
            "",
            "pods",
            &["list", "watch"],
            "Which processes run, and what keeps others from it.",
        ),
        right(
            "",
            "persistentvolumeclaims",
            &["get", "list", "delete"],
            "Data of a deleted cluster, under deletionPolicy Delete, the labels are looked at first; and data that no ledger names, which is never opened without being asked for (list).",
        ),
        right(
            "",
            "events",
            &["create"],
            "The story of each MilvusCluster.",
        ),
        right(
            milvus_crds::GROUP,
            "milvusclusters",
            &["list", "watch", "patch"],
            "The resources; of them, the finalizer alone is written.",
        ),
        right(
            milvus_crds::GROUP,
            "milvusclusters/status",
            &["patch"],
            "What came of them.",
        ),
        right(
            milvus_crds::GROUP,
            "milvusclusters/finalizers",
            &["update"],
            "Owner references that block deletion; asked for by the admission plugin OwnerReferencesPermissionEnforcement.",
        ),
    ]
}

/// Rights for the election of a leader.
fn leading(lease: &str) -> [Right; 2] {
    let right = |name, verbs: &[&'static str], reason| Right {
        place: Place::Lease,
        group: "coordination.k8s.io",
        resource: "leases",
        name,
        verbs: verbs.to_vec(),
        reason,
    };
    [
        right(
            None,
            &["create"],
            "The first operator makes the Lease; a name cannot be given here.",
        ),
        right(
            Some(lease.to_owned()),
            &["get", "update"],
            "Only the holder of the Lease works; no other Lease is touched.",
        ),
    ]
}

/// The rules of a role as YAML, each with what it is for above it. `indent` is the number of spaces before each line.
pub fn yaml(rights: &[Right], indent: usize) -> String {
    let mut text = String::new();
    let pad = " ".repeat(indent);
    for right in rights {
        let quoted = |word: &str| format!("[\"{word}\"]");
        let verbs: Vec<String> = right.verbs.iter().map(|v| format!("\"{v}\"")).collect();
        let mut lines = vec![
            format!("# {}", right.reason),
            format!("- apiGroups: {}", quoted(right.group)),
            format!("  resources: {}", quoted(right.resource)),
        ];
        if let Some(name) = &right.name {
            lines.push(format!("  resourceNames: {}", quoted(name)));
        }
        lines.push(format!("  verbs: [{}]", verbs.join(", ")));
        for line in lines {
            text.push_str(&format!("{pad}{line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_is_granted_by_wildcard_and_no_right_leads_to_more_rights() {
        for right in rights("lease") {
            let words = [right.group, right.resource]
                .into_iter()
                .chain(right.verbs.iter().copied());
            for word in words {
                assert!(!word.contains('*'), "{right:?}");
            }
            for verb in ["escalate", "bind", "impersonate", "deletecollection"] {
                assert!(!right.verbs.contains(&verb), "{right:?}");
            }
            assert_ne!(right.group, "rbac.authorization.k8s.io", "{right:?}");
            for resource in ["pods/exec", "pods/attach", "serviceaccounts/token", "nodes"] {
                assert_ne!(right.resource, resource);
            }
        }
    }

    #[test]
    fn each_resource_has_one_row_in_each_place() {
        let mut seen = BTreeSet::new();
        for right in rights("lease") {
            let named = right.name.is_some();
            assert!(
                seen.insert((right.place, right.group, right.resource, named)),
                "{right:?}"
            );
        }
        for kind in Kind::ALL {
            assert!(seen.contains(&(Place::Watched, kind.group(), kind.plural(), false)));
        }
    }
}
