//! A machine that has left and comes back has another id and the same data. Its members stay where they are: the ledger takes
//! the new id over, with the same epoch and the same volumes. Pure.

use std::collections::BTreeMap;

use crate::action::Notice;
use crate::ledger::Ledger;
use crate::observed::{Node, NodeState, Topology};
use crate::reasons::Reason;

/// Annotation that says which node a node of the ledger is now: `<old id>=<new id>`, several separated by commas.
pub const NODE_IS: &str = "operator.milvus.io/node-is";

/// What has become of nodes that hold members.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejoined {
    /// New ids by old ones.
    pub ids: BTreeMap<String, String>,
    /// What an admin has to decide.
    pub notices: Vec<Notice>,
}

/// Finds the nodes of a ledger that are there under another id. One is taken over by itself where nothing else can be meant: the
/// old id is gone or down, exactly one node of its name answers, no other node of that name is known, and the ledger knows the
/// new id not yet. `told` is the annotation [`NODE_IS`], which decides what is not so plain.
pub fn rejoined(ledger: &Ledger, topology: &Topology, told: Option<&str>) -> Rejoined {
    let mut found = Rejoined::default();
    let told = parse(told.unwrap_or_default());
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in ledger.members.values().filter(|e| !e.node.is_empty()) {
        places.insert(&entry.node, &entry.node_name);
    }
    for (old, name) in &places {
        if topology
            .node(old)
            .is_some_and(|node| node.state != NodeState::Down)
        {
            continue;
        }
        if let Some(new) = told.get(*old) {
            match topology.node(new) {
                Some(node) if node.up() && node.name == *name => {
                    found.ids.insert((*old).to_owned(), node.id.clone());
                }
                Some(node) if node.name == *name => {} // it is waited for, as any node is
                _ => found.notices.push(Notice {
                    reason: Reason::NodeDown,
                    message: format!(
                        "annotation {NODE_IS}: {new} is not the id of a node named {name}; give the id of the node that has the data of {old}, as docker node ls shows it"
                    ),
                    field: Some("metadata.annotations".to_owned()),
                }),
            }
            continue;
        }
        let others: Vec<&Node> = topology
            .nodes
            .iter()
            .filter(|node| node.name == *name && node.id != *old)
            .collect();
        match others.as_slice() {
            [] => {}
            [node] if node.up() && !name.is_empty() && !places.contains_key(node.id.as_str()) => {
                found.ids.insert((*old).to_owned(), node.id.clone());
            }
            several => {
                let ids: Vec<&str> = several.iter().map(|node| node.id.as_str()).collect();
                found.notices.push(Notice {
                    reason: Reason::NodeDown,
                    message: format!(
                        "node {name} ({old}) does not answer, and a node of the same name has joined with id {}: if it has the data, set annotation {NODE_IS} to {old}=<id>",
                        ids.join(", ")
                    ),
                    field: None,
                });
            }
        }
    }
    found
}

/// The ledger with the new ids. Nothing else of it changes.
pub fn take_over(ledger: &Ledger, rejoined: &Rejoined) -> Ledger {
    let mut ledger = ledger.clone();
    for entry in ledger.members.values_mut() {
        if let Some(new) = rejoined.ids.get(&entry.node) {
            entry.node.clone_from(new);
        }
    }
    ledger
}

/// Whether an entry of the ledger may stand for another one: nothing but the id of its node is new, and that node bears the same
/// name while the old one does not answer.
pub(crate) fn is_same_place(
    old: &crate::ledger::MemberEntry,
    new: &crate::ledger::MemberEntry,
    topology: &Topology,
) -> bool {
    let same = crate::ledger::MemberEntry {
        node: old.node.clone(),
        ..new.clone()
    };
    same == *old
        && topology
            .node(&old.node)
            .is_none_or(|node| node.state == NodeState::Down)
        && topology
            .node(&new.node)
            .is_some_and(|node| node.up() && node.name == old.node_name)
}

fn parse(text: &str) -> BTreeMap<&str, &str> {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(old, new)| (old.trim(), new.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::MemberEntry;
    use crate::testing;

    fn ledger() -> Ledger {
        let entry = |number: u8| MemberEntry {
            node: format!("n{number}"),
            node_name: format!("node{number}"),
            epoch: 3,
            volumes: vec![format!("demo_etcd-{number}-data-e3")],
            mark: None,
            directories: Vec::new(),
            claim: None,
        };
        Ledger {
            members: (1..=3).map(|n| (format!("etcd-{n}"), entry(n))).collect(),
            ..Ledger::default()
        }
    }

    /// Three machines, of which the second is there under these ids, up or down.
    fn machines(second: &[(&str, bool)]) -> Topology {
        let mut topology = testing::topology(3);
        let old = topology.nodes.remove(1);
        for (id, up) in second {
            topology.nodes.push(Node {
                id: (*id).to_owned(),
                state: if *up { NodeState::Up } else { NodeState::Down },
                ..old.clone()
            });
        }
        topology
    }

    #[test]
    fn a_machine_that_comes_back_keeps_its_members() {
        for second in [vec![("m2", true)], vec![("n2", false), ("m2", true)]] {
            let topology = machines(&second);
            let found = rejoined(&ledger(), &topology, None);
            assert_eq!(found.notices, [], "{second:?}");
            let taken = take_over(&ledger(), &found);
            let mut expected = ledger();
            let entry = expected.members.get_mut("etcd-2").unwrap();
            entry.node = "m2".to_owned();
            assert_eq!(taken, expected, "{second:?}");
            let [old, new] = [&ledger(), &taken].map(|l| l.members["etcd-2"].clone());
            assert!(is_same_place(&old, &new, &topology));
            assert_eq!(rejoined(&taken, &topology, None), Rejoined::default());
        }
    }

    #[test]
    fn what_is_not_plain_is_asked() {
        let nothing = BTreeMap::new();
        // Away, or there as before.
        for second in [
            vec![],
            vec![("n2", false)],
            vec![("n2", true), ("m2", true)],
        ] {
            let found = rejoined(&ledger(), &machines(&second), None);
            assert_eq!(found, Rejoined::default(), "{second:?}");
        }
        // Two of the name, or one that does not answer.
        for second in [
            vec![("m2", true), ("k2", true)],
            vec![("m2", true), ("k2", false)],
            vec![("n2", false), ("m2", false)],
        ] {
            let topology = machines(&second);
            let found = rejoined(&ledger(), &topology, None);
            assert_eq!(found.ids, nothing, "{second:?}");
            let message = &found.notices[0].message;
            assert!(message.contains("joined with id m2"), "{message}");
            let told = rejoined(&ledger(), &topology, Some("n2=m2"));
            assert_eq!(told.notices, [], "{second:?}");
            assert_eq!(told.ids.contains_key("n2"), second.contains(&("m2", true)));
        }
        // An id of another machine is refused.
        let found = rejoined(&ledger(), &machines(&[("m2", true)]), Some("n2=n3"));
        assert_eq!(found.ids, nothing);
        assert_eq!(found.notices.len(), 1);
        // What the ledger knows already is another member's machine.
        let mut two = ledger();
        two.members.get_mut("etcd-3").unwrap().node = "m2".to_owned();
        let found = rejoined(&two, &machines(&[("m2", true)]), None);
        assert_eq!(found.ids, nothing);
    }
}
