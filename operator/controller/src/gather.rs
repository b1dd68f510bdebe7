//! Reads what validation needs beyond the resource, and makes the credentials that nobody gave.

mod others;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::api::ObjectMeta;
use milvus_core::capabilities::Capabilities;
use milvus_core::facts::{Facts, SecretData};
use milvus_core::names::ClusterKey;
use milvus_core::pins;
use milvus_core::rebuild::{self, Origin};
use milvus_core::validate::{self, GeneratedSecretKind};
use milvus_crds::{MilvusCluster, MilvusClusterSpec};
use milvus_platform::{Backend, PlatformError, TunnelCredentials};

use crate::context::{Context, SecretVersion};
use crate::ledger_store::LedgerError;
use crate::reconcile::Memory;
use crate::resource_store::ResourceStore;
use crate::turns::Turn;

/// Key of the fingerprint key in the gateway's Secret.
const FINGERPRINT_KEY: &str = "fingerprint.key";
/// Ten years: the certificates are private to one cluster and its operator, and renewing them restarts gateways.
const CERTIFICATES_LAST: Duration = Duration::from_secs(3650 * 86_400);

/// Letters and digits of a generated credential. No characters that a shell, YAML or URL could read differently.
const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

/// What could not be read or made before a pass.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum GatherError {
    #[error("read Secret {namespace}/{name}")]
    ReadSecret {
        namespace: String,
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("make Secret {namespace}/{name}")]
    MakeSecret {
        namespace: String,
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("remove Secret {namespace}/{name} of an earlier resource")]
    RemoveSecret {
        namespace: String,
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("make certificates for the gateway")]
    Certificates(#[source] milvus_gateway::pki::PkiError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("look at the nodes")]
    Topology(#[source] PlatformError),
    #[error("look at what runs of a cluster without a ledger")]
    Standing(#[source] PlatformError),
    #[error("look at the number of processes")]
    Replicas(#[source] PlatformError),
    /// Not an error of anybody: a new cluster waits.
    #[error(
        "the clusters of namespace {} are not known yet: a new cluster with an external store or etcd starts once they are, so that no two \
         keep their data in one place",
        .namespaces.join(", ")
    )]
    NotListed { namespaces: Vec<String> },
}

/// A Secret's content as it was read, and the version that the watch had shown by then.
#[derive(Clone)]
pub(crate) struct SecretRead {
    version: SecretVersion,
    data: Option<SecretData>,
    /// uid of its owner, where it has one.
    owner: Option<String>,
    /// It is not there any more, and this is its last content.
    kept: bool,
}

impl SecretRead {
    fn of(version: SecretVersion, found: Option<Secret>) -> Self {
        Self {
            version,
            owner: found.as_ref().and_then(owner_uid),
            data: found.map(data_of),
            kept: false,
        }
    }
}

/// Names of all Secrets that a resource needs: referred to, or made for it.
pub(crate) fn secret_names(
    resource: &MilvusCluster,
    capabilities: &Capabilities,
) -> BTreeSet<String> {
    let generated = validate::generated_secrets_needed(resource, capabilities);
    let referenced = validate::secrets_referenced(resource);
    let referenced = referenced.into_iter().map(|(name, _)| name);
    referenced
        .chain(generated.into_iter().map(|g| g.name))
        .collect()
}

/// Names of the Secrets that are made for a resource and outlive it as its data does, by purpose.
pub(crate) fn lasting_secrets(
    resource: &MilvusCluster,
    capabilities: &Capabilities,
) -> BTreeMap<String, String> {
    validate::generated_secrets_needed(resource, capabilities)
        .into_iter()
        .filter_map(|made| {
            let purpose = match made.kind {
                GeneratedSecretKind::MinioCredentials => "minio",
                GeneratedSecretKind::GatewayPki => "gateway",
                // It goes with the resource.
                GeneratedSecretKind::FingerprintKey => return None,
            };
            Some((purpose.to_owned(), made.name))
        })
        .collect()
}

/// Everything that validation and rendering need.
pub(crate) async fn facts<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    key: &ClusterKey,
    resource: &MilvusCluster,
    memory: &mut Memory<B::Native>,
    turn: &mut Turn,
) -> Result<Facts, GatherError> {
    let capabilities = context.backend.capabilities();
    let needed = validate::generated_secrets_needed(resource, capabilities);
    let names = secret_names(resource, capabilities);
    let generated: Vec<String> = needed.iter().map(|g| g.name.clone()).collect();
    memory.secrets.retain(|name, _| names.contains(name));
    let uid = resource.meta().uid.as_deref().unwrap_or_default();
    let mut secrets = BTreeMap::new();
    let mut kept = BTreeSet::new();
    for name in names {
        let mut read = secret(context, &key.namespace, &name, memory.secrets.get(&name)).await?;
        if generated.contains(&name)
            && let Some(owner) = read.owner.take_if(|owner| owner != uid)
        {
            // It is on its way out with an earlier resource of this name.
            remove_secret(&context.client, &key.namespace, &name, owner).await?;
            read.data = None;
        }
        if read.data.is_none()
            && let Some(last) = memory.secrets.get(&name).and_then(|s| s.data.clone())
        {
            // What runs was made with it, so it goes on with it for as long as this is remembered.
            read.data = Some(last);
            read.kept = true;
        }
        if read.kept {
            kept.insert(name.clone());
        }
        if let Some(data) = &read.data {
            secrets.insert(name.clone(), data.clone());
        }
        memory.secrets.insert(name, read);
    }
    for generated in needed {
        let last = match kept.remove(&generated.name) {
            true => secrets.remove(&generated.name),
            false => None,
        };
        if let Entry::Vacant(missing) = secrets.entry(generated.name.clone()) {
            let data = match last {
                // It was made by the operator, so it is made again as it was.
                Some(last) => last.0,
                None => context.seams.credentials.generate(key, &generated.kind)?,
            };
            let owner = owner(&generated.kind, resource);
            let made = NewSecret {
                namespace: &key.namespace,
                name: &generated.name,
                data,
                owner,
            };
            let secret = make_secret(&context.client, made).await?;
            // It is not read again until the watch shows a change of it.
            let read = SecretRead::of(context.secrets.made(&secret), Some(secret));
            if let Some(data) = &read.data {
                missing.insert(data.clone());
            }
            memory.secrets.insert(generated.name, read);
        }
    }
    ledger(context, key, memory).await?;
    let topology = context
        .backend
        .topology()
        .await
        .map_err(GatherError::Topology)?;
    let replicas = context
        .backend
        .replicas(key)
        .await
        .map_err(GatherError::Replicas)?;
    let fingerprint_key = generated
        .iter()
        .filter_map(|name| secrets.get(name))
        .find_map(|s| s.0.get(FINGERPRINT_KEY))
        .cloned()
        .unwrap_or_default();
    let mut facts = Facts {
        secrets,
        kept_secrets: kept,
        ledger: memory.ledger.clone().flatten(),
        replicas,
        topology,
        fingerprint_key,
        gateway_image: context.gateway_image.clone(),
        ..Facts::default()
    };
    let cluster = validate::identity(resource);
    if rebuild::is_due(facts.ledger.as_ref(), &cluster) {
        let standing = context.backend.standing(key).await;
        let standing = standing.map_err(GatherError::Standing)?;
        rebuild::settle(&mut facts, &cluster, &standing, capabilities);
    }
    if memory.ledger_lost && facts.ledger.as_ref().is_some_and(|l| l.owner_uid == uid) {
        facts.origin = Origin::Rebuilt { stored: None };
    }
    let begun = facts.ledger.as_ref().is_some_and(|l| l.owner_uid == uid);
    let beside = others::others(context, key, resource, begun, &facts.topology, turn).await?;
    (facts.others, facts.holds_prefixes) = beside;
    Ok(facts)
}

