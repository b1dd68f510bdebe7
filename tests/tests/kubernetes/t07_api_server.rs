//! An API server that is away, that forgets, that refuses.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use milvus_tests::api::{Patch, Refused, at, path};
use milvus_tests::process::{self, bound};
use milvus_tests::wait;
use serde_json::{Value, json};

use crate::suite::{HOME, Room, SOON, START, Suite, suite};

/// Longer than the pauses of the watches grow.
const AWAY: Duration = Duration::from_secs(60);

/// A busy loop would need a whole core.
#[track_caller]
fn calm(suite: &Suite, while_what: &str, since: Instant, cpu: f64) {
    let cpu = suite.operator.cpu_seconds() - cpu;
    let share = cpu / since.elapsed().as_secs_f64();
    println!("  {cpu:.2} s of CPU {while_what} ({:.1} %)", share * 100.0);
    assert!(share < 0.1, "{cpu} s of CPU in {:?}", since.elapsed());
}

/// Killed for a while: no hot loop; what changed meanwhile and what changes after is seen soon after its return.
#[test]
fn killed_and_back() {
    let mut suite = suite();
    let room = suite.room("away");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    let lines = suite.operator.log().lines().count();
    let (since, cpu) = (Instant::now(), suite.operator.cpu_seconds());
    suite.bed.kill("kube-apiserver");
    thread::sleep(AWAY);
    calm(&suite, "while the API server was away", since, cpu);
    let lines = suite.operator.log().lines().count() - lines;
    assert!(lines < 400, "{lines} lines of log");
    suite.bed.start("kube-apiserver");
    room.change(
        "deployments",
        "demo-proxy",
        &json!({"spec": {"replicas": 2}}),
    );
    room.api
        .delete(room.at("services", "demo-milvus"), "Background");
    let (_, took) = wait::timed("repair after its return", SOON, || {
        let proxy = room.get("deployments", "demo-proxy");
        let service = room.find("services", "demo-milvus");
        (proxy["spec"]["replicas"] == 1 && service.is_some())
            .then_some(())
            .ok_or_else(|| format!("{} {}", proxy["spec"]["replicas"], service.is_some()))
    });
    assert!(took < SOON, "{took:?}");
    room.ready("demo", START);
    room.create(&room.cluster("after"));
    room.ready("after", START);
    assert!(suite.operator.ended().is_none(), "the operator ended");
}

/// It hangs: connections stand and nobody answers. The operator goes on when it is back.
#[test]
fn hanging_and_back() {
    let mut suite = suite();
    let room = suite.room("hang");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    let (since, cpu) = (Instant::now(), suite.operator.cpu_seconds());
    suite.bed.pause("kube-apiserver");
    thread::sleep(Duration::from_secs(8));
    calm(&suite, "while the API server hung", since, cpu);
    suite.bed.resume("kube-apiserver");
    wait::timed("the API server", SOON, || {
        let ready = room.kubectl.try_run(&["get", "--raw", "/readyz"]);
        ready.result()
    });
    room.change(
        "deployments",
        "demo-proxy",
        &json!({"spec": {"replicas": 2}}),
    );
    room.event("demo", 0, "Repaired", &["demo-proxy"]);
    room.ready("demo", START);
}

/// What a watch would go on from is forgotten (410): everything is listed again, and what went away unseen is noticed.
#[test]
fn forgetful() {
    let mut suite = suite();
    let room = suite.room("gone");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    let told = room.events("demo").len();
    suite.behind_its_back(|| {
        suite.bed.kill("kube-apiserver");
        suite.bed.start("kube-apiserver");
        room.api
            .delete(room.at("services", "demo-milvus"), "Background");
        room.api
            .delete(room.at("deployments", "demo-querynode"), "Background");
        suite.bed.compact();
    });
    room.event("demo", told, "Recreated", &["demo-querynode"]);
    wait::timed("the Service to be made again", SOON, || {
        let service = room.find("services", "demo-milvus");
        service.map(drop).ok_or("it is not there".to_owned())
    });
    room.ready("demo", START);
}

