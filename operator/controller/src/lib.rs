//! The operator: command line, wiring, the reconcile loop. Decisions live in `milvus-core`; this room only reads, calls, writes
//! and reports. A library, so that the simulator drives the very pass that ships: `milvus-sim` depends on this crate and is
//! itself used by tests alone, so nothing of the product depends on it and there is no circle.

mod cli;
mod commands;
mod context;
mod controller;
mod definition;
#[cfg(test)]
mod documents;
mod execute;
mod gather;
mod keys;
mod leader;
mod ledger_store;
mod marks;
mod metrics;
mod outside;
mod reconcile;
mod report;
mod resource_store;
mod seams;
mod server;
mod telemetry;
mod turns;

pub use context::{Context, Namespaces, Resources, SecretVersions};
pub use controller::{PASS_INTERVAL, PASS_TIMEOUT};
pub use gather::GatherError;
pub use ledger_store::{Home, LedgerError, Ledgers};
pub use metrics::Metrics;
pub use reconcile::{Memory, PassError, pass};
pub use report::{FINALIZER, ORPHAN, ReportError};
pub use resource_store::ResourceStore;
pub use seams::{Clock, Credentials, Fence, Judge, Seams, Wire};
pub use turns::{Turn, Turns};

use clap::Parser;
use commands::output::{emit, say};

/// The program `milvus-operator`.
pub fn main() -> std::process::ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    // One TLS provider for everything; a second installation can only mean that one is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match commands::dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            say(format!("error: {}", telemetry::chain(error.as_ref())));
            std::process::ExitCode::FAILURE
        }
    }
}

/// Help and version to standard output; what is wrong with the command line to standard error, without advice that cannot know
/// what was meant.
fn usage(error: &clap::Error) -> std::process::ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("tip: "))
            .collect();
        say(lines.join("\n").replace("\n\n\n", "\n\n"));
        return std::process::ExitCode::from(2);
    }
    match emit(&text) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            say(format!("error: print the result: {error}"));
            std::process::ExitCode::FAILURE
        }
    }
}
