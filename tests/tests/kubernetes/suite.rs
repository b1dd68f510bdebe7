//! What the tests share: the Kubernetes, the operator, and rooms: a namespace for each test, with what it looks at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use milvus_tests::api::{Api, At, Refused, at, path};
use milvus_tests::kubectl::{Condition, Kubectl, condition, is_ready};
use milvus_tests::kubernetes::Kubernetes;
use milvus_tests::operator::Operator;
use milvus_tests::{process, wait};
use serde_json::{Value, json};

/// From `kubectl apply` to Ready takes a second or two; on a machine with two busy cores it may be more.
pub const START: Duration = Duration::from_secs(60);
/// A repair takes a tenth of a second; a busy machine may need longer.
pub const REPAIR: Duration = Duration::from_secs(5);
/// What people hear of within seconds.
pub const SOON: Duration = Duration::from_secs(15);
/// The namespace of the operator.
pub const HOME: &str = "milvus-system";
/// Arguments of the operator: it cannot ask pods in which nothing runs.
pub const ARGUMENTS: [&str; 2] = ["--wire-checks", "platform"];
/// Kinds of what a cluster consists of.
pub const KINDS: [&str; 8] = [
    "deployments",
    "statefulsets",
    "jobs",
    "services",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "poddisruptionbudgets",
];

/// What the tests share.
pub struct Suite {
    pub bed: Kubernetes,
    pub operator: Operator,
    /// Who the operator is to the API server.
    pub account: String,
    /// As the administrator.
    pub api: Arc<Api>,
    pub kubectl: Kubectl,
    external: BTreeMap<String, String>,
    rooms: u32,
    /// Whether a test has started the operator with arguments of its own.
    otherwise: bool,
}

/// The shared part, put right where an earlier test left it in a bad state.
pub fn suite() -> MutexGuard<'static, Suite> {
    static SUITE: OnceLock<Mutex<Suite>> = OnceLock::new();
    let shared = SUITE.get_or_init(|| Mutex::new(Suite::open()));
    let mut suite = shared.lock().unwrap_or_else(PoisonError::into_inner);
    suite.heal();
    suite
}

impl Suite {
    fn open() -> Self {
        let name = std::env::var("TESTBED_NAME").unwrap_or_else(|_| "test".to_owned());
        let bed = Kubernetes::shared(&name, 2, 0);
        let external = bed.external();
        let kubectl = bed.kubectl();
        install(&kubectl);
        let account = format!("sa:{HOME}/milvus-operator");
        let kubeconfig = bed.kubeconfig(&account);
        let api = Arc::new(Api::new(&bed.kubeconfig("admin")));
        let operator = Operator::on_kubernetes(&bed.folder().join("operator"), &kubeconfig);
        Self {
            operator,
            account: format!("system:serviceaccount:{HOME}:milvus-operator"),
            api,
            kubectl,
            external,
            rooms: 0,
            otherwise: false,
            bed,
        }
    }

    fn heal(&mut self) {
        if !self.kubectl.try_run(&["get", "--raw", "/readyz"]).ok() {
            self.bed.start("kube-apiserver");
        }
        for what in [
            "validatingadmissionpolicybindings",
            "validatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingadmissionpolicies",
            "flowschemas",
            "prioritylevelconfigurations",
        ] {
            for name in self.api.names(what, "", "suite") {
                self.api.delete(at(what, "", &name), "Background");
            }
        }
        if self.otherwise || self.operator.health("/readyz").is_err() {
            self.otherwise = false;
            self.operator.kill();
            self.operator.start_with(&ARGUMENTS);
        }
    }

    /// Ends the operator as a node does and starts it with other arguments.
    pub fn restart_with(&mut self, arguments: &[&str]) {
        self.otherwise = arguments != ARGUMENTS;
        self.operator.stop();
        self.operator.start_with(arguments);
    }

