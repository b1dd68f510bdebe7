//! The chart for a few namespaces, installed by somebody who may do nothing in the cluster as a whole.

use std::collections::BTreeSet;
use std::time::Duration;

use milvus_tests::wait;
use serde_json::Value;

use crate::bed::{Bed, SOON, chart, helm, nothing_refused, repository};

const HOME: &str = "ops";
const ACCOUNT: &str = "system:serviceaccount:ops:milvus-milvus-operator";

/// The smallest sample, in a namespace.
pub fn minimal(namespace: &str) -> Value {
    let path = repository().join("deploy/samples/standalone-minimal.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut minimal: Value = serde_saphyr::from_str(&text).expect("the sample");
    minimal["metadata"]["namespace"] = namespace.into();
    minimal["spec"]["deletionPolicy"] = "Delete".into();
    minimal
}

pub fn story(bed: &Bed) {
    let kubectl = bed.kubectl();
    bed.restricted(HOME);
    for team in ["team-b", "team-c", "team-d"] {
        kubectl.run(&["create", "namespace", team]);
    }

    println!(
        "installed with no right outside of its namespaces; the definition is the administrator's"
    );
    kubectl.run(&["apply", "-f", &format!("{}/crds", chart())]);
    let lead = bed.cluster.kubeconfig("user:lead");
    for namespace in [HOME, "team-b", "team-c", "team-d"] {
        let names = [
            "create",
            "rolebinding",
            "lead",
            "--clusterrole=cluster-admin",
        ];
        kubectl
            .namespace(namespace)
            .run(&[&names[..], &["--user=lead"]].concat());
    }
    let install = |release: &str, namespaces: &str| {
        let chart = chart();
        let set = format!("--set=wireChecks=platform,watchNamespaces={{{namespaces}}}");
        let args = ["install", release, &chart, "--namespace", HOME, &set];
        let rest = ["--skip-crds", "--wait", "--timeout=60s"];
        helm(Some(&lead), &[&args[..], &rest].concat())
    };
    install("milvus", "team-b,team-c").expect();
    for kind in ["clusterroles", "clusterrolebindings"] {
        let select = "app.kubernetes.io/name=milvus-operator";
        assert_eq!(kubectl.run(&["get", kind, "-l", select, "-o", "name"]), "");
    }
    let operator = bed.operator(HOME, "milvus-milvus-operator");
    assert_eq!(operator.account, ACCOUNT);

    println!("what is in its namespaces is looked after, what is in others is left alone");
    for team in ["team-b", "team-c", "team-d"] {
        kubectl.apply(&minimal(team));
    }
    bed.ready("team-b", "minimal");
    bed.ready("team-c", "minimal");
    let other = kubectl.namespace("team-d");
    wait::throughout("team-d is left alone", Duration::from_secs(2), || {
        let cluster = other.cluster("minimal").ok_or("no resource")?;
        cluster["status"]
            .is_null()
            .then_some(())
            .ok_or_else(|| cluster["status"].to_string())
    });
    for question in [
        &["list", "secrets", "-n", "team-d"][..],
        &["list", "secrets", "--all-namespaces"],
        &["get", "secrets", "-n", HOME],
        &["create", "deployments", "-n", HOME],
    ] {
        assert!(!bed.may(ACCOUNT, question), "{question:?}");
    }
    assert!(bed.may(ACCOUNT, &["list", "secrets", "-n", "team-b"]));

    println!("a second operator in the same namespace, for another team");
    install("other", "team-d").expect();
    let second = bed.operator(HOME, "other-milvus-operator");
    bed.ready("team-d", "minimal");
    let leases = kubectl
        .namespace(HOME)
        .run(&["get", "leases", "-o", "name"]);
    assert_eq!(leases.lines().count(), 2, "{leases}");

    for team in ["team-b", "team-c", "team-d"] {
        bed.gone(team, "minimal");
    }
    let accounts = [operator.account.clone(), second.account.clone()];
    let places = [&["ops", "team-b", "team-c"][..], &["ops", "team-d"]];
    for (account, places) in accounts.iter().zip(places) {
        nothing_refused(bed, account);
        let requests = bed.cluster.requests(account);
        let asked: BTreeSet<&str> = requests.keys().map(|r| r.namespace.as_str()).collect();
        assert_eq!(asked, BTreeSet::from_iter(places.iter().copied()));
    }

    println!(
        "a namespace goes, and the roles in it: the others are looked after by the next operator too"
    );
    operator.stop();
    kubectl.run(&["delete", "namespace", "team-c", "--timeout=25s"]);
    let operator = bed.operator(HOME, "milvus-milvus-operator");
    kubectl.apply(&minimal("team-b"));
    bed.ready("team-b", "minimal");
    bed.gone("team-b", "minimal");
    let only = "--set=watchNamespaces={team-b}";
    let chart = chart();
    let args = ["upgrade", "milvus", &chart, "--namespace", HOME, only];
    helm(
        Some(&lead),
        &[&args[..], &["--reuse-values", "--wait"]].concat(),
    )
    .expect();

    println!("uninstalled");
    operator.stop();
    second.stop();
    for release in ["milvus", "other"] {
        let args = ["uninstall", release, "--namespace", HOME, "--wait"];
        helm(Some(&lead), &args).expect();
    }
    wait::until("no role to be left", SOON, || {
        let select = "app.kubernetes.io/name=milvus-operator";
        let left = kubectl.run(&[
            "get",
            "roles,rolebindings",
            "-A",
            "-l",
            select,
            "-o",
            "name",
        ]);
        left.is_empty().then_some(()).ok_or(left)
    });
}
