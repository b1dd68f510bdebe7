//! Scrape targets, for clusters with the Prometheus operator. Pure.

use milvus_core::component::Component;
use serde_json::json;

use super::Scope;
use super::object::Object;
use super::service::METRICS;
use crate::{Kind, labels};

/// All processes of Milvus, and etcd on its client port. MinIO asks for a token, Pulsar's ports do not carry metrics here.
pub(super) fn monitor(scope: &Scope<'_>) -> Option<Object> {
    let of = |wanted: fn(Component) -> bool| -> Vec<Component> {
        let workloads = scope.desired.workloads.iter();
        workloads
            .map(|w| w.component)
            .filter(|c| wanted(*c))
            .collect()
    };
    let milvus = of(Component::is_milvus);
    let etcd = of(|component| component == Component::Etcd);
    if milvus.is_empty() {
        return None;
    }
    let mut endpoints = vec![json!({"port": METRICS})];
    if !etcd.is_empty() {
        endpoints.push(json!({"port": "client"}));
    }
    let components: Vec<&str> = milvus.iter().chain(&etcd).map(|c| c.name()).collect();
    let spec = json!({
        "selector": {
            "matchLabels": {
                labels::NAME: labels::MILVUS,
                labels::INSTANCE: scope.desired.cluster.key.name,
                labels::CLUSTER: scope.desired.cluster.key.name,
            },
            // ZooKeeper has a port of that name too.
            "matchExpressions": [{"key": labels::COMPONENT, "operator": "In", "values": components}],
        },
        "podTargetLabels": [labels::INSTANCE, labels::COMPONENT],
        "podMetricsEndpoints": endpoints,
    });
    let name = scope.milvus_name();
    Some(Object::new(scope, Kind::PodMonitor, name, None).set("spec", spec))
}
