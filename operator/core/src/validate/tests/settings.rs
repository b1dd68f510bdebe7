//! Settings of milvus.yaml and of environments: what is absent, what is refused, and that validation, rendering and the check
//! for conflicts believe the same.

use super::*;
use crate::desire;
use crate::place::place;

/// user.yaml of the cluster, read back.
pub(super) fn user_yaml(cluster: &ValidatedCluster, facts: &Facts) -> serde_json::Value {
    let capabilities = swarm_capabilities();
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
    let desired = desire::desire(cluster, &ledger, facts, &capabilities);
    serde_saphyr::from_slice(&desired.secrets["user-yaml"].content).unwrap()
}

const SHARED_ETCD: &str =
    "  dependencies: {etcd: {external: true, endpoints: ['etcd.example.org:2379']}}\n";

#[test]
fn a_section_that_is_null_is_absent() {
    // After a public report: all settings of a section are commented out.
    let yaml = format!(
        "{SHARED_ETCD}  config:\n    etcd:\n    common:\n    localStorage:\n    minio:\n    future:\n"
    );
    let resource = spec(&yaml);
    let cluster = accepted(&yaml);
    let written = user_yaml(&cluster, &facts_of(&resource, 4));
    let unique = cluster.unique_name();
    assert_eq!(written["etcd"]["rootPath"], unique.as_str());
    assert_eq!(written["localStorage"]["path"], "/var/lib/milvus/data/");
    assert_eq!(written["minio"]["bucketName"], "milvus-bucket");
    assert_eq!(written["common"]["gracefulStopTimeout"], 5);
    assert!(written.get("future").is_none());
    assert_eq!(cluster.fixed().etcd_root, unique);
    // The same file as without the sections.
    let plain = spec(SHARED_ETCD);
    assert_eq!(
        user_yaml(&accepted(SHARED_ETCD), &facts_of(&plain, 4)),
        written
    );
}

#[test]
fn what_is_no_section_is_refused_where_there_is_one() {
    refused(
        "  config: {etcd: none, minio: [], common: {security: true}, queryNode: 1, queryCoord: {anything: true}}",
        &[
            ("spec.config.common.security", Invalid),
            ("spec.config.etcd", Invalid),
            ("spec.config.minio", Invalid),
            ("spec.config.queryNode", Invalid),
        ],
    );
    refused(
        "  config: {etcd: {rootPath: {deep: 1}}}",
        &[("spec.config.etcd.rootPath", Invalid)],
    );
}

#[test]
fn the_root_is_the_same_for_milvus_and_the_operator_in_any_spelling() {
    for (mine, at) in [
        ("  config: {etcd: {rootPath: mine}}", "rootPath"),
        ("  config: {etcd: {rootpath: mine}}", "rootpath"),
        ("  config: {ETCD: {RootPath: mine}}", "RootPath"),
    ] {
        let yaml = format!("{SHARED_ETCD}{mine}\n");
        let resource = spec(&yaml);
        let cluster = accepted(&yaml);
        assert_eq!(cluster.fixed().etcd_root, "mine", "{mine}");
        let written = user_yaml(&cluster, &facts_of(&resource, 4));
        // One section and one spelling: of two Milvus would take any.
        let sections: Vec<&String> = written
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| name.eq_ignore_ascii_case("etcd"))
            .collect();
        assert_eq!(sections.len(), 1, "{mine}");
        let etcd = &written[sections[0]];
        let spellings = etcd.as_object().unwrap().keys();
        let spellings: Vec<&String> = spellings
            .filter(|name| name.eq_ignore_ascii_case("rootpath"))
            .collect();
        assert_eq!(spellings, [at], "{mine}");
        assert_eq!(etcd["endpoints"], "etcd.example.org:2379", "{mine}");
        let other = spec(&format!(
            "{SHARED_ETCD}  config: {{etcd: {{rootPath: mine/part}}}}\n"
        ));
        let (ours, theirs) = (Prefixes::of(&resource), Prefixes::of(&other));
        assert!(ours.meet_in_etcd(&theirs, &swarm_capabilities()), "{mine}");
    }
    let env = "  components: {env: [{name: ETCD_ROOTPATH, value: mine}]}";
    let cluster = accepted(&format!("{SHARED_ETCD}{env}\n"));
    assert_eq!(cluster.fixed().etcd_root, "mine");
    assert_eq!(cluster.metadata_prefix(), "mine/meta");
    assert_eq!(
        accepted("  config: {etcd: {metaSubPath: m}}").metadata_prefix(),
        format!("{}/m", cluster.unique_name())
    );
}

