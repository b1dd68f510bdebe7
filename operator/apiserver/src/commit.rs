//! The one way to change an object: read, decide, store, publish, under one lock per lane, in a
//! task of its own so that a client that hangs up cannot leave a stored change unpublished.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Mutex;
use tracing::warn;

use crate::cache::{Cache, EventKind};
use crate::object::{Name, Object};
use crate::resource::{Flavor, Resource};
use crate::seal::{SealError, Sealer};
use crate::status::ApiError;
use crate::store::{Change, Record, Revision, Store, StoreError};

/// Key of the record that keeps versions from going back over a restart.
pub const VERSION_KEY: &str = "meta/resource-version";
/// Versions set aside with one write of that record.
const RESERVE: u64 = 10_000;
/// How long a write may wait for the ones before it.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);
/// In front of a sealed body; JSON objects start with a brace.
const SEALED: &str = "sealed:";

/// What to do with an object, decided while nobody else can change it.
#[derive(Debug)]
pub enum Decision {
    /// Nothing; answer with what is there.
    Keep,
    /// Nothing; answer as if this had been stored (dry runs).
    Pretend(Value),
    /// Store this.
    Put(Value),
    /// Remove the object; this is its last state.
    Remove(Value),
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome<T> {
    /// The object as stored, kept, pretended or removed.
    pub object: Arc<Object>,
    /// What the decision handed out.
    pub extra: T,
}

#[derive(Debug)]
struct Reserved {
    /// Versions up to this one may be given away.
    until: u64,
    /// What the record says; never written lower, also not by a server that was away for a while.
    stored: u64,
    revision: Option<Revision>,
}

struct Durable {
    store: Arc<dyn Store>,
    sealer: Option<Arc<Sealer>>,
}

/// The writer of one lane.
pub struct Committer {
    cache: Arc<Cache>,
    durable: Option<Durable>,
    lock: Mutex<Reserved>,
}

impl Committer {
    /// A writer for objects in memory only.
    pub fn volatile(cache: Arc<Cache>) -> Arc<Self> {
        let reserved = Reserved {
            until: u64::MAX,
            stored: 0,
            revision: None,
        };
        Arc::new(Self {
            cache,
            durable: None,
            lock: Mutex::new(reserved),
        })
    }

    /// A writer for objects that are stored. `version_record` is the record of [`VERSION_KEY`].
    pub fn durable(
        cache: Arc<Cache>,
        store: Arc<dyn Store>,
        sealer: Option<Arc<Sealer>>,
        version_record: Option<Revision>,
    ) -> Arc<Self> {
        let reserved = Reserved {
            until: cache.version(),
            stored: cache.version(),
            revision: version_record,
        };
        Arc::new(Self {
            cache,
            durable: Some(Durable { store, sealer }),
            lock: Mutex::new(reserved),
        })
    }

    /// The cache that this writer publishes to.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Changes one object. `decide` sees the current one and cannot be interrupted by another write.
    pub async fn transact<T, F>(
        self: &Arc<Self>,
        resource: Arc<Resource>,
        name: Name,
        decide: F,
    ) -> Result<Outcome<T>, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(Option<&Arc<Object>>, &Cache) -> Result<(Decision, T), ApiError> + Send + 'static,
    {
        let this = self.clone();
        tokio::spawn(async move { this.commit(&resource, name, decide).await })
            .await
            .map_err(|error| ApiError::internal(format!("the write task ended early: {error}")))?
    }

    async fn commit<T, F>(
        &self,
        resource: &Resource,
        name: Name,
        decide: F,
    ) -> Result<Outcome<T>, ApiError>
    where
        F: FnOnce(Option<&Arc<Object>>, &Cache) -> Result<(Decision, T), ApiError>,
    {
        let mut reserved = tokio::time::timeout(QUEUE_TIMEOUT, self.lock.lock())
            .await
            .map_err(|_| {
                ApiError::unavailable("the store is slow: earlier writes are still waiting for it")
            })?;
        let storage = resource.storage();
        let stored = self.cache.get_stored(&storage, &name);
        let current = stored.as_ref().map(|(object, _)| object);
        let revision = stored.as_ref().and_then(|(_, revision)| *revision);
        let (decision, extra) = decide(current, &self.cache)?;
        let done = |object| Ok(Outcome { object, extra });
        let version = self.cache.version() + 1;
        match decision {
            Decision::Keep => match stored {
                Some((object, _)) => done(object),
                None => Err(ApiError::not_found(resource, &name.name)),
            },
            Decision::Pretend(value) => {
                let version = current.map_or(0, |object| object.version);
                done(Arc::new(
                    Object::as_is(&value, version).map_err(ApiError::internal)?,
                ))
            }
            Decision::Put(value) => {
                let object = Arc::new(Object::new(value, version).map_err(ApiError::internal)?);
                let revision = match &self.durable {
                    None => None,
                    Some(durable) => {
                        self.reserve(durable, &mut reserved, version).await?;
                        Some(
                            self.store(durable, resource, &name, &object, revision)
                                .await?,
                        )
                    }
                };
                let kind = if stored.is_some() {
                    EventKind::Modified
                } else {
                    EventKind::Added
                };
                self.cache.publish(&storage, kind, object.clone(), revision);
                done(object)
            }
            Decision::Remove(value) => {
                let object = Arc::new(Object::new(value, version).map_err(ApiError::internal)?);
                if let (Some(durable), Some(revision)) = (&self.durable, revision) {
                    self.reserve(durable, &mut reserved, version).await?;
                    let key = record_key(&storage, &name);
                    if let Err(error) = durable.store.delete(&key, revision).await {
                        return Err(self.failed(durable, resource, &name, error).await);
                    }
                }
                if stored.is_some() {
                    self.cache
                        .publish(&storage, EventKind::Deleted, object.clone(), None);
                }
                done(object)
            }
        }
    }

