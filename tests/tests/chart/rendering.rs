//! What the chart renders, by Helm alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use k8s_openapi::api::rbac::v1::PolicyRule;
use milvus_kubernetes::rbac::{Place, Right, rights};
use serde_json::Value;

use crate::bed::{chart, helm, repository};

/// A release's objects.
fn template(release: &str, set: &[&str]) -> Vec<Value> {
    let text = text(release, set);
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    documents.into_iter().filter(|d| !d.is_null()).collect()
}

fn text(release: &str, set: &[&str]) -> String {
    let chart = chart();
    let mut args = vec!["template", release, &chart];
    // A helm that was built from modules takes the cluster for an old one.
    args.extend(["--kube-version=v1.34.4", "--namespace=milvus-system"]);
    args.extend(set);
    helm(None, &args).expect()
}

/// The objects of a kind, by namespace and name.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> BTreeMap<String, &'a Value> {
    let name = |o: &Value| {
        let namespace = o["metadata"]["namespace"].as_str().unwrap_or("");
        format!("{namespace}/{}", o["metadata"]["name"].as_str().unwrap())
    };
    let found = objects.iter().filter(|o| o["kind"] == kind);
    found.map(|o| (name(o), o)).collect()
}

fn rules(role: &Value) -> Vec<PolicyRule> {
    serde_json::from_value(role["rules"].clone()).expect("rules")
}

fn table(place: Place, lease: &str) -> Vec<PolicyRule> {
    let here = rights(lease).into_iter().filter(|r| r.place == place);
    here.map(|right: Right| right.rule()).collect()
}

fn names(found: &BTreeMap<String, &Value>) -> Vec<String> {
    found.keys().cloned().collect()
}

#[test]
fn helm_finds_nothing_to_complain_of() {
    let chart = chart();
    let said = helm(None, &["lint", "--strict", &chart]).expect();
    assert!(said.contains("0 chart(s) failed"), "{said}");
}

