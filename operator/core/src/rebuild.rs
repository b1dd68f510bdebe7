//! A ledger that is lost, made again from what stands: the services of a cluster tell where its members live and on which
//! volumes, its StatefulSets and claims which members there are. Without it members would be placed anew, onto empty volumes
//! or onto those of another cluster. Pure.

use std::collections::BTreeMap;

use crate::capabilities::Capabilities;
use crate::component::{Component, WorkloadKey};
use crate::facts::Facts;
use crate::ledger::{Ledger, MemberDirectory, MemberEntry};
use crate::names::{ClusterKey, ClusterRef};
use crate::observed::Topology;
use crate::pins;

/// Names what may go on without its data, separated by commas: members that begin on an empty volume although the ledger with
/// their place is lost, and stores (or members of them) that have lost theirs.
pub const ACCEPT_DATA_LOSS: &str = "operator.milvus.io/accept-data-loss";

/// The workload of a cluster as its own spec tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which workload.
    pub workload: WorkloadKey,
    /// uid of the resource that it was made for; empty where it does not tell.
    pub uid: String,
    /// Id of the node that it is pinned to.
    pub node: Option<String>,
    /// Named volumes that it mounts, or its claims.
    pub volumes: Vec<String>,
    /// Directories of the node that it mounts, and devices of its volumes that are such directories.
    pub paths: Vec<String>,
    /// The reference of its image.
    pub image: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// A process of it has run.
    pub started: bool,
}

/// Where the ledger of [`Facts`] comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Origin {
    /// It is the stored one.
    #[default]
    Stored,
    /// There is none that tells of members, and no member stands.
    Nothing,
    /// It was made again from what stands, and is to be recorded before anything is done.
    Rebuilt {
        /// The stored one, which tells of no member.
        stored: Option<Box<Ledger>>,
    },
    /// Something stands, but it does not tell where the data is: what is unclear.
    Unclear(Vec<String>),
}

/// Whether what stands must be looked at: nothing recorded tells of members, so they would be placed anew.
pub fn is_due(ledger: Option<&Ledger>, cluster: &ClusterRef) -> bool {
    ledger.is_none_or(|l| l.owner_uid != cluster.uid && l.members.is_empty())
}

/// Puts what stands into the facts of a pass, where no ledger tells of members ([`is_due`]).
pub fn settle(
    facts: &mut Facts,
    cluster: &ClusterRef,
    standing: &[Standing],
    capabilities: &Capabilities,
) {
    if !is_due(facts.ledger.as_ref(), cluster) {
        return;
    }
    let stored = facts.ledger.as_ref();
    match rebuild(cluster, stored, standing, &facts.topology, capabilities) {
        Ok(None) => facts.origin = Origin::Nothing,
        Ok(Some(ledger)) => {
            facts.origin = Origin::Rebuilt {
                stored: facts.ledger.replace(ledger).map(Box::new),
            };
        }
        Err(unclear) => facts.origin = Origin::Unclear(unclear),
    }
}

