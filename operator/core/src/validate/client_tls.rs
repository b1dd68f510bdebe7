//! TLS on the client port: what the configuration asks for, and where the certificates come from. Milvus reads them from files, whose
//! paths `config.tls` names, and ends at its start where one is missing. Pure.

use std::collections::BTreeSet;

use milvus_crds::{KubernetesComponent, MilvusClusterSpec, Mode};
use serde_json::{Map, Value};

use super::violations::Findings;
use super::{Input, Secret, secrets};
use crate::config::settings::find as setting;
use crate::reasons::Reason;
use crate::version::MilvusVersion;

/// TLS on the client port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Clients need a certificate too.
    pub mutual: bool,
    /// Files that the operator brings; none where the resource mounts a volume with them.
    pub files: Vec<TlsFile>,
}

/// One file of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFile {
    /// Name among the files of the cluster.
    pub name: &'static str,
    /// Where Milvus looks for it.
    pub path: String,
    /// What is in it.
    pub content: Secret,
}

const MODE: &str = "common.security.tlsMode";
const INTERNAL: &str = "common.security.internaltlsEnabled";
const SECRET: &str = "spec.tls.secretRef";
/// The first version whose roles speak TLS with each other.
const INTERNAL_SINCE: MilvusVersion = MilvusVersion::new(2, 5, 0);

/// A file that Milvus reads.
struct Wanted {
    /// Its key in `spec.config`.
    setting: &'static str,
    /// Its key in the Secret.
    key: &'static str,
    name: &'static str,
    /// The first mode that reads it.
    since: u64,
}

const FILES: [Wanted; 3] = [
    Wanted {
        setting: "tls.serverPemPath",
        key: "tls.crt",
        name: "tls-crt",
        since: 1,
    },
    Wanted {
        setting: "tls.serverKeyPath",
        key: "tls.key",
        name: "tls-key",
        since: 1,
    },
    Wanted {
        setting: "tls.caPemPath",
        key: "ca.crt",
        name: "tls-ca",
        since: 2,
    },
];

/// A whole number, in quotes or without.
fn number(value: &Value) -> Option<u64> {
    let quoted = || value.as_str()?.trim().parse().ok();
    value.as_u64().or_else(quoted)
}

fn truth(value: &Value) -> bool {
    value.as_bool() == Some(true)
        || value
            .as_str()
            .is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}

/// The component that serves clients, as the resource names it.
fn serving(mode: Option<Mode>) -> &'static str {
    match mode.unwrap_or_default() {
        Mode::Standalone => "standalone",
        Mode::Cluster => "proxy",
    }
}

/// The Secrets that certificates for the client port come from, with the path that names them.
pub(super) fn secrets(spec: &MilvusClusterSpec) -> Vec<(String, String)> {
    if let Some(tls) = &spec.tls {
        return vec![(tls.secret_ref.clone(), SECRET.to_owned())];
    }
    let field = volumes_field(serving(spec.mode));
    let names: BTreeSet<String> = certificate_keys(spec).into_iter().map(|(n, _)| n).collect();
    names.into_iter().map(|n| (n, field.clone())).collect()
}

/// Secrets and their keys that a resource mounts itself as certificates for the client port.
pub fn certificate_keys(spec: &MilvusClusterSpec) -> Vec<(String, String)> {
    let asked = setting(&spec.config, MODE).and_then(number).unwrap_or(0) > 0;
    let pod = spec.kubernetes.components.get(serving(spec.mode));
    let Some(pod) = pod.filter(|_| asked && spec.tls.is_none()) else {
        return Vec::new();
    };
    let paths = FILES
        .iter()
        .filter_map(|file| setting(&spec.config, file.setting)?.as_str());
    paths
        .filter_map(|path| mounted(pod, path)?.secret)
        .collect()
}

fn volumes_field(component: &str) -> String {
    format!("spec.kubernetes.components.{component}.volumes")
}

/// What is mounted at a path.
struct Mounted {
    /// The Secret and the key in it, where that is where the file comes from and can be told.
    secret: Option<(String, String)>,
}

/// The mount that a path lies in.
fn mounted(pod: &KubernetesComponent, path: &str) -> Option<Mounted> {
    let text = |object: &Map<String, Value>, key: &str| -> Option<String> {
        Some(object.get(key)?.as_str()?.to_owned())
    };
    let below = |mount: &Map<String, Value>| -> Option<(usize, String, String)> {
        let at = text(mount, "mountPath")?;
        let at = at.trim_end_matches('/');
        let rest = path.strip_prefix(at)?;
        let file = match (rest.strip_prefix('/'), text(mount, "subPath")) {
            (None, sub) if rest.is_empty() => sub.unwrap_or_default(),
            (Some(rest), None) => rest.to_owned(),
            (Some(rest), Some(sub)) => format!("{}/{rest}", sub.trim_end_matches('/')),
            (None, _) => return None,
        };
        Some((at.len(), text(mount, "name")?, file))
    };
    let (_, volume, file) = pod
        .volume_mounts
        .iter()
        .filter_map(below)
        .max_by_key(|(length, _, _)| *length)?;
    let secret = pod
        .volumes
        .iter()
        .find(|v| text(v, "name").as_deref() == Some(&volume))
        .and_then(|v| v.get("secret")?.as_object())
        // With chosen items the names of files are others; what is optional may come later.
        .filter(|s| !s.contains_key("items") && !s.contains_key("optional"))
        .and_then(|s| text(s, "secretName"))
        .map(|name| (name, file));
    Some(Mounted { secret })
}

