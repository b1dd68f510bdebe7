//! The binary itself: flags, files, signals, exit codes.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The child and what it has logged so far.
struct Process(Child, Arc<Mutex<String>>);

impl Process {
    fn start(flags: &[String]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_milvus-gateway"))
            .args(flags)
            .env("MILVUS_GATEWAY_HEALTH_PORT", "0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut process = Self(child, Arc::default());
        let mut stderr = BufReader::new(process.0.stderr.take().unwrap());
        let log = Arc::clone(&process.1);
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).unwrap() > 0 {
                log.lock().unwrap().push_str(&std::mem::take(&mut line));
            }
        });
        let deadline = Instant::now() + Duration::from_secs(10);
        while !process.log().contains("gateway is up") {
            assert!(Instant::now() < deadline, "not up: {}", process.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        process
    }

    fn log(&self) -> String {
        self.1.lock().unwrap().clone()
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn flags(listen: u16, backend: u16) -> Vec<String> {
    vec![
        format!("--listen=127.0.0.1:{listen}"),
        format!("--backend=127.0.0.2:{backend}"),
        "--log-format=json".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_clients_finish() {
    let (listen, backend) = (free_port(), free_port());
    let _proxy = Proxy::start(2, backend).await;
    let mut process = Process::start(&flags(listen, backend));
    let address = SocketAddr::new(ip(1), listen);
    let (mut client, _) = greet(address).await.unwrap();
    process.signal("-TERM");
    let deadline = Instant::now() + Duration::from_secs(2);
    while TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < deadline, "still accepting");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.write_all(b"x").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'x');
    assert!(process.0.try_wait().unwrap().is_none());
    drop(client);
    assert!(process.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_timeout_and_a_second_signal_end_it() {
    for second_signal in [false, true] {
        let (listen, backend) = (free_port(), free_port());
        let _proxy = Proxy::start(2, backend).await;
        let mut all = flags(listen, backend);
        let drain = if second_signal { "1h" } else { "300ms" };
        all.push(format!("--drain-timeout={drain}"));
        let mut process = Process::start(&all);
        let (_client, _) = greet(SocketAddr::new(ip(1), listen)).await.unwrap();
        process.signal("-TERM");
        if second_signal {
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(process.0.try_wait().unwrap().is_none());
            process.signal("-INT");
        }
        assert!(process.ended().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tunnel_works_from_files_and_logs_no_key() {
    let (listen, backend, pki) = (free_port(), free_port(), pki());
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let bundle = vec![format!(
        "--tls-bundle={}",
        write("bundle", &pki.gateway_bundle())
    )];
    let three = vec![
        format!("--tls-cert={}", write("cert", &pki.gateway.certificate)),
        format!("--tls-key={}", write("key", &pki.gateway.key)),
        format!("--tls-ca={}", write("ca", &pki.authority.certificate)),
    ];
    for tls in [bundle, three] {
        let verbose = vec!["--log=trace".to_owned()];
        let process = Process::start(&[flags(listen, backend), tls, verbose].concat());
        let client = client(&[SocketAddr::new(ip(1), listen)], &pki);
        assert_eq!(
            client.stats().await.unwrap().version,
            milvus_gateway::VERSION
        );
        let log = process.log();
        assert!(log.contains("operator connected"), "{log}");
        let secret: String = pki.gateway.key.lines().skip(1).take(1).collect();
        assert!(!log.contains("PRIVATE KEY") && !log.contains(&secret));
    }
}

#[test]
fn what_is_wrong_is_said() {
    let run = |flags: &[&str]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_milvus-gateway"))
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert!(!child.wait().unwrap().success());
        text
    };
    let missing = run(&[
        "--backend=a:1",
        "--listen=127.0.0.1:0",
        "--tls-bundle=/missing.pem",
    ]);
    assert!(missing.contains("/missing.pem (--tls-bundle)"), "{missing}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let busy = run(&["--backend=a:1", "--listen", &address]);
    assert!(
        busy.contains(&address) && busy.contains("--listen"),
        "{busy}"
    );
    let backend = run(&["--backend=a"]);
    assert!(backend.contains("host:port"), "{backend}");
}
