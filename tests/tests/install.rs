//! Installing the operator on a real Swarm of several nodes without a registry, as people do it: install, use, install again,
//! upgrade, take over as a stack, rotate keys, export, uninstall, import, purge. One story, because each step needs the one
//! before.
//!
//! Needs what `tests/testbed/prepare.sh` prints, and root.

#![allow(clippy::panic)] // a test fails by panicking

#[path = "install/readme.rs"]
mod readme;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use milvus_tests::client;
use serde_json::Value;

/// A tag that no registry or mirror knows: the nodes have it only because it was carried there.
const CARRIED: &str = "milvus-operator:carried";
/// Accepted by the API, refused by the operator: a resource for whose sake nothing is started.
const REFUSED: &str = "apiVersion: operator.milvus.io/v1beta1\nkind: MilvusCluster\nmetadata: {name: kept, namespace: team-a}\n\
                       spec: {mode: standalone, dependencies: {storage: {secretRef: store-login}}, stopped: true}\n";
/// A Milvus to use under the installed operator; its port on every node.
const USED: &str = include_str!("../fixtures/standalone.yaml");
const USED_PORT: u16 = 19540;
/// What the operator may hold at rest with its API server, in KiB.
const RESIDENT: u64 = 20 * 1024;
const LOGIN: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: store-login, namespace: team-a}\n\
                     stringData: {accesskey: someone, secretkey: correct-horse-battery}\n";

fn env(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: eval \"$(tests/testbed/prepare.sh)\" first"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command said, both ways.
fn said(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

fn good(command: &mut Command) -> Output {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        said(&output)
    );
    output
}

fn bad(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        !output.status.success(),
        "{command:?} must fail, but said:\n{}",
        said(&output)
    );
    said(&output)
}

fn feed(command: &mut Command, input: &str) -> Output {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    child
        .stdin
        .take()
        .expect("input")
        .write_all(input.as_bytes())
        .expect("write");
    let output = child.wait_with_output().expect("wait");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    output
}

/// A Swarm of our own, gone afterwards.
struct Swarm {
    script: PathBuf,
    /// Address and engine of each node.
    nodes: Vec<(String, String)>,
}

impl Swarm {
    fn up() -> Self {
        let script = PathBuf::from(env("MILVUS_TEST_SWARM"));
        let mut swarm = Self {
            script,
            nodes: Vec::new(),
        };
        good(swarm.command(&["up", "2", "1"]).env("SEED", "0"));
        let nodes = good(&mut swarm.command(&["nodes"]));
        swarm.nodes = text(&nodes.stdout)
            .lines()
            .map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                (fields[2].to_owned(), format!("unix://{}", fields[3]))
            })
            .collect();
        assert_eq!(swarm.nodes.len(), 3);
        swarm
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.script);
        command.args(args).env("TESTBED_NAME", "inst");
        command
    }

    fn docker(&self, node: usize, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(args).env("DOCKER_HOST", &self.nodes[node].1);
        command
    }

    /// The operator's service as the engine has it.
    fn service(&self) -> Value {
        let found = good(&mut self.docker(0, &["service", "inspect", "milvus-operator_operator"]));
        let found: Value = serde_json::from_slice(&found.stdout).expect("json");
        found[0].clone()
    }

    fn tasks(&self) -> Vec<String> {
        let filter = "desired-state=running";
        let found = good(&mut self.docker(
            0,
            &[
                "service",
                "ps",
                "-q",
                "-f",
                filter,
                "milvus-operator_operator",
            ],
        ));
        text(&found.stdout).lines().map(str::to_owned).collect()
    }

    /// Resident memory of the operator's process, in KiB.
    fn resident(&self) -> u64 {
        let filter = "name=milvus-operator_operator";
        let pid = (0..self.nodes.len())
            .find_map(|node| {
                let ids = good(&mut self.docker(node, &["ps", "-q", "--filter", filter]));
                let id = text(&ids.stdout).lines().next()?.to_owned();
                let format = "{{.State.Pid}}";
                let pid = good(&mut self.docker(node, &["inspect", "--format", format, &id]));
                Some(text(&pid.stdout).trim().to_owned())
            })
            .expect("a node runs the operator");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let words = line.expect("VmRSS").split_whitespace().next();
        words.expect("a number").parse().expect("a number")
    }

    fn ids(&self, kind: &str) -> Vec<String> {
        let found = good(&mut self.docker(0, &[kind, "ls", "--format", "{{.Name}}"]));
        let mut names: Vec<String> = text(&found.stdout).lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    fn operator(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env("MILVUS_TEST_OPERATOR"));
        command
            .args(args)
            .env_remove("KUBECONFIG")
            .env("DOCKER_HOST", &self.nodes[0].1);
        command
    }

    /// `install swarm` for this Swarm's managers.
    fn install(&self, kubeconfig: &Path, more: &[&str]) -> Command {
        let mut command = self.operator(&["install", "swarm", "--image", CARRIED]);
        let (first, second) = (&self.nodes[0].0, &self.nodes[1].0);
        command.arg(format!("--api-address={first},{second}"));
        command
            .arg("--gateway-image")
            .arg(env("MILVUS_TEST_GATEWAY_IMAGE"));
        command.arg("--write-kubeconfig").arg(kubeconfig).args(more);
        command
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.nodes.is_empty() {
            let ps = run(&mut self.docker(
                0,
                &["service", "ps", "--no-trunc", "milvus-operator_operator"],
            ));
            let logs = run(&mut self.docker(
                0,
                &[
                    "service",
                    "logs",
                    "--tail",
                    "40",
                    "milvus-operator_operator",
                ],
            ));
            eprintln!("{}\n{}", said(&ps), said(&logs));
        }
        let _ = self.command(&["down"]).output();
    }
}

