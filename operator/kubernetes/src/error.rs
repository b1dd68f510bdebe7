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
    let seconds = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
    PlatformError {
        operation,
        message: status.message.clone(),
        class,
        retry_after: (seconds > 0).then(|| Duration::from_secs(u64::from(seconds))),
        source: None,
    }
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
