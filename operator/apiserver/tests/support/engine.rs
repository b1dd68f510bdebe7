//! The engine's config API in memory, as a Swarm behaves: indices from one counter, stale ones refused, names
//! unique. It can be told to be down, or to carry calls out and lose the answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use milvus_apiserver::store::swarm::{ConfigClient, ConfigError, ConfigFuture, ConfigObject};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    #[default]
    None,
    /// No call is carried out.
    Down,
    /// Writes are carried out, and their answers lost.
    AnswersLost,
}

#[derive(Default)]
struct State {
    counter: u64,
    objects: BTreeMap<String, ConfigObject>,
    fault: Fault,
}

/// A Swarm's configs. Clones are other clients of the same Swarm.
#[derive(Clone, Default)]
pub struct Engine {
    state: Arc<Mutex<State>>,
}

impl Engine {
    pub fn set(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    /// All objects, to look at or to change behind the store's back.
    pub fn objects<T>(&self, look: impl FnOnce(&mut BTreeMap<String, ConfigObject>) -> T) -> T {
        look(&mut self.state.lock().unwrap().objects)
    }

    /// Writes so far.
    pub fn writes(&self) -> u64 {
        self.state.lock().unwrap().counter
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&BTreeMap<String, ConfigObject>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let state = self.state.lock().unwrap();
        match state.fault {
            Fault::Down => Err(ConfigError::Unavailable("the swarm has no leader".into())),
            Fault::None | Fault::AnswersLost => read(&state.objects),
        }
    }

    fn write<T>(
        &self,
        write: impl FnOnce(u64, &mut BTreeMap<String, ConfigObject>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let mut state = self.state.lock().unwrap();
        let State {
            counter,
            objects,
            fault,
        } = &mut *state;
        if *fault == Fault::Down {
            return Err(ConfigError::Unavailable("the swarm has no leader".into()));
        }
        let result = write(*counter + 1, objects)?;
        *counter += 1;
        match fault {
            Fault::AnswersLost => Err(ConfigError::Unavailable("the connection was lost".into())),
            _ => Ok(result),
        }
    }
}

impl ConfigClient for Engine {
    fn list<'a>(&'a self, label: &'a str, value: &'a str) -> ConfigFuture<'a, Vec<ConfigObject>> {
        let found = self.read(|objects| {
            Ok(objects
                .values()
                .filter(|object| object.labels.get(label).map(String::as_str) == Some(value))
                .cloned()
                .collect())
        });
        Box::pin(async move { found })
    }

    fn inspect<'a>(&'a self, id: &'a str) -> ConfigFuture<'a, ConfigObject> {
        let found = self.read(|objects| {
            objects
                .values()
                .find(|object| object.id == id || object.name == id)
                .cloned()
                .ok_or(ConfigError::NotFound)
        });
        Box::pin(async move { found })
    }

    fn create<'a>(
        &'a self,
        name: &'a str,
        labels: BTreeMap<String, String>,
        _data: &'a [u8],
    ) -> ConfigFuture<'a, String> {
        let result = self.write(|index, objects| {
            if objects.values().any(|object| object.name == name) {
                return Err(ConfigError::Exists);
            }
            let object = ConfigObject {
                id: format!("id{index}"),
                name: name.into(),
                index,
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
        let result = self.write(|next, objects| {
            let object = objects.get_mut(id).ok_or(ConfigError::NotFound)?;
            if object.index != index {
                return Err(ConfigError::Conflict);
            }
            object.index = next;
            object.labels = labels;
            Ok(())
        });
        Box::pin(async move { result })
    }

    fn remove<'a>(&'a self, id: &'a str) -> ConfigFuture<'a, ()> {
        let gone = self.write(|_, objects| match objects.remove(id) {
            Some(_) => Ok(()),
            None => Err(ConfigError::NotFound),
        });
        Box::pin(async move { gone })
    }
}
