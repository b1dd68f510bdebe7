//! What is installed grants what the table of rights says: the rules of the chart and the plain manifests are written from it.
//! `UPDATE_MANIFESTS=1 cargo test -p milvus-kubernetes --test rights` writes them anew.

use std::fs;
use std::path::PathBuf;

use k8s_openapi::api::rbac::v1::PolicyRule;
use milvus_kubernetes::rbac::{Place, Right, rights, yaml};
use serde_json::Value;

/// Name of everything that the plain manifests make.
const NAME: &str = "milvus-operator";
const NAMESPACE: &str = "milvus-system";
const GENERATED: &str = "Written from operator/kubernetes/src/rbac.rs (UPDATE_MANIFESTS=1 cargo test -p milvus-kubernetes --test rights).";

fn at(place: Place, lease: &str) -> Vec<Right> {
    let mut all = rights(lease);
    all.retain(|right| right.place == place);
    all
}

fn is_committed(path: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    if std::env::var_os("UPDATE_MANIFESTS").is_some() {
        fs::write(&path, text).expect("the file can be written");
    }
    let file = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == text,
        "{} is out of date; run the tests once with UPDATE_MANIFESTS=1",
        path.display()
    );
}

/// The chart's rules, as named templates: its roles take them whole.
fn templates() -> String {
    let lease = "{{ include \"milvus-operator.fullname\" . }}";
    let mut text = format!("{{{{/* {GENERATED} */}}}}\n");
    for (name, place) in [("watched", Place::Watched), ("lease", Place::Lease)] {
        text.push_str(&format!(
            "\n{{{{- define \"milvus-operator.rules.{name}\" }}}}\n{}{{{{- end }}}}\n",
            yaml(&at(place, lease), 0)
        ));
    }
    text
}

/// The plain manifests, for an operator that looks at all namespaces.
fn manifests() -> String {
    let names = |name: &str, namespace: Option<&str>| {
        let namespace = namespace.map_or_else(String::new, |n| format!("  namespace: {n}\n"));
        format!(
            "metadata:\n  name: {name}\n{namespace}  labels:\n    app.kubernetes.io/name: {NAME}\n    app.kubernetes.io/instance: {NAME}\n"
        )
    };
    let role = |kind: &str, name: &str, namespace: Option<&str>, place: Place| {
        let api = "apiVersion: rbac.authorization.k8s.io/v1";
        let names = names(name, namespace);
        let rules = yaml(&at(place, NAME), 0);
        format!(
            "---\n{api}\nkind: {kind}\n{names}rules:\n{rules}---\n{api}\nkind: {kind}Binding\n{names}\
             roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {kind}\n  name: {name}\n\
             subjects:\n- kind: ServiceAccount\n  name: {NAME}\n  namespace: {NAMESPACE}\n"
        )
    };
    let lease = format!("{NAME}-lease");
    let account = format!(
        "apiVersion: v1\nkind: ServiceAccount\n{}# The pod asks for its token itself.\nautomountServiceAccountToken: false\n",
        names(NAME, Some(NAMESPACE))
    );
    [
        format!(
            "# Who the operator is, and what it may do. In a few namespaces only: a Role and a RoleBinding with the rules of the ClusterRole in\n\
             # each of them instead of the ClusterRole and its binding.\n# {GENERATED}\n"
        ),
        account,
        role("ClusterRole", NAME, None, Place::Watched),
        role("Role", &lease, Some(NAMESPACE), Place::Lease),
    ]
    .concat()
}

#[test]
fn the_chart_has_the_rules_of_the_table() {
    is_committed("charts/milvus-operator/templates/_rules.tpl", &templates());
}

#[test]
fn the_plain_manifests_have_the_rules_of_the_table() {
    is_committed("deploy/kubernetes/20-rbac.yaml", &manifests());
}

/// The text is written by hand, so it is read again.
#[test]
fn as_yaml_the_rules_say_what_the_table_says() {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&manifests()).expect("the manifests are YAML");
    let rules = |kind: &str| -> Vec<PolicyRule> {
        let found: Vec<_> = documents.iter().filter(|d| d["kind"] == kind).collect();
        assert_eq!(found.len(), 1, "{kind}");
        serde_json::from_value(found[0]["rules"].clone()).expect("rules")
    };
    for (kind, place) in [("ClusterRole", Place::Watched), ("Role", Place::Lease)] {
        let wanted: Vec<PolicyRule> = at(place, NAME).iter().map(Right::rule).collect();
        assert_eq!(rules(kind), wanted);
    }
}
