//! The plain manifests start an operator that understands them.

use clap::Parser as _;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::Value;

use crate::cli::{Cli, Command, Platform, WireChecks};

#[test]
fn the_plain_manifests_arguments_are_understood() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../deploy/kubernetes/30-operator.yaml"
    );
    let text = std::fs::read_to_string(path).expect("the manifests");
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    let found = documents.into_iter().find(|d| d["kind"] == "Deployment");
    let deployment: Deployment =
        serde_json::from_value(found.expect("a Deployment")).expect("a Deployment");
    let pod = deployment.spec.and_then(|s| s.template.spec).expect("pods");
    let container = pod.containers.into_iter().next().expect("a container");
    // The image's entry point is the operator.
    assert_eq!(container.command, None);
    let args = container.args.unwrap_or_default();
    let cli = Cli::try_parse_from(["milvus-operator".to_owned()].into_iter().chain(args))
        .unwrap_or_else(|error| panic!("{error}"));
    let Command::Run(run) = cli.command else {
        panic!("the manifests do not run the operator");
    };
    assert_eq!(run.platform, Platform::Kubernetes);
    let port = container
        .ports
        .iter()
        .flatten()
        .find(|p| p.name.as_deref() == Some("metrics"));
    assert_eq!(
        port.map(|p| p.container_port),
        Some(i32::from(run.metrics_listen.port()))
    );
    assert!(
        run.metrics_listen.ip().is_unspecified(),
        "kubelets ask from outside of the pod"
    );
    assert!(run.kubernetes.leader_elect);
    assert_eq!(run.kubernetes.wire_checks, WireChecks::Full);
    assert_eq!(run.kubernetes.watch_namespaces, Vec::<String>::new());
}
