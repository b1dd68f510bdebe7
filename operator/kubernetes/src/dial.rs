//! The way to pods: their addresses are reachable from where the operator runs, in the cluster or on one of its nodes. Names
//! are looked up in what was observed, so no cluster DNS is needed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use milvus_core::capabilities::Capabilities;
use milvus_core::component::WorkloadKey;
use milvus_core::names::ClusterKey;
use milvus_core::observed::{Observed, Owner};
use milvus_core::outline::ObjectId;
use milvus_platform::{Connection, Dial, DialError};
use tokio::net::TcpStream;

use crate::Kind;
use crate::cache::Known;
use crate::render::client_service;

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

/// Where clients reach a cluster: the name of its Service, its load balancer, or a port of the nodes. Nowhere, while a Service of
/// somebody else has the name.
pub(crate) fn endpoints(
    cluster: &ClusterKey,
    observed: &Observed,
    known: &Known,
    service_type: Option<&str>,
    port: u16,
) -> Vec<String> {
    let name = client_service(cluster);
    let id = ObjectId::new(Kind::Service.name(), name.as_str());
    if observed
        .objects
        .get(&id)
        .is_none_or(|o| o.owner != Owner::Ours)
    {
        return Vec::new();
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::observe::observe;
    use jiff::Timestamp;
    use milvus_core::names::ClusterRef;
    use serde_json::json;

    /// A Service with our labels that somebody else made is no way to the cluster.
    #[test]
    fn a_foreign_service_is_no_endpoint() {
        let cluster = ClusterRef {
            key: ClusterKey::new("team", "demo"),
            uid: "c1".to_owned(),
            generation: 1,
        };
        let of = |owner: serde_json::Value, annotations: serde_json::Value| {
            let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {
                "name": "demo-milvus", "namespace": "team", "uid": "u1", "resourceVersion": "1", "ownerReferences": owner,
                "labels": {"app.kubernetes.io/managed-by": "milvus-operator", "app.kubernetes.io/instance": "demo"},
                "annotations": annotations}});
            let cache = Cache::default();
            cache.put(
                Kind::Service,
                serde_json::from_value(service).expect("an object"),
            );
            cache.with(&cluster.key, |known| {
                let observed = observe(&cluster, None, known, Timestamp::UNIX_EPOCH);
                endpoints(&cluster.key, &observed, known, None, 19530)
            })
        };
        let owner = json!([{"apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster", "name": "demo", "uid": "c1"}]);
        let applied = json!({"operator.milvus.io/applied": "h1"});
        assert_eq!(of(owner, applied), ["demo-milvus.team:19530"]);
        assert!(of(json!([]), json!({})).is_empty());
    }
}
