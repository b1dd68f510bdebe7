//! The two API servers: ours in this process, and a real one from the testbed. Both are spoken to over TLS by the same
//! clients, curl and kubectl.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use milvus_apiserver::pki::{self, Credentials};
use milvus_apiserver::store::memory::MemoryStore;
use milvus_apiserver::{ApiServer, Authenticator, Identity};
use tokio_util::sync::CancellationToken;

/// One server, and how to reach it.
pub struct Side {
    /// `ours` or `real`.
    pub name: &'static str,
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    /// The administrator's token.
    pub token: String,
    /// Certificate authority, kubeconfig and kubectl's cache live here.
    pub dir: PathBuf,
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub content_type: String,
    pub warnings: Vec<String>,
    pub body: String,
}

/// What a command printed.
#[derive(Debug)]
pub struct Printed {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Side {
    /// Sends one request.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            "-i",
            "--http1.1",
            "--max-time",
            "20",
            "-X",
            method,
            "-A",
            "comparison/1",
        ]);
        command.arg("--cacert").arg(self.dir.join("ca.crt"));
        command.args([
            "-H",
            &format!("Authorization: Bearer {}", self.token),
            "-H",
            "Expect:",
        ]);
        // curl would add a content type of its own; a header without a value removes it.
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "Content-Type") {
            command.args(["-H", "Content-Type:"]);
        }
        for (name, value) in headers {
            command.args(["-H", &format!("{name}: {value}")]);
        }
        if body.is_some() {
            command.args(["--data-binary", "@-"]);
        }
        command.arg(format!("{}{path}", self.url));
        let printed = run(&mut command, body.unwrap_or_default());
        assert_eq!(
            printed.code, 0,
            "curl {method} {path} on {}: {}",
            self.name, printed.stderr
        );
        let text = printed.stdout.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let code = lines.next().and_then(|l| l.split(' ').nth(1)?.parse().ok());
        let header = |name: &str| -> Vec<String> {
            head.lines()
                .filter_map(|line| line.split_once(": "))
                .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
                .collect()
        };
        Answer {
            code: code.unwrap_or_else(|| panic!("no status line from {}: {head}", self.name)),
            content_type: header("content-type").join(","),
            warnings: header("warning"),
            body: body.to_owned(),
        }
    }

    /// Runs kubectl.
    pub fn kubectl(&self, args: &[&str], stdin: &str) -> Printed {
        let mut command = Command::new(kubectl());
        command.arg("--kubeconfig").arg(self.dir.join("kubeconfig"));
        command.arg("--cache-dir").arg(self.dir.join("cache"));
        command.env("HOME", &self.dir).args(args);
        run(&mut command, stdin)
    }
}

fn run(command: &mut Command, stdin: &str) -> Printed {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut input = child.stdin.take().expect("stdin");
    let text = stdin.to_owned();
    // A command that does not read its input closes it: no failure of ours.
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).is_ok());
    let output = child.wait_with_output().expect("output");
    let _ = writer.join();
    Printed {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A client of one fixed version: a dispatcher would choose another one for each server.
fn kubectl() -> PathBuf {
    let all = std::env::var("MILVUS_TEST_KUBECTL").unwrap_or_default();
    let mut versioned: Vec<&str> = all
        .split(':')
        .filter(|path| path.rsplit('/').next().is_some_and(|f| f.contains("1.")))
        .collect();
    versioned.sort_unstable();
    PathBuf::from(versioned.last().copied().unwrap_or("kubectl"))
}

/// Our server on a free port, with the definitions given, everything in memory.
pub async fn ours(dir: &Path, definitions: Vec<String>) -> Side {
    let token = "comparison";
    let ca = pki::create_ca("comparison").expect("authority");
    let server = pki::create_server(&ca, &["127.0.0.1".to_owned()]).expect("certificate");
    let admin = Identity::new("admin", ["system:masters".to_owned()]);
    let mut builder = ApiServer::builder()
        .store(Arc::new(MemoryStore::new()))
        .authenticator(
            Authenticator::new()
                .expect("authenticator")
                .token(token, admin),
        );
    for definition in definitions {
        builder = builder.crd(definition);
    }
    let api = builder.build().await.expect("api server");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("listen");
    let url = format!("https://{}", listener.local_addr().expect("address"));
    let tls = Arc::new(pki::server_config(&server, &ca.certificate).expect("tls"));
    tokio::spawn(async move {
        api.serve(vec![listener], tls, CancellationToken::new())
            .await
    });
    std::fs::create_dir_all(dir).expect("folder");
    std::fs::write(dir.join("ca.crt"), &ca.certificate).expect("ca.crt");
    let config = pki::kubeconfig("ours", &url, &ca.certificate, Credentials::Token(token));
    std::fs::write(dir.join("kubeconfig"), config).expect("kubeconfig");
    Side {
        name: "ours",
        url,
        token: token.to_owned(),
        dir: dir.to_owned(),
    }
}

/// The real control plane; ended when dropped.
pub struct Real {
    pub side: Side,
    script: PathBuf,
    state: PathBuf,
}

impl Real {
    /// Starts it. Without the binary the test fails and says how to get it.
    pub fn start(dir: &Path) -> Real {
        let binary = std::env::var("MILVUS_TEST_KUBE_APISERVER").unwrap_or_default();
        assert!(
            Path::new(&binary).is_file(),
            "no kube-apiserver to compare with (MILVUS_TEST_KUBE_APISERVER={binary:?}): build one with\n  \
             export MILVUS_TEST_KUBE_APISERVER=$(tests/testbed/kubernetes/build.sh kube-apiserver)"
        );
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("testbed/kubernetes/control-plane.sh");
        let state = dir.join("control-plane");
        let port = free_port();
        let mut command = Command::new(&script);
        let printed = run(command.arg("up").arg(&state).arg(port.to_string()), "");
        assert_eq!(printed.code, 0, "{}", printed.stderr);
        let tokens = std::fs::read_to_string(state.join("pki/tokens.csv")).expect("tokens");
        let side = dir.join("real");
        std::fs::create_dir_all(&side).expect("folder");
        std::fs::copy(state.join("pki/ca.crt"), side.join("ca.crt")).expect("ca.crt");
        std::fs::copy(state.join("admin.kubeconfig"), side.join("kubeconfig")).expect("kubeconfig");
        let token = tokens.split(',').next().unwrap_or_default().to_owned();
        let side = Side {
            name: "real",
            url: format!("https://127.0.0.1:{port}"),
            token,
            dir: side,
        };
        Real {
            side,
            script,
            state,
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let printed = run(Command::new(&self.script).arg("down").arg(&self.state), "");
        if printed.code != 0 {
            eprintln!("the control plane did not end: {}", printed.stderr);
        }
    }
}

/// A port with two free ones after it.
fn free_port() -> u16 {
    // Below the ports that the kernel gives to outgoing connections, which may be taken at any time.
    let offset = u16::try_from(std::process::id() % 900).unwrap_or_default() * 10;
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    (20_000 + offset..32_000)
        .step_by(10)
        .find(|port| (0..3).all(|next| free(port + next)))
        .unwrap_or_else(|| panic!("no three free ports in a row"))
}
