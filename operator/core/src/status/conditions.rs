//! The six conditions. A condition's time moves only with its status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::action::Notice;
use crate::reasons::Reason;
use crate::status::{Facts, Failure, roots, say, seconds, words};

pub(super) const ACCEPTED: &str = "Accepted";
pub(super) const DEPENDENCIES_READY: &str = "DependenciesReady";
pub(super) const READY: &str = "Ready";
pub(super) const PROGRESSING: &str = "Progressing";
pub(super) const DEGRADED: &str = "Degraded";
pub(super) const UPDATED: &str = "Updated";

struct Verdict {
    status: &'static str,
    reason: Reason,
    message: String,
}

fn verdict(status: &'static str, reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict {
        status,
        reason,
        message: message.into(),
    }
}

pub(super) fn all(facts: &Facts<'_>) -> Vec<Condition> {
    [
        (ACCEPTED, accepted(facts)),
        (DEPENDENCIES_READY, dependencies(facts)),
        (READY, Some(ready(facts))),
        (PROGRESSING, Some(progressing(facts))),
        (DEGRADED, degraded(facts)),
        (UPDATED, updated(facts)),
    ]
    .into_iter()
    .filter_map(|(kind, verdict)| match verdict {
        Some(verdict) => Some(condition(kind, verdict, facts)),
        // Nothing new is known: what was said stands, with the generation that it spoke of.
        None => old(facts, kind).cloned(),
    })
    .collect()
}

pub(super) fn old<'a>(facts: &Facts<'a>, kind: &str) -> Option<&'a Condition> {
    facts
        .old
        .and_then(|s| s.conditions.iter().find(|c| c.type_ == kind))
}

fn condition(kind: &str, verdict: Verdict, facts: &Facts<'_>) -> Condition {
    let before = old(facts, kind);
    let since = before
        .filter(|c| c.status == verdict.status)
        .map(|c| c.last_transition_time.clone());
    let refused = !facts.refusals().is_empty();
    let generation = match kind {
        // While a resource is refused, everything but the refusal speaks of the last one that was not. And what is ready while a
        // change goes on is ready as the generation before asked for: of the new one it is said once that is what runs.
        ACCEPTED => facts.spoken_of,
        _ if refused || (kind == READY && !facts.settled && !facts.deleting) => {
            before.map_or(facts.spoken_of, |c| c.observed_generation)
        }
        _ => facts.spoken_of,
    };
    Condition {
        type_: kind.to_owned(),
        status: verdict.status.to_owned(),
        reason: verdict.reason.as_str(),
        message: verdict.message,
        observed_generation: generation,
        last_transition_time: since.unwrap_or_else(|| seconds(facts.input.now)),
    }
}

fn accepted(facts: &Facts<'_>) -> Option<Verdict> {
    let refusals = facts.input.refusals?;
    let acted_on = facts.spoken_of == facts.input.resource.metadata.generation;
    if !acted_on && old(facts, ACCEPTED).is_some() {
        return None; // the status does not speak of this generation yet
    }
    let Some(first) = refusals.first() else {
        return Some(verdict(
            "True",
            Reason::Valid,
            "the resource can be honoured",
        ));
    };
    let all: Vec<String> = refusals.iter().map(with_field).collect();
    Some(verdict("False", first.reason, words::shorten(&all)))
}

/// A notice with its field, in one line.
pub(super) fn with_field(notice: &Notice) -> String {
    match &notice.field {
        Some(field) if !field.is_empty() && !notice.message.contains(field.as_str()) => {
            format!("{field}: {}", notice.message)
        }
        _ => notice.message.clone(),
    }
}

fn unreachable(facts: &Facts<'_>) -> Option<Verdict> {
    let waits = facts.input.failure.is_none() && !facts.input.unplaced.is_empty();
    if facts.input.observed.is_some() || waits || !facts.refusals().is_empty() {
        return None;
    }
    if facts.input.failure.is_none() && !facts.input.unplaced.is_empty() {
        let lacking: Vec<String> = facts.input.unplaced.iter().map(say).collect();
        let status = if facts.was_ready { "Unknown" } else { "False" };
        let message = format!("waiting for {}", words::shorten(&lacking));
        return Some(verdict(status, Reason::Unschedulable, message));
    }
    let (reason, message) = facts.input.failure.map_or(
        (
            Reason::PlatformUnreachable,
            "the platform was not asked yet",
        ),
        |failure| (failure.reason, failure.message.as_str()),
    );
    Some(verdict("Unknown", reason, message))
}

