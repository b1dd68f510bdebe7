//! What the cluster stands on: etcd, object storage, queue, and their Secrets.

use super::*;

#[test]
fn etcd() {
    let values =
        |values: &str| format!("  dependencies: {{etcd: {{inCluster: {{values: {{{values}}}}}}}}}");
    let path = "spec.dependencies.etcd.inCluster.values";
    refused(
        &values("replicaCount: 4"),
        &[(&format!("{path}.replicaCount"), Invalid)],
    );
    refused(
        &values("replicaCount: 0"),
        &[(&format!("{path}.replicaCount"), Invalid)],
    );
    refused(
        &values("electionTimeout: 1000"),
        &[(&format!("{path}.electionTimeout"), Invalid)],
    );
    refused(
        &values("quotaBackendBytes: much"),
        &[(&format!("{path}.quotaBackendBytes"), Invalid)],
    );
    refused(
        "  dependencies: {etcd: {endpoints: ['a:1'], auth: {secretRef: a}, ssl: {secretRef: b}}}",
        &[
            ("spec.dependencies.etcd.endpoints", Invalid),
            ("spec.dependencies.etcd.auth", Invalid),
            ("spec.dependencies.etcd.ssl", Invalid),
        ],
    );
    refused(
        "  dependencies: {etcd: {external: true}}",
        &[("spec.dependencies.etcd.endpoints", Invalid)],
    );
    refused(
        "  dependencies: {etcd: {external: true, endpoints: ['http://a:1', 'a'], inCluster: {values: {replicaCount: 3}}}}",
        &[
            ("spec.dependencies.etcd.inCluster", Invalid),
            ("spec.dependencies.etcd.endpoints[0]", Invalid),
            ("spec.dependencies.etcd.endpoints[1]", Invalid),
        ],
    );
    refused(
        "  components: {image: 'm:v2.2.16'}\n  dependencies: {etcd: {external: true, endpoints: ['a:1'], auth: {secretRef: login}}}",
        &[
            ("spec.dependencies.etcd.auth", Invalid),
            (
                "spec.dependencies.etcd.auth.secretRef",
                Reason::SecretMissing,
            ),
        ],
    );
}

#[test]
fn persistence() {
    let with = |persistence: &str| {
        format!(
            "  dependencies: {{etcd: {{inCluster: {{values: {{persistence: {{{persistence}}}}}}}}}}}"
        )
    };
    let path = |field: &str| format!("spec.dependencies.etcd.inCluster.values.persistence.{field}");
    for (persistence, field) in [
        ("type: bind", "path"),
        ("type: bind, path: '/a/../b'", "path"),
        ("path: /data", "path"),
        ("type: tmpfs", "type"),
        ("type: bind, path: /data, driver: local", "driver"),
        ("size: big", "size"),
    ] {
        refused(&with(persistence), &[(&path(field), Invalid)]);
    }
    let cluster = accepted(&with(
        "driverOptions: {type: none, o: bind, device: /mnt/ssd}",
    ));
    assert_eq!(
        cluster.members()[0].key,
        WorkloadKey::member(Component::Etcd, 0)
    );
    // A share that every node sees would be one directory for all members.
    let share = |device: &str| with(&format!("driverOptions: {{type: nfs, device: '{device}'}}"));
    refused(
        &share(":/export/milvus"),
        &[(&path("driverOptions.device"), Invalid)],
    );
    accepted(&share(":/export/milvus/{volume}"));
    // The same of a queue's own block.
    refused(
        "  dependencies: {msgStreamType: rocksmq, rocksmq: {persistence: {type: tmpfs}}}",
        &[("spec.dependencies.rocksmq.persistence.type", Invalid)],
    );
}

#[test]
fn object_storage() {
    let path = "spec.dependencies.storage";
    for values in [
        "replicas: 3",
        "replicas: 2",
        "mode: standalone, replicas: 4",
        "mode: distributed, replicas: 1",
    ] {
        refused(
            &format!(
                "  mode: cluster\n  dependencies: {{storage: {{inCluster: {{values: {{{values}}}}}}}}}"
            ),
            &[(&format!("{path}.inCluster.values.replicas"), Invalid)],
        );
    }
    refused(
        "  dependencies: {storage: {type: S3}}",
        &[(&format!("{path}.type"), Invalid)],
    );
    refused(
        "  dependencies: {storage: {external: true}}",
        &[
            (&format!("{path}.endpoint"), Invalid),
            (&format!("{path}.secretRef"), Invalid),
        ],
    );
    refused(
        "  dependencies: {storage: {external: true, type: S3, endpoint: 'https://s3', bucket: Big_Bucket, rootPath: /x}}",
        &[
            (&format!("{path}.rootPath"), Invalid),
            (&format!("{path}.bucket"), Invalid),
            (&format!("{path}.endpoint"), Invalid),
        ],
    );
    refused(
        "  dependencies: {storage: {endpoint: 'a:1', useSSL: true, region: r}}",
        &[
            (&format!("{path}.endpoint"), Invalid),
            (&format!("{path}.useSSL"), Invalid),
            (&format!("{path}.region"), Invalid),
        ],
    );
    let cluster = accepted(
        "  dependencies: {storage: {external: true, type: S3, endpoint: s3.example.org, useSSL: true}}",
    );
    assert!(matches!(
        cluster.storage.kind,
        StorageKind::External {
            port: 443,
            tls: true,
            ..
        }
    ));
    assert!(!cluster.network.internal);
}

