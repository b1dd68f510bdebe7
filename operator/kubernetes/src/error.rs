//! Errors of the API server, sorted into the classes that decide what happens next. Pure.

use std::time::Duration;

use milvus_platform::{Class, PlatformError};

/// What a status code of a Kubernetes API means.
pub fn class(code: u16) -> Class {
    match code {
        // A webhook that cannot be reached, quotas and admission that may change their mind come as these, too.
        400 | 422 => Class::Invalid,
        401 | 403 => Class::Denied,
        409 => Class::Conflict,
        404 | 405 | 410 | 429 | 500.. => Class::Transient,
        _ => Class::Invalid,
    }
}

/// What an error of the client means for `operation`.
pub(crate) fn platform(operation: impl Into<String>, error: kube::Error) -> PlatformError {
    let operation = operation.into();
    let kube::Error::Api(status) = &error else {
        let message = "the API server could not be asked".to_owned();
        return PlatformError {
            operation,
            message: format!("{message}: {error}"),
            class: Class::Transient,
            retry_after: None,
            source: Some(Box::new(error)),
        };
    };
    let class = class(status.code);
    let unknown = is_unknown_kind(status);
    let seconds = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
    PlatformError {
        operation,
        message: status.message.clone(),
        class,
        retry_after: (seconds > 0).then(|| Duration::from_secs(u64::from(seconds))),
        source: unknown.then(|| UnknownKind.into()),
    }
}

/// The API server does not know a kind (any more): the cause of a [`PlatformError`].
#[derive(Debug, thiserror::Error)]
#[error("the API server does not know this kind")]
pub(crate) struct UnknownKind;

impl UnknownKind {
    /// Whether it is why an operation failed.
    pub(crate) fn caused(error: &PlatformError) -> bool {
        error.source.as_ref().is_some_and(|s| s.is::<UnknownKind>())
    }
}

/// An object or a namespace that is not there is named in the answer; for a kind there is nobody who could name anything.
fn is_unknown_kind(status: &kube::core::Status) -> bool {
    let named = status.details.as_ref().is_some_and(|d| !d.name.is_empty());
    status.code == 404 && !named
}

/// No answer in time.
pub(crate) fn late(operation: impl Into<String>, after: Duration) -> PlatformError {
    let message = format!("the API server did not answer within {} s", after.as_secs());
    PlatformError::new(Class::Transient, operation, message)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_kind_that_is_gone_is_told_from_an_object_that_is_not_there() {
        let answer = |name: &str| {
            let answer = serde_json::json!({ "code": 404, "details": { "name": name } });
            let status: Status = serde_json::from_value(answer).expect("a status");
            platform("apply", kube::Error::Api(Box::new(status)))
        };
        assert!(UnknownKind::caused(&answer("")));
        assert!(!UnknownKind::caused(&answer("team")));
    }

    #[test]
    fn classes() {
        for (code, class) in [
            (409, Class::Conflict),
            (422, Class::Invalid),
            (403, Class::Denied),
            (429, Class::Transient),
            (503, Class::Transient),
        ] {
            let status = Status {
                code,
                message: "why".to_owned(),
                ..Status::default()
            };
            let error = platform(
                "create Deployment demo-proxy",
                kube::Error::Api(Box::new(status)),
            );
            assert_eq!((error.class, error.message.as_str()), (class, "why"));
        }
    }
}
