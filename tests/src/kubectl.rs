//! kubectl against the operator's API server, or Kubernetes' own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::prepared;
use crate::process::{self, Output};

const LIMIT: Duration = Duration::from_secs(30);

/// A kubectl command line.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: String,
    kubeconfig: PathBuf,
    cache: PathBuf,
    namespace: Option<String>,
}

/// A condition of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False`, `Unknown`; empty when there is none.
    pub status: String,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
}

/// An event about a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `Normal` or `Warning`.
    pub kind: String,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
}

impl Kubectl {
    /// With a kubeconfig; the first of the machine's kubectls.
    pub fn new(kubeconfig: &Path) -> Self {
        let all = prepared("MILVUS_TEST_KUBECTL");
        Self {
            program: all.split(':').next().unwrap_or("kubectl").to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            cache: kubeconfig.with_extension("cache"),
            namespace: None,
        }
    }

    /// The same in another namespace.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        Self {
            namespace: Some(name.to_owned()),
            ..self.clone()
        }
    }

    /// Runs a command with something on its standard input.
    pub fn pipe(&self, args: &[&str], input: &str) -> Output {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(&self.cache)
            .arg("--request-timeout=20s");
        if let Some(namespace) = &self.namespace {
            command.arg("--namespace").arg(namespace);
        }
        command.args(args);
        process::run(&mut command, input, LIMIT)
    }

    /// Runs a command.
    pub fn try_run(&self, args: &[&str]) -> Output {
        self.pipe(args, "")
    }

    /// Runs a command that has to succeed.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        self.try_run(args).expect()
    }

    /// Applies a manifest that has to be taken.
    #[track_caller]
    pub fn apply(&self, manifest: &Value) -> String {
        self.pipe(&["apply", "-f", "-"], &manifest.to_string())
            .expect()
    }

    /// A merge patch of a cluster's resource that has to be taken.
    #[track_caller]
    pub fn patch(&self, cluster: &str, patch: &Value) -> String {
        self.run(&[
            "patch",
            "milvuscluster",
            cluster,
            "--type=merge",
            "-p",
            &patch.to_string(),
        ])
    }

    /// A cluster's resource; `None` when there is none.
    pub fn cluster(&self, name: &str) -> Option<Value> {
        let output = self.try_run(&["get", "milvuscluster", name, "-o", "json"]);
        output
            .ok()
            .then(|| serde_json::from_str(&output.stdout).ok())
            .flatten()
    }

    /// A condition of a cluster.
    pub fn condition(&self, cluster: &str, kind: &str) -> Condition {
        self.cluster(cluster)
            .map_or_else(Condition::default, |c| condition(&c, kind))
    }

    /// Events about a cluster, oldest first.
    pub fn events(&self, cluster: &str) -> Vec<Event> {
        let select = format!("involvedObject.kind=MilvusCluster,involvedObject.name={cluster}");
        let output = self.try_run(&["get", "events", "--field-selector", &select, "-o", "json"]);
        let list: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        let mut items: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let time = |e: &Value| {
            let exact = text(&e["eventTime"]);
            let number = text(&e["metadata"]["resourceVersion"])
                .parse::<u64>()
                .unwrap_or(0);
            (number, exact)
        };
        items.sort_by_key(time);
        let event = |e: &Value| Event {
            kind: text(&e["type"]),
            reason: text(&e["reason"]),
            message: text(&e["message"]),
        };
        items.iter().map(event).collect()
    }
}

/// A condition of a resource that was read.
pub fn condition(cluster: &Value, kind: &str) -> Condition {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let all = cluster["status"]["conditions"].as_array();
    let found = all.into_iter().flatten().find(|c| c["type"] == kind);
    found.map_or_else(Condition::default, |c| Condition {
        status: text(&c["status"]),
        reason: text(&c["reason"]),
        message: text(&c["message"]),
    })
}

/// Ready, for this generation, and at rest.
pub fn is_ready(resource: &Value) -> Result<(), String> {
    let generation = &resource["metadata"]["generation"];
    if resource["status"]["observedGeneration"] != *generation {
        return Err("the status speaks of an earlier generation".to_owned());
    }
    for (kind, wanted) in [
        ("Accepted", "True"),
        ("Ready", "True"),
        ("Progressing", "False"),
    ] {
        let condition = condition(resource, kind);
        if condition.status != wanted {
            return Err(format!("{kind} is {condition:?}"));
        }
    }
    Ok(())
}
