//! What a cluster should be: turns a validated resource and its ledger into platform-neutral workloads, files and checks.
//! Infallible: whatever could go wrong was refused in validation. Pure.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::capabilities::Capabilities;
use crate::component::{Component, WorkloadKey};
use crate::components::{self, BROKER_PORT, ETCD_PORT, MINIO_PORT};
use crate::config;
use crate::desired::{
    Desired, Endpoint, EndpointTls, File, FileMount, FileSource, Member, Network, SecretFile,
    Sessions, Shape, Store, Workload,
};
use crate::facts::Facts;
use crate::ledger::{Ledger, MemberEntry};
use crate::names::Incarnation;
use crate::pins;
use crate::probe::{Probe, ProbeKind, ProbeTarget, S3Access};
use crate::validate::{Etcd, Part, Queue, Secret, StorageKind, ValidatedCluster};

/// The network that every process joins.
pub const BACKEND: &str = "backend";
/// The network that only the gateway joins, beside the backend: the way in.
pub const FRONTEND: &str = "frontend";

/// What the components are made from, and the files that they leave here.
pub(crate) struct Context<'a> {
    pub(crate) cluster: &'a ValidatedCluster,
    pub(crate) ledger: &'a Ledger,
    capabilities: &'a Capabilities,
    fingerprint_key: &'a [u8],
    configs: BTreeMap<String, File>,
    secrets: BTreeMap<String, SecretFile>,
}

impl Context<'_> {
    /// The host names of a part's members, in order.
    pub(crate) fn hosts(&self, part: &Part) -> Vec<String> {
        part.keys().into_iter().map(|key| self.host(key)).collect()
    }

    /// The host name of one workload.
    pub(crate) fn host(&self, key: WorkloadKey) -> String {
        self.capabilities
            .addressing
            .host(&self.cluster.cluster.key, key)
    }

    /// The host names of a component's members, with this text where the ordinal belongs.
    pub(crate) fn members(&self, component: Component, ordinal: &str) -> String {
        self.capabilities
            .addressing
            .members(&self.cluster.cluster.key, component, ordinal)
    }

    /// The name that stands for all instances of a component.
    pub(crate) fn service(&self, component: Component) -> String {
        self.host(WorkloadKey::shared(component))
    }

    /// The name under which others reach a part: its own where it is alone, else the one that stands for all.
    pub(crate) fn entry_point(&self, part: &Part) -> String {
        match part.keys().as_slice() {
            [only] => self.host(*only),
            _ => self.service(part.component),
        }
    }

    /// The members of a part, but those that have no place yet: they could only be started where their data is not.
    pub(crate) fn placed(&self, part: &Part) -> impl Iterator<Item = WorkloadKey> {
        part.keys()
            .into_iter()
            .filter(|key| !self.capabilities.places_members || self.ledger.member(*key).is_some())
    }

    /// The shape of a part, with the places of its members from the ledger.
    pub(crate) fn shape(&self, part: &Part) -> Shape {
        if !part.has_members() {
            return Shape::Replicated {
                replicas: part.replicas,
                externally_scaled: part.externally_scaled,
            };
        }
        let members = self
            .placed(part)
            .map(|key| {
                let entry = self.ledger.member(key);
                Member {
                    ordinal: key.ordinal.unwrap_or_default(),
                    node: entry.map(|e| e.node.clone()).filter(|n| !n.is_empty()),
                    incarnation: entry.map_or(
                        Incarnation {
                            mark: None,
                            epoch: 1,
                        },
                        MemberEntry::incarnation,
                    ),
                }
            })
            .collect();
        Shape::Members { members }
    }

    /// The networks of a component.
    pub(crate) fn networks_of(&self, component: Component) -> Vec<String> {
        if component == Component::Gateway {
            vec![BACKEND.to_owned(), FRONTEND.to_owned()]
        } else {
            vec![BACKEND.to_owned()]
        }
    }

    /// Adds a readable file.
    pub(crate) fn config(&mut self, name: &str, content: String) {
        self.configs.insert(name.to_owned(), File { content });
    }

    /// Adds a file that must not be shown.
    pub(crate) fn secret(&mut self, name: &str, content: &Secret) {
        let file = SecretFile {
            fingerprint: fingerprint(self.fingerprint_key, content.0.as_bytes()),
            content: content.0.clone().into_bytes(),
        };
        self.secrets.insert(name.to_owned(), file);
    }

    fn milvus_files(&mut self) {
        let user_yaml = config::milvus::user_yaml(self);
        self.secret("user-yaml", &Secret(user_yaml));
        if let Some(hook_yaml) = config::milvus::hook_yaml(self.cluster) {
            self.secret("hook-yaml", &Secret(hook_yaml));
        }
        let cluster = self.cluster;
        if let Etcd::External(etcd) = &cluster.etcd
            && let Some(tls) = &etcd.tls
        {
            self.config("etcd-ca", tls.ca.0.clone());
            if let Some(client) = &tls.client {
                self.config("etcd-crt", client.user.0.clone());
                self.secret("etcd-key", &client.password);
            }
        }
        for file in cluster.client_tls.iter().flat_map(|tls| &tls.files) {
            self.secret(file.name, &file.content);
        }
        if let Queue::ExternalKafka { access, .. } = &cluster.queue
            && let Some(ca) = &access.ca
        {
            self.config("kafka-ca", ca.0.clone());
        }
    }
}

