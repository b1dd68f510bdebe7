//! Who is asking, and what they may do. Tokens are compared by keyed digest and never kept in clear.

use std::sync::Arc;

use ring::hmac;
use ring::rand::SystemRandom;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Group with every right (as in Kubernetes).
pub const MASTERS: &str = "system:masters";
/// Group with every right.
pub const ADMIN: &str = "milvus:admin";
/// Group that may read and write, but not make or remove namespaces.
pub const EDIT: &str = "milvus:edit";
/// Group that may read all but secrets.
pub const VIEW: &str = "milvus:view";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// A user and their groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User name.
    pub user: String,
    /// Groups.
    pub groups: Vec<String>,
}

impl Identity {
    /// A user who has proved to be one.
    pub fn new(user: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self {
            user: user.into(),
            groups,
        }
    }

    /// The program that the server is part of; attach it to requests as an extension.
    pub fn in_process(user: impl Into<String>) -> Self {
        Self::new(user, [MASTERS.to_owned()])
    }

    /// Another user, in whose name the caller asks, with the right to do so; the groups are those that were named.
    pub fn impersonated(user: String, groups: Vec<String>) -> Self {
        let anonymous = Self::anonymous();
        if user == anonymous.user && groups.is_empty()
            || groups.iter().any(|g| g == UNAUTHENTICATED)
        {
            return Self { user, ..anonymous };
        }
        Self::new(user, groups)
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self {
            user: "system:anonymous".into(),
            groups: vec![UNAUTHENTICATED.into()],
        }
    }

    /// Whether nobody has proved anything.
    pub fn is_anonymous(&self) -> bool {
        self.has(UNAUTHENTICATED)
    }

    fn has(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// As the review kinds show it.
    pub fn user_info(&self) -> Value {
        json!({"username": self.user, "groups": self.groups})
    }
}

/// The certificate a client showed, already verified against the client CA.
#[derive(Debug, Clone)]
pub struct PeerCertificate(pub Arc<CertificateDer<'static>>);

/// Why the authenticator could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No random key for the digests.
    #[error("make authenticator: no random bytes from the system")]
    Random,
}

/// Knows the tokens, and how to read a certificate's subject.
pub struct Authenticator {
    key: hmac::Key,
    tokens: Vec<(hmac::Tag, Identity)>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// An authenticator without tokens: client certificates only.
    pub fn new() -> Result<Self, AuthError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| AuthError::Random)?;
        Ok(Self {
            key,
            tokens: Vec::new(),
        })
    }

    /// Adds a bearer token.
    pub fn token(mut self, token: &str, identity: Identity) -> Self {
        let tag = hmac::sign(&self.key, token.as_bytes());
        self.tokens.push((tag, identity));
        self
    }

    /// Who a request comes from; `None` for a token that is not known.
    pub fn identify(
        &self,
        authorization: Option<&str>,
        certificate: Option<&PeerCertificate>,
    ) -> Option<Identity> {
        if let Some(header) = authorization {
            let token = header
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, token)| token.trim())?;
            // Every token is compared, each in constant time.
            let mut found = None;
            for (tag, identity) in &self.tokens {
                if hmac::verify(&self.key, token.as_bytes(), tag.as_ref()).is_ok() {
                    found = Some(identity.clone());
                }
            }
            return found;
        }
        match certificate {
            Some(certificate) => subject(&certificate.0),
            None => Some(Identity::anonymous()),
        }
    }
}

/// Common name as user, organisations as groups.
fn subject(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let subject = parsed.subject();
    let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups: Vec<String> = subject
        .iter_organization()
        .filter_map(|organisation| organisation.as_str().ok().map(str::to_owned))
        // A certificate is not what makes these true.
        .filter(|group| group != UNAUTHENTICATED)
        .collect();
    Some(Identity::new(user, groups))
}

/// What somebody wants to do with a resource.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'a str,
    /// API group.
    pub group: &'a str,
    /// Plural name.
    pub resource: &'a str,
}

