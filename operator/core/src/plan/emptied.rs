//! Members of a quorum that their own system refuses because they have begun on another volume than the one that they had. What
//! is seen of it is that they end again and again with a code of their own, while the others serve: so it is said as likely.

use crate::component::{Component, WorkloadKey};
use crate::components::BOOKKEEPER_PORT;
use crate::observed::{Instance, InstanceState, Owner};
use crate::plan::readiness::instances;
use crate::plan::{View, WorkloadObject};

/// How often a member must have ended in the same way, where the platform keeps its earlier processes.
const AGAIN: usize = 2;
/// How long it must have been down, in seconds, where the platform keeps one record of a member.
const FOR_LONG: i64 = 30;

/// What likely happened to the volume of a member that does not come up, and what can be done; `None` where it does not look
/// like that.
pub(super) fn likely(
    view: &View<'_>,
    object: &WorkloadObject<'_>,
    ended: &Instance,
) -> Option<String> {
    let component = object.key.component;
    // Members that are one native workload have processes of their own all the same.
    let key = ended.workload;
    let code = match component {
        Component::Etcd if object.workload.keys().len() > 1 => 1,
        Component::Bookkeeper => 2,
        _ => return None,
    };
    key.ordinal?;
    if !ended_with(ended, code)
        || !view.input.ledger.is_bootstrapped(component)
        || changes(view, component)
        || (component == Component::Etcd && !view.ready(component))
        || !lasts(view, key, code)
    {
        return None;
    }
    let entry = view.input.ledger.member(key);
    let places = entry.map(|entry| entry.places().join(", "));
    let places = places.filter(|places| !places.is_empty())?;
    let node = entry.map_or("", |entry| entry.node_name.as_str());
    let on = match node.is_empty() {
        true => places,
        false => format!("{places} on {node}"),
    };
    Some(format!(
        "it is likely that volume {on} was emptied or is not the one that {key} had: {}",
        help(view, key)
    ))
}

/// How a member ends that is refused, and what can be done about it.
fn help(view: &View<'_>, key: WorkloadKey) -> String {
    if key.component == Component::Etcd {
        return "so ends a member that the others know and that has no data (`has already been bootstrapped` in its log); restore the \
                volume from a copy of its own, or all members from a snapshot of those that serve (`etcdutl snapshot restore`)"
            .to_owned();
    }
    let cluster = &view.input.desired.cluster.key;
    let host = view.input.capabilities.addressing.host(cluster, key);
    let bookie = format!("{host}:{BOOKKEEPER_PORT}");
    let others = view.input.ledger.members.keys().filter(|name| {
        WorkloadKey::parse(name).is_some_and(|k| k.component == key.component && k != key)
    });
    let anew = match others.count() {
        // Two copies are kept of everything, so one bookie may be lost where two are left.
        2.. => format!(
            "or have what it held copied from the others with `bookkeeper shell decommissionbookie -bookieid {bookie}`"
        ),
        _ => format!(
            "or give up what it held with `bookkeeper shell cookie_delete {bookie}`: messages that no other bookie has are lost"
        ),
    };
    format!(
        "so ends a bookie whose cookie is not on its volume (`InvalidCookieException` in its log); restore the volume from a copy, {anew}, \
         and it begins on the volume as it is"
    )
}

fn ended_with(instance: &Instance, code: u8) -> bool {
    let InstanceState::Failed { message } = &instance.state else {
        return false;
    };
    let swarm = format!("non-zero exit ({code})");
    let kubernetes = format!("exit code {code} ");
    message.contains(&swarm) || format!("{message} ").contains(&kubernetes)
}

/// Whether a change of the component is on its way: that may be what its members do not bear.
fn changes(view: &View<'_>, component: Component) -> bool {
    let objects = view.input.observed.objects.values();
    let mut of_it = objects.filter(|o| {
        o.owner == Owner::Ours && o.workload.is_some_and(|key| key.component == component)
    });
    of_it.any(|o| o.difference.is_some() || o.updating)
}

fn lasts(view: &View<'_>, key: WorkloadKey, code: u8) -> bool {
    let ended = instances(view.input.observed, key).filter(|i| i.current && ended_with(i, code));
    let since = view.input.memory.lacking.get(&key.component);
    let for_long =
        since.is_some_and(|since| view.input.now.duration_since(*since).as_secs() >= FOR_LONG);
    ended.count() >= AGAIN || for_long
}
