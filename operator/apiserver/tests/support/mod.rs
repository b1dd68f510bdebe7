//! A server on a random loopback port with a sample CRD, and the kubectl clients to run against it.

#![allow(dead_code, clippy::unwrap_used)]

pub mod engine;
pub mod swarm;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use milvus_apiserver::auth::{MASTERS, VIEW};
use milvus_apiserver::pki;
use milvus_apiserver::store::memory::MemoryStore;
use milvus_apiserver::{ApiServer, Authenticator, Guard, Identity};
use tokio_util::sync::CancellationToken;

/// A kind with everything that a CRD can ask of the server, in JSON.
pub fn sample_crd() -> String {
    let crd: serde_json::Value = serde_saphyr::from_str(include_str!("gadget.yaml")).unwrap();
    crd.to_string()
}

/// A running server and what it takes to reach it.
pub struct Running {
    pub server: ApiServer,
    pub url: String,
    pub ca: pki::Pair,
    pub shutdown: CancellationToken,
    pub task: tokio::task::JoinHandle<()>,
}

/// A finalizer that keeps deletions off.
pub const GUARD: &str = "test.example.io/guard";

pub const VIEW_TOKEN: &str = "token-of-a-viewer";

pub async fn build(store: MemoryStore) -> ApiServer {
    let authenticator = Authenticator::new()
        .unwrap()
        .token(VIEW_TOKEN, Identity::new("viewer", [VIEW.to_owned()]));
    ApiServer::builder()
        .crd(sample_crd())
        .store(Arc::new(store))
        .authenticator(authenticator)
        .product("test")
        .guard(Guard {
            finalizer: GUARD.into(),
            advice: "take it off first".into(),
        })
        .build()
        .await
        .unwrap()
}

/// Starts a server with an empty store.
pub async fn start() -> Running {
    let server = build(MemoryStore::new()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let ca = pki::create_ca("test").unwrap();
    let pair = pki::create_server(&ca, &["127.0.0.1".into(), "localhost".into()]).unwrap();
    let tls = Arc::new(pki::server_config(&pair, &ca.certificate).unwrap());
    let shutdown = CancellationToken::new();
    let (serving, stop) = (server.clone(), shutdown.clone());
    let task = tokio::spawn(async move { serving.serve(vec![listener], tls, stop).await });
    Running {
        server,
        url,
        ca,
        shutdown,
        task,
    }
}

/// Every kubectl that the machine has: `KUBECTL_BINARIES` (separated by colons), or `kubectl.1.29` and later
/// beside `kubectl`, or `kubectl` itself.
pub fn kubectls() -> Vec<PathBuf> {
    if let Some(list) = std::env::var_os("KUBECTL_BINARIES") {
        return std::env::split_paths(&list).collect();
    }
    let on_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|dir| dir.join("kubectl"))
        .find(|path| path.is_file())
        .expect("no kubectl on PATH: install one, or name some in KUBECTL_BINARIES");
    let real = on_path.canonicalize().unwrap();
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(real.parent().unwrap())
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let minor = path.file_name()?.to_str()?.strip_prefix("kubectl.1.")?;
            let minor: u32 = minor.parse().ok()?;
            (minor >= 29).then_some((minor, path.clone()))
        })
        .collect();
    found.sort();
    if found.is_empty() {
        return vec![on_path];
    }
    found.into_iter().map(|(_, path)| path).collect()
}

/// What a command did.
#[derive(Debug)]
pub struct Output {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

/// One kubectl with a home of its own.
pub struct Kubectl {
    binary: PathBuf,
    pub home: tempfile::TempDir,
    pub label: String,
}

impl Kubectl {
    pub fn new(binary: &Path, running: &Running) -> Self {
        let home = tempfile::tempdir().unwrap();
        let client = pki::create_client(&running.ca, "admin", MASTERS).unwrap();
        let admin = pki::kubeconfig(
            "test",
            &running.url,
            &running.ca.certificate,
            pki::Credentials::Certificate(&client),
        );
        let viewer = pki::kubeconfig(
            "test",
            &running.url,
            &running.ca.certificate,
            pki::Credentials::Token(VIEW_TOKEN),
        );
        std::fs::write(home.path().join("config"), admin).unwrap();
        std::fs::write(home.path().join("viewer"), viewer).unwrap();
        let label = binary.file_name().unwrap().to_string_lossy().into_owned();
        Self {
            binary: binary.to_owned(),
            home,
            label,
        }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("config"))
            .current_dir(self.home.path());
        command
    }

    /// Runs to the end, with text on standard input.
    pub fn run(&self, args: &[&str], input: &str) -> Output {
        self.finish(self.command(args), input)
    }

    /// Runs a command that is set up already.
    pub fn finish(&self, mut command: Command, input: &str) -> Output {
        use std::io::Write;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        Output {
            ok: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Waits until a file holds all the texts.
pub fn wait_for_text(path: &Path, texts: &[&str], within: Duration) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let found = std::fs::read_to_string(path).unwrap_or_default();
        if texts.iter().all(|text| found.contains(text)) {
            return Ok(());
        }
        if start.elapsed() > within {
            return Err(format!("{texts:?} did not appear in:\n{found}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
