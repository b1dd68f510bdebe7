//! The simulated platform behind the same seam as the real ones, for tests of the controller's own loop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::Stream;
use futures::future::BoxFuture;
use milvus_core::action::{Action, Outcome};
use milvus_core::capabilities::Capabilities;
use milvus_core::desired::Desired;
use milvus_core::names::{ClusterKey, ClusterRef};
use milvus_core::observed::{Observed, Topology};
use milvus_core::rebuild::Standing;
use milvus_platform::{
    Backend, Change, Connection, Dial, DialError, PlatformError, Rendered, TunnelCredentials,
};

use crate::render::{Native, render};
use crate::world::World;

/// A world that a controller works on. Time passes when the test says so.
#[derive(Clone, Debug)]
pub struct SimBackend {
    world: Arc<Mutex<World>>,
}

impl SimBackend {
    /// Puts a world behind the seam.
    pub fn new(world: World) -> Self {
        Self {
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// The world, for the test.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for SimBackend {
    type Native = Native;

    fn capabilities(&self) -> &Capabilities {
        self.world().capabilities()
    }

    fn render(&self, desired: &Desired) -> Result<Rendered<Native>, PlatformError> {
        Ok(render(desired, self.capabilities()))
    }

    async fn topology(&self) -> Result<Topology, PlatformError> {
        Ok(self.world().topology())
    }

    async fn observe(
        &self,
        cluster: &ClusterRef,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<Observed, PlatformError> {
        self.world().observe(cluster, rendered)
    }

    async fn standing(&self, cluster: &ClusterKey) -> Result<Vec<Standing>, PlatformError> {
        Ok(self.world().standing(cluster))
    }

    async fn apply(
        &self,
        cluster: &ClusterRef,
        action: &Action,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<Outcome, PlatformError> {
        self.world().apply(cluster, action, rendered)
    }

    fn dial(
        &self,
        _cluster: &ClusterRef,
        _observed: &Observed,
        _credentials: &TunnelCredentials,
    ) -> Arc<dyn Dial> {
        Arc::new(NoWay)
    }

    fn endpoints(&self, desired: &Desired, observed: &Observed) -> Vec<String> {
        self.world().endpoints(desired, observed)
    }

    fn changes(&self) -> impl Stream<Item = Change> + Send + 'static {
        futures::stream::pending()
    }
}

/// The simulated network carries answers, not bytes.
struct NoWay;

impl Dial for NoWay {
    fn dial(
        &self,
        host: &str,
        _port: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Connection>, DialError>> {
        let host = host.to_owned();
        Box::pin(async move {
            Err(DialError::NoPath(format!(
                "{host} is in a simulated network"
            )))
        })
    }
}
