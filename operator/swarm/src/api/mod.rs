//! The engine's API as far as it is used here. Only this folder opens connections to an engine.
//!
//! bollard makes the calls whose types hold what the engine says: removals, images, versions. The others go over the same
//! transport with types of ours, because bollard's would lose or refuse something: addresses of tasks, specs that must be kept
//! whole so that a partial change loses nothing, words that a newer engine may know, bodies that it writes to its log and that
//! may be secrets. `docs/adr/0007-bollard.md` has the list.

pub mod error;
pub mod host;
pub mod http;
pub mod images;
mod transport;
pub mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ::http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use bollard::{BollardRequest, ClientVersion, Docker};
pub use error::ApiError;
use host::{Environment, Host};
use http::{CALL_TIMEOUT, Call, escape};
use wire::{Created, Network, Node, Service, StoredFile, Task, Updated, Version};

/// The oldest API that has what we need (jobs, ulimits, job status): engine 20.10.
const OLDEST: u32 = 41;

/// A connection to the engine of one manager.
#[derive(Clone, Debug)]
pub struct Engine {
    host: Host,
    minor: Arc<AtomicU32>,
}

impl Engine {
    /// Reads an address in a form that [`Host::find`] knows, with the environment of this process, and connects.
    ///
    /// # Errors
    /// When the address is none, there is no answer, or the engine is too old.
    pub async fn connect(host: &str) -> Result<Self, ApiError> {
        Self::reach(Host::find(host, &Environment::read())?).await
    }

    /// Agrees on an API version: the oldest that both know, so that every engine behaves alike.
    ///
    /// # Errors
    /// When there is no answer, or the engine is too old.
    pub async fn reach(host: Host) -> Result<Self, ApiError> {
        let engine = Self {
            host,
            minor: Arc::new(AtomicU32::new(OLDEST)),
        };
        engine.negotiate().await?;
        Ok(engine)
    }

    async fn negotiate(&self) -> Result<(), ApiError> {
        let operation = "ask for the engine's version".to_owned();
        let bytes = http::send(
            &self.host,
            Call {
                operation: operation.clone(),
                method: Method::GET,
                path: "/version".to_owned(),
                body: None,
                registry_auth: None,
            },
        )
        .await?;
        let version: Version = decode(&operation, &bytes)?;
        let minor = choose(&version).ok_or_else(|| ApiError::TooOld {
            found: version.api_version.clone(),
            wanted: format!("1.{OLDEST}"),
        })?;
        self.minor.store(minor, Ordering::Relaxed);
        Ok(())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: String,
        method: Method,
        path: &str,
        body: Option<&Value>,
        registry_auth: Option<&str>,
    ) -> Result<T, ApiError> {
        let body = body
            .map(serde_json::to_vec)
            .transpose()
            .map_err(|source| ApiError::Decode {
                operation: operation.clone(),
                source: Box::new(source),
            })?;
        let result = http::send(
            &self.host,
            Call {
                operation: operation.clone(),
                method,
                path: self.versioned(path),
                body,
                registry_auth,
            },
        )
        .await;
        match result {
            Ok(bytes) => decode(&operation, &bytes),
            Err(error) => {
                if error.is_version_refused() {
                    self.negotiate().await?;
                }
                Err(error)
            }
        }
    }

    fn versioned(&self, path: &str) -> String {
        format!("/v1.{}{path}", self.minor.load(Ordering::Relaxed))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        operation: impl Into<String>,
        path: &str,
    ) -> Result<T, ApiError> {
        self.call(operation.into(), Method::GET, path, None, None)
            .await
    }

    async fn list<T: DeserializeOwned>(
        &self,
        what: &str,
        filters: Value,
    ) -> Result<Vec<T>, ApiError> {
        let path = format!("/{what}?filters={}", escape(&filters.to_string()));
        // An empty list is `null` for some kinds.
        Ok(self
            .get::<Option<Vec<T>>>(format!("list {what}"), &path)
            .await?
            .unwrap_or_default())
    }

    /// bollard, over the transport of all calls.
    fn docker(&self) -> Result<Docker, ApiError> {
        let engine = self.clone();
        let transport = move |request: BollardRequest| {
            let engine = engine.clone();
            async move {
                let request = engine.addressed(request)?;
                transport::send(&engine.host, request)
                    .await
                    .map_err(|error| std::io::Error::other(error).into())
            }
        };
        let version = ClientVersion {
            major_version: 1,
            minor_version: self.minor.load(Ordering::Relaxed) as usize,
        };
        // The name stands for every engine; the transport knows where this one is.
        Docker::connect_with_custom_transport(
            transport,
            Some("http://docker"),
            CALL_TIMEOUT.as_secs(),
            &version,
        )
        .map_err(|error| ApiError::of_bollard("reach the engine", &self.host, error))
    }

