//! TLS towards the client port of a cluster.
//!
//! Any certificate will do. The check sends no secret and asks whether clients could be served; whom a certificate names and who has
//! signed it is a matter between clients and the cluster: it bears the names that clients use, not the addresses that are asked here, and
//! may be renewed in the Secret before the process has read it. The handshake does prove that the process holds the certificate's key.

use std::sync::Arc;

use milvus_core::probe::{ProbeDetail, ProbeFailure, ProbeFailureKind};
use milvus_platform::Connection;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, Error};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http::failure;
use crate::tls;

/// A stream on which gRPC can be spoken.
pub(crate) async fn connect(
    connection: Box<dyn Connection>,
    host: &str,
) -> Result<TlsStream<Box<dyn Connection>>, ProbeFailure> {
    let bare = host.trim_matches(['[', ']']);
    let name = ServerName::try_from(bare.to_owned());
    let name = name.map_err(|e| broken(host, &e))?;
    let mut config = tls::config(None).map_err(|e| broken(host, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, connection).await.map_err(|e| {
        let message = format!("{host}: no TLS connection to the client port: {e}");
        failure(ProbeFailureKind::NotReady, message)
    })
}

/// A process that serves only clients with a certificate, which the operator has none of: the handshake is as far as it goes, and the
/// demand for a certificate is the good answer.
pub(crate) async fn asks_for_certificate(
    connection: Box<dyn Connection>,
    host: &str,
) -> Result<ProbeDetail, ProbeFailure> {
    let note = |text: &str| ProbeDetail {
        note: text.to_owned(),
        ..ProbeDetail::default()
    };
    let mut stream = connect(connection, host).await?;
    let Err(error) = stream.read_u8().await else {
        return Ok(note("answers"));
    };
    let alert = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<Error>())
        .and_then(|e| match e {
            Error::AlertReceived(alert) => Some(*alert),
            _ => None,
        });
    match alert {
        Some(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => {
            Ok(note("asks for a client certificate"))
        }
        _ => Err(failure(
            ProbeFailureKind::NotReady,
            format!("{host}: the client port does not ask for a client certificate: {error}"),
        )),
    }
}

fn broken(host: &str, error: &dyn std::fmt::Display) -> ProbeFailure {
    let message = format!("{host}: no TLS connection can be made: {error}");
    failure(ProbeFailureKind::Other, message)
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::server::WebPkiClientVerifier;
    use rustls::{RootCertStore, ServerConfig};
    use tokio::io::AsyncWriteExt;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A process with a certificate that names neither the address that is asked nor a known issuer; our end of a connection to it.
    fn process(mutual: bool) -> Box<dyn Connection> {
        let made = rcgen::generate_simple_self_signed(vec!["milvus.example.org".to_owned()]);
        let made = made.expect("a certificate");
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let config = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(certificate.clone()).expect("an issuer");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            config.with_no_client_auth()
        };
        let mut config = config
            .with_single_cert(vec![certificate], key)
            .expect("a server");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (ours, theirs) = tokio::io::duplex(16 << 10);
        tokio::spawn(async move {
            if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(theirs).await {
                let _ = stream.shutdown().await;
            }
        });
        Box::new(ours)
    }

    #[tokio::test]
    async fn a_certificate_of_any_issuer_is_taken_and_http_2_is_spoken() {
        let stream = connect(process(false), "10.0.0.7").await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        assert!(connect(process(false), "[fd00::7]").await.is_ok());
    }

    #[tokio::test]
    async fn a_process_without_tls_is_not_ready() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 10);
        let speaks =
            tokio::spawn(async move { theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n").await });
        let failed = connect(Box::new(ours), "milvus")
            .await
            .err()
            .expect("no TLS");
        assert_eq!(failed.kind, ProbeFailureKind::NotReady);
        speaks.await.expect("spoken").expect("written");
    }

    #[tokio::test]
    async fn the_demand_for_a_client_certificate_is_the_good_answer() {
        let asked = asks_for_certificate(process(true), "milvus").await;
        assert_eq!(asked.expect("asks").note, "asks for a client certificate");
        let open = asks_for_certificate(process(false), "milvus").await;
        assert_eq!(open.expect_err("open").kind, ProbeFailureKind::NotReady);
    }
}
