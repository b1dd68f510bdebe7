//! Careless and hostile use of the operator's API server and its commands, on the process that ships: others go on being
//! answered within a second, and no input ends it. The API server's own tests have the same over many more inputs.

use std::fmt::Write as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use milvus_tests::api::Api;
use milvus_tests::operator::Operator;
use milvus_tests::silent::Server;
use milvus_tests::{prepared, process};
use serde_json::Value;

use crate::suite::{Suite, repository, suite};

const SECOND: Duration = Duration::from_secs(1);

/// The server answers a well-behaved client, within a second.
#[track_caller]
fn answers(api: &Api) {
    let began = Instant::now();
    let version = api.request("GET", "/version", "application/json", &Value::Null);
    assert!(version.is_ok(), "{version:?}");
    assert!(began.elapsed() <= SECOND, "after {:?}", began.elapsed());
}

#[track_caller]
fn runs(operator: &mut Operator) {
    let end = operator.ended();
    assert!(end.is_none(), "it ended with {end:?}: {}", operator.log());
}

fn admin(suite: &Suite) -> Api {
    Api::new(&suite.operator.kubeconfig())
}

/// A number that no clock can add, from a user who may only read.
#[test]
fn a_watch_that_lasts_for_ever_ends_nothing() {
    let mut suite = suite();
    let viewer = suite.operator.kubectl_of("viewer", "milvus:view");
    for (seconds, wanted) in [(u64::MAX, "BadRequest"), (i64::MAX as u64, "")] {
        let path = format!("/api/v1/configmaps?watch=1&timeoutSeconds={seconds}");
        let answer = viewer.try_run(&["get", "--raw", &path, "--request-timeout=2s"]);
        println!("  {seconds}: {}", answer.stderr.trim());
        assert!(answer.stderr.contains(wanted), "{}", answer.text());
        runs(&mut suite.operator);
    }
    answers(&admin(&suite));
}

/// Hundreds of connections that speak TLS and then say nothing, without a certificate, and as many more as the first ones are closed.
#[test]
fn silent_connections_shut_no_client_out() {
    let mut suite = suite();
    let (server, api) = (Server::of(&suite.operator.kubeconfig()), admin(&suite));
    let mut silent = Vec::new();
    for round in 0..4 {
        silent.extend((0..160).map(|_| server.connect()));
        answers(&api);
        answers(&admin(&suite)); // on a connection of its own
        println!("  answered beside {} silent ones", 160 * (round + 1));
    }
    drop(silent);
    runs(&mut suite.operator);
}

/// A body of a megabyte whose keys are all there twice, from a user without any right, several at once.
#[test]
fn a_body_of_repeated_keys_delays_no_other_client() {
    let mut suite = suite();
    let api = admin(&suite);
    let mut fields = String::new();
    for key in 0..60_000 {
        write!(fields, r#""k{key}":1,"k{key}":1,"#).unwrap();
    }
    let body = format!(
        r#"{{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview",{fields}"spec":{{}}}}"#
    );
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let viewer = suite.operator.kubectl_of("viewer", "milvus:view");
    let began = Instant::now();
    let posts: Vec<_> = (0..3)
        .map(|_| {
            let (viewer, body) = (viewer.clone(), body.clone());
            thread::spawn(move || viewer.pipe(&["create", "--raw", path, "-f", "-"], &body))
        })
        .collect();
    while posts.iter().any(|post| !post.is_finished()) {
        answers(&api);
    }
    println!("  {:?} for three of {} bytes", began.elapsed(), body.len());
    assert!(began.elapsed() <= 4 * SECOND, "{:?}", began.elapsed());
    for post in posts {
        let answer = post.join().unwrap().text();
        assert!(!answer.contains("panic"), "{answer}");
    }
    runs(&mut suite.operator);
}

/// `kubectl --as`: who may do everything may ask as another, and is answered as that one; who may not is refused.
#[test]
fn impersonation_is_honoured_or_refused() {
    let suite = suite();
    let ask = |args: &[&str]| suite.kubectl.try_run(args);
    // Raw, because kubectl's own look at what there is keeps the server's words to itself.
    let stranger = ask(&["get", "--raw", "/api/v1/secrets", "--as", "bob"]);
    assert!(
        stranger.stdout.is_empty() && stranger.stderr.contains("User \"bob\" cannot"),
        "{}",
        stranger.text()
    );
    let viewer = ["--as", "bob", "--as-group", "milvus:view"];
    let may = |args: &[&str]| ask(&[args, &viewer].concat());
    assert!(may(&["get", "milvusclusters"]).ok());
    assert_eq!(may(&["auth", "can-i", "get", "secrets"]).stdout, "no\n");
    assert_eq!(may(&["auth", "can-i", "list", "mvc"]).stdout, "yes\n");
    let own = suite.operator.kubectl_of("viewer", "milvus:view");
    let refused = own.try_run(&["get", "--raw", "/api/v1/configmaps", "--as", "root"]);
    assert!(
        refused.stderr.contains("cannot impersonate"),
        "{}",
        refused.text()
    );
}

/// A disk that is full, and a reader that goes away: one line, and no line.
#[test]
fn commands_end_well_where_nothing_can_be_written() {
    let _suite = suite();
    let sample = repository().join("deploy/samples/demo.yaml");
    let plan = |rest: &str| {
        let mut shell = Command::new("bash");
        let line = format!("set -o pipefail; \"$0\" plan -f \"$1\" {rest}");
        shell
            .args(["-c", &line])
            .arg(prepared("MILVUS_TEST_OPERATOR"))
            .arg(&sample);
        process::run(&mut shell, "", 10 * SECOND)
    };
    let full = plan(">/dev/full");
    println!("  {}", full.stderr.trim());
    assert_eq!(full.code, Some(1));
    let lines: Vec<&str> = full.stderr.lines().collect();
    assert!(
        lines.len() == 1 && lines[0].contains("No space left on device"),
        "{lines:?}"
    );
    let closed = plan("| head -1");
    assert_eq!((closed.ok(), closed.stderr.as_str()), (true, ""));
}
