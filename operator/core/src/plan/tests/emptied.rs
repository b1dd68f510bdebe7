//! Members that their own system refuses because of their volume.

use super::*;

fn failed(scene: &mut Scene, name: &str, code: u8, times: u32) {
    let key = key(name);
    let up = scene.observed.instances.iter();
    let template = up.clone().find(|i| i.workload == key).cloned().unwrap();
    scene.observed.instances.retain(|i| i.workload != key);
    for number in 0..times {
        scene.observed.instances.push(Instance {
            id: format!("{name}-ended-{number}"),
            wanted: number == 0,
            state: InstanceState::Failed {
                message: format!("task: non-zero exit ({code})"),
            },
            ..template.clone()
        });
    }
}

fn said(scene: &Scene) -> String {
    let plan = scene.plan();
    let failed = plan.notices.into_iter();
    let failed = failed.filter(|n| n.reason == Reason::InstanceFailed);
    let words: Vec<String> = failed.map(|n| n.message).collect();
    words.join("\n")
}

#[test]
fn a_bookie_without_its_cookie_names_its_volume() {
    let mut scene = Scene::up();
    failed(&mut scene, "bookkeeper-0", 2, 3);
    let entry = scene.ledger.members["bookkeeper-0"].clone();
    let words = said(&scene);
    let volume = format!("volume {} on {}", entry.volumes.join(", "), entry.node_name);
    for part in [
        "task: non-zero exit (2); it is likely that",
        &volume,
        "InvalidCookieException",
        "decommissionbookie -bookieid bookkeeper-0:3181",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    // Where two bookies are all there are, no third one can take the copies.
    scene.ledger.members.remove("bookkeeper-2");
    scene.wanted = scene.ledger.clone();
    let words = said(&scene);
    assert!(words.contains("cookie_delete bookkeeper-0:3181"), "{words}");
}

#[test]
fn a_member_that_the_other_members_of_etcd_refuse_names_its_volume() {
    let mut scene = Scene::up();
    failed(&mut scene, "etcd-1", 1, 2);
    let words = said(&scene);
    assert!(
        words.contains("it is likely that volume reference_etcd-1-data-"),
        "{words}"
    );
    assert!(words.contains("etcdutl snapshot restore"), "{words}");
}

#[test]
fn what_may_have_another_cause_is_not_called_a_lost_volume() {
    type Bend = fn(&mut Scene);
    let bends: [(&str, Bend); 6] = [
        ("another code", |s| failed(s, "bookkeeper-0", 1, 3)),
        ("once", |s| failed(s, "bookkeeper-0", 2, 1)),
        ("never lived", |s| {
            failed(s, "bookkeeper-0", 2, 3);
            s.ledger.bootstrapped.remove(&Component::Bookkeeper);
            s.wanted = s.ledger.clone();
        }),
        ("an edit that etcd does not bear", |s| {
            failed(s, "etcd-0", 1, 3);
            s.differs("etcd-1", true);
        }),
        ("no quorum", |s| {
            failed(s, "etcd-0", 1, 3);
            failed(s, "etcd-1", 1, 3);
        }),
        ("another component", |s| failed(s, "zookeeper-0", 1, 3)),
    ];
    for (name, bend) in bends {
        let mut scene = Scene::up();
        bend(&mut scene);
        let words = said(&scene);
        assert!(words.contains("non-zero exit"), "{name}: {words}");
        assert!(!words.contains("it is likely"), "{name}: {words}");
    }
}

#[test]
fn where_a_platform_keeps_one_record_it_must_have_been_down_for_a_while() {
    let mut scene = Scene::up();
    failed(&mut scene, "bookkeeper-0", 2, 1);
    let long = now() - jiff::SignedDuration::from_secs(31);
    scene.memory.lacking.insert(Component::Bookkeeper, long);
    scene.observed.instances.iter_mut().for_each(|i| {
        if let InstanceState::Failed { message } = &mut i.state {
            *message = "exit code 2 (Error)".to_owned();
        }
    });
    assert!(said(&scene).contains("it is likely"));
}
