//! Kubernetes as a platform: the only room that speaks of workloads in Kubernetes' own words.
//!
//! `render` (pure) turns a cluster into native objects; `drift` (pure) tells how an object in the API differs from its
//! rendering; the objects and pods that the API server told of are kept in `cache`, filled by `watch`; `observe` (pure) reads
//! them; `apply` writes; `dial` leads to pods. Decisions are made elsewhere.

mod kind;
pub mod labels;
pub mod render;

use std::time::Duration;

use milvus_core::capabilities::{Addressing, Capabilities, Rhythm};

pub use kind::Kind;
pub use render::{Native, Settings};

/// The longest name of a StatefulSet: its controller adds a hash of ten characters and a dash in a label of its pods.
pub const MAX_WORKLOAD_NAME: usize = 52;

/// What Kubernetes can honour.
pub const CAPABILITIES: Capabilities = Capabilities {
    platform: "kubernetes",
    escape_hatch: "kubernetes",
    places_members: false,
    member_updates_overlap: false,
    gateway: false,
    max_workload_name: MAX_WORKLOAD_NAME,
    addressing: Addressing {
        member: "{cluster}-{component}-{ordinal}.{cluster}-{component}-headless.{namespace}",
        service: "{cluster}-{component}.{namespace}",
    },
    volume_types: &["volume"],
    service_types: &["ClusterIP", "NodePort", "LoadBalancer"],
    claim: Some("{volume}-{cluster}-{component}-{ordinal}"),
    secret_references: true,
    wire_checks: true,
    rhythm: Rhythm {
        soon: Duration::from_millis(500),
        patient: Duration::from_secs(5),
        // Watches tell of everything; this only bounds how long a wire check of the whole may be old.
        rest: Duration::from_secs(300),
    },
};
