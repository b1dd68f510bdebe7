//! `run`: opens the platform and the API, then lets the controller work until a signal comes.

mod connection;
mod kubernetes;
mod swarm;

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use milvus_apiserver::seal::SealError;
use milvus_platform::PlatformError;
use milvus_swarm::api::ApiError as EngineError;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::{Platform, RunArgs};
use crate::keys::KeysError;
use crate::leader::LeaderError;
use crate::ledger_store::LedgerError;
use crate::metrics::Metrics;
use crate::server::{self, Readiness};

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
    #[error(
        "another operator has taken over this Swarm's store: let one of them run, and look for the other with docker service ls and docker service ps"
    )]
    Superseded,
    #[error(
        "--store memory is refused: this Swarm's own store has {records} records, and their clusters would be taken for those of \
         earlier resources; use --store swarm, or --beside-stored-clusters if no namespace and name is in both"
    )]
    StoredClusters { records: usize },
    #[error("set up metrics")]
    Metrics(#[source] prometheus::Error),
    #[error("wait for signals")]
    Signals(#[source] std::io::Error),
    #[error("find a Kubernetes: give --kubeconfig FILE, or run in a pod with a service account")]
    Kubeconfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("use the API server")]
    Client(#[source] Box<kube::Error>),
    #[error("use the Kubernetes")]
    Kubernetes(#[from] PlatformError),
    #[error("lead")]
    Leader(#[from] LeaderError),
}

/// Runs until SIGTERM or SIGINT, or until another operator leads.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, RunError> {
    // Two threads are plenty for waiting on sockets, and keep memory small on machines with many cores.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let end = runtime.block_on(async {
        match args.platform {
            Platform::Swarm => swarm::operate(args).await,
            Platform::Kubernetes => kubernetes::operate(args).await,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    end.map(|()| ExitCode::SUCCESS)
}

/// What every operator has: the end by signals, metrics, health.
struct Process {
    shutdown: CancellationToken,
    metrics: Metrics,
    readiness: Readiness,
    signals: tokio::task::JoinHandle<()>,
    health: tokio::task::JoinHandle<()>,
}

impl Process {
    async fn start(args: &RunArgs) -> Result<Self, RunError> {
        let shutdown = CancellationToken::new();
        let signals = watch_signals(shutdown.clone())?;
        let metrics = Metrics::new().map_err(RunError::Metrics)?;
        let readiness = Readiness::default();
        let health = serve_metrics(
            args.metrics_listen,
            &metrics,
            readiness.clone(),
            shutdown.clone(),
        )
        .await?;
        Ok(Self {
            shutdown,
            metrics,
            readiness,
            signals,
            health,
        })
    }

    /// Lets what is in flight come to its end.
    async fn end(self, others: impl Future<Output = ()>) {
        self.shutdown.cancel();
        let all = async { (others.await, self.health.await) };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut off");
        }
        self.signals.abort();
        tracing::info!("milvus-operator has stopped; clusters go on without it");
    }
}

/// Waits for the next try; true when a signal came.
async fn pause(shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => true,
        () = tokio::time::sleep(START_AGAIN) => false,
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

#[cfg(test)]
mod tests;