/// Digests of the images of a cluster that it is not decided for yet whether they are pinned.
pub(crate) async fn digests<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    resource: &MilvusCluster,
    facts: &Facts,
    last_good: Option<&MilvusClusterSpec>,
    turn: &mut Turn,
) -> BTreeMap<String, String> {
    let capabilities = context.backend.capabilities();
    if !capabilities.pins_images {
        return BTreeMap::new();
    }
    let judged = validate::judge(resource, facts, capabilities, last_good);
    let Some(cluster) = judged.cluster else {
        return BTreeMap::new();
    };
    let images = cluster.images();
    let undecided = pins::undecided(&images, facts.ledger.as_ref(), &cluster.cluster.uid);
    if undecided.is_empty() {
        return BTreeMap::new();
    }
    turn.leave(context.backend.digests(&undecided)).await
}

/// Reads the ledger where it is not known, or where another (an import, an admin) has written it since.
pub(crate) async fn ledger<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    key: &ClusterKey,
    memory: &mut Memory<B::Native>,
) -> Result<(), GatherError> {
    let shown = context.resources.shown_ledger(key);
    let changed = shown != memory.ledger_shown;
    let again = changed && shown != memory.ledger_version;
    if memory.ledger.is_some() && !again {
        memory.ledger_shown = shown;
        return Ok(());
    }
    let read = context.ledgers.read(key).await?;
    memory.ledger_shown = shown;
    match (read, &memory.ledger) {
        (Some(read), _) => {
            memory.ledger = Some(Some(read.ledger));
            memory.ledger_version = read.version;
            memory.ledger_going = read.going;
            memory.ledger_lost = false;
        }
        // A ledger that is removed under a running cluster is not forgotten, because its members would be placed anew: it is
        // recorded again.
        (None, Some(Some(_))) => {
            memory.ledger_version = None;
            memory.ledger_lost = true;
        }
        (None, _) => {
            memory.ledger = Some(None);
            memory.ledger_version = None;
        }
    }
    Ok(())
}

