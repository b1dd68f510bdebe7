//! Pulsar's brokers: what Milvus writes its log to. They keep nothing, so they are interchangeable. Pure data.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::role::{NOFILE, port};
use super::{BROKER_PORT, BROKER_WEB_PORT};
use crate::component::Component;
use crate::config;
use crate::config::pulsar::MAX_MESSAGE_SIZE;
use crate::desire::{Context, file};
use crate::desired::{Liveness, LivenessCheck, Template, Workload};
use crate::probe::{Probe, ProbeKind, ProbeTarget};
use crate::validate::Queue;

/// A client is sent to the broker that owns its topic, so every broker needs an address of its own: interchangeable
/// instances share their name, but not their address in the cluster's network.
const START: &str = "cd /pulsar && cat /etc/milvus-operator/broker.conf > conf/broker.conf \
&& echo advertisedAddress=$(hostname -i | cut -d' ' -f1) >> conf/broker.conf && exec bin/pulsar broker";

/// The largest message that Milvus may send, by its own configuration.
pub(super) fn max_message_size(context: &Context<'_>) -> u64 {
    context
        .cluster
        .config
        .get("pulsar")
        .and_then(|p| p.get("maxMessageSize"))
        .and_then(|v| match v {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        })
        .map_or(MAX_MESSAGE_SIZE, |asked| asked.max(MAX_MESSAGE_SIZE))
}

pub(super) fn workload(context: &mut Context<'_>) -> Option<Workload> {
    let Queue::Pulsar(pulsar) = &context.cluster.queue else {
        return None;
    };
    let java = &pulsar.broker;
    let part = java.part.clone();
    let memory = Template(java.memory.clone());
    // A bookie for which no node has room keeps no copies.
    let bookies = context.placed(&pulsar.bookkeeper.part).count();
    let content = config::pulsar::broker(
        &context.cluster.cluster.key.name,
        &context.hosts(&pulsar.zookeeper.part),
        bookies,
        max_message_size(context),
        &java.settings,
    );
    context.config("broker-conf", content);
    Some(Workload {
        component: Component::Broker,
        shape: context.shape(&part),
        image: part.image,
        command: vec!["sh".into(), "-c".into(), START.into()],
        args: Vec::new(),
        env: BTreeMap::from([("PULSAR_MEM".to_owned(), memory)]),
        files: vec![file("broker-conf", "/etc/milvus-operator/broker.conf")],
        volumes: part.volumes,
        resources: part.resources,
        // It unloads its topics in 10 s; without ZooKeeper it does not end by itself.
        stop_grace: Duration::from_secs(45),
        liveness: Some(Liveness {
            check: LivenessCheck::Tcp {
                port: BROKER_WEB_PORT,
            },
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            retries: 6,
            start_period: Duration::from_secs(120),
        }),
        placement: part.placement,
        ports: vec![port("pulsar", BROKER_PORT), port("web", BROKER_WEB_PORT)],
        published: None,
        networks: context.networks_of(Component::Broker),
        requires: vec![Component::Zookeeper, Component::Bookkeeper],
        probe: Some(Probe {
            kind: ProbeKind::Broker {
                port: BROKER_WEB_PORT,
            },
            target: ProbeTarget::EachInstance,
        }),
        user: None,
        nofile: Some(NOFILE),
        origin: part.origin,
    })
}