    async fn store(
        &self,
        durable: &Durable,
        resource: &Resource,
        name: &Name,
        object: &Object,
        revision: Option<Revision>,
    ) -> Result<Revision, ApiError> {
        let key = record_key(&resource.storage(), name);
        let body = durable
            .encode(resource, &key, &object.json)
            .map_err(ApiError::internal)?;
        let result = match revision {
            Some(revision) => durable.store.update(&key, revision, body).await,
            None => durable.store.create(&key, body).await,
        };
        match result {
            Ok(revision) => Ok(revision),
            Err(error) => Err(self.failed(durable, resource, name, error).await),
        }
    }

    /// Sets versions aside in the store before the first of them is given away.
    async fn reserve(
        &self,
        durable: &Durable,
        reserved: &mut Reserved,
        version: u64,
    ) -> Result<(), ApiError> {
        if version <= reserved.until {
            return Ok(());
        }
        let until = version.max(reserved.stored) + RESERVE;
        let body = Bytes::from(until.to_string());
        let result = match reserved.revision {
            Some(revision) => durable.store.update(VERSION_KEY, revision, body).await,
            None => durable.store.create(VERSION_KEY, body).await,
        };
        match result {
            Ok(revision) => {
                reserved.until = until;
                reserved.stored = until;
                reserved.revision = Some(revision);
                Ok(())
            }
            Err(error) => {
                // Another revision means that a write went unanswered, or that another server is
                // at work; read it again so that the next try can go on.
                if let Ok(found) = durable.store.get(VERSION_KEY).await {
                    reserved.revision = found.as_ref().map(|record| record.revision);
                    let value = found
                        .and_then(|record| std::str::from_utf8(&record.body).ok()?.parse().ok());
                    reserved.stored = reserved.stored.max(value.unwrap_or(0));
                }
                Err(unavailable(&error))
            }
        }
    }

    /// After a failed write: learn what is really stored, and make the answer.
    async fn failed(
        &self,
        durable: &Durable,
        resource: &Resource,
        name: &Name,
        error: StoreError,
    ) -> ApiError {
        let key = record_key(&resource.storage(), name);
        warn!(key, error = %chain(&error), "the store refused a write");
        match durable.store.get(&key).await {
            Ok(found) => self.adopt(durable, resource, name, found).await,
            Err(error) => {
                // The feed of changes compares again as soon as the store answers.
                warn!(key, error = %chain(&error), "the outcome of a write is not known");
            }
        }
        match error {
            StoreError::Conflict { .. } => ApiError::modified(resource, &name.name),
            StoreError::Exists { .. } => ApiError::already_exists(resource, &name.name),
            StoreError::TooLarge { .. } => ApiError::too_large(error.to_string()),
            StoreError::Unavailable { .. } | StoreError::Damaged { .. } => unavailable(&error),
        }
    }

    /// Makes the cache say what the store says of one object. The caller holds the lock.
    async fn adopt(
        &self,
        durable: &Durable,
        resource: &Resource,
        name: &Name,
        found: Option<Record>,
    ) {
        let storage = resource.storage();
        let cached = self.cache.get_stored(&storage, name);
        let version = self.cache.version() + 1;
        match (found, cached) {
            (None, None) => {}
            (None, Some((object, _))) => {
                self.restore(durable, resource, &object).await;
            }
            (Some(record), cached) => {
                let revision = record.revision;
                if let Some((object, known)) = &cached {
                    if *known >= Some(revision) {
                        return;
                    }
                    let same = durable
                        .decode(resource, &record)
                        .is_ok_and(|body| body == object.json);
                    if same {
                        self.cache.set_revision(&storage, name, revision);
                        return;
                    }
                }
                let object = durable
                    .decode(resource, &record)
                    .map_err(|error| error.to_string())
                    .and_then(|body| {
                        let value: Value =
                            serde_json::from_slice(&body).map_err(|error| error.to_string())?;
                        Object::new(value, version).map_err(|error| error.to_string())
                    });
                match object {
                    Ok(object) => {
                        let kind = if cached.is_some() {
                            EventKind::Modified
                        } else {
                            EventKind::Added
                        };
                        self.cache
                            .publish(&storage, kind, Arc::new(object), Some(revision));
                    }
                    Err(problem) => {
                        warn!(key = record.key, problem, "a stored record cannot be read");
                    }
                }
            }
        }
    }

