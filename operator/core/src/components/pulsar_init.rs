//! The job that writes Pulsar's cluster metadata into ZooKeeper, exactly once. Pure data.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{BROKER_PORT, BROKER_WEB_PORT, ZOOKEEPER_PORT};
use crate::component::Component;
use crate::desire::Context;
use crate::desired::{Resources, Shape, Template, Workload};
use crate::validate::Queue;

/// With the first compiler alone: the job ends before the second one's work pays, and takes half the time.
const MEMORY: &str = "-Xms64m -Xmx256m -XX:TieredStopAtLevel=1";

pub(super) fn workload(context: &mut Context<'_>) -> Option<Workload> {
    let Queue::Pulsar(pulsar) = &context.cluster.queue else {
        return None;
    };
    if context.ledger.is_bootstrapped(Component::PulsarInit) {
        return None;
    }
    let zookeeper = &pulsar.zookeeper.part;
    let servers: Vec<String> = context
        .hosts(zookeeper)
        .iter()
        .map(|host| format!("{host}:{ZOOKEEPER_PORT}"))
        .collect();
    let store = format!("zk:{}", servers.join(","));
    let broker = context.service(Component::Broker);
    let args = [
        "initialize-cluster-metadata".to_owned(),
        "--cluster".to_owned(),
        context.cluster.cluster.key.name.clone(),
        "--metadata-store".to_owned(),
        store.clone(),
        "--configuration-metadata-store".to_owned(),
        store,
        "--web-service-url".to_owned(),
        format!("http://{broker}:{BROKER_WEB_PORT}"),
        "--broker-service-url".to_owned(),
        format!("pulsar://{broker}:{BROKER_PORT}"),
    ];
    Some(Workload {
        component: Component::PulsarInit,
        shape: Shape::Job,
        image: zookeeper.image.clone(),
        // May run again after a crash: what is there already it leaves as it is.
        command: vec!["/pulsar/bin/pulsar".into()],
        args: args.into_iter().map(Template).collect(),
        env: BTreeMap::from([("PULSAR_MEM".to_owned(), Template::from(MEMORY))]),
        files: Vec::new(),
        volumes: Vec::new(),
        resources: Resources::default(),
        stop_grace: Duration::from_secs(10),
        liveness: None,
        placement: zookeeper.placement.clone(),
        ports: Vec::new(),
        published: None,
        networks: context.networks_of(Component::PulsarInit),
        requires: vec![Component::Zookeeper],
        probe: None,
        user: None,
        nofile: None,
        origin: zookeeper.origin.clone(),
    })
}
