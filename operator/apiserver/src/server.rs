//! The server as a whole: built from CRDs, a store and an authenticator; a router to call in process
//! or to serve over TLS.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

use crate::auth::Authenticator;
use crate::background;
use crate::cache::{Cache, Window};
use crate::commit::{Committer, Decision};
use crate::definition::Definition;
use crate::discovery::Discovery;
use crate::guard::Guard;
use crate::handlers;
use crate::load::load;
use crate::metrics::Requests;
use crate::object::{Name, Object};
use crate::openapi::Documents;
use crate::resource::{self, Flavor, Lane, Resource, ResourceError};
use crate::seal::Sealer;
use crate::status::ApiError;
use crate::store::{Store, StoreError};
use crate::strategy::{self, DeleteOptions, WriteOptions};
use crate::workload::Workload;

/// Limits of what is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Recent changes kept for watches, per kind.
    pub window: Window,
    /// How long an event is kept.
    pub event_ttl: Duration,
    /// Events kept per namespace.
    pub events_per_namespace: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: Window::default(),
            event_ttl: Duration::from_secs(3600),
            events_per_namespace: 1000,
        }
    }
}

/// Why the server could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A CRD cannot be served.
    #[error("build api server")]
    Resource(#[from] ResourceError),
    /// The store does not answer, or a record cannot be opened.
    #[error("build api server: load the store")]
    Load(#[source] StoreError),
    /// Others took the store over again and again in the meantime.
    #[error(
        "build api server: other servers keep taking over the store; start one of them at a time"
    )]
    Contended(#[source] StoreError),
    /// A record is no object.
    #[error(
        "build api server: stored record {key} is not readable: {problem}; restore or remove it"
    )]
    Record {
        /// Its key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Others can read the store and there is no key.
    #[error("build api server: the store can be read by others, so a sealer for secrets is needed")]
    NoSealer,
    /// A namespace that must be there could not be made.
    #[error("build api server: create namespace {name}")]
    Namespace {
        /// Which.
        name: String,
        /// Why not.
        #[source]
        source: Box<ApiError>,
    },
    /// Metrics of these names are registered already.
    #[error("build api server: register its metrics")]
    Metrics(#[from] prometheus::Error),
    /// A part was not given.
    #[error("build api server: no {part} was given")]
    Missing {
        /// Which part.
        part: &'static str,
    },
}

/// What all requests share.
pub(crate) struct Shared {
    pub registry: resource::Registry,
    pub discovery: Discovery,
    crds: Vec<Cow<'static, str>>,
    openapi: OnceLock<Documents>,
    pub product: String,
    pub authenticator: Authenticator,
    pub durable: Arc<Committer>,
    pub volatile: Arc<Committer>,
    pub requests: Option<Requests>,
    pub workload: Workload,
    pub limits: Limits,
    /// What keeps deletions off objects.
    pub guards: Arc<[Guard]>,
    pub shutdown: CancellationToken,
}

impl Shared {
    /// The OpenAPI documents, made when somebody first asks: nobody does while the server is at rest.
    pub fn openapi(&self) -> Result<&Documents, ApiError> {
        if let Some(documents) = self.openapi.get() {
            return Ok(documents);
        }
        // The definitions have been read and compiled once already, so this does not fail.
        let crds = definitions(&self.crds).map_err(ApiError::internal)?;
        let documents =
            Documents::build(&self.registry.served_kinds(&crds)).map_err(ApiError::internal)?;
        Ok(self.openapi.get_or_init(|| documents))
    }

    /// The writer of a kind.
    pub fn committer(&self, resource: &Resource) -> &Arc<Committer> {
        match resource.lane() {
            Lane::Durable => &self.durable,
            Lane::Volatile => &self.volatile,
        }
    }

    /// Removes the oldest events of a namespace that has too many.
    pub async fn trim_events(&self, resource: &Arc<Resource>, namespace: &str) {
        let surplus = self.volatile.cache().surplus(
            &resource.storage(),
            namespace,
            self.limits.events_per_namespace,
        );
        self.remove_quietly(resource, surplus).await;
    }

    /// Removes objects that have outlived their use.
    pub async fn remove_quietly(&self, resource: &Arc<Resource>, names: Vec<Name>) {
        for name in names {
            let result = self
                .delete(resource.clone(), name, DeleteOptions::default())
                .await;
            if let Err(error) = result {
                debug!(%error, "an outlived object is gone already");
            }
        }
    }

    /// Posts an event of the server's own about an object.
    pub async fn post_event(&self, resource: &Resource, object: &Object, reason: &str, note: &str) {
        let Some(events) = self.registry.flavor(Flavor::CoreEvent).cloned() else {
            return;
        };
        let namespace = match object.name.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        }
        .to_owned();
        let now = crate::meta::now();
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"generateName": format!("{}.", object.name.name)},
            "involvedObject": {
                "apiVersion": resource.api_version(), "kind": resource.kind,
                "namespace": object.name.namespace, "name": object.name.name, "uid": object.uid,
            },
            "reason": reason, "message": note, "type": "Warning", "count": 1,
            "firstTimestamp": now, "lastTimestamp": now,
            "source": {"component": "apiserver"}, "reportingComponent": "apiserver",
        });
        if let Err(error) = self.create(events.clone(), event, &namespace).await {
            warn!(%error, reason, "cannot post an event");
        }
        self.trim_events(&events, &namespace).await;
    }

    /// Creates an object from inside.
    async fn create(
        &self,
        resource: Arc<Resource>,
        value: Value,
        namespace: &str,
    ) -> Result<(), ApiError> {
        let (value, _) =
            strategy::create(&resource, value, &[], namespace, WriteOptions::default())?;
        let name = Name::new(namespace, crate::object::meta_str(&value, "name"));
        let (kind, place) = (resource.clone(), name.clone());
        self.committer(&resource)
            .transact(resource.clone(), name, move |current, _| match current {
                Some(_) => Err(ApiError::already_exists(&kind, &place.name)),
                None => Ok((Decision::Put(value), ())),
            })
            .await?;
        Ok(())
    }
}

