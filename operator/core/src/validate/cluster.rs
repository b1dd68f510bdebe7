//! A resource that has been understood: defaults applied, every choice made, nothing left that a platform could not
//! honour. Pure data; made only by [`super::validate`].

use std::collections::{BTreeMap, BTreeSet};

use milvus_crds::{AutoCompactionMode, DeletionPolicy, Ingress, Mode, QuorumBufferPool};
use serde_json::{Map, Value};

use crate::action::Notice;
use crate::component::{Component, WorkloadKey};
use crate::config::settings::Places;
use crate::desired::{
    FieldOrigins, Image, Logging, Network, Passthrough, Placement, Resources, VolumeMount,
};
use crate::ledger::FixedChoices;
use crate::names::ClusterRef;
use crate::place::MemberNeed;
use crate::probe::KafkaAccess;
use crate::subnet::{Subnet, Subnets};
use crate::validate::ClientTls;
use crate::version::{Features, MessageQueue, MilvusVersion};

/// A resource that can be honoured, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedCluster {
    /// Whose.
    pub cluster: ClusterRef,
    /// Shape.
    pub mode: Mode,
    /// Milvus version.
    pub version: MilvusVersion,
    /// What that version can do.
    pub features: Features,
    /// Milvus roles.
    pub roles: BTreeMap<Component, Part>,
    /// Metadata store.
    pub etcd: Etcd,
    /// Object storage.
    pub storage: Storage,
    /// Write-ahead log.
    pub queue: Queue,
    /// The user's layer of milvus.yaml, without sections that say nothing.
    pub config: Map<String, Value>,
    /// Where Milvus keeps metadata and objects.
    pub(crate) places: Places,
    /// hook.yaml.
    pub hook_config: Map<String, Value>,
    /// Port that the proxies (or the standalone process) listen on.
    pub client_port: u16,
    /// TLS on that port, where the configuration asks for it.
    pub client_tls: Option<ClientTls>,
    /// Service type where the platform has services.
    pub service_type: Option<String>,
    /// The way in by host name.
    pub ingress: Option<Ingress>,
    /// The front door, where the platform needs one.
    pub gateway: Option<Gateway>,
    /// The network that every process joins.
    pub network: Network,
    /// Address range of the network that the gateway is reached by, where one was chosen.
    pub frontend_subnet: Option<Subnet>,
    /// Log driver of every process, where the platform lets one choose.
    pub logging: Option<Logging>,
    /// What happens to volumes, by component; roles and dependencies alike.
    pub deletion: BTreeMap<Component, DeletionPolicy>,
    /// What only the platform has words for, by component.
    pub passthrough: BTreeMap<Component, Passthrough>,
    /// The resource takes over what an earlier one of its name left.
    pub adopt: bool,
    /// Remarks that do not stop anything.
    pub notices: Vec<Notice>,
}

/// What every component has: how many, from which image, how large, where.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Which.
    pub component: Component,
    /// How many.
    pub replicas: u32,
    /// The number is what somebody else has set at present, an autoscaler for example.
    pub externally_scaled: bool,
    /// Image.
    pub image: Image,
    /// Requests and limits.
    pub resources: Resources,
    /// Environment as asked for.
    pub env: BTreeMap<String, String>,
    /// Node rules.
    pub placement: Placement,
    /// Volumes of each instance.
    pub volumes: Vec<VolumeMount>,
    /// Where in the resource all this comes from.
    pub origin: FieldOrigins,
}

impl Part {
    /// Whether each instance has an identity and data of its own.
    pub fn has_members(&self) -> bool {
        self.volumes.iter().any(|v| v.durable)
    }

    /// The keys of its workloads.
    pub fn keys(&self) -> Vec<WorkloadKey> {
        if self.has_members() {
            (0..self.replicas)
                .filter_map(|ordinal| u16::try_from(ordinal).ok())
                .map(|ordinal| WorkloadKey::member(self.component, ordinal))
                .collect()
        } else {
            vec![WorkloadKey::shared(self.component)]
        }
    }
}

/// Text that must never be shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

