//! The objects in memory: every read and watch is answered from here. One writer at a time commits
//! to the store first and publishes then, so every watcher sees one order, and the version of a
//! list and the start of a watch meet without a gap. Touches the store; no HTTP.
//!
//! Watchers have no buffers of their own: each holds a position in the ring of recent events and
//! reads on when it can. One that falls behind the ring is told so (410) and never slows a writer.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use crate::object::{Name, Object};
use crate::store::Revision;

/// How many recent events a kind keeps, in number and in bytes of objects.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Events at most.
    pub events: usize,
    /// Bytes of JSON at most, old and new object counted once each.
    pub bytes: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            events: 8192,
            bytes: 4 << 20,
        }
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It is new.
    Added,
    /// It has changed.
    Modified,
    /// It is gone.
    Deleted,
}

impl EventKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
        }
    }
}

/// One change of one object.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The object now; of a deleted one its last state, at the version of the deletion.
    pub object: Arc<Object>,
    /// The object before.
    pub previous: Option<Arc<Object>>,
    line: OnceLock<Bytes>,
}

impl Event {
    /// The watch line in plain JSON, encoded once for all watchers.
    pub fn line(&self) -> Bytes {
        self.line
            .get_or_init(|| watch_line(self.kind.as_str(), &self.object.json))
            .clone()
    }

    fn size(&self) -> usize {
        self.object.json.len()
    }
}

/// `{"type":…,"object":…}` and a newline.
pub fn watch_line(kind: &str, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + kind.len() + 24);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(kind.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}

/// The wanted version is older than the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// The oldest version that could still be served.
    pub oldest: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    object: Arc<Object>,
    revision: Option<Revision>,
    touched: Instant,
}

#[derive(Debug, Default)]
struct Kind {
    objects: BTreeMap<Name, Entry>,
    ring: VecDeque<Arc<Event>>,
    ring_bytes: usize,
    /// Events at or below this version are no longer in the ring.
    floor: u64,
}

#[derive(Debug)]
struct State {
    version: u64,
    kinds: BTreeMap<String, Kind>,
}

/// All objects of one lane.
#[derive(Debug)]
pub struct Cache {
    state: RwLock<State>,
    published: watch::Sender<u64>,
    window: Window,
}

impl Cache {
    /// An empty cache whose versions start above `floor`.
    pub fn new(kinds: impl IntoIterator<Item = String>, floor: u64, window: Window) -> Self {
        let kinds = kinds
            .into_iter()
            .map(|storage| {
                let kind = Kind {
                    floor,
                    ..Kind::default()
                };
                (storage, kind)
            })
            .collect();
        Self {
            state: RwLock::new(State {
                version: floor,
                kinds,
            }),
            published: watch::Sender::new(floor),
            window,
        }
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a loaded object in, without an event.
    pub fn load(&self, storage: &str, object: Object, revision: Revision) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = state.kinds.get_mut(storage) {
            let entry = Entry {
                object: Arc::new(object),
                revision: Some(revision),
                touched: Instant::now(),
            };
            kind.objects.insert(entry.object.name.clone(), entry);
        }
    }

    /// The version of the newest published event.
    pub fn version(&self) -> u64 {
        self.read(|state| state.version)
    }

    /// Told of the newest version after each publication.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// One object.
    pub fn get(&self, storage: &str, name: &Name) -> Option<Arc<Object>> {
        self.read(|state| Some(state.kinds.get(storage)?.objects.get(name)?.object.clone()))
    }

    /// One object and the store's revision of it.
    pub fn get_stored(
        &self,
        storage: &str,
        name: &Name,
    ) -> Option<(Arc<Object>, Option<Revision>)> {
        self.read(|state| {
            let entry = state.kinds.get(storage)?.objects.get(name)?;
            Some((entry.object.clone(), entry.revision))
        })
    }

