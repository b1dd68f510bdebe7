//! Signed requests to an S3 service: does it know these keys, and is the bucket there? What the keys may do is for the service's
//! own policies, and not judged here. Pure.

use std::time::Duration;

use milvus_core::probe::{ProbeDetail, ProbeFailure, ProbeFailureKind, S3Access, StoreSeen};
use rusty_s3::actions::{GetObject, PutObject, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};

use crate::http::{Answer, failure};

/// How long a signature is good: for one question, and for clocks that are a little apart.
const VALID: Duration = Duration::from_secs(300);
/// Where no region is given: what MinIO and clients of S3 take for granted.
const REGION: &str = "us-east-1";
/// What is asked for. Nobody makes it: the answer is that it is not there.
pub(crate) const OBJECT: &str = "asked-by-milvus-operator";
/// Error codes of a service that does not know an access key, or knows another secret for it
/// (docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
const UNKNOWN_KEYS: [&str; 2] = ["InvalidAccessKeyId", "SignatureDoesNotMatch"];
/// The service's clock and ours are apart: it takes no signature of ours.
const CLOCKS: &str = "RequestTimeTooSkewed";

/// What is asked of an object of the bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// Its content.
    Get(&'static str),
    /// To be written.
    Put(&'static str),
}

/// `Host` header and path of a signed request. The signature is in the path, which is never shown.
pub(crate) fn signed(
    authority: &str,
    access: &S3Access,
    tls: bool,
    asked: Asked,
) -> Result<(String, String), ProbeFailure> {
    let wrong = |problem: String| {
        let message = format!("{authority}: no request can be made of it: {problem}");
        failure(ProbeFailureKind::Other, message)
    };
    let scheme = if tls { "https" } else { "http" };
    let endpoint = format!("{scheme}://{authority}")
        .parse()
        .map_err(|e| wrong(format!("{e}")))?;
    let region = access.region.clone().unwrap_or_else(|| REGION.to_owned());
    let bucket = Bucket::new(endpoint, UrlStyle::Path, access.bucket.clone(), region)
        .map_err(|e| wrong(e.to_string()))?;
    let keys = Credentials::new(access.keys.user.0.clone(), access.keys.password.0.clone());
    let url = match asked {
        Asked::Get(object) => GetObject::new(&bucket, Some(&keys), object).sign(VALID),
        Asked::Put(object) => PutObject::new(&bucket, Some(&keys), object).sign(VALID),
    };
    // As it was signed: without the port where that is the scheme's own.
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => authority.to_owned(),
    };
    let query = url.query().unwrap_or_default();
    Ok((host, format!("{}?{query}", url.path())))
}

/// What an answer says of the keys and of the bucket. That there is none is for the planner to judge: Milvus makes it when it
/// starts for the first time.
pub(crate) fn judge(authority: &str, answer: &Answer) -> Result<ProbeDetail, ProbeFailure> {
    let code = code(&answer.body);
    let code = code.as_deref().unwrap_or_default();
    if UNKNOWN_KEYS.contains(&code) {
        let message = format!("{authority}: does not accept the keys of the Secret: {code}");
        return Err(failure(ProbeFailureKind::Denied, message));
    }
    if code == CLOCKS {
        let message = format!("{authority}: its clock and the operator's are apart: {code}");
        return Err(failure(ProbeFailureKind::NotReady, message));
    }
    if answer.status >= 500 {
        let message = format!("{authority}: answers {} {code}", answer.status);
        return Err(failure(ProbeFailureKind::NotReady, message));
    }
    // Where there is no right to look, nothing is known of the bucket; Milvus may not need that right.
    let store = match (answer.status, code) {
        (404, "NoSuchBucket") => Some(StoreSeen::default()),
        (404, "NoSuchKey") | (200, _) => Some(StoreSeen {
            there: true,
            mark: None,
        }),
        _ => None,
    };
    let said = if code.is_empty() { "answers" } else { code };
    Ok(ProbeDetail {
        note: said.to_owned(),
        clock_ahead: answer.clock_ahead(),
        store,
        ..ProbeDetail::default()
    })
}