/// A user and a password, or an access key and its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User or access key.
    pub user: Secret,
    /// Password or secret key.
    pub password: Secret,
}

/// Metadata store of Milvus.
#[derive(Clone, Debug, PartialEq)]
pub enum Etcd {
    /// Run by the operator.
    InCluster(Box<EtcdMembers>),
    /// Run by somebody else.
    External(ExternalEtcd),
}

/// etcd run by the operator.
#[derive(Clone, Debug, PartialEq)]
pub struct EtcdMembers {
    /// Image, size and place.
    pub part: Part,
    /// What the retention counts.
    pub compaction_mode: AutoCompactionMode,
    /// How much history is kept.
    pub compaction_retention: String,
    /// Largest database, bytes.
    pub quota: u64,
    /// Transactions between snapshots.
    pub snapshot_count: u32,
    /// Milliseconds.
    pub heartbeat: u32,
    /// Milliseconds.
    pub election: u32,
}

/// etcd run by somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalEtcd {
    /// `host:port`.
    pub endpoints: Vec<String>,
    /// Login, where it asks for one.
    pub login: Option<Credentials>,
    /// TLS, where it speaks it.
    pub tls: Option<Tls>,
}

/// What TLS towards an external service needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Authority, PEM.
    pub ca: Secret,
    /// Client certificate and key, PEM.
    pub client: Option<Credentials>,
}

/// Object storage.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Bucket.
    pub bucket: String,
    /// Prefix in the bucket.
    pub root_path: String,
    /// Access key and secret key; none where the store's own identity service decides.
    pub credentials: Option<Credentials>,
    /// Who runs it.
    pub kind: StorageKind,
}

/// Who runs the object storage.
#[derive(Clone, Debug, PartialEq)]
pub enum StorageKind {
    /// MinIO run by the operator.
    Minio {
        /// Image, size and place.
        part: Box<Part>,
        /// Drives of each member.
        drives: u32,
    },
    /// Run by somebody else.
    External {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// TLS.
        tls: bool,
        /// Region.
        region: Option<String>,
        /// `azure`, where it is no S3.
        cloud_provider: Option<&'static str>,
    },
}

/// Write-ahead log.
#[derive(Clone, Debug, PartialEq)]
pub enum Queue {
    /// Pulsar run by the operator.
    Pulsar(Box<Pulsar>),
    /// Pulsar run by somebody else.
    ExternalPulsar {
        /// Host.
        host: String,
        /// Port of the binary protocol.
        port: u16,
        /// It speaks TLS.
        tls: bool,
    },
    /// Kafka run by somebody else.
    ExternalKafka {
        /// `host:port`.
        brokers: Vec<String>,
        /// How Milvus comes to them.
        access: KafkaAccess,
    },
    /// Inside the standalone process.
    Rocksmq,
    /// On the object storage.
    Woodpecker,
    /// In external log stores.
    ExternalWoodpecker {
        /// The pools of log stores.
        pools: Vec<QuorumBufferPool>,
    },
}

impl Queue {
    /// Its kind.
    pub const fn kind(&self) -> MessageQueue {
        match self {
            Queue::Pulsar(_) | Queue::ExternalPulsar { .. } => MessageQueue::Pulsar,
            Queue::ExternalKafka { .. } => MessageQueue::Kafka,
            Queue::Rocksmq => MessageQueue::Rocksmq,
            Queue::Woodpecker | Queue::ExternalWoodpecker { .. } => MessageQueue::Woodpecker,
        }
    }
}

/// Pulsar run by the operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulsar {
    /// ZooKeeper.
    pub zookeeper: JavaPart,
    /// BookKeeper.
    pub bookkeeper: JavaPart,
    /// Brokers.
    pub broker: JavaPart,
}

/// A component that runs on a Java machine.
#[derive(Clone, Debug, PartialEq)]
pub struct JavaPart {
    /// Image, size and place.
    pub part: Part,
    /// Memory options.
    pub memory: String,
    /// Settings of its configuration file.
    pub settings: BTreeMap<String, String>,
}

