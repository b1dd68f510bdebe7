//! Rules that need machines, the ledger or other clusters.

use super::*;

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
    let mut facts = facts_of(&resource, 4);
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
fn names_have_a_limit() {
    let with = |namespace: &str, name: &str| {
        let mut resource = spec("  mode: cluster");
        resource.metadata.name = Some(name.to_owned());
        resource.metadata.namespace = Some(namespace.to_owned());
        findings(&resource, &facts_of(&resource, 4))
    };
    let refused = vec![("metadata.name".to_owned(), Invalid)];
    assert_eq!(with("default", &"a".repeat(41)), []);
    assert_eq!(with("default", &"a".repeat(42)), refused);
    assert_eq!(with("a-namespace-of-its-own", &"a".repeat(19)), refused);
    for name in ["a.b", "1a", "A", "a-", ""] {
        assert!(with("default", name).contains(&refused[0]), "{name}");
    }
    // The operator's own stack.
    assert_eq!(with("default", "milvus-operator"), refused);
    assert_eq!(with("team", "milvus-operator"), []);
    // The longest name of a workload counts, and it is named.
    let mut resource = spec("  mode: cluster");
    resource.metadata.name = Some("a".repeat(50));
    let violations = validate(
        &resource,
        &facts_of(&resource, 4),
        &kubernetes_capabilities(),
    )
    .unwrap_err();
    assert!(
        violations[0]
            .message
            .contains("-pulsar-init\" would have 62 characters"),
        "{violations:?}"
    );
}

