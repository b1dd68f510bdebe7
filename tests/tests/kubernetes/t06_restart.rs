//! The operator may end at any instant, and another may stand by.

use std::thread;
use std::time::{Duration, Instant};

use milvus_tests::operator::Operator;
use milvus_tests::wait;
use serde_json::json;

use crate::suite::{ARGUMENTS, HOME, SOON, START, suite};

/// Killed again and again while clusters are being made, each time at another point: what was begun is gone on with, nothing is made
/// twice, and nothing counts as removed by somebody.
#[test]
fn killed_while_creating_it_goes_on() {
    let mut suite = suite();
    suite.bed.volumes(16);
    let room = suite.room("crash");
    suite.operator.kill();
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        room.create(&if name < "d" {
            room.cluster(name)
        } else {
            room.standalone(name)
        });
    }
    let mut seen = Vec::new();
    for life in [120, 160, 200, 240, 280, 320, 360, 400, 500, 600] {
        suite.operator.spawn_with(&ARGUMENTS);
        thread::sleep(Duration::from_millis(life));
        suite.operator.kill();
        let count: usize = names.iter().map(|n| room.identities(n).len()).sum();
        seen.push(count);
    }
    println!("  objects after each of the operator's lives: {seen:?}");
    suite.operator.start_with(&ARGUMENTS);
    for name in names {
        room.ready(name, START);
        let events = room.events(name);
        let odd: Vec<_> = events.iter().filter(|e| e.warning).collect();
        assert!(odd.is_empty(), "{name}: {odd:#?}");
        for deployment in room.names("deployments", name) {
            let sets = room.api.list(
                "replicasets",
                &room.namespace,
                &format!("app.kubernetes.io/instance={name}"),
            );
            let own = sets
                .iter()
                .filter(|s| s["metadata"]["ownerReferences"][0]["name"] == deployment.as_str());
            assert_eq!(own.count(), 1, "{deployment} was rolled");
        }
    }
    // Killed while they go.
    for name in names {
        room.api
            .delete(room.at("milvusclusters", name), "Background");
    }
    for life in [30, 60, 120, 240] {
        suite.operator.kill();
        suite.operator.spawn_with(&ARGUMENTS);
        thread::sleep(Duration::from_millis(life));
    }
    for name in names {
        room.gone(name, START);
    }
}

/// Two operators, one Lease. The one that stands by does nothing; killed, the leader is replaced after the Lease's 15 s; ended as a node
/// ends it, at once.
#[test]
fn one_leads_and_the_other_takes_over() {
    let mut suite = suite();
    let mut arguments = ARGUMENTS.to_vec();
    arguments.extend(["--leader-elect", "--leader-namespace", HOME]);
    suite.restart_with(&arguments);
    let api = suite.api.clone();
    let holder = || {
        let lease = api.get(milvus_tests::api::at("leases", HOME, "milvus-operator"));
        lease
            .map(|l| l["spec"]["holderIdentity"].to_string())
            .unwrap_or_default()
    };
    // One that was killed may hold it until it is over.
    let (first, _) = wait::timed("the Lease to be held by it", START, || {
        let holder = holder();
        let leads = format!("this operator leads identity={}", holder.trim_matches('"'));
        let held = holder.len() > 4 && suite.operator.log().contains(&leads);
        held.then_some(holder.clone()).ok_or(holder)
    });
    let folder = suite.bed.folder().join("standby");
    let kubeconfig = suite.bed.kubeconfig(&format!("sa:{HOME}/milvus-operator"));
    let mut standby = Operator::on_kubernetes(&folder, &kubeconfig);
    standby.start_with(&arguments);
    let room = suite.room("leader");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    assert!(
        standby.log().contains("another operator leads"),
        "{}",
        standby.log()
    );
    assert!(
        !standby.log().contains("milvus-operator runs"),
        "{}",
        standby.log()
    );
    assert_eq!(holder(), first);

    let killed = Instant::now();
    suite.operator.kill();
    room.change(
        "deployments",
        "demo-proxy",
        &json!({"spec": {"replicas": 2}}),
    );
    wait::timed("the other to take over", Duration::from_secs(30), || {
        let proxy = room.get("deployments", "demo-proxy");
        (proxy["spec"]["replicas"] == 1)
            .then_some(())
            .ok_or_else(|| standby.log())
    });
    let took = killed.elapsed();
    assert!(
        took >= Duration::from_secs(9),
        "before the Lease was over: {took:?}"
    );
    assert!(took <= Duration::from_secs(22), "{took:?}");
    assert_ne!(holder(), first);

    suite.operator.spawn_with(&arguments);
    thread::sleep(Duration::from_secs(1));
    standby.stop();
    room.change(
        "deployments",
        "demo-proxy",
        &json!({"spec": {"replicas": 2}}),
    );
    let (_, took) = wait::timed("the first to take over again", SOON, || {
        let proxy = room.get("deployments", "demo-proxy");
        (proxy["spec"]["replicas"] == 1)
            .then_some(())
            .ok_or_else(holder)
    });
    assert!(took <= Duration::from_secs(6), "{took:?}");
    suite.restart_with(&ARGUMENTS);
}

/// One of two namespaces that an operator looks at cannot be listed. It is asked for again and again, and holds up nothing: neither a
/// running cluster nor new ones whose place on external services a cluster of it could have.
#[test]
fn a_namespace_that_cannot_be_listed_holds_up_nothing() {
    let mut suite = suite();
    let (room, closed) = (suite.room("open"), suite.room("closed"));
    room.create(&room.cluster("older"));
    room.ready("older", START);
    suite.operator.stop();
    let account = json!({"metadata": {"name": "limited"}});
    let home = &room.namespace;
    room.api.create("serviceaccounts", home, &account).unwrap();
    room.kubectl.run(&[
        "create",
        "rolebinding",
        "limited",
        "--clusterrole=milvus-operator",
        &format!("--serviceaccount={home}:limited"),
    ]);
    let kubeconfig = suite.bed.kubeconfig(&format!("sa:{home}/limited"));
    let folder = suite.bed.folder().join("limited");
    let mut limited = Operator::on_kubernetes(&folder, &kubeconfig);
    let namespaces = format!("--watch-namespaces={home},{}", closed.namespace);
    limited.spawn_with(&[&ARGUMENTS[..], &[&namespaces]].concat());
    // More than there are passes at a time.
    for number in 0..20 {
        room.create(&room.cluster(&format!("new{number}")));
    }
    room.edit(
        "older",
        &json!({"spec": {"components": {"queryNode": {"replicas": 2}}}}),
    );
    let took = room.ready("older", START);
    assert!(took < SOON, "{took:?}");
    for number in 0..20 {
        room.ready(&format!("new{number}"), START);
    }
    let log = limited.log();
    let refused = |line: &str| line.contains("milvusclusters") && line.contains(&closed.namespace);
    assert!(log.lines().any(refused), "{log}");
    limited.stop();
    suite.operator.start_with(&ARGUMENTS);
    let clusters = room.api.names("milvusclusters", home, "");
    for cluster in &clusters {
        room.api
            .delete(room.at("milvusclusters", cluster), "Background");
    }
    for cluster in &clusters {
        room.gone(cluster, START);
    }
}
