//! The one way to change an object: read, decide, store, publish, under one lock per lane, in a
//! task of its own so that a client that hangs up cannot leave a stored change unpublished. Touches
//! the cache and the store; whether this server may still write is asked of [`Leadership`].

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::cache::{Cache, EventKind};
use crate::leadership::{self, Leadership};
use crate::object::{Name, Object};
use crate::resource::{Flavor, Resource};
use crate::seal::{SealError, Sealer};
use crate::status::ApiError;
use crate::store::{Change, Record, Revision, Store, StoreError};

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

struct Durable {
    store: Arc<dyn Store>,
    sealer: Option<Arc<Sealer>>,
    leadership: Leadership,
}

/// The writer of one lane.
pub struct Committer {
    cache: Arc<Cache>,
    /// Once another server has taken over the store, nothing is written here any more.
    superseded: CancellationToken,
    lock: Mutex<Option<Durable>>,
}

impl Committer {
    /// A writer for objects in memory only.
    pub fn volatile(cache: Arc<Cache>, superseded: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            cache,
            superseded,
            lock: Mutex::new(None),
        })
    }

    /// A writer for objects that are stored, by the server that leads.
    pub fn durable(
        cache: Arc<Cache>,
        store: Arc<dyn Store>,
        sealer: Option<Arc<Sealer>>,
        leadership: Leadership,
    ) -> Arc<Self> {
        let superseded = leadership.superseded();
        let durable = Durable {
            store,
            sealer,
            leadership,
        };
        Arc::new(Self {
            cache,
            superseded,
            lock: Mutex::new(Some(durable)),
        })
    }

    /// Cancelled once another server has taken over the store.
    pub fn superseded(&self) -> &CancellationToken {
        &self.superseded
    }

    /// Looks whether this server still leads over its store.
    ///
    /// # Errors
    /// Where another server leads, or where that cannot be known.
    pub async fn confirm(&self) -> Result<(), ApiError> {
        match self.lock.lock().await.as_mut() {
            Some(durable) => durable.leadership.confirm().await,
            None => Ok(()),
        }
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
            .unwrap_or_else(|error| match error.try_into_panic() {
                // A fault in a write is one of its request.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(ApiError::internal(format!(
                    "the write task ended early: {error}"
                ))),
            })
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
        let mut lock = tokio::time::timeout(QUEUE_TIMEOUT, self.lock.lock())
            .await
            .map_err(|_| {
                ApiError::unavailable("the store is slow: earlier writes are still waiting for it")
            })?;
        if self.superseded.is_cancelled() {
            return Err(leadership::superseded());
        }
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
                let revision = match lock.as_mut() {
                    None => None,
                    Some(durable) => {
                        durable.leadership.reserve(version).await?;
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
                if let (Some(durable), Some(revision)) = (lock.as_mut(), revision) {
                    durable.leadership.reserve(version).await?;
                    // Whoever leads by now would take a record that we remove for one that hands
                    // removed, and write it again.
                    durable.leadership.confirm().await?;
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
        durable: &mut Durable,
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

    /// After a failed write: learn what is really stored, and make the answer.
    async fn failed(
        &self,
        durable: &mut Durable,
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
        let raced = matches!(
            error,
            StoreError::Conflict { .. } | StoreError::Exists { .. }
        );
        // Whoever was faster may be another server.
        if raced && let Err(error) = durable.leadership.confirm().await {
            warn!(key, %error, "whether this server still leads was not confirmed");
        }
        match error {
            _ if self.superseded.is_cancelled() => leadership::superseded(),
            StoreError::Conflict { .. } => ApiError::modified(resource, &name.name),
            StoreError::Exists { .. } => ApiError::already_exists(resource, &name.name),
            StoreError::TooLarge { size, limit, .. } => {
                ApiError::too_large(too_large(resource, name, size, limit))
            }
            StoreError::Unavailable { .. } | StoreError::Damaged { .. } => unavailable(&error),
        }
    }

    /// Makes the cache say what the store says of one object. The caller holds the lock.
    async fn adopt(
        &self,
        durable: &mut Durable,
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
        let mut lock = self.lock.lock().await;
        let durable = lock.as_mut()?;
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

    /// Takes in a change of the record that says who leads.
    pub async fn leadership(&self, change: Change) {
        if let Some(durable) = self.lock.lock().await.as_mut() {
            durable.leadership.heard(change).await;
        }
    }

    /// Writes an object again whose record is gone: objects go by deletion only. Not where another
    /// server leads, which will have deleted it, nor where that cannot be found out.
    async fn restore(&self, durable: &mut Durable, resource: &Resource, object: &Object) -> bool {
        let storage = resource.storage();
        let key = record_key(&storage, &object.name);
        // Asked after the record was found gone: a takeover comes before any deletion of its own.
        if let Err(error) = durable.leadership.confirm().await {
            warn!(key, %error, "a stored record vanished and is not written again");
            return false;
        }
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

/// Why an object does not fit, in figures of what the user wrote.
fn too_large(resource: &Resource, name: &Name, size: usize, limit: usize) -> String {
    let stored = format!(
        "Request entity too large: {} {:?} takes {size} bytes in the store, and the limit is {limit}",
        resource.kind, name.name
    );
    match resource.flavor {
        // Values are in base64, and the sealed whole is once more.
        Flavor::Secret => format!(
            "{stored}: about {} bytes of values fit into a Secret, because it is stored encrypted",
            limit / 16 * 9
        ),
        _ => stored,
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

/// The answer to a write that the store did not take.
pub fn unavailable(error: &StoreError) -> ApiError {
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
