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
mod standing;
mod unstructured;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::Stream;
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ListParams};
use milvus_core::action::{Action, Outcome};
use milvus_core::capabilities::{Addressing, Capabilities, Rhythm};
use milvus_core::component::Component;
use milvus_core::desired::Desired;
use milvus_core::names::{ClusterKey, ClusterRef};
use milvus_core::observed::{Observed, Topology};
use milvus_core::rebuild::Standing;
use milvus_platform::{Backend, Change, Class, Dial, PlatformError, Rendered, TunnelCredentials};
use tokio_util::task::AbortOnDropHandle;

use apply::Applier;
use cache::Cache;
use dial::Names;
use error::UnknownKind;
use unstructured::Unstructured;
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
        "app.kubernetes.io/name=milvus,app.kubernetes.io/instance={cluster},app.kubernetes.io/component={component},operator.milvus.io/cluster={cluster}",
    ),
    external_scaling: true,
    secret_references: true,
    pins_images: false,
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
    /// The Prometheus operator's PodMonitor is a kind here. It comes and goes with its definition.
    pod_monitors: Arc<AtomicBool>,
    _looking: Option<AbortOnDropHandle<()>>,
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
        let known = groups.groups.iter().any(|g| g.name == group);
        let kinds: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|kind| *kind != Kind::PodMonitor || known)
            .collect();
        let pod_monitors = Arc::new(AtomicBool::new(known));
        let looking = look_for_pod_monitors(client.clone(), scope.clone(), pod_monitors.clone());
        let cache = Arc::new(Cache::default());
        let watches = Watches::start(&client, &scope.namespaces, &kinds, &cache);
        Ok(Self {
            capabilities,
            pod_monitors,
            _looking: known.then(|| AbortOnDropHandle::new(tokio::spawn(looking))),
            applier: Applier {
                client,
                cache: cache.clone(),
                shapes: Arc::default(),
            },
            cache,
            watches,
        })
    }

    /// Waits until what is known of a cluster is all that there is.
    async fn complete(&self, cluster: &ClusterKey) -> Result<(), PlatformError> {
        if self.watches.complete(&cluster.namespace).await {
            return Ok(());
        }
        Err(PlatformError::new(
            Class::Transient,
            format!("look at {cluster}"),
            "the API server has not answered all lists yet",
        ))
    }
}

/// Between looks for a kind that is not there.
const LOOK_FOR_KIND: Duration = Duration::from_secs(30);

/// Notes when PodMonitor is a kind again after its definition was removed: when a list of them succeeds. Where it was no kind at
/// the start nobody looks for it: at rest nothing is asked.
async fn look_for_pod_monitors(client: Client, scope: Scope, known: Arc<AtomicBool>) {
    let resource = apply::resource(Kind::PodMonitor);
    let api: Api<Unstructured> = match scope.namespaces.first() {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let one = ListParams::default().limit(1);
    loop {
        tokio::time::sleep(LOOK_FOR_KIND).await;
        if known.load(Ordering::Relaxed) {
            continue;
        }
        if apply::call("look for PodMonitors", api.list(&one))
            .await
            .is_ok()
        {
            tracing::info!("PodMonitor is a kind now");
            known.store(true, Ordering::Relaxed);
        }
    }
}

fn of_pod_monitor(action: &Action) -> bool {
    matches!(action, Action::Create { id, .. } | Action::Update { id, .. } if id.kind == Kind::PodMonitor.name())
}

impl Backend for KubernetesBackend {
    type Native = Native;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn render(&self, desired: &Desired) -> Result<Rendered<Native>, PlatformError> {
        let settings = Settings {
            pod_monitors: self.pod_monitors.load(Ordering::Relaxed),
        };
        render::render(desired, &self.capabilities, &settings)
    }

    async fn replicas(
        &self,
        cluster: &ClusterKey,
    ) -> Result<BTreeMap<Component, u32>, PlatformError> {
        self.complete(cluster).await?;
        Ok(self.cache.with(cluster, |known| {
            let deployments = known
                .objects
                .iter()
                .filter(|((kind, _), object)| *kind == Kind::Deployment && !object.deleting);
            deployments
                .filter_map(|(_, object)| Some((object.component?, object.state.replicas?)))
                .collect()
        }))
    }

    async fn standing(&self, cluster: &ClusterKey) -> Result<Vec<Standing>, PlatformError> {
        self.complete(cluster).await?;
        let claims = self.applier.claims(cluster).await?;
        Ok(self
            .cache
            .with(cluster, |known| standing::standing(cluster, known, &claims)))
    }

    fn offers(&self) -> u64 {
        u64::from(self.pod_monitors.load(Ordering::Relaxed))
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
        self.complete(&cluster.key).await?;
        self.applier.look_again(cluster).await?;
        Ok(self.cache.with(&cluster.key, |known| {
            observe::observe(cluster, rendered, known, Timestamp::now())
        }))
    }

    async fn apply(
        &self,
        cluster: &ClusterRef,
        action: &Action,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<Outcome, PlatformError> {
        match self.applier.apply(cluster, action, rendered).await {
            Err(error) if of_pod_monitor(action) && UnknownKind::caused(&error) => {
                tracing::info!(
                    "PodMonitor is no kind any more: none is made until it is one again"
                );
                self.pod_monitors.store(false, Ordering::Relaxed);
                // Nothing to hear of: what is made next has none in it.
                let why = "PodMonitor is no kind any more";
                Err(PlatformError::new(
                    Class::Conflict,
                    "apply a PodMonitor",
                    why,
                ))
            }
            result => result,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not known yet is not taken for nothing: a number of processes that somebody else has set would be taken for one.
    #[tokio::test(start_paused = true)]
    async fn nothing_is_told_before_all_lists_are_there() {
        let nobody = "http://127.0.0.1:1".parse().expect("an address");
        let client = Client::try_from(kube::Config::new(nobody)).expect("a client");
        let cache = Arc::new(Cache::default());
        let backend = KubernetesBackend {
            capabilities: CAPABILITIES,
            pod_monitors: Arc::default(),
            _looking: None,
            applier: Applier {
                client: client.clone(),
                cache: cache.clone(),
                shapes: Arc::default(),
            },
            watches: Watches::start(&client, &[], &Kind::ALL, &cache),
            cache,
        };
        let cluster = ClusterRef {
            key: ClusterKey::new("team", "demo"),
            uid: "c1".to_owned(),
            generation: 1,
        };
        let replicas = backend.replicas(&cluster.key).await.map(drop);
        let observed = backend.observe(&cluster, None).await.map(drop);
        for refused in [replicas, observed] {
            let class = refused.map_err(|error| error.class);
            assert_eq!(class, Err(Class::Transient));
        }
    }
}
