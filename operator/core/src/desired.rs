//! What a cluster should be, in words that every platform understands. Made from a validated resource and the ledger by
//! [`crate::desire`]; each platform renders it into its native objects. Pure data: no client types, no decisions left.

use std::collections::BTreeMap;
use std::time::Duration;

use milvus_crds::{EnvVarSource, Ingress, KubernetesComponent};

use crate::component::{Component, WorkloadKey};
use crate::names::{ClusterRef, Incarnation};
use crate::probe::{Probe, S3Access};
use crate::subnet::Subnet;

/// Everything that one cluster consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Whose.
    pub cluster: ClusterRef,
    /// Milvus version as shown to people (`2.3.5`).
    pub version: String,
    /// Networks, by short name (`backend`, `frontend`).
    pub networks: BTreeMap<String, Network>,
    /// Readable files, by short name (`zoo-cfg`).
    pub configs: BTreeMap<String, File>,
    /// Files with credentials, by short name (`user-yaml`).
    pub secrets: BTreeMap<String, SecretFile>,
    /// Processes, in start order.
    pub workloads: Vec<Workload>,
    /// What clients connect to.
    pub endpoint: Endpoint,
    /// Log driver for every task, where the resource asks for one.
    pub logging: Option<Logging>,
    /// Dependencies that somebody else runs, and how each is checked.
    pub external: BTreeMap<Component, Probe>,
    /// Sessions of Milvus roles in etcd, where they can be counted.
    pub sessions: Option<Sessions>,
    /// Stores of the cluster's own that bear its mark, and are asked for it.
    pub stores: BTreeMap<Component, Store>,
    /// Labels of the pods that the resource's own scale is about (the query nodes'), where there are any.
    pub scaled_pods: Option<String>,
    /// What only the platform has words for.
    pub passthrough: BTreeMap<Component, Passthrough>,
}

/// Settings of one component that only one platform has words for: handed through as they were written, and never looked
/// into by the planner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passthrough {
    /// Pod settings.
    pub pod: KubernetesComponent,
    /// Variables that take their values from elsewhere, by name.
    pub env: BTreeMap<String, EnvVarSource>,
}

/// How the sessions of Milvus roles are counted, and how many there must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// The check ([`crate::probe::ProbeKind::Sessions`]). Any one of its targets may answer it.
    pub probe: Probe,
    /// The least number of sessions by role name as Milvus writes it (`querynode`).
    pub expected: BTreeMap<String, u32>,
}

/// A store of the cluster's own, as it is asked for its mark ([`crate::probe::MARK`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Port of its members; any one of them may answer.
    pub port: u16,
    /// The bucket that bears the mark; `None` for etcd.
    pub bucket: Option<S3Access>,
}

/// One overlay network of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// No way out.
    pub internal: bool,
    /// MTU in bytes, where one was asked for.
    pub mtu: Option<u32>,
    /// Range of its addresses, where one was chosen.
    pub subnet: Option<Subnet>,
}

/// A readable file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Content.
    pub content: String,
}

/// A file that must never be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// Content.
    pub content: Vec<u8>,
    /// Keyed hash of the content (hex): names the native object without telling anything about the content.
    pub fingerprint: String,
}

impl std::fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SecretFile {{ fingerprint: {:?}, content: <{} bytes> }}",
            self.fingerprint,
            self.content.len()
        )
    }
}

