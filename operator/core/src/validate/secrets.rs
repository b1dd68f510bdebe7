//! The Secrets that a resource needs: those that it names, and those that are made for it. Pure.

use milvus_crds::{MilvusCluster, MsgStreamType};

use super::violations::Findings;
use super::{Credentials, GatewayPki, Input, Secret, Tls};
use crate::capabilities::Capabilities;
use crate::reasons::Reason;

/// A Secret that the operator makes for a resource, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedSecret {
    /// Name, in the resource's namespace.
    pub name: String,
    /// What is in it.
    pub kind: GeneratedSecretKind,
}

/// What is in a generated Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GeneratedSecretKind {
    /// Keys `accesskey` and `secretkey`.
    MinioCredentials,
    /// Key `fingerprint.key` alone, where there is no gateway.
    FingerprintKey,
    /// Keys `ca.crt`, `tls.crt`, `tls.key` (the gateway's), `client.crt`, `client.key` (the operator's) and `fingerprint.key`.
    GatewayPki,
}

/// Name of the Secret with the generated credentials of MinIO.
fn minio_secret(resource: &MilvusCluster) -> String {
    format!("{}-minio", resource.metadata.name.as_deref().unwrap_or(""))
}

/// Name of the Secret with the certificates of the gateway's tunnel.
fn gateway_secret(resource: &MilvusCluster) -> String {
    format!(
        "{}-gateway",
        resource.metadata.name.as_deref().unwrap_or("")
    )
}

/// Name of the Secret with the key of fingerprints, where there is no gateway.
fn fingerprint_secret(resource: &MilvusCluster) -> String {
    format!(
        "{}-fingerprint",
        resource.metadata.name.as_deref().unwrap_or("")
    )
}

/// The Secrets that must be generated for a resource, where they are not there yet.
pub fn generated_secrets_needed(
    resource: &MilvusCluster,
    capabilities: &Capabilities,
) -> Vec<GeneratedSecret> {
    let mut needed = Vec::new();
    let storage = &resource.spec.dependencies.storage;
    if !storage.external && storage.secret_ref.is_none() {
        needed.push(GeneratedSecret {
            name: minio_secret(resource),
            kind: GeneratedSecretKind::MinioCredentials,
        });
    }
    if capabilities.gateway {
        needed.push(GeneratedSecret {
            name: gateway_secret(resource),
            kind: GeneratedSecretKind::GatewayPki,
        });
    } else {
        needed.push(GeneratedSecret {
            name: fingerprint_secret(resource),
            kind: GeneratedSecretKind::FingerprintKey,
        });
    }
    needed
}

/// The names of the Secrets that a resource refers to, with the path that does.
pub fn secrets_referenced(resource: &MilvusCluster) -> Vec<(String, String)> {
    let mut named = Vec::new();
    let mut add = |name: &str, field: &str| named.push((name.to_owned(), field.to_owned()));
    let dependencies = &resource.spec.dependencies;
    if let Some(name) = &dependencies.storage.secret_ref {
        add(name, "spec.dependencies.storage.secretRef");
    }
    if let Some(auth) = &dependencies.etcd.auth {
        add(&auth.secret_ref, "spec.dependencies.etcd.auth.secretRef");
    }
    if let Some(ssl) = &dependencies.etcd.ssl {
        add(&ssl.secret_ref, "spec.dependencies.etcd.ssl.secretRef");
    }
    named.extend(super::client_tls::secrets(&resource.spec));
    let mut add = |name: &str, field: &str| named.push((name.to_owned(), field.to_owned()));
    if let Some(name) = &dependencies.kafka.secret_ref
        && dependencies.msg_stream_type == Some(MsgStreamType::Kafka)
    {
        add(name, "spec.dependencies.kafka.secretRef");
    }
    named
}

/// Secrets that are gone while what was in them is still known.
pub(super) fn kept(input: &Input<'_>, findings: &mut Findings) {
    for (name, field) in secrets_referenced(input.resource) {
        if input.facts.kept_secrets.contains(&name) {
            findings.notice(
                Reason::SecretMissing,
                field,
                format!("Secret {name:?} is not there any more; the cluster runs on with its last content until the operator restarts: create it again"),
            );
        }
    }
}

