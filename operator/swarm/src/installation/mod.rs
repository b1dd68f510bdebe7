//! The operator itself on a Swarm: its service, the secrets that it mounts, its image on the nodes. Used by the commands that
//! install and remove it; the operator at work never comes here.
//!
//! The secrets do not carry the stack's label on purpose: `docker stack rm` would take them along, and with the sealing key
//! every Secret that the store holds.

mod compose;
mod service;
mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use milvus_apiserver::store::swarm::SwarmStoreOptions;
use serde_json::json;

pub use compose::compose;
pub use service::{OperatorService, SOCKET_IN_TASK};
pub use state::{OperatorState, OperatorTask, RunningTask};

use crate::api::wire::{self, StoredFile};
use crate::api::{ApiError, Engine, FileKind};
use crate::labels;
use state::{running_of, state_of, upgrade};

/// The operator's stack.
pub const STACK: &str = milvus_core::names::OPERATOR_STACK;
/// The operator's service.
pub const SERVICE: &str = "milvus-operator_operator";
/// The sealing key's secret. Made once, never replaced.
pub const SEALING_SECRET: &str = "milvus-operator-seal";
/// Name of the authority's secrets; a generation follows.
pub const AUTHORITY_SECRETS: &str = "milvus-operator-keys-";
/// Which part of an installation an object is.
const PART: &str = "io.milvus.operator/installation";
/// The part that runs.
const OPERATOR: &str = "operator";
/// Image that the service was last made from, so that another one under the same name is noticed.
const IMAGE_ID: &str = "io.milvus.operator/image-id";

/// How often records are compared with what the operator has in memory: events may be lost.
const STORE_RESYNC: Duration = Duration::from_secs(30);

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] ApiError),
    /// Not a manager, or no majority.
    #[error(
        "the engine at {host} is not a Swarm manager, or the managers have no majority: name a manager with --docker-host, or run docker swarm init"
    )]
    NotManager {
        /// Address.
        host: String,
    },
    /// A name of ours is taken.
    #[error("{kind} {name} is foreign (it has no label {PART}): rename or remove it")]
    Foreign {
        /// Kind of object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Nothing to carry.
    #[error("there is no image {reference} at {host}: build or load it there first")]
    NoImage {
        /// Image.
        reference: String,
        /// Engine.
        host: String,
    },
}

/// The operator's secrets on a Swarm. Their contents cannot be read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Id of the newest authority's secret, by generation.
    pub authorities: BTreeMap<u32, String>,
    /// Id of the sealing key's secret.
    pub sealing: Option<String>,
}

impl Secrets {
    /// Generation of the newest authority.
    pub fn authority(&self) -> Option<u32> {
        self.authorities.keys().next_back().copied()
    }
}

/// What applying the service did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was not there.
    Created,
    /// It was changed: these fields.
    Updated(Vec<String>),
    /// It was like that already.
    Unchanged,
}

/// A Swarm on which the operator is, or is to be.
#[derive(Clone, Debug)]
pub struct Installation {
    engine: Engine,
    node: String,
}

impl Installation {
    /// Reaches a manager.
    ///
    /// # Errors
    /// When nobody answers, or who answers is no manager.
    pub async fn connect(host: &str) -> Result<Self, InstallationError> {
        let engine = Engine::connect(host).await?;
        let info = engine.info().await?;
        if !info.swarm.control_available {
            return Err(InstallationError::NotManager {
                host: engine.host().to_string(),
            });
        }
        Ok(Self {
            engine,
            node: info.swarm.node_id,
        })
    }

    /// Node of the manager that was reached.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Name of a node, for people.
    pub async fn node_name(&self, id: &str) -> Result<String, InstallationError> {
        let nodes = self.engine.nodes().await?;
        let node = nodes.into_iter().find(|n| n.id == id);
        Ok(node.map_or_else(|| id.to_owned(), |n| n.description.hostname))
    }

    /// Names of the nodes whose ids are not among these.
    pub async fn nodes_besides(&self, ids: &[String]) -> Result<Vec<String>, InstallationError> {
        let nodes = self.engine.nodes().await?;
        let others = nodes.into_iter().filter(|n| !ids.contains(&n.id));
        Ok(others.map(|n| n.description.hostname).collect())
    }

