//! `spec.dependencies`: what all of them have, etcd, and what this operator does not run. Pure.

use serde_json::Value;

use super::Shape;
use super::config::Settings;
use super::draft::Draft;
use super::input::{Block, Given};
use super::{queue, storage, values};
use crate::config::settings::DEFAULT_ROOT;
use crate::prefixes::overlap;

/// What is left of a dependency's own block where somebody else runs it.
pub(super) const EXTERNAL_WINS: &str =
    "external is true, and milvus-operator installs nothing then";

/// What is to be said once everything is known.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Dependencies that this operator runs.
    pub(super) ours: Vec<&'static str>,
    /// The metadata is in an etcd that both operators' clusters reach.
    pub(super) external_etcd: bool,
    /// The objects are in a store that both operators' clusters reach.
    pub(super) external_storage: bool,
    /// The log is where both operators' clusters find it: with an external queue, or on the object store.
    pub(super) external_queue: bool,
}

impl Standing {
    /// What holds for a move as such.
    pub(super) fn remarks(&self, shape: &Shape, settings: &mut Settings, draft: &mut Draft) {
        match &shape.fresh_prefix {
            Some(prefix) => self.apart(prefix, settings, draft),
            None => self.whole(draft),
        }
        if !self.ours.is_empty() {
            draft.note(
                "spec.dependencies",
                format!(
                    "no data is moved: {} of the new resource start empty; carry collections over with a backup of Milvus",
                    self.ours.join(", ")
                ),
            );
        }
        if self.external_etcd && shape.fresh_prefix.is_none() {
            draft.note(
                "spec.dependencies.etcd",
                "stop the old resource before the new one is applied: two clusters on one metadata prefix destroy each other's metadata",
            );
        }
        let name = &shape.name;
        draft.note(
            "metadata.name",
            format!("on Kubernetes objects of both operators have the same names (Service {name}-milvus, StatefulSet {name}-etcd, its claims data-{name}-etcd-0): in one namespace delete the old resource and its claims first, or choose another name; elsewhere clients find the new cluster at its status.endpoint"),
        );
    }
}

impl Standing {
    /// Metadata, objects and log belong together. A cluster that finds only some of them takes the rest of what it sees for
    /// garbage, and the old one still works with it.
    fn whole(&self, draft: &mut Draft) {
        const DECIDE: &str = "choose a fresh prefix for the new one, which starts empty then (milvus-operator convert --fresh-prefix NAME)";
        if self.external_storage && !self.external_etcd {
            draft.refuse(
                "spec.dependencies.storage.external",
                format!("the new etcd is empty, so all that the old cluster keeps below its prefix would be garbage to the new one, which deletes it; {DECIDE}, or make etcd and queue external as well and stop the old one first"),
            );
        }
        if !self.external_etcd {
            return;
        }
        let ours = match (self.external_storage, self.external_queue) {
            (true, true) => return,
            (false, true) => "object store is",
            (true, false) => "queue is",
            (false, false) => "object store and queue are",
        };
        draft.refuse(
            "spec.dependencies.etcd.external",
            format!("the new cluster's {ours} empty, and the metadata in this etcd speaks of what is in the old ones, which the new cluster would take for lost and clean up; {DECIDE}, or make object store and queue external as well and stop the old one first"),
        );
    }

    /// The new cluster has places of its own on external services.
    fn apart(&self, prefix: &str, settings: &mut Settings, draft: &mut Draft) {
        const BY: &str = "the prefix that was asked for";
        const ROOT: &str = "spec.dependencies.storage.rootPath";
        let (metadata, objects) = ("spec.config.etcd.rootPath", "spec.config.minio.rootPath");
        let not_fresh = |old: &str| {
            format!(
                "the old cluster's is {old:?}, and one of them would be inside the other; choose another --fresh-prefix than {prefix:?}"
            )
        };
        if self.external_storage {
            let old = draft.get(ROOT).and_then(Value::as_str);
            let old = old.unwrap_or(DEFAULT_ROOT).to_owned();
            if overlap(&old, prefix) {
                draft.refuse(objects, not_fresh(&old));
            }
            draft.note(objects, format!("{BY}, {prefix}, instead of {old}"));
            draft.set(ROOT, prefix.into(), objects);
        }
        if self.external_etcd {
            let old = settings.extract("etcd.rootPath");
            let old = old
                .and_then(|given| given.text(draft))
                .map(|given| given.read(draft));
            let old = old.unwrap_or_default();
            if overlap(&old, prefix) {
                draft.refuse(metadata, not_fresh(&old));
            }
            draft.note(metadata, format!("{BY}, {prefix}, instead of {old}"));
            settings.add("etcd", "rootPath", prefix.into());
        }
        if !self.external_storage && !self.external_etcd {
            draft.note(
                "spec.dependencies",
                "there is no external etcd or object store, so the fresh prefix has no effect",
            );
        }
    }
}