/// A Secret, read only when the watch has shown another version than at the last time.
async fn secret<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    namespace: &str,
    name: &str,
    last: Option<&SecretRead>,
) -> Result<SecretRead, GatherError> {
    let version = context.secrets.of(namespace, name);
    if let Some(last) = last
        && last.version == version
        && version != SecretVersion::Unknown
    {
        return Ok(last.clone());
    }
    let found = match version {
        SecretVersion::Absent => None,
        SecretVersion::Unknown | SecretVersion::At(_) => {
            read_secret(&context.client, namespace, name).await?
        }
    };
    Ok(SecretRead::of(version, found))
}

/// uid of the resource that a Secret goes with.
fn owner_uid(secret: &Secret) -> Option<String> {
    let owners = secret.metadata.owner_references.iter().flatten();
    owners
        .filter(|o| o.kind == MilvusCluster::kind(&()))
        .map(|o| o.uid.clone())
        .next()
}

/// The owner of a generated Secret. Credentials of data have none on purpose: they outlive the resource as its data does.
fn owner(kind: &GeneratedSecretKind, resource: &MilvusCluster) -> Option<OwnerReference> {
    match kind {
        GeneratedSecretKind::FingerprintKey => resource.owner_ref(&()),
        GeneratedSecretKind::MinioCredentials | GeneratedSecretKind::GatewayPki => None,
    }
}

async fn read_secret(
    client: &impl ResourceStore,
    namespace: &str,
    name: &str,
) -> Result<Option<Secret>, GatherError> {
    let found = client.secret(namespace, name).await;
    found.map_err(|source| GatherError::ReadSecret {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        source,
    })
}

/// Removes a Secret of an earlier resource, if it still is that one's.
async fn remove_secret(
    client: &impl ResourceStore,
    namespace: &str,
    name: &str,
    owner: String,
) -> Result<(), GatherError> {
    let failed = |source| GatherError::RemoveSecret {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        source,
    };
    let Some(secret) = read_secret(client, namespace, name).await? else {
        return Ok(());
    };
    if owner_uid(&secret) != Some(owner) {
        return Ok(());
    }
    let uid = secret.metadata.uid;
    match client.delete_secret(namespace, name, uid).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map_err(failed),
    }
}

