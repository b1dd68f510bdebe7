//! Which other clusters stand in the way of one. Looks at the resources that are known, and asks nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::Resource;
use milvus_core::capabilities::Capabilities;
use milvus_core::desired::Placement;
use milvus_core::facts::OtherCluster;
use milvus_core::names::ClusterKey;
use milvus_core::observed::Topology;
use milvus_core::place;
use milvus_core::prefixes::Prefixes;
use milvus_core::subnet::Subnets;
use milvus_crds::MilvusCluster;
use milvus_platform::Backend;

use super::GatherError;
use crate::context::{Context, Known, Resources};
use crate::resource_store::ResourceStore;
use crate::turns::Turn;

/// How long a new cluster waits for the first lists before it says so.
const FIRST_LISTS: Duration = Duration::from_secs(5);

/// The other clusters, as far as they can stand in the way; and whether this one holds its prefixes on external services.
pub(super) async fn others<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    key: &ClusterKey,
    resource: &MilvusCluster,
    begun: bool,
    topology: &Topology,
    turn: &mut Turn,
) -> Result<(Vec<OtherCluster>, bool), GatherError> {
    let capabilities = context.backend.capabilities();
    // Only published ports of gateways can be in each other's way.
    let port = capabilities.gateway.then(|| client_port(resource));
    let claims = !Prefixes::of(resource).is_empty();
    if claims && !begun {
        // Who was first cannot be told before all are known.
        all_known(&context.resources, turn).await?;
    }
    if !claims && port.is_none() {
        return Ok((Vec::new(), false));
    }
    let asking = Asking {
        key,
        port,
        begun,
        capabilities,
        topology,
    };
    Ok(context.resources.among(|all| asking.ask(all)))
}

/// Waits for the first lists of all namespaces, without holding up others: at the start of the operator they are a matter of a moment. What takes
/// longer is told.
async fn all_known(resources: &Resources, turn: &mut Turn) -> Result<(), GatherError> {
    if resources.listed() || turn.leave(resources.listed_within(FIRST_LISTS)).await {
        return Ok(());
    }
    Err(GatherError::NotListed {
        namespaces: resources.awaited(),
    })
}

/// A cluster that asks who is in its way.
struct Asking<'a> {
    key: &'a ClusterKey,
    port: Option<u16>,
    begun: bool,
    capabilities: &'a Capabilities,
    topology: &'a Topology,
}

impl Asking<'_> {
    fn ask(&self, all: &mut BTreeMap<ClusterKey, Known>) -> (Vec<OtherCluster>, bool) {
        let Some(own) = all.get(self.key) else {
            return (Vec::new(), false); // gone in the meantime
        };
        let (prefixes, created) = (own.prefixes.clone(), created(&own.resource));
        let ranges = Subnets::of(&own.resource.spec.swarm);
        let meet = |other: &Prefixes| prefixes.meet(other, self.capabilities);
        let others: Vec<OtherCluster> = all
            .iter()
            .filter(|(other, known)| {
                let port = self.port.is_some_and(|p| p == client_port(&known.resource));
                let subnets = Subnets::of(&known.resource.spec.swarm);
                (port || meet(&known.prefixes) || ranges.overlap(&subnets))
                    && *other != self.key
                    && known.resource.meta().deletion_timestamp.is_none()
            })
            .map(|(other, known)| OtherCluster {
                key: other.clone(),
                port: client_port(&known.resource),
                gateway_nodes: gateway_nodes(&known.resource, self.topology),
                subnets: Subnets::of(&known.resource.spec.swarm),
                prefixes: Prefixes::clone(&known.prefixes),
                created: created_text(&known.resource),
                begun: known.holds_prefixes || has_begun(&known.resource),
            })
            .collect();
        let begun = self.begun || own.holds_prefixes;
        let holds = !prefixes.is_empty()
            && !others
                .iter()
                .any(|o| meet(&o.prefixes) && o.precedes(self.key, created, begun));
        if let Some(own) = all.get_mut(self.key) {
            own.holds_prefixes = holds;
        }
        (others, holds)
    }
}

fn created(resource: &MilvusCluster) -> Option<Timestamp> {
    let created = resource.meta().creation_timestamp.as_ref();
    created.map(|time| time.0)
}

