//! "What may I do, who am I": the self-review kinds.

use serde_json::{Value, json};

use crate::auth::{Attempt, Identity};
use crate::server::Shared;
use crate::status::ApiError;

pub(super) fn answer(
    shared: &Shared,
    identity: &Identity,
    plural: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    let spec = body.get("spec").cloned().unwrap_or_default();
    match plural {
        "selfsubjectaccessreviews" => {
            let status = access(identity, &spec)?;
            Ok(json!({
                "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
                "metadata": {}, "spec": spec, "status": status,
            }))
        }
        "selfsubjectrulesreviews" => {
            let served: Vec<(String, String)> = shared
                .registry
                .all()
                .iter()
                .map(|resource| (resource.group.clone(), resource.plural.clone()))
                .collect();
            let rules: Vec<Value> = identity
                .rules()
                .iter()
                .flat_map(|rule| rule.shown(&served))
                .collect();
            let paths = [
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/openapi",
                "/openapi/*",
            ];
            let health = ["/healthz", "/livez", "/readyz", "/version"];
            Ok(json!({
                "kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1",
                "metadata": {}, "spec": spec,
                "status": {
                    "incomplete": false,
                    "resourceRules": rules,
                    "nonResourceRules": [
                        {"verbs": ["get"], "nonResourceURLs": paths},
                        {"verbs": ["get"], "nonResourceURLs": health},
                    ],
                },
            }))
        }
        _ => Ok(json!({
            "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {}, "status": {"userInfo": identity.user_info()},
        })),
    }
}

fn access(identity: &Identity, spec: &Value) -> Result<Value, ApiError> {
    let resource = spec
        .get("resourceAttributes")
        .filter(|value| !value.is_null());
    let path = spec
        .get("nonResourceAttributes")
        .filter(|value| !value.is_null());
    let allowed = match (resource, path) {
        (Some(wanted), None) => {
            let text = |field: &str| {
                wanted
                    .get(field)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            identity.may(Attempt {
                verb: text("verb"),
                group: text("group"),
                resource: text("resource"),
            })
        }
        (None, Some(wanted)) => wanted.get("verb").and_then(Value::as_str) == Some("get"),
        _ => {
            return Err(ApiError::bad_request(
                "spec: exactly one of resourceAttributes and nonResourceAttributes must be set",
            ));
        }
    };
    Ok(json!({"allowed": allowed}))
}
