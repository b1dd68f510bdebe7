//! Objects of ours that nothing asks for any more. Removed last, so that a refusal holds nothing else up.

use crate::action::{Action, RemoveCause};
use crate::component::Component;
use crate::observed::Owner;
use crate::outline::ObjectClass;
use crate::plan::{Draft, View};

pub(super) fn remove(view: &View<'_>, draft: &mut Draft) {
    for (id, object) in &view.input.observed.objects {
        if object.owner != Owner::Ours {
            continue;
        }
        let finished = object.workload.is_some_and(|key| {
            key.component == Component::PulsarInit
                && view.input.ledger.is_bootstrapped(key.component)
        });
        let cause = if finished {
            RemoveCause::Finished
        } else if view.input.outline.contains_key(id) {
            continue;
        } else if object.class == ObjectClass::Prerequisite {
            if object.in_use {
                continue; // its users are changed first
            }
            RemoveCause::Superseded
        } else {
            RemoveCause::Unwanted
        };
        draft.actions.push(Action::remove(id, object, cause));
    }
}
