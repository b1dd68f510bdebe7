//! Stores that have lost what the cluster kept in them.

use super::*;
use crate::ledger::KnownStore;
use crate::probe::StoreSeen;

fn seen(scene: &mut Scene, component: Component, there: bool, mark: Option<&str>) {
    let detail = ProbeDetail {
        store: Some(StoreSeen {
            there,
            mark: mark.map(str::to_owned),
        }),
        ..ProbeDetail::default()
    };
    scene.answer(ProbeId::store(component), Ok(detail));
}

/// Up, with its marks recorded.
fn marked() -> Scene {
    let mut scene = Scene::up();
    for component in [Component::Etcd, Component::Minio] {
        let known = KnownStore {
            mark: Some(scene.ledger.etcd_token.clone()),
        };
        scene.ledger.stores.insert(component, known);
    }
    scene.wanted = scene.ledger.clone();
    scene
}

fn recorded(plan: &Plan) -> Ledger {
    match plan.actions.as_slice() {
        [Action::RecordLedger(ledger)] => (**ledger).clone(),
        other => panic!("{other:?}"),
    }
}

fn lost(plan: &Plan) -> Vec<String> {
    let notices = plan.notices.iter();
    let lost = notices.filter(|n| n.reason == Reason::DataLost);
    lost.map(|n| n.message.clone()).collect()
}

#[test]
fn a_store_is_marked_once_and_then_known_by_its_mark() {
    let mut scene = Scene::up();
    let token = scene.ledger.etcd_token.clone();
    // Milvus has not made its bucket yet.
    seen(&mut scene, Component::Etcd, true, None);
    seen(&mut scene, Component::Minio, false, None);
    let mark = |component| Action::Mark {
        component,
        text: token.clone(),
    };
    assert_eq!(scene.plan().actions, [mark(Component::Etcd)]);
    assert!(scene.plan().readiness[&Component::Minio].ready);
    seen(&mut scene, Component::Minio, true, None);
    let both = [mark(Component::Etcd), mark(Component::Minio)];
    assert_eq!(scene.plan().actions, both);
    seen(&mut scene, Component::Etcd, true, Some(&token));
    let ledger = recorded(&scene.plan());
    assert_eq!(ledger.stores.keys().collect::<Vec<_>>(), [&Component::Etcd]);
    scene.ledger = ledger.clone();
    scene.wanted = ledger;
    assert_eq!(scene.plan().actions, [mark(Component::Minio)]);
    seen(&mut scene, Component::Minio, true, Some(&token));
    scene.ledger = recorded(&scene.plan());
    scene.wanted = scene.ledger.clone();
    assert_eq!(scene.plan().actions, []);
    assert_eq!(lost(&scene.plan()), Vec::<String>::new());
}

#[test]
fn an_emptied_etcd_is_not_ready_however_well_it_answers() {
    let mut scene = marked();
    seen(&mut scene, Component::Etcd, true, None);
    let plan = scene.plan();
    assert_eq!(plan.actions, [], "nothing is marked anew");
    let found = &plan.readiness[&Component::Etcd];
    assert!(!found.ready && found.lost && found.answering == 3);
    let words = lost(&plan);
    assert_eq!(words.len(), 1, "{words:?}");
    for part in [
        "etcd: its keys are not those of this cluster any more: volumes reference_etcd-0-data-",
        "-e1 on node1, reference_etcd-1-data-",
        "restored from a copy",
        "operator.milvus.io/accept-data-loss=etcd",
    ] {
        assert!(words[0].contains(part), "{part}: {words:?}");
    }
    // The mark of another cluster is no better, and nothing is known from an answer that did not come.
    seen(&mut scene, Component::Etcd, true, Some("another"));
    assert_eq!(lost(&scene.plan()).len(), 1);
    scene
        .observed
        .probes
        .remove(&ProbeId::store(Component::Etcd));
    assert!(scene.plan().readiness[&Component::Etcd].ready);
}

