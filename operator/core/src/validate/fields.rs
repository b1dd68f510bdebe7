//! Fields of the type that nothing acts on: refused with their path, never ignored. Pure.

use milvus_crds::{Components, SwarmComponents};
use serde::Serialize;
use serde_json::Value;

use super::violations::Findings;
use super::{Input, ValidatedCluster, native, parts};
use crate::component::Component;
use crate::components;

pub(super) fn check(input: &Input<'_>, findings: &mut Findings) {
    not_yet(input, findings);
    images(input, findings);
    other_platform(input, findings);
}

/// What the type has and this release does not do.
fn not_yet(input: &Input<'_>, findings: &mut Findings) {
    let spec = input.spec;
    for (set, field, what) in [
        (
            spec.stopped == Some(true),
            "spec.stopped",
            "stopping a cluster; delete it with deletionPolicy Retain and apply it again with adopt",
        ),
        (spec.backup.is_some(), "spec.backup", "backups"),
        (spec.monitoring.is_some(), "spec.monitoring", "monitoring"),
    ] {
        if set {
            findings.not_yet(field, what);
        }
    }
    for name in Components::NAMES {
        let Some(role) = spec.components.get(name) else {
            continue;
        };
        let path = format!("spec.components.{name}");
        for (set, field, what) in [
            (role.paused == Some(true), "paused", "pausing a role"),
            (
                role.autoscaling.is_some(),
                "autoscaling",
                "autoscaling; set replicas",
            ),
            (
                role.update.is_some(),
                "update",
                "update strategies; processes are replaced one at a time, stop first",
            ),
            (!role.groups.is_empty(), "groups", "groups of a role"),
        ] {
            if set {
                findings.not_yet(format!("{path}.{field}"), what);
            }
        }
    }
}

/// How images are had.
fn images(input: &Input<'_>, findings: &mut Findings) {
    let components = &input.spec.components;
    if !components.image_pull_secrets.is_empty() && !input.capabilities.secret_references {
        findings.not_yet(
            "spec.components.imagePullSecrets",
            "credentials of registries; log in on the nodes, or use a registry that asks for none",
        );
    }
    let roles = Components::NAMES.iter().filter_map(|name| {
        let policy = components.get(name)?.image_pull_policy;
        Some((format!("spec.components.{name}.imagePullPolicy"), policy))
    });
    let dependencies = &input.spec.dependencies;
    let values = [
        (Component::Etcd, &dependencies.etcd.in_cluster.values.image),
        (
            Component::Minio,
            &dependencies.storage.in_cluster.values.image,
        ),
        (
            Component::PulsarInit,
            &dependencies.pulsar.in_cluster.values.image,
        ),
    ];
    let values = values.map(|(component, image)| {
        let path = components::resource_path(component);
        (format!("{path}.image.pullPolicy"), image.pull_policy)
    });
    let shared = (
        "spec.components.imagePullPolicy".to_owned(),
        components.image_pull_policy,
    );
    references(input, findings);
    for (field, policy) in roles.chain(values).chain([shared]) {
        parts::check_pull_policy(input, findings, field, policy);
    }
}

/// References of images, and names of Secrets with logins, as they are handed on.
fn references(input: &Input<'_>, findings: &mut Findings) {
    let components = &input.spec.components;
    let shared = ("spec.components.image".to_owned(), &components.image);
    let roles = Components::NAMES.iter().filter_map(|name| {
        let role = components.get(name)?;
        Some((format!("spec.components.{name}.image"), &role.image))
    });
    for (field, image) in std::iter::once(shared).chain(roles) {
        if let Some(image) = image {
            native::image(findings, &field, image);
        }
    }
    for (index, secret) in components.image_pull_secrets.iter().enumerate() {
        let field = format!("spec.components.imagePullSecrets[{index}].name");
        native::object(findings, &field, Some(&secret.name));
    }
}

/// Settings of another platform, each block by its path.
fn other_platform(input: &Input<'_>, findings: &mut Findings) {
    let ours = input.capabilities.escape_hatch;
    let spec = input.spec;
    if ours != "swarm" && spec.swarm != Default::default() {
        refuse_blocks("spec.swarm", &spec.swarm, "Docker Swarm's", input, findings);
    }
    if ours != "kubernetes" && spec.kubernetes != Default::default() {
        let block = &spec.kubernetes;
        refuse_blocks("spec.kubernetes", block, "Kubernetes'", input, findings);
    }
}

fn refuse_blocks(
    path: &str,
    block: &impl Serialize,
    whose: &str,
    input: &Input<'_>,
    findings: &mut Findings,
) {
    let paths = match serde_json::to_value(block) {
        Ok(value) => blocks_of(path, &value, 2),
        Err(_) => vec![path.to_owned()],
    };
    for path in paths {
        findings.unsupported(
            path,
            input.capabilities.platform,
            format!("these settings are {whose}; remove them"),
        );
    }
}

/// Paths of what is set, at most so many levels below `path`. A block that is there and empty is set, too.
fn blocks_of(path: &str, value: &Value, levels: usize) -> Vec<String> {
    match value {
        Value::Object(fields) if levels > 0 && !fields.is_empty() => fields
            .iter()
            .flat_map(|(key, value)| blocks_of(&format!("{path}.{key}"), value, levels - 1))
            .collect(),
        _ => vec![path.to_owned()],
    }
}

/// Swarm placement of a component that this cluster does not have.
pub(super) fn placement_of_nobody(
    input: &Input<'_>,
    cluster: &ValidatedCluster,
    findings: &mut Findings,
) {
    if input.capabilities.escape_hatch != "swarm" {
        return; // all of it is refused there
    }
    let present: Vec<Component> = cluster.parts().iter().map(|part| part.component).collect();
    let blocks: &SwarmComponents = &input.spec.swarm.components;
    for component in Component::ALL {
        let name = components::resource_name(component);
        if blocks.get(name).is_some() && !present.contains(&component) {
            findings.invalid(
                format!("spec.swarm.components.{name}"),
                "this cluster has no such processes; remove the block",
            );
        }
    }
}
