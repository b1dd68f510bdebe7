//! A Kubernetes API asked directly, without a process in between: for what is measured in milliseconds, and for what a suite
//! looks at often. Objects are plain JSON.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(20);

/// The API as one user sees it.
pub struct Api {
    runtime: Runtime,
    client: Client,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status; 0 when there was no answer.
    pub code: u16,
    /// In the API's words.
    pub message: String,
}

/// An object's place.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Plural name of the kind, with the subresource: `deployments`, `deployments/scale`.
    pub what: &'a str,
    /// Namespace; empty where there is none.
    pub namespace: &'a str,
    /// Name; empty for all of them.
    pub name: &'a str,
}

/// In a namespace.
pub const fn at<'a>(what: &'a str, namespace: &'a str, name: &'a str) -> At<'a> {
    At {
        what,
        namespace,
        name,
    }
}

/// How a patch is meant.
#[derive(Clone, Copy, Debug)]
pub enum Patch<'a> {
    /// Fields that are set, and null for those that go.
    Merge,
    /// A list of operations.
    Json,
    /// Server-side apply as this manager, taking fields from others.
    Apply(&'a str),
}

impl Api {
    /// With a kubeconfig.
    pub fn new(kubeconfig: &Path) -> Self {
        // A second provider can only mean that one is there already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap_or_else(|error| panic!("the runtime: {error}"));
        let file = Kubeconfig::read_from(kubeconfig)
            .unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()));
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(file, &options);
            let mut config = config
                .await
                .unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()));
            config.proxy_url = None;
            Client::try_from(config).unwrap_or_else(|error| panic!("the client: {error}"))
        });
        Self { runtime, client }
    }

    /// One request. `body` is null where there is none.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        content: &str,
        body: &Value,
    ) -> Result<Value, Refused> {
        let bytes = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", content)
            .body(bytes)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let answer = self.runtime.block_on(async {
            tokio::time::timeout(LIMIT, self.client.request::<Value>(request)).await
        });
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(kube::Error::Api(status))) => Err(Refused {
                code: status.code,
                message: status.message.clone(),
            }),
            Ok(Err(error)) => Err(Refused {
                code: 0,
                message: error.to_string(),
            }),
            Err(_) => Err(Refused {
                code: 0,
                message: format!("no answer to {method} {path} within {} s", LIMIT.as_secs()),
            }),
        }
    }

    /// An object; `None` when there is none.
    #[track_caller]
    pub fn get(&self, at: At<'_>) -> Option<Value> {
        match self.request("GET", &path(at), JSON, &Value::Null) {
            Ok(found) => Some(found),
            Err(refused) if refused.code == 404 => None,
            Err(refused) => panic!("get {at:?}: {refused:?}"),
        }
    }

    /// All objects of a kind in a namespace (all of them when it is empty) with these labels.
    #[track_caller]
    pub fn list(&self, what: &str, namespace: &str, select: &str) -> Vec<Value> {
        let path = format!(
            "{}?labelSelector={}",
            path(at(what, namespace, "")),
            select.replace('=', "%3D")
        );
        let list = self
            .request("GET", &path, JSON, &Value::Null)
            .unwrap_or_else(|refused| panic!("list {what}: {refused:?}"));
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Names of these objects.
    #[track_caller]
    pub fn names(&self, what: &str, namespace: &str, select: &str) -> Vec<String> {
        let all = self.list(what, namespace, select);
        let name = |o: &Value| {
            o["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        all.iter().map(name).collect()
    }

    /// Makes an object of a kind.
    pub fn create(&self, what: &str, namespace: &str, object: &Value) -> Result<Value, Refused> {
        self.request("POST", &path(at(what, namespace, "")), JSON, object)
    }

    /// Changes an object.
    pub fn patch(&self, at: At<'_>, patch: Patch<'_>, body: &Value) -> Result<Value, Refused> {
        let (content, query) = match patch {
            Patch::Merge => ("application/merge-patch+json", String::new()),
            Patch::Json => ("application/json-patch+json", String::new()),
            Patch::Apply(manager) => (
                "application/apply-patch+yaml",
                format!("?force=true&fieldManager={manager}"),
            ),
        };
        self.request("PATCH", &format!("{}{query}", path(at)), content, body)
    }

    /// Deletes an object; one that is not there is deleted.
    #[track_caller]
    pub fn delete(&self, at: At<'_>, propagation: &str) {
        let path = format!("{}?propagationPolicy={propagation}", path(at));
        match self.request("DELETE", &path, JSON, &Value::Null) {
            Ok(_) | Err(Refused { code: 404, .. }) => {}
            Err(refused) => panic!("delete {at:?}: {refused:?}"),
        }
    }
}

const JSON: &str = "application/json";

/// Where kinds are found in the API.
fn group(plural: &str) -> &'static str {
    match plural {
        "deployments" | "statefulsets" | "replicasets" => "apis/apps/v1",
        "jobs" => "apis/batch/v1",
        "poddisruptionbudgets" => "apis/policy/v1",
        "ingresses" => "apis/networking.k8s.io/v1",
        "leases" => "apis/coordination.k8s.io/v1",
        "horizontalpodautoscalers" => "apis/autoscaling/v2",
        "customresourcedefinitions" => "apis/apiextensions.k8s.io/v1",
        "validatingadmissionpolicies" | "validatingadmissionpolicybindings" => {
            "apis/admissionregistration.k8s.io/v1"
        }
        "mutatingadmissionpolicies" | "mutatingadmissionpolicybindings" => {
            "apis/admissionregistration.k8s.io/v1beta1"
        }
        "flowschemas" | "prioritylevelconfigurations" => "apis/flowcontrol.apiserver.k8s.io/v1",
        "milvusclusters" => "apis/operator.milvus.io/v1beta1",
        _ => "api/v1",
    }
}

/// Where an object is found in the API.
pub fn path(at: At<'_>) -> String {
    let (plural, part) = at.what.split_once('/').unwrap_or((at.what, ""));
    let mut path = format!("/{}", group(plural));
    if !at.namespace.is_empty() {
        path.push_str(&format!("/namespaces/{}", at.namespace));
    }
    path.push_str(&format!("/{plural}"));
    if !at.name.is_empty() {
        path.push_str(&format!("/{}", at.name));
    }
    if !part.is_empty() {
        path.push_str(&format!("/{part}"));
    }
    path
}
