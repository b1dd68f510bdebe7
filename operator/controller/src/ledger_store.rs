//! Ledgers in the API: one ConfigMap per cluster in a namespace of the operator's own, so that neither deleting the resource
//! nor its namespace loses them.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use milvus_core::ledger::Ledger;
use milvus_core::names::ClusterKey;

/// Where ledgers are kept.
pub(crate) const NAMESPACE: &str = "milvus-system";
/// Where a ledger is in its ConfigMap.
pub(crate) const KEY: &str = "ledger.json";

#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error("read the ledger of {cluster}")]
    Read {
        cluster: ClusterKey,
        #[source]
        source: kube::Error,
    },
    #[error(
        "the ledger of {cluster} (ConfigMap {NAMESPACE}/{name}) is not understood: restore it from an export; nothing is done until then"
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
    #[error("make namespace {NAMESPACE} for ledgers")]
    Namespace(#[source] kube::Error),
}

/// Name of a cluster's ledger. Dots cannot occur in a namespace, so two clusters never share one.
pub(crate) fn name(cluster: &ClusterKey) -> String {
    format!("ledger.{}.{}", cluster.namespace, cluster.name)
}

/// Makes the namespace when it is missing.
pub(crate) async fn ensure_namespace(client: &Client) -> Result<(), LedgerError> {
    let api: Api<Namespace> = Api::all(client.clone());
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

/// Reads a ledger; `None` when there is none.
pub(crate) async fn read(
    client: &Client,
    cluster: &ClusterKey,
) -> Result<Option<Ledger>, LedgerError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let object = api
        .get_opt(&name(cluster))
        .await
        .map_err(|source| LedgerError::Read {
            cluster: cluster.clone(),
            source,
        })?;
    let Some(text) = object.and_then(|o| o.data.and_then(|mut d| d.remove(KEY))) else {
        return Ok(None);
    };
    let parsed = serde_json::from_str(&text);
    parsed.map(Some).map_err(|source| LedgerError::Parse {
        cluster: cluster.clone(),
        name: name(cluster),
        source,
    })
}

/// Writes a ledger. A write that raced with somebody else's is retried on the next pass.
pub(crate) async fn write(
    client: &Client,
    cluster: &ClusterKey,
    ledger: &Ledger,
) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::Write {
        cluster: cluster.clone(),
        source,
    };
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let text = serde_json::to_string(ledger).map_err(|e| failed(kube::Error::SerdeError(e)))?;
    let data = Some([(KEY.to_owned(), text)].into());
    match api.get_opt(&name(cluster)).await.map_err(failed)? {
        Some(mut object) => {
            if object.data == data {
                return Ok(());
            }
            object.data = data;
            api.replace(&object.name_any(), &PostParams::default(), &object)
                .await
                .map_err(failed)?;
        }
        None => {
            let metadata = ObjectMeta {
                name: Some(name(cluster)),
                labels: Some(
                    [(
                        "app.kubernetes.io/managed-by".to_owned(),
                        "milvus-operator".to_owned(),
                    )]
                    .into(),
                ),
                ..ObjectMeta::default()
            };
            let object = ConfigMap {
                metadata,
                data,
                ..ConfigMap::default()
            };
            api.create(&PostParams::default(), &object)
                .await
                .map_err(failed)?;
        }
    }
    Ok(())
}

/// Forgets a ledger.
pub(crate) async fn forget(client: &Client, cluster: &ClusterKey) -> Result<(), LedgerError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    match api.delete(&name(cluster), &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(LedgerError::Write {
            cluster: cluster.clone(),
            source,
        }),
    }
}
