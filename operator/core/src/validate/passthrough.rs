//! What only one platform has words for: checked for whom it is meant, and handed through as it was written. Pure.

use std::collections::BTreeMap;

use milvus_crds::{EnvVar, EnvVarSource, Kubernetes, KubernetesComponent};

use super::violations::Findings;
use super::{Input, ValidatedCluster, native};
use crate::component::Component;
use crate::components;
use crate::desired::Passthrough;

/// Pod settings and variables from elsewhere, by component of this cluster.
pub(super) fn passthrough(
    input: &Input<'_>,
    cluster: &ValidatedCluster,
    findings: &mut Findings,
) -> BTreeMap<Component, Passthrough> {
    let present: Vec<Component> = cluster.parts().iter().map(|part| part.component).collect();
    let mut all: BTreeMap<Component, Passthrough> = BTreeMap::new();
    if input.capabilities.escape_hatch == "kubernetes" {
        for (name, pod) in &input.spec.kubernetes.components {
            let path = format!("spec.kubernetes.components.{name}");
            match components::from_resource_name(name) {
                Some(component) if present.contains(&component) => {
                    check(component, &path, pod, findings);
                    all.entry(component).or_default().pod = pod.clone();
                }
                Some(component)
                    if Kubernetes::NAMES.contains(&components::resource_name(component)) =>
                {
                    findings.invalid(path, "this cluster has no such processes; remove the block");
                }
                _ => findings.invalid(
                    path,
                    format!(
                        "no component has this name; there are {}",
                        Kubernetes::NAMES.join(", ")
                    ),
                ),
            }
        }
    }
    if input.capabilities.secret_references {
        for component in present {
            let env = sources(input, component);
            if !env.is_empty() {
                all.entry(component).or_default().env = env;
            }
        }
    }
    all
}

/// What the operator would have to overrule or leave out.
fn check(component: Component, path: &str, pod: &KubernetesComponent, findings: &mut Findings) {
    const PROBES: [&str; 3] = ["startupProbe", "livenessProbe", "readinessProbe"];
    for (field, entries) in [
        ("podLabels", &pod.pod_labels),
        ("podAnnotations", &pod.pod_annotations),
        ("serviceLabels", &pod.service_labels),
        ("serviceAnnotations", &pod.service_annotations),
    ] {
        let path = format!("{path}.{field}");
        reserved(&path, entries, findings);
        if field.ends_with("Labels") {
            native::labels(findings, &path, entries);
        } else {
            native::annotations(findings, &path, entries);
        }
        let of_service = field.starts_with("service");
        let serves = matches!(component, Component::Proxy | Component::Standalone);
        if of_service && !serves && !entries.is_empty() {
            findings.invalid(
                path,
                "clients reach the proxy or the standalone process only; set this there",
            );
        }
    }
    for (field, name) in [
        ("serviceAccountName", &pod.service_account_name),
        ("priorityClassName", &pod.priority_class_name),
        ("schedulerName", &pod.scheduler_name),
    ] {
        // The API server takes an empty name as none.
        let name = name.as_deref().filter(|name| !name.is_empty());
        native::object(findings, &format!("{path}.{field}"), name);
    }
    const POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    if let Some(policy) = &pod.dns_policy
        && !policy.is_empty()
        && !POLICIES.contains(&policy.as_str())
    {
        findings.invalid(
            format!("{path}.dnsPolicy"),
            format!("must be one of {}", POLICIES.join(", ")),
        );
    }
    for (name, probe) in &pod.probes {
        if !PROBES.contains(&name.as_str()) {
            findings.invalid(
                format!("{path}.probes.{name}"),
                format!("no such probe; there are {}", PROBES.join(", ")),
            );
        } else if !probe.is_object() && !probe.is_null() {
            findings.invalid(
                format!("{path}.probes.{name}"),
                "must be a whole probe, or null for none",
            );
        }
    }
}

/// Labels and annotations by which the operator finds what is its own.
pub(super) fn reserved(path: &str, entries: &BTreeMap<String, String>, findings: &mut Findings) {
    const OURS: [&str; 4] = [
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/component",
        "app.kubernetes.io/managed-by",
    ];
    for name in entries.keys() {
        if OURS.contains(&name.as_str()) || name.starts_with("operator.milvus.io/") {
            findings.invalid(
                format!("{path}[{name}]"),
                "the operator sets this itself; choose another name",
            );
        }
    }
}

/// Variables of a component whose values are taken from elsewhere; later blocks win.
fn sources(input: &Input<'_>, component: Component) -> BTreeMap<String, EnvVarSource> {
    let shared = &input.spec.components;
    let blocks: Vec<&[EnvVar]> = match component {
        Component::Etcd => {
            let values = &input.spec.dependencies.etcd.in_cluster.values;
            vec![&values.extra_env_vars]
        }
        role if role.is_milvus() => {
            let own = shared.get(components::resource_name(role));
            let own = own.map_or(&[][..], |block| &block.env);
            vec![&shared.env, own]
        }
        _ => Vec::new(),
    };
    let mut found = BTreeMap::new();
    for variable in blocks.into_iter().flatten() {
        match &variable.value_from {
            Some(source) => found.insert(variable.name.clone(), source.clone()),
            None => found.remove(&variable.name),
        };
    }
    found
}
