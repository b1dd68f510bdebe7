//! The durable part: a small key-value store with compare-and-swap. Reads of the server never come
//! here; they are answered from memory.

pub mod memory;
pub mod swarm;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use futures::stream::BoxStream;

/// The store's own version of one record, compared on every update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// One stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where: `<plural.group>/<namespace>/<name>`.
    pub key: String,
    /// The store's version of it.
    pub revision: Revision,
    /// UTF-8 text.
    pub body: Bytes,
}

/// A change that the server did not make itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The record is gone.
    Vanished {
        /// Its key.
        key: String,
    },
    /// The record has another revision.
    Changed(Record),
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The record has another revision than expected, or is gone.
    #[error("{operation} {key}: the stored record has another revision")]
    Conflict {
        /// What was tried.
        operation: &'static str,
        /// The record.
        key: String,
    },
    /// The key is taken.
    #[error("create {key}: the key is taken")]
    Exists {
        /// The record.
        key: String,
    },
    /// The record is larger than the store takes.
    #[error("{operation} {key}: {size} bytes are more than the {limit} that the store takes")]
    TooLarge {
        /// What was tried.
        operation: &'static str,
        /// The record.
        key: String,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The store does not answer. Whether the write happened is not known.
    #[error("{operation} {key}: the store does not answer")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// The record, or what was listed.
        key: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record is there but cannot be read.
    #[error("read {key}: {problem}")]
    Damaged {
        /// The record.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A boxed future, so that the trait can be used as an object.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What the server needs of a store. Every call has its own time-out inside the store.
pub trait Store: Send + Sync + 'static {
    /// All records, at start.
    fn load_all(&self) -> StoreFuture<'_, Vec<Record>>;

    /// One record, to learn what became of an unanswered write.
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Record>>;

    /// A new record; fails if the key is taken.
    fn create<'a>(&'a self, key: &'a str, body: Bytes) -> StoreFuture<'a, Revision>;

    /// Replaces the body if the revision is still `expected`.
    fn update<'a>(
        &'a self,
        key: &'a str,
        expected: Revision,
        body: Bytes,
    ) -> StoreFuture<'a, Revision>;

    /// Removes the record if the revision is still `expected`.
    fn delete<'a>(&'a self, key: &'a str, expected: Revision) -> StoreFuture<'a, ()>;

    /// Changes that others make, as far as the store can tell. Never ends for a store that cannot. Where
    /// telling takes its time, changes of the record `urgent` are told of sooner.
    fn changes(&self, _urgent: &str) -> BoxStream<'static, Change> {
        Box::pin(futures::stream::pending())
    }

    /// Whether bodies are out of reach for other programs. If not, secrets are sealed first.
    fn is_private(&self) -> bool;
}