/// The code in an error's body.
fn code(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let plain = code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use milvus_core::validate::{Credentials as Keys, Secret};
    use milvus_platform::{Connection, Dial, DialError};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::ask::{Question, ask};

    fn access() -> S3Access {
        S3Access {
            bucket: "milvus".to_owned(),
            region: None,
            keys: Keys {
                user: Secret("someone".to_owned()),
                password: Secret("something-long".to_owned()),
            },
        }
    }

    #[test]
    fn the_host_is_the_one_that_is_signed() {
        let (host, path) =
            signed("s3.example.org:9000", &access(), false, Asked::Get(OBJECT)).expect("a request");
        assert_eq!(host, "s3.example.org:9000");
        assert!(
            path.starts_with("/milvus/asked-by-milvus-operator?"),
            "{path}"
        );
        assert!(path.contains("X-Amz-Signature="), "{path}");
        assert!(!path.contains("something-long"), "{path}");
        for (port, tls) in [(80, false), (443, true)] {
            let authority = format!("s3.example.org:{port}");
            let (host, _) =
                signed(&authority, &access(), tls, Asked::Get(OBJECT)).expect("a request");
            assert_eq!(host, "s3.example.org");
        }
        let (host, _) =
            signed("s3.example.org:80", &access(), true, Asked::Get(OBJECT)).expect("a request");
        assert_eq!(host, "s3.example.org:80");
    }

    #[test]
    fn only_what_speaks_of_the_keys_refuses_them() {
        let judge = |status: u16, code: &str| {
            let body = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
            let body = body.into_bytes().into();
            judge(
                "s3:9000",
                &Answer {
                    status,
                    body,
                    times: None,
                },
            )
            .map(|detail| detail.store.map(|store| store.there))
            .map_err(|f| f.kind)
        };
        assert_eq!(
            judge(403, "InvalidAccessKeyId"),
            Err(ProbeFailureKind::Denied)
        );
        assert_eq!(
            judge(403, "SignatureDoesNotMatch"),
            Err(ProbeFailureKind::Denied)
        );
        assert_eq!(
            judge(403, "RequestTimeTooSkewed"),
            Err(ProbeFailureKind::NotReady)
        );
        assert_eq!(judge(503, "SlowDown"), Err(ProbeFailureKind::NotReady));
        for (status, code, there) in [
            (200, "", Some(true)),
            (404, "NoSuchKey", Some(true)),
            (404, "NoSuchBucket", Some(false)),
            (403, "AccessDenied", None),
            (301, "PermanentRedirect", None),
        ] {
            assert_eq!(judge(status, code), Ok(there), "{status} {code}");
        }
    }

    /// A service with a certificate of its own making, which answers every request with this.
    struct Service {
        tls: bool,
        status: &'static str,
        body: &'static str,
    }

    impl Dial for Service {
        fn dial(&self, _: &str, _: u16) -> BoxFuture<'_, Result<Box<dyn Connection>, DialError>> {
            let (ours, theirs) = tokio::io::duplex(16 << 10);
            let answer = format!(
                "HTTP/1.1 {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
                self.status,
                self.body.len(),
                self.body
            );
            if self.tls {
                tokio::spawn(async move {
                    let stream = TlsAcceptor::from(Arc::new(server())).accept(theirs).await;
                    serve(stream.expect("TLS"), &answer).await;
                });
            } else {
                tokio::spawn(async move { serve(theirs, &answer).await });
            }
            async move { Ok(Box::new(ours) as Box<dyn Connection>) }.boxed()
        }
    }

    fn server() -> ServerConfig {
        let made = rcgen::generate_simple_self_signed(vec!["s3.example.org".to_owned()]);
        let made = made.expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a server")
    }

    async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
        let mut asked = vec![0; 4 << 10];
        let _ = stream.read(&mut asked).await;
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }

    #[tokio::test]
    async fn keys_are_checked_over_tls_as_without() {
        let refused = "<Error><Code>InvalidAccessKeyId</Code></Error>";
        let missing = "<Error><Code>NoSuchKey</Code></Error>";
        for tls in [false, true] {
            let access = access();
            let question = Question::S3Bucket { access, tls };
            let ask = async |speaks: bool, status, body| {
                let service = Service {
                    tls: speaks,
                    status,
                    body,
                };
                let answer = ask(&service, "10.0.0.7", 9000, &question).await;
                answer.map(|detail| detail.note).map_err(|f| f.kind)
            };
            let denied = ask(tls, "403 Forbidden", refused).await;
            assert_eq!(denied, Err(ProbeFailureKind::Denied), "{tls}");
            let known = ask(tls, "404 Not Found", missing).await;
            assert_eq!(known, Ok("NoSuchKey".to_owned()), "{tls}");
            if tls {
                let plain = ask(false, "400 Bad Request", "").await;
                assert_eq!(plain, Err(ProbeFailureKind::NotReady));
            }
        }
    }
}
