//! Every kubectl on the machine against a server on loopback, over TLS, verb by verb.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use support::{Kubectl, Output, kubectls, start, wait_for_text};

/// One command and what it must do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    what: String,
    args: Vec<String>,
    /// Which body goes to standard input.
    input: Option<String>,
    /// Environment to change: editors, and other users' configurations.
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    fails: bool,
    #[serde(default)]
    out: Vec<String>,
    #[serde(default)]
    err: Vec<String>,
    /// Texts that must not be in the output.
    #[serde(default)]
    not: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    bodies: BTreeMap<String, String>,
    steps: Vec<Step>,
}

fn script() -> Script {
    serde_saphyr::from_str(include_str!("support/steps.yaml")).unwrap()
}

fn run(kubectl: &Kubectl, script: &Script, step: &Step) -> Output {
    let args: Vec<&str> = step.args.iter().map(String::as_str).collect();
    let mut command = kubectl.command(&args);
    command.envs(&step.env);
    let mut input = match &step.input {
        Some(name) => script.bodies[name].clone(),
        None => String::new(),
    };
    if input.contains("@UID@") {
        let get = ["get", "gadget", "demo", "-o", "jsonpath={.metadata.uid}"];
        input = input.replace("@UID@", &kubectl.run(&get, "").out);
    }
    kubectl.finish(command, &input)
}

fn check(step: &Step, output: &Output) -> Result<(), String> {
    let mut wrong = Vec::new();
    if output.ok == step.fails {
        wrong.push(format!("ended with success={}", output.ok));
    }
    for text in &step.out {
        if !output.out.contains(text) {
            wrong.push(format!("standard output lacks {text:?}"));
        }
    }
    for text in &step.err {
        if !output.err.contains(text) {
            wrong.push(format!("standard error lacks {text:?}"));
        }
    }
    for text in &step.not {
        if output.out.contains(text) {
            wrong.push(format!("standard output has {text:?}"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} ({}): {}\n--- out\n{}--- err\n{}",
        step.what,
        step.args.join(" "),
        wrong.join("; "),
        output.out,
        output.err
    ))
}

/// `get -w` prints what happens while it runs.
fn watch(kubectl: &Kubectl, demo: &str) -> Result<(), String> {
    let seen = kubectl.home.path().join("watch.txt");
    let mut child = kubectl
        .command(&["get", "gadgets", "-w"])
        .stdout(std::fs::File::create(&seen).unwrap())
        .spawn()
        .unwrap();
    let result = (|| {
        let patience = Duration::from_secs(20);
        kubectl.run(&["apply", "-f", "-"], demo);
        wait_for_text(&seen, &["NAME", "demo"], patience)?;
        kubectl.run(
            &[
                "patch",
                "gadget",
                "demo",
                "--subresource=status",
                "--type=merge",
                "-p",
                r#"{"status":{"conditions":[{"type":"Ready","status":"Soon"}]}}"#,
            ],
            "",
        );
        wait_for_text(&seen, &["Soon"], patience)
    })();
    child.kill().unwrap();
    child.wait().unwrap();
    kubectl.run(&["delete", "gadget", "demo"], "");
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_works_as_on_a_cluster() {
    let binaries = kubectls();
    assert!(!binaries.is_empty(), "no kubectl to test with");
    let mut tasks = Vec::new();
    for binary in binaries {
        // A server for each, so that they do not see each other's objects.
        let running = start().await;
        tasks.push(tokio::task::spawn_blocking(move || {
            let kubectl = Kubectl::new(&binary, &running);
            let begun = std::time::Instant::now();
            let mut failures = Vec::new();
            let script = script();
            let steps = script.steps.len() + 1;
            for step in &script.steps {
                let output = run(&kubectl, &script, step);
                failures.extend(check(step, &output).err());
            }
            failures.extend(watch(&kubectl, &script.bodies["demo"]).err());
            running.shutdown.cancel();
            println!(
                "{}: {} of {} steps in {:?}",
                kubectl.label,
                steps - failures.len(),
                steps,
                begun.elapsed()
            );
            failures
                .into_iter()
                .map(|failure| format!("[{}] {failure}", kubectl.label))
                .collect::<Vec<_>>()
        }));
    }
    let mut failures = Vec::new();
    for task in tasks {
        failures.extend(task.await.unwrap());
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}
