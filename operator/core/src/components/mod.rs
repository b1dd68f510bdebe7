//! The catalogue: one file per component that says what it is called in the resource, which verb and ports it has, what it
//! waits for and how it is checked. Adding a component means a file here, a line below and goldens. Pure.

mod bookkeeper;
mod broker;
mod cdc;
mod data_coord;
mod data_node;
mod etcd;
mod gateway;
mod index_coord;
mod index_node;
mod minio;
mod mix_coord;
mod proxy;
mod pulsar_init;
mod query_coord;
mod query_node;
mod role;
mod root_coord;
mod standalone;
mod streaming_node;
mod zookeeper;

use std::collections::BTreeMap;

use crate::component::Component;
use crate::desire::Context;
use crate::desired::{FieldOrigins, Placement, Workload};

/// Defaults of etcd.
pub(crate) mod etcd_defaults {
    pub(crate) use super::etcd::{DATA_PATH, DEFAULT_IMAGE, FORCED_ENV};
}
/// Defaults of MinIO.
pub(crate) mod minio_defaults {
    pub(crate) use super::minio::{DEFAULT_IMAGE, FORCED_ENV, drive};
}
/// Defaults of all of Pulsar's parts.
pub(crate) mod zookeeper_defaults {
    pub(crate) use super::zookeeper::{DATA_PATH, DEFAULT_IMAGE};
}

pub(crate) use role::{GRACEFUL_STOP_SECONDS, Role, cache_volume, sessions, sessions_probe};

/// Milvus' gRPC port for clients.
pub const CLIENT_PORT: u16 = 19530;
/// Health and metrics of every Milvus process.
pub const MILVUS_HEALTH_PORT: u16 = 9091;
/// Port of the proxies for other roles.
pub const PROXY_INTERNAL_PORT: u16 = 19529;
/// etcd's client port.
pub const ETCD_PORT: u16 = 2379;
/// MinIO's API port.
pub const MINIO_PORT: u16 = 9000;
/// ZooKeeper's client port.
pub const ZOOKEEPER_PORT: u16 = 2181;
/// BookKeeper's port.
pub const BOOKKEEPER_PORT: u16 = 3181;
/// The broker's binary protocol.
pub const BROKER_PORT: u16 = 6650;
/// The broker's web service.
pub const BROKER_WEB_PORT: u16 = 8080;

/// The ports of roles for each other, by the section of milvus.yaml that could set them, without case.
pub(crate) fn role_ports() -> BTreeMap<&'static str, u16> {
    let roles = Component::ALL.into_iter().filter_map(role);
    // The proxies' is fixed in any case.
    let ports = roles.filter(|role| role.component != Component::Proxy);
    ports.flat_map(|role| role.ports.iter().copied()).collect()
}

/// The Milvus role that a component is, if it is one.
pub(crate) fn role(component: Component) -> Option<&'static Role> {
    Some(match component {
        Component::MixCoord => &mix_coord::ROLE,
        Component::RootCoord => &root_coord::ROLE,
        Component::DataCoord => &data_coord::ROLE,
        Component::QueryCoord => &query_coord::ROLE,
        Component::IndexCoord => &index_coord::ROLE,
        Component::QueryNode => &query_node::ROLE,
        Component::DataNode => &data_node::ROLE,
        Component::IndexNode => &index_node::ROLE,
        Component::StreamingNode => &streaming_node::ROLE,
        Component::Cdc => &cdc::ROLE,
        Component::Standalone => &standalone::ROLE,
        Component::Proxy => &proxy::ROLE,
        Component::Etcd
        | Component::Minio
        | Component::Zookeeper
        | Component::PulsarInit
        | Component::Bookkeeper
        | Component::Broker
        | Component::Gateway => return None,
    })
}

/// Roles whose number of processes may be left to an autoscaler. Of query nodes it is the resource's own scale.
pub const EXTERNALLY_SCALABLE: [Component; 4] = [
    Component::Proxy,
    Component::DataNode,
    Component::IndexNode,
    Component::StreamingNode,
];

