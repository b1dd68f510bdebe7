//! Address ranges of networks: what is refused of them, by whom they are kept, and that they stay.

use super::facts::placed;
use super::*;

#[test]
fn ranges_of_addresses() {
    let subnet = |backend: &str, frontend: &str| {
        format!(
            "  mode: cluster\n  swarm: {{subnet: {{backend: {backend}, frontend: {frontend}}}}}"
        )
    };
    let valid = accepted(&subnet("10.20.0.0/24", "10.20.1.0/28"));
    let read = |text| crate::subnet::Subnet::parse(text).ok();
    assert_eq!(valid.network.subnet, read("10.20.0.0/24"));
    assert_eq!(valid.frontend_subnet, read("10.20.1.0/28"));
    refused(
        &subnet("10.20.0.0", "10.20.1.1/24"),
        &[
            ("spec.swarm.subnet.backend", Invalid),
            ("spec.swarm.subnet.frontend", Invalid),
        ],
    );
    refused(
        &subnet("10.20.0.0/16", "10.20.1.0/24"),
        &[("spec.swarm.subnet.frontend", Invalid)],
    );
    // A cluster with Pulsar has more processes than 13.
    refused(
        &subnet("10.20.0.0/28", "null"),
        &[("spec.swarm.subnet.backend", Invalid)],
    );
    // What stands is compared with the ledger, where it was chosen and where it was not.
    let (resource, facts) = placed(&subnet("10.20.0.0/24", "10.20.1.0/24"));
    assert_eq!(findings(&resource, &facts), []);
    let fields = |yaml: &str| findings(&spec(yaml), &facts);
    let refused = |field: &str| vec![(format!("spec.swarm.subnet.{field}"), Immutable)];
    let moved = subnet("10.20.0.0/24", "10.20.2.0/24");
    assert_eq!(fields(&moved), refused("frontend"));
    assert_eq!(fields(&subnet("null", "10.20.1.0/24")), refused("backend"));
}

#[test]
fn a_range_belongs_to_the_cluster_that_has_begun() {
    let (older, newer) = ("2025-01-01T00:00:00Z", "2026-06-01T00:00:00Z");
    let ranges = |backend: &str| format!("  swarm: {{subnet: {{backend: {backend}}}}}");
    let try_with = |theirs: &str, created: &str, begun: bool| {
        let resource = spec(&ranges("10.20.0.0/24"));
        let mut facts = facts_of(&resource, 4);
        facts.others.push(OtherCluster {
            key: ClusterKey::new("default", "other"),
            port: 1,
            gateway_nodes: Vec::new(),
            subnets: Subnets::of(&spec(&ranges(theirs)).spec.swarm),
            prefixes: Prefixes::default(),
            created: created.to_owned(),
            begun,
        });
        findings(&resource, &facts)
    };
    let conflict = [(
        "spec.swarm.subnet.backend".to_owned(),
        Reason::SubnetConflict,
    )];
    assert_eq!(try_with("10.20.0.0/16", older, false), conflict);
    assert_eq!(try_with("10.20.0.0/16", newer, true), conflict);
    assert_eq!(try_with("10.20.0.0/16", newer, false), []);
    assert_eq!(try_with("10.21.0.0/16", older, true), []);
}
