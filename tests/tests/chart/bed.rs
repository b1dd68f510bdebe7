//! What the parts share: Helm, the cluster, and the operator as the process that its pod would be.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use milvus_kubernetes::rbac::{Place, rights};
use milvus_tests::kubectl::{self, Kubectl};
use milvus_tests::kubernetes::{Kubernetes, Request};
use milvus_tests::process::{self, Output};
use milvus_tests::{operator, prepared, wait};
use serde_json::{Value, json};

/// On a busy machine; it takes a second or two.
pub const SOON: Duration = Duration::from_secs(60);
/// The definition's name.
pub const DEFINITION: &str = "milvusclusters.operator.milvus.io";

/// The folder of the whole.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The chart.
pub fn chart() -> String {
    repository()
        .join("charts/milvus-operator")
        .display()
        .to_string()
}

/// Helm, with a kubeconfig or without.
pub fn helm(kubeconfig: Option<&Path>, args: &[&str]) -> Output {
    let mut command = Command::new(prepared("MILVUS_TEST_HELM"));
    // What Helm keeps of itself is none of this machine's user's business.
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(name, std::env::temp_dir().join("milvus-tests-helm"));
    }
    command.env_remove("KUBECONFIG");
    if let Some(kubeconfig) = kubeconfig {
        command.arg("--kubeconfig").arg(kubeconfig);
    }
    command.args(args);
    process::run(&mut command, "", Duration::from_secs(120))
}

/// The cluster.
pub struct Bed {
    pub cluster: Kubernetes,
    pub admin: PathBuf,
}

impl Bed {
    pub fn up() -> Self {
        let name = std::env::var("TESTBED_NAME").unwrap_or_else(|_| "chart".to_owned());
        let cluster = Kubernetes::up(&name, 2, 0);
        let admin = cluster.kubeconfig("admin");
        Self { cluster, admin }
    }

    pub fn kubectl(&self) -> Kubectl {
        self.cluster.kubectl()
    }

    /// A namespace in which no pod may ask for more than `restricted` allows.
    pub fn restricted(&self, name: &str) {
        self.kubectl().apply(&json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }));
    }

    pub fn helm(&self, args: &[&str]) -> String {
        helm(Some(&self.admin), args).expect()
    }

    /// Whether a ServiceAccount may do something.
    pub fn may(&self, account: &str, question: &[&str]) -> bool {
        let user = format!("--as={account}");
        let mut args = vec!["auth", "can-i", &user];
        args.extend(question);
        self.kubectl().try_run(&args).ok()
    }

    /// The operator of a Deployment: its ServiceAccount, its arguments.
    pub fn operator(&self, namespace: &str, deployment: &str) -> Operator {
        let kubectl = self.kubectl().namespace(namespace);
        let text = kubectl.run(&["get", "deployment", deployment, "-o", "json"]);
        let deployment: Value = serde_json::from_str(&text).expect("a Deployment");
        let pod = &deployment["spec"]["template"]["spec"];
        let account = pod["serviceAccountName"]
            .as_str()
            .expect("a ServiceAccount");
        let args = pod["containers"][0]["args"].as_array().expect("arguments");
        let args = args.iter().map(|a| a.as_str().unwrap().to_owned());
        Operator::start(
            &self
                .cluster
                .kubeconfig(&format!("sa:{namespace}/{account}")),
            args.collect(),
            &self.cluster.folder().join(format!("operator-{namespace}")),
            format!("system:serviceaccount:{namespace}:{account}"),
        )
    }

    /// Waits until a cluster is Ready.
    pub fn ready(&self, namespace: &str, name: &str) {
        let kubectl = self.kubectl().namespace(namespace);
        wait::until(&format!("{namespace}/{name} to be Ready"), SOON, || {
            let cluster = kubectl.cluster(name).unwrap_or_default();
            let ready = kubectl::condition(&cluster, "Ready");
            (ready.status == "True" && cluster["status"]["phase"] == "Ready")
                .then_some(())
                .ok_or_else(|| format!("{ready:?}"))
        });
    }

    /// Waits until nothing of a cluster is left but the credentials of its data.
    pub fn gone(&self, namespace: &str, name: &str) {
        let kubectl = self.kubectl().namespace(namespace);
        kubectl.run(&["delete", "milvuscluster", name, "--timeout=25s"]);
        let select = format!("app.kubernetes.io/instance={name}");
        wait::until(&format!("{namespace}/{name} to be gone"), SOON, || {
            let kinds = "deployments,statefulsets,jobs,pods,services,configmaps,secrets,serviceaccounts,poddisruptionbudgets,ingresses";
            let left = kubectl.run(&["get", kinds, "-l", &select, "-o", "name"]);
            left.trim().is_empty().then_some(()).ok_or(left)
        });
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for what in ["pods", "milvusclusters"] {
                let output = self.kubectl().try_run(&["get", what, "-A"]);
                println!("---- kubectl get {what} -A\n{}", output.text());
            }
        }
    }
}