    /// A request of bollard's with the path alone, and the API version that was agreed on: its own requests name none
    /// (`Url::join` with an absolute path drops what stands before, bollard 0.21 `uri.rs`).
    fn addressed(&self, request: BollardRequest) -> Result<BollardRequest, bollard::errors::Error> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
        if !path.starts_with("/v1.") {
            head.uri = self.versioned(path).parse()?;
        }
        Ok(BollardRequest::from_parts(head, body))
    }

    async fn bollard<T>(
        &self,
        call: impl AsyncFnOnce(Docker) -> Result<T, bollard::errors::Error>,
        operation: &str,
    ) -> Result<T, ApiError> {
        let docker = self.docker()?;
        let limited = tokio::time::timeout(CALL_TIMEOUT, call(docker));
        match limited.await {
            Ok(result) => {
                result.map_err(|error| ApiError::of_bollard(operation, &self.host, error))
            }
            Err(_) => Err(ApiError::Timeout {
                operation: operation.to_owned(),
            }),
        }
    }

    /// Whether a not-found answer is what came: `None` then.
    fn found<T>(result: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Services whose name begins with `prefix`, also foreign ones.
    pub async fn services(&self, prefix: &str) -> Result<Vec<Service>, ApiError> {
        self.list("services", json!({ "name": [prefix] })).await
    }

    /// Services with a label (`key=value`).
    pub async fn services_labelled(&self, label: &str) -> Result<Vec<Service>, ApiError> {
        self.list("services", json!({ "label": [label] })).await
    }

    /// One service by id or name.
    pub async fn service(&self, id: &str) -> Result<Option<Service>, ApiError> {
        Self::found(
            self.get(
                format!("read service {id}"),
                &format!("/services/{}", escape(id)),
            )
            .await,
        )
    }

    /// Makes a service.
    pub async fn create_service(
        &self,
        spec: &Value,
        registry_auth: Option<&str>,
    ) -> Result<Created, ApiError> {
        self.call(
            format!("create service {}", name_in(spec)),
            Method::POST,
            "/services/create",
            Some(spec),
            registry_auth,
        )
        .await
    }

    /// Replaces a service's spec if its version is still `version`.
    pub async fn update_service(
        &self,
        id: &str,
        version: u64,
        spec: &Value,
        registry_auth: Option<&str>,
    ) -> Result<Updated, ApiError> {
        self.call(
            format!("update service {}", name_in(spec)),
            Method::POST,
            &format!("/services/{}/update?version={version}", escape(id)),
            Some(spec),
            registry_auth,
        )
        .await
    }

    /// Removes a service.
    pub async fn remove_service(&self, id: &str, name: &str) -> Result<(), ApiError> {
        let operation = format!("remove service {name}");
        self.bollard(async |docker| docker.delete_service(id).await, &operation)
            .await
    }

    /// Tasks of services with a label (`key=value`), also of services that are gone.
    pub async fn tasks_labelled(&self, label: &str) -> Result<Vec<Task>, ApiError> {
        self.list("tasks", json!({ "label": [label] })).await
    }

    /// Tasks of one service.
    pub async fn tasks_of(&self, service: &str) -> Result<Vec<Task>, ApiError> {
        self.list("tasks", json!({ "service": [service] })).await
    }

    /// All tasks that are to run, of everybody: what they reserve.
    pub async fn reservations(&self) -> Result<Vec<wire::Reservation>, ApiError> {
        self.list("tasks", json!({ "desired-state": ["running"] }))
            .await
    }

    /// The machines.
    pub async fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        self.list("nodes", json!({})).await
    }

    /// Swarm-wide networks whose name begins with `prefix`. The engine's own filter knows whole names only.
    pub async fn networks(&self, prefix: &str) -> Result<Vec<Network>, ApiError> {
        let mut networks: Vec<Network> =
            self.list("networks", json!({ "scope": ["swarm"] })).await?;
        networks.retain(|n| n.name.starts_with(prefix) && !n.is_leftover());
        Ok(networks)
    }

    /// One network by id.
    pub async fn network(&self, id: &str) -> Result<Option<Network>, ApiError> {
        Self::found(
            self.get(
                format!("read network {id}"),
                &format!("/networks/{}", escape(id)),
            )
            .await,
        )
    }

    /// Makes a network.
    pub async fn create_network(&self, request: &Value) -> Result<Created, ApiError> {
        self.call(
            format!("create network {}", name_in(request)),
            Method::POST,
            "/networks/create",
            Some(request),
            None,
        )
        .await
    }

    /// Removes a network.
    pub async fn remove_network(&self, id: &str, name: &str) -> Result<(), ApiError> {
        let operation = format!("remove network {name}");
        self.bollard(async |docker| docker.remove_network(id).await, &operation)
            .await
    }

    /// Configs or secrets whose name begins with `prefix`.
    pub async fn files(&self, kind: FileKind, prefix: &str) -> Result<Vec<StoredFile>, ApiError> {
        self.list(kind.path(), json!({ "name": [prefix] })).await
    }

    /// Configs or secrets with all of these labels (`key` or `key=value`).
    pub async fn files_labelled(
        &self,
        kind: FileKind,
        labels: &[String],
    ) -> Result<Vec<StoredFile>, ApiError> {
        self.list(kind.path(), json!({ "label": labels })).await
    }

    /// One config or secret by id or name.
    pub async fn file(&self, kind: FileKind, id: &str) -> Result<Option<StoredFile>, ApiError> {
        Self::found(
            self.get(
                format!("read {} {id}", kind.word()),
                &format!("/{}/{}", kind.path(), escape(id)),
            )
            .await,
        )
    }

    /// Makes a config or secret.
    pub async fn create_file(&self, kind: FileKind, spec: &Value) -> Result<Created, ApiError> {
        self.call(
            format!("create {} {}", kind.word(), name_in(spec)),
            Method::POST,
            &format!("/{}/create", kind.path()),
            Some(spec),
            None,
        )
        .await
    }

    /// Replaces the labels of a config or secret if its version is still `version`. `spec` holds name, labels and the same data.
    pub async fn update_file(
        &self,
        kind: FileKind,
        id: &str,
        version: u64,
        spec: &Value,
    ) -> Result<(), ApiError> {
        self.call::<Ignored>(
            format!("update {} {}", kind.word(), name_in(spec)),
            Method::POST,
            &format!("/{}/{}/update?version={version}", kind.path(), escape(id)),
            Some(spec),
            None,
        )
        .await
        .map(drop)
    }

    /// Removes a config or secret.
    pub async fn remove_file(&self, kind: FileKind, id: &str, name: &str) -> Result<(), ApiError> {
        let operation = format!("remove {} {name}", kind.word());
        let remove = async |docker: Docker| match kind {
            FileKind::Config => docker.delete_config(id).await,
            FileKind::Secret => docker.delete_secret(id).await,
        };
        self.bollard(remove, &operation).await
    }

    /// Changes of swarm objects, as lines of JSON.
    pub async fn events(&self) -> Result<hyper::body::Incoming, ApiError> {
        let filters = json!({
            "type": ["service", "node", "network", "secret", "config"],
            "scope": ["swarm"],
        });
        http::open_stream(
            &self.host,
            Call {
                operation: "listen for events".to_owned(),
                method: Method::GET,
                path: self.versioned(&format!("/events?filters={}", escape(&filters.to_string()))),
                body: None,
                registry_auth: None,
            },
        )
        .await
    }
}

