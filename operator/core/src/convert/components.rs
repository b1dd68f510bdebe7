//! `spec.components`: which roles milvus-operator would run, what they share, and what is a matter of its own mechanics. Pure.

use serde_json::{Map, Value, json};

use super::config::Settings;
use super::draft::Draft;
use super::input::{Block, Given, blank, off};
use super::pod::PodFields;
use super::role;
use super::values;
use super::{Shape, THEIR_IMAGE};
use crate::components::{CLIENT_PORT, MILVUS_HEALTH_PORT, PROXY_INTERNAL_PORT};

/// Every role by its name in both resources.
const NAMES: [&str; 12] = milvus_crds::Components::NAMES;

/// The coordinators as processes of their own.
const COORDINATORS: [&str; 4] = ["rootCoord", "dataCoord", "queryCoord", "indexCoord"];

/// What is a matter of how milvus-operator works: the value that asks for what holds here anyway, and what is different.
const MECHANICS: [(&str, Holds, &str); 10] = [
    (
        "imageUpdateMode",
        Holds::Word("rollingUpgrade"),
        "this operator decides the order of a rollout itself",
    ),
    (
        "enableRollingUpdate",
        Holds::Nothing,
        "processes are always replaced one at a time; a coordinator gets a standby by replicas: 2",
    ),
    (
        "rollingMode",
        Holds::Nothing,
        "this operator runs one workload per role; there are no pairs to switch between",
    ),
    (
        "toolImage",
        Holds::Nothing,
        "no tool runs beside Milvus here: configuration is rendered by the operator",
    ),
    (
        "updateToolImage",
        Holds::Flag(false),
        "an upgrade of this operator restarts no Milvus process",
    ),
    (
        "dummyImage",
        Holds::Nothing,
        "there are no idle workloads here",
    ),
    (
        "updateConfigMapOnly",
        Holds::Flag(false),
        "a change of spec.config restarts the processes that read it, one at a time; none is left with old settings",
    ),
    (
        "activeConfigMap",
        Holds::Nothing,
        "configurations are versioned here; a process keeps its own until it is replaced",
    ),
    (
        "targetPortType",
        Holds::Word("string"),
        "how a Service finds its port makes no difference to clients",
    ),
    (
        "enableManualMode",
        Holds::Flag(false),
        "this operator always looks after replicas and rollouts; do not drive its workloads from outside",
    ),
];

/// The value of a field that asks for what holds here anyway.
#[derive(Clone, Copy)]
enum Holds {
    Nothing,
    Word(&'static str),
    Flag(bool),
}

impl From<Holds> for Value {
    fn from(holds: Holds) -> Self {
        match holds {
            Holds::Nothing => Value::Null,
            Holds::Word(word) => word.into(),
            Holds::Flag(flag) => flag.into(),
        }
    }
}

/// Metrics: there is one port for all, and on Kubernetes a PodMonitor where that kind exists.
const METRICS: [(&str, &str); 3] = [
    (
        "disableMetric",
        "every process serves /metrics on port 9091, and where the Prometheus operator is, a PodMonitor names it",
    ),
    (
        "metricInterval",
        "the interval is that of your Prometheus; set it there",
    ),
    (
        "metricLabels",
        "samples carry the labels of cluster and component; add others where you scrape port 9091",
    ),
];

/// The roles of the input.
pub(super) struct Roles {
    /// What all roles share.
    shared: Block,
    image: Option<Given<String>>,
    version: Option<Given<String>>,
    named: Vec<(&'static str, Block)>,
    running: Vec<&'static str>,
}

impl Roles {
    /// `spec.components`.
    pub(super) fn of(mut components: Block, draft: &mut Draft) -> Self {
        let named = NAMES
            .into_iter()
            .filter(|name| components.has(name))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|name| (name, components.block(name, draft)))
            .collect();
        Self {
            image: components.text("image", draft),
            version: components.text("version", draft),
            shared: components,
            named,
            running: Vec::new(),
        }
    }

    /// The old standalone form has the fields of its one process in `spec` itself.
    pub(super) fn old_standalone(mut process: Block, draft: &mut Draft) -> Self {
        Self {
            image: process.text("image", draft),
            version: process.text("version", draft),
            shared: process.part(&["disableMetric"]),
            named: vec![("standalone", process)],
            running: Vec::new(),
        }
    }

    /// Whether milvus-operator takes this for Milvus 2.6 or later: by `version`, else by what is behind the last colon
    /// of the image.
    pub(super) fn since_2_6(&self) -> bool {
        if let Some(version) = &self.version {
            return reaches_2_6(&version.value);
        }
        let image = self
            .image
            .as_ref()
            .map_or(THEIR_IMAGE, |image| image.value.as_str());
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        tag.starts_with("master-") || reaches_2_6(tag)
    }