/// A readable file at a path.
pub(crate) fn file(name: &str, path: &str) -> FileMount {
    FileMount {
        source: FileSource::Config(name.to_owned()),
        path: path.to_owned(),
        mode: 0o444,
    }
}

/// A secret file at a path. Readable for whatever user the image runs as: nobody else is in the container.
pub(crate) fn secret_file(name: &str, path: &str) -> FileMount {
    FileMount {
        source: FileSource::Secret(name.to_owned()),
        path: path.to_owned(),
        mode: 0o444,
    }
}

/// HMAC-SHA-256 in hex: two equal contents have one name, and the name tells nothing of the content.
fn fingerprint(key: &[u8], content: &[u8]) -> String {
    // A key of any length is taken, so the other arm is never reached; it must not name the content either.
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(hmac) => hex::encode(hmac.chain_update(content).finalize().into_bytes()),
        Err(_) => String::new(),
    }
}

/// Everything that the cluster should consist of. Equal input gives equal output.
pub fn desire(
    cluster: &ValidatedCluster,
    ledger: &Ledger,
    facts: &Facts,
    capabilities: &Capabilities,
) -> Desired {
    let mut context = Context {
        cluster,
        ledger,
        capabilities,
        fingerprint_key: &facts.fingerprint_key,
        configs: BTreeMap::new(),
        secrets: BTreeMap::new(),
    };
    context.milvus_files();
    let mut workloads: Vec<Workload> = Component::ALL
        .into_iter()
        .filter_map(|component| components::workload(component, &mut context))
        .collect();
    if capabilities.pins_images {
        for workload in &mut workloads {
            let image = &mut workload.image.reference;
            *image = pins::pinned(image, ledger);
        }
    }
    let mut networks = BTreeMap::from([(BACKEND.to_owned(), cluster.network.clone())]);
    if cluster.gateway.is_some() {
        networks.insert(
            FRONTEND.to_owned(),
            Network {
                internal: false,
                mtu: cluster.network.mtu,
                subnet: cluster.frontend_subnet,
            },
        );
    }
    let sessions = components::sessions_probe(&context).map(|probe| {
        let mut expected = BTreeMap::new();
        for (role, count) in components::sessions(&context) {
            let known: &mut u32 = expected.entry(role.to_owned()).or_default();
            *known = (*known).max(count);
        }
        Sessions { probe, expected }
    });
    let serving = if cluster.roles.contains_key(&Component::Standalone) {
        Component::Standalone
    } else {
        Component::Proxy
    };
    Desired {
        cluster: cluster.cluster.clone(),
        version: cluster.version.to_string(),
        networks,
        workloads,
        endpoint: Endpoint {
            port: cluster
                .gateway
                .as_ref()
                .map_or(cluster.client_port, |gateway| gateway.port),
            component: serving,
            service_type: cluster.service_type.clone(),
            ingress: cluster.ingress.clone(),
            asked: capabilities.wire_checks,
            tls: match &cluster.client_tls {
                None => EndpointTls::None,
                Some(tls) if tls.mutual => EndpointTls::Mutual,
                Some(_) => EndpointTls::Server,
            },
        },
        logging: cluster.logging.clone(),
        external: external(cluster),
        sessions: sessions.filter(|_| capabilities.wire_checks),
        stores: stores(cluster),
        scaled_pods: cluster
            .roles
            .get(&Component::QueryNode)
            .and_then(|_| capabilities.pod_selector(&cluster.cluster.key, Component::QueryNode)),
        passthrough: cluster.passthrough.clone(),
        configs: context.configs,
        secrets: context.secrets,
    }
}