/// The name of a component in the resource (`queryNode`, `etcd`), as under `spec.swarm.components` and in the status.
pub fn resource_name(component: Component) -> &'static str {
    match role(component) {
        Some(role) => role.name,
        None => match component {
            Component::PulsarInit => "pulsarInit",
            other => other.name(),
        },
    }
}

/// The component of a name in the resource.
pub fn from_resource_name(name: &str) -> Option<Component> {
    Component::ALL
        .into_iter()
        .find(|component| resource_name(*component) == name)
}

/// Whether the members of a component work only with peers that were started with the same image, arguments and environment,
/// so that a change of those has to reach all of them together.
pub(crate) fn changes_together(component: Component) -> bool {
    component == Component::Minio
}

/// How many peers of the same kind a starting member of such a component asks for before it serves. MinIO compares with all
/// others and goes on when half of them agree (`verifyServerSystemConfig` in `cmd/bootstrap-peer-server.go` of MinIO).
pub(crate) fn agreeing_peers(members: usize) -> usize {
    members.saturating_sub(1) / 2
}

/// The path in the resource of a component's block.
pub fn resource_path(component: Component) -> String {
    match component {
        Component::Etcd => "spec.dependencies.etcd.inCluster.values".to_owned(),
        Component::Minio => "spec.dependencies.storage.inCluster.values".to_owned(),
        Component::Zookeeper | Component::Bookkeeper | Component::Broker => format!(
            "spec.dependencies.pulsar.inCluster.values.{}",
            component.name()
        ),
        Component::PulsarInit => "spec.dependencies.pulsar.inCluster.values".to_owned(),
        Component::Gateway => "spec.swarm.gateway".to_owned(),
        role => format!("spec.components.{}", resource_name(role)),
    }
}

/// The path in the resource of one of the rules about a component's nodes.
pub(crate) fn rule_field(
    component: Component,
    placement: &Placement,
    origin: &FieldOrigins,
    rule: &str,
) -> String {
    if placement.constraints.iter().any(|own| own == rule) && component != Component::Gateway {
        let name = resource_name(component);
        return format!("spec.swarm.components.{name}.constraints");
    }
    origin.placement.clone()
}

/// The workload of a component in this cluster; `None` when the cluster does not have it.
pub(crate) fn workload(component: Component, context: &mut Context<'_>) -> Option<Workload> {
    match component {
        Component::Etcd => etcd::workload(context),
        Component::Minio => minio::workload(context),
        Component::Zookeeper => zookeeper::workload(context),
        Component::PulsarInit => pulsar_init::workload(context),
        Component::Bookkeeper => bookkeeper::workload(context),
        Component::Broker => broker::workload(context),
        Component::Gateway => gateway::workload(context),
        component => role(component).and_then(|role| role::workload(role, context)),
    }
}

#[cfg(test)]
mod tests {
    use super::role::Size;
    use super::*;

    #[test]
    fn names_in_the_resource_are_those_of_the_type() {
        for name in milvus_crds::Components::NAMES {
            let component = from_resource_name(name).unwrap();
            assert!(component.is_milvus());
            assert_eq!(resource_name(component), name);
        }
        for component in Component::ALL {
            assert_eq!(role(component).is_some(), component.is_milvus());
            assert_eq!(
                from_resource_name(resource_name(component)),
                Some(component)
            );
        }
    }

    #[test]
    fn sizes_of_the_default_shapes_add_up_to_the_profile() {
        use Component::{
            DataCoord, DataNode, IndexCoord, IndexNode, MixCoord, Proxy, QueryCoord, QueryNode,
            RootCoord, Standalone, StreamingNode,
        };
        for shape in [
            vec![Proxy, MixCoord, QueryNode, DataNode, IndexNode],
            vec![
                Proxy, RootCoord, DataCoord, QueryCoord, IndexCoord, QueryNode, DataNode, IndexNode,
            ],
            vec![Proxy, MixCoord, QueryNode, DataNode, StreamingNode],
            vec![Standalone],
        ] {
            let sizes: Vec<Size> = shape.iter().map(|c| role(*c).unwrap().size).collect();
            assert_eq!(sizes.iter().map(|s| s.millicpu).sum::<u64>(), 4000);
            assert_eq!(sizes.iter().map(|s| s.mebibytes).sum::<u64>(), 8192);
        }
    }
}