fn created_text(resource: &MilvusCluster) -> String {
    created(resource)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

/// Whether something of a cluster may run: its roles are told of as soon as there is a plan for them.
fn has_begun(resource: &MilvusCluster) -> bool {
    let status = resource.status.as_ref();
    status.is_some_and(|status| !status.components.is_empty())
}

/// The nodes that a cluster's gateway is restricted to; empty for all.
fn gateway_nodes(resource: &MilvusCluster, topology: &Topology) -> Vec<String> {
    let constraints = resource.spec.swarm.gateway.constraints.clone();
    if constraints.is_empty() {
        return Vec::new();
    }
    let placement = Placement {
        constraints,
        ..Placement::default()
    };
    let admitted = topology
        .nodes
        .iter()
        .filter(|node| place::unmet(&placement, node).is_none());
    admitted.map(|node| node.id.clone()).collect()
}

/// The port that a cluster publishes on nodes.
fn client_port(resource: &MilvusCluster) -> u16 {
    resource
        .spec
        .swarm
        .gateway
        .port
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or(19530)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use milvus_crds::{ComponentStatus, MilvusClusterStatus};
    use serde_json::json;

    use super::*;
    use crate::context::FirstList;
    use crate::turns::Turns;

    const SECOND: &str = "2026-01-02T03:04:05Z";

    fn cluster(name: &str, created: &str, root: Option<&str>) -> MilvusCluster {
        serde_json::from_value(json!({
            "apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster",
            "metadata": {"name": name, "namespace": "default", "uid": name, "generation": 1, "creationTimestamp": created},
            "spec": {"dependencies": {"storage": {"external": true, "type": "S3", "endpoint": "s3.example.org", "rootPath": root}}},
        }))
        .expect("a resource")
    }

    fn put(resources: &Resources, resource: MilvusCluster) {
        let name = resource.metadata.name.clone().unwrap_or_default();
        resources.put(ClusterKey::new("default", name), Arc::new(resource));
    }

    /// The names that are in the way, and whether it holds its prefixes.
    fn ask(resources: &Resources, name: &str, begun: bool) -> (Vec<String>, bool) {
        let asking = Asking {
            key: &ClusterKey::new("default", name),
            port: None,
            begun,
            capabilities: &milvus_kubernetes::CAPABILITIES,
            topology: &Topology::default(),
        };
        let (others, holds) = resources.among(|all| asking.ask(all));
        (others.into_iter().map(|o| o.key.name).collect(), holds)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn of_two_in_one_second_the_first_that_asks_has_it() {
        let resources = Resources::default();
        put(&resources, cluster("b", SECOND, None));
        assert_eq!(ask(&resources, "b", false), (vec![], true));
        // Older by its name, but too late: the other one may run already.
        put(&resources, cluster("a", SECOND, None));
        assert_eq!(ask(&resources, "a", false), (names(&["b"]), false));
        assert_eq!(ask(&resources, "b", true), (names(&["a"]), true));
        // Gone, or another place: free again.
        let mut moved = cluster("b", SECOND, Some("elsewhere"));
        moved.metadata.generation = Some(2);
        put(&resources, moved);
        assert_eq!(ask(&resources, "a", false), (vec![], true));
    }

    #[test]
    fn after_a_restart_who_ran_has_it() {
        let resources = Resources::default();
        let mut running = cluster("young", "2026-02-02T00:00:00Z", None);
        running.status = Some(MilvusClusterStatus {
            components: BTreeMap::from([("proxy".to_owned(), ComponentStatus::default())]),
            ..MilvusClusterStatus::default()
        });
        put(&resources, cluster("old", SECOND, None));
        put(&resources, running);
        assert_eq!(ask(&resources, "old", false), (names(&["young"]), false));
        assert_eq!(ask(&resources, "young", true), (names(&["old"]), true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_is_not_known_yet_is_waited_for_and_named() {
        let scope = |name: &str| Some(name.to_owned());
        let resources = Resources::default();
        resources.expect([scope("a"), scope("b")]);
        let mut turn = Turns::default().pass().await;
        assert!(resources.list(&scope("a"), FirstList::Done));
        // A list that comes again is that of no other namespace.
        assert!(!resources.list(&scope("a"), FirstList::Done));
        let waits = all_known(&resources, &mut turn).await.expect_err("waits");
        let words = waits.to_string();
        assert!(words.contains("namespace b are not known yet"), "{words}");
        // One without the Role keeps no other waiting.
        assert!(resources.list(&scope("b"), FirstList::Refused));
        all_known(&resources, &mut turn).await.expect("known");
        assert!(resources.list(&scope("b"), FirstList::Done));
        assert!(!resources.list(&scope("b"), FirstList::Refused));
    }

    #[test]
    fn who_is_being_deleted_does_not_count() {
        let resources = Resources::default();
        let mut old = cluster("old", SECOND, None);
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH);
        put(&resources, old.clone());
        put(&resources, cluster("young", "2026-02-02T00:00:00Z", None));
        assert_eq!(ask(&resources, "young", false), (names(&["old"]), false));
        old.metadata.deletion_timestamp = Some(time);
        put(&resources, old);
        assert_eq!(ask(&resources, "young", false), (vec![], true));
    }

    #[test]
    fn with_a_place_of_its_own_nobody_is_in_the_way() {
        let resources = Resources::default();
        for name in ["a", "b", "c"] {
            put(&resources, cluster(name, SECOND, Some(name)));
        }
        for name in ["a", "b", "c"] {
            assert_eq!(ask(&resources, name, false), (vec![], true));
        }
    }
}
