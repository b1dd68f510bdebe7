//! Logs: who writes them where, and how an error is shown with its causes.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

use crate::cli::LogFormat;

/// Starts logging to standard error. `filter` is a tracing directive (`info`, `milvus_operator=debug`).
pub(crate) fn start(filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    // A second subscriber (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_target(false),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
}

/// An error and its causes on one line, without repeating what a cause has said already.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(inner) = next {
        let (message, cause) = match inner.downcast_ref::<kube::Error>() {
            // The client shows an API's answer with its structure, and names it as the cause once more.
            Some(kube::Error::Api(status)) if !status.message.is_empty() => {
                (status.message.clone(), None)
            }
            _ => (inner.to_string(), inner.source()),
        };
        if text.is_empty() {
            text = message;
        } else if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = cause;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read the ledger")]
    struct Outer(#[source] kube::Error);

    #[test]
    fn an_answer_of_the_api_is_told_once_and_in_words() {
        let status = kube::core::Status {
            code: 403,
            message: "configmaps \"x\" is forbidden".to_owned(),
            ..kube::core::Status::default()
        };
        let error = Outer(kube::Error::Api(Box::new(status)));
        assert_eq!(
            chain(&error),
            "read the ledger: configmaps \"x\" is forbidden"
        );
    }
}
