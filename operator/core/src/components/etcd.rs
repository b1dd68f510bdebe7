//! etcd: the metadata of Milvus. Pure data.

use std::time::Duration;

use milvus_crds::AutoCompactionMode;

use super::ETCD_PORT;
use super::role::{NOFILE, port};
use crate::component::Component;
use crate::desire::Context;
use crate::desired::{Liveness, LivenessCheck, Template, Workload};
use crate::probe::{Probe, ProbeKind, ProbeTarget};
use crate::validate::Etcd;

/// The image when the resource names none.
pub(crate) const DEFAULT_IMAGE: &str = "milvusdb/etcd:3.5.25-r1";
/// Where the data is.
pub(crate) const DATA_PATH: &str = "/etcd-data";

/// Variables that stand for flags which the operator sets.
pub(crate) const FORCED_ENV: [&str; 15] = [
    "ETCD_NAME",
    "ETCD_DATA_DIR",
    "ETCD_LISTEN_CLIENT_URLS",
    "ETCD_ADVERTISE_CLIENT_URLS",
    "ETCD_LISTEN_PEER_URLS",
    "ETCD_INITIAL_ADVERTISE_PEER_URLS",
    "ETCD_INITIAL_CLUSTER",
    "ETCD_INITIAL_CLUSTER_TOKEN",
    "ETCD_INITIAL_CLUSTER_STATE",
    "ETCD_AUTO_COMPACTION_MODE",
    "ETCD_AUTO_COMPACTION_RETENTION",
    "ETCD_QUOTA_BACKEND_BYTES",
    "ETCD_SNAPSHOT_COUNT",
    "ETCD_HEARTBEAT_INTERVAL",
    "ETCD_ELECTION_TIMEOUT",
];

const PEER_PORT: u16 = 2380;

pub(super) fn workload(context: &mut Context<'_>) -> Option<Workload> {
    let Etcd::InCluster(etcd) = &context.cluster.etcd else {
        return None;
    };
    let part = etcd.part.clone();
    let members: Vec<String> = part
        .keys()
        .into_iter()
        .map(|key| format!("{key}=http://{}:{PEER_PORT}", context.host(key)))
        .collect();
    let mode = match etcd.compaction_mode {
        AutoCompactionMode::Revision => "revision",
        AutoCompactionMode::Periodic => "periodic",
    };
    let args = [
        "--name={member}".to_owned(),
        format!("--data-dir={DATA_PATH}"),
        format!("--listen-client-urls=http://0.0.0.0:{ETCD_PORT}"),
        format!("--advertise-client-urls=http://{{host}}:{ETCD_PORT}"),
        format!("--listen-peer-urls=http://0.0.0.0:{PEER_PORT}"),
        format!("--initial-advertise-peer-urls=http://{{host}}:{PEER_PORT}"),
        format!("--initial-cluster={}", members.join(",")),
        format!("--initial-cluster-token={}", context.ledger.etcd_token),
        // For ever: etcd itself refuses to bootstrap over data, and a change would restart the members.
        "--initial-cluster-state=new".to_owned(),
        format!("--auto-compaction-mode={mode}"),
        format!("--auto-compaction-retention={}", etcd.compaction_retention),
        format!("--quota-backend-bytes={}", etcd.quota),
        format!("--snapshot-count={}", etcd.snapshot_count),
        format!("--heartbeat-interval={}", etcd.heartbeat),
        format!("--election-timeout={}", etcd.election),
    ];
    Some(Workload {
        component: Component::Etcd,
        shape: context.shape(&part),
        image: part.image,
        // Said outright: images of etcd differ in their entry points, but all have the program in their path.
        command: vec!["etcd".into()],
        args: args.into_iter().map(Template).collect(),
        env: part
            .env
            .into_iter()
            .map(|(k, v)| (k, Template(v)))
            .collect(),
        files: Vec::new(),
        volumes: part.volumes,
        resources: part.resources,
        stop_grace: Duration::from_secs(30),
        liveness: Some(Liveness {
            check: LivenessCheck::Tcp { port: ETCD_PORT },
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            retries: 6,
            start_period: Duration::from_secs(120),
        }),
        placement: part.placement,
        ports: vec![port("client", ETCD_PORT), port("peer", PEER_PORT)],
        published: None,
        networks: context.networks_of(Component::Etcd),
        requires: Vec::new(),
        probe: Some(Probe {
            kind: ProbeKind::Etcd { port: ETCD_PORT },
            target: ProbeTarget::EachMember,
        }),
        // Some images run as a user that cannot write to a fresh volume.
        user: Some("0".to_owned()),
        nofile: Some(NOFILE),
        origin: part.origin,
    })
}
