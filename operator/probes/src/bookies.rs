//! What bookies have told ZooKeeper of themselves. A bookie whose disk is full goes on to answer and to serve what it has, and
//! nothing of that tells that it takes no writes; but it registers elsewhere then, where Pulsar does not look for places of new
//! ledgers.

use std::time::Duration;

use milvus_platform::Dial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where a read-only bookie registers below the `ledgers` that `metadataServiceUri` names (BookKeeper,
/// `BookKeeperConstants.READONLY`).
const READ_ONLY: &str = "/ledgers/available/readonly/";
/// What `dump` has in it where ZooKeeper carries it out.
const CARRIED_OUT: &str = "Sessions with Ephemerals";
/// Longest answer that is read, in bytes: a line a session or ephemeral node, of which Pulsar has dozens.
const MAX_ANSWER: u64 = 1 << 20;
/// For the whole exchange, well below the time in which the bookie has to have answered: a ZooKeeper that hangs must not make
/// it look as if the bookie did.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Whether the bookie of this id (`host:port`) is registered as read-only; `None` where this ZooKeeper does not tell. Its `dump`
/// lists the ephemeral nodes of all sessions, and needs none of its own.
pub(crate) async fn read_only(
    dial: &dyn Dial,
    host: &str,
    port: u16,
    bookie: &str,
) -> Option<bool> {
    let answer = tokio::time::timeout(TIMEOUT, dump(dial, host, port)).await;
    judge(&answer.ok()??, bookie)
}

async fn dump(dial: &dyn Dial, host: &str, port: u16) -> Option<String> {
    let mut connection = dial.dial(host, port).await.ok()?;
    connection.write_all(b"dump").await.ok()?;
    let mut text = Vec::new();
    let mut answer = connection.take(MAX_ANSWER);
    answer.read_to_end(&mut text).await.ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn judge(dump: &str, bookie: &str) -> Option<bool> {
    let mut read_only = dump
        .lines()
        .filter_map(|line| line.trim().strip_prefix(READ_ONLY));
    dump.contains(CARRIED_OUT)
        .then(|| read_only.any(|id| id == bookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "SessionTracker dump:\nSession Sets (3)/(2):\n0 expire at Thu Jan 01 02:10:00 UTC 1970:\n\
ephemeral nodes dump:\nSessions with Ephemerals (2):\n0x1000:\n\t/ledgers/available/readonly/bookkeeper-0:3181\n\
0x1001:\n\t/ledgers/available/bookkeeper-1:3181\n\t/loadbalance/brokers/10.0.1.4:8080\nConnections dump:\n";

    #[test]
    fn only_those_below_readonly_take_no_writes() {
        assert_eq!(judge(DUMP, "bookkeeper-0:3181"), Some(true));
        assert_eq!(judge(DUMP, "bookkeeper-1:3181"), Some(false));
        assert_eq!(judge(DUMP, "keeper-0:3181"), Some(false));
        let refused = "dump is not executed because it is not in the whitelist.\n";
        assert_eq!(judge(refused, "bookkeeper-0:3181"), None);
    }
}
