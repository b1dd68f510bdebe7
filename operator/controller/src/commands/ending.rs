//! Waits for the end of an operator whose service is gone. Until then it goes on working, and its API goes on answering: who
//! talks to it, or starts a second one beside it, is left without an answer when it ends.

use std::time::Duration;

use milvus_swarm::installation::{Installation, InstallationError, RunningTask};
use tokio::time::{Instant, sleep};

use crate::commands::output::say;

/// Longer than the operator's own grace to end.
const TIMEOUT: Duration = Duration::from_secs(60);
/// An operator on a node that does not answer is given this long: the node may be on its way down or back.
const UNANSWERED: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(250);

/// How the wait came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// No operator is left.
    Ended,
    /// One is left, for all that is known.
    Left {
        /// Where and since when, in words.
        words: String,
    },
}

/// Waits until no task of the operator is left, and says so on standard error where that takes a moment.
pub(super) async fn wait(swarm: &Installation) -> Result<Ending, InstallationError> {
    let began = Instant::now();
    let mut told = false;
    loop {
        let tasks = swarm.running().await?;
        let Some(words) = left(&tasks) else {
            return Ok(Ending::Ended);
        };
        let patience = if tasks.iter().any(|task| task.node_answers) {
            TIMEOUT
        } else {
            UNANSWERED
        };
        let waited = began.elapsed();
        if waited >= patience {
            let words = format!("{words} (waited {} s)", waited.as_secs());
            return Ok(Ending::Left { words });
        }
        if !std::mem::replace(&mut told, true) {
            say(format!("waiting for the end of {words}"));
        }
        sleep(POLL).await;
    }
}

/// What is left, in words; `None` for nothing.
fn left(tasks: &[RunningTask]) -> Option<String> {
    let place = |task: &RunningTask| match (task.node.as_str(), task.node_answers) {
        ("", _) => "without a node".to_owned(),
        (node, true) => format!("on node {node}"),
        (node, false) => format!("on node {node}, which does not answer"),
    };
    let places: Vec<String> = tasks.iter().map(place).collect();
    (!places.is_empty()).then(|| format!("the operator {}", places.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named() {
        let task = |node: &str, node_answers| RunningTask {
            node: node.to_owned(),
            node_answers,
        };
        assert_eq!(left(&[]), None);
        let words = left(&[task("m1", true), task("m2", false)]);
        assert_eq!(
            words.as_deref(),
            Some("the operator on node m1 and on node m2, which does not answer")
        );
    }
}
