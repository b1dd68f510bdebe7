//! What is refused, with which path and reason; and that everything that is wrong is said at once.

use std::collections::BTreeMap;

use milvus_crds::MilvusCluster;

use super::*;
use crate::component::WorkloadKey;
use crate::facts::OtherCluster;
use crate::ledger::{Ledger, MemberEntry};
use crate::place::place;
use crate::reasons::Reason;
use crate::testing::{facts, kubernetes_capabilities, resource, secret, swarm_capabilities};

/// A resource with this spec (two spaces in front of every line).
fn spec(spec: &str) -> MilvusCluster {
    resource(&format!(
        "apiVersion: operator.milvus.io/v1beta1\nkind: MilvusCluster\nmetadata: {{name: demo}}\nspec:\n{spec}"
    ))
}

fn findings(resource: &MilvusCluster, facts: &Facts) -> Vec<(String, Reason)> {
    match validate(resource, facts, &swarm_capabilities()) {
        Ok(_) => Vec::new(),
        Err(violations) => violations
            .into_iter()
            .map(|v| {
                assert!(!v.message.is_empty() && !v.message.contains('\n'), "{v}");
                (v.field, v.reason)
            })
            .collect(),
    }
}

/// Exactly this, on four machines with nothing else in the way.
#[track_caller]
fn refused(yaml: &str, expected: &[(&str, Reason)]) {
    let resource = spec(yaml);
    let found = findings(&resource, &facts(&resource, 4));
    let expected: Vec<(String, Reason)> = expected
        .iter()
        .map(|(field, reason)| ((*field).to_owned(), *reason))
        .collect();
    assert_eq!(found, expected, "{yaml}");
}

#[track_caller]
fn accepted(yaml: &str) -> ValidatedCluster {
    let resource = spec(yaml);
    validate(&resource, &facts(&resource, 4), &swarm_capabilities())
        .unwrap_or_else(|violations| panic!("{yaml}\n{violations:#?}"))
}

use Reason::{
    ImmutableField as Immutable, InvalidSpec as Invalid, NotSupportedYet as NotYet,
    UnsupportedOnPlatform as Platform,
};

#[test]
fn versions() {
    refused(
        "  components: {image: 'milvusdb/milvus:latest'}",
        &[("spec.components.image", Invalid)],
    );
    refused(
        "  components: {image: 'm@sha256:00'}",
        &[("spec.components.image", Invalid)],
    );
    refused(
        "  components: {version: abc}",
        &[("spec.components.version", Invalid)],
    );
    refused(
        "  components: {image: 'm:v3.0.1'}",
        &[("spec.components.image", Invalid)],
    );
    refused(
        "  components: {version: '2.1.4'}",
        &[("spec.components.version", Invalid)],
    );
    refused(
        "  mode: cluster\n  components: {image: 'm:v2.3.5', queryNode: {image: 'm:v2.4.0'}}",
        &[("spec.components.queryNode.image", NotYet)],
    );
    let cluster = accepted("  components: {image: 'm@sha256:00', version: v2.6.11}");
    assert_eq!(cluster.version.to_string(), "2.6.11");
    assert_eq!(cluster.queue, Queue::Woodpecker);
    assert_eq!(accepted("  {}").version.to_string(), "2.3.5");
}

