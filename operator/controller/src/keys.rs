//! Key material of the operator's API: the authority, what it signs, and the key that seals stored Secrets. May touch files,
//! the system's random source and its clock.
//!
//! Only two things are kept: the authority (certificate and key in one PEM text) and the sealing key. The server's certificate
//! is signed at every start, so it always has the names asked for and never expires on disk. The two are kept apart because
//! they age apart: a new authority only asks for new kubeconfigs, a new sealing key would lose every stored Secret.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use milvus_apiserver::auth::MASTERS;
use milvus_apiserver::pki::{self, Credentials, Pair, PkiError};
use rand::{TryRngCore, rngs::OsRng};
use x509_parser::pem::parse_x509_pem;
use zeroize::Zeroizing;

/// Where keys are kept on a host when nothing else is said.
pub(crate) const DEFAULT_DIRECTORY: &str = "/var/lib/milvus-operator";
/// File (in the directory, or mounted) with the authority: its certificate, then its key.
pub(crate) const AUTHORITY_FILE: &str = "milvus-operator-keys";
/// File (in the directory, or mounted) with the sealing key: 64 hexadecimal digits.
pub(crate) const SEALING_FILE: &str = "milvus-operator-seal";
/// Name that the admin's certificate carries.
const ADMIN: &str = "milvus-operator-admin";
/// Name of cluster, user and context in kubeconfigs.
const KUBECONFIG: &str = "milvus-operator";
/// Names that reach the API from its own machine.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// People are warned this long before the authority ends.
const WARN_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("API address {name:?}: a DNS name or an IP address is needed, without a port")]
    Name { name: String },
    #[error("make a random key: the system gives no random bytes")]
    Random,
    #[error("{what} cannot be read: {problem}; restore the file or secret from a backup")]
    Damaged { what: &'static str, problem: String },
    #[error(
        "{directory} has an authority but no {SEALING_FILE}: without it stored Secrets stay closed; restore that file, or remove \
         {AUTHORITY_FILE} too to start with new keys"
    )]
    SealingKeyMissing { directory: PathBuf },
    #[error(
        "others can read {path}: run chmod 600 on it, and replace the keys if another user may have read them"
    )]
    Exposed { path: PathBuf },
    #[error("{operation} {path}")]
    File {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The API's keys, with a server certificate for the names asked for.
pub(crate) struct Keys {
    authority: Pair,
    server: Pair,
    sealing: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("authority", &self.authority.certificate)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Keys from `path`: a directory (made and filled when it is missing) or a mounted authority file, beside which
    /// [`SEALING_FILE`] lies. `names` are further names and addresses in the server's certificate.
    pub(crate) fn open(path: &Path, names: &[String]) -> Result<Self, KeysError> {
        if !path.is_file() {
            return Self::load_or_create(path, names);
        }
        let sealing = path.with_file_name(SEALING_FILE);
        Self::from_bundle(&read(path)?, &read(&sealing)?, names)
    }

    /// Keys from a directory of a host. What is missing is made: two processes that start at once end up with the same keys.
    pub(crate) fn load_or_create(directory: &Path, names: &[String]) -> Result<Self, KeysError> {
        let failed = |operation| {
            move |source| KeysError::File {
                operation,
                path: directory.to_owned(),
                source,
            }
        };
        if !directory.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(failed("make directory"))?;
        }
        let (authority_file, sealing_file) =
            (directory.join(AUTHORITY_FILE), directory.join(SEALING_FILE));
        if authority_file.exists() && !sealing_file.exists() {
            return Err(KeysError::SealingKeyMissing {
                directory: directory.to_owned(),
            });
        }
        // The sealing key first: whoever has an authority then has a sealing key too, also when cut off in between.
        let sealing = kept(&sealing_file, || Ok(sealing_text(&*random_key()?)))?;
        let authority = kept(&authority_file, || Ok(authority_text(&new_authority()?)))?;
        Self::from_bundle(&authority, &sealing, names)
    }

    /// Keys from the texts of the two secrets.
    pub(crate) fn from_bundle(
        authority: &str,
        sealing: &str,
        names: &[String],
    ) -> Result<Self, KeysError> {
        let authority = read_authority(authority)?;
        let sealing = read_sealing(sealing)?;
        let server = pki::create_server(&authority, &server_names(names)?)?;
        let keys = Self {
            authority,
            server,
            sealing,
        };
        let ends = keys.expires()?;
        if ends.duration_since(Timestamp::now()) < WARN_BEFORE {
            tracing::warn!(%ends, "the authority of the API ends soon, and every kubeconfig with it: make a new one (install with --rotate-keys)");
        }
        Ok(keys)
    }

    /// New keys, kept nowhere.
    pub(crate) fn generate(names: &[String]) -> Result<Self, KeysError> {
        let authority = new_authority()?;
        let server = pki::create_server(&authority, &server_names(names)?)?;
        Ok(Self {
            authority,
            server,
            sealing: random_key()?,
        })
    }

    /// The text of the authority's secret. Secret.
    pub(crate) fn authority_text(&self) -> Zeroizing<String> {
        authority_text(&self.authority)
    }

    /// The text of the sealing key's secret. Secret.
    pub(crate) fn sealing_text(&self) -> Zeroizing<String> {
        sealing_text(&self.sealing)
    }

    /// Certificate of the authority, PEM: what clients trust, and whose client certificates the API takes.
    pub(crate) fn authority(&self) -> &str {
        &self.authority.certificate
    }

    /// TLS of the API server: its certificate, and client certificates of the authority.
    pub(crate) fn server_config(&self) -> Result<Arc<rustls::ServerConfig>, KeysError> {
        Ok(Arc::new(pki::server_config(
            &self.server,
            self.authority(),
        )?))
    }

    /// The key that seals stored Secrets.
    pub(crate) fn sealing_key(&self) -> &[u8; 32] {
        &self.sealing
    }

    /// When the authority, and all that it signed, ends.
    pub(crate) fn expires(&self) -> Result<Timestamp, KeysError> {
        expires(&self.authority.certificate)
    }

    /// A kubeconfig for an administrator, with a client certificate signed now. Secret.
    pub(crate) fn kubeconfig(&self, server: &str) -> Result<Zeroizing<String>, KeysError> {
        let admin = pki::create_client(&self.authority, ADMIN, MASTERS)?;
        let credentials = Credentials::Certificate(&admin);
        Ok(Zeroizing::new(pki::kubeconfig(
            KUBECONFIG,
            server,
            self.authority(),
            credentials,
        )))
    }
}