/// Everything below `spec.dependencies`.
pub(super) fn dependencies(
    mut block: Block,
    old_persistence: Option<Block>,
    shape: &Shape,
    settings: &mut Settings,
    draft: &mut Draft,
) -> Standing {
    let mut standing = Standing::default();
    etcd(&mut block, shape, settings, &mut standing, draft);
    storage::storage(&mut block, shape, settings, &mut standing, draft);
    queue::queue(
        &mut block,
        old_persistence,
        shape,
        settings,
        &mut standing,
        draft,
    );
    let mut tei = block.block("tei", draft);
    let on = tei.peek("enabled").is_some_and(|value| *value == true);
    tei.refuse_if_on(
        "enabled",
        "this operator runs no text-embeddings-inference; run it yourself, and remove the block",
        draft,
    );
    if on {
        for given in tei.rest() {
            given.same(draft);
        }
    } else {
        tei.leave_rest(
            draft,
            "tei.enabled is not true, and without it this has no effect",
        );
    }
    block.refuse_if_set(
        "customMsgStream",
        "a queue that a program of your own looks after is not supported; use one of the queues by name",
        draft,
    );
    block.unknown(draft);
    standing
}

/// Whether somebody else runs it.
pub(super) fn external(block: &mut Block, target: &str, draft: &mut Draft) -> bool {
    match block.flag("external", draft) {
        Some(external) if external.value => {
            external.carry(draft, &format!("{target}.external"));
            true
        }
        Some(external) => {
            external.same(draft);
            false
        }
        None => false,
    }
}

/// A list of addresses.
pub(super) fn addresses(block: &mut Block, key: &str, target: &str, draft: &mut Draft) {
    let path = block.at(key);
    let addresses: Vec<Value> = block
        .list(key, draft)
        .into_iter()
        .filter_map(|given| Some(given.text(draft)?.read(draft).into()))
        .collect();
    if !addresses.is_empty() {
        draft.set(target, Value::Array(addresses), &path);
    }
}

/// What is said of a chart's version.
pub(super) const NO_CHART: &str =
    "no chart is used here; to choose a version, name the image in values";

/// What milvus-operator says of a dependency that it runs: what is deleted with the resource, and which chart. Gives the
/// chart's values and its version.
pub(super) fn in_cluster(
    block: &mut Block,
    target: &str,
    draft: &mut Draft,
) -> (Block, Option<Given<String>>) {
    let mut inner = block.block("inCluster", draft);
    let policy = inner.choice("deletionPolicy", &["Delete", "Retain"], draft);
    let claims = inner.flag("pvcDeletion", draft);
    let target = format!("{target}.inCluster.deletionPolicy");
    let with_claims = claims.as_ref().is_some_and(|claims| claims.value);
    match policy {
        Some(policy) if policy.value == "Delete" && with_claims => policy.carry(draft, &target),
        Some(policy) if policy.value == "Delete" => {
            draft.note(
                &policy.path,
                "becomes Retain: without pvcDeletion the volumes stay, and here the processes go in any case",
            );
            draft.set(&target, "Retain".into(), &policy.path);
            policy.same(draft);
        }
        Some(policy) => {
            draft.note(
                &policy.path,
                "volumes stay, as there; the processes go with the resource, where milvus-operator leaves them running",
            );
            policy.carry(draft, &target);
        }
        None => {}
    }
    if let Some(claims) = claims {
        let effective = draft.get(&target).and_then(Value::as_str) == Some("Delete");
        if claims.value && !effective {
            claims.left(draft, "without deletionPolicy Delete it has no effect");
        } else {
            claims.same(draft);
        }
    }
    let chart = inner.text("chartVersion", draft);
    let values = inner.block("values", draft);
    inner.unknown(draft);
    (values, chart)
}

fn etcd(
    dependencies: &mut Block,
    shape: &Shape,
    settings: &mut Settings,
    standing: &mut Standing,
    draft: &mut Draft,
) {
    const TARGET: &str = "spec.dependencies.etcd";
    let mut block = dependencies.block("etcd", draft);
    let external = external(&mut block, TARGET, draft);
    if external {
        standing.external_etcd = true;
        addresses(
            &mut block,
            "endpoints",
            &format!("{TARGET}.endpoints"),
            draft,
        );
        block.leave("inCluster", EXTERNAL_WINS, draft);
        if settings.get("etcd.rootPath").is_none() {
            draft.note(
                "spec.config.etcd.rootPath",
                format!(
                    "milvus-operator's default is written out, {}: there the metadata is",
                    shape.name
                ),
            );
            settings.add("etcd", "rootPath", shape.name.clone().into());
        }
    } else {
        standing.ours.push("etcd");
        in_cluster_endpoints(&mut block, shape, draft);
        let (values, chart) = in_cluster(&mut block, TARGET, draft);
        if let Some(chart) = chart {
            chart.left(draft, NO_CHART);
        }
        values::etcd::values(values, draft);
    }
    etcd_access(external, shape, settings, draft);
    settings.leave(
        "etcd.endpoints",
        "milvus-operator removes it, too: dependencies.etcd says where etcd is",
        draft,
    );
    if let Some(embedded) = settings.take("etcd.use.embed").and_then(|g| g.flag(draft)) {
        if embedded.value {
            embedded.refuse(draft, "etcd is a process of its own here; remove it");
        } else {
            embedded.same(draft);
        }
    }
    block.unknown(draft);
}

