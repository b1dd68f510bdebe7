//! The server's own small PKI: a CA, a server certificate, client certificates, TLS settings made of
//! them, and the kubeconfig that carries them. Reads and writes no files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;

/// Certificates are valid from a little before now: clocks differ.
const BACKDATE: Duration = Duration::from_secs(3600);
/// Ten years.
const CA_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 3600);
/// Nothing signed outlives its CA. As long as that: the CA's key lies beside the server's, so shorter lives would protect
/// nothing, and an operator that runs for years must not stop answering on some anniversary.
const LIFETIME: Duration = CA_LIFETIME;

/// Why something could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A certificate could not be made.
    #[error("{operation}")]
    Certificate {
        /// What was tried.
        operation: &'static str,
        /// The maker's complaint.
        #[source]
        source: rcgen::Error,
    },
    /// A PEM text cannot be read.
    #[error("read {what} from pem")]
    Pem {
        /// What was read.
        what: &'static str,
        /// The reader's complaint.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// TLS refuses the certificates.
    #[error("make tls settings: {problem}")]
    Tls {
        /// Its complaint.
        problem: String,
    },
}

/// A certificate and its key, as PEM texts.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair { .. }")
    }
}

fn failed(operation: &'static str) -> impl FnOnce(rcgen::Error) -> PkiError {
    move |source| PkiError::Certificate { operation, source }
}

fn params(name: &str, group: Option<&str>, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if let Some(group) = group {
        subject.push(DnType::OrganizationName, group);
    }
    params.distinguished_name = subject;
    let now = std::time::SystemTime::now();
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + lifetime).into();
    params
}

/// Makes a CA.
pub fn create_ca(name: &str) -> Result<Pair, PkiError> {
    let operation = "create the certificate authority";
    let key = KeyPair::generate().map_err(failed(operation))?;
    let mut params = params(name, None, CA_LIFETIME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(failed(operation))?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn sign(
    ca: &Pair,
    mut params: CertificateParams,
    usage: ExtendedKeyUsagePurpose,
    operation: &'static str,
) -> Result<Pair, PkiError> {
    let ca_key = KeyPair::from_pem(&ca.key).map_err(failed(operation))?;
    let issuer = Issuer::from_ca_cert_pem(&ca.certificate, ca_key).map_err(failed(operation))?;
    let key = KeyPair::generate().map_err(failed(operation))?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    let certificate = params.signed_by(&key, &issuer).map_err(failed(operation))?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// Makes a server certificate for host names and addresses.
pub fn create_server(ca: &Pair, names: &[String]) -> Result<Pair, PkiError> {
    let operation = "create the server certificate";
    let mut own = params("apiserver", None, LIFETIME);
    own.subject_alt_names = CertificateParams::new(names.to_vec())
        .map_err(failed(operation))?
        .subject_alt_names;
    sign(ca, own, ExtendedKeyUsagePurpose::ServerAuth, operation)
}

/// Makes a client certificate for a user in one group, valid as long as an authority is.
pub fn create_client(ca: &Pair, user: &str, group: &str) -> Result<Pair, PkiError> {
    create_client_for(ca, user, group, LIFETIME)
}

/// Makes a client certificate for a user in one group, valid for so long; at most as long as an authority is.
pub fn create_client_for(
    ca: &Pair,
    user: &str,
    group: &str,
    lifetime: Duration,
) -> Result<Pair, PkiError> {
    sign(
        ca,
        params(user, Some(group), lifetime.min(LIFETIME)),
        ExtendedKeyUsagePurpose::ClientAuth,
        "create a client certificate",
    )
}

/// TLS settings of the server. Client certificates are asked for, but a token will do.
pub fn server_config(server: &Pair, client_ca: &str) -> Result<rustls::ServerConfig, PkiError> {
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(server.certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|source| PkiError::Pem {
                what: "the server certificate",
                source,
            })?;
    let key =
        PrivateKeyDer::from_pem_slice(server.key.as_bytes()).map_err(|source| PkiError::Pem {
            what: "the server key",
            source,
        })?;
    let refuse = |problem: String| PkiError::Tls { problem };
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(client_ca.as_bytes()) {
        let ca = ca.map_err(|source| PkiError::Pem {
            what: "the client ca",
            source,
        })?;
        roots.add(ca).map_err(|error| refuse(error.to_string()))?;
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| refuse(error.to_string()))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates, key)
        .map_err(|error| refuse(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// How a kubeconfig proves who its user is.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'a> {
    /// A client certificate.
    Certificate(&'a Pair),
    /// A bearer token.
    Token(&'a str),
}

/// A kubeconfig for one server and one user, in YAML (of which this JSON is a part).
pub fn kubeconfig(name: &str, server: &str, ca: &str, credentials: Credentials<'_>) -> String {
    let user = match credentials {
        Credentials::Certificate(pair) => BTreeMap::from([
            (
                "client-certificate-data",
                STANDARD.encode(&pair.certificate),
            ),
            ("client-key-data", STANDARD.encode(&pair.key)),
        ]),
        Credentials::Token(token) => BTreeMap::from([("token", token.to_owned())]),
    };
    let cluster = json!({"server": server, "certificate-authority-data": STANDARD.encode(ca)});
    let mut lines = vec![
        "apiVersion: v1".to_owned(),
        "kind: Config".to_owned(),
        format!("current-context: {name}"),
        "clusters:".to_owned(),
        format!("- name: {name}"),
        "  cluster:".to_owned(),
    ];
    for (key, value) in cluster.as_object().into_iter().flatten() {
        lines.push(format!("    {key}: {value}"));
    }
    lines.push("contexts:".to_owned());
    lines.push(format!("- name: {name}"));
    lines.push("  context:".to_owned());
    lines.push(format!("    cluster: {name}"));
    lines.push(format!("    user: {name}"));
    lines.push("users:".to_owned());
    lines.push(format!("- name: {name}"));
    lines.push("  user:".to_owned());
    for (key, value) in user {
        lines.push(format!("    {key}: {value}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{ADMIN, Authenticator, PeerCertificate};

    #[test]
    fn the_subject_of_a_client_certificate_names_user_and_groups() {
        let ca = create_ca("test").unwrap();
        let client = create_client(&ca, "ann", ADMIN).unwrap();
        let der = CertificateDer::from_pem_slice(client.certificate.as_bytes()).unwrap();
        let identity = Authenticator::new()
            .unwrap()
            .identify(None, Some(&PeerCertificate(Arc::new(der))))
            .unwrap();
        assert_eq!(identity.user, "ann");
        assert_eq!(identity.groups, [ADMIN, "system:authenticated"]);
    }

    #[test]
    fn makes_tls_settings_and_a_kubeconfig() {
        let ca = create_ca("test").unwrap();
        let server =
            create_server(&ca, &["localhost".into(), "127.0.0.1".into(), "::1".into()]).unwrap();
        let config = server_config(&server, &ca.certificate).unwrap();
        assert_eq!(
            config.alpn_protocols,
            [b"h2".to_vec(), b"http/1.1".to_vec()]
        );
        let text = kubeconfig(
            "milvus",
            "https://127.0.0.1:6443",
            &ca.certificate,
            Credentials::Token("t"),
        );
        let parsed: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(
            parsed["clusters"][0]["cluster"]["server"],
            "https://127.0.0.1:6443"
        );
        assert_eq!(parsed["users"][0]["user"]["token"], "t");
    }
}
