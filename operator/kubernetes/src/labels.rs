//! Labels and annotations on what the operator makes, and what they tell. Pure.

use milvus_core::component::Component;
use milvus_core::names::ClusterKey;

/// Who made it: watches select by this.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`], and the field manager of everything that is written.
pub const OPERATOR: &str = "milvus-operator";
/// What it is.
pub const NAME: &str = "app.kubernetes.io/name";
/// The value of [`NAME`].
pub const MILVUS: &str = "milvus";
/// The cluster, by the name of its resource.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The component, by [`Component::name`].
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The cluster once more, under a name that no other operator uses: zilliztech's milvus-operator gives its pods the very labels
/// above, and selectors must tell them from ours.
pub const CLUSTER: &str = "operator.milvus.io/cluster";
/// On pods and, as an annotation, on workloads: hash over what restarts processes when it changes.
pub const REVISION: &str = "operator.milvus.io/revision";
/// Annotation: hash over the whole rendering that was applied last. A field that is not rendered any more shows by it.
pub const APPLIED: &str = "operator.milvus.io/applied";

/// Labels of every object of a cluster.
pub fn of_cluster(cluster: &ClusterKey) -> Vec<(&'static str, String)> {
    vec![
        (NAME, MILVUS.to_owned()),
        (INSTANCE, cluster.name.clone()),
        (MANAGED_BY, OPERATOR.to_owned()),
    ]
}

/// Labels that select the pods of a component ([`crate::CAPABILITIES`] has them as one text). They can never change: selectors
/// of workloads are immutable.
pub fn selector(cluster: &ClusterKey, component: Component) -> Vec<(&'static str, String)> {
    vec![
        (NAME, MILVUS.to_owned()),
        (INSTANCE, cluster.name.clone()),
        (COMPONENT, component.name().to_owned()),
        (CLUSTER, cluster.name.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selector_as_text() {
        let cluster = ClusterKey::new("team", "demo");
        let labels = selector(&cluster, Component::QueryNode);
        let text: Vec<String> = labels
            .into_iter()
            .map(|(label, value)| format!("{label}={value}"))
            .collect();
        assert_eq!(
            crate::CAPABILITIES.pod_selector(&cluster, Component::QueryNode),
            Some(text.join(","))
        );
    }
}
