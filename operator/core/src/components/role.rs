//! What all Milvus roles share. Pure.

use std::time::Duration;

use serde_json::Value;

use super::{ETCD_PORT, MILVUS_HEALTH_PORT};
use crate::component::Component;
use crate::config::settings;
use crate::desire::{Context, file, secret_file};
use crate::desired::{Liveness, LivenessCheck, Port, Shape, Template, VolumeMount, Workload};
use crate::probe::{Probe, ProbeKind, ProbeTarget};
use crate::validate::{Etcd, Queue, StorageKind};

/// One role of Milvus.
#[derive(Debug)]
pub(crate) struct Role {
    /// Which.
    pub(crate) component: Component,
    /// Its name in the resource.
    pub(crate) name: &'static str,
    /// What follows `milvus run`.
    pub(crate) verb: &'static [&'static str],
    /// Ports beside health, by name.
    pub(crate) ports: &'static [(&'static str, u16)],
    /// Size of one process under profile small.
    pub(crate) size: Size,
    /// Sections of milvus.yaml that switch its standby on.
    pub(crate) standby: &'static [&'static str],
    /// How it leaves.
    pub(crate) leaves: Leaves,
}

/// CPU and memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) millicpu: u64,
    pub(crate) mebibytes: u64,
}

/// How long a role needs to stop well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Holds nothing but its lease: stops at once, or hands over to a standby.
    Quickly,
    /// Ends its requests first.
    WithRequests,
    /// Hands over what it holds first (segments, channels), for as long as `common.gracefulStopTimeout`.
    WithHandOver,
}

/// Seconds that a node may take to hand over, where the resource does not say otherwise. Milvus' own default (30 minutes
/// from 2.3 on) would hold up every deletion of a cluster in which nobody is left to take over.
pub(crate) const GRACEFUL_STOP_SECONDS: u64 = 30;

/// What a process needs beside its hand-over until it has ended (a query node of 2.3.5 with nobody to take over: 0.6 s). Not
/// more than that is good for: an index node whose etcd went first does not end by itself at all, and as long as a process
/// of a removed stack lasts, its node cannot join the network that is made anew.
const HAND_OVER_MARGIN_SECONDS: u64 = 15;

fn stop_grace(leaves: Leaves, context: &Context<'_>) -> Duration {
    Duration::from_secs(match leaves {
        Leaves::Quickly => 30,
        Leaves::WithRequests => 60,
        Leaves::WithHandOver => {
            let config = &context.cluster.config;
            let asked = settings::find(config, "common.gracefulStopTimeout")
                .and_then(whole)
                .unwrap_or(GRACEFUL_STOP_SECONDS);
            asked.max(GRACEFUL_STOP_SECONDS) + HAND_OVER_MARGIN_SECONDS
        }
    })
}

/// A whole number as Milvus reads it: in quotes or without.
fn whole(value: &Value) -> Option<u64> {
    let quoted = || value.as_str()?.trim().parse().ok();
    value.as_u64().or_else(quoted)
}

/// The workload of one role.
pub(crate) fn workload(role: &Role, context: &mut Context<'_>) -> Option<Workload> {
    let part = context.cluster.roles.get(&role.component)?.clone();
    let mut files = vec![secret_file("user-yaml", "/milvus/configs/user.yaml")];
    if !context.cluster.hook_config.is_empty() {
        files.push(secret_file("hook-yaml", "/milvus/configs/hook.yaml"));
    }
    if let Etcd::External(etcd) = &context.cluster.etcd
        && let Some(tls) = &etcd.tls
    {
        files.push(file("etcd-ca", "/milvus/configs/etcd-tls/ca.crt"));
        if tls.client.is_some() {
            files.push(file("etcd-crt", "/milvus/configs/etcd-tls/tls.crt"));
            files.push(secret_file("etcd-key", "/milvus/configs/etcd-tls/tls.key"));
        }
    }
    if let Queue::ExternalKafka { access, .. } = &context.cluster.queue
        && access.ca.is_some()
    {
        files.push(file("kafka-ca", "/milvus/configs/kafka-ca/ca.pem"));
    }
    let serves_clients = matches!(role.component, Component::Proxy | Component::Standalone);
    if let Some(tls) = context
        .cluster
        .client_tls
        .as_ref()
        .filter(|_| serves_clients)
    {
        let mounts = tls.files.iter().map(|f| secret_file(f.name, &f.path));
        files.extend(mounts);
    }
    let mut ports: Vec<Port> = role
        .ports
        .iter()
        .map(|(name, number)| port(name, *number))
        .collect();
    if serves_clients {
        ports.insert(0, port("milvus", context.cluster.client_port));
    }
    ports.push(port("metrics", MILVUS_HEALTH_PORT));
    let shape = context.shape(&part);
    let target = match shape {
        Shape::Members { .. } => ProbeTarget::EachMember,
        _ => ProbeTarget::EachInstance,
    };
    let arguments = ["milvus", "run"].iter().chain(role.verb);
    Some(Workload {
        component: role.component,
        shape,
        image: part.image,
        // The image's entry point stays: it is the init process that reaps and forwards signals.
        command: Vec::new(),
        args: arguments.map(|a| Template::from(*a)).collect(),
        env: part
            .env
            .into_iter()
            .map(|(k, v)| (k, Template(v)))
            .collect(),
        files,
        volumes: part.volumes,
        resources: part.resources,
        stop_grace: stop_grace(role.leaves, context),
        liveness: Some(Liveness {
            check: LivenessCheck::Tcp {
                port: MILVUS_HEALTH_PORT,
            },
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            retries: 3,
            start_period: Duration::from_secs(180),
        }),
        placement: part.placement,
        ports,
        published: None,
        networks: context.networks_of(role.component),
        requires: requires(context),
        probe: Some(Probe {
            kind: ProbeKind::Milvus {
                port: MILVUS_HEALTH_PORT,
            },
            target,
        }),
        user: None,
        nofile: Some(NOFILE),
        origin: part.origin,
    })
}