    /// Notes another revision of the same content.
    pub fn set_revision(&self, storage: &str, name: &Name, revision: Revision) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = state
            .kinds
            .get_mut(storage)
            .and_then(|kind| kind.objects.get_mut(name))
        {
            entry.revision = Some(revision);
        }
    }

    /// All objects of a kind, or those of one namespace, in order of namespace and name; and the
    /// version at which this is so.
    pub fn list(&self, storage: &str, namespace: Option<&str>) -> (Vec<Arc<Object>>, u64) {
        self.read(|state| {
            let Some(kind) = state.kinds.get(storage) else {
                return (Vec::new(), state.version);
            };
            let objects = in_namespace(kind, namespace)
                .map(|entry| entry.object.clone())
                .collect();
            (objects, state.version)
        })
    }

    /// The list as it was at an earlier version, if the ring reaches back that far.
    pub fn list_at(
        &self,
        storage: &str,
        namespace: Option<&str>,
        version: u64,
    ) -> Result<Vec<Arc<Object>>, Expired> {
        self.read(|state| {
            let Some(kind) = state.kinds.get(storage) else {
                return Ok(Vec::new());
            };
            if version < kind.floor {
                return Err(Expired { oldest: kind.floor });
            }
            let mut objects: BTreeMap<Name, Arc<Object>> = in_namespace(kind, namespace)
                .map(|entry| (entry.object.name.clone(), entry.object.clone()))
                .collect();
            // Undo what came later, newest first.
            for event in kind.ring.iter().rev() {
                if event.object.version <= version {
                    break;
                }
                let name = &event.object.name;
                if namespace.is_some_and(|namespace| namespace != name.namespace) {
                    continue;
                }
                match &event.previous {
                    Some(previous) => objects.insert(name.clone(), previous.clone()),
                    None => objects.remove(name),
                };
            }
            Ok(objects.into_values().collect())
        })
    }

    /// At most `limit` events after a version, and the version up to which nothing is left out.
    pub fn events_after(
        &self,
        storage: &str,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<Arc<Event>>, u64), Expired> {
        self.read(|state| {
            let Some(kind) = state.kinds.get(storage) else {
                return Ok((Vec::new(), state.version));
            };
            if after < kind.floor {
                return Err(Expired { oldest: kind.floor });
            }
            let start = kind
                .ring
                .partition_point(|event| event.object.version <= after);
            let events: Vec<_> = kind.ring.range(start..).take(limit).cloned().collect();
            let reached = if events.len() == limit {
                events.last().map_or(after, |event| event.object.version)
            } else {
                state.version
            };
            Ok((events, reached))
        })
    }

    /// Publishes a change. `object` must carry a version above [`Cache::version`]; the caller holds
    /// the only right to write.
    pub fn publish(
        &self,
        storage: &str,
        kind: EventKind,
        object: Arc<Object>,
        revision: Option<Revision>,
    ) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let version = object.version;
        debug_assert!(version > state.version, "versions only grow");
        state.version = version;
        if let Some(entry) = state.kinds.get_mut(storage) {
            let previous = if kind == EventKind::Deleted {
                entry.objects.remove(&object.name)
            } else {
                let new = Entry {
                    object: object.clone(),
                    revision,
                    touched: Instant::now(),
                };
                entry.objects.insert(object.name.clone(), new)
            };
            let event = Event {
                kind,
                object,
                previous: previous.map(|entry| entry.object),
                line: OnceLock::new(),
            };
            entry.ring_bytes += event.size();
            entry.ring.push_back(Arc::new(event));
            while entry.ring.len() > self.window.events || entry.ring_bytes > self.window.bytes {
                let Some(dropped) = entry.ring.pop_front() else {
                    break;
                };
                entry.ring_bytes -= dropped.size();
                entry.floor = dropped.object.version;
            }
        }
        drop(state);
        self.published.send_replace(version);
    }

    /// Names of the objects that were last written longer ago than `age`.
    pub fn older_than(&self, storage: &str, age: Duration) -> Vec<Name> {
        self.read(|state| {
            let Some(kind) = state.kinds.get(storage) else {
                return Vec::new();
            };
            kind.objects
                .iter()
                .filter(|(_, entry)| entry.touched.elapsed() > age)
                .map(|(name, _)| name.clone())
                .collect()
        })
    }

    /// Names of the oldest objects of a namespace that are more than `cap`.
    pub fn surplus(&self, storage: &str, namespace: &str, cap: usize) -> Vec<Name> {
        self.read(|state| {
            let Some(kind) = state.kinds.get(storage) else {
                return Vec::new();
            };
            let mut entries: Vec<_> = in_namespace(kind, Some(namespace))
                .map(|entry| (entry.object.version, &entry.object.name))
                .collect();
            let Some(more) = entries.len().checked_sub(cap).filter(|more| *more > 0) else {
                return Vec::new();
            };
            entries.sort_unstable();
            entries
                .into_iter()
                .take(more)
                .map(|(_, name)| name.clone())
                .collect()
        })
    }
}

