//! Requests in the name of another user, by the `Impersonate-*` headers.

use http::HeaderMap;

use crate::auth::{Attempt, Identity};
use crate::status::ApiError;

const PREFIX: &str = "impersonate-";
const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";

/// The identity that a request is answered for: the headers' where there are some and the client has the right to it.
pub(super) fn effective(identity: Identity, headers: &HeaderMap) -> Result<Identity, ApiError> {
    let mut asked = headers
        .keys()
        .filter(|name| name.as_str().starts_with(PREFIX))
        .peekable();
    if asked.peek().is_none() {
        return Ok(identity);
    }
    let values = |name: &str| -> Result<Vec<String>, ApiError> {
        headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().map(str::to_owned))
            .collect::<Result<_, _>>()
            .map_err(|_| ApiError::bad_request(format!("header {name}: the value is not ASCII")))
    };
    let (users, groups) = (values(USER)?, values(GROUP)?);
    let other = asked.find(|name| !matches!(name.as_str(), USER | GROUP));
    let user = users.into_iter().next().filter(|user| !user.is_empty());
    let Some(user) = user else {
        return Err(ApiError::bad_request(
            "requested impersonation without impersonating a user: the header Impersonate-User is missing",
        ));
    };
    let wanted = std::iter::once(("users", &user)).chain(groups.iter().map(|g| ("groups", g)));
    for (resource, name) in wanted {
        let attempt = Attempt {
            verb: "impersonate",
            group: "",
            resource,
        };
        if !identity.may(attempt) {
            let why = format!(
                "User \"{}\" cannot impersonate resource \"{resource}\" in API group \"\" at the cluster scope",
                identity.user
            );
            return Err(ApiError::impersonation(resource, name, &why));
        }
    }
    if let Some(header) = other {
        let why = format!(
            "this server knows no uid and no extra fields of users: leave out the header {header}"
        );
        return Err(ApiError::impersonation("users", &user, &why));
    }
    Ok(Identity::impersonated(user, groups))
}