/// Configs and secrets have the same verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Readable.
    Config,
    /// Never given back.
    Secret,
}

impl FileKind {
    fn path(self) -> &'static str {
        match self {
            FileKind::Config => "configs",
            FileKind::Secret => "secrets",
        }
    }

    /// The engine's word for one.
    pub fn word(self) -> &'static str {
        match self {
            FileKind::Config => "config",
            FileKind::Secret => "secret",
        }
    }
}

fn name_in(spec: &Value) -> &str {
    spec.get("Name").and_then(Value::as_str).unwrap_or("?")
}

fn decode<T: DeserializeOwned>(operation: &str, bytes: &[u8]) -> Result<T, ApiError> {
    // Some calls answer with nothing.
    let bytes = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(bytes).map_err(|source| ApiError::Decode {
        operation: operation.to_owned(),
        source: Box::new(source),
    })
}

fn choose(version: &Version) -> Option<u32> {
    let minor = |text: &str| -> Option<u32> { text.strip_prefix("1.")?.parse().ok() };
    let newest = minor(&version.api_version)?;
    let oldest = version
        .min_api_version
        .as_deref()
        .and_then(minor)
        .unwrap_or(0);
    let chosen = oldest.max(OLDEST);
    (chosen <= newest).then_some(chosen)
}

struct Ignored;

impl<'de> serde::Deserialize<'de> for Ignored {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(api: &str, min: Option<&str>) -> Version {
        Version {
            api_version: api.to_owned(),
            min_api_version: min.map(str::to_owned),
        }
    }

    #[test]
    fn the_oldest_common_version_is_spoken() {
        assert_eq!(choose(&version("1.41", Some("1.12"))), Some(41));
        assert_eq!(choose(&version("1.47", Some("1.24"))), Some(41));
        assert_eq!(choose(&version("1.52", Some("1.44"))), Some(44));
        assert_eq!(choose(&version("1.40", Some("1.12"))), None);
        assert_eq!(choose(&version("nonsense", None)), None);
    }
}
