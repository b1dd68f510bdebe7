//! Waits until an installed operator answers, and says why it does not.

use std::time::Duration;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use milvus_swarm::installation::{Installation, InstallationError, OperatorState};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::SwarmArgs;
use crate::commands::output::say;
use crate::keys;

const POLL: Duration = Duration::from_millis(500);
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// An operator that cannot be reached from here counts as started when it has been running for so long.
const SETTLED: Duration = Duration::from_secs(5);
/// So many failed starts in a row will not be followed by a good one.
const FAILED_STARTS: usize = 3;

/// Where more is to be seen.
const LOOK: &str = "for more: docker service ps --no-trunc milvus-operator_operator, docker service logs milvus-operator_operator";

/// Why the operator does not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    #[error(transparent)]
    Swarm(#[from] InstallationError),
    #[error("the service of the operator was removed while it was starting")]
    Gone,
    #[error("the new operator did not stay up, and the Swarm has gone back to the one before: {words}{hint}; {LOOK}", hint = hint(.words))]
    RolledBack { words: String },
    #[error("the operator does not start: {words}{hint}; {LOOK}", hint = hint(.words))]
    Failing { words: String },
    #[error(
        "the operator does not answer after {seconds} s: {words}{hint}; {LOOK}",
        hint = hint(.words)
    )]
    Late { seconds: u64, words: String },
}

/// What a person can do about an engine's words.
fn hint(words: &str) -> &'static str {
    let says = |text: &str| words.to_lowercase().contains(text);
    if says("no such image") || says("pull access denied") || says("not found: manifest") {
        "; the node has no such image and cannot pull it: name another with --image, or carry it there with --load --load-to"
    } else if says("bind source path does not exist") || says("invalid mount config") {
        "; the engine's socket is elsewhere on that node: name it with --node-docker-socket"
    } else if says("no suitable node") {
        "; no manager fits: look at --constraint, at the availability of the managers and at their free memory"
    } else {
        ""
    }
}

/// Where a state leads.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The new task runs on this node.
    Running(String),
    /// Not yet, for this reason.
    Starting(String),
    /// Never: it was taken back.
    RolledBack(String),
    /// Never: it fails again and again.
    Failing(String),
}

/// `changed`: a roll-back that the engine remembers is about the present change, not about an earlier one.
fn judge(state: &OperatorState, changed: bool) -> Verdict {
    if changed && (state.update.starts_with("rollback") || state.update == "paused") {
        let words = state.last_failure.as_ref().unwrap_or(&state.update_message);
        return Verdict::RolledBack(words.clone());
    }
    let Some(task) = &state.task else {
        return Verdict::Starting("the Swarm has made no task yet".to_owned());
    };
    if !task.current {
        return Verdict::Starting("the operator before it is being replaced".to_owned());
    }
    if task.state == "running" {
        return Verdict::Running(task.node.clone());
    }
    match state.failures.first() {
        Some(words) if state.failures.len() >= FAILED_STARTS => Verdict::Failing(words.clone()),
        Some(words) => Verdict::Starting(format!("its last start failed: {words}")),
        None => Verdict::Starting(format!("its task is {}: {}", task.state, task.message)),
    }
}

/// Waits. With `kubeconfig` (new keys) the server's certificate and the client's are proved too.
pub(super) async fn wait(
    args: &SwarmArgs,
    swarm: &Installation,
    changed: bool,
    kubeconfig: Option<&str>,
) -> Result<(), NotReady> {
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let mut running_since: Option<(String, Instant)> = None;
    let mut words;
    loop {
        let state = swarm.state().await?.ok_or(NotReady::Gone)?;
        match judge(&state, changed) {
            Verdict::RolledBack(words) => return Err(NotReady::RolledBack { words }),
            Verdict::Failing(words) => return Err(NotReady::Failing { words }),
            Verdict::Starting(why) => {
                running_since = None;
                words = why;
            }
            Verdict::Running(node) => {
                let since = match &running_since {
                    Some((before, since)) if *before == node => *since,
                    _ => Instant::now(),
                };
                running_since = Some((node.clone(), since));
                let name = swarm.node_name(&node).await?;
                let addresses = addresses(args, node == swarm.node());
                let mut answered = None;
                words = format!("it runs on node {name}");
                for address in &addresses {
                    match probe(address, args.api_listen().port(), kubeconfig).await {
                        Ok(()) => answered = Some(address),
                        Err(error) => {
                            words =
                                format!("it runs on node {name}, but its API at {address}: {error}")
                        }
                    }
                }
                if let Some(address) = answered {
                    let url = keys::api_url(address, args.api_listen().port());
                    say(format!(
                        "the operator runs on node {name}; its API answers at {url}"
                    ));
                    return Ok(());
                }
                if addresses.is_empty() && since.elapsed() >= SETTLED {
                    say(format!(
                        "the operator runs on node {name}; its API listens there on loopback and was not asked from here"
                    ));
                    return Ok(());
                }
            }
        }
        if Instant::now() >= deadline {
            return Err(NotReady::Late {
                seconds: args.timeout,
                words,
            });
        }
        sleep(POLL).await;
    }
}

