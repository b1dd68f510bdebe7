//! What outlives the operator, in memory behind the same seam as an API server: the resource, its ledger, Secrets, events. Like
//! the platform it may refuse a call, or do it and lose the answer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Resource, ResourceExt};
use milvus_core::ledger::Ledger;
use milvus_core::status::EventNote;
use milvus_crds::{MilvusCluster, MilvusClusterStatus};
use milvus_operator::{ORPHAN, ResourceStore};
use rand::Rng;
use serde_json::json;

use crate::faults::Fault;
use crate::seat::{Seat, Seated};
use crate::world::World;

/// Where a ledger is in its ConfigMap.
const KEY: &str = "ledger.json";
/// Annotation that gives up nodes.
const ABANDON_NODE: &str = "operator.milvus.io/abandon-node";

/// How often a pass finds a watch behind: it shows what it showed to the pass before. In percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lag {
    /// The watch of resources.
    pub resource: u32,
    /// That of ledgers.
    pub ledger: u32,
    /// That of Secrets.
    pub secrets: u32,
}

/// What outlives the operator: the resource, the ledger, Secrets.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// The resource; gone once its last finalizer was dropped.
    pub resource: Option<MilvusCluster>,
    /// The ledger.
    pub ledger: Option<Ledger>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Secret>,
    /// Times that a ledger was written.
    pub ledger_writes: u32,
    /// Times that a status was written.
    pub status_writes: u32,
    /// Times that a Secret was made or removed.
    pub secret_writes: u32,
    /// Every event told.
    pub events: Vec<EventNote>,
    /// The deletion asked for everything to stay.
    pub orphan: bool,
    /// Nodes given up by annotation.
    pub abandoned: BTreeSet<String>,
    /// How far its watches are behind.
    pub lag: Lag,
    /// Moves with every write.
    version: u64,
    /// Version of the ledger.
    ledger_version: u64,
    /// The ledger of that version: one that differs was put there, or taken away, by hand.
    ledger_seen: Option<Ledger>,
}

