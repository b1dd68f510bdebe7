//! Objects of ours that nothing asks for any more. Removed last, so that a refusal holds nothing else up.

use crate::action::{Action, RemoveCause};
use crate::desired::Shape;
use crate::observed::Owner;
use crate::outline::ObjectClass;
use crate::plan::{Draft, View};

pub(super) fn remove(view: &View<'_>, draft: &mut Draft) {
    for (id, object) in &view.input.observed.objects {
        if object.owner != Owner::Ours {
            continue;
        }
        let cause = if view.input.outline.contains_key(id) {
            let finished = object.workload.is_some_and(|key| {
                let job = view
                    .workload(key.component)
                    .is_some_and(|w| w.shape == Shape::Job);
                job && view.input.ledger.is_bootstrapped(key.component)
            });
            if !finished {
                continue;
            }
            RemoveCause::Finished
        } else if object.class == ObjectClass::Prerequisite {
            if object.in_use {
                continue; // its users are changed first
            }
            RemoveCause::Superseded
        } else {
            RemoveCause::Unwanted
        };
        draft.actions.push(Action::Remove {
            id: id.clone(),
            native_id: object.native_id.clone(),
            cause,
        });
    }
}
