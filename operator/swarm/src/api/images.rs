//! Images, as far as putting one on nodes without a registry needs it: ask, carry from one engine to another.

use std::time::Duration;

use bollard::query_parameters::ImportImageOptionsBuilder;
use futures::{StreamExt as _, TryStreamExt as _};
use http::Method;
use serde::Deserialize;
use tokio::time::timeout;

use super::Engine;
use super::error::ApiError;
use super::host::Host;
use super::http::escape;

/// For carrying one image from engine to engine: some tens of megabytes over a network that may be slow.
const CARRY_TIMEOUT: Duration = Duration::from_secs(600);

/// An image on an engine.
#[derive(Clone, Debug)]
pub struct Image {
    /// Hash of its configuration: the same wherever the image was loaded.
    pub id: String,
}

/// What an engine is in its Swarm.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Info {
    /// Its machine's name.
    pub name: String,
    /// Its place in a Swarm.
    pub swarm: SwarmInfo,
}

/// An engine's place in a Swarm.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SwarmInfo {
    /// Id of its node; empty outside of a Swarm.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// It is a manager, and managers have a majority.
    pub control_available: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Distribution {
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

impl Engine {
    /// What this engine is in its Swarm. Not bollard's: its type refuses a whole answer for one word that it does not know.
    pub async fn info(&self) -> Result<Info, ApiError> {
        self.get("ask what the engine is", "/info").await
    }

    /// Where the engine is.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// An image on this engine.
    pub async fn image(&self, reference: &str) -> Result<Option<Image>, ApiError> {
        let operation = format!("look for image {reference}");
        let answer = self
            .bollard(
                async |docker| docker.inspect_image(reference).await,
                &operation,
            )
            .await;
        let found = Self::found(answer)?;
        Ok(found.and_then(|image| image.id).map(|id| Image { id }))
    }

    /// The digest that the image's registry has for it now, asked by the engine. Not bollard's: `registry_auth` comes encoded.
    pub async fn registry_digest(
        &self,
        reference: &str,
        registry_auth: Option<&str>,
    ) -> Result<String, ApiError> {
        let answer: Distribution = self
            .call(
                format!("ask the registry of image {reference}"),
                Method::GET,
                &format!("/distribution/{}/json", escape_path(reference)),
                None,
                registry_auth,
            )
            .await?;
        Ok(answer.descriptor.digest)
    }

    /// Carries an image to another engine, without keeping it in between.
    pub async fn carry_image(&self, reference: &str, to: &Engine) -> Result<(), ApiError> {
        let operation = format!("carry image {reference} to the engine at {}", to.host);
        // The engine may take as long to begin its answer as it takes to read the image.
        let source = self.docker()?.with_timeout(CARRY_TIMEOUT);
        let content = source.export_image(reference).boxed();
        let quiet = ImportImageOptionsBuilder::new().quiet(true).build();
        let target = to.docker()?.with_timeout(CARRY_TIMEOUT);
        let carried = target
            .import_image_stream(quiet, content, None)
            .try_for_each(|_| std::future::ready(Ok(())));
        match timeout(CARRY_TIMEOUT, carried).await {
            Ok(result) => result.map_err(|error| ApiError::of_bollard(&operation, &to.host, error)),
            Err(_) => Err(ApiError::Timeout { operation }),
        }
    }
}

/// Encodes an image reference as part of a path; its slashes stay.
fn escape_path(reference: &str) -> String {
    reference
        .split('/')
        .map(escape)
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_keep_their_slashes() {
        assert_eq!(
            escape_path("registry.example:5000/a/b:1@sha256:0"),
            "registry.example%3A5000/a/b%3A1%40sha256%3A0"
        );
    }
}
