//! What the systems say of themselves: alarms, foreign members, members that do not agree, clocks that are apart.
//! Each answer may be good by itself and the whole still be in danger.

use std::collections::BTreeMap;

use crate::action::Notice;
use crate::component::{Component, WorkloadKey};
use crate::plan::{Draft, View};
use crate::probe::{EnsembleMember, EtcdMember, ProbeDetail, ProbeFailureKind};
use crate::reasons::Reason;

/// A clock that is further from the operator's, in seconds, is named.
const APART: i64 = 30;
/// One that is further is a trouble, before it is one of the clients': S3 services refuse requests whose time is 15 minutes from
/// their own (RequestTimeTooSkewed).
const FAR_APART: i64 = 300;
/// How many transactions a member of ZooKeeper may lag behind: they are asked one after the other, and a follower's epoch changes
/// with the first transaction after an election.
const BEHIND: u32 = 10_000;

pub(super) fn judge(view: &View<'_>, draft: &mut Draft) {
    alarms(view, draft);
    members(view, draft);
    ensemble(view, draft);
    clocks(view, draft);
}

/// The good answers of a component's members or instances, by whom was asked.
fn answers<'a>(
    view: &View<'a>,
    of: impl Fn(Component) -> bool,
) -> impl Iterator<Item = (&'a str, &'a ProbeDetail)> {
    let all = view.input.observed.probes.iter();
    all.filter(move |(id, _)| of(id.component))
        .filter_map(|(id, result)| Some((id.target.as_str(), result.outcome.as_ref().ok()?)))
}

fn note(reason: Reason, message: String, draft: &mut Draft) {
    let notice = Notice {
        reason,
        message,
        field: None,
    };
    if !draft.notices.contains(&notice) {
        draft.note(notice);
    }
}

fn alarms(view: &View<'_>, draft: &mut Draft) {
    let failures = view.input.observed.probes.values();
    let failures = failures.filter_map(|result| result.outcome.as_ref().err());
    for failure in failures.filter(|f| f.kind == ProbeFailureKind::Alarm) {
        note(Reason::AlarmRaised, failure.message.clone(), draft);
    }
}

/// etcd's own list of members beside those of the ledger. One that never starts counts towards the quorum all the same.
fn members(view: &View<'_>, draft: &mut Draft) {
    let ours: Vec<&str> = view
        .input
        .ledger
        .members
        .keys()
        .filter(|name| WorkloadKey::parse(name).is_some_and(|key| key.component == Component::Etcd))
        .map(String::as_str)
        .collect();
    if ours.is_empty() {
        return; // run by others
    }
    let lists = answers(view, |c| c == Component::Etcd).map(|(_, detail)| &detail.members);
    for list in lists.filter(|list| !list.is_empty()) {
        for EtcdMember { id, name, peers } in list {
            let known = if name.is_empty() {
                // It has not started yet, and is known by where it will be.
                ours.iter().any(|our| peers.iter().any(|p| is_at(p, our)))
            } else {
                ours.contains(&name.as_str())
            };
            if !known {
                let who = if name.is_empty() {
                    peers.join(", ")
                } else {
                    name.clone()
                };
                note(
                    Reason::MembersDiffer,
                    format!(
                        "etcd lists a member {who} (id {id:x}) that this cluster does not have, and that counts towards the quorum; \
                         `etcdctl member remove {id:x}` removes it"
                    ),
                    draft,
                );
            }
        }
    }
}

/// Whether the peer address of a member is that of this one: its host begins with the member's name or ends its first part with it.
fn is_at(peer: &str, member: &str) -> bool {
    let host = peer.split_once("://").map_or(peer, |(_, rest)| rest);
    let first = host.split(['.', ':']).next().unwrap_or_default();
    first == member || first.ends_with(&format!("-{member}"))
}

/// The members of ZooKeeper beside each other.
fn ensemble(view: &View<'_>, draft: &mut Draft) {
    let several = view
        .workload(Component::Zookeeper)
        .is_some_and(|w| w.keys().len() > 1);
    if !several {
        return;
    }
    let all: BTreeMap<&str, &EnsembleMember> = answers(view, |c| c == Component::Zookeeper)
        .filter_map(|(name, detail)| Some((name, detail.ensemble.as_ref()?)))
        .collect();
    for (name, _) in all.iter().filter(|(_, m)| m.mode == "standalone") {
        note(
            Reason::MembersDiffer,
            format!(
                "{name} serves alone and not as a member of its ensemble: what is written to it, the others do not have"
            ),
            draft,
        );
    }
    let leaders: Vec<(&str, &EnsembleMember)> = all
        .iter()
        .filter(|(_, m)| m.mode == "leader")
        .map(|(name, m)| (*name, *m))
        .collect();
    match leaders.as_slice() {
        [(leader, first)] => {
            for (name, member) in all.iter().filter(|(name, _)| *name != leader) {
                let behind = if member.epoch == first.epoch {
                    first.counter.saturating_sub(member.counter)
                } else if member.epoch < first.epoch {
                    first.counter
                } else {
                    0
                };
                if behind > BEHIND {
                    note(
                        Reason::MembersDiffer,
                        format!(
                            "{name} is far behind {leader}, the leader of ZooKeeper: its disk or its network is too slow, or its data \
                             are of an earlier time"
                        ),
                        draft,
                    );
                }
            }
        }
        [] => {}
        several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
            note(
                Reason::MembersDiffer,
                format!(
                    "ZooKeeper has {} leaders at once, {}: its members do not all see each other",
                    names.len(),
                    names.join(", ")
                ),
                draft,
            );
        }
    }
}

/// Clocks beside the operator's. Where all that answer are apart, it is the operator's that is wrong; the words fit both.
fn clocks(view: &View<'_>, draft: &mut Draft) {
    let apart: Vec<(&str, i64)> = answers(view, |_| true)
        .filter_map(|(name, detail)| Some((name, detail.clock_ahead?)))
        .collect();
    let ranges = [
        (Reason::ClockSkew, "five minutes", FAR_APART, i64::MAX),
        (Reason::ClockDrift, "half a minute", APART, FAR_APART),
    ];
    for (reason, length, least, most) in ranges {
        for (word, side) in [("ahead of", 1), ("behind", -1)] {
            let names: Vec<&str> = apart
                .iter()
                .filter(|(_, seconds)| (least + 1..=most).contains(&(seconds * side)))
                .map(|(name, _)| *name)
                .collect();
            if !names.is_empty() {
                note(
                    reason,
                    format!(
                        "more than {length} {word} the operator's clock: the clock of {}; set the clocks of their nodes and of the \
                         operator's by NTP: object stores refuse requests at 15 minutes",
                        names.join(", ")
                    ),
                    draft,
                );
            }
        }
    }
}
