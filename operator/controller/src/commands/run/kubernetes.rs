//! `run --platform kubernetes`: the API server that is there, with whatever rights the operator was given.

use std::sync::Arc;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use milvus_kubernetes::{KubernetesBackend, Scope};
use milvus_platform::Class;
use milvus_probes::ExternalAnswers;
use tokio_util::sync::CancellationToken;

use super::{Process, RunError, connection, pause};
use crate::cli::{KubernetesArgs, RunArgs, WireChecks};
use crate::context::{Context, Namespaces, Resources, SecretVersions};
use crate::leader::Leader;
use crate::ledger_store::{Home, Ledgers};
use crate::seams::Seams;
use crate::turns::Turns;
use crate::{controller, definition, telemetry};

pub(super) async fn operate(args: &RunArgs) -> Result<(), RunError> {
    let options = &args.kubernetes;
    let config = config(options).await?;
    let server = config.cluster_url.to_string();
    let own_namespace = config.default_namespace.clone();
    let client = connection::client(config).map_err(|e| RunError::Client(Box::new(e)))?;
    let process = Process::start(args).await?;
    // Two tokens, because an end that was asked for takes its time, and the Lease is ours until it is over.
    let (done, lost) = (CancellationToken::new(), CancellationToken::new());
    let (mut leader, mut seams) = (None, Seams::default());
    if options.leader_elect {
        let namespace = options.leader_namespace.clone().unwrap_or(own_namespace);
        let candidate = Leader::new(client.clone(), &namespace, &options.leader_lease);
        // A standby is well: it is ready to take over.
        process.readiness.set();
        if !candidate.elected(&process.shutdown).await {
            process.end(async {}).await;
            return Ok(());
        }
        seams.fence = Some(candidate.hold());
        leader = Some(tokio::spawn(candidate.keep(done.clone(), lost.clone())));
    }
    let worked = tokio::select! {
        biased;
        // What is in flight ends where it is: it is another's turn.
        () = lost.cancelled() => Ok(()),
        worked = work(args, client, &server, &process, seams) => worked,
    };
    done.cancel();
    let mut loss = None;
    let released = async {
        if let Some(leader) = leader
            && let Ok(Err(error)) = leader.await
        {
            loss = Some(error);
        }
    };
    process.end(released).await;
    worked?;
    loss.map_or(Ok(()), |error| Err(error.into()))
}

/// Looks after clusters until a signal comes.
async fn work(
    args: &RunArgs,
    client: Client,
    server: &str,
    process: &Process,
    seams: Seams,
) -> Result<(), RunError> {
    let shutdown = process.shutdown.clone();
    let options = &args.kubernetes;
    let scope = Scope {
        namespaces: options.watch_namespaces.clone(),
        wire_checks: options.wire_checks == WireChecks::Full,
    };
    let Some(backend) = open(&client, &scope, server, &shutdown).await? else {
        return Ok(());
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
        external: ExternalAnswers::default(),
        seams,
    });
    tracing::info!(%server, metrics = %args.metrics_listen, "milvus-operator runs");
    controller::run(context, process.readiness.clone(), shutdown).await;
    Ok(())
}

/// Opens the platform, waiting for an API server and a definition that are not there yet. `None` when a signal came first.
async fn open(
    client: &Client,
    scope: &Scope,
    server: &str,
    shutdown: &CancellationToken,
) -> Result<Option<KubernetesBackend>, RunError> {
    let mut told = false;
    loop {
        match definition::listed(client).await {
            Ok(true) => {}
            Ok(false) => {
                if !std::mem::replace(&mut told, true) {
                    definition::tell();
                }
                if pause(shutdown).await {
                    return Ok(None);
                }
                continue;
            }
            // The next call fails the same way and says so.
            Err(error) => {
                tracing::debug!(error = %telemetry::chain(&error), "the definition was not looked for")
            }
        }
        match KubernetesBackend::start(client.clone(), scope).await {
            Ok(backend) => return Ok(Some(backend)),
            Err(error) if error.class == Class::Transient => {
                tracing::warn!(%server, error = %telemetry::chain(&error), "the API server does not answer yet");
            }
            Err(error) => return Err(error.into()),
        }
        if pause(shutdown).await {
            return Ok(None);
        }
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
