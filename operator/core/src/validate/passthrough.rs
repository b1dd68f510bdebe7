//! What only one platform has words for: checked for whom it is meant, and handed through as it was written. Pure.

use std::collections::BTreeMap;

use milvus_crds::{EnvVar, EnvVarSource, Kubernetes};

use super::violations::Findings;
use super::{Input, ValidatedCluster};
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
