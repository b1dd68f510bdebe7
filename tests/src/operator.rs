//! The operator as a process of this machine. It ends with the tests, however they end.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::kubectl::Kubectl;
use crate::{prepared, process, wait};

/// How to run it, and the process when there is one.
#[derive(Debug)]
pub struct Operator {
    folder: PathBuf,
    docker_host: String,
    api: u16,
    metrics: u16,
    child: Option<Child>,
}

impl Operator {
    /// Not started yet. Keys, kubeconfig and log are kept in the folder.
    pub fn new(folder: &Path, docker_host: &str) -> Self {
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        Self {
            folder: folder.to_owned(),
            docker_host: docker_host.to_owned(),
            api: free_port(),
            metrics: free_port(),
            child: None,
        }
    }

    /// kubectl for its API.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.folder.join("kubeconfig"))
    }

    /// Everything that it ever logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("operator.log")).unwrap_or_default()
    }

    /// Starts it and waits until its API answers.
    pub fn start(&mut self) {
        self.spawn();
        let kubectl = self.kubectl();
        wait::until("the operator's API", Duration::from_secs(60), || {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                let log = self.log();
                let end: Vec<&str> = log.lines().rev().take(5).collect();
                panic!("the operator ended with {status}: {end:?}");
            }
            kubectl.try_run(&["get", "--raw", "/readyz"]).result()
        });
    }

    /// Starts it without waiting for anything.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "the operator runs already");
        let path = self.folder.join("operator.log");
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut command = process::bound(&prepared("MILVUS_TEST_OPERATOR"));
        command
            .args([
                "--log",
                "info,milvus_operator=debug",
                "run",
                "--platform",
                "swarm",
                "--store",
                "swarm",
            ])
            .args(["--docker-host", &self.docker_host])
            .args(["--api-listen", &format!("127.0.0.1:{}", self.api)])
            .args(["--metrics-listen", &format!("127.0.0.1:{}", self.metrics)])
            .arg("--write-kubeconfig")
            .arg(self.folder.join("kubeconfig"))
            .arg("--keys")
            .arg(self.folder.join("keys"))
            .args(["--gateway-image", &prepared("MILVUS_TEST_GATEWAY_IMAGE")])
            .args(["--node-docker-socket", "/run/docker.sock"])
            .env_remove("DOCKER_HOST")
            .stdin(Stdio::null())
            .stdout(
                log.try_clone()
                    .unwrap_or_else(|e| panic!("the operator's log: {e}")),
            )
            .stderr(log);
        self.child = Some(process::start(command));
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        let child = self.child.as_ref();
        child
            .map(Child::id)
            .unwrap_or_else(|| panic!("the operator does not run"))
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A port of loopback that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .unwrap_or_else(|error| panic!("no free port: {error}"))
        .port()
}
