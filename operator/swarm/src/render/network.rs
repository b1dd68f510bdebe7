//! Overlay networks. They cannot be changed once made. Pure.

use std::collections::BTreeMap;

use milvus_core::desired::Network;
use milvus_core::names::ClusterRef;
use serde::Serialize;
use serde_json::{Value, json};

use crate::drift;
use crate::labels::{self, Labels};

/// The driver option that sets the MTU.
pub const MTU: &str = "com.docker.network.driver.mtu";

/// An overlay network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkObject {
    /// Full name.
    pub name: String,
    /// No way out.
    pub internal: bool,
    /// Driver options that were asked for.
    pub options: BTreeMap<String, String>,
    /// Range of its addresses, where one was chosen; the engine's choice is none of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Labels.
    pub labels: Labels,
}

impl NetworkObject {
    /// The request that makes it.
    pub fn request(&self) -> Value {
        let mut request = json!({
            "Name": self.name,
            // The Swarm refuses a second network of a name in any case. With the check, the engine refuses it also for its own copy
            // of a network that was removed, which lasts as long as the last process in it.
            "CheckDuplicate": false,
            "Driver": "overlay",
            "Scope": "swarm",
            "Internal": self.internal,
            "Options": self.options,
            "Labels": self.labels,
        });
        if let Some(subnet) = &self.subnet {
            request["IPAM"] = json!({ "Driver": "default", "Config": [{ "Subnet": subnet }] });
        }
        request
    }
}

pub(crate) fn render(cluster: &ClusterRef, short: &str, network: &Network) -> NetworkObject {
    let Network {
        internal,
        mtu,
        subnet,
    } = network;
    NetworkObject {
        name: format!("{}_{short}", cluster.key.stack()),
        internal: *internal,
        options: mtu
            .iter()
            .map(|mtu| (MTU.to_owned(), mtu.to_string()))
            .collect(),
        subnet: subnet.map(|subnet| subnet.to_string()),
        labels: labels::owner(cluster),
    }
}

pub(super) fn revision(object: &NetworkObject) -> String {
    let mut fixed = json!({ "internal": object.internal, "options": object.options });
    // Only where one was chosen: revisions of networks that stand stay as they are.
    if let Some(subnet) = &object.subnet {
        fixed["subnet"] = json!(subnet);
    }
    drift::hash(&fixed)
}
