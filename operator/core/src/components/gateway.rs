//! The cluster's front door where the platform has none: one client address over the live proxies, and the tunnel for the
//! operator's checks. Pure data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::role::{NOFILE, port};
use super::{
    BOOKKEEPER_PORT, BROKER_PORT, BROKER_WEB_PORT, ETCD_PORT, MILVUS_HEALTH_PORT, MINIO_PORT,
    ZOOKEEPER_PORT,
};
use crate::component::Component;
use crate::desire::{Context, secret_file};
use crate::desired::{Shape, Template, Workload};
use crate::probe::{Probe, ProbeKind, ProbeTarget};
use crate::validate::{Etcd, Queue, Secret, StorageKind};

const BUNDLE: &str = "/run/secrets/gateway-tls";

pub(super) fn workload(context: &mut Context<'_>) -> Option<Workload> {
    let gateway = context.cluster.gateway.clone()?;
    let bundle = [
        &gateway.pki.certificate.0,
        &gateway.pki.key.0,
        &gateway.pki.ca.0,
    ]
    .map(|pem| pem.trim_end())
    .join("\n");
    context.secret("gateway-tls", &Secret(format!("{bundle}\n")));
    let serving = context
        .cluster
        .roles
        .get(&Component::Standalone)
        .or_else(|| context.cluster.roles.get(&Component::Proxy));
    let backend = serving.map_or_else(
        || context.service(Component::Proxy),
        |part| context.entry_point(part),
    );
    let args = [
        format!("--listen=0.0.0.0:{}", gateway.port),
        format!("--backend={backend}:{}", context.cluster.client_port),
        format!("--health-port={MILVUS_HEALTH_PORT}"),
        format!("--tls-bundle={BUNDLE}"),
        format!("--allow={}", allowed(context).join(",")),
    ];
    Some(Workload {
        component: Component::Gateway,
        shape: match gateway.replicas {
            Some(replicas) => Shape::Replicated {
                replicas,
                externally_scaled: false,
            },
            None => Shape::PerNode,
        },
        image: gateway.part.image,
        command: Vec::new(),
        args: args.into_iter().map(Template).collect(),
        env: BTreeMap::new(),
        files: vec![secret_file("gateway-tls", BUNDLE)],
        volumes: Vec::new(),
        resources: gateway.part.resources,
        // Longer than the gateway lets open connections go on after it was told to stop.
        stop_grace: Duration::from_secs(40),
        liveness: None,
        placement: gateway.part.placement,
        ports: vec![port("milvus", gateway.port)],
        published: Some(port("milvus", gateway.port)),
        networks: context.networks_of(Component::Gateway),
        requires: Vec::new(),
        probe: Some(Probe {
            kind: ProbeKind::Gateway,
            target: ProbeTarget::EachInstance,
        }),
        user: None,
        nofile: Some(NOFILE),
        origin: gateway.part.origin,
    })
}

/// What the operator may reach through the tunnel: the ports that its checks ask, on any host of the cluster's network,
/// and the addresses of what somebody else runs. By kind of dependency, not by number of members: a change restarts the
/// gateways, and with them the clients' connections.
fn allowed(context: &Context<'_>) -> Vec<String> {
    let mut ports = BTreeSet::from([MILVUS_HEALTH_PORT, context.cluster.client_port]);
    let mut hosts = BTreeSet::new();
    match &context.cluster.etcd {
        Etcd::InCluster(_) => {
            ports.insert(ETCD_PORT);
        }
        Etcd::External(etcd) => hosts.extend(etcd.endpoints.iter().cloned()),
    }
    match &context.cluster.storage.kind {
        StorageKind::Minio { .. } => {
            ports.insert(MINIO_PORT);
        }
        StorageKind::External { host, port, .. } => {
            hosts.insert(format!("{host}:{port}"));
        }
    }
    match &context.cluster.queue {
        Queue::Pulsar(_) => ports.extend([
            ZOOKEEPER_PORT,
            BOOKKEEPER_PORT,
            BROKER_PORT,
            BROKER_WEB_PORT,
        ]),
        Queue::ExternalPulsar { host, port, .. } => {
            hosts.insert(format!("{host}:{port}"));
        }
        Queue::ExternalKafka { brokers, .. } => hosts.extend(brokers.iter().cloned()),
        Queue::ExternalWoodpecker { pools } => {
            hosts.extend(pools.iter().flat_map(|pool| pool.seeds.iter().cloned()));
        }
        Queue::Rocksmq | Queue::Woodpecker => {}
    }
    let mut all: Vec<String> = ports.into_iter().map(|port| format!("*:{port}")).collect();
    all.extend(hosts);
    all
}