fn dependencies(facts: &Facts<'_>) -> Option<Verdict> {
    if facts.deleting {
        return None;
    }
    if let Some(unknown) = unreachable(facts) {
        return Some(unknown);
    }
    if !facts.judged {
        return None;
    }
    let plan = facts.input.plan?;
    let lost = loses_data(facts);
    let lacking: Vec<String> = plan
        .readiness
        .iter()
        .filter(|(c, r)| !c.is_milvus() && **c != crate::component::Component::Gateway && !r.ready)
        .map(|(c, r)| format!("{c}: {}", r.detail))
        .collect();
    Some(if lacking.is_empty() {
        verdict("True", Reason::AllReady, "every dependency answers")
    } else {
        let reason = match lost {
            true => Reason::DataLost,
            false => Reason::WaitingForDependencies,
        };
        verdict("False", reason, words::shorten(&lacking))
    })
}

/// Whether a store has lost what the cluster kept in it.
fn loses_data(facts: &Facts<'_>) -> bool {
    let plan = facts.input.plan.iter();
    plan.flat_map(|p| p.readiness.values()).any(|r| r.lost)
}

fn ready(facts: &Facts<'_>) -> Verdict {
    if facts.deleting {
        return verdict("False", Reason::Deleting, "the cluster is being taken down");
    }
    if let Some(unknown) = unreachable(facts) {
        return unknown;
    }
    if !facts.judged {
        return match facts.refusals().first() {
            // Not looked at while the resource is refused: what was true may not be true now.
            Some(_) if facts.was_ready => verdict(
                "Unknown",
                Reason::InvalidSpec,
                "not judged while the resource is refused; the running cluster is left as it is",
            ),
            Some(first) => verdict("False", first.reason, "nothing was started"),
            None if facts.input.unplaced.is_empty() => {
                verdict("False", Reason::Starting, waiting_words(facts))
            }
            None => verdict("False", Reason::Unschedulable, waiting_words(facts)),
        };
    }
    if facts.lacking.is_empty() {
        let asked = facts.input.desired.is_none_or(|d| d.endpoint.asked);
        let message = if asked {
            "every role and the endpoint answer"
        } else {
            "every role passes the platform's own checks"
        };
        return verdict("True", Reason::AllReady, message);
    }
    let reason = if loses_data(facts) {
        Reason::DataLost
    } else if facts.was_ready {
        Reason::NotReady
    } else {
        Reason::Starting
    };
    verdict("False", reason, words::shorten(&facts.lacking))
}

fn waiting_words(facts: &Facts<'_>) -> String {
    let words: Vec<String> = roots(&facts.waiting).iter().map(|w| say(w)).collect();
    if words.is_empty() {
        "nothing was started yet".to_owned()
    } else {
        format!("waiting for {}", words::shorten(&words))
    }
}

fn progressing(facts: &Facts<'_>) -> Verdict {
    if let Some(failure) = facts.input.failure {
        return verdict("True", failure.reason, failure.message.clone());
    }
    if facts.deleting {
        let words = waiting_words(facts);
        return verdict("True", Reason::Deleting, words);
    }
    if !facts.refusals().is_empty() {
        return verdict(
            "False",
            Reason::InvalidSpec,
            "the resource is not acted on until it is put right",
        );
    }
    let changing = facts.input.plan.is_some_and(|p| !p.changing.is_empty());
    if facts.waiting.is_empty() && !changing && facts.input.plan.is_some() {
        return verdict("False", Reason::Complete, "everything stands as asked for");
    }
    let reason = if changing && facts.was_ready {
        Reason::Updating
    } else if roots(&facts.waiting)
        .iter()
        .all(|w| matches!(w.on, crate::action::WaitingOn::Dependencies(_)))
        && !facts.waiting.is_empty()
    {
        Reason::WaitingForDependencies
    } else {
        Reason::Starting
    };
    verdict("True", reason, waiting_words(facts))
}