#[test]
fn what_is_not_acted_on_yet() {
    refused("  stopped: true", &[("spec.stopped", NotYet)]);
    refused(
        "  backup: {schedule: '0 2 * * *'}",
        &[("spec.backup", NotYet)],
    );
    refused("  monitoring: {}", &[("spec.monitoring", NotYet)]);
    refused(
        "  mode: cluster\n  components:\n    queryNode: {paused: true, autoscaling: {maxReplicas: 3}, update: {}, groups: [{name: a, replicas: 1}]}",
        &[
            ("spec.components.queryNode.paused", NotYet),
            ("spec.components.queryNode.autoscaling", NotYet),
            ("spec.components.queryNode.update", NotYet),
            ("spec.components.queryNode.groups", NotYet),
        ],
    );
    refused(
        "  components: {imagePullSecrets: [{name: login}]}",
        &[("spec.components.imagePullSecrets", NotYet)],
    );
    refused(
        "  components: {env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]}",
        &[("spec.components.env[0].valueFrom", NotYet)],
    );
    refused(
        "  dependencies: {etcd: {inCluster: {values: {persistence: {enabled: false}}}}}",
        &[(
            "spec.dependencies.etcd.inCluster.values.persistence.enabled",
            NotYet,
        )],
    );
    for (queue, field) in [
        ("natsmq", "spec.dependencies.msgStreamType"),
        ("custom", "spec.dependencies.msgStreamType"),
        ("kafka", "spec.dependencies.kafka.inCluster"),
    ] {
        refused(
            &format!("  dependencies: {{msgStreamType: {queue}}}"),
            &[(field, NotYet)],
        );
    }
    refused(
        "  components: {image: 'm:v2.6.11'}\n  dependencies: {msgStreamType: woodpecker, woodpecker: {external: true, quorumBufferPools: [{name: a, seeds: ['b:1']}], persistence: {}}}",
        &[
            ("spec.dependencies.woodpecker.external", NotYet),
            ("spec.dependencies.woodpecker.quorumBufferPools", NotYet),
            ("spec.dependencies.woodpecker.persistence", NotYet),
        ],
    );
    refused(
        "  mode: cluster\n  components: {image: 'm:v2.6.11', cdc: {}}",
        &[("spec.components.cdc", NotYet)],
    );
    // Saying no is not asking.
    accepted("  stopped: false\n  components: {standalone: {paused: false}}");
}

#[test]
fn what_another_platform_has() {
    refused(
        "  kubernetes: {components: {proxy: {priorityClassName: high}}}",
        &[("spec.kubernetes", Platform)],
    );
    refused(
        "  components: {standalone: {serviceType: NodePort}}",
        &[("spec.components.standalone.serviceType", Platform)],
    );
    refused(
        "  components: {imagePullPolicy: Never}",
        &[("spec.components.imagePullPolicy", Platform)],
    );
    refused(
        "  dependencies: {etcd: {inCluster: {values: {persistence: {storageClass: fast}}}}}",
        &[(
            "spec.dependencies.etcd.inCluster.values.persistence.storageClass",
            Platform,
        )],
    );
    let resource = spec(
        "  swarm: {mtu: 1400}\n  dependencies:\n    etcd: {inCluster: {values: {persistence: {type: bind, path: /data}}}}\n    storage: {inCluster: {values: {persistence: {driver: nfs}}}}",
    );
    let violations =
        validate(&resource, &facts(&resource, 0), &kubernetes_capabilities()).unwrap_err();
    let found: Vec<_> = violations
        .iter()
        .map(|v| (v.field.as_str(), v.reason))
        .collect();
    assert_eq!(
        found,
        [
            ("spec.swarm", Platform),
            (
                "spec.dependencies.etcd.inCluster.values.persistence.type",
                Platform
            ),
            (
                "spec.dependencies.storage.inCluster.values.persistence.driver",
                Platform
            ),
        ]
    );
}

#[test]
fn roles_by_version_and_mode() {
    let at = |version: &str, components: &str| {
        format!("  mode: cluster\n  components: {{image: 'm:v{version}', {components}}}")
    };
    refused(
        &at("2.6.11", "indexNode: {}"),
        &[("spec.components.indexNode", Invalid)],
    );
    refused(
        &at("2.6.11", "rootCoord: {}"),
        &[("spec.components.rootCoord", Invalid)],
    );
    refused(
        &at("2.3.5", "streamingNode: {}"),
        &[("spec.components.streamingNode", Invalid)],
    );
    refused(&at("2.6.5", "cdc: {}"), &[("spec.components.cdc", Invalid)]);
    refused(
        &at("2.3.5", "standalone: {}"),
        &[("spec.components.standalone", Invalid)],
    );
    refused(
        &at("2.3.5", "mixCoord: {}, rootCoord: {}"),
        &[("spec.components.mixCoord", Invalid)],
    );
    refused(
        "  components: {proxy: {replicas: 2}}",
        &[("spec.components.proxy", Invalid)],
    );
    // Asking for none of a role that does not exist asks for nothing.
    let cluster = accepted(&at(
        "2.6.11",
        "indexNode: {replicas: 0}, rootCoord: {replicas: 0}",
    ));
    assert!(!cluster.roles.contains_key(&Component::IndexNode));
    assert!(cluster.roles.contains_key(&Component::MixCoord));
    assert!(cluster.roles.contains_key(&Component::StreamingNode));
    // One named coordinator brings the others along.
    let roles = |cluster: &ValidatedCluster| -> Vec<&'static str> {
        cluster.roles.keys().map(|c| c.name()).collect()
    };
    assert_eq!(
        roles(&accepted(&at("2.3.5", "dataCoord: {}"))),
        [
            "rootcoord",
            "datacoord",
            "querycoord",
            "querynode",
            "datanode",
            "indexnode",
            "proxy"
        ]
    );
    assert!(roles(&accepted(&at("2.2.16", "dataCoord: {}"))).contains(&"indexcoord"));
    assert_eq!(
        roles(&accepted(&at("2.3.5", ""))),
        ["mixcoord", "querynode", "datanode", "indexnode", "proxy"]
    );
}

