//! Events, work on single nodes, the store, the way in, and a lost quorum.

use crate::bed::*;
use crate::fixtures::cluster;
use futures::StreamExt;
use milvus_core::action::{Action, CreateCause};
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::desired::Template;
use milvus_core::names::Incarnation;
use milvus_core::outline::ObjectId;
use milvus_platform::{Backend, Change, Class};
use milvus_swarm::api::Engine;
use std::time::{Duration, Instant};

#[tokio::test]
async fn changes_are_heard() {
    let bed = Bed::open().await;
    let me = cluster("swarmevents", "uid-4");
    bed.remove_all(&me).await;
    let rendered = bed.backend.render(&bed.desired(me.clone())).unwrap();
    let mut changes = Box::pin(bed.backend.changes());
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(5), changes.next())
            .await
            .unwrap(),
        Some(Change::Everything)
    );
    bed.backend.observe(&me, Some(&rendered)).await.unwrap();
    let start = Instant::now();
    let id = ObjectId::new("network", "swarmevents_backend");
    let action = Action::Create {
        id,
        cause: CreateCause::New,
    };
    bed.backend
        .apply(&me, &action, Some(&rendered))
        .await
        .unwrap();
    loop {
        let change = tokio::time::timeout(Duration::from_secs(5), changes.next())
            .await
            .unwrap();
        if change == Some(Change::Cluster(me.key.clone())) {
            break;
        }
    }
    println!("heard after {:?}", start.elapsed());
    bed.remove_all(&me).await;
}