/// Open files that a server of this kind may need.
pub(crate) const NOFILE: u64 = 1_048_576;

pub(crate) fn port(name: &str, number: u16) -> Port {
    Port {
        name: name.to_owned(),
        number,
    }
}

/// Roles wait for what is under Milvus, not for each other: they find each other by themselves, and starting together is
/// what makes a first start quick.
fn requires(context: &Context<'_>) -> Vec<Component> {
    let mut requires = vec![Component::Etcd];
    match &context.cluster.storage.kind {
        StorageKind::Minio { .. } | StorageKind::External { .. } => {
            requires.push(Component::Minio);
        }
    }
    match &context.cluster.queue {
        Queue::Pulsar(_)
        | Queue::ExternalPulsar { .. }
        | Queue::ExternalKafka { .. }
        | Queue::ExternalWoodpecker { .. } => {
            requires.push(Component::Broker);
        }
        Queue::Rocksmq | Queue::Woodpecker => {}
    }
    requires
}

/// The least number of sessions of each role that a healthy cluster shows in etcd.
pub(crate) fn sessions(context: &Context<'_>) -> Vec<(&'static str, u32)> {
    let features = &context.cluster.features;
    let mut expected = Vec::new();
    for part in context.cluster.roles.values() {
        if part.replicas == 0 {
            continue;
        }
        // One of the processes of a coordinator holds its session; the others stand by.
        let coordinators: &[&str] = if !features.separate_coordinators {
            &[]
        } else if features.index_coordinator_serves {
            &["rootcoord", "datacoord", "querycoord", "indexcoord"]
        } else {
            &["rootcoord", "datacoord", "querycoord"]
        };
        match part.component {
            Component::MixCoord => expected.extend(coordinators.iter().map(|name| (*name, 1))),
            Component::RootCoord | Component::DataCoord | Component::QueryCoord => {
                expected.push((part.component.name(), 1));
            }
            Component::IndexCoord if features.index_coordinator_serves => {
                expected.push(("indexcoord", 1));
            }
            Component::QueryNode
            | Component::DataNode
            | Component::IndexNode
            | Component::StreamingNode
            | Component::Proxy => {
                let owed = if part.externally_scaled {
                    1
                } else {
                    part.replicas
                };
                expected.push((part.component.name(), owed));
            }
            Component::Standalone => {
                expected.extend(coordinators.iter().map(|name| (*name, 1)));
                expected.extend([("proxy", 1), ("querynode", 1), ("datanode", 1)]);
                if features.index_node {
                    expected.push(("indexnode", 1));
                }
                if features.streaming_node {
                    expected.push(("streamingnode", 1));
                }
            }
            _ => {}
        }
    }
    expected
}

/// Where the sessions are read.
pub(crate) fn sessions_probe(context: &Context<'_>) -> Option<Probe> {
    let kind = ProbeKind::Sessions {
        port: ETCD_PORT,
        root: context.cluster.metadata_prefix(),
    };
    match &context.cluster.etcd {
        Etcd::InCluster(_) => Some(Probe {
            kind,
            target: ProbeTarget::EachMember,
        }),
        // With a login or TLS the listing would need what only Milvus is given.
        Etcd::External(etcd) if etcd.login.is_some() || etcd.tls.is_some() => None,
        Etcd::External(etcd) => Some(Probe {
            kind,
            target: ProbeTarget::External(etcd.endpoints.clone()),
        }),
    }
}

/// The place for local files of a process (caches, mapped segments): beside the container's own layer, and gone with it.
pub(crate) fn cache_volume() -> VolumeMount {
    VolumeMount {
        name: "cache".to_owned(),
        path: "/var/lib/milvus/data".to_owned(),
        backing: crate::desired::VolumeBacking::Volume {
            driver: None,
            options: std::collections::BTreeMap::new(),
        },
        size: None,
        storage_class: None,
        durable: false,
    }
}
