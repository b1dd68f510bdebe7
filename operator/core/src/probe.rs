//! Wire checks as data: what is asked of which host, and what came back. The asking is done in the `probes` room over a
//! `Dial`; the judging is done in the planner. Pure data.

use jiff::Timestamp;

use crate::component::Component;
use crate::validate::{Credentials, Secret};

/// What makes a component ready, asked over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is asked.
    pub kind: ProbeKind,
    /// Whom.
    pub target: ProbeTarget,
}

/// Whom a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeTarget {
    /// Every member by its host name; the [`ProbeId`] names the member (`etcd-0`).
    EachMember,
    /// Every running instance by its address; the [`ProbeId`] names the address.
    EachInstance,
    /// One host.
    Host(String),
    /// Hosts of an external dependency, `host:port`; the [`ProbeId`] names each as it stands here.
    External(Vec<String>),
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// etcd `/health` (linearizable: true only with quorum) on the client port.
    Etcd {
        /// Client port.
        port: u16,
    },
    /// MinIO `/minio/health/cluster`: 200 only with write quorum.
    Minio {
        /// API port.
        port: u16,
    },
    /// An S3 service of somebody else: any HTTP answer, but one that refuses the keys.
    S3 {
        /// How Milvus will come; `None` where it brings no keys of its own.
        access: Option<S3Access>,
        /// It speaks TLS.
        tls: bool,
    },
    /// ZooKeeper `srvr`: answers with a mode only when it serves.
    Zookeeper {
        /// Client port.
        port: u16,
    },
    /// A bookie accepts connections, and has not told ZooKeeper that it takes no writes.
    Bookkeeper {
        /// Bookie port.
        port: u16,
    },
    /// Pulsar broker: `/admin/v2/brokers/health` until it answered once, `/admin/v2/brokers/ready` afterwards.
    Broker {
        /// Web service port.
        port: u16,
    },
    /// An external Kafka broker lets Milvus' user in and answers for metadata.
    Kafka {
        /// How Milvus will come.
        access: KafkaAccess,
    },
    /// A TCP connection.
    Tcp {
        /// Port.
        port: u16,
    },
    /// Milvus `/healthz` on the metrics port.
    Milvus {
        /// Metrics port.
        port: u16,
    },
    /// Sessions under `<root>/session/` in etcd, counted by role.
    Sessions {
        /// etcd client port.
        port: u16,
        /// The prefix of Milvus' metadata (`etcd.rootPath`, `etcd.metaSubPath`).
        root: String,
    },
    /// The client endpoint answers a gRPC `GetVersion`.
    Endpoint {
        /// Client port.
        port: u16,
    },
    /// The gateway answers on its tunnel.
    Gateway,
}

/// How Milvus comes to brokers of Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaAccess {
    /// They speak TLS.
    pub tls: bool,
    /// Authority of their certificates, PEM; `None` for the ones that a system knows.
    pub ca: Option<Secret>,
    /// User and password, where they ask for them.
    pub login: Option<KafkaLogin>,
}

impl KafkaAccess {
    /// Whether the operator may show the login to the brokers. It knows no authority but the one in the Secret, and shows a
    /// password over TLS only to whom that one vouches for.
    pub const fn login_is_checked(&self) -> bool {
        self.login.is_some() && (!self.tls || self.ca.is_some())
    }
}

/// A login at brokers of Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaLogin {
    /// How the password is shown.
    pub mechanism: KafkaMechanism,
    /// User and password.
    pub keys: Credentials,
}

/// How a password is shown to a broker of Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaMechanism {
    /// As it is.
    Plain,
    /// Proved, with SHA-256.
    ScramSha256,
    /// Proved, with SHA-512.
    ScramSha512,
}

impl KafkaMechanism {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// Its name on the wire and in milvus.yaml.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// How Milvus comes to its bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Access {
    /// Bucket.
    pub bucket: String,
    /// Region, where one was given.
    pub region: Option<String>,
    /// Access key and secret key.
    pub keys: Credentials,
}

/// Name of the mark that the operator leaves in the stores that a cluster runs for itself: a key of etcd beside Milvus' own, an
/// object in Milvus' bucket beside its root path. What begins on an emptied volume does not have it.
pub const MARK: &str = "milvus-operator/mark";

/// Identifies one check in one pass: the component and the host (or address) asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeId {
    /// Component that is judged.
    pub component: Component,
    /// `etcd-0`, `10.0.1.7`, ...
    pub target: String,
}

impl ProbeId {
    /// The check of Milvus's sessions in etcd.
    pub fn sessions() -> Self {
        Self {
            component: Component::Etcd,
            target: "sessions".to_owned(),
        }
    }

    /// The check of the client endpoint at one address (`10.0.0.1:19530`).
    pub fn endpoint(address: &str) -> Self {
        Self {
            component: Component::Gateway,
            target: format!("endpoint {address}"),
        }
    }

    /// The check of what a store that the cluster runs for itself holds of it.
    pub fn store(component: Component) -> Self {
        Self {
            component,
            target: "store".to_owned(),
        }
    }

    /// The check of one member, instance address or host of a component.
    pub fn target(component: Component, target: impl Into<String>) -> Self {
        Self {
            component,
            target: target.into(),
        }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// When the answer came.
    pub at: Timestamp,
    /// Yes, or why not.
    pub outcome: Result<ProbeDetail, ProbeFailure>,
}

/// What a positive answer told beyond yes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeDetail {
    /// ZooKeeper's mode, etcd's version, a server version: for people.
    pub note: String,
    /// Sessions by role name (`proxy`, `querynode`), for [`ProbeKind::Sessions`].
    pub sessions: std::collections::BTreeMap<String, u32>,
    /// etcd's own list of its members, for [`ProbeKind::Etcd`]; empty where it was not given.
    pub members: Vec<EtcdMember>,
    /// What a member of ZooKeeper is, for [`ProbeKind::Zookeeper`].
    pub ensemble: Option<EnsembleMember>,
    /// By how many seconds its clock is ahead of the operator's, where the answer bears a time.
    pub clock_ahead: Option<i64>,
    /// What a store holds of the cluster, where it was asked for that and said it.
    pub store: Option<StoreSeen>,
}

/// What a store holds of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSeen {
    /// What Milvus keeps its data in is there: its bucket. etcd has nothing of the kind, and always says yes.
    pub there: bool,
    /// The content of [`MARK`], where there is one.
    pub mark: Option<String>,
}

/// A member of etcd as etcd lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdMember {
    /// Its id.
    pub id: u64,
    /// Its name; empty until it has started once.
    pub name: String,
    /// Addresses at which other members reach it.
    pub peers: Vec<String>,
}

/// What a member of ZooKeeper says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnsembleMember {
    /// `leader`, `follower`, `observer` or `standalone`.
    pub mode: String,
    /// Epoch of the last transaction that it knows.
    pub epoch: u32,
    /// Number of that transaction in its epoch.
    pub counter: u32,
}

/// Why there was no positive answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeFailure {
    /// Kind of failure.
    pub kind: ProbeFailureKind,
    /// One line for people, without secrets.
    pub message: String,
}

/// Kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeFailureKind {
    /// The name does not resolve (yet).
    NotFound,
    /// Nobody listens.
    Refused,
    /// No answer in time.
    Timeout,
    /// It answered that it is not ready (no quorum, not healthy).
    NotReady,
    /// It answered that a member has raised an alarm and that writes are refused until it is put right.
    Alarm,
    /// Credentials were refused.
    Denied,
    /// There is no way into the cluster's network now.
    NoPath,
    /// Anything else.
    Other,
}
