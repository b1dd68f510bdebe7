//! The Milvus roles of a cluster, and its front door. Pure.

use std::collections::BTreeMap;

use milvus_crds::{Component as RoleBlock, Ingress, Mode, ServiceType, ServingComponent};

use super::parts::{self, GIB};
use super::violations::Findings;
use super::{Gateway, Input, Part, native, passthrough, secrets};
use crate::component::Component;
use crate::components::{self, CLIENT_PORT, MILVUS_HEALTH_PORT, PROXY_INTERNAL_PORT, cache_volume};
use crate::config::settings;
use crate::desired::{FieldOrigins, Image, Placement, Resources};
use crate::version::{DEFAULT_IMAGE, MessageQueue, MilvusVersion};

/// As `replicas`: the number is that of whoever scales the role from outside.
const EXTERNALLY_SCALED: i32 = -1;
const SEPARATE: [Component; 4] = [
    Component::RootCoord,
    Component::DataCoord,
    Component::QueryCoord,
    Component::IndexCoord,
];

/// Every role that this cluster runs.
pub(super) fn roles(
    input: &Input<'_>,
    queue: MessageQueue,
    findings: &mut Findings,
) -> BTreeMap<Component, Part> {
    let wanted = wanted(input, findings);
    wanted
        .into_iter()
        .map(|component| {
            let part = part(input, component, queue, findings);
            (component, part)
        })
        .collect()
}

/// The block of a role, when there is one.
fn block<'a>(input: &Input<'a>, component: Component) -> Option<&'a RoleBlock> {
    input
        .spec
        .components
        .get(components::resource_name(component))
}

/// A block that asks for no process asks for nothing: it is let pass wherever the role does not exist.
fn asks(block: &RoleBlock) -> bool {
    block.replicas != Some(0)
}

/// Which roles there are, by mode, version and the blocks that the resource has.
fn wanted(input: &Input<'_>, findings: &mut Findings) -> Vec<Component> {
    let features = &input.features;
    let named = |component: Component| block(input, component).is_some_and(asks);
    let mut wanted = Vec::new();
    match input.mode {
        Mode::Standalone => wanted.push(Component::Standalone),
        Mode::Cluster => {
            wanted.extend([Component::Proxy, Component::QueryNode, Component::DataNode]);
            if features.index_node {
                wanted.push(Component::IndexNode);
            }
            if features.streaming_node {
                wanted.push(Component::StreamingNode);
            }
            let apart = features.separate_coordinators && SEPARATE.into_iter().any(named);
            if apart {
                wanted.extend(&SEPARATE[..3]);
                if features.index_coordinator_serves || named(Component::IndexCoord) {
                    wanted.push(Component::IndexCoord);
                }
            } else {
                wanted.push(Component::MixCoord);
            }
        }
    }
    for component in Component::ALL.into_iter().filter(|c| c.is_milvus()) {
        let Some(block) = block(input, component) else {
            continue;
        };
        let field = format!("spec.components.{}", components::resource_name(component));
        if wanted.contains(&component) || !asks(block) {
            continue;
        }
        if component == Component::Cdc && features.has(component) {
            findings.not_yet(field, "change data capture");
        } else if !features.has(component) {
            findings.invalid(
                field,
                format!(
                    "Milvus {} has no {}; {}",
                    input.version,
                    components::resource_name(component),
                    instead(component)
                ),
            );
        } else if component == Component::MixCoord && input.mode == Mode::Cluster {
            findings.invalid(
                field,
                "mixCoord runs all coordinators in one process, and separate coordinators are asked for as well; keep one of the two forms",
            );
        } else {
            let other = match input.mode {
                Mode::Standalone => "cluster",
                Mode::Cluster => "standalone",
            };
            findings.invalid(
                field,
                format!("exists in spec.mode {other} only; remove it or set its replicas to 0"),
            );
        }
    }
    wanted
}

