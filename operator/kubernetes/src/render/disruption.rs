//! How many pods of a component may be moved at one time when nodes are emptied. Pure.

use milvus_core::component::Component;
use milvus_core::desired::{Shape, Workload};
use milvus_core::place;
use serde_json::json;

use super::Scope;
use super::object::Object;
use crate::Kind;

/// The budget of a workload. One alone has none: a budget of nothing would hold up the emptying of its node for ever, and
/// any other would say nothing.
pub(super) fn budget(scope: &Scope<'_>, workload: &Workload) -> Option<Object> {
    let component = workload.component;
    let mut replicas = workload.replicas()?;
    if workload.externally_scaled() {
        // It is not to come and go with every step of an autoscaler; of one alone it holds up nothing.
        replicas = replicas.max(2);
    }
    if replicas < 2 || matches!(workload.shape, Shape::Job) {
        return None;
    }
    let drives = workload.volumes.iter().filter(|v| v.durable).count();
    let members = usize::try_from(replicas).ok()?;
    let needed = place::members_needed(component, members, drives);
    let spare = match component {
        Component::Etcd | Component::Zookeeper | Component::Minio => members - needed,
        // Each entry is on two of them; of everything else one is replaced after the other.
        _ => 1,
    };
    // Two members can spare none, and still it is better to move one after the other than both at once.
    let mut spec = json!({
        "maxUnavailable": spare.max(1),
        "selector": {"matchLabels": scope.selector(component)},
    });
    if !matches!(workload.shape, Shape::Members { .. }) {
        // One that does not work anyway is no reason to keep its node.
        spec["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
    }
    let name = scope.workload_name(component);
    Some(Object::new(scope, Kind::PodDisruptionBudget, name, Some(component)).set("spec", spec))
}