/// One kind of process and how many of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Which.
    pub component: Component,
    /// How its instances relate.
    pub shape: Shape,
    /// Image reference and how it is pulled.
    pub image: Image,
    /// Replaces the image's entry point when not empty. May hold [`Template`] placeholders.
    pub command: Vec<Template>,
    /// Arguments. May hold placeholders.
    pub args: Vec<Template>,
    /// Environment. May hold placeholders.
    pub env: BTreeMap<String, Template>,
    /// Configs and secrets mounted as files.
    pub files: Vec<FileMount>,
    /// Volumes that every instance has.
    pub volumes: Vec<VolumeMount>,
    /// Requests and limits.
    pub resources: Resources,
    /// How long a process may take to stop before it is killed.
    pub stop_grace: Duration,
    /// Process liveness, never a check of a dependency or a quorum (Swarm's DNS hides a task until it is healthy).
    pub liveness: Option<Liveness>,
    /// Where it may run.
    pub placement: Placement,
    /// Ports that it listens on inside the cluster's network.
    pub ports: Vec<Port>,
    /// Port published on its node, for the front door alone.
    pub published: Option<Port>,
    /// Networks that it joins, by short name.
    pub networks: Vec<String>,
    /// What must answer before the first instance is started.
    pub requires: Vec<Component>,
    /// The wire checks that make it ready: one per instance, or one for the whole.
    pub probe: Option<Probe>,
    /// Numeric user to run as, where not the image's.
    pub user: Option<String>,
    /// Numbers of open files that the process needs.
    pub nofile: Option<u64>,
    /// Where in the resource its settings come from, for messages that name a field.
    pub origin: FieldOrigins,
}

/// Paths in the resource, as people write them (`spec.components.queryNode.image`). Empty where no field is the cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldOrigins {
    /// The component's block (`spec.components.queryNode`, `spec.dependencies.etcd.inCluster.values`).
    pub block: String,
    /// The image, or where the default one would be replaced.
    pub image: String,
    /// Requests and limits.
    pub resources: String,
    /// Persistence.
    pub persistence: String,
    /// Node selector or constraints.
    pub placement: String,
}

impl Workload {
    /// How many instances there should be; `None` for one per node.
    pub fn replicas(&self) -> Option<u32> {
        match &self.shape {
            Shape::Replicated { replicas, .. } => Some(*replicas),
            Shape::Members { members } => u32::try_from(members.len()).ok(),
            Shape::Job => Some(1),
            Shape::PerNode => None,
        }
    }

    /// Whether the number of its instances is somebody else's.
    pub fn externally_scaled(&self) -> bool {
        matches!(
            self.shape,
            Shape::Replicated {
                externally_scaled: true,
                ..
            }
        )
    }

    /// How many of so many instances clients are owed: of what somebody else scales, one, for how many there are to be beyond that
    /// is between the autoscaler and the machines.
    pub fn owed(&self, wanted: u32) -> u32 {
        if self.externally_scaled() {
            wanted.min(1)
        } else {
            wanted
        }
    }

    /// The keys of its native workloads when each member is one of its own.
    pub fn keys(&self) -> Vec<WorkloadKey> {
        match &self.shape {
            Shape::Members { members } => members
                .iter()
                .map(|m| WorkloadKey::member(self.component, m.ordinal))
                .collect(),
            Shape::Replicated { .. } | Shape::Job | Shape::PerNode => {
                vec![WorkloadKey::shared(self.component)]
            }
        }
    }
}

/// How the instances of a workload relate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Interchangeable.
    Replicated {
        /// How many.
        replicas: u32,
        /// The number is what somebody else has set at present: it is not written.
        externally_scaled: bool,
    },
    /// Each with an identity, a place and data of its own.
    Members {
        /// In order of their ordinals.
        members: Vec<Member>,
    },
    /// Runs once to its end.
    Job,
    /// One on every node that the placement admits.
    PerNode,
}

/// One member of a stateful component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// From 0.
    pub ordinal: u16,
    /// Node id from the ledger; `None` where the platform places members.
    pub node: Option<String>,
    /// Incarnation of its data.
    pub incarnation: Incarnation,
}

/// Text with placeholders that differ by instance: `{member}` (`etcd-0`), `{ordinal}` (`0`), `{ordinal+1}` (`1`, for
/// ZooKeeper's ids) and `{host}` (the member's host name in the cluster's network).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Template(pub String);

impl Template {
    /// Fills the placeholders for one member.
    pub fn for_member(&self, key: WorkloadKey, host: &str) -> String {
        let ordinal = u32::from(key.ordinal.unwrap_or_default());
        self.0
            .replace("{member}", &key.to_string())
            .replace("{ordinal+1}", &(ordinal + 1).to_string())
            .replace("{ordinal}", &ordinal.to_string())
            .replace("{host}", host)
    }
}

