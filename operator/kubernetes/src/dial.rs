//! The way to pods: their addresses are reachable from where the operator runs, in the cluster or on one of its nodes. Names
//! are looked up in what was observed, so no cluster DNS is needed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use milvus_core::capabilities::Capabilities;
use milvus_core::names::ClusterKey;
use milvus_platform::{Connection, Dial, DialError};
use tokio::net::TcpStream;

use crate::Kind;
use crate::cache::Known;
use crate::render::client_service;
use milvus_core::component::WorkloadKey;

/// For a connection on the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Addresses of members and Services of one cluster, by name.
pub(crate) struct Names(BTreeMap<String, IpAddr>);

impl Names {
    /// From what is known of a cluster.
    pub(crate) fn of(cluster: &ClusterKey, known: &Known, capabilities: &Capabilities) -> Self {
        let mut names = BTreeMap::new();
        for pod in known.pods.values().filter(|p| !p.deleting) {
            let (Some(address), Some(ordinal)) = (pod.address, pod.ordinal) else {
                continue;
            };
            let key = WorkloadKey::member(pod.component, ordinal);
            names.insert(capabilities.addressing.host(cluster, key), address);
        }
        for ((kind, name), object) in &known.objects {
            if let (Kind::Service, Some(address)) = (kind, object.state.cluster_ip) {
                names.insert(format!("{name}.{}", cluster.namespace), address);
            }
        }
        Self(names)
    }
}

impl Dial for Names {
    fn dial(&self, host: &str, port: u16) -> BoxFuture<'_, Result<Box<dyn Connection>, DialError>> {
        let host = match self.0.get(host) {
            Some(address) => address.to_string(),
            None => host.to_owned(),
        };
        async move {
            let address = format!("{host}:{port}");
            let connected = TcpStream::connect((host.as_str(), port));
            match tokio::time::timeout(CONNECT_TIMEOUT, connected).await {
                Ok(Ok(stream)) => Ok(Box::new(stream) as Box<dyn Connection>),
                Ok(Err(error)) => Err(match error.kind() {
                    std::io::ErrorKind::ConnectionRefused => DialError::Refused(address),
                    std::io::ErrorKind::HostUnreachable
                    | std::io::ErrorKind::NetworkUnreachable => DialError::NoPath(format!(
                        "{address}: {error}; the operator must run where it can reach pods, or with --wire-checks platform"
                    )),
                    _ => DialError::Other(format!("{address}: {error}")),
                }),
                Err(_) => Err(DialError::Timeout(address)),
            }
        }
        .boxed()
    }
}

/// Where clients reach a cluster: the name of its Service, its load balancer, or a port of the nodes.
pub(crate) fn endpoints(
    cluster: &ClusterKey,
    known: &Known,
    service_type: Option<&str>,
    port: u16,
) -> Vec<String> {
    let name = client_service(cluster);
    let Some(service) = known.objects.get(&(Kind::Service, name.clone())) else {
        return Vec::new();
    };
    let inside = format!("{name}.{}:{port}", cluster.namespace);
    match service_type {
        Some("LoadBalancer") => {
            let outside = service.state.ingress.iter().map(|a| format!("{a}:{port}"));
            outside.chain([inside]).collect()
        }
        Some("NodePort") => {
            let mut hosts: Vec<IpAddr> = known.pods.values().filter_map(|p| p.host).collect();
            hosts.sort_unstable();
            hosts.dedup();
            let node_port = service.state.node_port;
            let outside = hosts
                .iter()
                .filter_map(|host| node_port.map(|port| format!("{host}:{port}")));
            outside.chain([inside]).collect()
        }
        _ => vec![inside],
    }
}
