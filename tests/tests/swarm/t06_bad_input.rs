//! What cannot be is refused or reported within seconds, by field and cause, while other clusters go on.

use std::time::Duration;

use milvus_tests::bad_input::{Bad, ETCD, Heard, bad, everywhere, hear};
use milvus_tests::kubectl::is_ready;
use milvus_tests::wait;
use serde_json::json;

use crate::suite::{DEMO, SOON, standalone, suite, versions};

/// Port that somebody else's service holds.
const TAKEN: u16 = 19580;
/// The condition names a component that does not start: after its first task has failed.
const STARTED: Duration = Duration::from_secs(20);

/// What every platform refuses, and what Swarm has beyond.
fn table() -> Vec<Bad> {
    let at = |base: &str, field: &str| format!("{base}/{field}");
    let mut ports = 19550..;
    let mut next = |name: &str| standalone(name, ports.next().expect("a port"));
    let mut table = everywhere(&mut next);
    table.extend([
        bad(
            next("image"),
            "an image that cannot be pulled",
            &[(&at(ETCD, "image/tag"), json!("no-such-tag"))],
            Heard::Told(
                "Degraded",
                "True",
                &[
                    "spec.dependencies.etcd.inCluster.values.image",
                    "no-such-tag",
                ],
            ),
        ),
        bad(
            next("bind"),
            "a directory that is not there",
            &[(
                &at(ETCD, "persistence"),
                json!({"type": "bind", "path": "/srv/no/such/directory"}),
            )],
            Heard::Told(
                "Degraded",
                "True",
                &[
                    "spec.dependencies.etcd.inCluster.values.persistence",
                    "/srv/no/such/directory",
                ],
            ),
        ),
        bad(
            standalone("port", 19530),
            "a port that another cluster uses",
            &[],
            Heard::Told(
                "Accepted",
                "False",
                &["spec.swarm.gateway.port", "19530", DEMO],
            ),
        ),
        bad(
            standalone("taken", TAKEN),
            "a port that somebody else's service holds",
            &[],
            Heard::Told("Degraded", "True", &["spec.swarm.gateway.port"]),
        ),
        bad(
            next("memory"),
            "more memory than any node has",
            &[(
                "/spec/components/standalone/resources/requests/memory",
                json!("900Gi"),
            )],
            Heard::Told(
                "Accepted",
                "False",
                &["spec.components.standalone.resources.requests.memory"],
            ),
        ),
        bad(
            next("pods"),
            "settings of Kubernetes",
            &[(
                "/spec/kubernetes",
                json!({"components": {"proxy": {"hostNetwork": true}}}),
            )],
            Heard::Told("Accepted", "False", &["spec.kubernetes"]),
        ),
    ]);
    table
}

/// Every row of the table, with the time that it took to hear of it; `demo` stays Ready and is not touched.
#[test]
fn each_is_told_by_field_and_cause() {
    let mut suite = suite();
    let _story = suite.demo();
    let before = (
        versions(&suite.docker, "service", "demo_"),
        suite.docker.running_ids("demo_"),
    );
    suite.docker.run(&[
        "service",
        "create",
        "-d",
        "--name",
        "squatter",
        "--mode",
        "global",
        "--publish",
        &format!("mode=host,published={TAKEN},target=1"),
        "milvusdb/etcd:3.6.16",
        "sleep",
        "100000",
    ]);
    let mut wrong = Vec::new();
    for bad in table() {
        let limit = match bad.heard {
            Heard::Told("Degraded", ..) => STARTED,
            _ => SOON,
        };
        if let Err(why) = hear(&suite.kubectl, &bad, limit) {
            println!("  WRONG {}: {why}", bad.what);
            wrong.push(format!("{}: {why}", bad.what));
        }
        if let Err(why) = suite
            .kubectl
            .cluster(DEMO)
            .ok_or_else(|| "gone".to_owned())
            .and_then(|c| is_ready(&c))
        {
            wrong.push(format!("with {}, demo: {why}", bad.what));
        }
        suite.remove(&bad.name);
        let left: Vec<String> = ["service", "config", "secret", "network"]
            .iter()
            .flat_map(|kind| suite.docker.names(kind, &format!("{}_", bad.name)))
            .collect();
        if !left.is_empty() {
            wrong.push(format!("{} left {left:?}", bad.what));
        }
    }
    suite.docker.run(&["service", "rm", "squatter"]);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        before,
        (
            versions(&suite.docker, "service", "demo_"),
            suite.docker.running_ids("demo_")
        )
    );
}

/// A bad resource that is put right becomes a cluster.
#[test]
fn what_is_put_right_goes_on() {
    let mut suite = suite();
    let _story = suite.demo();
    let _own = suite.story("right");
    suite.remove("right");
    let mut resource = standalone("right", 19561);
    resource["spec"]["dependencies"]["storage"]["secretRef"] = json!("right-login");
    suite.kubectl.apply(&resource);
    wait::until("the missing Secret to be named", SOON, || {
        let accepted = suite.kubectl.condition("right", "Accepted");
        (accepted.reason == "SecretMissing")
            .then_some(())
            .ok_or_else(|| format!("{accepted:?}"))
    });
    suite.kubectl.run(&[
        "create",
        "secret",
        "generic",
        "right-login",
        "--from-literal=accesskey=somebody",
        "--from-literal=secretkey=a-long-password",
    ]);
    suite.ready("right", crate::suite::START);
    suite.remove("right");
    suite.kubectl.run(&["delete", "secret", "right-login"]);
}
