//! The commands, one file each. What they print for programs goes to standard output, what they say to people to standard
//! error.

mod completion;
pub(crate) mod convert;
mod crd;
mod ending;
pub(crate) mod export;
pub(crate) mod install;
pub(crate) mod kubeconfig;
mod manifest;
pub(crate) mod output;
mod plan;
mod run;
pub(crate) mod uninstall;
mod validate;
pub(crate) mod version;

use std::error::Error;
use std::future::Future;
use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::telemetry;
use output::emit;

/// Runs the command asked for.
pub(crate) fn dispatch(cli: Cli) -> Result<ExitCode, Box<dyn Error>> {
    // Commands report what went wrong themselves; the API client's own words would come beside that.
    let filter = match cli.command {
        Command::Run(_) => cli.log,
        _ => format!("{},kube_client=off", cli.log),
    };
    telemetry::start(&filter, cli.log_format);
    Ok(match cli.command {
        Command::Run(args) => run::run(&args)?,
        Command::Crd => crd::crd()?,
        Command::Validate(args) => validate::validate(&args)?,
        Command::Plan(args) => plan::plan(&args)?,
        Command::Convert(args) => convert::convert(&args)?,
        Command::Install(args) => block_on(install::install(args))??,
        Command::Uninstall(args) => block_on(uninstall::uninstall(args))??,
        Command::Kubeconfig(args) => kubeconfig::kubeconfig(&args)?,
        Command::Export(args) => block_on(export::export(args))??,
        Command::Import(args) => block_on(export::import(args))??,
        Command::Version(args) => version::version(&args)?,
        Command::Completion { shell } => completion::completion(shell)?,
    })
}

/// Commands that only wait for answers need one thread.
fn block_on<F: Future>(command: F) -> std::io::Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command))
}