#[test]
fn two_spellings_and_roots_of_single_roles_are_refused() {
    refused(
        "  config: {etcd: {rootPath: a, rootpath: b}}",
        &[("spec.config.etcd.rootpath", Invalid)],
    );
    refused(
        "  config: {queryNode: {cacheSize: 1}, querynode: {cachesize: 2}}",
        &[("spec.config.querynode.cachesize", Invalid)],
    );
    refused(
        "  mode: cluster\n  components: {queryNode: {env: [{name: ETCD_ROOTPATH, value: b}]}}\n  config: {etcd: {rootPath: a}}",
        &[("spec.components.queryNode.env[0]", Invalid)],
    );
    refused(
        "  components: {env: [{name: ETCD_ROOT_PATH, value: /a}]}",
        &[("spec.components.env[0]", Invalid)],
    );
    for name in [
        "MINIO_BUCKETNAME",
        "minio.rootPath",
        "MILVUS.MINIO_ROOT_PATH",
        "MILVUSCONF",
        "ETCD_ENDPOINTS",
    ] {
        refused(
            &format!("  components: {{env: [{{name: {name}, value: a}}]}}"),
            &[("spec.components.env[0].name", Invalid)],
        );
    }
}

#[test]
fn settings_that_contradict_the_clusters_own_services() {
    // After a public report: with useIAM Milvus leaves the generated keys of its MinIO aside.
    refused(
        "  config: {minio: {useIAM: true, iamEndpoint: ''}}",
        &[("spec.config.minio.useIAM", Invalid)],
    );
    for (setting, variable) in [
        ("{minio: {useiam: 'true'}}", "MINIO_USEIAM"),
        ("{minio: {iamEndpoint: 'true'}}", "MINIO_IAMENDPOINT"),
        ("{minio: {cloudProvider: 'true'}}", "MINIO_CLOUDPROVIDER"),
        ("{minio: {useVirtualHost: true}}", "MINIO_USEVIRTUALHOST"),
        ("{minio: {ssl: {tlsCACert: 'true'}}}", "MINIO_SSL_TLSCACERT"),
        ("{metastore: {type: 'true'}}", "METASTORE_TYPE"),
    ] {
        let resource = spec(&format!("  config: {setting}"));
        let found = findings(&resource, &facts_of(&resource, 4));
        assert_eq!(found.len(), 1, "{setting}: {found:?}");
        assert!(found[0].0.starts_with("spec.config."), "{found:?}");
        refused(
            &format!("  components: {{env: [{{name: {variable}, value: 'true'}}]}}"),
            &[("spec.components.env[0]", Invalid)],
        );
    }
    refused(
        "  mode: cluster\n  config: {pulsar: {authPlugin: token, tenant: mine, webport: 80}}",
        &[
            ("spec.config.pulsar.authPlugin", Invalid),
            ("spec.config.pulsar.tenant", Invalid),
            ("spec.config.pulsar.webport", Invalid),
        ],
    );
    accepted("  config: {minio: {useIAM: false, cloudProvider: aws}, metastore: {type: etcd}}");
    // Without keys the store decides, and that is what useIAM says.
    let store = "dependencies: {storage: {type: S3, external: true, endpoint: s3.example.org}}";
    accepted(&format!(
        "  {store}\n  config: {{minio: {{useIAM: true, iamEndpoint: x}}}}"
    ));
    refused(
        &format!("  {store}\n  config: {{minio: {{useIAM: false}}}}"),
        &[("spec.config.minio.useIAM", Invalid)],
    );
}

