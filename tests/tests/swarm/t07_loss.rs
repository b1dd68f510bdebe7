//! Nodes are lost: one, a quorum of managers, all of them.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use milvus_tests::{client, wait};

use crate::suite::{DEMO, START, Suite, suite, versions};

/// A dead manager is told after this long (the Swarm itself takes 15 to 30 s to believe it).
const NOTICED: Duration = Duration::from_secs(90);

/// Node names of the running tasks of the stateless roles.
fn stateless(suite: &Suite) -> Vec<(String, String)> {
    let services = suite.docker.names("service", "demo_");
    services
        .into_iter()
        .filter(|s| {
            [
                "proxy",
                "mixcoord",
                "querynode",
                "datanode",
                "indexnode",
                "broker",
            ]
            .iter()
            .any(|r| s.ends_with(r))
        })
        .flat_map(|s| {
            suite
                .docker
                .running(&s)
                .into_iter()
                .map(move |t| (s.clone(), t.node))
        })
        .collect()
}

fn member_on(suite: &Suite, node: &str, kind: &str) -> Option<String> {
    let services = suite.docker.names("service", &format!("demo_{kind}"));
    services
        .into_iter()
        .find(|s| suite.docker.running(s).iter().any(|t| t.node == node))
}

/// One node dies: its stateless roles run elsewhere, its members stay where their data is, Degraded names node and member,
/// nothing else is touched; when it is back, everything is.
#[test]
fn a_node_dies_and_comes_back() {
    let mut suite = suite();
    let _story = suite.demo();
    // Not the one that the operator talks to; one with a member of etcd and something that can move; and the cluster's only
    // ZooKeeper, bookie and MinIO should survive if they can.
    let moving = stateless(&suite);
    let victim = [2, 3, 4]
        .into_iter()
        .filter(|n| member_on(&suite, &format!("node{n}"), "etcd").is_some())
        .filter(|n| moving.iter().any(|(_, node)| *node == format!("node{n}")))
        .min_by_key(|n| {
            let node = format!("node{n}");
            ["minio", "zookeeper", "bookkeeper"]
                .iter()
                .filter(|k| member_on(&suite, &node, k).is_some())
                .count()
        })
        .unwrap_or_else(|| panic!("no node with etcd has anything that moves: {moving:?}"));
    let node = format!("node{victim}");
    let members: Vec<String> = ["etcd", "minio", "zookeeper", "bookkeeper"]
        .iter()
        .filter_map(|k| member_on(&suite, &node, k))
        .collect();
    let services = versions(&suite.docker, "service", "demo_");
    let roles: Vec<&String> = moving
        .iter()
        .filter(|(_, n)| *n == node)
        .map(|(s, _)| s)
        .collect();
    println!("  {node} holds {members:?} and {roles:?}");
    suite.bed.kill(&[victim]);
    let start = Instant::now();
    wait::until("Degraded to name node and member", NOTICED, || {
        let degraded = suite.kubectl.condition(DEMO, "Degraded");
        let named = members
            .iter()
            .all(|m| degraded.message.contains(m.trim_start_matches("demo_")));
        (degraded.status == "True" && degraded.message.contains(&node) && named)
            .then_some(())
            .ok_or_else(|| format!("{degraded:?}"))
    });
    wait::until("the stateless roles to run elsewhere", NOTICED, || {
        let on = stateless(&suite);
        let roles: BTreeSet<&String> = on.iter().map(|(s, _)| s).collect();
        let moved = roles.len() == 6 && on.iter().all(|(_, n)| *n != node);
        moved.then_some(()).ok_or_else(|| format!("{on:?}"))
    });
    println!(
        "  moved {:.0} s after the power loss",
        start.elapsed().as_secs_f64()
    );
    for member in &members {
        assert!(
            suite
                .docker
                .tasks(member)
                .iter()
                .filter(|t| t.desired == "Running")
                .all(|t| t.node == node || t.node.is_empty()),
            "{member} has moved"
        );
    }
    let now = versions(&suite.docker, "service", "demo_");
    let touched: Vec<_> = services.iter().filter(|s| !now.contains(s)).collect();
    assert!(touched.is_empty(), "{touched:?} became {now:?}");
    suite.bed.start(&[victim]);
    suite.ready(DEMO, START);
    client::check(&suite.bed.nodes[0].address);
    assert_eq!(suite.kubectl.condition(DEMO, "Degraded").status, "False");
}