impl Store {
    fn next(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Puts what a test asked for into the resource, as a hand would.
    pub(crate) fn mirror(&mut self) {
        if self.ledger != self.ledger_seen {
            self.ledger_version = self.next();
            self.ledger_seen = self.ledger.clone();
        }
        let version = self.next();
        let Some(resource) = &mut self.resource else {
            return;
        };
        let meta = resource.meta_mut();
        meta.resource_version = Some(version.to_string());
        let finalizers = meta.finalizers.get_or_insert_default();
        finalizers.retain(|f| f != ORPHAN);
        if self.orphan && meta.deletion_timestamp.is_some() {
            finalizers.push(ORPHAN.to_owned());
        }
        let nodes: Vec<&str> = self.abandoned.iter().map(String::as_str).collect();
        if !nodes.is_empty() {
            let annotations = meta.annotations.get_or_insert_default();
            annotations.insert(ABANDON_NODE.to_owned(), nodes.join(","));
        }
    }

    /// The version of the ledger, as a watch shows it; `None` when there is none.
    pub(crate) fn ledger_version(&self) -> Option<String> {
        self.ledger.as_ref()?;
        Some(self.ledger_version.to_string())
    }

    /// The versions of all Secrets, as a watch shows them.
    pub(crate) fn secret_versions(&self) -> BTreeMap<(String, String), String> {
        let secrets = self.secrets.values();
        secrets
            .map(|s| {
                let key = (s.namespace().unwrap_or_default(), s.name_any());
                (key, s.resource_version().unwrap_or_default())
            })
            .collect()
    }

    fn ledger_map(&self, namespace: &str, name: &str) -> Option<ConfigMap> {
        let text = serde_json::to_string(self.ledger.as_ref()?).ok()?;
        let mut object = ConfigMap {
            data: Some([(KEY.to_owned(), text)].into()),
            ..ConfigMap::default()
        };
        object.metadata.namespace = Some(namespace.to_owned());
        object.metadata.name = Some(name.to_owned());
        object.metadata.resource_version = Some(self.ledger_version.to_string());
        Some(object)
    }

    /// Another client writes a Secret of this name; whether there is one.
    pub fn edit_secret(&mut self, name: &str, edit: impl FnOnce(&mut Secret)) -> bool {
        let version = self.next().to_string();
        let Some(secret) = self.secrets.get_mut(name) else {
            return false;
        };
        edit(secret);
        secret.metadata.resource_version = Some(version);
        true
    }

    fn keep_ledger(&mut self, world: &mut World, object: &ConfigMap) -> Result<(), kube::Error> {
        let text = object.data.as_ref().and_then(|data| data.get(KEY));
        let text = text.map(String::as_str).unwrap_or_default();
        let ledger: Ledger = serde_json::from_str(text).map_err(kube::Error::SerdeError)?;
        if let Some(old) = &self.ledger {
            crate::records::ledger(world, old, &ledger);
        }
        self.ledger = Some(ledger);
        self.ledger_seen = self.ledger.clone();
        self.ledger_version = self.next();
        self.ledger_writes += 1;
        Ok(())
    }

    /// The resource goes with its last finalizer, and what it owns goes with it.
    pub(crate) fn collect(&mut self) {
        let gone = self.resource.as_ref().is_some_and(|resource| {
            let finalizers = resource.finalizers();
            resource.meta().deletion_timestamp.is_some()
                && finalizers.iter().all(|finalizer| finalizer == ORPHAN)
        });
        if !gone {
            return;
        }
        let uid = self.resource.take().and_then(|resource| resource.uid());
        let owned = |secret: &Secret| {
            let owners = secret.metadata.owner_references.iter().flatten();
            owners.into_iter().any(|o| Some(&o.uid) == uid.as_ref())
        };
        self.secrets.retain(|_, secret| !owned(secret));
    }
}

/// How an API server refuses.
fn refusal(code: u16, reason: &str) -> kube::Error {
    let status = json!({
        "status": "Failure", "message": format!("{reason} (simulated)"), "reason": reason, "code": code,
    });
    match serde_json::from_value(status) {
        Ok(status) => kube::Error::Api(Box::new(status)),
        Err(error) => kube::Error::SerdeError(error),
    }
}

fn conflict() -> kube::Error {
    refusal(409, "Conflict")
}

/// What goes wrong with one call, by chance.
fn fault(world: &mut World) -> Option<Fault> {
    if world.rng.random_range(0..100) >= world.faults.store {
        return None;
    }
    Some(match world.rng.random_range(0..3) {
        0 => Fault::Refuse(milvus_platform::Class::Conflict),
        1 => Fault::Refuse(milvus_platform::Class::Transient),
        _ => Fault::LoseAnswer,
    })
}

impl Seat {
    /// A read: refused by chance.
    fn read<T>(&self, read: impl FnOnce(&Store) -> T) -> Result<T, kube::Error> {
        let seated = &mut *self.lock();
        match fault(&mut seated.world) {
            Some(_) => Err(refusal(503, "ServiceUnavailable")),
            None => Ok(read(&seated.store)),
        }
    }

    /// A write: refused by chance, done without an answer by chance; after it the operator may die.
    async fn write<T>(
        &self,
        write: impl FnOnce(&mut Seated) -> Result<T, kube::Error>,
    ) -> Result<T, kube::Error> {
        let result = {
            let seated = &mut *self.lock();
            match fault(&mut seated.world) {
                Some(Fault::Refuse(milvus_platform::Class::Conflict)) => Err(conflict()),
                Some(Fault::Refuse(_)) => Err(refusal(500, "InternalError")),
                Some(Fault::LoseAnswer) => write(seated).and_then(|_| Err(refusal(504, "Timeout"))),
                None => write(seated),
            }
        };
        self.survive().await;
        result
    }
}

impl ResourceStore for Seat {
    async fn write_status(
        &self,
        resource: &MilvusCluster,
        status: &MilvusClusterStatus,
    ) -> Result<(), kube::Error> {
        self.write(|seated| {
            let store = &mut seated.store;
            let version = store.next().to_string();
            match &mut store.resource {
                Some(stored) if stored.metadata.uid == resource.metadata.uid => {
                    stored.status = Some(status.clone());
                    stored.metadata.resource_version = Some(version);
                    store.status_writes += 1;
                }
                _ => return Err(refusal(404, "NotFound")),
            }
            // One that was superseded carries nothing out: what it says of the last generation stands.
            if seated.leads
                && let Some(desired) = &seated.desired
            {
                crate::oracle::honest(&mut seated.world, desired, status);
            }
            Ok(())
        })
        .await
    }