/// The authority in keys that are there already (see [`Keys::open`]), to sign client certificates. Makes nothing.
pub(crate) struct ClientAuthority(Pair);

impl ClientAuthority {
    /// Reads it.
    pub(crate) fn open(path: &Path) -> Result<Self, KeysError> {
        let file = if path.is_dir() {
            path.join(AUTHORITY_FILE)
        } else {
            path.to_owned()
        };
        Ok(Self(read_authority(&read(&file)?)?))
    }

    /// When the authority, and all that it signed, ends.
    pub(crate) fn expires(&self) -> Result<Timestamp, KeysError> {
        expires(&self.0.certificate)
    }

    /// A kubeconfig with a client certificate signed now. Secret.
    pub(crate) fn kubeconfig(
        &self,
        server: &str,
        user: &str,
        group: &str,
        lifetime: Duration,
    ) -> Result<Zeroizing<String>, KeysError> {
        let client = pki::create_client_for(&self.0, user, group, lifetime)?;
        Ok(Zeroizing::new(pki::kubeconfig(
            KUBECONFIG,
            server,
            &self.0.certificate,
            Credentials::Certificate(&client),
        )))
    }
}

/// Whether a kubeconfig was made by [`Keys::kubeconfig`] and holds nothing else.
pub(crate) fn is_own_kubeconfig(text: &str) -> bool {
    kube::config::Kubeconfig::from_yaml(text).is_ok_and(|config| {
        config.clusters.iter().all(|c| c.name == KUBECONFIG)
            && config.auth_infos.iter().all(|u| u.name == KUBECONFIG)
            && config.contexts.iter().all(|c| c.name == KUBECONFIG)
    })
}

/// The address of the API for clients: of `name`, which may be an IPv6 address.
pub(crate) fn api_url(name: &str, port: u16) -> String {
    match name.parse() {
        Ok(std::net::IpAddr::V6(address)) => format!("https://[{address}]:{port}"),
        _ => format!("https://{name}:{port}"),
    }
}

/// Writes a file that only its owner can read. A reader sees the old content or the new, never a part.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<(), KeysError> {
    let temporary = write_beside(path, content)?;
    std::fs::rename(&temporary, path)
        .inspect_err(|_| remove_quietly(&temporary))
        .map_err(|source| KeysError::File {
            operation: "replace",
            path: path.to_owned(),
            source,
        })
}

/// Tells whether a certificate can carry a name: an IP address or a DNS name, which may begin with `*.`.
pub(crate) fn check_name(name: &str) -> Result<(), KeysError> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let host = name.strip_prefix("*.").unwrap_or(name);
    if name.parse::<std::net::IpAddr>().is_ok() || (host.len() <= 253 && host.split('.').all(label))
    {
        return Ok(());
    }
    Err(KeysError::Name {
        name: name.to_owned(),
    })
}

