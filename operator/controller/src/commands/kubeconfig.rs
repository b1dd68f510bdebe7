//! `kubeconfig`: access to the operator's own API for one more user.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use jiff::Timestamp;
use milvus_apiserver::auth::{ADMIN, EDIT, VIEW};
use zeroize::Zeroizing;

use crate::commands::output::say;
use crate::keys::{self, AUTHORITY_FILE, ClientAuthority, KeysError};

/// Where an installed operator has its keys.
const MOUNTED: &str = "/run/secrets";
/// The longest name that a certificate can carry.
const NAME_LENGTH: usize = 64;

/// Flags of `kubeconfig`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
An installed operator has its keys as Swarm secrets, which only its own container can read. On the node where it runs:

  docker exec $(docker ps -qf label=com.docker.swarm.service.name=milvus-operator_operator) /milvus-operator kubeconfig \\
    --user NAME --group milvus:view --server https://ADDRESS:6443 > NAME.kubeconfig

A certificate cannot be taken back before it ends: install with --rotate-keys makes all kubeconfigs void.")]
pub(crate) struct KubeconfigArgs {
    /// Name of the user, as messages of the API show it.
    #[arg(long, value_parser = user)]
    pub user: String,
    /// What the user may do. milvus:view: read all but Secrets; milvus:edit: read and write all but namespaces;
    /// milvus:admin: everything.
    #[arg(long, value_parser = PossibleValuesParser::new([VIEW, EDIT, ADMIN]))]
    pub group: String,
    /// How long the certificate is valid: days or hours, such as 90d or 12h.
    #[arg(long, default_value = "90d", value_parser = validity)]
    pub valid: Duration,
    /// Address of the API; one of its certificate's names (`--api-address` of the installation).
    #[arg(long, default_value = "https://127.0.0.1:6443")]
    pub server: String,
    /// Directory with the API's keys, or file with its authority. Default: /run/secrets/milvus-operator-keys if it is there,
    /// then /var/lib/milvus-operator.
    #[arg(long, env = "MILVUS_OPERATOR_KEYS")]
    pub keys: Option<PathBuf>,
    /// File to write, readable for its owner alone; `-` for standard output.
    #[arg(short, long, default_value = "-")]
    pub file: PathBuf,
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeconfigError {
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(
        "--valid: the API's authority ends at {ends}, and with it every certificate; choose a shorter time, or make a new authority (install with --rotate-keys)"
    )]
    TooLong { ends: Timestamp },
    #[error("print the kubeconfig")]
    Print(#[source] std::io::Error),
}

fn user(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().count() > NAME_LENGTH {
        return Err(format!("between 1 and {NAME_LENGTH} characters are needed"));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("must hold no spaces".to_owned());
    }
    if text.starts_with("system:") {
        return Err("names that begin with system: are the operator's own".to_owned());
    }
    Ok(text.to_owned())
}

fn validity(text: &str) -> Result<Duration, String> {
    let hint = || "write days or hours, such as 90d or 12h; at most 3650d".to_owned();
    let (digits, hours) = if let Some(days) = text.strip_suffix('d') {
        (days, 24)
    } else {
        (text.strip_suffix('h').ok_or_else(hint)?, 1)
    };
    let number: u64 = digits.parse().map_err(|_| hint())?;
    match number.checked_mul(hours) {
        Some(hours @ 1..=87_600) => Ok(Duration::from_secs(hours * 3600)),
        _ => Err(hint()),
    }
}

/// Makes it.
pub(crate) fn kubeconfig(args: &KubeconfigArgs) -> Result<ExitCode, KubeconfigError> {
    let text = made(args)?;
    if args.file.as_os_str() == "-" {
        super::emit(&text).map_err(KubeconfigError::Print)?;
    } else {
        keys::write_private(&args.file, &text)?;
        say(format_args!(
            "kubeconfig written to {}",
            args.file.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn made(args: &KubeconfigArgs) -> Result<Zeroizing<String>, KubeconfigError> {
    let mounted = Path::new(MOUNTED).join(AUTHORITY_FILE);
    let path = match &args.keys {
        Some(path) => path.clone(),
        None if mounted.is_file() => mounted,
        None => PathBuf::from(keys::DEFAULT_DIRECTORY),
    };
    let authority = ClientAuthority::open(&path)?;
    let ends = authority.expires()?;
    let left = ends.duration_since(Timestamp::now());
    // A client whose certificate outlives the authority would be refused without a word why.
    if Duration::try_from(left).unwrap_or_default() < args.valid {
        return Err(KubeconfigError::TooLong { ends });
    }
    Ok(authority.kubeconfig(&args.server, &args.user, &args.group, args.valid)?)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use clap::Parser;
    use x509_parser::pem::parse_x509_pem;

    use super::*;
    use crate::keys::Keys;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: KubeconfigArgs,
    }

    fn line(flags: &[&str]) -> Result<KubeconfigArgs, clap::Error> {
        let all = std::iter::once("x").chain(flags.iter().copied());
        Line::try_parse_from(all).map(|line| line.args)
    }

    #[test]
    fn a_viewer_s_certificate_is_signed_by_the_api_s_authority() {
        let root = tempfile::tempdir().expect("tempdir");
        let keys = Keys::load_or_create(root.path(), &[]).expect("keys");
        let path = root.path().to_str().expect("path");
        let flags = [
            "--user=ann",
            "--group=milvus:view",
            "--valid=2d",
            "--keys",
            path,
        ];
        let text = made(&line(&flags).expect("flags")).expect("kubeconfig");
        let config: serde_json::Value = serde_saphyr::from_str(&text).expect("yaml");
        let user = &config["users"][0]["user"];
        let pem = STANDARD
            .decode(
                user["client-certificate-data"]
                    .as_str()
                    .expect("certificate"),
            )
            .expect("base64");
        let (_, pem) = parse_x509_pem(&pem).expect("pem");
        let certificate = pem.parse_x509().expect("x509");
        assert_eq!(certificate.subject().to_string(), "CN=ann, O=milvus:view");
        let lasts = certificate.validity().not_after.timestamp() - Timestamp::now().as_second();
        assert!((2 * 86_400 - 60..=2 * 86_400).contains(&lasts), "{lasts}");
        let (_, authority) = parse_x509_pem(keys.authority().as_bytes()).expect("pem");
        let authority = authority.parse_x509().expect("x509");
        assert!(
            certificate
                .verify_signature(Some(authority.public_key()))
                .is_ok()
        );

        let flags = [
            "--user=ann",
            "--group=milvus:view",
            "--valid=3650d",
            "--keys",
            path,
        ];
        let error = made(&line(&flags).expect("flags")).expect_err("too long");
        assert!(matches!(error, KubeconfigError::TooLong { .. }), "{error}");
    }

    #[test]
    fn nothing_is_made_where_there_are_no_keys() {
        let root = tempfile::tempdir().expect("tempdir");
        let path = root.path().to_str().expect("path");
        let flags = ["--user=ann", "--group=milvus:edit", "--keys", path];
        assert!(made(&line(&flags).expect("flags")).is_err());
        assert_eq!(
            std::fs::read_dir(root.path()).expect("directory").count(),
            0
        );
    }

    #[test]
    fn what_cannot_be_is_refused_at_the_flag() {
        for wrong in [
            "--valid=0d",
            "--valid=90",
            "--valid=18446744073709551615d",
            "--valid=3651d",
            "--user=",
            "--user=system:x",
            "--user=a b",
            "--group=system:masters",
        ] {
            let mut flags = vec!["--user=ann", "--group=milvus:view"];
            let name = wrong.split('=').next().expect("name");
            flags.retain(|flag| !flag.starts_with(name));
            flags.push(wrong);
            assert!(line(&flags).is_err(), "{wrong}");
        }
        assert!(line(&["--user=ann", "--group=milvus:admin", "--valid=12h"]).is_ok());
    }
}
