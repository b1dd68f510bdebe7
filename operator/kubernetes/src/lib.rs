//! Kubernetes as a platform: the only room that speaks of workloads in Kubernetes' own words.
//!
//! `render` (pure) turns a cluster into native objects; `drift` (pure) tells how an object in the API differs from its
//! rendering; the objects and pods that the API server told of are kept in `cache`, filled by `watch`; `observe` (pure) reads
//! them; `apply` writes, and `shapes` remembers what of it was checked before; `dial` leads to pods; `rbac` (pure) lists the
//! rights that all of this takes. Decisions are made elsewhere.

mod apply;
mod cache;
mod dial;
mod drift;
mod error;
mod kind;
pub mod labels;
mod observe;
pub mod rbac;
pub mod render;
mod shapes;
mod unstructured;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use jiff::Timestamp;
use kube::Client;
use milvus_core::action::{Action, Outcome};
use milvus_core::capabilities::{Addressing, Capabilities, Rhythm};
use milvus_core::desired::Desired;
use milvus_core::names::ClusterRef;
use milvus_core::observed::{Observed, Topology};
use milvus_platform::{Backend, Change, Class, Dial, PlatformError, Rendered, TunnelCredentials};

use apply::Applier;
use cache::Cache;
use dial::Names;
use watch::Watches;

pub use error::class as class_of_status;
pub use kind::Kind;
pub use render::{Native, Settings};
pub use watch::reopening;

/// The longest name of a StatefulSet: its controller adds a hash of ten characters and a dash in a label of its pods.
pub const MAX_WORKLOAD_NAME: usize = 52;

/// What Kubernetes can honour.
pub const CAPABILITIES: Capabilities = Capabilities {
    platform: "kubernetes",
    escape_hatch: "kubernetes",
    places_members: false,
    member_updates_overlap: false,
    gateway: false,
    max_workload_name: MAX_WORKLOAD_NAME,
    addressing: Addressing {
        member: "{cluster}-{component}-{ordinal}.{cluster}-{component}-headless.{namespace}",
        service: "{cluster}-{component}.{namespace}",
    },
    volume_types: &["volume"],
    service_types: &["ClusterIP", "NodePort", "LoadBalancer"],
    claim: Some("{volume}-{cluster}-{component}-{ordinal}"),
    pods: Some(
        "app.kubernetes.io/name=milvus,app.kubernetes.io/instance={cluster},app.kubernetes.io/component={component}",
    ),
    secret_references: true,
    wire_checks: true,
    rhythm: Rhythm {
        soon: Duration::from_millis(500),
        patient: Duration::from_secs(5),
        // Watches tell of everything; this only bounds how long a wire check of the whole may be old.
        rest: Duration::from_secs(300),
    },
};

/// Where the operator looks, and how far it asks.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Namespaces that it looks at; empty for all.
    pub namespaces: Vec<String>,
    /// Whether it asks processes itself ([`Capabilities::wire_checks`]). Where it does not, nothing polls: the kubelets'
    /// checks come with the watches.
    pub wire_checks: bool,
}

/// A Kubernetes, through its API server.
pub struct KubernetesBackend {
    capabilities: Capabilities,
    settings: Settings,
    applier: Applier,
    cache: Arc<Cache>,
    watches: Watches,
}

impl KubernetesBackend {
    /// Looks which optional kinds there are and starts the watches.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn start(client: Client, scope: &Scope) -> Result<Self, PlatformError> {
        let mut capabilities = CAPABILITIES;
        if !scope.wire_checks {
            capabilities.wire_checks = false;
            capabilities.rhythm.soon = capabilities.rhythm.patient;
        }
        let group = Kind::PodMonitor.group();
        let groups = apply::call("ask for the API groups", client.list_api_groups()).await?;
        let settings = Settings {
            pod_monitors: groups.groups.iter().any(|g| g.name == group),
        };
        let kinds: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|kind| *kind != Kind::PodMonitor || settings.pod_monitors)
            .collect();
        let cache = Arc::new(Cache::default());
        let watches = Watches::start(&client, &scope.namespaces, &kinds, &cache);
        Ok(Self {
            capabilities,
            settings,
            applier: Applier {
                client,
                cache: cache.clone(),
                shapes: Arc::default(),
            },
            cache,
            watches,
        })
    }
}

impl Backend for KubernetesBackend {
    type Native = Native;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn render(&self, desired: &Desired) -> Result<Rendered<Native>, PlatformError> {
        render::render(desired, &self.capabilities, &self.settings)
    }

    /// Nodes are the scheduler's business: they are not asked for, so no right to see them is needed.
    async fn topology(&self) -> Result<Topology, PlatformError> {
        Ok(Topology::default())
    }

    async fn observe(
        &self,
        cluster: &ClusterRef,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<Observed, PlatformError> {
        if !self.watches.complete(&cluster.key.namespace).await {
            return Err(PlatformError::new(
                Class::Transient,
                format!("look at {}", cluster.key),
                "the API server has not answered all lists yet",
            ));
        }
        self.applier.look_again(cluster).await?;
        Ok(self.cache.with(&cluster.key, |known| {
            observe::observe(cluster, rendered, known, Timestamp::now())
        }))
    }

    fn apply(
        &self,
        cluster: &ClusterRef,
        action: &Action,
        rendered: Option<&Rendered<Native>>,
    ) -> impl Future<Output = Result<Outcome, PlatformError>> + Send {
        self.applier.apply(cluster, action, rendered)
    }

    fn dial(
        &self,
        cluster: &ClusterRef,
        _observed: &Observed,
        _credentials: &TunnelCredentials,
    ) -> Arc<dyn Dial> {
        self.cache.with(&cluster.key, |known| {
            Arc::new(Names::of(&cluster.key, known, &self.capabilities))
        })
    }

    fn endpoints(&self, desired: &Desired, observed: &Observed) -> Vec<String> {
        let cluster = &desired.cluster.key;
        let endpoint = &desired.endpoint;
        self.cache.with(cluster, |known| {
            dial::endpoints(
                cluster,
                observed,
                known,
                endpoint.service_type.as_deref(),
                endpoint.port,
            )
        })
    }

    fn changes(&self) -> impl Stream<Item = Change> + Send + 'static {
        self.watches.changes()
    }
}
