//! Query parameters, read once and checked. Pure.

use std::time::Duration;

use axum::extract::Query as AxumQuery;
use http::{Method, Uri};

use crate::status::ApiError;
use crate::strategy::{FieldValidation, WriteOptions};
use crate::table::IncludeObject;

/// Meaning of a given resourceVersion in a list or watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// At least that version.
    NotOlderThan,
    /// Just that version.
    Exact,
}

/// Every parameter that is understood.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// A stream of changes is wanted.
    pub watch: bool,
    /// Where to start, as given; empty if not.
    pub version: String,
    /// How to read `version`.
    pub version_match: Option<Match>,
    /// Page size.
    pub limit: Option<usize>,
    /// Token of the next page.
    pub continue_token: Option<String>,
    /// Label selector.
    pub labels: String,
    /// Field selector.
    pub fields: String,
    /// Bookmarks are wanted.
    pub bookmarks: bool,
    /// The watch starts with the present objects and a bookmark.
    pub initial_events: Option<bool>,
    /// The watch ends after this long.
    pub timeout: Option<Duration>,
    /// What table rows embed.
    pub include: IncludeObject,
    /// Options of writes.
    pub write: WriteOptions,
    /// `propagationPolicy` of a deletion.
    pub propagation: Option<String>,
    /// `orphanDependents` of a deletion (older clients).
    pub orphan: Option<bool>,
}

/// A time-out that a client may ask for. A longer one is this one: instants far ahead cannot be represented.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

fn flag(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(ApiError::bad_request(format!(
            "query parameter {name}: {other:?} is not a boolean"
        ))),
    }
}

/// A whole number as kube-apiserver reads it, and its words for what is none.
fn number(value: &str) -> Result<i64, ApiError> {
    value.parse().map_err(|error: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let why = match error.kind() {
            NegOverflow | PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        ApiError::bad_request(format!("strconv.ParseInt: parsing {value:?}: {why}"))
    })
}