#[tokio::test]
async fn work_on_a_single_node_is_done_and_proven() {
    let bed = Bed::open().await;
    let me = cluster("swarmnode", "uid-5");
    bed.remove_all(&me).await;
    let node = bed.nodes[1].clone();
    // Work on a node is started by one call and seen by a later one.
    let apply = async |action: Action| {
        for _ in 0..300 {
            match bed.backend.apply(&me, &action, None).await {
                Ok(outcome) if outcome.underway => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                result => return result,
            }
        }
        panic!("it does not end: {action:?}");
    };
    let first = Incarnation {
        mark: None,
        epoch: 1,
    };
    let prepare = |base: &str| Action::PrepareDirectory {
        node: node.clone(),
        base: base.to_owned(),
        directory: me
            .key
            .directory(WorkloadKey::member(Component::Etcd, 1), "data", &first),
    };
    let remove = |volume: &str, bind_base: Option<&str>| Action::RemoveVolume {
        node: node.clone(),
        volume: volume.to_owned(),
        bind_base: bind_base.map(str::to_owned),
    };

    let start = Instant::now();
    apply(prepare("/run")).await.unwrap();
    println!("directory made in {:?}", start.elapsed());
    apply(prepare("/run")).await.unwrap();
    let error = apply(prepare("/no/such/base")).await.unwrap_err();
    assert_eq!(error.class, Class::Invalid, "{error}");
    assert!(error.to_string().contains("/no/such/base"), "{error}");
    apply(remove("swarmnode/etcd-1-e1", Some("/run")))
        .await
        .unwrap();

    // A volume in use is not deleted; an unused one is; one that is not there is gone already; one of others stays.
    let mut desired = bed.desired(me.clone());
    desired.workloads.truncate(1);
    let rendered = bed.backend.render(&desired).unwrap();
    bed.create_all(&rendered).await;
    bed.wait(&rendered, "members run", |o| {
        running(o, Component::Etcd) == 3
    })
    .await;
    let error = apply(remove("swarmnode_etcd-1-data-c0ffee-e1", None))
        .await
        .unwrap_err();
    assert_eq!(error.class, Class::Transient, "{error}");
    bed.remove_all(&me).await;
    let start = Instant::now();
    loop {
        match apply(remove("swarmnode_etcd-1-data-c0ffee-e1", None)).await {
            Ok(_) => break,
            Err(error) => {
                println!("{error}");
                assert_eq!(error.class, Class::Transient, "{error}");
            }
        }
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    println!("volume removed in {:?}", start.elapsed());
    apply(remove("swarmnode_etcd-1-data-c0ffee-e1", None))
        .await
        .unwrap();
    let other = "somebody-elses-volume";
    let engine = Engine::connect(&bed.host).await.unwrap();
    let here = engine.nodes().await.unwrap();
    let here = here
        .iter()
        .find(|n| n.description.hostname == "node1")
        .unwrap();
    bed.docker(&["volume", "create", other]);
    let action = Action::RemoveVolume {
        node: here.id.clone(),
        volume: other.to_owned(),
        bind_base: None,
    };
    let error = apply(action).await.unwrap_err();
    bed.docker(&["volume", "rm", other]);
    assert_eq!(error.class, Class::Invalid, "{error}");
    let left = bed.backend.observe(&me, None).await.unwrap();
    assert!(left.objects.is_empty(), "{:?}", left.objects);
}

#[tokio::test]
async fn records_are_kept_in_configs() {
    use bytes::Bytes;
    use milvus_apiserver::store::swarm::{SwarmStore, SwarmStoreOptions};
    use milvus_apiserver::store::{Store, StoreError};
    use milvus_swarm::SwarmConfigs;

    let bed = Bed::open().await;
    let engine = Engine::connect(&bed.host).await.unwrap();
    let options = SwarmStoreOptions {
        label_prefix: "io.milvus.operator".to_owned(),
        name_prefix: "livestore".to_owned(),
        instance: "live".to_owned(),
        resync: Duration::from_secs(60),
    };
    let open = || SwarmStore::new(SwarmConfigs::new(engine.clone()), options.clone());
    let store = open();
    for record in store.load_all().await.unwrap() {
        store.delete(&record.key, record.revision).await.unwrap();
    }
    let large = Bytes::from("x".repeat(300_000));
    let first = store.create("a.b/c/d", Bytes::from("one")).await.unwrap();
    assert!(matches!(
        store.create("a.b/c/d", large.clone()).await,
        Err(StoreError::Exists { .. })
    ));
    let second = store.update("a.b/c/d", first, large.clone()).await.unwrap();
    assert!(matches!(
        store.update("a.b/c/d", first, Bytes::from("stale")).await,
        Err(StoreError::Conflict { .. })
    ));
    // Another process, which knows nothing of the first.
    let other = open();
    let records = other.load_all().await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!((&records[0].body, records[0].revision), (&large, second));
    let third = other
        .update("a.b/c/d", second, Bytes::from("three"))
        .await
        .unwrap();
    assert!(matches!(
        store.update("a.b/c/d", second, Bytes::from("stale")).await,
        Err(StoreError::Conflict { .. })
    ));
    let mut changes = other.changes("none");
    let start = Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let name = bed.docker(&[
        "config",
        "ls",
        "--filter",
        "name=livestore-",
        "--format",
        "{{.Name}}",
    ]);
    let listen = tokio::spawn(async move { changes.next().await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    bed.docker(&["config", "rm", &name]);
    let change = tokio::time::timeout(Duration::from_secs(10), listen)
        .await
        .unwrap()
        .unwrap();
    println!(
        "a removal by hand is heard within {:?}: {change:?}",
        start.elapsed()
    );
    assert!(matches!(
        change,
        Some(milvus_apiserver::store::Change::Vanished { .. })
    ));
    let _ = third;
}

#[tokio::test]
async fn a_gateway_leads_into_the_clusters_network() {
    use milvus_core::desired::{FileMount, FileSource, SecretFile};
    use milvus_gateway::pki::{Validity, generate};
    use milvus_platform::{DialError, TunnelCredentials};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let bed = Bed::open().await;
    let me = cluster("swarmdial", "uid-6");
    bed.remove_all(&me).await;
    let validity = Validity {
        from: std::time::SystemTime::now(),
        lasts: Duration::from_secs(3600),
    };
    let pki = generate("swarmdial", validity).unwrap();
    let mut desired = bed.desired(me.clone());
    desired.secrets.insert(
        "gateway-tls".to_owned(),
        SecretFile {
            content: pki.gateway_bundle().into_bytes(),
            fingerprint: "aabbccddeeff00112233".to_owned(),
        },
    );
    let gateway = &mut desired.workloads[3];
    gateway.image.reference = gateway_image();
    gateway.command = Vec::new();
    gateway.args = [
        "--backend=tasks.swarmdial_proxy:19530",
        "--health-port=0",
        "--tls-bundle=/tls.pem",
        "--allow=*:2379",
    ]
    .map(Template::from)
    .to_vec();
    gateway.files = vec![FileMount {
        source: FileSource::Secret("gateway-tls".to_owned()),
        path: "/tls.pem".to_owned(),
        mode: 0o444,
    }];
    let credentials = TunnelCredentials {
        ca: pki.authority.certificate.clone(),
        certificate: pki.operator.certificate.clone(),
        key: pki.operator.key.clone(),
    };
    let rendered = bed.backend.render(&desired).unwrap();
    let before = bed.backend.observe(&me, Some(&rendered)).await.unwrap();
    let Err(no_path) = bed
        .backend
        .dial(&me, &before, &credentials)
        .dial("etcd-0", 2379)
        .await
    else {
        panic!("there is no gateway yet");
    };
    bed.create_all(&rendered).await;
    let observed = bed.wait(&rendered, "everything runs", up).await;
    let dial = bed.backend.dial(&me, &observed, &credentials);
    let start = Instant::now();
    let ask = async |host: &str| -> Result<String, DialError> {
        let mut stream = dial.dial(host, 2379).await?;
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        Ok(text)
    };
    let mut healthy = 0;
    while healthy < 3 {
        healthy = 0;
        for host in ["etcd-0", "etcd-1", "etcd-2"] {
            if let Ok(answer) = ask(host).await
                && answer.contains(r#""health":"true""#)
            {
                healthy += 1;
            }
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{healthy} of 3 answer"
        );
    }
    println!(
        "etcd answers through the gateway after {:?}",
        start.elapsed()
    );
    let start = Instant::now();
    ask("etcd-0").await.unwrap();
    println!("one question takes {:?}", start.elapsed());
    let unknown = ask("etcd-9").await.unwrap_err();
    let again = bed.backend.dial(&me, &observed, &credentials);
    bed.remove_all(&me).await;
    assert!(matches!(no_path, DialError::NoPath(_)), "{no_path:?}");
    assert!(matches!(unknown, DialError::NotFound(_)), "{unknown:?}");
    assert!(
        std::sync::Arc::ptr_eq(&dial, &again),
        "the way is kept between passes"
    );
}

#[tokio::test]
async fn a_lost_quorum_is_never_taken_for_absence() {
    let bed = Bed::open().await;
    let me = cluster("swarmquorum", "uid-7");
    bed.remove_all(&me).await;
    let mut desired = bed.desired(me.clone());
    desired.workloads.truncate(3);
    let rendered = bed.backend.render(&desired).unwrap();
    bed.create_all(&rendered).await;
    bed.wait(&rendered, "members run", |o| {
        running(o, Component::Etcd) == 3
    })
    .await;
    let all = bed
        .backend
        .observe(&me, Some(&rendered))
        .await
        .unwrap()
        .objects;

    testbed().kill(&[2, 3]);
    let start = Instant::now();
    let (mut answers, mut refusals) = (0, 0);
    let mut healed = None;
    loop {
        match bed.backend.observe(&me, Some(&rendered)).await {
            Ok(observed) => {
                answers += 1;
                assert_eq!(observed.objects.len(), all.len(), "objects seem to be gone");
                for (id, object) in &observed.objects {
                    assert_eq!(object.difference, None, "{id}");
                }
                if healed.is_some_and(|at: Instant| at.elapsed() > Duration::from_secs(10)) {
                    break;
                }
            }
            Err(error) => {
                refusals += 1;
                assert_eq!(error.class, Class::Transient, "{error}");
                if refusals > 20 && healed.is_none() && start.elapsed() > Duration::from_secs(20) {
                    println!("{error}");
                    testbed().start(&[2, 3]);
                    healed = Some(Instant::now());
                }
            }
        }
        assert!(
            start.elapsed() < Duration::from_secs(180),
            "{answers} {refusals}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{answers} answers, {refusals} refusals, none of them false");
    bed.wait(&rendered, "members run again", |o| {
        running(o, Component::Etcd) == 3
    })
    .await;
    bed.remove_all(&me).await;
}
