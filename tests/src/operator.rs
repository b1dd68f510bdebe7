//! The operator as a process of this machine. It ends with the tests, however they end.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::kubectl::Kubectl;
use crate::{prepared, process, wait};

/// On a busy machine; it takes a second or two.
const START: Duration = Duration::from_secs(60);

/// How to run it, and the process when there is one.
#[derive(Debug)]
pub struct Operator {
    folder: PathBuf,
    keys: PathBuf,
    platform: Platform,
    metrics: u16,
    child: Option<Child>,
}

#[derive(Debug)]
enum Platform {
    Swarm { docker_host: String, api: u16 },
    Kubernetes { kubeconfig: PathBuf },
}

impl Operator {
    /// For a Swarm; not started yet. Keys, kubeconfig and log are kept in the folder.
    pub fn new(folder: &Path, docker_host: &str) -> Self {
        let docker_host = docker_host.to_owned();
        let api = free_port();
        Self::of(folder, Platform::Swarm { docker_host, api })
    }

    /// Another one for the same Swarm, with the keys of this one; not started yet.
    pub fn beside(&self, folder: &Path) -> Self {
        let Platform::Swarm { docker_host, .. } = &self.platform else {
            panic!("on Kubernetes the Lease says who works");
        };
        let mut beside = Self::new(folder, docker_host);
        beside.keys = self.keys.clone();
        beside
    }

    /// For a Kubernetes; not started yet. Its log is kept in the folder.
    pub fn on_kubernetes(folder: &Path, kubeconfig: &Path) -> Self {
        let kubeconfig = kubeconfig.to_owned();
        Self::of(folder, Platform::Kubernetes { kubeconfig })
    }

    fn of(folder: &Path, platform: Platform) -> Self {
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        Self {
            folder: folder.to_owned(),
            keys: folder.join("keys"),
            platform,
            metrics: free_port(),
            child: None,
        }
    }

    /// The administrator's kubeconfig, which it writes.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// kubectl for its API.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.kubeconfig())
    }

    /// kubectl for its API as another user, with a kubeconfig made by its own command.
    pub fn kubectl_of(&self, user: &str, group: &str) -> Kubectl {
        let Platform::Swarm { api, .. } = &self.platform else {
            panic!("users of Kubernetes are not the operator's to make");
        };
        let file = self.folder.join(format!("{user}.kubeconfig"));
        let mut command = Command::new(prepared("MILVUS_TEST_OPERATOR"));
        command
            .args(["kubeconfig", "--user", user, "--group", group])
            .args(["--server", &format!("https://127.0.0.1:{api}")])
            .arg("--keys")
            .arg(&self.keys)
            .arg("--file")
            .arg(&file);
        process::run(&mut command, "", START).expect();
        Kubectl::new(&file)
    }

    /// Everything that it ever logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("operator.log")).unwrap_or_default()
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same, with further arguments.
    pub fn start_with(&mut self, more: &[&str]) {
        self.spawn_with(more);
        wait::until("the operator to be ready", START, || {
            if let Some(status) = self.ended() {
                let log = self.log();
                let end: Vec<&str> = log.lines().rev().take(5).collect();
                panic!("the operator ended with {status}: {end:?}");
            }
            match &self.platform {
                Platform::Swarm { .. } => {
                    let answer = self.kubectl().try_run(&["get", "--raw", "/readyz"]);
                    answer.result().map(drop)
                }
                Platform::Kubernetes { .. } => self.health("/readyz").map(drop),
            }
        });
    }

    /// Starts it without waiting for anything.
    pub fn spawn(&mut self) {
        self.spawn_with(&[]);
    }

    /// The same, with further arguments.
    pub fn spawn_with(&mut self, more: &[&str]) {
        assert!(self.child.is_none(), "the operator runs already");
        let path = self.folder.join("operator.log");
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut command = process::bound(&prepared("MILVUS_TEST_OPERATOR"));
        command
            .args(["--log", "info,milvus_operator=debug", "run"])
            .args(["--metrics-listen", &format!("127.0.0.1:{}", self.metrics)]);
        self.where_to(&mut command);
        command
            .args(more)
            .env_remove("DOCKER_HOST")
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(
                log.try_clone()
                    .unwrap_or_else(|e| panic!("the operator's log: {e}")),
            )
            .stderr(log);
        self.child = Some(process::start(command));
    }

    fn where_to(&self, command: &mut Command) {
        match &self.platform {
            Platform::Swarm { docker_host, api } => command
                .args(["--platform", "swarm", "--store", "swarm"])
                .args(["--docker-host", docker_host])
                .args(["--api-listen", &format!("127.0.0.1:{api}")])
                .arg("--write-kubeconfig")
                .arg(self.kubeconfig())
                .arg("--keys")
                .arg(&self.keys)
                .args(["--gateway-image", &prepared("MILVUS_TEST_GATEWAY_IMAGE")])
                .args(["--node-docker-socket", "/run/docker.sock"]),
            Platform::Kubernetes { kubeconfig } => command
                .args(["--platform", "kubernetes", "--kubeconfig"])
                .arg(kubeconfig),
        };
    }

    /// How it ended, if it did by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// An answer of its plain port: `/metrics`, `/readyz`, `/livez`.
    pub fn health(&self, path: &str) -> Result<String, String> {
        let failed = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).map_err(failed)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .map_err(failed)?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        if answer.starts_with("HTTP/1.1 200") {
            Ok(answer)
        } else {
            Err(answer.lines().next().unwrap_or("no answer").to_owned())
        }
    }

    /// Seconds of CPU that its process has used.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let ticks: u64 = stat
            .rsplit(") ")
            .next()
            .into_iter()
            .flat_map(|rest| rest.split(' ').skip(11).take(2))
            .filter_map(|word| word.parse::<u64>().ok())
            .sum();
        // Linux has a hundred ticks a second on every machine of this kind.
        ticks as f64 / 100.0
    }

    /// Memory of its process in MiB.
    pub fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib: f64 = line
            .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or_default();
        kib / 1024.0
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        let child = self.child.as_ref();
        child
            .map(Child::id)
            .unwrap_or_else(|| panic!("the operator does not run"))
    }

    /// SIGTERM, as a node ends it, and its good end.
    pub fn stop(&mut self) {
        let pid = self.pid().to_string();
        process::run(Command::new("kill").arg(&pid), "", START).expect();
        wait::until("the operator's end", START, || match self.ended() {
            Some(status) if status.success() => Ok(()),
            Some(status) => panic!("the operator ended with {status}: {}", self.log()),
            None => Err("it still runs".to_owned()),
        });
        self.child = None;
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Drop for Operator {
    /// The next test starts one of its own, and is not to be told of this one.
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port of loopback that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .unwrap_or_else(|error| panic!("no free port: {error}"))
        .port()
}
