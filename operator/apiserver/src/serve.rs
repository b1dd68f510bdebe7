//! Connections: TLS, HTTP/1.1 and HTTP/2, time-outs from the first byte on, bounds on their number, and a graceful end.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, info, warn};

use crate::auth::PeerCertificate;
use crate::connections::{Bounds, Connection, Connections, InUse};
use crate::handlers::ProvenUser;
use crate::server::ApiServer;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const STREAMS: u32 = 250;
/// Bytes that are buffered of a connection, before anything is known of its client; also the longest headers.
const BUFFER: usize = 64 << 10;
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// How long requests may go on after the end was asked for.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a connection that was told to end may take.
const CLOSING: Duration = Duration::from_secs(5);

impl ApiServer {
    /// Serves on the listeners until `shutdown`; then ends watches, lets requests finish and returns.
    pub async fn serve(
        &self,
        listeners: Vec<TcpListener>,
        tls: Arc<rustls::ServerConfig>,
        shutdown: CancellationToken,
    ) {
        let serving = Serving {
            server: self.clone(),
            acceptor: TlsAcceptor::from(tls),
            connections: Connections::new(Bounds::default()),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let accepting = listeners
            .into_iter()
            .map(|listener| serving.accept(listener));
        tokio::select! {
            _ = futures::future::join_all(accepting) => {}
            () = shutdown.cancelled() => {}
        }
        self.stop();
        serving.stop.cancel();
        serving.tasks.close();
        if timeout(DRAIN, serving.tasks.wait()).await.is_err() {
            warn!("some requests did not end in time and are cut off");
        }
        info!("the api server has stopped serving");
    }
}

/// What all connections share.
#[derive(Clone)]
struct Serving {
    server: ApiServer,
    acceptor: TlsAcceptor,
    connections: Arc<Connections>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Serving {
    async fn accept(&self, listener: TcpListener) {
        loop {
            let (stream, source) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors and the like: passing, but not at full speed.
                    warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let connection = self.connections.admit(source.ip());
            let serving = self.clone();
            self.tasks.spawn(async move {
                let ended = connection.clone();
                tokio::select! {
                    () = serving.connection(stream, connection) => {}
                    () = ended.ended() => {
                        debug!(%source, "a connection made room for a newer one");
                    }
                }
            });
        }
    }

    async fn connection(&self, stream: TcpStream, connection: Connection) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set nodelay");
        }
        let handshake = timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream));
        let tls = tokio::select! {
            done = handshake => match done {
                Ok(Ok(tls)) => tls,
                Ok(Err(error)) => {
                    debug!(%error, "tls handshake failed");
                    return;
                }
                Err(_) => {
                    debug!("tls handshake timed out");
                    return;
                }
            },
            () = self.stop.cancelled() => return,
        };
        let peer = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| PeerCertificate(Arc::new(certificate.clone().into_owned())));
        let authenticator = &self.server.shared.authenticator;
        if let Some(identity) = peer
            .as_ref()
            .and_then(|peer| authenticator.identify(None, Some(peer)))
        {
            connection.prove(&identity.user);
        }
        let router = self.server.router();
        let of_connection = connection.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            if let Some(peer) = &peer {
                request.extensions_mut().insert(peer.clone());
            }
            let (router, connection) = (router.clone(), of_connection.clone());
            async move {
                let in_use = connection.request();
                let response: Response<Body> = router.oneshot(request).await?;
                if let Some(ProvenUser(user)) = response.extensions().get() {
                    connection.prove(user);
                }
                Ok::<_, Infallible>(response.map(|body| Answer {
                    body,
                    _in_use: in_use,
                }))
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .max_buf_size(BUFFER)
            .header_read_timeout(HEADER_TIMEOUT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        let mut serving = pin!(builder.serve_connection(TokioIo::new(tls), service));
        let result = tokio::select! {
            result = serving.as_mut() => result,
            // Also while the version of HTTP is not known, for which hyper has no timer.
            () = connection.idle() => {
                debug!("a connection was not used for too long");
                serving.as_mut().graceful_shutdown();
                match timeout(CLOSING, serving).await {
                    Ok(result) => result,
                    Err(_) => return,
                }
            }
            () = self.stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = result {
            debug!(%error, "connection ended with an error");
        }
    }
}

/// The body of an answer. Its connection is in use until the last of it is gone.
struct Answer {
    body: Body,
    _in_use: InUse,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