/// The operator's process.
pub struct Operator {
    child: Child,
    log: PathBuf,
    /// Who it is to the API server.
    pub account: String,
}

impl Operator {
    fn start(kubeconfig: &Path, mut args: Vec<String>, folder: &Path, account: String) -> Self {
        fs::create_dir_all(folder).unwrap();
        let log = folder.join("operator.log");
        let file = File::create(&log).unwrap();
        // All but these is as in the pod: here others listen on the same addresses.
        for arg in &mut args {
            if arg.starts_with("--metrics-listen=") {
                *arg = format!("--metrics-listen=127.0.0.1:{}", operator::free_port());
            }
        }
        println!("  milvus-operator {} as {account}", args.join(" "));
        let mut command = process::bound(&prepared("MILVUS_TEST_OPERATOR"));
        command
            .args(&args)
            .env("MILVUS_OPERATOR_KUBECONFIG", kubeconfig)
            .env_remove("KUBECONFIG")
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let operator = Self {
            child: process::start(command),
            log,
            account,
        };
        wait::until("the operator to lead", SOON, || {
            let log = operator.log();
            log.contains("milvus-operator runs")
                .then_some(())
                .ok_or(log)
        });
        operator
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as a node does: SIGTERM, and its Lease is let go.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        process::run(Command::new("kill").arg(&pid), "", SOON).expect();
        wait::until("the operator's end", SOON, || match self.child.try_wait() {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => panic!("the operator ended with {status}: {}", self.log()),
            _ => Err("it still runs".to_owned()),
        });
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines.len().saturating_sub(40);
            println!("---- the operator's log\n{}", lines[end..].join("\n"));
        }
    }
}

/// Verb, group, resource.
pub type Use = (String, String, String);

/// What was asked of resources.
pub fn used<'a>(requests: impl IntoIterator<Item = &'a Request>) -> BTreeSet<Use> {
    let one = |r: &Request| (r.verb.clone(), r.group.clone(), r.resource.clone());
    requests.into_iter().map(one).collect()
}

/// What the table grants in a place.
pub fn granted(place: Place) -> BTreeSet<Use> {
    let here = rights("lease").into_iter().filter(|r| r.place == place);
    here.flat_map(|right| {
        let (group, resource) = (right.group.to_owned(), right.resource.to_owned());
        let one = move |verb: &str| (verb.to_owned(), group.clone(), resource.clone());
        right.verbs.into_iter().map(one).collect::<Vec<_>>()
    })
    .collect()
}

/// Nothing that a user asked for was refused.
#[track_caller]
pub fn nothing_refused(bed: &Bed, account: &str) {
    let requests = bed.cluster.requests(account);
    assert!(!requests.is_empty(), "{account} asked for nothing");
    let refused: Vec<_> = requests
        .keys()
        .filter(|r| [401, 403].contains(&r.code))
        .collect();
    assert!(refused.is_empty(), "refused to {account}: {refused:#?}");
}