    /// Node ids by name; two nodes of one name are in nobody's interest and left out.
    pub async fn nodes_by_name(&self) -> Result<BTreeMap<String, String>, InstallationError> {
        let mut by_name: BTreeMap<String, Option<String>> = BTreeMap::new();
        for node in self.engine.nodes().await? {
            by_name
                .entry(node.description.hostname)
                .and_modify(|id| *id = None)
                .or_insert(Some(node.id));
        }
        Ok(by_name
            .into_iter()
            .filter_map(|(name, id)| Some((name, id?)))
            .collect())
    }

    /// The secrets that are there.
    pub async fn secrets(&self) -> Result<Secrets, InstallationError> {
        secrets_of(&self.engine.files(FileKind::Secret, STACK).await?)
    }

    /// Keeps a new authority as the next generation. Answers with its generation.
    pub async fn add_authority(&self, text: &str) -> Result<u32, InstallationError> {
        let generation = self.secrets().await?.authority().unwrap_or(0) + 1;
        let name = authority_secret(generation);
        self.create_secret(&name, "authority", text).await?;
        Ok(generation)
    }

    /// Keeps the sealing key.
    pub async fn add_sealing_key(&self, text: &str) -> Result<(), InstallationError> {
        self.create_secret(SEALING_SECRET, "sealing-key", text)
            .await
    }

    async fn create_secret(
        &self,
        name: &str,
        part: &str,
        text: &str,
    ) -> Result<(), InstallationError> {
        let spec = json!({
            "Name": name,
            "Labels": { PART: part },
            "Data": STANDARD.encode(text),
        });
        self.engine.create_file(FileKind::Secret, &spec).await?;
        Ok(())
    }