    /// A namespace of its own for a test.
    pub fn room(&mut self, name: &str) -> Room {
        self.rooms += 1;
        let namespace = format!("{name}-{}-{}", std::process::id(), self.rooms);
        let room = Room {
            kubectl: self.kubectl.namespace(&namespace),
            api: self.api.clone(),
            external: self.external.clone(),
            log: self.bed.folder().join("operator/operator.log"),
            namespace,
        };
        self.api
            .create(
                "namespaces",
                "",
                &json!({"metadata": {"name": room.namespace}}),
            )
            .unwrap();
        room.secret(
            "s3",
            &self.external["ACCESS_KEY"],
            &self.external["SECRET_KEY"],
        );
        room
    }

    /// Runs something while the operator sleeps; it sees the result all at once.
    pub fn behind_its_back<T>(&self, act: impl FnOnce() -> T) -> T {
        let pid = self.operator.pid().to_string();
        signal("-STOP", &pid);
        let result = act();
        signal("-CONT", &pid);
        result
    }

    /// How often the operator asked for what so far: by verb and resource.
    pub fn requests(&self) -> BTreeMap<(String, String), u64> {
        let mut all = BTreeMap::new();
        for (request, count) in self.bed.requests(&self.account) {
            *all.entry((request.verb, request.resource)).or_default() += count;
        }
        all
    }
}

/// The plain manifests but the operator itself, which is a process of the suite.
fn install(kubectl: &Kubectl) {
    for file in ["00-namespace.yaml", "10-crd.yaml", "20-rbac.yaml"] {
        let path = repository().join("deploy/kubernetes").join(file);
        let path = path.display().to_string();
        kubectl.run(&["apply", "--server-side", "-f", &path]);
    }
    kubectl.run(&[
        "wait",
        "--for=condition=Established",
        "crd/milvusclusters.operator.milvus.io",
    ]);
    wait::until("the operator's account", SOON, || {
        let account = ["-n", HOME, "get", "serviceaccount", "milvus-operator"];
        kubectl.try_run(&account).result().map(drop)
    });
}

fn signal(signal: &str, pid: &str) {
    let mut command = std::process::Command::new("kill");
    command.args([signal, pid]);
    process::run(&mut command, "", SOON).expect();
}

/// Requests that change something.
pub fn is_write(verb: &str) -> bool {
    ["create", "update", "patch", "delete", "deletecollection"].contains(&verb)
}

/// A namespace with what a test looks at. It goes when the test ends, and tells what there was when the test fails.
pub struct Room {
    pub namespace: String,
    pub api: Arc<Api>,
    pub kubectl: Kubectl,
    external: BTreeMap<String, String>,
    log: PathBuf,
}

/// An event about a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub warning: bool,
    pub reason: String,
    pub message: String,
}