/// Builds an [`ApiServer`].
pub struct Builder {
    crds: Vec<Cow<'static, str>>,
    store: Option<Arc<dyn Store>>,
    sealer: Option<Arc<Sealer>>,
    authenticator: Option<Authenticator>,
    product: String,
    limits: Limits,
    guards: Vec<Guard>,
    metrics: Option<Registry>,
}

impl Builder {
    /// Adds a kind: a CustomResourceDefinition in JSON. The text is kept; one that is part of the program costs nothing.
    pub fn crd(mut self, json: impl Into<Cow<'static, str>>) -> Self {
        self.crds.push(json.into());
        self
    }

    /// Where objects are kept.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Seals Secrets before they reach the store.
    pub fn sealer(mut self, sealer: Arc<Sealer>) -> Self {
        self.sealer = Some(sealer);
        self
    }

    /// Who may come in over the wire.
    pub fn authenticator(mut self, authenticator: Authenticator) -> Self {
        self.authenticator = Some(authenticator);
        self
    }

    /// Name behind the version that `/version` reports.
    pub fn product(mut self, product: impl Into<String>) -> Self {
        self.product = product.into();
        self
    }

    /// Other limits than the usual ones.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Keeps deletions off objects that carry a finalizer.
    pub fn guard(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }

    /// Where the durations of requests are registered; nowhere unless given.
    pub fn metrics(mut self, registry: Registry) -> Self {
        self.metrics = Some(registry);
        self
    }

