//! Writes to the resource itself: status, finalizer, events. Only what changed, never the spec.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use milvus_core::reasons::Reason;
use milvus_core::status::EventNote;
use milvus_crds::{MilvusCluster, MilvusClusterStatus};
use tokio::time::Instant;

use crate::resource_store::ResourceStore;
use crate::seams::Clock;

/// Holds the resource until its processes (and, under `Delete`, its volumes) are gone.
pub const FINALIZER: &str = "operator.milvus.io/cluster";
/// Put on by whoever deletes with `--cascade=orphan`, as Kubernetes names it.
pub const ORPHAN: &str = "orphan";
pub(crate) const FIELD_MANAGER: &str = "milvus-operator";
/// A trouble that was away for this long is news again.
const TELL_AGAIN: Duration = Duration::from_secs(600);
/// Notes remembered per cluster.
const MAX_TOLD: usize = 256;
/// Events carry at most 1 KiB of text; longer messages are cut.
const MAX_NOTE: usize = 1000;

/// What could not be written to a resource.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum ReportError {
    #[error("write the status of {name}")]
    Status {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("change the finalizer of {name}")]
    Finalizer {
        name: String,
        #[source]
        source: kube::Error,
    },
}

/// Writes `status` to this very resource, not to another of its name.
pub(crate) async fn status(
    client: &impl ResourceStore,
    resource: &MilvusCluster,
    status: &MilvusClusterStatus,
) -> Result<(), ReportError> {
    let written = client.write_status(resource, status).await;
    written.map_err(|source| ReportError::Status {
        name: resource.name_any(),
        source,
    })
}

/// Puts our finalizer on the resource.
pub(crate) async fn add_finalizer(
    client: &impl ResourceStore,
    resource: &MilvusCluster,
) -> Result<(), ReportError> {
    let mut finalizers = resource.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    set_finalizers(client, resource, &finalizers).await
}

/// Takes our finalizer off: the API server may now forget the resource.
pub(crate) async fn drop_finalizer(
    client: &impl ResourceStore,
    resource: &MilvusCluster,
) -> Result<(), ReportError> {
    let finalizers: Vec<_> = resource
        .finalizers()
        .iter()
        .filter(|f| *f != FINALIZER)
        .cloned()
        .collect();
    match set_finalizers(client, resource, &finalizers).await {
        Err(ReportError::Finalizer {
            source: kube::Error::Api(status),
            ..
        }) if status.code == 404 => Ok(()),
        other => other,
    }
}

async fn set_finalizers(
    client: &impl ResourceStore,
    resource: &MilvusCluster,
    finalizers: &[String],
) -> Result<(), ReportError> {
    let written = client.set_finalizers(resource, finalizers).await;
    written.map_err(|source| ReportError::Finalizer {
        name: resource.name_any(),
        source,
    })
}

/// What people were told lately, so that a trouble that lasts is told once and not in every pass.
#[derive(Clone, Default)]
pub(crate) struct Told(BTreeMap<(Reason, String), Instant>);

impl Told {
    /// Whether a note is news. Things that were done always are.
    fn is_news(&mut self, note: &EventNote, now: Instant) -> bool {
        if is_step(note.reason) {
            return true;
        }
        self.0
            .retain(|_, at| now.saturating_duration_since(*at) < TELL_AGAIN);
        if self.0.len() >= MAX_TOLD {
            self.0.clear();
        }
        let key = (note.reason, note.message.clone());
        match self.0.get_mut(&key) {
            Some(at) => {
                *at = now; // it lasts
                false
            }
            None => {
                self.0.insert(key, now);
                true
            }
        }
    }
}

/// Whether a note tells of a step, which is news each time, and not of a trouble, which is told once while it lasts.
fn is_step(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Created
            | Reason::Recreated
            | Reason::Updated
            | Reason::Repaired
            | Reason::Removed
            | Reason::Placed
            | Reason::ComponentReady
            | Reason::Ready
            | Reason::Unready
    )
}

/// Posts what is wrong, where the status cannot be written: events may still be taken. Steps are told with the next status.
pub(crate) async fn troubles(
    client: &impl ResourceStore,
    resource: &MilvusCluster,
    mut notes: Vec<EventNote>,
    told: &mut Told,
    clock: &dyn Clock,
) {
    notes.retain(|note| !is_step(note.reason));
    events(client, resource, &notes, told, clock).await;
}

/// Posts events. They are for people: one that cannot be written is logged and nothing else.
pub(crate) async fn events(
    client: &impl ResourceStore,
    resource: &MilvusCluster,
    notes: &[EventNote],
    told: &mut Told,
    clock: &dyn Clock,
) {
    let namespace = resource.namespace().unwrap_or_default();
    for note in notes {
        if !told.is_news(note, clock.instant()) {
            continue;
        }
        tracing::info!(cluster = %format_args!("{namespace}/{}", resource.name_any()), reason = %note.reason, "{}", note.message);
        if let Err(error) = client.post_event(resource, note, clock.now()).await {
            tracing::debug!(%error, "an event could not be written");
        }
    }
}

/// The event that goes with a note.
pub(crate) fn event(resource: &MilvusCluster, note: &EventNote, now: Timestamp) -> Event {
    let cut = |text: &str| {
        if text.len() <= MAX_NOTE {
            return text.to_owned();
        }
        let end = (0..=MAX_NOTE - 3)
            .rev()
            .find(|i| text.is_char_boundary(*i))
            .unwrap_or(0);
        format!("{}...", &text[..end])
    };
    Event {
        metadata: ObjectMeta {
            // Named by time, so that lists show the story in its order.
            name: Some(format!("{}.{:x}", resource.name_any(), now.as_nanosecond())),
            namespace: resource.namespace(),
            ..ObjectMeta::default()
        },
        action: Some(note.action.to_owned()),
        event_time: Some(MicroTime(now)),
        // The times by which kubectl sorts and shows: only this view of events takes them.
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        message: Some(cut(&note.message)),
        reason: Some(note.reason.as_str()),
        involved_object: reference(resource),
        source: Some(EventSource {
            component: Some(FIELD_MANAGER.to_owned()),
            host: None,
        }),
        reporting_component: Some(FIELD_MANAGER.to_owned()),
        reporting_instance: Some(FIELD_MANAGER.to_owned()),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

fn reference(resource: &MilvusCluster) -> ObjectReference {
    let mut reference = resource.object_ref(&());
    reference.resource_version = None;
    reference
}