/// Rules of a role, as `auth can-i --list` shows them.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    verbs: &'static [&'static str],
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    except: &'static [&'static str],
}

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];
const REVIEWS: Rule = Rule {
    verbs: &["create"],
    groups: &["authorization.k8s.io", "authentication.k8s.io"],
    resources: &[
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "selfsubjectreviews",
    ],
    except: &[],
};
const ALL: Rule = Rule {
    verbs: &["*"],
    groups: &["*"],
    resources: &["*"],
    except: &[],
};
const EDIT_WRITES: Rule = Rule {
    verbs: WRITE,
    groups: &["*"],
    resources: &["*"],
    except: &["namespaces", "customresourcedefinitions"],
};
const READ_ALL: Rule = Rule {
    verbs: READ,
    groups: &["*"],
    resources: &["*"],
    except: &[],
};
const READ_BUT_SECRETS: Rule = Rule {
    verbs: READ,
    groups: &["*"],
    resources: &["*"],
    except: &["secrets"],
};

impl Identity {
    /// The rules that this identity has.
    pub fn rules(&self) -> Vec<Rule> {
        if self.is_anonymous() {
            return Vec::new();
        }
        if self.has(MASTERS) || self.has(ADMIN) {
            return vec![ALL, REVIEWS];
        }
        let mut rules = vec![REVIEWS];
        if self.has(EDIT) {
            rules.extend([READ_ALL, EDIT_WRITES]);
        } else if self.has(VIEW) {
            rules.push(READ_BUT_SECRETS);
        }
        rules
    }

    /// Whether this identity may do that.
    pub fn may(&self, attempt: Attempt<'_>) -> bool {
        self.rules().iter().any(|rule| rule.allows(attempt))
    }
}

impl Rule {
    fn allows(&self, attempt: Attempt<'_>) -> bool {
        let named = |list: &[&str], wanted: &str| list.contains(&"*") || list.contains(&wanted);
        named(self.verbs, attempt.verb)
            && named(self.groups, attempt.group)
            && named(self.resources, attempt.resource)
            && !self.except.contains(&attempt.resource)
    }

    /// As SelfSubjectRulesReview shows it, one entry for each group and resource it grants.
    pub fn shown(&self, served: &[(String, String)]) -> Vec<Value> {
        if self.except.is_empty() {
            return vec![json!({
                "verbs": self.verbs, "apiGroups": self.groups, "resources": self.resources,
            })];
        }
        // Kubernetes rules have no exceptions: name what is left.
        served
            .iter()
            .filter(|(_, resource)| !self.except.contains(&resource.as_str()))
            .map(|(group, resource)| {
                json!({"verbs": self.verbs, "apiGroups": [group], "resources": [resource]})
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(groups: &[&str], verb: &str, resource: &str) -> bool {
        Identity::new("u", groups.iter().map(ToString::to_string)).may(Attempt {
            verb,
            group: "",
            resource,
        })
    }

    #[test]
    fn roles_allow_what_they_say() {
        for (groups, verb, resource, allowed) in [
            (&[MASTERS][..], "delete", "namespaces", true),
            (&[ADMIN], "create", "secrets", true),
            (&[EDIT], "create", "secrets", true),
            (&[EDIT], "get", "namespaces", true),
            (&[EDIT], "delete", "namespaces", false),
            (&[VIEW], "list", "configmaps", true),
            (&[VIEW], "get", "secrets", false),
            (&[VIEW], "patch", "configmaps", false),
            (&[], "get", "configmaps", false),
        ] {
            assert_eq!(
                may(groups, verb, resource),
                allowed,
                "{groups:?} {verb} {resource}"
            );
        }
        assert!(!Identity::anonymous().may(Attempt {
            verb: "get",
            group: "",
            resource: "configmaps"
        }));
    }

    #[test]
    fn knows_tokens_and_only_those() {
        let authenticator = Authenticator::new()
            .unwrap()
            .token("right", Identity::new("a", []))
            .token("other", Identity::new("b", []));
        let user = |header| {
            authenticator
                .identify(Some(header), None)
                .map(|identity| identity.user)
        };
        assert_eq!(user("Bearer right").as_deref(), Some("a"));
        assert_eq!(user("bearer other").as_deref(), Some("b"));
        assert_eq!(user("Bearer wrong"), None);
        assert_eq!(user("Basic right"), None);
        assert!(authenticator.identify(None, None).unwrap().is_anonymous());
    }
}