fn data_of(secret: Secret) -> SecretData {
    SecretData(
        secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.0))
            .collect(),
    )
}

/// A Secret to be made.
struct NewSecret<'a> {
    namespace: &'a str,
    name: &'a str,
    data: BTreeMap<String, Vec<u8>>,
    owner: Option<OwnerReference>,
}

/// Stores what was generated. Gives what is stored.
async fn make_secret(
    client: &impl ResourceStore,
    new: NewSecret<'_>,
) -> Result<Secret, GatherError> {
    let NewSecret {
        namespace,
        name,
        data,
        owner,
    } = new;
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            owner_references: owner.map(|owner| vec![owner]),
            labels: Some(
                [(
                    "app.kubernetes.io/managed-by".to_owned(),
                    "milvus-operator".to_owned(),
                )]
                .into(),
            ),
            ..ObjectMeta::default()
        },
        data: Some(data.into_iter().map(|(k, v)| (k, ByteString(v))).collect()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    let stored = match client.create_secret(namespace, &secret).await {
        // Somebody was faster: theirs counts.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let found = client.secret(namespace, name).await;
            found.and_then(|found| found.ok_or(kube::Error::Api(status)))
        }
        made => made,
    };
    stored.map_err(|source| GatherError::MakeSecret {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        source,
    })
}

/// New content of a Secret that the operator generates.
pub(crate) fn generate(
    key: &ClusterKey,
    kind: &GeneratedSecretKind,
) -> Result<BTreeMap<String, Vec<u8>>, GatherError> {
    Ok(match kind {
        GeneratedSecretKind::MinioCredentials => BTreeMap::from([
            ("accesskey".to_owned(), random_text(20).into_bytes()),
            ("secretkey".to_owned(), random_text(40).into_bytes()),
        ]),
        GeneratedSecretKind::FingerprintKey => {
            BTreeMap::from([(FINGERPRINT_KEY.to_owned(), fingerprint_key())])
        }
        GeneratedSecretKind::GatewayPki => {
            let validity = milvus_gateway::pki::Validity {
                from: SystemTime::now(),
                lasts: CERTIFICATES_LAST,
            };
            let pki = milvus_gateway::pki::generate(&key.stack(), validity)
                .map_err(GatherError::Certificates)?;
            BTreeMap::from([
                (
                    "ca.crt".to_owned(),
                    pki.authority.certificate.clone().into_bytes(),
                ),
                ("ca.key".to_owned(), pki.authority.key.clone().into_bytes()),
                (
                    "tls.crt".to_owned(),
                    pki.gateway.certificate.clone().into_bytes(),
                ),
                ("tls.key".to_owned(), pki.gateway.key.clone().into_bytes()),
                (
                    "client.crt".to_owned(),
                    pki.operator.certificate.clone().into_bytes(),
                ),
                (
                    "client.key".to_owned(),
                    pki.operator.key.clone().into_bytes(),
                ),
                (FINGERPRINT_KEY.to_owned(), fingerprint_key()),
            ])
        }
    })
}

fn fingerprint_key() -> Vec<u8> {
    let mut key = vec![0_u8; 32];
    rand::fill(key.as_mut_slice());
    key
}

fn random_text(length: usize) -> String {
    use rand::Rng;
    let mut rng = rand::rng();
    (0..length)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}

/// What the operator shows at the cluster's gateway.
pub(crate) fn tunnel_credentials(facts: &Facts, key: &ClusterKey) -> TunnelCredentials {
    let Some(secret) = facts.secrets.get(&gateway_secret(key)) else {
        return TunnelCredentials::default();
    };
    let text = |name: &str| secret.text(name).unwrap_or_default().to_owned();
    TunnelCredentials {
        ca: text("ca.crt"),
        certificate: text("client.crt"),
        key: text("client.key"),
    }
}

/// Name of the Secret that is generated for a cluster's gateway.
fn gateway_secret(key: &ClusterKey) -> String {
    format!("{}-gateway", key.name)
}
