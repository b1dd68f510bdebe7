//! Ledgers in the API: one ConfigMap per cluster, kept where the data is that it tells of.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::ObjectMeta;
use milvus_core::action::Notice;
use milvus_core::ledger::Ledger;
use milvus_core::names::ClusterKey;
use milvus_core::reasons::Reason;

use crate::resource_store::ResourceStore;

/// The namespace of all ledgers under [`Home::System`].
pub(crate) const NAMESPACE: &str = "milvus-system";
/// The label of ledgers, as a selector.
pub(crate) const MANAGED: &str = "app.kubernetes.io/managed-by=milvus-operator";
/// Where a ledger is in its ConfigMap.
pub(crate) const KEY: &str = "ledger.json";

/// The finalizer that keeps a ledger from being deleted by accident, alone or with its namespace.
pub(crate) const KEPT: &str = "operator.milvus.io/ledger";
/// Why a ledger is kept, and what to do instead of deleting it.
pub(crate) const ADVICE: &str = "a ledger says which volumes belong to its cluster, and goes with it: delete the MilvusCluster \
     instead; to forget the volumes of a cluster all the same, take this finalizer off first (kubectl patch configmap NAME \
     -n NAMESPACE --type merge -p '{\"metadata\":{\"finalizers\":null}}')";

/// Why a ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum LedgerError {
    #[error("read the ledger of {cluster}")]
    Read {
        cluster: ClusterKey,
        #[source]
        source: kube::Error,
    },
    #[error(
        "the ledger of {cluster} (ConfigMap {name}) is not understood: restore it from an export; nothing is done until then"
    )]
    Parse {
        cluster: ClusterKey,
        name: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("write the ledger of {cluster}")]
    Write {
        cluster: ClusterKey,
        #[source]
        source: kube::Error,
    },
    #[error(
        "write the ledger of {cluster}: ConfigMap {name} was changed meanwhile; it is read again"
    )]
    Changed { cluster: ClusterKey, name: String },
    #[error("write the ledger of {cluster}: its namespace is being deleted")]
    NamespaceGoes { cluster: ClusterKey },
    #[error("make namespace {NAMESPACE} for ledgers")]
    Namespace(#[source] kube::Error),
}

/// A ledger as it was read.
pub(crate) struct Read {
    pub ledger: Ledger,
    /// The version of its ConfigMap.
    pub version: Option<String>,
    /// Its deletion was asked for; the finalizer holds it.
    pub going: bool,
}

/// Where ledgers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In a namespace of the operator's own: volumes of a container engine belong to no namespace, so deleting one must not
    /// lose the ledgers of what is in it.
    System,
    /// Beside the resource: volume claims go with its namespace, and an operator of few namespaces may write in no other.
    Beside,
}

/// The ledgers of all clusters.
#[derive(Clone)]
pub struct Ledgers<S = Client> {
    client: S,
    home: Home,
}

impl<S: ResourceStore> Ledgers<S> {
    /// The ledgers that are kept in `home`.
    pub fn new(client: S, home: Home) -> Self {
        Self { client, home }
    }

    /// Makes the namespace of ledgers when it is missing.
    pub(crate) async fn ensure_namespace(&self) -> Result<(), LedgerError> {
        match self.namespace() {
            None => Ok(()),
            Some(name) => {
                let made = self.client.ensure_namespace(name).await;
                made.map_err(LedgerError::Namespace)
            }
        }
    }

    /// Whether a ledger is kept from deletion. What is left of a cluster that has gone is not kept beside its claims: these go
    /// with their namespace, which a kept ledger would hold for good.
    fn keeps(&self, ledger: &Ledger) -> bool {
        match self.home {
            Home::System => true,
            Home::Beside => !ledger.owner_uid.is_empty(),
        }
    }

    /// Namespace and name of a cluster's ledger.
    fn place(&self, cluster: &ClusterKey) -> (String, String) {
        match self.home {
            // Dots cannot occur in a namespace, so two clusters never share one.
            Home::System => (
                NAMESPACE.to_owned(),
                format!("ledger.{}.{}", cluster.namespace, cluster.name),
            ),
            Home::Beside => (
                cluster.namespace.clone(),
                format!("{}-ledger", cluster.name),
            ),
        }
    }

    /// Whose ledger a ConfigMap is, by where it is.
    pub(crate) fn cluster_of(&self, namespace: &str, name: &str) -> Option<ClusterKey> {
        let (namespace, name) = match self.home {
            Home::System if namespace == NAMESPACE => {
                name.strip_prefix("ledger.")?.split_once('.')?
            }
            Home::System => return None,
            Home::Beside => (namespace, name.strip_suffix("-ledger")?),
        };
        Some(ClusterKey::new(namespace, name))
    }