/// The front door.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Image and place; the number of instances is in `replicas`.
    pub part: Part,
    /// How many; `None` for one per node.
    pub replicas: Option<u32>,
    /// Published port.
    pub port: u16,
    /// Certificates of the tunnel.
    pub pki: GatewayPki,
}

/// Certificates of the gateway's tunnel, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayPki {
    /// Authority.
    pub ca: Secret,
    /// The gateway's certificate.
    pub certificate: Secret,
    /// Its key.
    pub key: Secret,
}

impl ValidatedCluster {
    /// Every component's part, roles and dependencies, in start order. The gateway is not among them: it holds nothing.
    pub fn parts(&self) -> Vec<&Part> {
        let mut parts = Vec::new();
        if let Etcd::InCluster(etcd) = &self.etcd {
            parts.push(&etcd.part);
        }
        if let StorageKind::Minio { part, .. } = &self.storage.kind {
            parts.push(part);
        }
        if let Queue::Pulsar(pulsar) = &self.queue {
            parts.extend([
                &pulsar.zookeeper.part,
                &pulsar.bookkeeper.part,
                &pulsar.broker.part,
            ]);
        }
        parts.extend(self.roles.values());
        parts
    }

    /// References of the images of all its processes, as the resource has them or by default.
    pub fn images(&self) -> BTreeSet<String> {
        let gateway = self.gateway.iter().map(|gateway| &gateway.part);
        let parts = self.parts().into_iter().chain(gateway);
        parts.map(|part| part.image.reference.clone()).collect()
    }

    /// What every member with data of its own asks of a node, in start order.
    pub fn members(&self) -> Vec<MemberNeed> {
        self.parts()
            .into_iter()
            .filter(|part| part.has_members())
            .flat_map(|part| {
                part.keys().into_iter().map(|key| MemberNeed {
                    key,
                    volumes: part.volumes.clone(),
                    placement: part.placement.clone(),
                    placement_field: part.origin.placement.clone(),
                    resources_field: part.origin.resources.clone(),
                    request_memory: part.resources.request_memory,
                    request_millicpu: part.resources.request_millicpu,
                })
            })
            .collect()
    }

    /// The choices that cannot change once data exists.
    pub fn fixed(&self) -> FixedChoices {
        FixedChoices {
            mode: self.mode_name().to_owned(),
            message_queue: self.queue.kind().name().to_owned(),
            storage_root: format!("{}/{}", self.storage.bucket, self.storage.root_path),
            etcd_root: self.etcd_root(),
            root_as_read: true,
            internal_network: self.network.internal,
            mtu: self.network.mtu,
            backend_subnet: self.network.subnet.map(|subnet| subnet.to_string()),
            frontend_subnet: self.frontend_subnet.map(|subnet| subnet.to_string()),
            minio_layout: match &self.storage.kind {
                StorageKind::Minio { part, drives } => {
                    Some(format!("{} x {drives}", part.replicas))
                }
                StorageKind::External { .. } => None,
            },
            version: self.version.to_string(),
        }
    }

    /// Address ranges that were chosen for its networks.
    pub const fn subnets(&self) -> Subnets {
        Subnets {
            backend: self.network.subnet,
            frontend: self.frontend_subnet,
        }
    }

    /// `standalone` or `cluster`.
    pub const fn mode_name(&self) -> &'static str {
        match self.mode {
            Mode::Standalone => "standalone",
            Mode::Cluster => "cluster",
        }
    }

    /// The root of its keys in etcd and the prefix of its topics.
    pub fn unique_name(&self) -> String {
        self.cluster.key.unique()
    }

    /// `etcd.rootPath`: the user's, or the cluster's unique name.
    pub fn etcd_root(&self) -> String {
        self.places.etcd_root.clone()
    }

    /// The prefix of Milvus' metadata in etcd.
    pub fn metadata_prefix(&self) -> String {
        self.places.metadata()
    }

    /// What happens to the volumes of a component when the resource is deleted.
    pub fn deletion_policy(&self, component: Component) -> DeletionPolicy {
        self.deletion.get(&component).copied().unwrap_or_default()
    }
}
