//! `run --platform swarm`: an engine, and the operator's own API server.
//!
//! Who leads is settled by the API server's store: the operator that was started last takes it over, and the one before ends
//! (a manager that was cut off may come back with its operator still running). Nobody waits for a lease to run out: a start is
//! never delayed by one that is gone, and nothing is renewed at rest. An installed operator that has ended so is started again
//! by the Swarm and takes over in its turn; so one that is started by hand beside it is the one that ends.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Extension;
use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use milvus_apiserver::seal::Sealer;
use milvus_apiserver::store::memory::MemoryStore;
use milvus_apiserver::store::swarm::SwarmStore;
use milvus_apiserver::store::{Store, StoreError};
use milvus_apiserver::{ApiServer, Authenticator, BuildError, Guard, Identity};
use milvus_platform::Class;
use milvus_probes::ExternalAnswers;
use milvus_swarm::api::Engine;
use milvus_swarm::{Settings, SwarmBackend, SwarmConfigs};
use tokio_util::sync::CancellationToken;

use super::{Process, RunError, bind, pause};
use crate::cli::{RunArgs, StoreKind};
use crate::context::{Context, Namespaces, Resources, SecretVersions};
use crate::keys::{self, Keys};
use crate::ledger_store::{self, Home, Ledgers};
use crate::seams::{Fence, Seams};
use crate::turns::Turns;
use crate::{controller, telemetry};

/// Who we are in the API.
const USER: &str = "system:milvus-operator";

pub(super) async fn operate(args: &RunArgs) -> Result<(), RunError> {
    // What can be refused at once is refused before anything is touched.
    let api_listener = bind("--api-listen", args.api_listen).await?;
    let keys_path = args
        .keys
        .clone()
        .unwrap_or_else(|| PathBuf::from(keys::DEFAULT_DIRECTORY));
    let keys = Keys::open(&keys_path, &args.api_addresses)?;
    let process = Process::start(args).await?;
    let shutdown = process.shutdown.clone();
    let Some(engine) = connect(args, &shutdown).await? else {
        return Ok(());
    };
    let Some(server) = open_api(args, &engine, &keys, &process).await? else {
        return Ok(());
    };
    let superseded = server.superseded();
    let end = tokio::spawn(until_superseded(superseded.clone(), shutdown.clone()));
    let tls = keys.server_config()?;
    let api = tokio::spawn({
        let (server, shutdown) = (server.clone(), shutdown.clone());
        async move { server.serve(vec![api_listener], tls, shutdown).await }
    });
    if let Some(path) = &args.write_kubeconfig {
        let url = keys::api_url(&advertised(args), args.api_listen.port());
        keys::write_private(path, &keys.kubeconfig(&url)?)?;
    }
    // The same requests as over the wire, without a socket.
    let service = server.router().layer(Extension(Identity::in_process(USER)));
    let client = Client::new(service, "default");
    let ledgers = Ledgers::new(client.clone(), Home::System);
    if let Err(error) = ledgers.ensure_namespace().await {
        // Refused for that reason, if another one starts right now.
        if superseded.is_cancelled() && matches!(end.await, Ok(true)) {
            return Err(RunError::Superseded);
        }
        return Err(error.into());
    }
    let settings = Settings {
        engine_socket: args.node_docker_socket.clone(),
        nofile_limit: args.nofile_limit.or_else(own_nofile_limit),
        ..Settings::new(&args.gateway_image)
    };
    let context = Arc::new(Context {
        client,
        backend: SwarmBackend::new(engine, settings),
        metrics: process.metrics.clone(),
        resources: Resources::default(),
        secrets: SecretVersions::default(),
        ledgers,
        namespaces: Namespaces::default(),
        gateway_image: args.gateway_image.clone(),
        turns: Turns::default(),
        external: ExternalAnswers::default(),
        seams: Seams {
            fence: Some(Arc::new(Lead(server))),
            ..Seams::default()
        },
    });
    tracing::info!(api = %args.api_listen, metrics = %args.metrics_listen, docker = %args.docker_host, "milvus-operator runs");
    tokio::select! {
        biased;
        // What is in flight ends where it is, as when the process dies: it is the other operator's turn.
        () = superseded.cancelled() => {}
        () = controller::run(context, process.readiness.clone(), shutdown) => {}
    }
    let served = async {
        if api.await.is_err() {
            tracing::warn!("the API server did not end well");
        }
    };
    process.end(served).await;
    match end.await {
        Ok(true) => Err(RunError::Superseded),
        _ => Ok(()),
    }
}

/// The lead over the store, which is the lead over the Swarm's clusters.
struct Lead(ApiServer);

impl Fence for Lead {
    fn confirm(&self) -> BoxFuture<'_, Result<(), String>> {
        async { self.0.confirm().await.map_err(|error| error.to_string()) }.boxed()
    }
}

