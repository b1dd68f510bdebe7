//! Paths to what they mean. Pure.

use std::sync::Arc;

use crate::resource::{Registry, Resource};
use crate::status::ApiError;

/// The part of an object that a path addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sub {
    /// The object.
    None,
    /// Its status.
    Status,
    /// Its scale.
    Scale,
}

/// A path under a resource.
#[derive(Debug, Clone)]
pub struct Target {
    /// The kind.
    pub resource: Arc<Resource>,
    /// The namespace in the path.
    pub namespace: Option<String>,
    /// The name in the path.
    pub name: Option<String>,
    /// Which part.
    pub sub: Sub,
}

/// Any path that is served.
#[derive(Debug, Clone)]
pub enum Route {
    /// `/healthz`, `/livez`, `/readyz`.
    Health,
    /// `/version`.
    Version,
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1`, `/apis/GROUP/VERSION`: the key of the resource list.
    Resources(String),
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApiIndex,
    /// `/openapi/v3/<path>`.
    OpenApi(String),
    /// One of the review kinds.
    Review(&'static str),
    /// Objects.
    Objects(Target),
}

fn decode_percent(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

impl Route {
    /// Reads a path.
    pub fn parse(registry: &Registry, path: &str) -> Result<Self, ApiError> {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode_percent)
            .collect::<Option<_>>()
            .ok_or_else(|| ApiError::bad_request("the path is not valid percent-encoded UTF-8"))?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["healthz" | "livez" | "readyz", ..] => Ok(Self::Health),
            ["version"] => Ok(Self::Version),
            ["api"] => Ok(Self::CoreVersions),
            ["apis"] => Ok(Self::Groups),
            ["apis", group] => Ok(Self::Group((*group).to_owned())),
            ["api", "v1"] => Ok(Self::Resources("v1".into())),
            ["apis", group, version] => Ok(Self::Resources(format!("{group}/{version}"))),
            ["openapi", "v2"] => Ok(Self::OpenApiV2),
            ["openapi", "v3"] => Ok(Self::OpenApiIndex),
            ["openapi", "v3", rest @ ..] => Ok(Self::OpenApi(rest.join("/"))),
            ["api", "v1", rest @ ..] => Self::objects(registry, "", "v1", rest),
            ["apis", group, version, rest @ ..] => Self::objects(registry, group, version, rest),
            _ => Err(ApiError::no_such_path()),
        }
    }

    fn objects(
        registry: &Registry,
        group: &str,
        version: &str,
        rest: &[&str],
    ) -> Result<Self, ApiError> {
        if let ("v1", [plural]) = (version, rest)
            && let Some((plural, ..)) = crate::discovery::REVIEWS
                .iter()
                .find(|(known, _, of)| known == plural && *of == group)
        {
            return Ok(Self::Review(plural));
        }
        let owned = |text: &&str| Some((*text).to_owned());
        let found = |plural: &str| registry.get(group, version, plural).cloned();
        // `namespaces` is a kind of its own and the way into each of them.
        let (resource, namespace, name, sub) = match rest {
            ["namespaces"] => (found("namespaces"), None, None, None),
            ["namespaces", name] => (found("namespaces"), None, owned(name), None),
            ["namespaces", name, sub @ ("status" | "finalize")] if group.is_empty() => {
                (found("namespaces"), None, owned(name), Some(*sub))
            }
            ["namespaces", namespace, plural] => (found(plural), owned(namespace), None, None),
            ["namespaces", namespace, plural, name] => {
                (found(plural), owned(namespace), owned(name), None)
            }
            ["namespaces", namespace, plural, name, sub] => {
                (found(plural), owned(namespace), owned(name), Some(*sub))
            }
            [plural] => (found(plural), None, None, None),
            [plural, name] => (found(plural), None, owned(name), None),
            [plural, name, sub] => (found(plural), None, owned(name), Some(*sub)),
            _ => return Err(ApiError::no_such_path()),
        };
        let missing = ApiError::no_such_path;
        let resource = resource.ok_or_else(missing)?;
        // A name needs its namespace, and only where there are namespaces.
        if resource.namespaced != namespace.is_some() && (namespace.is_some() || name.is_some()) {
            return Err(missing());
        }
        let sub = match sub {
            None => Sub::None,
            Some("status") if resource.status => Sub::Status,
            Some("scale") if resource.scale.is_some() => Sub::Scale,
            Some(_) => {
                return Err(ApiError::not_found(
                    &resource,
                    name.as_deref().unwrap_or_default(),
                ));
            }
        };
        Ok(Self::Objects(Target {
            resource,
            namespace,
            name,
            sub,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(path: &str) -> (String, Option<String>, Option<String>, Sub) {
        let registry = Registry::new(&[]).unwrap();
        match Route::parse(&registry, path).unwrap() {
            Route::Objects(target) => (
                target.resource.qualified_plural(),
                target.namespace,
                target.name,
                target.sub,
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tells_namespaces_from_what_is_in_them() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            objects("/api/v1/namespaces/a"),
            ("namespaces".into(), None, some("a"), Sub::None)
        );
        assert_eq!(
            objects("/api/v1/namespaces/a/status"),
            ("namespaces".into(), None, some("a"), Sub::Status)
        );
        assert_eq!(
            objects("/api/v1/namespaces/a/secrets"),
            ("secrets".into(), some("a"), None, Sub::None)
        );
        assert_eq!(
            objects("/apis/events.k8s.io/v1/namespaces/a/events/x%2ey"),
            (
                "events.events.k8s.io".into(),
                some("a"),
                some("x.y"),
                Sub::None
            )
        );
        assert_eq!(
            objects("/api/v1/events"),
            ("events".into(), None, None, Sub::None)
        );
    }

    #[test]
    fn refuses_other_paths() {
        let registry = Registry::new(&[]).unwrap();
        for path in [
            "/",
            "/api/v1/pods",
            "/apis/apps/v1/deployments",
            "/api/v1/secrets/x",
            "/api/v1/namespaces/a/secrets/x/scale",
            "/api/v1/%zz",
        ] {
            assert!(Route::parse(&registry, path).is_err(), "{path}");
        }
    }
}
