//! Against a real Swarm of three nodes. Ignored unless asked for: `SWARM_HOST=unix:///... cargo test -p milvus-swarm --test
//! live -- --ignored --test-threads 1`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod fixtures;

use std::time::{Duration, Instant};

use fixtures::{cluster, desired};
use futures::StreamExt;
use milvus_core::action::{Action, CreateCause, RemoveCause};
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::desired::{Desired, Template};
use milvus_core::names::ClusterRef;
use milvus_core::observed::{DifferenceCause, InstanceState, Observed, Owner};
use milvus_core::outline::{ObjectClass, ObjectId};
use milvus_platform::{Backend, Change, Class, PlatformError, Rendered};
use milvus_swarm::api::Engine;
use milvus_swarm::render::Native;
use milvus_swarm::{Settings, SwarmBackend};

struct Bed {
    backend: SwarmBackend,
    host: String,
    nodes: Vec<String>,
}

impl Bed {
    async fn open() -> Self {
        let host = std::env::var("SWARM_HOST").expect("SWARM_HOST names the socket of a manager");
        let image =
            std::env::var("GATEWAY_IMAGE").unwrap_or_else(|_| "milvus-gateway:0.1.0".to_owned());
        let engine = Engine::connect(&host).await.unwrap();
        let backend = SwarmBackend::new(engine, Settings::new(image));
        let topology = backend.topology().await.unwrap();
        let nodes: Vec<String> = topology.nodes.iter().map(|n| n.id.clone()).collect();
        assert_eq!(nodes.len(), 3, "three nodes are needed: {topology:?}");
        Self {
            backend,
            host,
            nodes,
        }
    }

    fn desired(&self, cluster: ClusterRef) -> Desired {
        let nodes: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
        desired(cluster, &nodes)
    }

    async fn create_all(&self, rendered: &Rendered<Native>) -> usize {
        let mut wrote = 0;
        for class in [ObjectClass::Prerequisite, ObjectClass::Workload] {
            for (id, outline) in &rendered.outline {
                if outline.class == class {
                    let action = Action::Create {
                        id: id.clone(),
                        cause: CreateCause::New,
                    };
                    let outcome = self
                        .backend
                        .apply(&rendered.cluster, &action, Some(rendered))
                        .await
                        .unwrap();
                    wrote += usize::from(outcome.wrote);
                }
            }
        }
        wrote
    }

    async fn update(
        &self,
        rendered: &Rendered<Native>,
        id: &ObjectId,
        observed: &Observed,
    ) -> Result<bool, PlatformError> {
        let action = Action::Update {
            id: id.clone(),
            difference: observed.objects[id].difference.clone().unwrap(),
        };
        let outcome = self
            .backend
            .apply(&rendered.cluster, &action, Some(rendered))
            .await?;
        Ok(outcome.wrote)
    }

