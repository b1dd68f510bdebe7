//! From what a cluster should be to native objects, as the API takes them in a server-side apply. Pure: the same cluster always
//! renders to the same bytes.

use milvus_core::capabilities::Capabilities;
use milvus_core::desired::Desired;
use milvus_platform::{PlatformError, Rendered};
use serde::Serialize;
use serde_json::Value;

use crate::Kind;

/// What rendering needs to know of this Kubernetes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The Prometheus operator's PodMonitor is a kind here.
    pub pod_monitors: bool,
}

/// One native object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Native {
    /// Which kind.
    #[serde(skip)]
    pub kind: Kind,
    /// What is applied: `apiVersion`, `kind`, `metadata` and the fields that are ours, nothing else.
    pub object: Value,
    /// Hash over `object`, also in its annotation [`crate::labels::APPLIED`].
    #[serde(skip)]
    pub hash: String,
}

/// Renders a cluster.
///
/// # Errors
/// For what validation cannot know: a passed-through block that is no object of its kind.
pub fn render(
    desired: &Desired,
    capabilities: &Capabilities,
    settings: &Settings,
) -> Result<Rendered<Native>, PlatformError> {
    let _ = (desired, capabilities, settings);
    Err(PlatformError::new(
        milvus_platform::Class::Bug,
        "render",
        "not written yet",
    ))
}

/// Name of the Service that clients connect to.
pub(crate) fn client_service(cluster: &milvus_core::names::ClusterKey) -> String {
    format!("{}-milvus", cluster.name)
}
