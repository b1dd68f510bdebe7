use std::sync::Mutex;

use super::*;
use crate::store::StoreFuture;
use crate::store::memory::MemoryStore;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Writes are carried out, and their answers lost.
    AnswersLost,
    /// Writes are not carried out, nor answered; looks are.
    WritesLost,
    /// Nothing is answered.
    Down,
}

struct Faulty {
    inner: MemoryStore,
    fault: Mutex<Fault>,
}

impl Faulty {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(),
            fault: Mutex::new(Fault::None),
        })
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    fn written<'a, T: Send + 'a>(
        &'a self,
        write: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            match self.fault() {
                Fault::None => write().await,
                Fault::AnswersLost => write().await.and_then(|_| Err(silence())),
                Fault::WritesLost | Fault::Down => Err(silence()),
            }
        })
    }

    /// What the record says, and a change of it as the store would tell of it.
    async fn record(&self) -> Record {
        self.inner.get(VERSION_KEY).await.unwrap().unwrap()
    }

    async fn number(&self) -> u64 {
        Found::read(&self.record().await).unwrap().number
    }

    async fn write(&self, body: &'static str) {
        let revision = self.record().await.revision;
        let body = Bytes::from_static(body.as_bytes());
        let written = self.inner.update(VERSION_KEY, revision, body);
        written.await.unwrap();
    }

    async fn remove(&self) {
        let revision = self.record().await.revision;
        self.inner.delete(VERSION_KEY, revision).await.unwrap();
    }
}

fn silence() -> StoreError {
    StoreError::Unavailable {
        operation: "write",
        key: VERSION_KEY.into(),
        source: "no answer".into(),
    }
}

impl Store for Faulty {
    fn load_all(&self) -> StoreFuture<'_, Vec<Record>> {
        self.inner.load_all()
    }

    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        if self.fault() == Fault::Down {
            return Box::pin(async { Err(silence()) });
        }
        self.inner.get(key)
    }

    fn create<'a>(&'a self, key: &'a str, body: Bytes) -> StoreFuture<'a, Revision> {
        self.written(|| self.inner.create(key, body))
    }

    fn update<'a>(
        &'a self,
        key: &'a str,
        expected: Revision,
        body: Bytes,
    ) -> StoreFuture<'a, Revision> {
        self.written(move || self.inner.update(key, expected, body))
    }

    fn delete<'a>(&'a self, key: &'a str, expected: Revision) -> StoreFuture<'a, ()> {
        self.written(move || self.inner.delete(key, expected))
    }

    fn is_private(&self) -> bool {
        true
    }
}

/// A server starts.
async fn take(store: &Arc<Faulty>) -> Leadership {
    let found = store.inner.get(VERSION_KEY).await.unwrap();
    let found = found.as_ref().and_then(Found::read);
    Leadership::take(store.clone(), 1, found).await.unwrap()
}

fn is_superseded(leadership: &Leadership) -> bool {
    leadership.superseded().is_cancelled()
}

#[tokio::test]
async fn each_takes_over_with_a_higher_number_and_another_mark() {
    let store = Faulty::new();
    let mut before = 0;
    for _ in 0..50 {
        let leadership = take(&store).await;
        let number = store.number().await;
        assert!(number >= before + RESERVE, "{number} after {before}");
        assert!(number <= before + RESERVE + MARKS + 1);
        assert_ne!(number % MARKS, before % MARKS);
        assert_eq!(number, leadership.until);
        before = number;
    }
}

#[tokio::test]
async fn of_two_that_start_at_once_one_has_to_load_again() {
    let store = Faulty::new();
    take(&store).await;
    let found = Found::read(&store.record().await);
    Leadership::take(store.clone(), 1, found).await.unwrap();
    let late = Leadership::take(store.clone(), 1, found).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })));
    store.remove().await;
    Leadership::take(store.clone(), 1, None).await.unwrap();
    let late = Leadership::take(store.clone(), 1, None).await;
    assert!(matches!(late, Err(StoreError::Exists { .. })));
}