/// Notices that say that something is wrong.
pub(super) fn troubles<'a>(facts: &Facts<'a>) -> Vec<&'a Notice> {
    facts
        .notices
        .iter()
        .copied()
        .filter(|n| n.reason.is_warning() && !remark(n.reason))
        .collect()
}

/// What people should know of a cluster that is well all the same.
fn remark(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::PlacementAtRisk
            | Reason::KeptByAdmission
            | Reason::LoginNotChecked
            | Reason::ClockDrift
            | Reason::LedgerHeld
    )
}

/// What the platform has refused of the plan: it stays so until the resource or the platform changes.
pub(super) fn refused<'a>(facts: &Facts<'a>) -> Option<&'a Failure> {
    facts
        .input
        .failure
        .filter(|f| f.reason == Reason::ActionFailed && facts.input.plan.is_some())
        .filter(|_| !facts.carried_out)
}

fn degraded(facts: &Facts<'_>) -> Option<Verdict> {
    if facts.input.unplaced.is_empty() {
        facts.input.observed?;
    }
    let troubles = troubles(facts);
    if let Some(failure) = refused(facts) {
        let mut all = vec![failure.message.clone()];
        all.extend(troubles.iter().map(|n| with_field(n)));
        return Some(verdict("True", failure.reason, words::shorten(&all)));
    }
    let unplaced: Vec<String> = facts.input.unplaced.iter().map(say).collect();
    if let Some(first) = troubles.first() {
        let all: Vec<String> = troubles.iter().map(|n| with_field(n)).collect();
        return Some(verdict("True", first.reason, words::shorten(&all)));
    }
    if !unplaced.is_empty() {
        return Some(verdict(
            "True",
            Reason::Unschedulable,
            words::shorten(&unplaced),
        ));
    }
    facts.input.plan?;
    let changing = facts.input.plan.is_some_and(|p| !p.changing.is_empty());
    if facts.was_ready && facts.judged && !facts.lacking.is_empty() && !changing {
        return Some(verdict(
            "True",
            Reason::NotReady,
            words::shorten(&facts.lacking),
        ));
    }
    let remarks = || facts.notices.iter().filter(|n| remark(n.reason));
    let Some(first) = remarks().next() else {
        return Some(verdict("False", Reason::AsExpected, "nothing is wrong"));
    };
    let all: Vec<String> = remarks().map(|n| n.message.clone()).collect();
    Some(verdict("False", first.reason, words::shorten(&all)))
}

fn updated(facts: &Facts<'_>) -> Option<Verdict> {
    let plan = facts.input.plan?;
    if facts.deleting || !facts.refusals().is_empty() {
        return None;
    }
    if plan.changing.is_empty() && !facts.settled {
        let Some(failure) = refused(facts) else {
            // Only noted so far, or lost to another writer: the next pass says it.
            return None;
        };
        return Some(verdict("False", failure.reason, failure.message.clone()));
    }
    Some(if plan.changing.is_empty() && facts.judged {
        verdict(
            "True",
            Reason::Complete,
            "every workload runs what the resource asks for",
        )
    } else {
        let names: Vec<String> = plan.changing.iter().map(ToString::to_string).collect();
        // What the platform says of their rollouts, such as that somebody has paused one.
        let of_them = |n: &&&Notice| {
            let said_of = |name: &String| n.message.starts_with(&format!("{name}: "));
            n.reason == Reason::NotReady && names.iter().any(said_of)
        };
        let said = facts.notices.iter().filter(of_them);
        let mut words = vec![format!("not yet as asked for: {}", names.join(", "))];
        words.extend(said.map(|n| n.message.clone()));
        words.extend(refused(facts).map(|failure| failure.message.clone()));
        verdict("False", Reason::Updating, words::shorten(&words))
    })
}