impl Room {
    /// An object's place in it.
    pub fn at<'a>(&'a self, what: &'a str, name: &'a str) -> At<'a> {
        at(what, &self.namespace, name)
    }

    /// What admission makes of a Deployment here; nothing is stored.
    pub fn admitted(&self) -> Result<Value, Refused> {
        let probe = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "probe"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "a", "image": "a"}]}}}});
        let path = format!("{}?dryRun=All", path(self.at("deployments", "")));
        self.api.request("POST", &path, "application/json", &probe)
    }

    /// An object that has to be there.
    #[track_caller]
    pub fn get(&self, what: &str, name: &str) -> Value {
        let found = self.api.get(self.at(what, name));
        found.unwrap_or_else(|| panic!("there is no {what} {name}"))
    }

    /// An object, if it is there.
    pub fn find(&self, what: &str, name: &str) -> Option<Value> {
        self.api.get(self.at(what, name))
    }

    /// A distributed Milvus 2.6 whose etcd and S3 store somebody else runs: five Deployments.
    pub fn cluster(&self, name: &str) -> Value {
        json!({
            "apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "mode": "cluster",
                "components": {"image": "milvusdb/milvus:v2.6.11"},
                "dependencies": {
                    "msgStreamType": "woodpecker",
                    "etcd": {"external": true, "endpoints": [self.external["ETCD"]]},
                    "storage": {"external": true, "endpoint": self.external["STORAGE"],
                        "bucket": self.external["BUCKET"], "rootPath": format!("{}/{name}", self.namespace), "secretRef": "s3"},
                },
            },
        })
    }

    /// A sample of the repository, in this room.
    pub fn sample(&self, file: &str) -> Value {
        let path = repository().join("deploy/samples").join(file);
        self.document(&path)
    }

    /// A standalone Milvus 2.3 with an etcd and a MinIO of its own.
    pub fn standalone(&self, name: &str) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/standalone.yaml");
        let mut value = self.document(&path);
        value["metadata"]["name"] = json!(name);
        value["spec"].as_object_mut().unwrap().remove("swarm");
        value
    }

    fn document(&self, path: &Path) -> Value {
        let text = std::fs::read_to_string(path).unwrap();
        let mut value: Value = serde_saphyr::from_str(&text).unwrap();
        value["metadata"]["namespace"] = json!(self.namespace);
        value
    }

    /// Credentials of an S3 store.
    pub fn secret(&self, name: &str, access: &str, secret: &str) {
        let secret = json!({"metadata": {"name": name}, "stringData": {"accesskey": access, "secretkey": secret}});
        self.api
            .create("secrets", &self.namespace, &secret)
            .unwrap();
    }

    /// Makes a resource.
    #[track_caller]
    pub fn create(&self, cluster: &Value) -> Value {
        let made = self.api.create("milvusclusters", &self.namespace, cluster);
        made.unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    /// A merge patch of a resource.
    #[track_caller]
    pub fn edit(&self, cluster: &str, patch: &Value) {
        self.change("milvusclusters", cluster, patch);
    }

    /// A merge patch of an object.
    #[track_caller]
    pub fn change(&self, what: &str, name: &str, patch: &Value) {
        let at = self.at(what, name);
        let changed = self.api.patch(at, milvus_tests::api::Patch::Merge, patch);
        changed.unwrap_or_else(|refused| panic!("{at:?}: {refused:?}"));
    }

    /// Waits until a cluster is Ready for the spec that it has now, and nothing is left to do.
    #[track_caller]
    pub fn ready(&self, name: &str, limit: Duration) -> Duration {
        let what = format!("{name} to be Ready");
        let (_, took) = wait::timed(&what, limit, || {
            let resource = self.find("milvusclusters", name).ok_or("it is not there")?;
            is_ready(&resource)
        });
        took
    }

    /// Waits until a cluster is Ready and has had nothing to tell for two seconds; gives the number of its events.
    #[track_caller]
    pub fn settled(&self, name: &str) -> usize {
        let mut seen = (usize::MAX, Instant::now());
        wait::timed(&format!("{name} to settle"), START, || {
            is_ready(&self.get("milvusclusters", name))?;
            let told = self.events(name).len();
            if told != seen.0 {
                seen = (told, Instant::now());
            }
            let quiet = seen.1.elapsed() > Duration::from_secs(2);
            quiet.then_some(told).ok_or(format!("{told} events"))
        })
        .0
    }

    /// A condition of a cluster.
    #[track_caller]
    pub fn condition(&self, name: &str, kind: &str) -> Condition {
        condition(&self.get("milvusclusters", name), kind)
    }

    /// Waits until a condition has this status, and all these words are in its reason or message.
    #[track_caller]
    pub fn told(&self, name: &str, kind: &str, status: &str, words: &[&str]) -> Condition {
        let what = format!("{kind}={status} of {name} with {words:?}");
        let (found, _) = wait::timed(&what, SOON, || {
            let found = self.condition(name, kind);
            let text = format!("{} {}", found.reason, found.message);
            let all = found.status == status && words.iter().all(|w| text.contains(w));
            all.then_some(found.clone())
                .ok_or_else(|| format!("{found:?}"))
        });
        found
    }

    /// Events about a cluster, oldest first.
    pub fn events(&self, cluster: &str) -> Vec<Event> {
        let mut all = self.api.list("events", &self.namespace, "");
        all.retain(|e| {
            let about = &e["involvedObject"];
            about["kind"] == "MilvusCluster" && about["name"] == cluster
        });
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        all.sort_by_key(|e| text(&e["eventTime"]));
        let event = |e: &Value| Event {
            warning: e["type"] == "Warning",
            reason: text(&e["reason"]),
            message: text(&e["message"]),
        };
        all.iter().map(event).collect()
    }

    /// Waits for an event with this reason whose message holds all these words, after the first `skip` events.
    #[track_caller]
    pub fn event(&self, cluster: &str, skip: usize, reason: &str, words: &[&str]) -> String {
        let what = format!("an event {reason} of {cluster} with {words:?}");
        let (found, _) = wait::timed(&what, SOON, || {
            let events = self.events(cluster);
            let new = &events[skip.min(events.len())..];
            let found = new
                .iter()
                .find(|e| e.reason == reason && words.iter().all(|w| e.message.contains(w)));
            found
                .map(|e| e.message.clone())
                .ok_or_else(|| format!("{new:?}"))
        });
        found
    }

    /// Names of objects of a cluster.
    pub fn names(&self, what: &str, cluster: &str) -> Vec<String> {
        let select = format!("app.kubernetes.io/instance={cluster}");
        self.api.names(what, &self.namespace, &select)
    }

    /// uid and generation (of kinds that have one) of every object of a cluster.
    pub fn identities(&self, cluster: &str) -> BTreeMap<String, String> {
        let select = format!("app.kubernetes.io/instance={cluster}");
        let mut all = BTreeMap::new();
        for kind in KINDS {
            for object in self.api.list(kind, &self.namespace, &select) {
                let metadata = &object["metadata"];
                all.insert(
                    format!("{kind} {}", metadata["name"].as_str().unwrap_or_default()),
                    format!("{} {}", metadata["uid"], metadata["generation"]),
                );
            }
        }
        all
    }

    /// Waits until nothing of a cluster is left: no object, no pod, no resource.
    #[track_caller]
    pub fn gone(&self, cluster: &str, limit: Duration) -> Duration {
        let what = format!("{cluster} to be gone");
        let (_, took) = wait::timed(&what, limit, || {
            if let Some(found) = self.find("milvusclusters", cluster) {
                return Err(format!("{}", found["status"]["conditions"]));
            }
            for kind in KINDS.iter().chain(&["pods"]) {
                let left = self.names(kind, cluster);
                if !left.is_empty() {
                    return Err(format!("{kind} {left:?}"));
                }
            }
            Ok(())
        });
        took
    }

    /// Deletes a resource and waits until nothing is left.
    #[track_caller]
    pub fn remove(&self, cluster: &str) -> Duration {
        self.api
            .delete(self.at("milvusclusters", cluster), "Background");
        self.gone(cluster, START)
    }

    /// For a while nothing of a cluster changes.
    #[track_caller]
    pub fn still(&self, cluster: &str, time: Duration) {
        let before = self.identities(cluster);
        thread::sleep(time);
        assert_eq!(before, self.identities(cluster));
    }
}

impl Room {
    /// Prints what there is to know.
    pub fn tell(&self) {
        for (what, args) in [
            ("milvusclusters.operator.milvus.io", vec!["describe"]),
            (
                "deployments,statefulsets,jobs,services,pods,pvc",
                vec!["get"],
            ),
        ] {
            let mut args = args;
            args.push(what);
            println!("---- kubectl {}", args.join(" "));
            println!("{}", self.kubectl.try_run(&args).text());
        }
        println!("---- the end of the operator's log");
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(60)) {
            println!("{line}");
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if thread::panicking() {
            self.tell();
        }
        let namespace = ["delete", "namespace", &self.namespace, "--wait=false"];
        drop(self.kubectl.try_run(&namespace));
    }
}

pub fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}