/// Where the API can be asked from here. Loopback only when the operator is on this very machine.
fn addresses(args: &SwarmArgs, same_node: bool) -> Vec<String> {
    let mut addresses = args.api_addresses.clone();
    if same_node && args.docker_host.starts_with("unix://") {
        let listen = args.api_listen().ip();
        addresses.push(if listen.is_unspecified() {
            "127.0.0.1".to_owned()
        } else {
            listen.to_string()
        });
    }
    addresses
}

async fn probe(address: &str, port: u16, kubeconfig: Option<&str>) -> Result<(), String> {
    let asked = async {
        // Asked for first: nobody there is what is usual at the start, and no matter for an error in the log.
        TcpStream::connect((address, port))
            .await
            .map_err(|e| e.to_string())?;
        let client = client(&keys::api_url(address, port), kubeconfig).await?;
        let request = Request::get("/readyz")
            .body(Vec::new())
            .map_err(|e| e.to_string())?;
        client
            .request_text(request)
            .await
            .map(drop)
            .map_err(|error| crate::telemetry::chain(&error))
    };
    timeout(PROBE_TIMEOUT, asked)
        .await
        .unwrap_or_else(|_| Err("no answer".to_owned()))
}

async fn client(url: &str, kubeconfig: Option<&str>) -> Result<Client, String> {
    let say = |error: &dyn std::error::Error| error.to_string();
    let uri: http::Uri = url
        .parse()
        .map_err(|e: http::uri::InvalidUri| e.to_string())?;
    let config = match kubeconfig {
        Some(text) => {
            let parsed = Kubeconfig::from_yaml(text).map_err(|e| say(&e))?;
            let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
                .await
                .map_err(|e| say(&e))?;
            config.cluster_url = uri;
            config
        }
        None => {
            // The authority cannot be read back from the Swarm. Nothing secret is sent, and only "ready" is believed.
            let mut config = Config::new(uri);
            config.accept_invalid_certs = true;
            config
        }
    };
    Client::try_from(config).map_err(|e| say(&e))
}

#[cfg(test)]
mod tests {
    use milvus_swarm::installation::OperatorTask;

    use super::*;

    fn state(update: &str, task: Option<(bool, &str)>, failures: &[&str]) -> OperatorState {
        OperatorState {
            update: update.to_owned(),
            update_message: "update rolled back due to failure".to_owned(),
            last_failure: failures.first().map(|f| (*f).to_owned()),
            failures: failures.iter().map(|f| (*f).to_owned()).collect(),
            task: task.map(|(current, state)| OperatorTask {
                current,
                state: state.to_owned(),
                message: "preparing".to_owned(),
                node: "n1".to_owned(),
            }),
        }
    }

    #[test]
    fn a_state_is_judged() {
        let cases = [
            (
                state("", Some((true, "running")), &[]),
                Verdict::Running("n1".to_owned()),
            ),
            (
                state("completed", Some((true, "running")), &["old"]),
                Verdict::Running("n1".to_owned()),
            ),
            (
                state("", Some((true, "preparing")), &[]),
                Verdict::Starting("its task is preparing: preparing".to_owned()),
            ),
            (
                state("", Some((true, "ready")), &["exit 1"]),
                Verdict::Starting("its last start failed: exit 1".to_owned()),
            ),
            (
                state("", Some((true, "ready")), &["exit 2", "exit 1", "exit 1"]),
                Verdict::Failing("exit 2".to_owned()),
            ),
            (
                state("updating", Some((false, "running")), &[]),
                Verdict::Starting("the operator before it is being replaced".to_owned()),
            ),
            (
                state("rollback_completed", Some((true, "running")), &[]),
                Verdict::RolledBack("update rolled back due to failure".to_owned()),
            ),
            (
                state("", None, &[]),
                Verdict::Starting("the Swarm has made no task yet".to_owned()),
            ),
        ];
        for (state, verdict) in cases {
            assert_eq!(judge(&state, true), verdict, "{state:?}");
        }
    }

    #[test]
    fn an_earlier_roll_back_is_not_held_against_what_runs_now() {
        let before = state("rollback_completed", Some((true, "running")), &[]);
        assert_eq!(judge(&before, false), Verdict::Running("n1".to_owned()));
    }

    #[test]
    fn errors_tell_what_to_do() {
        let late = NotReady::Failing {
            words: "No such image: milvus-operator:dev".to_owned(),
        };
        assert!(late.to_string().contains("--load"), "{late}");
        let late = NotReady::Late {
            seconds: 5,
            words: "no suitable node (scheduling constraints not satisfied)".to_owned(),
        };
        assert!(late.to_string().contains("--constraint"), "{late}");
    }
}