/// Ends the operator when another one leads; false when it was to end before that.
async fn until_superseded(superseded: CancellationToken, shutdown: CancellationToken) -> bool {
    tokio::select! {
        // Looked at first: a takeover may have begun the end by another way before this is woken, and is still its reason.
        biased;
        () = superseded.cancelled() => {
            tracing::error!("another operator has taken over this Swarm's store; this one ends");
            shutdown.cancel();
            true
        }
        () = shutdown.cancelled() => false,
    }
}

/// Connects to the engine, waiting for one that is not up yet. `None` when a signal came first.
async fn connect(args: &RunArgs, shutdown: &CancellationToken) -> Result<Option<Engine>, RunError> {
    loop {
        match Engine::connect(&args.docker_host).await {
            Ok(engine) => return Ok(Some(engine)),
            Err(error) if error.class() == Class::Transient => {
                tracing::warn!(host = %args.docker_host, error = %telemetry::chain(&error), "the engine does not answer yet");
            }
            Err(source) => {
                return Err(RunError::Engine {
                    host: args.docker_host.clone(),
                    source,
                });
            }
        }
        if pause(shutdown).await {
            return Ok(None);
        }
    }
}

/// Opens the API server on its store, waiting while a Swarm without quorum cannot be read. `None` when a signal came first.
async fn open_api(
    args: &RunArgs,
    engine: &Engine,
    keys: &Keys,
    process: &Process,
) -> Result<Option<ApiServer>, RunError> {
    loop {
        let store: Arc<dyn Store> = match args.store {
            StoreKind::Swarm => Arc::new(swarm_store(engine)),
            StoreKind::Memory => Arc::new(MemoryStore::default()),
        };
        if args.store == StoreKind::Memory && !args.beside_stored_clusters {
            match swarm_store(engine).load_all().await {
                Ok(records) => refuse_beside(records.len())?,
                Err(error @ StoreError::Unavailable { .. }) => {
                    tracing::warn!(error = %telemetry::chain(&error), "the Swarm's store does not answer yet");
                    if pause(&process.shutdown).await {
                        return Ok(None);
                    }
                    continue;
                }
                Err(error) => return Err(BuildError::Load(error).into()),
            }
        }
        let built = ApiServer::builder()
            .crd(milvus_crds::CRD_JSON)
            .store(store)
            .sealer(Arc::new(Sealer::new(*keys.sealing_key())?))
            .authenticator(Authenticator::new()?)
            .product("milvus-operator")
            .guard(Guard {
                finalizer: ledger_store::KEPT.into(),
                advice: ledger_store::ADVICE.into(),
            })
            .metrics(process.metrics.registry.clone())
            .build()
            .await;
        match built {
            Ok(server) => return Ok(Some(server)),
            Err(error @ BuildError::Load(StoreError::Unavailable { .. })) => {
                tracing::warn!(error = %telemetry::chain(&error), "the store does not answer yet");
            }
            Err(error) => return Err(error.into()),
        }
        if pause(&process.shutdown).await {
            return Ok(None);
        }
    }
}

/// The store in the Swarm's raft.
fn swarm_store(engine: &Engine) -> SwarmStore<SwarmConfigs> {
    SwarmStore::new(
        SwarmConfigs::new(engine.clone()),
        milvus_swarm::installation::store(),
    )
}

/// A store in memory knows no other operator, and takes the clusters of another store for those of an earlier resource of their
/// name: it would remove them.
fn refuse_beside(records: usize) -> Result<(), RunError> {
    match records {
        0 => Ok(()),
        records => Err(RunError::StoredClusters { records }),
    }
}

/// The name that a kubeconfig uses: the first given one, else the address listened on.
fn advertised(args: &RunArgs) -> String {
    match args.api_addresses.first() {
        Some(name) => name.clone(),
        None if args.api_listen.ip().is_unspecified() => "127.0.0.1".to_owned(),
        None => args.api_listen.ip().to_string(),
    }
}

/// The hard limit of open files of this process; `None` when there is none or it cannot be read.
fn own_nofile_limit() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_takeover_is_told_whoever_hears_of_it_first() {
        let (superseded, shutdown) = (CancellationToken::new(), CancellationToken::new());
        superseded.cancel();
        shutdown.cancel();
        assert!(until_superseded(superseded, shutdown).await);
    }

    #[test]
    fn a_store_in_memory_is_refused_beside_a_stored_one() {
        assert!(refuse_beside(0).is_ok());
        let refused = refuse_beside(2)
            .expect_err("two records are there")
            .to_string();
        assert!(
            refused.contains("--store memory") && refused.contains("2 records"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_signal_alone_is_a_good_end() {
        let (superseded, shutdown) = (CancellationToken::new(), CancellationToken::new());
        shutdown.cancel();
        assert!(!until_superseded(superseded, shutdown).await);
    }
}
