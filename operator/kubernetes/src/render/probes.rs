//! The kubelet's checks of a container: liveness (restart it), readiness (send it clients), and the start before both. Pure.

use std::time::Duration;

use milvus_core::desired::{Liveness, LivenessCheck, Workload};
use milvus_core::probe::ProbeKind;
use serde_json::{Map, Value, json};

/// Between checks of a start, seconds.
const STARTING: u64 = 1;
/// Between checks of readiness: a Service leads to a process no later than this after it could.
const READY: u64 = 2;
/// The same where each check is a line in the process's log.
const READY_LOGGED: u64 = 5;
/// The same where readiness asks what the check of the start has asked already: nothing is won by asking often.
const READY_AS_STARTED: u64 = 10;
/// For one check of readiness. etcd answers after at most 5 s when it has lost its quorum, Milvus asks its roles.
const READY_TIMEOUT: u64 = 5;
/// Failed checks in a row until a process gets no clients any more.
const UNREADY_AFTER: u64 = 3;

/// The fields of a container, by name. What the resource says replaces a check as a whole; `null` removes it.
pub(super) fn probes(workload: &Workload, own: &Map<String, Value>) -> Map<String, Value> {
    let mut all = Map::new();
    if let Some(liveness) = &workload.liveness {
        all.insert("startupProbe".to_owned(), startup(liveness));
        all.insert("livenessProbe".to_owned(), living(liveness));
    }
    if let Some((handler, period)) = workload.probe.as_ref().and_then(|p| readiness(&p.kind)) {
        let timing = json!({
            "periodSeconds": period,
            "timeoutSeconds": READY_TIMEOUT,
            "failureThreshold": UNREADY_AFTER,
        });
        all.insert("readinessProbe".to_owned(), with(handler, timing));
    }
    for (name, probe) in own {
        if probe.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), probe.clone());
        }
    }
    all
}

/// Liveness begins when this has succeeded once, and the process is started anew when it never does.
fn startup(liveness: &Liveness) -> Value {
    let tries = seconds(liveness.start_period).div_ceil(STARTING).max(1);
    let timing = json!({
        "periodSeconds": STARTING,
        "timeoutSeconds": seconds(liveness.timeout),
        "failureThreshold": tries,
    });
    with(handler(&liveness.check), timing)
}

fn living(liveness: &Liveness) -> Value {
    let Liveness {
        check,
        interval,
        timeout,
        retries,
        start_period: _, // see above
    } = liveness;
    let timing = json!({
        "periodSeconds": seconds(*interval),
        "timeoutSeconds": seconds(*timeout),
        "failureThreshold": retries,
    });
    with(handler(check), timing)
}

fn handler(check: &LivenessCheck) -> Value {
    match check {
        LivenessCheck::Command(command) => json!({"exec": {"command": command}}),
        LivenessCheck::Http { port, path } => http(*port, path),
        LivenessCheck::Tcp { port } => tcp(*port),
    }
}

/// What tells that a process can serve, and how often it is asked. Members find each other whether they are ready or not (their Services publish
/// addresses that are not), so a check that needs a quorum cannot keep the quorum from forming.
fn readiness(kind: &ProbeKind) -> Option<(Value, u64)> {
    Some(match kind {
        ProbeKind::Etcd { port } => (http(*port, "/health"), READY),
        // `/minio/health/ready` answers yes from the start, `/minio/health/cluster` sends clients away from a cluster that
        // can still be read; this one says that the process is initialised and sees enough drives to read.
        ProbeKind::Minio { port } => (http(*port, "/minio/health/cluster/read"), READY),
        ProbeKind::Broker { port } => (http(*port, "/admin/v2/brokers/ready"), READY_LOGGED),
        ProbeKind::Milvus { port } => (http(*port, "/healthz"), READY),
        ProbeKind::Zookeeper { port }
        | ProbeKind::Bookkeeper { port }
        | ProbeKind::Tcp { port } => (tcp(*port), READY_AS_STARTED),
        // Asked about others, or of what does not exist here.
        ProbeKind::S3 { .. }
        | ProbeKind::Kafka { .. }
        | ProbeKind::Sessions { .. }
        | ProbeKind::Endpoint { .. }
        | ProbeKind::Gateway => return None,
    })
}

fn http(port: u16, path: &str) -> Value {
    json!({"httpGet": {"port": port, "path": path}})
}

fn tcp(port: u16) -> Value {
    json!({"tcpSocket": {"port": port}})
}

fn with(mut handler: Value, timing: Value) -> Value {
    if let (Value::Object(handler), Value::Object(timing)) = (&mut handler, timing) {
        handler.extend(timing);
    }
    handler
}

/// Whole seconds, at least one: the API has nothing finer.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().max(1)
}
