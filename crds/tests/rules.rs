//! The CEL rules, run by the library that the embedded API server uses.

use milvus_crds::{KIND, MilvusCluster};
use serde_json::{Value, json};

fn named(name: &str, spec: Value) -> MilvusCluster {
    serde_json::from_value(json!({
        "apiVersion": "operator.milvus.io/v1beta1",
        "kind": KIND,
        "metadata": {"name": name},
        "spec": spec,
    }))
    .expect("a resource")
}

fn cluster(spec: Value) -> MilvusCluster {
    named("demo", spec)
}

/// The messages of the rules that object to a new resource.
fn create(spec: Value) -> Vec<String> {
    messages(cluster(spec).validate_cel())
}

/// The messages of the rules that object to a change.
fn update(old: Value, new: Value) -> Vec<String> {
    messages(cluster(new).validate_cel_update(&cluster(old)))
}

fn messages(result: Result<(), kube::core::cel::ValidationErrors>) -> Vec<String> {
    match result {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .iter()
            .map(|error| format!("{}: {}", error.field_path, error.message))
            .collect(),
    }
}

#[track_caller]
fn only(messages: Vec<String>, part: &str) {
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].contains(part),
        "{} does not say {part:?}",
        messages[0]
    );
}

#[track_caller]
fn none(messages: Vec<String>) {
    assert!(messages.is_empty(), "{messages:?}");
}

#[test]
fn an_empty_spec_is_good() {
    none(create(json!({})));
    none(update(json!({}), json!({})));
}

#[test]
fn empty_yaml_keys_are_absent_fields() {
    let spec = json!({"components": null, "dependencies": {"etcd": null, "storage": {"inCluster": {"values": null}}}, "config": null});
    none(create(spec.clone()));
    assert_eq!(
        cluster(spec).spec,
        milvus_crds::MilvusClusterSpec::default()
    );
}

#[test]
fn names_have_a_bound() {
    none(messages(named(&"a".repeat(50), json!({})).validate_cel()));
    only(
        messages(named(&"a".repeat(51), json!({})).validate_cel()),
        "metadata.name: must be at most 50 characters",
    );
}

#[test]
fn even_quorums_are_refused_by_field() {
    let etcd =
        |n: i32| json!({"dependencies": {"etcd": {"inCluster": {"values": {"replicaCount": n}}}}});
    let zookeeper = |n: i32| json!({"dependencies": {"pulsar": {"inCluster": {"values": {"zookeeper": {"replicaCount": n}}}}}});
    for odd in [1, 3, 5] {
        none(create(etcd(odd)));
        none(create(zookeeper(odd)));
    }
    only(
        create(etcd(4)),
        "dependencies.etcd.inCluster.values.replicaCount: etcd needs an odd number",
    );
    only(
        create(zookeeper(2)),
        "dependencies.pulsar.inCluster.values.zookeeper.replicaCount: zookeeper needs an odd number",
    );
}

#[test]
fn external_parts_need_an_address() {
    for (part, field, value) in [
        ("etcd", "endpoints", json!(["etcd-0:2379"])),
        ("storage", "endpoint", json!("minio:9000")),
        ("pulsar", "endpoint", json!("pulsar:6650")),
        ("kafka", "brokerList", json!(["kafka-0:9092"])),
        (
            "woodpecker",
            "quorumBufferPools",
            json!([{"name": "a", "seeds": ["log-0:18080"]}]),
        ),
    ] {
        let message = format!("{field} is required when external is true");
        only(
            create(json!({"dependencies": {part: {"external": true}}})),
            &message,
        );
        none(create(
            json!({"dependencies": {part: {"external": true, field: value}}}),
        ));
        none(create(json!({"dependencies": {part: {"external": false}}})));
    }
}

#[test]
fn foreign_stores_are_external() {
    only(
        create(json!({"dependencies": {"storage": {"type": "S3"}}})),
        "set external to true",
    );
    none(create(
        json!({"dependencies": {"storage": {"type": "S3", "external": true, "endpoint": "s3:443"}}}),
    ));
    none(create(
        json!({"dependencies": {"storage": {"type": "MinIO"}}}),
    ));
}

#[test]
fn queues_inside_one_process_need_standalone() {
    for queue in ["rocksmq", "natsmq"] {
        none(create(json!({"dependencies": {"msgStreamType": queue}})));
        none(create(
            json!({"mode": "standalone", "dependencies": {"msgStreamType": queue}}),
        ));
        only(
            create(json!({"mode": "cluster", "dependencies": {"msgStreamType": queue}})),
            "need spec.mode standalone",
        );
    }
    none(create(
        json!({"mode": "cluster", "dependencies": {"msgStreamType": "pulsar"}}),
    ));
}

#[test]
fn the_mode_stays() {
    none(update(json!({}), json!({"mode": "standalone"})));
    none(update(json!({"mode": "standalone"}), json!({})));
    only(
        update(json!({}), json!({"mode": "cluster"})),
        "spec.mode is immutable",
    );
    only(
        update(json!({"mode": "cluster"}), json!({})),
        "spec.mode is immutable",
    );
}

#[test]
fn immutable_fields_can_be_neither_set_changed_nor_removed() {
    for (path, one, two) in [
        (
            "dependencies.msgStreamType",
            json!("pulsar"),
            json!("kafka"),
        ),
        (
            "dependencies.storage.bucket",
            json!("bucket-a"),
            json!("bucket-b"),
        ),
        ("dependencies.storage.rootPath", json!("a"), json!("b")),
        ("swarm.mtu", json!(1400), json!(1450)),
        (
            "swarm.subnet",
            json!({ "backend": "10.20.0.0/24" }),
            json!({ "backend": "10.20.2.0/24" }),
        ),
    ] {
        let with = |value: &Value| {
            path.rsplit('.')
                .fold(value.clone(), |inner, step| json!({step: inner}))
        };
        // The blocks around the field exist, but it does not.
        let (parent, field) = path.rsplit_once('.').expect("a dotted path");
        let sibling = match field {
            "msgStreamType" => json!({"etcd": {"external": true, "endpoints": ["e:2379"]}}),
            "mtu" => json!({"gateway": {"port": 19531}}),
            _ => json!({"region": "x"}),
        };
        let without = parent
            .rsplit('.')
            .fold(sibling, |inner, step| json!({step: inner}));
        let message = format!("spec.{path} is immutable");

        none(update(with(&one), with(&one)));
        none(update(json!({}), without.clone()));
        for (old, new) in [
            (with(&one), with(&two)),
            (with(&one), json!({})),
            (with(&one), without.clone()),
            (json!({}), with(&one)),
            (without, with(&one)),
        ] {
            only(update(old, new), &message);
        }
    }
}

#[test]
fn an_environment_variable_has_one_source() {
    let env = |variable: Value| json!({"components": {"env": [variable]}});
    none(create(env(json!({"name": "A", "value": "b"}))));
    none(create(env(
        json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
    )));
    only(
        create(env(
            json!({"name": "A", "value": "b", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
        )),
        "exclude each other",
    );
}