fn server_names(names: &[String]) -> Result<Vec<String>, KeysError> {
    let mut all: Vec<String> = LOCAL_NAMES.iter().map(|name| (*name).to_owned()).collect();
    for name in names {
        let name = name.trim_matches(['[', ']']);
        check_name(name)?;
        all.push(name.to_owned());
    }
    all.sort();
    all.dedup();
    Ok(all)
}

fn new_authority() -> Result<Pair, KeysError> {
    // A name of its own for each: clients choose issuers by name, and a new authority must not be taken for the old one.
    Ok(pki::create_ca(&format!(
        "milvus-operator {}",
        uuid::Uuid::new_v4().simple()
    ))?)
}

fn expires(certificate: &str) -> Result<Timestamp, KeysError> {
    let damaged = |problem: &str| KeysError::Damaged {
        what: "the authority's certificate",
        problem: problem.to_owned(),
    };
    let (_, pem) = parse_x509_pem(certificate.as_bytes()).map_err(|_| damaged("it is not PEM"))?;
    let parsed = pem
        .parse_x509()
        .map_err(|_| damaged("it is no X.509 certificate"))?;
    let seconds = parsed.validity().not_after.timestamp();
    Timestamp::from_second(seconds)
        .map_err(|_| damaged("its validity ends outside of the calendar"))
}

fn authority_text(authority: &Pair) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "{}\n{}\n",
        authority.certificate.trim_end(),
        authority.key.trim_end()
    ))
}

fn read_authority(text: &str) -> Result<Pair, KeysError> {
    let damaged = |problem: &str| KeysError::Damaged {
        what: "the authority",
        problem: problem.to_owned(),
    };
    let block = |kind: &str| {
        let (begin, end) = (
            format!("-----BEGIN {kind}-----"),
            format!("-----END {kind}-----"),
        );
        let start = text.find(&begin)?;
        let length = text.get(start..)?.find(&end)? + end.len();
        text.get(start..start + length)
            .map(|block| format!("{block}\n"))
    };
    let certificate =
        block("CERTIFICATE").ok_or_else(|| damaged("it has no certificate in PEM"))?;
    let key =
        block("PRIVATE KEY").ok_or_else(|| damaged("it has no private key in PEM (PKCS #8)"))?;
    Ok(Pair { certificate, key })
}

fn random_key() -> Result<Zeroizing<[u8; 32]>, KeysError> {
    let mut key = Zeroizing::new([0; 32]);
    OsRng
        .try_fill_bytes(key.as_mut())
        .map_err(|_| KeysError::Random)?;
    Ok(key)
}

fn sealing_text(key: &[u8; 32]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    text
}

fn read_sealing(text: &str) -> Result<Zeroizing<[u8; 32]>, KeysError> {
    let damaged = || KeysError::Damaged {
        what: "the sealing key",
        problem: "64 hexadecimal digits are needed".to_owned(),
    };
    let digits: Zeroizing<Vec<u8>> = Zeroizing::new(
        text.trim()
            .chars()
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()
            .ok_or_else(damaged)?,
    );
    if digits.len() != 64 {
        return Err(damaged());
    }
    let mut key = Zeroizing::new([0; 32]);
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        *byte = pair.iter().fold(0, |value, digit| value << 4 | digit);
    }
    Ok(key)
}

/// The content of a key file, which is made first when it is missing. Never replaces one that is there.
fn kept(
    path: &Path,
    make: impl FnOnce() -> Result<Zeroizing<String>, KeysError>,
) -> Result<Zeroizing<String>, KeysError> {
    if !path.exists() {
        let temporary = write_beside(path, &make()?)?;
        // A link fails if somebody else was faster; theirs is then used.
        let linked = std::fs::hard_link(&temporary, path);
        remove_quietly(&temporary);
        match linked {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(KeysError::File {
                    operation: "make",
                    path: path.to_owned(),
                    source,
                });
            }
            _ => {}
        }
    }
    let metadata = std::fs::metadata(path).map_err(|source| KeysError::File {
        operation: "look at",
        path: path.to_owned(),
        source,
    })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeysError::Exposed {
            path: path.to_owned(),
        });
    }
    read(path)
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeysError> {
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| KeysError::File {
            operation: "read",
            path: path.to_owned(),
            source,
        })
}

/// Writes a file that nobody else can read, beside `path`, flushed to the disk.
fn write_beside(path: &Path, content: &str) -> Result<PathBuf, KeysError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    let temporary = path.with_file_name(name);
    let written = || -> io::Result<()> {
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(content.as_bytes())?;
        file.sync_all()
    };
    written()
        .inspect_err(|_| remove_quietly(&temporary))
        .map_err(|source| KeysError::File {
            operation: "write",
            path: path.to_owned(),
            source,
        })?;
    Ok(temporary)
}

/// A temporary file that cannot be removed is left: there is nothing better to do, and the cause has been reported already.
fn remove_quietly(path: &Path) {
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests;
