//! A cluster from its first object to its last, with hands at work in between.

use crate::bed::*;
use crate::fixtures::cluster;
use milvus_core::action::{Action, CreateCause, RemoveCause};
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::desired::Template;
use milvus_core::observed::{DifferenceCause, InstanceState, Owner, Touches};
use milvus_core::outline::ObjectId;
use milvus_platform::{Backend, Class};
use std::time::Instant;

#[tokio::test]
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
    assert_eq!(difference.touches, Touches::Nothing);
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
    assert_eq!(difference.touches, Touches::Process);
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
    let observed = bed.backend.observe(&me, Some(&rendered)).await.unwrap();
    let stop = Action::stop(&id, &observed.objects[&id], "test".to_owned());
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
    // What was decided after a look is not done to an object that has changed since.
    let object = &observed.objects[&id];
    let old = Action::update(&id, object, object.difference.as_ref().unwrap());
    bed.docker(&[
        "service",
        "update",
        "-d",
        "--label-add",
        "mine=yes",
        &id.name,
    ]);
    let late = bed.backend.apply(&me, &old, Some(&rendered)).await;
    let late = late.unwrap_err();
    assert_eq!(late.class, Class::Conflict);
    assert!(late.message.contains("after it was looked at"), "{late}");
    let observed = bed.backend.observe(&me, Some(&rendered)).await.unwrap();
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
    let remove = Action::remove(&id, &object, RemoveCause::Unwanted);
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
    assert!(message.contains("foreign object"), "{message}");
    assert!(!still.is_empty());
}

#[tokio::test]
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
