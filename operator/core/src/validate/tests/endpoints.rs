//! Addresses of services that are run elsewhere: IPv6, TLS in the address, pools of log stores; and what Milvus is given.

use super::settings::user_yaml;
use super::*;

const STORE: &str = "storage: {external: true, endpoint: '[2001:db8::20]:9000', secretRef: keys}";

fn with_keys(resource: &MilvusCluster) -> Facts {
    let mut facts = facts_of(resource, 4);
    let keys = secret(&[("accesskey", "someone"), ("secretkey", "something-long")]);
    facts.secrets.insert("keys".to_owned(), keys);
    facts
}

fn written(yaml: &str) -> serde_json::Value {
    let resource = spec(yaml);
    let facts = with_keys(&resource);
    let cluster = validate(&resource, &facts, &swarm_capabilities())
        .unwrap_or_else(|violations| panic!("{yaml}\n{violations:#?}"));
    user_yaml(&cluster, &facts)
}

#[test]
fn ipv6_addresses_are_taken_wherever_an_endpoint_is() {
    // After public reports: everything is reached by IPv6.
    let all = format!(
        "  mode: cluster\n  components: {{image: 'm:v2.5.4'}}\n  dependencies: {{etcd: {{external: true, endpoints: ['[2001:db8::10]:2379']}}, {STORE}, pulsar: {{external: true, endpoint: '[2001:db8::30]:6650'}}}}"
    );
    let file = written(&all);
    assert_eq!(file["etcd"]["endpoints"], "[2001:db8::10]:2379");
    // Milvus adds scheme and port to an address without a colon only.
    assert_eq!(file["minio"]["address"], "[2001:db8::20]:9000");
    assert_eq!(file["pulsar"]["address"], "pulsar://[2001:db8::30]:6650");
    let kafka = "  mode: cluster\n  dependencies: {msgStreamType: kafka, kafka: {external: true, brokerList: ['[2001:db8::40]:9092']}}";
    assert_eq!(written(kafka)["kafka"]["brokerList"], "[2001:db8::40]:9092");
    // Spellings of one address are one place.
    let long = all.replace("[2001:db8::20]:9000", "[2001:0db8:0:0::20]:9000");
    let (ours, theirs) = (Prefixes::of(&spec(&all)), Prefixes::of(&spec(&long)));
    assert!(ours.meet_in_storage(&theirs, &swarm_capabilities()));
    refused(
        "  dependencies: {etcd: {external: true, endpoints: ['2001:db8::10:2379', '[2001:db8::x]:1']}}",
        &[
            ("spec.dependencies.etcd.endpoints[0]", Invalid),
            ("spec.dependencies.etcd.endpoints[1]", Invalid),
        ],
    );
}

#[test]
fn tls_of_a_pulsar_is_in_its_address() {
    let pulsar = |endpoint: &str, config: &str| {
        written(&format!(
            "  mode: cluster\n  config: {{{config}}}\n  dependencies: {{pulsar: {{external: true, endpoint: '{endpoint}'}}}}"
        ))["pulsar"]
            .clone()
    };
    let plain = pulsar("pulsar.example.org:6650", "");
    assert_eq!(
        (&plain["address"], &plain["port"]),
        (&"pulsar.example.org".into(), &6650.into())
    );
    assert_eq!(pulsar("pulsar://pulsar.example.org:6650", ""), plain);
    let login = "pulsar: {authPlugin: token, authParams: 'token:abc'}";
    let tls = pulsar("pulsar+ssl://pulsar.example.org:6651", login);
    assert_eq!(tls["address"], "pulsar+ssl://pulsar.example.org:6651");
    assert_eq!(tls["authPlugin"], "token");
}

#[test]
fn a_login_at_a_pulsar_has_both_its_halves() {
    let yaml = |config: &str| {
        format!(
            "  mode: cluster\n  {config}\n  dependencies: {{pulsar: {{external: true, endpoint: 'pulsar+ssl://pulsar.example.org:6651'}}}}"
        )
    };
    let both = accepted(&yaml(
        "config: {pulsar: {authPlugin: token, authParams: 'token:abc'}}",
    ));
    let notices = both.notices.iter().map(|n| (n.reason, n.field.as_deref()));
    let expected = (
        Reason::LoginNotChecked,
        Some("spec.config.pulsar.authParams"),
    );
    assert_eq!(notices.collect::<Vec<_>>(), [expected]);
    for (config, field) in [
        (
            "config: {pulsar: {authPlugin: token}}",
            "spec.config.pulsar.authPlugin",
        ),
        (
            "config: {pulsar: {authPlugin: '', authParams: 'token:abc'}}",
            "spec.config.pulsar.authParams",
        ),
        (
            "components: {env: [{name: PULSAR_AUTHPLUGIN, value: token}]}",
            "spec.components.env[0]",
        ),
    ] {
        refused(&yaml(config), &[(field, Reason::SettingRefused)]);
    }
    // Half of it from a Secret.
    let referred = "config: {pulsar: {authPlugin: token}}\n  components: {env: [{name: PULSAR_AUTHPARAMS, valueFrom: {secretKeyRef: {name: login, key: params}}}]}";
    let resource = spec(&yaml(referred));
    let judged = validate(
        &resource,
        &facts_of(&resource, 4),
        &kubernetes_capabilities(),
    );
    assert_eq!(judged.err().unwrap_or_default(), []);
    let none = accepted(&yaml(
        "config: {pulsar: {authPlugin: '', authParams: '{}'}}",
    ));
    assert_eq!(none.notices, []);
}

#[test]
fn log_stores_that_are_run_elsewhere() {
    let yaml = |pools: &str, more: &str| {
        format!(
            "  mode: cluster\n  components: {{image: 'm:v2.6.11'}}\n  dependencies: {{msgStreamType: woodpecker, woodpecker: {{external: true, quorumBufferPools: {pools}}}{more}}}"
        )
    };
    let shared = format!(", etcd: {{external: true, endpoints: ['e:2379']}}, {STORE}");
    let pools = "[{name: a, seeds: ['l-0.example.org:18080', '[2001:db8::1]:18080']}]";
    let file = written(&yaml(pools, &shared));
    assert_eq!(file["woodpecker"]["storage"]["type"], "service");
    assert_eq!(
        file["woodpecker"]["client"]["quorum"]["quorumBufferPools"],
        r#"[{"name":"a","seeds":["l-0.example.org:18080","[2001:db8::1]:18080"]}]"#
    );
    // On a Swarm nothing outside reaches what is in the cluster.
    refused(
        &yaml(pools, ""),
        &[
            ("spec.dependencies.etcd.external", Platform),
            ("spec.dependencies.storage.external", Platform),
        ],
    );
    let wrong = yaml("[{name: a, seeds: []}, {name: a, seeds: ['l']}]", &shared);
    let resource = spec(&wrong);
    let found = findings(&resource, &with_keys(&resource));
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    let at = |field: &str| format!("spec.dependencies.woodpecker.quorumBufferPools{field}");
    assert_eq!(
        fields,
        [at("[0].seeds"), at("[1].name"), at("[1].seeds[0]")]
    );
    refused(
        "  components: {image: 'm:v2.6.11'}\n  dependencies: {woodpecker: {quorumBufferPools: [{name: a, seeds: ['b:1']}]}}",
        &[("spec.dependencies.woodpecker.quorumBufferPools", Invalid)],
    );
}
