//! Hints from the engine's event stream. Events may be lost, and changes of tasks make none at all: whoever listens must look
//! again by the clock too.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::stream::unfold;
use futures::{Stream, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use milvus_core::names::ClusterKey;
use milvus_platform::Change;
use rand::Rng;
use tokio::time::{sleep, timeout};

use crate::api::Engine;
use crate::api::wire::Event;
use crate::node_task::NAME as NODE_TASK;

/// A stream that is silent for so long is opened anew: the engine does not tell when its own source has dried up.
const IDLE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest line that is kept.
const MAX_LINE: usize = 256 * 1024;

/// The clusters that hints are given for.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<RwLock<BTreeSet<ClusterKey>>>);

impl Known {
    /// Remembers a cluster.
    pub fn add(&self, key: &ClusterKey) {
        if !self.contains(key) {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            known.insert(key.clone());
        }
    }

    fn contains(&self, key: &ClusterKey) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(key)
    }
}

/// What is heard.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Listening from now on; what happened before was missed.
    Begun,
    /// Something changed.
    Event(Event),
    /// Something that cannot be read.
    Noise,
}

struct Listener {
    engine: Engine,
    stream: Option<Incoming>,
    line: Vec<u8>,
    pending: VecDeque<Heard>,
    pause: Duration,
}

/// Events for as long as somebody listens, over as many connections as it takes.
pub fn listen(engine: Engine) -> impl Stream<Item = Heard> + Send + 'static {
    let listener = Listener {
        engine,
        stream: None,
        line: Vec::new(),
        pending: VecDeque::new(),
        pause: FIRST_PAUSE,
    };
    unfold(listener, |mut listener| async move {
        loop {
            if let Some(heard) = listener.pending.pop_front() {
                return Some((heard, listener));
            }
            listener.advance().await;
        }
    })
}

/// Hints about known clusters. Every (re)connection begins with [`Change::Everything`].
pub fn changes(engine: Engine, known: Known) -> impl Stream<Item = Change> + Send + 'static {
    listen(engine).filter_map(move |heard| futures::future::ready(hint(&heard, &known)))
}

impl Listener {
    async fn advance(&mut self) {
        let Some(stream) = &mut self.stream else {
            match self.engine.events().await {
                Ok(stream) => {
                    self.stream = Some(stream);
                    self.line.clear();
                    self.pending.push_back(Heard::Begun);
                }
                Err(error) => {
                    tracing::debug!(%error, "the engine's events cannot be heard");
                    self.rest().await;
                }
            }
            return;
        };
        match timeout(IDLE, stream.frame()).await {
            Ok(Some(Ok(frame))) => {
                self.pause = FIRST_PAUSE;
                if let Some(data) = frame.data_ref() {
                    lines(&mut self.line, data, &mut self.pending);
                }
                if self.line.len() > MAX_LINE {
                    self.stream = None;
                }
            }
            Ok(None | Some(Err(_))) => {
                self.stream = None;
                self.rest().await;
            }
            Err(_) => self.stream = None,
        }
    }

    /// Waits a little longer each time, never in step with others.
    async fn rest(&mut self) {
        let share = rand::rng().random_range(0.5..1.0);
        sleep(self.pause.mul_f64(share)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// What the complete lines say; the rest stays in `line`.
fn lines(line: &mut Vec<u8>, data: &[u8], pending: &mut VecDeque<Heard>) {
    for byte in data {
        if *byte != b'\n' {
            line.push(*byte);
            continue;
        }
        match serde_json::from_slice::<Event>(line) {
            Ok(event) => pending.push_back(Heard::Event(event)),
            Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
            Err(_) => pending.push_back(Heard::Noise),
        }
        line.clear();
    }
}

fn hint(heard: &Heard, known: &Known) -> Option<Change> {
    let event = match heard {
        Heard::Event(event) if event.kind != "node" => event,
        // What was missed or cannot be read may have been anything.
        Heard::Event(_) | Heard::Begun | Heard::Noise => return Some(Change::Everything),
    };
    let Some(name) = event.actor.attributes.get("name") else {
        return Some(Change::Everything);
    };
    // Components and short names have no `_`, stacks may have one.
    let (stack, short) = name.rsplit_once('_')?;
    // Work on a node comes and goes while a pass waits for it: no news, and no reason to try a failed one again at once.
    if short.starts_with(NODE_TASK) {
        return None;
    }
    let key = ClusterKey::from_stack(stack);
    known.contains(&key).then_some(Change::Cluster(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(line: &mut Vec<u8>, text: &str, known: &Known) -> Vec<Change> {
        let mut pending = VecDeque::new();
        lines(line, text.as_bytes(), &mut pending);
        pending
            .iter()
            .filter_map(|heard| hint(heard, known))
            .collect()
    }

    #[test]
    fn lines_become_hints_for_known_clusters() {
        let known = Known::default();
        let demo = ClusterKey::new("default", "demo");
        let team = ClusterKey::new("team", "demo");
        known.add(&demo);
        known.add(&team);
        let mut line = Vec::new();
        let text = concat!(
            r#"{"Type":"service","Action":"update","Actor":{"ID":"x","Attributes":{"name":"demo_etcd-0"}}}"#,
            "\n",
            r#"{"Type":"config","Action":"create","Actor":{"ID":"y","Attributes":{"name":"team_demo_zoo-cfg-0123456789"}}}"#,
            "\n",
            r#"{"Type":"service","Action":"create","Actor":{"ID":"z","Attributes":{"name":"other_web"}}}"#,
            "\n",
            r#"{"Type":"service","Action":"create","Actor":{"ID":"z","Attributes":{"name":"demo_op-0123456789abcdef"}}}"#,
            "\n",
            r#"{"Type":"config","Action":"create","Actor":{"ID":"z","Attributes":{"name":"plain"}}}"#,
            "\n",
        );
        let (first, rest) = text.split_at(40);
        assert!(hints(&mut line, first, &known).is_empty());
        assert_eq!(
            hints(&mut line, rest, &known),
            [Change::Cluster(demo), Change::Cluster(team)]
        );
        let node = concat!(
            r#"{"Type":"node","Action":"update","Actor":{"ID":"n","Attributes":{"name":"node1"}}}"#,
            "\nnonsense\n\n",
        );
        assert_eq!(
            hints(&mut line, node, &known),
            [Change::Everything, Change::Everything]
        );
    }
}
