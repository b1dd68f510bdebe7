//! The labels that tell whose an object is. On objects themselves; in the task template only what never changes, because a
//! change there restarts processes. Pure.

use std::collections::BTreeMap;

use milvus_core::component::{Component, WorkloadKey};
use milvus_core::names::{ClusterKey, ClusterRef};
use milvus_core::observed::Owner;

/// What `docker stack` goes by.
pub const STACK: &str = "com.docker.stack.namespace";
/// `metadata.uid` of the resource.
pub const CLUSTER_UID: &str = "io.milvus.operator/cluster-uid";
/// `<namespace>/<name>` of the resource.
pub const CLUSTER: &str = "io.milvus.operator/cluster";
/// Component of a service.
pub const COMPONENT: &str = "io.milvus.operator/component";
/// Ordinal of a member.
pub const ORDINAL: &str = "io.milvus.operator/ordinal";
/// Hash over what restarts processes.
pub const REVISION: &str = "io.milvus.operator/revision";
/// Hash over the whole rendered spec: tells a change of ours from a hand's.
pub const SPEC_HASH: &str = "io.milvus.operator/spec-hash";
/// `metadata.generation` at the last write. Information only: never a reason to write.
pub const GENERATION: &str = "io.milvus.operator/generation";
/// On containers and volumes: which member or component (`etcd-0`, `proxy`).
pub const WORKLOAD: &str = "io.milvus.operator/workload";
/// On services that do one thing on one node for the operator: what.
pub const NODE_TASK: &str = "io.milvus.operator/node-task";

/// A set of labels.
pub type Labels = BTreeMap<String, String>;

fn labels<const N: usize>(pairs: [(&str, String); N]) -> Labels {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

/// Labels of every object of a cluster.
pub fn owner(cluster: &ClusterRef) -> Labels {
    labels([
        (STACK, cluster.key.stack()),
        (CLUSTER, cluster.key.to_string()),
        (CLUSTER_UID, cluster.uid.clone()),
    ])
}

/// Labels of a workload's containers and volumes: constant for its lifetime, also when another resource adopts it.
pub fn workload(cluster: &ClusterKey, key: WorkloadKey) -> Labels {
    labels([
        (STACK, cluster.stack()),
        (CLUSTER, cluster.to_string()),
        (WORKLOAD, key.to_string()),
    ])
}

/// Which workload a service is, from its labels.
pub fn workload_of(labels: &Labels) -> Option<WorkloadKey> {
    let component = Component::from_name(labels.get(COMPONENT)?)?;
    Some(match labels.get(ORDINAL) {
        Some(ordinal) => WorkloadKey::member(component, ordinal.parse().ok()?),
        None => WorkloadKey::shared(component),
    })
}

/// Whose an object with these labels is, seen from one resource.
pub fn owner_of(labels: &Labels, cluster: &ClusterRef) -> Owner {
    if labels.get(CLUSTER).map(String::as_str) != Some(cluster.key.to_string().as_str()) {
        return Owner::Foreign;
    }
    match labels.get(CLUSTER_UID) {
        Some(uid) if *uid == cluster.uid => Owner::Ours,
        Some(uid) => Owner::Predecessor { uid: uid.clone() },
        None => Owner::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ownership_needs_cluster_and_uid() {
        let cluster = ClusterRef {
            key: ClusterKey::new("default", "demo"),
            uid: "u2".to_owned(),
            generation: 1,
        };
        let mut mine = owner(&cluster);
        assert_eq!(owner_of(&mine, &cluster), Owner::Ours);
        mine.insert(CLUSTER_UID.to_owned(), "u1".to_owned());
        assert_eq!(
            owner_of(&mine, &cluster),
            Owner::Predecessor {
                uid: "u1".to_owned()
            }
        );
        mine.remove(CLUSTER_UID);
        assert_eq!(owner_of(&mine, &cluster), Owner::Foreign);
        assert_eq!(owner_of(&Labels::new(), &cluster), Owner::Foreign);
    }
}
