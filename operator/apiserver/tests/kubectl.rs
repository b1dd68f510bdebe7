//! Every kubectl on the machine against a server on loopback, over TLS, verb by verb.

mod support;

use std::time::Duration;

use support::{Kubectl, Output, kubectls, start, wait_for_text};

/// One command and what it must do.
struct Step {
    what: &'static str,
    args: &'static [&'static str],
    input: &'static str,
    /// Environment variable to set, for editors and other users.
    env: Option<(&'static str, &'static str)>,
    ok: bool,
    out: &'static [&'static str],
    err: &'static [&'static str],
    /// Texts that must not be in the output.
    not: &'static [&'static str],
}

const OK: Step = Step {
    what: "",
    args: &[],
    input: "",
    env: None,
    ok: true,
    out: &[],
    err: &[],
    not: &[],
};
const REFUSED: Step = Step { ok: false, ..OK };

const DEMO: &str = "
apiVersion: test.example.io/v1beta1
kind: Gadget
metadata: {name: demo, labels: {env: prod}}
spec: {version: v1.0, config: {any: {thing: true}}}
";
const DEMO_2: &str = "
apiVersion: test.example.io/v1beta1
kind: Gadget
metadata: {name: demo, labels: {env: prod}}
spec: {version: v1.1, config: {any: {thing: true}}}
";
const OTHER: &str = "
apiVersion: test.example.io/v1beta1
kind: Gadget
metadata: {name: other, labels: {env: dev}}
spec: {version: v2.0, mode: standalone}
";
const HELD: &str = "
apiVersion: test.example.io/v1beta1
kind: Gadget
metadata: {name: held, finalizers: [test.example.io/hold]}
spec: {version: v1.0}
";
const NAMED_BY_SERVER: &str = "
apiVersion: test.example.io/v1beta1
kind: Gadget
metadata: {generateName: made-}
spec: {version: v1.0}
";
const MISSPELT: &str = "
apiVersion: test.example.io/v1beta1
kind: Gadget
metadata: {name: wrong}
spec: {version: v1.0, mdoe: cluster}
";
const BAD_VALUES: &str = "
apiVersion: test.example.io/v1beta1
kind: Gadget
metadata: {name: wrong}
spec: {version: latest, mode: both}
";
const BAD_RULE: &str = "
apiVersion: test.example.io/v1beta1
kind: Gadget
metadata: {name: wrong}
spec: {version: v1.0, mode: standalone, worker: {replicas: 3}}
";
const EVENT: &str = r#"{
"apiVersion": "v1", "kind": "Event", "metadata": {"name": "demo.1", "namespace": "default"},
"involvedObject": {"apiVersion": "test.example.io/v1beta1", "kind": "Gadget", "name": "demo", "namespace": "default", "uid": "@UID@"},
"reason": "Created", "message": "the first worker was created", "type": "Normal", "count": 1,
"firstTimestamp": "2024-01-01T00:00:00Z", "lastTimestamp": "2024-01-01T00:00:00Z", "source": {"component": "test"}
}"#;
const NEW_EVENT: &str = r#"{
"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "demo.2", "namespace": "default"},
"regarding": {"apiVersion": "test.example.io/v1beta1", "kind": "Gadget", "name": "demo", "namespace": "default", "uid": "@UID@"},
"reason": "Waiting", "action": "Reconcile", "note": "waits for the store", "type": "Warning",
"eventTime": "2024-01-01T00:00:00.000000Z", "reportingController": "test", "reportingInstance": "test-1"
}"#;
const SECRET: &str = "
apiVersion: v1
kind: Secret
metadata: {name: applied}
stringData: {user: ann}
";

