//! What a block in Kubernetes' own words says by saying nothing. Fields like these the API leaves out of what it stores, or puts
//! its default in their place; applied as they stand, they would differ from every answer for ever. Only fields for which zero and
//! absence mean the same: in most others (`runAsUser: 0`, `allowPrivilegeEscalation: false`, `optional: false`) it is a choice.
//! Pure.

use milvus_crds::KubernetesComponent;
use serde_json::{Map, Value};

/// `false` is what they are anyway (`bool` with `omitempty`).
const FALSE: [&str; 3] = ["readOnly", "chapAuthDiscovery", "chapAuthSession"];
/// 0 stands for their default (`int32` with `omitempty`).
const ZERO: [&str; 6] = [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "partition",
];
/// No text stands for their default, which the API writes in its place. (Others without one are left out and compare as equal.)
const EMPTY: [&str; 5] = ["scheme", "apiVersion", "iscsiInterface", "pool", "keyring"];
/// Blocks whose keys are not fields of the API.
const FREE: [&str; 5] = [
    "labels",
    "annotations",
    "matchLabels",
    "volumeAttributes",
    "options",
];

/// A component's blocks without what says nothing.
pub(super) fn without(own: KubernetesComponent) -> KubernetesComponent {
    // Every field is named, so that a new one cannot be forgotten here.
    let KubernetesComponent {
        affinity,
        tolerations,
        topology_spread_constraints,
        pod_labels,
        pod_annotations,
        security_context,
        pod_security_context,
        service_account_name,
        priority_class_name,
        scheduler_name,
        host_network,
        dns_policy,
        volumes,
        volume_mounts,
        probes,
        service_labels,
        service_annotations,
    } = own;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let all = |blocks: Vec<Map<String, Value>>| blocks.into_iter().map(block).collect();
    let probes = probes
        .into_iter()
        // Here `null` is said on purpose: it removes a check.
        .map(|(name, probe)| (name, if probe.is_null() { probe } else { value(probe) }))
        .collect();
    KubernetesComponent {
        affinity: block(affinity),
        tolerations: all(tolerations),
        topology_spread_constraints: all(topology_spread_constraints),
        pod_labels,
        pod_annotations,
        security_context: block(security_context),
        pod_security_context: block(pod_security_context),
        service_account_name,
        priority_class_name,
        scheduler_name: some(scheduler_name),
        host_network: host_network.filter(|on| *on),
        dns_policy: some(dns_policy),
        volumes: all(volumes),
        volume_mounts: all(volume_mounts),
        probes,
        service_labels,
        service_annotations,
    }
}

/// A block without what says nothing.
fn block(fields: Map<String, Value>) -> Map<String, Value> {
    fields
        .into_iter()
        .filter(|(name, value)| !says_nothing(name, value))
        .map(|(name, inner)| {
            let free = FREE.contains(&name.as_str());
            let inner = if free { inner } else { value(inner) };
            (name, inner)
        })
        .collect()
}

/// The same of anything.
pub(super) fn value(of: Value) -> Value {
    match of {
        Value::Object(fields) => Value::Object(block(fields)),
        Value::Array(items) => items.into_iter().map(value).collect(),
        other => other,
    }
}

fn says_nothing(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on && FALSE.contains(&name),
        Value::Number(number) => number.as_i64() == Some(0) && ZERO.contains(&name),
        Value::String(text) => text.is_empty() && EMPTY.contains(&name),
        Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(fields: Value) -> Value {
        value(fields)
    }

    #[test]
    fn what_says_nothing_is_left_out_and_choices_stay() {
        assert_eq!(
            of(json!({
                "httpGet": {"port": 9091, "path": "/healthz", "scheme": ""},
                "initialDelaySeconds": 0, "periodSeconds": null, "timeoutSeconds": 3,
            })),
            json!({"httpGet": {"port": 9091, "path": "/healthz"}, "timeoutSeconds": 3})
        );
        assert_eq!(
            of(json!([{"mountPath": "/a", "name": "a", "readOnly": false}])),
            json!([{"mountPath": "/a", "name": "a"}])
        );
        for choice in [
            json!({"runAsUser": 0, "runAsNonRoot": false, "allowPrivilegeEscalation": false}),
            json!({"secret": {"secretName": "a", "optional": false, "defaultMode": 0}}),
            json!({"tolerationSeconds": 0, "key": "a", "operator": "Exists"}),
            json!({"volumeClaimTemplate": {"spec": {"storageClassName": ""}}}),
            json!({"labelSelector": {"matchLabels": {"pool": ""}}}),
            json!({"mountPath": "/a", "name": "a", "readOnly": true}),
        ] {
            assert_eq!(of(choice.clone()), choice);
        }
    }
}
