//! All questions of one pass, asked side by side; those of clients only once somebody can serve them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use milvus_core::capabilities::Addressing;
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::desired::{Desired, Workload};
use milvus_core::endpoint;
use milvus_core::observed::{InstanceState, Observed};
use milvus_core::probe::{Probe, ProbeFailureKind, ProbeId, ProbeKind, ProbeResult, ProbeTarget};
use milvus_platform::Dial;

use crate::ask::{Question, ask};
use crate::external::{ExternalAnswers, Via, Watched};
use crate::http::failure;

/// Questions in flight at once, per cluster.
const CONCURRENCY: usize = 24;

/// The ways to a cluster.
pub struct Ways<'a> {
    /// Into its network.
    pub inside: Arc<dyn Dial>,
    /// Whose way that is.
    pub via: Via,
    /// As its clients come.
    pub outside: &'a dyn Dial,
    /// How one finds another inside.
    pub addressing: Addressing,
    /// Whether processes of the cluster are asked, or only what somebody else runs.
    pub processes: bool,
    /// What services that somebody else runs have answered lately.
    pub external: &'a ExternalAnswers,
}

/// How long the good answer of a service that somebody else runs counts: while a cluster comes up it is looked at several times
/// a second, and many clusters share one such service.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// What earlier passes learnt. Losing it costs one more health message per broker, nothing else.
#[derive(Clone, Debug, Default)]
pub struct ProbeMemory {
    /// Instances of Pulsar's broker that have passed the check that writes a message.
    served: BTreeSet<String>,
    /// What somebody else runs, as the last pass found it.
    pub watched: Option<Watched>,
}

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: ProbeId,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Who may be asked instead, where that one does not answer.
    pub(crate) others: Vec<(String, u16)>,
    pub(crate) question: Question,
    pub(crate) outside: bool,
    /// Of a service that somebody else runs.
    pub(crate) external: bool,
}

/// Asks everything that `desired` wants to know of what was `observed`. `endpoints` are the client addresses
/// (`host:port`). Workloads without a running instance are not asked: there is nobody to answer.
pub async fn probe(
    ways: &Ways<'_>,
    desired: &Desired,
    observed: &Observed,
    endpoints: &[String],
    memory: &mut ProbeMemory,
) -> BTreeMap<ProbeId, ProbeResult> {
    let asked = questions(ways, desired, observed, memory);
    let brokers: BTreeSet<String> = asked
        .iter()
        .filter(|a| a.id.component == Component::Broker)
        .map(|a| a.id.target.clone())
        .collect();
    memory.served.retain(|target| brokers.contains(target));
    let mut answers = BTreeMap::new();
    let (now, mut asking, mut external) = (Instant::now(), Vec::new(), Vec::new());
    for asked in asked {
        let known = asked
            .external
            .then(|| ways.external.recall(&ways.via, &asked, GOOD_FOR, now))
            .flatten();
        if asked.external {
            external.push(asked.clone());
        }
        if let Some(result) = known {
            answers.insert(asked.id, result);
        } else {
            asking.push(asked);
        }
    }
    for (asked, result) in ask_all(ways, asking).await {
        if asked.external {
            ways.external
                .learn(&ways.via, &asked, &result, Instant::now());
        }
        if asked.question == Question::BrokerHealth && result.outcome.is_ok() {
            memory.served.insert(asked.id.target.clone());
        }
        answers.insert(asked.id, result);
    }
    memory.watched = Watched::of(ways.inside.clone(), ways.via.clone(), external, &answers);
    if !desired.endpoint.asked {
        return answers;
    }
    // A gateway keeps a client waiting for seconds while nobody is there to serve it. Asked all the same, it would hold up
    // every pass of a cluster that is starting.
    let front = desired.endpoint.component;
    let serves = answers
        .iter()
        .any(|(id, result)| id.component == front && result.outcome.is_ok());
    if serves {
        let asked = ask_all(ways, client_questions(desired, endpoints)).await;
        answers.extend(asked.into_iter().map(|(asked, result)| (asked.id, result)));
    } else {
        answers.extend(
            client_questions(desired, endpoints)
                .into_iter()
                .map(|asked| {
                    let outcome = Err(failure(
                        ProbeFailureKind::NotReady,
                        format!("no {front} answers yet"),
                    ));
                    let at = Timestamp::now();
                    (asked.id, ProbeResult { at, outcome })
                }),
        );
    }
    answers
}

