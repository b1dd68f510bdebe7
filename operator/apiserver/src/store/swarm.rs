//! Records as Swarm config objects: one object per record, its body in a label, because labels are
//! the one part that can be changed in place, with compare-and-swap on the object's version index.
//! Names are digests of the keys, so that one name belongs to one key for ever.
//!
//! Speaks to the Swarm through [`ConfigClient`] alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;

use super::{Change, Record, Revision, Store, StoreError, StoreFuture};

/// The Swarm takes proposals up to 1.5 MiB; the rest is for its own framing.
const BODY_LIMIT: usize = 1 << 20;
/// Longer than a Swarm's own 20 s on a request, shorter than a client's patience.
const CALL_TIMEOUT: Duration = Duration::from_secs(25);

/// A config object of the Swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigObject {
    /// The Swarm's id.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// `Version.Index`.
    pub index: u64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Why a call to the Swarm failed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `update out of sequence`: the version index is stale.
    #[error("the version index is stale")]
    Conflict,
    /// The name is taken.
    #[error("the name is taken")]
    Exists,
    /// There is no such object.
    #[error("there is no such config")]
    NotFound,
    /// Anything else; the call may have been carried out.
    #[error("the swarm does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A future of a [`ConfigClient`] call.
pub type ConfigFuture<'a, T> =
    std::pin::Pin<Box<dyn Future<Output = Result<T, ConfigError>> + Send + 'a>>;

/// The five calls of the engine's config API that the store needs.
pub trait ConfigClient: Send + Sync + 'static {
    /// All configs that carry this label with this value.
    fn list<'a>(&'a self, label: &'a str, value: &'a str) -> ConfigFuture<'a, Vec<ConfigObject>>;

    /// One config by id or name.
    fn inspect<'a>(&'a self, id_or_name: &'a str) -> ConfigFuture<'a, ConfigObject>;

    /// A new config; answers its id.
    fn create<'a>(
        &'a self,
        name: &'a str,
        labels: BTreeMap<String, String>,
        data: &'a [u8],
    ) -> ConfigFuture<'a, String>;

    /// Replaces the labels of the config if its version index is `index`. Its name and data stay as they
    /// are: the Swarm refuses to change them, and wants them sent again unchanged.
    fn update_labels<'a>(
        &'a self,
        id: &'a str,
        index: u64,
        labels: BTreeMap<String, String>,
    ) -> ConfigFuture<'a, ()>;

    /// Removes a config.
    fn remove<'a>(&'a self, id: &'a str) -> ConfigFuture<'a, ()>;

    /// Speaks when a config may have gone, or the one of the name `urgent` may have changed. A hint only:
    /// the store compares by listing. Never needs to speak, as the store also compares at intervals.
    fn hints(&self, _urgent: &str) -> BoxStream<'static, ()> {
        Box::pin(futures::stream::pending())
    }
}

/// What the store's config objects are called and marked with.
#[derive(Debug, Clone)]
pub struct SwarmStoreOptions {
    /// In front of label keys, for example `operator.example.io`.
    pub label_prefix: String,
    /// In front of object names; at most 20 letters, digits and dashes.
    pub name_prefix: String,
    /// Tells stores on one Swarm apart.
    pub instance: String,
    /// How often the store is compared with the Swarm.
    pub resync: Duration,
}

impl SwarmStoreOptions {
    fn label(&self, name: &str) -> String {
        format!("{}/{name}", self.label_prefix)
    }

    /// The object name of a key: the prefix and 160 bits of digest, at most 61 characters.
    pub fn object_name(&self, key: &str) -> String {
        let digest = Sha256::digest(format!("{}/{key}", self.instance));
        let digest = hex::encode(digest);
        format!(
            "{}-{}",
            self.name_prefix,
            digest.get(..40).unwrap_or(&digest)
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    id: String,
    index: u64,
}

#[derive(Debug, Default)]
struct Index {
    known: BTreeMap<String, Known>,
    /// Grows with every call of ours, so that a listing can tell whether it is older than one.
    epoch: u64,
}

struct Inner<C> {
    client: C,
    options: SwarmStoreOptions,
    index: Mutex<Index>,
}

/// The store on a Swarm.
pub struct SwarmStore<C> {
    inner: Arc<Inner<C>>,
}

impl<C> Clone for SwarmStore<C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<C: ConfigClient> SwarmStore<C> {
    /// A store over a client. Nothing is read before [`Store::load_all`].
    pub fn new(client: C, options: SwarmStoreOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                client,
                options,
                index: Mutex::default(),
            }),
        }
    }
}

