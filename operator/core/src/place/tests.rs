use super::*;
use crate::names::ClusterKey;
use crate::observed::{Availability, NodeState};
use crate::testing::swarm_capabilities as capabilities;

fn node(id: &str) -> Node {
    Node {
        id: id.to_owned(),
        name: format!("host-{id}"),
        address: "10.0.0.1".to_owned(),
        manager: id != "n4",
        state: NodeState::Up,
        availability: Availability::Active,
        millicpu: 4000,
        memory: 8 << 30,
        labels: BTreeMap::new(),
        engine_labels: BTreeMap::new(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        reserved_memory: 0,
        reserved_millicpu: 0,
    }
}

fn topology(n: usize) -> Topology {
    Topology {
        nodes: (1..=n).map(|i| node(&format!("n{i}"))).collect(),
    }
}

fn need(component: Component, ordinal: u16) -> MemberNeed {
    MemberNeed {
        key: WorkloadKey::member(component, ordinal),
        volumes: vec![VolumeMount {
            name: "data".to_owned(),
            path: "/data".to_owned(),
            backing: VolumeBacking::Volume {
                driver: None,
                options: BTreeMap::new(),
            },
            size: None,
            storage_class: None,
            durable: true,
        }],
        placement: Placement::default(),
        placement_field: "spec.swarm.components.etcd.constraints".to_owned(),
        resources_field: "spec.dependencies.etcd.inCluster.values.resources".to_owned(),
        request_memory: None,
        request_millicpu: None,
    }
}

fn fixed() -> FixedChoices {
    FixedChoices {
        mode: "cluster".to_owned(),
        message_queue: "pulsar".to_owned(),
        storage_root: "b/files".to_owned(),
        etcd_root: "by-dev".to_owned(),
        root_as_read: true,
        internal_network: true,
        mtu: None,
        backend_subnet: None,
        frontend_subnet: None,
        minio_layout: Some("4 x 1".to_owned()),
        version: "2.3.5".to_owned(),
    }
}

fn cluster() -> ClusterRef {
    ClusterRef {
        key: ClusterKey::new("default", "demo"),
        uid: "u1".to_owned(),
        generation: 1,
    }
}

fn run(
    needs: &[MemberNeed],
    ledger: Option<&Ledger>,
    topology: &Topology,
) -> Result<Ledger, Vec<Waiting>> {
    place(
        needs,
        fixed(),
        ledger,
        topology,
        &capabilities(),
        &cluster(),
        false,
    )
    .map(|placed| {
        assert_eq!(placed.waiting, []);
        placed.ledger
    })
}

fn reference() -> Vec<MemberNeed> {
    let mut needs = Vec::new();
    for (component, count) in [
        (Component::Etcd, 3),
        (Component::Minio, 4),
        (Component::Zookeeper, 3),
        (Component::Bookkeeper, 3),
    ] {
        needs.extend((0..count).map(|i| need(component, i)));
    }
    needs
}

#[test]
fn members_of_one_kind_go_to_different_nodes_and_stay_there() {
    let topology = topology(4);
    let ledger = run(&reference(), None, &topology).unwrap();
    for component in [
        Component::Etcd,
        Component::Minio,
        Component::Zookeeper,
        Component::Bookkeeper,
    ] {
        let nodes: Vec<&str> = ledger
            .members
            .iter()
            .filter(|(name, _)| WorkloadKey::parse(name).unwrap().component == component)
            .map(|(_, e)| e.node.as_str())
            .collect();
        let distinct: BTreeSet<&&str> = nodes.iter().collect();
        assert_eq!(distinct.len(), nodes.len(), "{component}: {nodes:?}");
    }
    assert_eq!(ledger.members["etcd-0"].volumes, ["demo_etcd-0-data-e1"]);
    assert!(risks(&ledger).is_empty(), "{:?}", risks(&ledger));
    // The same again, also with fewer and fuller nodes: what stands is not moved.
    let mut smaller = topology.clone();
    smaller.nodes[0].state = NodeState::Down;
    smaller.nodes.remove(3);
    assert_eq!(run(&reference(), Some(&ledger), &smaller).unwrap(), ledger);
}

#[test]
fn volumes_of_a_new_cluster_carry_its_uid_and_those_of_an_older_one_stay() {
    let mut cluster = cluster();
    let mut place_for = |uid: &str, ledger: Option<&Ledger>, adopt: bool| {
        cluster.uid = uid.to_owned();
        place(
            &reference(),
            fixed(),
            ledger,
            &topology(4),
            &capabilities(),
            &cluster,
            adopt,
        )
        .unwrap()
        .ledger
    };
    let first = "0a1b2c3d-0000-4000-8000-000000000001";
    let second = "ffeedd00-0000-4000-8000-000000000002";
    let new = place_for(first, None, false);
    assert_eq!(
        new.members["etcd-0"].volumes,
        ["demo_etcd-0-data-0a1b2c-e1"]
    );
    let other = place_for(second, None, false);
    let volumes = |ledger: &Ledger| -> BTreeSet<String> {
        let entries = ledger.members.values();
        entries.flat_map(|e| e.volumes.clone()).collect()
    };
    assert!(volumes(&new).is_disjoint(&volumes(&other)));

    // A ledger of an older operator keeps its names, also when it is taken over; who joins has a name that nothing else has.
    let mut old = new.clone();
    old.members.remove("bookkeeper-2");
    for (name, entry) in &mut old.members {
        entry.mark = None;
        entry.volumes = vec![format!("demo_{name}-data-e1")];
    }
    let json = serde_json::to_string(&old).unwrap();
    assert!(!json.contains("\"mark\""), "{json}");
    old = serde_json::from_str(&json).unwrap();
    for (uid, adopt) in [(first, false), (second, true)] {
        let now = place_for(uid, Some(&old), adopt);
        assert_eq!(now.members["etcd-0"], old.members["etcd-0"]);
        let mark = uid.get(..6).unwrap();
        assert_eq!(
            now.members["bookkeeper-2"].volumes,
            [format!("demo_bookkeeper-2-data-{mark}-e1")]
        );
    }
}

#[test]
fn single_members_do_not_meet_on_one_node() {
    let needs: Vec<_> = [Component::Etcd, Component::Minio, Component::Zookeeper]
        .map(|c| need(c, 0))
        .into();
    let ledger = run(&needs, None, &topology(3)).unwrap();
    let nodes: BTreeSet<&str> = ledger.members.values().map(|e| e.node.as_str()).collect();
    assert_eq!(nodes.len(), 3);
    let risk = &risks(&ledger)[0];
    assert_eq!(risk.reason, Reason::PlacementAtRisk);
    assert!(risk.message.contains("host-n1 (etcd)"), "{}", risk.message);
}

#[test]
fn hard_rules_hold_and_the_refusal_says_which() {
    let mut topology = topology(3);
    topology.nodes[1]
        .labels
        .insert("disk".to_owned(), "ssd".to_owned());
    let mut ssd = need(Component::Etcd, 0);
    ssd.placement.constraints = vec!["node.labels.disk==SSD".to_owned()];
    let ledger = run(&[ssd.clone()], None, &topology).unwrap();
    assert_eq!(ledger.members["etcd-0"].node, "n2");

    ssd.placement
        .constraints
        .push("node.role!=manager".to_owned());
    let waiting = run(&[ssd.clone()], None, &topology).unwrap_err();
    let WaitingOn::Placement { detail, .. } = &waiting[0].on else {
        panic!("{waiting:?}")
    };
    assert!(
        detail.contains("node.role!=manager (spec.swarm.components.etcd.constraints)"),
        "{detail}"
    );

    let mut big = need(Component::Etcd, 0);
    big.request_memory = Some(9 << 30);
    let waiting = run(&[big], None, &topology).unwrap_err();
    let WaitingOn::Placement { detail, .. } = &waiting[0].on else {
        panic!("{waiting:?}")
    };
    assert_eq!(
        detail,
        "host-n1, host-n2, host-n3: 8192 MiB of memory unreserved, 9216 MiB asked for \
         (spec.dependencies.etcd.inCluster.values.resources)"
    );
}

#[test]
fn members_placed_together_do_not_share_the_same_memory() {
    let mut needs: Vec<_> = (0..3).map(|i| need(Component::Etcd, i)).collect();
    for n in &mut needs {
        n.request_memory = Some(5 << 30);
    }
    assert!(run(&needs, None, &topology(3)).is_ok());
    assert_eq!(run(&needs, None, &topology(2)).unwrap_err().len(), 1);
}

#[test]
fn a_fresh_cluster_takes_a_higher_epoch_and_adoption_takes_the_old_place() {
    let topology = topology(3);
    let mut left = run(&[need(Component::Etcd, 0)], None, &topology).unwrap();
    left.owner_uid.clear();
    assert!(run(&[need(Component::Etcd, 0)], Some(&left), &topology).is_err());
    let taken = place(
        &[need(Component::Etcd, 0)],
        fixed(),
        Some(&left),
        &topology,
        &capabilities(),
        &cluster(),
        true,
    )
    .unwrap()
    .ledger;
    assert_eq!(taken.members, left.members);
    assert_eq!(taken.owner_uid, "u1");

    let gone = Ledger {
        last_epoch: 4,
        ..Ledger::default()
    };
    let ledger = run(&[need(Component::Etcd, 0)], Some(&gone), &topology).unwrap();
    assert_eq!(ledger.members["etcd-0"].volumes, ["demo_etcd-0-data-e5"]);
    assert_eq!(ledger.first_epoch, 5);
}

/// A cluster that runs keeps the places that it has, whatever becomes of a member that is to join.
#[test]
fn a_running_cluster_keeps_its_places_while_a_new_member_waits() {
    let topology = topology(3);
    let mut needs: Vec<_> = (0..2).map(|i| need(Component::Bookkeeper, i)).collect();
    let own = run(&needs, None, &topology).unwrap();
    for (ordinal, memory) in [(2, 9_u64 << 30), (3, 1 << 30)] {
        let mut joins = need(Component::Bookkeeper, ordinal);
        joins.request_memory = Some(memory);
        needs.push(joins);
    }
    let placed = place(
        &needs,
        fixed(),
        Some(&own),
        &topology,
        &capabilities(),
        &cluster(),
        false,
    )
    .unwrap();
    let names: Vec<&String> = placed.ledger.members.keys().collect();
    assert_eq!(names, ["bookkeeper-0", "bookkeeper-1", "bookkeeper-3"]);
    for (name, entry) in &own.members {
        assert_eq!(placed.ledger.members[name], *entry);
    }
    let [waits] = placed.waiting.as_slice() else {
        panic!("{:?}", placed.waiting)
    };
    assert!(
        matches!(&waits.on, WaitingOn::Placement { workload, detail }
            if workload.to_string() == "bookkeeper-2" && detail.contains("9216 MiB")),
        "{waits:?}"
    );
    // One that has not begun waits as a whole.
    assert_eq!(run(&needs, None, &topology).unwrap_err().len(), 1);
}

#[test]
fn binds_and_devices_get_a_directory_each() {
    let mut bind = need(Component::Etcd, 0);
    bind.volumes[0].backing = VolumeBacking::Bind {
        base: "/data".to_owned(),
    };
    let mut device = need(Component::Minio, 1);
    device.volumes[0].backing = VolumeBacking::Volume {
        driver: None,
        options: [("type", "none"), ("o", "bind"), ("device", "/ssd")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
    };
    let ledger = run(&[bind, device], None, &topology(2)).unwrap();
    assert_eq!(ledger.members["etcd-0"].places(), ["/data/demo/etcd-0-e1"]);
    assert_eq!(
        ledger.members["minio-1"].places(),
        ["demo_minio-1-data-e1", "/ssd/demo/minio-1-e1"]
    );
}

#[test]
fn minio_quorums() {
    let ledger = |layout: &str| Ledger {
        fixed: Some(FixedChoices {
            minio_layout: Some(layout.to_owned()),
            ..fixed()
        }),
        ..Ledger::default()
    };
    assert_eq!(needed(Component::Minio, 1, &ledger("1 x 1")), 1);
    assert_eq!(needed(Component::Minio, 4, &ledger("4 x 1")), 3);
    assert_eq!(needed(Component::Minio, 3, &ledger("3 x 2")), 2);
    assert_eq!(needed(Component::Etcd, 3, &ledger("")), 2);
    let spare = |members, drives| members - members_needed(Component::Minio, members, drives);
    // One set of up to 16 drives.
    assert_eq!((spare(1, 4), spare(2, 2), spare(5, 1)), (0, 0, 2));
    assert_eq!((spare(8, 1), spare(4, 4), spare(16, 1)), (3, 1, 4));
    // Sets of 7, 5, 2 and 16: what one of them can spare is what all can.
    assert_eq!((spare(21, 1), spare(25, 1)), (3, 2));
    assert_eq!((spare(34, 1), spare(32, 1)), (0, 4));
    // Four drives of each set on each of four members; two on each of six.
    assert_eq!((spare(4, 8), spare(6, 4)), (1, 2));
}
