//! `run --platform kubernetes`: the API server that is there, with whatever rights the operator was given.

use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Resource};
use milvus_crds::MilvusCluster;
use milvus_kubernetes::{KubernetesBackend, Scope};
use milvus_platform::Class;
use tokio_util::sync::CancellationToken;
use tower::timeout::TimeoutLayer;

use super::{Process, RunError, pause};
use crate::cli::{KubernetesArgs, RunArgs, WireChecks};
use crate::context::{Context, Namespaces, Resources, SecretVersions};
use crate::leader::Leader;
use crate::ledger_store::{Home, Ledgers};
use crate::turns::Turns;
use crate::{controller, telemetry};

/// For a connection to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the beginning of an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn operate(args: &RunArgs) -> Result<(), RunError> {
    let options = &args.kubernetes;
    let config = config(options).await?;
    let server = config.cluster_url.clone();
    let own_namespace = config.default_namespace.clone();
    let client = client(config).map_err(|e| RunError::Client(Box::new(e)))?;
    let process = Process::start(args).await?;
    let shutdown = process.shutdown.clone();
    let leader = if options.leader_elect {
        let namespace = options.leader_namespace.clone().unwrap_or(own_namespace);
        let leader = Leader::new(client.clone(), &namespace, &options.leader_lease);
        // A standby is well: it is ready to take over.
        process.readiness.set();
        if !leader.elected(&shutdown).await {
            process.end(async {}).await;
            return Ok(());
        }
        Some(tokio::spawn(leader.keep(shutdown.clone())))
    } else {
        None
    };
    let scope = Scope {
        namespaces: options.watch_namespaces.clone(),
        wire_checks: options.wire_checks == WireChecks::Full,
    };
    let mut told = false;
    let backend = loop {
        match defined(&client).await {
            Ok(true) => {}
            Ok(false) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(
                        %server,
                        "the API server knows no {}.{}: give it the definition (milvus-operator crd | kubectl apply -f -); waiting for it",
                        MilvusCluster::plural(&()),
                        milvus_crds::GROUP
                    );
                }
                if pause(&shutdown).await {
                    process.end(async {}).await;
                    return Ok(());
                }
                continue;
            }
            // The next call fails the same way and says so.
            Err(error) => {
                tracing::debug!(error = %telemetry::chain(&error), "the definition was not looked for")
            }
        }
        match KubernetesBackend::start(client.clone(), &scope).await {
            Ok(backend) => break backend,
            Err(error) if error.class == Class::Transient => {
                tracing::warn!(%server, error = %telemetry::chain(&error), "the API server does not answer yet");
            }
            Err(error) => return Err(error.into()),
        }
        if pause(&shutdown).await {
            process.end(async {}).await;
            return Ok(());
        }
    };
    let context = Arc::new(Context {
        ledgers: Ledgers::new(client.clone(), Home::Beside),
        client,
        backend,
        metrics: process.metrics.clone(),
        resources: Resources::default(),
        secrets: SecretVersions::default(),
        namespaces: Namespaces(scope.namespaces),
        gateway_image: String::new(),
        turns: Turns::default(),
        // The Lease says who leads here; whoever loses it lets running passes come to an end.
        superseded: CancellationToken::new(),
    });
    tracing::info!(%server, metrics = %args.metrics_listen, "milvus-operator runs");
    controller::run(context, process.readiness.clone(), shutdown).await;
    let mut lost = None;
    let released = async {
        if let Some(leader) = leader
            && let Ok(Err(error)) = leader.await
        {
            lost = Some(error);
        }
    };
    process.end(released).await;
    match lost {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Whether the API server knows the resource.
async fn defined(client: &Client) -> Result<bool, kube::Error> {
    let version = MilvusCluster::api_version(&());
    match client.list_api_group_resources(&version).await {
        Ok(list) => {
            let plural = MilvusCluster::plural(&());
            Ok(list.resources.iter().any(|r| r.name == plural))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

/// The kubeconfig that was given, else the one of the environment, else the pod's service account.
async fn config(options: &KubernetesArgs) -> Result<Config, RunError> {
    let wanted = KubeConfigOptions {
        context: options.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = match &options.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|e| RunError::Kubeconfig(e.into()))?;
            Config::from_custom_kubeconfig(file, &wanted)
                .await
                .map_err(|e| RunError::Kubeconfig(e.into()))?
        }
        None if options.context.is_some() => Config::from_kubeconfig(&wanted)
            .await
            .map_err(|e| RunError::Kubeconfig(e.into()))?,
        None => Config::infer()
            .await
            .map_err(|e| RunError::Kubeconfig(e.into()))?,
    };
    Ok(config)
}

/// A client whose calls are answered in time or not at all. (The answer to a watch begins at once; its events may take long.)
fn client(mut config: Config) -> Result<Client, kube::Error> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&TimeoutLayer::new(CALL_TIMEOUT)).build())
}
