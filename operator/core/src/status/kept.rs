//! What does not stay as it is written. Pure.

use crate::action::Notice;
use crate::reasons::Reason;
use crate::status::StatusInput;

/// Objects that are named; the rest is counted.
const NAMED: usize = 8;

/// One notice for a cluster, naming objects and fields; `None` where everything stays. It is given once nothing is changed any
/// more: each workload is found out in its turn, and people are to hear of all of them at one time.
pub(super) fn kept(input: &StatusInput<'_>) -> Option<Notice> {
    let (observed, plan) = (input.observed?, input.plan?);
    if !plan.changing.is_empty() {
        return None;
    }
    let objects = observed.objects.iter().filter(|(_, o)| !o.kept.is_empty());
    let mut all: Vec<String> = objects
        .map(|(id, object)| format!("{id} ({})", object.kept.join(", ")))
        .collect();
    if all.is_empty() {
        return None;
    }
    if all.len() > NAMED {
        let more = all.len() - NAMED;
        all.truncate(NAMED);
        all.push(format!("{more} more"));
    }
    Some(Notice {
        reason: Reason::KeptByAdmission,
        message: format!(
            "fields do not stay as they are written, because the API server or its admission (a webhook, a policy) rewrites them, \
             and are left so: {}; ask for what it makes of them, or except these objects from it and then change anything in them",
            all.join("; ")
        ),
        field: None,
    })
}
