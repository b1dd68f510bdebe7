//! What the tests share: the Swarm, the operator, the cluster `demo`, and what is printed when one of them fails.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use milvus_tests::docker::Docker;
use milvus_tests::kubectl::{Kubectl, is_ready};
use milvus_tests::operator::Operator;
use milvus_tests::testbed::Testbed;
use milvus_tests::{client, process, wait};
use serde_json::{Value, json};

/// The cluster that most tests look at.
pub const DEMO: &str = "demo";
/// From `kubectl apply` to Ready, on slow and busy machines.
pub const START: Duration = Duration::from_secs(300);
/// Deletion waits for every process to end by itself, at most for its stop grace (a minute), in three waves.
pub const GONE: Duration = Duration::from_secs(240);
/// A repair takes two seconds; a machine with two cores and all of a cluster on them may be busy.
pub const REPAIR: Duration = Duration::from_secs(5);
/// What the user hears of within seconds.
pub const SOON: Duration = Duration::from_secs(15);

/// What the tests share.
pub struct Suite {
    pub bed: Testbed,
    pub operator: Operator,
    pub kubectl: Kubectl,
    pub docker: Docker,
    filled: bool,
}

/// The shared part, put right where an earlier test left it in a bad state.
pub fn suite() -> MutexGuard<'static, Suite> {
    static SUITE: OnceLock<Mutex<Suite>> = OnceLock::new();
    let shared = SUITE.get_or_init(|| Mutex::new(Suite::open()));
    let mut suite = shared.lock().unwrap_or_else(PoisonError::into_inner);
    suite.heal();
    suite
}

impl Suite {
    fn open() -> Self {
        let name = std::env::var("TESTBED_NAME").unwrap_or_else(|_| "test".to_owned());
        let bed = Testbed::up(&name, 3, 1);
        let docker = bed.docker();
        let mut operator = Operator::new(&bed.folder().join("operator"), &docker.host());
        operator.start();
        let kubectl = operator.kubectl();
        Self {
            bed,
            operator,
            kubectl,
            docker,
            filled: false,
        }
    }

    fn heal(&mut self) {
        for node in &self.bed.nodes {
            if !node.docker().try_run(&["version"]).ok() {
                self.bed.start(&[node.number]);
            }
        }
        for node in 5..=self.bed.nodes.len() {
            println!("  node {node} is left from an earlier test");
            self.bed.leave();
        }
        let format = "{{.Hostname}} {{.Availability}}";
        for line in self.docker.lines(&["node", "ls", "--format", format]) {
            if let Some((node, "Drain" | "Pause")) = line.split_once(' ') {
                let active = ["node", "update", "--availability", "active", node];
                self.docker.run(&active);
            }
        }
        if !self.kubectl.try_run(&["get", "--raw", "/readyz"]).ok() {
            self.operator.kill();
            self.operator.start();
        }
    }

    /// Prints what there is to know about a cluster when the test ends badly.
    pub fn story(&self, cluster: &str) -> Story {
        Story {
            cluster: cluster.to_owned(),
            kubectl: self.kubectl.clone(),
            docker: self.docker.clone(),
            log: self.bed.folder().join("operator/operator.log"),
        }
    }

    /// `demo` is there and Ready; with 1000 rows in it.
    pub fn demo(&mut self) -> Story {
        let story = self.story(DEMO);
        if self.kubectl.cluster(DEMO).is_none() {
            self.kubectl.apply(&demo());
            self.filled = false;
        }
        self.ready(DEMO, START);
        self.fill_demo();
        story
    }

    /// Rows are written to `demo`, unless it holds them.
    pub fn fill_demo(&mut self) {
        if !self.filled {
            client::fill(&self.bed.nodes[0].address);
            self.filled = true;
        }
    }

    /// `demo` holds the rows of [`client::fill`].
    pub fn mark_filled(&mut self) {
        self.filled = true;
    }

    /// Waits until a cluster is Ready for the spec that it has now, and nothing is left to do.
    #[track_caller]
    pub fn ready(&self, cluster: &str, limit: Duration) {
        wait::until(&format!("{cluster} to be Ready"), limit, || {
            let resource = self.kubectl.cluster(cluster).ok_or("it is not there")?;
            is_ready(&resource)
        });
    }

    /// Deletes a cluster with its data, and waits until it is gone.
    #[track_caller]
    pub fn remove(&self, cluster: &str) {
        if self.kubectl.cluster(cluster).is_none() {
            return;
        }
        self.kubectl
            .patch(cluster, &json!({"spec": {"deletionPolicy": "Delete"}}));
        self.delete(cluster);
    }