#[tokio::test]
async fn a_conflict_when_versions_are_set_aside_tells_of_another() {
    let store = Faulty::new();
    let mut first = take(&store).await;
    let mut second = take(&store).await;
    let error = first.reserve(first.until + 1).await.unwrap_err();
    assert_eq!(error.code, 503);
    assert!(error.message.contains("taken over"), "{error}");
    assert!(is_superseded(&first));
    // It writes no more, and the second goes on.
    let number = store.number().await;
    first.reserve(first.until + 1).await.unwrap_err();
    assert_eq!(store.number().await, number);
    second.reserve(second.until + 1).await.unwrap();
    second.confirm().await.unwrap();
    assert!(!is_superseded(&second));
}

#[tokio::test]
async fn an_unanswered_write_of_our_own_is_not_taken_for_anothers() {
    let store = Faulty::new();
    let mut leadership = take(&store).await;
    let until = leadership.until;
    // Not carried out: the versions may not be given away, and the next try is free to do it again.
    store.set(Fault::WritesLost);
    assert_eq!(leadership.reserve(until + 1).await.unwrap_err().code, 503);
    assert_eq!(leadership.until, until);
    // Carried out and found.
    store.set(Fault::AnswersLost);
    leadership.reserve(until + 1).await.unwrap();
    assert!(leadership.until > until);
    assert_eq!(leadership.until, store.number().await);
    store.set(Fault::None);
    leadership.reserve(leadership.until + 1).await.unwrap();
    // The same by the feed of changes.
    let record = store.record().await;
    leadership.heard(Change::Changed(record)).await;
    assert!(!is_superseded(&leadership));
}

#[tokio::test]
async fn the_feed_tells_of_another() {
    let store = Faulty::new();
    let mut first = take(&store).await;
    take(&store).await;
    let record = store.record().await;
    first.heard(Change::Changed(record)).await;
    assert!(is_superseded(&first));
    assert_eq!(first.confirm().await.unwrap_err().code, 503);
}

#[tokio::test]
async fn an_older_release_that_writes_is_another() {
    let store = Faulty::new();
    let mut leadership = take(&store).await;
    // What it does: the number that it found, and ten thousand more.
    let number = store.number().await + 10_000;
    store.write(number.to_string().leak()).await;
    leadership.confirm().await.unwrap_err();
    assert!(is_superseded(&leadership));
}

#[tokio::test]
async fn a_record_that_says_nothing_is_written_again() {
    let store = Faulty::new();
    let mut leadership = take(&store).await;
    let number = leadership.until;
    store.remove().await;
    let key = VERSION_KEY.to_owned();
    leadership.heard(Change::Vanished { key }).await;
    assert!(store.number().await > number);
    store.write("nonsense").await;
    leadership.confirm().await.unwrap();
    assert_eq!(store.number().await, leadership.until);
    leadership.reserve(leadership.until + 1).await.unwrap();
    assert!(!is_superseded(&leadership));
}

#[tokio::test]
async fn of_two_that_write_a_lost_record_again_one_wins() {
    let store = Faulty::new();
    let mut first = take(&store).await;
    let mut second = take(&store).await;
    store.remove().await;
    first.confirm().await.unwrap();
    second.confirm().await.unwrap_err();
    assert!(!is_superseded(&first) && is_superseded(&second));
}

#[tokio::test]
async fn without_an_answer_nothing_is_confirmed_and_nobody_is_superseded() {
    let store = Faulty::new();
    let mut leadership = take(&store).await;
    store.set(Fault::Down);
    assert_eq!(leadership.confirm().await.unwrap_err().code, 503);
    let key = VERSION_KEY.to_owned();
    leadership.heard(Change::Vanished { key }).await;
    assert!(!is_superseded(&leadership));
    store.set(Fault::None);
    leadership.confirm().await.unwrap();
}