/// milvus-operator writes the addresses of the etcd that it runs into the resource; any others are a contradiction.
fn in_cluster_endpoints(block: &mut Block, shape: &Shape, draft: &mut Draft) {
    let (name, namespace) = (&shape.name, shape.namespace());
    let headless = format!(".{name}-etcd-headless.{namespace}:2379");
    let of_member = |text: &str| {
        text.strip_prefix(&format!("{name}-etcd-"))
            .and_then(|rest| rest.strip_suffix(&headless))
            .is_some_and(|ordinal| ordinal.parse::<u16>().is_ok())
    };
    for given in block.list("endpoints", draft) {
        let Some(text) = given.text(draft) else {
            continue;
        };
        if of_member(&text.value) || text.value == format!("{name}-etcd.{namespace}:2379") {
            text.same(draft);
        } else {
            text.refuse(
                draft,
                "external is not true, so milvus-operator runs an etcd and has Milvus use this one; set external to true, or remove the address",
            );
        }
    }
}

/// Login and TLS.
fn etcd_access(external: bool, shape: &Shape, settings: &mut Settings, draft: &mut Draft) {
    const TARGET: &str = "spec.dependencies.etcd.auth.secretRef";
    let enabled = settings
        .take("etcd.auth.enabled")
        .and_then(|given| given.flag(draft));
    let user = settings
        .take("etcd.auth.userName")
        .and_then(|given| given.scalar(draft));
    let password = settings
        .take("etcd.auth.password")
        .and_then(|given| given.scalar(draft));
    let on = enabled.as_ref().is_some_and(|enabled| enabled.value);
    match (enabled, user, password) {
        (Some(enabled), user, password) if on && !external => {
            enabled.refuse(
                draft,
                "the etcd that this operator runs asks for no login: only its cluster is meant to reach it (on Kubernetes keep others off with a NetworkPolicy); remove config.etcd.auth, or use an external etcd",
            );
            for given in [user, password].into_iter().flatten() {
                given.same(draft);
            }
        }
        (Some(enabled), Some(user), Some(password)) if on => {
            let path = enabled.path.clone();
            let name = format!("{}-etcd-login", shape.name);
            draft.note(
                &path,
                format!(
                    "user and password are in the Secret {name:?}, which comes with the result"
                ),
            );
            enabled.same(draft);
            let (user, password) = (user.read(draft), password.read(draft));
            draft.secret(
                &name,
                shape.namespace.as_deref(),
                &[("username", &user), ("password", &password)],
            );
            draft.set(TARGET, name.into(), &path);
        }
        (Some(enabled), user, password) if on => {
            enabled.refuse(draft, "userName and password are required; write both");
            for given in [user, password].into_iter().flatten() {
                given.same(draft);
            }
        }
        (enabled, user, password) => {
            if let Some(enabled) = enabled {
                enabled.same(draft);
            }
            for given in [user, password].into_iter().flatten() {
                given.left(
                    draft,
                    "etcd.auth.enabled is not true, and without it this has no effect",
                );
            }
        }
    }
    let tls = settings
        .take("etcd.ssl.enabled")
        .and_then(|given| given.flag(draft));
    let on = tls.as_ref().is_some_and(|tls| tls.value);
    match tls {
        Some(tls) if on && external => tls.refuse(
            draft,
            "certificates come from a Secret with the keys ca.crt, tls.crt and tls.key; remove config.etcd.ssl, and name the Secret in spec.dependencies.etcd.ssl.secretRef of the result",
        ),
        Some(tls) if on => tls.refuse(
            draft,
            "the etcd that this operator runs speaks no TLS: only its cluster is meant to reach it (on Kubernetes keep others off with a NetworkPolicy); remove config.etcd.ssl, or use an external etcd",
        ),
        Some(tls) => tls.same(draft),
        None => {}
    }
    for name in ["etcd.ssl.tlsCACert", "etcd.ssl.tlsCert", "etcd.ssl.tlsKey"] {
        if on {
            if let Some(given) = settings.take(name) {
                given.same(draft);
            }
        } else {
            settings.leave(
                name,
                "etcd.ssl.enabled is not true, and without it this has no effect",
                draft,
            );
        }
    }
}
