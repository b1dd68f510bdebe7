//! Collects everything that is wrong, so that people hear of all of it at once. Pure.

use crate::action::Notice;
use crate::reasons::Reason;

/// One thing that stands in the way of a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Path in the resource (`spec.components.queryNode.replicas`).
    pub field: String,
    /// Kind.
    pub reason: Reason,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Violations and remarks so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) violations: Vec<Violation>,
    pub(crate) notices: Vec<Notice>,
}

impl Findings {
    pub(crate) fn refuse(
        &mut self,
        reason: Reason,
        field: impl Into<String>,
        message: impl Into<String>,
    ) {
        let violation = Violation {
            field: field.into(),
            reason,
            message: message.into(),
        };
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    pub(crate) fn invalid(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.refuse(Reason::InvalidSpec, field, message);
    }

    pub(crate) fn not_yet(&mut self, field: impl Into<String>, what: impl std::fmt::Display) {
        self.refuse(
            Reason::NotSupportedYet,
            field,
            format!("not supported yet: {what}"),
        );
    }

    pub(crate) fn unsupported(
        &mut self,
        field: impl Into<String>,
        platform: &str,
        what: impl std::fmt::Display,
    ) {
        self.refuse(
            Reason::UnsupportedOnPlatform,
            field,
            format!("{platform} cannot honour this: {what}"),
        );
    }

    pub(crate) fn notice(
        &mut self,
        reason: Reason,
        field: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.notices.push(Notice {
            reason,
            message: message.into(),
            field: Some(field.into()),
        });
    }
}
