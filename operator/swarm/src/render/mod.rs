//! From what a cluster should be to native objects of a Swarm. Pure: the same cluster always renders to the same bytes.

mod config;
pub(crate) mod network;
mod secret;
mod service;
pub mod spec;

use std::collections::{BTreeMap, BTreeSet};

use milvus_core::capabilities::Capabilities;
use milvus_core::desired::Desired;
use milvus_core::names::{MAX_CONFIG_NAME, MAX_SERVICE_NAME};
use milvus_core::outline::{ObjectClass, ObjectId, ObjectOutline, Revision};
use milvus_platform::{Class, PlatformError, Rendered};
use serde::Serialize;

pub use config::ConfigObject;
pub use network::{MTU, NetworkObject};
pub use secret::SecretObject;
pub use service::{ServiceObject, UNTIL_SUCCESS};

/// Kind of services.
pub const SERVICE: &str = "service";
/// Kind of networks.
pub const NETWORK: &str = "network";
/// Kind of configs.
pub const CONFIG: &str = "config";
/// Kind of secrets.
pub const SECRET: &str = "secret";

/// Characters of a content hash in a name.
const HASH_IN_NAME: usize = 10;

/// One native object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Native {
    /// An overlay network.
    Network(NetworkObject),
    /// A readable file.
    Config(ConfigObject),
    /// A file with credentials.
    Secret(SecretObject),
    /// A service.
    Service(Box<ServiceObject>),
}

/// Native names of prerequisites by their short names.
struct Names {
    networks: BTreeMap<String, String>,
    configs: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
}

/// What rendering needs to know of this Swarm.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most open files that the engines may give a process, where that is less than a process asks for.
    pub nofile: Option<u64>,
}

/// Renders a cluster.
///
/// # Errors
/// When a name does not fit, or a workload refers to something that the cluster does not have.
pub fn render(
    desired: &Desired,
    capabilities: &Capabilities,
    limits: &Limits,
) -> Result<Rendered<Native>, PlatformError> {
    let cluster = &desired.cluster;
    let mut rendered = Rendered {
        cluster: cluster.clone(),
        outline: BTreeMap::new(),
        native: BTreeMap::new(),
    };
    let mut names = Names {
        networks: BTreeMap::new(),
        configs: BTreeMap::new(),
        secrets: BTreeMap::new(),
    };
    let mut prerequisite = |kind, name: &str, native, hash: String| {
        let id = ObjectId::new(kind, name);
        let outline = ObjectOutline {
            class: ObjectClass::Prerequisite,
            workload: None,
            revision: Revision(hash),
            uses: BTreeSet::new(),
            replicas: None,
            mutable: false,
        };
        rendered.outline.insert(id.clone(), outline);
        rendered.native.insert(id, native);
    };
    for (short, wanted) in &desired.networks {
        let object = network::render(cluster, short, wanted);
        names.networks.insert(short.clone(), object.name.clone());
        let hash = network::revision(&object);
        prerequisite(NETWORK, &object.name.clone(), Native::Network(object), hash);
    }
    for (short, file) in &desired.configs {
        let object = config::render(cluster, short, file);
        fits(CONFIG, &object.name, MAX_CONFIG_NAME)?;
        names.configs.insert(short.clone(), object.name.clone());
        let hash = object.hash.clone();
        prerequisite(CONFIG, &object.name.clone(), Native::Config(object), hash);
    }
    for (short, file) in &desired.secrets {
        let object = secret::render(cluster, short, file);
        fits(SECRET, &object.name, MAX_CONFIG_NAME)?;
        names.secrets.insert(short.clone(), object.name.clone());
        let hash = file.fingerprint.clone();
        prerequisite(SECRET, &object.name.clone(), Native::Secret(object), hash);
    }
    for workload in &desired.workloads {
        for (key, object, outline) in
            service::render(desired, workload, &names, capabilities, limits)?
        {
            let name = &object.spec.name;
            fits(SERVICE, name, MAX_SERVICE_NAME)?;
            let id = ObjectId::new(SERVICE, name.clone());
            if rendered.outline.insert(id.clone(), outline).is_some() {
                return Err(PlatformError::new(
                    Class::Bug,
                    format!("render {id}"),
                    format!("two workloads are named {key}"),
                ));
            }
            rendered
                .native
                .insert(id, Native::Service(Box::new(object)));
        }
    }
    Ok(rendered)
}

fn fits(kind: &str, name: &str, most: usize) -> Result<(), PlatformError> {
    if name.len() <= most {
        return Ok(());
    }
    Err(PlatformError::new(
        Class::Invalid,
        format!("render {kind} {name}"),
        format!(
            "the name has {} characters and a {kind} may have {most}: give the resource a shorter metadata.name",
            name.len()
        ),
    ))
}
