use std::sync::Arc;

use milvus_core::probe::KafkaMechanism;
use milvus_core::validate::{Credentials, Secret};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::*;

/// What a broker is set up to do.
#[derive(Clone, Copy)]
struct Manner {
    login: bool,
    brokers: i32,
}

const OPEN: Manner = Manner {
    login: false,
    brokers: 1,
};
const SASL: Manner = Manner {
    login: true,
    brokers: 1,
};

/// A broker that knows the user `milvus` with the password `right`, by PLAIN.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, manner: Manner) -> Option<()> {
    let mut admitted = !manner.login;
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).await.ok()?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).ok()?];
        stream.read_exact(&mut frame).await.ok()?;
        let mut request = Answer(&frame);
        let key = request.int16()?;
        let _version = request.int16()?;
        let mut answer = request.int32()?.to_be_bytes().to_vec();
        assert_eq!(request.text()?, "milvus-operator");
        match key {
            3 if admitted => answer.extend(manner.brokers.to_be_bytes()),
            17 if manner.login => {
                let code = if request.text()? == "PLAIN" {
                    0
                } else {
                    33_i16
                };
                answer.extend(code.to_be_bytes());
                answer.extend(1_i32.to_be_bytes());
                text(&mut answer, "PLAIN");
            }
            18 => answer.extend(0_i16.to_be_bytes()),
            36 if manner.login => {
                admitted = request.bytes()? == b"\0milvus\0right";
                let code = if admitted { 0 } else { 58_i16 };
                answer.extend(code.to_be_bytes());
                text(&mut answer, "");
                answer.extend(0_i32.to_be_bytes());
            }
            // As a real one: no word, only the end.
            _ => return None,
        }
        let length = i32::try_from(answer.len()).ok()?;
        stream.write_all(&length.to_be_bytes()).await.ok()?;
        stream.write_all(&answer).await.ok()?;
    }
}

fn login(mechanism: KafkaMechanism, password: &str) -> Option<KafkaLogin> {
    Some(KafkaLogin {
        mechanism,
        keys: Credentials {
            user: Secret("milvus".to_owned()),
            password: Secret(password.to_owned()),
        },
    })
}

async fn asked(manner: Manner, access: &KafkaAccess) -> Result<ProbeDetail, ProbeFailure> {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let broker = tokio::spawn(serve(theirs, manner));
    let answer = ask(Box::new(ours), "kafka-0", "kafka-0:9092", access).await;
    broker.abort();
    answer
}

fn plain(login: Option<KafkaLogin>) -> KafkaAccess {
    KafkaAccess {
        tls: false,
        ca: None,
        login,
    }
}

#[tokio::test]
async fn a_login_is_made_and_metadata_asked_for() {
    let right = plain(login(KafkaMechanism::Plain, "right"));
    assert_eq!(asked(SASL, &right).await.expect("yes").note, "answers");
    let wrong = plain(login(KafkaMechanism::Plain, "wrong"));
    let failure = asked(SASL, &wrong).await.expect_err("a wrong password");
    assert_eq!(failure.kind, ProbeFailureKind::Denied);
    assert!(!failure.message.contains("wrong"), "{failure:?}");
    let other = plain(login(KafkaMechanism::ScramSha512, "right"));
    let failure = asked(SASL, &other).await.expect_err("another mechanism");
    assert_eq!(failure.kind, ProbeFailureKind::NotReady);
    assert!(failure.message.ends_with("it offers PLAIN"), "{failure:?}");
}

#[tokio::test]
async fn one_that_takes_connections_only_is_not_well() {
    assert!(asked(OPEN, &plain(None)).await.is_ok());
    // It wants a login and is shown none, so it knows no user.
    let failure = asked(SASL, &plain(None)).await.expect_err("no login");
    assert!(failure.message.contains("securityProtocol"), "{failure:?}");
    let alone = Manner { brokers: 0, ..OPEN };
    assert!(asked(alone, &plain(None)).await.is_err());
    let (ours, theirs) = tokio::io::duplex(64);
    let http = tokio::spawn(async move {
        let mut theirs = theirs;
        theirs.write_all(b"HTTP/1.1 400 Bad Request").await
    });
    let answer = ask(Box::new(ours), "k", "k:1", &plain(None)).await;
    assert!(answer.is_err() && http.await.is_ok());
}

async fn asked_over_tls(access: &KafkaAccess, chain: &Chain) -> Result<ProbeDetail, ProbeFailure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(chain.key.clone()));
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain.certificate.clone().into()], key)
        .expect("a certificate");
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let broker = tokio::spawn(async move {
        let stream = TlsAcceptor::from(Arc::new(server)).accept(theirs).await;
        match stream {
            Ok(stream) => serve(stream, SASL).await,
            Err(_) => None,
        }
    });
    let answer = ask(Box::new(ours), "kafka-0", "kafka-0:9096", access).await;
    broker.abort();
    answer
}

struct Chain {
    authority: String,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate for another name than the broker is reached by.
fn chain() -> Chain {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("an authority");
    let issuer = rcgen::Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(vec!["broker.example.org".to_owned()])
        .expect("parameters")
        .signed_by(&key, &issuer)
        .expect("a certificate");
    Chain {
        authority: authority.pem(),
        certificate: leaf.der().to_vec(),
        key: key.serialize_der(),
    }
}

#[tokio::test]
async fn over_tls_only_whom_the_authority_vouches_for_is_shown_the_password() {
    let (chain, other) = (chain(), chain());
    let access = |ca: Option<&Chain>, password: &str| KafkaAccess {
        tls: true,
        ca: ca.map(|chain| Secret(chain.authority.clone())),
        login: login(KafkaMechanism::Plain, password),
    };
    let right = asked_over_tls(&access(Some(&chain), "right"), &chain).await;
    assert_eq!(right.expect("yes").note, "answers");
    let wrong = asked_over_tls(&access(Some(&chain), "wrong"), &chain).await;
    assert_eq!(
        wrong.expect_err("a wrong password").kind,
        ProbeFailureKind::Denied
    );
    let foreign = asked_over_tls(&access(Some(&other), "right"), &chain).await;
    assert!(
        foreign
            .expect_err("another authority")
            .message
            .contains("TLS: ")
    );
    // Without an authority nothing secret is sent, so nothing is known of the password.
    let blind = asked_over_tls(&access(None, "wrong"), &chain).await;
    assert!(blind.expect("yes").note.contains("not checked"));
    let broken = KafkaAccess {
        ca: Some(Secret("no certificate".to_owned())),
        ..access(None, "right")
    };
    let broken = asked_over_tls(&broken, &chain).await;
    assert!(
        broken
            .expect_err("no authority")
            .message
            .contains("holds no certificate")
    );
    // In clear towards a port with TLS.
    let clear = KafkaAccess {
        tls: false,
        ..access(None, "right")
    };
    assert!(asked_over_tls(&clear, &chain).await.is_err());
}
