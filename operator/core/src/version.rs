//! Milvus versions and what each of them can do. The one place that compares versions: everybody else asks for a
//! [`Features`] field. Pure.

use std::fmt;

use crate::component::Component;

/// The image that is used when the resource names none: the version that this release of the operator is tested with.
pub const DEFAULT_IMAGE: &str = "milvusdb/milvus:v2.3.5";

/// The oldest and the newest minor version that the operator knows.
const KNOWN: [(u16, u16); 2] = [(2, 2), (2, 6)];

/// A version of Milvus: `2.6.11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilvusVersion {
    /// 2.
    pub major: u16,
    /// 6.
    pub minor: u16,
    /// 11.
    pub patch: u16,
}

/// Why a version cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// The image's tag does not tell.
    #[error(
        "the tag of image {image:?} does not contain the Milvus version; set spec.components.version, for example 2.3.5"
    )]
    NotInTag {
        /// The reference.
        image: String,
    },
    /// Not a version at all.
    #[error("{text:?} is not a Milvus version; write three numbers, for example 2.3.5")]
    Malformed {
        /// What was written.
        text: String,
    },
    /// A version that this operator does not know.
    #[error(
        "Milvus {version} is not known to this operator, which supports 2.2 to 2.6; choose an image of one of these versions"
    )]
    Unknown {
        /// The version.
        version: MilvusVersion,
    },
}

impl MilvusVersion {
    /// A version from its numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Reads `2.3.5`, `v2.3.5` and either with a suffix (`-gpu`, `-rc1`, `-hotfix-20240101`).
    ///
    /// # Errors
    /// When the text does not begin with three numbers.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        Self::numbers(text).ok_or_else(|| VersionError::Malformed {
            text: text.to_owned(),
        })
    }

    /// Reads the version from an image reference's tag.
    ///
    /// # Errors
    /// When there is no tag, or one that is no version (`latest`, a branch, a digest alone).
    pub fn from_image(image: &str) -> Result<Self, VersionError> {
        tag(image)
            .and_then(Self::numbers)
            .ok_or_else(|| VersionError::NotInTag {
                image: image.to_owned(),
            })
    }

    fn numbers(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (core, suffix) = text.split_once('-').unwrap_or((text, "x"));
        if suffix.is_empty() {
            return None;
        }
        let mut parts = core.split('.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse::<u16>().ok()).flatten()
        });
        let version = Self::new(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }

    /// What this version can do.
    ///
    /// # Errors
    /// When the version is outside of what the operator knows.
    pub fn features(self) -> Result<Features, VersionError> {
        let minor = (self.major, self.minor);
        if minor < KNOWN[0] || minor > KNOWN[1] {
            return Err(VersionError::Unknown { version: self });
        }
        Ok(self.features_of_known())
    }

    /// The features of a version that is known to be known.
    pub(crate) fn features_of_known(self) -> Features {
        let from = |minor, patch| self >= Self::new(2, minor, patch);
        Features {
            separate_coordinators: !from(6, 0),
            index_coordinator_serves: !from(3, 0),
            index_node: !from(6, 0),
            streaming_node: from(6, 0),
            cdc: from(6, 6),
            woodpecker: from(6, 0),
            queue_by_key: from(3, 0),
            active_standby: from(2, 3),
            etcd_auth: from(3, 0),
            standalone_queue: if from(6, 0) {
                MessageQueue::Woodpecker
            } else {
                MessageQueue::Rocksmq
            },
            cluster_queue: MessageQueue::Pulsar,
        }
    }
}

impl fmt::Display for MilvusVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The tag of an image reference, without registry port and digest.
fn tag(image: &str) -> Option<&str> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    last.split_once(':').map(|(_, tag)| tag)
}

/// What a version of Milvus can do and what it defaults to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Coordinators may run as processes of their own.
    pub separate_coordinators: bool,
    /// The index coordinator is a server of its own (later versions accept the role and do its work in the data coordinator).
    pub index_coordinator_serves: bool,
    /// Index nodes exist (later the data nodes build indexes).
    pub index_node: bool,
    /// Streaming nodes exist, and a cluster needs them.
    pub streaming_node: bool,
    /// The role `cdc` exists.
    pub cdc: bool,
    /// Woodpecker can be the message queue.
    pub woodpecker: bool,
    /// The queue is chosen by a key (`mq.type`), not by which sections the file has.
    pub queue_by_key: bool,
    /// A coordinator may have standby processes.
    pub active_standby: bool,
    /// User, password and TLS towards etcd.
    pub etcd_auth: bool,
    /// Message queue of mode standalone when none is named.
    pub standalone_queue: MessageQueue,
    /// Message queue of mode cluster when none is named.
    pub cluster_queue: MessageQueue,
}

