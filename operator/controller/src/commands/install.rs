//! `install`: puts the operator on a platform, and upgrades the one that is there. Talks to the platform through its room only;
//! what it says goes to standard error, so that a kubeconfig or a stack file on standard output stays clean.

mod options;
mod ready;
mod registry;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use milvus_swarm::installation::{
    self, Applied, Installation, InstallationError, Secrets, compose,
};

use super::ending::{self, Ending};
use crate::commands::output::{emit, say};
use crate::keys::{self, Keys, KeysError};

pub(crate) use options::SwarmArgs;
use ready::NotReady;
use registry::RegistryError;

/// Flags of `install`.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    #[command(subcommand)]
    pub platform: InstallPlatform,
}

/// Where to.
#[derive(Debug, Subcommand)]
pub(crate) enum InstallPlatform {
    /// Run the operator as a service of a Docker Swarm. Again: upgrade it in place, with the keys it has.
    Swarm(Box<SwarmArgs>),
}

/// Why the operator could not be installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("print the result")]
    Print(#[from] std::io::Error),
    #[error(transparent)]
    Swarm(#[from] InstallationError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("{path} holds another configuration: name a new file with --write-kubeconfig")]
    KubeconfigTaken { path: PathBuf },
    #[error(
        "the Swarm has resources of an operator but not the secret {}, which opens their Secrets: restore it, or give the \
         resources up with: milvus-operator uninstall swarm --purge-store",
        installation::SEALING_SECRET
    )]
    SealingKeyLost,
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    NotReady(#[from] NotReady),
}

