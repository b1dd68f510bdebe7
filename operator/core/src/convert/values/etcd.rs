//! Values of the etcd chart. Pure.

use serde_json::Value;

use super::{UNKNOWN, chart_resources, count, env, image, node_selector, persistence, pod};
use crate::convert::draft::Draft;
use crate::convert::input::{Block, Given};

const TARGET: &str = "spec.dependencies.etcd.inCluster.values";

/// Variables of etcd that are fields here.
const VARIABLES: [(&str, &str); 6] = [
    ("ETCD_QUOTA_BACKEND_BYTES", "quotaBackendBytes"),
    ("ETCD_HEARTBEAT_INTERVAL", "heartbeatInterval"),
    ("ETCD_ELECTION_TIMEOUT", "electionTimeout"),
    ("ETCD_SNAPSHOT_COUNT", "snapshotCount"),
    ("ETCD_AUTO_COMPACTION_MODE", "autoCompactionMode"),
    ("ETCD_AUTO_COMPACTION_RETENTION", "autoCompactionRetention"),
];

/// Writes what is known and speaks of the rest.
pub(in crate::convert) fn values(mut values: Block, draft: &mut Draft) {
    count(&mut values, "replicaCount", TARGET, draft);
    image(&mut values, TARGET, draft);
    chart_resources(&mut values, TARGET, draft);
    node_selector(&mut values, TARGET, draft);
    let class = global(&mut values, draft);
    persistence(&mut values, TARGET, class, None, draft);
    let modes = ["revision", "periodic"];
    if let Some(mode) = values.choice("autoCompactionMode", &modes, draft) {
        mode.carry(draft, &format!("{TARGET}.autoCompactionMode"));
    }
    if let Some(retention) = values.scalar("autoCompactionRetention", draft) {
        retention.carry(draft, &format!("{TARGET}.autoCompactionRetention"));
    }
    if let Some(given) = values.take("extraEnvVars") {
        variables(given, draft);
    }
    pod(&mut values, "etcd", draft);
    security(&mut values, draft);
    for (field, what) in [
        ("command", "this operator starts etcd itself"),
        ("args", "this operator starts etcd itself"),
        (
            "sidecars",
            "this operator runs no other container beside etcd",
        ),
        (
            "initContainers",
            "this operator runs no container before etcd",
        ),
    ] {
        values.refuse_if_set(field, &format!("{what}; remove it"), draft);
    }
    values.leave_rest(draft, UNKNOWN);
}

/// What all volumes and images share.
fn global(values: &mut Block, draft: &mut Draft) -> Option<Given<String>> {
    let mut global = values.block("global", draft);
    global.refuse_if_set(
        "imageRegistry",
        "write the registry into image.repository",
        draft,
    );
    global.refuse_if_set(
        "imagePullSecrets",
        "images of dependencies are pulled without a Secret; log in on the nodes, or name a registry that asks for none",
        draft,
    );
    let class = global.text("storageClass", draft);
    global.leave_rest(draft, UNKNOWN);
    class
}

/// Variables that stand for flags are fields here; the others stay variables.
fn variables(given: Given<Value>, draft: &mut Draft) {
    let path = given.path.clone();
    let mut others = Vec::new();
    for (index, variable) in env(given, draft).into_iter().enumerate() {
        let name = variable.get("name").and_then(Value::as_str);
        let field = VARIABLES.iter().find(|(known, _)| Some(*known) == name);
        let Some((_, field)) = field else {
            others.push(variable);
            continue;
        };
        let origin = format!("{path}[{index}].value");
        let Some(text) = variable.get("value").and_then(Value::as_str) else {
            draft.refuse(origin, "write the value out: it is a field of its own here");
            continue;
        };
        let number = ["heartbeatInterval", "electionTimeout", "snapshotCount"].contains(field);
        let value = match (number, text.parse::<i64>()) {
            (true, Ok(number)) => Value::from(number),
            (true, Err(_)) => {
                draft.refuse(origin, "must be a whole number; correct it");
                continue;
            }
            (false, _) => Value::from(text),
        };
        let target = format!("{TARGET}.{field}");
        if draft.get(&target).is_some_and(|there| *there != value) {
            draft.refuse(
                origin,
                format!("{field} says otherwise; keep one of the two"),
            );
        } else {
            draft.set(&target, value, &origin);
        }
    }
    if !others.is_empty() {
        draft.set(
            &format!("{TARGET}.extraEnvVars"),
            Value::Array(others),
            &path,
        );
    }
}

/// An etcd that asks for a login or for certificates is not what the operator runs.
fn security(values: &mut Block, draft: &mut Draft) {
    const PLAIN: &str = "the etcd that this operator runs asks for no login and speaks no TLS: only its cluster is meant to reach it (on Kubernetes keep others off with a NetworkPolicy); remove this and config.etcd.auth, or use an external etcd";
    let mut auth = values.block("auth", draft);
    let mut rbac = auth.block("rbac", draft);
    // `enabled` is the older chart's word for `create`.
    let on = ["enabled", "create"]
        .iter()
        .any(|key| rbac.peek(key).is_some_and(|value| *value == true));
    for key in ["enabled", "create"] {
        rbac.refuse_if_on(key, PLAIN, draft);
    }
    for given in rbac.rest() {
        if on {
            // Said once, at the switch; never show a password.
            given.same(draft);
        } else {
            given.left(draft, "auth.rbac is off, and without it this has no effect");
        }
    }
    for side in ["client", "peer"] {
        let mut side = auth.block(side, draft);
        for key in ["secureTransport", "useAutoTLS", "enableAuthentication"] {
            side.refuse_if_on(key, PLAIN, draft);
        }
        side.leave_rest(draft, UNKNOWN);
    }
    auth.leave_rest(draft, UNKNOWN);
    let mut snapshot = values.block("startFromSnapshot", draft);
    snapshot.refuse_if_on(
        "enabled",
        "a new etcd starts empty here; restore the data with a backup of Milvus",
        draft,
    );
    snapshot.leave_rest(draft, UNKNOWN);
}
