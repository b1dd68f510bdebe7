//! What all components share: quantities, environment, images, placement, persistence. Pure.

use std::collections::BTreeMap;

use milvus_crds::{
    EnvVar, ImagePullPolicy, ImageValues, Persistence, PersistenceType, Quantity, ResourceAmounts,
};

use super::violations::Findings;
use super::{Input, native};
use crate::component::Component;
use crate::components;
use crate::config;
use crate::config::settings::of_variable;
use crate::constraint::Constraint;
use crate::desired::{FieldOrigins, Image, Placement, Resources, VolumeBacking, VolumeMount};

/// Requests and limits; an empty block gives empty resources.
pub(super) fn resources(
    findings: &mut Findings,
    path: &str,
    block: &milvus_crds::Resources,
) -> Resources {
    let mut amount = |which: &str, amounts: &ResourceAmounts| {
        let millicpu = quantity(
            findings,
            &format!("{path}.{which}.cpu"),
            amounts.cpu.as_ref(),
            Quantity::milli_cpus,
        );
        let memory = quantity(
            findings,
            &format!("{path}.{which}.memory"),
            // Nothing is what an absent field says, too.
            amounts.memory.as_ref().filter(|q| q.bytes() != Ok(0)),
            Quantity::capacity,
        );
        (millicpu, memory)
    };
    let (request_millicpu, request_memory) = amount("requests", &block.requests);
    let (limit_millicpu, limit_memory) = amount("limits", &block.limits);
    let mut bound = |name: &str, request: Option<u64>, limit: Option<u64>| {
        if let (Some(request), Some(limit)) = (request, limit)
            && request > limit
        {
            findings.invalid(
                format!("{path}.requests.{name}"),
                format!("more is reserved than {path}.limits.{name} allows; lower one or raise the other"),
            );
        }
    };
    bound("cpu", request_millicpu, limit_millicpu);
    bound("memory", request_memory, limit_memory);
    Resources {
        request_millicpu,
        request_memory,
        limit_millicpu,
        limit_memory,
    }
}

/// An amount; refused with its path when it cannot be read.
pub(super) fn quantity(
    findings: &mut Findings,
    field: &str,
    quantity: Option<&Quantity>,
    read: impl Fn(&Quantity) -> Result<u64, milvus_crds::QuantityError>,
) -> Option<u64> {
    match read(quantity?) {
        Ok(amount) => Some(amount),
        Err(error) => {
            findings.invalid(field, error.to_string());
            None
        }
    }
}

/// A whole number within bounds that the definition has already checked, or the default.
pub(super) fn number(
    findings: &mut Findings,
    field: &str,
    value: Option<i32>,
    default: u32,
    least: u32,
) -> u32 {
    let Some(value) = value else {
        return default;
    };
    match u32::try_from(value) {
        Ok(value) if value >= least => value,
        _ => {
            findings.invalid(field, format!("{value} is too small; the least is {least}"));
            default
        }
    }
}

/// Environment by name; later blocks win. Each comes with its path.
pub(super) fn env(
    input: &Input<'_>,
    findings: &mut Findings,
    blocks: &[(String, &[EnvVar])],
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (path, variables) in blocks {
        for (index, variable) in variables.iter().enumerate() {
            let field = format!("{path}[{index}]");
            let text = variable.value.as_deref().unwrap_or_default();
            native::variable(input, findings, &field, &variable.name, text);
            if variable.value_from.is_some() && input.capabilities.secret_references {
                env.remove(&variable.name);
                continue;
            }
            if variable.value_from.is_some() {
                findings.not_yet(
                    format!("{field}.valueFrom"),
                    "a value from a Secret, which would have to be written in clear into the service; mount a file or use spec.config",
                );
                continue;
            }
            let value = variable.value.clone().unwrap_or_default();
            variable_is_plain(findings, &field, &variable.name, &value);
            env.insert(variable.name.clone(), value);
        }
    }
    env
}

/// A variable that nobody would expand on its way to the process. (Platforms escape what their engine would expand.)
pub(super) fn variable_is_plain(findings: &mut Findings, field: &str, name: &str, value: &str) {
    if ["{member}", "{ordinal}", "{ordinal+1}", "{host}"]
        .iter()
        .any(|placeholder| value.contains(placeholder))
    {
        findings.invalid(
            field,
            format!("the value of {name} holds a placeholder that the operator itself fills in ({{member}}, {{ordinal}}, {{host}}); write it differently"),
        );
    }
}

