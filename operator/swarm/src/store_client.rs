//! The five calls that the API server's store needs of the Swarm's configs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use milvus_apiserver::store::swarm::{ConfigClient, ConfigError, ConfigFuture, ConfigObject};
use serde_json::json;

use crate::api::wire::StoredFile;
use crate::api::{ApiError, Engine, FileKind};
use crate::watch::{self, Heard};

/// Configs of a Swarm.
pub struct SwarmConfigs {
    engine: Engine,
    /// Names by id: an update must tell the name, and is not to cost a read.
    names: Mutex<BTreeMap<String, String>>,
}

impl SwarmConfigs {
    /// Over an engine.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            names: Mutex::default(),
        }
    }

    fn keep(&self, id: &str, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(id.to_owned(), name.to_owned());
    }

    fn object(&self, file: StoredFile) -> ConfigObject {
        self.keep(&file.id, &file.spec.name);
        ConfigObject {
            id: file.id,
            name: file.spec.name,
            index: file.version.index,
            labels: file.spec.labels,
        }
    }

    async fn read(&self, id_or_name: &str) -> Result<ConfigObject, ConfigError> {
        let found = self
            .engine
            .file(FileKind::Config, id_or_name)
            .await
            .map_err(failed)?;
        found
            .map(|file| self.object(file))
            .ok_or(ConfigError::NotFound)
    }

    async fn name_of(&self, id: &str) -> Result<String, ConfigError> {
        let kept = {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.get(id).cloned()
        };
        match kept {
            Some(name) => Ok(name),
            None => Ok(self.read(id).await?.name),
        }
    }
}

impl ConfigClient for SwarmConfigs {
    fn list<'a>(&'a self, label: &'a str, value: &'a str) -> ConfigFuture<'a, Vec<ConfigObject>> {
        async move {
            let files = self
                .engine
                .files_labelled(FileKind::Config, &[format!("{label}={value}")])
                .await
                .map_err(failed)?;
            Ok(files.into_iter().map(|file| self.object(file)).collect())
        }
        .boxed()
    }

    fn inspect<'a>(&'a self, id_or_name: &'a str) -> ConfigFuture<'a, ConfigObject> {
        self.read(id_or_name).boxed()
    }

    fn create<'a>(
        &'a self,
        name: &'a str,
        labels: BTreeMap<String, String>,
        data: &'a [u8],
    ) -> ConfigFuture<'a, String> {
        async move {
            let spec = json!({ "Name": name, "Labels": labels, "Data": STANDARD.encode(data) });
            let created = self
                .engine
                .create_file(FileKind::Config, &spec)
                .await
                .map_err(failed)?;
            self.keep(&created.id, name);
            Ok(created.id)
        }
        .boxed()
    }

    fn update_labels<'a>(
        &'a self,
        id: &'a str,
        index: u64,
        labels: BTreeMap<String, String>,
    ) -> ConfigFuture<'a, ()> {
        async move {
            // Without data the Swarm leaves it as it is.
            let spec = json!({ "Name": self.name_of(id).await?, "Labels": labels });
            self.engine
                .update_file(FileKind::Config, id, index, &spec)
                .await
                .map_err(failed)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, id: &'a str) -> ConfigFuture<'a, ()> {
        async move {
            self.engine
                .remove_file(FileKind::Config, id, id)
                .await
                .map_err(failed)?;
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.remove(id);
            Ok(())
        }
        .boxed()
    }

    /// Speaks of removals, which are what hands do; of the one config that is urgent; and when events may have been missed.
    /// Writes of other records, nearly all of them our own, would make it speak all the time.
    fn hints(&self, urgent: &str) -> BoxStream<'static, ()> {
        let urgent = urgent.to_owned();
        watch::listen(self.engine.clone())
            .filter_map(move |heard| {
                futures::future::ready(concerns(&heard, &urgent).then_some(()))
            })
            .boxed()
    }
}

fn concerns(heard: &Heard, urgent: &str) -> bool {
    match heard {
        Heard::Begun => true,
        Heard::Event(event) if event.kind == "config" => {
            event.action == "remove"
                || event
                    .actor
                    .attributes
                    .get("name")
                    .is_some_and(|name| name == urgent)
        }
        Heard::Event(_) | Heard::Noise => false,
    }
}

fn failed(error: ApiError) -> ConfigError {
    if error.is_not_found() {
        ConfigError::NotFound
    } else if error.is_out_of_sequence() {
        ConfigError::Conflict
    } else if error.is_name_taken() {
        ConfigError::Exists
    } else {
        ConfigError::Unavailable(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_and_the_urgent_config_are_hints() {
        let event = |kind: &str, action: &str, name: &str| {
            let event = json!({"Type": kind, "Action": action, "Actor": {"ID": "x", "Attributes": {"name": name}}});
            Heard::Event(serde_json::from_value(event).unwrap())
        };
        let hint = |heard: &Heard| concerns(heard, "who-leads");
        assert!(hint(&Heard::Begun));
        assert!(hint(&event("config", "remove", "any")));
        assert!(hint(&event("config", "update", "who-leads")));
        assert!(!hint(&event("config", "update", "any")));
        assert!(!hint(&event("service", "update", "who-leads")));
        assert!(!hint(&Heard::Noise));
    }
}
