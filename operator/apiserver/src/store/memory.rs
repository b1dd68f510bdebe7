//! A store that forgets: for tests and for trying things out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Record, Revision, Store, StoreError, StoreFuture};

#[derive(Debug, Default)]
struct Inner {
    revision: u64,
    records: BTreeMap<String, (Revision, Bytes)>,
}

/// Records in memory. Clones share them, so a second server on a clone is a restart of the first.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load_all(&self) -> StoreFuture<'_, Vec<Record>> {
        let records = self
            .lock()
            .records
            .iter()
            .map(|(key, (revision, body))| Record {
                key: key.clone(),
                revision: *revision,
                body: body.clone(),
            })
            .collect();
        Box::pin(async move { Ok(records) })
    }

    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        let found = self.lock().records.get(key).map(|(revision, body)| Record {
            key: key.to_owned(),
            revision: *revision,
            body: body.clone(),
        });
        Box::pin(async move { Ok(found) })
    }

    fn create<'a>(&'a self, key: &'a str, body: Bytes) -> StoreFuture<'a, Revision> {
        let mut inner = self.lock();
        let result = if inner.records.contains_key(key) {
            Err(StoreError::Exists {
                key: key.to_owned(),
            })
        } else {
            inner.revision += 1;
            let revision = Revision(inner.revision);
            inner.records.insert(key.to_owned(), (revision, body));
            Ok(revision)
        };
        Box::pin(async move { result })
    }

    fn update<'a>(
        &'a self,
        key: &'a str,
        expected: Revision,
        body: Bytes,
    ) -> StoreFuture<'a, Revision> {
        let mut inner = self.lock();
        let next = Revision(inner.revision + 1);
        let result = match inner.records.get_mut(key) {
            Some(record) if record.0 == expected => {
                *record = (next, body);
                inner.revision = next.0;
                Ok(next)
            }
            _ => Err(StoreError::Conflict {
                operation: "update",
                key: key.to_owned(),
            }),
        };
        Box::pin(async move { result })
    }

    fn delete<'a>(&'a self, key: &'a str, expected: Revision) -> StoreFuture<'a, ()> {
        let mut inner = self.lock();
        let result = match inner.records.get(key) {
            Some((revision, _)) if *revision == expected => {
                inner.records.remove(key);
                inner.revision += 1;
                Ok(())
            }
            _ => Err(StoreError::Conflict {
                operation: "delete",
                key: key.to_owned(),
            }),
        };
        Box::pin(async move { result })
    }

    fn is_private(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn refuses_stale_revisions() {
        let store = MemoryStore::new();
        let first = store.create("a", Bytes::from_static(b"1")).await.unwrap();
        let second = store
            .update("a", first, Bytes::from_static(b"2"))
            .await
            .unwrap();
        assert!(second > first);
        assert!(matches!(
            store.update("a", first, Bytes::from_static(b"3")).await,
            Err(StoreError::Conflict { .. })
        ));
        assert!(matches!(
            store.delete("a", first).await,
            Err(StoreError::Conflict { .. })
        ));
        assert!(matches!(
            store.create("a", Bytes::new()).await,
            Err(StoreError::Exists { .. })
        ));
        store.delete("a", second).await.unwrap();
        assert_eq!(store.get("a").await.unwrap(), None);
    }
}
