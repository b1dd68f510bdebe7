//! Flags of `install swarm`, and the service that they describe. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgAction, Args};
use milvus_swarm::installation::{OperatorService, SOCKET_IN_TASK};

use crate::keys::AUTHORITY_FILE;

/// The image that goes with this program; builds for a registry set it.
const IMAGE: &str = match option_env!("MILVUS_OPERATOR_IMAGE") {
    Some(image) => image,
    None => "milvus-operator:dev",
};

/// Flags of `install swarm`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SwarmArgs {
    /// The engine of a Swarm manager: `unix:///var/run/docker.sock`, `tcp://host:2376` (TLS where DOCKER_TLS_VERIFY is set, with
    /// ca.pem, cert.pem and key.pem of DOCKER_CERT_PATH), `ssh://user@host`, `context:NAME` (a docker context).
    #[arg(
        long,
        env = "DOCKER_HOST",
        default_value = "unix:///var/run/docker.sock"
    )]
    pub docker_host: String,
    /// Image of the operator.
    #[arg(long, env = "MILVUS_OPERATOR_IMAGE", default_value = IMAGE)]
    pub image: String,
    /// Image of the gateway that fronts each cluster.
    #[arg(long, env = "MILVUS_OPERATOR_GATEWAY_IMAGE", default_value = crate::cli::GATEWAY_IMAGE)]
    pub gateway_image: String,
    /// Name or address by which others reach the API: puts it into the certificate and opens the API on every address of the
    /// operator's node. May be given several times; the first stands in the kubeconfig.
    #[arg(
        long = "api-address",
        env = "MILVUS_OPERATOR_API_ADDRESS",
        value_delimiter = ','
    )]
    pub api_addresses: Vec<String>,
    /// Where the API listens on the operator's node. Default: 127.0.0.1:6443, with --api-address 0.0.0.0:6443.
    #[arg(long, env = "MILVUS_OPERATOR_API_LISTEN")]
    pub api_listen: Option<SocketAddr>,
    /// Where metrics and health are served on the operator's node, plain HTTP.
    #[arg(
        long,
        env = "MILVUS_OPERATOR_METRICS_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    pub metrics_listen: SocketAddr,
    /// Path of the engine's socket on every node.
    #[arg(
        long,
        env = "MILVUS_OPERATOR_NODE_DOCKER_SOCKET",
        default_value = "/var/run/docker.sock"
    )]
    pub node_docker_socket: String,
    /// Rule for the operator's node besides being a manager, as for `docker service create`: `node.hostname==m1`. May be given
    /// several times.
    #[arg(long = "constraint")]
    pub constraints: Vec<String>,
    /// What the operator logs, as a tracing filter.
    #[arg(long, default_value = "info")]
    pub operator_log: String,
    /// File for the kubeconfig, made when there are new keys; `-` prints it.
    #[arg(
        long,
        env = "MILVUS_OPERATOR_WRITE_KUBECONFIG",
        default_value = "milvus-operator.kubeconfig"
    )]
    pub write_kubeconfig: PathBuf,
    /// Make a new authority and kubeconfig; kubeconfigs made before stop working. Stored Secrets are not touched.
    #[arg(long)]
    pub rotate_keys: bool,
    /// Make the secrets and the kubeconfig, but not the service: for those who deploy the stack file themselves.
    #[arg(long, conflicts_with = "dry_run")]
    pub secrets_only: bool,
    /// Print the stack file of a first installation and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Without a registry: carry the images of operator and gateway to the engines of --docker-host and --load-to.
    #[arg(long)]
    pub load: bool,
    /// Engine of a further node to carry the images to (`tcp://host:2375`). May be given several times.
    #[arg(long, requires = "load", value_delimiter = ',')]
    pub load_to: Vec<String>,
    /// Engine that has the images. Default: the one of --docker-host.
    #[arg(long, requires = "load")]
    pub image_from: Option<String>,
    /// Give the Swarm the credentials that `docker login` left for the registry of --image.
    #[arg(long, conflicts_with = "load")]
    pub with_registry_auth: bool,
    /// Wait until the operator answers; `--wait=false` does not.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
    pub wait: bool,
    /// How many seconds to wait.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub timeout: u64,
}

impl SwarmArgs {
    /// Where the API listens.
    pub(crate) fn api_listen(&self) -> SocketAddr {
        let everywhere = !self.api_addresses.is_empty();
        let address = if everywhere {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::LOCALHOST
        };
        self.api_listen
            .unwrap_or_else(|| SocketAddr::new(IpAddr::V4(address), 6443))
    }

    /// The name in the kubeconfig.
    pub(crate) fn server_name(&self) -> &str {
        self.api_addresses
            .first()
            .map_or("127.0.0.1", String::as_str)
    }

    /// The service that these flags ask for.
    pub(crate) fn service(
        &self,
        image: String,
        image_id: Option<String>,
        authority_generation: u32,
    ) -> OperatorService {
        let mut args = vec![
            format!("--log={}", self.operator_log),
            "run".to_owned(),
            "--platform=swarm".to_owned(),
            "--store=swarm".to_owned(),
            format!("--docker-host=unix://{SOCKET_IN_TASK}"),
            format!("--keys=/run/secrets/{AUTHORITY_FILE}"),
            format!("--api-listen={}", self.api_listen()),
        ];
        args.extend(
            self.api_addresses
                .iter()
                .map(|name| format!("--api-address={name}")),
        );
        args.extend([
            format!("--metrics-listen={}", self.metrics_listen),
            format!("--gateway-image={}", self.gateway_image),
            format!("--node-docker-socket={}", self.node_docker_socket),
        ]);
        OperatorService {
            image,
            image_id,
            args,
            authority_generation,
            docker_socket: self.node_docker_socket.clone(),
            constraints: self.constraints.clone(),
        }
    }
}
