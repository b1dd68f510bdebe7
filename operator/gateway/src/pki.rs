//! Certificates of the tunnel: one authority for each cluster, one certificate for its gateways, one for the operator. Everything is PEM
//! in strings, so that callers can put it wherever they keep secrets.
//!
//! The authority signs nothing else, so being signed by it is already most of the proof. On top of that the gateway takes only the
//! operator's name in a client certificate, and the operator only the gateway's name in a server certificate: who steals a gateway's
//! key (it lies on every node) cannot use it to enter the tunnel.

use crate::wire::ALPN;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName as TlsName, RootCertStore, ServerConfig,
    SignatureScheme,
};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The name in the gateway's certificate.
pub const GATEWAY_NAME: &str = "milvus-gateway";
/// The name in the operator's certificate.
pub const OPERATOR_NAME: &str = "milvus-operator";
/// Certificates are valid from this long before their making, because the clocks of nodes differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A key or certificate could not be made.
    #[error("cannot make the certificate of {subject}")]
    Generate {
        /// Whose.
        subject: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// The validity ends beyond the calendar.
    #[error("the validity of a certificate ends outside of the calendar")]
    Validity,
    /// PEM text could not be read.
    #[error("cannot read the {what} from PEM")]
    Pem {
        /// Which part.
        what: &'static str,
        /// The cause.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// PEM text has no certificate.
    #[error("the PEM text of the {what} holds no certificate")]
    Missing {
        /// Which part.
        what: &'static str,
    },
    /// The TLS library refused the parts.
    #[error("cannot set up TLS from certificate, key and authority")]
    Tls(#[source] rustls::Error),
    /// The authority cannot be used to check client certificates.
    #[error("cannot set up the check of client certificates")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key. Secret.
    pub key: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// From when and for how long certificates are valid.
#[derive(Debug, Clone, Copy)]
pub struct Validity {
    /// The beginning; an hour of clock difference is added before it.
    pub from: SystemTime,
    /// The length, counted from `from`.
    pub lasts: Duration,
}

/// All that one cluster needs.
#[derive(Debug, Clone)]
pub struct ClusterPki {
    /// Signs the other two. Its key is needed only to renew them.
    pub authority: Identity,
    /// For the gateways.
    pub gateway: Identity,
    /// For the operator.
    pub operator: Identity,
}

impl ClusterPki {
    /// One PEM text for the gateway's `--tls-bundle`: its certificate, its key, the authority's certificate.
    #[must_use]
    pub fn gateway_bundle(&self) -> String {
        [
            self.gateway.certificate.trim_end(),
            self.gateway.key.trim_end(),
            self.authority.certificate.trim_end(),
            "",
        ]
        .join("\n")
    }
}

/// Makes an authority and both certificates. `cluster` appears in the authority's name only.
///
/// # Errors
/// When no key can be made or the validity is not a date.
pub fn generate(cluster: &str, validity: Validity) -> Result<ClusterPki, PkiError> {
    let failed = |source| PkiError::Generate {
        subject: format!("the authority of cluster {cluster}"),
        source,
    };
    let key = KeyPair::generate().map_err(failed)?;
    let key_pem = key.serialize_pem();
    let mut params = params(&format!("{cluster} tunnel authority"), validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(params, key).map_err(failed)?;
    Ok(ClusterPki {
        authority: Identity {
            certificate: issuer.pem(),
            key: key_pem,
        },
        gateway: leaf(
            GATEWAY_NAME,
            ExtendedKeyUsagePurpose::ServerAuth,
            validity,
            &issuer,
        )?,
        operator: leaf(
            OPERATOR_NAME,
            ExtendedKeyUsagePurpose::ClientAuth,
            validity,
            &issuer,
        )?,
    })
}

/// Makes both certificates anew under an authority that stays.
///
/// # Errors
/// When the authority's PEM cannot be used.
pub fn renew(authority: Identity, validity: Validity) -> Result<ClusterPki, PkiError> {
    let failed = |source| PkiError::Generate {
        subject: "the authority".to_owned(),
        source,
    };
    let key = KeyPair::from_pem(&authority.key).map_err(failed)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, key).map_err(failed)?;
    Ok(ClusterPki {
        gateway: leaf(
            GATEWAY_NAME,
            ExtendedKeyUsagePurpose::ServerAuth,
            validity,
            &issuer,
        )?,
        operator: leaf(
            OPERATOR_NAME,
            ExtendedKeyUsagePurpose::ClientAuth,
            validity,
            &issuer,
        )?,
        authority,
    })
}

fn params(common_name: &str, validity: Validity) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let from = validity.from.checked_sub(CLOCK_TOLERANCE);
    params.not_before = date(from)?;
    params.not_after = date(validity.from.checked_add(validity.lasts))?;
    Ok(params)
}

fn date(time: Option<SystemTime>) -> Result<time::OffsetDateTime, PkiError> {
    let since = time
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .ok_or(PkiError::Validity)?;
    time::OffsetDateTime::from_unix_timestamp(since).map_err(|_| PkiError::Validity)
}

fn leaf(
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    validity: Validity,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<Identity, PkiError> {
    let failed = |source| PkiError::Generate {
        subject: name.to_owned(),
        source,
    };
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = params(name, validity)?;
    let dns = name.try_into().map_err(failed)?;
    params.subject_alt_names = vec![SanType::DnsName(dns)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, issuer).map_err(failed)?;
    Ok(Identity {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// The gateway's TLS from one text: its own certificate first, its key, and the authority's certificate last.
///
/// # Errors
/// When a part is missing or does not fit the others.
pub fn server_config_from_bundle(bundle: &str) -> Result<Arc<ServerConfig>, PkiError> {
    let mut chain = certificates("bundle", bundle)?;
    let what = "authority";
    let authority = chain.pop().ok_or(PkiError::Missing { what })?;
    if chain.is_empty() {
        return Err(PkiError::Missing { what });
    }
    server(chain, private_key(bundle)?, vec![authority])
}

/// The gateway's TLS: client certificates of the authority with the operator's name only, TLS 1.3, our ALPN.
///
/// # Errors
/// When a part is missing or does not fit the others.
pub fn server_config(
    certificate: &str,
    key: &str,
    authority: &str,
) -> Result<Arc<ServerConfig>, PkiError> {
    server(
        certificates("certificate", certificate)?,
        private_key(key)?,
        certificates("authority", authority)?,
    )
}

/// The operator's TLS: shows its certificate, trusts the authority alone, TLS 1.3, our ALPN.
///
/// # Errors
/// When a part is missing or does not fit the others.
pub fn client_config(
    certificate: &str,
    key: &str,
    authority: &str,
) -> Result<Arc<ClientConfig>, PkiError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(PkiError::Tls)?
        .with_root_certificates(roots(certificates("authority", authority)?)?)
        .with_client_auth_cert(certificates("certificate", certificate)?, private_key(key)?)
        .map_err(PkiError::Tls)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authority: Vec<CertificateDer<'static>>,
) -> Result<Arc<ServerConfig>, PkiError> {
    let roots = Arc::new(roots(authority)?);
    let chain_check = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(PkiError::Verifier)?;
    let name = ServerName::try_from(OPERATOR_NAME)
        .map_err(|_| PkiError::Tls(rustls::Error::General("invalid name".to_owned())))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(PkiError::Tls)?
        .with_client_cert_verifier(Arc::new(OnlyOperator { chain_check, name }))
        .with_single_cert(chain, key)
        .map_err(PkiError::Tls)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(authority: Vec<CertificateDer<'static>>) -> Result<RootCertStore, PkiError> {
    let mut roots = RootCertStore::empty();
    for certificate in authority {
        roots.add(certificate).map_err(PkiError::Tls)?;
    }
    Ok(roots)
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| PkiError::Pem { what, source })?;
    if found.is_empty() {
        return Err(PkiError::Missing { what });
    }
    Ok(found)
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, PkiError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|source| PkiError::Pem {
        what: "private key",
        source,
    })
}

/// The library's check of the chain, and the name on top, so that a wrong certificate ends the handshake with an alert.
#[derive(Debug)]
struct OnlyOperator {
    chain_check: Arc<dyn ClientCertVerifier>,
    name: ServerName<'static>,
}

impl ClientCertVerifier for OnlyOperator {
    fn root_hint_subjects(&self) -> &[TlsName] {
        self.chain_check.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .chain_check
            .verify_client_cert(end_entity, intermediates, now)?;
        let named = webpki::EndEntityCert::try_from(end_entity)
            .and_then(|leaf| leaf.verify_is_valid_for_subject_name(&self.name));
        match named {
            Ok(()) => Ok(verified),
            Err(_) => Err(rustls::CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain_check.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain_check.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain_check.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn year() -> Validity {
        Validity {
            from: SystemTime::now(),
            lasts: Duration::from_secs(365 * 86400),
        }
    }

    #[test]
    fn parts_fit_together() {
        let pki = generate("milvus", year()).unwrap();
        let authority = &pki.authority.certificate;
        server_config(&pki.gateway.certificate, &pki.gateway.key, authority).unwrap();
        server_config_from_bundle(&pki.gateway_bundle()).unwrap();
        client_config(&pki.operator.certificate, &pki.operator.key, authority).unwrap();
        assert!(client_config(&pki.operator.certificate, &pki.gateway.key, authority).is_err());
        let renewed = renew(pki.authority.clone(), year()).unwrap();
        assert_eq!(&renewed.authority.certificate, authority);
        assert_ne!(renewed.gateway.key, pki.gateway.key);
        server_config_from_bundle(&renewed.gateway_bundle()).unwrap();
    }

    #[test]
    fn no_key_in_debug_output() {
        let pki = generate("milvus", year()).unwrap();
        assert!(!format!("{pki:?}").contains("PRIVATE KEY"));
        assert!(pki.operator.key.contains("PRIVATE KEY"));
    }

    #[test]
    fn a_bundle_without_authority_is_refused() {
        let pki = generate("milvus", year()).unwrap();
        let bundle = format!("{}{}", pki.gateway.certificate, pki.gateway.key);
        assert!(matches!(
            server_config_from_bundle(&bundle),
            Err(PkiError::Missing { what: "authority" })
        ));
        assert!(server_config_from_bundle("").is_err());
    }

    #[test]
    fn validity_beyond_the_calendar_is_an_error() {
        let validity = Validity {
            from: SystemTime::now(),
            lasts: Duration::from_secs(u64::MAX / 4),
        };
        assert!(matches!(generate("m", validity), Err(PkiError::Validity)));
    }
}