    /// Keeps the roles that milvus-operator would run and speaks of the others.
    pub(super) fn choose(&mut self, shape: &Shape, draft: &mut Draft) {
        self.running = self.running(shape, draft);
        for (name, block) in std::mem::take(&mut self.named) {
            if self.running.contains(&name) {
                self.named.push((name, block));
            } else {
                idle(name, block, shape, draft);
            }
        }
        // These are there because they are named, here as there; the rest is there by itself.
        for name in &self.running {
            if COORDINATORS.contains(name) || *name == "cdc" {
                draft.ensure(&format!("spec.components.{name}"));
            }
        }
    }

    /// The roles that milvus-operator runs for this mode and version.
    fn running(&mut self, shape: &Shape, draft: &mut Draft) -> Vec<&'static str> {
        let streaming = self.streaming(shape, draft);
        let named = |name: &str| self.named.iter().any(|(n, _)| *n == name);
        let mut running = Vec::new();
        if named("cdc") {
            running.push("cdc");
        }
        if shape.standalone {
            running.push("standalone");
            return running;
        }
        running.extend(["proxy", "queryNode", "dataNode"]);
        if shape.since_2_6 {
            running.extend(["mixCoord", "streamingNode"]);
            return running;
        }
        running.push("indexNode");
        if COORDINATORS.into_iter().any(named) && !named("mixCoord") {
            running.extend(COORDINATORS);
        } else {
            if !named("mixCoord") {
                draft.note(
                    "spec.components.mixCoord",
                    "no coordinator is named: milvus-operator's default is written out, one process for all of them",
                );
            }
            running.push("mixCoord");
        }
        if streaming.unwrap_or(named("streamingNode")) {
            running.push("streamingNode");
        }
        running
    }

    /// `streamingMode` says it for versions before 2.6; later ones cannot do without.
    fn streaming(&mut self, shape: &Shape, draft: &mut Draft) -> Option<bool> {
        let given = self.shared.flag("streamingMode", draft)?;
        let asked = given.value;
        if shape.standalone {
            given.left(draft, "has no meaning in mode standalone");
        } else if shape.since_2_6 && !asked {
            given.left(draft, "Milvus 2.6 has streaming nodes in any case");
        } else if !shape.since_2_6 && asked {
            given.refuse(
                draft,
                "this operator runs streaming nodes from Milvus 2.6 on; remove it, or use such an image",
            );
        } else {
            given.same(draft);
        }
        Some(asked)
    }
}

/// Major and minor number at the beginning of a version, whatever follows.
fn reaches_2_6(text: &str) -> bool {
    let number = |text: &str| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        text[..digits].parse::<u32>().ok()
    };
    let text = text.strip_prefix('v').unwrap_or(text);
    let (major, rest) = text.split_once('.').unwrap_or((text, ""));
    match (major.parse::<u32>(), number(rest)) {
        (Ok(major), Some(minor)) => (major, minor) >= (2, 6),
        (Ok(major), None) => major > 2,
        _ => false,
    }
}

/// A role that milvus-operator would not run with this mode and version either.
fn idle(name: &str, block: Block, shape: &Shape, draft: &mut Draft) {
    let path = block.path.clone();
    let mut says = false;
    for given in block.rest() {
        let replicas = given.path.ends_with(".replicas");
        if replicas && name == "standalone" && !shape.standalone && given.value != 0 {
            given.refuse(
                draft,
                "a standalone process beside a cluster is a change of mode under way; let milvus-operator finish it, then convert",
            );
            continue;
        }
        let nothing = off(&given.value) || given.value == "ClusterIP";
        says |= !(nothing || replicas && given.value == 0);
        given.same(draft);
    }
    if !says {
        return;
    }
    let why = if shape.standalone {
        "milvus-operator runs no such process in mode standalone, and nor does this operator"
    } else if name == "standalone" {
        "milvus-operator runs no such process in mode cluster, and nor does this operator"
    } else if shape.since_2_6 {
        "milvus-operator runs no such process with Milvus 2.6 or later, and nor does this operator"
    } else if name == "streamingNode" {
        "streamingMode is off, and without it milvus-operator runs none before Milvus 2.6"
    } else {
        "mixCoord is there, and milvus-operator removes the separate coordinators then"
    };
    draft.left(path, why);
}

/// Everything below `spec.components`.
pub(super) fn components(roles: Roles, shape: &Shape, settings: &mut Settings, draft: &mut Draft) {
    let Roles {
        mut shared,
        image,
        version,
        mut named,
        running,
    } = roles;
    match image {
        Some(image) => image.carry(draft, "spec.components.image"),
        None => {
            draft.set(
                "spec.components.image",
                THEIR_IMAGE.into(),
                "spec.components.image",
            );
            draft.note(
                "spec.components.image",
                format!("milvus-operator's default is written out, {THEIR_IMAGE}; write the image that you run (status.currentImage of the old resource), where it is another one"),
            );
        }
    }
    if let Some(version) = version {
        version.carry(draft, "spec.components.version");
    }
    mechanics(&mut shared, draft);
    let mut pod = PodFields::of(&mut shared, draft);
    if let Some(non_root) = shared.flag("runAsNonRoot", draft) {
        if non_root.value {
            let path = non_root.path.clone();
            non_root.same(draft);
            pod.run_as(&path, json!({"runAsNonRoot": true, "runAsUser": 1000}));
        } else {
            non_root.same(draft);
        }
    }
    let common = role::Common::of(&mut shared, &named, draft);
    let mut written = role::Written::default();
    let mut port = None;
    for name in running {
        let block = named
            .iter()
            .position(|(n, _)| *n == name)
            .map(|index| named.swap_remove(index).1);
        let block = block.unwrap_or_else(|| Block::new(shared.at(name), Map::new()));
        port = role::role(name, block, &common, &mut pod, &mut written, draft).or(port);
    }
    common.finish(&written, draft);
    pod.finish(draft);
    client_port(port, shape, settings, draft);
    fixed_ports(settings, draft);
    shared.unknown(draft);
}