impl Query {
    /// Reads the query of a request.
    pub fn parse(method: &Method, uri: &Uri) -> Result<Self, ApiError> {
        let AxumQuery(pairs) = AxumQuery::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::bad_request(format!("query: {error}")))?;
        let mut query = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "watch" => query.watch = flag(&name, &value)?,
                "resourceVersion" => query.version = value,
                "resourceVersionMatch" => {
                    query.version_match = match value.as_str() {
                        "" => None,
                        "NotOlderThan" => Some(Match::NotOlderThan),
                        "Exact" => Some(Match::Exact),
                        other => {
                            return Err(ApiError::bad_request(format!(
                                "resourceVersionMatch: {other:?} is neither NotOlderThan nor Exact"
                            )));
                        }
                    }
                }
                "limit" if !value.is_empty() => {
                    query.limit = usize::try_from(number(&value)?)
                        .ok()
                        .filter(|limit| *limit > 0);
                }
                "continue" if !value.is_empty() => query.continue_token = Some(value),
                "labelSelector" => query.labels = value,
                "fieldSelector" => query.fields = value,
                "allowWatchBookmarks" => query.bookmarks = flag(&name, &value)?,
                "sendInitialEvents" if !value.is_empty() => {
                    query.initial_events = Some(flag(&name, &value)?);
                }
                "timeoutSeconds" if !value.is_empty() => {
                    query.timeout = u64::try_from(number(&value)?)
                        .ok()
                        .filter(|seconds| *seconds > 0)
                        .map(|seconds| Duration::from_secs(seconds).min(LONGEST_TIMEOUT));
                }
                "includeObject" => {
                    query.include = IncludeObject::parse(&value).ok_or_else(|| {
                        ApiError::bad_request(format!(
                            "unrecognized includeObject value: {value:?}"
                        ))
                    })?;
                }
                "dryRun" => match value.as_str() {
                    "All" => query.write.dry_run = true,
                    other => {
                        let cause = crate::status::Cause {
                            reason: "FieldValueNotSupported".into(),
                            message: format!(
                                "Unsupported value: [{other:?}]: supported values: \"All\""
                            ),
                            field: "dryRun".into(),
                        };
                        return Err(ApiError::invalid(
                            "meta.k8s.io",
                            options_kind(method),
                            "",
                            vec![cause],
                        ));
                    }
                },
                "fieldValidation" => {
                    query.write.validation = match value.as_str() {
                        "" | "Warn" => FieldValidation::Warn,
                        "Ignore" => FieldValidation::Ignore,
                        "Strict" => FieldValidation::Strict,
                        other => {
                            let cause = crate::status::Cause {
                                reason: "FieldValueNotSupported".into(),
                                message: format!(
                                    "Unsupported value: {other:?}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
                                ),
                                field: "fieldValidation".into(),
                            };
                            return Err(ApiError::invalid(
                                "meta.k8s.io",
                                options_kind(method),
                                "",
                                vec![cause],
                            ));
                        }
                    }
                }
                "propagationPolicy" if !value.is_empty() => query.propagation = Some(value),
                "orphanDependents" if !value.is_empty() => {
                    query.orphan = Some(flag(&name, &value)?);
                }
                // fieldManager, force, pretty, timeout, gracePeriodSeconds: nothing depends on them here.
                _ => {}
            }
        }
        if query.initial_events.is_some() && !query.watch {
            return Err(initial_events_error(
                "sendInitialEvents is forbidden for list",
            ));
        }
        if query.initial_events.is_some() && query.version_match != Some(Match::NotOlderThan) {
            return Err(initial_events_error(
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if query.watch && query.version_match.is_some() && query.initial_events.is_none() {
            return Err(initial_events_error(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        if query.version_match.is_some() && query.version.is_empty() && !query.watch {
            return Err(initial_events_error(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if query.version_match == Some(Match::Exact) && query.version == "0" {
            return Err(initial_events_error(
                "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
        Ok(query)
    }

    /// The wanted version as a number; none if unset.
    pub fn version_number(&self) -> Result<Option<u64>, ApiError> {
        if self.version.is_empty() {
            return Ok(None);
        }
        self.version.parse().map(Some).map_err(|_| {
            let version = &self.version;
            ApiError::bad_request(format!(
                "invalid resource version: resourceVersion: Invalid value: {version:?}: strconv.ParseUint: parsing {version:?}: invalid syntax"
            ))
        })
    }
}

/// The options object that a method's parameters make up.
fn options_kind(method: &Method) -> &'static str {
    match *method {
        Method::POST => "CreateOptions",
        Method::PUT => "UpdateOptions",
        Method::PATCH => "PatchOptions",
        Method::DELETE => "DeleteOptions",
        _ => "ListOptions",
    }
}

fn initial_events_error(why: &str) -> ApiError {
    let field = if why.starts_with("sendInitialEvents is") {
        "sendInitialEvents"
    } else {
        "resourceVersionMatch"
    };
    let cause = crate::meta::forbidden(field, why);
    ApiError::invalid("meta.k8s.io", "ListOptions", "", vec![cause])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Query, ApiError> {
        Query::parse(&Method::GET, &format!("/x?{query}").parse().unwrap())
    }

    #[test]
    fn reads_what_clients_send() {
        let query =
            parse("&watch=true&timeoutSeconds=290&allowWatchBookmarks=true&resourceVersion=7")
                .unwrap();
        assert!(query.watch && query.bookmarks);
        assert_eq!(query.timeout, Some(Duration::from_secs(290)));
        assert_eq!(query.version_number().unwrap(), Some(7));
        let query = parse("dryRun=All&fieldValidation=Strict&fieldManager=x").unwrap();
        assert!(query.write.dry_run);
        assert_eq!(query.write.validation, FieldValidation::Strict);
    }

    #[test]
    fn numbers_at_their_edges_are_taken_or_refused_in_kubernetes_words() {
        let timeout = |seconds: i64| parse(&format!("timeoutSeconds={seconds}")).unwrap().timeout;
        assert_eq!(timeout(i64::MAX), Some(LONGEST_TIMEOUT));
        assert_eq!((timeout(0), timeout(i64::MIN)), (None, None));
        assert_eq!(parse("limit=-1").unwrap().limit, None);
        assert_eq!(
            parse("timeoutSeconds=18446744073709551615")
                .unwrap_err()
                .message,
            "strconv.ParseInt: parsing \"18446744073709551615\": value out of range"
        );
        assert_eq!(
            parse("limit=x").unwrap_err().message,
            "strconv.ParseInt: parsing \"x\": invalid syntax"
        );
    }

    #[test]
    fn refuses_what_contradicts_itself() {
        for (query, code) in [
            ("watch=true&sendInitialEvents=true", 422),
            ("dryRun=Some", 422),
            ("fieldValidation=Loose", 422),
            ("limit=x", 400),
            ("limit=18446744073709551615", 400),
            ("timeoutSeconds=18446744073709551615", 400),
            ("timeoutSeconds=-9223372036854775809", 400),
            ("timeoutSeconds=1.5", 400),
            ("watch=perhaps", 400),
        ] {
            assert_eq!(parse(query).unwrap_err().code, code, "{query}");
        }
        assert!(
            parse("watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan").is_ok()
        );
        assert_eq!(
            parse("resourceVersion=x")
                .unwrap()
                .version_number()
                .unwrap_err()
                .code,
            400
        );
    }
}
