//! What runs the pods: Deployments for processes that are interchangeable, StatefulSets for those with a name and data of their
//! own, a Job for the one that ends. Pure.

use std::collections::BTreeMap;

use milvus_core::component::Component;
use milvus_core::desired::{Shape, Workload};
use milvus_core::outline::ObjectId;
use milvus_platform::PlatformError;
use serde_json::{Value, json};

use super::object::Object;
use super::pod::{self, Pod};
use super::{Process, Scope, bug};
use crate::{Kind, labels};

/// Old templates that are kept, for `kubectl rollout history`. What brings an older state back is the resource itself.
const HISTORY: u32 = 2;
/// What a new pod may take until its Deployment says that it does not get on, beyond the time that an old one may take to
/// stop. The API server's own default.
const PROGRESS_SECONDS: u64 = 600;
/// Tries of the job: the pauses between them grow to some minutes, so it goes on for half a day.
const JOB_TRIES: u32 = 100;

/// Whether each instance has a name in the network.
pub(super) fn has_members(workload: &Workload) -> bool {
    // Clients are sent to the one broker that owns a topic, and one broker after the other is replaced.
    matches!(workload.shape, Shape::Members { .. }) || workload.component == Component::Broker
}

/// The native workload.
pub(super) fn render(scope: &Scope<'_>, workload: &Workload) -> Result<Process, PlatformError> {
    let component = workload.component;
    let Some(replicas) = workload.replicas() else {
        return Err(bug(
            format!("render {component}"),
            "nothing runs once on every node here",
        ));
    };
    let Pod {
        template,
        revision,
        claims,
        mut uses,
        grace,
    } = pod::pod(scope, workload)?;
    let selector = json!({"matchLabels": scope.selector(component)});
    let job = matches!(workload.shape, Shape::Job);
    let (kind, spec) = if job {
        let spec = json!({"backoffLimit": JOB_TRIES, "template": template});
        (Kind::Job, spec)
    } else if has_members(workload) {
        let service = scope.headless_name(component);
        uses.insert(ObjectId::new(Kind::Service.name(), service.clone()));
        let mut spec = json!({
            "replicas": replicas,
            "selector": selector,
            "serviceName": service,
            // Members of a quorum wait for each other, so none may wait for the one before it.
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            "revisionHistoryLimit": HISTORY,
            "template": template,
        });
        if !claims.is_empty() {
            spec["volumeClaimTemplates"] = Value::Array(claims);
            // Data goes when the resource says so, and never because something was scaled or removed.
            spec["persistentVolumeClaimRetentionPolicy"] =
                json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
        }
        (Kind::StatefulSet, spec)
    } else {
        let mut spec = json!({
            "replicas": replicas,
            "selector": selector,
            "strategy": strategy(component, replicas),
            "progressDeadlineSeconds": PROGRESS_SECONDS + grace,
            "revisionHistoryLimit": HISTORY,
            "template": template,
        });
        if workload.externally_scaled() {
            // Whoever scales it owns the number: what is not applied is nobody's to put back.
            spec.as_object_mut().and_then(|s| s.remove("replicas"));
        }
        (Kind::Deployment, spec)
    };
    let annotations = BTreeMap::from([(labels::REVISION.to_owned(), revision.clone())]);
    let name = scope.workload_name(component);
    let object = Object::new(scope, kind, name, Some(component))
        .annotations(&annotations)
        .set("spec", spec);
    Ok(Process {
        object,
        revision,
        uses,
        // What a job was made with cannot be changed: it is made anew.
        mutable: !job,
    })
}

/// How a Deployment replaces its pods. One more than asked for would have no place on nodes that are full (or where each has
/// one accelerator), and the roll-out would wait for ever: the new one takes the place of an old one.
fn strategy(component: Component, replicas: u32) -> Value {
    let alone = replicas <= 1;
    match component {
        // Two of it would open the same data.
        Component::Standalone => json!({"type": "Recreate"}),
        // Without a standby a second coordinator ends at once because the first one holds its session.
        Component::MixCoord
        | Component::RootCoord
        | Component::DataCoord
        | Component::QueryCoord
        | Component::IndexCoord
            if alone =>
        {
            json!({"type": "Recreate"})
        }
        // The new one starts while the old one hands over: nodes need somebody to hand over to.
        _ => json!({
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
        }),
    }
}
