//! What can go wrong between us and an engine, and what kind of trouble each is. The only file that knows the engine's
//! status codes and messages.

use std::time::Duration;

use milvus_platform::{Class, PlatformError};

use super::host::Host;
use super::transport::TransportError;

/// How long a network that is gone may still be listed is up to the container that leaves it last.
const NETWORK_GONE: Duration = Duration::from_secs(1);

/// A call that gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address of the engine cannot be used.
    #[error("docker host {host:?}: {problem}")]
    Host {
        /// As given.
        host: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no answer at the engine's address.
    #[error("connect to the engine at {host}")]
    Connect {
        /// Address.
        host: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("{operation}: the connection to the engine broke")]
    Broken {
        /// What was tried.
        operation: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("{operation}: the engine did not answer in time")]
    Timeout {
        /// What was tried.
        operation: String,
    },
    /// The engine said no.
    #[error("{operation}: {message}")]
    Refused {
        /// What was tried.
        operation: String,
        /// HTTP status.
        status: u16,
        /// The engine's words.
        message: String,
    },
    /// The engine said something that we do not understand.
    #[error("{operation}: cannot read the engine's answer")]
    Decode {
        /// What was tried.
        operation: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine speaks no API version that we do.
    #[error("the engine's API {found} is too old: {wanted} or newer is needed")]
    TooOld {
        /// What it offers.
        found: String,
        /// What we need.
        wanted: String,
    },
}

impl ApiError {
    pub(super) fn of_transport(operation: &str, host: &Host, error: TransportError) -> Self {
        match error {
            TransportError::Connect(source) => ApiError::Connect {
                host: host.to_string(),
                source,
            },
            TransportError::Broken(source) => ApiError::Broken {
                operation: operation.to_owned(),
                source: Box::new(source),
            },
        }
    }

    /// What a call of bollard's ended with. An error of the transport comes through it as one of input and output.
    pub(super) fn of_bollard(operation: &str, host: &Host, error: bollard::errors::Error) -> Self {
        use bollard::errors::Error;
        let operation = operation.to_owned();
        match error {
            Error::DockerResponseServerError {
                status_code: status,
                message,
            } => ApiError::Refused {
                operation,
                status,
                message: message.trim().to_owned(),
            },
            // Said in the middle of an answer that began well.
            Error::DockerStreamError { error: message } => ApiError::Refused {
                operation,
                status: 200,
                message,
            },
            Error::RequestTimeoutError => ApiError::Timeout { operation },
            Error::IOError { err } => match err.downcast::<TransportError>() {
                Ok(error) => ApiError::of_transport(&operation, host, error),
                Err(source) => ApiError::Broken {
                    operation,
                    source: Box::new(source),
                },
            },
            error @ (Error::JsonDataError { .. } | Error::JsonSerdeError { .. }) => {
                ApiError::Decode {
                    operation,
                    source: Box::new(error),
                }
            }
            error => ApiError::Broken {
                operation,
                source: Box::new(error),
            },
        }
    }

    /// The object is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ApiError::Refused { status: 404, .. })
    }

    /// The name is taken.
    pub fn is_name_taken(&self) -> bool {
        matches!(self, ApiError::Refused { status: 409, .. }) && !self.is_in_use()
    }

    /// Another client wrote in between. The engine passes this store error on as an internal one (500).
    pub fn is_out_of_sequence(&self) -> bool {
        self.says("out of sequence")
    }

    /// The object cannot go because something still refers to it. The status differs by kind and engine (400, 403, 409).
    pub fn is_in_use(&self) -> bool {
        self.says("in use by") || self.says("active endpoints") || self.says("being used")
    }

    /// A network that the Swarm has removed is still listed by an engine on which its last container ends.
    pub fn is_network_gone(&self) -> bool {
        self.says("network ") && self.says(" not found")
    }

    /// The engine does not take our API version any more (it was upgraded under us).
    pub fn is_version_refused(&self) -> bool {
        matches!(self, ApiError::Refused { status: 400, .. }) && self.says("client version")
    }

    /// The engine cannot read a placement constraint. It passes this on as an internal error (500).
    pub fn is_constraint_refused(&self) -> bool {
        self.says("code = Unknown")
            && (self.says("' is invalid") || self.says("constraint expected one operator"))
    }

    fn says(&self, words: &str) -> bool {
        matches!(self, ApiError::Refused { message, .. } if message.contains(words))
    }

    /// What kind of trouble this is. A swarm without a leader, a node that is no manager (503) and anything that we do not
    /// understand mean that nothing is known: never that something is gone.
    pub fn class(&self) -> Class {
        match self {
            ApiError::Host { .. } | ApiError::TooOld { .. } => Class::Invalid,
            ApiError::Connect { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Class::Denied
            }
            ApiError::Connect { .. }
            | ApiError::Broken { .. }
            | ApiError::Timeout { .. }
            | ApiError::Decode { .. } => Class::Transient,
            ApiError::Refused { status, .. } => {
                if self.is_out_of_sequence() || self.is_network_gone() {
                    Class::Conflict
                } else if self.is_in_use() || self.is_version_refused() {
                    Class::Transient
                } else if self.is_constraint_refused() {
                    Class::Invalid
                } else {
                    match status {
                        400 | 501 => Class::Invalid,
                        401 | 403 => Class::Denied,
                        404 | 409 => Class::Conflict,
                        _ => Class::Transient,
                    }
                }
            }
        }
    }
}