/// Variables of a Milvus role: none may overrule what holds the cluster together.
pub(super) fn milvus_env(
    input: &Input<'_>,
    findings: &mut Findings,
    blocks: &[(String, &[EnvVar])],
) -> BTreeMap<String, String> {
    for (path, variables) in blocks {
        for (index, variable) in variables.iter().enumerate() {
            if let Some((key, why)) = config::milvus::forced(&of_variable(&variable.name)) {
                findings.invalid(
                    format!("{path}[{index}].name"),
                    format!(
                        "Milvus would take {} for its setting {key}, which the operator sets: {why}",
                        variable.name
                    ),
                );
            }
        }
    }
    env(input, findings, blocks)
}

/// An image of a dependency, from its parts, each of which is at `path`.
pub(super) fn dependency_image(
    input: &Input<'_>,
    findings: &mut Findings,
    path: &str,
    values: &[&ImageValues],
    default: &str,
) -> Image {
    let (default_repository, default_tag) = default.rsplit_once(':').unwrap_or((default, "latest"));
    let first = |get: fn(&ImageValues) -> Option<&String>| values.iter().find_map(|v| get(v));
    let repository = first(|v| v.repository.as_ref()).map_or(default_repository, String::as_str);
    let tag = first(|v| v.tag.as_ref()).map_or(default_tag, String::as_str);
    let separator = if tag.starts_with("sha256:") { '@' } else { ':' };
    let reference = format!("{repository}{separator}{tag}");
    native::image(findings, path, &reference);
    Image {
        reference,
        pull_policy: values
            .iter()
            .find_map(|v| v.pull_policy)
            .map(|policy| pull_policy(policy).to_owned()),
        pull_secrets: pull_secrets(input),
    }
}

/// Secrets with the logins of registries; those of the roles serve the dependencies too.
pub(super) fn pull_secrets(input: &Input<'_>) -> Vec<String> {
    let named = &input.spec.components.image_pull_secrets;
    named.iter().map(|secret| secret.name.clone()).collect()
}

/// An engine that takes an image which it has when no registry answers cannot be told never to ask one.
pub(super) fn check_pull_policy(
    input: &Input<'_>,
    findings: &mut Findings,
    field: String,
    policy: Option<ImagePullPolicy>,
) {
    if policy == Some(ImagePullPolicy::Never) && input.capabilities.escape_hatch == "swarm" {
        findings.unsupported(
            field,
            input.capabilities.platform,
            "its nodes ask a registry and take the image that they have when none answers; remove the field",
        );
    }
}

/// The word on the wire.
pub(super) const fn pull_policy(policy: ImagePullPolicy) -> &'static str {
    match policy {
        ImagePullPolicy::Always => "Always",
        ImagePullPolicy::IfNotPresent => "IfNotPresent",
        ImagePullPolicy::Never => "Never",
    }
}

/// Node rules of a component.
pub(super) fn placement(
    input: &Input<'_>,
    findings: &mut Findings,
    component: Component,
    selectors: &[(&str, &BTreeMap<String, String>)],
) -> Placement {
    let mut node_selector = BTreeMap::new();
    for (block, selector) in selectors {
        for (label, value) in *selector {
            native::selector(input, findings, block, (label, value));
            node_selector.insert(label.clone(), value.clone());
        }
    }
    let name = components::resource_name(component);
    let constraints = input
        .spec
        .swarm
        .components
        .get(name)
        .map(|block| block.constraints.clone())
        .unwrap_or_default();
    check_constraints(
        findings,
        &format!("spec.swarm.components.{name}.constraints"),
        &constraints,
    );
    Placement {
        node_selector,
        constraints,
        spread: true,
    }
}

/// Swarm refuses a service with a constraint that it cannot read, and never places one with a key that it does not know.
pub(super) fn check_constraints(findings: &mut Findings, path: &str, constraints: &[String]) {
    for (index, constraint) in constraints.iter().enumerate() {
        if let Err(problem) = Constraint::parse(constraint) {
            findings.invalid(
                format!("{path}[{index}]"),
                format!("{constraint:?} is no placement constraint: {problem}"),
            );
        }
    }
}