async fn ask_all(ways: &Ways<'_>, asked: Vec<Asked>) -> Vec<(Asked, ProbeResult)> {
    futures::stream::iter(asked)
        .map(|asked| async move {
            let dial = if asked.outside {
                ways.outside
            } else {
                ways.inside.as_ref()
            };
            let result = ask_one(dial, &asked).await;
            (asked, result)
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

/// Asks one, and the others in its stead until one answers. The first one's trouble is what is told.
pub(crate) async fn ask_one(dial: &dyn Dial, asked: &Asked) -> ProbeResult {
    let mut outcome = ask(dial, &asked.host, asked.port, &asked.question).await;
    for (host, port) in &asked.others {
        if outcome.is_ok() {
            break;
        }
        let instead = ask(dial, host, *port, &asked.question).await;
        if instead.is_ok() {
            outcome = instead;
        }
    }
    let at = Timestamp::now();
    ProbeResult { at, outcome }
}

/// What is asked as a client would, from outside.
fn client_questions(desired: &Desired, endpoints: &[String]) -> Vec<Asked> {
    endpoints
        .iter()
        .filter_map(|address| {
            let (host, port) = split(address)?;
            Some(Asked {
                id: ProbeId::endpoint(address),
                host,
                port,
                others: Vec::new(),
                question: Question::GrpcVersion {
                    tls: desired.endpoint.tls,
                },
                outside: true,
                external: false,
            })
        })
        .collect()
}

fn questions(
    ways: &Ways<'_>,
    desired: &Desired,
    observed: &Observed,
    memory: &ProbeMemory,
) -> Vec<Asked> {
    let addressing = ways.addressing;
    let zookeeper = zookeeper(addressing, desired, observed);
    let mut asked = Vec::new();
    for workload in desired.workloads.iter().filter(|_| ways.processes) {
        if let Some(probe) = &workload.probe {
            for (target, host) in hosts(addressing, desired, observed, workload, probe) {
                let id = ProbeId::target(workload.component, target);
                if let Some((port, question)) =
                    question(&probe.kind, &id, memory, zookeeper.as_ref())
                {
                    asked.push(Asked {
                        id,
                        host,
                        port,
                        others: Vec::new(),
                        question,
                        outside: false,
                        external: false,
                    });
                }
            }
        }
    }
    for (component, probe) in &desired.external {
        if let ProbeTarget::External(addresses) = &probe.target {
            for address in addresses {
                let id = ProbeId::target(*component, address.clone());
                let Some((host, port)) = split(address) else {
                    continue;
                };
                if let Some((_, question)) = question(&probe.kind, &id, memory, None) {
                    asked.push(Asked {
                        id,
                        host,
                        port,
                        others: Vec::new(),
                        question,
                        outside: false,
                        external: true,
                    });
                }
            }
        }
    }
    asked.extend(sessions(addressing, desired, observed));
    if ways.processes {
        asked.extend(stores(addressing, desired, observed));
    }
    asked
}

/// What each store of the cluster's own holds of it, asked of the first member that answers.
fn stores(addressing: Addressing, desired: &Desired, observed: &Observed) -> Vec<Asked> {
    let stores = desired.stores.iter();
    let asked = stores.filter_map(|(component, store)| {
        let port = store.port;
        let hosts = member_hosts(addressing, desired, observed, *component);
        let mut askable = hosts.map(|host| (host, port));
        let (host, port) = askable.next()?;
        Some(Asked {
            id: ProbeId::store(*component),
            host,
            port,
            others: askable.collect(),
            question: match &store.bucket {
                None => Question::EtcdMark,
                Some(access) => Question::BucketMark(access.clone()),
            },
            outside: false,
            external: false,
        })
    });
    asked.collect()
}

/// The hosts of the members of a component that run, in order.
pub(crate) fn member_hosts(
    addressing: Addressing,
    desired: &Desired,
    observed: &Observed,
    component: Component,
) -> impl Iterator<Item = String> {
    running(observed, component).map(move |key| addressing.host(&desired.cluster.key, key))
}

/// Who is asked for one workload: the name in the [`ProbeId`] and the host.
fn hosts(
    addressing: Addressing,
    desired: &Desired,
    observed: &Observed,
    workload: &Workload,
    probe: &Probe,
) -> Vec<(String, String)> {
    let running = |key: &WorkloadKey| {
        observed
            .instances
            .iter()
            .any(|i| i.workload == *key && i.wanted && i.state == InstanceState::Running)
    };
    match &probe.target {
        ProbeTarget::EachMember => workload
            .keys()
            .into_iter()
            .filter(running)
            .map(|key| (key.to_string(), addressing.host(&desired.cluster.key, key)))
            .collect(),
        ProbeTarget::EachInstance => observed
            .instances
            .iter()
            .filter(|i| {
                i.workload.component == workload.component
                    && i.wanted
                    && i.state == InstanceState::Running
            })
            .filter_map(|i| i.address)
            .map(|address| (address.to_string(), address.to_string()))
            .collect(),
        ProbeTarget::Host(host) => vec![(host.clone(), host.clone())],
        ProbeTarget::External(_) => Vec::new(),
    }
}

/// The port and the question; `None` for what is not asked of a host.
fn question(
    kind: &ProbeKind,
    id: &ProbeId,
    memory: &ProbeMemory,
    zookeeper: Option<&(String, u16)>,
) -> Option<(u16, Question)> {
    Some(match kind {
        ProbeKind::Etcd { port } => (*port, Question::EtcdHealth),
        ProbeKind::Minio { port } => (*port, Question::MinioCluster),
        ProbeKind::S3 { access, tls } => match access {
            Some(access) => {
                let (access, tls) = (access.clone(), *tls);
                (0, Question::S3Bucket { access, tls })
            }
            None => (0, Question::AnyHttp { tls: *tls }),
        },
        ProbeKind::Zookeeper { port } => (*port, Question::ZookeeperMode),
        ProbeKind::Bookkeeper { port } => {
            let zookeeper = zookeeper.cloned();
            (*port, Question::Bookie { zookeeper })
        }
        ProbeKind::Tcp { port } => (*port, Question::Tcp),
        ProbeKind::Kafka { access } => (0, Question::Kafka(access.clone())),
        ProbeKind::Broker { port } if memory.served.contains(&id.target) => {
            (*port, Question::BrokerReady)
        }
        ProbeKind::Broker { port } => (*port, Question::BrokerHealth),
        ProbeKind::Milvus { port } => (*port, Question::MilvusHealthz),
        ProbeKind::Sessions { .. } | ProbeKind::Endpoint { .. } | ProbeKind::Gateway => {
            return None;
        }
    })
}

/// The ZooKeeper that bookies of the cluster register with, and its port: the first that may answer.
fn zookeeper(
    addressing: Addressing,
    desired: &Desired,
    observed: &Observed,
) -> Option<(String, u16)> {
    let mut probes = desired.workloads.iter().filter_map(|w| w.probe.as_ref());
    let port = probes.find_map(|probe| match probe.kind {
        ProbeKind::Zookeeper { port } => Some(port),
        _ => None,
    })?;
    let member = running(observed, Component::Zookeeper).next()?;
    Some((addressing.host(&desired.cluster.key, member), port))
}

/// The members of a component that run, in order.
fn running(observed: &Observed, component: Component) -> impl Iterator<Item = WorkloadKey> {
    let instances = observed.instances.iter();
    let members: BTreeSet<WorkloadKey> = instances
        .filter(|i| {
            i.workload.component == component && i.wanted && i.state == InstanceState::Running
        })
        .map(|i| i.workload)
        .collect();
    members.into_iter()
}

/// Sessions are asked of the first etcd that answers: one member that is away does not hide them.
fn sessions(addressing: Addressing, desired: &Desired, observed: &Observed) -> Option<Asked> {
    let probe = &desired.sessions.as_ref()?.probe;
    let ProbeKind::Sessions { port, root } = &probe.kind else {
        return None;
    };
    let milvus: Vec<String> = observed
        .instances
        .iter()
        .filter(|i| {
            i.workload.component.is_milvus() && i.wanted && i.state == InstanceState::Running
        })
        .filter_map(|i| i.address.map(|a| a.to_string()))
        .collect();
    if milvus.is_empty() {
        return None;
    }
    let mut askable: VecDeque<(String, u16)> = match &probe.target {
        ProbeTarget::External(addresses) => addresses.iter().filter_map(|a| split(a)).collect(),
        ProbeTarget::Host(host) => [(host.clone(), *port)].into(),
        ProbeTarget::EachMember | ProbeTarget::EachInstance => {
            member_hosts(addressing, desired, observed, Component::Etcd)
                .map(|host| (host, *port))
                .collect()
        }
    };
    let (host, port) = askable.pop_front()?;
    let question = Question::Sessions {
        root: root.clone(),
        addresses: milvus,
    };
    Some(Asked {
        id: ProbeId::sessions(),
        host,
        port,
        others: askable.into(),
        question,
        outside: false,
        external: false,
    })
}

fn split(address: &str) -> Option<(String, u16)> {
    let bare = address
        .split_once("://")
        .map_or(address, |(_, rest)| rest)
        .trim_end_matches('/');
    let (host, port) = endpoint::split(bare);
    Some((endpoint::bare(host).to_owned(), port?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use milvus_platform::{Connection, DialError};

    use super::*;

    /// The second of two takes connections.
    struct Second;

    impl Dial for Second {
        fn dial(
            &self,
            host: &str,
            _: u16,
        ) -> BoxFuture<'_, Result<Box<dyn Connection>, DialError>> {
            let host = host.to_owned();
            async move {
                let (ours, _) = tokio::io::duplex(64);
                (host == "etcd-1")
                    .then(|| Box::new(ours) as Box<dyn Connection>)
                    .ok_or(DialError::Refused(host))
            }
            .boxed()
        }
    }

    #[test]
    fn addresses_are_dialled_without_brackets() {
        let parts = |address: &str| split(address).expect("an address");
        assert_eq!(
            parts("[2001:db8::1]:2379"),
            ("2001:db8::1".to_owned(), 2379)
        );
        assert_eq!(parts("http://etcd.x:2379/"), ("etcd.x".to_owned(), 2379));
        assert_eq!(split("[2001:db8::1]"), None);
    }

    #[tokio::test]
    async fn another_is_asked_instead_of_one_that_is_away() {
        let mut asked = Asked {
            id: ProbeId::sessions(),
            host: "etcd-0".to_owned(),
            port: 2379,
            others: vec![("etcd-1".to_owned(), 2379)],
            question: Question::Tcp,
            outside: false,
            external: false,
        };
        assert!(ask_one(&Second, &asked).await.outcome.is_ok());
        asked.others = vec![("etcd-2".to_owned(), 2379)];
        let failure = ask_one(&Second, &asked).await.outcome.expect_err("nobody");
        assert!(failure.message.contains("etcd-0"), "{failure:?}");
    }
}