impl From<ApiError> for PlatformError {
    fn from(error: ApiError) -> Self {
        let class = error.class();
        let (operation, message) = match &error {
            ApiError::Host { .. } | ApiError::Connect { .. } | ApiError::TooOld { .. } => {
                ("reach the engine".to_owned(), error.to_string())
            }
            ApiError::Broken { operation, .. }
            | ApiError::Timeout { operation }
            | ApiError::Refused { operation, .. }
            | ApiError::Decode { operation, .. } => {
                let text = error.to_string();
                let message = text
                    .strip_prefix(operation.as_str())
                    .and_then(|t| t.strip_prefix(": "))
                    .unwrap_or(&text)
                    .to_owned();
                (operation.clone(), message)
            }
        };
        let message = match std::error::Error::source(&error) {
            Some(cause) => format!("{message}: {cause}"),
            None => message,
        };
        let mut platform = PlatformError::new(class, operation, message);
        if error.is_network_gone() {
            platform.retry_after = Some(NETWORK_GONE);
        }
        platform.source = Some(Box::new(error));
        platform
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> ApiError {
        ApiError::Refused {
            operation: "update service demo_proxy".to_owned(),
            status,
            message: message.to_owned(),
        }
    }

    #[test]
    fn answers_of_the_engine_are_told_apart() {
        let table = [
            (
                500,
                "rpc error: code = Unknown desc = update out of sequence",
                Class::Conflict,
            ),
            (
                409,
                "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service demo_proxy already exists",
                Class::Conflict,
            ),
            (
                503,
                "rpc error: code = Unknown desc = The swarm does not have a leader.",
                Class::Transient,
            ),
            (
                500,
                "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
                Class::Transient,
            ),
            (503, "This node is not a swarm manager.", Class::Transient),
            (
                500,
                "network pnw58v9bs0tall6rp9j2tbb3o not found",
                Class::Conflict,
            ),
            (
                400,
                "rpc error: code = InvalidArgument desc = config 'a' is in use by the following service: b",
                Class::Transient,
            ),
            (
                403,
                "error while removing network: network demo_backend id x has active endpoints",
                Class::Transient,
            ),
            (
                400,
                "rpc error: code = InvalidArgument desc = EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
                Class::Invalid,
            ),
            (
                501,
                "rpc error: code = Unimplemented desc = service mode change is not allowed",
                Class::Invalid,
            ),
            (403, "authorization denied by plugin", Class::Denied),
            (
                500,
                "rpc error: code = Unknown desc = key 'node.labels.example.org/role' is invalid",
                Class::Invalid,
            ),
        ];
        for (status, message, class) in table {
            assert_eq!(refused(status, message).class(), class, "{message}");
        }
        assert!(refused(404, "service x not found").is_not_found());
        assert!(refused(409, "name conflicts").is_name_taken());
    }

    #[test]
    fn what_bollard_says_is_one_of_ours() {
        use bollard::errors::Error;
        let host = Host::Tcp("m1:2375".to_owned());
        let of = |error| ApiError::of_bollard("remove network demo_backend", &host, error);
        let refused = of(Error::DockerResponseServerError {
            status_code: 403,
            message: "network demo_backend has active endpoints\n".to_owned(),
        });
        assert!(refused.is_in_use(), "{refused}");
        let away = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let away = of(Error::IOError {
            err: std::io::Error::other(TransportError::Connect(away)),
        });
        assert_eq!(away.to_string(), "connect to the engine at tcp://m1:2375");
        let silent = of(Error::RequestTimeoutError);
        assert!(matches!(silent, ApiError::Timeout { .. }), "{silent}");
    }

    #[test]
    fn platform_errors_name_operation_and_cause_once() {
        let error: PlatformError = refused(400, "bad port").into();
        assert_eq!(error.to_string(), "update service demo_proxy: bad port");
    }
}
