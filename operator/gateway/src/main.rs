//! The binary `milvus-gateway`: flags, files, signals and logs around the library. Nothing is decided here.

mod args;
mod node_task;

use args::{Args, LogFormat, Other};
use clap::Parser;
use milvus_gateway::lookup::SystemDns;
use milvus_gateway::pki;
use milvus_gateway::server::Gateway;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Connections that wait in the kernel to be accepted; it cuts this to its own limit.
const BACKLOG: u32 = 4096;
/// More threads move no more bytes than the network carries, and cost memory.
const MAX_THREADS: usize = 4;

fn main() -> ExitCode {
    let args = Args::parse();
    init_logs(&args);
    if let Some(Other::NodeTask(task)) = &args.other {
        return match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime.block_on(node_task::run(task)),
            Err(error) => {
                tracing::error!(%error, "cannot run");
                ExitCode::FAILURE
            }
        };
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_THREADS));
    let ended = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(Error::from)
        .and_then(|runtime| runtime.block_on(run(args)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %args::chain(error.as_ref()), "cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Error> {
    let mut config = args.config();
    let tls = args.tls()?;
    if tls.is_none() {
        tracing::warn!("no TLS files given: there is no tunnel for the operator");
    }
    let affordable = affordable_connections(Path::new("/proc/self/limits"));
    if let Some(affordable) = affordable.filter(|n| *n < config.max_connections) {
        tracing::warn!(
            wanted = config.max_connections,
            affordable,
            "the limit of open files allows fewer connections"
        );
        config.max_connections = affordable;
    }
    let lookup = Arc::new(SystemDns::new()?);
    let listener = listen(&args)?;
    tracing::info!(
        version = milvus_gateway::VERSION,
        listen = %args.listen,
        backends = ?config.backends.iter().map(ToString::to_string).collect::<Vec<_>>(),
        tunnel = tls.is_some(),
        "gateway is up"
    );
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let gateway = Gateway::new(config, lookup, tls);
    let mut running = std::pin::pin!(gateway.run(listener, stop.clone()));
    let stopped = loop {
        tokio::select! {
            stopped = &mut running => break stopped,
            Some(()) = terminate.recv() => {}
            Some(()) = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            tracing::warn!("second signal, leaving at once");
            return Ok(());
        }
        stop.cancel();
    };
    tracing::info!(interrupted = stopped.interrupted, "gateway ended");
    Ok(())
}

fn listen(args: &Args) -> Result<TcpListener, Error> {
    let socket = if args.listen.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_reuseaddr(true)?;
    socket
        .bind(args.listen)
        .and_then(|()| socket.listen(BACKLOG))
        .map_err(|error| format!("cannot listen on {} (--listen): {error}", args.listen).into())
}

/// Every client takes two descriptors; some are needed for the rest.
fn affordable_connections(limits: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(limits).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let open_files: usize = line.split_whitespace().next()?.parse().ok()?;
    Some((open_files.saturating_sub(256) / 2).max(16))
}

fn init_logs(args: &Args) {
    let filter = EnvFilter::try_new(&args.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match args.log_format {
        LogFormat::Text => logs.with_ansi(false).init(),
        LogFormat::Json => logs.json().init(),
    }
}

impl Args {
    fn tls(&self) -> Result<Option<Arc<rustls::ServerConfig>>, Error> {
        let read = |flag: &str, path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read {} ({flag}): {error}", path.display()))
        };
        if let Some(path) = &self.tls_bundle {
            let bundle = read("--tls-bundle", path)?;
            return Ok(Some(pki::server_config_from_bundle(&bundle)?));
        }
        match (&self.tls_cert, &self.tls_key, &self.tls_ca) {
            (Some(cert), Some(key), Some(authority)) => Ok(Some(pki::server_config(
                &read("--tls-cert", cert)?,
                &read("--tls-key", key)?,
                &read("--tls-ca", authority)?,
            )?)),
            _ => Ok(None),
        }
    }
}
