//! The store against an engine's behaviour, in memory.

use super::*;

/// The config API as the engine behaves: indices from one counter, refused when stale.
#[derive(Clone, Default)]
struct Engine {
    state: Arc<Mutex<(u64, BTreeMap<String, ConfigObject>)>>,
}

impl Engine {
    fn change<T>(
        &self,
        change: impl FnOnce(&mut u64, &mut BTreeMap<String, ConfigObject>) -> T,
    ) -> T {
        let mut state = self.state.lock().unwrap();
        let (counter, objects) = &mut *state;
        change(counter, objects)
    }
}

impl ConfigClient for Engine {
    fn list<'a>(&'a self, label: &'a str, value: &'a str) -> ConfigFuture<'a, Vec<ConfigObject>> {
        let found = self.change(|_, objects| {
            objects
                .values()
                .filter(|object| object.labels.get(label).map(String::as_str) == Some(value))
                .cloned()
                .collect()
        });
        Box::pin(async move { Ok(found) })
    }

    fn inspect<'a>(&'a self, id: &'a str) -> ConfigFuture<'a, ConfigObject> {
        let found = self.change(|_, objects| {
            objects
                .values()
                .find(|object| object.id == id || object.name == id)
                .cloned()
        });
        Box::pin(async move { found.ok_or(ConfigError::NotFound) })
    }

    fn create<'a>(
        &'a self,
        name: &'a str,
        labels: BTreeMap<String, String>,
        _data: &'a [u8],
    ) -> ConfigFuture<'a, String> {
        let result = self.change(|counter, objects| {
            if objects.values().any(|object| object.name == name) {
                return Err(ConfigError::Exists);
            }
            *counter += 1;
            let object = ConfigObject {
                id: format!("id{counter}"),
                name: name.into(),
                index: *counter,
                labels,
            };
            let id = object.id.clone();
            objects.insert(id.clone(), object);
            Ok(id)
        });
        Box::pin(async move { result })
    }

    fn update_labels<'a>(
        &'a self,
        id: &'a str,
        index: u64,
        labels: BTreeMap<String, String>,
    ) -> ConfigFuture<'a, ()> {
        let result = self.change(|counter, objects| {
            let object = objects.get_mut(id).ok_or(ConfigError::NotFound)?;
            if object.index != index {
                return Err(ConfigError::Conflict);
            }
            *counter += 1;
            object.index = *counter;
            object.labels = labels;
            Ok(())
        });
        Box::pin(async move { result })
    }

    fn remove<'a>(&'a self, id: &'a str) -> ConfigFuture<'a, ()> {
        let gone = self.change(|_, objects| objects.remove(id));
        Box::pin(async move { gone.map(|_| ()).ok_or(ConfigError::NotFound) })
    }
}

fn store(engine: &Engine) -> SwarmStore<Engine> {
    SwarmStore::new(
        engine.clone(),
        SwarmStoreOptions {
            label_prefix: "test.example.io".into(),
            name_prefix: "test-store".into(),
            instance: "main".into(),
            resync: Duration::from_millis(10),
        },
    )
}

#[tokio::test]
async fn keeps_records_over_a_restart() {
    let engine = Engine::default();
    let first = store(&engine);
    let created = first
        .create("a/b/c", Bytes::from_static(b"1"))
        .await
        .unwrap();
    let updated = first
        .update("a/b/c", created, Bytes::from_static(b"2"))
        .await
        .unwrap();
    assert!(updated > created);
    let second = store(&engine);
    assert_eq!(
        second.load_all().await.unwrap(),
        [Record {
            key: "a/b/c".into(),
            revision: updated,
            body: Bytes::from_static(b"2")
        }]
    );
    second.delete("a/b/c", updated).await.unwrap();
    assert_eq!(second.get("a/b/c").await.unwrap(), None);
}

#[tokio::test]
async fn a_second_writer_is_refused_and_sees_why() {
    let engine = Engine::default();
    let (one, two) = (store(&engine), store(&engine));
    let revision = one.create("k", Bytes::from_static(b"1")).await.unwrap();
    two.load_all().await.unwrap();
    two.update("k", revision, Bytes::from_static(b"2"))
        .await
        .unwrap();
    assert!(matches!(
        one.update("k", revision, Bytes::from_static(b"3")).await,
        Err(StoreError::Conflict { .. })
    ));
    assert!(matches!(
        one.delete("k", revision).await,
        Err(StoreError::Conflict { .. })
    ));
    let seen = one.get("k").await.unwrap().unwrap();
    assert_eq!(seen.body, "2");
    one.update("k", seen.revision, Bytes::from_static(b"3"))
        .await
        .unwrap();
}

#[tokio::test]
async fn tells_what_others_did() {
    let engine = Engine::default();
    let mine = store(&engine);
    let stays = mine
        .create("stays", Bytes::from_static(b"1"))
        .await
        .unwrap();
    mine.create("goes", Bytes::from_static(b"1")).await.unwrap();
    let mut changes = mine.changes();
    engine.change(|_, objects| {
        objects.retain(|_, object| object.labels["test.example.io/key"] != "goes");
    });
    let change = changes.next().await.unwrap();
    assert_eq!(change, Change::Vanished { key: "goes".into() });
    mine.create("goes", Bytes::from_static(b"again"))
        .await
        .unwrap();
    let other = store(&engine);
    other.load_all().await.unwrap();
    other
        .update("stays", stays, Bytes::from_static(b"2"))
        .await
        .unwrap();
    let change = changes.next().await.unwrap();
    assert!(
        matches!(&change, Change::Changed(record) if record.body == "2"),
        "{change:?}"
    );
}

#[tokio::test]
async fn refuses_what_the_swarm_would_refuse() {
    let store = store(&Engine::default());
    let large = Bytes::from(vec![b'x'; BODY_LIMIT + 1]);
    assert!(matches!(
        store.create("k", large).await,
        Err(StoreError::TooLarge { .. })
    ));
    let name = store.inner.options.object_name("a/very/long-key");
    assert!(
        name.len() <= 64 && name.starts_with("test-store-"),
        "{name}"
    );
}
