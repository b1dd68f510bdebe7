//! The two loops that keep the pool true: names are resolved again and again, and backends are asked for their health.

use crate::lookup::{Lookup, LookupError};
use crate::pool::{Health, Pool};
use crate::server::Target;
use futures::StreamExt;
use futures::future::join_all;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How often names and backends are tried while no client could be served.
const HURRY: Duration = Duration::from_millis(250);
/// "No such name" must be said this often in a row before backends are dropped for it.
const EMPTY_ANSWERS: u32 = 2;
/// At least between two rounds of checks, however often clients fail.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// Checks that run at a time.
const PARALLEL: usize = 32;

/// How backends are asked for their health.
#[derive(Debug, Clone)]
pub struct Check {
    /// The port on every backend's address.
    pub port: u16,
    /// The path, for instance `/healthz`; 200 means ready.
    pub path: String,
    /// Between two rounds.
    pub interval: Duration,
    /// For connecting, and again for the answer.
    pub timeout: Duration,
}

/// Follows the names until dropped; each at its own pace, because one that is not answered takes long.
pub(crate) async fn follow(
    pool: Arc<Pool>,
    lookup: Arc<dyn Lookup>,
    targets: Vec<Target>,
    interval: Duration,
) {
    let followed = targets
        .iter()
        .enumerate()
        .map(|(index, target)| follow_one(&pool, lookup.as_ref(), index, target, interval));
    join_all(followed).await;
}

async fn follow_one(
    pool: &Pool,
    lookup: &dyn Lookup,
    index: usize,
    target: &Target,
    interval: Duration,
) {
    let mut empty = 0u32;
    loop {
        match lookup.lookup(&target.host).await {
            Ok(found) => {
                empty = 0;
                let found = found.into_iter();
                let found = found.map(|address| SocketAddr::new(address, target.port));
                pool.resolved(index, found.collect());
            }
            Err(error) => {
                let missing = matches!(error, LookupError::NotFound { .. });
                empty = if missing { empty.saturating_add(1) } else { 0 };
                pool.unresolved(index, error.to_string(), empty >= EMPTY_ANSWERS);
            }
        }
        sleep(pace(pool, interval)).await;
    }
}

/// Checks the backends until dropped.
pub(crate) async fn check(pool: Arc<Pool>, check: Check) {
    loop {
        futures::stream::iter(pool.to_check())
            .for_each_concurrent(PARALLEL, |address| {
                let (pool, check) = (&pool, &check);
                async move {
                    let seen = ask(address, check).await;
                    pool.checked(address, seen, Instant::now());
                }
            })
            .await;
        sleep(ROUND_PAUSE.min(check.interval)).await;
        tokio::select! {
            () = sleep(pace(&pool, check.interval)) => {}
            () = pool.suspect() => {}
        }
    }
}

fn pace(pool: &Pool, interval: Duration) -> Duration {
    if pool.has_live(Instant::now()) {
        interval
    } else {
        interval.min(HURRY)
    }
}

async fn ask(backend: SocketAddr, check: &Check) -> Health {
    let address = SocketAddr::new(backend.ip(), check.port);
    let stream = match timeout(check.timeout, TcpStream::connect(address)).await {
        Err(_) => return Health::Silent,
        Ok(Err(error)) => {
            return match error.kind() {
                io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable => Health::Silent,
                _ => Health::Down(format!("health port {}: {error}", check.port)),
            };
        }
        Ok(Ok(stream)) => stream,
    };
    match timeout(check.timeout, status(stream, address, &check.path)).await {
        Err(_) => Health::Down(format!(
            "{} gave no answer within {} ms",
            check.path,
            check.timeout.as_millis()
        )),
        Ok(Err(error)) => Health::Down(format!("{}: {error}", check.path)),
        Ok(Ok(200)) => Health::Up,
        Ok(Ok(status)) => Health::Down(format!("{} answered {status}", check.path)),
    }
}

/// Asks once and reads no more than the status line.
async fn status(mut stream: TcpStream, host: SocketAddr, path: &str) -> io::Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut line = Vec::with_capacity(64);
    while line.len() < "HTTP/1.1 200".len() {
        if stream.read_buf(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    parse_status(&line)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn parse_status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    std::str::from_utf8(rest.get(2..5)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        assert_eq!(parse_status(b"HTTP/1.1 200 OK"), Some(200));
        assert_eq!(parse_status(b"HTTP/1.0 503"), Some(503));
        assert_eq!(parse_status(b"HTTP/1.1 OK"), None);
        assert_eq!(
            parse_status(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x00\x00"),
            None
        );
    }
}