/// The ledger that what stands tells of; `None` where no member stands. It belongs to this resource where anything stands that
/// was made for it, else to the one that it was made for: taking that over has to be asked for.
///
/// # Errors
/// What does not tell where its data is.
fn rebuild(
    cluster: &ClusterRef,
    stored: Option<&Ledger>,
    standing: &[Standing],
    topology: &Topology,
    capabilities: &Capabilities,
) -> Result<Option<Ledger>, Vec<String>> {
    let members = || standing.iter().filter(|s| s.workload.ordinal.is_some());
    let Some(first) = members().next() else {
        return Ok(None);
    };
    let own = members().any(|s| s.uid == cluster.uid);
    let mut ledger = Ledger {
        owner_uid: if own { &cluster.uid } else { &first.uid }.clone(),
        etcd_token: token(standing).unwrap_or_else(|| cluster.uid.clone()),
        ..Ledger::default()
    };
    let mut unclear = Vec::new();
    for member in members() {
        if own && member.uid != cluster.uid {
            unclear.push(format!(
                "{} was made for another resource (uid {})",
                cluster.key.workload(member.workload),
                member.uid
            ));
            continue;
        }
        let entry = match capabilities.places_members {
            true => entry(&cluster.key, member, topology),
            false => Ok(claimed(member)),
        };
        match entry {
            Ok(entry) => {
                ledger.members.insert(member.workload.to_string(), entry);
            }
            Err(why) => unclear.push(format!("{} {why}", cluster.key.workload(member.workload))),
        }
    }
    if !unclear.is_empty() {
        return Err(unclear);
    }
    let given = stored.map_or(0, |l| l.last_epoch);
    if capabilities.places_members {
        let epochs = || ledger.members.values().map(|entry| entry.epoch);
        let highest = epochs().max().unwrap_or(1);
        ledger.first_epoch = epochs().min().unwrap_or(1);
        // Which epochs were given out to members that do not stand is not known: the next one is above all that are seen.
        ledger.last_epoch = given.max(highest) + 1;
    } else {
        // Names of claims tell no epoch: all members have that of the cluster, as those have that come later.
        let epoch = given.max(1);
        for entry in ledger.members.values_mut() {
            entry.epoch = epoch;
        }
        (ledger.first_epoch, ledger.last_epoch) = (epoch, epoch);
    }
    ledger.bootstrapped = lived(standing);
    let own = standing.iter().filter(|s| s.uid == ledger.owner_uid);
    ledger.images = pins::of_standing(own.map(|s| s.image.as_str()));
    Ok(Some(ledger))
}

/// A member whose claims carry its data, wherever it runs.
fn claimed(member: &Standing) -> MemberEntry {
    MemberEntry {
        node: String::new(),
        node_name: String::new(),
        epoch: 1,
        mark: None,
        volumes: member.volumes.clone(),
        directories: Vec::new(),
        claim: None,
    }
}

/// Where one member lives.
fn entry(
    cluster: &ClusterKey,
    member: &Standing,
    topology: &Topology,
) -> Result<MemberEntry, String> {
    let key = member.workload;
    let Some(node) = &member.node else {
        return Err("is not pinned to a node (it has no constraint node.id==)".to_owned());
    };
    let mut incarnations = Vec::new();
    for volume in &member.volumes {
        match cluster.incarnation_of_volume(key, volume) {
            Some(of) => incarnations.push(of),
            None => {
                return Err(format!(
                    "mounts volume {volume}, which is not of its own name"
                ));
            }
        }
    }
    let mut directories = Vec::new();
    for path in &member.paths {
        // Other paths are mounts that the resource asks for, beside the data.
        if let Some((base, directory, of)) = cluster.incarnation_of_path(key, path) {
            incarnations.push(of);
            directories.push(MemberDirectory { base, directory });
        }
    }
    let Some(of) = incarnations.first().cloned() else {
        return Err("mounts no volume of its own".to_owned());
    };
    if incarnations.iter().any(|other| *other != of) {
        return Err("mounts volumes of different incarnations".to_owned());
    }
    let name = topology.node(node).map(|n| n.name.clone());
    Ok(MemberEntry {
        node: node.clone(),
        node_name: name.unwrap_or_default(),
        epoch: of.epoch,
        mark: of.mark,
        volumes: member.volumes.clone(),
        directories,
        claim: None,
    })
}

/// What has come to life once. A broker is made only after Pulsar's metadata were.
fn lived(standing: &[Standing]) -> BTreeMap<Component, bool> {
    let mut lived = BTreeMap::new();
    for workload in standing.iter().filter(|s| s.started) {
        match workload.workload.component {
            Component::Broker => {
                lived.insert(Component::PulsarInit, true);
            }
            component @ (Component::Etcd
            | Component::Minio
            | Component::Zookeeper
            | Component::Bookkeeper) => {
                lived.insert(component, true);
            }
            _ => {}
        }
    }
    lived
}

