//! What the systems say of themselves.

use super::*;
use crate::probe::{EnsembleMember, EtcdMember};

fn told(scene: &Scene, reason: Reason) -> Vec<String> {
    let plan = scene.plan();
    let notices = plan.notices.into_iter().filter(|n| n.reason == reason);
    notices.map(|n| n.message).collect()
}

fn says(scene: &mut Scene, name: &str, detail: ProbeDetail) {
    scene.answer(ProbeId::target(key(name).component, name), Ok(detail));
}

fn member(id: u64, name: &str, peer: &str) -> EtcdMember {
    EtcdMember {
        id,
        name: name.to_owned(),
        peers: vec![format!("http://{peer}:2380")],
    }
}

#[test]
fn an_alarm_of_etcd_is_told_once() {
    let mut scene = Scene::up();
    for name in ["etcd-0", "etcd-1"] {
        let failure = ProbeFailure {
            kind: ProbeFailureKind::Alarm,
            message: "alarm NOSPACE of etcd-1".to_owned(),
        };
        scene.answer(ProbeId::target(Component::Etcd, name), Err(failure));
    }
    assert_eq!(
        told(&scene, Reason::AlarmRaised),
        ["alarm NOSPACE of etcd-1"]
    );
}

#[test]
fn a_member_of_etcd_that_the_cluster_does_not_have_is_named() {
    let mut scene = Scene::up();
    let mut list = vec![
        member(1, "etcd-0", "etcd-0"),
        member(2, "", "demo-etcd-1.demo-etcd-headless.team.svc"),
        member(3, "etcd-2", "etcd-2"),
    ];
    let detail = |members: &[EtcdMember]| ProbeDetail {
        members: members.to_vec(),
        ..ProbeDetail::default()
    };
    says(&mut scene, "etcd-0", detail(&list));
    assert_eq!(told(&scene, Reason::MembersDiffer), Vec::<String>::new());
    list.push(member(0xabc, "", "etcd-7"));
    says(&mut scene, "etcd-0", detail(&list));
    says(&mut scene, "etcd-1", detail(&list));
    let words = told(&scene, Reason::MembersDiffer);
    assert_eq!(words.len(), 1, "{words:?}");
    assert!(
        words[0].contains("http://etcd-7:2380 (id abc)"),
        "{words:?}"
    );
    assert!(
        words[0].contains("`etcdctl member remove abc`"),
        "{words:?}"
    );
}

#[test]
fn members_of_zookeeper_that_do_not_agree_are_named() {
    let judged = |members: [(&str, u32, u32); 3]| {
        let mut scene = Scene::up();
        for (ordinal, (mode, epoch, counter)) in members.into_iter().enumerate() {
            let detail = ProbeDetail {
                ensemble: Some(EnsembleMember {
                    mode: mode.to_owned(),
                    epoch,
                    counter,
                }),
                ..ProbeDetail::default()
            };
            says(&mut scene, &format!("zookeeper-{ordinal}"), detail);
        }
        told(&scene, Reason::MembersDiffer)
    };
    let (leader, follower) = ("leader", "follower");
    // After an election at rest a follower still names the last transaction before it.
    let fine = [(leader, 5, 0), (follower, 4, 900), (follower, 5, 0)];
    assert_eq!(judged(fine), Vec::<String>::new());
    let two = judged([(leader, 5, 9), (leader, 6, 1), (follower, 6, 1)]);
    assert!(
        two[0].contains("2 leaders at once, zookeeper-0, zookeeper-1"),
        "{two:?}"
    );
    for counter in [(5, 10), (3, 90_000)] {
        let behind = judged([
            (leader, 5, 50_000),
            (follower, counter.0, counter.1),
            (follower, 5, 49_990),
        ]);
        assert_eq!(behind.len(), 1, "{behind:?}");
        assert!(
            behind[0].starts_with("zookeeper-1 is far behind zookeeper-0"),
            "{behind:?}"
        );
    }
    let alone = judged([(leader, 5, 1), (follower, 5, 1), ("standalone", 1, 4)]);
    assert!(
        alone[0].starts_with("zookeeper-2 serves alone"),
        "{alone:?}"
    );
}

#[test]
fn clocks_that_are_apart_are_named() {
    let mut scene = Scene::up();
    let at = |seconds: i64| ProbeDetail {
        clock_ahead: Some(seconds),
        ..ProbeDetail::default()
    };
    let all = |scene: &Scene| {
        [Reason::ClockSkew, Reason::ClockDrift]
            .map(|reason| told(scene, reason))
            .concat()
    };
    says(&mut scene, "etcd-0", at(30));
    says(&mut scene, "etcd-1", at(-3));
    assert_eq!(all(&scene), Vec::<String>::new());
    says(&mut scene, "etcd-0", at(31));
    says(&mut scene, "etcd-1", at(300));
    says(&mut scene, "etcd-2", at(301));
    says(&mut scene, "minio-1", at(-700));
    says(&mut scene, "minio-2", at(-900));
    let words = all(&scene);
    for (words, expected) in words.iter().zip([
        "five minutes ahead of the operator's clock: the clock of etcd-2;",
        "five minutes behind the operator's clock: the clock of minio-1, minio-2;",
        "half a minute ahead of the operator's clock: the clock of etcd-0, etcd-1;",
    ]) {
        assert!(words.contains(expected), "{words}");
    }
    assert_eq!(words.len(), 3, "{words:?}");
}