impl<T: Into<String>> From<T> for Template {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// An image and how it is pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Reference (`milvusdb/milvus:v2.3.5`).
    pub reference: String,
    /// `Always`, `IfNotPresent` or `Never`, where given.
    pub pull_policy: Option<String>,
    /// Names of Secrets with registry credentials.
    pub pull_secrets: Vec<String>,
}

/// A config or secret as a file in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMount {
    /// Short name in [`Desired::configs`] or [`Desired::secrets`].
    pub source: FileSource,
    /// Absolute path.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
}

/// Where a mounted file comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileSource {
    /// A readable file.
    Config(String),
    /// A file with credentials.
    Secret(String),
}

/// A volume at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    /// Short name (`data`).
    pub name: String,
    /// Absolute path in the container.
    pub path: String,
    /// What backs it.
    pub backing: VolumeBacking,
    /// Size asked for, in bytes; Kubernetes makes a claim of it.
    pub size: Option<u64>,
    /// Class asked for (Kubernetes).
    pub storage_class: Option<String>,
    /// Gone with the instance (caches), or kept by the ledger (data).
    pub durable: bool,
}

/// What backs a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeBacking {
    /// A named volume of the platform, with the driver and its options where given.
    Volume {
        /// Driver name.
        driver: Option<String>,
        /// Driver options (NFS, SSD mounts).
        options: BTreeMap<String, String>,
    },
    /// A directory below a base path of the node; `<stack>/<member>-e<epoch>` is appended.
    Bind {
        /// Base path.
        base: String,
    },
    /// Memory.
    Tmpfs {
        /// Size limit in bytes.
        size: Option<u64>,
    },
}

/// Requests and limits of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Reserved CPU, thousandths of a core.
    pub request_millicpu: Option<u64>,
    /// Reserved memory, bytes.
    pub request_memory: Option<u64>,
    /// CPU limit, thousandths of a core.
    pub limit_millicpu: Option<u64>,
    /// Memory limit, bytes.
    pub limit_memory: Option<u64>,
}

/// How the platform tells that the process is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// What is run or asked.
    pub check: LivenessCheck,
    /// Between checks.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Failures in a row until the process counts as dead.
    pub retries: u32,
    /// Failures at the beginning that do not count.
    pub start_period: Duration,
}

/// What is run or asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LivenessCheck {
    /// A command inside the container.
    Command(Vec<String>),
    /// An HTTP GET on the container's own address.
    Http {
        /// Port.
        port: u16,
        /// Path.
        path: String,
    },
    /// A TCP connection to the container's own address.
    Tcp {
        /// Port.
        port: u16,
    },
}

/// Where a workload may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Node labels that must match.
    pub node_selector: BTreeMap<String, String>,
    /// Swarm constraints as written by the user (`node.labels.disk==ssd`).
    pub constraints: Vec<String>,
    /// Keep instances apart: at most this many per node where enough nodes exist.
    pub spread: bool,
}

/// A named port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Number.
    pub number: u16,
}

/// What clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Port that clients use.
    pub port: u16,
    /// The component that answers behind it.
    pub component: Component,
    /// `ClusterIP`, `NodePort` or `LoadBalancer` where the platform has services.
    pub service_type: Option<String>,
    /// The way in by host name, where one was asked for.
    pub ingress: Option<Ingress>,
    /// Whether it is asked as a client would before the cluster counts as ready.
    pub asked: bool,
    /// TLS on it.
    pub tls: EndpointTls,
}

/// TLS on the client endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointTls {
    /// It speaks none.
    #[default]
    None,
    /// It shows a certificate.
    Server,
    /// It shows a certificate and asks clients for theirs.
    Mutual,
}

/// Log driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Driver name.
    pub driver: String,
    /// Options.
    pub options: BTreeMap<String, String>,
}
