//! Facts, capabilities and resources for tests: here and, through the feature `testing`, in the crates above. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use milvus_crds::MilvusCluster;

use crate::capabilities::{Addressing, Capabilities, Rhythm};
use crate::facts::{Facts, SecretData};
use crate::observed::{Availability, Node, NodeState, Topology};
use crate::validate::{GeneratedSecretKind, generated_secrets_needed};

/// A platform like Swarm.
pub fn swarm_capabilities() -> Capabilities {
    Capabilities {
        platform: "swarm",
        escape_hatch: "swarm",
        places_members: true,
        member_updates_overlap: true,
        gateway: true,
        max_workload_name: 63,
        addressing: Addressing {
            member: "{component}-{ordinal}",
            service: "{component}",
        },
        volume_types: &["volume", "bind", "tmpfs"],
        service_types: &[],
        claim: None,
        pods: None,
        external_scaling: false,
        secret_references: false,
        pins_images: true,
        wire_checks: true,
        rhythm: Rhythm {
            soon: Duration::from_millis(250),
            patient: Duration::from_secs(1),
            rest: Duration::from_secs(15),
        },
    }
}

/// A platform like Kubernetes.
pub fn kubernetes_capabilities() -> Capabilities {
    Capabilities {
        platform: "kubernetes",
        escape_hatch: "kubernetes",
        places_members: false,
        member_updates_overlap: false,
        gateway: false,
        max_workload_name: 52,
        addressing: Addressing {
            member: "{cluster}-{component}-{ordinal}.{cluster}-{component}-headless.{namespace}",
            service: "{cluster}-{component}.{namespace}",
        },
        volume_types: &["volume"],
        service_types: &["ClusterIP", "NodePort", "LoadBalancer"],
        claim: Some("{volume}-{cluster}-{component}-{ordinal}"),
        pods: Some(
            "app.kubernetes.io/name=milvus,app.kubernetes.io/instance={cluster},app.kubernetes.io/component={component},operator.milvus.io/cluster={cluster}",
        ),
        external_scaling: true,
        secret_references: true,
        pins_images: false,
        wire_checks: true,
        rhythm: Rhythm {
            soon: Duration::from_millis(500),
            patient: Duration::from_secs(5),
            rest: Duration::from_secs(300),
        },
    }
}

/// A machine with 8 CPUs and 16 GiB: `node1` (id `n1`), a manager up to number 3.
pub fn node(number: u8) -> Node {
    Node {
        id: format!("n{number}"),
        name: format!("node{number}"),
        address: format!("10.0.0.{number}"),
        manager: number <= 3,
        state: NodeState::Up,
        availability: Availability::Active,
        millicpu: 8000,
        memory: 16 << 30,
        labels: BTreeMap::new(),
        engine_labels: BTreeMap::new(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        reserved_memory: 0,
        reserved_millicpu: 0,
    }
}

/// That many machines.
pub fn topology(nodes: u8) -> Topology {
    Topology {
        nodes: (1..=nodes).map(node).collect(),
    }
}

/// A Secret from text.
pub fn secret(entries: &[(&str, &str)]) -> SecretData {
    SecretData(
        entries
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()))
            .collect(),
    )
}

/// Facts for a resource: that many machines, its generated Secrets made, nothing else in the way.
pub fn facts(resource: &MilvusCluster, nodes: u8) -> Facts {
    let mut facts = Facts {
        topology: topology(nodes),
        fingerprint_key: b"key of the tests".to_vec(),
        gateway_image: "milvus-operator:test".to_owned(),
        ..Facts::default()
    };
    for needed in generated_secrets_needed(resource, &swarm_capabilities()) {
        let content = match needed.kind {
            GeneratedSecretKind::MinioCredentials => secret(&[
                ("accesskey", "generated-access-key"),
                ("secretkey", "generated-secret-key"),
            ]),
            GeneratedSecretKind::FingerprintKey => {
                secret(&[("fingerprint.key", "key of the tests")])
            }
            GeneratedSecretKind::GatewayPki => secret(&[
                ("ca.crt", "authority\n"),
                ("tls.crt", "certificate\n"),
                ("tls.key", "key\n"),
                ("client.crt", "client certificate\n"),
                ("client.key", "client key\n"),
                ("fingerprint.key", "key of the tests"),
            ]),
        };
        facts.secrets.insert(needed.name, content);
    }
    facts
}

/// A resource from YAML, as the API server would store it: with uid, generation and time of creation.
///
/// # Panics
/// When the text is no such resource.
#[allow(clippy::panic)]
pub fn resource(yaml: &str) -> MilvusCluster {
    let mut resource: MilvusCluster = match serde_saphyr::from_str(yaml) {
        Ok(resource) => resource,
        Err(error) => panic!("not a MilvusCluster: {error}\n{yaml}"),
    };
    let meta = &mut resource.metadata;
    meta.namespace.get_or_insert_with(|| "default".to_owned());
    let name = meta.name.clone().unwrap_or_default();
    meta.uid.get_or_insert_with(|| format!("uid-of-{name}"));
    meta.generation.get_or_insert(1);
    let created = "2026-01-02T03:04:05Z".parse().unwrap_or_default();
    meta.creation_timestamp
        .get_or_insert(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            created,
        ));
    resource
}

/// All `MilvusCluster`s of a file with several documents.
///
/// # Panics
/// When one of them is no such resource.
pub fn resources(text: &str) -> Vec<MilvusCluster> {
    text.split("\n---")
        .filter(|document| document.contains("kind: MilvusCluster"))
        .map(resource)
        .collect()
}
