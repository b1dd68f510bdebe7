//! `version`: what this program is.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

/// Flags of `version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Output.
    #[arg(short, long, value_enum, default_value_t = VersionOutput::Text)]
    pub output: VersionOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VersionOutput {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Prints it.
pub(crate) fn version(args: &VersionArgs) -> std::io::Result<ExitCode> {
    super::emit(&text(args.output))?;
    Ok(ExitCode::SUCCESS)
}

fn text(output: VersionOutput) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let api = format!("{}/{}", milvus_crds::GROUP, milvus_crds::VERSION);
    let gateway = crate::cli::GATEWAY_IMAGE;
    let target = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    match output {
        VersionOutput::Text => {
            format!("milvus-operator {version} ({target})\nAPI:     {api}\ngateway: {gateway}\n")
        }
        VersionOutput::Json => {
            let fields = json!({ "version": version, "platform": target, "apiVersion": api, "gatewayImage": gateway });
            format!("{fields:#}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_can_read_it() {
        let value: serde_json::Value =
            serde_json::from_str(&text(VersionOutput::Json)).expect("json");
        assert_eq!(value["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(value["apiVersion"], "operator.milvus.io/v1beta1");
        assert!(text(VersionOutput::Text).starts_with("milvus-operator "));
    }
}