/// Installs or upgrades.
pub(crate) async fn install(args: InstallArgs) -> Result<ExitCode, InstallError> {
    match args.platform {
        InstallPlatform::Swarm(args) => swarm(&args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn swarm(args: &SwarmArgs) -> Result<(), InstallError> {
    for name in &args.api_addresses {
        keys::check_name(name)?;
    }
    if args.dry_run {
        // The file for a first installation: nothing is asked, so that it can be made anywhere.
        emit(&compose(&args.service(args.image.clone(), None, 1)))?;
        return Ok(());
    }
    let auth = if args.with_registry_auth {
        Some(registry::auth(&args.image)?)
    } else {
        None
    };
    let auth = auth.as_ref().map(|auth| auth.as_str());
    let swarm = Installation::connect(&args.docker_host).await?;
    if args.load {
        load(args, &swarm).await?;
    }
    let (generation, kubeconfig) = keep_keys(args, &swarm).await?;
    if args.secrets_only {
        say(format!(
            "the secrets are there; deploy the stack file with: docker stack deploy -c FILE {}",
            installation::STACK
        ));
        return Ok(());
    }
    // Where images are carried by hand there is no registry to ask.
    let image = if args.load {
        args.image.clone()
    } else {
        swarm.pin(&args.image, auth).await
    };
    let image_id = if image.contains('@') {
        None
    } else {
        installation::image_id(&args.docker_host, &image).await?
    };
    let service = args.service(image.clone(), image_id, generation);
    if swarm.state().await?.is_none()
        && let Ending::Left { words } = ending::wait(&swarm).await?
    {
        say(format!(
            "warning: an earlier operator has not ended: {words}"
        ));
    }
    let applied = swarm.apply(&service, auth).await?;
    match &applied {
        Applied::Created => say(format!(
            "service {} created from image {image}",
            installation::SERVICE
        )),
        Applied::Updated(fields) => say(format!(
            "service {} updated: {}",
            installation::SERVICE,
            fields.join(", ")
        )),
        Applied::Unchanged => say(format!("service {} is up to date", installation::SERVICE)),
    }
    if args.wait {
        ready::wait(
            args,
            &swarm,
            applied != Applied::Unchanged,
            kubeconfig.as_deref().map(String::as_str),
        )
        .await?;
        for name in swarm.remove_old_authorities().await? {
            say(format!(
                "secret {name} removed: a newer authority took its place"
            ));
        }
        next_steps(args, kubeconfig.is_some());
    }
    Ok(())
}

/// Carries both images to every engine named.
async fn load(args: &SwarmArgs, swarm: &Installation) -> Result<(), InstallError> {
    let from = args.image_from.as_deref().unwrap_or(&args.docker_host);
    let mut covered = vec![swarm.node().to_owned()];
    let mut targets: Vec<&str> = vec![&args.docker_host];
    targets.extend(
        args.load_to
            .iter()
            .map(String::as_str)
            .filter(|to| *to != args.docker_host),
    );
    for to in targets {
        for image in [&args.image, &args.gateway_image] {
            if from != to && installation::carry(from, to, image).await? {
                say(format!("image {image} loaded at {to}"));
            }
        }
        covered.push(installation::node_of(to).await?);
    }
    let missing = swarm.nodes_besides(&covered).await?;
    if !missing.is_empty() {
        say(format!(
            "warning: no images were loaded on {}: clusters cannot be reached through these nodes; name their engines with --load-to",
            missing.join(", ")
        ));
    }
    Ok(())
}

/// Makes the keys that are missing. Answers with the authority's generation and, where it is new, its kubeconfig.
async fn keep_keys(
    args: &SwarmArgs,
    swarm: &Installation,
) -> Result<(u32, Option<zeroize::Zeroizing<String>>), InstallError> {
    let Secrets {
        authorities,
        sealing,
    } = swarm.secrets().await?;
    if sealing.is_none() && !swarm.stored().await?.is_empty() {
        return Err(InstallError::SealingKeyLost);
    }
    let newest = authorities.keys().next_back().copied();
    let keys = match newest {
        Some(generation) if !args.rotate_keys && sealing.is_some() => {
            say("keys are kept; kubeconfigs made before stay valid (--rotate-keys makes new ones)");
            return Ok((generation, None));
        }
        _ => Keys::generate(&args.api_addresses)?,
    };
    if sealing.is_none() {
        swarm.add_sealing_key(&keys.sealing_text()).await?;
    }
    if let (Some(generation), false) = (newest, args.rotate_keys) {
        return Ok((generation, None));
    }
    // Written before the authority is kept: it cannot be made later, because a Swarm never gives a secret back.
    let url = keys::api_url(args.server_name(), args.api_listen().port());
    let kubeconfig = keys.kubeconfig(&url)?;
    write_kubeconfig(&args.write_kubeconfig, &kubeconfig)?;
    let generation = swarm.add_authority(&keys.authority_text()).await?;
    Ok((generation, Some(kubeconfig)))
}

fn write_kubeconfig(path: &Path, content: &str) -> Result<(), InstallError> {
    if path.as_os_str() == "-" {
        return Ok(emit(content)?);
    }
    // Only a file that we made ourselves is replaced: somebody's own configuration may hold more than this cluster.
    if let Ok(present) = std::fs::read_to_string(path)
        && !keys::is_own_kubeconfig(&present)
    {
        return Err(InstallError::KubeconfigTaken {
            path: path.to_owned(),
        });
    }
    keys::write_private(path, content)?;
    say(format!(
        "kubeconfig written to {} (keep it: it cannot be printed again)",
        path.display()
    ));
    Ok(())
}

fn next_steps(args: &SwarmArgs, first: bool) {
    let file = args.write_kubeconfig.display();
    say("\nnext:");
    match (first, args.write_kubeconfig.as_os_str() == "-") {
        (true, false) => say(format!("  export KUBECONFIG={file}")),
        (true, true) => say("  export KUBECONFIG=FILE   (what was printed)"),
        (false, _) => say("  export KUBECONFIG=FILE   (the one of the first installation)"),
    }
    say("  kubectl apply -f milvus.yaml\n  kubectl get milvusclusters -w");
    if args.api_addresses.is_empty() {
        say(
            "the API answers on loopback of the operator's own node only; --api-address NAME opens it to others",
        );
    }
}
