//! `crd`: prints the definition of MilvusCluster.

use std::process::ExitCode;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CrdError {
    #[error(transparent)]
    Yaml(#[from] milvus_crds::CrdYamlError),
    #[error("print the definition")]
    Print(#[from] std::io::Error),
}

/// Prints it.
pub(crate) fn crd() -> Result<ExitCode, CrdError> {
    super::emit(&milvus_crds::crd_yaml()?)?;
    Ok(ExitCode::SUCCESS)
}
