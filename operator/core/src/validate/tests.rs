//! What is refused, with which path and reason; and that everything that is wrong is said at once.

mod client_tls;
mod dependencies;
mod endpoints;
mod facts;
mod fields;
mod kafka;
mod settings;
mod subnets;

use std::collections::BTreeMap;

use milvus_crds::MilvusCluster;

use super::*;
use crate::component::WorkloadKey;
use crate::facts::OtherCluster;
use crate::ledger::{Ledger, MemberEntry};
use crate::place::place;
use crate::prefixes::Prefixes;
use crate::reasons::Reason;
use crate::rebuild::{ACCEPT_DATA_LOSS, Origin};
use crate::subnet::Subnets;
use crate::testing::{
    facts as facts_of, kubernetes_capabilities, resource, secret, swarm_capabilities,
};

/// A resource with this spec (two spaces in front of every line).
fn spec(spec: &str) -> MilvusCluster {
    resource(&format!(
        "apiVersion: operator.milvus.io/v1beta1\nkind: MilvusCluster\nmetadata: {{name: demo}}\nspec:\n{spec}"
    ))
}

fn findings(resource: &MilvusCluster, facts: &Facts) -> Vec<(String, Reason)> {
    match validate(resource, facts, &swarm_capabilities()) {
        Ok(_) => Vec::new(),
        Err(violations) => violations
            .into_iter()
            .map(|v| {
                assert!(!v.message.is_empty() && !v.message.contains('\n'), "{v}");
                (v.field, v.reason)
            })
            .collect(),
    }
}

/// Exactly this, on four machines with nothing else in the way.
#[track_caller]
fn refused(yaml: &str, expected: &[(&str, Reason)]) {
    let resource = spec(yaml);
    let found = findings(&resource, &facts_of(&resource, 4));
    let expected: Vec<(String, Reason)> = expected
        .iter()
        .map(|(field, reason)| ((*field).to_owned(), *reason))
        .collect();
    assert_eq!(found, expected, "{yaml}");
}

#[track_caller]
fn accepted(yaml: &str) -> ValidatedCluster {
    let resource = spec(yaml);
    validate(&resource, &facts_of(&resource, 4), &swarm_capabilities())
        .unwrap_or_else(|violations| panic!("{yaml}\n{violations:#?}"))
}

use Reason::{
    ImmutableField as Immutable, InvalidSpec as Invalid, NotSupportedYet as NotYet,
    UnsupportedOnPlatform as Platform,
};
