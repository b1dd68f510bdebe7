//! A real client, pymilvus, and what it does with rows.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::prepared;
use crate::process::{self, Output};

const LIMIT: Duration = Duration::from_secs(600);

fn search(address: &str, args: &[&str]) -> Output {
    let uri = format!("http://{address}:19530");
    on(&uri, args)
}

/// Milvus 2.3 may name a leader that went with its node for minutes: what counts is that all rows are there in the end.
fn on(uri: &str, args: &[&str]) -> Output {
    let mut command = Command::new(prepared("MILVUS_TEST_CLIENT"));
    command
        .args(["search", "--uri", uri, "--rows", "1000", "--wait", "300"])
        .args(args);
    let output = process::run(&mut command, "", LIMIT);
    if let Some(last) = output.stdout.lines().last() {
        println!("  client at {uri}: {last}");
    }
    output
}

/// Creates a collection, inserts, flushes, indexes, loads and searches.
#[track_caller]
pub fn fill(address: &str) {
    search(address, &[]).expect();
}

/// The same, through an address with a port.
#[track_caller]
pub fn fill_at(endpoint: &str) {
    on(&format!("http://{endpoint}"), &[]).expect();
}

/// The rows of an earlier [`fill`] are all there and are found.
#[track_caller]
pub fn check(address: &str) {
    search(address, &["--check-only"]).expect();
}

/// [`check`] through an address with a port.
#[track_caller]
pub fn check_at(endpoint: &str) {
    on(&format!("http://{endpoint}"), &["--check-only"]).expect();
}

/// Creates, inserts and searches over TLS, at an address with a port whose certificate bears this name and is vouched for by this
/// file.
#[track_caller]
pub fn fill_over_tls(endpoint: &str, ca: &Path, name: &str) {
    let ca = ca.display().to_string();
    let args = ["--ca", &ca, "--server-name", name];
    on(&format!("https://{endpoint}"), &args).expect();
}

/// Inserts into a collection of its own for so many seconds, whatever happens meanwhile; every row that was acknowledged has to be
/// there in the end. Gives what the client said.
pub fn insert_for(address: &str, seconds: u64) -> Output {
    let seconds = seconds.to_string();
    let args = ["--insert-for", &seconds, "--collection", "stream"];
    search(address, &args)
}
