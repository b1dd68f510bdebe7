//! The parts that a cluster can be made of, as a closed list. What each one needs and does is data in `components/`.
//! Pure: names only.

use serde::{Deserialize, Serialize};

/// One kind of process in a cluster: a Milvus role, a member of a dependency, or the operator's own front door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Component {
    /// etcd, the metadata store of Milvus.
    Etcd,
    /// MinIO, the object storage.
    Minio,
    /// ZooKeeper, the metadata store of Pulsar.
    Zookeeper,
    /// The one-shot job that writes Pulsar's cluster metadata.
    PulsarInit,
    /// BookKeeper's storage node (a bookie).
    Bookkeeper,
    /// Pulsar's broker.
    Broker,
    /// All coordinators in one process.
    MixCoord,
    /// Root coordinator.
    RootCoord,
    /// Data coordinator.
    DataCoord,
    /// Query coordinator.
    QueryCoord,
    /// Index coordinator.
    IndexCoord,
    /// Query node.
    QueryNode,
    /// Data node.
    DataNode,
    /// Index node (before 2.6).
    IndexNode,
    /// Streaming node (2.6 and later).
    StreamingNode,
    /// Change data capture (2.6.6 and later).
    Cdc,
    /// All roles in one process.
    Standalone,
    /// Access layer that clients talk to.
    Proxy,
    /// The operator's front door of a cluster: balances client connections and carries probes.
    Gateway,
}

impl Component {
    /// Every component, in the order in which a cluster is started.
    pub const ALL: [Component; 19] = [
        Component::Etcd,
        Component::Minio,
        Component::Zookeeper,
        Component::PulsarInit,
        Component::Bookkeeper,
        Component::Broker,
        Component::MixCoord,
        Component::RootCoord,
        Component::DataCoord,
        Component::QueryCoord,
        Component::IndexCoord,
        Component::QueryNode,
        Component::DataNode,
        Component::IndexNode,
        Component::StreamingNode,
        Component::Cdc,
        Component::Standalone,
        Component::Proxy,
        Component::Gateway,
    ];

    /// The name in object names, labels and host names: lower case, no separators but `-`.
    pub const fn name(self) -> &'static str {
        match self {
            Component::Etcd => "etcd",
            Component::Minio => "minio",
            Component::Zookeeper => "zookeeper",
            Component::PulsarInit => "pulsar-init",
            Component::Bookkeeper => "bookkeeper",
            Component::Broker => "broker",
            Component::MixCoord => "mixcoord",
            Component::RootCoord => "rootcoord",
            Component::DataCoord => "datacoord",
            Component::QueryCoord => "querycoord",
            Component::IndexCoord => "indexcoord",
            Component::QueryNode => "querynode",
            Component::DataNode => "datanode",
            Component::IndexNode => "indexnode",
            Component::StreamingNode => "streamingnode",
            Component::Cdc => "cdc",
            Component::Standalone => "standalone",
            Component::Proxy => "proxy",
            Component::Gateway => "gateway",
        }
    }

    /// The inverse of [`Component::name`].
    pub fn from_name(name: &str) -> Option<Component> {
        Component::ALL.into_iter().find(|c| c.name() == name)
    }

    /// Whether this is a process of Milvus itself.
    pub const fn is_milvus(self) -> bool {
        matches!(
            self,
            Component::MixCoord
                | Component::RootCoord
                | Component::DataCoord
                | Component::QueryCoord
                | Component::IndexCoord
                | Component::QueryNode
                | Component::DataNode
                | Component::IndexNode
                | Component::StreamingNode
                | Component::Cdc
                | Component::Standalone
                | Component::Proxy
        )
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A component, or one member of it: `proxy`, `etcd-0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadKey {
    /// The component.
    pub component: Component,
    /// The ordinal of a member that has an identity of its own, counted from 0.
    pub ordinal: Option<u16>,
}

impl WorkloadKey {
    /// The workload of a component whose instances are interchangeable.
    pub const fn shared(component: Component) -> Self {
        Self {
            component,
            ordinal: None,
        }
    }

    /// One member with an identity of its own.
    pub const fn member(component: Component, ordinal: u16) -> Self {
        Self {
            component,
            ordinal: Some(ordinal),
        }
    }

    /// The inverse of `Display`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(component) = Component::from_name(text) {
            return Some(Self::shared(component));
        }
        let (name, ordinal) = text.rsplit_once('-')?;
        Some(Self::member(
            Component::from_name(name)?,
            ordinal.parse().ok()?,
        ))
    }
}

impl std::fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ordinal {
            Some(ordinal) => write!(f, "{}-{ordinal}", self.component),
            None => write!(f, "{}", self.component),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_round_trip() {
        for component in Component::ALL {
            assert_eq!(Component::from_name(component.name()), Some(component));
            for key in [
                WorkloadKey::shared(component),
                WorkloadKey::member(component, 11),
            ] {
                assert_eq!(WorkloadKey::parse(&key.to_string()), Some(key));
            }
        }
    }
}