    /// Takes in a change that others made in the store. A record that vanished is written again
    /// from memory: an object goes by deletion only. Answers the object if that happened.
    pub async fn external(&self, resource: &Resource, change: Change) -> Option<Arc<Object>> {
        let durable = self.durable.as_ref()?;
        let _right_to_write = self.lock.lock().await;
        let storage = resource.storage();
        match change {
            Change::Changed(record) => {
                let name = record_name(&storage, &record.key)?;
                self.adopt(durable, resource, &name, Some(record)).await;
                None
            }
            Change::Vanished { key } => {
                let name = record_name(&storage, &key)?;
                let (object, _) = self.cache.get_stored(&storage, &name)?;
                // Ask again under the lock: the hint may be older than the last write.
                match durable.store.get(&key).await {
                    Ok(None) => {}
                    Ok(found) => {
                        self.adopt(durable, resource, &name, found).await;
                        return None;
                    }
                    Err(error) => {
                        warn!(key, error = %chain(&error), "cannot look at a record that vanished");
                        return None;
                    }
                }
                let restored = self.restore(durable, resource, &object).await;
                restored.then_some(object)
            }
        }
    }

    /// Writes an object again whose record is gone: objects go by deletion only.
    async fn restore(&self, durable: &Durable, resource: &Resource, object: &Object) -> bool {
        let storage = resource.storage();
        let key = record_key(&storage, &object.name);
        let body = match durable.encode(resource, &key, &object.json) {
            Ok(body) => body,
            Err(error) => {
                warn!(key, %error, "cannot restore a record that vanished");
                return false;
            }
        };
        match durable.store.create(&key, body).await {
            Ok(revision) => {
                self.cache.set_revision(&storage, &object.name, revision);
                warn!(key, "a stored record vanished and was written again");
                true
            }
            Err(error) => {
                warn!(key, error = %chain(&error), "cannot restore a record that vanished");
                false
            }
        }
    }
}

impl Durable {
    fn encode(&self, resource: &Resource, key: &str, json: &Bytes) -> Result<Bytes, SealError> {
        match (&self.sealer, resource.flavor) {
            (Some(sealer), Flavor::Secret) => {
                let envelope = STANDARD.encode(sealer.seal(key, json)?);
                Ok(format!("{SEALED}{envelope}").into())
            }
            _ => Ok(json.clone()),
        }
    }

    fn decode(&self, _resource: &Resource, record: &Record) -> Result<Bytes, StoreError> {
        decode_body(self.sealer.as_deref(), record)
    }
}

/// The JSON of a record, opened if it was sealed.
pub fn decode_body(sealer: Option<&Sealer>, record: &Record) -> Result<Bytes, StoreError> {
    let Some(sealed) = record.body.strip_prefix(SEALED.as_bytes()) else {
        return Ok(record.body.clone());
    };
    let damaged = |problem: String| StoreError::Damaged {
        key: record.key.clone(),
        problem,
    };
    let sealer = sealer
        .ok_or_else(|| damaged("it is sealed and no key is given; give the store's key".into()))?;
    let envelope = STANDARD
        .decode(sealed)
        .map_err(|error| damaged(error.to_string()))?;
    sealer
        .open(&record.key, &envelope)
        .map(Bytes::from)
        .map_err(|error| damaged(error.to_string()))
}

/// `<plural.group>/<namespace>/<name>`; the namespace is empty for kinds outside of namespaces.
pub fn record_key(storage: &str, name: &Name) -> String {
    format!("{storage}/{}/{}", name.namespace, name.name)
}

/// The name in a key of this kind.
pub fn record_name(storage: &str, key: &str) -> Option<Name> {
    let (namespace, name) = key
        .strip_prefix(storage)?
        .strip_prefix('/')?
        .split_once('/')?;
    Some(Name::new(namespace, name))
}

fn unavailable(error: &StoreError) -> ApiError {
    ApiError::unavailable(format!(
        "the store does not take the write: {}",
        chain(error)
    ))
}

/// An error with its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committer").finish_non_exhaustive()
    }
}
