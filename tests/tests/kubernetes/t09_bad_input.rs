//! What cannot be is refused or reported within seconds, by field and cause, while other clusters go on.

use std::time::{Duration, Instant};

use milvus_tests::bad_input::{Bad, ETCD, Heard, MINIO, bad, everywhere, hear};
use milvus_tests::kubectl::is_ready;
use milvus_tests::{endpoint, wait};
use serde_json::json;

use crate::suite::{Room, SOON, START, suite};

/// What every platform refuses, and what Kubernetes has beyond.
fn table(room: &Room) -> Vec<Bad> {
    let at = |base: &str, field: &str| format!("{base}/{field}");
    let mut table = everywhere(|name| room.standalone(name));
    table.extend([
        bad(
            room.standalone("swarm"),
            "settings of a Swarm",
            &[(
                "/spec/swarm",
                json!({"gateway": {"port": 19531}, "components": {"proxy": {"constraints": ["node.role==worker"]}}}),
            )],
            Heard::Told("Accepted", "False", &["spec.swarm.gateway.port"]),
        ),
        bad(
            room.standalone("bind"),
            "a directory of a node",
            &[(
                &at(ETCD, "persistence"),
                json!({"type": "bind", "path": "/srv/data"}),
            )],
            Heard::Told(
                "Accepted",
                "False",
                &["spec.dependencies.etcd.inCluster.values.persistence"],
            ),
        ),
        bad(
            room.cluster("owned"),
            "a block of a pod that says what is the operator's to say",
            &[(
                "/spec/kubernetes",
                json!({"components": {"proxy": {"podLabels": {"app.kubernetes.io/instance": "other"}}}}),
            )],
            Heard::Told(
                "Accepted",
                "False",
                &["spec.kubernetes.components.proxy.podLabels"],
            ),
        ),
        bad(
            room.cluster("nowhere"),
            "a component that there is not",
            &[(
                "/spec/kubernetes",
                json!({"components": {"queryNodes": {"hostNetwork": true}}}),
            )],
            Heard::Told("Accepted", "False", &["spec.kubernetes.components", "queryNodes"]),
        ),
        bad(
            room.cluster("memory"),
            "more memory than any node has",
            &[(
                "/spec/components/queryNode",
                json!({"resources": {"requests": {"memory": "900Ti"}}}),
            )],
            Heard::Told(
                "Degraded",
                "True",
                &["spec.components.queryNode.resources", "Insufficient memory"],
            ),
        ),
        bad(
            room.cluster("label"),
            "a label that no node has",
            &[(
                "/spec/components/dataNode",
                json!({"nodeSelector": {"disk": "golden"}}),
            )],
            Heard::Told("Degraded", "True", &["spec.components.dataNode.nodeSelector"]),
        ),
        bad(
            room.standalone("class"),
            "a storage class that there is not",
            &[(
                &at(MINIO, "persistence"),
                json!({"storageClass": "no-such-class"}),
            )],
            Heard::Told(
                "Degraded",
                "True",
                &["spec.dependencies.storage.inCluster.values.persistence", "minio"],
            ),
        ),
        bad(
            room.cluster("refused"),
            "an etcd where nobody listens",
            &[(
                "/spec/dependencies/etcd/endpoints",
                json!([endpoint::nobody()]),
            )],
            Heard::Waits("DependenciesReady", "False", &["etcd", "refuses connections"]),
        ),
        bad(
            room.cluster("silent"),
            "an S3 store that never answers",
            &[(
                "/spec/dependencies/storage/endpoint",
                json!(endpoint::silence()),
            )],
            Heard::Waits("DependenciesReady", "False", &["minio", "did not answer"]),
        ),
        bad(
            room.cluster("denied"),
            "a key that the S3 store does not know",
            &[("/spec/dependencies/storage/secretRef", json!("wrong"))],
            Heard::Told(
                "Degraded",
                "True",
                &["spec.dependencies.storage.secretRef", "InvalidAccessKeyId"],
            ),
        ),
        bad(
            room.cluster("bucket"),
            "a Secret without the keys",
            &[("/spec/dependencies/storage/secretRef", json!("empty"))],
            Heard::Told(
                "Accepted",
                "False",
                &["spec.dependencies.storage.secretRef", "empty", "accesskey"],
            ),
        ),
    ]);
    table
}

/// Every row of the table, with the time that it took to hear of it; another cluster stays Ready and is not touched; and what was
/// refused leaves nothing when it is deleted.
#[test]
fn each_is_told_by_field_and_cause() {
    let mut suite = suite();
    suite.bed.volumes(12);
    let room = suite.room("bad");
    room.secret("wrong", "somebody", "else-entirely");
    let empty = json!({"metadata": {"name": "empty"}, "stringData": {"user": "a"}});
    room.api.create("secrets", &room.namespace, &empty).unwrap();
    room.create(&room.cluster("good"));
    room.ready("good", START);
    let before = room.identities("good");
    let mut wrong = Vec::new();
    for bad in table(&room) {
        if let Err(why) = hear(&room.kubectl, &bad, SOON) {
            println!("  WRONG {}: {why}", bad.what);
            wrong.push(format!("{}: {why}", bad.what));
        }
        if let Err(why) = is_ready(&room.get("milvusclusters", "good")) {
            wrong.push(format!("with {}, the good one: {why}", bad.what));
        }
        room.api
            .delete(room.at("milvusclusters", &bad.name), "Background");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for bad in table(&room) {
        room.gone(&bad.name, START);
    }
    assert_eq!(before, room.identities("good"));
}

/// Sixty clusters whose etcd takes connections and never answers, and some that cannot be: a good one comes up as fast as alone.
#[test]
fn many_broken_ones_delay_nobody() {
    let mut suite = suite();
    let room = suite.room("hung");
    let silence = endpoint::silence();
    for number in 0..60 {
        let mut hung = room.cluster(&format!("hung{number}"));
        hung["spec"]["dependencies"]["etcd"]["endpoints"] = json!([silence]);
        room.create(&hung);
    }
    for number in 0..5 {
        let mut refused = room.cluster(&format!("refused{number}"));
        refused["spec"]["dependencies"]["storage"]["secretRef"] = json!("no-such-secret");
        room.create(&refused);
    }
    wait::timed("the last of them to be told of", START, || {
        let found = room.condition("hung59", "DependenciesReady");
        let told = found.status == "False" && found.message.contains("etcd");
        told.then_some(()).ok_or(format!("{found:?}"))
    });
    let start = Instant::now();
    room.create(&room.cluster("good"));
    room.ready("good", START);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    room.change(
        "deployments",
        "good-proxy",
        &json!({"spec": {"replicas": 2}}),
    );
    room.event("good", 0, "Repaired", &["good-proxy"]);
}
