//! What a starting server finds in the store, and its takeover. Touches the store; publishes nothing.
//!
//! The store is read before it is taken over, so that a server that cannot make sense of it (another
//! key, a damaged record) ends nobody else's work; and read once more afterwards, because whoever
//! led until then may have gone on writing.

use std::sync::Arc;

use serde_json::Value;
use tracing::{info, warn};

use crate::cache::{Cache, Window};
use crate::commit::{Committer, decode_body, record_name};
use crate::leadership::{Found, Leadership, VERSION_KEY};
use crate::object::Object;
use crate::resource::{Lane, Registry, Resource};
use crate::seal::Sealer;
use crate::server::BuildError;
use crate::store::{Record, Revision, Store, StoreError};

/// How often others may be faster with taking over before this one gives up.
const TRIES: u32 = 5;

/// All records, read.
struct Loaded {
    objects: Vec<(String, Object, Revision)>,
    /// Above every version of an object and every revision.
    floor: u64,
    leader: Option<Record>,
}

/// Reads the store, takes it over, and makes the writer of its objects.
pub(crate) async fn load(
    registry: &Registry,
    store: Arc<dyn Store>,
    sealer: Option<Arc<Sealer>>,
    window: Window,
) -> Result<Arc<Committer>, BuildError> {
    let read_all = async || {
        let records = store.load_all().await.map_err(BuildError::Load)?;
        read(registry, sealer.as_deref(), records)
    };
    let mut tries = 0;
    let (mut leadership, before) = loop {
        let loaded = read_all().await?;
        let found = loaded.leader.as_ref().map(leader).transpose()?;
        match Leadership::take(store.clone(), loaded.floor, found).await {
            Ok(leadership) => break (leadership, found.map_or(1, |found| found.number)),
            Err(error @ (StoreError::Conflict { .. } | StoreError::Exists { .. })) => {
                tries += 1;
                if tries == TRIES {
                    return Err(BuildError::Contended(error));
                }
                info!("another server is taking over the store too; loading it again");
            }
            Err(error) => return Err(BuildError::Load(error)),
        }
    };
    let loaded = read_all().await?;
    if let Some(record) = &loaded.leader {
        leadership.saw(record);
    }
    let kinds = registry
        .stored()
        .filter(|resource| resource.lane() == Lane::Durable)
        .map(|resource| resource.storage());
    // The one before may have given away all that it had set aside.
    let cache = Cache::new(kinds, loaded.floor.max(before), window);
    for (storage, object, revision) in loaded.objects {
        cache.load(&storage, object, revision);
    }
    Ok(Committer::durable(
        Arc::new(cache),
        store,
        sealer,
        leadership,
    ))
}

fn leader(record: &Record) -> Result<Found, BuildError> {
    Found::read(record).ok_or_else(|| BuildError::Record {
        key: record.key.clone(),
        problem: "it is not a number".into(),
    })
}

fn read(
    registry: &Registry,
    sealer: Option<&Sealer>,
    records: Vec<Record>,
) -> Result<Loaded, BuildError> {
    let mut loaded = Loaded {
        objects: Vec::new(),
        floor: 1,
        leader: None,
    };
    for record in records {
        // Raft indices and versions grow apart; whichever is ahead, versions start above it.
        loaded.floor = loaded.floor.max(record.revision.0);
        if record.key == VERSION_KEY {
            loaded.leader = Some(record);
            continue;
        }
        let Some(resource) = registry
            .stored()
            .find(|resource| record_name(&resource.storage(), &record.key).is_some())
        else {
            warn!(
                key = record.key,
                "a stored record is of no served kind; left alone"
            );
            continue;
        };
        let object =
            read_record(resource, sealer, &record).map_err(|error| BuildError::Record {
                key: record.key.clone(),
                problem: error.to_string(),
            })?;
        loaded.floor = loaded.floor.max(object.version);
        let storage = resource.storage();
        loaded.objects.push((storage, object, record.revision));
    }
    Ok(loaded)
}

/// A stored object as today's schema has it: undeclared fields dropped, new defaults filled in.
fn read_record(
    resource: &Resource,
    sealer: Option<&Sealer>,
    record: &Record,
) -> Result<Object, Box<dyn std::error::Error>> {
    let body = decode_body(sealer, record)?;
    let mut value: Value = serde_json::from_slice(&body)?;
    if let Some(schema) = resource.schema() {
        schema.prune(&mut value);
        schema.default(&mut value);
    }
    let version = crate::object::meta_str(&value, "resourceVersion").parse()?;
    Ok(Object::new(value, version)?)
}