#[test]
fn bad_values_are_refused_with_their_path() {
    let refused = [
        ("replica=2", "replica"),
        ("replicas=many", "replicas"),
        ("replicas=-1", "replicas"),
        ("image.tags=dev", "tags"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("image.tag=a b", "tag"),
        ("watchNamespaces=team-a", "watchNamespaces"),
        ("watchNamespaces={Team}", "watchNamespaces/0"),
        ("watchNamespaces={a,a}", "watchNamespaces"),
        ("wireChecks=none", "wireChecks"),
        ("metrics.port=80", "port"),
        ("metrics.address=everywhere", "address"),
        (
            "metrics.serviceMonitor.enabled=true,metrics.service.enabled=false",
            "service",
        ),
        (
            "metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true",
            "podMonitor",
        ),
        ("metrics.podMonitor.interval=often", "interval"),
        ("resources.limits.memory=much", "memory"),
        ("resources.limit.memory=1Gi", "limit"),
        ("rbac.create=maybe", "create"),
        ("serviceAccount.name=Me", "name"),
        (
            "podLabels.app\\.kubernetes\\.io/managed-by=milvus-operator",
            "podLabels",
        ),
        ("extraEnv[0].value=x", "extraEnv/0"),
    ];
    for (set, field) in refused {
        let chart = chart();
        let set = format!("--set={set}");
        let args = ["template", "x", &chart, "--kube-version=v1.34.4", &set];
        let said = helm(None, &args);
        assert!(!said.ok(), "{set} was taken");
        let text = said.text();
        assert!(
            text.contains("don't meet the specifications of the schema") && text.contains(field),
            "{set}: {text}"
        );
    }
    // A chart of which this one is a part sets this.
    template("x", &["--set=global.anything=1"]);
}

#[test]
fn for_all_namespaces_there_is_one_cluster_role() {
    let objects = template("milvus-operator", &[]);
    let cluster = of_kind(&objects, "ClusterRole");
    assert_eq!(names(&cluster), ["/milvus-operator"]);
    assert_eq!(
        rules(cluster["/milvus-operator"]),
        table(Place::Watched, "")
    );
    let roles = of_kind(&objects, "Role");
    assert_eq!(names(&roles), ["milvus-system/milvus-operator-lease"]);
    assert_eq!(
        rules(roles["milvus-system/milvus-operator-lease"]),
        table(Place::Lease, "milvus-operator")
    );
    bound(
        &objects,
        "ClusterRoleBinding",
        "ClusterRole",
        "milvus-operator",
    );
    bound(&objects, "RoleBinding", "Role", "milvus-operator");
}

#[test]
fn for_a_few_namespaces_there_is_a_role_in_each_and_none_in_the_cluster() {
    let objects = template("mine", &["--set=watchNamespaces={team-a,team-b}"]);
    let whole: BTreeSet<&str> = objects
        .iter()
        .filter(|o| o["metadata"]["namespace"].is_null())
        .filter_map(|o| o["kind"].as_str())
        .collect();
    assert!(whole.is_empty(), "in the cluster as a whole: {whole:?}");
    let roles = of_kind(&objects, "Role");
    let name = "mine-milvus-operator";
    let lease = format!("milvus-system/{name}-lease");
    let wanted = [
        lease.clone(),
        format!("team-a/{name}"),
        format!("team-b/{name}"),
    ];
    assert_eq!(names(&roles), wanted);
    assert_eq!(rules(roles[&lease]), table(Place::Lease, name));
    for role in &wanted[1..] {
        assert_eq!(rules(roles[role]), table(Place::Watched, ""));
    }
    bound(&objects, "RoleBinding", "Role", name);
}

/// Every role has a binding beside it, to the operator's ServiceAccount and to nobody else.
fn bound(objects: &[Value], binding: &str, role: &str, account: &str) {
    let bindings = of_kind(objects, binding);
    assert_eq!(names(&bindings), names(&of_kind(objects, role)));
    for (at, binding) in bindings {
        assert_eq!(binding["roleRef"]["kind"], role);
        assert_eq!(
            binding["roleRef"]["name"], binding["metadata"]["name"],
            "{at}"
        );
        let subjects = serde_json::json!([
            {"kind": "ServiceAccount", "name": account, "namespace": "milvus-system"}
        ]);
        assert_eq!(binding["subjects"], subjects, "{at}");
    }
}

#[test]
fn what_is_optional_is_there_when_asked_for() {
    let kinds = |set: &[&str]| -> BTreeSet<String> {
        let objects = template("milvus-operator", set);
        let kinds = objects
            .iter()
            .map(|o| o["kind"].as_str().unwrap().to_owned());
        kinds.collect()
    };
    let plain = kinds(&[]);
    for kind in [
        "PodDisruptionBudget",
        "PodMonitor",
        "ServiceMonitor",
        "CustomResourceDefinition",
    ] {
        assert!(!plain.contains(kind), "{kind}");
    }
    for (set, kind) in [
        ("--set=replicas=2", "PodDisruptionBudget"),
        ("--set=metrics.podMonitor.enabled=true", "PodMonitor"),
        (
            "--set=metrics.serviceMonitor.enabled=true",
            "ServiceMonitor",
        ),
    ] {
        let more: Vec<_> = kinds(&[set]).difference(&plain).cloned().collect();
        assert_eq!(more, [kind], "{set}");
    }
    for (set, absent) in [
        ("--set=metrics.service.enabled=false", &["Service"][..]),
        ("--set=serviceAccount.create=false", &["ServiceAccount"]),
        (
            "--set=rbac.create=false",
            &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
        ),
    ] {
        let less: Vec<_> = plain.difference(&kinds(&[set])).cloned().collect();
        assert_eq!(less, absent, "{set}");
    }
    let deployment = |set: &[&str]| -> Value {
        let objects = template("milvus-operator", set);
        let found = of_kind(&objects, "Deployment");
        found["milvus-system/milvus-operator"]["spec"]["template"]["spec"]["containers"][0].clone()
    };
    let digest = format!("sha256:{}", "a".repeat(64));
    let container = deployment(&[&format!("--set=image.digest={digest}")]);
    assert_eq!(container["image"], format!("milvus-operator@{digest}"));
    let args = deployment(&["--set=metrics.address=::"])["args"].to_string();
    assert!(args.contains("--metrics-listen=[::]:8080"), "{args}");
}

/// Names of digits alone stay names.
#[test]
fn names_of_digits_are_names() {
    let set = [
        "--set-string=fullnameOverride=12",
        "--set-json=watchNamespaces=[\"34\"]",
    ];
    for object in template("56", &set) {
        for field in ["name", "namespace"] {
            assert!(
                object["metadata"][field].is_string(),
                "{}",
                object["metadata"]
            );
        }
        let labels = object["metadata"]["labels"].as_object().unwrap();
        assert!(labels.values().all(Value::is_string), "{labels:?}");
    }
}

/// The chart's objects less what is Helm's.
fn plain(file: &str) -> String {
    let shown = format!("--show-only=templates/{file}");
    let rendered = text("milvus-operator", &[&shown]);
    let ours = |line: &&str| {
        !line.starts_with("# Source:")
            && !line.contains("helm.sh/chart:")
            && !line.contains("app.kubernetes.io/managed-by: Helm")
    };
    let lines: Vec<&str> = rendered.lines().filter(ours).collect();
    lines.join("\n") + "\n"
}

#[test]
fn the_plain_manifests_are_what_the_chart_renders() {
    let wanted = [
        "# The operator. Written from charts/milvus-operator (UPDATE_MANIFESTS=1 cargo test -p milvus-tests --test chart rendering).\n",
        &plain("service.yaml"),
        &plain("deployment.yaml"),
    ]
    .concat();
    let folder = repository().join("deploy/kubernetes");
    let path = folder.join("30-operator.yaml");
    if std::env::var_os("UPDATE_MANIFESTS").is_some() {
        fs::write(&path, &wanted).expect("the file can be written");
    }
    let file = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == wanted,
        "{} is out of date; run the test once with UPDATE_MANIFESTS=1",
        path.display()
    );
    // The rights are written from the table elsewhere; here is whether the chart gives the same to the same.
    let text = fs::read_to_string(folder.join("20-rbac.yaml")).unwrap();
    let manifests: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    let rendered = template("milvus-operator", &[]);
    for kind in [
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
    ] {
        let (ours, charts) = (of_kind(&manifests, kind), of_kind(&rendered, kind));
        assert_eq!(names(&ours), names(&charts));
        for (name, object) in ours {
            for field in [
                "rules",
                "roleRef",
                "subjects",
                "automountServiceAccountToken",
            ] {
                assert_eq!(object[field], charts[&name][field], "{kind} {name}");
            }
        }
    }
}
