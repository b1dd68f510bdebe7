//! The operator's tunnel: who gets in, where it leads, and what happens when gateways go.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use milvus_gateway::pki;
use milvus_gateway::tunnel::{Client, TunnelError};
use milvus_gateway::wire::{ALPN, Kind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn gateway(port: u16, names: &Arc<Names>, pki: &pki::ClusterPki) -> Running {
    let mut config = config(port);
    config.allow = ["etcd-0:2379", "*:9091", &format!("*:{port}"), "hangs:1"]
        .iter()
        .map(|allow| allow.parse().unwrap())
        .collect();
    run(config, names, server_tls(pki)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_reach_the_overlay() {
    let (port, names, pki) = (free_port(), Arc::new(Names::default()), pki());
    let _etcd = Proxy::start(5, port).await;
    names.set("etcd", &[5]);
    names.set("tasks.querynode", &[4, 2, 3]);
    let running = gateway(port, &names, &pki).await;
    let client = Arc::new(client(&[running.address], &pki));

    let mut stream = client.connect("etcd", port).await.unwrap();
    assert_eq!(stream.address(), Some(SocketAddr::new(ip(5), port)));
    let sent = vec![7u8; 3_000_000];
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let writing = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let (_, read) = tokio::join!(writing, read.read_to_end(&mut received));
    read.unwrap();
    assert_eq!(received.len(), 1 + sent.len());
    assert_eq!(received[0], 5);

    assert_eq!(
        client.resolve("tasks.querynode").await.unwrap(),
        [ip(2), ip(3), ip(4)]
    );

    // Many dials share one connection.
    let dials = (0..200).map(|_| {
        let client = Arc::clone(&client);
        tokio::spawn(async move {
            let mut stream = client.connect("etcd", port).await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), 5);
            stream.write_all(b"z").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'z');
        })
    });
    for dial in dials.collect::<Vec<_>>() {
        dial.await.unwrap();
    }
    let stats = client.stats().await.unwrap();
    assert_eq!(stats.version, milvus_gateway::VERSION);
    assert_eq!(stats.tunnel.sessions, 1);
    assert_eq!(stats.tunnel.dials_total, 201);
    assert_eq!(stats.connections.served_total, 0);
    eventually("all streams closed", || {
        running.gateway.stats().tunnel.streams == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why() {
    let (port, names, pki) = (free_port(), Arc::new(Names::default()), pki());
    names.set("etcd", &[5]);
    names.set("etcd-0", &[5]);
    let running = gateway(port, &names, &pki).await;
    let client = client(&[running.address], &pki);
    for (host, port, kind) in [
        ("etcd", 2379, Kind::Denied),
        ("etcd-0", 22, Kind::Denied),
        ("missing", 9091, Kind::NotFound),
        ("etcd", port, Kind::Refused),
        ("hangs", 1, Kind::Timeout),
    ] {
        let Err(error) = client.connect(host, port).await else {
            panic!("{host}:{port} was dialled");
        };
        assert_eq!(error.kind(), Some(kind), "{error}");
        assert!(error.to_string().contains(host), "{error}");
    }
    assert_eq!(
        client.resolve("missing").await.unwrap_err().kind(),
        Some(Kind::NotFound)
    );
    assert!(matches!(
        client.connect("a b", 1).await,
        Err(TunnelError::Target { .. })
    ));
    assert_eq!(client.stats().await.unwrap().tunnel.dials_failed_total, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_spares_the_backend_on_every_gateway() {
    let (port, names, pki) = (free_port(), Arc::new(Names::default()), pki());
    let _proxies = [Proxy::start(2, port).await, Proxy::start(3, port).await];
    names.set("proxy", &[2, 3]);
    let (first, second) = (
        gateway(port, &names, &pki).await,
        gateway(port, &names, &pki).await,
    );
    live(&first, 2).await;
    live(&second, 2).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(greet(first.address).await.unwrap());
    }
    let client = client(&[first.address, second.address], &pki);
    let lasts = Duration::from_secs(60);
    let open = |answers: Vec<(SocketAddr, Result<Vec<milvus_gateway::wire::Draining>, _>)>| {
        let count = |answer: Result<Vec<milvus_gateway::wire::Draining>, TunnelError>| {
            answer.unwrap().iter().map(|d| d.active).sum::<u64>()
        };
        answers
            .into_iter()
            .map(|(_, answer)| count(answer))
            .collect::<Vec<_>>()
    };
    assert_eq!(open(client.drain(&[ip(2)], lasts).await), [2, 0]);
    for running in [&first, &second] {
        for _ in 0..4 {
            let (stream, from) = greet(running.address).await.unwrap();
            assert_eq!(from, 3);
            held.push((stream, from));
        }
    }
    let (stream, _) = held.iter_mut().find(|(_, from)| *from == 2).unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(
        stream.read_u8().await.unwrap(),
        b'x',
        "open connections go on"
    );
    held.retain(|(_, from)| *from != 2);
    eventually("the drained one is free", || {
        first
            .gateway
            .stats()
            .backends
            .iter()
            .all(|b| !b.draining || b.active == 0)
    })
    .await;
    assert_eq!(open(client.drain(&[ip(2)], lasts).await), [0, 0]);
    assert_eq!(open(client.drain(&[], lasts).await), [0, 0]);
    assert_eq!(greet(first.address).await.unwrap().1, 2);
    let too_long = client.drain(&[ip(2)], Duration::from_secs(86400)).await;
    assert!(
        too_long
            .iter()
            .all(|(_, a)| a.as_ref().unwrap_err().kind() == Some(Kind::Invalid))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let (port, names, ours) = (free_port(), Arc::new(Names::default()), pki());
    let theirs = pki();
    let proxy = Proxy::start(2, port).await;
    names.set("proxy", &[2]);
    let running = gateway(port, &names, &ours).await;
    live(&running, 1).await;
    let authority = &ours.authority.certificate;

    let mut no_certificate = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS13])
    .unwrap()
    .with_root_certificates({
        use rustls::pki_types::pem::PemObject;
        let mut roots = rustls::RootCertStore::empty();
        let certificate = rustls::pki_types::CertificateDer::from_pem_slice(authority.as_bytes());
        roots.add(certificate.unwrap()).unwrap();
        roots
    })
    .with_no_client_auth();
    no_certificate.alpn_protocols = vec![ALPN.to_vec()];

    let identity = |identity: &pki::Identity, authority: &str| {
        pki::client_config(&identity.certificate, &identity.key, authority).unwrap()
    };
    let strangers = [
        ("no certificate", Arc::new(no_certificate)),
        (
            "another authority's operator",
            identity(&theirs.operator, authority),
        ),
        ("a gateway", identity(&ours.gateway, authority)),
        (
            "an operator that trusts another authority",
            operator_tls(&theirs),
        ),
    ];
    let wanted = strangers.len() as u64;
    for (who, tls) in strangers {
        let client = Client::new(vec![running.address], tls);
        let error = client.stats().await.expect_err(who);
        assert!(
            matches!(error, TunnelError::NoGateway { .. }),
            "{who}: {error}"
        );
    }
    eventually("all handshakes failed", || {
        running.gateway.stats().tunnel.handshakes_failed_total == wanted
    })
    .await;
    assert_eq!(proxy.accepted(), 0, "no stranger was handed to a proxy");
    client(&[running.address], &ours).stats().await.unwrap();
}

/// Signed by the right authority, for clients, with another name.
#[tokio::test(flavor = "multi_thread")]
async fn another_name_under_the_same_authority_is_refused() {
    let (port, names, pki) = (free_port(), Arc::new(Names::default()), pki());
    let running = gateway(port, &names, &pki).await;
    let key = rcgen::KeyPair::from_pem(&pki.authority.key).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&pki.authority.certificate, key).unwrap();
    let try_name = async |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        let authority = &pki.authority.certificate;
        let tls = pki::client_config(&certificate, &key.serialize_pem(), authority).unwrap();
        Client::new(vec![running.address], tls).stats().await
    };
    assert!(try_name("milvus-operator").await.is_ok());
    assert!(try_name("somebody").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_of_clients_is_forwarded_byte_for_byte() {
    let (port, names, pki) = (free_port(), Arc::new(Names::default()), pki());
    let listener = TcpListener::bind((ip(2), port)).await.unwrap();
    names.set("proxy", &[2]);
    let running = gateway(port, &names, &pki).await;
    live(&running, 1).await;
    let mut config = (*operator_tls(&pki)).clone();
    for alpn in [vec![], vec![b"h2".to_vec()]] {
        config.alpn_protocols = alpn;
        let name = "milvus.example".try_into().unwrap();
        let tls = Arc::new(config.clone());
        let mut connection = rustls::ClientConnection::new(tls, name).unwrap();
        let mut hello = Vec::new();
        connection.write_tls(&mut hello).unwrap();
        let mut client = TcpStream::connect(running.address).await.unwrap();
        client.set_nodelay(true).unwrap();
        for byte in &hello {
            client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let (mut backend, _) = listener.accept().await.unwrap();
        let mut seen = vec![0; hello.len()];
        backend.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, hello);
    }
    assert_eq!(running.gateway.stats().tunnel.handshakes_failed_total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_hello_goes_to_a_backend_in_the_end() {
    let (port, names, pki) = (free_port(), Arc::new(Names::default()), pki());
    let _proxy = Proxy::start(2, port).await;
    names.set("proxy", &[2]);
    let mut config = config(port);
    config.hello_wait = Duration::from_millis(300);
    let running = run(config, &names, server_tls(&pki)).await;
    live(&running, 1).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(&[22, 3, 1]).await.unwrap();
    let mut seen = [0; 4];
    client.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, [2, 22, 3, 1]);
    // The same when the client stops sending half-way.
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(&[22, 3]).await.unwrap();
    client.shutdown().await.unwrap();
    let mut seen = Vec::new();
    client.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, [2, 22, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_gateway_takes_over_and_a_restarted_one_is_found_again() {
    let (port, names, pki) = (free_port(), Arc::new(Names::default()), pki());
    let first = gateway(port, &names, &pki).await;
    let second = gateway(port, &names, &pki).await;
    let client = client(&[first.address, second.address], &pki);
    assert_eq!(client.stats().await.unwrap().tunnel.sessions, 1);
    let (address, began) = (first.address, Instant::now());
    first.stop.cancel();
    first.task.await.unwrap();
    client.stats().await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(second.gateway.stats().tunnel.sessions, 1);
    let all = client.stats_of_all().await;
    assert!(all[0].1.is_err() && all[1].1.is_ok());

    second.stop.cancel();
    second.task.await.unwrap();
    let error = client.stats().await.unwrap_err();
    assert!(
        matches!(&error, TunnelError::NoGateway { reasons } if reasons.len() == 2),
        "{error}"
    );
    let _again = run_at(address, config(port), &names, server_tls(&pki)).await;
    client.stats().await.unwrap();

    client.set_addresses(&[]);
    assert!(matches!(
        client.stats().await,
        Err(TunnelError::NoGateway { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_accepts_and_says_nothing_is_left_in_time() {
    let (port, names, pki) = (free_port(), Arc::new(Names::default()), pki());
    let mute = TcpListener::bind((ip(1), 0)).await.unwrap();
    let running = gateway(port, &names, &pki).await;
    let client = client(&[mute.local_addr().unwrap(), running.address], &pki);
    let began = Instant::now();
    client.stats().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
    let again = Instant::now();
    client.stats().await.unwrap();
    assert!(
        again.elapsed() < Duration::from_millis(500),
        "the good one comes first now"
    );
}

/// The first gateway's node is cut off from the overlay of the others.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_gateway_does_not_reach_is_asked_of_another() {
    let (port, pki) = (free_port(), pki());
    let (blind, names) = (Arc::new(Names::default()), Arc::new(Names::default()));
    names.set("etcd", &[5]);
    let _etcd = Proxy::start(5, port).await;
    let first = gateway(port, &blind, &pki).await;
    let second = gateway(port, &names, &pki).await;
    let client = client(&[first.address, second.address], &pki);

    let stream = client.connect("etcd", port).await.unwrap();
    assert_eq!(stream.gateway(), second.address);
    assert_eq!(client.cut_off(), [], "its name server may lag behind");
    // From now on the other one is asked first, wherever it stands in the list.
    client.set_addresses(&[second.address, first.address]);
    client.set_addresses(&[first.address, second.address]);
    client.connect("etcd", port).await.unwrap();
    assert_eq!(first.gateway.stats().tunnel.dials_failed_total, 1);

    // What neither reaches is not there, and says nothing about the gateways.
    let Err(error) = client.connect("missing", port).await else {
        panic!("it was dialled");
    };
    assert_eq!(error.kind(), Some(Kind::NotFound));
    assert_eq!(client.cut_off(), []);

    // Asked again after a while it is the same, and once it reaches the target that is over.
    tokio::time::sleep(Duration::from_millis(5100)).await;
    client.connect("etcd", port).await.unwrap();
    eventually("it is found cut off", || {
        client.cut_off() == [first.address]
    })
    .await;
    blind.set("etcd", &[5]);
    tokio::time::sleep(Duration::from_millis(5100)).await;
    client.connect("etcd", port).await.unwrap();
    eventually("it is found to be well", || client.cut_off().is_empty()).await;

    client.set_addresses(&[second.address]);
    let Err(error) = client.connect("missing", port).await else {
        panic!("it was dialled");
    };
    assert_eq!(error.kind(), Some(Kind::NotFound), "one gateway is enough");
}
