//! The binary `milvus-operator`: command line, wiring, the reconcile loop. Decisions live in `milvus-core`; this room only
//! reads, calls, writes and reports.

mod cli;
mod commands;
mod context;
mod controller;
mod definition;
mod execute;
mod gather;
mod keys;
mod leader;
mod ledger_store;
mod metrics;
mod outside;
mod reconcile;
mod report;
mod server;
mod telemetry;
mod turns;

use clap::Parser;

fn main() -> std::process::ExitCode {
    let cli = cli::Cli::parse();
    // One TLS provider for everything; a second installation can only mean that one is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match commands::dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", telemetry::chain(error.as_ref()));
            std::process::ExitCode::FAILURE
        }
    }
}
