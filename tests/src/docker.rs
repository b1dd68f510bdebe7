//! The docker command line of one engine, and the facts that the suites read from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::process::{self, Output};

/// An engine that has lost its quorum answers after a time of its own.
const LIMIT: Duration = Duration::from_secs(30);
/// How often something is read, and the pause in between.
const READS: u32 = 3;
const READ_AGAIN: Duration = Duration::from_secs(2);
/// Debian's own client speaks the API version of Debian's engine; a newer one elsewhere in PATH may not.
const DEBIAN: &str = "/usr/bin/docker";

/// A docker command line.
#[derive(Clone, Debug)]
pub struct Docker {
    socket: PathBuf,
}

/// One task of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// Id.
    pub id: String,
    /// `<service>.<slot or node>`, without the mark of an earlier one.
    pub name: String,
    /// Node name.
    pub node: String,
    /// What the Swarm wants of it.
    pub desired: String,
    /// What it does, with its age.
    pub current: String,
    /// What went wrong.
    pub error: String,
}

impl Task {
    /// It is wanted and runs.
    pub fn runs(&self) -> bool {
        self.desired == "Running" && self.current.starts_with("Running")
    }
}

impl Docker {
    /// Over an engine's socket.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// `unix://...`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Runs a command.
    pub fn try_run(&self, args: &[&str]) -> Output {
        let program = if Path::new(DEBIAN).exists() {
            DEBIAN
        } else {
            "docker"
        };
        let mut command = Command::new(program);
        command
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT")
            .args(["-H", &self.host()])
            .args(args);
        process::run(&mut command, "", LIMIT)
    }

    /// Runs a command that has to succeed; its standard output.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        self.try_run(args).expect()
    }

    /// Runs a command that only reads; tried again while the managers choose a leader.
    fn read(&self, args: &[&str]) -> Output {
        let mut tries = 1;
        loop {
            let output = self.try_run(args);
            let leaderless = ["DeadlineExceeded", "does not have a leader", "Unavailable"]
                .iter()
                .any(|word| output.stderr.contains(word));
            if output.ok() || !leaderless || tries == READS {
                return output;
            }
            tries += 1;
            thread::sleep(READ_AGAIN);
        }
    }

    /// The lines of a command that only reads and has to succeed.
    #[track_caller]
    pub fn lines(&self, args: &[&str]) -> Vec<String> {
        let lines = self.read(args).expect();
        lines.lines().map(|l| l.trim().to_owned()).collect()
    }

    /// Names of objects (`service`, `config`, `secret`, `network`, `volume`) that begin with a prefix.
    #[track_caller]
    pub fn names(&self, kind: &str, prefix: &str) -> BTreeSet<String> {
        let lines = self.lines(&[kind, "ls", "--format", "{{.Name}}"]);
        lines
            .into_iter()
            .filter(|n| n.starts_with(prefix))
            .collect()
    }

    /// An object as the engine describes it; `None` when there is none.
    pub fn inspect(&self, kind: &str, name: &str) -> Option<Value> {
        let output = self.try_run(&[kind, "inspect", name]);
        if !output.ok() {
            return None;
        }
        let objects: Value = serde_json::from_str(&output.stdout).ok()?;
        objects.get(0).cloned()
    }

    /// All objects of a kind by name, as the engine describes them.
    #[track_caller]
    pub fn all(&self, kind: &str) -> BTreeMap<String, Value> {
        let ids = self.lines(&[kind, "ls", "-q"]);
        if ids.is_empty() {
            return BTreeMap::new();
        }
        let mut args = vec![kind, "inspect"];
        args.extend(ids.iter().map(String::as_str));
        // What goes between the two calls is told as an error beside all others.
        let output = self.read(&args);
        let objects: Vec<Value> = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("docker {kind} inspect: {error}: {}", output.stderr));
        let name = |o: &Value| {
            let at = ["/Spec/Name", "/Name"];
            let found = at.iter().find_map(|p| o.pointer(p)?.as_str());
            found.unwrap_or_default().to_owned()
        };
        objects.into_iter().map(|o| (name(&o), o)).collect()
    }

    /// Tasks of a service, also the ended ones that the Swarm still knows.
    pub fn tasks(&self, service: &str) -> Vec<Task> {
        let format =
            "{{.ID}}\t{{.Name}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}";
        let output = self.read(&["service", "ps", "--no-trunc", "--format", format, service]);
        let mut tasks: Vec<Task> = output.stdout.lines().filter_map(task).collect();
        tasks.sort();
        tasks
    }

    /// The tasks of a service that run and are wanted.
    pub fn running(&self, service: &str) -> Vec<Task> {
        let tasks = self.tasks(service);
        tasks.into_iter().filter(Task::runs).collect()
    }

    /// Ids of running tasks by service, for all services whose name begins with a prefix.
    #[track_caller]
    pub fn running_ids(&self, prefix: &str) -> BTreeMap<String, BTreeSet<String>> {
        let ids = |service: &String| self.running(service).into_iter().map(|t| t.id).collect();
        let services = self.names("service", prefix);
        services.iter().map(|s| (s.clone(), ids(s))).collect()
    }
}

fn task(line: &str) -> Option<Task> {
    let mut words = line.split('\t').map(str::to_owned);
    Some(Task {
        id: words.next()?,
        name: words
            .next()?
            .trim_start_matches(['\\', '_', ' '])
            .to_owned(),
        node: words.next()?,
        desired: words.next()?,
        current: words.next()?,
        error: words.next().unwrap_or_default(),
    })
}
