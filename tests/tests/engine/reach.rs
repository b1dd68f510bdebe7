//! The ways to an engine: TLS with client certificates, SSH, a docker context. Each to a real engine, by the real daemons.

use crate::bed::testbed;
use milvus_swarm::api::Engine;
use milvus_swarm::api::host::{Environment, Host};
use milvus_tests::{prepared, process, wait};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn sh(folder: &Path, script: &str) {
    let mut command = Command::new("bash");
    command.args(["-euc", script]).current_dir(folder);
    process::run(&mut command, "", LIMIT).expect();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port()
}

/// A daemon that ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let id = self.0.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let _ = self.0.wait();
    }
}

/// Three files of a client below `folder`: `client` of the engine's CA, `stranger` of another one.
fn certificates(folder: &Path) {
    sh(
        folder,
        r#"
        authority() {
            mkdir -p "$1"; cd "$1"
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=$1" -keyout ca-key.pem -out ca.pem
            issue server subjectAltName=IP:127.0.0.1; issue client extendedKeyUsage=clientAuth
            mv client.pem cert.pem; mv client-key.pem key.pem; cd ..
        }
        issue() {
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1-key.pem" -out "$1.csr"
            openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 1 -out "$1.pem" -extfile <(echo "$2")
        }
        exec 2>/dev/null
        authority engine; authority stranger
        mkdir silent; cp engine/ca.pem silent/"#,
    );
}

/// An engine that asks for a client certificate, alone and without containers.
fn engine_with_tls(folder: &Path, port: u16) -> Daemon {
    let mut command = process::bound("dockerd");
    let path = |name: &str| folder.join(name).display().to_string();
    command
        .args(["-H", &format!("tcp://127.0.0.1:{port}"), "--tlsverify"])
        .args(["--tlscacert", &path("engine/ca.pem")])
        .args(["--tlscert", &path("engine/server.pem")])
        .args(["--tlskey", &path("engine/server-key.pem")])
        .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
        .args(["--pidfile", &path("pid"), "--bridge", "none"])
        .args([
            "--iptables=false",
            "--ip6tables=false",
            "--log-level",
            "error",
        ]);
    Daemon(process::start(command))
}

fn host(address: &str, certificates: PathBuf) -> Host {
    let environment = Environment {
        tls_verify: true,
        certificates: Some(certificates),
        config: None,
    };
    Host::find(address, &environment).unwrap()
}

#[tokio::test]
async fn an_engine_behind_tls_is_reached_with_its_certificates_alone() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let port = free_port();
    let _engine = engine_with_tls(folder.path(), port);
    let address = format!("tcp://127.0.0.1:{port}");
    let reach = async |who: &str| Engine::reach(host(&address, folder.path().join(who))).await;

    let mut last = String::new();
    let mut reached = None;
    for _ in 0..100 {
        match reach("engine").await {
            Ok(engine) => {
                reached = Some(engine);
                break;
            }
            Err(error) => last = format!("{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let engine = reached.unwrap_or_else(|| panic!("not reached: {last}"));
    assert!(!engine.info().await.unwrap().name.is_empty());
    // Through bollard as well.
    assert!(engine.image("no/such:image").await.unwrap().is_none());

    // The engine's certificate is verified, and the engine verifies the client's.
    for who in ["stranger", "silent"] {
        let error = reach(who).await.expect_err(who);
        println!("{who}: {error:?}");
    }
    let missing = reach("no-such-folder").await.expect_err("must fail");
    assert!(format!("{missing:?}").contains("ca.pem"), "{missing:?}");
}

/// A server for SSH whose users reach the engine at `socket` by `docker`.
fn ssh_server(folder: &Path, port: u16, socket: &str) -> Daemon {
    sh(
        folder,
        "mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f user; chmod 700 .",
    );
    let path = |name: &str| folder.join(name).display().to_string();
    let server = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
         PidFile none\nPermitRootLogin yes\nSetEnv DOCKER_HOST={socket}\n",
        path("host"),
        path("user.pub"),
    );
    std::fs::write(folder.join("sshd_config"), server).unwrap();
    let known = std::fs::read_to_string(folder.join("host.pub")).unwrap();
    std::fs::write(folder.join("known"), format!("[127.0.0.1]:{port} {known}")).unwrap();
    let client = format!(
        "IdentityFile {}\nUserKnownHostsFile {}\nStrictHostKeyChecking yes\n",
        path("user"),
        path("known"),
    );
    std::fs::write(folder.join("ssh_config"), client).unwrap();
    // The real command with a configuration of the test's own instead of this user's.
    let command = folder.join("ssh");
    let script = format!(
        "#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n",
        path("ssh_config")
    );
    std::fs::write(&command, script).unwrap();
    std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut server = process::bound("/usr/sbin/sshd");
    server.args(["-D", "-e", "-f", &path("sshd_config")]);
    Daemon(process::start(server))
}

#[test]
fn an_engine_on_another_machine_is_reached_over_ssh() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _server = ssh_server(folder.path(), port, &testbed().docker().host());
    let ask = |host: &str| {
        let mut command = process::bound(&prepared("MILVUS_TEST_OPERATOR"));
        command
            .args(["uninstall", "swarm", "--docker-host", host])
            .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
            .env("DOCKER_CONFIG", folder.path());
        process::run(&mut command, "", LIMIT).result()
    };
    // The engine is a Swarm's manager without an operator: the command looks and ends.
    let address = format!("ssh://root@127.0.0.1:{port}");
    wait::until("the engine answers over SSH", LIMIT, || ask(&address));

    // The same by a docker context.
    let mut context = Command::new("docker");
    context
        .args(["context", "create", "far", "--docker"])
        .arg(format!("host={address}"))
        .env("DOCKER_CONFIG", folder.path());
    process::run(&mut context, "", LIMIT).expect();
    ask("context:far").unwrap();

    // What the ssh command says is what the user reads.
    std::fs::write(folder.path().join("known"), "").unwrap();
    let error = ask(&address).expect_err("an unknown host");
    assert!(error.contains("Host key verification failed"), "{error}");
}
