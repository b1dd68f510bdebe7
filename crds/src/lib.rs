//! The API types of `operator.milvus.io`: what a person writes, what the operator answers, and the custom resource
//! definition made from both. This room holds data and the rules that need nothing but the object itself: no defaults
//! by version, no platform knowledge, no input or output.

pub mod quantity;
mod schema;
pub mod v1beta1;

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::CustomResourceExt as _;
use serde_json::Value;

pub use quantity::{Quantity, QuantityError};
pub use schema::null_as_default;
pub use v1beta1::*;

/// The API group of every type here.
pub const GROUP: &str = "operator.milvus.io";
/// The served and stored version.
pub const VERSION: &str = "v1beta1";
/// The kind.
pub const KIND: &str = "MilvusCluster";
/// The plural name, as in URLs and `kubectl get`.
pub const PLURAL: &str = "milvusclusters";

/// The custom resource definition of [`MilvusCluster`] as one line of JSON: what [`crd`] makes of the types, made beforehand.
/// Programs use this one: making it anew takes ten times its size in memory.
pub const CRD_JSON: &str = include_str!("../generated/milvusclusters.operator.milvus.io.json");

/// The custom resource definition of [`MilvusCluster`], made of the types.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = MilvusCluster::crd();
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut();
        if let Some(schema) = schema.and_then(|s| s.open_api_v3_schema.as_mut()) {
            let properties = schema.properties.get_or_insert_default();
            properties.insert("metadata".to_owned(), named());
        }
    }
    crd
}

/// Of the metadata a definition may say something about the name alone, and must where a rule points at it.
fn named() -> JSONSchemaProps {
    let typed = |type_: &str| JSONSchemaProps {
        type_: Some(type_.to_owned()),
        ..JSONSchemaProps::default()
    };
    JSONSchemaProps {
        properties: Some(BTreeMap::from([("name".to_owned(), typed("string"))])),
        ..typed("object")
    }
}

/// The definition made of the types as JSON; [`CRD_JSON`] is exactly this text.
pub fn crd_json() -> Result<String, serde_json::Error> {
    // Through a JSON value: its maps are sorted, so the text does not depend on the order of declarations.
    let mut value = serde_json::to_value(crd())?;
    integral(&mut value);
    Ok(value.to_string())
}

/// The definition as YAML, the same bytes at every call; `crds/generated/` holds exactly this text.
pub fn crd_yaml() -> Result<String, CrdYamlError> {
    let value: Value = serde_json::from_str(CRD_JSON).map_err(CrdYamlError::Json)?;
    serde_saphyr::to_string(&value).map_err(CrdYamlError::Yaml)
}

/// Bounds are floats in the definition's type; `1000` reads better than `1000.0` and means the same.
fn integral(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|_| number.is_f64())
                && float.fract() == 0.0
                && float.abs() < 1e15
            {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(integral),
        Value::Object(fields) => fields.values_mut().for_each(integral),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Writing the definition as text failed.
#[derive(Debug, thiserror::Error)]
pub enum CrdYamlError {
    /// The definition is no JSON.
    #[error("reading the custom resource definition failed")]
    Json(#[source] serde_json::Error),
    /// The JSON form has no YAML form.
    #[error("writing the custom resource definition as YAML failed")]
    Yaml(#[source] serde_saphyr::ser::Error),
}
