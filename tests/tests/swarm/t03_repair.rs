//! What hands break is put right, quickly, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use milvus_tests::docker::Docker;
use milvus_tests::{client, wait};
use serde_json::Value;

use crate::suite::{DEMO, REPAIR, SOON, START, Suite, seconds_until, suite};

/// Waits until a service is (again) as `right` wants it; the seconds from `broken` until the engine noted that.
#[track_caller]
fn repaired(
    suite: &Suite,
    service: &str,
    broken: SystemTime,
    right: impl Fn(&Value) -> bool,
) -> f64 {
    let found = wait::until(&format!("{service} to be put right"), SOON, || {
        let found = suite
            .docker
            .inspect("service", service)
            .ok_or("it is not there")?;
        right(&found)
            .then_some(found)
            .ok_or_else(|| "it is not right".to_owned())
    });
    let seconds = seconds_until(broken, &found["UpdatedAt"]);
    println!("  {service} was put right after {seconds:.2} s");
    assert!(seconds <= REPAIR.as_secs_f64(), "{service}: {seconds} s");
    seconds
}

/// The one container of a service, on its node.
#[track_caller]
fn process(suite: &Suite, service: &str) -> (Docker, String) {
    let running = suite.docker.running(service);
    let [task] = running.as_slice() else {
        panic!("{service}: {running:?}");
    };
    let format = "{{.Status.ContainerStatus.ContainerID}}";
    let container = suite.docker.run(&["inspect", "--format", format, &task.id]);
    let node = suite.bed.node(&task.node).docker();
    (node, container.trim().to_owned())
}

/// When a container has ended. Two processes must never share the data of a member, so its service is made again only then;
/// how long it takes is up to the process and its stop grace.
#[track_caller]
fn ended((docker, container): (Docker, String)) -> SystemTime {
    wait::until("the old process to end", Duration::from_secs(45), || {
        let state = docker.try_run(&["inspect", "--format", "{{.State.Running}}", &container]);
        if state.stdout.trim() == "true" {
            Err("it runs".to_owned())
        } else {
            Ok(SystemTime::now())
        }
    })
}

/// Where each member is bound to, and what it mounts.
fn homes(docker: &Docker) -> BTreeMap<String, (String, String)> {
    let services = docker.all("service");
    let home = |service: &Value| {
        let template = &service["Spec"]["TaskTemplate"];
        let mounts = template["ContainerSpec"]["Mounts"].as_array();
        let volumes: Vec<&Value> = mounts
            .into_iter()
            .flatten()
            .filter(|m| m["Type"] == "volume")
            .map(|m| &m["Source"])
            .collect();
        (!volumes.is_empty()).then(|| {
            (
                template["Placement"]["Constraints"].to_string(),
                format!("{volumes:?}"),
            )
        })
    };
    services
        .iter()
        .filter(|(name, _)| name.starts_with("demo_"))
        .filter_map(|(name, service)| Some((name.clone(), home(service)?)))
        .collect()
}

/// An environment edited by hand, and a member scaled to nothing, are undone and said by field.
#[test]
fn edits_by_hand_are_undone() {
    let mut suite = suite();
    let _story = suite.demo();
    let told = suite.kubectl.events(DEMO).len();
    suite.docker.run(&[
        "service",
        "update",
        "-d",
        "--env-add",
        "BY_HAND=1",
        "demo_datanode",
    ]);
    let broken = SystemTime::now();
    repaired(&suite, "demo_datanode", broken, |s| {
        !s["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]
            .to_string()
            .contains("BY_HAND")
    });
    suite.event(DEMO, told, "Repaired", &["demo_datanode", "Env"]);
    suite.ready(DEMO, START);

    // To nothing, a member with data: it is back on its volume.
    let told = suite.kubectl.events(DEMO).len();
    let process = process(&suite, "demo_etcd-2");
    suite
        .docker
        .run(&["service", "scale", "-d", "demo_etcd-2=0"]);
    let broken = ended(process);
    repaired(&suite, "demo_etcd-2", broken, |s| {
        s["Spec"]["Mode"]["Replicated"]["Replicas"] == 1
    });
    suite.event(DEMO, told, "Repaired", &["demo_etcd-2"]);
    suite.ready(DEMO, START);
    client::check(&suite.bed.nodes[1].address);
}

/// A config that nothing refers to any more, a secret and a network are made again, and what uses them with them.
#[test]
fn lost_configs_secrets_and_networks_are_made_again() {
    let mut suite = suite();
    let _story = suite.demo();
    let config = suite.named("config", "demo_zk-conf-");
    let secret = suite.named("secret", "demo_gateway-tls-");
    let network = "demo_frontend";
    let ids = |suite: &Suite| {
        let of = |kind, name| {
            suite
                .docker
                .inspect(kind, name)
                .map(|o| o.get("ID").or(o.get("Id")).cloned())
        };
        [
            of("config", &config),
            of("secret", &secret),
            of("network", network),
        ]
    };
    let (before, told) = (ids(&suite), suite.kubectl.events(DEMO).len());
    let mut users: BTreeSet<String> = BTreeSet::new();
    suite.behind_its_back(|docker| {
        // The engine keeps what is referred to: their users go first.
        let target = docker
            .inspect("network", network)
            .map_or(Value::Null, |n| n["Id"].clone());
        for (name, service) in docker.all("service") {
            let uses = [&config, &secret]
                .iter()
                .any(|f| service.to_string().contains(f.as_str()))
                || service["Spec"]["TaskTemplate"]["Networks"]
                    .to_string()
                    .contains(target.as_str().unwrap_or("?"));
            if uses {
                docker.run(&["service", "rm", &name]);
                users.insert(name);
            }
        }
        docker.run(&["config", "rm", &config]);
        docker.run(&["secret", "rm", &secret]);
        wait::until("the network to be gone", SOON, || {
            docker.try_run(&["network", "rm", network]).result()
        });
    });
    println!("  gone: {config}, {secret}, {network}, and {users:?}");
    assert!(users.len() >= 2, "{users:?}");
    // A network stays on a node for as long as its last container: it is made again when that has ended.
    wait::until("its users to be back", Duration::from_secs(60), || {
        let now = suite.docker.names("service", "demo_");
        let missing: Vec<&String> = users.difference(&now).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("{missing:?}"))
        }
    });
    for name in [config.as_str(), &secret, network] {
        suite.event(DEMO, told, "Recreated", &[name]);
    }
    suite.ready(DEMO, START);
    for (before, after) in before.iter().zip(ids(&suite)) {
        assert!(after.is_some() && *before != after, "{before:?} {after:?}");
    }
    client::check(&suite.bed.nodes[2].address);
}

/// `docker stack rm`: every member returns to its own node and its own volume, and the rows are there.
#[test]
fn a_removed_stack_comes_back_with_its_data() {
    let mut suite = suite();
    let _story = suite.demo();
    let (before, old) = (homes(&suite.docker), suite.docker.names("service", "demo_"));
    // It may fail half-way: the operator is already putting back what docker still removes.
    let answer = suite.docker.try_run(&["stack", "rm", DEMO]);
    println!("  {}", answer.stderr.trim());
    wait::until("all services to be back", START, || {
        let now = suite.docker.names("service", "demo_");
        let missing: Vec<&String> = old.difference(&now).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("{missing:?}"))
        }
    });
    suite.ready(DEMO, START);
    assert_eq!(before, homes(&suite.docker));
    client::check(&suite.bed.nodes[0].address);
}