#[test]
fn replicas() {
    refused(
        "  components: {standalone: {replicas: 2}}",
        &[("spec.components.standalone.replicas", Invalid)],
    );
    refused(
        "  components: {standalone: {replicas: 0}}",
        &[("spec.components.standalone.replicas", NotYet)],
    );
    refused(
        "  mode: cluster\n  components: {image: 'm:v2.2.2', mixCoord: {replicas: 2}}",
        &[("spec.components.mixCoord.replicas", Invalid)],
    );
    refused(
        "  mode: cluster\n  components: {rootCoord: {replicas: 2}}\n  config: {rootCoord: {enableActiveStandby: false}}",
        &[("spec.config.rootCoord.enableActiveStandby", Invalid)],
    );
    refused(
        "  mode: cluster\n  components: {queryNode: {replicas: -1}}",
        &[("spec.components.queryNode.replicas", Invalid)],
    );
    assert_eq!(
        accepted("  mode: cluster\n  components: {queryNode: {replicas: 0}}").roles
            [&Component::QueryNode]
            .replicas,
        0
    );
}

#[test]
fn resources() {
    refused(
        "  components: {resources: {requests: {memory: lots}, limits: {cpu: '-1'}}}",
        &[
            ("spec.components.resources.requests.memory", Invalid),
            ("spec.components.resources.limits.cpu", Invalid),
        ],
    );
    refused(
        "  dependencies: {etcd: {inCluster: {values: {resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}}}}}",
        &[(
            "spec.dependencies.etcd.inCluster.values.resources.requests.memory",
            Invalid,
        )],
    );
    let cluster = accepted(
        "  mode: cluster\n  profile: medium\n  components: {proxy: {resources: {limits: {memory: 1Gi}}}}",
    );
    let proxy = &cluster.roles[&Component::Proxy].resources;
    assert_eq!(
        (proxy.limit_memory, proxy.limit_millicpu),
        (Some(1 << 30), None)
    );
    let node = &cluster.roles[&Component::QueryNode].resources;
    assert_eq!(
        (node.limit_memory, node.request_millicpu),
        (Some(6 << 30), Some(1250))
    );
}

#[test]
fn memory_that_no_machine_has() {
    refused(
        "  components: {standalone: {resources: {requests: {memory: 17Gi}}}}",
        &[(
            "spec.components.standalone.resources.requests.memory",
            Reason::Unschedulable,
        )],
    );
    refused(
        "  dependencies: {storage: {inCluster: {values: {resources: {requests: {cpu: '9'}}}}}}",
        &[(
            "spec.dependencies.storage.inCluster.values.resources.requests.cpu",
            Reason::Unschedulable,
        )],
    );
    // Only machines that the component may run on count.
    let resource = spec(
        "  components: {standalone: {nodeSelector: {size: small}, resources: {requests: {memory: 10Gi}}}}",
    );
    let mut facts = facts(&resource, 4);
    facts.topology.nodes[0]
        .labels
        .insert("size".into(), "small".into());
    facts.topology.nodes[0].memory = 8 << 30;
    assert_eq!(
        findings(&resource, &facts),
        [(
            "spec.components.standalone.resources.requests.memory".to_owned(),
            Reason::Unschedulable
        )]
    );
}