    /// The namespace of all ledgers; `None` where each is beside its resource.
    pub(crate) fn namespace(&self) -> Option<&'static str> {
        (self.home == Home::System).then_some(NAMESPACE)
    }

    /// Reads a ledger and its version; `None` when there is none.
    pub(crate) async fn read(&self, cluster: &ClusterKey) -> Result<Option<Read>, LedgerError> {
        let (namespace, name) = self.place(cluster);
        let object = self.client.config_map(&namespace, &name).await;
        let object = object.map_err(|source| LedgerError::Read {
            cluster: cluster.clone(),
            source,
        })?;
        let version = object
            .as_ref()
            .and_then(|o| o.metadata.resource_version.clone());
        let going = object
            .as_ref()
            .is_some_and(|o| o.metadata.deletion_timestamp.is_some());
        let Some(text) = object.and_then(|o| o.data.and_then(|mut d| d.remove(KEY))) else {
            return Ok(None);
        };
        let parsed = serde_json::from_str(&text);
        let ledger = parsed.map_err(|source| LedgerError::Parse {
            cluster: cluster.clone(),
            name: format!("{namespace}/{name}"),
            source,
        })?;
        Ok(Some(Read {
            ledger,
            version,
            going,
        }))
    }

    /// Writes a ledger where none was found: one that has appeared since is a conflict. Gives its version.
    pub(crate) async fn create(
        &self,
        cluster: &ClusterKey,
        ledger: &Ledger,
    ) -> Result<Option<String>, LedgerError> {
        let (namespace, name) = self.place(cluster);
        let managed = ("app.kubernetes.io/managed-by", "milvus-operator");
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name),
                labels: Some([(managed.0.to_owned(), managed.1.to_owned())].into()),
                finalizers: self.keeps(ledger).then(|| vec![KEPT.to_owned()]),
                ..ObjectMeta::default()
            },
            data: data(ledger).map_err(|e| self.unwritten(cluster, e))?,
            ..ConfigMap::default()
        };
        let mut made = self.client.create_config_map(&namespace, &object).await;
        if self.home == Home::System && matches!(&made, Err(kube::Error::Api(s)) if s.code == 404) {
            // Its namespace was deleted while no ledger was in it.
            self.ensure_namespace().await?;
            made = self.client.create_config_map(&namespace, &object).await;
        }
        made.map(|object| object.metadata.resource_version)
            .map_err(|e| self.unwritten(cluster, e))
    }

    fn unwritten(&self, cluster: &ClusterKey, source: kube::Error) -> LedgerError {
        let cluster = cluster.clone();
        match self.home {
            Home::Beside if namespace_goes(&source) => LedgerError::NamespaceGoes { cluster },
            Home::Beside | Home::System => LedgerError::Write { cluster, source },
        }
    }

    /// Writes a ledger over the one that was read in this version. One that was written since is a conflict: it is read again
    /// before anything is decided. Gives its new version.
    pub(crate) async fn write(
        &self,
        cluster: &ClusterKey,
        ledger: &Ledger,
        version: Option<&str>,
    ) -> Result<Option<String>, LedgerError> {
        let failed = |e| self.unwritten(cluster, e);
        let (namespace, name) = self.place(cluster);
        let found = self.client.config_map(&namespace, &name).await;
        let Some(object) = found.map_err(failed)? else {
            return self.create(cluster, ledger).await;
        };
        let data = data(ledger).map_err(failed)?;
        let finalizers = self.finalizers(ledger, &object);
        if object.data == data && object.metadata.finalizers == finalizers {
            return Ok(object.metadata.resource_version);
        }
        if version.is_some() && object.metadata.resource_version.as_deref() != version {
            return Err(LedgerError::Changed {
                cluster: cluster.clone(),
                name: format!("{namespace}/{name}"),
            });
        }
        let going = object.metadata.deletion_timestamp.is_some();
        let mut object = ConfigMap { data, ..object };
        object.metadata.finalizers = finalizers;
        let written = self.client.replace_config_map(&namespace, &object).await;
        let written = written.map_err(failed)?;
        if going && object.metadata.finalizers.is_none() {
            // With its last finalizer it has gone, and what it says is still to be known.
            return self.create(cluster, ledger).await;
        }
        Ok(written.metadata.resource_version)
    }

    /// The finalizers of a ledger that is written over a stored one. To one that goes none can be added.
    fn finalizers(&self, ledger: &Ledger, stored: &ConfigMap) -> Option<Vec<String>> {
        let mut all = stored.metadata.finalizers.clone().unwrap_or_default();
        let going = stored.metadata.deletion_timestamp.is_some();
        let kept = all.iter().any(|finalizer| finalizer == KEPT);
        match self.keeps(ledger) {
            true if !kept && !going => all.push(KEPT.to_owned()),
            true => {}
            false => all.retain(|finalizer| finalizer != KEPT),
        }
        (!all.is_empty()).then_some(all)
    }

    /// Keeps a ledger that an earlier version of the operator has written without the finalizer.
    pub(crate) async fn keep(&self, cluster: &ClusterKey) -> Result<(), LedgerError> {
        match self.read(cluster).await? {
            None => Ok(()),
            Some(read) => {
                let version = read.version.as_deref();
                self.write(cluster, &read.ledger, version).await.map(|_| ())
            }
        }
    }

    /// Forgets a ledger.
    pub(crate) async fn forget(&self, cluster: &ClusterKey) -> Result<(), LedgerError> {
        let (namespace, name) = self.place(cluster);
        match self.client.delete_config_map(&namespace, &name).await {
            Ok(()) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(LedgerError::Write {
                cluster: cluster.clone(),
                source,
            }),
        }
    }
}

/// The ledger as the ConfigMap holds it.
fn data(ledger: &Ledger) -> Result<Option<BTreeMap<String, String>>, kube::Error> {
    let text = serde_json::to_string(ledger).map_err(kube::Error::SerdeError)?;
    Ok(Some([(KEY.to_owned(), text)].into()))
}

/// Whether a write was refused because nothing can be made in a namespace that is being deleted.
fn namespace_goes(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403
        && causes
            .into_iter()
            .any(|c| c.reason == "NamespaceTerminating")
}

/// Says why a ledger whose deletion was asked for is still there.
pub(crate) fn held() -> Notice {
    Notice {
        reason: Reason::LedgerHeld,
        message: format!(
            "the deletion of this cluster's ledger (a ConfigMap) was asked for and is held by its finalizer {KEPT}: {ADVICE}"
        ),
        field: None,
    }
}

#[cfg(test)]
mod tests;
