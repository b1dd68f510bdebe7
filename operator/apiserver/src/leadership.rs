//! Who may write: of all servers that were ever started on a store, the one that took it over last.
//! Touches one record of the store, [`VERSION_KEY`], and no object.
//!
//! A server takes over with one write at its start and renews nothing, so that at rest nothing is
//! written. The one before finds out by itself: from the store's feed of changes, after a write that
//! another's was faster than, and by a look before it writes a vanished record again or removes one.
//! From then on it is superseded and writes nothing. It must not go on: it would take the
//! deletions of its successor for records removed by hand, and bring deleted objects back.
//!
//! The record is the one that keeps versions from going back, because every server has to write it
//! anyway and only ever with a higher number: the number is the fencing token. It stays a plain
//! number, so that an older release reads it and goes on above it. The last digits of the number
//! are its writer's mark, drawn at the start and never that of the predecessor: a write of our own
//! that went unanswered is told from another's by it. Only one that slept through two takeovers may
//! take the second for a write of its own, once in a million times.
//!
//! What this cannot close: the Swarm has no condition on a removal, so a server may look, be taken
//! over, and still have its removal carried out after the new one has loaded. The new one then
//! writes that record again; nothing is lost by it.

use std::sync::Arc;

use bytes::Bytes;
use rand::Rng;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::commit::unavailable;
use crate::status::ApiError;
use crate::store::{Change, Record, Revision, Store, StoreError};

/// Key of the record that says who leads and keeps versions from going back over a restart.
pub const VERSION_KEY: &str = "meta/resource-version";
/// Versions set aside with one write of that record, at least.
const RESERVE: u64 = 10_000;
/// How many marks there are: the number's last six digits.
const MARKS: u64 = 1_000_000;

/// The record as it was loaded.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Versions up to this one may have been given away.
    pub number: u64,
    /// The store's version of the record.
    pub revision: Revision,
}

impl Found {
    /// Reads the record; `None` if it is no number.
    pub fn read(record: &Record) -> Option<Self> {
        let number = std::str::from_utf8(&record.body).ok()?.parse().ok()?;
        Some(Self {
            number,
            revision: record.revision,
        })
    }
}

/// What the record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Us,
    Another,
    /// It is gone, or says nothing that can be read.
    Nobody,
}

/// The lead of one server over its store.
pub struct Leadership {
    store: Arc<dyn Store>,
    mark: u64,
    /// Versions up to this one may be given away. The record says so, and is never written lower.
    until: u64,
    revision: Option<Revision>,
    superseded: CancellationToken,
}

impl Leadership {
    /// Takes the store over with one write. `found` is the record as loaded; versions will be given
    /// away from above `floor`. A conflict means that another server has written since.
    pub async fn take(
        store: Arc<dyn Store>,
        floor: u64,
        found: Option<Found>,
    ) -> Result<Self, StoreError> {
        let mark = match found {
            Some(found) => (found.number % MARKS + rand::rng().random_range(1..MARKS)) % MARKS,
            None => rand::rng().random_range(0..MARKS),
        };
        let mut leadership = Self {
            store,
            mark,
            until: found.map_or(0, |found| found.number),
            revision: found.map(|found| found.revision),
            superseded: CancellationToken::new(),
        };
        let number = leadership.next(floor);
        leadership.write(number).await?;
        Ok(leadership)
    }

    /// Cancelled once another server has taken over.
    pub fn superseded(&self) -> CancellationToken {
        self.superseded.clone()
    }

    /// Sets versions aside in the store before the first of them is given away.
    pub async fn reserve(&mut self, version: u64) -> Result<(), ApiError> {
        if version <= self.until {
            return Ok(());
        }
        self.extend(version).await
    }

    /// Looks whether this server still leads. A record that is gone or unreadable is written again:
    /// of two servers that do so one wins.
    pub async fn confirm(&mut self) -> Result<(), ApiError> {
        if self.superseded.is_cancelled() {
            return Err(superseded());
        }
        let found = self.store.get(VERSION_KEY).await;
        let found = found.map_err(|error| unavailable(&error))?;
        match self.judge(found.as_ref()) {
            Holder::Us => Ok(()),
            Holder::Another => Err(superseded()),
            Holder::Nobody => {
                warn!(
                    key = VERSION_KEY,
                    "a stored record is gone or unreadable and is written again"
                );
                self.extend(self.until).await
            }
        }
    }

    /// Takes in a change of the record that the store told of.
    pub async fn heard(&mut self, change: Change) {
        let holder = match change {
            Change::Changed(record) => self.judge(Some(&record)),
            // Looked at again below: the news may be older than our last write.
            Change::Vanished { .. } => Holder::Nobody,
        };
        if holder == Holder::Nobody
            && let Err(error) = self.confirm().await
        {
            warn!(key = VERSION_KEY, %error, "whether this server still leads is not known");
        }
    }

    /// Takes in the record as another load of the store shows it.
    pub fn saw(&mut self, record: &Record) {
        self.judge(Some(record));
    }

    async fn extend(&mut self, version: u64) -> Result<(), ApiError> {
        if self.superseded.is_cancelled() {
            return Err(superseded());
        }
        let number = self.next(version);
        let Err(error) = self.write(number).await else {
            return Ok(());
        };
        // The write went unanswered and may have been carried out, or another server is at work.
        let Ok(found) = self.store.get(VERSION_KEY).await else {
            return Err(unavailable(&error));
        };
        match self.judge(found.as_ref()) {
            Holder::Us if version <= self.until => Ok(()),
            Holder::Another => Err(superseded()),
            // The next try starts from what is there now.
            Holder::Us | Holder::Nobody => Err(unavailable(&error)),
        }
    }

    async fn write(&mut self, number: u64) -> Result<(), StoreError> {
        let body = Bytes::from(number.to_string());
        let written = match self.revision {
            Some(revision) => self.store.update(VERSION_KEY, revision, body).await,
            None => self.store.create(VERSION_KEY, body).await,
        };
        self.revision = Some(written?);
        self.until = number;
        Ok(())
    }

    /// The next number with our mark that sets enough versions aside above `version`.
    fn next(&self, version: u64) -> u64 {
        let least = version.max(self.until) + RESERVE;
        least + (self.mark + MARKS - least % MARKS) % MARKS
    }

    fn judge(&mut self, record: Option<&Record>) -> Holder {
        self.revision = record.map(|record| record.revision);
        match record.and_then(Found::read) {
            None => Holder::Nobody,
            Some(found) if found.number % MARKS == self.mark => {
                self.until = self.until.max(found.number);
                Holder::Us
            }
            Some(_) => {
                if !self.superseded.is_cancelled() {
                    warn!("another server has taken over the store; nothing is written any more");
                }
                self.superseded.cancel();
                Holder::Another
            }
        }
    }
}

/// The answer to writes after another server has taken over.
pub fn superseded() -> ApiError {
    let mut error = ApiError::unavailable(
        "another server has taken over the store of this one, which writes nothing any more and ends: ask the other one",
    );
    // Trying again here would be of no use.
    error.retry_after = None;
    error
}

impl std::fmt::Debug for Leadership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leadership")
            .field("until", &self.until)
            .field("superseded", &self.superseded.is_cancelled())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