async fn bounded<T>(call: ConfigFuture<'_, T>) -> Result<T, ConfigError> {
    match timeout(CALL_TIMEOUT, call).await {
        Ok(result) => result,
        Err(elapsed) => Err(ConfigError::Unavailable(Box::new(elapsed))),
    }
}

fn failed(operation: &'static str, key: &str) -> impl Fn(ConfigError) -> StoreError {
    move |error| match error {
        ConfigError::Conflict | ConfigError::NotFound => StoreError::Conflict {
            operation,
            key: key.to_owned(),
        },
        ConfigError::Exists => StoreError::Exists {
            key: key.to_owned(),
        },
        ConfigError::Unavailable(source) => StoreError::Unavailable {
            operation,
            key: key.to_owned(),
            source,
        },
    }
}

impl<C: ConfigClient> Inner<C> {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, key: &str) -> Option<Known> {
        self.index().known.get(key).cloned()
    }

    fn note(&self, key: &str, object: &ConfigObject) -> Revision {
        let mut index = self.index();
        index.epoch += 1;
        let known = Known {
            id: object.id.clone(),
            index: object.index,
        };
        index.known.insert(key.to_owned(), known);
        Revision(object.index)
    }

    fn labels(&self, key: &str, body: &Bytes) -> Result<BTreeMap<String, String>, StoreError> {
        if body.len() > BODY_LIMIT {
            return Err(StoreError::TooLarge {
                operation: "write",
                key: key.to_owned(),
                size: body.len(),
                limit: BODY_LIMIT,
            });
        }
        let text = std::str::from_utf8(body).map_err(|error| StoreError::Damaged {
            key: key.to_owned(),
            problem: format!("the body is not text: {error}"),
        })?;
        Ok(BTreeMap::from([
            (self.options.label("store"), self.options.instance.clone()),
            (self.options.label("key"), key.to_owned()),
            (self.options.label("body"), text.to_owned()),
        ]))
    }

    fn record(&self, object: &ConfigObject) -> Result<Record, StoreError> {
        let damaged = |problem: &str| StoreError::Damaged {
            key: format!("config {}", object.name),
            problem: problem.to_owned(),
        };
        let key = object
            .labels
            .get(&self.options.label("key"))
            .ok_or_else(|| damaged("it has no key label; restore or remove it"))?;
        if self.options.object_name(key) != object.name {
            return Err(damaged("its name does not belong to its key; remove it"));
        }
        let body = object
            .labels
            .get(&self.options.label("body"))
            .ok_or_else(|| damaged("it has no body label; restore or remove it"))?;
        Ok(Record {
            key: key.clone(),
            revision: Revision(object.index),
            body: body.clone().into(),
        })
    }

    async fn list(&self) -> Result<Vec<(Record, ConfigObject)>, StoreError> {
        let objects = bounded(
            self.client
                .list(&self.options.label("store"), &self.options.instance),
        )
        .await
        .map_err(failed("list", "all records"))?;
        objects
            .into_iter()
            .map(|object| Ok((self.record(&object)?, object)))
            .collect()
    }

    async fn load_all(&self) -> Result<Vec<Record>, StoreError> {
        let listed = self.list().await?;
        // What was known before and is gone was told of by this answer.
        self.index().known.clear();
        Ok(listed
            .into_iter()
            .map(|(record, object)| {
                self.note(&record.key, &object);
                record
            })
            .collect())
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        let name = self.options.object_name(key);
        match bounded(self.client.inspect(&name)).await {
            Ok(object) => {
                let record = self.record(&object)?;
                self.note(key, &object);
                Ok(Some(record))
            }
            Err(ConfigError::NotFound) => {
                let mut index = self.index();
                index.epoch += 1;
                index.known.remove(key);
                Ok(None)
            }
            Err(error) => Err(failed("read", key)(error)),
        }
    }

    async fn create(&self, key: &str, body: Bytes) -> Result<Revision, StoreError> {
        let labels = self.labels(key, &body)?;
        let name = self.options.object_name(key);
        // The data is for people who look: the record itself is in the labels.
        let id = bounded(self.client.create(&name, labels.clone(), key.as_bytes()))
            .await
            .map_err(failed("create", key))?;
        self.confirm("create", key, &id, &labels).await
    }

    async fn update(
        &self,
        key: &str,
        expected: Revision,
        body: Bytes,
    ) -> Result<Revision, StoreError> {
        let labels = self.labels(key, &body)?;
        let conflict = || StoreError::Conflict {
            operation: "update",
            key: key.to_owned(),
        };
        let known = self.known(key).ok_or_else(conflict)?;
        if known.index != expected.0 {
            return Err(conflict());
        }
        bounded(
            self.client
                .update_labels(&known.id, known.index, labels.clone()),
        )
        .await
        .map_err(failed("update", key))?;
        self.confirm("update", key, &known.id, &labels).await
    }

    /// The Swarm does not say which index a write got: look, and make sure that it is still our write.
    async fn confirm(
        &self,
        operation: &'static str,
        key: &str,
        id: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Revision, StoreError> {
        let object = bounded(self.client.inspect(id))
            .await
            .map_err(failed(operation, key))?;
        if object.labels != *labels {
            return Err(StoreError::Conflict {
                operation,
                key: key.to_owned(),
            });
        }
        Ok(self.note(key, &object))
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<(), StoreError> {
        let conflict = || StoreError::Conflict {
            operation: "delete",
            key: key.to_owned(),
        };
        let known = self.known(key).ok_or_else(conflict)?;
        // The Swarm has no condition on removal. The look before it leaves a gap of one call, in which
        // only another writer of this store could slip in, and there is one writer.
        let object = bounded(self.client.inspect(&known.id))
            .await
            .map_err(failed("delete", key))?;
        if object.index != expected.0 {
            return Err(conflict());
        }
        match bounded(self.client.remove(&known.id)).await {
            Ok(()) | Err(ConfigError::NotFound) => {
                let mut index = self.index();
                index.epoch += 1;
                index.known.remove(key);
                Ok(())
            }
            Err(error) => Err(failed("delete", key)(error)),
        }
    }

    /// What differs from what we know. Nothing, if we wrote while listing: the next look will tell.
    async fn compare(&self) -> Vec<Change> {
        let before = self.index().epoch;
        let listed = match self.list().await {
            Ok(listed) => listed,
            Err(error) => {
                warn!(%error, "cannot compare the store with the swarm");
                return Vec::new();
            }
        };
        let mut index = self.index();
        if index.epoch != before {
            return Vec::new();
        }
        let mut changes = Vec::new();
        for (record, object) in &listed {
            let now = Known {
                id: object.id.clone(),
                index: object.index,
            };
            if index.known.get(&record.key) != Some(&now) {
                index.known.insert(record.key.clone(), now);
                changes.push(Change::Changed(record.clone()));
            }
        }
        let vanished = index.known.keys().filter(|key| {
            !listed
                .iter()
                .any(|(record, _)| record.key.as_str() == key.as_str())
        });
        // Still known, so that it is reported again until it is written again.
        changes.extend(vanished.map(|key| Change::Vanished { key: key.clone() }));
        changes
    }
}

impl<C: ConfigClient> Store for SwarmStore<C> {
    fn load_all(&self) -> StoreFuture<'_, Vec<Record>> {
        Box::pin(self.inner.load_all())
    }

    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        Box::pin(self.inner.get(key))
    }

    fn create<'a>(&'a self, key: &'a str, body: Bytes) -> StoreFuture<'a, Revision> {
        Box::pin(self.inner.create(key, body))
    }

    fn update<'a>(
        &'a self,
        key: &'a str,
        expected: Revision,
        body: Bytes,
    ) -> StoreFuture<'a, Revision> {
        Box::pin(self.inner.update(key, expected, body))
    }

    fn delete<'a>(&'a self, key: &'a str, expected: Revision) -> StoreFuture<'a, ()> {
        Box::pin(self.inner.delete(key, expected))
    }

    fn changes(&self, urgent: &str) -> BoxStream<'static, Change> {
        let inner = self.inner.clone();
        let mut tick = interval(inner.options.resync);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hints = inner.client.hints(&inner.options.object_name(urgent));
        let state = (inner, tick, hints);
        futures::stream::unfold(state, |(inner, mut tick, mut hints)| async move {
            tokio::select! {
                _ = tick.tick() => {}
                Some(()) = hints.next() => {}
            }
            let changes = inner.compare().await;
            Some((futures::stream::iter(changes), (inner, tick, hints)))
        })
        .flatten()
        .boxed()
    }

    fn is_private(&self) -> bool {
        false
    }
}