fn in_namespace<'a>(
    kind: &'a Kind,
    namespace: Option<&str>,
) -> Box<dyn Iterator<Item = &'a Entry> + 'a> {
    match namespace {
        None => Box::new(kind.objects.values()),
        Some(namespace) => {
            let namespace = namespace.to_owned();
            let first = Name::new(namespace.clone(), "");
            Box::new(
                kind.objects
                    .range((Bound::Included(first), Bound::Unbounded))
                    .take_while(move |(name, _)| name.namespace == namespace)
                    .map(|(_, entry)| entry),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, version: u64) -> Arc<Object> {
        let value = json!({"metadata": {"name": name, "namespace": "default"}});
        Arc::new(Object::new(value, version).unwrap())
    }

    fn cache(window: Window) -> Cache {
        Cache::new(["things".to_owned()], 10, window)
    }

    #[test]
    fn refuses_versions_before_the_start() {
        let cache = cache(Window::default());
        assert_eq!(
            cache.events_after("things", 9, 10).unwrap_err(),
            Expired { oldest: 10 }
        );
        assert!(cache.events_after("things", 10, 10).is_ok());
    }

    #[test]
    fn drops_the_oldest_events_and_says_so() {
        let cache = cache(Window {
            events: 3,
            bytes: usize::MAX,
        });
        for version in 11..=20 {
            cache.publish("things", EventKind::Modified, object("a", version), None);
        }
        assert_eq!(
            cache.events_after("things", 16, 10).unwrap_err(),
            Expired { oldest: 17 }
        );
        let (events, reached) = cache.events_after("things", 17, 10).unwrap();
        assert_eq!(events.len(), 3);
        assert_eq!(reached, 20);
        let (events, reached) = cache.events_after("things", 17, 2).unwrap();
        assert_eq!((events.len(), reached), (2, 19));
    }

    #[test]
    fn bounds_the_ring_in_bytes() {
        let cache = cache(Window {
            events: usize::MAX,
            bytes: 1000,
        });
        for version in 11..=100 {
            cache.publish("things", EventKind::Modified, object("a", version), None);
        }
        let held = cache.read(|state| state.kinds["things"].ring_bytes);
        assert!(held <= 1000 && held > 500, "{held}");
    }

    #[test]
    fn lists_the_past() {
        let cache = cache(Window::default());
        cache.publish("things", EventKind::Added, object("a", 11), None);
        cache.publish("things", EventKind::Added, object("b", 12), None);
        cache.publish("things", EventKind::Modified, object("a", 13), None);
        cache.publish("things", EventKind::Deleted, object("b", 14), None);
        cache.publish("things", EventKind::Added, object("c", 15), None);
        let at = |version| -> Vec<(String, u64)> {
            cache
                .list_at("things", Some("default"), version)
                .unwrap()
                .iter()
                .map(|object| (object.name.name.clone(), object.version))
                .collect()
        };
        let pair = |name: &str, version| (name.to_owned(), version);
        assert_eq!(at(10), []);
        assert_eq!(at(12), [pair("a", 11), pair("b", 12)]);
        assert_eq!(at(13), [pair("a", 13), pair("b", 12)]);
        assert_eq!(at(15), [pair("a", 13), pair("c", 15)]);
    }

    #[test]
    fn finds_the_surplus() {
        let cache = cache(Window::default());
        for (index, name) in ["x", "b", "m"].iter().enumerate() {
            cache.publish(
                "things",
                EventKind::Added,
                object(name, 11 + index as u64),
                None,
            );
        }
        assert_eq!(
            cache.surplus("things", "default", 1),
            [Name::new("default", "x"), Name::new("default", "b")]
        );
        assert!(cache.surplus("things", "default", 3).is_empty());
        assert!(cache.surplus("things", "other", 0).is_empty());
    }
}
