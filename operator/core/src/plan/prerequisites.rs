//! Networks, configs, secrets, and whatever goes beside workloads without gating them.

use crate::action::{Action, CreateCause, Notice, RemoveCause};
use crate::outline::{ObjectClass, ObjectId};
use crate::plan::{Draft, View};
use crate::reasons::Reason;

/// What workloads need, before them.
pub(super) fn create(view: &View<'_>, draft: &mut Draft) {
    of_class(view, ObjectClass::Prerequisite, draft);
}

/// What goes beside workloads, after them: it may be refused (a kind that is gone, a webhook that is away, a policy), and no
/// workload waits for it.
pub(super) fn beside(view: &View<'_>, draft: &mut Draft) {
    of_class(view, ObjectClass::Ancillary, draft);
}

fn of_class(view: &View<'_>, class: ObjectClass, draft: &mut Draft) {
    let those = view.input.outline.iter().filter(|(_, o)| o.class == class);
    for (id, _) in those {
        match view.input.observed.objects.get(id) {
            None => draft.actions.push(Action::Create {
                id: id.clone(),
                cause: cause(view, id),
            }),
            Some(_) => put_right(view, id, draft),
        }
    }
}

fn put_right(view: &View<'_>, id: &ObjectId, draft: &mut Draft) {
    let Some(object) = view.ours(id) else {
        return; // somebody else's, or on its way out
    };
    let Some(difference) = &object.difference else {
        return;
    };
    let mutable = view.input.outline.get(id).is_some_and(|o| o.mutable);
    if mutable || difference.in_place {
        draft.actions.push(Action::update(id, object, difference));
    } else if object.in_use {
        draft.note(Notice {
            reason: Reason::ImmutableField,
            message: format!(
                "{id} differs from what it should be in {} and cannot be changed while it is used",
                difference.fields.join(", ")
            ),
            field: None,
        });
    } else {
        draft
            .actions
            .push(Action::remove(id, object, RemoveCause::Replace));
    }
}

/// Whether an object is made for the first time. It was there before when we saw it, or when something that refers to it
/// is still there.
pub(super) fn cause(view: &View<'_>, id: &ObjectId) -> CreateCause {
    let referred = view.input.outline.iter().any(|(user, outline)| {
        outline.uses.contains(id)
                // A changed workload refers to its newest configs only after its update.
                && view.ours(user).is_some_and(|o| {
                    o.revision.as_ref() == Some(&outline.revision)
                })
    });
    if view.input.memory.seen.contains(id) || referred {
        CreateCause::Missing
    } else {
        CreateCause::New
    }
}