#[test]
fn no_role_is_made_or_changed_on_an_emptied_store() {
    let waits_for = |scene: &Scene, role: Component, store: Component| {
        let plan = scene.plan();
        assert_eq!(names(&plan), Vec::<String>::new(), "{store}");
        let mut waiting = plan.waiting.iter().filter(|w| w.component == Some(role));
        let on_it = |w: &Waiting| matches!(&w.on, WaitingOn::Dependencies(on) if on[0].0 == store);
        assert!(waiting.any(on_it), "{role}: {:?}", plan.waiting);
    };
    for store in [Component::Etcd, Component::Minio] {
        let mut scene = marked();
        seen(&mut scene, store, store == Component::Etcd, None);
        scene.differs("querynode", true);
        waits_for(&scene, Component::QueryNode, store);
        // Scaled to nothing by hand, or to more: processes would start.
        for (replicas, restarts) in [(0, false), (1, false), (0, true)] {
            let mut scene = marked();
            seen(&mut scene, store, store == Component::Etcd, None);
            scene.differs("querynode", restarts);
            let found = scene.observed.objects.get_mut(&service("querynode"));
            found.unwrap().replicas = Some(replicas);
            waits_for(&scene, Component::QueryNode, store);
        }
        let mut scene = marked();
        seen(&mut scene, store, store == Component::Etcd, None);
        scene.observed.objects.remove(&service("proxy"));
        let proxies = |i: &Instance| i.workload.component == Component::Proxy;
        scene.observed.instances.retain(|i| !proxies(i));
        waits_for(&scene, Component::Proxy, store);
    }
}

#[test]
fn members_of_an_emptied_quorum_still_take_turns() {
    let mut scene = marked();
    seen(&mut scene, Component::Etcd, true, None);
    scene.memory.unready.insert(
        Component::Etcd,
        now() - jiff::SignedDuration::from_secs(3600),
    );
    for name in ["etcd-0", "etcd-1", "etcd-2"] {
        scene.differs(name, true);
    }
    assert_eq!(names(&scene.plan()), ["stop reference_etcd-0"]);
}

#[test]
fn a_bucket_that_was_there_and_is_gone_is_a_loss() {
    let mut scene = marked();
    let bucket = scene.desired.stores[&Component::Minio].bucket.clone();
    let bucket = bucket.unwrap().bucket;
    seen(&mut scene, Component::Minio, false, None);
    let words = lost(&scene.plan());
    assert!(
        words[0].starts_with(&format!("minio: bucket {bucket} is gone: volumes ")),
        "{words:?}"
    );
    // Milvus makes it anew when it starts again: empty.
    seen(&mut scene, Component::Minio, true, None);
    let words = lost(&scene.plan());
    assert!(
        words[0].starts_with(&format!("minio: bucket {bucket} was made anew")),
        "{words:?}"
    );
}

#[test]
fn a_loss_is_accepted_once() {
    let mut scene = marked();
    let token = scene.ledger.etcd_token.clone();
    seen(&mut scene, Component::Etcd, true, None);
    // A name of another component accepts nothing.
    scene.accepted = BTreeSet::from(["minio".to_owned()]);
    assert_eq!(lost(&scene.plan()).len(), 1);
    for name in ["etcd", "etcd-1"] {
        let mut scene = Scene {
            accepted: BTreeSet::from([name.to_owned()]),
            wanted: scene.wanted.clone(),
            ledger: scene.ledger.clone(),
            observed: scene.observed.clone(),
            ..marked()
        };
        let take = |scene: &mut Scene| {
            scene.ledger = recorded(&scene.plan());
            scene.wanted = scene.ledger.clone();
        };
        take(&mut scene);
        assert!(!scene.ledger.stores.contains_key(&Component::Etcd));
        let mark = Action::Mark {
            component: Component::Etcd,
            text: token.clone(),
        };
        assert_eq!(scene.plan().actions, [mark]);
        seen(&mut scene, Component::Etcd, true, Some(&token));
        take(&mut scene);
        assert_eq!(scene.plan().actions, []);
        // The next loss is another one.
        seen(&mut scene, Component::Etcd, true, None);
        let words = lost(&scene.plan());
        assert!(words[0].contains("remove it and set it again"), "{words:?}");
        scene.accepted.clear();
        take(&mut scene);
        assert!(scene.ledger.accepted_losses.is_empty());
        let words = lost(&scene.plan());
        assert!(words[0].contains("accept-data-loss=etcd"), "{words:?}");
    }
}

#[test]
fn an_annotation_that_stood_before_accepts_no_later_loss() {
    let mut scene = marked();
    let token = scene.ledger.etcd_token.clone();
    seen(&mut scene, Component::Etcd, true, Some(&token));
    // Left from a ledger that was rebuilt, while everything was there.
    scene.accepted = BTreeSet::from(["etcd-0".to_owned()]);
    scene.ledger = recorded(&scene.plan());
    scene.wanted = scene.ledger.clone();
    assert_eq!(scene.plan().actions, []);
    seen(&mut scene, Component::Etcd, true, None);
    let words = lost(&scene.plan());
    assert!(words[0].contains("remove it and set it again"), "{words:?}");
}
