//! A real, distributed Milvus on a real Kubernetes: kubelet, containerd, cluster DNS and Services; the operator installed as people
//! do it, by Helm, with the rights of its chart. One story, because each step needs the one before.
//!
//! Needs what `tests/testbed/prepare.sh kubernetes` prints, and root.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use milvus_tests::kubectl::Kubectl;
use milvus_tests::{client, prepared, process, wait};
use serde_json::{Value, json};

/// From nothing to Ready on a busy machine.
const START: Duration = Duration::from_secs(300);
/// For what a controller does at once.
const SOON: Duration = Duration::from_secs(60);
const NAME: &str = "milvus";

/// A cluster with one real node. It goes when the test ends, however it ends.
struct Cluster {
    kubectl: Kubectl,
    kubeconfig: PathBuf,
}

impl Cluster {
    fn up() -> Self {
        let text = testbed(&["up", "0", "1"], Duration::from_secs(180));
        println!("  {}", text.lines().last().unwrap_or_default());
        let environment = testbed(&["env"], SOON);
        let kubeconfig = environment
            .split_whitespace()
            .find_map(|word| {
                word.trim_start_matches("export ")
                    .strip_prefix("KUBECONFIG=")
            })
            .map(|path| PathBuf::from(path.trim_matches(['\'', '"'])))
            .expect("cluster.sh env names a KUBECONFIG");
        Self {
            kubectl: Kubectl::new(&kubeconfig),
            kubeconfig,
        }
    }

    fn ready(&self, limit: Duration) {
        wait::until("demo to be Ready", limit, || {
            let ready = self.kubectl.condition("demo", "Ready");
            let cluster = self.kubectl.cluster("demo").unwrap_or_default();
            (ready.status == "True" && cluster["status"]["phase"] == "Ready")
                .then_some(())
                .ok_or_else(|| format!("{}; {}", ready.message, cluster["status"]["waitingOn"]))
        });
    }

    /// Where clients reach it: the address of its Service.
    fn address(&self) -> String {
        self.kubectl.run(&[
            "get",
            "service",
            "demo-milvus",
            "-o",
            "jsonpath={.spec.clusterIP}",
        ])
    }

