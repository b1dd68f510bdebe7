//! The operator may end at any instant.

use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use milvus_tests::kubectl::Kubectl;
use milvus_tests::operator::Operator;
use milvus_tests::{client, wait};
use serde_json::{Value, json};

use crate::suite::{DEMO, SOON, START, Suite, standalone, suite};

/// Killed again and again in the middle of a creation: it goes on where it was, and the cluster answers.
#[test]
fn killed_while_creating_it_goes_on() {
    let mut suite = suite();
    suite.remove("crash");
    let _story = suite.story("crash");
    suite.kubectl.apply(&standalone("crash", 19541));
    for pause in [0, 300, 1500, 4000] {
        thread::sleep(Duration::from_millis(pause));
        suite.operator.kill();
        println!(
            "  killed; there are {:?}",
            suite.docker.names("service", "crash_")
        );
        suite.operator.start();
    }
    suite.ready("crash", START);
    client::fill_at(&format!("{}:19541", suite.bed.nodes[0].address));
    for service in suite.docker.names("service", "crash_") {
        let tasks = suite.docker.tasks(&service);
        assert!(
            tasks.iter().all(|t| t.runs()),
            "{service} was restarted: {tasks:#?}"
        );
    }
    suite.remove("crash");
}

/// A second one is started by hand beside it: the first ends by itself and says why, and what was deleted through the second
/// stays deleted.
#[test]
fn beside_a_newer_one_it_ends() {
    let mut suite = suite();
    suite.remove("beside");
    let _story = suite.story("beside");
    let mut cluster = standalone("beside", 19542);
    cluster["spec"]["stopped"] = json!(true);
    suite.kubectl.apply(&cluster);
    let note = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "beside", "namespace": "default"}});
    suite.kubectl.apply(&note);
    let mut second = suite.operator.beside(&suite.bed.folder().join("second"));

    second.start();
    let status = ended(&mut suite.operator, "the first operator");
    assert_eq!(status.code(), Some(1));
    let log = suite.operator.log();
    let message = "another operator has taken over this Swarm's store; this one ends";
    let line = log.lines().find(|line| line.contains(message));
    let line = line.unwrap_or_else(|| panic!("it does not say why: {log}"));
    assert!(line.contains("ERROR"), "{line}");

    let kubectl = second.kubectl();
    kubectl.run(&["delete", "configmap", "beside"]);
    kubectl.run(&["delete", "milvuscluster", "beside", "--timeout=60s"]);
    let gone = |kubectl: &Kubectl| {
        for kind in ["configmap", "milvuscluster"] {
            let answer = kubectl.try_run(&["get", kind, "beside"]);
            assert!(answer.stderr.contains("NotFound"), "{}", answer.text());
        }
    };
    thread::sleep(Duration::from_secs(2));
    gone(&kubectl);
    assert!(second.ended().is_none(), "{}", second.log());

    // And back: the same without a deletion.
    suite.operator.kill();
    suite.operator.start();
    ended(&mut second, "the second operator");
    gone(&suite.kubectl);
}

/// Waits until it ends by itself.
fn ended(operator: &mut Operator, who: &str) -> ExitStatus {
    let what = format!("{who} has ended");
    let still = || "it still runs".to_owned();
    wait::timed(&what, SOON, || operator.ended().ok_or_else(still)).0
}

/// The older one hears of nothing while the newer one takes over and deletes, as on a manager that was cut off; when it comes
/// back it writes nothing again.
#[test]
fn back_from_a_pause_it_brings_nothing_back() {
    let mut suite = suite();
    let note = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "paused", "namespace": "default"}});
    suite.kubectl.apply(&note);
    let mut second = suite.operator.beside(&suite.bed.folder().join("second"));
    suite.behind_its_back(|_| {
        second.start();
        second.kubectl().run(&["delete", "configmap", "paused"]);
    });
    let status = ended(
        &mut suite.operator,
        "the first operator, back from its pause,",
    );
    assert_eq!(status.code(), Some(1));
    second.kill();
    suite.operator.kill();
    suite.operator.start();
    let answer = suite.kubectl.try_run(&["get", "configmap", "paused"]);
    assert!(answer.stderr.contains("NotFound"), "{}", answer.text());
}

/// The ledger of a running cluster is not deleted by accident. Where it is meant, under the operator and while it is away, it is
/// there again, says the same of every member, and no process is touched.
#[test]
fn a_deleted_ledger_is_recorded_again() {
    let mut suite = suite();
    let _story = suite.demo();
    let members = |suite: &Suite| -> Result<Value, String> {
        let ledger = [
            "get",
            "configmap",
            "ledger.default.demo",
            "-n",
            "milvus-system",
            "-o",
        ];
        let mut command = ledger.to_vec();
        command.push("jsonpath={.data.ledger\\.json}");
        let text = suite.kubectl.try_run(&command).result()?;
        let ledger: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        Ok(json!([
            ledger["members"],
            ledger["bootstrapped"],
            ledger["etcdToken"]
        ]))
    };
    let before = (suite.docker.running_ids("demo_"), members(&suite).unwrap());
    for restarted in [false, true] {
        let delete = [
            "delete",
            "configmap",
            "ledger.default.demo",
            "-n",
            "milvus-system",
        ];
        // Not by accident: neither by its name nor with its namespace.
        for accident in [&delete[..], &["delete", "namespace", "milvus-system"]] {
            let refused = suite.kubectl.try_run(accident);
            let said = refused.stderr.contains("delete the MilvusCluster instead");
            assert!(!refused.ok() && said, "{}", refused.text());
        }
        let off = r#"{"metadata":{"finalizers":null}}"#;
        let ledger = &delete[1..];
        suite
            .kubectl
            .run(&[&["patch"][..], ledger, &["--type", "merge", "-p", off]].concat());
        suite.kubectl.run(&delete);
        if restarted {
            suite.operator.kill();
            suite.operator.start();
        }
        // At the latest with the look that comes every half minute.
        let limit = Duration::from_secs(60);
        wait::until("the ledger to be there again", limit, || members(&suite));
        suite.ready(DEMO, START);
        assert_eq!(
            before,
            (suite.docker.running_ids("demo_"), members(&suite).unwrap())
        );
    }
}