#[test]
fn environment_and_configuration() {
    refused(
        "  components: {env: [{name: TZ, value: UTC}, {name: MINIO_ADDRESS, value: x}], standalone: {env: [{name: METRICS_PORT, value: '1'}]}}",
        &[
            ("spec.components.env[1].name", Invalid),
            ("spec.components.standalone.env[0].name", Invalid),
        ],
    );
    refused(
        "  components: {env: [{name: A, value: 'x {host} y'}]}",
        &[("spec.components.env[0]", Invalid)],
    );
    refused(
        "  config: {minio: {address: a, port: 1}, mq: {type: kafka}, messageQueue: kafka, etcd: {endpoints: [a], rootPath: /x}}",
        &[
            ("spec.config.etcd.endpoints", Invalid),
            ("spec.config.messageQueue", Invalid),
            ("spec.config.minio.address", Invalid),
            ("spec.config.minio.port", Invalid),
            ("spec.config.mq.type", Invalid),
            ("spec.config.etcd.rootPath", Invalid),
        ],
    );
    refused(
        "  dependencies: {etcd: {inCluster: {values: {extraEnvVars: [{name: ETCD_NAME, value: x}]}}}}",
        &[(
            "spec.dependencies.etcd.inCluster.values.extraEnvVars[0].name",
            Invalid,
        )],
    );
    refused(
        "  dependencies: {storage: {inCluster: {values: {environment: {MINIO_ROOT_USER: x}}}}}",
        &[(
            "spec.dependencies.storage.inCluster.values.environment[MINIO_ROOT_USER]",
            Invalid,
        )],
    );
    refused(
        "  mode: cluster\n  dependencies: {pulsar: {inCluster: {values: {broker: {configData: {clusterName: x, a: \"b\\nc\"}}}}}}",
        &[
            (
                "spec.dependencies.pulsar.inCluster.values.broker.configData[a]",
                Invalid,
            ),
            (
                "spec.dependencies.pulsar.inCluster.values.broker.configData[clusterName]",
                Invalid,
            ),
        ],
    );
    let cluster = accepted(
        "  components: {env: [{name: TZ, value: UTC}, {name: A, value: '1'}], standalone: {env: [{name: A, value: '2'}]}}",
    );
    assert_eq!(
        cluster.roles[&Component::Standalone].env,
        BTreeMap::from([("A".into(), "2".into()), ("TZ".into(), "UTC".into())])
    );
}

#[test]
fn placement() {
    refused(
        "  swarm: {gateway: {constraints: [worker]}, components: {etcd: {constraints: ['node.role==manager', 'node.zone==a', 'node.labels.=x', 'node.role==']}}}",
        &[
            ("spec.swarm.components.etcd.constraints[1]", Invalid),
            ("spec.swarm.components.etcd.constraints[2]", Invalid),
            ("spec.swarm.components.etcd.constraints[3]", Invalid),
            ("spec.swarm.gateway.constraints[0]", Invalid),
        ],
    );
    refused(
        "  swarm: {components: {streamingNode: {constraints: ['node.role==manager']}}}",
        &[("spec.swarm.components.streamingNode", Invalid)],
    );
    let cluster = accepted("  swarm: {components: {etcd: {constraints: ['node.id==n9']}}}");
    assert_eq!(cluster.members()[0].placement.constraints, ["node.id==n9"]);
}

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
    let mut facts = facts(&resource, 4);
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
    assert!(generated_secrets_needed(&resource, &kubernetes_capabilities()).is_empty());
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
fn names_have_a_limit() {
    let with = |namespace: &str, name: &str| {
        let mut resource = spec("  mode: cluster");
        resource.metadata.name = Some(name.to_owned());
        resource.metadata.namespace = Some(namespace.to_owned());
        findings(&resource, &facts(&resource, 4))
    };
    let refused = vec![("metadata.name".to_owned(), Invalid)];
    assert_eq!(with("default", &"a".repeat(41)), []);
    assert_eq!(with("default", &"a".repeat(42)), refused);
    assert_eq!(with("a-namespace-of-its-own", &"a".repeat(19)), refused);
    for name in ["a.b", "1a", "A", "a-", ""] {
        assert!(with("default", name).contains(&refused[0]), "{name}");
    }
    // The longest name of a workload counts, and it is named.
    let mut resource = spec("  mode: cluster");
    resource.metadata.name = Some("a".repeat(50));
    let violations =
        validate(&resource, &facts(&resource, 4), &kubernetes_capabilities()).unwrap_err();
    assert!(
        violations[0]
            .message
            .contains("_bookkeeper-2\" would have 63 characters"),
        "{violations:?}"
    );
}

