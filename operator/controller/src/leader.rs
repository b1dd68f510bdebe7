//! Leader election by a Lease, as Kubernetes' own components do it: whoever holds it renews it, and whoever finds it not
//! renewed for its whole duration takes it. The times are those of client-go's defaults.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::seams::Fence;

/// How long a Lease that nobody renews keeps others waiting.
const DURATION: Duration = Duration::from_secs(15);
/// How long the holder tries to renew before it gives up.
const RENEW: Duration = Duration::from_secs(10);
/// Between tries.
const RETRY: Duration = Duration::from_secs(2);
/// Between renewals that succeed: two may fail before somebody else takes over.
const INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaderError {
    #[error("the Lease {lease} could not be renewed within {} s: {why}", RENEW.as_secs())]
    Lost { lease: String, why: String },
}

/// Since when the Lease has been renewed. No other operator takes it over before it has gone unrenewed for its duration, so this
/// needs no question to the API server.
pub(crate) struct Hold(Mutex<Instant>);

impl Hold {
    fn renewed(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Whether the Lease is surely held at `now`.
    fn holds(&self, now: Instant) -> bool {
        let renewed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(renewed) < RENEW
    }
}

impl Fence for Hold {
    fn confirm(&self) -> BoxFuture<'_, Result<(), String>> {
        let held = match self.holds(Instant::now()) {
            true => Ok(()),
            false => Err(format!(
                "the Lease was not renewed within {} s, another operator may lead",
                RENEW.as_secs()
            )),
        };
        std::future::ready(held).boxed()
    }
}

/// One candidate.
pub(crate) struct Leader {
    api: Api<Lease>,
    namespace: String,
    name: String,
    identity: String,
    hold: Arc<Hold>,
}

/// The Lease as a candidate saw it last, and when: another's clock is not to be trusted, so what counts is how long it has
/// not changed here.
struct Seen {
    version: Option<String>,
    at: Instant,
}

impl Leader {
    /// For the Lease `name` of a namespace.
    pub(crate) fn new(client: Client, namespace: &str, name: &str) -> Self {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "milvus-operator".to_owned());
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: format!("{host}_{}", uuid::Uuid::new_v4()),
            hold: Arc::new(Hold(Mutex::new(Instant::now()))),
        }
    }

    /// Waits until the Lease is ours; false when `shutdown` came first.
    pub(crate) async fn elected(&self, shutdown: &CancellationToken) -> bool {
        let mut seen: Option<Seen> = None;
        let mut told = false;
        loop {
            let began = Instant::now();
            match tokio::time::timeout(RENEW, self.try_acquire(&mut seen)).await {
                Ok(Ok(None)) => {
                    self.hold.renewed(began);
                    tracing::info!(identity = %self.identity, "this operator leads");
                    return true;
                }
                Ok(Ok(Some(holder))) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!(%holder, "another operator leads; waiting");
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, lease = %format_args!("{}/{}", self.namespace, self.name), "the Lease cannot be taken");
                }
                Err(_) => tracing::warn!("the API server does not answer"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return false,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// What tells whether the Lease is still held.
    pub(crate) fn hold(&self) -> Arc<Hold> {
        self.hold.clone()
    }

    /// Renews the Lease until `done`, which says that nothing of ours acts any more, then lets it go. When it is lost, `lost` is
    /// set: somebody else may lead, and whatever acts has to end at once.
    pub(crate) async fn keep(
        self,
        done: CancellationToken,
        lost: CancellationToken,
    ) -> Result<(), LeaderError> {
        let mut renewed = Instant::now();
        let mut pause = INTERVAL;
        loop {
            tokio::select! {
                () = done.cancelled() => {
                    self.release().await;
                    return Ok(());
                }
                () = tokio::time::sleep(pause) => {}
            }
            let left = RENEW.saturating_sub(renewed.elapsed()).max(RETRY);
            let began = Instant::now();
            let (why, taken) = match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(true)) => {
                    self.hold.renewed(began);
                    (renewed, pause) = (Instant::now(), INTERVAL);
                    continue;
                }
                Ok(Ok(false)) => ("another operator holds it".to_owned(), true),
                Ok(Err(error)) => (error.to_string(), false),
                Err(_) => ("no answer in time".to_owned(), false),
            };
            if renewed.elapsed() >= RENEW || taken {
                lost.cancel();
                let lease = format!("{}/{}", self.namespace, self.name);
                return Err(LeaderError::Lost { lease, why });
            }
            tracing::warn!(%why, "the Lease was not renewed; trying again");
            pause = RETRY;
        }
    }

    /// Takes the Lease where it is free or expired. Gives its holder where it is not.
    async fn try_acquire(&self, seen: &mut Option<Seen>) -> Result<Option<String>, kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(None)),
            };
            return match self.api.create(&PostParams::default(), &lease).await {
                Err(error) if conflicts(&error) => Ok(Some("another that was faster".to_owned())),
                other => other.map(|_| None),
            };
        };
        let version = lease.resource_version();
        let spec = lease.spec.take().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let unchanged = match seen {
            Some(last) if last.version == version => last.at.elapsed(),
            _ => {
                *seen = Some(Seen {
                    version,
                    at: Instant::now(),
                });
                Duration::ZERO
            }
        };
        let lasts = spec
            .lease_duration_seconds
            .and_then(|s| u64::try_from(s).ok())
            .map_or(DURATION, Duration::from_secs);
        if !holder.is_empty() && holder != self.identity && unchanged < lasts {
            return Ok(Some(holder));
        }
        lease.spec = Some(self.spec(Some(&spec)));
        match self
            .api
            .replace(&self.name, &PostParams::default(), &lease)
            .await
        {
            Err(error) if conflicts(&error) => Ok(Some(holder)),
            other => other.map(|_| None),
        }
    }

    /// Writes the time of renewal; false when somebody else holds the Lease.
    async fn renew(&self) -> Result<bool, kube::Error> {
        let mut lease = self.api.get(&self.name).await?;
        let mut spec = lease.spec.take().unwrap_or_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(false);
        }
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        lease.spec = Some(spec);
        match self
            .api
            .replace(&self.name, &PostParams::default(), &lease)
            .await
        {
            Err(error) if conflicts(&error) => Ok(false),
            other => other.map(|_| true),
        }
    }

    /// Lets the Lease go, so that a successor does not have to wait.
    async fn release(&self) {
        let released = async {
            let mut lease = self.api.get(&self.name).await?;
            let mut spec = lease.spec.take().unwrap_or_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            spec.holder_identity = Some(String::new());
            lease.spec = Some(spec);
            let replaced = self
                .api
                .replace(&self.name, &PostParams::default(), &lease)
                .await;
            replaced.map(|_| ())
        };
        match tokio::time::timeout(RETRY, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the Lease was not let go"),
            Err(_) => tracing::debug!("the Lease was not let go in time"),
        }
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let transitions = before.map_or(0, |b| b.lease_transitions.unwrap_or(0).saturating_add(1));
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

fn conflicts(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_is_not_renewed_is_not_held() {
        let began = Instant::now();
        let hold = Hold(Mutex::new(began));
        assert!(hold.holds(began + Duration::from_secs(9)));
        assert!(!hold.holds(began + Duration::from_secs(10)));
        hold.renewed(began + Duration::from_secs(8));
        assert!(hold.holds(began + Duration::from_secs(17)));
    }
}
