//! Texts that differ by member. The pods of a StatefulSet have one template, so a member learns its ordinal from a variable that
//! is taken from its label, and the placeholders become references to that variable. Pure.

use milvus_core::component::WorkloadKey;
use milvus_core::desired::{Shape, Template, Workload};
use serde_json::{Value, json};

use super::Scope;

/// The variable with a member's ordinal. First in the environment: a reference is filled in from what stands before it.
pub(super) const ORDINAL: &str = "ORDINAL";
/// Set by the API server on every pod of a StatefulSet (Kubernetes 1.28 and later).
const ORDINAL_LABEL: &str = "metadata.labels['apps.kubernetes.io/pod-index']";

/// Fills the placeholders of one workload, and remembers whether a member has to know its ordinal.
pub(super) struct Texts<'a> {
    scope: &'a Scope<'a>,
    workload: &'a Workload,
    differ: bool,
}

impl<'a> Texts<'a> {
    pub(super) fn new(scope: &'a Scope<'a>, workload: &'a Workload) -> Self {
        Self {
            scope,
            workload,
            differ: false,
        }
    }

    /// One text. What would read like a reference to a variable stays as it was written.
    pub(super) fn fill(&mut self, template: &Template) -> String {
        let component = self.workload.component;
        let cluster = &self.scope.desired.cluster.key;
        let addressing = &self.scope.capabilities.addressing;
        let plain = literal(&template.0);
        if !matches!(self.workload.shape, Shape::Members { .. }) {
            let key = WorkloadKey::shared(component);
            return Template(plain).for_member(key, &addressing.host(cluster, key));
        }
        let reference = format!("$({ORDINAL})");
        let filled = plain
            .replace("{member}", &format!("{component}-{reference}"))
            // Only ever part of a shell's script, which does the sum.
            .replace("{ordinal+1}", &format!("$(({ORDINAL}+1))"))
            .replace("{ordinal}", &reference)
            .replace(
                "{host}",
                &addressing.members(cluster, component, &reference),
            );
        self.differ |= filled != plain;
        filled
    }

    /// The variable that the texts refer to, if any of them does.
    pub(super) fn variable(&self) -> Option<Value> {
        self.differ.then(|| {
            json!({
                "name": ORDINAL,
                "valueFrom": {"fieldRef": {"fieldPath": ORDINAL_LABEL}},
            })
        })
    }
}

/// Kubernetes takes `$(NAME)` for a reference to a variable and `$$` for a dollar sign; here both mean what they say.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}