#[test]
fn ports_belong_to_the_older_cluster() {
    let other = |port, created: &str, nodes: &[&str]| OtherCluster {
        key: ClusterKey::new("default", "other"),
        port,
        gateway_nodes: nodes.iter().map(|n| (*n).to_owned()).collect(),
        created: created.to_owned(),
    };
    let (older, newer) = ("2025-01-01T00:00:00Z", "2026-06-01T00:00:00Z");
    let conflict = vec![("spec.swarm.gateway.port".to_owned(), Reason::PortConflict)];
    let try_with = |yaml: &str, other: OtherCluster| {
        let resource = spec(yaml);
        let mut facts = facts(&resource, 4);
        facts.others.push(other);
        findings(&resource, &facts)
    };
    assert_eq!(try_with("  {}", other(19530, older, &[])), conflict);
    assert_eq!(try_with("  {}", other(19530, newer, &[])), []);
    assert_eq!(try_with("  {}", other(19531, older, &[])), []);
    let worker = "  swarm: {gateway: {constraints: ['node.role==worker']}}";
    assert_eq!(try_with(worker, other(19530, older, &["n1"])), []);
    assert_eq!(try_with(worker, other(19530, older, &["n4"])), conflict);
    assert_eq!(try_with(worker, other(19530, older, &[])), conflict);
}

/// A resource, and the ledger that it has been given.
fn placed(yaml: &str) -> (MilvusCluster, Facts) {
    let resource = spec(yaml);
    let mut facts = facts(&resource, 4);
    let capabilities = swarm_capabilities();
    let cluster = validate(&resource, &facts, &capabilities).unwrap();
    let ledger = place(
        &cluster.members(),
        cluster.fixed(),
        None,
        &facts.topology,
        &capabilities,
        &cluster.cluster,
        false,
    );
    facts.ledger = Some(ledger.unwrap());
    (resource, facts)
}

#[test]
fn what_cannot_change() {
    let base = "  mode: cluster\n  components: {image: 'm:v2.3.5'}\n";
    let (resource, facts) = placed(base);
    assert_eq!(findings(&resource, &facts), [], "the same again");
    let etcd = "spec.dependencies.etcd.inCluster.values";
    let pulsar = "spec.dependencies.pulsar.inCluster.values";
    for (yaml, field, reason) in [
        (
            format!("{base}  swarm: {{mtu: 1400}}"),
            "spec.swarm.mtu".to_owned(),
            Immutable,
        ),
        (
            format!("{base}  dependencies: {{storage: {{bucket: another}}}}"),
            "spec.dependencies.storage".to_owned(),
            Immutable,
        ),
        (
            format!("{base}  config: {{etcd: {{rootPath: another}}}}"),
            "spec.config.etcd.rootPath".to_owned(),
            Immutable,
        ),
        (
            format!(
                "{base}  dependencies: {{storage: {{inCluster: {{values: {{replicas: 8}}}}}}}}"
            ),
            "spec.dependencies.storage.inCluster.values".to_owned(),
            Immutable,
        ),
        (
            base.replace("2.3.5", "2.3.7"),
            "spec.components.image".to_owned(),
            NotYet,
        ),
        (
            format!(
                "{base}  dependencies: {{etcd: {{inCluster: {{values: {{replicaCount: 5}}}}}}}}"
            ),
            format!("{etcd}.replicaCount"),
            NotYet,
        ),
        (
            format!(
                "{base}  dependencies: {{pulsar: {{inCluster: {{values: {{bookkeeper: {{replicaCount: 2}}}}}}}}}}"
            ),
            format!("{pulsar}.bookkeeper.replicaCount"),
            NotYet,
        ),
        (
            format!(
                "{base}  dependencies: {{etcd: {{inCluster: {{values: {{persistence: {{type: bind, path: /data}}}}}}}}}}"
            ),
            format!("{etcd}.persistence.type"),
            Immutable,
        ),
    ] {
        assert_eq!(findings(&spec(&yaml), &facts), [(field, reason)], "{yaml}");
    }
    let grown = format!(
        "{base}  dependencies: {{pulsar: {{inCluster: {{values: {{bookkeeper: {{replicaCount: 4}}}}}}}}}}"
    );
    assert_eq!(findings(&spec(&grown), &facts), [], "a bookie may join");
    let found = findings(&spec("  components: {image: 'm:v2.3.5'}"), &facts);
    assert!(
        found.contains(&("spec.mode".to_owned(), Immutable)),
        "{found:?}"
    );
    assert!(found.contains(&("spec.dependencies.msgStreamType".to_owned(), Immutable)));
    let external =
        format!("{base}  dependencies: {{etcd: {{external: true, endpoints: ['a:1']}}}}");
    let found = findings(&spec(&external), &facts);
    assert!(
        found.contains(&("spec.dependencies".to_owned(), Immutable)),
        "{found:?}"
    );
    assert!(found.contains(&("spec.dependencies.etcd.external".to_owned(), Immutable)));
}