#[test]
fn secrets_and_their_keys() {
    let field = "spec.dependencies.storage.secretRef";
    let resource = spec("  dependencies: {storage: {secretRef: mine}}");
    let mut facts = facts_of(&resource, 4);
    assert_eq!(
        findings(&resource, &facts),
        [(field.to_owned(), Reason::SecretMissing)]
    );
    for (entries, expected) in [
        (&[("accesskey", "user")][..], Reason::SecretMissing),
        (
            &[("accesskey", "us"), ("secretkey", "long-enough")],
            Invalid,
        ),
        (&[("accesskey", "user"), ("secretkey", "short")], Invalid),
        (
            &[("accesskey", "user"), ("secretkey", "long-enough\n")],
            Invalid,
        ),
    ] {
        facts.secrets.insert("mine".into(), secret(entries));
        assert_eq!(
            findings(&resource, &facts),
            [(field.to_owned(), expected)],
            "{entries:?}"
        );
    }
    facts.secrets.insert(
        "mine".into(),
        secret(&[("accesskey", "user"), ("secretkey", "long-enough")]),
    );
    assert_eq!(findings(&resource, &facts), []);
    // Named, so not generated.
    let generated = generated_secrets_needed(&resource, &swarm_capabilities());
    assert_eq!(generated.len(), 1);
    assert_eq!(generated[0].name, "demo-gateway");
    assert_eq!(
        secrets_referenced(&resource),
        [("mine".to_owned(), field.to_owned())]
    );
    let generated = generated_secrets_needed(&resource, &kubernetes_capabilities());
    assert_eq!(generated.len(), 1);
    assert_eq!(generated[0].kind, GeneratedSecretKind::FingerprintKey);
    // No value of a Secret in what people read.
    facts.secrets.insert(
        "mine".into(),
        secret(&[("accesskey", "hidden=value"), ("secretkey", "hunter2")]),
    );
    let violations = validate(&resource, &facts, &swarm_capabilities()).unwrap_err();
    let text = format!("{violations:?}");
    assert!(
        !text.contains("hidden") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn message_queues() {
    let queue = "spec.dependencies.msgStreamType";
    refused(
        "  mode: cluster\n  dependencies: {msgStreamType: rocksmq}",
        &[(queue, Invalid)],
    );
    refused(
        "  dependencies: {msgStreamType: woodpecker}",
        &[(queue, Invalid)],
    );
    refused(
        "  components: {image: 'm:v2.2.16'}\n  dependencies: {msgStreamType: pulsar}",
        &[(queue, NotYet)],
    );
    refused(
        "  dependencies: {pulsar: {external: true, endpoint: 'a:1'}}",
        &[("spec.dependencies.pulsar", Invalid)],
    );
    refused(
        "  dependencies: {natsmq: {persistence: {size: 5Gi}}}",
        &[("spec.dependencies.natsmq", Invalid)],
    );
    refused(
        "  dependencies: {msgStreamType: natsmq, natsmq: {persistence: {size: 5Gi}}}",
        &[(queue, NotYet)],
    );
    refused(
        "  mode: cluster\n  dependencies: {pulsar: {external: true}}",
        &[("spec.dependencies.pulsar.endpoint", Invalid)],
    );
    refused(
        "  mode: cluster\n  dependencies: {pulsar: {inCluster: {values: {zookeeper: {replicaCount: 2}}}}}",
        &[(
            "spec.dependencies.pulsar.inCluster.values.zookeeper.replicaCount",
            Invalid,
        )],
    );
    refused(
        "  dependencies: {msgStreamType: kafka, kafka: {external: true, brokerList: []}}",
        &[("spec.dependencies.kafka.brokerList", Invalid)],
    );
    let cluster = accepted(
        "  dependencies: {msgStreamType: kafka, kafka: {external: true, brokerList: ['k:9092']}}",
    );
    assert!(matches!(cluster.queue, Queue::ExternalKafka { .. }));
    assert!(accepted("  {}").queue == Queue::Rocksmq);
    // Java's memory follows the limit.
    let cluster = accepted(
        "  mode: cluster\n  dependencies: {pulsar: {inCluster: {values: {broker: {resources: {limits: {memory: 1000Mi}}}}}}}",
    );
    let Queue::Pulsar(pulsar) = &cluster.queue else {
        panic!("{:?}", cluster.queue);
    };
    assert_eq!(
        pulsar.broker.memory,
        "-Xms400m -Xmx400m -XX:MaxDirectMemorySize=400m"
    );
    assert_eq!(pulsar.zookeeper.memory, "-Xms64m -Xmx256m");
}

#[test]
fn deletion_policies() {
    let resource = spec(
        "  mode: cluster\n  deletionPolicy: Delete\n  dependencies: {etcd: {inCluster: {deletionPolicy: Retain}}}",
    );
    let policies = deletion(&resource.spec);
    assert_eq!(policies[&Component::Etcd], DeletionPolicy::Retain);
    assert_eq!(policies[&Component::Minio], DeletionPolicy::Delete);
    assert_eq!(policies[&Component::Bookkeeper], DeletionPolicy::Delete);
    assert_eq!(
        deletion(&spec("  {}").spec)[&Component::Etcd],
        DeletionPolicy::Retain
    );
}
