//! zookeeper.conf, bookkeeper.conf and broker.conf. Pure text.

use std::collections::BTreeMap;

use super::properties;
use crate::components::{BOOKKEEPER_PORT, BROKER_PORT, BROKER_WEB_PORT, ZOOKEEPER_PORT};

/// Milvus' own default for the largest message; broker and bookies must take as much.
pub(crate) const MAX_MESSAGE_SIZE: u64 = 5 * 1024 * 1024;

/// What a frame needs beyond the message.
const FRAME_PADDING: u64 = 10 * 1024;

/// zookeeper.conf of a member of an ensemble, or of the only one.
pub(crate) fn zookeeper(hosts: &[String]) -> String {
    let mut lines = vec![
        ("tickTime", "2000".to_owned()),
        // Members appear one after the other on a first start, and a slow disk must not end the ensemble.
        ("initLimit", "30".to_owned()),
        ("syncLimit", "10".to_owned()),
        ("dataDir", "/pulsar/data/zookeeper".to_owned()),
        ("clientPort", ZOOKEEPER_PORT.to_string()),
        ("maxClientCnxns", "0".to_owned()),
        ("admin.enableServer", "false".to_owned()),
        ("4lw.commands.whitelist", "srvr,ruok,mntr,dump".to_owned()),
        ("autopurge.snapRetainCount", "3".to_owned()),
        ("autopurge.purgeInterval", "1".to_owned()),
        // The member's own name may resolve to an address that is not its own yet while it starts.
        ("quorumListenOnAllIPs", "true".to_owned()),
    ];
    let servers: Vec<(String, String)> = hosts
        .iter()
        .enumerate()
        .map(|(ordinal, host)| {
            (
                format!("server.{}", ordinal + 1),
                format!("{host}:2888:3888"),
            )
        })
        .collect();
    if hosts.len() > 1 {
        lines.extend(servers.iter().map(|(k, v)| (k.as_str(), v.clone())));
    }
    properties::write(&lines, &BTreeMap::new())
}

/// bookkeeper.conf; `advertisedAddress` is added by each member at its start.
pub(crate) fn bookkeeper(
    zookeepers: &[String],
    max_message: u64,
    settings: &BTreeMap<String, String>,
) -> String {
    let servers = with_port(zookeepers);
    properties::write(
        &[
            ("bookiePort", BOOKKEEPER_PORT.to_string()),
            (
                "metadataServiceUri",
                format!("zk+hierarchical://{}/ledgers", servers.join(";")),
            ),
            // Read by tools and by versions that do not know the line above.
            ("zkServers", servers.join(",")),
            ("zkTimeout", "30000".to_owned()),
            // The identity is the host name: an address changes with every start.
            ("useHostNameAsBookieID", "true".to_owned()),
            ("useShortHostName", "false".to_owned()),
            (
                "journalDirectories",
                "/pulsar/data/bookkeeper/journal".to_owned(),
            ),
            (
                "ledgerDirectories",
                "/pulsar/data/bookkeeper/ledgers".to_owned(),
            ),
            (
                "ledgerStorageClass",
                "org.apache.bookkeeper.bookie.storage.ldb.DbLedgerStorage".to_owned(),
            ),
            ("autoRecoveryDaemonEnabled", "true".to_owned()),
            ("httpServerEnabled", "false".to_owned()),
            (
                "nettyMaxFrameSizeBytes",
                (max_message + FRAME_PADDING).to_string(),
            ),
            ("journalPreAllocSizeMB", "16".to_owned()),
            ("journalMaxSizeMB", "256".to_owned()),
            ("journalMaxBackups", "0".to_owned()),
            ("gcWaitTime", "300000".to_owned()),
            ("diskUsageThreshold", "0.95".to_owned()),
            ("diskUsageWarnThreshold", "0.90".to_owned()),
        ],
        settings,
    )
}

/// broker.conf; `advertisedAddress` is added by each instance at its start.
pub(crate) fn broker(
    cluster: &str,
    zookeepers: &[String],
    bookies: usize,
    max_message: u64,
    settings: &BTreeMap<String, String>,
) -> String {
    let store = format!("zk:{}", with_port(zookeepers).join(","));
    // With two bookies in an ensemble one of three may be lost and new ledgers can still be made.
    let copies = bookies.clamp(1, 2).to_string();
    properties::write(
        &[
            ("clusterName", cluster.to_owned()),
            ("metadataStoreUrl", store.clone()),
            ("configurationMetadataStoreUrl", store),
            ("metadataStoreSessionTimeoutMillis", "30000".to_owned()),
            ("brokerServicePort", BROKER_PORT.to_string()),
            ("webServicePort", BROKER_WEB_PORT.to_string()),
            ("bindAddress", "0.0.0.0".to_owned()),
            ("maxMessageSize", max_message.to_string()),
            ("managedLedgerDefaultEnsembleSize", copies.clone()),
            ("managedLedgerDefaultWriteQuorum", copies.clone()),
            ("managedLedgerDefaultAckQuorum", copies),
            // Milvus reads its log again from a checkpoint: messages stay for a week, whether acknowledged or not.
            ("defaultRetentionTimeInMinutes", "10080".to_owned()),
            ("defaultRetentionSizeInMB", "-1".to_owned()),
            ("ttlDurationDefaultInSeconds", "259200".to_owned()),
            ("subscriptionExpirationTimeMinutes", "3".to_owned()),
            ("backlogQuotaDefaultLimitBytes", "8589934592".to_owned()),
            (
                "backlogQuotaDefaultRetentionPolicy",
                "producer_request_hold".to_owned(),
            ),
            ("allowAutoTopicCreation", "true".to_owned()),
            ("allowAutoTopicCreationType", "non-partitioned".to_owned()),
            ("defaultNumberOfNamespaceBundles", "4".to_owned()),
            ("loadBalancerEnabled", "true".to_owned()),
            // A moved bundle closes Milvus' producers and readers for a moment: only when a broker leaves.
            ("loadBalancerSheddingEnabled", "false".to_owned()),
            ("loadBalancerAutoBundleSplitEnabled", "false".to_owned()),
            // What Milvus does not use, and what would make every start longer.
            ("functionsWorkerEnabled", "false".to_owned()),
            ("webSocketServiceEnabled", "false".to_owned()),
            ("transactionCoordinatorEnabled", "false".to_owned()),
            ("systemTopicEnabled", "false".to_owned()),
            ("topicLevelPoliciesEnabled", "false".to_owned()),
        ],
        settings,
    )
}

fn with_port(zookeepers: &[String]) -> Vec<String> {
    zookeepers
        .iter()
        .map(|host| format!("{host}:{ZOOKEEPER_PORT}"))
        .collect()
}

/// Keys that hold the cluster together: not to be set in `configData`.
pub(crate) const BOOKKEEPER_FORCED: [&str; 8] = [
    "bookiePort",
    "metadataServiceUri",
    "zkServers",
    "advertisedAddress",
    "useHostNameAsBookieID",
    "bookieId",
    "journalDirectories",
    "ledgerDirectories",
];

/// Keys that hold the cluster together: not to be set in `configData`.
pub(crate) const BROKER_FORCED: [&str; 8] = [
    "clusterName",
    "metadataStoreUrl",
    "configurationMetadataStoreUrl",
    "zookeeperServers",
    "brokerServicePort",
    "webServicePort",
    "advertisedAddress",
    "maxMessageSize",
];
