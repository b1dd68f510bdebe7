//! Reads everything that belongs into an export.

use std::collections::BTreeSet;

use kube::api::ListParams;
use kube::{Client, ResourceExt};
use milvus_core::ledger::Ledger;
use milvus_core::validate::{generated_secrets_needed, secrets_referenced};
use milvus_crds::MilvusCluster;
use serde_json::Value;

use super::{TransferError, api, portable, resource, what};
use crate::ledger_store;

/// Names of Secrets, with their namespaces.
pub(super) type SecretNames = BTreeSet<(String, String)>;

/// What was read.
pub(super) struct Collected {
    /// In the order in which it can be created.
    pub items: Vec<Value>,
    clusters: usize,
    ledgers: usize,
    secrets: usize,
    /// Needed, but not in the store.
    missing: Vec<String>,
    /// Needed and left out.
    left_out: Vec<String>,
    /// On their way out.
    deleted: Vec<String>,
    /// ConfigMaps and Secrets that no cluster refers to.
    unrelated: Vec<String>,
}

/// Names of what is left out that are printed.
const NAMED: usize = 10;

impl Collected {
    /// For people.
    pub(super) fn summary(&self, include_secrets: bool) -> String {
        let mut text = format!(
            "exported {} clusters, {} ledgers, {} Secrets\n",
            self.clusters, self.ledgers, self.secrets
        );
        if include_secrets && self.secrets > 0 {
            text.push_str(
                "warning: the file holds credentials in clear: keep it as you keep passwords\n",
            );
        }
        if !self.left_out.is_empty() {
            text.push_str(&format!(
                "warning: Secrets are left out ({}): without them the clusters cannot open their data; keep them elsewhere or add \
                 --include-secrets\n",
                self.left_out.join(", ")
            ));
        }
        if !self.missing.is_empty() {
            text.push_str(&format!(
                "warning: Secrets that clusters refer to are not there: {}\n",
                self.missing.join(", ")
            ));
        }
        if !self.deleted.is_empty() {
            text.push_str(&format!(
                "left out, because they are being deleted: {}\n",
                self.deleted.join(", ")
            ));
        }
        if !self.unrelated.is_empty() {
            let named = self.unrelated.iter().take(NAMED).cloned();
            let mut named = named.collect::<Vec<_>>().join(", ");
            if self.unrelated.len() > NAMED {
                named.push_str(&format!(" and {} more", self.unrelated.len() - NAMED));
            }
            text.push_str(&format!(
                "left out, because no cluster refers to them: {named}; copy them with kubectl get -o yaml\n"
            ));
        }
        text
    }
}

/// The Secrets that a cluster needs.
pub(super) fn secrets_of(cluster: &MilvusCluster) -> SecretNames {
    let namespace = cluster.namespace().unwrap_or_else(|| "default".to_owned());
    let named = secrets_referenced(cluster)
        .into_iter()
        .map(|(name, _)| name);
    let made = generated_secrets_needed(cluster, &milvus_swarm::CAPABILITIES)
        .into_iter()
        .map(|secret| secret.name);
    named
        .chain(made)
        .map(|name| (namespace.clone(), name))
        .collect()
}

