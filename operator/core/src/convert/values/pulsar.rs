//! Values of the Pulsar charts, version 2 and 3. Pure.

use milvus_crds::Quantity;

use super::{
    UNKNOWN, chart_resources, count, node_selector, settings, size, storage_class, texts,
    written_out,
};
use crate::config::pulsar::{BOOKKEEPER_FORCED, BROKER_FORCED};
use crate::convert::draft::Draft;
use crate::convert::input::{Block, Given, blank, off};

const TARGET: &str = "spec.dependencies.pulsar.inCluster.values";

/// Sizes of a bookie's two volumes in the charts.
const JOURNAL: &str = "100Gi";
const LEDGERS: &str = "200Gi";

/// Prefix by which Pulsar's images take a variable for a setting that their file does not have.
const PREFIX: &str = "PULSAR_PREFIX_";

/// Writes what is known and speaks of the rest. `old` is the chart of Pulsar 2.
pub(in crate::convert) fn values(mut values: Block, old: bool, draft: &mut Draft) {
    parts_that_run(&mut values, draft);
    image(&mut values, draft);
    let mut volumes = values.block("volumes", draft);
    if let Some(kept) = volumes.flag("persistence", draft) {
        if kept.value {
            kept.same(draft);
        } else {
            for part in ["zookeeper", "bookkeeper"] {
                kept.clone()
                    .carry(draft, &format!("{TARGET}.{part}.persistence.enabled"));
            }
        }
    }
    volumes.leave_rest(draft, UNKNOWN);
    zookeeper(values.block("zookeeper", draft), draft);
    bookkeeper(values.block("bookkeeper", draft), draft);
    broker(values.block("broker", draft), old, draft);
    for (field, message) in [
        (
            "proxy",
            "Milvus speaks to the brokers directly here; no Pulsar proxy is run",
        ),
        (
            "autorecovery",
            "the bookies look after lost copies themselves here; no process of its own is run",
        ),
    ] {
        values.leave(field, message, draft);
    }
    security(&mut values, draft);
    values.leave_rest(draft, UNKNOWN);
}

/// The chart lets one switch parts off; three of them are Pulsar.
fn parts_that_run(values: &mut Block, draft: &mut Draft) {
    let mut parts = values.block("components", draft);
    for part in ["zookeeper", "bookkeeper", "broker"] {
        if let Some(on) = parts.flag(part, draft) {
            if on.value {
                on.same(draft);
            } else {
                on.refuse(
                    draft,
                    "Pulsar does not run without it; use an external Pulsar, or remove it",
                );
            }
        }
    }
    for given in parts.rest() {
        if given.value == false {
            given.same(draft);
        } else {
            given.left(
                draft,
                "this operator runs ZooKeeper, bookies and brokers, which is all that Milvus uses",
            );
        }
    }
}

/// One image for all parts.
fn image(values: &mut Block, draft: &mut Draft) {
    let mut images = values.block("images", draft);
    let mut blocks: Vec<Block> = ["zookeeper", "bookie", "broker"]
        .into_iter()
        .map(|part| images.block(part, draft))
        .collect();
    for (field, default) in [
        ("repository", "defaultPulsarImageRepository"),
        ("tag", "defaultPulsarImageTag"),
        ("pullPolicy", "defaultPullPolicy"),
    ] {
        let target = format!("{TARGET}.image.{field}");
        let default = values.scalar(default, draft);
        let own: Vec<Option<Given<String>>> = blocks
            .iter_mut()
            .map(|block| block.scalar(field, draft))
            .collect();
        let texts: Vec<Option<&String>> = own
            .iter()
            .map(|own| own.as_ref().or(default.as_ref()).map(|g| &g.value))
            .collect();
        if texts.iter().any(|text| *text != texts[0]) {
            for given in own.into_iter().flatten().chain(default) {
                given.refuse(
                    draft,
                    "all parts of Pulsar run from one image here; write the same for zookeeper, bookie and broker",
                );
            }
            continue;
        }
        let every = own.iter().all(Option::is_some);
        for given in own.into_iter().flatten() {
            given.carry(draft, &target);
        }
        match default {
            Some(default) if every => default.left(draft, "every part says otherwise"),
            Some(default) => default.carry(draft, &target),
            None => {}
        }
    }
    for block in blocks {
        block.leave_rest(draft, UNKNOWN);
    }
    images.leave_rest(
        draft,
        "this operator runs ZooKeeper, bookies and brokers, which is all that Milvus uses",
    );
}

