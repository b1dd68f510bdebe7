//! Random lives: what may happen to a cluster, and what must be true when it is over.

mod edits;
pub mod hunt;

use std::collections::BTreeMap;
use std::time::Duration;

use milvus_core::ledger::Ledger;
use milvus_core::observed::Availability;
use milvus_core::outline::ObjectId;
use milvus_crds::MilvusClusterStatus;
use milvus_sim::scenario::Sim;
use milvus_sim::{Faults, Lag, Options};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// A life in full: played again it comes out the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Life {
    /// The name of its [`hunt::Kind`].
    pub kind: String,
    /// Seed of everything random in its world.
    pub seed: u64,
    /// Processes may take longer to stop than the platform waits.
    pub slow_stops: bool,
    /// What happens.
    pub story: Vec<Happening>,
}

/// Something that happens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Happening {
    /// Nothing, for a while (tenths of seconds).
    Time(u16),
    /// The operator is killed after that many more actions.
    Kill(u8),
    /// The operator is killed now.
    KillNow,
    /// Writes to the platform or to the store are refused or their answers lost, looks are stale, the platform is silent, watches
    /// are behind: in percent.
    Weather {
        /// Writes to the platform.
        errors: u8,
        /// Looks.
        stale: u8,
        /// The platform.
        silent: u8,
        /// Calls to the store.
        #[serde(default)]
        store: u8,
        /// The watches of the store.
        #[serde(default)]
        lag: u8,
    },
    /// A service is edited by another client.
    EditByHand(u8),
    /// A service is scaled to nothing by another client.
    StopByHand(u8),
    /// An object is removed by another client.
    RemoveByHand(u8),
    /// `docker stack rm`.
    RemoveStack,
    /// A node loses its power.
    CutNode {
        /// Which, counted round.
        node: u8,
        /// For how long.
        seconds: u8,
    },
    /// The resource is edited.
    Edit(u8),
    /// Another operator takes over, and the one before it goes on for that many seconds.
    Supersede(u8),
    /// The ledger is written by another client.
    EditLedger,
    /// The ledger is deleted by another client.
    LoseLedger,
    /// The status is written by another client.
    EditStatus,
    /// A Secret is written by another client.
    EditSecret(u8),
    /// A Secret is deleted by another client.
    LoseSecret(u8),
    /// A node takes no new work.
    Withhold {
        /// Which, counted round.
        node: u8,
        /// For how long.
        seconds: u8,
    },
    /// A node joins.
    Join,
}

/// A story of up to `longest` happenings.
pub fn story(longest: usize) -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(happening(), 1..longest)
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1u16..400).prop_map(Happening::Time),
        2 => (0u8..12).prop_map(Happening::Kill),
        1 => Just(Happening::KillNow),
        2 => (0u8..30, 0u8..40, 0u8..30, 0u8..30, 0u8..60).prop_map(|(errors, stale, silent, store, lag)| Happening::Weather { errors, stale, silent, store, lag }),
        2 => any::<u8>().prop_map(Happening::EditByHand),
        1 => any::<u8>().prop_map(Happening::StopByHand),
        2 => any::<u8>().prop_map(Happening::RemoveByHand),
        1 => Just(Happening::RemoveStack),
        1 => (any::<u8>(), 1u8..90).prop_map(|(node, seconds)| Happening::CutNode { node, seconds }),
        5 => (0..edits::EDITS).prop_map(Happening::Edit),
        1 => (0u8..60).prop_map(Happening::Supersede),
        1 => Just(Happening::EditLedger),
        1 => Just(Happening::LoseLedger),
        1 => Just(Happening::EditStatus),
        1 => any::<u8>().prop_map(Happening::EditSecret),
        1 => any::<u8>().prop_map(Happening::LoseSecret),
        1 => (any::<u8>(), 1u8..90).prop_map(|(node, seconds)| Happening::Withhold { node, seconds }),
        1 => Just(Happening::Join),
    ]
}

