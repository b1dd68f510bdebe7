//! The login at external brokers of Kafka: one that is named is made, or it is said what is missing.

use super::*;
use crate::probe::{KafkaMechanism, ProbeKind};

fn yaml(version: &str, kafka: &str, config: &str) -> String {
    format!(
        "  mode: cluster\n  components: {{image: 'm:{version}'}}\n  config: {{kafka: {{{config}}}}}\n  dependencies: {{msgStreamType: kafka, kafka: {{external: true, brokerList: ['kafka-0.example.org:9096'], {kafka}}}}}"
    )
}

const LOGIN: &str = "secretRef: streams-kafka";

fn facts_with(resource: &MilvusCluster, ca: bool) -> Facts {
    let mut facts = facts_of(resource, 4);
    let mut entries = vec![("username", "milvus"), ("password", "secret-word")];
    if ca {
        entries.push(("ca.pem", "PEM"));
    }
    facts
        .secrets
        .insert("streams-kafka".to_owned(), secret(&entries));
    facts
}

fn said(version: &str, kafka: &str, config: &str) -> Vec<String> {
    let resource = spec(&yaml(version, kafka, config));
    let found = findings(&resource, &facts_with(&resource, true));
    found.into_iter().map(|(field, _)| field).collect()
}

#[test]
fn what_is_missing_for_a_login_is_said() {
    // After public reports: a Secret alone is no login from 2.3.11 on.
    let (protocol, mechanism) = (
        "spec.config.kafka.securityProtocol",
        "spec.config.kafka.saslMechanisms",
    );
    assert_eq!(said("v2.5.4", LOGIN, ""), [protocol, mechanism]);
    assert_eq!(
        said("v2.3.11", LOGIN, "securityProtocol: SASL_SSL"),
        [mechanism]
    );
    assert!(said("v2.3.10", LOGIN, "").is_empty());
    let right = "securityProtocol: SASL_PLAINTEXT, saslMechanisms: SCRAM-SHA-512";
    assert!(said("v2.5.4", LOGIN, right).is_empty());
    assert_eq!(
        said("v2.5.4", "", right),
        ["spec.dependencies.kafka.secretRef"]
    );
    let (none, plain) = ("securityProtocol: SSL", "saslMechanisms: PLAIN");
    assert_eq!(
        said("v2.5.4", LOGIN, &format!("{none}, {plain}")),
        [protocol]
    );
    assert!(said("v2.5.4", "", none).is_empty());
    assert_eq!(said("v2.3.5", "", none), [protocol]);
    assert_eq!(
        said(
            "v2.5.4",
            LOGIN,
            "securityProtocol: TLS, saslMechanisms: GSSAPI"
        ),
        [protocol, mechanism]
    );
    assert_eq!(
        said(
            "v2.5.4",
            LOGIN,
            &format!("{right}, ssl: {{tlsCaCert: /mine}}")
        ),
        ["spec.config.kafka.ssl.tlsCaCert"]
    );
}

#[test]
fn the_brokers_are_asked_as_milvus_asks_them() {
    let asked = |config: &str, ca: bool| {
        let resource = spec(&yaml("v2.5.4", LOGIN, config));
        let facts = facts_with(&resource, ca);
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
        )
        .unwrap()
        .ledger;
        let desired = crate::desire::desire(&cluster, &ledger, &facts, &capabilities);
        let probe = desired.external[&crate::component::Component::Broker].clone();
        let ProbeKind::Kafka { access } = probe.kind else {
            panic!("{probe:?}");
        };
        let notices: Vec<Reason> = cluster.notices.iter().map(|n| n.reason).collect();
        (access, notices)
    };
    let (access, notices) = asked("securityprotocol: sasl_ssl, saslMechanisms: PLAIN", true);
    assert!(access.tls && access.ca.is_some() && access.login_is_checked());
    assert_eq!(access.login.unwrap().mechanism, KafkaMechanism::Plain);
    assert!(notices.is_empty());
    // What cannot be checked is said.
    let (access, notices) = asked("securityProtocol: SASL_SSL, saslMechanisms: PLAIN", false);
    assert!(access.tls && !access.login_is_checked());
    assert_eq!(notices, [Reason::LoginNotChecked]);
    let (access, _) = asked(
        "securityProtocol: SASL_PLAINTEXT, saslMechanisms: SCRAM-SHA-256",
        false,
    );
    assert!(!access.tls && access.login_is_checked());
}
