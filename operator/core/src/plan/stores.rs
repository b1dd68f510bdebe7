//! Whether the stores still hold what this cluster has kept in them. Those that it runs for itself bear its mark
//! ([`crate::probe::MARK`]): one that has begun on an emptied volume answers as well as before, and lacks it. A loss stays one
//! until the mark is back (restored from a copy) or the resource accepts it. Nothing is judged from an answer that did not come.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{Action, Notice, WaitingOn};
use crate::component::{Component, WorkloadKey};
use crate::desired::Desired;
use crate::ledger::{KnownStore, Ledger};
use crate::observed::Observed;
use crate::plan::{Draft, View};
use crate::probe::{ProbeKind, StoreSeen};
use crate::reasons::Reason;
use crate::rebuild::ACCEPT_DATA_LOSS;

/// What may hold data that a cluster cannot do without, and says of itself whether it does.
const STORES: [Component; 2] = [Component::Etcd, Component::Minio];

/// The stores that have lost the data of this cluster, and what each of them lacks.
pub(crate) fn lost(
    desired: &Desired,
    observed: &Observed,
    ledger: &Ledger,
) -> BTreeMap<Component, String> {
    let lost = STORES.into_iter().filter_map(|component| {
        let known = ledger.stores.get(&component)?;
        let seen = seen(component, observed)?;
        let lacks = if !seen.there {
            format!("{} is gone", bucket(component, desired))
        } else if known.mark.is_some() && seen.mark != known.mark {
            match component {
                Component::Etcd => "its keys are not those of this cluster any more".to_owned(),
                _ => format!(
                    "{} was made anew, or holds the data of another cluster",
                    bucket(component, desired)
                ),
            }
        } else {
            return None;
        };
        Some((component, with_help(component, &lacks, ledger)))
    });
    lost.collect()
}

/// What a store was seen to hold; `None` where it was not asked or did not say it.
fn seen(component: Component, observed: &Observed) -> Option<&StoreSeen> {
    let mut answers = observed.probes.iter();
    answers.find_map(|(id, result)| {
        let answer = result.outcome.as_ref().ok();
        let answer = answer.filter(|_| id.component == component);
        answer?.store.as_ref()
    })
}

/// The bucket of Milvus, for people.
fn bucket(component: Component, desired: &Desired) -> String {
    let own = desired.stores.get(&component);
    let own = own.and_then(|store| store.bucket.as_ref());
    let access = own.or_else(|| match &desired.external.get(&component)?.kind {
        ProbeKind::S3 { access, .. } => access.as_ref(),
        _ => None,
    });
    match access {
        Some(access) => format!("bucket {}", access.bucket),
        None => "the bucket of Milvus".to_owned(),
    }
}

/// With the volumes that it was kept on, and what can be done.
fn with_help(component: Component, lacks: &str, ledger: &Ledger) -> String {
    let of = |name: &str| WorkloadKey::parse(name).is_some_and(|key| key.component == component);
    let members = ledger.members.iter().filter(|(name, _)| of(name));
    let volumes: Vec<String> = members
        .flat_map(|(_, entry)| {
            let node = &entry.node_name;
            entry
                .places()
                .into_iter()
                .map(move |place| match node.is_empty() {
                    true => place,
                    false => format!("{place} on {node}"),
                })
        })
        .collect();
    let where_it_was = match volumes.as_slice() {
        [] => String::new(),
        [volume] => format!(": volume {volume} was emptied or is not the one that it had"),
        several => format!(
            ": volumes {} were emptied or are not those that it had",
            several.join(", ")
        ),
    };
    let accept = if ledger.accepted_losses.contains(&component) {
        format!(
            "annotation {ACCEPT_DATA_LOSS} has accepted an earlier loss: to accept this one, remove it and set it again"
        )
    } else {
        format!(
            "annotate the resource with {ACCEPT_DATA_LOSS}={component} to go on with what is there: no data, or a copy that is older than the mark"
        )
    };
    let restart = match component {
        Component::Minio => " (Milvus makes its bucket when it is started again)",
        _ => "",
    };
    format!(
        "{lacks}{where_it_was}; nothing that needs it is started or changed until the data is restored from a copy, or {accept}{restart}"
    )
}

/// Writes down what the stores are known by, and takes out what is lost and accepted: it is then known by what it holds next.
pub(super) fn record(view: &View<'_>, wanted: &mut Ledger) {
    let input = view.input;
    let accepts = |component: Component| names(input.accepted, component);
    wanted
        .accepted_losses
        .retain(|component| accepts(*component));
    let lost = lost(input.desired, input.observed, input.ledger);
    for component in STORES {
        if lost.contains_key(&component) {
            if accepts(component) && wanted.accepted_losses.insert(component) {
                wanted.stores.remove(&component);
            }
            continue;
        }
        let Some(seen) = seen(component, input.observed).filter(|seen| seen.there) else {
            continue;
        };
        // An annotation that stands while the store is whole accepts no loss that comes later.
        if wanted.stores.contains_key(&component) && accepts(component) {
            wanted.accepted_losses.insert(component);
        }
        let mark = seen.mark.clone();
        if mark.is_some() || !input.desired.stores.contains_key(&component) {
            let known = KnownStore { mark };
            wanted.stores.entry(component).or_insert(known);
        }
    }
}

/// Whether an annotation names a component or one of its members.
fn names(accepted: &BTreeSet<String>, component: Component) -> bool {
    accepted.iter().any(|name| {
        name == component.name()
            || WorkloadKey::parse(name).is_some_and(|key| key.component == component)
    })
}

/// Has marks left in stores that are used for the first time.
pub(super) fn mark(view: &View<'_>, draft: &mut Draft) {
    let input = view.input;
    for component in input.desired.stores.keys() {
        let unmarked =
            seen(*component, input.observed).is_some_and(|s| s.there && s.mark.is_none());
        if unmarked && !input.ledger.stores.contains_key(component) {
            draft.actions.push(Action::Mark {
                component: *component,
                text: input.ledger.etcd_token.clone(),
            });
        }
    }
}

/// Says what is lost.
pub(super) fn explain(view: &View<'_>, draft: &mut Draft) {
    for (component, readiness) in view.readiness.iter().filter(|(_, r)| r.lost) {
        let detail = readiness.detail.clone();
        draft.note(Notice {
            reason: Reason::DataLost,
            message: format!("{component}: {detail}"),
            field: None,
        });
        let component = *component;
        draft.wait(component, WaitingOn::Answer { component, detail });
    }
}
