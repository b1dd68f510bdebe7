//! One watch: a position in the ring of events, read on at the client's own speed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::cache::{Cache, Event, EventKind, watch_line};
use crate::encode::Encoder;
use crate::object::Object;
use crate::selector::{Fields, Labels};
use crate::status::ApiError;

/// Events taken from the ring at once, and initial objects put in one chunk.
const BATCH: usize = 64;
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(55);

/// Which objects a list or watch is about.
#[derive(Debug, Clone)]
pub struct Scope {
    /// First part of the keys.
    pub storage: String,
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// Labels to match.
    pub labels: Labels,
    /// Fields to match.
    pub fields: Fields,
}

impl Scope {
    /// Whether the object is meant.
    pub fn matches(&self, object: &Object) -> bool {
        self.namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == object.name.namespace)
            && self.labels.matches(object)
            && self.fields.matches(object)
    }

    /// Whether selectors leave objects out.
    pub fn is_selective(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }
}

/// How a watch begins and ends.
#[derive(Debug)]
pub struct WatchOptions {
    /// Objects to send as ADDED first.
    pub initial: Vec<Arc<Object>>,
    /// Close the initial events with a bookmark.
    pub mark_end: bool,
    /// Events after this version follow.
    pub after: u64,
    /// Send bookmarks now and then.
    pub bookmarks: bool,
    /// End the stream after this long.
    pub timeout: Duration,
}

struct Watcher {
    cache: Arc<Cache>,
    scope: Scope,
    encoder: Encoder,
    initial: VecDeque<Arc<Object>>,
    mark_end: bool,
    position: u64,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    published: watch::Receiver<u64>,
    shutdown: CancellationToken,
    ended: bool,
}

/// The body of a watch.
pub fn stream(
    cache: Arc<Cache>,
    scope: Scope,
    encoder: Encoder,
    options: WatchOptions,
    shutdown: CancellationToken,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let now = Instant::now();
    let watcher = Watcher {
        published: cache.subscribe(),
        cache,
        scope,
        encoder,
        initial: options.initial.into(),
        mark_end: options.mark_end,
        position: options.after,
        bookmarks: options.bookmarks,
        next_bookmark: now + BOOKMARK_INTERVAL,
        deadline: now
            .checked_add(options.timeout)
            .unwrap_or(now + BOOKMARK_INTERVAL),
        shutdown,
        ended: false,
    };
    futures::stream::unfold(watcher, |mut watcher| async move {
        let chunk = watcher.next_chunk().await?;
        Some((Ok(chunk), watcher))
    })
}

impl Watcher {
    async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            if self.ended {
                return None;
            }
            if !self.initial.is_empty() || self.mark_end {
                return Some(self.initial_chunk());
            }
            // Seen before the ring is read, so that nothing published in between is slept through.
            self.published.mark_unchanged();
            let (events, reached) =
                match self
                    .cache
                    .events_after(&self.scope.storage, self.position, BATCH)
                {
                    Ok(found) => found,
                    Err(expired) => {
                        self.ended = true;
                        return Some(expired_line(self.position, expired.oldest));
                    }
                };
            let more = events.len() == BATCH;
            self.position = reached;
            let mut chunk = Vec::new();
            for event in &events {
                if let Some(line) = self.line(event) {
                    chunk.extend_from_slice(&line);
                }
            }
            if !chunk.is_empty() {
                return Some(chunk.into());
            }
            if more {
                continue;
            }
            tokio::select! {
                changed = self.published.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.next_bookmark = Instant::now() + BOOKMARK_INTERVAL;
                    return Some(self.encoder.bookmark(self.position, false));
                }
                () = sleep_until(self.deadline) => return None,
                () = self.shutdown.cancelled() => return None,
            }
        }
    }

    fn initial_chunk(&mut self) -> Bytes {
        let mut chunk = Vec::new();
        for _ in 0..BATCH {
            let Some(object) = self.initial.pop_front() else {
                break;
            };
            chunk.extend_from_slice(&self.encoder.event("ADDED", &object));
        }
        if self.initial.is_empty() && self.mark_end {
            self.mark_end = false;
            chunk.extend_from_slice(&self.encoder.bookmark(self.position, true));
        }
        chunk.into()
    }

    /// The line of an event as this watcher sees it: an object that stops matching is gone for it.
    fn line(&mut self, event: &Event) -> Option<Bytes> {
        let before = event
            .previous
            .as_ref()
            .is_some_and(|previous| self.scope.matches(previous));
        let after = event.kind != EventKind::Deleted && self.scope.matches(&event.object);
        let kind = match (before, after) {
            (false, false) => return None,
            (false, true) => EventKind::Added,
            (true, true) => EventKind::Modified,
            (true, false) => EventKind::Deleted,
        };
        if kind == event.kind {
            return Some(if self.encoder.is_verbatim() {
                event.line()
            } else {
                self.encoder.event(kind.as_str(), &event.object)
            });
        }
        if kind == EventKind::Deleted {
            // What it last saw, at the version of the change.
            let last = event.previous.as_ref()?;
            let object = Object::new(last.value(), event.object.version).ok()?;
            return Some(self.encoder.event(kind.as_str(), &object));
        }
        Some(self.encoder.event(kind.as_str(), &event.object))
    }
}

/// The line that ends a watch whose version is no longer known.
pub fn expired_line(wanted: u64, oldest: u64) -> Bytes {
    let error = ApiError::expired(format!("too old resource version: {wanted} ({oldest})"));
    watch_line("ERROR", error.status().to_string().as_bytes())
}
