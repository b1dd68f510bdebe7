//! A CustomResourceDefinition as the server reads it: from its text, in which the schema stays as it is written. Pure.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinitionNames, CustomResourceSubresources, SelectableField,
};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What the server needs to know of a definition.
#[derive(Debug, Deserialize)]
pub struct Definition<'a> {
    #[serde(default)]
    metadata: Metadata,
    /// What is defined.
    #[serde(borrow)]
    pub spec: Spec<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

/// The kind and its versions.
#[derive(Debug, Deserialize)]
pub struct Spec<'a> {
    /// API group.
    pub group: String,
    /// What the kind is called.
    pub names: CustomResourceDefinitionNames,
    /// `Namespaced` or `Cluster`.
    pub scope: String,
    /// The versions.
    #[serde(borrow)]
    pub versions: Vec<Version<'a>>,
}

/// One version of a kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version<'a> {
    /// Its name.
    pub name: String,
    /// Whether clients can use it.
    pub served: bool,
    /// Whether objects are stored in it.
    pub storage: bool,
    #[serde(borrow)]
    schema: Option<Validation<'a>>,
    /// Which subresources there are.
    pub subresources: Option<CustomResourceSubresources>,
    /// The columns of tables; null if there are none.
    #[serde(default)]
    pub additional_printer_columns: Value,
    /// Fields that selectors may name.
    pub selectable_fields: Option<Vec<SelectableField>>,
}

#[derive(Debug, Deserialize)]
struct Validation<'a> {
    #[serde(borrow, rename = "openAPIV3Schema")]
    open_api_v3_schema: Option<&'a RawValue>,
}

impl<'a> Definition<'a> {
    /// Reads a definition in JSON.
    pub fn read(json: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// Its name; empty if it has none.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }
}

impl<'a> Version<'a> {
    /// The text of its schema.
    pub fn schema(&self) -> Option<&'a str> {
        Some(self.schema.as_ref()?.open_api_v3_schema?.get())
    }
}
