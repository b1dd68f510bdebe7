//! `completion`: prints a script for a shell.

use std::process::ExitCode;

use clap::CommandFactory;

/// Prints it.
pub(crate) fn completion(shell: clap_complete::Shell) -> std::io::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut crate::cli::Cli::command(),
        "milvus-operator",
        &mut script,
    );
    super::emit(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