    async fn set_finalizers(
        &self,
        resource: &MilvusCluster,
        finalizers: &[String],
    ) -> Result<(), kube::Error> {
        self.write(|seated| {
            let version = seated.store.next().to_string();
            let Some(stored) = &mut seated.store.resource else {
                return Err(refusal(404, "NotFound"));
            };
            if stored.metadata.resource_version != resource.metadata.resource_version {
                return Err(conflict());
            }
            stored.metadata.finalizers = Some(finalizers.to_vec());
            stored.metadata.resource_version = Some(version);
            seated.store.collect();
            Ok(())
        })
        .await
    }

    async fn post_event(
        &self,
        _: &MilvusCluster,
        note: &EventNote,
        _: Timestamp,
    ) -> Result<(), kube::Error> {
        self.lock().store.events.push(note.clone());
        Ok(())
    }

    async fn secret(&self, _: &str, name: &str) -> Result<Option<Secret>, kube::Error> {
        self.read(|store| store.secrets.get(name).cloned())
    }

    async fn create_secret(&self, namespace: &str, secret: &Secret) -> Result<Secret, kube::Error> {
        self.write(|seated| {
            let store = &mut seated.store;
            let (name, version) = (secret.name_any(), store.next().to_string());
            if store.secrets.contains_key(&name) {
                return Err(refusal(409, "AlreadyExists"));
            }
            let mut secret = secret.clone();
            secret.metadata.namespace = Some(namespace.to_owned());
            secret.metadata.uid = Some(format!("secret-{version}"));
            secret.metadata.resource_version = Some(version);
            store.secrets.insert(name, secret.clone());
            store.secret_writes += 1;
            Ok(secret)
        })
        .await
    }

    async fn delete_secret(
        &self,
        _: &str,
        name: &str,
        uid: Option<String>,
    ) -> Result<(), kube::Error> {
        self.write(|seated| {
            let store = &mut seated.store;
            match store.secrets.get(name) {
                None => return Err(refusal(404, "NotFound")),
                Some(secret) if uid.is_some() && secret.metadata.uid != uid => {
                    return Err(conflict());
                }
                Some(_) => {}
            }
            store.secrets.remove(name);
            store.secret_writes += 1;
            Ok(())
        })
        .await
    }

    async fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<ConfigMap>, kube::Error> {
        self.read(|store| store.ledger_map(namespace, name))
    }

    async fn create_config_map(
        &self,
        namespace: &str,
        object: &ConfigMap,
    ) -> Result<ConfigMap, kube::Error> {
        self.write(|seated| {
            if seated.store.ledger.is_some() {
                return Err(refusal(409, "AlreadyExists"));
            }
            seated.store.keep_ledger(&mut seated.world, object)?;
            let stored = seated.store.ledger_map(namespace, &object.name_any());
            stored.ok_or_else(|| refusal(404, "NotFound"))
        })
        .await
    }

    async fn replace_config_map(
        &self,
        namespace: &str,
        object: &ConfigMap,
    ) -> Result<ConfigMap, kube::Error> {
        self.write(|seated| {
            let store = &mut seated.store;
            if store.ledger.is_none() {
                return Err(refusal(404, "NotFound"));
            }
            let present = store.ledger_version.to_string();
            if object
                .metadata
                .resource_version
                .as_ref()
                .is_some_and(|v| *v != present)
            {
                return Err(conflict());
            }
            store.keep_ledger(&mut seated.world, object)?;
            let stored = store.ledger_map(namespace, &object.name_any());
            stored.ok_or_else(|| refusal(404, "NotFound"))
        })
        .await
    }

    async fn delete_config_map(&self, _: &str, _: &str) -> Result<(), kube::Error> {
        self.write(|seated| match seated.store.ledger.take() {
            Some(_) => {
                seated.store.ledger_seen = None;
                seated.store.ledger_writes += 1;
                Ok(())
            }
            None => Err(refusal(404, "NotFound")),
        })
        .await
    }
}