const fn instead(component: Component) -> &'static str {
    match component {
        Component::RootCoord
        | Component::DataCoord
        | Component::QueryCoord
        | Component::IndexCoord => "its coordinators run together: use mixCoord",
        Component::IndexNode => "its data nodes build indexes: remove it or set its replicas to 0",
        Component::StreamingNode => "streaming nodes exist from 2.6 on: remove it",
        _ => "the role exists from 2.6.6 on: remove it",
    }
}

fn part(
    input: &Input<'_>,
    component: Component,
    queue: MessageQueue,
    findings: &mut Findings,
) -> Part {
    let shared = &input.spec.components;
    let empty = RoleBlock::default();
    let own = block(input, component).unwrap_or(&empty);
    let path = components::resource_path(component);
    let replicas_field = format!("{path}.replicas");
    let (replicas, externally_scaled) = match own.replicas {
        Some(EXTERNALLY_SCALED) => (
            external_replicas(input, component, &replicas_field, findings),
            true,
        ),
        given => (parts::number(findings, &replicas_field, given, 1, 0), false),
    };
    check_replicas(input, component, replicas, &replicas_field, findings);
    let mut volumes = Vec::new();
    match component {
        Component::Standalone if queue == MessageQueue::Rocksmq => {
            let persistence = input
                .spec
                .dependencies
                .rocksmq
                .persistence
                .clone()
                .unwrap_or_default();
            volumes.push(parts::durable_volume(
                input,
                findings,
                "spec.dependencies.rocksmq.persistence",
                &persistence,
                ("data".to_owned(), "/var/lib/milvus".to_owned()),
                50 * GIB,
            ));
            if replicas == 0 {
                findings.not_yet(
                    &replicas_field,
                    "stopping a process that has data of its own",
                );
            }
        }
        Component::QueryNode | Component::IndexNode => volumes.push(cache_volume()),
        _ => {}
    }
    let image = image(input, own, &path, findings);
    let (resources, resources_field) = resources(input, component, own, &path, findings);
    let image_field = if own.image.is_some() {
        format!("{path}.image")
    } else {
        "spec.components.image".to_owned()
    };
    let mut origin = parts::origin(component, &image_field, &resources_field);
    if component == Component::Standalone {
        origin.persistence = "spec.dependencies.rocksmq.persistence".to_owned();
    }
    Part {
        component,
        replicas,
        externally_scaled,
        image,
        resources,
        env: parts::milvus_env(
            input,
            findings,
            &[
                ("spec.components.env".to_owned(), &shared.env),
                (format!("{path}.env"), &own.env),
            ],
        ),
        placement: parts::placement(
            input,
            findings,
            component,
            &[
                ("spec.components", &shared.node_selector),
                (path.as_str(), &own.node_selector),
            ],
        ),
        volumes,
        origin,
    }
}

/// The number of processes that whoever scales a role asks for at present.
fn external_replicas(
    input: &Input<'_>,
    component: Component,
    field: &str,
    findings: &mut Findings,
) -> u32 {
    if component == Component::QueryNode {
        findings.invalid(
            field,
            "-1 leaves the number to an autoscaler, and this number is the resource's own scale: remove it, and let the \
             autoscaler's scaleTargetRef be the MilvusCluster itself",
        );
    } else if !components::EXTERNALLY_SCALABLE.contains(&component) {
        findings.invalid(
            field,
            format!("-1 leaves the number to an autoscaler, and {component} is nothing to scale by load; write a number"),
        );
    } else if !input.capabilities.external_scaling {
        findings.unsupported(
            field,
            input.capabilities.platform,
            "-1 leaves the number to an autoscaler, and it has none; write a number",
        );
    }
    // Of a role whose workload is gone it is the last that was told: it is made again as it was.
    let last = || {
        let status = input.resource.status.as_ref()?;
        let role = status
            .components
            .get(components::resource_name(component))?;
        u32::try_from(role.replicas).ok().filter(|last| *last > 0)
    };
    let now = input.facts.replicas.get(&component).copied();
    now.or_else(last).unwrap_or(1)
}