const STEPS: &[Step] = &[
    Step {
        what: "version",
        args: &["version"],
        out: &["Server Version: v1.32.0+test"],
        ..OK
    },
    Step {
        what: "raw health",
        args: &["get", "--raw", "/readyz"],
        out: &["ok"],
        ..OK
    },
    Step {
        what: "api-resources",
        args: &["api-resources"],
        out: &[
            "gadgets",
            "gdg",
            "test.example.io/v1beta1",
            "Gadget",
            "secrets",
            "namespaces",
        ],
        ..OK
    },
    Step {
        what: "api-versions",
        args: &["api-versions"],
        out: &["test.example.io/v1beta1", "v1"],
        ..OK
    },
    Step {
        what: "explain",
        args: &["explain", "gadget.spec"],
        out: &["What is wanted.", "mode", "version"],
        ..OK
    },
    Step {
        what: "explain a field",
        args: &["explain", "gadget.spec.mode"],
        out: &["How it runs."],
        ..OK
    },
    Step {
        what: "list of nothing",
        args: &["get", "gadgets"],
        err: &["No resources found in default namespace."],
        ..OK
    },
    Step {
        what: "apply creates",
        args: &["apply", "-f", "-"],
        input: DEMO,
        out: &["gadget.test.example.io/demo created"],
        ..OK
    },
    Step {
        what: "apply of the same changes nothing",
        args: &["apply", "-f", "-"],
        input: DEMO,
        out: &["gadget.test.example.io/demo unchanged"],
        ..OK
    },
    Step {
        what: "diff shows the change",
        args: &["diff", "-f", "-"],
        input: DEMO_2,
        out: &["-  version: v1.0", "+  version: v1.1", "generation: 2"],
        ..REFUSED
    },
    Step {
        what: "server dry run",
        args: &["apply", "--dry-run=server", "-f", "-"],
        input: DEMO_2,
        out: &["configured (server dry run)"],
        ..OK
    },
    Step {
        what: "a dry run stores nothing",
        args: &[
            "get",
            "gdg",
            "demo",
            "-o",
            "jsonpath={.spec.version} {.metadata.generation}",
        ],
        out: &["v1.0 1"],
        ..OK
    },
    Step {
        what: "apply changes",
        args: &["apply", "-f", "-"],
        input: DEMO_2,
        out: &["gadget.test.example.io/demo configured"],
        ..OK
    },
    Step {
        what: "the change and the defaults are there",
        args: &[
            "get",
            "gdg",
            "demo",
            "-o",
            "jsonpath={.spec.version} {.spec.mode} {.spec.worker.replicas} {.spec.config.any.thing} {.metadata.generation}",
        ],
        out: &["v1.1 cluster 1 true 2"],
        ..OK
    },
    Step {
        what: "diff of the same",
        args: &["diff", "-f", "-"],
        input: DEMO_2,
        ..OK
    },
    Step {
        what: "server-side apply is refused",
        args: &["apply", "--server-side", "-f", "-"],
        input: DEMO_2,
        err: &["erver-side apply"],
        ..REFUSED
    },
    Step {
        what: "create",
        args: &["create", "-f", "-"],
        input: OTHER,
        out: &["gadget.test.example.io/other created"],
        ..OK
    },
    Step {
        what: "create twice",
        args: &["create", "-f", "-"],
        input: OTHER,
        err: &[
            "Error from server (AlreadyExists)",
            "gadgets.test.example.io \"other\" already exists",
        ],
        ..REFUSED
    },
    Step {
        what: "create with a generated name",
        args: &["create", "-f", "-"],
        input: NAMED_BY_SERVER,
        out: &["gadget.test.example.io/made-"],
        ..OK
    },
    Step {
        what: "create in a missing namespace",
        args: &["create", "-n", "nowhere", "-f", "-"],
        input: OTHER,
        err: &["namespaces \"nowhere\" not found"],
        ..REFUSED
    },
    Step {
        what: "unknown field",
        args: &["apply", "-f", "-"],
        input: MISSPELT,
        err: &["strict decoding error: unknown field \"spec.mdoe\""],
        ..REFUSED
    },
    Step {
        what: "unknown field as a warning",
        args: &["create", "--validate=warn", "-f", "-"],
        input: MISSPELT,
        out: &["wrong created"],
        err: &["Warning: unknown field \"spec.mdoe\""],
        ..OK
    },
    Step {
        what: "unknown field in a patch",
        args: &["apply", "-f", "-"],
        input: MISSPELT,
        err: &["unknown field \"spec.mdoe\""],
        ..REFUSED
    },
    Step {
        what: "delete it again",
        args: &["delete", "gadget", "wrong"],
        out: &["gadget.test.example.io \"wrong\" deleted"],
        ..OK
    },
    Step {
        what: "schema errors",
        args: &["apply", "-f", "-"],
        input: BAD_VALUES,
        err: &[
            "The Gadget \"wrong\" is invalid",
            "spec.version: Invalid value: \"latest\": spec.version in body should match '^v[0-9]+\\.[0-9]+$'",
            "spec.mode: Unsupported value: \"both\": supported values: \"standalone\", \"cluster\"",
        ],
        ..REFUSED
    },
    Step {
        what: "rule errors",
        args: &["apply", "-f", "-"],
        input: BAD_RULE,
        err: &[
            "The Gadget \"wrong\" is invalid: spec: Invalid value:",
            "standalone mode runs exactly one worker",
        ],
        ..REFUSED
    },
    Step {
        what: "table",
        args: &["get", "gadgets"],
        out: &[
            "NAME",
            "MODE",
            "READY",
            "AGE",
            "demo",
            "cluster",
            "other",
            "standalone",
        ],
        not: &["SIZE"],
        ..OK
    },
    Step {
        what: "wide table",
        args: &["get", "gdg", "-o", "wide"],
        out: &["SIZE"],
        ..OK
    },
    Step {
        what: "all",
        args: &["get", "all"],
        out: &["MODE", "demo", "other"],
        ..OK
    },
    Step {
        what: "all namespaces",
        args: &["get", "gadgets", "-A"],
        out: &["NAMESPACE", "default", "demo"],
        ..OK
    },
    Step {
        what: "label selector",
        args: &["get", "gadgets", "-l", "env in (dev)", "-o", "name"],
        out: &["gadget.test.example.io/other"],
        not: &["demo", "made"],
        ..OK
    },
    Step {
        what: "label columns",
        args: &["get", "gadgets", "-L", "env"],
        out: &["ENV", "prod", "dev"],
        ..OK
    },
    Step {
        what: "field selector",
        args: &[
            "get",
            "gadgets",
            "--field-selector",
            "spec.mode=standalone",
            "-o",
            "name",
        ],
        out: &["gadget.test.example.io/other"],
        not: &["demo"],
        ..OK
    },
    Step {
        what: "unknown field selector",
        args: &["get", "gadgets", "--field-selector", "spec.version=v1.0"],
        err: &["field label not supported: spec.version"],
        ..REFUSED
    },
    Step {
        what: "sorting",
        args: &[
            "get",
            "gadgets",
            "--sort-by=.spec.version",
            "-o",
            "custom-columns=N:.metadata.name",
        ],
        out: &["demo\nother\n"],
        ..OK
    },
    Step {
        what: "sorted table",
        args: &["get", "gadgets", "--sort-by=.spec.version"],
        out: &["MODE", "demo"],
        ..OK
    },
    Step {
        what: "pages",
        args: &["get", "gadgets", "--chunk-size=1", "-o", "name"],
        out: &["demo", "made", "other"],
        ..OK
    },
    Step {
        what: "yaml",
        args: &["get", "gadget", "demo", "-o", "yaml"],
        out: &[
            "apiVersion: test.example.io/v1beta1",
            "kind: Gadget",
            "uid:",
            "resourceVersion:",
        ],
        not: &["managedFields"],
        ..OK
    },
    Step {
        what: "json of a list",
        args: &["get", "gadgets", "-o", "json"],
        out: &["\"kind\": \"List\"", "\"name\": \"demo\""],
        ..OK
    },
    Step {
        what: "not found",
        args: &["get", "gadget", "nobody"],
        err: &["Error from server (NotFound): gadgets.test.example.io \"nobody\" not found"],
        ..REFUSED
    },
    Step {
        what: "unknown kind",
        args: &["get", "pods"],
        err: &["the server doesn't have a resource type \"pods\""],
        ..REFUSED
    },
    Step {
        what: "merge patch",
        args: &[
            "patch",
            "gadget",
            "demo",
            "--type=merge",
            "-p",
            r#"{"spec":{"worker":{"replicas":2}}}"#,
        ],
        out: &["gadget.test.example.io/demo patched"],
        ..OK
    },
    Step {
        what: "merge patch without effect",
        args: &[
            "patch",
            "gadget",
            "demo",
            "--type=merge",
            "-p",
            r#"{"spec":{"worker":{"replicas":2}}}"#,
        ],
        out: &["patched (no change)"],
        ..OK
    },
    Step {
        what: "json patch",
        args: &[
            "patch",
            "gadget",
            "demo",
            "--type=json",
            "-p",
            r#"[{"op":"test","path":"/spec/worker/replicas","value":2},{"op":"replace","path":"/spec/worker/replicas","value":3}]"#,
        ],
        out: &["patched"],
        ..OK
    },
    Step {
        what: "json patch that does not apply",
        args: &[
            "patch",
            "gadget",
            "demo",
            "--type=json",
            "-p",
            r#"[{"op":"test","path":"/spec/worker/replicas","value":9}]"#,
        ],
        err: &["the server rejected our request"],
        ..REFUSED
    },
    Step {
        what: "strategic patch is refused",
        args: &["patch", "gadget", "demo", "-p", r#"{"spec":{}}"#],
        err: &["application/merge-patch+json"],
        ..REFUSED
    },
    Step {
        what: "a patch that breaks the schema",
        args: &[
            "patch",
            "gadget",
            "demo",
            "--type=merge",
            "-p",
            r#"{"spec":{"worker":{"replicas":-1}}}"#,
        ],
        err: &[
            "spec.worker.replicas: Invalid value: -1: spec.worker.replicas in body should be greater than or equal to 0",
        ],
        ..REFUSED
    },
    Step {
        what: "status is a part of its own",
        args: &[
            "patch",
            "gadget",
            "demo",
            "--type=merge",
            "-p",
            r#"{"status":{"phase":"Lies"}}"#,
        ],
        out: &["patched (no change)"],
        ..OK
    },
    Step {
        what: "status patch",
        args: &[
            "patch",
            "gadget",
            "demo",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"spec":{"version":"v9.9"},"status":{"phase":"Healthy","replicas":3,"conditions":[{"type":"Ready","status":"True","reason":"Fine"}]}}"#,
        ],
        out: &["patched"],
        ..OK
    },
    Step {
        what: "status changes no generation and no spec",
        args: &[
            "get",
            "gadget",
            "demo",
            "-o",
            "jsonpath={.metadata.generation} {.spec.version} {.status.phase}",
        ],
        out: &["4 v1.1 Healthy"],
        ..OK
    },
    Step {
        what: "wait for a condition",
        args: &[
            "wait",
            "gadget/demo",
            "--for=condition=Ready",
            "--timeout=10s",
        ],
        out: &["gadget.test.example.io/demo condition met"],
        ..OK
    },
    Step {
        what: "wait for a value",
        args: &[
            "wait",
            "gadget/demo",
            "--for=jsonpath={.status.phase}=Healthy",
            "--timeout=10s",
        ],
        out: &["condition met"],
        ..OK
    },
    Step {
        what: "wait that times out",
        args: &[
            "wait",
            "gadget/other",
            "--for=condition=Ready",
            "--timeout=1s",
        ],
        err: &["timed out"],
        ..REFUSED
    },
    Step {
        what: "scale",
        args: &["scale", "gadget/demo", "--replicas=5"],
        out: &["gadget.test.example.io/demo scaled"],
        ..OK
    },
    Step {
        what: "scale with a condition",
        args: &[
            "scale",
            "gadget/demo",
            "--current-replicas=5",
            "--replicas=4",
        ],
        out: &["scaled"],
        ..OK
    },
    Step {
        what: "scale with a wrong condition",
        args: &[
            "scale",
            "gadget/demo",
            "--current-replicas=5",
            "--replicas=1",
        ],
        err: &["Expected replicas to be 5, was 4"],
        ..REFUSED
    },
    Step {
        what: "scaled",
        args: &[
            "get",
            "gadget",
            "demo",
            "-o",
            "jsonpath={.spec.worker.replicas}",
        ],
        out: &["4"],
        ..OK
    },
    Step {
        what: "label",
        args: &["label", "gadget", "demo", "tier=gold"],
        out: &["labeled"],
        ..OK
    },
    Step {
        what: "annotate",
        args: &["annotate", "gadget", "demo", "note=hello"],
        out: &["annotated"],
        ..OK
    },
    Step {
        what: "edit",
        args: &["edit", "gadget", "demo"],
        env: Some(("KUBE_EDITOR", "sed -i s/v1.1/v1.2/")),
        out: &["gadget.test.example.io/demo edited"],
        ..OK
    },
    Step {
        what: "edited",
        args: &[
            "get",
            "gadget",
            "demo",
            "-o",
            "jsonpath={.spec.version} {.metadata.labels.tier}",
        ],
        out: &["v1.2 gold"],
        ..OK
    },
    Step {
        what: "edit of nothing",
        args: &["edit", "gadget", "demo"],
        env: Some(("KUBE_EDITOR", "true")),
        err: &["Edit cancelled, no changes made."],
        ..OK
    },
    Step {
        what: "replace",
        args: &["replace", "-f", "-"],
        input: OTHER,
        out: &["gadget.test.example.io/other replaced"],
        ..OK
    },
    Step {
        what: "event",
        args: &["create", "-f", "-"],
        input: EVENT,
        out: &["event/demo.1 created"],
        ..OK
    },
    Step {
        what: "event of the other group",
        args: &["create", "-f", "-"],
        input: NEW_EVENT,
        out: &["event.events.k8s.io/demo.2 created"],
        ..OK
    },
    Step {
        what: "describe tells the events",
        args: &["describe", "gadget", "demo"],
        out: &[
            "Name:         demo",
            "Events:",
            "Created",
            "the first worker was created",
            "waits for the store",
        ],
        ..OK
    },
    Step {
        what: "get events",
        args: &["get", "events"],
        out: &["LAST SEEN", "Created", "gadget/demo", "waits for the store"],
        ..OK
    },
    Step {
        what: "events",
        args: &["events"],
        out: &["the first worker was created"],
        ..OK
    },
    Step {
        what: "events of one object",
        args: &["events", "--for", "gadget/demo"],
        out: &["the first worker was created", "waits for the store"],
        ..OK
    },
    Step {
        what: "events by field",
        args: &[
            "get",
            "events",
            "--field-selector",
            "type=Warning",
            "-o",
            "name",
        ],
        out: &["event/demo.2"],
        not: &["demo.1"],
        ..OK
    },
    Step {
        what: "create namespace",
        args: &["create", "namespace", "team"],
        out: &["namespace/team created"],
        ..OK
    },
    Step {
        what: "namespaces",
        args: &["get", "ns"],
        out: &["default", "kube-system", "team", "Active"],
        ..OK
    },
    Step {
        what: "create secret",
        args: &[
            "create",
            "secret",
            "generic",
            "minio",
            "-n",
            "team",
            "--from-literal=key=value",
        ],
        out: &["secret/minio created"],
        ..OK
    },
    Step {
        what: "secret is there",
        args: &[
            "get",
            "secret",
            "minio",
            "-n",
            "team",
            "-o",
            "jsonpath={.data.key} {.type}",
        ],
        out: &["dmFsdWU= Opaque"],
        ..OK
    },
    Step {
        what: "secret table",
        args: &["get", "secrets", "-n", "team"],
        out: &["minio", "Opaque", "1"],
        ..OK
    },
    Step {
        what: "describe secret",
        args: &["describe", "secret", "minio", "-n", "team"],
        out: &["key:  5 bytes"],
        not: &["dmFsdWU="],
        ..OK
    },
    Step {
        what: "apply a secret",
        args: &["apply", "-f", "-"],
        input: SECRET,
        out: &["secret/applied created"],
        ..OK
    },
    Step {
        what: "apply it again",
        args: &["apply", "-f", "-"],
        input: SECRET,
        out: &["secret/applied"],
        ..OK
    },
    Step {
        what: "create configmap",
        args: &[
            "create",
            "configmap",
            "conf",
            "-n",
            "team",
            "--from-literal=a=b",
        ],
        out: &["configmap/conf created"],
        ..OK
    },
    Step {
        what: "configmap is there",
        args: &[
            "get",
            "cm",
            "conf",
            "-n",
            "team",
            "-o",
            "jsonpath={.data.a}",
        ],
        out: &["b"],
        ..OK
    },
    Step {
        what: "strategic patch of a built-in kind",
        args: &[
            "patch",
            "cm",
            "conf",
            "-n",
            "team",
            "-p",
            r#"{"data":{"a":null,"c":"d"}}"#,
        ],
        out: &["patched"],
        ..OK
    },
    Step {
        what: "patched",
        args: &["get", "cm", "conf", "-n", "team", "-o", "jsonpath={.data}"],
        out: &[r#"{"c":"d"}"#],
        ..OK
    },
    Step {
        what: "bad name",
        args: &["create", "configmap", "Bad_Name"],
        err: &["metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain"],
        ..REFUSED
    },
    Step {
        what: "can-i",
        args: &["auth", "can-i", "create", "gadgets"],
        out: &["yes"],
        ..OK
    },
    Step {
        what: "can-i list",
        args: &["auth", "can-i", "--list"],
        out: &["*.*"],
        ..OK
    },
    Step {
        what: "whoami",
        args: &["auth", "whoami"],
        out: &["admin", "system:masters"],
        ..OK
    },
    Step {
        what: "viewer reads",
        args: &["get", "gadgets"],
        env: Some(("KUBECONFIG", "viewer")),
        out: &["demo"],
        ..OK
    },
    Step {
        what: "viewer cannot write",
        args: &["auth", "can-i", "create", "gadgets"],
        env: Some(("KUBECONFIG", "viewer")),
        out: &["no"],
        ..REFUSED
    },
    Step {
        what: "viewer is refused",
        args: &["delete", "gadget", "demo"],
        env: Some(("KUBECONFIG", "viewer")),
        err: &[
            "gadgets.test.example.io \"demo\" is forbidden: User \"viewer\" cannot delete resource \"gadgets\" in API group \"test.example.io\" in the namespace \"default\"",
        ],
        ..REFUSED
    },
    Step {
        what: "viewer sees no secrets",
        args: &["get", "secrets"],
        env: Some(("KUBECONFIG", "viewer")),
        err: &["secrets is forbidden"],
        ..REFUSED
    },
    Step {
        what: "an object with a finalizer",
        args: &["apply", "-f", "-"],
        input: HELD,
        out: &["held created"],
        ..OK
    },
    Step {
        what: "is not gone at once",
        args: &["delete", "gadget", "held", "--wait=false"],
        out: &["gadget.test.example.io \"held\" deleted"],
        ..OK
    },
    Step {
        what: "but marked",
        args: &[
            "get",
            "gadget",
            "held",
            "-o",
            "jsonpath={.metadata.deletionTimestamp}",
        ],
        out: &["20"],
        ..OK
    },
    Step {
        what: "and waits",
        args: &["delete", "gadget", "held", "--timeout=1s"],
        err: &["timed out"],
        ..REFUSED
    },
    Step {
        what: "for its finalizer",
        args: &[
            "patch",
            "gadget",
            "held",
            "--type=json",
            "-p",
            r#"[{"op":"remove","path":"/metadata/finalizers/0"}]"#,
        ],
        ok: true,
        ..OK
    },
    Step {
        what: "to go",
        args: &["get", "gadget", "held"],
        err: &["NotFound"],
        ..REFUSED
    },
    Step {
        what: "foreground deletion ends",
        args: &["delete", "gadget", "other", "--cascade=foreground"],
        out: &["deleted"],
        ..OK
    },
    Step {
        what: "delete with orphans ends",
        args: &["delete", "-f", "-", "--cascade=orphan"],
        input: DEMO,
        out: &["deleted"],
        ..OK
    },
    Step {
        what: "delete what is not there",
        args: &["delete", "gadget", "demo"],
        err: &["NotFound"],
        ..REFUSED
    },
    Step {
        what: "delete what may not be there",
        args: &["delete", "gadget", "demo", "--ignore-not-found"],
        ..OK
    },
    Step {
        what: "delete all",
        args: &["delete", "gadgets", "--all"],
        out: &["made-"],
        ..OK
    },
    Step {
        what: "nothing is left",
        args: &["get", "gadgets", "-o", "name"],
        not: &["gadget"],
        ..OK
    },
    Step {
        what: "delete namespace takes its contents along",
        args: &["delete", "namespace", "team", "--timeout=20s"],
        out: &["namespace \"team\" deleted"],
        ..OK
    },
    Step {
        what: "contents are gone",
        args: &["get", "secrets", "-A", "-o", "name"],
        not: &["minio"],
        ..OK
    },
    Step {
        what: "default stays",
        args: &["delete", "namespace", "default"],
        err: &["namespaces \"default\" is forbidden: this namespace may not be deleted"],
        ..REFUSED
    },
    Step {
        what: "clean up",
        args: &["delete", "secret", "applied"],
        out: &["deleted"],
        ..OK
    },
];

fn check(step: &Step, output: &Output) -> Result<(), String> {
    let mut wrong = Vec::new();
    if output.ok != step.ok {
        wrong.push(format!("ended with success={}", output.ok));
    }
    for text in step.out {
        if !output.out.contains(text) {
            wrong.push(format!("standard output lacks {text:?}"));
        }
    }
    for text in step.err {
        if !output.err.contains(text) {
            wrong.push(format!("standard error lacks {text:?}"));
        }
    }
    for text in step.not {
        if output.out.contains(text) {
            wrong.push(format!("standard output has {text:?}"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} ({}): {}\n--- out\n{}--- err\n{}",
        step.what,
        step.args.join(" "),
        wrong.join("; "),
        output.out,
        output.err
    ))
}

/// `get -w` prints what happens while it runs.
fn watch(kubectl: &Kubectl) -> Result<(), String> {
    let seen = kubectl.home.path().join("watch.txt");
    let mut child = kubectl
        .command(&["get", "gadgets", "-w"])
        .stdout(std::fs::File::create(&seen).unwrap())
        .spawn()
        .unwrap();
    let result = (|| {
        let patience = Duration::from_secs(20);
        kubectl.run(&["apply", "-f", "-"], DEMO);
        wait_for_text(&seen, &["NAME", "demo"], patience)?;
        kubectl.run(
            &[
                "patch",
                "gadget",
                "demo",
                "--subresource=status",
                "--type=merge",
                "-p",
                r#"{"status":{"conditions":[{"type":"Ready","status":"Soon"}]}}"#,
            ],
            "",
        );
        wait_for_text(&seen, &["Soon"], patience)
    })();
    child.kill().unwrap();
    child.wait().unwrap();
    kubectl.run(&["delete", "gadget", "demo"], "");
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_works_as_on_a_cluster() {
    let binaries = kubectls();
    assert!(!binaries.is_empty(), "no kubectl to test with");
    let mut tasks = Vec::new();
    for binary in binaries {
        // A server for each, so that they do not see each other's objects.
        let running = start().await;
        tasks.push(tokio::task::spawn_blocking(move || {
            let kubectl = Kubectl::new(&binary, &running);
            let begun = std::time::Instant::now();
            let mut failures = Vec::new();
            for step in STEPS {
                let output = match step.env {
                    Some((key, value)) => kubectl.run_with(step.args, key, value),
                    None if step.input.contains("@UID@") => {
                        let uid = kubectl
                            .run(
                                &["get", "gadget", "demo", "-o", "jsonpath={.metadata.uid}"],
                                "",
                            )
                            .out;
                        kubectl.run(step.args, &step.input.replace("@UID@", &uid))
                    }
                    None => kubectl.run(step.args, step.input),
                };
                failures.extend(check(step, &output).err());
            }
            failures.extend(watch(&kubectl).err());
            running.shutdown.cancel();
            println!(
                "{}: {} of {} steps in {:?}",
                kubectl.label,
                STEPS.len() + 1 - failures.len(),
                STEPS.len() + 1,
                begun.elapsed()
            );
            failures
                .into_iter()
                .map(|failure| format!("[{}] {failure}", kubectl.label))
                .collect::<Vec<_>>()
        }));
    }
    let mut failures = Vec::new();
    for task in tasks {
        failures.extend(task.await.unwrap());
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}
