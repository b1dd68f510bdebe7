//! Certificates of the operator's API: one authority, the server's certificate, an admin's certificate. PEM in strings.
//! May touch the system's random source and clock, nothing else.

use std::fmt;

use jiff::{Timestamp, ToSpan, Zoned, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use super::KeysError;

/// The authority's life. What it signs ends with it: the authority's key lies beside the server's, so shorter lives of those
/// would protect nothing and would cut off a long-running operator or a forgotten kubeconfig at a bad time.
const YEARS: i32 = 10;

/// A certificate and its private key, both PEM.
pub(crate) struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key. Secret.
    pub key: Zeroizing<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Makes a new authority.
pub(super) fn authority() -> Result<Identity, KeysError> {
    let failed = |source| KeysError::Issue {
        subject: "the authority".to_owned(),
        source,
    };
    let key = KeyPair::generate().map_err(failed)?;
    let key_pem = Zeroizing::new(key.serialize_pem());
    // A name of its own for each authority: clients choose issuers by name, and a rotated one must not be taken for the old.
    let mut params = params(&format!(
        "milvus-operator {}",
        uuid::Uuid::new_v4().simple()
    ));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(params, key).map_err(failed)?;
    Ok(Identity {
        certificate: issuer.pem(),
        key: key_pem,
    })
}

/// Signs a server certificate for these names and addresses.
pub(super) fn server(authority: &Identity, names: &[String]) -> Result<Identity, KeysError> {
    let subject = "the API server";
    let mut params = CertificateParams::new(names.to_vec()).map_err(|source| KeysError::Issue {
        subject: format!("{subject} ({})", names.join(", ")),
        source,
    })?;
    let common = self::params("milvus-operator");
    params.distinguished_name = common.distinguished_name;
    params.not_before = common.not_before;
    params.not_after = common.not_after;
    leaf(
        authority,
        params,
        subject,
        ExtendedKeyUsagePurpose::ServerAuth,
    )
}

/// Signs a client certificate: `user` and `group` are what the API server takes from it.
pub(super) fn client(authority: &Identity, user: &str, group: &str) -> Result<Identity, KeysError> {
    let mut params = params(user);
    params
        .distinguished_name
        .push(DnType::OrganizationName, group);
    leaf(authority, params, user, ExtendedKeyUsagePurpose::ClientAuth)
}

/// When a certificate ends.
pub(super) fn expires(certificate: &str) -> Result<Timestamp, KeysError> {
    let damaged = |problem: String| KeysError::Damaged {
        what: "the authority's certificate",
        problem,
    };
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes())
        .map_err(|e| damaged(e.to_string()))?;
    not_after(&pem).ok_or_else(|| damaged("it has no end of validity that can be read".to_owned()))
}

fn not_after(pem: &Pem) -> Option<Timestamp> {
    let certificate = pem.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn leaf(
    authority: &Identity,
    mut params: CertificateParams,
    subject: &str,
    usage: ExtendedKeyUsagePurpose,
) -> Result<Identity, KeysError> {
    let failed = |source| KeysError::Issue {
        subject: subject.to_owned(),
        source,
    };
    let authority_key = KeyPair::from_pem(&authority.key).map_err(failed)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, authority_key).map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok(Identity {
        certificate: certificate.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}

/// Valid from yesterday, because clocks differ.
fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let date = |time: &Zoned| {
        rcgen::date_time_ymd(
            time.year().into(),
            time.month().unsigned_abs(),
            time.day().unsigned_abs(),
        )
    };
    params.not_before = date(&now.saturating_sub(1.day()));
    params.not_after = date(&now.saturating_add(YEARS.years()));
    params
}