fn check_replicas(
    input: &Input<'_>,
    component: Component,
    replicas: u32,
    field: &str,
    findings: &mut Findings,
) {
    if replicas <= 1 {
        return;
    }
    match component {
        Component::Standalone => findings.invalid(
            field,
            "a standalone Milvus is one process; use 1, or spec.mode cluster",
        ),
        Component::MixCoord
        | Component::RootCoord
        | Component::DataCoord
        | Component::QueryCoord
        | Component::IndexCoord => {
            if !input.features.active_standby {
                findings.invalid(
                    field,
                    format!(
                        "standby coordinators exist from Milvus 2.2.3 on, and this is {}; use 1",
                        input.version
                    ),
                );
            }
            for section in components::role(component).map_or(&[][..], |role| role.standby) {
                let name = format!("{section}.enableActiveStandby");
                let set = settings::read(input.spec, &name);
                if set.is_some_and(|set| !settings::switch(&set)) {
                    findings.invalid(
                        format!("spec.config.{section}.enableActiveStandby"),
                        format!("{field} is {replicas}, and without standby the second process ends again and again; remove this or use 1"),
                    );
                }
            }
        }
        _ => {}
    }
}

fn image(input: &Input<'_>, own: &RoleBlock, path: &str, findings: &mut Findings) -> Image {
    let shared = &input.spec.components;
    if let Some(reference) = &own.image
        && let Ok(version) = MilvusVersion::from_image(reference)
        && version != input.version
    {
        findings.not_yet(
            format!("{path}.image"),
            format!(
                "roles of different versions; this is {version}, the cluster is {}",
                input.version
            ),
        );
    }
    Image {
        reference: own
            .image
            .clone()
            .or_else(|| shared.image.clone())
            .unwrap_or_else(|| DEFAULT_IMAGE.to_owned()),
        pull_policy: own
            .image_pull_policy
            .or(shared.image_pull_policy)
            .map(|policy| parts::pull_policy(policy).to_owned()),
        pull_secrets: parts::pull_secrets(input),
    }
}

/// The role's own resources, else those of all roles, else the profile's share.
fn resources(
    input: &Input<'_>,
    component: Component,
    own: &RoleBlock,
    path: &str,
    findings: &mut Findings,
) -> (Resources, String) {
    let shared = &input.spec.components.resources;
    if own.resources != Default::default() {
        let field = format!("{path}.resources");
        return (parts::resources(findings, &field, &own.resources), field);
    }
    if *shared != Default::default() {
        let field = "spec.components.resources".to_owned();
        return (parts::resources(findings, &field, shared), field);
    }
    let (Some(profile), Some(role)) = (input.spec.profile, components::role(component)) else {
        return (Resources::default(), format!("{path}.resources"));
    };
    let factor = match profile {
        milvus_crds::Profile::Small => 1,
        milvus_crds::Profile::Medium => 2,
        milvus_crds::Profile::Large => 4,
    };
    let millicpu = role.size.millicpu * factor;
    let memory = (role.size.mebibytes * factor) << 20;
    // Half of what it may use is reserved for it.
    let resources = Resources {
        request_millicpu: Some(millicpu / 2),
        request_memory: Some(memory / 2),
        limit_millicpu: Some(millicpu),
        limit_memory: Some(memory),
    };
    (resources, "spec.profile".to_owned())
}

/// How clients get to the role that serves them.
pub(super) struct Serving {
    /// The port that their connections end at.
    pub(super) port: u16,
    /// The type of the Service, where the platform has Services.
    pub(super) service_type: Option<String>,
    /// The way in by host name.
    pub(super) ingress: Option<Ingress>,
}

