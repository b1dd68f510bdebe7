//! `export` and `import`: all resources and ledgers, out of one store and into another, through the API. What an export can
//! hold is what the operator needs to know again: volumes and their data stay on their nodes.

mod collect;
mod restore;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, Config};
use milvus_swarm::installation::{Installation, InstallationError};
use serde_json::Value;

use super::manifest::ManifestError;
use crate::commands::output::say;
use crate::keys::{self, KeysError};

/// Flags of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// File to write, readable for its owner alone; `-` for standard output.
    #[arg(short, long)]
    pub file: PathBuf,
    /// How to reach the API. Default: $KUBECONFIG, then ~/.kube/config.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Write the Secrets that clusters need too, in clear.
    #[arg(long)]
    pub include_secrets: bool,
}

/// Flags of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// File to read; `-` for standard input.
    #[arg(short, long)]
    pub file: PathBuf,
    /// How to reach the API. Default: $KUBECONFIG, then ~/.kube/config.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Replace what is there already and differs.
    #[arg(long)]
    pub overwrite: bool,
    /// Go on although Secrets that the clusters need are neither in the file nor in the store. Generated ones are then made
    /// anew, and data that needs the old ones cannot be opened.
    #[arg(long)]
    pub without_secrets: bool,
    /// For another Swarm than the exported one: the engine of one of its managers. Members go to the nodes that have the same
    /// names there.
    #[arg(long)]
    pub docker_host: Option<String>,
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error("read the kubeconfig")]
    Kubeconfig(#[source] KubeconfigError),
    #[error("use the kubeconfig")]
    Client(#[source] kube::Error),
    #[error("{operation} {what}")]
    Api {
        operation: &'static str,
        what: String,
        #[source]
        source: kube::Error,
    },
    #[error("{what} has a ledger that is not understood")]
    Ledger {
        what: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{what} is not understood")]
    Object {
        what: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("turn the resources into YAML")]
    Yaml(#[source] serde_saphyr::ser::Error),
    #[error("print the resources")]
    Print(#[source] std::io::Error),
    #[error(transparent)]
    File(#[from] KeysError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(
        "{what} does not belong into an export: only Namespaces, Secrets, ledgers and MilvusClusters do"
    )]
    Kind { what: String },
    #[error(
        "these are there already and differ: {what}; nothing was written; add --overwrite to replace them"
    )]
    Present { what: String },
    #[error(
        "clusters need Secrets that are neither in the file nor in the store: {what}; nothing was written; export again with \
         --include-secrets, create them, or add --without-secrets"
    )]
    SecretsMissing { what: String },
    #[error("{file} holds nothing to import")]
    Empty { file: String },
    #[error(
        "{file}: {place} has no {missing}; the file is cut off or damaged; nothing was written"
    )]
    Incomplete {
        file: String,
        place: String,
        missing: &'static str,
    },
    #[error(transparent)]
    Swarm(#[from] InstallationError),
    #[error(
        "this Swarm has no node (or more than one) named {what}: members of the clusters live there; give the nodes their names \
         back, or edit nodeName in the file's ledgers"
    )]
    NodesMissing { what: String },
}

/// Kinds of an export, in the order in which they can be created: whoever comes later needs what is before.
const KINDS: [(&str, &str, &str, &str); 4] = [
    ("", "v1", "Namespace", "namespaces"),
    ("", "v1", "Secret", "secrets"),
    ("", "v1", "ConfigMap", "configmaps"),
    (
        milvus_crds::GROUP,
        milvus_crds::VERSION,
        milvus_crds::KIND,
        milvus_crds::PLURAL,
    ),
];

fn resource(kind: &str) -> Option<ApiResource> {
    let (group, version, kind, plural) =
        KINDS.into_iter().find(|(_, _, known, _)| *known == kind)?;
    Some(ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(group, version, kind),
        plural,
    ))
}

/// Access to one kind in one namespace; in all of them, or for kinds without namespaces, `None`.
fn api(client: &Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

async fn connect(kubeconfig: Option<&PathBuf>) -> Result<Client, TransferError> {
    let loaded = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let loaded = loaded.map_err(TransferError::Kubeconfig)?;
    let config = Config::from_custom_kubeconfig(loaded, &KubeConfigOptions::default())
        .await
        .map_err(TransferError::Kubeconfig)?;
    Client::try_from(config).map_err(TransferError::Client)
}

/// Writes everything to a file.
pub(crate) async fn export(args: ExportArgs) -> Result<ExitCode, TransferError> {
    let client = connect(args.kubeconfig.as_ref()).await?;
    let found = collect::collect(&client, args.include_secrets).await?;
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": found.items });
    let text = serde_saphyr::to_string(&list).map_err(TransferError::Yaml)?;
    if args.file.as_os_str() == "-" {
        super::emit(&text).map_err(TransferError::Print)?;
    } else {
        keys::write_private(&args.file, &text)?;
    }
    say(found.summary(args.include_secrets).trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Creates everything of a file.
pub(crate) async fn import(args: ImportArgs) -> Result<ExitCode, TransferError> {
    let documents = super::manifest::documents(std::slice::from_ref(&args.file), false)?;
    let values: Vec<Value> = documents.into_iter().map(|d| d.value).collect();
    complete(&args.file, &values)?;
    let nodes = match &args.docker_host {
        Some(host) => Some(Installation::connect(host).await?.nodes_by_name().await?),
        None => None,
    };
    let client = connect(args.kubeconfig.as_ref()).await?;
    let options = restore::Options {
        overwrite: args.overwrite,
        without_secrets: args.without_secrets,
        nodes,
    };
    let restored = restore::restore(&client, values, &options).await?;
    say(restored.summary().trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Refuses a file without objects, and one in which a part of an object is missing.
fn complete(file: &std::path::Path, values: &[Value]) -> Result<(), TransferError> {
    let file = file.display().to_string();
    if values.is_empty() {
        return Err(TransferError::Empty { file });
    }
    for (at, value) in values.iter().enumerate() {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        let needed = [
            ("kind", "/kind"),
            ("apiVersion", "/apiVersion"),
            ("metadata.name", "/metadata/name"),
        ];
        let missing = needed
            .into_iter()
            .find(|(_, pointer)| text(pointer).is_none_or(str::is_empty));
        let Some((missing, _)) = missing else {
            continue;
        };
        // An export is one list, and its kind is written last.
        let place = if value.get("items").is_some() {
            "the list".to_owned()
        } else {
            format!("object {} ({})", at + 1, what(value).trim())
        };
        return Err(TransferError::Incomplete {
            file,
            place,
            missing,
        });
    }
    Ok(())
}

/// `MilvusCluster default/demo`, for messages.
fn what(object: &Value) -> String {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    match text("/metadata/namespace") {
        "" => format!("{} {}", text("/kind"), text("/metadata/name")),
        namespace => format!("{} {namespace}/{}", text("/kind"), text("/metadata/name")),
    }
}

/// What of an object is the user's: without status and without what a server sets.
fn portable(object: &Value) -> Value {
    let mut portable = object.clone();
    let Some(fields) = portable.as_object_mut() else {
        return portable;
    };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, value| {
            matches!(
                key.as_str(),
                "name" | "namespace" | "labels" | "annotations"
            ) && !value.is_null()
                && value.as_object().is_none_or(|map| !map.is_empty())
        });
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            // A copy of the manifest that kubectl keeps; it would hold Secrets in clear and be out of date.
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    portable
}