/// TLS on the client port, where the configuration asks for it.
pub(super) fn client_tls(input: &Input<'_>, findings: &mut Findings) -> Option<ClientTls> {
    internal(input, findings);
    let config = &input.spec.config;
    let mode = match setting(config, MODE) {
        None | Some(Value::Null) => 0,
        Some(value) => match number(value) {
            Some(mode @ 0..=2) => mode,
            _ => {
                findings.invalid(
                    format!("spec.config.{MODE}"),
                    "must be 0 (no TLS), 1 (TLS) or 2 (TLS with certificates of clients)",
                );
                return None;
            }
        },
    };
    if mode == 0 {
        if input.spec.tls.is_some() {
            findings.invalid(
                SECRET,
                format!(
                    "no process would read it: set spec.config.{MODE} to 1 or 2, or remove spec.tls"
                ),
            );
        }
        return None;
    }
    let mut files: Vec<TlsFile> = Vec::new();
    for wanted in &FILES {
        let needed = mode >= wanted.since;
        let field = format!("spec.config.{}", wanted.setting);
        let path = match setting(config, wanted.setting) {
            None | Some(Value::Null) if !needed => continue,
            Some(Value::String(path)) if is_file(path) => path.clone(),
            None | Some(Value::Null) => {
                findings.invalid(
                    field,
                    format!(
                        "tlsMode {mode} needs the path of this file, for example /milvus/tls/{}",
                        wanted.key
                    ),
                );
                continue;
            }
            Some(_) => {
                findings.invalid(field, "must be the absolute path of a file");
                continue;
            }
        };
        match &input.spec.tls {
            Some(tls) => {
                let there = input.facts.secrets.get(&tls.secret_ref);
                if !needed && there.is_some_and(|secret| !secret.0.contains_key(wanted.key)) {
                    continue; // in this mode Milvus does not read it
                }
                if files.iter().any(|file| file.path == path) {
                    findings.invalid(field, "another file of config.tls has this path");
                    continue;
                }
                if there.is_none() && !files.is_empty() {
                    continue; // said already
                }
                let found = secrets::key(input, findings, &tls.secret_ref, wanted.key, SECRET);
                files.push(TlsFile {
                    name: wanted.name,
                    path,
                    content: found.unwrap_or_else(|| Secret(String::new())),
                });
            }
            None => brought(input, needed, &path, field, findings),
        }
    }
    Some(ClientTls {
        mutual: mode == 2,
        files,
    })
}

fn is_file(path: &str) -> bool {
    path.starts_with('/') && !path.ends_with('/') && !path.split('/').any(|part| part == "..")
}

/// A file that the resource itself has to bring.
fn brought(input: &Input<'_>, needed: bool, path: &str, field: String, findings: &mut Findings) {
    if !needed {
        return;
    }
    let component = serving(input.spec.mode);
    let on_kubernetes = input.capabilities.escape_hatch == "kubernetes";
    let pod = input.spec.kubernetes.components.get(component);
    let Some(found) = pod.filter(|_| on_kubernetes).and_then(|p| mounted(p, path)) else {
        let or = if on_kubernetes {
            format!(", or mount a volume in spec.kubernetes.components.{component}.volumeMounts")
        } else {
            String::new()
        };
        findings.invalid(
            field,
            format!(
                "nothing puts {path} into the process: name a Secret with the keys tls.crt, tls.key and ca.crt in {SECRET}{or}"
            ),
        );
        return;
    };
    let Some((name, key)) = found.secret else {
        return; // a volume of another kind: what is in it cannot be seen
    };
    let volumes = volumes_field(component);
    match input.facts.secrets.get(&name) {
        None => findings.refuse(
            Reason::SecretMissing,
            volumes,
            format!("there is no Secret {name:?} in this namespace; create it"),
        ),
        Some(secret) if !secret.0.contains_key(&key) => findings.refuse(
            Reason::SecretMissing,
            volumes,
            format!("Secret {name:?} has no key {key:?}, which {} asks for at {path}; add it, or name another file", field),
        ),
        Some(_) => {}
    }
}

/// TLS between the roles: every role needs certificates, and the versions before have none.
fn internal(input: &Input<'_>, findings: &mut Findings) {
    if !setting(&input.spec.config, INTERNAL).is_some_and(truth) {
        return;
    }
    let field = format!("spec.config.{INTERNAL}");
    if input.version < INTERNAL_SINCE {
        findings.refuse(
            Reason::InvalidSpec,
            field,
            format!(
                "Milvus {} has no TLS between its roles, Milvus {INTERNAL_SINCE} and later have; remove it",
                input.version
            ),
        );
    } else if input.capabilities.escape_hatch != "kubernetes" {
        findings.refuse(
            Reason::UnsupportedOnPlatform,
            field,
            format!(
                "nothing puts the certificates of config.internaltls into the processes on {}; remove it",
                input.capabilities.platform
            ),
        );
    }
}