    /// Loads the store, takes it over with one write, and starts the background work. A server that
    /// had the store before is superseded by it.
    pub async fn build(self) -> Result<ApiServer, BuildError> {
        let store = self.store.ok_or(BuildError::Missing { part: "store" })?;
        let authenticator = self.authenticator.ok_or(BuildError::Missing {
            part: "authenticator",
        })?;
        if !store.is_private() && self.sealer.is_none() {
            return Err(BuildError::NoSealer);
        }
        let registry = resource::Registry::new(&definitions(&self.crds)?)?;
        let discovery = Discovery::build(&registry);
        let durable = load(
            &registry,
            store.clone(),
            self.sealer.clone(),
            self.limits.window,
        )
        .await?;
        // Not before the store has answered: whoever waits for it builds again.
        let requests = self.metrics.as_ref().map(Requests::register).transpose()?;
        let volatile_kinds = registry
            .stored()
            .filter(|resource| resource.lane() == Lane::Volatile)
            .map(|resource| resource.storage());
        // Versions of objects in memory start at the time in milliseconds: above whatever an earlier
        // life gave out, so that its clients are told to list again.
        let start = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(1);
        let cache = Cache::new(volatile_kinds, start, self.limits.window);
        let superseded = durable.superseded().clone();
        // Whoever is superseded has no news for watches and nothing to do in the background.
        let shutdown = superseded.child_token();
        let volatile = Committer::volatile(Arc::new(cache), superseded);
        let shared = Arc::new(Shared {
            registry,
            discovery,
            crds: self.crds,
            openapi: OnceLock::new(),
            product: self.product,
            authenticator,
            durable,
            volatile,
            requests,
            workload: Workload::default(),
            limits: self.limits,
            guards: self.guards.into(),
            shutdown: shutdown.clone(),
        });
        ensure_namespaces(&shared).await?;
        background::spawn(&shared, store);
        Ok(ApiServer {
            shared,
            _stop: Arc::new(shutdown.drop_guard()),
        })
    }
}

fn definitions<'a>(crds: &'a [Cow<'static, str>]) -> Result<Vec<Definition<'a>>, ResourceError> {
    crds.iter()
        .map(|json| Definition::read(json).map_err(ResourceError::Json))
        .collect()
}

async fn ensure_namespaces(shared: &Arc<Shared>) -> Result<(), BuildError> {
    let Some(namespaces) = shared.registry.flavor(Flavor::Namespace).cloned() else {
        return Ok(());
    };
    for name in ["default", "kube-system"] {
        let there = shared
            .durable
            .cache()
            .get(&namespaces.storage(), &Name::new("", name));
        if there.is_some() {
            continue;
        }
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        shared
            .create(namespaces.clone(), value, "")
            .await
            .map_err(|source| BuildError::Namespace {
                name: name.to_owned(),
                source: Box::new(source),
            })?;
    }
    Ok(())
}

/// The embedded API server. Clones share everything; background work ends with the last one.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

impl ApiServer {
    /// Starts to build one.
    pub fn builder() -> Builder {
        Builder {
            crds: Vec::new(),
            store: None,
            sealer: None,
            authenticator: None,
            product: "embedded".into(),
            limits: Limits::default(),
            guards: Vec::new(),
            metrics: None,
        }
    }

    /// Answers requests. In process, attach an [`crate::auth::Identity`] to each request as an extension;
    /// a request without one is identified by its token or certificate.
    pub fn router(&self) -> Router {
        Router::new()
            .fallback(handlers::handle)
            .with_state(self.shared.clone())
    }

    /// Cancelled once another server has taken over the store. Writes are refused from then on, watches
    /// have ended, and whoever runs this server should end it: what it has in memory is of the past.
    pub fn superseded(&self) -> CancellationToken {
        // A child, so that nobody else can cancel ours.
        self.shared.durable.superseded().child_token()
    }

    /// Looks whether this server still leads over its store.
    ///
    /// # Errors
    /// Where another server leads, or where that cannot be known.
    pub async fn confirm(&self) -> Result<(), ApiError> {
        self.shared.durable.confirm().await
    }

    /// Ends watches and background work; requests go on being answered.
    pub fn stop(&self) {
        self.shared.shutdown.cancel();
    }
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").finish_non_exhaustive()
    }
}
