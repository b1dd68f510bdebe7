//! The way that clients come: a plain TCP connection from where the operator runs.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use milvus_platform::{Connection, Dial, DialError};
use tokio::net::TcpStream;

/// For a connection on the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects from the operator's own place in the network.
pub(crate) struct Outside;

impl Dial for Outside {
    fn dial(&self, host: &str, port: u16) -> BoxFuture<'_, Result<Box<dyn Connection>, DialError>> {
        let address = format!("{host}:{port}");
        let host = host.to_owned();
        async move {
            let target = (host.as_str(), port);
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await {
                Ok(Ok(stream)) => Ok(Box::new(stream) as Box<dyn Connection>),
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    Err(DialError::Refused(address))
                }
                Ok(Err(error)) => Err(DialError::Other(format!("{address}: {error}"))),
                Err(_) => Err(DialError::Timeout(address)),
            }
        }
        .boxed()
    }
}
