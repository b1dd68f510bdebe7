//! Credentials of an image's registry, from the file in which `docker login` keeps them. Reads that file, nothing else.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The name under which the public registry's credentials are kept.
const PUBLIC: &str = "https://index.docker.io/v1/";

/// Why credentials could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error("read {path}: run docker login first")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is not understood")]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{path} has no credentials for {registry}: run docker login {registry}")]
    None { path: PathBuf, registry: String },
    #[error(
        "{path} leaves the credentials for {registry} to a credential helper, which this program does not call: use a \
         DOCKER_CONFIG without credsStore, or load the image with --load"
    )]
    Helper { path: PathBuf, registry: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct File {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    /// Base64 of `user:password`.
    auth: String,
    identitytoken: String,
}

/// The value of the engine's `X-Registry-Auth` for an image. Secret.
pub(super) fn auth(image: &str) -> Result<Zeroizing<String>, RegistryError> {
    let directory = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".docker");
    auth_from(&directory.unwrap_or_else(home).join("config.json"), image)
}

fn auth_from(path: &Path, image: &str) -> Result<Zeroizing<String>, RegistryError> {
    let path = path.to_owned();
    let text = std::fs::read_to_string(&path)
        .map(Zeroizing::new)
        .map_err(|source| RegistryError::Read {
            path: path.clone(),
            source,
        })?;
    let file: File = serde_json::from_str(&text).map_err(|source| RegistryError::Parse {
        path: path.clone(),
        source,
    })?;
    let registry = registry_of(image).to_owned();
    let entry = file
        .auths
        .get(&registry)
        .or_else(|| file.auths.get(&format!("https://{registry}")));
    let login = entry.and_then(|entry| {
        let decoded = Zeroizing::new(BASE64_STANDARD.decode(&entry.auth).ok()?);
        let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        let login = match entry.identitytoken.as_str() {
            "" => json!({ "username": user, "password": password, "serveraddress": registry }),
            token => json!({ "username": user, "identitytoken": token, "serveraddress": registry }),
        };
        Some(Zeroizing::new(login.to_string()))
    });
    match login {
        Some(login) => Ok(Zeroizing::new(BASE64_URL_SAFE.encode(login.as_bytes()))),
        None if file.creds_store.is_some() || file.cred_helpers.contains_key(&registry) => {
            Err(RegistryError::Helper { path, registry })
        }
        None => Err(RegistryError::None { path, registry }),
    }
}

/// The registry of an image: its first part, when that is a host and not a folder of the public registry.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => PUBLIC,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_the_host_in_front() {
        assert_eq!(
            registry_of("registry.example:5000/a/b:1"),
            "registry.example:5000"
        );
        assert_eq!(registry_of("localhost/a"), "localhost");
        assert_eq!(registry_of("milvusdb/milvus:v2.3.5"), PUBLIC);
        assert_eq!(registry_of("milvus-operator:dev"), PUBLIC);
    }

    #[test]
    fn a_login_is_found_or_the_way_to_it_is_told() {
        let root = tempfile::tempdir().expect("tempdir");
        let path = root.path().join("config.json");
        assert!(matches!(
            auth_from(&path, "r.example/a"),
            Err(RegistryError::Read { .. })
        ));
        let file = json!({
            "auths": { "r.example": { "auth": BASE64_STANDARD.encode("ann:pass:word") }, "empty.example": {} },
            "credHelpers": { "cloud.example": "cloud" },
        });
        std::fs::write(&path, file.to_string()).expect("write");
        let auth = auth_from(&path, "r.example/a:1").expect("login");
        let decoded: serde_json::Value =
            serde_json::from_slice(&BASE64_URL_SAFE.decode(auth.as_bytes()).expect("base64"))
                .expect("json");
        assert_eq!(
            decoded,
            json!({ "username": "ann", "password": "pass:word", "serveraddress": "r.example" })
        );
        assert!(matches!(
            auth_from(&path, "empty.example/a"),
            Err(RegistryError::None { .. })
        ));
        assert!(matches!(
            auth_from(&path, "cloud.example/a"),
            Err(RegistryError::Helper { .. })
        ));
        assert!(matches!(
            auth_from(&path, "milvus-operator:dev"),
            Err(RegistryError::None { .. })
        ));
    }
}