/// Somebody writes to the resource all the time: our own writes (finalizer, status) get through, and theirs are not lost.
#[test]
fn busy_with_another_writer() {
    let mut suite = suite();
    let room = suite.room("busy");
    let stop = Arc::new(AtomicBool::new(false));
    room.create(&room.cluster("demo"));
    let writer = {
        let (stop, api, namespace) = (stop.clone(), room.api.clone(), room.namespace.clone());
        thread::spawn(move || {
            let mut count = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                count += 1;
                let body = json!({"metadata": {"annotations": {"count": count.to_string()}}});
                let place = at("milvusclusters", &namespace, "demo");
                api.patch(place, Patch::Merge, &body).unwrap();
            }
            count
        })
    };
    room.ready("demo", START);
    stop.store(true, Ordering::Relaxed);
    let count = writer.join().unwrap();
    let found = room.get("milvusclusters", "demo");
    assert_eq!(found["metadata"]["annotations"]["count"], count.to_string());
    assert_eq!(
        found["metadata"]["finalizers"],
        json!(["operator.milvus.io/cluster"])
    );
    println!("  {count} writes of somebody else meanwhile");
}

/// A policy under which this operation on Deployments of a room is refused, once it is in force; `probe` is one such operation
/// that stores nothing.
#[track_caller]
fn refuse(room: &Room, operation: &str, probe: impl Fn() -> Result<Value, Refused>) {
    let policy = json!({"metadata": {"name": policy(room), "labels": {"suite": "yes"}}, "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": room.namespace}},
            "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": [operation], "resources": ["deployments"]}]},
        "validations": [{"expression": "false", "message": "no Deployments on a Friday"}]}});
    let name = policy["metadata"]["name"].clone();
    let binding = json!({"metadata": {"name": name, "labels": {"suite": "yes"}},
        "spec": {"policyName": name, "validationActions": ["Deny"]}});
    for (kind, object) in [
        ("validatingadmissionpolicies", policy),
        ("validatingadmissionpolicybindings", binding),
    ] {
        room.api.create(kind, "", &object).unwrap();
    }
    wait::until("the policy to be in force", START, || match probe() {
        Err(refused) if refused.message.contains("Friday") => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// Name of the policy of a room.
fn policy(room: &Room) -> String {
    format!("refuse-{}", room.namespace)
}

/// Takes the policy of a room away.
#[track_caller]
fn allow(room: &Room) {
    for kind in [
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicies",
    ] {
        room.api.delete(at(kind, "", &policy(room)), "Background");
    }
}

/// A policy that refuses our Deployments: the status says so in its words, tries are few, and when it goes the cluster comes up.
#[test]
fn a_policy_that_refuses() {
    let mut suite = suite();
    let room = suite.room("policy");
    refuse(&room, "CREATE", || room.admitted());
    room.create(&room.cluster("demo"));
    room.told(
        "demo",
        "Progressing",
        "True",
        &["no Deployments on a Friday"],
    );
    room.event("demo", 0, "ActionFailed", &["no Deployments on a Friday"]);
    assert_eq!(room.condition("demo", "Ready").status, "False");
    let tries = |suite: &Suite| {
        let requests = suite.requests();
        let key = ("patch".to_owned(), "deployments".to_owned());
        requests.get(&key).copied().unwrap_or_default()
    };
    let (before, since, cpu) = (tries(&suite), Instant::now(), suite.operator.cpu_seconds());
    thread::sleep(Duration::from_secs(12));
    let more = tries(&suite) - before;
    calm(&suite, "under a policy that refuses", since, cpu);
    println!("  {more} tries in 12 s");
    assert!((1..=8).contains(&more), "{more} tries in 12 s");
    let told = room
        .events("demo")
        .iter()
        .filter(|e| e.reason == "ActionFailed")
        .count();
    assert_eq!(told, 1, "{:#?}", room.events("demo"));
    allow(&room);
    room.ready("demo", START);
}

/// A policy that refuses an edit of a cluster that is Ready: neither the status nor `kubectl wait` says that it was carried out, and
/// when the policy goes it is.
#[test]
fn a_policy_that_refuses_an_edit() {
    let mut suite = suite();
    let room = suite.room("friday");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    refuse(&room, "UPDATE", || {
        let probe = format!(
            "{}?dryRun=All",
            path(room.at("deployments", "demo-querynode"))
        );
        let touch = json!({"metadata": {"annotations": {"touched": "yes"}}});
        let content = "application/merge-patch+json";
        room.api.request("PATCH", &probe, content, &touch)
    });
    let before = room.names("pods", "demo");
    let env = json!([{"name": "EDITED", "value": "yes"}]);
    room.edit(
        "demo",
        &json!({"spec": {"components": {"queryNode": {"env": env}}}}),
    );
    room.told("demo", "Degraded", "True", &["no Deployments on a Friday"]);
    room.told("demo", "Updated", "False", &[]);
    for condition in ["Ready", "Updated"] {
        let named = format!("--for=condition={condition}");
        let wait = ["wait", &named, "milvuscluster/demo", "--timeout=3s"];
        let waited = room.kubectl.try_run(&wait);
        assert!(!waited.ok(), "{condition}: {}", waited.text());
    }
    assert_eq!(before, room.names("pods", "demo"));
    allow(&room);
    room.ready("demo", START);
    assert_eq!(room.condition("demo", "Updated").status, "True");
    assert_ne!(before, room.names("pods", "demo"));
}

/// A request of the operator's account that never ends: its body does not come. While it is served, a level of priority that has
/// no room serves nobody else; without it one at a time gets through.
fn occupy(suite: &Suite, room: &Room) -> Child {
    let kubeconfig = suite.bed.kubeconfig(&format!("sa:{HOME}/milvus-operator"));
    let config = std::fs::read_to_string(kubeconfig).unwrap();
    let config: Value = serde_saphyr::from_str(&config).unwrap();
    let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap();
    let token = config["users"][0]["user"]["token"].as_str().unwrap();
    let mut command = bound("curl");
    command
        .args(["-sk", "--upload-file", "-", "-X", "PATCH"])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .args(["-H", "Content-Type: application/merge-patch+json"])
        .arg(format!(
            "{server}{}",
            path(room.at("deployments", "demo-proxy"))
        ))
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    process::start(command)
}

/// Too many requests (429): the API server sheds ours; we wait as it says, and go on.
#[test]
fn overloaded() {
    let mut suite = suite();
    let room = suite.room("shed");
    room.create(&room.cluster("demo"));
    room.ready("demo", START);
    let level = json!({"metadata": {"name": "suite-none", "labels": {"suite": "yes"}}, "spec": {"type": "Limited",
        "limited": {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}}});
    let schema = json!({"metadata": {"name": "suite-none", "labels": {"suite": "yes"}}, "spec": {
        "matchingPrecedence": 2, "priorityLevelConfiguration": {"name": "suite-none"},
        "rules": [{"subjects": [{"kind": "ServiceAccount", "serviceAccount": {"namespace": HOME, "name": "milvus-operator"}}],
            "resourceRules": [{"verbs": ["get", "patch", "create"], "apiGroups": ["*"], "resources": ["*"], "namespaces": [room.namespace]}]}]}});
    room.api
        .create("prioritylevelconfigurations", "", &level)
        .unwrap();
    room.api.create("flowschemas", "", &schema).unwrap();
    let refused = |suite: &Suite| -> u64 {
        let all = suite.bed.requests(&suite.account);
        all.iter()
            .filter(|(r, _)| r.code == 429)
            .map(|(_, n)| n)
            .sum()
    };
    thread::sleep(Duration::from_secs(2)); // until it is in force
    let mut occupant = occupy(&suite, &room);
    thread::sleep(Duration::from_secs(1));
    let (before, since, cpu) = (
        refused(&suite),
        Instant::now(),
        suite.operator.cpu_seconds(),
    );
    room.change(
        "deployments",
        "demo-proxy",
        &json!({"spec": {"replicas": 2}}),
    );
    thread::sleep(Duration::from_secs(10));
    let more = refused(&suite) - before;
    calm(&suite, "while requests were shed", since, cpu);
    println!("  {more} requests were answered with 429 in 10 s");
    assert!((1..=60).contains(&more), "{more}");
    drop(occupant.kill());
    drop(occupant.wait());
    room.api
        .delete(at("flowschemas", "", "suite-none"), "Background");
    room.api.delete(
        at("prioritylevelconfigurations", "", "suite-none"),
        "Background",
    );
    wait::timed("the repair", START, || {
        let proxy = room.get("deployments", "demo-proxy");
        let replicas = &proxy["spec"]["replicas"];
        (*replicas == 1).then_some(()).ok_or(replicas.to_string())
    });
    room.ready("demo", START);
}