/// kubectl of this machine, the first; with retries while the operator is between nodes.
struct Kubectl<'a> {
    swarm: &'a Swarm,
    config: PathBuf,
}

impl Kubectl<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let kubectls = env("MILVUS_TEST_KUBECTL");
        let mut command = Command::new(kubectls.split(':').next().expect("a kubectl"));
        command.arg("--kubeconfig").arg(&self.config).args(args);
        command
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .env("NO_PROXY", "*");
        command
    }

    /// The operator may run on either manager; the kubeconfig names the first address only.
    fn find(&mut self) {
        let config = std::fs::read_to_string(&self.config).expect("kubeconfig");
        let current = self
            .swarm
            .nodes
            .iter()
            .find(|(address, _)| config.contains(&format!("https://{address}:")));
        let current = &current.expect("an address of a manager").0;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            for (address, _) in &self.swarm.nodes[..2] {
                let moved = config.replace(
                    &format!("https://{current}:"),
                    &format!("https://{address}:"),
                );
                std::fs::write(&self.config, moved).expect("write");
                if run(&mut self.command(&["get", "--raw", "/readyz", "--request-timeout=2s"]))
                    .status
                    .success()
                {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "no manager's API answers");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Asks every manager for an API; the first that answers.
    fn answers(&self) -> Option<&str> {
        let mut addresses = self.swarm.nodes[..2].iter().map(|(address, _)| address);
        let found = addresses.find(|address| {
            let server = format!("--server=https://{address}:6443");
            let ask = ["get", "--raw", "/readyz", "--request-timeout=2s", &server];
            run(&mut self.command(&ask)).status.success()
        });
        found.map(String::as_str)
    }

    fn get(&self, what: &[&str]) -> String {
        let mut args = vec!["get", "-n", "team-a", "-o", "name"];
        args.extend(what);
        text(&good(&mut self.command(&args)).stdout)
            .trim()
            .to_owned()
    }

    fn secret(&self) -> String {
        let path = "jsonpath={.data.secretkey}";
        text(
            &good(&mut self.command(&["get", "secret", "-n", "team-a", "store-login", "-o", path]))
                .stdout,
        )
    }
}

#[test]
fn the_operator_is_installed_used_upgraded_moved_and_removed() {
    let engine = Path::new(&env("MILVUS_TEST_SWARM")).with_file_name("engine.sh");
    let engine = text(&good(Command::new(engine).arg("env")).stdout);
    let engine = engine
        .trim()
        .strip_prefix("DOCKER_HOST=")
        .expect("the local engine")
        .to_owned();
    let tag = ["tag", &env("MILVUS_TEST_OPERATOR_IMAGE"), CARRIED];
    good(Command::new("docker").args(tag).env("DOCKER_HOST", &engine));

    let root = tempfile::tempdir().expect("tempdir");
    let swarm = Swarm::up();
    let first = root.path().join("first.kubeconfig");

    // An image that no node has: said within seconds, with what to do.
    let refused = bad(&mut swarm.install(&first, &["--timeout=60"]));
    assert!(refused.contains("--load"), "{refused}");
    good(&mut swarm.operator(&["uninstall", "swarm", "--purge-keys", "--yes"]));
    assert_eq!(swarm.ids("secret"), Vec::<String>::new());
    std::fs::remove_file(&first).expect("the kubeconfig was written");

    // From nothing to an answering API.
    let started = Instant::now();
    let (two, three) = (swarm.nodes[1].1.clone(), swarm.nodes[2].1.clone());
    let load = [
        "--load",
        "--image-from",
        &engine,
        "--load-to",
        &two,
        "--load-to",
        &three,
    ];
    let installed = said(&good(&mut swarm.install(&first, &load)));
    eprintln!(
        "{installed}installed in {:.1} s",
        started.elapsed().as_secs_f32()
    );
    assert!(!installed.contains("PRIVATE KEY") && !installed.contains("client-key-data"));
    assert_eq!(
        swarm.ids("secret"),
        ["milvus-operator-keys-1", "milvus-operator-seal"]
    );
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(
        std::fs::metadata(&first)
            .expect("kubeconfig")
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    let mut kubectl = Kubectl {
        swarm: &swarm,
        config: first.clone(),
    };
    kubectl.find();
    let resident = swarm.resident();
    eprintln!("{resident} KiB resident");
    assert!(resident <= RESIDENT, "{resident} KiB are resident at rest");
    good(&mut kubectl.command(&["create", "namespace", "team-a"]));
    feed(&mut kubectl.command(&["apply", "-f", "-"]), LOGIN);
    feed(&mut kubectl.command(&["apply", "-f", "-"]), REFUSED);
    let secret = kubectl.secret();
    good(&mut kubectl.command(&["get", "milvusclusters", "-A"]));
    let container = &swarm.service()["Spec"]["TaskTemplate"]["ContainerSpec"];
    assert_eq!(container["ReadOnly"], true);
    assert_eq!(container["CapabilityDrop"], serde_json::json!(["ALL"]));

    readme::another_user(&swarm, &kubectl, root.path());

    // Again: nothing is written, nothing restarts.
    let (before, tasks) = (swarm.service(), swarm.tasks());
    let again = said(&good(&mut swarm.install(&root.path().join("unused"), &[])));
    assert!(again.contains("is up to date"), "{again}");
    assert_eq!(swarm.service()["Version"], before["Version"]);
    assert!(
        !root.path().join("unused").exists(),
        "keys are kept, so there is no new kubeconfig"
    );

    // Deployed as a stack it is the same service.
    let mut print = swarm.install(&first, &["--dry-run"]);
    let stack = root.path().join("stack.yaml");
    std::fs::write(&stack, good(&mut print).stdout).expect("write");
    let stack = stack.display().to_string();
    good(&mut swarm.docker(
        0,
        &[
            "stack",
            "deploy",
            "--resolve-image",
            "never",
            "-c",
            &stack,
            "milvus-operator",
        ],
    ));
    assert_eq!(swarm.tasks(), tasks, "taking over restarts nothing");
    let back = said(&good(&mut swarm.install(&first, &[])));
    eprintln!("after docker stack deploy: {back}");
    assert_eq!(swarm.tasks(), tasks, "nor does the way back");

    // An upgrade keeps keys, kubeconfig and resources.
    let upgraded = said(&good(&mut swarm.install(&first, &["--operator-log=debug"])));
    assert!(
        upgraded.contains("TaskTemplate.ContainerSpec.Args"),
        "{upgraded}"
    );
    kubectl.find();
    assert_eq!(kubectl.secret(), secret);

    // An upgrade that cannot start is taken back; the old operator goes on.
    let failed = bad(&mut swarm.install(
        &first,
        &["--operator-log=debug", "--metrics-listen=192.0.2.1:1"],
    ));
    eprintln!("a bad upgrade: {failed}");
    kubectl.find();
    assert_eq!(
        kubectl.get(&["milvusclusters"]),
        "milvuscluster.operator.milvus.io/kept"
    );
    good(&mut swarm.install(&first, &["--operator-log=debug"]));

    // A new authority shuts old kubeconfigs out; stored Secrets stay open.
    let second = root.path().join("second.kubeconfig");
    good(&mut swarm.install(&second, &["--rotate-keys"]));
    assert_eq!(
        swarm.ids("secret"),
        ["milvus-operator-keys-2", "milvus-operator-seal"]
    );
    // The operator may have moved to the other manager with the change.
    let refusals = swarm.nodes[..2].iter().map(|(address, _)| {
        let server = format!("--server=https://{address}:6443");
        bad(&mut kubectl.command(&[
            "get",
            "milvusclusters",
            "-A",
            "--request-timeout=5s",
            &server,
        ]))
    });
    let refusals: Vec<String> = refusals.collect();
    assert!(
        refusals
            .iter()
            .any(|r| r.contains("certificate") || r.contains("tls")),
        "{refusals:?}"
    );
    kubectl.config = second.clone();
    kubectl.find();
    assert_eq!(kubectl.secret(), secret);

    // Everything into a file. Then the operator goes; what it knows stays.
    let file = root.path().join("export.yaml");
    let export = |more: &[&str]| {
        let mut command = swarm.operator(&["export", "--file"]);
        command
            .arg(&file)
            .arg("--kubeconfig")
            .arg(&kubectl.config)
            .args(more)
            .env("NO_PROXY", "*");
        command
    };
    let exported = said(&good(&mut export(&["--include-secrets"])));
    assert!(exported.contains("exported 1 clusters"), "{exported}");
    assert_eq!(
        std::fs::metadata(&file)
            .expect("export")
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    let stayed = said(&good(&mut swarm.operator(&["uninstall", "swarm"])));
    assert!(stayed.contains("stored records"), "{stayed}");
    let stored = swarm.ids("config");
    assert!(!stored.is_empty());
    // Nobody is left who would take requests and end before they are done.
    assert_eq!(kubectl.answers(), None);
    good(&mut swarm.install(&second, &[]));
    kubectl.find();
    assert_eq!(
        kubectl.get(&["milvusclusters"]),
        "milvuscluster.operator.milvus.io/kept"
    );
    assert_eq!(
        kubectl.secret(),
        secret,
        "found again, with the kubeconfig from before"
    );

    // Purging asks first, then leaves nothing.
    let unsure = bad(&mut swarm.operator(&["uninstall", "swarm", "--purge-store", "--purge-keys"]));
    assert!(unsure.contains("--yes"), "{unsure}");
    assert_eq!(swarm.tasks().len(), 1, "a refusal removes nothing");
    good(&mut swarm.operator(&[
        "uninstall",
        "swarm",
        "--purge-store",
        "--purge-keys",
        "--yes",
    ]));
    assert_eq!(swarm.ids("config"), Vec::<String>::new());
    assert_eq!(swarm.ids("secret"), Vec::<String>::new());
    assert_eq!(swarm.ids("service"), Vec::<String>::new());

    // A new installation takes the file.
    let third = root.path().join("third.kubeconfig");
    good(&mut swarm.install(&third, &[]));
    kubectl.config = third;
    kubectl.find();
    let mut import = swarm.operator(&["import", "--file"]);
    import
        .arg(&file)
        .arg("--kubeconfig")
        .arg(&kubectl.config)
        .arg("--without-secrets")
        .env("NO_PROXY", "*");
    eprintln!("{}", said(&good(&mut import)));
    assert_eq!(
        kubectl.get(&["milvusclusters"]),
        "milvuscluster.operator.milvus.io/kept"
    );
    assert_eq!(kubectl.secret(), secret);

    // A Milvus under it, whose images come from a registry; it is searched with and without its operator, and goes in the end.
    feed(
        &mut kubectl.command(&["apply", "-n", "team-a", "-f", "-"]),
        USED,
    );
    let started = Instant::now();
    let ready = [
        "wait",
        "-n",
        "team-a",
        "--for=condition=Ready",
        "--timeout=400s",
        "milvuscluster/single",
    ];
    let waited = run(&mut kubectl.command(&ready));
    if !waited.status.success() {
        let story = ["describe", "milvuscluster", "-n", "team-a", "single"];
        let story = said(&run(&mut kubectl.command(&story)));
        panic!("{}\n{story}", said(&waited));
    }
    eprintln!(
        "Milvus is Ready after {:.1} s",
        started.elapsed().as_secs_f32()
    );
    let endpoint = format!("{}:{USED_PORT}", swarm.nodes[0].0);
    client::fill_at(&endpoint);
    let services = swarm.ids("service");
    good(&mut swarm.operator(&["uninstall", "swarm"]));
    assert_eq!(kubectl.answers(), None);
    client::check_at(&endpoint);
    good(&mut swarm.install(&kubectl.config, &[]));
    kubectl.find();
    assert_eq!(swarm.ids("service"), services);
    let policy = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
    let name = "milvuscluster/single";
    good(&mut kubectl.command(&["patch", "-n", "team-a", name, "--type=merge", "-p", policy]));
    good(&mut kubectl.command(&["delete", "-n", "team-a", name, "--timeout=200s"]));
    assert_eq!(swarm.ids("service"), ["milvus-operator_operator"]);
    let volumes: Vec<String> = (0..swarm.nodes.len())
        .flat_map(|node| {
            let found = good(&mut swarm.docker(node, &["volume", "ls", "-q"]));
            let names = text(&found.stdout);
            names.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|name| name.starts_with("team-a"))
        .collect();
    assert_eq!(volumes, Vec::<String>::new());
}