    /// Deletes a cluster and waits until it is gone.
    #[track_caller]
    pub fn delete(&self, cluster: &str) {
        self.kubectl
            .run(&["delete", "milvuscluster", cluster, "--wait=false"]);
        wait::until(&format!("{cluster} to be gone"), GONE, || {
            match self.kubectl.try_run(&["get", "milvuscluster", cluster]) {
                gone if gone.stderr.contains("NotFound") => Ok(()),
                other => Err(other.text()),
            }
        });
    }

    /// Waits for an event with this reason whose message holds all these words, after the first `skip` events.
    #[track_caller]
    pub fn event(&self, cluster: &str, skip: usize, reason: &str, words: &[&str]) -> String {
        let what = format!("an event {reason} of {cluster} with {words:?}");
        wait::until(&what, SOON, || {
            let events = self.kubectl.events(cluster);
            let found = events
                .iter()
                .skip(skip)
                .find(|e| e.reason == reason && words.iter().all(|w| e.message.contains(w)));
            found
                .map(|e| e.message.clone())
                .ok_or_else(|| format!("{:?}", events.iter().skip(skip).collect::<Vec<_>>()))
        })
    }

    /// A config, secret, ... whose name begins so.
    #[track_caller]
    pub fn named(&self, kind: &str, prefix: &str) -> String {
        let names = self.docker.names(kind, prefix);
        let first = names.first();
        first
            .unwrap_or_else(|| panic!("there is no {kind} {prefix}*"))
            .clone()
    }

    /// Runs something while the operator sleeps; it sees the result all at once.
    pub fn behind_its_back(&self, act: impl FnOnce(&Docker)) {
        let pid = self.operator.pid().to_string();
        signal("-STOP", &pid);
        act(&self.docker);
        signal("-CONT", &pid);
    }
}

fn signal(signal: &str, pid: &str) {
    let mut command = std::process::Command::new("kill");
    command.args([signal, pid]);
    process::run(&mut command, "", SOON).expect();
}

/// The demo as people get it.
pub fn demo() -> Value {
    manifest(&repository().join("deploy/samples/demo.yaml"))
}

/// A standalone Milvus under a name and port of its own.
pub fn standalone(name: &str, port: u16) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/standalone.yaml");
    let mut value = manifest(&path);
    value["metadata"]["name"] = json!(name);
    value["spec"]["swarm"]["gateway"]["port"] = json!(port);
    value
}

pub fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// A manifest with one document.
pub fn manifest(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// What the services of a stack say about themselves: version index by name.
pub fn versions(docker: &Docker, kind: &str, prefix: &str) -> Vec<(String, u64)> {
    let all = docker.all(kind);
    let index = |o: &Value| o["Version"]["Index"].as_u64().unwrap_or(0);
    all.iter()
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, object)| (name.clone(), index(object)))
        .collect()
}

/// Seconds between a moment and a time stamp of the engine (which is on this machine).
pub fn seconds_until(moment: SystemTime, stamp: &Value) -> f64 {
    let stamp = stamp.as_str().unwrap();
    let mut command = std::process::Command::new("date");
    command.args(["-u", "+%s.%N", "-d", stamp]);
    let seconds: f64 = process::run(&mut command, "", SOON)
        .expect()
        .trim()
        .parse()
        .unwrap();
    let moment = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    (seconds - moment.as_secs_f64()).max(0.0)
}

/// Printed when a test ends badly.
pub struct Story {
    cluster: String,
    kubectl: Kubectl,
    docker: Docker,
    log: std::path::PathBuf,
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
    }
}

impl Story {
    /// Prints it.
    pub fn tell(&self) {
        let cluster = &self.cluster;
        println!("---- kubectl describe milvuscluster {cluster}");
        println!(
            "{}",
            self.kubectl
                .try_run(&["describe", "milvuscluster", cluster])
                .text()
        );
        println!("---- docker node ls, service ls, service ps");
        println!("{}", self.docker.try_run(&["node", "ls"]).text());
        println!("{}", self.docker.try_run(&["service", "ls"]).text());
        for service in self
            .docker
            .try_run(&["service", "ls", "--format", "{{.Name}}"])
            .stdout
            .lines()
        {
            println!(
                "{}",
                self.docker
                    .try_run(&["service", "ps", "--no-trunc", service])
                    .text()
            );
        }
        println!("---- the end of the operator's log");
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(80)) {
            println!("{line}");
        }
    }
}
