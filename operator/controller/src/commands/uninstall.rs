//! `uninstall`: takes the operator off a platform. Clusters go on without it; what else stays is said at the end.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use milvus_swarm::installation::{Installation, InstallationError, SERVICE};

use super::ending::{self, Ending};

use crate::commands::output::say;

/// Flags of `uninstall`.
#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    #[command(subcommand)]
    pub platform: UninstallPlatform,
}

/// Where from.
#[derive(Debug, Subcommand)]
pub(crate) enum UninstallPlatform {
    /// Remove the operator's service from a Docker Swarm.
    Swarm(SwarmArgs),
}

/// Flags of `uninstall swarm`.
#[derive(Debug, Args)]
pub(crate) struct SwarmArgs {
    /// The engine of a Swarm manager: `unix:///var/run/docker.sock`, `tcp://host:2376` (TLS where DOCKER_TLS_VERIFY is set, with
    /// ca.pem, cert.pem and key.pem of DOCKER_CERT_PATH), `ssh://user@host`, `context:NAME` (a docker context).
    #[arg(
        long,
        env = "DOCKER_HOST",
        default_value = "unix:///var/run/docker.sock"
    )]
    pub docker_host: String,
    /// Remove every stored resource too: MilvusClusters, Secrets, and the ledgers that tell which volume belongs to whom.
    #[arg(long)]
    pub purge_store: bool,
    /// Remove the API's authority and the key that opens stored Secrets too.
    #[arg(long)]
    pub purge_keys: bool,
    /// Really do what --purge-store and --purge-keys ask for.
    #[arg(long)]
    pub yes: bool,
    /// Purge although clusters are there, or although stored Secrets can then never be opened.
    #[arg(long)]
    pub force: bool,
}

/// Why the operator could not be removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UninstallError {
    #[error(transparent)]
    Swarm(#[from] InstallationError),
    #[error(
        "--purge-store would forget the clusters that are there ({clusters}): they could not be repaired or deleted any more; \
         delete them first (kubectl delete milvusclusters --all -A), or add --force"
    )]
    Clusters { clusters: String },
    #[error(
        "--purge-keys alone would leave {records} stored records, and no Secret among them could be opened again; add \
         --purge-store or --force"
    )]
    Sealed { records: usize },
    #[error("this cannot be undone: {what} would be removed; run it again with --yes")]
    Unconfirmed { what: String },
    #[error(
        "not ended: {words}; so nothing was purged: bring the node back or remove it with docker node rm, then run it again"
    )]
    StillRunning { words: String },
}

/// What is there.
struct Present {
    clusters: BTreeMap<String, usize>,
    stored: BTreeMap<String, String>,
    keys: usize,
}

/// Removes the operator.
pub(crate) async fn uninstall(args: UninstallArgs) -> Result<ExitCode, UninstallError> {
    let UninstallPlatform::Swarm(args) = args.platform;
    let swarm = Installation::connect(&args.docker_host).await?;
    let secrets = swarm.secrets().await?;
    let present = Present {
        clusters: swarm.clusters().await?,
        stored: swarm.stored().await?,
        keys: secrets.authorities.len() + usize::from(secrets.sealing.is_some()),
    };
    // What is refused is refused before anything is touched.
    permit(&args, &present)?;
    if swarm.remove().await? {
        say(format!("service {SERVICE} removed"));
    } else {
        say(format!("service {SERVICE} was not there"));
    }
    let purge = args.purge_store || args.purge_keys;
    match ending::wait(&swarm).await? {
        Ending::Ended => {}
        // A running operator would write its records again, and it holds its secrets.
        Ending::Left { words } if purge => return Err(UninstallError::StillRunning { words }),
        Ending::Left { words } => say(format!("warning: not ended: {words}")),
    }
    if args.purge_store {
        // Looked for again: the operator may have written until it ended.
        let stored = swarm.stored().await?;
        swarm.remove_stored(&stored).await?;
        say(format!("{} stored records removed", stored.len()));
    }
    if args.purge_keys {
        for name in swarm.remove_secrets().await? {
            say(format!("secret {name} removed"));
        }
    }
    say(what_stays(&args, &present).trim_end_matches('\n'));
    Ok(ExitCode::SUCCESS)
}

