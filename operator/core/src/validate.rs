//! Parse, don't validate: turns a resource into a [`ValidatedCluster`] with every default filled in, or says everything that
//! is wrong with it at once, each with its path. May read the resource, the facts and the platform's capabilities; writes
//! nothing back. Pure.

mod client_tls;
mod cluster;
mod dependencies;
mod facts;
mod fields;
mod homes;
mod judgement;
mod kafka;
mod native;
mod parts;
mod passthrough;
mod places;
mod queue;
mod roles;
mod secrets;
mod settings;
mod subnets;
mod violations;
mod wiring;

use std::collections::BTreeMap;

use milvus_crds::{DeletionPolicy, MilvusCluster, MilvusClusterSpec, Mode};

use crate::capabilities::Capabilities;
use crate::component::Component;
use crate::config;
use crate::config::settings::Places;
use crate::desired::{Logging, Network};
use crate::facts::Facts;
use crate::names::{ClusterKey, ClusterRef};
use crate::version::{DEFAULT_IMAGE, Features, MilvusVersion};

pub use client_tls::{ClientTls, TlsFile, certificate_keys};
pub use cluster::{
    Credentials, Etcd, EtcdMembers, ExternalEtcd, Gateway, GatewayPki, JavaPart, Part, Pulsar,
    Queue, Secret, Storage, StorageKind, Tls, ValidatedCluster,
};
pub use judgement::{Judgement, judge};
pub use secrets::{
    GeneratedSecret, GeneratedSecretKind, generated_secrets_needed, secrets_referenced,
};
pub use violations::Violation;

use violations::Findings;

/// What every rule may look at.
pub(crate) struct Input<'a> {
    pub(crate) resource: &'a MilvusCluster,
    pub(crate) spec: &'a MilvusClusterSpec,
    pub(crate) facts: &'a Facts,
    pub(crate) capabilities: &'a Capabilities,
    pub(crate) mode: Mode,
    pub(crate) version: MilvusVersion,
    pub(crate) features: Features,
}

/// Understands a resource.
///
/// # Errors
/// Everything that stands in its way, not just the first.
pub fn validate(
    resource: &MilvusCluster,
    facts: &Facts,
    capabilities: &Capabilities,
) -> Result<ValidatedCluster, Vec<Violation>> {
    let (cluster, violations) = understand(resource, facts, capabilities);
    if violations.is_empty() {
        Ok(cluster)
    } else {
        Err(violations)
    }
}

/// What can be understood of a resource, and everything that is wrong with it. Where nothing but facts is wrong the cluster is as
/// the resource asks for, less the content of Secrets that are not there.
fn understand(
    resource: &MilvusCluster,
    facts: &Facts,
    capabilities: &Capabilities,
) -> (ValidatedCluster, Vec<Violation>) {
    let mut findings = Findings::default();
    let spec = &resource.spec;
    let (version, features) = version(spec, &mut findings);
    let input = Input {
        resource,
        spec,
        facts,
        capabilities,
        mode: spec.mode.unwrap_or_default(),
        version,
        features,
    };
    fields::check(&input, &mut findings);
    let places = places(resource, facts);
    settings::check(&input, &places, &mut findings);
    let queue = queue::queue(&input, &mut findings);
    let etcd = dependencies::etcd(&input, &mut findings);
    let storage = dependencies::storage(&input, &places, &mut findings);
    let roles = roles::roles(&input, queue.kind(), &mut findings);
    let gateway = roles::gateway(&input, &mut findings);
    let serving = roles::serving(&input, &mut findings);
    let external = matches!(etcd, Etcd::External(_))
        || matches!(storage.kind, StorageKind::External { .. })
        || matches!(
            queue,
            Queue::ExternalPulsar { .. }
                | Queue::ExternalKafka { .. }
                | Queue::ExternalWoodpecker { .. }
        );
    let client_tls = client_tls::client_tls(&input, &mut findings);
    let subnets = subnets::subnets(&input, &mut findings);
    let mut cluster = ValidatedCluster {
        cluster: identity(resource),
        mode: input.mode,
        version,
        features,
        roles,
        etcd,
        storage,
        queue,
        config: config::settings::layer(&spec.config),
        places,
        hook_config: spec.hook_config.clone(),
        client_port: serving.port,
        client_tls,
        service_type: serving.service_type,
        ingress: serving.ingress,
        gateway,
        network: Network {
            internal: !external,
            mtu: spec.swarm.mtu.and_then(|mtu| u32::try_from(mtu).ok()),
            subnet: subnets.backend,
        },
        frontend_subnet: subnets.frontend,
        logging: logging(&input),
        deletion: deletion(spec),
        passthrough: BTreeMap::new(),
        adopt: spec.adopt,
        notices: Vec::new(),
    };
    settings::contradictions(&input, &cluster, &mut findings);
    cluster.passthrough = passthrough::passthrough(&input, &cluster, &mut findings);
    fields::placement_of_nobody(&input, &cluster, &mut findings);
    facts::check(&input, &cluster, &mut findings);
    secrets::kept(&input, &mut findings);
    cluster.notices = findings.notices;
    (cluster, findings.violations)
}

