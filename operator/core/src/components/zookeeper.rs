//! ZooKeeper: the metadata of Pulsar. Pure data.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ZOOKEEPER_PORT;
use super::role::{NOFILE, port};
use crate::component::Component;
use crate::config;
use crate::desire::{Context, file};
use crate::desired::{Liveness, LivenessCheck, Template, Workload};
use crate::probe::{Probe, ProbeKind, ProbeTarget};
use crate::validate::Queue;

/// The image of all of Pulsar's parts when the resource names none.
pub(crate) const DEFAULT_IMAGE: &str = "apachepulsar/pulsar:3.0.7";
/// Where ZooKeeper and bookies keep their data: the place that Pulsar's images have for it.
pub(crate) const DATA_PATH: &str = "/pulsar/data";

/// The identity file comes first: without it no member knows which of the servers it is.
const START: &str = "cd /pulsar && mkdir -p data/zookeeper && echo {ordinal+1} > data/zookeeper/myid \
&& cat /etc/milvus-operator/zookeeper.conf > conf/zookeeper.conf && exec bin/pulsar zookeeper";

pub(super) fn workload(context: &mut Context<'_>) -> Option<Workload> {
    let Queue::Pulsar(pulsar) = &context.cluster.queue else {
        return None;
    };
    let java = &pulsar.zookeeper;
    let part = java.part.clone();
    let memory = Template(java.memory.clone());
    let content = config::pulsar::zookeeper(&context.hosts(&part));
    context.config("zk-conf", content);
    let mut ports = vec![port("client", ZOOKEEPER_PORT)];
    if part.replicas > 1 {
        ports.extend([port("peer", 2888), port("election", 3888)]);
    }
    Some(Workload {
        component: Component::Zookeeper,
        shape: context.shape(&part),
        image: part.image,
        command: vec!["sh".into(), "-c".into(), START.into()],
        args: Vec::new(),
        env: BTreeMap::from([("PULSAR_MEM".to_owned(), memory)]),
        files: vec![file("zk-conf", "/etc/milvus-operator/zookeeper.conf")],
        volumes: part.volumes,
        resources: part.resources,
        stop_grace: Duration::from_secs(30),
        liveness: Some(Liveness {
            check: LivenessCheck::Tcp {
                port: ZOOKEEPER_PORT,
            },
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            retries: 6,
            start_period: Duration::from_secs(120),
        }),
        placement: part.placement,
        ports,
        published: None,
        networks: context.networks_of(Component::Zookeeper),
        requires: Vec::new(),
        probe: Some(Probe {
            kind: ProbeKind::Zookeeper {
                port: ZOOKEEPER_PORT,
            },
            target: ProbeTarget::EachMember,
        }),
        // The images run as a user that cannot write to a fresh volume.
        user: Some("0".to_owned()),
        nofile: Some(NOFILE),
        origin: part.origin,
    })
}