/// Where the settings of a component come from.
pub(super) fn origin(component: Component, image: &str, resources: &str) -> FieldOrigins {
    let block = components::resource_path(component);
    FieldOrigins {
        image: image.to_owned(),
        resources: resources.to_owned(),
        persistence: format!("{block}.persistence"),
        placement: format!("{block}.nodeSelector"),
        block,
    }
}

/// One volume that must outlive its process.
pub(super) fn durable_volume(
    input: &Input<'_>,
    findings: &mut Findings,
    path: &str,
    block: &Persistence,
    (name, mount): (String, String),
    default_size: u64,
) -> VolumeMount {
    let kind = block.kind.unwrap_or_default();
    let word = match kind {
        PersistenceType::Volume => "volume",
        PersistenceType::Bind => "bind",
        PersistenceType::Tmpfs => "tmpfs",
    };
    if block.enabled == Some(false) {
        findings.not_yet(
            format!("{path}.enabled"),
            "data without a volume; use deletionPolicy Delete for throw-away clusters",
        );
    }
    if kind == PersistenceType::Tmpfs {
        findings.invalid(
            format!("{path}.type"),
            "tmpfs is lost with the container, and this data must survive; use volume or bind",
        );
    } else if !input.capabilities.volume_types.contains(&word) {
        findings.unsupported(
            format!("{path}.type"),
            input.capabilities.platform,
            format!(
                "type {word} is not one of {}",
                input.capabilities.volume_types.join(", ")
            ),
        );
    }
    match (kind, &block.path) {
        (PersistenceType::Bind, None) => findings.invalid(
            format!("{path}.path"),
            "required for type bind: name a directory of the hosts, for example /data/milvus",
        ),
        (PersistenceType::Volume | PersistenceType::Tmpfs, Some(_)) => findings.invalid(
            format!("{path}.path"),
            "has a meaning for type bind only; set type to bind or remove the path",
        ),
        _ => {}
    }
    if let Some(base) = &block.path
        && (!base.starts_with('/') || base.split('/').any(|step| step == ".." || step == "."))
    {
        findings.invalid(
            format!("{path}.path"),
            "must be an absolute path without . and .. steps",
        );
    }
    // Drivers are the engine's, classes are Kubernetes': each platform has one of the two.
    let engine_volumes = input.capabilities.places_members;
    for (set, field) in [
        (block.driver.is_some(), "driver"),
        (!block.driver_options.is_empty(), "driverOptions"),
    ] {
        if set && !engine_volumes {
            findings.unsupported(
                format!("{path}.{field}"),
                input.capabilities.platform,
                "volume drivers belong to a container engine; use storageClass",
            );
        } else if set && kind != PersistenceType::Volume {
            findings.invalid(
                format!("{path}.{field}"),
                "has a meaning for type volume only",
            );
        }
    }
    let shared = ["nfs", "nfs4", "cifs"];
    let option = |name: &str| block.driver_options.get(name).map_or("", String::as_str);
    if engine_volumes && shared.contains(&option("type")) && !option("device").contains("{volume}")
    {
        findings.invalid(
            format!("{path}.driverOptions.device"),
            "every node sees the same network share, so members would write into one directory: put {volume} into the device \
             (\":/export/milvus/{volume}\"); it stands for the volume's own name, and that directory must exist on the server",
        );
    }
    if !engine_volumes {
        let class = block
            .storage_class
            .as_deref()
            .filter(|class| !class.is_empty());
        native::object(findings, &format!("{path}.storageClass"), class);
    }
    if block.storage_class.is_some() && engine_volumes {
        findings.unsupported(
            format!("{path}.storageClass"),
            input.capabilities.platform,
            "it has no storage classes; use driver and driverOptions",
        );
    }
    let size = quantity(
        findings,
        &format!("{path}.size"),
        block.size.as_ref(),
        Quantity::capacity,
    )
    .unwrap_or(default_size);
    VolumeMount {
        name,
        path: mount,
        backing: match kind {
            PersistenceType::Bind => VolumeBacking::Bind {
                base: block.path.clone().unwrap_or_default(),
            },
            PersistenceType::Volume | PersistenceType::Tmpfs => VolumeBacking::Volume {
                driver: block.driver.clone(),
                options: block.driver_options.clone(),
            },
        },
        size: Some(size),
        storage_class: block.storage_class.clone(),
        durable: true,
    }
}

/// Bytes in a gibibyte.
pub(super) const GIB: u64 = 1 << 30;
