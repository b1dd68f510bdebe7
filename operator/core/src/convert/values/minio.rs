//! Values of the MinIO chart. Pure.

use super::{
    UNKNOWN, chart_resources, count, image, node_selector, persistence, pod, settings, texts,
};
use crate::convert::Shape;
use crate::convert::draft::Draft;
use crate::convert::input::{Block, off};

const TARGET: &str = "spec.dependencies.storage.inCluster.values";

/// Size of a drive in the chart.
const DRIVE: &str = "500Gi";

/// Writes what is known and speaks of the rest.
pub(in crate::convert) fn values(mut values: Block, shape: &Shape, draft: &mut Draft) {
    let mode = values.choice("mode", &["standalone", "distributed"], draft);
    let standalone = mode
        .as_ref()
        .map_or(shape.standalone, |mode| mode.value == "standalone");
    if let Some(mode) = mode {
        mode.carry(draft, &format!("{TARGET}.mode"));
    }
    if standalone {
        for field in ["replicas", "drivesPerNode", "zones"] {
            values.leave_unless(
                field,
                1,
                "the chart does not look at it in mode standalone: one process with one drive",
                draft,
            );
        }
    } else {
        count(&mut values, "replicas", TARGET, draft);
        count(&mut values, "drivesPerNode", TARGET, draft);
    }
    if let Some(zones) = values.number("zones", draft) {
        if zones.value == 1 {
            zones.same(draft);
        } else {
            zones.refuse(
                draft,
                "several pools cannot be made at once; write the whole number of processes into replicas for a new store",
            );
        }
    }
    image(&mut values, TARGET, draft);
    if values.peek("resources").is_none_or(off) {
        draft.note(
            values.at("resources"),
            "the chart reserves 2Gi of memory for each process by default; nothing is reserved here unless it is said",
        );
    }
    chart_resources(&mut values, TARGET, draft);
    node_selector(&mut values, TARGET, draft);
    persistence(&mut values, TARGET, None, Some(DRIVE), draft);
    if let Some(given) = values.take("environment") {
        let path = given.path.clone();
        let environment = settings(given, draft);
        let environment = texts(environment, draft);
        if environment.as_object().is_some_and(|map| !map.is_empty()) {
            draft.set(&format!("{TARGET}.environment"), environment, &path);
        }
    }
    credentials(&mut values, draft);
    pod(&mut values, "minio", draft);
    let mut tls = values.block("tls", draft);
    tls.refuse_if_on(
        "enabled",
        "the MinIO that this operator runs speaks no TLS: only its cluster is meant to reach it (on Kubernetes keep others off with a NetworkPolicy); remove it, or use an external store",
        draft,
    );
    tls.leave_rest(draft, UNKNOWN);
    values.leave_rest(draft, UNKNOWN);
}

/// Keys: named by a Secret, or made by the operator.
fn credentials(values: &mut Block, draft: &mut Draft) {
    if let Some(secret) = values.text("existingSecret", draft) {
        secret.carry(draft, "spec.dependencies.storage.secretRef");
    }
    for field in ["accessKey", "secretKey"] {
        if let Some(given) = values.take(field) {
            if given.value == "" {
                given.same(draft);
            } else {
                given.left(
                    draft,
                    "strong keys are generated instead; to choose them, name a Secret with the keys accesskey and secretkey in spec.dependencies.storage.secretRef",
                );
            }
        }
    }
}