    /// Removes authorities older than the newest. They may still be in use by a task that is stopping: those stay until the
    /// next time. Answers with the names of the removed.
    pub async fn remove_old_authorities(&self) -> Result<Vec<String>, InstallationError> {
        let secrets = self.secrets().await?;
        let newest = secrets.authority();
        let mut removed = Vec::new();
        for (generation, id) in secrets.authorities {
            let name = authority_secret(generation);
            if Some(generation) == newest {
                continue;
            }
            match self.engine.remove_file(FileKind::Secret, &id, &name).await {
                Ok(()) => removed.push(name),
                Err(error) if error.is_in_use() || error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(removed)
    }

    /// Removes the sealing key and every authority. Answers with their names.
    pub async fn remove_secrets(&self) -> Result<Vec<String>, InstallationError> {
        let secrets = self.secrets().await?;
        let sealing = secrets.sealing.map(|id| (SEALING_SECRET.to_owned(), id));
        let authorities = secrets
            .authorities
            .into_iter()
            .map(|(generation, id)| (authority_secret(generation), id));
        let mut removed = Vec::new();
        for (name, id) in authorities.chain(sealing) {
            self.engine
                .remove_file(FileKind::Secret, &id, &name)
                .await?;
            removed.push(name);
        }
        Ok(removed)
    }

    /// Pins an image to the digest that its registry has now; as it is when no registry answers.
    pub async fn pin(&self, reference: &str, registry_auth: Option<&str>) -> String {
        if reference.contains('@') {
            return reference.to_owned();
        }
        match self.engine.registry_digest(reference, registry_auth).await {
            Ok(digest) => format!("{reference}@{digest}"),
            Err(error) => {
                tracing::debug!(%error, "the image is not pinned to a digest");
                reference.to_owned()
            }
        }
    }

    /// Makes the operator's service, or brings it to this spec. Nothing is written when it is like that already.
    /// `registry_auth`: credentials for the image's registry, as the engine's API wants them; the Swarm keeps them for its nodes.
    pub async fn apply(
        &self,
        service: &OperatorService,
        registry_auth: Option<&str>,
    ) -> Result<Applied, InstallationError> {
        let secrets = self.secrets().await?;
        let spec = service.spec(
            secrets.authorities.get(&service.authority_generation),
            secrets.sealing.as_ref(),
        );
        let Some(found) = self.service().await? else {
            self.engine.create_service(&spec, registry_auth).await?;
            return Ok(Applied::Created);
        };
        let Some((changes, spec)) = upgrade(spec, &found) else {
            return Ok(Applied::Unchanged);
        };
        self.engine
            .update_service(&found.id, found.version.index, &spec, registry_auth)
            .await?;
        Ok(Applied::Updated(changes))
    }

    /// How the operator's service is; `None` when it is not there.
    pub async fn state(&self) -> Result<Option<OperatorState>, InstallationError> {
        let Some(service) = self.service().await? else {
            return Ok(None);
        };
        let mut tasks = self.engine.tasks_of(SERVICE).await?;
        tasks.sort_by_key(|task| std::cmp::Reverse(task.created_at));
        Ok(Some(state_of(&service, &tasks)))
    }

    /// Removes the operator's service and waits for nothing. Tells whether it was there.
    pub async fn remove(&self) -> Result<bool, InstallationError> {
        let Some(service) = self.service().await? else {
            return Ok(false);
        };
        self.engine.remove_service(&service.id, SERVICE).await?;
        Ok(true)
    }

    /// The operator's tasks that have not ended, also of a service that is gone.
    pub async fn running(&self) -> Result<Vec<RunningTask>, InstallationError> {
        let tasks = self
            .engine
            .tasks_labelled(&format!("{PART}={OPERATOR}"))
            .await?;
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let nodes = self.engine.nodes().await?;
        Ok(running_of(&tasks, &nodes))
    }

    /// Clusters that have services on this Swarm (`<namespace>/<name>`), with their number.
    pub async fn clusters(&self) -> Result<BTreeMap<String, usize>, InstallationError> {
        let mut clusters = BTreeMap::new();
        for service in self.engine.services_labelled(labels::CLUSTER).await? {
            if let Some(cluster) = service.label(labels::CLUSTER) {
                *clusters.entry(cluster.to_owned()).or_default() += 1;
            }
        }
        Ok(clusters)
    }

    /// Names and ids of the configs that hold the store of resources.
    pub async fn stored(&self) -> Result<BTreeMap<String, String>, InstallationError> {
        let store = store();
        let label = format!("{}/store={}", store.label_prefix, store.instance);
        let files = self
            .engine
            .files_labelled(FileKind::Config, &[label])
            .await?;
        Ok(files.into_iter().map(|f| (f.spec.name, f.id)).collect())
    }

    /// Removes configs by name and id, as [`Installation::stored`] gave them.
    pub async fn remove_stored(
        &self,
        stored: &BTreeMap<String, String>,
    ) -> Result<(), InstallationError> {
        for (name, id) in stored {
            match self.engine.remove_file(FileKind::Config, id, name).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    async fn service(&self) -> Result<Option<wire::Service>, InstallationError> {
        let found = self.engine.service(SERVICE).await?;
        match found {
            // A stack file has our stack's label but not necessarily the one below.
            Some(service)
                if service.label(PART).is_none() && service.label(labels::STACK) != Some(STACK) =>
            {
                Err(InstallationError::Foreign {
                    kind: "service",
                    name: SERVICE.to_owned(),
                })
            }
            found => Ok(found),
        }
    }
}

/// Node id of an engine.
pub async fn node_of(host: &str) -> Result<String, InstallationError> {
    Ok(Engine::connect(host).await?.info().await?.swarm.node_id)
}

/// Id of an image at an engine; `None` when it is not there.
pub async fn image_id(host: &str, reference: &str) -> Result<Option<String>, InstallationError> {
    let engine = Engine::connect(host).await?;
    Ok(engine.image(reference).await?.map(|image| image.id))
}

/// Carries an image to another engine, unless it is there. Tells whether it had to.
pub async fn carry(from: &str, to: &str, reference: &str) -> Result<bool, InstallationError> {
    let source = Engine::connect(from).await?;
    let target = Engine::connect(to).await?;
    let Some(image) = source.image(reference).await? else {
        return Err(InstallationError::NoImage {
            reference: reference.to_owned(),
            host: from.to_owned(),
        });
    };
    if target
        .image(reference)
        .await?
        .is_some_and(|there| there.id == image.id)
    {
        return Ok(false);
    }
    source.carry_image(reference, &target).await?;
    Ok(true)
}

/// What the records of the operator's store are called and marked with.
pub fn store() -> SwarmStoreOptions {
    SwarmStoreOptions {
        label_prefix: "io.milvus.operator".to_owned(),
        name_prefix: STACK.to_owned(),
        instance: STACK.to_owned(),
        resync: STORE_RESYNC,
    }
}

/// Name of an authority's secret.
pub fn authority_secret(generation: u32) -> String {
    format!("{AUTHORITY_SECRETS}{generation}")
}

fn secrets_of(files: &[StoredFile]) -> Result<Secrets, InstallationError> {
    let mut secrets = Secrets::default();
    for file in files {
        let name = &file.spec.name;
        let generation = name
            .strip_prefix(AUTHORITY_SECRETS)
            .and_then(|n| n.parse::<u32>().ok());
        if let Some(generation) = generation {
            secrets.authorities.insert(generation, file.id.clone());
        } else if name == SEALING_SECRET {
            secrets.sealing = Some(file.id.clone());
        }
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests;
