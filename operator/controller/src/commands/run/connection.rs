//! The client of an API server that is reached over a network.

use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tower::ServiceBuilder;
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;

/// For a connection to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the beginning of an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection on which nothing has come for this long is asked whether there is anybody: a machine that lost its power says no
/// farewell, and a watch on it would be deaf until its idle time-out of five minutes.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Between questions that are not answered.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Questions without an answer until a connection is given up.
const KEEPALIVE_TRIES: u32 = 3;

/// A client whose calls are answered in time or not at all, and whose connections are known to be dead within a minute. (The
/// answer to a watch begins at once; its events may take long.)
pub(super) fn client(mut config: Config) -> Result<Client, kube::Error> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let timeout = TimeoutLayer::new(CALL_TIMEOUT);
    if config.proxy_url.is_some() {
        // What is at the other end of its connections is the proxy.
        let builder = ClientBuilder::try_from(config)?;
        return Ok(builder.with_layer(&timeout).build());
    }
    // As `ClientBuilder` makes it, on sockets of our own making.
    let https = config.rustls_https_connector_with_connector(sockets())?;
    let mut connector = TimeoutConnector::new(https);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let connections =
        hyper_util::client::legacy::Builder::new(TokioExecutor::new()).build(connector);
    let retry = config.default_retry.then(RetryPolicy::server_retry);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(retry.map(RetryLayer::new))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(connections);
    let builder = ClientBuilder::new(service, config.default_namespace);
    Ok(builder.with_layer(&timeout).build())
}

fn sockets() -> HttpConnector {
    let mut sockets = HttpConnector::new();
    sockets.enforce_http(false);
    sockets.set_keepalive(Some(KEEPALIVE));
    sockets.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    sockets.set_keepalive_retries(Some(KEEPALIVE_TRIES));
    sockets
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The timer column of /proc/net/tcp: 2 is keepalive.
    fn timers(port: u16) -> Vec<String> {
        let table = std::fs::read_to_string("/proc/self/net/tcp").expect("the sockets");
        let to = format!(":{port:04X}");
        let sockets = table.lines().map(str::split_whitespace);
        sockets
            .map(Iterator::collect::<Vec<_>>)
            .filter(|fields| fields.len() > 5 && fields[2].ends_with(&to))
            .map(|fields| fields[5][..2].to_owned())
            .collect()
    }

    #[tokio::test]
    async fn a_dead_connection_is_noticed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let server = format!("http://127.0.0.1:{port}");
        let config = Config::new(server.parse().expect("an address"));
        let client = client(config).expect("a client");
        let call = tokio::spawn(async move { client.apiserver_version().await });
        let (mut server, _) = listener.accept().await.expect("a connection");
        // Its question has come, so nothing is under way that has a timer of its own.
        let mut question = [0; 1024];
        let read = tokio::io::AsyncReadExt::read(&mut server, &mut question).await;
        assert!(read.expect("a question") > 0);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while timers(port) != ["02"] {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", timers(port));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        call.abort();
    }
}