fn permit(args: &SwarmArgs, present: &Present) -> Result<(), UninstallError> {
    if args.purge_store && !present.clusters.is_empty() && !args.force {
        let clusters: Vec<&str> = present.clusters.keys().map(String::as_str).collect();
        return Err(UninstallError::Clusters {
            clusters: clusters.join(", "),
        });
    }
    if args.purge_keys && !args.purge_store && !present.stored.is_empty() && !args.force {
        return Err(UninstallError::Sealed {
            records: present.stored.len(),
        });
    }
    let mut what = Vec::new();
    if args.purge_store && !present.stored.is_empty() {
        what.push(format!("{} stored records", present.stored.len()));
    }
    if args.purge_keys && present.keys > 0 {
        what.push(format!("{} secrets with keys", present.keys));
    }
    if what.is_empty() || args.yes {
        return Ok(());
    }
    Err(UninstallError::Unconfirmed {
        what: what.join(" and "),
    })
}

fn what_stays(args: &SwarmArgs, present: &Present) -> String {
    let mut lines = Vec::new();
    for (cluster, services) in &present.clusters {
        lines.push(format!(
            "cluster {cluster} ({services} services) and its volumes; it is not repaired any more"
        ));
    }
    if !args.purge_store && !present.stored.is_empty() {
        lines.push(format!(
            "{} stored records (resources, ledgers, Secrets), found again by the next installation",
            present.stored.len()
        ));
    }
    if !args.purge_keys && present.keys > 0 {
        lines.push("the keys: kubeconfigs stay valid for the next installation".to_owned());
    }
    if args.purge_store {
        lines.push("volumes of deleted clusters: nothing remembers them now; see docker volume ls on each node".to_owned());
    }
    if lines.is_empty() {
        return "nothing of the operator stays\n".to_owned();
    }
    let mut text = "what stays:\n".to_owned();
    for line in lines {
        text.push_str(&format!("  - {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(flags: &str) -> SwarmArgs {
        SwarmArgs {
            docker_host: "unix:///var/run/docker.sock".to_owned(),
            purge_store: flags.contains("store"),
            purge_keys: flags.contains("keys"),
            yes: flags.contains("yes"),
            force: flags.contains("force"),
        }
    }

    fn present(clusters: &[&str], stored: usize, keys: usize) -> Present {
        Present {
            clusters: clusters.iter().map(|c| ((*c).to_owned(), 3)).collect(),
            stored: (0..stored)
                .map(|n| (format!("record-{n}"), format!("id-{n}")))
                .collect(),
            keys,
        }
    }

    #[test]
    fn purging_is_permitted_only_when_nothing_is_orphaned_and_it_was_confirmed() {
        let allowed =
            |flags: &str, there: &Present| permit(&args(flags), there).map_err(|e| e.to_string());
        let full = present(&["default/demo"], 4, 2);
        assert_eq!(allowed("", &full), Ok(()));
        assert!(
            allowed("store yes", &full)
                .expect_err("clusters")
                .contains("default/demo")
        );
        assert!(
            allowed("store", &present(&[], 4, 2))
                .expect_err("unconfirmed")
                .contains("4 stored records")
        );
        assert_eq!(allowed("store yes", &present(&[], 4, 2)), Ok(()));
        assert!(
            allowed("keys yes", &present(&[], 4, 2))
                .expect_err("sealed")
                .contains("4 stored records")
        );
        assert_eq!(allowed("keys yes", &present(&[], 0, 2)), Ok(()));
        assert!(
            allowed("keys store force", &full)
                .expect_err("force is no confirmation")
                .contains("2 secrets")
        );
        assert_eq!(allowed("keys store force yes", &full), Ok(()));
        assert_eq!(
            allowed("keys store", &present(&[], 0, 0)),
            Ok(()),
            "nothing to confirm"
        );
    }

    #[test]
    fn what_stays_is_said() {
        insta::assert_snapshot!(
            "stays",
            what_stays(&args(""), &present(&["default/demo"], 4, 2))
        );
        insta::assert_snapshot!(
            "stays_after_purge",
            what_stays(&args("store keys"), &present(&[], 4, 2))
        );
        assert_eq!(
            what_stays(&args(""), &present(&[], 0, 0)),
            "nothing of the operator stays\n"
        );
    }
}
