//! kubectl, as people use it.

use super::{List, yaml};

pub(super) fn kubectl(list: &mut List) {
    let one = yaml("one", "{version: v1.0.0, replicas: 2}");
    let changed = yaml("one", "{version: v1.0.0, replicas: 4, storage: fast}");
    list.kubectl("kubectl apply: create", "apply -f -", &one);
    list.kubectl("kubectl apply: unchanged", "apply -f -", &one);
    list.kubectl("kubectl diff", "diff -f -", &changed);
    list.kubectl(
        "kubectl apply: dry run",
        "apply --dry-run=server -f -",
        &changed,
    );
    list.kubectl("kubectl apply: change", "apply -f -", &changed);
    list.kubectl(
        "kubectl apply: unknown field",
        "apply -f -",
        &yaml("one", "{version: v1.0.0, foo: 1}"),
    );
    list.kubectl(
        "kubectl apply: unknown field, warn",
        "apply --validate=warn -f -",
        &yaml("one", "{version: v1.0.0, foo: 1}"),
    );
    list.kubectl(
        "kubectl apply: unknown field, not validated",
        "apply --validate=false -f -",
        &yaml("one", "{version: v1.0.0, foo: 1}"),
    );
    list.kubectl(
        "kubectl apply: invalid",
        "apply -f -",
        &yaml("one", "{version: v1.0.0, mode: x, replicas: -1}"),
    );
    list.kubectl(
        "kubectl apply: rule",
        "apply -f -",
        &yaml("two", "{version: v1.0.0, mode: standalone, replicas: 3}"),
    );
    list.kubectl(
        "kubectl apply: wrong type",
        "apply -f -",
        &yaml("two", "{version: 5}"),
    );
    list.kubectl(
        "kubectl apply: unknown kind",
        "apply -f -",
        &one.replace("kind: Widget", "kind: Gadget"),
    );
    list.kubectl(
        "kubectl apply: missing namespace",
        "-n nowhere apply -f -",
        &one,
    );
    list.kubectl(
        "kubectl create",
        "create -f -",
        &yaml("two", "{version: v1.2.0}"),
    );
    list.kubectl(
        "kubectl create: twice",
        "create -f -",
        &yaml("two", "{version: v1.2.0}"),
    );
    list.kubectl(
        "kubectl create: generated name",
        "create -f -",
        &yaml("x", "{version: v1.0.0}").replace("name: x", "generateName: gen-"),
    );
    list.kubectl(
        "kubectl replace",
        "replace -f -",
        &yaml("two", "{version: v1.3.0, storage: fast}"),
    );
    list.kubectl(
        "kubectl replace: immutable",
        "replace -f -",
        &yaml("two", "{version: v1.3.0, storage: slow}"),
    );
    list.kubectl("kubectl get", "get widgets one two", "");
    list.kubectl("kubectl get: wide", "get wd one -o wide", "");
    list.kubectl("kubectl get: yaml", "get wd/one -o yaml", "");
    list.kubectl("kubectl get: name", "get wd one two -o name", "");
    list.kubectl(
        "kubectl get: jsonpath",
        "get wd one -o jsonpath={.spec.replicas}",
        "",
    );
    list.kubectl(
        "kubectl get: sorted",
        "get wd one two --sort-by=.spec.replicas",
        "",
    );
    list.kubectl("kubectl get: labels", "get wd one --show-labels", "");
    list.kubectl("kubectl get: not there", "get wd nothing", "");
    list.kubectl("kubectl get: unknown resource", "get gadgets", "");
    list.kubectl("kubectl get: nothing selected", "get wd -l a=b", "");
    list.kubectl(
        "kubectl get: field selector",
        "get wd --field-selector metadata.name=one",
        "",
    );
    list.kubectl(
        "kubectl get: bad field selector",
        "get wd --field-selector spec.bogus=one",
        "",
    );
    list.kubectl(
        "kubectl get: all of a category",
        "get all --field-selector metadata.name=one",
        "",
    );
    list.kubectl("kubectl describe", "describe wd one", "");
    list.kubectl("kubectl explain", "explain widget.spec.version", "");
    list.kubectl("kubectl explain: root", "explain widgets --recursive", "");
    list.kubectl(
        "kubectl explain: metadata",
        "explain widget.metadata.name",
        "",
    );
    list.kubectl(
        "kubectl api-resources",
        "api-resources --api-group=testbed.example.io",
        "",
    );
    list.kubectl("kubectl label", "label wd one tier=x", "");
    list.kubectl("kubectl label: again", "label wd one tier=y", "");
    list.kubectl("kubectl annotate", "annotate wd one note=hello", "");
    list.kubectl("kubectl scale", "scale wd one --replicas=3", "");
    list.kubectl(
        "kubectl scale: precondition",
        "scale wd one --current-replicas=9 --replicas=2",
        "",
    );
    list.kubectl(
        "kubectl scale: precondition holds",
        "scale wd one --current-replicas=3 --replicas=2",
        "",
    );
    list.kubectl(
        "kubectl patch: merge",
        "patch wd one --type=merge -p {\"spec\":{\"replicas\":1}}",
        "",
    );
    list.kubectl(
        "kubectl patch: json",
        "patch wd one --type=json -p [{\"op\":\"remove\",\"path\":\"/spec/absent\"}]",
        "",
    );
    list.kubectl(
        "kubectl patch: strategic",
        "patch wd one -p {\"spec\":{\"replicas\":1}}",
        "",
    );
    list.kubectl("kubectl patch: status", "patch wd one --subresource=status --type=merge -p {\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}", "");
    list.kubectl(
        "kubectl wait: condition",
        "wait wd/one --for=condition=Ready --timeout=5s",
        "",
    );
    list.kubectl(
        "kubectl wait: times out",
        "wait wd/one --for=condition=Other --timeout=1s",
        "",
    );
    list.kubectl("kubectl get: ready", "get wd one", "");
    list.kubectl(
        "kubectl get: streamed",
        "get wd one --watch --request-timeout=1s",
        "",
    );
    list.kubectl("kubectl create namespace", "create namespace shop", "");
    list.kubectl(
        "kubectl create secret",
        "create secret generic sec --from-literal=a=b",
        "",
    );
    list.kubectl(
        "kubectl create configmap",
        "create configmap cm --from-literal=a=b",
        "",
    );
    list.kubectl("kubectl get secrets", "get secret sec", "");
    list.kubectl("kubectl describe secret", "describe secret sec", "");
    list.kubectl("kubectl get configmaps", "get cm cm", "");
    list.kubectl("kubectl get events", "get events", "");
    list.kubectl("kubectl events", "events --for widget/full", "");
    list.kubectl("kubectl auth can-i", "auth can-i create widgets", "");
    list.kubectl(
        "kubectl auth whoami",
        "auth whoami -o jsonpath={.status.userInfo.username}",
        "",
    );
    list.kubectl("kubectl delete", "delete wd one two", "");
    list.kubectl("kubectl delete: not there", "delete wd one", "");
    list.kubectl(
        "kubectl delete: ignored",
        "delete wd one --ignore-not-found",
        "",
    );
    list.kubectl("kubectl delete: all", "delete wd --all -o name", "");
    list.kubectl("kubectl get: none", "get wd", "");
}
