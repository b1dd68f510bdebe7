//! The chart as it is: all namespaces.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use milvus_kubernetes::Kind;
use milvus_kubernetes::rbac::Place;
use milvus_tests::wait;
use serde_json::{Value, json};

use crate::bed::{Bed, DEFINITION, SOON, chart, granted, nothing_refused, repository, used};

const HOME: &str = "milvus-system";
const RELEASE: &str = "milvus-operator";
const TEAM: &str = "team-a";
/// Of the Prometheus operator's type, what an API server needs to take them.
const POD_MONITORS: &str = include_str!("podmonitors.yaml");

/// A cluster of every kind of object that there is.
fn demo() -> Value {
    let path = repository().join("deploy/samples/demo.yaml");
    let mut demo: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).expect("the sample");
    demo["metadata"]["namespace"] = TEAM.into();
    demo["spec"]["deletionPolicy"] = "Delete".into();
    demo["spec"]["components"]["proxy"]["ingress"] = json!({"hosts": ["milvus.example.org"]});
    demo
}

pub fn story(bed: &Bed) {
    let kubectl = bed.kubectl();
    kubectl.pipe(&["apply", "-f", "-"], POD_MONITORS).expect();
    kubectl.run(&["create", "namespace", TEAM]);

    println!("installed where pods are restricted");
    bed.restricted(HOME);
    bed.helm(&[
        "install",
        RELEASE,
        &chart(),
        "--namespace",
        HOME,
        "--set=wireChecks=platform,replicas=2,log=info\\,milvus_operator=debug",
        "--wait",
        "--timeout=60s",
    ]);
    let operator = bed.operator(HOME, RELEASE);

    println!("a cluster from nothing, with every kind of object");
    let start = Instant::now();
    kubectl.apply(&demo());
    bed.ready(TEAM, "demo");
    println!("  Ready {:.1} s after apply", start.elapsed().as_secs_f64());
    let team = kubectl.namespace(TEAM);

    println!("removed and edited by hand, put back");
    team.run(&["delete", "deployment", "demo-proxy"]);
    team.run(&["delete", "ingress", "demo-milvus"]);
    team.run(&[
        "patch",
        "podmonitor",
        "demo-milvus",
        "--type=merge",
        "-p",
        r#"{"spec":{"podMetricsEndpoints":[]}}"#,
    ]);
    wait::until("all three to be back", SOON, || {
        team.try_run(&["get", "deployment/demo-proxy", "ingress/demo-milvus"])
            .result()?;
        let endpoints = "jsonpath={.spec.podMetricsEndpoints[*].port}";
        let monitor = team.run(&["get", "podmonitor/demo-milvus", "-o", endpoints]);
        (!monitor.is_empty())
            .then_some(())
            .ok_or_else(|| "the PodMonitor has no ports".to_owned())
    });
    bed.ready(TEAM, "demo");

    println!("deleted with its data");
    bed.gone(TEAM, "demo");
    assert_eq!(
        team.run(&["get", "persistentvolumeclaims", "-o", "name"]),
        ""
    );

    println!("what was granted is what was used, and nothing was refused");
    nothing_refused(bed, &operator.account);
    exactly_as_granted(bed, &operator.account);

    println!("the operator goes; the definition, the clusters and their processes stay");
    kubectl.apply(&demo());
    bed.ready(TEAM, "demo");
    let pods = || team.run(&["get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"]);
    let before = pods();
    operator.stop();
    bed.helm(&["uninstall", RELEASE, "--namespace", HOME, "--wait"]);
    let account = format!("system:serviceaccount:{HOME}:{RELEASE}");
    assert!(!bed.may(&account, &["list", "pods", "--all-namespaces"]));
    for what in [
        "clusterroles",
        "clusterrolebindings",
        "roles",
        "deployments",
    ] {
        let select = "app.kubernetes.io/name=milvus-operator";
        let left = kubectl.run(&["get", what, "-A", "-l", select, "-o", "name"]);
        assert_eq!(left, "", "{what} stayed");
    }
    wait::throughout("the cluster stays", Duration::from_secs(3), || {
        let cluster = team.cluster("demo").ok_or("it is gone")?;
        if cluster["metadata"]["deletionTimestamp"].is_null() && pods() == before {
            Ok(())
        } else {
            Err(cluster["metadata"].to_string())
        }
    });

    println!(
        "the chart comes back: an older definition is as it was, until it is applied as the notes say"
    );
    let without = r#"[{"op": "remove", "path": "/spec/names/shortNames"}]"#;
    kubectl.run(&["patch", "crd", DEFINITION, "--type=json", "-p", without]);
    let short_names = || {
        let path = "jsonpath={.spec.names.shortNames}";
        kubectl.run(&["get", "crd", DEFINITION, "-o", path])
    };
    bed.helm(&[
        "install",
        RELEASE,
        &chart(),
        "--namespace",
        HOME,
        "--set=wireChecks=platform",
        "--wait",
        "--timeout=60s",
    ]);
    assert_eq!(short_names(), "");
    kubectl.run(&["apply", "-f", &format!("{}/crds", chart())]);
    assert_eq!(short_names(), r#"["mvc"]"#);

    println!("its operator takes the cluster over");
    let operator = bed.operator(HOME, RELEASE);
    bed.ready(TEAM, "demo");
    assert_eq!(pods(), before, "taking over restarts nothing");
    bed.gone(TEAM, "demo");
    nothing_refused(bed, &operator.account);
    operator.stop();
    bed.helm(&["uninstall", RELEASE, "--namespace", HOME, "--wait"]);
    kubectl.run(&["get", "crd", DEFINITION]);
}

/// Every right is used by the life of one cluster, and nothing is asked for beyond. Three rights are not seen in requests: to make an
/// object by server-side apply (the request is a patch), to look at one that stands already where it is to be made (none does
/// here; and this cluster names no Secret), and to block the deletion of an owner (asked for at admission).
fn exactly_as_granted(bed: &Bed, account: &str) {
    let requests = bed.cluster.requests(account);
    let home = |namespace: &str| namespace == HOME;
    let (lease, watched): (Vec<_>, Vec<_>) = requests.keys().partition(|r| home(&r.namespace));
    assert_eq!(used(lease), granted(Place::Lease));
    let unseen: BTreeSet<_> = Kind::ALL
        .iter()
        .filter(|kind| ![Kind::ConfigMap, Kind::Secret].contains(kind))
        .map(|kind| ("create", kind.group(), kind.plural()))
        .chain(
            Kind::ALL
                .iter()
                .filter(|kind| **kind != Kind::ConfigMap)
                .map(|kind| ("get", kind.group(), kind.plural())),
        )
        .chain([("update", "operator.milvus.io", "milvusclusters/finalizers")])
        .map(|(verb, group, resource)| (verb.to_owned(), group.to_owned(), resource.to_owned()))
        .collect();
    let mut seen = used(watched);
    for one in unseen {
        assert!(seen.insert(one.clone()), "{one:?} is seen in requests");
    }
    let granted = granted(Place::Watched);
    let unused: Vec<_> = granted.difference(&seen).collect();
    let beyond: Vec<_> = seen.difference(&granted).collect();
    assert!(unused.is_empty(), "granted and not used: {unused:#?}");
    assert!(beyond.is_empty(), "used and not granted: {beyond:#?}");
    println!(
        "  {} rights, all of them used; {} requests",
        granted.len(),
        requests.values().sum::<u64>()
    );
}
