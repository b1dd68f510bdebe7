//! What the README gives people to type about an installed operator, as it stands there.

use std::path::Path;
use std::process::Command;

use super::{Kubectl, Swarm, bad, good};

/// The command of the README that begins so, to the end of its block.
fn command(begin: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let from = readme.find(begin).expect("the README has this command");
    let block = readme[from..].split("\n```").next().expect("a block");
    block.to_owned()
}

/// A kubeconfig for a user of group `milvus:view`, made on the node where the operator runs: it reads all but Secrets.
pub(super) fn another_user(swarm: &Swarm, admin: &Kubectl<'_>, folder: &Path) {
    let address = admin.answers().expect("a manager's API answers");
    let node = swarm.nodes.iter().find(|(a, _)| a == address);
    let engine = &node.expect("the node of that address").1;
    let line = command("docker exec $(docker ps").replace("ADDRESS", address);
    println!("{line}");
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &line]);
    good(shell.current_dir(folder).env("DOCKER_HOST", engine));
    let ann = Kubectl {
        swarm,
        config: folder.join("ann.kubeconfig"),
    };
    assert_eq!(
        ann.get(&["milvusclusters"]),
        "milvuscluster.operator.milvus.io/kept"
    );
    let refused = bad(&mut ann.command(&["get", "secrets", "-n", "team-a"]));
    assert!(
        refused.contains("Forbidden") && refused.contains("\"ann\""),
        "{refused}"
    );
}