/// Reads the store.
pub(super) async fn collect(
    client: &Client,
    include_secrets: bool,
) -> Result<Collected, TransferError> {
    let mut namespaces = BTreeSet::new();
    let mut needed = SecretNames::new();
    let mut deleted = Vec::new();
    let mut clusters = Vec::new();
    for object in list(client, milvus_crds::KIND, None).await? {
        if object
            .pointer("/metadata/deletionTimestamp")
            .is_some_and(|time| !time.is_null())
        {
            deleted.push(what(&object));
            continue;
        }
        let typed: MilvusCluster =
            serde_json::from_value(object.clone()).map_err(|source| TransferError::Object {
                what: what(&object),
                source,
            })?;
        needed.extend(secrets_of(&typed));
        namespaces.extend(typed.namespace());
        clusters.push(portable(&object));
    }
    let mut ledgers = Vec::new();
    for object in list(client, "ConfigMap", Some(ledger_store::NAMESPACE)).await? {
        let Some((namespace, _)) = cluster_of(&object) else {
            continue;
        };
        let ledger = ledger_in(&object)?;
        // Also those of clusters that are gone: their volumes are there, and their credentials open them.
        needed.extend(
            ledger
                .generated_secrets
                .into_values()
                .map(|name| (namespace.clone(), name)),
        );
        namespaces.insert(namespace);
        namespaces.insert(ledger_store::NAMESPACE.to_owned());
        ledgers.push(portable(&object));
    }
    let (mut secrets, mut missing, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    let wanted = needed.clone();
    for (namespace, name) in needed {
        let full = format!("{namespace}/{name}");
        match get(client, "Secret", Some(&namespace), &name).await? {
            None => missing.push(full),
            Some(secret) if include_secrets => {
                namespaces.insert(namespace);
                secrets.push(portable(&secret));
            }
            Some(_) => left_out.push(full),
        }
    }
    let mut unrelated = Vec::new();
    for kind in ["ConfigMap", "Secret"] {
        for object in list(client, kind, None).await? {
            let text = |pointer: &str| {
                let found = object.pointer(pointer).and_then(Value::as_str);
                found.unwrap_or_default().to_owned()
            };
            let place = (text("/metadata/namespace"), text("/metadata/name"));
            let related = match kind {
                "Secret" => wanted.contains(&place),
                _ => cluster_of(&object).is_some(),
            };
            if !related {
                unrelated.push(what(&object));
            }
        }
    }
    let mut items = Vec::new();
    for namespace in namespaces {
        if let Some(object) = get(client, "Namespace", None, &namespace).await? {
            let mut object = portable(&object);
            // A namespace's spec holds nothing but the server's own finalizer.
            object.as_object_mut().map(|fields| fields.remove("spec"));
            items.push(object);
        }
    }
    let counts = (clusters.len(), ledgers.len(), secrets.len());
    items.extend(secrets.into_iter().chain(ledgers).chain(clusters));
    Ok(Collected {
        items,
        clusters: counts.0,
        ledgers: counts.1,
        secrets: counts.2,
        missing,
        left_out,
        deleted,
        unrelated,
    })
}

/// Namespace and name of the cluster that a ConfigMap is the ledger of.
pub(super) fn cluster_of(object: &Value) -> Option<(String, String)> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    if text("/kind")? != "ConfigMap" || text("/metadata/namespace")? != ledger_store::NAMESPACE {
        return None;
    }
    let (namespace, name) = text("/metadata/name")?
        .strip_prefix("ledger.")?
        .split_once('.')?;
    Some((namespace.to_owned(), name.to_owned()))
}

/// The ledger in a ConfigMap.
pub(super) fn ledger_in(object: &Value) -> Result<Ledger, TransferError> {
    let text = object
        .pointer("/data")
        .and_then(|data| data.get(ledger_store::KEY))
        .and_then(Value::as_str);
    serde_json::from_str(text.unwrap_or_default()).map_err(|source| TransferError::Ledger {
        what: what(object),
        source,
    })
}

async fn list(
    client: &Client,
    kind: &'static str,
    namespace: Option<&str>,
) -> Result<Vec<Value>, TransferError> {
    let failed = |source| TransferError::Api {
        operation: "list",
        what: kind.to_owned(),
        source,
    };
    let Some(resource) = resource(kind) else {
        return Ok(Vec::new());
    };
    let found = api(client, &resource, namespace)
        .list(&ListParams::default())
        .await
        .map_err(failed)?;
    found
        .items
        .into_iter()
        .map(|object| value_of(&resource, object))
        .collect()
}

/// One object as plain JSON; `None` when it is not there.
pub(super) async fn get(
    client: &Client,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<Value>, TransferError> {
    let Some(resource) = resource(kind) else {
        return Ok(None);
    };
    let found = api(client, &resource, namespace).get_opt(name).await;
    let found = found.map_err(|source| TransferError::Api {
        operation: "read",
        what: format!("{kind} {name}"),
        source,
    })?;
    found.map(|object| value_of(&resource, object)).transpose()
}

fn value_of(
    resource: &kube::core::ApiResource,
    object: kube::core::DynamicObject,
) -> Result<Value, TransferError> {
    let name = object.name_any();
    let failed = |source| TransferError::Object {
        what: format!("{} {name}", resource.kind),
        source,
    };
    let mut value = serde_json::to_value(object).map_err(failed)?;
    // Items of a list come without these.
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".to_owned(), resource.api_version.clone().into());
        fields.insert("kind".to_owned(), resource.kind.clone().into());
    }
    Ok(value)
}
