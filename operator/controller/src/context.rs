//! What every pass shares.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use kube::Client;
use milvus_core::names::ClusterKey;
use milvus_crds::MilvusCluster;
use milvus_platform::Backend;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

/// Passes that may run at once. Each waits mostly for answers; the bound keeps memory and the engine's queue flat.
pub(crate) const CONCURRENT_PASSES: usize = 16;

/// Shared by all workers.
pub(crate) struct Context<B: Backend> {
    pub client: Client,
    pub backend: B,
    pub metrics: Metrics,
    pub resources: Resources,
    pub gateway_image: String,
    pub passes: Arc<Semaphore>,
}

/// The resources as the watch last showed them.
#[derive(Default)]
pub(crate) struct Resources(RwLock<BTreeMap<ClusterKey, Arc<MilvusCluster>>>);

impl Resources {
    pub(crate) fn get(&self, key: &ClusterKey) -> Option<Arc<MilvusCluster>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    pub(crate) fn put(
        &self,
        key: ClusterKey,
        resource: Arc<MilvusCluster>,
    ) -> Option<Arc<MilvusCluster>> {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, resource)
    }

    pub(crate) fn remove(&self, key: &ClusterKey) -> Option<Arc<MilvusCluster>> {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
    }

    pub(crate) fn all(&self) -> Vec<(ClusterKey, Arc<MilvusCluster>)> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.iter()
            .map(|(key, resource)| (key.clone(), resource.clone()))
            .collect()
    }
}
