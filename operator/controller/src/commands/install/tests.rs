use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::{Cli, Command, RunArgs};

fn parse(flags: &[&str]) -> SwarmArgs {
    let line = ["milvus-operator", "install", "swarm"].iter().chain(flags);
    let Command::Install(InstallArgs {
        platform: InstallPlatform::Swarm(args),
    }) = Cli::try_parse_from(line).expect("parse").command
    else {
        unreachable!("install swarm was parsed")
    };
    *args
}

fn run_args(args: &SwarmArgs) -> RunArgs {
    let service = args.service(args.image.clone(), None, 1);
    let line = std::iter::once("milvus-operator".to_owned()).chain(service.args);
    let Command::Run(run) = Cli::try_parse_from(line)
        .expect("the service's arguments must be understood")
        .command
    else {
        unreachable!("run was parsed")
    };
    *run
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_stack_file_is_what_install_makes() {
    let args = parse(&[]);
    let printed = compose(&args.service(args.image.clone(), None, 1));
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/swarm/milvus-operator.yaml");
    if std::env::var_os("UPDATE_MANIFESTS").is_some() {
        let file = std::fs::read_to_string(&path).expect("deploy/swarm/milvus-operator.yaml");
        let comment: String = file
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        std::fs::write(&path, format!("{comment}\n{}\n", printed.trim())).expect("write");
    }
    let file = std::fs::read_to_string(&path).expect("deploy/swarm/milvus-operator.yaml");
    let (comment, body): (Vec<&str>, Vec<&str>) =
        file.lines().partition(|line| line.starts_with('#'));
    assert!(!comment.is_empty(), "the file tells how to use it");
    assert_eq!(
        body.join("\n").trim(),
        printed.trim(),
        "{} is out of date; run make regen",
        path.display()
    );
}

#[test]
fn the_service_runs_an_operator_that_is_on_loopback_unless_asked() {
    let run = run_args(&parse(&[]));
    assert_eq!(run.api_listen.to_string(), "127.0.0.1:6443");
    assert_eq!(run.docker_host, "unix:///var/run/docker.sock");
    assert_eq!(
        run.keys.as_deref(),
        Some(Path::new("/run/secrets/milvus-operator-keys"))
    );
    assert!(run.api_addresses.is_empty());

    let args = parse(&[
        "--api-address=swarm.example.org,10.0.0.1",
        "--node-docker-socket=/run/d.sock",
        "--gateway-image=g:2",
    ]);
    let run = run_args(&args);
    assert_eq!(run.api_listen.to_string(), "0.0.0.0:6443");
    assert_eq!(run.api_addresses, ["swarm.example.org", "10.0.0.1"]);
    assert_eq!(run.node_docker_socket, "/run/d.sock");
    assert_eq!(run.gateway_image, "g:2");
    // Inside of its task the socket is always at the same place.
    assert_eq!(run.docker_host, "unix:///var/run/docker.sock");
    assert_eq!(args.server_name(), "swarm.example.org");

    let run = run_args(&parse(&[
        "--api-address=a.example",
        "--api-listen=10.0.0.1:7443",
    ]));
    assert_eq!(run.api_listen.to_string(), "10.0.0.1:7443");
}

#[test]
fn flags_that_need_others_say_so() {
    let fails = |flags: &[&str]| {
        let line = ["milvus-operator", "install", "swarm"].iter().chain(flags);
        Cli::try_parse_from(line).is_err()
    };
    assert!(fails(&["--load-to=tcp://n2:2375"]));
    assert!(fails(&["--image-from=tcp://n2:2375"]));
    assert!(fails(&["--dry-run", "--secrets-only"]));
    assert!(parse(&[]).wait && parse(&["--wait"]).wait && !parse(&["--wait=false"]).wait);
}

#[test]
fn only_our_own_kubeconfig_is_replaced() {
    let root = tempfile::tempdir().expect("tempdir");
    let path = root.path().join("config");
    let keys = Keys::generate(&[]).expect("keys");
    let ours = keys
        .kubeconfig("https://127.0.0.1:6443")
        .expect("kubeconfig");
    write_kubeconfig(&path, &ours).expect("first");
    write_kubeconfig(&path, &ours).expect("again");
    let theirs = "apiVersion: v1\nkind: Config\nclusters:\n- name: production\n  cluster: {server: https://p}\n";
    std::fs::write(&path, theirs).expect("write");
    assert!(matches!(
        write_kubeconfig(&path, &ours),
        Err(InstallError::KubeconfigTaken { .. })
    ));
    assert_eq!(std::fs::read_to_string(&path).expect("read"), theirs);
}
