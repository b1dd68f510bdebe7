//! Connections: TLS, HTTP/1.1 and HTTP/2, time-outs, a bound on their number, and a graceful end.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, info, warn};

use crate::auth::PeerCertificate;
use crate::server::ApiServer;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 512;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const STREAMS: u32 = 250;
/// How long requests may go on after the end was asked for.
const DRAIN: Duration = Duration::from_secs(10);

impl ApiServer {
    /// Serves on the listeners until `shutdown`; then ends watches, lets requests finish and returns.
    pub async fn serve(
        &self,
        listeners: Vec<TcpListener>,
        tls: Arc<rustls::ServerConfig>,
        shutdown: CancellationToken,
    ) {
        let graceful = GracefulShutdown::new();
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let acceptor = TlsAcceptor::from(tls);
        let accepting = listeners
            .into_iter()
            .map(|listener| self.accept(listener, &acceptor, &graceful, &permits));
        tokio::select! {
            _ = futures::future::join_all(accepting) => {}
            () = shutdown.cancelled() => {}
        }
        self.stop();
        if timeout(DRAIN, graceful.shutdown()).await.is_err() {
            warn!("some requests did not end in time and are cut off");
        }
        info!("the api server has stopped serving");
    }

    async fn accept(
        &self,
        listener: TcpListener,
        acceptor: &TlsAcceptor,
        graceful: &GracefulShutdown,
        permits: &Arc<Semaphore>,
    ) {
        loop {
            // A permit first: connections over the bound stay in the kernel's queue.
            let Ok(permit) = permits.clone().acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors and the like: passing, but not at full speed.
                    warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (server, acceptor, watcher) = (self.clone(), acceptor.clone(), graceful.watcher());
            tokio::spawn(async move {
                server.connection(stream, acceptor, watcher).await;
                drop(permit);
            });
        }
    }

    async fn connection(
        self,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set nodelay");
        }
        let tls = match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => {
                debug!(%error, "tls handshake failed");
                return;
            }
            Err(_) => {
                debug!("tls handshake timed out");
                return;
            }
        };
        let peer = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| PeerCertificate(Arc::new(certificate.clone().into_owned())));
        let router = self.router();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            if let Some(peer) = &peer {
                request.extensions_mut().insert(peer.clone());
            }
            router.clone().oneshot(request)
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        let connection = builder
            .serve_connection(TokioIo::new(tls), service)
            .into_owned();
        if let Err(error) = watcher.watch(connection).await {
            debug!(%error, "connection ended with an error");
        }
    }
}
