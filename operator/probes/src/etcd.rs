//! etcd: whether it has its quorum, what alarms it has raised, and whom it takes for its members.

use std::collections::BTreeMap;

use bytes::Bytes;
use milvus_core::probe::{EtcdMember, ProbeDetail, ProbeFailure, ProbeFailureKind};
use milvus_platform::{Connection, Dial};
use serde::Deserialize;

use crate::ask::{dial_failure, not_ready, noted};
use crate::http::{Answer, failure, request};

/// Asks one member. The list of members is asked for once it has its quorum; without an answer nothing is said of it.
pub(crate) async fn health(
    dial: &dyn Dial,
    connection: Box<dyn Connection>,
    host: &str,
    port: u16,
) -> Result<ProbeDetail, ProbeFailure> {
    let authority = format!("{host}:{port}");
    let answer = request(connection, &authority, http::Method::GET, "/health", None).await?;
    if answer.status == 200 {
        let members = members(dial, host, port).await.unwrap_or_default();
        return Ok(ProbeDetail {
            members,
            ..noted("quorum", &answer)
        });
    }
    let line = answer.line();
    // Only then: the question costs etcd an entry in its log.
    if line.contains("ALARM") {
        let alarms = alarms(dial, host, port).await?;
        let members = members(dial, host, port).await.unwrap_or_default();
        if let Some(message) = alarmed(&alarms, &members) {
            return Err(failure(ProbeFailureKind::Alarm, message));
        }
    }
    not_ready(format!("{authority}: no quorum: {line}"))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MemberList {
    members: Vec<Listed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    // Numbers of 64 bits are strings in JSON.
    #[serde(rename = "ID")]
    id: String,
    name: String,
    #[serde(rename = "peerURLs")]
    peers: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AlarmList {
    alarms: Vec<Alarm>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Alarm {
    #[serde(rename = "memberID")]
    member: String,
    alarm: String,
}

async fn members(dial: &dyn Dial, host: &str, port: u16) -> Result<Vec<EtcdMember>, ProbeFailure> {
    let list: MemberList = post(dial, host, port, "/v3/cluster/member/list", "{}").await?;
    let members = list.members.into_iter().map(|m| EtcdMember {
        id: m.id.parse().unwrap_or_default(),
        name: m.name,
        peers: m.peers,
    });
    Ok(members.collect())
}

async fn alarms(dial: &dyn Dial, host: &str, port: u16) -> Result<Vec<Alarm>, ProbeFailure> {
    let body = r#"{"action":"GET"}"#;
    let list: AlarmList = post(dial, host, port, "/v3/maintenance/alarm", body).await?;
    Ok(list.alarms)
}

async fn post<T: for<'a> Deserialize<'a>>(
    dial: &dyn Dial,
    host: &str,
    port: u16,
    path: &str,
    body: &'static str,
) -> Result<T, ProbeFailure> {
    let authority = format!("{host}:{port}");
    let connection = dial.dial(host, port).await.map_err(dial_failure)?;
    let body = Some(Bytes::from_static(body.as_bytes()));
    let answer: Answer = request(connection, &authority, http::Method::POST, path, body).await?;
    if answer.status != 200 {
        return not_ready(format!("{authority}: {path}: {}", answer.line()));
    }
    serde_json::from_slice(&answer.body).map_err(|e| {
        let message = format!("{authority}: its answer to {path} is not understood: {e}");
        failure(ProbeFailureKind::Other, message)
    })
}

/// Each alarm with the members that raised it and what helps.
fn alarmed(alarms: &[Alarm], members: &[EtcdMember]) -> Option<String> {
    let mut by_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for alarm in alarms {
        let id = alarm.member.parse::<u64>().unwrap_or_default();
        let member = members.iter().find(|m| m.id == id && !m.name.is_empty());
        let name = member.map_or_else(|| format!("member {id:x}"), |m| m.name.clone());
        by_kind.entry(&alarm.alarm).or_default().push(name);
    }
    let said: Vec<String> = by_kind
        .into_iter()
        .map(|(kind, mut names)| {
            names.sort();
            let names = names.join(", ");
            let help = match kind {
                "NOSPACE" => {
                    "its data have reached the quota, and it takes no writes: compact and defragment (`etcdctl compact`, `etcdctl \
                     defrag`) or raise spec.dependencies.etcd.inCluster.values.quotaBackendBytes, then `etcdctl alarm disarm`"
                }
                "CORRUPT" => {
                    "its data differ from those of the others: stop it, restore it from a healthy member, then `etcdctl alarm disarm`"
                }
                _ => "see `etcdctl alarm list`",
            };
            format!("etcd: alarm {kind} of {names}: {help}")
        })
        .collect();
    (!said.is_empty()).then(|| said.join("; "))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use milvus_platform::DialError;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::ask::{Question, ask};

    /// An etcd with this answer to `/health`.
    struct Fake {
        status: &'static str,
        health: &'static str,
        date: String,
    }

    const MEMBERS: &str = r#"{"header":{"cluster_id":"1"},"members":[{"ID":"10276657743932975437","name":"etcd-0","peerURLs":["http://etcd-0:2380"],"clientURLs":["http://etcd-0:2379"]},{"ID":"2748","peerURLs":["http://etcd-7:2380"]}]}"#;
    const ALARMS: &str = r#"{"header":{},"alarms":[{"memberID":"10276657743932975437","alarm":"NOSPACE"},{"memberID":"2748","alarm":"CORRUPT"}]}"#;

    impl Dial for Fake {
        fn dial(&self, _: &str, _: u16) -> BoxFuture<'_, Result<Box<dyn Connection>, DialError>> {
            let (ours, mut theirs) = tokio::io::duplex(16 << 10);
            let (status, health, date) = (self.status, self.health, self.date.clone());
            tokio::spawn(async move {
                let mut asked = vec![0; 4 << 10];
                let read = theirs.read(&mut asked).await.unwrap_or_default();
                let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
                let (status, body) = if asked.starts_with("GET /health ") {
                    (status, health)
                } else if asked.starts_with("POST /v3/cluster/member/list ") {
                    ("200 OK", MEMBERS)
                } else if asked.starts_with("POST /v3/maintenance/alarm ") {
                    ("200 OK", ALARMS)
                } else {
                    ("404 Not Found", "")
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ndate: {date}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = theirs.write_all(answer.as_bytes()).await;
            });
            async move { Ok(Box::new(ours) as Box<dyn Connection>) }.boxed()
        }
    }

    fn date(ahead: i64) -> String {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead);
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    #[tokio::test]
    async fn a_healthy_member_tells_its_members_and_its_clock() {
        let fake = Fake {
            status: "200 OK",
            health: r#"{"health":"true","reason":""}"#,
            date: date(120),
        };
        let detail = ask(&fake, "etcd-0", 2379, &Question::EtcdHealth).await;
        let detail = detail.expect("healthy");
        let ahead = detail.clock_ahead.expect("a clock");
        assert!((115..=121).contains(&ahead), "{ahead}");
        let names: Vec<(u64, &str)> = detail
            .members
            .iter()
            .map(|m| (m.id, m.name.as_str()))
            .collect();
        assert_eq!(names, [(10_276_657_743_932_975_437, "etcd-0"), (0xabc, "")]);
        assert_eq!(detail.members[1].peers, ["http://etcd-7:2380"]);
    }

    #[tokio::test]
    async fn an_alarm_is_told_with_its_member_and_what_helps() {
        let fake = Fake {
            status: "503 Service Unavailable",
            health: r#"{"health":"false","reason":"ALARM NOSPACE"}"#,
            date: date(0),
        };
        let failed = ask(&fake, "etcd-1", 2379, &Question::EtcdHealth).await;
        let failed = failed.expect_err("an alarm");
        assert_eq!(failed.kind, ProbeFailureKind::Alarm);
        assert!(
            failed.message.contains("alarm NOSPACE of etcd-0: "),
            "{}",
            failed.message
        );
        assert!(
            failed.message.contains("alarm CORRUPT of member abc: "),
            "{}",
            failed.message
        );
        assert!(
            failed.message.contains("etcdctl alarm disarm"),
            "{}",
            failed.message
        );
    }

    #[tokio::test]
    async fn without_a_quorum_there_is_no_alarm() {
        let fake = Fake {
            status: "503 Service Unavailable",
            health: r#"{"health":"false","reason":"RAFT NO LEADER"}"#,
            date: date(0),
        };
        let failed = ask(&fake, "etcd-1", 2379, &Question::EtcdHealth).await;
        assert_eq!(
            failed.expect_err("no quorum").kind,
            ProbeFailureKind::NotReady
        );
    }
}
