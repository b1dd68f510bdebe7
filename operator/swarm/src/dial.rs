//! The way into a cluster's networks: through the gateways that run on its nodes. One client for each cluster is kept, with
//! its connections, for as long as addresses and credentials stay.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use milvus_core::component::Component;
use milvus_core::names::ClusterKey;
use milvus_core::observed::{InstanceState, NodeState, Observed};
use milvus_gateway::pki;
use milvus_gateway::tunnel::{Client, TunnelError};
use milvus_gateway::wire::Kind;
use milvus_platform::{Connection, Dial, DialError, TunnelCredentials};

/// Into one cluster.
pub struct GatewayDial {
    client: Client,
}

impl Dial for GatewayDial {
    fn dial(&self, host: &str, port: u16) -> BoxFuture<'_, Result<Box<dyn Connection>, DialError>> {
        let host = host.to_owned();
        async move {
            match self.client.connect(&host, port).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn Connection>),
                Err(error) => Err(refusal(&error, &format!("{host}:{port}"))),
            }
        }
        .boxed()
    }

    fn cut_off(&self) -> Vec<IpAddr> {
        let gateways = self.client.cut_off();
        gateways.into_iter().map(|address| address.ip()).collect()
    }
}

/// A way that leads nowhere, and why.
struct NoWay(String);

impl Dial for NoWay {
    fn dial(&self, _: &str, _: u16) -> BoxFuture<'_, Result<Box<dyn Connection>, DialError>> {
        futures::future::ready(Err(DialError::NoPath(self.0.clone()))).boxed()
    }
}

fn refusal(error: &TunnelError, target: &str) -> DialError {
    match error.kind() {
        Some(Kind::NotFound) => DialError::NotFound(target.to_owned()),
        Some(Kind::Refused) => DialError::Refused(target.to_owned()),
        Some(Kind::Timeout) => DialError::Timeout(target.to_owned()),
        Some(_) => DialError::Other(error.to_string()),
        None => DialError::NoPath(error.to_string()),
    }
}

/// The kept ways, by cluster.
#[derive(Default)]
pub struct Dials(Mutex<BTreeMap<ClusterKey, Kept>>);

struct Kept {
    port: Option<u16>,
    way: Option<(TunnelCredentials, Arc<GatewayDial>)>,
}

impl Dials {
    /// Remembers the port that a cluster's gateway publishes.
    pub fn set_port(&self, cluster: &ClusterKey, port: Option<u16>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get_mut(cluster) {
            Some(entry) => entry.port = port,
            None => {
                let way = None;
                kept.insert(cluster.clone(), Kept { port, way });
            }
        }
    }

    /// The way into a cluster as things stand.
    pub fn get(
        &self,
        cluster: &ClusterKey,
        observed: &Observed,
        credentials: &TunnelCredentials,
    ) -> Arc<dyn Dial> {
        let no_way = |why: &str| Arc::new(NoWay(why.to_owned())) as Arc<dyn Dial>;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = kept.get_mut(cluster) else {
            return no_way("the gateway is not there yet");
        };
        let Some(port) = entry.port else {
            return no_way("the gateway is not there yet");
        };
        let addresses: Vec<SocketAddr> = gateway_addresses(observed)
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        if addresses.is_empty() {
            return no_way("no gateway runs yet");
        }
        if let Some((same, way)) = &entry.way
            && same == credentials
        {
            way.client.set_addresses(&addresses);
            return Arc::clone(way) as Arc<dyn Dial>;
        }
        match pki::client_config(&credentials.certificate, &credentials.key, &credentials.ca) {
            Ok(tls) => {
                let client = Client::new(addresses, tls);
                let way = Arc::new(GatewayDial { client });
                entry.way = Some((credentials.clone(), Arc::clone(&way)));
                way
            }
            Err(error) => no_way(&format!("the credentials of the tunnel: {error}")),
        }
    }
}

/// Addresses of the nodes on which a gateway runs, in the order of the nodes' names.
pub fn gateway_addresses(observed: &Observed) -> Vec<IpAddr> {
    observed
        .topology
        .nodes
        .iter()
        .filter(|node| {
            node.state != NodeState::Down
                && observed.instances.iter().any(|i| {
                    i.workload.component == Component::Gateway
                        && i.state == InstanceState::Running
                        && i.wanted
                        && i.node.as_deref() == Some(node.id.as_str())
                })
        })
        .filter_map(|node| node.address.parse().ok())
        .collect()
}