fn zookeeper(mut block: Block, draft: &mut Draft) {
    let target = format!("{TARGET}.zookeeper");
    common(&mut block, &target, draft);
    let mut volumes = block.block("volumes", draft);
    let mut data = volumes.block("data", draft);
    let at = |field: &str| format!("{target}.persistence.{field}");
    size(&mut data, "size", &at("size"), None, draft);
    let class = data.text("storageClassName", draft);
    storage_class(class, None, &at("storageClass"), draft);
    data.leave_rest(draft, UNKNOWN);
    volumes.leave_rest(draft, UNKNOWN);
    config_data(&mut block, &target, None, draft);
    block.leave_rest(draft, UNKNOWN);
}

fn bookkeeper(mut block: Block, draft: &mut Draft) {
    let target = format!("{TARGET}.bookkeeper");
    memory(&block, draft);
    common(&mut block, &target, draft);
    let mut volumes = block.block("volumes", draft);
    let path = volumes.path.clone();
    let mut sizes = Vec::new();
    let mut classes = Vec::new();
    for (name, default) in [("journal", JOURNAL), ("ledgers", LEDGERS)] {
        let mut volume = volumes.block(name, draft);
        let size = volume.scalar("size", draft);
        sizes.push((size, default));
        classes.push(volume.text("storageClassName", draft));
        volume.leave_rest(draft, UNKNOWN);
    }
    let given = sizes.iter().any(|(size, _)| size.is_some());
    let at = |field: &str| format!("{target}.persistence.{field}");
    match whole(&sizes) {
        Some(sum) if given => {
            draft.note(
                path.clone(),
                format!("journal and ledgers are on one volume here, as large as both: {sum}"),
            );
            draft.set(&at("size"), sum.into(), &path);
        }
        Some(sum) => written_out(&path, &at("size"), sum.into(), draft),
        None => draft.refuse(
            &path,
            "sizes must be quantities such as 100Gi; correct them",
        ),
    }
    for size in sizes.into_iter().filter_map(|(size, _)| size) {
        size.same(draft);
    }
    let ledgers = classes.pop().flatten();
    let journal = classes.pop().flatten();
    match (journal, ledgers) {
        (Some(journal), Some(ledgers)) if journal.value != ledgers.value => {
            for class in [journal, ledgers] {
                class.refuse(
                    draft,
                    "journal and ledgers are on one volume here; write the same class for both",
                );
            }
        }
        (Some(journal), ledgers) => {
            if let Some(ledgers) = ledgers {
                ledgers.same(draft);
            }
            storage_class(Some(journal), None, &at("storageClass"), draft);
        }
        (None, ledgers) => storage_class(ledgers, None, &at("storageClass"), draft),
    }
    volumes.leave_rest(draft, UNKNOWN);
    config_data(&mut block, &target, Some(&BOOKKEEPER_FORCED), draft);
    block.leave_rest(draft, UNKNOWN);
}

fn broker(mut block: Block, old: bool, draft: &mut Draft) {
    let target = format!("{TARGET}.broker");
    memory(&block, draft);
    if old && !block.has("replicaCount") {
        let path = block.at("replicaCount");
        written_out(&path, &format!("{target}.replicaCount"), 1.into(), draft);
    }
    common(&mut block, &target, draft);
    config_data(&mut block, &target, Some(&BROKER_FORCED), draft);
    block.leave_rest(draft, UNKNOWN);
}

/// Whoever relies on the charts' sizes hears of it.
fn memory(block: &Block, draft: &mut Draft) {
    let said = |key: &str| block.peek(key).is_some_and(|value| !off(value));
    let heap = block
        .peek("configData")
        .is_some_and(|data| data.get("PULSAR_MEM").is_some());
    if !heap && !said("resources") {
        draft.note(
            block.at("resources"),
            "the charts reserve memory and give gigabytes of heap by default; here nothing is reserved and the heap is 512 MB unless mem or resources say otherwise",
        );
    }
}

