//! The simulated platform behind the same seam as the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
use crate::seat::Seat;

impl Backend for Seat {
    type Native = Native;

    fn capabilities(&self) -> &Capabilities {
        self.lock().world.capabilities()
    }

    fn render(&self, desired: &Desired) -> Result<Rendered<Native>, PlatformError> {
        Ok(render(desired, self.capabilities()))
    }

    async fn topology(&self) -> Result<Topology, PlatformError> {
        Ok(self.lock().world.topology())
    }

    async fn observe(
        &self,
        cluster: &ClusterRef,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<Observed, PlatformError> {
        self.lock().world.observe(cluster, rendered)
    }

    async fn standing(&self, cluster: &ClusterKey) -> Result<Vec<Standing>, PlatformError> {
        Ok(self.lock().world.standing(cluster))
    }

    async fn digests(&self, images: &BTreeSet<String>) -> BTreeMap<String, String> {
        self.lock().world.digests(images)
    }

    async fn apply(
        &self,
        cluster: &ClusterRef,
        action: &Action,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<Outcome, PlatformError> {
        let result = {
            let seated = &mut *self.lock();
            let ledger = seated.store.ledger.as_ref();
            crate::oracle::quorum(&mut seated.world, cluster, action, rendered, ledger);
            seated.world.apply(cluster, action, rendered)
        };
        self.survive().await;
        result
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
        let seated = &mut *self.lock();
        seated.desired = Some(desired.clone());
        seated.world.endpoints(desired, observed)
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
