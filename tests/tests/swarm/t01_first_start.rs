//! From `kubectl apply` to a search through every node, as a person sees it with docker and kubectl.

use std::collections::BTreeSet;
use std::time::Instant;

use milvus_tests::client;
use serde_json::Value;

use crate::suite::{DEMO, START, demo, suite};

/// The demo becomes Ready from nothing; nothing was started before what it needs, so every slot has had one task; a client
/// finds its rows through the gateway of each node; docker shows a stack; one port is published.
#[test]
fn a_cluster_comes_up_without_a_crash() {
    let mut suite = suite();
    suite.remove(DEMO);
    let _story = suite.story(DEMO);
    let start = Instant::now();
    suite.kubectl.apply(&demo());
    suite.ready(DEMO, START);
    println!(
        "  Ready {:.1} s after kubectl apply",
        start.elapsed().as_secs_f64()
    );

    // One task per slot and node: nothing ended and was started again.
    let services = suite.docker.names("service", "demo_");
    for role in [
        "proxy",
        "mixcoord",
        "querynode",
        "datanode",
        "indexnode",
        "gateway",
        "etcd-2",
        "minio-0",
        "broker",
    ] {
        assert!(services.contains(&format!("demo_{role}")), "{services:?}");
    }
    for service in &services {
        let tasks = suite.docker.tasks(service);
        let slots: BTreeSet<&str> = tasks.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(
            tasks.len(),
            slots.len(),
            "{service} was restarted: {tasks:#?}"
        );
        assert!(tasks.iter().all(|t| t.runs()), "{tasks:#?}");
    }

    // A real client, through the front door of every node.
    client::fill(&suite.bed.nodes[0].address);
    suite.mark_filled();
    for node in &suite.bed.nodes[1..] {
        client::check(&node.address);
    }

    // As Docker people see it.
    let stacks = suite
        .docker
        .lines(&["stack", "ls", "--format", "{{.Name}} {{.Services}}"]);
    assert!(
        stacks.contains(&format!("{DEMO} {}", services.len())),
        "{stacks:?}"
    );
    let listed = suite
        .docker
        .lines(&["stack", "services", DEMO, "--format", "{{.Name}}"]);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), services);
    let processes = suite
        .docker
        .lines(&["stack", "ps", DEMO, "--format", "{{.CurrentState}}"]);
    assert!(
        processes.len() >= services.len() && processes.iter().all(|p| p.starts_with("Running")),
        "{processes:?}"
    );

    // Only the client port leaves the cluster's networks.
    let published: Vec<(String, Value)> = suite
        .docker
        .all("service")
        .into_iter()
        .filter(|(name, _)| name.starts_with("demo_"))
        .flat_map(|(name, service)| {
            let ports = service["Spec"]["EndpointSpec"]["Ports"].as_array().cloned();
            ports
                .unwrap_or_default()
                .into_iter()
                .map(move |p| (name.clone(), p))
        })
        .collect();
    let [(service, port)] = published.as_slice() else {
        panic!("more or less than one published port: {published:?}");
    };
    assert_eq!(
        (service.as_str(), port["PublishedPort"].as_u64()),
        ("demo_gateway", Some(19530))
    );
    assert_eq!(port["PublishMode"], "host");
}

/// No value of a secret is anywhere but in the Swarm's secrets and the API's Secrets: not in service specs, labels, configs (the
/// store's neither), networks, status, events or the log.
#[test]
fn secrets_stay_secret() {
    let mut suite = suite();
    let _story = suite.demo();
    let secrets: Value =
        serde_json::from_str(&suite.kubectl.run(&["get", "secrets", "-o", "json"])).unwrap();
    let template = "{{range .items}}{{range $k, $v := .data}}{{if not (eq $k \"ca.crt\" \"client.crt\" \"server.crt\" \"tls.crt\")}}{{$v | base64decode}}{{\"\\n\"}}{{end}}{{end}}{{end}}";
    let plain = suite
        .kubectl
        .run(&["get", "secrets", "-o", &format!("go-template={template}")]);
    let mut needles: BTreeSet<String> = plain
        .lines()
        .filter(|l| l.len() >= 8 && !l.starts_with("-----"))
        .map(str::to_owned)
        .collect();
    let mut keys = 0;
    for secret in secrets["items"].as_array().unwrap() {
        for (key, value) in secret["data"].as_object().unwrap() {
            if !key.ends_with(".crt") {
                needles.insert(value.as_str().unwrap().to_owned());
                keys += 1;
            }
        }
    }
    assert!(
        keys >= 3 && needles.len() > keys,
        "{keys} keys, {} values",
        needles.len()
    );

    let docker = &suite.docker;
    let mut places = vec![("log".to_owned(), suite.operator.log())];
    for kind in ["service", "config", "secret", "network"] {
        for (name, object) in docker.all(kind) {
            places.push((format!("{kind} {name}"), object.to_string()));
        }
    }
    for name in docker.names("config", "") {
        let content = docker.run(&[
            "config",
            "inspect",
            "--format",
            "{{printf \"%s\" .Spec.Data}}",
            &name,
        ]);
        places.push((format!("content of config {name}"), content));
    }
    for what in ["milvusclusters", "events", "configmaps"] {
        places.push((
            what.to_owned(),
            suite.kubectl.run(&["get", what, "-A", "-o", "yaml"]),
        ));
    }
    for service in docker.names("service", "demo_") {
        for task in docker.tasks(&service) {
            places.push((
                format!("task of {service}"),
                docker.run(&["inspect", &task.id]),
            ));
        }
    }
    assert!(
        places.len() > 40,
        "only {} places were looked at",
        places.len()
    );
    for (place, text) in &places {
        for needle in &needles {
            assert!(
                !text.contains(needle.as_str()),
                "{place} holds a secret value"
            );
        }
    }
    println!(
        "  {} values of secrets are in none of {} places",
        needles.len(),
        places.len()
    );
}
