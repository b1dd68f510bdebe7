//! `run`: opens the platform and the API, then lets the controller work until a signal comes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use kube::Client;
use milvus_apiserver::seal::{SealError, Sealer};
use milvus_apiserver::store::memory::MemoryStore;
use milvus_apiserver::store::swarm::SwarmStore;
use milvus_apiserver::store::{Store, StoreError};
use milvus_apiserver::{ApiServer, Authenticator, BuildError, Identity};
use milvus_platform::Class;
use milvus_swarm::api::{ApiError as EngineError, Engine};
use milvus_swarm::{Settings, SwarmBackend, SwarmConfigs};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::{RunArgs, StoreKind};
use crate::context::{CONCURRENT_PASSES, Context, Resources};
use crate::keys::{self, Keys, KeysError};
use crate::ledger_store::{self, LedgerError};
use crate::metrics::Metrics;
use crate::server::{self, Readiness};
use crate::{controller, telemetry};

/// Who we are in the API.
const USER: &str = "system:milvus-operator";
/// Between tries while the platform or its store does not answer at the start.
const START_AGAIN: Duration = Duration::from_secs(2);
/// After a signal, work in flight may take this long.
const DRAIN: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("{address} of {flag} cannot be listened on; is another operator running there?")]
    Listen {
        flag: &'static str,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("use the Docker engine at {host}")]
    Engine {
        host: String,
        #[source]
        source: EngineError,
    },
    #[error("open the API's keys")]
    Keys(#[from] KeysError),
    #[error("start the API server")]
    ApiServer(#[from] milvus_apiserver::BuildError),
    #[error("set up the API's authentication")]
    Auth(#[from] milvus_apiserver::auth::AuthError),
    #[error("use the sealing key")]
    Seal(#[from] SealError),
    #[error("prepare the store of ledgers")]
    Ledgers(#[from] LedgerError),
    #[error("set up metrics")]
    Metrics(#[source] prometheus::Error),
    #[error("wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, RunError> {
    // Two threads are plenty for waiting on sockets, and keep memory small on machines with many cores.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(operate(args))?;
    runtime.shutdown_timeout(Duration::from_secs(2));
    Ok(ExitCode::SUCCESS)
}

async fn operate(args: &RunArgs) -> Result<(), RunError> {
    let shutdown = CancellationToken::new();
    let signals = watch_signals(shutdown.clone())?;
    // What can be refused at once is refused before anything is touched.
    let api_listener = bind("--api-listen", args.api_listen).await?;
    let keys_path = args
        .keys
        .clone()
        .unwrap_or_else(|| PathBuf::from(keys::DEFAULT_DIRECTORY));
    let keys = Keys::open(&keys_path, &args.api_addresses)?;
    let metrics = Metrics::new().map_err(RunError::Metrics)?;
    let readiness = Readiness::default();
    let health = serve_metrics(
        args.metrics_listen,
        &metrics,
        readiness.clone(),
        shutdown.clone(),
    )
    .await?;

    let Some(engine) = connect(args, &shutdown).await? else {
        return Ok(());
    };
    let Some(server) = open_api(args, &engine, &keys, &shutdown).await? else {
        return Ok(());
    };
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
    ledger_store::ensure_namespace(&client).await?;
    let settings = Settings {
        engine_socket: args.node_docker_socket.clone(),
        nofile_limit: args.nofile_limit.or_else(own_nofile_limit),
        ..Settings::new(&args.gateway_image)
    };
    let context = Arc::new(Context {
        client,
        backend: SwarmBackend::new(engine, settings),
        metrics,
        resources: Resources::default(),
        gateway_image: args.gateway_image.clone(),
        passes: Arc::new(tokio::sync::Semaphore::new(CONCURRENT_PASSES)),
    });
    tracing::info!(api = %args.api_listen, metrics = %args.metrics_listen, docker = %args.docker_host, "milvus-operator runs");
    controller::run(context, readiness, shutdown.clone()).await;
    shutdown.cancel();
    if tokio::time::timeout(DRAIN, async { (api.await, health.await) })
        .await
        .is_err()
    {
        tracing::warn!("some connections did not end in time and are cut off");
    }
    signals.abort();
    tracing::info!("milvus-operator has stopped; clusters go on without it");
    Ok(())
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
    shutdown: &CancellationToken,
) -> Result<Option<ApiServer>, RunError> {
    loop {
        let store: Arc<dyn Store> = match args.store {
            StoreKind::Swarm => Arc::new(SwarmStore::new(
                SwarmConfigs::new(engine.clone()),
                milvus_swarm::installation::store(),
            )),
            StoreKind::Memory => Arc::new(MemoryStore::default()),
        };
        let built = ApiServer::builder()
            .crd(milvus_crds::crd())
            .store(store)
            .sealer(Arc::new(Sealer::new(*keys.sealing_key())?))
            .authenticator(Authenticator::new()?)
            .product("milvus-operator")
            .build()
            .await;
        match built {
            Ok(server) => return Ok(Some(server)),
            Err(error @ BuildError::Load(StoreError::Unavailable { .. })) => {
                tracing::warn!(error = %telemetry::chain(&error), "the store does not answer yet");
            }
            Err(error) => return Err(error.into()),
        }
        if pause(shutdown).await {
            return Ok(None);
        }
    }
}

/// Waits for the next try; true when a signal came.
async fn pause(shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => true,
        () = tokio::time::sleep(START_AGAIN) => false,
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

async fn bind(flag: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen {
            flag,
            address,
            source,
        })
}

async fn serve_metrics(
    address: SocketAddr,
    metrics: &Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, RunError> {
    let listener = bind("--metrics-listen", address).await?;
    let registry = metrics.registry.clone();
    Ok(tokio::spawn(async move {
        if let Err(error) = server::serve(listener, registry, readiness, shutdown).await {
            tracing::warn!(%error, "metrics and health are not served any more");
        }
    }))
}

/// Cancels on the first signal; a second one ends the process at once.
fn watch_signals(shutdown: CancellationToken) -> Result<tokio::task::JoinHandle<()>, RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    Ok(tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        tracing::info!("stopping");
        shutdown.cancel();
        next().await;
        std::process::exit(130);
    }))
}

/// The hard limit of open files of this process; `None` when there is none or it cannot be read.
fn own_nofile_limit() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(4)?.parse().ok()
}
