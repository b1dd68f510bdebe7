//! A Kubernetes of the testbed: a real control plane, fake or real nodes, and what its API server was asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::kubectl::Kubectl;
use crate::prepared;
use crate::process::{self, Output};

const LIMIT: Duration = Duration::from_secs(240);

/// The cluster. It goes when this does, however the test ends.
#[derive(Debug)]
pub struct Kubernetes {
    script: String,
    name: String,
    admin: PathBuf,
    keep: bool,
}

/// A request that the API server answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, ...
    pub verb: String,
    /// Group of the resource; empty for the core group.
    pub group: String,
    /// Plural name, with the subresource; empty for what is no resource.
    pub resource: String,
    /// Namespace, where there is one.
    pub namespace: String,
    /// HTTP status of the answer.
    pub code: u64,
}

impl Kubernetes {
    /// A new cluster with these numbers of fake and real nodes.
    pub fn up(name: &str, fake: u32, real: u32) -> Self {
        println!("  up a Kubernetes of {fake} fake and {real} real nodes, named {name}");
        let mut cluster = Self {
            script: prepared("MILVUS_TEST_KUBERNETES"),
            name: name.to_owned(),
            admin: PathBuf::new(),
            keep: false,
        };
        cluster
            .run(&["up", &fake.to_string(), &real.to_string()])
            .expect();
        cluster.admin = cluster.kubeconfig("admin");
        cluster
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.script);
        command.env("TESTBED_NAME", &self.name).args(args);
        process::run(&mut command, "", LIMIT)
    }

    /// The same, kept as it is when one of that shape stands already and `MILVUS_TEST_KEEP=1` asks for it; then it stays.
    pub fn shared(name: &str, fake: u32, real: u32) -> Self {
        if !std::env::var("MILVUS_TEST_KEEP").is_ok_and(|v| v == "1") {
            return Self::up(name, fake, real);
        }
        let mut cluster = Self {
            script: prepared("MILVUS_TEST_KUBERNETES"),
            name: name.to_owned(),
            admin: PathBuf::new(),
            keep: true,
        };
        cluster
            .run(&["ensure", &fake.to_string(), &real.to_string()])
            .expect();
        cluster.admin = cluster.kubeconfig("admin");
        cluster
    }

    /// SIGKILL of a part of the control plane.
    pub fn kill(&self, part: &str) {
        println!("  kill of {part}");
        self.run(&["kill", part]).expect();
    }

    /// Starts a part that was ended.
    pub fn start(&self, part: &str) {
        println!("  start of {part}");
        self.run(&["start", part]).expect();
    }

    /// A part hangs: its connections stay, and it does nothing.
    pub fn pause(&self, part: &str) {
        println!("  {part} hangs");
        self.run(&["pause", part]).expect();
    }

    /// A part that hung goes on.
    pub fn resume(&self, part: &str) {
        println!("  {part} goes on");
        self.run(&["resume", part]).expect();
    }

    /// Makes the cluster's etcd forget everything but the present: no watch can go on from what it saw before.
    pub fn compact(&self) {
        let path = self.folder().join("net");
        let net = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let octet = net.trim().rsplit('.').next().unwrap_or_default();
        let ask = |what: &str, body: &str| -> Value {
            let url = format!("http://127.{octet}.0.1:2379/v3/kv/{what}");
            let mut command = Command::new("curl");
            command.args([
                "-sf",
                "--noproxy",
                "*",
                "--max-time",
                "10",
                "-d",
                body,
                &url,
            ]);
            let answer = process::run(&mut command, "", LIMIT).expect();
            serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{url}: {e}: {answer}"))
        };
        let now = ask("range", r#"{"key": "AA=="}"#);
        let revision = now["header"]["revision"].as_str().unwrap_or_default();
        println!("  etcd forgets all before {revision}");
        ask(
            "compaction",
            &format!(r#"{{"revision": "{revision}", "physical": true}}"#),
        );
    }

    /// At least so many free PersistentVolumes.
    pub fn volumes(&self, count: u32) {
        self.run(&["volumes", &count.to_string()]).expect();
    }

    /// An etcd and an S3 store beside the cluster: `ETCD`, `STORAGE`, `BUCKET`, `ACCESS_KEY`, `SECRET_KEY`.
    pub fn external(&self) -> BTreeMap<String, String> {
        let text = self.run(&["external"]).expect();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    /// A kubeconfig of somebody: `admin`, `user:NAME[,GROUP]...`, `sa:NAMESPACE/NAME`.
    pub fn kubeconfig(&self, who: &str) -> PathBuf {
        let path = self.run(&["kubeconfig", who]).expect();
        PathBuf::from(path.trim())
    }

    /// kubectl as the administrator.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.admin)
    }

    /// The folder of everything that belongs to this cluster; goes with it.
    pub fn folder(&self) -> &Path {
        self.admin.parent().unwrap_or(&self.admin)
    }

    /// What a user asked of resources so far, and how often; refused requests too. A watch counts from its beginning.
    pub fn requests(&self, user: &str) -> BTreeMap<Request, u64> {
        let path = self.folder().join("log/audit.log");
        let log =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut counts = BTreeMap::new();
        for line in log.lines() {
            // The last line may still be in the making.
            let Ok(event) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let stage = text(&event["stage"]);
            let watch = event["verb"] == "watch" && stage == "ResponseStarted";
            let other = event["verb"] != "watch" && stage == "ResponseComplete";
            let refused = event["responseStatus"]["code"].as_u64() >= Some(400);
            if event["user"]["username"] == user
                && !event["objectRef"].is_null()
                && (watch || other || (refused && stage == "ResponseComplete"))
            {
                *counts.entry(request(&event)).or_default() += 1;
            }
        }
        counts
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let output = self.run(&["down"]);
        if !output.ok() {
            println!("  {}", output.text());
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn request(event: &Value) -> Request {
    let object = &event["objectRef"];
    let mut resource = text(&object["resource"]);
    if let Some(part) = object["subresource"].as_str() {
        resource = format!("{resource}/{part}");
    }
    Request {
        verb: text(&event["verb"]),
        group: text(&object["apiGroup"]),
        resource,
        namespace: text(&object["namespace"]),
        code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
    }
}