/// How clients get to the role that serves them.
pub(super) fn serving(input: &Input<'_>, findings: &mut Findings) -> Serving {
    let empty = ServingComponent::default();
    let (name, block) = match input.mode {
        Mode::Standalone => ("standalone", &input.spec.components.standalone),
        Mode::Cluster => ("proxy", &input.spec.components.proxy),
    };
    let block = block.as_ref().unwrap_or(&empty);
    let path = format!("spec.components.{name}");
    let field = format!("{path}.port");
    let port = port(findings, &field, block.port);
    if [MILVUS_HEALTH_PORT, PROXY_INTERNAL_PORT].contains(&port) {
        findings.invalid(
            field,
            format!("port {port} is used by the process itself; choose another, or leave it out for {CLIENT_PORT}"),
        );
    }
    let word = match block.service_type {
        None | Some(ServiceType::ClusterIP) => "ClusterIP",
        Some(ServiceType::NodePort) => "NodePort",
        Some(ServiceType::LoadBalancer) => "LoadBalancer",
    };
    let types = input.capabilities.service_types;
    if word != "ClusterIP" && !types.contains(&word) {
        findings.unsupported(
            format!("{path}.serviceType"),
            input.capabilities.platform,
            "the gateway publishes the client port; set spec.swarm.gateway",
        );
    }
    if let Some(ingress) = &block.ingress {
        let path = format!("{path}.ingress");
        if types.is_empty() {
            findings.unsupported(
                path,
                input.capabilities.platform,
                "the gateway publishes the client port; remove the block and set spec.swarm.gateway",
            );
        } else {
            check_ingress(&path, ingress, findings);
        }
    }
    Serving {
        port,
        service_type: (!types.is_empty()).then(|| word.to_owned()),
        ingress: block.ingress.clone(),
    }
}

/// Host names, and labels that are not the operator's.
fn check_ingress(path: &str, ingress: &Ingress, findings: &mut Findings) {
    let Ingress {
        labels,
        annotations,
        ingress_class_name: _, // the API server's to judge
        hosts,
        tls_secret_refs: _, // a certificate may be for more than is served here
    } = ingress;
    passthrough::reserved(&format!("{path}.labels"), labels, findings);
    passthrough::reserved(&format!("{path}.annotations"), annotations, findings);
    native::labels(findings, &format!("{path}.labels"), labels);
    native::annotations(findings, &format!("{path}.annotations"), annotations);
    for (index, host) in hosts.iter().enumerate() {
        let name = host.strip_prefix("*.").unwrap_or(host);
        let readable = name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        });
        if !readable {
            findings.invalid(
                format!("{path}.hosts[{index}]"),
                format!("{host:?} is no host name; write it in lower case without port and path, for example milvus.example.org"),
            );
        }
    }
}

fn port(findings: &mut Findings, field: &str, port: Option<i32>) -> u16 {
    match u16::try_from(port.unwrap_or(i32::from(CLIENT_PORT))) {
        Ok(port) if port > 0 => port,
        _ => {
            findings.invalid(field, "a port is a number from 1 to 65535");
            CLIENT_PORT
        }
    }
}

/// The front door, where the platform has none of its own.
pub(super) fn gateway(input: &Input<'_>, findings: &mut Findings) -> Option<Gateway> {
    if !input.capabilities.gateway {
        return None;
    }
    let block = &input.spec.swarm.gateway;
    let path = components::resource_path(Component::Gateway);
    parts::check_constraints(findings, &format!("{path}.constraints"), &block.constraints);
    let replicas = block
        .replicas
        .map(|count| parts::number(findings, &format!("{path}.replicas"), Some(count), 1, 1));
    let part = Part {
        component: Component::Gateway,
        replicas: replicas.unwrap_or(1),
        externally_scaled: false,
        image: Image {
            reference: input.facts.gateway_image.clone(),
            pull_policy: None,
            pull_secrets: Vec::new(),
        },
        resources: Resources::default(),
        env: BTreeMap::new(),
        placement: Placement {
            node_selector: BTreeMap::new(),
            constraints: block.constraints.clone(),
            spread: true,
        },
        volumes: Vec::new(),
        origin: FieldOrigins {
            placement: format!("{path}.constraints"),
            block: path.clone(),
            ..FieldOrigins::default()
        },
    };
    let port = port(findings, &format!("{path}.port"), block.port);
    Some(Gateway {
        part,
        replicas,
        port,
        pki: secrets::gateway(input, findings)?,
    })
}