fn pick(sim: &Sim, number: u8, services: bool) -> Option<ObjectId> {
    let ids: Vec<&ObjectId> = sim
        .world
        .objects
        .keys()
        .filter(|id| !services || id.kind == "service")
        .collect();
    ids.get(usize::from(number) % ids.len().max(1))
        .map(|id| (*id).clone())
}

fn happen(sim: &mut Sim, what: &Happening) {
    match what {
        Happening::Time(tenths) => sim.run(Duration::from_millis(u64::from(*tenths) * 100)),
        Happening::Kill(actions) => sim.world.faults.crash_after = Some(u32::from(*actions)),
        Happening::KillNow => sim.restart(),
        Happening::Weather {
            errors,
            stale,
            silent,
            store,
            lag,
        } => {
            let lag = u32::from(*lag);
            sim.store.lag = Lag {
                resource: lag,
                ledger: lag,
                secrets: lag,
            };
            sim.world.faults = Faults {
                errors: u32::from(*errors),
                stale: u32::from(*stale),
                unreachable: u32::from(*silent),
                store: u32::from(*store),
                ..sim.world.faults.clone()
            };
        }
        Happening::EditByHand(number) => {
            if let Some(id) = pick(sim, *number, true) {
                sim.world.edit_by_hand(&id, "Env");
            }
        }
        Happening::StopByHand(number) => {
            if let Some(id) = pick(sim, *number, true) {
                sim.world.scale_by_hand(&id, 0);
            }
        }
        Happening::RemoveByHand(number) => {
            if let Some(id) = pick(sim, *number, false) {
                sim.world.remove_by_hand(&id);
            }
        }
        Happening::RemoveStack => sim.world.remove_stack_by_hand(),
        Happening::CutNode { node, seconds } => {
            let id = node_id(sim, *node);
            sim.world.cut_node(&id);
            sim.run(Duration::from_secs(u64::from(*seconds)));
            sim.world.heal_node(&id);
        }
        Happening::Edit(number) => sim.edit(|r| edits::edit(r, *number)),
        Happening::Supersede(seconds) => {
            sim.supersede();
            sim.run(Duration::from_secs(u64::from(*seconds)));
            sim.superseded.clear();
        }
        Happening::Withhold { node, seconds } => {
            let id = node_id(sim, *node);
            withhold(sim, &id, Availability::Paused);
            sim.run(Duration::from_secs(u64::from(*seconds)));
            withhold(sim, &id, Availability::Active);
        }
        Happening::Join => join(sim),
        Happening::EditLedger
        | Happening::LoseLedger
        | Happening::EditStatus
        | Happening::EditSecret(_)
        | Happening::LoseSecret(_) => write_to_store(sim, what),
    }
}

/// What other clients do to the store.
fn write_to_store(sim: &mut Sim, what: &Happening) {
    let name = |sim: &Sim, number: u8| {
        let names: Vec<&String> = sim.store.secrets.keys().collect();
        let name = names.get(usize::from(number) % names.len().max(1));
        name.map(|name| (*name).clone())
    };
    match what {
        Happening::EditLedger => {
            if let Some(ledger) = &mut sim.store.ledger {
                ledger.last_epoch += 1;
            }
        }
        Happening::LoseLedger => sim.store.ledger = None,
        Happening::EditStatus => {
            if let Some(resource) = &mut sim.store.resource {
                resource.status = Some(MilvusClusterStatus::default());
            }
        }
        Happening::EditSecret(number) => {
            if let Some(name) = name(sim, *number) {
                sim.store.edit_secret(&name, |secret| {
                    let mut values = secret.data.iter_mut().flat_map(|d| d.values_mut());
                    if let Some(last) = values.next_back() {
                        last.0.extend(b"edited");
                    }
                });
            }
        }
        Happening::LoseSecret(number) => {
            if let Some(name) = name(sim, *number) {
                sim.store.secrets.remove(&name);
            }
        }
        _ => {}
    }
}

