//! Rules that need the resource alone: versions, fields, roles, sizes.

use super::*;

/// `512m` is half a byte, and people who come from Docker mean mebibytes.
#[test]
fn memory_and_sizes_in_the_notation_of_docker() {
    let etcd = "spec.dependencies.etcd.inCluster.values";
    for (yaml, field) in [
        (
            "  components: {resources: {limits: {memory: 512m}}}",
            "spec.components.resources.limits.memory".to_owned(),
        ),
        (
            "  components: {standalone: {resources: {requests: {memory: 512}}}}",
            "spec.components.standalone.resources.requests.memory".to_owned(),
        ),
        (
            "  dependencies: {etcd: {inCluster: {values: {resources: {limits: {memory: 256m}}}}}}",
            format!("{etcd}.resources.limits.memory"),
        ),
        (
            "  dependencies: {etcd: {inCluster: {values: {persistence: {size: 20}}}}}",
            format!("{etcd}.persistence.size"),
        ),
        (
            "  dependencies: {etcd: {inCluster: {values: {quotaBackendBytes: 8m}}}}",
            format!("{etcd}.quotaBackendBytes"),
        ),
        (
            "  dependencies: {rocksmq: {persistence: {size: 0}}}",
            "spec.dependencies.rocksmq.persistence.size".to_owned(),
        ),
    ] {
        let yaml = format!("{yaml}\n");
        let image = "  components: {image: 'm:v2.3.5', ";
        let yaml = yaml.replace("  components: {", image);
        refused(&yaml, &[(&field, Invalid)]);
    }
    accepted("  components: {resources: {requests: {cpu: 250m, memory: 0}}}");
}

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
        "  components: {image: 'm:v2.6.11'}\n  dependencies: {msgStreamType: woodpecker, woodpecker: {persistence: {}}}",
        &[("spec.dependencies.woodpecker.persistence", NotYet)],
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
        &[("spec.kubernetes.components.proxy", Platform)],
    );
    refused(
        "  kubernetes: {components: {proxy: {}, minio: {tolerations: []}}}",
        &[
            ("spec.kubernetes.components.minio", Platform),
            ("spec.kubernetes.components.proxy", Platform),
        ],
    );
    refused(
        "  components: {standalone: {serviceType: NodePort}}",
        &[("spec.components.standalone.serviceType", Platform)],
    );
    refused(
        "  components: {standalone: {ingress: {hosts: [milvus.example.org]}}}",
        &[("spec.components.standalone.ingress", Platform)],
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
    let violations = validate(
        &resource,
        &facts_of(&resource, 0),
        &kubernetes_capabilities(),
    )
    .unwrap_err();
    let found: Vec<_> = violations
        .iter()
        .map(|v| (v.field.as_str(), v.reason))
        .collect();
    assert_eq!(
        found,
        [
            ("spec.swarm.mtu", Platform),
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
fn pod_settings_and_ways_in_on_kubernetes() {
    let found = |yaml: &str| -> Vec<String> {
        let resource = spec(yaml);
        let facts = facts_of(&resource, 0);
        match validate(&resource, &facts, &kubernetes_capabilities()) {
            Ok(_) => Vec::new(),
            Err(all) => all
                .into_iter()
                .map(|v| {
                    assert_eq!(v.reason, Invalid, "{v}");
                    v.field
                })
                .collect(),
        }
    };
    let pods = "spec.kubernetes.components";
    assert_eq!(
        found(
            "  kubernetes: {components: {standalone: {podLabels: {team: a, operator.milvus.io/revision: x}, serviceLabels: {app.kubernetes.io/name: x}}, \
             etcd: {serviceAnnotations: {a: b}, probes: {startupProbe: null, livenessProbe: 3, aliveness: {}}}}}",
        ),
        [
            format!("{pods}.etcd.serviceAnnotations"),
            format!("{pods}.etcd.probes.aliveness"),
            format!("{pods}.etcd.probes.livenessProbe"),
            format!("{pods}.standalone.podLabels[operator.milvus.io/revision]"),
            format!("{pods}.standalone.serviceLabels[app.kubernetes.io/name]"),
        ]
    );
    let ingress = "spec.components.standalone.ingress";
    assert_eq!(
        found(
            "  components: {standalone: {ingress: {labels: {app.kubernetes.io/instance: x}, hosts: [milvus.example.org, '*.example.org', 'Milvus', 'a:80', 'a..b']}}}",
        ),
        [
            format!("{ingress}.labels[app.kubernetes.io/instance]"),
            format!("{ingress}.hosts[2]"),
            format!("{ingress}.hosts[3]"),
            format!("{ingress}.hosts[4]"),
        ]
    );
    assert!(
        found(
            "  components: {standalone: {serviceType: LoadBalancer, ingress: {tlsSecretRefs: {all: ['*.example.org']}}}}\n  \
             kubernetes: {components: {standalone: {podLabels: {team: a}, probes: {startupProbe: null}}}}",
        )
        .is_empty()
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
        "  mode: cluster\n  components: {queryNode: {replicas: -2}}",
        &[("spec.components.queryNode.replicas", Invalid)],
    );
    refused(
        "  mode: cluster\n  components: {queryNode: {replicas: -1}, dataNode: {replicas: -1}}",
        &[
            ("spec.components.queryNode.replicas", Invalid),
            ("spec.components.dataNode.replicas", Platform),
        ],
    );
    assert_eq!(
        accepted("  mode: cluster\n  components: {queryNode: {replicas: 0}}").roles
            [&Component::QueryNode]
            .replicas,
        0
    );
}

/// What is left to an autoscaler stands as the autoscaler has it, and begins with one.
#[test]
fn replicas_of_roles_that_are_scaled_externally() {
    let resource = spec(
        "  mode: cluster\n  components: {dataNode: {replicas: -1}, proxy: {replicas: -1}, queryNode: {replicas: 2}}",
    );
    let mut facts = facts_of(&resource, 0);
    facts.replicas = BTreeMap::from([(Component::DataNode, 4), (Component::QueryNode, 7)]);
    let cluster = validate(&resource, &facts, &kubernetes_capabilities()).unwrap();
    let number = |component| {
        (
            cluster.roles[&component].replicas,
            cluster.roles[&component].externally_scaled,
        )
    };
    assert_eq!(number(Component::DataNode), (4, true));
    assert_eq!(number(Component::Proxy), (1, true));
    assert_eq!(number(Component::QueryNode), (2, false));
    // A workload that is gone had as many as was told last.
    let told = milvus_crds::ComponentStatus {
        replicas: 6,
        ..Default::default()
    };
    let mut gone = resource.clone();
    gone.status.get_or_insert_default().components = [("proxy".to_owned(), told)].into();
    let cluster = validate(&gone, &facts, &kubernetes_capabilities()).unwrap();
    assert_eq!(cluster.roles[&Component::Proxy].replicas, 6);
    assert_eq!(cluster.roles[&Component::DataNode].replicas, 4);
    for (components, field) in [
        ("mixCoord: {replicas: -1}", "mixCoord"),
        ("rootCoord: {replicas: -1}", "rootCoord"),
    ] {
        let resource = spec(&format!("  mode: cluster\n  components: {{{components}}}"));
        let refused = validate(
            &resource,
            &facts_of(&resource, 0),
            &kubernetes_capabilities(),
        );
        let refused = refused.map(drop).unwrap_err();
        let found: Vec<_> = refused
            .iter()
            .map(|v| (v.field.as_str(), v.reason))
            .collect();
        let field = format!("spec.components.{field}.replicas");
        assert_eq!(found, [(field.as_str(), Invalid)]);
    }
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
    refused(
        "  swarm: {components: {proxy: {constraints: ['node.role==manager']}, zookeeper: {}}}",
        &[
            ("spec.swarm.components.zookeeper", Invalid),
            ("spec.swarm.components.proxy", Invalid),
        ],
    );
    refused(
        "  components: {nodeSelector: {topology.kubernetes.io/zone: a, disk: ssd}}",
        &[(
            "spec.components.nodeSelector[topology.kubernetes.io/zone]",
            Platform,
        )],
    );
    refused(
        "  components: {standalone: {port: 9091}}",
        &[("spec.components.standalone.port", Invalid)],
    );
    // After public reports: what the engine's reader of constraints refuses, and what no node ever has.
    refused(
        "  mode: cluster\n  components: {queryNode: {nodeSelector: {kubernetes.io/arch: amd64, disk: ' '}}}\n  swarm:\n    gateway: {constraints: [rack == large]}\n    components:\n      queryNode: {constraints: [node.labels.example.org/role==query]}\n      dataNode: {constraints: [node.labels.disk type==ssd]}\n      proxy: {constraints: ['node.labels.zone==a,b']}",
        &[
            ("spec.swarm.components.proxy.constraints[0]", Invalid),
            ("spec.components.queryNode.nodeSelector[disk]", Platform),
            (
                "spec.components.queryNode.nodeSelector[kubernetes.io/arch]",
                Platform,
            ),
            ("spec.swarm.components.queryNode.constraints[0]", Invalid),
            ("spec.swarm.components.dataNode.constraints[0]", Invalid),
            ("spec.swarm.gateway.constraints[0]", Invalid),
        ],
    );
    let cluster = accepted("  swarm: {components: {etcd: {constraints: ['node.id==n9']}}}");
    assert_eq!(cluster.members()[0].placement.constraints, ["node.id==n9"]);
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

/// What an engine or an API server would refuse later, without a field.
#[test]
fn texts_that_are_handed_through() {
    refused(
        "  components: {image: 'Milvus:v2.3.5', env: [{name: 'A=B', value: x}, {name: '', value: x}]}",
        &[
            ("spec.components.image", Invalid),
            ("spec.components.env[0].name", Invalid),
            ("spec.components.env[1].name", Invalid),
        ],
    );
    refused(
        "  dependencies: {etcd: {inCluster: {values: {image: {repository: 'a b', tag: v1}}}}}",
        &[("spec.dependencies.etcd.inCluster.values.image", Invalid)],
    );
    let resource = spec(
        "  components: {nodeSelector: {'a b': c, disk: -x}, env: [{name: 0A, value: x}], imagePullSecrets: [{name: A_b}]}\n  dependencies: {etcd: {inCluster: {values: {persistence: {storageClass: A}}}}}\n  kubernetes: {components: {standalone: {podLabels: {a: b c}, podAnnotations: {'/x': y}, serviceAccountName: Me, dnsPolicy: mine}}}",
    );
    let found = validate(
        &resource,
        &facts_of(&resource, 4),
        &kubernetes_capabilities(),
    )
    .unwrap_err();
    let fields: std::collections::BTreeSet<&str> = found.iter().map(|v| v.field.as_str()).collect();
    for field in [
        "spec.components.nodeSelector[a b]",
        "spec.components.nodeSelector[disk]",
        "spec.components.env[0].name",
        "spec.components.imagePullSecrets[0].name",
        "spec.dependencies.etcd.inCluster.values.persistence.storageClass",
        "spec.kubernetes.components.standalone.podLabels[a]",
        "spec.kubernetes.components.standalone.podAnnotations[/x]",
        "spec.kubernetes.components.standalone.serviceAccountName",
        "spec.kubernetes.components.standalone.dnsPolicy",
    ] {
        assert!(fields.contains(field), "{field}: {fields:?}");
    }
}