/// The token that etcd was started with: another one would be another cluster.
fn token(standing: &[Standing]) -> Option<String> {
    standing
        .iter()
        .filter(|s| s.workload.component == Component::Etcd)
        .flat_map(|s| &s.args)
        .find_map(|arg| arg.strip_prefix("--initial-cluster-token="))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{kubernetes_capabilities, swarm_capabilities, topology};

    const UID: &str = "0a1b2c3d-0000-4000-8000-000000000001";

    fn cluster(uid: &str) -> ClusterRef {
        ClusterRef {
            key: ClusterKey::new("default", "demo"),
            uid: uid.to_owned(),
            generation: 1,
        }
    }

    fn etcd(ordinal: u16, node: &str, volume: &str) -> Standing {
        Standing {
            workload: WorkloadKey::member(Component::Etcd, ordinal),
            uid: UID.to_owned(),
            node: Some(node.to_owned()),
            volumes: vec![volume.to_owned()],
            paths: Vec::new(),
            image: "etcd:3@sha256:00".to_owned(),
            args: vec!["--initial-cluster-token=older".to_owned()],
            started: true,
        }
    }

    fn settled(uid: &str, standing: &[Standing], stored: Option<Ledger>) -> Facts {
        let mut facts = Facts {
            ledger: stored,
            topology: topology(3),
            ..Facts::default()
        };
        settle(&mut facts, &cluster(uid), standing, &swarm_capabilities());
        facts
    }

    #[test]
    fn a_lost_ledger_is_made_again_from_the_services_of_the_cluster() {
        let mut minio = etcd(0, "n3", "demo_minio-0-data-0a1b2c-e3");
        minio.workload = WorkloadKey::member(Component::Minio, 0);
        minio.paths = vec![
            "/srv/data/demo/minio-0-index-0a1b2c-e3".to_owned(),
            "/etc/localtime".to_owned(),
        ];
        minio.started = false;
        let standing = [
            etcd(0, "n2", "demo_etcd-0-data-e1"),
            etcd(1, "gone", "demo_etcd-1-data-0a1b2c-e2"),
            minio,
        ];
        let facts = settled(UID, &standing, None);
        assert_eq!(facts.origin, Origin::Rebuilt { stored: None });
        assert_eq!(facts.recorded(), None);
        let ledger = facts.ledger.unwrap();
        assert_eq!(ledger.owner_uid, UID);
        assert_eq!(ledger.etcd_token, "older");
        assert_eq!(pins::pinned("etcd:3", &ledger), "etcd:3@sha256:00");
        assert_eq!((ledger.first_epoch, ledger.last_epoch), (1, 4));
        let old = &ledger.members["etcd-0"];
        assert_eq!((old.node.as_str(), old.node_name.as_str()), ("n2", "node2"));
        assert_eq!((old.epoch, old.mark.as_deref()), (1, None));
        let away = &ledger.members["etcd-1"];
        assert_eq!((away.node.as_str(), away.epoch), ("gone", 2));
        assert_eq!(away.mark.as_deref(), Some("0a1b2c"));
        assert_eq!(away.volumes, ["demo_etcd-1-data-0a1b2c-e2"]);
        assert_eq!(
            ledger.members["minio-0"].places(),
            [
                "demo_minio-0-data-0a1b2c-e3",
                "/srv/data/demo/minio-0-index-0a1b2c-e3"
            ]
        );
        assert!(ledger.is_bootstrapped(Component::Etcd));
        assert!(!ledger.is_bootstrapped(Component::Minio));
    }

    #[test]
    fn what_stands_of_another_resource_stays_that_ones() {
        let standing = [etcd(0, "n2", "demo_etcd-0-data-0a1b2c-e1")];
        let other = "ffeedd00-0000-4000-8000-000000000002";
        let ledger = settled(other, &standing, None).ledger.unwrap();
        assert_eq!(ledger.owner_uid, UID);
    }

    #[test]
    fn a_ledger_that_tells_of_members_is_never_replaced() {
        let standing = [etcd(0, "n2", "demo_etcd-0-data-0a1b2c-e1")];
        let told = settled(UID, &standing, None).ledger;
        for uid in [UID, "ffeedd00-0000-4000-8000-000000000002"] {
            let facts = settled(uid, &[etcd(0, "n1", "demo_etcd-0-data-e9")], told.clone());
            assert_eq!(facts.origin, Origin::Stored);
            assert_eq!(facts.ledger, told);
        }
        // One that tells of epochs alone keeps telling them.
        let epochs = Ledger {
            last_epoch: 7,
            ..Ledger::default()
        };
        let facts = settled(UID, &standing, Some(epochs.clone()));
        assert_eq!(facts.recorded(), Some(&epochs));
        assert_eq!(facts.ledger.unwrap().last_epoch, 8);
        // Nothing stands: a new cluster.
        let new = settled(UID, &[], None);
        assert_eq!((new.ledger, new.origin), (None, Origin::Nothing));
    }

    #[test]
    fn where_the_platform_makes_claims_a_lost_ledger_is_made_again_from_them() {
        let claimed = |ordinal, uid: &str| Standing {
            uid: uid.to_owned(),
            node: None,
            ..etcd(ordinal, "", &format!("data-demo-etcd-{ordinal}"))
        };
        let settled = |standing: &[Standing], stored: Option<Ledger>| {
            let mut facts = Facts {
                ledger: stored,
                ..Facts::default()
            };
            let capabilities = kubernetes_capabilities();
            settle(&mut facts, &cluster(UID), standing, &capabilities);
            facts
        };
        let facts = settled(&[claimed(0, UID), claimed(1, UID)], None);
        assert_eq!(facts.origin, Origin::Rebuilt { stored: None });
        let ledger = facts.ledger.unwrap();
        assert_eq!(
            (ledger.owner_uid.as_str(), ledger.etcd_token.as_str()),
            (UID, "older")
        );
        assert_eq!((ledger.first_epoch, ledger.last_epoch), (1, 1));
        assert_eq!(ledger.members["etcd-1"].volumes, ["data-demo-etcd-1"]);
        assert!(ledger.is_bootstrapped(Component::Etcd));
        // What is left of a cluster that no record names belongs to none, and has to be asked for.
        let epochs = Ledger {
            last_epoch: 7,
            ..Ledger::default()
        };
        let left = settled(&[claimed(0, "")], Some(epochs)).ledger.unwrap();
        assert!(left.is_retained());
        assert_eq!((left.members["etcd-0"].epoch, left.last_epoch), (7, 7));
        assert_eq!(settled(&[], None).origin, Origin::Nothing);
    }

    #[test]
    fn what_does_not_tell_its_place_is_named() {
        let mut free = etcd(0, "n1", "demo_etcd-0-data-e1");
        free.node = None;
        let strange = etcd(1, "n1", "shared");
        let mut another = etcd(2, "n1", "demo_etcd-2-data-e1");
        another.uid = "another".to_owned();
        let facts = settled(UID, &[free, strange, another], None);
        assert_eq!(facts.ledger, None);
        let Origin::Unclear(unclear) = facts.origin else {
            panic!("{:?}", facts.origin)
        };
        assert_eq!(
            unclear,
            [
                "demo_etcd-0 is not pinned to a node (it has no constraint node.id==)",
                "demo_etcd-1 mounts volume shared, which is not of its own name",
                "demo_etcd-2 was made for another resource (uid another)",
            ]
        );
        assert_eq!(facts.topology.nodes.len(), 3);
        assert_ne!(facts.topology, Topology::default());
    }
}