/// Two of three managers die: the operator waits and says so, deletes nothing and moves nothing; healed, all is as before.
#[test]
fn without_a_quorum_it_waits() {
    let mut suite = suite();
    let _story = suite.demo();
    let volumes: Vec<BTreeSet<String>> = suite
        .bed
        .nodes
        .iter()
        .map(|n| n.docker().names("volume", "demo_"))
        .collect();
    let services = suite.docker.names("service", "demo_");
    let told = suite.kubectl.events(DEMO).len();
    suite.bed.kill(&[2, 3]);
    wait::until("the Swarm to have no quorum", NOTICED, || {
        let answer = suite.docker.try_run(&["service", "ls"]);
        if answer.ok() {
            Err(answer.stdout)
        } else {
            Ok(())
        }
    });
    // Its own store is in that raft: reads are answered, and say that nothing is known.
    wait::until("the operator to say so", NOTICED, || {
        let ready = suite.kubectl.condition(DEMO, "Ready");
        let events = suite.kubectl.events(DEMO);
        let told = events
            .iter()
            .skip(told)
            .any(|e| e.reason == "PlatformUnreachable");
        let health = suite.kubectl.try_run(&["get", "--raw", "/readyz"]);
        (ready.status == "Unknown" || told || !health.ok())
            .then_some(())
            .ok_or_else(|| format!("{ready:?}, {}", health.text()))
    });
    thread::sleep(Duration::from_secs(10));
    assert!(
        suite.kubectl.cluster(DEMO).is_some(),
        "the resource cannot be read"
    );
    suite.bed.start(&[2, 3]);
    wait::until("the Swarm to have a quorum", NOTICED, || {
        suite.docker.try_run(&["service", "ls"]).result()
    });
    suite.ready(DEMO, START);
    assert_eq!(services, suite.docker.names("service", "demo_"));
    let now: Vec<BTreeSet<String>> = suite
        .bed
        .nodes
        .iter()
        .map(|n| n.docker().names("volume", "demo_"))
        .collect();
    assert_eq!(volumes, now);
    client::check(&suite.bed.nodes[0].address);
}

/// Every node loses its power at once and boots: all comes back by itself, with its data.
#[test]
fn power_loss_of_every_node() {
    let mut suite = suite();
    let _story = suite.demo();
    let all: Vec<u32> = suite.bed.nodes.iter().map(|n| n.number).collect();
    let old = suite.docker.running_ids("demo_");
    suite.bed.kill(&all);
    thread::sleep(Duration::from_secs(3));
    suite.bed.start(&all);
    wait::until("the Swarm to answer", NOTICED, || {
        suite.docker.try_run(&["service", "ls"]).result()
    });
    let start = Instant::now();
    wait::until("new processes in place of all old ones", START, || {
        let now = suite.docker.running_ids("demo_");
        let same: Vec<&String> = old
            .iter()
            .filter(|(s, ids)| {
                now.get(*s)
                    .is_none_or(|n| n.is_empty() || !n.is_disjoint(ids))
            })
            .map(|(s, _)| s)
            .collect();
        if same.is_empty() {
            Ok(())
        } else {
            Err(format!("{same:?}"))
        }
    });
    suite.ready(DEMO, START);
    println!(
        "  Ready {:.0} s after the Swarm answered",
        start.elapsed().as_secs_f64()
    );
    client::check(&suite.bed.nodes[0].address);
    client::check(&suite.bed.nodes[3].address);
}
