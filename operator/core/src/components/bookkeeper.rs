//! BookKeeper: the disks of Pulsar. Pure data.

use std::collections::BTreeMap;
use std::time::Duration;

use super::BOOKKEEPER_PORT;
use super::broker::max_message_size;
use super::role::{NOFILE, port};
use crate::component::Component;
use crate::config;
use crate::desire::{Context, file};
use crate::desired::{Liveness, LivenessCheck, Template, Workload};
use crate::probe::{Probe, ProbeKind, ProbeTarget};
use crate::validate::Queue;

/// The address is the member's own, so it is added where the member is known. Written, not copied: a copy would be as
/// read-only as the mounted file, and not everybody starts it as root.
const START: &str = "cd /pulsar && cat /etc/milvus-operator/bookkeeper.conf > conf/bookkeeper.conf \
&& echo advertisedAddress={host} >> conf/bookkeeper.conf && exec bin/pulsar bookie";

pub(super) fn workload(context: &mut Context<'_>) -> Option<Workload> {
    let Queue::Pulsar(pulsar) = &context.cluster.queue else {
        return None;
    };
    let java = &pulsar.bookkeeper;
    let part = java.part.clone();
    let memory = Template(java.memory.clone());
    let content = config::pulsar::bookkeeper(
        &context.hosts(&pulsar.zookeeper.part),
        max_message_size(context),
        &java.settings,
    );
    context.config("bookie-conf", content);
    // Bookies find their place in the metadata that the job writes.
    let before = if context.ledger.is_bootstrapped(Component::PulsarInit) {
        Component::Zookeeper
    } else {
        Component::PulsarInit
    };
    Some(Workload {
        component: Component::Bookkeeper,
        shape: context.shape(&part),
        image: part.image,
        command: vec!["sh".into(), "-c".into(), START.into()],
        args: Vec::new(),
        env: BTreeMap::from([("PULSAR_MEM".to_owned(), memory)]),
        files: vec![file("bookie-conf", "/etc/milvus-operator/bookkeeper.conf")],
        volumes: part.volumes,
        resources: part.resources,
        stop_grace: Duration::from_secs(60),
        liveness: Some(Liveness {
            check: LivenessCheck::Tcp {
                port: BOOKKEEPER_PORT,
            },
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            retries: 6,
            start_period: Duration::from_secs(120),
        }),
        placement: part.placement,
        ports: vec![port("bookie", BOOKKEEPER_PORT)],
        published: None,
        networks: context.networks_of(Component::Bookkeeper),
        requires: vec![before],
        probe: Some(Probe {
            kind: ProbeKind::Bookkeeper {
                port: BOOKKEEPER_PORT,
            },
            target: ProbeTarget::EachMember,
        }),
        // The images run as a user that cannot write to a fresh volume.
        user: Some("0".to_owned()),
        nofile: Some(NOFILE),
        origin: part.origin,
    })
}