/// One key of a Secret; refused with the field that names it when it is not there.
pub(super) fn key(
    input: &Input<'_>,
    findings: &mut Findings,
    name: &str,
    key: &str,
    field: &str,
) -> Option<Secret> {
    let Some(secret) = input.facts.secrets.get(name) else {
        findings.refuse(
            Reason::SecretMissing,
            field,
            format!("there is no Secret {name:?} in this namespace; create it"),
        );
        return None;
    };
    match secret.text(key) {
        Some(text) if !text.is_empty() => Some(Secret(text.to_owned())),
        _ => {
            findings.refuse(
                Reason::SecretMissing,
                field,
                format!("Secret {name:?} has no text under key {key:?}; add it"),
            );
            None
        }
    }
}

fn pair(
    input: &Input<'_>,
    findings: &mut Findings,
    name: &str,
    keys: [&str; 2],
    field: &str,
) -> Option<Credentials> {
    let user = key(input, findings, name, keys[0], field);
    let absent = !input.facts.secrets.contains_key(name);
    let password = if absent {
        None
    } else {
        key(input, findings, name, keys[1], field)
    };
    Some(Credentials {
        user: user?,
        password: password?,
    })
}

/// User name and password.
pub(super) fn login(
    input: &Input<'_>,
    findings: &mut Findings,
    name: &str,
    field: &str,
) -> Option<Credentials> {
    pair(input, findings, name, ["username", "password"], field)
}

/// Access key and secret key of an external store.
pub(super) fn access_keys(
    input: &Input<'_>,
    findings: &mut Findings,
    name: &str,
    field: &str,
) -> Option<Credentials> {
    pair(input, findings, name, ["accesskey", "secretkey"], field)
}

/// Credentials of the MinIO that the operator runs: named by the resource, or generated. MinIO has rules for them, and
/// would end at once with others.
pub(super) fn minio(input: &Input<'_>, findings: &mut Findings) -> Option<Credentials> {
    const FIELD: &str = "spec.dependencies.storage.secretRef";
    let name = match &input.spec.dependencies.storage.secret_ref {
        Some(name) => name.clone(),
        None => minio_secret(input.resource),
    };
    let credentials = access_keys(input, findings, &name, FIELD)?;
    let plain = |text: &Secret| {
        text.0.trim() == text.0 && text.0.chars().all(|c| !c.is_control() && c != '=')
    };
    if credentials.user.0.len() < 3 || !plain(&credentials.user) {
        findings.invalid(
            FIELD,
            format!("key \"accesskey\" of Secret {name:?} must have at least 3 characters, without spaces around it, line breaks or '='"),
        );
    }
    if credentials.password.0.len() < 8 || !plain(&credentials.password) {
        findings.invalid(
            FIELD,
            format!("key \"secretkey\" of Secret {name:?} must have at least 8 characters, without spaces around it, line breaks or '='"),
        );
    }
    Some(credentials)
}

/// TLS material.
pub(super) fn tls(
    input: &Input<'_>,
    findings: &mut Findings,
    name: &str,
    field: &str,
) -> Option<Tls> {
    let ca = key(input, findings, name, "ca.crt", field)?;
    let secret = input.facts.secrets.get(name)?;
    let client = if secret.0.contains_key("tls.crt") || secret.0.contains_key("tls.key") {
        Some(pair(input, findings, name, ["tls.crt", "tls.key"], field)?)
    } else {
        None
    };
    Some(Tls { ca, client })
}

/// A key that may be absent.
pub(super) fn optional(input: &Input<'_>, name: &str, key: &str) -> Option<Secret> {
    let secret = input.facts.secrets.get(name)?;
    secret.text(key).map(|text| Secret(text.to_owned()))
}

/// Certificates of the gateway's tunnel.
pub(super) fn gateway(input: &Input<'_>, findings: &mut Findings) -> Option<GatewayPki> {
    const FIELD: &str = "spec.swarm.gateway";
    let name = gateway_secret(input.resource);
    let ca = key(input, findings, &name, "ca.crt", FIELD)?;
    Some(GatewayPki {
        ca,
        certificate: key(input, findings, &name, "tls.crt", FIELD)?,
        key: key(input, findings, &name, "tls.key", FIELD)?,
    })
}
