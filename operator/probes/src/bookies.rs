//! What bookies have told ZooKeeper of themselves. A bookie whose disk is full goes on to answer and to serve what it has, and
//! nothing of that tells that it takes no writes; but it registers elsewhere then, where Pulsar does not look for places of new
//! ledgers.

use milvus_platform::Dial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where a read-only bookie registers below the `ledgers` that `metadataServiceUri` names (BookKeeper,
/// `BookKeeperConstants.READONLY`).
const READ_ONLY: &str = "/ledgers/available/readonly/";
/// Longest answer that is read, in bytes: a line a session or ephemeral node, of which Pulsar has dozens.
const MAX_ANSWER: u64 = 1 << 20;

/// Whether the bookie of this id (`host:port`) is registered as read-only, as this ZooKeeper knows. Its `dump` lists the
/// ephemeral nodes of all sessions, and needs none of its own.
pub(crate) async fn read_only(
    dial: &dyn Dial,
    host: &str,
    port: u16,
    bookie: &str,
) -> std::io::Result<bool> {
    let dialled = dial.dial(host, port).await;
    let mut connection = dialled.map_err(std::io::Error::other)?;
    connection.write_all(b"dump").await?;
    let mut text = Vec::new();
    connection.take(MAX_ANSWER).read_to_end(&mut text).await?;
    Ok(lists(&String::from_utf8_lossy(&text), bookie))
}

fn lists(dump: &str, bookie: &str) -> bool {
    dump.lines()
        .filter_map(|line| line.trim().strip_prefix(READ_ONLY))
        .any(|id| id == bookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "SessionTracker dump:\nSession Sets (3)/(2):\n0 expire at Thu Jan 01 02:10:00 UTC 1970:\n\
ephemeral nodes dump:\nSessions with Ephemerals (2):\n0x1000:\n\t/ledgers/available/readonly/bookkeeper-0:3181\n\
0x1001:\n\t/ledgers/available/bookkeeper-1:3181\n\t/loadbalance/brokers/10.0.1.4:8080\nConnections dump:\n";

    #[test]
    fn only_those_below_readonly_take_no_writes() {
        assert!(lists(DUMP, "bookkeeper-0:3181"));
        assert!(!lists(DUMP, "bookkeeper-1:3181"));
        assert!(!lists(DUMP, "keeper-0:3181"));
        let refused = "dump is not executed because it is not in the whitelist.\n";
        assert!(!lists(refused, "bookkeeper-0:3181"));
    }
}
