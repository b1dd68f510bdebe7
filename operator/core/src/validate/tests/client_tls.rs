//! TLS on the client port.

use super::*;
use crate::desire::desire;
use crate::desired::{Desired, EndpointTls, Workload};
use crate::testing::{kubernetes_capabilities, secret};

const PATHS: &str = "tls: {serverPemPath: /certs/server.pem, serverKeyPath: /certs/server.key, caPemPath: /certs/ca.pem}";

fn yaml(mode: u8, more: &str) -> String {
    format!("  config: {{common: {{security: {{tlsMode: {mode}}}}}, {PATHS}}}\n{more}")
}

/// With these Secrets, on this platform.
fn judged(
    yaml: &str,
    secrets: &[(&str, &[(&str, &str)])],
    capabilities: &Capabilities,
) -> Result<(ValidatedCluster, Facts), Vec<(String, Reason)>> {
    let resource = spec(yaml);
    let mut facts = facts_of(&resource, 4);
    for generated in generated_secrets_needed(&resource, capabilities) {
        let keys = [
            ("fingerprint.key", "k"),
            ("accesskey", "generated"),
            ("secretkey", "generated-secret"),
        ];
        facts
            .secrets
            .entry(generated.name)
            .or_insert_with(|| secret(&keys));
    }
    for (name, entries) in secrets {
        facts.secrets.insert((*name).to_owned(), secret(entries));
    }
    let said = |violations: Vec<Violation>| {
        let found = violations.into_iter().map(|v| (v.field, v.reason));
        found.collect()
    };
    validate(&resource, &facts, capabilities)
        .map(|cluster| (cluster, facts))
        .map_err(said)
}

fn of(desired: &Desired, component: Component) -> &Workload {
    let mut workloads = desired.workloads.iter();
    workloads.find(|w| w.component == component).unwrap()
}

const FRONT: (&str, &[(&str, &str)]) = (
    "front",
    &[
        ("tls.crt", "certificate"),
        ("tls.key", "key"),
        ("ca.crt", "authority"),
    ],
);

#[test]
fn certificates_of_a_secret_become_the_files_that_milvus_reads() {
    let swarm = swarm_capabilities();
    for (mode, tls) in [(1, EndpointTls::Server), (2, EndpointTls::Mutual)] {
        let (cluster, facts) =
            judged(&yaml(mode, "  tls: {secretRef: front}\n"), &[FRONT], &swarm).unwrap();
        let ledger = Ledger::default();
        let desired = desire(&cluster, &ledger, &facts, &swarm);
        assert_eq!(desired.endpoint.tls, tls);
        let standalone = of(&desired, Component::Standalone);
        let paths: Vec<&str> = standalone.files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/milvus/configs/user.yaml",
                "/certs/server.pem",
                "/certs/server.key",
                "/certs/ca.pem"
            ]
        );
        assert_eq!(desired.secrets["tls-key"].content, b"key");
        let etcd = of(&desired, Component::Etcd);
        assert!(!etcd.files.iter().any(|f| f.path.starts_with("/certs")));
    }
    // Without clients' certificates Milvus reads no authority.
    let alone: (&str, &[(&str, &str)]) = ("front", &[("tls.crt", "c"), ("tls.key", "k")]);
    let (cluster, _) = judged(&yaml(1, "  tls: {secretRef: front}\n"), &[alone], &swarm).unwrap();
    assert_eq!(cluster.client_tls.unwrap().files.len(), 2);
    let missing = judged(&yaml(2, "  tls: {secretRef: front}\n"), &[alone], &swarm).unwrap_err();
    assert_eq!(
        missing,
        [("spec.tls.secretRef".to_owned(), Reason::SecretMissing)]
    );
}

#[test]
fn certificates_that_nothing_brings_are_refused() {
    let paths = [
        ("spec.config.tls.serverPemPath", Invalid),
        ("spec.config.tls.serverKeyPath", Invalid),
    ];
    refused(&yaml(1, ""), &paths);
    refused("  config: {common: {security: {tlsMode: 1}}}\n", &paths);
    refused(
        "  config: {common: {security: {tlsMode: '2'}}, tls: {serverPemPath: certs/server.pem, serverKeyPath: /certs/}}\n",
        &[paths[0], paths[1], ("spec.config.tls.caPemPath", Invalid)],
    );
    refused(
        "  config: {common: {security: {tlsMode: 3}}}\n",
        &[("spec.config.common.security.tlsMode", Invalid)],
    );
    refused(
        "  tls: {secretRef: front}\n",
        &[("spec.tls.secretRef", Invalid)],
    );
    refused(
        &yaml(1, "  tls: {secretRef: front}\n"),
        &[("spec.tls.secretRef", Reason::SecretMissing)],
    );
    accepted(&yaml(0, ""));
}

#[test]
fn on_kubernetes_a_mounted_volume_brings_them() {
    let kubernetes = kubernetes_capabilities();
    let pod = |items: &str| {
        yaml(
            2,
            &format!(
                "  kubernetes: {{components: {{standalone: {{volumes: [{{name: front, secret: {{secretName: front{items}}}}}], \
                 volumeMounts: [{{name: front, mountPath: /certs}}]}}}}}}\n"
            ),
        )
    };
    let names: (&str, &[(&str, &str)]) = (
        "front",
        &[("server.pem", "c"), ("server.key", "k"), ("ca.pem", "a")],
    );
    let (cluster, _) = judged(&pod(""), &[names], &kubernetes).unwrap();
    let tls = cluster.client_tls.unwrap();
    assert!(tls.mutual && tls.files.is_empty());
    let resource = spec(&pod(""));
    let referenced = secrets_referenced(&resource);
    assert_eq!(
        referenced,
        [(
            "front".to_owned(),
            "spec.kubernetes.components.standalone.volumes".to_owned()
        )]
    );
    // The keys have other names: Milvus would end at its start.
    let volumes = "spec.kubernetes.components.standalone.volumes".to_owned();
    let missing = judged(&pod(""), &[FRONT], &kubernetes).unwrap_err();
    assert_eq!(missing, vec![(volumes, Reason::SecretMissing); 3]);
    assert!(judged(&pod(", items: []"), &[FRONT], &kubernetes).is_ok());
    let elsewhere = pod("").replace("mountPath: /certs", "mountPath: /cert");
    let missing = judged(&elsewhere, &[names], &kubernetes).unwrap_err();
    assert_eq!(missing.len(), 3, "{missing:?}");
    assert_eq!(
        missing[0],
        ("spec.config.tls.serverPemPath".to_owned(), Invalid)
    );
}

#[test]
fn tls_between_the_roles_needs_a_version_that_has_it() {
    let asks = |image: &str| {
        format!(
            "  components: {{image: 'm:{image}'}}\n  config: {{common: {{security: {{internaltlsEnabled: true}}}}}}\n"
        )
    };
    let field = "spec.config.common.security.internaltlsEnabled";
    refused(&asks("v2.3.5"), &[(field, Invalid)]);
    refused(&asks("v2.5.4"), &[(field, Platform)]);
    assert!(judged(&asks("v2.5.4"), &[], &kubernetes_capabilities()).is_ok());
}