    fn list(&self, what: &str, select: &str) -> Vec<Value> {
        let text = self.kubectl.run(&["get", what, "-l", select, "-o", "json"]);
        let list: Value = serde_json::from_str(&text).expect("a list");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// uid and restarts of every pod of the cluster.
    fn pods(&self) -> BTreeMap<String, (String, u64)> {
        let of = |pod: &Value| {
            let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
            (uid.to_owned(), restarts.unwrap_or_default())
        };
        let pods = self.list("pods", "app.kubernetes.io/instance=demo");
        let name = |pod: &Value| {
            pod["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        pods.iter().map(|pod| (name(pod), of(pod))).collect()
    }

    fn claims(&self) -> Vec<String> {
        let claims = self.list("persistentvolumeclaims", "app.kubernetes.io/instance=demo");
        claims
            .iter()
            .map(|claim| {
                claim["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    }

    fn helm(&self, args: &[&str]) -> String {
        let mut command = Command::new(prepared("MILVUS_TEST_HELM"));
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(args);
        process::run(&mut command, "", Duration::from_secs(120)).expect()
    }

    /// The operator, as the chart installs it.
    fn install(&self) {
        let image = prepared("MILVUS_TEST_OPERATOR_IMAGE");
        let (repository_name, tag) = image.rsplit_once(':').expect("an image with a tag");
        let chart = repository().join("charts/milvus-operator");
        self.helm(&[
            "install",
            "milvus-operator",
            &chart.display().to_string(),
            "--namespace=milvus-system",
            "--create-namespace",
            "--wait",
            "--timeout=90s",
            &format!("--set=image.repository={repository_name}"),
            &format!("--set=image.tag={tag}"),
        ]);
    }

    fn delete(&self) {
        self.kubectl
            .run(&["delete", "milvuscluster", "demo", "--wait=false"]);
        wait::until("demo to be gone", Duration::from_secs(180), || {
            match self.kubectl.cluster("demo") {
                None => Ok(()),
                Some(cluster) => Err(cluster["status"]["waitingOn"].to_string()),
            }
        });
        wait::until("its processes to be gone", SOON, || {
            let pods = self.pods();
            pods.is_empty()
                .then_some(())
                .ok_or_else(|| format!("{pods:?}"))
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for args in [
                &["get", "pods", "-A", "-o", "wide"][..],
                &["describe", "milvuscluster", "demo"],
                &[
                    "logs",
                    "-n",
                    "milvus-system",
                    "deployment/milvus-operator",
                    "--tail=60",
                ],
            ] {
                let output = self.kubectl.try_run(args);
                println!(
                    "---- kubectl {}\n{}{}",
                    args.join(" "),
                    output.stdout,
                    output.stderr
                );
            }
        }
        testbed(&["down"], Duration::from_secs(120));
    }
}

fn testbed(args: &[&str], limit: Duration) -> String {
    let mut command = Command::new(prepared("MILVUS_TEST_KUBERNETES"));
    command.args(args).env("TESTBED_NAME", NAME);
    process::run(&mut command, "", limit).expect()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// deploy/samples/demo.yaml as it is, with these fields of its spec set.
fn demo(set: &Value) -> Value {
    let text = std::fs::read_to_string(repository().join("deploy/samples/demo.yaml")).unwrap();
    let mut resource: Value = serde_saphyr::from_str(&text).expect("the demo sample");
    for (key, value) in set.as_object().into_iter().flatten() {
        resource["spec"][key] = value.clone();
    }
    resource
}

#[test]
fn a_distributed_milvus_from_apply_to_search_and_back() {
    let cluster = Cluster::up();
    let kubectl = &cluster.kubectl;
    cluster.install();

    println!("first start");
    let start = Instant::now();
    kubectl.apply(&demo(&json!({})));
    cluster.ready(START);
    println!("  Ready {:.0} s after apply", start.elapsed().as_secs_f64());
    let pods = cluster.pods();
    let restarted: Vec<_> = pods.iter().filter(|(_, (_, n))| *n > 0).collect();
    assert!(
        restarted.is_empty(),
        "restarted in a first start: {restarted:?}"
    );
    client::fill(&cluster.address());

    println!("the keys of the object store stand in Secrets alone");
    let keys = kubectl.run(&[
        "get",
        "secret",
        "demo-minio",
        "-o",
        "jsonpath={.data.secretkey}",
    ]);
    let keys = process::run(Command::new("base64").arg("-d"), &keys, SOON).expect();
    for what in [
        "configmaps",
        "deployments",
        "statefulsets",
        "pods",
        "milvusclusters",
        "events",
    ] {
        let text = kubectl.run(&["get", what, "-A", "-o", "yaml"]);
        assert!(!text.contains(keys.trim()), "{what} hold the secret key");
    }

    println!("a member and a proxy are killed");
    let member = pods["demo-etcd-0"].0.clone();
    let proxy = pods
        .keys()
        .find(|name| name.starts_with("demo-proxy-"))
        .expect("a proxy");
    kubectl.run(&[
        "delete",
        "pod",
        "demo-etcd-0",
        proxy,
        "--force",
        "--grace-period=0",
    ]);
    wait::until("a new etcd-0", SOON, || {
        let now = cluster
            .pods()
            .get("demo-etcd-0")
            .map(|(uid, _)| uid.clone());
        now.filter(|uid| *uid != member)
            .map(|_| ())
            .ok_or_else(|| "not yet".to_owned())
    });
    cluster.ready(START);
    client::check(&cluster.address());

    println!("the operator is killed");
    let before = cluster.pods();
    let select = "app.kubernetes.io/name=milvus-operator";
    kubectl.run(&[
        "delete",
        "pod",
        "-n",
        "milvus-system",
        "-l",
        select,
        "--force",
        "--grace-period=0",
    ]);
    kubectl.run(&[
        "rollout",
        "status",
        "-n",
        "milvus-system",
        "deployment/milvus-operator",
        "--timeout=25s",
    ]);
    kubectl.run(&["delete", "deployment", "demo-querynode"]);
    wait::until("the query nodes to be made again", SOON, || {
        kubectl
            .try_run(&["get", "deployment", "demo-querynode"])
            .result()
    });
    cluster.ready(START);
    let touched: Vec<_> = before
        .iter()
        .filter(|(name, _)| !name.starts_with("demo-querynode"))
        .filter(|(name, was)| cluster.pods().get(*name) != Some(was))
        .collect();
    assert!(touched.is_empty(), "{touched:?}");
    client::check(&cluster.address());

    println!("deleted, and the data is kept");
    let claims = cluster.claims();
    assert_eq!(claims.len(), 6, "{claims:?}");
    cluster.delete();
    assert_eq!(cluster.claims(), claims);
    let events = kubectl.events("demo");
    let kept = events
        .iter()
        .find(|e| e.reason == "VolumesRetained")
        .expect("an event names them");
    assert!(
        claims.iter().all(|claim| kept.message.contains(claim)),
        "{kept:?}"
    );

    println!("adopted, and found again");
    kubectl.apply(&demo(&json!({"adopt": true, "deletionPolicy": "Delete"})));
    cluster.ready(START);
    client::check(&cluster.address());

    println!("deleted with its data");
    cluster.delete();
    wait::until("the claims to be gone", SOON, || {
        let left = cluster.claims();
        left.is_empty()
            .then_some(())
            .ok_or_else(|| format!("{left:?}"))
    });

    println!("the operator goes, the definition stays");
    cluster.helm(&[
        "uninstall",
        "milvus-operator",
        "--namespace=milvus-system",
        "--wait",
    ]);
    kubectl.run(&["get", "crd", "milvusclusters.operator.milvus.io"]);
}

/// A certificate for the Service of `demo`, and its key, in a folder.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-subj", "/CN=demo-milvus"])
        .args(["-addext", "subjectAltName=DNS:demo-milvus"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key);
    process::run(&mut openssl, "", SOON).expect();
    (certificate, key)
}

/// A Milvus with TLS on its client port and a certificate that the user brings: the kubelet's checks and the operator's speak TLS, it
/// becomes Ready, and a client that trusts this certificate alone finds its rows.
#[test]
#[ignore = "drill: a cluster with a real node, and a Milvus, once more; two minutes"]
fn with_a_certificate_on_the_client_port() {
    let cluster = Cluster::up();
    let kubectl = &cluster.kubectl;
    cluster.install();
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = certificate(folder.path());
    kubectl.run(&[
        "create",
        "secret",
        "tls",
        "client-tls",
        &format!("--cert={}", certificate.display()),
        &format!("--key={}", key.display()),
    ]);
    let text = std::fs::read_to_string(repository().join("tests/fixtures/standalone.yaml"));
    let mut resource: Value = serde_saphyr::from_str(&text.unwrap()).expect("the fixture");
    resource["metadata"]["name"] = json!("demo");
    let spec = resource["spec"].as_object_mut().expect("a spec");
    spec.remove("swarm");
    spec.insert("tls".to_owned(), json!({"secretRef": "client-tls"}));
    let files =
        json!({"serverPemPath": "/milvus/tls/tls.crt", "serverKeyPath": "/milvus/tls/tls.key"});
    let config = json!({"common": {"security": {"tlsMode": 1}}, "tls": files});
    spec.insert("config".to_owned(), config);
    kubectl.apply(&resource);
    cluster.ready(START);
    let endpoint = format!("{}:19530", cluster.address());
    client::fill_over_tls(&endpoint, &certificate, "demo-milvus");
    let pods = cluster.pods();
    let restarted: Vec<_> = pods.iter().filter(|(_, (_, n))| *n > 0).collect();
    assert!(restarted.is_empty(), "{restarted:?}");
}
