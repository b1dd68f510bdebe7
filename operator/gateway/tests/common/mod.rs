//! Fake proxies on loopback addresses, names that tests change, and gateways in the test's own process.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use futures::future::BoxFuture;
use milvus_gateway::lookup::{Lookup, LookupError};
use milvus_gateway::pki::{self, ClusterPki, Validity};
use milvus_gateway::server::{Config, Gateway, Stopped, Target};
use milvus_gateway::tunnel::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// A port that is free now on every loopback address that tests use.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = 20000
            + (std::process::id() as u16).wrapping_mul(131) % 10000
            + NEXT.fetch_add(1, SeqCst);
        if (1..6).all(|last| std::net::TcpListener::bind((ip(last), port)).is_ok()) {
            return port;
        }
    }
}

#[derive(Default)]
pub struct Names(Mutex<BTreeMap<String, BTreeSet<IpAddr>>>);

impl Names {
    pub fn set(&self, name: &str, lasts: &[u8]) {
        let addresses = lasts.iter().map(|last| ip(*last)).collect();
        self.0.lock().unwrap().insert(name.to_owned(), addresses);
    }
}

impl Lookup for Names {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<BTreeSet<IpAddr>, LookupError>> {
        Box::pin(async move {
            if name == "hangs" {
                std::future::pending::<()>().await;
            }
            match self.0.lock().unwrap().get(name) {
                Some(found) if !found.is_empty() => Ok(found.clone()),
                _ => Err(LookupError::NotFound {
                    name: name.to_owned(),
                }),
            }
        })
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(1024).unwrap()
}

/// Greets with the last byte of its address, then echoes. Dropping it ends it and its connections.
pub struct Proxy {
    pub accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(last: u8, port: u16) -> Self {
        // With a queue that holds whatever the tests throw at it: a SYN that is dropped costs a second.
        let listener = listen(SocketAddr::new(ip(last), port));
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, SeqCst);
                connections.spawn(async move {
                    stream.write_all(&[last]).await?;
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await?;
                    write.shutdown().await
                });
            }
        });
        Self { accepted, task }
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers every request with the status that it holds.
pub async fn health(last: u8, port: u16, status: Arc<AtomicU16>) {
    let listener = TcpListener::bind((ip(last), port)).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).await;
            let status = status.load(SeqCst);
            let answer = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
}

pub struct Running {
    pub address: SocketAddr,
    pub gateway: Arc<Gateway>,
    pub stop: CancellationToken,
    pub task: JoinHandle<Stopped>,
}

pub fn config(port: u16) -> Config {
    Config {
        backends: vec![Target {
            host: "proxy".to_owned(),
            port,
        }],
        resolve_interval: Duration::from_millis(50),
        connect_timeout: Duration::from_millis(500),
        backend_wait: Duration::from_secs(2),
        drain_timeout: Duration::from_secs(5),
        first_byte_wait: Duration::from_millis(200),
        dial_timeout: Duration::from_millis(500),
        ..Config::default()
    }
}

pub async fn run_at(
    address: SocketAddr,
    config: Config,
    names: &Arc<Names>,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Running {
    let listener = listen(address);
    let address = listener.local_addr().unwrap();
    let gateway = Gateway::new(config, Arc::clone(names) as Arc<dyn Lookup>, tls);
    let stop = CancellationToken::new();
    let task = tokio::spawn(Arc::clone(&gateway).run(listener, stop.clone()));
    Running {
        address,
        gateway,
        stop,
        task,
    }
}

pub async fn run(
    config: Config,
    names: &Arc<Names>,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Running {
    run_at(SocketAddr::new(ip(1), 0), config, names, tls).await
}

pub fn pki() -> ClusterPki {
    let validity = Validity {
        from: SystemTime::now(),
        lasts: Duration::from_secs(3600),
    };
    pki::generate("test", validity).unwrap()
}

pub fn server_tls(pki: &ClusterPki) -> Option<Arc<rustls::ServerConfig>> {
    Some(pki::server_config_from_bundle(&pki.gateway_bundle()).unwrap())
}

pub fn operator_tls(pki: &ClusterPki) -> Arc<rustls::ClientConfig> {
    let authority = &pki.authority.certificate;
    pki::client_config(&pki.operator.certificate, &pki.operator.key, authority).unwrap()
}

pub fn client(addresses: &[SocketAddr], pki: &ClusterPki) -> Client {
    Client::new(addresses.to_vec(), operator_tls(pki))
}

/// Connects as a gRPC client does, which speaks first, and says which proxy greeted.
pub async fn greet(gateway: SocketAddr) -> std::io::Result<(TcpStream, u8)> {
    let mut stream = TcpStream::connect(gateway).await?;
    stream.write_all(b"PRI * HTTP/2.0").await?;
    let mut greeting = [0; 1 + 14];
    tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut greeting)).await??;
    assert_eq!(&greeting[1..], b"PRI * HTTP/2.0");
    Ok((stream, greeting[0]))
}

/// Waits until `condition` holds; fails the test when it does not within five seconds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until as many backends are live.
pub async fn live(running: &Running, wanted: usize) {
    eventually("live backends", || {
        let stats = running.gateway.stats();
        stats.backends.iter().filter(|b| b.live).count() == wanted
    })
    .await;
}
