use std::os::unix::fs::PermissionsExt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn roots(ca: &str) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("pem"))
        .expect("root");
    Arc::new(roots)
}

fn parts(identity: &Pair) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain =
        vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("certificate")];
    (
        chain,
        PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("key"),
    )
}

/// A whole mutual handshake in memory.
fn handshake(server: &Keys, trusted: &Keys, admin: &Pair, name: &str) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(server.authority()), provider.clone())
            .build()
            .expect("verifier");
    let (chain, key) = parts(&server.server);
    let accept = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    let (chain, key) = parts(admin);
    let connect = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(trusted.authority()))
        .with_client_auth_cert(chain, key)?;
    let mut client = ClientConnection::new(
        Arc::new(connect),
        ServerName::try_from(name.to_owned()).expect("name"),
    )?;
    let mut server = ServerConnection::new(Arc::new(accept))?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).expect("write");
        server.read_tls(&mut wire.as_slice()).expect("read");
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).expect("write");
        client.read_tls(&mut wire.as_slice()).expect("read");
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

#[test]
fn a_directory_keeps_its_keys_and_serves_under_any_names() {
    let root = tempfile::tempdir().expect("tempdir");
    let directory = root.path().join("keys");
    let first = Keys::load_or_create(&directory, &[]).expect("create");
    let again = Keys::load_or_create(
        &directory,
        &names(&["swarm.example.org", "10.1.2.3", "[fd00::7]"]),
    )
    .expect("load");
    assert_eq!(first.authority(), again.authority());
    assert_eq!(first.sealing_key(), again.sealing_key());
    assert_ne!(first.sealing_key(), &[0; 32]);

    let admin = pki::create_client(&first.authority, "admin", "system:masters").expect("admin");
    for name in [
        "localhost",
        "127.0.0.1",
        "::1",
        "swarm.example.org",
        "10.1.2.3",
        "fd00::7",
    ] {
        handshake(&again, &first, &admin, name).expect(name);
    }
    assert!(
        handshake(&first, &first, &admin, "swarm.example.org").is_err(),
        "a name that was not asked for"
    );
    let stranger = Keys::generate(&[]).expect("generate");
    assert!(
        handshake(&stranger, &stranger, &admin, "localhost").is_err(),
        "a client of another authority"
    );
    assert!(
        handshake(&stranger, &first, &admin, "localhost").is_err(),
        "a server of another authority"
    );
}

#[test]
fn files_are_private_and_complete() {
    let root = tempfile::tempdir().expect("tempdir");
    let directory = root.path().join("a/b");
    Keys::load_or_create(&directory, &[]).expect("create");
    let mode = |path: &Path| {
        std::fs::metadata(path)
            .expect("metadata")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&directory), 0o700);
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .expect("list")
        .map(|e| e.expect("entry").file_name())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [AUTHORITY_FILE, SEALING_FILE],
        "no temporary file stays"
    );
    for file in files {
        assert_eq!(mode(&directory.join(file)), 0o600);
    }
    std::fs::set_permissions(directory.join(SEALING_FILE), Permissions::from_mode(0o644))
        .expect("chmod");
    assert!(matches!(
        Keys::load_or_create(&directory, &[]),
        Err(KeysError::Exposed { .. })
    ));
}

#[test]
fn a_lost_sealing_key_is_never_replaced_silently() {
    let root = tempfile::tempdir().expect("tempdir");
    let first = Keys::load_or_create(root.path(), &[]).expect("create");
    std::fs::remove_file(root.path().join(SEALING_FILE)).expect("remove");
    assert!(matches!(
        Keys::load_or_create(root.path(), &[]),
        Err(KeysError::SealingKeyMissing { .. })
    ));
    // The other way round is harmless: kubeconfigs are written anew.
    std::fs::write(
        root.path().join(SEALING_FILE),
        first.sealing_text().as_bytes(),
    )
    .expect("write");
    std::fs::set_permissions(
        root.path().join(SEALING_FILE),
        Permissions::from_mode(0o600),
    )
    .expect("chmod");
    std::fs::remove_file(root.path().join(AUTHORITY_FILE)).expect("remove");
    let second = Keys::load_or_create(root.path(), &[]).expect("new authority");
    assert_eq!(first.sealing_key(), second.sealing_key());
    assert_ne!(first.authority(), second.authority());
}