fn mechanics(shared: &mut Block, draft: &mut Draft) {
    for (field, same, message) in MECHANICS {
        shared.leave_unless(field, same, message, draft);
    }
    for (field, message) in METRICS {
        shared.leave_unless(field, false, message, draft);
    }
}

/// The process listens where `config.proxy.port` says, and the Service leads to where the component's `port` says; here
/// one field says both.
fn client_port(
    port: Option<Given<i64>>,
    shape: &Shape,
    settings: &mut Settings,
    draft: &mut Draft,
) {
    let number = |text: &Given<String>| text.value.parse::<i64>().ok();
    let configured = settings
        .take("proxy.port")
        .and_then(|given| given.scalar(draft));
    let default = i64::from(CLIENT_PORT);
    let port = port.filter(|port| port.value > 0);
    let serves = port.as_ref().map_or(default, |port| port.value);
    let listens = match &configured {
        Some(text) => number(text).unwrap_or(-1),
        None => default,
    };
    if serves != listens {
        let path = [port.map(|port| port.path), configured.map(|text| text.path)];
        for path in path.into_iter().flatten() {
            draft.refuse(path, format!(
                "milvus-operator's Service leads to port {serves}, and its process listens on another; write the same number into components.{}.port and config.proxy.port",
                if shape.standalone { "standalone" } else { "proxy" },
            ));
        }
        return;
    }
    if let Some(configured) = configured {
        configured.same(draft);
    }
    if let Some(port) = port {
        if port.value == default {
            port.same(draft);
        } else {
            let role = if shape.standalone {
                "standalone"
            } else {
                "proxy"
            };
            port.carry(draft, &format!("spec.components.{role}.port"));
        }
    }
}

fn fixed_ports(settings: &mut Settings, draft: &mut Draft) {
    for (name, fixed) in [
        ("proxy.internalPort", PROXY_INTERNAL_PORT),
        ("metrics.port", MILVUS_HEALTH_PORT),
    ] {
        let given = settings.take(name).and_then(|given| given.scalar(draft));
        if let Some(given) = given {
            if given.value == fixed.to_string() {
                given.same(draft);
            } else {
                given.left(
                    draft,
                    format!(
                        "this port is {fixed} here; it is not reached from outside the cluster's network"
                    ),
                );
            }
        }
    }
}

/// Secrets for registries; those of a role are added to those of all, since a registry is asked with the fitting one.
pub(super) fn pull_secrets(given: Given<Value>, draft: &mut Draft) {
    const TARGET: &str = "spec.components.imagePullSecrets";
    let path = given.path.clone();
    let mut all = match draft.get(TARGET) {
        Some(Value::Array(items)) => items.clone(),
        _ => Vec::new(),
    };
    for item in given.list(draft) {
        let Some(mut item) = item.block(draft) else {
            continue;
        };
        if let Some(name) = item.text("name", draft) {
            let entry = json!({"name": name.read(draft)});
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
        item.unknown(draft);
    }
    if !all.is_empty() {
        draft.set(TARGET, Value::Array(all), &path);
    }
}

/// The rollout strategy of a role.
pub(super) fn rolling_update(
    own: Option<Block>,
    shared: Option<&Block>,
    role: &str,
    draft: &mut Draft,
) {
    let mut own = own;
    let mut shared = shared.cloned();
    for field in ["maxSurge", "maxUnavailable"] {
        let mine = own.as_mut().and_then(|block| block.take(field));
        let theirs = shared.as_mut().and_then(|block| block.take(field));
        let given = match (mine, theirs) {
            (Some(mine), theirs) => {
                if let Some(theirs) = theirs {
                    theirs.same(draft);
                }
                Some(mine)
            }
            (None, theirs) => theirs,
        };
        let Some(given) = given else { continue };
        if given.value.is_string() || given.value.is_i64() {
            given.carry(draft, &format!("spec.components.{role}.update.{field}"));
        } else {
            given.refuse(draft, "must be a number or a percentage; correct it");
        }
    }
    for block in own.into_iter().chain(shared) {
        block.unknown(draft);
    }
}

/// Requests and limits of a role or of all.
pub(super) fn resources(given: Given<Value>, draft: &mut Draft) -> Option<Value> {
    let block = given.block(draft)?;
    let value = values::resources(block, draft);
    (!blank(&value)).then_some(value)
}
