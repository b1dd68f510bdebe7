//! Objects under our names that are not this resource's: those of others are left alone and reported, those of an earlier
//! resource of the same name are ours to clear away.

use crate::action::{Action, Notice, RemoveCause, WaitingOn};
use crate::observed::Owner;
use crate::outline::ObjectClass;
use crate::plan::{Draft, View};
use crate::reasons::Reason;

pub(super) fn foreign(view: &View<'_>, draft: &mut Draft) {
    for (id, object) in &view.input.observed.objects {
        if object.owner == Owner::Foreign && view.input.outline.contains_key(id) {
            draft.note(Notice {
                reason: Reason::ForeignObject,
                message: format!(
                    "{id} is a foreign object and is left alone: remove or rename it, or name this cluster otherwise"
                ),
                field: Some("metadata.name".to_owned()),
            });
            let workload = view.input.outline.get(id).and_then(|o| o.workload);
            if let Some(key) = workload {
                let component = key.component;
                draft.changing.insert(key);
                draft.wait(
                    component,
                    WaitingOn::Answer {
                        component,
                        detail: format!("{id} is a foreign object"),
                    },
                );
            }
        }
    }
}

/// Removes what an earlier resource of the same name left behind: processes first, then what nothing refers to.
pub(super) fn predecessors(view: &View<'_>, draft: &mut Draft) {
    for workloads in [true, false] {
        for (id, object) in &view.input.observed.objects {
            let Owner::Predecessor { .. } = object.owner else {
                continue;
            };
            let is_workload = object.class == ObjectClass::Workload;
            if is_workload != workloads || (!is_workload && object.in_use) {
                continue;
            }
            draft
                .actions
                .push(Action::remove(id, object, RemoveCause::Unwanted));
        }
    }
}