/// The stores that the cluster runs for itself.
fn stores(cluster: &ValidatedCluster) -> BTreeMap<Component, Store> {
    let mut stores = BTreeMap::new();
    if let Etcd::InCluster(_) = &cluster.etcd {
        let store = Store {
            port: ETCD_PORT,
            bucket: None,
        };
        stores.insert(Component::Etcd, store);
    }
    if let (StorageKind::Minio { .. }, Some(keys)) =
        (&cluster.storage.kind, &cluster.storage.credentials)
    {
        let store = Store {
            port: MINIO_PORT,
            bucket: Some(S3Access {
                bucket: cluster.storage.bucket.clone(),
                region: None,
                keys: keys.clone(),
            }),
        };
        stores.insert(Component::Minio, store);
    }
    stores
}

/// Dependencies that somebody else runs, by the component that each of them stands for.
fn external(cluster: &ValidatedCluster) -> BTreeMap<Component, Probe> {
    let mut external = BTreeMap::new();
    if let Etcd::External(etcd) = &cluster.etcd {
        // Behind TLS no more than a connection can be asked for without the client's own certificate.
        let kind = if etcd.tls.is_some() {
            ProbeKind::Tcp { port: ETCD_PORT }
        } else {
            ProbeKind::Etcd { port: ETCD_PORT }
        };
        let target = ProbeTarget::External(etcd.endpoints.clone());
        external.insert(Component::Etcd, Probe { kind, target });
    }
    if let StorageKind::External {
        host,
        port,
        tls,
        region,
        cloud_provider,
    } = &cluster.storage.kind
    {
        let keys = cluster.storage.credentials.clone();
        let access = keys
            .filter(|_| cloud_provider.is_none())
            .map(|keys| S3Access {
                bucket: cluster.storage.bucket.clone(),
                region: region.clone(),
                keys,
            });
        let kind = ProbeKind::S3 { access, tls: *tls };
        let target = ProbeTarget::External(vec![format!("{host}:{port}")]);
        external.insert(Component::Minio, Probe { kind, target });
    }
    let brokers = match &cluster.queue {
        Queue::ExternalPulsar { host, port, .. } => Some((
            ProbeKind::Tcp { port: BROKER_PORT },
            vec![format!("{host}:{port}")],
        )),
        Queue::ExternalKafka { brokers, access } => {
            let access = access.clone();
            Some((ProbeKind::Kafka { access }, brokers.clone()))
        }
        Queue::ExternalWoodpecker { pools } => Some((
            ProbeKind::Tcp { port: BROKER_PORT },
            pools.iter().flat_map(|pool| pool.seeds.clone()).collect(),
        )),
        Queue::Pulsar(_) | Queue::Rocksmq | Queue::Woodpecker => None,
    };
    if let Some((kind, addresses)) = brokers {
        let target = ProbeTarget::External(addresses);
        external.insert(Component::Broker, Probe { kind, target });
    }
    external
}

#[cfg(test)]
mod tests;