    async fn wait(
        &self,
        rendered: &Rendered<Native>,
        what: &str,
        done: impl Fn(&Observed) -> bool,
    ) -> Observed {
        let start = Instant::now();
        loop {
            let observed = self
                .backend
                .observe(&rendered.cluster, Some(rendered))
                .await
                .unwrap();
            if done(&observed) {
                println!("{what}: {:?}", start.elapsed());
                return observed;
            }
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{what}: {observed:#?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn remove_all(&self, cluster: &ClusterRef) {
        let start = Instant::now();
        loop {
            let observed = self.backend.observe(cluster, None).await.unwrap();
            let mut objects: Vec<_> = observed
                .objects
                .iter()
                .filter(|(_, o)| o.owner != Owner::Foreign)
                .collect();
            if objects.is_empty() && !observed.instances.iter().any(|i| i.state.may_run()) {
                return;
            }
            objects.sort_by_key(|(_, o)| o.class == ObjectClass::Prerequisite);
            for (id, object) in objects {
                let action = Action::Remove {
                    id: id.clone(),
                    native_id: object.native_id.clone(),
                    cause: RemoveCause::Deleted,
                };
                if let Err(error) = self.backend.apply(cluster, &action, None).await {
                    assert_eq!(error.class, Class::Transient, "{error}");
                }
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{observed:#?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    fn docker(&self, args: &[&str]) -> String {
        let output = std::process::Command::new("docker")
            .args(["-H", &self.host])
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "docker {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn service(rendered: &Rendered<Native>, key: WorkloadKey) -> ObjectId {
    ObjectId::new("service", rendered.cluster.key.workload(key))
}

fn running(observed: &Observed, component: Component) -> usize {
    observed
        .instances
        .iter()
        .filter(|i| {
            i.workload.component == component
                && i.wanted
                && i.current
                && i.state == InstanceState::Running
        })
        .count()
}

fn up(observed: &Observed) -> bool {
    running(observed, Component::Etcd) == 3
        && running(observed, Component::Proxy) == 2
        && running(observed, Component::Gateway) == 3
        && observed.instances.iter().any(|i| {
            i.workload.component == Component::PulsarInit && i.state == InstanceState::Complete
        })
}

fn quiet(observed: &Observed) -> bool {
    observed
        .objects
        .values()
        .all(|o| o.difference.is_none() && !o.updating)
}

#[tokio::test]
#[ignore = "needs a Swarm"]
async fn a_cluster_comes_up_is_put_right_and_goes() {
    let bed = Bed::open().await;
    let me = cluster("swarmlive", "uid-1");
    bed.remove_all(&me).await;
    let rendered = bed.backend.render(&bed.desired(me.clone())).unwrap();

    let start = Instant::now();
    assert_eq!(bed.create_all(&rendered).await, rendered.outline.len());
    println!(
        "created {} objects in {:?}",
        rendered.outline.len(),
        start.elapsed()
    );
    // Again: everything is there already.
    assert_eq!(bed.create_all(&rendered).await, 0);

    let observed = bed.wait(&rendered, "everything runs", up).await;
    assert!(quiet(&observed), "{:#?}", observed.objects);
    for instance in &observed.instances {
        if instance.state == InstanceState::Running {
            assert!(instance.address.is_some(), "{instance:?}");
        }
    }
    for (ordinal, node) in (0u16..).zip(&bed.nodes) {
        let member = WorkloadKey::member(Component::Etcd, ordinal);
        let instance = observed
            .instances
            .iter()
            .find(|i| i.workload == member && i.state == InstanceState::Running)
            .unwrap();
        assert_eq!(instance.node.as_ref(), Some(node));
    }
    assert!(observed.objects.values().all(|o| o.owner == Owner::Ours));
    assert_eq!(
        bed.backend
            .endpoints(&bed.desired(me.clone()), &observed)
            .len(),
        3
    );
    let topology = bed.backend.topology().await.unwrap();
    assert!(
        topology
            .nodes
            .iter()
            .all(|n| n.reserved_memory >= 64 << 20 && n.reserved_millicpu >= 50),
        "{topology:?}"
    );
    assert!(
        bed.docker(&["stack", "ls", "--format", "{{.Name}}"])
            .contains("swarmlive")
    );

    // Another generation alone is no difference.
    let mut next = me.clone();
    next.generation = 7;
    let rendered = bed.backend.render(&bed.desired(next)).unwrap();
    let observed = bed
        .backend
        .observe(&rendered.cluster, Some(&rendered))
        .await
        .unwrap();
    assert!(quiet(&observed), "{:#?}", observed.objects);

    // Hands at work.
    let proxy = service(&rendered, WorkloadKey::shared(Component::Proxy));
    bed.docker(&["service", "scale", "-d", "swarmlive_proxy=3"]);
    let observed = bed
        .wait(&rendered, "scaling seen", |o| {
            o.objects[&proxy].difference.is_some()
        })
        .await;
    let difference = observed.objects[&proxy].difference.clone().unwrap();
    assert_eq!(difference.cause, DifferenceCause::EditedByHand);
    assert_eq!(difference.fields, ["Mode.Replicated.Replicas"]);
    assert!(!difference.restarts);
    assert_eq!(observed.objects[&proxy].replicas, Some(3));
    assert!(bed.update(&rendered, &proxy, &observed).await.unwrap());
    assert!(
        !bed.update(&rendered, &proxy, &observed).await.unwrap(),
        "a second try writes nothing"
    );

    bed.docker(&[
        "service",
        "update",
        "-d",
        "--env-add",
        "X=1",
        "--label-add",
        "mine=kept",
        "swarmlive_proxy",
    ]);
    let observed = bed
        .wait(&rendered, "edit seen", |o| {
            o.objects[&proxy].difference.is_some()
        })
        .await;
    let difference = observed.objects[&proxy].difference.clone().unwrap();
    assert_eq!(difference.cause, DifferenceCause::EditedByHand);
    assert_eq!(difference.fields, ["TaskTemplate.ContainerSpec.Env"]);
    assert!(difference.restarts);
    assert!(bed.update(&rendered, &proxy, &observed).await.unwrap());
    bed.wait(&rendered, "edit undone", |o| quiet(o) && up(o))
        .await;
    assert_eq!(
        bed.docker(&[
            "service",
            "inspect",
            "swarmlive_proxy",
            "--format",
            "{{.Spec.Labels.mine}}"
        ]),
        "kept"
    );

    // A forced restart is not a difference.
    bed.docker(&["service", "update", "-d", "--force", "swarmlive_proxy"]);
    bed.wait(&rendered, "forced restart done", |o| quiet(o) && up(o))
        .await;

    // A change of the resource.
    let mut desired = bed.desired(me.clone());
    desired.workloads[2]
        .env
        .insert("LEVEL".to_owned(), Template::from("debug"));
    let rendered = bed.backend.render(&desired).unwrap();
    let observed = bed.backend.observe(&me, Some(&rendered)).await.unwrap();
    let changed: Vec<_> = observed
        .objects
        .iter()
        .filter(|(_, o)| o.difference.is_some())
        .map(|(id, _)| id.clone())
        .collect();
    assert_eq!(changed, std::slice::from_ref(&proxy));
    assert_eq!(
        observed.objects[&proxy].difference.as_ref().unwrap().cause,
        DifferenceCause::Spec
    );
    assert!(bed.update(&rendered, &proxy, &observed).await.unwrap());
    bed.wait(&rendered, "change rolled out", |o| quiet(o) && up(o))
        .await;

    // A member is stopped, seen gone, and comes back by an update.
    let member = WorkloadKey::member(Component::Etcd, 1);
    let id = service(&rendered, member);
    let stop = Action::Stop {
        id: id.clone(),
        reason: "test".to_owned(),
    };
    assert!(
        bed.backend
            .apply(&me, &stop, Some(&rendered))
            .await
            .unwrap()
            .wrote
    );
    assert!(
        !bed.backend
            .apply(&me, &stop, Some(&rendered))
            .await
            .unwrap()
            .wrote
    );
    let observed = bed
        .wait(&rendered, "member stopped", |o| {
            !o.instances
                .iter()
                .any(|i| i.workload == member && i.state.may_run())
        })
        .await;
    assert_eq!(observed.objects[&id].replicas, Some(0));
    assert!(bed.update(&rendered, &id, &observed).await.unwrap());
    bed.wait(&rendered, "member back", |o| quiet(o) && up(o))
        .await;

    // `docker stack rm`: what is left is told, and everything can be made again.
    bed.docker(&["stack", "rm", "swarmlive"]);
    let observed = bed.backend.observe(&me, Some(&rendered)).await.unwrap();
    println!(
        "after stack rm: {} objects, {} processes may still run",
        observed.objects.len(),
        observed
            .instances
            .iter()
            .filter(|i| i.state.may_run())
            .count()
    );
    assert!(
        observed
            .instances
            .iter()
            .filter(|i| i.state.may_run())
            .all(|i| !i.wanted)
    );
    bed.wait(&rendered, "all gone", |o| {
        o.objects.is_empty() && !o.instances.iter().any(|i| i.state.may_run())
    })
    .await;
    bed.create_all(&rendered).await;
    bed.wait(&rendered, "everything runs again", |o| quiet(o) && up(o))
        .await;

    let start = Instant::now();
    bed.remove_all(&me).await;
    println!("removed in {:?}", start.elapsed());
}

#[tokio::test]
#[ignore = "needs a Swarm"]
async fn objects_of_others_are_left_alone() {
    let bed = Bed::open().await;
    let me = cluster("swarmforeign", "uid-2");
    bed.remove_all(&me).await;
    let rendered = bed.backend.render(&bed.desired(me.clone())).unwrap();
    let id = service(&rendered, WorkloadKey::shared(Component::Proxy));
    bed.docker(&[
        "service",
        "create",
        "-d",
        "--name",
        &id.name,
        "milvusdb/etcd:3.6.16",
        "sleep",
        "1000",
    ]);
    for network in ["backend", "frontend"] {
        let id = ObjectId::new("network", format!("swarmforeign_{network}"));
        let action = Action::Create {
            id,
            cause: CreateCause::New,
        };
        bed.backend
            .apply(&me, &action, Some(&rendered))
            .await
            .unwrap();
    }
    let observed = bed.backend.observe(&me, Some(&rendered)).await.unwrap();
    let object = observed.objects[&id].clone();
    let create = Action::Create {
        id: id.clone(),
        cause: CreateCause::New,
    };
    let remove = Action::Remove {
        id: id.clone(),
        native_id: object.native_id.clone(),
        cause: RemoveCause::Unwanted,
    };
    let created = bed.backend.apply(&me, &create, Some(&rendered)).await;
    let removed = bed.backend.apply(&me, &remove, Some(&rendered)).await;
    let still = bed.docker(&[
        "service",
        "ls",
        "-q",
        "--filter",
        &format!("name={}", id.name),
    ]);
    bed.docker(&["service", "rm", &id.name]);
    bed.remove_all(&me).await;
    assert_eq!(object.owner, Owner::Foreign);
    assert_eq!(object.difference, None);
    assert!(observed.instances.is_empty(), "{:?}", observed.instances);
    assert_eq!(created.unwrap_err().class, Class::Conflict);
    let message = removed.unwrap_err().to_string();
    assert!(message.contains("somebody else"), "{message}");
    assert!(!still.is_empty());
}

#[tokio::test]
#[ignore = "needs a Swarm"]
async fn trouble_is_told_in_the_engines_words() {
    let bed = Bed::open().await;
    let me = cluster("swarmtrouble", "uid-3");
    bed.remove_all(&me).await;
    let mut desired = bed.desired(me.clone());
    desired.workloads[1].image.reference = "no.such.registry.invalid/x:1".to_owned();
    desired.workloads[2].resources.request_memory = Some(1 << 50);
    desired.workloads[3].command = vec![Template::from("false")];
    let rendered = bed.backend.render(&desired).unwrap();
    bed.create_all(&rendered).await;
    let observed = bed
        .wait(&rendered, "trouble seen", |o| {
            let has = |component, test: fn(&InstanceState) -> bool| {
                o.instances
                    .iter()
                    .any(|i| i.workload.component == component && test(&i.state))
            };
            has(Component::PulsarInit, |s| {
                matches!(s, InstanceState::Rejected { .. })
            }) && has(Component::Gateway, |s| {
                matches!(s, InstanceState::Failed { .. })
            }) && has(
                Component::Proxy,
                |s| matches!(s, InstanceState::Pending { reason } if !reason.is_empty()),
            )
        })
        .await;
    bed.remove_all(&me).await;
    for instance in &observed.instances {
        match &instance.state {
            InstanceState::Rejected { message } => {
                assert!(message.contains("No such image"), "{message}")
            }
            InstanceState::Failed { message } => {
                assert!(message.contains("non-zero exit"), "{message}")
            }
            InstanceState::Pending { reason } if !reason.is_empty() => {
                assert!(reason.contains("insufficient resources"), "{reason}");
            }
            _ => {}
        }
    }
}

#[tokio::test]
#[ignore = "needs a Swarm"]
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
#[ignore = "needs a Swarm and the gateway's image on its nodes"]
async fn work_on_a_single_node_is_done_and_proven() {
    let bed = Bed::open().await;
    let me = cluster("swarmnode", "uid-5");
    bed.remove_all(&me).await;
    let node = bed.nodes[1].clone();
    let apply = async |action: Action| bed.backend.apply(&me, &action, None).await;
    let prepare = |base: &str| Action::PrepareDirectory {
        node: node.clone(),
        base: base.to_owned(),
        directory: me
            .key
            .directory(WorkloadKey::member(Component::Etcd, 1), "data", 1),
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
    let error = apply(remove("swarmnode_etcd-1-data-e1", None))
        .await
        .unwrap_err();
    assert_eq!(error.class, Class::Transient, "{error}");
    bed.remove_all(&me).await;
    let start = Instant::now();
    loop {
        match apply(remove("swarmnode_etcd-1-data-e1", None)).await {
            Ok(_) => break,
            Err(error) => {
                println!("{error}");
                assert_eq!(error.class, Class::Transient, "{error}");
            }
        }
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    println!("volume removed in {:?}", start.elapsed());
    apply(remove("swarmnode_etcd-1-data-e1", None))
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
#[ignore = "needs a Swarm"]
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
    let mut changes = other.changes();
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
#[ignore = "needs a Swarm and the gateway's image on its nodes"]
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
    let image =
        std::env::var("GATEWAY_IMAGE").unwrap_or_else(|_| "milvus-gateway:0.1.0".to_owned());
    let gateway = &mut desired.workloads[3];
    gateway.image.reference = image;
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
