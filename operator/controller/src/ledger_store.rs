//! Ledgers in the API: one ConfigMap per cluster, kept where the data is that it tells of.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use milvus_core::ledger::Ledger;
use milvus_core::names::ClusterKey;

use crate::resource_store::ResourceStore;

/// The namespace of all ledgers under [`Home::System`].
pub(crate) const NAMESPACE: &str = "milvus-system";
/// The label of ledgers, as a selector.
pub(crate) const MANAGED: &str = "app.kubernetes.io/managed-by=milvus-operator";
/// Where a ledger is in its ConfigMap.
pub(crate) const KEY: &str = "ledger.json";

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

impl Ledgers {
    /// Makes the namespace of ledgers when it is missing.
    pub(crate) async fn ensure_namespace(&self) -> Result<(), LedgerError> {
        if self.home == Home::Beside {
            return Ok(());
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        if api
            .get_opt(NAMESPACE)
            .await
            .map_err(LedgerError::Namespace)?
            .is_some()
        {
            return Ok(());
        }
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        match api.create(&PostParams::default(), &namespace).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(LedgerError::Namespace(error)),
        }
    }
}

impl<S: ResourceStore> Ledgers<S> {
    /// The ledgers that are kept in `home`.
    pub fn new(client: S, home: Home) -> Self {
        Self { client, home }
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
        let Some(text) = object.and_then(|o| o.data.and_then(|mut d| d.remove(KEY))) else {
            return Ok(None);
        };
        let parsed = serde_json::from_str(&text);
        let ledger = parsed.map_err(|source| LedgerError::Parse {
            cluster: cluster.clone(),
            name: format!("{namespace}/{name}"),
            source,
        })?;
        Ok(Some(Read { ledger, version }))
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
                ..ObjectMeta::default()
            },
            data: data(ledger).map_err(|e| unwritten(cluster, e))?,
            ..ConfigMap::default()
        };
        let made = self.client.create_config_map(&namespace, &object).await;
        made.map(|object| object.metadata.resource_version)
            .map_err(|e| unwritten(cluster, e))
    }

    /// Writes a ledger over the one that was read in this version. One that was written since is a conflict: it is read again
    /// before anything is decided. Gives its new version.
    pub(crate) async fn write(
        &self,
        cluster: &ClusterKey,
        ledger: &Ledger,
        version: Option<&str>,
    ) -> Result<Option<String>, LedgerError> {
        let failed = |e| unwritten(cluster, e);
        let (namespace, name) = self.place(cluster);
        let found = self.client.config_map(&namespace, &name).await;
        let Some(object) = found.map_err(failed)? else {
            return self.create(cluster, ledger).await;
        };
        let data = data(ledger).map_err(failed)?;
        if object.data == data {
            return Ok(object.metadata.resource_version);
        }
        if version.is_some() && object.metadata.resource_version.as_deref() != version {
            return Err(LedgerError::Changed {
                cluster: cluster.clone(),
                name: format!("{namespace}/{name}"),
            });
        }
        let object = ConfigMap { data, ..object };
        let written = self.client.replace_config_map(&namespace, &object).await;
        written
            .map(|object| object.metadata.resource_version)
            .map_err(failed)
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

fn unwritten(cluster: &ClusterKey, source: kube::Error) -> LedgerError {
    let cluster = cluster.clone();
    match namespace_goes(&source) {
        true => LedgerError::NamespaceGoes { cluster },
        false => LedgerError::Write { cluster, source },
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ledger_is_found_again_by_its_place() {
        let config = kube::Config::new("http://127.0.0.1:1".parse().expect("a URL"));
        let client = Client::try_from(config).expect("a client");
        let key = ClusterKey::new("team-a", "demo");
        for home in [Home::System, Home::Beside] {
            let ledgers = Ledgers::new(client.clone(), home);
            let (namespace, name) = ledgers.place(&key);
            assert_eq!(ledgers.cluster_of(&namespace, &name), Some(key.clone()));
            assert_eq!(ledgers.cluster_of("elsewhere", "other"), None);
        }
    }

    #[test]
    fn a_namespace_that_goes_is_told_from_other_refusals() {
        let answer = |reason: &str| -> kube::Error {
            let status = serde_json::json!({
                "status": "Failure", "message": "forbidden", "reason": "Forbidden", "code": 403,
                "details": {"name": "demo-ledger", "kind": "configmaps", "causes": [
                    {"reason": reason, "message": "namespace d is being terminated", "field": "metadata.namespace"}]}});
            kube::Error::Api(Box::new(serde_json::from_value(status).expect("a status")))
        };
        assert!(namespace_goes(&answer("NamespaceTerminating")));
        assert!(!namespace_goes(&answer("SomethingElse")));
    }
}