#[test]
fn what_processes_find_each_other_by_is_the_operators() {
    for (setting, variable, value) in [
        ("{queryNode: {ip: 10.1.2.3}}", "QUERYNODE_IP", "10.1.2.3"),
        (
            "{rootCoord: {address: r.example.org}}",
            "ROOTCOORD_ADDRESS",
            "r.example.org",
        ),
        ("{dataNode: {port: 21999}}", "DATANODE_PORT", "21999"),
        ("{mixcoord.ip: 10.1.2.3}", "MILVUS.MIXCOORD_IP", "10.1.2.3"),
    ] {
        let resource = spec(&format!("  mode: cluster\n  config: {setting}"));
        let found = findings(&resource, &facts_of(&resource, 4));
        assert_eq!(found.len(), 1, "{setting}: {found:?}");
        assert!(found[0].0.starts_with("spec.config."), "{found:?}");
        for role in ["", ".queryNode"] {
            let env = format!("env: [{{name: {variable}, value: '{value}'}}]");
            let block = match role {
                "" => format!("{{{env}}}"),
                _ => format!("{{queryNode: {{{env}}}}}"),
            };
            refused(
                &format!("  mode: cluster\n  components: {block}"),
                &[(
                    &format!("spec.components{role}.env[0]"),
                    Reason::SettingRefused,
                )],
            );
        }
    }
    // As milvus.yaml has them.
    accepted(
        "  config: {rootCoord: {address: localhost, port: 53100}, queryNode: {ip: '', port: 21123}}",
    );
}

#[test]
fn tls_is_set_where_the_operator_reads_it() {
    let env = |name: &str, value: &str| {
        format!("  components: {{env: [{{name: {name}, value: '{value}'}}]}}\n")
    };
    for (name, value) in [
        ("COMMON_SECURITY_TLSMODE", "1"),
        ("common.security.tlsMode", "2"),
        ("COMMON_SECURITY_INTERNALTLSENABLED", "true"),
        ("TLS_SERVERPEMPATH", "/milvus/tls/tls.crt"),
    ] {
        let refusal = ("spec.components.env[0]", Reason::SettingRefused);
        refused(&env(name, value), &[refusal]);
    }
    accepted(&env("COMMON_SECURITY_TLSMODE", "0"));
    accepted(&env("COMMON_SECURITY_INTERNALTLSENABLED", "False"));
    // In one word it is the same setting.
    refused(
        "  config: {common.security.tlsMode: 3}",
        &[("spec.config.common.security.tlsMode", Invalid)],
    );
}

/// An earlier operator wrote no root where the section was null, so Milvus' own default stood: it stands for that cluster.
#[test]
fn a_cluster_that_was_made_with_a_null_section_finds_its_metadata() {
    let mut resource = spec("  config: {etcd: null}");
    resource.metadata.uid = Some("u".to_owned());
    let capabilities = swarm_capabilities();
    let mut facts = facts_of(&resource, 4);
    let placed = |cluster: &ValidatedCluster, facts: &Facts| {
        let before = facts.ledger.as_ref();
        let topology = &facts.topology;
        let (members, fixed) = (cluster.members(), cluster.fixed());
        place(
            &members,
            fixed,
            before,
            topology,
            &capabilities,
            &cluster.cluster,
            false,
        )
        .unwrap()
    };
    let new = validate(&resource, &facts, &capabilities).unwrap();
    let unique = new.unique_name();
    assert_eq!(new.etcd_root(), unique);
    // A new one stays where it is.
    facts.ledger = Some(placed(&new, &facts).ledger);
    let again = validate(&resource, &facts, &capabilities).unwrap();
    assert_eq!(again.etcd_root(), unique);
    // One of an earlier operator, in its first pass and later.
    let ledger = facts.ledger.as_mut().unwrap();
    ledger.fixed.as_mut().unwrap().root_as_read = false;
    let old = validate(&resource, &facts, &capabilities).unwrap();
    assert_eq!(old.etcd_root(), "by-dev");
    facts.ledger = Some(placed(&old, &facts).ledger);
    let fixed = facts.ledger.as_ref().unwrap().fixed.clone().unwrap();
    assert!(fixed.root_as_read && fixed.etcd_root == "by-dev");
    let later = validate(&resource, &facts, &capabilities).unwrap();
    assert_eq!(user_yaml(&later, &facts)["etcd"]["rootPath"], "by-dev");
    // Without the section the root would be another one.
    resource.spec.config.clear();
    let moved = findings(&resource, &facts);
    assert_eq!(moved, [("spec.config.etcd.rootPath".to_owned(), Immutable)]);
}