/// What all three parts have.
fn common(block: &mut Block, target: &str, draft: &mut Draft) {
    let name = target.rsplit_once('.').map_or(target, |(_, name)| name);
    count(block, "replicaCount", target, draft);
    chart_resources(block, target, draft);
    node_selector(block, target, draft);
    if let Some(given) = block.take("tolerations")
        && !blank(&given.value)
        && let Some(given) = given.objects(draft)
    {
        given.carry(
            draft,
            &format!("spec.kubernetes.components.{name}.tolerations"),
        );
    }
    block.leave(
        "affinity",
        "the chart's own notation; members are spread over nodes here by themselves",
        draft,
    );
}

/// Settings of the part's configuration file; memory of the Java machine is a field of its own.
fn config_data(block: &mut Block, target: &str, forced: Option<&[&str]>, draft: &mut Draft) {
    let Some(given) = block.take("configData") else {
        return;
    };
    let path = given.path.clone();
    let mut kept = Vec::new();
    for (key, given) in settings(given, draft) {
        let name = key.strip_prefix(PREFIX).unwrap_or(&key).to_owned();
        match (name.as_str(), forced) {
            ("PULSAR_MEM", _) => {
                // The charts write it over several lines.
                let memory: Vec<&str> = given.value.split_whitespace().collect();
                draft.set(
                    &format!("{target}.mem"),
                    memory.join(" ").into(),
                    &given.path,
                );
                given.same(draft);
            }
            ("PULSAR_GC" | "PULSAR_EXTRA_OPTS" | "PULSAR_LOG_LEVEL", _) => {
                given.left(draft, "memory is the one option of the Java machine here");
            }
            ("maxMessageSize", _) => given.left(
                draft,
                "the broker takes what Milvus may send: set spec.config.pulsar.maxMessageSize",
            ),
            (name, Some(forced)) if forced.contains(&name) => {
                given.left(
                    draft,
                    "the operator sets this itself: it holds Pulsar together",
                );
            }
            (_, None) => given.left(draft, "ZooKeeper's settings are the operator's"),
            (_, Some(_)) => kept.push((name, given)),
        }
    }
    if !kept.is_empty() {
        let kept = texts(kept, draft);
        draft.set(&format!("{target}.configData"), kept, &path);
    }
}

/// The sum of sizes, in the largest unit that leaves no rest.
fn whole(sizes: &[(Option<Given<String>>, &str)]) -> Option<String> {
    let mut sum: u64 = 0;
    for (given, default) in sizes {
        let text = given
            .as_ref()
            .map_or(*default, |given| given.value.as_str());
        sum = sum.checked_add(Quantity::from(text).bytes().ok()?)?;
    }
    let (unit, bits) = [("Gi", 30), ("Mi", 20), ("Ki", 10), ("", 0)]
        .into_iter()
        .find(|(_, bits)| sum.is_multiple_of(1 << bits))?;
    Some(format!("{}{unit}", sum >> bits))
}

/// A Pulsar that asks for a login or for certificates is not what the operator runs.
fn security(values: &mut Block, draft: &mut Draft) {
    const PLAIN: &str = "the Pulsar that this operator runs asks for no login and speaks no TLS: only its cluster is meant to reach it (on Kubernetes keep others off with a NetworkPolicy); remove this and config.pulsar.authPlugin, or use an external Pulsar";
    let mut auth = values.block("auth", draft);
    for field in ["authentication", "authorization"] {
        let mut part = auth.block(field, draft);
        let on = part.peek("enabled").is_some_and(|value| *value == true);
        part.refuse_if_on("enabled", PLAIN, draft);
        for given in part.rest() {
            if on {
                given.same(draft);
            } else {
                given.left(draft, "it is off, and then this has no effect");
            }
        }
    }
    auth.leave(
        "superUsers",
        "the Pulsar that this operator runs has no logins",
        draft,
    );
    auth.leave_rest(draft, UNKNOWN);
    let mut tls = values.block("tls", draft);
    tls.refuse_if_on("enabled", PLAIN, draft);
    tls.leave_rest(draft, UNKNOWN);
}