impl Features {
    /// Whether the version has a role.
    pub fn has(&self, component: Component) -> bool {
        match component {
            Component::MixCoord
            | Component::QueryNode
            | Component::DataNode
            | Component::Standalone
            | Component::Proxy => true,
            Component::RootCoord
            | Component::DataCoord
            | Component::QueryCoord
            | Component::IndexCoord => self.separate_coordinators,
            Component::IndexNode => self.index_node,
            Component::StreamingNode => self.streaming_node,
            Component::Cdc => self.cdc,
            Component::Etcd
            | Component::Minio
            | Component::Zookeeper
            | Component::PulsarInit
            | Component::Bookkeeper
            | Component::Broker
            | Component::Gateway => false,
        }
    }
}

/// Write-ahead logs that Milvus can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageQueue {
    /// Apache Pulsar.
    Pulsar,
    /// Apache Kafka.
    Kafka,
    /// Inside a standalone process.
    Rocksmq,
    /// On the object storage.
    Woodpecker,
}

impl MessageQueue {
    /// The word of `mq.type` and of the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            MessageQueue::Pulsar => "pulsar",
            MessageQueue::Kafka => "kafka",
            MessageQueue::Rocksmq => "rocksmq",
            MessageQueue::Woodpecker => "woodpecker",
        }
    }
}

impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_versions_or_it_is_said_that_they_do_not() {
        for (image, expected) in [
            ("milvusdb/milvus:v2.3.5", Some((2, 3, 5))),
            ("milvusdb/milvus:2.6.11-gpu", Some((2, 6, 11))),
            ("r.example.org:5000/m/milvus:v2.4.0-rc1", Some((2, 4, 0))),
            (
                "milvusdb/milvus:v2.5.27@sha256:0123456789abcdef",
                Some((2, 5, 27)),
            ),
            ("milvusdb/milvus@sha256:0123456789abcdef", None),
            ("r.example.org:5000/milvus", None),
            ("milvusdb/milvus", None),
            ("milvusdb/milvus:latest", None),
            ("milvusdb/milvus:2.3-latest", None),
            ("milvusdb/milvus:2.6-20260101-abcdef", None),
            ("milvusdb/milvus:v2.3.5.1", None),
            ("milvusdb/milvus:v2.3.", None),
            ("milvusdb/milvus:v2.3.+5", None),
            ("milvusdb/milvus:v2.3.5-", None),
        ] {
            let expected = expected.map(|(a, b, c)| MilvusVersion::new(a, b, c)).ok_or(
                VersionError::NotInTag {
                    image: image.to_owned(),
                },
            );
            assert_eq!(MilvusVersion::from_image(image), expected, "{image}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let old = MilvusVersion::parse("2.6.5").unwrap().features().unwrap();
        let new = MilvusVersion::parse("2.6.11").unwrap().features().unwrap();
        assert!(!old.cdc && new.cdc);
        assert!(
            !MilvusVersion::new(2, 2, 2)
                .features()
                .unwrap()
                .active_standby
        );
        assert!(
            MilvusVersion::new(2, 2, 16)
                .features()
                .unwrap()
                .active_standby
        );
    }

    #[test]
    fn shapes_by_version() {
        for minor in 2..=5 {
            let features = MilvusVersion::new(2, minor, 0).features().unwrap();
            assert!(features.has(Component::RootCoord) && features.has(Component::IndexNode));
            assert!(!features.has(Component::StreamingNode) && !features.woodpecker);
            assert_eq!(features.standalone_queue, MessageQueue::Rocksmq);
        }
        let features = MilvusVersion::new(2, 6, 0).features().unwrap();
        assert!(!features.has(Component::RootCoord) && !features.has(Component::IndexNode));
        assert!(features.has(Component::StreamingNode) && features.has(Component::MixCoord));
        assert_eq!(features.standalone_queue, MessageQueue::Woodpecker);
        assert_eq!(features.cluster_queue, MessageQueue::Pulsar);
    }

    #[test]
    fn versions_beyond_what_is_known_are_refused() {
        for version in [
            MilvusVersion::new(2, 1, 4),
            MilvusVersion::new(2, 7, 0),
            MilvusVersion::new(3, 0, 5),
            MilvusVersion::new(1, 3, 0),
        ] {
            assert_eq!(version.features(), Err(VersionError::Unknown { version }));
        }
    }
}