#[test]
fn processes_that_start_at_once_share_their_keys() {
    let root = tempfile::tempdir().expect("tempdir");
    let found: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let keys = Keys::load_or_create(root.path(), &[]).expect("keys");
                    (keys.authority().to_owned(), *keys.sealing_key())
                })
            })
            .collect();
        starts
            .into_iter()
            .map(|s| s.join().expect("thread"))
            .collect()
    });
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn mounted_secrets_give_the_same_keys() {
    let keys = Keys::generate(&[]).expect("generate");
    let root = tempfile::tempdir().expect("tempdir");
    let mounted = root.path().join(AUTHORITY_FILE);
    // Swarm mounts secrets readable for the task's user alone or for all, as the service says: not ours to judge.
    std::fs::write(&mounted, keys.authority_text().as_bytes()).expect("write");
    assert!(
        matches!(
            Keys::open(&mounted, &[]),
            Err(KeysError::File {
                operation: "read",
                ..
            })
        ),
        "sealing key missing"
    );
    std::fs::write(
        root.path().join(SEALING_FILE),
        keys.sealing_text().as_bytes(),
    )
    .expect("write");
    let opened = Keys::open(&mounted, &[]).expect("open");
    assert_eq!(opened.authority(), keys.authority());
    assert_eq!(opened.sealing_key(), keys.sealing_key());
    let admin = pki::create_client(&opened.authority, "admin", "system:masters").expect("admin");
    handshake(&opened, &keys, &admin, "localhost").expect("same authority");
}

#[test]
fn damaged_texts_are_refused_by_name() {
    let keys = Keys::generate(&[]).expect("generate");
    let (authority, sealing) = (keys.authority_text(), keys.sealing_text());
    let refused = |a: &str, s: &str| {
        Keys::from_bundle(a, s, &[])
            .expect_err("must be refused")
            .to_string()
    };
    assert!(refused(keys.authority(), &sealing).contains("no private key"));
    assert!(refused("", &sealing).contains("no certificate"));
    assert!(refused(&authority, "abc").contains("64 hexadecimal digits"));
    assert!(refused(&authority, &"é".repeat(64)).contains("64 hexadecimal digits"));
    for bad in [
        "not a name",
        "",
        "a..b",
        "-a",
        "host:6443",
        "10.0.0.1:6443",
        "a/b",
    ] {
        let error = Keys::from_bundle(&authority, &sealing, &names(&[bad]))
            .expect_err("must be refused")
            .to_string();
        assert!(error.contains(&format!("{bad:?}")), "{error}");
    }
}

#[test]
fn the_authority_lasts_ten_years() {
    let keys = Keys::generate(&[]).expect("generate");
    let left = keys
        .expires()
        .expect("expires")
        .duration_since(Timestamp::now())
        .as_hours()
        / 24;
    assert!((3645..=3655).contains(&left), "{left} days");
}

#[test]
fn a_kubeconfig_is_understood_and_written_privately() {
    let keys = Keys::generate(&[]).expect("generate");
    let text = keys
        .kubeconfig(&api_url("fd00::7", 6443))
        .expect("kubeconfig");
    let config = kube::config::Kubeconfig::from_yaml(&text).expect("parse");
    let cluster = config.clusters[0].cluster.as_ref().expect("cluster");
    assert_eq!(cluster.server.as_deref(), Some("https://[fd00::7]:6443"));
    let decode = |text: &str| {
        base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text).expect("base64")
    };
    assert_eq!(
        decode(cluster.certificate_authority_data.as_deref().expect("ca")),
        keys.authority().as_bytes()
    );

    let root = tempfile::tempdir().expect("tempdir");
    let path = root.path().join("kubeconfig");
    std::fs::write(&path, "old, readable for all").expect("write");
    write_private(&path, &text).expect("write");
    assert_eq!(std::fs::read_to_string(&path).expect("read"), *text);
    assert_eq!(
        std::fs::metadata(&path)
            .expect("metadata")
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}

#[test]
fn nothing_secret_in_debug() {
    let keys = Keys::generate(&[]).expect("generate");
    let shown = format!("{keys:?}{:?}", keys.server);
    assert!(!shown.contains("PRIVATE") && !shown.contains(keys.sealing_text().trim()));
}