#[test]
fn retained_data_is_not_taken_over_by_accident() {
    let (mut resource, mut facts) = placed("  mode: cluster");
    resource.metadata.uid = Some("another".to_owned());
    if let Some(ledger) = &mut facts.ledger {
        ledger.owner_uid = String::new();
    }
    let violations = validate(&resource, &facts, &swarm_capabilities()).unwrap_err();
    assert_eq!(violations.len(), 1);
    assert_eq!(
        (violations[0].field.as_str(), violations[0].reason),
        ("spec.adopt", Reason::RetainedData)
    );
    assert!(
        violations[0]
            .message
            .contains("demo_etcd-0-data-e1 on node1"),
        "{}",
        violations[0]
    );
    resource.spec.adopt = true;
    assert_eq!(findings(&resource, &facts), []);
    // What is taken over must fit.
    resource.spec.swarm.mtu = Some(1400);
    assert_eq!(
        findings(&resource, &facts),
        [("spec.swarm.mtu".to_owned(), Immutable)]
    );
    // A ledger without members holds nothing back.
    resource.spec.adopt = false;
    facts.ledger = Some(Ledger {
        last_epoch: 3,
        ..Ledger::default()
    });
    assert_eq!(findings(&resource, &facts), []);
    // A place below a path is named as a path.
    let entry = MemberEntry {
        node: "n1".into(),
        node_name: "node1".into(),
        epoch: 1,
        volumes: Vec::new(),
        directories: vec![crate::ledger::MemberDirectory {
            base: "/data/".into(),
            directory: "demo/etcd-0-e1".into(),
        }],
    };
    facts.ledger = Some(Ledger {
        members: BTreeMap::from([("etcd-0".to_owned(), entry)]),
        ..Ledger::default()
    });
    let violations = validate(&resource, &facts, &swarm_capabilities()).unwrap_err();
    assert!(
        violations[0]
            .message
            .contains("/data/demo/etcd-0-e1 on node1")
    );
}

#[test]
fn everything_is_said_at_once() {
    refused(
        "  mode: cluster\n  stopped: true\n  components: {image: 'm:latest', streamingNode: {}, env: [{name: ETCD_ENDPOINTS, value: x}]}\n  dependencies: {etcd: {inCluster: {values: {replicaCount: 2}}}, storage: {inCluster: {values: {replicas: 3}}}}",
        &[
            ("spec.components.image", Invalid),
            ("spec.stopped", NotYet),
            (
                "spec.dependencies.etcd.inCluster.values.replicaCount",
                Invalid,
            ),
            (
                "spec.dependencies.storage.inCluster.values.replicas",
                Invalid,
            ),
            ("spec.components.streamingNode", Invalid),
            ("spec.components.env[0].name", Invalid),
        ],
    );
}

#[test]
fn few_machines_are_remarked_upon() {
    let resource = spec("  mode: cluster");
    let cluster = validate(&resource, &facts(&resource, 2), &swarm_capabilities()).unwrap();
    let fields: Vec<_> = cluster.notices.iter().map(|n| n.reason).collect();
    assert_eq!(
        fields,
        [Reason::PlacementAtRisk; 4],
        "{:?}",
        cluster.notices
    );
    assert!(
        validate(&resource, &facts(&resource, 4), &swarm_capabilities())
            .unwrap()
            .notices
            .is_empty()
    );
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

#[test]
fn the_log_is_bounded_unless_said_otherwise() {
    let logging = |yaml: &str| accepted(yaml).logging.unwrap();
    assert_eq!(logging("  {}").options["max-size"], "100m");
    let journald = logging("  swarm: {logging: {driver: journald}}");
    assert!(journald.driver == "journald" && journald.options.is_empty());
    let own = logging("  swarm: {logging: {options: {max-file: '10'}}}");
    assert_eq!(
        own.options,
        BTreeMap::from([("max-file".to_owned(), "10".to_owned())])
    );
}