/// Where Milvus keeps its metadata and objects.
fn places(resource: &MilvusCluster, facts: &Facts) -> Places {
    let cluster = identity(resource);
    let ledger = facts.ledger.as_ref();
    let ours = ledger.filter(|ledger| ledger.owner_uid == cluster.uid || resource.spec.adopt);
    match ours.and_then(|ledger| ledger.fixed.as_ref()) {
        Some(made) => Places::of_made(&resource.spec, &cluster.key, made),
        None => Places::of(&resource.spec, &cluster.key),
    }
}

/// The key, uid and generation of a resource.
pub fn identity(resource: &MilvusCluster) -> ClusterRef {
    let meta = &resource.metadata;
    ClusterRef {
        key: ClusterKey::new(
            meta.namespace.clone().unwrap_or_else(|| "default".into()),
            meta.name.clone().unwrap_or_default(),
        ),
        uid: meta.uid.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
    }
}

/// What happens to the volumes of each component when the resource is deleted. Needs no valid resource.
pub fn deletion(spec: &MilvusClusterSpec) -> BTreeMap<Component, DeletionPolicy> {
    let default = spec.deletion_policy.unwrap_or_default();
    let of = |own: Option<DeletionPolicy>| own.unwrap_or(default);
    let dependencies = &spec.dependencies;
    let pulsar = of(dependencies.pulsar.in_cluster.deletion_policy);
    BTreeMap::from([
        (
            Component::Etcd,
            of(dependencies.etcd.in_cluster.deletion_policy),
        ),
        (
            Component::Minio,
            of(dependencies.storage.in_cluster.deletion_policy),
        ),
        (Component::Zookeeper, pulsar),
        (Component::Bookkeeper, pulsar),
        (Component::Standalone, default),
    ])
}

/// The version in force. What cannot be read is refused, and the tested version stands in for the rest of the rules.
fn version(spec: &MilvusClusterSpec, findings: &mut Findings) -> (MilvusVersion, Features) {
    let components = &spec.components;
    let (field, version) = match &components.version {
        Some(text) => ("spec.components.version", MilvusVersion::parse(text)),
        None => (
            "spec.components.image",
            MilvusVersion::from_image(components.image.as_deref().unwrap_or(DEFAULT_IMAGE)),
        ),
    };
    match version.and_then(|version| Ok((version, version.features()?))) {
        Ok(known) => known,
        Err(error) => {
            findings.invalid(field, error.to_string());
            tested_version()
        }
    }
}

fn tested_version() -> (MilvusVersion, Features) {
    let version = MilvusVersion::new(2, 3, 5);
    (version, version.features_of_known())
}

/// Swarm keeps every line that a container ever wrote unless told otherwise.
fn logging(input: &Input<'_>) -> Option<Logging> {
    if input.capabilities.escape_hatch != "swarm" {
        return None;
    }
    let asked = input.spec.swarm.logging.clone().unwrap_or_default();
    let driver = asked.driver.unwrap_or_else(|| "json-file".to_owned());
    let mut options = asked.options;
    if options.is_empty() && driver == "json-file" {
        options = BTreeMap::from([
            ("max-file".to_owned(), "3".to_owned()),
            ("max-size".to_owned(), "100m".to_owned()),
        ]);
    }
    Some(Logging { driver, options })
}

#[cfg(test)]
mod tests;
