//! A Swarm of the testbed: nodes that are engines of their own, to be killed, cut off and booted.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::docker::Docker;
use crate::prepared;
use crate::process::{self, Output};

const LIMIT: Duration = Duration::from_secs(240);

/// One node of it.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its number, from 1; its name is `node<number>`.
    pub number: u32,
    /// Whether it takes part in the raft.
    pub manager: bool,
    /// Where ports published on it are reached.
    pub address: String,
    /// The socket of its engine.
    pub socket: PathBuf,
}

impl Node {
    /// Host name, as Docker shows it.
    pub fn name(&self) -> String {
        format!("node{}", self.number)
    }

    /// The docker command line on this node.
    pub fn docker(&self) -> Docker {
        Docker::new(&self.socket)
    }
}

/// The Swarm.
#[derive(Clone, Debug)]
pub struct Testbed {
    script: String,
    name: String,
    /// All nodes, by number.
    pub nodes: Vec<Node>,
}

impl Testbed {
    /// A new Swarm; with `MILVUS_TEST_KEEP=1` one of that shape that stands already is taken as it is.
    pub fn up(name: &str, managers: u32, workers: u32) -> Self {
        let mut bed = Self {
            script: prepared("MILVUS_TEST_SWARM"),
            name: name.to_owned(),
            nodes: Vec::new(),
        };
        let keep = std::env::var("MILVUS_TEST_KEEP").is_ok_and(|v| v == "1");
        let verb = if keep { "ensure" } else { "up" };
        println!("  {verb} a Swarm of {managers} managers and {workers} workers, named {name}");
        bed.run(&[verb, &managers.to_string(), &workers.to_string()])
            .expect();
        bed.nodes = bed.run(&["nodes"]).expect().lines().map(node).collect();
        bed
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.script);
        command.env("TESTBED_NAME", &self.name).args(args);
        process::run(&mut command, "", LIMIT)
    }

    /// Power loss of nodes: engines and containers end at once, their network goes.
    pub fn kill(&self, nodes: &[u32]) {
        println!("  power loss of node {nodes:?}");
        self.each("kill", nodes);
    }

    /// Boots nodes that were killed.
    pub fn start(&self, nodes: &[u32]) {
        println!("  boot of node {nodes:?}");
        self.each("start", nodes);
    }

    /// Keeps the mirror from a node, or gives it back: what the node does not have it cannot pull meanwhile.
    pub fn mirror(&self, node: u32, reached: bool) {
        println!("  node {node} reaches the mirror: {reached}");
        self.each(if reached { "show" } else { "hide" }, &[node]);
    }

    /// Boots one more machine, which joins as a worker.
    pub fn join(&mut self) -> Node {
        self.run(&["join"]).expect();
        self.nodes = self.run(&["nodes"]).expect().lines().map(node).collect();
        let new = self.nodes[self.nodes.len() - 1].clone();
        println!("  {} has joined", new.name());
        new
    }

    /// Takes the last worker away, with its data.
    pub fn leave(&mut self) {
        self.run(&["leave"]).expect();
        self.nodes.pop();
    }

    /// A worker leaves the Swarm and joins it again with its data: it has another node id.
    pub fn rejoin(&self, node: u32) {
        println!("  node {node} leaves the Swarm and joins again");
        self.each("rejoin", &[node]);
    }

    fn each(&self, verb: &str, nodes: &[u32]) {
        let numbers: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        let mut args = vec![verb];
        args.extend(numbers.iter().map(String::as_str));
        self.run(&args).expect();
    }

    /// The docker command line on the first manager, the one that the operator talks to.
    pub fn docker(&self) -> Docker {
        self.nodes[0].docker()
    }

    /// The folder of everything that belongs to this Swarm; goes with it.
    pub fn folder(&self) -> PathBuf {
        let socket = &self.nodes[0].socket;
        socket
            .parent()
            .and_then(|node| node.parent())
            .unwrap_or_else(|| panic!("{} is in no node's folder", socket.display()))
            .to_owned()
    }

    /// A node by its host name.
    pub fn node(&self, name: &str) -> &Node {
        self.nodes
            .iter()
            .find(|n| n.name() == name)
            .unwrap_or_else(|| panic!("there is no node {name:?}"))
    }
}

fn node(line: &str) -> Node {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[number, role, address, socket, ..] = words.as_slice() else {
        panic!("swarm.sh nodes said {line:?}");
    };
    Node {
        number: number.parse().unwrap_or_default(),
        manager: role == "manager",
        address: address.to_owned(),
        socket: PathBuf::from(socket),
    }
}
