//! Goldens of what every sample becomes.

use std::fmt::Write as _;

use super::*;
use crate::desired::VolumeBacking;
use crate::place::place;
use crate::testing::{
    facts, kubernetes_capabilities, resource, resources, secret, swarm_capabilities,
};
use crate::validate::validate;

fn sample(name: &str) -> String {
    let path = format!(
        "{}/../../deploy/samples/{name}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(&path).unwrap()
}

/// Validated, placed on four machines (the fourth labelled for query nodes) and turned into workloads.
fn desired(resource: &milvus_crds::MilvusCluster) -> Desired {
    desired_without(resource, "")
}

/// The same where one member has found no place.
fn desired_without(resource: &milvus_crds::MilvusCluster, member: &str) -> Desired {
    let capabilities = swarm_capabilities();
    let mut facts = facts(resource, 4);
    facts.secrets.insert(
        "external-s3".to_owned(),
        secret(&[
            ("accesskey", "external-key"),
            ("secretkey", "external-secret"),
        ]),
    );
    let cluster = validate(resource, &facts, &capabilities)
        .unwrap_or_else(|violations| panic!("{violations:#?}"));
    let mut ledger = place(
        &cluster.members(),
        cluster.fixed(),
        None,
        &facts.topology,
        &capabilities,
        &cluster.cluster,
        false,
    )
    .unwrap()
    .ledger;
    ledger.members.remove(member);
    let first = desire(&cluster, &ledger, &facts, &capabilities);
    assert_eq!(first, desire(&cluster, &ledger, &facts, &capabilities));
    first
}

#[test]
fn references_are_as_the_ledger_pins_them() {
    let capabilities = swarm_capabilities();
    let resource = resources(&sample("demo")).remove(0);
    let facts = facts(&resource, 4);
    let cluster = validate(&resource, &facts, &capabilities).unwrap();
    let images = |ledger: &Ledger| -> BTreeMap<Component, String> {
        let desired = desire(&cluster, ledger, &facts, &capabilities);
        let workloads = desired.workloads.into_iter();
        workloads
            .map(|w| (w.component, w.image.reference))
            .collect()
    };
    let place = place(
        &cluster.members(),
        cluster.fixed(),
        None,
        &facts.topology,
        &capabilities,
        &cluster.cluster,
        false,
    );
    let mut ledger = place.unwrap().ledger;
    let tags = images(&ledger);
    let known: std::collections::BTreeSet<String> = tags.values().cloned().collect();
    assert_eq!(
        known,
        cluster.images(),
        "the digest of every image is asked for"
    );
    let pinned = known
        .iter()
        .map(|image| (image.clone(), Some("sha256:00".to_owned())));
    ledger.images = Some(pinned.collect());
    let expected = tags
        .iter()
        .map(|(c, image)| (*c, format!("{image}@sha256:00")));
    assert_eq!(images(&ledger), expected.collect());
    ledger.images = Some(known.into_iter().map(|image| (image, None)).collect());
    assert_eq!(images(&ledger), tags);
}

/// A picture of it for people, without credentials.
fn picture(desired: &Desired) -> String {
    let mut text = format!(
        "cluster {} Milvus {}\nendpoint {:?}\nlogging {:?}\n",
        desired.cluster.key, desired.version, desired.endpoint, desired.logging
    );
    for (name, network) in &desired.networks {
        writeln!(text, "network {name} {network:?}").unwrap();
    }
    for (component, probe) in &desired.external {
        writeln!(text, "external {component} {probe:?}").unwrap();
    }
    writeln!(text, "sessions {:?}", desired.sessions).unwrap();
    for workload in &desired.workloads {
        draw(&mut text, workload);
    }
    for (name, file) in &desired.configs {
        write!(text, "\n--- config {name}\n{}", file.content).unwrap();
    }
    for (name, file) in &desired.secrets {
        let content = String::from_utf8(file.content.clone()).unwrap();
        let mut masked = content;
        for hidden in [
            "generated-access-key",
            "generated-secret-key",
            "external-key",
            "external-secret",
        ] {
            masked = masked.replace(hidden, "<masked>");
        }
        write!(text, "\n--- secret {name}\n{masked}").unwrap();
    }
    text
}

fn draw(text: &mut String, workload: &Workload) {
    // Without `..`: a new field must find its place here.
    let Workload {
        component,
        shape,
        image,
        command,
        args,
        env,
        files,
        volumes,
        resources,
        stop_grace,
        liveness,
        placement,
        ports,
        published,
        networks,
        requires,
        probe,
        user,
        nofile,
        origin,
    } = workload;
    let words = |list: &[crate::desired::Template]| {
        list.iter()
            .map(|t| t.0.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    writeln!(text, "\n{component}: {}", image.reference).unwrap();
    match shape {
        Shape::Members { members } => {
            for member in members {
                writeln!(
                    text,
                    "  {component}-{} on {} epoch {}",
                    member.ordinal,
                    member.node.as_deref().unwrap_or("?"),
                    member.incarnation.epoch
                )
                .unwrap();
            }
        }
        other => writeln!(text, "  {other:?}").unwrap(),
    }
    if image.pull_policy.is_some() || !image.pull_secrets.is_empty() {
        writeln!(
            text,
            "  pull {:?} {:?}",
            image.pull_policy, image.pull_secrets
        )
        .unwrap();
    }
    writeln!(
        text,
        "  command [{}] args [{}]",
        words(command),
        words(args)
    )
    .unwrap();
    for (name, value) in env {
        writeln!(text, "  env {name}={}", value.0).unwrap();
    }
    for file in files {
        writeln!(
            text,
            "  file {} from {:?} {:o}",
            file.path, file.source, file.mode
        )
        .unwrap();
    }
    for volume in volumes {
        let backing = match &volume.backing {
            VolumeBacking::Volume { driver, options } => format!("volume {driver:?} {options:?}"),
            other => format!("{other:?}"),
        };
        writeln!(
            text,
            "  {} {} at {}: {backing} size {:?} class {:?}",
            if volume.durable { "data" } else { "cache" },
            volume.name,
            volume.path,
            volume.size,
            volume.storage_class
        )
        .unwrap();
    }
    if *resources != crate::desired::Resources::default() {
        writeln!(text, "  {resources:?}").unwrap();
    }
    if !placement.node_selector.is_empty() || !placement.constraints.is_empty() {
        writeln!(text, "  {placement:?}").unwrap();
    }
    let ports: Vec<String> = ports
        .iter()
        .map(|p| format!("{}:{}", p.name, p.number))
        .collect();
    writeln!(
        text,
        "  ports {} published {:?} on {}",
        ports.join(" "),
        published.as_ref().map(|p| p.number),
        networks.join(" ")
    )
    .unwrap();
    let requires: Vec<&str> = requires.iter().map(|c| c.name()).collect();
    writeln!(
        text,
        "  after [{}] probe {:?}",
        requires.join(" "),
        probe.as_ref().map(|p| (&p.kind, &p.target))
    )
    .unwrap();
    writeln!(
        text,
        "  grace {stop_grace:?} liveness {:?} user {user:?} nofile {nofile:?}",
        liveness.as_ref().map(|l| &l.check)
    )
    .unwrap();
    writeln!(
        text,
        "  from {} | {} | {}",
        origin.block, origin.image, origin.resources
    )
    .unwrap();
}

fn golden(name: &str) {
    let all = resources(&sample(name));
    assert!(!all.is_empty());
    for resource in all {
        let desired = desired(&resource);
        let suffix = desired.cluster.key.to_string().replace('/', "-");
        insta::assert_snapshot!(format!("{name}@{suffix}"), picture(&desired));
    }
}

#[test]
fn minimal_standalone() {
    golden("standalone-minimal");
}

#[test]
fn demo() {
    golden("demo");
}

#[test]
fn reference() {
    golden("reference");
}

#[test]
fn external_dependencies() {
    golden("external-dependencies");
}

#[test]
fn woodpecker() {
    golden("cluster-2.6-woodpecker");
}

#[test]
fn environments() {
    golden("environments");
}

#[test]
fn the_job_is_gone_once_it_has_been_done() {
    let resource = resource(&sample("demo"));
    let capabilities = swarm_capabilities();
    let facts = facts(&resource, 3);
    let cluster = validate(&resource, &facts, &capabilities).unwrap();
    let mut ledger = Ledger::default();
    let before = desire(&cluster, &ledger, &facts, &capabilities);
    ledger.bootstrapped.insert(Component::PulsarInit, true);
    let after = desire(&cluster, &ledger, &facts, &capabilities);
    let of = |desired: &Desired, component| {
        desired
            .workloads
            .iter()
            .find(|w| w.component == component)
            .cloned()
    };
    assert!(of(&before, Component::PulsarInit).is_some());
    assert!(of(&after, Component::PulsarInit).is_none());
    // Everything else is the same process as before: nothing restarts because the job is done.
    for mut workload in before.workloads {
        if workload.component == Component::PulsarInit {
            continue;
        }
        let mut later = of(&after, workload.component).unwrap();
        workload.requires.clear();
        later.requires.clear();
        assert_eq!(workload, later);
    }
    assert_eq!(before.configs, after.configs);
    assert_eq!(before.secrets, after.secrets);
}

#[test]
fn everything_that_is_required_is_there() {
    for name in [
        "demo",
        "reference",
        "external-dependencies",
        "cluster-2.6-woodpecker",
        "standalone-minimal",
    ] {
        let desired = desired(&resources(&sample(name))[0]);
        for workload in &desired.workloads {
            for required in &workload.requires {
                assert!(
                    desired.workloads.iter().any(|w| w.component == *required)
                        || desired.external.contains_key(required),
                    "{name}: {} requires {required}",
                    workload.component
                );
            }
            for file in &workload.files {
                let known = match &file.source {
                    FileSource::Config(name) => desired.configs.contains_key(name),
                    FileSource::Secret(name) => desired.secrets.contains_key(name),
                };
                assert!(known, "{name}: {:?}", file.source);
            }
            for network in &workload.networks {
                assert!(desired.networks.contains_key(network));
            }
        }
    }
}

#[test]
fn no_credential_outside_of_secrets() {
    let resource = resource(&sample("reference"));
    let desired = desired(&resource);
    let shown = format!("{desired:?}");
    assert!(!shown.contains("generated-secret-key") && !shown.contains("generated-access-key"));
    assert!(desired.secrets.values().any(|s| {
        String::from_utf8_lossy(&s.content).contains("secretAccessKey: \"generated-secret-key\"")
    }));
}

#[test]
fn scaling_a_role_changes_that_role_alone() {
    let mut small = resource(&sample("reference"));
    let before = desired(&small);
    small.spec.components.query_node = Some(milvus_crds::Component {
        replicas: Some(5),
        ..Default::default()
    });
    let after = desired(&small);
    for (before, after) in before.workloads.iter().zip(&after.workloads) {
        assert_eq!(before.component, after.component);
        assert_eq!(before == after, before.component != Component::QueryNode);
    }
    assert_eq!(before.secrets, after.secrets);
    assert_eq!(before.configs, after.configs);
}

#[test]
fn standby_is_switched_on_by_a_second_coordinator() {
    let text = sample("demo").replace(
        "mixCoord:\n      replicas: 1",
        "mixCoord:\n      replicas: 2",
    );
    let desired = desired(&resource(&text));
    let user = String::from_utf8(desired.secrets["user-yaml"].content.clone()).unwrap();
    for section in ["rootCoord", "queryCoord", "dataCoord", "indexCoord"] {
        assert!(
            user.contains(&format!("{section}:\n  enableActiveStandby: true\n")),
            "{user}"
        );
    }
}

#[test]
fn the_users_settings_win_over_proposals() {
    let text = sample("demo").replace(
        "  dependencies:\n",
        "  config:\n    common: {gracefulStopTimeout: 300, security: {authorizationEnabled: true}}\n    \
         pulsar: {maxMessageSize: 10485760}\n    etcd: {rootPath: my-root}\n  dependencies:\n",
    );
    let desired = desired(&resource(&text));
    let user = String::from_utf8(desired.secrets["user-yaml"].content.clone()).unwrap();
    assert!(
        user.contains("gracefulStopTimeout: 300") && user.contains("authorizationEnabled: true")
    );
    assert!(user.contains("rootPath: \"my-root\""));
    let of = |component| {
        desired
            .workloads
            .iter()
            .find(|w| w.component == component)
            .unwrap()
    };
    assert_eq!(of(Component::QueryNode).stop_grace.as_secs(), 315);
    assert!(
        desired.configs["broker-conf"]
            .content
            .contains("maxMessageSize=10485760\n")
    );
    assert!(
        desired.configs["bookie-conf"]
            .content
            .contains("nettyMaxFrameSizeBytes=10496000\n")
    );
    let sessions = desired.sessions.unwrap();
    assert!(
        matches!(sessions.probe.kind, ProbeKind::Sessions { root, .. } if root == "my-root/meta")
    );
}

/// Brokers would find no bookie for the second copy, and serve no more.
#[test]
fn a_bookie_without_a_place_is_given_no_copies() {
    let text = sample("demo").replace(
        "bookkeeper:\n            replicaCount: 1",
        "bookkeeper:\n            replicaCount: 2",
    );
    for (without, copies) in [("", 2), ("bookkeeper-1", 1)] {
        let desired = desired_without(&resource(&text), without);
        let content = &desired.configs["broker-conf"].content;
        for key in ["EnsembleSize", "WriteQuorum", "AckQuorum"] {
            let line = format!("managedLedgerDefault{key}={copies}\n");
            assert!(content.contains(&line), "{without}: {content}");
        }
    }
}

#[test]
fn a_time_to_hand_over_in_quotes_counts_too() {
    let text = sample("demo").replace(
        "  dependencies:\n",
        "  config:\n    common: {gracefulStopTimeout: \"600\"}\n  dependencies:\n",
    );
    let desired = desired(&resource(&text));
    let node = desired.workloads.iter();
    let mut node = node.filter(|w| w.component == Component::QueryNode);
    assert_eq!(node.next().unwrap().stop_grace.as_secs(), 615);
}

#[test]
fn a_platform_with_services_needs_no_gateway() {
    let resource = resource(&sample("reference"));
    let capabilities = kubernetes_capabilities();
    let facts = facts(&resource, 0);
    let cluster = validate(&resource, &facts, &capabilities).unwrap();
    let desired = desire(&cluster, &Ledger::default(), &facts, &capabilities);
    assert!(
        desired
            .workloads
            .iter()
            .all(|w| w.component != Component::Gateway)
    );
    assert_eq!(desired.endpoint.service_type.as_deref(), Some("ClusterIP"));
    let minio = desired
        .workloads
        .iter()
        .find(|w| w.component == Component::Minio)
        .unwrap();
    assert_eq!(
        minio.args.last().unwrap().0,
        "http://reference-minio-{0...3}.reference-minio-headless.default:9000/data"
    );
}

#[test]
fn fingerprints_are_hmac_sha256() {
    // RFC 4231, test cases 2 and 6 (a key longer than a block).
    assert_eq!(
        fingerprint(b"Jefe", b"what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(
        fingerprint(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First"
        ),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    );
}
