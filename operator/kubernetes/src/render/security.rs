//! Under whose name processes run and what they may. What the restricted Pod Security Standard asks for holds for everything but
//! Milvus itself, whose images want root; what the resource says replaces each block as a whole. Pure.

use milvus_core::component::Component;
use serde_json::{Map, Value, json};

/// The user of etcd and MinIO. Their programs need nothing of their images but to be started; the volume is theirs by its
/// group.
const STORES: u32 = 1000;
/// The user of Pulsar's images since 2.10 (docker/README.md of apache/pulsar): it belongs to group 0, which may write where
/// they keep configuration and data.
const PULSAR: u32 = 10_000;

/// The pod's part.
pub(super) fn of_pod(component: Component, own: &Map<String, Value>) -> Value {
    if !own.is_empty() {
        return Value::Object(own.clone());
    }
    let mut context = match component {
        Component::Etcd | Component::Minio => json!({
            "runAsUser": STORES,
            "runAsGroup": STORES,
            "runAsNonRoot": true,
            "fsGroup": STORES,
        }),
        Component::Zookeeper | Component::Bookkeeper => json!({
            "runAsUser": PULSAR,
            "runAsGroup": 0,
            "runAsNonRoot": true,
            "fsGroup": 0,
        }),
        Component::PulsarInit | Component::Broker => json!({
            "runAsUser": PULSAR,
            "runAsGroup": 0,
            "runAsNonRoot": true,
        }),
        // Milvus' images run as root and keep files where only root may write; without any of root's capabilities.
        _ => json!({}),
    };
    if context["fsGroup"].is_number() {
        // Going through every file of a large volume would hold up each start.
        context["fsGroupChangePolicy"] = json!("OnRootMismatch");
    }
    context["seccompProfile"] = json!({"type": "RuntimeDefault"});
    context
}

/// The container's part.
pub(super) fn of_container(own: &Map<String, Value>) -> Value {
    if !own.is_empty() {
        return Value::Object(own.clone());
    }
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
    })
}