fn node_id(sim: &Sim, number: u8) -> String {
    let ids: Vec<&String> = sim.world.nodes.keys().collect();
    ids[usize::from(number) % ids.len()].clone()
}

fn withhold(sim: &mut Sim, id: &str, availability: Availability) {
    if let Some(node) = sim.world.nodes.get_mut(id) {
        node.node.availability = availability;
    }
}

/// A machine like the first one, with nothing on it.
fn join(sim: &mut Sim) {
    let number = sim.world.nodes.len() + 1;
    let first = sim.world.nodes.values().next().cloned();
    let mut new = first.unwrap();
    new.volumes.clear();
    new.cut = None;
    new.node.id = format!("node{number}id");
    new.node.name = format!("node-{number}");
    new.node.address = format!("10.0.0.{number}");
    new.node.manager = false;
    sim.world.nodes.insert(new.node.id.clone(), new);
}

/// Lives through a story; then the weather clears, what nothing can be made of is put right, a ledger that is lost for good is
/// restored, and the cluster must come to rest as the last resource asks.
///
/// # Errors
/// Which promise was broken, and how.
pub fn live(yaml: &str, life: &Life) -> Result<(), String> {
    let options = Options {
        seed: life.seed,
        nodes: 4,
        slow_stops: life.slow_stops,
        ..Options::default()
    };
    let mut sim = Sim::new(yaml, options);
    let mut export: Option<Ledger> = None;
    for what in &life.story {
        happen(&mut sim, what);
        export = sim.store.ledger.clone().or(export);
    }
    sim.calm();
    sim.edit(edits::put_right);
    sim.run(Duration::from_secs(60));
    if sim.store.ledger.is_none() {
        // Lost together with what it could be rebuilt from: an admin restores it.
        sim.store.ledger = export;
    }
    sim.settle(Duration::from_secs(3600))
        .map_err(|e| format!("converges: {e}"))?;
    sim.rests(20).map_err(|e| format!("rests: {e}"))?;
    sim.sound().map_err(|e| format!("is sound: {e}"))?;
    if !sim.world.deleted_volumes.is_empty() {
        return Err(format!(
            "deletes no volume: {:?}",
            sim.world.deleted_volumes
        ));
    }
    leads_where_a_fresh_start_leads(yaml, &sim)
}

fn leads_where_a_fresh_start_leads(yaml: &str, sim: &Sim) -> Result<(), String> {
    let mut fresh = Sim::new(yaml, Options::default());
    fresh.store.secrets = sim.store.secrets.clone();
    if let Some(resource) = &sim.store.resource {
        fresh.edit(|r| r.spec = resource.spec.clone());
    }
    fresh
        .settle(Duration::from_secs(600))
        .map_err(|e| format!("a fresh start converges: {e}"))?;
    let homes = |sim: &Sim| sim.store.ledger.as_ref().map(|l| l.members.clone());
    let (now, wanted) = (without_digests(sim), without_digests(&fresh));
    if homes(sim) == homes(&fresh) && now != wanted {
        let differs: Vec<_> = now
            .iter()
            .filter(|(id, shape)| wanted.get(*id) != Some(*shape))
            .chain(wanted.iter().filter(|(id, _)| !now.contains_key(*id)))
            .collect();
        return Err(format!(
            "leads where a fresh start leads: {differs:#?} differ"
        ));
    }
    Ok(())
}

/// What stands. The digest that a tag was pinned to is the one of the moment when it was asked for, and a registry that was away
/// then left the tag: that differs from life to life.
fn without_digests(sim: &Sim) -> BTreeMap<String, String> {
    const MARK: &str = "@sha256:";
    let strip = |shape: String| {
        let mut parts = shape.split(MARK);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            text.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
        }
        text
    };
    let shapes = sim.shape().into_iter();
    shapes.map(|(id, shape)| (id, strip(shape))).collect()
}
