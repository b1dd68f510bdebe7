//! Docker Swarm as a platform: the only room that speaks to an engine.
//!
//! `render` (pure) turns a cluster into native objects; `drift` (pure) tells how the engine's objects differ from them;
//! `observe` looks; `apply` writes; `watch` listens; `dial` leads into a cluster's networks; `api` is the engine's API itself.
//! Decisions are made elsewhere.

pub mod api;
mod apply;
mod dial;
mod digests;
mod drift;
pub mod installation;
pub mod labels;
mod node_task;
mod observe;
pub mod render;
mod standing;
mod store_client;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;
use jiff::Timestamp;
use milvus_core::action::{Action, Outcome};
use milvus_core::capabilities::{Addressing, Capabilities, Rhythm};
use milvus_core::component::Component;
use milvus_core::desired::Desired;
use milvus_core::names::{ClusterKey, ClusterRef, MAX_SERVICE_NAME};
use milvus_core::observed::{Observed, Topology};
use milvus_core::rebuild::Standing;
use milvus_platform::{Backend, Change, Dial, PlatformError, Rendered, TunnelCredentials};

use api::Engine;
use observe::Reserved;
use render::{Native, SERVICE};

pub use store_client::SwarmConfigs;

/// What Swarm can honour.
pub const CAPABILITIES: Capabilities = Capabilities {
    platform: "swarm",
    escape_hatch: "swarm",
    places_members: true,
    member_updates_overlap: true,
    gateway: true,
    max_workload_name: MAX_SERVICE_NAME,
    addressing: Addressing {
        member: "{component}-{ordinal}",
        service: "{component}",
    },
    volume_types: &["volume", "bind", "tmpfs"],
    service_types: &[],
    claim: None,
    pods: None,
    external_scaling: false,
    secret_references: false,
    pins_images: true,
    wire_checks: true,
    rhythm: Rhythm {
        soon: Duration::from_millis(250),
        patient: Duration::from_secs(1),
        // No events tell of tasks, and events may be lost.
        rest: Duration::from_secs(15),
    },
};

/// How this platform is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Image whose entry point is `milvus-gateway`; also does the operator's work on single nodes.
    pub gateway_image: String,
    /// Where engines listen on their own machines.
    pub engine_socket: String,
    /// The most open files that the engines may give a process. Only for engines that may not raise their own limit.
    pub nofile_limit: Option<u64>,
}

impl Settings {
    /// The usual socket, and this image.
    pub fn new(gateway_image: impl Into<String>) -> Self {
        Self {
            gateway_image: gateway_image.into(),
            engine_socket: "/run/docker.sock".to_owned(),
            nofile_limit: None,
        }
    }
}

/// A Swarm, through the engine of one of its managers.
pub struct SwarmBackend {
    engine: Engine,
    applier: apply::Applier,
    limits: render::Limits,
    known: watch::Known,
    dials: dial::Dials,
    reserved: Mutex<Reserved>,
    digests: digests::Digests,
}

impl SwarmBackend {
    /// A backend over an engine.
    pub fn new(engine: Engine, settings: Settings) -> Self {
        let applier = apply::Applier {
            engine: engine.clone(),
            node_tasks: node_task::Settings {
                image: settings.gateway_image,
                engine_socket: settings.engine_socket,
            },
            errands: node_task::Failures::default(),
        };
        Self {
            engine,
            applier,
            limits: render::Limits {
                nofile: settings.nofile_limit,
            },
            known: watch::Known::default(),
            dials: dial::Dials::default(),
            reserved: Mutex::default(),
            digests: digests::Digests::default(),
        }
    }

    fn reserved(&self) -> Reserved {
        self.reserved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Backend for SwarmBackend {
    type Native = Native;

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn render(&self, desired: &Desired) -> Result<Rendered<Native>, PlatformError> {
        render::render(desired, &CAPABILITIES, &self.limits)
    }

    async fn topology(&self) -> Result<Topology, PlatformError> {
        let (nodes, tasks) = futures::try_join!(self.engine.nodes(), self.engine.reservations())?;
        let reserved = observe::reserved(&tasks);
        let topology = observe::topology(&nodes, &reserved);
        *self.reserved.lock().unwrap_or_else(PoisonError::into_inner) = reserved;
        Ok(topology)
    }

    async fn observe(
        &self,
        cluster: &ClusterRef,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<Observed, PlatformError> {
        self.known.add(&cluster.key);
        let look = observe::look(&self.engine, cluster).await?;
        let gateway = cluster
            .key
            .workload(milvus_core::component::WorkloadKey::shared(
                Component::Gateway,
            ));
        let port = look
            .services
            .iter()
            .find(|s| s.name() == gateway)
            .and_then(api::wire::Service::published_port);
        self.dials.set_port(&cluster.key, port);
        // The sums are as old as the last look at the whole Swarm: they only guide placement, which takes a fresh one.
        let reserved = self.reserved();
        Ok(observe::interpret(
            cluster,
            rendered,
            &look,
            &reserved,
            Timestamp::now(),
        ))
    }

    async fn standing(&self, cluster: &ClusterKey) -> Result<Vec<Standing>, PlatformError> {
        let stack = cluster.stack();
        let label = format!("{}={stack}", labels::STACK);
        let services = self.engine.services(&format!("{stack}_")).await?;
        let tasks = self.engine.tasks_labelled(&label).await?;
        Ok(standing::standing(cluster, &services, &tasks))
    }

    async fn digests(&self, images: &BTreeSet<String>) -> BTreeMap<String, String> {
        self.digests.ask(&self.engine, images).await
    }

    fn apply(
        &self,
        cluster: &ClusterRef,
        action: &Action,
        rendered: Option<&Rendered<Native>>,
    ) -> impl Future<Output = Result<Outcome, PlatformError>> + Send {
        self.known.add(&cluster.key);
        self.applier.apply(cluster, action, rendered)
    }

    fn dial(
        &self,
        cluster: &ClusterRef,
        observed: &Observed,
        credentials: &TunnelCredentials,
    ) -> Arc<dyn Dial> {
        self.dials.get(&cluster.key, observed, credentials)
    }

    fn endpoints(&self, desired: &Desired, observed: &Observed) -> Vec<String> {
        dial::gateway_addresses(observed)
            .into_iter()
            .map(|address| std::net::SocketAddr::new(address, desired.endpoint.port).to_string())
            .collect()
    }

    fn changes(&self) -> impl Stream<Item = Change> + Send + 'static {
        watch::changes(self.engine.clone(), self.known.clone())
    }
}

/// The kind of objects that run processes, for those who list them.
pub const SERVICE_KIND: &str = SERVICE;