#[test]
fn ports_belong_to_the_older_cluster() {
    let other = |port, created: &str, nodes: &[&str]| OtherCluster {
        key: ClusterKey::new("default", "other"),
        port,
        gateway_nodes: nodes.iter().map(|n| (*n).to_owned()).collect(),
        subnets: Subnets::default(),
        prefixes: Prefixes::default(),
        created: created.to_owned(),
        begun: false,
    };
    let (older, newer) = ("2025-01-01T00:00:00Z", "2026-06-01T00:00:00Z");
    let conflict = vec![("spec.swarm.gateway.port".to_owned(), Reason::PortConflict)];
    let try_with = |yaml: &str, other: OtherCluster| {
        let resource = spec(yaml);
        let mut facts = facts_of(&resource, 4);
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

#[test]
fn a_prefix_on_an_external_service_belongs_to_the_first_cluster() {
    let (older, newer) = ("2025-01-01T00:00:00Z", "2026-06-01T00:00:00Z");
    let store =
        "  dependencies: {storage: {external: true, type: S3, endpoint: 's3.example.org:443'}}";
    let other = |yaml: &str, created: &str, begun| {
        let mut resource = spec(yaml);
        resource.metadata.name = Some("other".to_owned());
        OtherCluster {
            key: ClusterKey::new("default", "other"),
            port: 1,
            gateway_nodes: Vec::new(),
            subnets: Subnets::default(),
            prefixes: Prefixes::of(&resource),
            created: created.to_owned(),
            begun,
        }
    };
    let conflict = |field: &str| vec![(field.to_owned(), Reason::PrefixConflict)];
    let root = conflict("spec.dependencies.storage.rootPath");
    let try_with = |yaml: &str, other: OtherCluster| {
        let resource = spec(yaml);
        let mut facts = facts_of(&resource, 4);
        facts.others.push(other);
        findings(&resource, &facts)
    };
    assert_eq!(try_with(store, other(store, older, false)), root);
    assert_eq!(try_with(store, other(store, newer, false)), []);
    assert_eq!(try_with(store, other("  {}", older, false)), []);
    let apart = store.replace("type: S3", "type: S3, rootPath: other");
    assert_eq!(try_with(store, other(&apart, older, false)), []);
    // A refusal stops no process: who runs there keeps it.
    assert_eq!(try_with(store, other(store, newer, true)), root);
    let resource = spec(store);
    let mut facts = facts_of(&resource, 4);
    facts.others.push(other(store, older, false));
    facts.ledger = Some(Ledger {
        owner_uid: "uid-of-demo".to_owned(),
        ..Ledger::default()
    });
    assert_eq!(findings(&resource, &facts), []);
    facts.others[0].begun = true;
    assert_eq!(findings(&resource, &facts), root, "both run: the older one");
    // Who was given it first in this very second has it, whatever the names are.
    facts.ledger = None;
    facts.others[0].begun = false;
    facts.holds_prefixes = true;
    assert_eq!(findings(&resource, &facts), []);

    let etcd = |root: &str| {
        format!(
            "  config: {{etcd: {{rootPath: {root}}}}}\n  dependencies: {{etcd: {{external: true, endpoints: ['etcd.example.org:2379']}}}}"
        )
    };
    assert_eq!(
        try_with(&etcd("shared"), other(&etcd("shared"), older, false)),
        conflict("spec.config.etcd.rootPath")
    );
    assert_eq!(try_with(&etcd("a"), other(&etcd("b"), older, false)), []);
}

/// A resource, and the ledger that it has been given.
pub(super) fn placed(yaml: &str) -> (MilvusCluster, Facts) {
    placed_on(yaml, &swarm_capabilities())
}

fn placed_on(yaml: &str, capabilities: &Capabilities) -> (MilvusCluster, Facts) {
    let resource = spec(yaml);
    let mut facts = facts_of(&resource, 4);
    let cluster = validate(&resource, &facts, capabilities).unwrap();
    let ledger = place(
        &cluster.members(),
        cluster.fixed(),
        None,
        &facts.topology,
        capabilities,
        &cluster.cluster,
        false,
    );
    facts.ledger = Some(ledger.unwrap().ledger);
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
            format!("{base}  swarm: {{subnet: {{backend: 10.20.0.0/24}}}}"),
            "spec.swarm.subnet.backend".to_owned(),
            Immutable,
        ),
        (
            format!("{base}  swarm: {{subnet: {{frontend: 10.20.0.0/24}}}}"),
            "spec.swarm.subnet.frontend".to_owned(),
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

/// A StatefulSet's templates of claims cannot change: what was asked of them stands for as long as they do.
#[test]
fn claims_keep_size_and_class() {
    let kubernetes = kubernetes_capabilities();
    let etcd = |persistence: &str| {
        format!(
            "  mode: cluster\n  dependencies: {{etcd: {{inCluster: {{values: {{persistence: {{{persistence}}}}}}}}}}}"
        )
    };
    let path = "spec.dependencies.etcd.inCluster.values.persistence";
    let found = |yaml: &str, facts: &Facts| -> Vec<(String, Reason)> {
        match validate(&spec(yaml), facts, &kubernetes) {
            Ok(_) => Vec::new(),
            Err(all) => all.into_iter().map(|v| (v.field, v.reason)).collect(),
        }
    };
    let (_, mut facts) = placed_on(&etcd("size: 20Gi, storageClass: fast"), &kubernetes);
    let same = etcd("size: 20480Mi, storageClass: fast");
    assert_eq!(found(&same, &facts), [], "another spelling");
    for size in ["21Gi", "10Gi"] {
        assert_eq!(
            found(&etcd(&format!("size: {size}, storageClass: fast")), &facts),
            [(format!("{path}.size"), NotYet)]
        );
    }
    assert_eq!(
        found(&etcd("size: 20Gi"), &facts),
        [(format!("{path}.storageClass"), Immutable)]
    );
    let violations = validate(&spec(&etcd("storageClass: fast")), &facts, &kubernetes);
    let message = violations.unwrap_err()[0].message.clone();
    assert!(
        message.contains("made with 20Gi, and 10Gi is asked for; write 20Gi again"),
        "{message}"
    );
    // What an older operator wrote says nothing about it, and is not written anew.
    let ledger = facts.ledger.as_mut().unwrap();
    ledger.members.values_mut().for_each(|m| m.claim = None);
    let text = serde_json::to_string(ledger).unwrap();
    assert!(!text.contains("claim\""), "{text}");
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), *ledger);
    assert_eq!(found(&etcd("size: 1Gi"), &facts), []);
    let cluster = validate(&spec(&etcd("size: 1Gi")), &facts, &kubernetes).unwrap();
    let again = place(
        &cluster.members(),
        cluster.fixed(),
        facts.ledger.as_ref(),
        &facts.topology,
        &kubernetes,
        &cluster.cluster,
        false,
    );
    assert_eq!(again.unwrap().ledger, *facts.ledger.as_ref().unwrap());

    let queue = |size: &str| {
        format!(
            "  components: {{image: 'm:v2.3.5'}}\n  dependencies: {{rocksmq: {{persistence: {{size: {size}}}}}}}"
        )
    };
    let (_, facts) = placed_on(&queue("9Gi"), &kubernetes);
    assert_eq!(
        found(&queue("8Gi"), &facts),
        [(
            "spec.dependencies.rocksmq.persistence.size".to_owned(),
            NotYet
        )]
    );
    // Volumes of an engine have no size.
    let (_, facts) = placed(&queue("9Gi"));
    assert_eq!(findings(&spec(&queue("8Gi")), &facts), []);
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
        mark: None,
        volumes: Vec::new(),
        directories: vec![crate::ledger::MemberDirectory {
            base: "/data/".into(),
            directory: "demo/etcd-0-e1".into(),
        }],
        claim: None,
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
fn a_member_that_a_rebuilt_ledger_does_not_tell_of_is_placed_only_when_its_loss_is_accepted() {
    let (mut resource, mut facts) = placed("  mode: cluster");
    let stored = facts.ledger.clone();
    facts.origin = Origin::Rebuilt { stored: None };
    assert_eq!(findings(&resource, &facts), []);
    if let Some(ledger) = &mut facts.ledger {
        ledger.members.remove("etcd-0");
        ledger.members.remove("minio-0");
    }
    let lost = [("metadata.name".to_owned(), Reason::RetainedData)];
    assert_eq!(findings(&resource, &facts), lost);
    let mut accept = |members: &str| {
        let annotation = (ACCEPT_DATA_LOSS.to_owned(), members.to_owned());
        resource.metadata.annotations = Some([annotation].into());
        findings(&resource, &facts)
    };
    assert_eq!(accept("etcd-0"), lost);
    assert_eq!(accept("etcd-0, minio-0"), []);

    facts.ledger = None;
    facts.origin = Origin::Unclear(vec!["demo_etcd-0 is not pinned".to_owned()]);
    assert_eq!(findings(&resource, &facts), lost);
    // Nothing stands, but the status tells that something did.
    facts.origin = Origin::Nothing;
    assert_eq!(findings(&resource, &facts), []);
    let member = |volume: Option<&str>| {
        serde_json::json!({"dependencies": {"etcd": {"members": [
            {"name": "etcd-0", "node": "node1", "volume": volume}]}}})
    };
    let status = |volume| serde_json::from_value(member(volume)).unwrap();
    resource.status = Some(status(Some("demo_etcd-0-data-e1")));
    assert_eq!(findings(&resource, &facts), lost);
    // Where nothing was observed nothing is known.
    facts.origin = Origin::Stored;
    assert_eq!(findings(&resource, &facts), []);
    facts.ledger = stored;
    assert_eq!(findings(&resource, &facts), []);
    (facts.ledger, facts.origin) = (None, Origin::Nothing);
    resource.status = Some(status(None));
    assert_eq!(findings(&resource, &facts), []);
}

#[test]
fn few_machines_are_remarked_upon() {
    let resource = spec("  mode: cluster");
    let cluster = validate(&resource, &facts_of(&resource, 2), &swarm_capabilities()).unwrap();
    let fields: Vec<_> = cluster.notices.iter().map(|n| n.reason).collect();
    assert_eq!(
        fields,
        [Reason::PlacementAtRisk; 4],
        "{:?}",
        cluster.notices
    );
    assert!(
        validate(&resource, &facts_of(&resource, 4), &swarm_capabilities())
            .unwrap()
            .notices
            .is_empty()
    );
}

/// Members do not move, so rules that their nodes do not meet are refused as an edit, and the last spec stays in force. A node
/// that changes under a spec that does not is no edit.
#[test]
fn rules_that_the_node_of_a_member_does_not_meet() {
    let good = spec("  components: {standalone: {env: [{name: A, value: b}]}}");
    let capabilities = swarm_capabilities();
    let mut facts = facts_of(&good, 3);
    let cluster = validate(&good, &facts, &capabilities).unwrap();
    let ledger = crate::place::place(
        &cluster.members(),
        cluster.fixed(),
        None,
        &facts.topology,
        &capabilities,
        &cluster.cluster,
        false,
    );
    let ledger = ledger.unwrap().ledger;
    let node = ledger.members["etcd-0"].node_name.clone();
    facts.ledger = Some(ledger);
    let edited = spec("  swarm: {components: {etcd: {constraints: ['node.labels.nope==1']}}}");
    let judged = judge(&edited, &facts, &capabilities, Some(&good.spec));
    let violation = &judged.violations[0];
    assert!(
        violation.field.starts_with("spec.swarm.components.etcd"),
        "{violation}"
    );
    for word in ["etcd-0", &node, "node.labels.nope==1"] {
        assert!(violation.message.contains(word), "{violation}");
    }
    let kept = judged.cluster.unwrap().members();
    let etcd = kept.iter().find(|m| m.key.component == Component::Etcd);
    assert_eq!(etcd.unwrap().placement.constraints, Vec::<String>::new());

    // The same rules as before, and the node's label was taken off: it is looked after as ever, and can be edited otherwise.
    let judged = judge(&edited, &facts, &capabilities, Some(&edited.spec));
    assert_eq!(judged.violations, []);
    let mut other = edited.clone();
    other
        .spec
        .config
        .insert("log".to_owned(), serde_json::json!({"level": "debug"}));
    let judged = judge(&other, &facts, &capabilities, Some(&edited.spec));
    assert_eq!(judged.violations, []);
    assert!(
        judge(&edited, &facts, &capabilities, None)
            .cluster
            .is_some()
    );
}

/// A running cluster against which the facts have turned, with the field and reason of what is said of each.
fn turned() -> Vec<(MilvusCluster, Facts, &'static str, Reason)> {
    let older = "2025-01-01T00:00:00Z".to_owned();
    let asks = "  mode: cluster\n  components: {queryNode: {resources: {requests: {memory: 1Gi}}}}";
    let (asks, mut small) = placed(asks);
    for node in &mut small.topology.nodes {
        node.memory = 64 << 20;
    }
    let (resource, mut port) = placed("  mode: cluster");
    port.others.push(OtherCluster {
        key: ClusterKey::new("default", "other"),
        port: 19530,
        gateway_nodes: Vec::new(),
        subnets: Subnets::default(),
        prefixes: Prefixes::default(),
        created: older,
        begun: true,
    });
    let with_secret = spec("  mode: cluster\n  dependencies: {storage: {secretRef: keys}}");
    let mut gone = facts_of(&with_secret, 4);
    let keys = secret(&[("accesskey", "abcdef"), ("secretkey", "abcdefgh")]);
    gone.secrets.insert("keys".to_owned(), keys);
    let cluster = validate(&with_secret, &gone, &swarm_capabilities()).unwrap();
    let ledger = place(
        &cluster.members(),
        cluster.fixed(),
        None,
        &gone.topology,
        &swarm_capabilities(),
        &cluster.cluster,
        false,
    );
    gone.ledger = Some(ledger.unwrap().ledger);
    gone.secrets.remove("keys");
    vec![
        (asks, small, "requests.memory", Reason::Unschedulable),
        (
            resource,
            port,
            "spec.swarm.gateway.port",
            Reason::PortConflict,
        ),
        (
            with_secret,
            gone,
            "spec.dependencies.storage.secretRef",
            Reason::SecretMissing,
        ),
    ]
}

#[test]
fn facts_that_turn_against_a_running_cluster_are_told_and_refuse_nothing() {
    let capabilities = swarm_capabilities();
    for (resource, facts, field, reason) in turned() {
        let check = |resource: &MilvusCluster, facts: &Facts, remembered| {
            let judged = judge(resource, facts, &capabilities, remembered);
            assert_eq!(judged.violations, [], "{reason}");
            let cluster = judged.cluster.expect("it is looked after");
            let said = |n: &crate::action::Notice| {
                n.reason == reason && n.field.as_ref().is_some_and(|f| f.contains(field))
            };
            assert!(cluster.notices.iter().any(said), "{:?}", cluster.notices);
            // Only what cannot be made without the content of a Secret is left as it is.
            assert_eq!(judged.frozen, reason == Reason::SecretMissing);
        };
        check(&resource, &facts, Some(&resource.spec));
        // An operator that starts now knows it from the status, or from the ledger.
        let mut accepted = resource.clone();
        let condition = serde_json::json!({
            "type": "Accepted", "status": "True", "reason": "Valid", "message": "",
            "observedGeneration": 1, "lastTransitionTime": "2026-01-02T03:04:05Z"});
        accepted.status =
            serde_json::from_value(serde_json::json!({"conditions": [condition]})).unwrap();
        check(&accepted, &facts, None);
        let mut noted = facts.clone();
        let spec = serde_json::to_value(&resource.spec).unwrap();
        noted.ledger.as_mut().unwrap().last_good = Some(spec);
        check(&resource, &noted, None);
        // Of an edit that was not seen nothing is done, and the cluster is looked at all the same.
        let judged = judge(&resource, &facts, &capabilities, None);
        assert!(judged.violations.iter().any(|v| v.reason == reason));
        assert!(judged.cluster.is_some() && judged.frozen);
        // A cluster that does not run yet is refused.
        let mut fresh = facts;
        fresh.ledger = None;
        let judged = judge(&resource, &fresh, &capabilities, Some(&resource.spec));
        assert!(judged.cluster.is_none() && !judged.violations.is_empty());
    }
}

#[test]
fn an_edit_that_the_facts_do_not_admit_is_refused_and_the_cluster_goes_on() {
    let (resource, facts) = placed("  mode: cluster");
    let mut edit =
        spec("  mode: cluster\n  components: {queryNode: {resources: {requests: {memory: 17Gi}}}}");
    edit.metadata.generation = Some(2);
    let judged = judge(&edit, &facts, &swarm_capabilities(), Some(&resource.spec));
    assert_eq!(judged.violations[0].reason, Reason::Unschedulable);
    let cluster = judged.cluster.expect("as before");
    assert!(!judged.frozen && cluster.notices.is_empty());
    let mut ledger = facts.ledger.unwrap();
    judge(
        &edit,
        &Facts {
            ledger: Some(ledger.clone()),
            ..facts_of(&edit, 4)
        },
        &swarm_capabilities(),
        Some(&resource.spec),
    )
    .note(&mut ledger);
    assert!(ledger.last_good.is_some());
}

#[test]
fn what_an_earlier_version_took_ends_no_care() {
    let (mut resource, facts) = placed("  mode: cluster");
    let condition = serde_json::json!({
        "type": "Accepted", "status": "True", "reason": "Valid", "message": "",
        "observedGeneration": 1, "lastTransitionTime": "2026-01-02T03:04:05Z"});
    resource.metadata.generation = Some(1);
    resource.status =
        serde_json::from_value(serde_json::json!({"conditions": [condition]})).unwrap();
    let settings = [
        ("queryNode", serde_json::json!({"port": 21130})),
        ("proxy", serde_json::json!({"ip": "10.0.0.1"})),
    ];
    for (section, setting) in settings {
        let mut begun = resource.clone();
        begun.spec.config.insert(section.to_owned(), setting);
        let judged = judge(&begun, &facts, &swarm_capabilities(), None);
        assert_eq!(
            (judged.violations, judged.frozen),
            (Vec::new(), false),
            "{section}"
        );
        let notices = judged.cluster.expect(section).notices;
        assert!(
            notices
                .iter()
                .any(|n| n.field.as_deref().is_some_and(|f| f.contains(section)))
        );

        // Another edit waits until the setting is removed, and the care goes on.
        let mut edit = begun.clone();
        edit.metadata.generation = Some(2);
        edit.spec
            .config
            .insert("log".to_owned(), serde_json::json!({"level": "debug"}));
        let judged = judge(&edit, &facts, &swarm_capabilities(), Some(&begun.spec));
        assert!(!judged.violations.is_empty(), "{section}");
        assert!(judged.cluster.is_some() && !judged.frozen, "{section}");

        let mut fresh = facts.clone();
        fresh.ledger = None;
        let judged = judge(&begun, &fresh, &swarm_capabilities(), None);
        assert!(
            judged.cluster.is_none() && !judged.violations.is_empty(),
            "{section}"
        );
    }
}
