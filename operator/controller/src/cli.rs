//! The command line. Every flag of `run` is also an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use milvus_core::capabilities::Capabilities;

/// The gateway's image where none is named. Its version is its own: an operator upgrade alone must not restart gateways.
pub(crate) const GATEWAY_IMAGE: &str = "milvus-gateway:0.1.0";

/// Runs Milvus on Docker Swarm or Kubernetes from a declarative `MilvusCluster` resource.
#[derive(Debug, Parser)]
#[command(
    name = "milvus-operator",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// What is logged, as a tracing filter: `info`, `debug`, `milvus_operator=debug,info`.
    #[arg(
        long,
        global = true,
        env = "MILVUS_OPERATOR_LOG",
        default_value = "info"
    )]
    pub log: String,
    /// How log lines look.
    #[arg(long, global = true, env = "MILVUS_OPERATOR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the operator: watch MilvusCluster resources and make them true.
    Run(Box<RunArgs>),
    /// Print the CustomResourceDefinition.
    Crd,
    /// Check manifests without a cluster: schema, rules, and what the platform cannot honour.
    Validate(OfflineArgs),
    /// Show what would be created for a manifest, without a cluster.
    Plan(PlanArgs),
    /// Turn resources of zilliztech's milvus-operator into MilvusCluster resources, without a cluster.
    Convert(crate::commands::convert::ConvertArgs),
    /// Put the operator on a platform.
    Install(crate::commands::install::InstallArgs),
    /// Take the operator off a platform. Clusters, their data, the stored resources and keys stay unless told otherwise.
    Uninstall(crate::commands::uninstall::UninstallArgs),
    /// Make a kubeconfig with a client certificate for a user of the operator's API on Swarm. Needs the API's keys.
    Kubeconfig(crate::commands::kubeconfig::KubeconfigArgs),
    /// Write all clusters, their ledgers and what they need to a file. ConfigMaps and Secrets that no cluster refers to are
    /// left out and named.
    Export(crate::commands::export::ExportArgs),
    /// Read resources and ledgers from a file into a new store.
    Import(crate::commands::export::ImportArgs),
    /// Print the version.
    Version(crate::commands::version::VersionArgs),
    /// Print a completion script for a shell.
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Flags of `run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Where clusters run.
    #[arg(long, env = "MILVUS_OPERATOR_PLATFORM", value_enum, default_value_t = Platform::Swarm)]
    pub platform: Platform,
    /// The engine of a Swarm manager: `unix:///var/run/docker.sock`, `tcp://host:2376` (TLS where DOCKER_TLS_VERIFY is set, with
    /// ca.pem, cert.pem and key.pem of DOCKER_CERT_PATH), `ssh://user@host`, `context:NAME` (a docker context).
    #[arg(
        long,
        env = "DOCKER_HOST",
        default_value = "unix:///var/run/docker.sock"
    )]
    pub docker_host: String,
    /// Address of the operator's own Kubernetes-style API. Loopback unless you say otherwise; always TLS.
    #[arg(
        long,
        env = "MILVUS_OPERATOR_API_LISTEN",
        default_value = "127.0.0.1:6443"
    )]
    pub api_listen: SocketAddr,
    /// Names and addresses by which others reach the API, for its certificate. May be given several times.
    #[arg(
        long = "api-address",
        env = "MILVUS_OPERATOR_API_ADDRESS",
        value_delimiter = ','
    )]
    pub api_addresses: Vec<String>,
    /// Write a kubeconfig for the API to this file (mode 0600) once it listens.
    #[arg(long, env = "MILVUS_OPERATOR_WRITE_KUBECONFIG")]
    pub write_kubeconfig: Option<PathBuf>,
    /// Where resources are kept: in the Swarm's raft, or in memory (tests; gone when the operator stops).
    #[arg(long, env = "MILVUS_OPERATOR_STORE", value_enum, default_value_t = StoreKind::Swarm)]
    pub store: StoreKind,
    /// Use `--store memory` although the Swarm's own store has records. Clusters whose namespace and name are in both stores
    /// are taken for earlier ones and removed.
    #[arg(long)]
    pub beside_stored_clusters: bool,
    /// Directory with the API's keys (CA, sealing key). Made when missing. As a Swarm service: the mounted secrets.
    #[arg(long, env = "MILVUS_OPERATOR_KEYS")]
    pub keys: Option<PathBuf>,
    /// Address of metrics and health (`/metrics`, `/livez`, `/readyz`), plain HTTP.
    #[arg(
        long,
        env = "MILVUS_OPERATOR_METRICS_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    pub metrics_listen: SocketAddr,
    /// Image of the gateway that fronts each cluster.
    #[arg(long, env = "MILVUS_OPERATOR_GATEWAY_IMAGE", default_value = GATEWAY_IMAGE)]
    pub gateway_image: String,
    /// Path of the engine's socket on every node, for tasks that remove volumes under deletion policy Delete.
    #[arg(
        long,
        env = "MILVUS_OPERATOR_NODE_DOCKER_SOCKET",
        default_value = "/var/run/docker.sock"
    )]
    pub node_docker_socket: String,
    /// The most open files that a process may be given. Default: what this process may have at most, since the engines of one
    /// Swarm are usually set up alike; a task that asks for more than its engine may give does not start.
    #[arg(long, env = "MILVUS_OPERATOR_NOFILE_LIMIT")]
    pub nofile_limit: Option<u64>,
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// Flags of `run --platform kubernetes`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Platform kubernetes")]
pub(crate) struct KubernetesArgs {
    /// Kubeconfig of the API server. Default: $KUBECONFIG, ~/.kube/config, or the pod's service account.
    #[arg(long, env = "MILVUS_OPERATOR_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig. Default: its current one.
    #[arg(long, env = "MILVUS_OPERATOR_CONTEXT")]
    pub context: Option<String>,
    /// Namespaces to look at, separated by commas; no right in any other is needed then. Default: all.
    #[arg(long, env = "MILVUS_OPERATOR_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Who tells whether processes serve. `platform` is for an operator that cannot reach pods.
    #[arg(long, env = "MILVUS_OPERATOR_WIRE_CHECKS", value_enum, default_value_t = WireChecks::Full)]
    pub wire_checks: WireChecks,
    /// Work only while holding a Lease, so that several replicas may run.
    #[arg(long, env = "MILVUS_OPERATOR_LEADER_ELECT")]
    pub leader_elect: bool,
    /// Namespace of the Lease. Default: that of the pod, or of the kubeconfig's context.
    #[arg(long, env = "MILVUS_OPERATOR_LEADER_NAMESPACE")]
    pub leader_namespace: Option<String>,
    /// Name of the Lease. Operators that stand in for each other share one; those that look at other namespaces have another.
    #[arg(
        long,
        env = "MILVUS_OPERATOR_LEADER_LEASE",
        default_value = "milvus-operator"
    )]
    pub leader_lease: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WireChecks {
    /// The kubelets' readiness checks, and the operator's own: every process, sessions in etcd, the client endpoint.
    Full,
    /// The kubelets' alone; the operator asks only dependencies that somebody else runs.
    Platform,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Platform {
    /// Docker Swarm.
    Swarm,
    /// Kubernetes.
    Kubernetes,
}

impl Platform {
    /// What it can honour.
    pub(crate) const fn capabilities(self) -> &'static Capabilities {
        match self {
            Platform::Swarm => &milvus_swarm::CAPABILITIES,
            Platform::Kubernetes => &milvus_kubernetes::CAPABILITIES,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    /// Swarm configs: they live and die with the Swarm.
    Swarm,
    /// Memory only.
    Memory,
}

/// Flags of offline commands.
#[derive(Debug, Args)]
pub(crate) struct OfflineArgs {
    /// Manifest, folder of manifests, or `-` for standard input. May hold several documents and lists; may be given several
    /// times. Documents of other kinds are passed over.
    #[arg(short = 'f', long = "filename", required = true)]
    pub filenames: Vec<PathBuf>,
    /// Read folders with all folders in them.
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// For which platform.
    #[arg(long, value_enum, default_value_t = Platform::Swarm)]
    pub platform: Platform,
}

/// Flags of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub input: OfflineArgs,
    /// How many nodes to assume.
    #[arg(long, default_value_t = 3)]
    pub nodes: u16,
    /// Memory of each assumed node, in GiB.
    #[arg(long, default_value_t = 16)]
    pub node_memory: u64,
    /// Output.
    #[arg(short, long, value_enum, default_value_t = PlanOutput::Text)]
    pub output: PlanOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanOutput {
    /// For people.
    Text,
    /// The native objects as YAML.
    Yaml,
    /// The native objects as JSON.
    Json,
}
