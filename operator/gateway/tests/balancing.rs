//! Clients through the gateway to fake proxies.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use milvus_gateway::Check;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn connections_spread_and_follow_the_name() {
    let (port, names) = (free_port(), Arc::new(Names::default()));
    let proxies = [Proxy::start(2, port).await, Proxy::start(3, port).await];
    names.set("proxy", &[2, 3]);
    let running = run(config(port), &names, None).await;
    live(&running, 2).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(greet(running.address).await.unwrap());
    }
    assert_eq!([proxies[0].accepted(), proxies[1].accepted()], [5, 5]);

    let third = Proxy::start(4, port).await;
    names.set("proxy", &[3, 4]);
    eventually("the third is followed, the first left", || {
        let backends = running.gateway.stats().backends;
        backends.iter().any(|b| b.address.ip() == ip(4) && b.live)
            && backends
                .iter()
                .any(|b| b.address.ip() == ip(2) && !b.listed)
    })
    .await;
    for _ in 0..5 {
        held.push(greet(running.address).await.unwrap());
    }
    assert_eq!(third.accepted(), 5, "the new one has the fewest");
    // Connections to the one that left go on, and it is forgotten after them.
    for (stream, _) in &mut held {
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    }
    drop(held);
    eventually("forgotten", || running.gateway.stats().backends.len() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_refuses_is_passed_over_and_marked() {
    let (port, names) = (free_port(), Arc::new(Names::default()));
    let _alive = Proxy::start(2, port).await;
    names.set("proxy", &[2, 3]);
    let running = run(config(port), &names, None).await;
    live(&running, 2).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let (stream, from) = greet(running.address).await.unwrap();
        assert_eq!(from, 2);
        held.push(stream);
    }
    let stats = running.gateway.stats();
    let dead = stats
        .backends
        .iter()
        .find(|b| b.address.ip() == ip(3))
        .unwrap();
    assert!(dead.marked_down);
    assert_eq!(dead.failed_total, 3, "not asked again once it is marked");
    assert_eq!(stats.connections.served_total, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_a_moment_for_a_backend_to_appear() {
    let (port, names) = (free_port(), Arc::new(Names::default()));
    let running = run(config(port), &names, None).await;
    let began = Instant::now();
    let address = running.address;
    let waiting = tokio::spawn(async move { greet(address).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _proxy = Proxy::start(2, port).await;
    names.set("proxy", &[2]);
    assert_eq!(waiting.await.unwrap().unwrap().1, 2);
    assert!(began.elapsed() < Duration::from_millis(1500));

    names.set("proxy", &[]);
    live(&running, 0).await;
    assert!(greet(running.address).await.is_err(), "but not for ever");
    assert_eq!(running.gateway.stats().connections.unserved_total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_ready_backend_gets_connections() {
    let (port, health_port) = (free_port(), free_port());
    let names = Arc::new(Names::default());
    let _proxies = [Proxy::start(2, port).await, Proxy::start(3, port).await];
    let (first, second) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(500)));
    health(2, health_port, Arc::clone(&first)).await;
    health(3, health_port, Arc::clone(&second)).await;
    names.set("proxy", &[2, 3]);
    let mut config = config(port);
    config.check = Some(Check {
        port: health_port,
        path: "/healthz".to_owned(),
        interval: Duration::from_millis(50),
        timeout: Duration::from_millis(500),
    });
    let running = run(config, &names, None).await;
    live(&running, 1).await;
    for _ in 0..4 {
        assert_eq!(greet(running.address).await.unwrap().1, 2);
    }
    second.store(200, SeqCst);
    live(&running, 2).await;
    first.store(503, SeqCst);
    live(&running, 1).await;
    for _ in 0..4 {
        assert_eq!(greet(running.address).await.unwrap().1, 3);
    }
    let stats = running.gateway.stats();
    assert_eq!(stats.backends[0].health, "/healthz answered 503");
}

#[tokio::test(flavor = "multi_thread")]
async fn big_transfers_both_ways_with_half_close() {
    let (port, names) = (free_port(), Arc::new(Names::default()));
    let _proxy = Proxy::start(2, port).await;
    names.set("proxy", &[2]);
    let running = run(config(port), &names, server_tls(&pki())).await;
    live(&running, 1).await;
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let sent: Vec<u8> = (0..32u32 * 1024 * 1024 / 4)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_be_bytes())
        .collect();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        write.write_all(b"P").await.unwrap();
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
        write
    });
    let mut received = Vec::new();
    read.read_to_end(&mut received).await.unwrap();
    assert_eq!(&received[..2], &[2, b'P']);
    assert!(
        received[2..] == expected,
        "{} bytes came back",
        received.len()
    );
    writer.await.unwrap();
    eventually("closed", || running.gateway.stats().connections.active == 0).await;
    assert_eq!(running.gateway.stats().connections.broken_total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_the_server_is_served() {
    let (port, names) = (free_port(), Arc::new(Names::default()));
    let _proxy = Proxy::start(2, port).await;
    names.set("proxy", &[2]);
    let running = run(config(port), &names, server_tls(&pki())).await;
    live(&running, 1).await;
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let greeting = tokio::time::timeout(Duration::from_secs(1), silent.read_u8()).await;
    assert_eq!(greeting.unwrap().unwrap(), 2);
    // One that leaves without a word costs no backend connection.
    let served = running.gateway.stats().connections.served_total;
    drop(TcpStream::connect(running.address).await.unwrap());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(running.gateway.stats().connections.served_total, served);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_of_the_backend_is_a_reset_for_the_client() {
    let (port, names) = (free_port(), Arc::new(Names::default()));
    let listener = TcpListener::bind((ip(2), port)).await.unwrap();
    names.set("proxy", &[2]);
    let running = run(config(port), &names, None).await;
    live(&running, 1).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(b"P").await.unwrap();
    let (mut backend, _) = listener.accept().await.unwrap();
    assert_eq!(backend.read_u8().await.unwrap(), b'P');
    socket2::SockRef::from(&backend)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(backend);
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_turns_clients_away_but_not_the_operator() {
    let (port, names, pki) = (free_port(), Arc::new(Names::default()), pki());
    let _proxy = Proxy::start(2, port).await;
    names.set("proxy", &[2]);
    let mut config = config(port);
    config.max_connections = 3;
    let running = run(config, &names, server_tls(&pki)).await;
    live(&running, 1).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(greet(running.address).await.unwrap());
    }
    assert!(greet(running.address).await.is_err());
    let stats = client(&[running.address], &pki).stats().await.unwrap();
    assert_eq!(stats.connections.active, 3);
    assert_eq!(stats.connections.over_limit_total, 1);
    held.pop();
    eventually("a place is free", || {
        running.gateway.stats().connections.active == 2
    })
    .await;
    greet(running.address).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_clients_finish_and_interrupts_the_rest() {
    let (port, names) = (free_port(), Arc::new(Names::default()));
    let _proxy = Proxy::start(2, port).await;
    names.set("proxy", &[2]);
    let mut config = config(port);
    config.drain_timeout = Duration::from_millis(800);
    let running = run(config, &names, None).await;
    live(&running, 1).await;
    let (mut finishing, _) = greet(running.address).await.unwrap();
    let (mut stuck, _) = greet(running.address).await.unwrap();
    running.stop.cancel();
    eventually("stopping", || running.gateway.stats().stopping).await;
    assert!(TcpStream::connect(running.address).await.is_err());
    finishing.write_all(b"y").await.unwrap();
    assert_eq!(finishing.read_u8().await.unwrap(), b'y');
    drop(finishing);
    let stopped = running.task.await.unwrap();
    assert_eq!(stopped.interrupted, 1);
    assert!(stuck.read_u8().await.is_err());
}
