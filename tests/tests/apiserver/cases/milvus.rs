//! The definition that all this is for.

use super::List;

/// The samples that people start from, and what may not be done to them.
pub(super) fn milvus(list: &mut List) {
    const SAMPLES: &[(&str, &str)] = &[
        ("demo", include_str!("../../../../deploy/samples/demo.yaml")),
        (
            "reference",
            include_str!("../../../../deploy/samples/reference.yaml"),
        ),
        (
            "standalone-minimal",
            include_str!("../../../../deploy/samples/standalone-minimal.yaml"),
        ),
        (
            "cluster-2.6-woodpecker",
            include_str!("../../../../deploy/samples/cluster-2.6-woodpecker.yaml"),
        ),
        (
            "external-dependencies",
            include_str!("../../../../deploy/samples/external-dependencies.yaml"),
        ),
        (
            "environments",
            include_str!("../../../../deploy/samples/environments.yaml"),
        ),
    ];
    for (name, sample) in SAMPLES {
        list.kubectl(&format!("milvus {name}: apply"), "apply -f -", sample);
        list.kubectl(&format!("milvus {name}: apply again"), "apply -f -", sample);
        list.kubectl(&format!("milvus {name}: get"), "get -o yaml -f -", sample);
        list.kubectl(&format!("milvus {name}: diff"), "diff -f -", sample);
    }
    list.kubectl("milvus: get all", "get milvus -A", "");
    list.kubectl("milvus: wide", "get mvc -A -o wide", "");
    let one = |spec: &str| {
        format!(
            "apiVersion: operator.milvus.io/v1beta1\nkind: MilvusCluster\nmetadata: {{name: wrong}}\nspec: {spec}\n"
        )
    };
    for (name, spec) in [
        ("unknown field", "{mod: cluster}"),
        ("mode", "{mode: both}"),
        ("type", "{components: {proxy: {replicas: many}}}"),
        ("negative", "{components: {proxy: {replicas: -2}}}"),
        (
            "negative scale",
            "{components: {queryNode: {replicas: -1}}}",
        ),
        ("queue", "{dependencies: {msgStreamType: carrier-pigeon}}"),
        (
            "autoscaling",
            "{components: {proxy: {autoscaling: {minReplicas: 5, maxReplicas: 2}}}}",
        ),
        (
            "environment",
            "{components: {env: [{name: A, value: x, valueFrom: {secretKeyRef: {name: s, key: k}}}]}}",
        ),
        (
            "repeated environment",
            "{components: {env: [{name: A, value: x}, {name: A, value: y}]}}",
        ),
        (
            "quantity",
            "{components: {resources: {limits: {memory: lots}}}}",
        ),
        ("empty", "{}"),
        ("null", "null"),
    ] {
        list.kubectl(&format!("milvus wrong: {name}"), "apply -f -", &one(spec));
        list.kubectl(
            &format!("milvus wrong, not validated: {name}"),
            "apply --validate=false --dry-run=server -o yaml -f -",
            &one(spec),
        );
    }
    let changed = SAMPLES[0]
        .1
        .replace("msgStreamType: pulsar", "msgStreamType: kafka");
    list.kubectl("milvus: another queue", "apply -f -", &changed);
    list.kubectl(
        "milvus: explain",
        "explain milvuscluster.spec --recursive",
        "",
    );
    list.kubectl("milvus: explain a field", "explain mvc.spec.mode", "");
    list.kubectl("milvus: explain status", "explain mvc.status", "");
    list.kubectl("milvus: delete", "delete mvc --all -A", "");
}
