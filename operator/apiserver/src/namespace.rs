//! The conditions of a namespace that is being deleted: what is left in it, in Kubernetes' words. Pure but for the time of a
//! change.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::resource::Resource;

/// Numbers of what is left.
#[derive(Default)]
pub(crate) struct Contents {
    resources: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
}

impl Contents {
    /// Counts an object.
    pub(crate) fn add(&mut self, resource: &Resource, finalizers: &[String]) {
        // Kubernetes writes the group after a dot, also the empty one.
        let kind = format!("{}.{}", resource.plural, resource.group);
        *self.resources.entry(kind).or_default() += 1;
        for finalizer in finalizers {
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// The conditions; the time of one that has its status already is kept.
    pub(crate) fn conditions(&self, before: Option<&Value>) -> Value {
        let listed = |counts: &BTreeMap<String, usize>, verb: &str| {
            let parts = counts
                .iter()
                .map(|(name, count)| format!("{name} {verb} {count} resource instances"));
            parts.collect::<Vec<_>>().join(", ")
        };
        let remaining = (
            "NamespaceContentRemaining",
            true,
            "SomeResourcesRemain",
            format!(
                "Some resources are remaining: {}",
                listed(&self.resources, "has")
            ),
        );
        let held = if self.finalizers.is_empty() {
            (
                "NamespaceFinalizersRemaining",
                false,
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished".to_owned(),
            )
        } else {
            (
                "NamespaceFinalizersRemaining",
                true,
                "SomeFinalizersRemain",
                format!(
                    "Some content in the namespace has finalizers remaining: {}",
                    listed(&self.finalizers, "in")
                ),
            )
        };
        let fine = |kind, reason, message: &str| (kind, false, reason, message.to_owned());
        let all = [
            fine(
                "NamespaceDeletionDiscoveryFailure",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            fine(
                "NamespaceDeletionGroupVersionParsingFailure",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            fine(
                "NamespaceDeletionContentFailure",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            remaining,
            held,
        ];
        let now = crate::meta::now();
        let conditions = all.into_iter().map(|(kind, holds, reason, message)| {
            let status = if holds { "True" } else { "False" };
            let since = before
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .find(|old| old["type"] == kind && old["status"] == status)
                .map(|old| old["lastTransitionTime"].clone());
            json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": since.unwrap_or_else(|| now.clone().into()),
            })
        });
        Value::Array(conditions.collect())
    }
}
