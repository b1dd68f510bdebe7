//! The write-ahead log: which one, and what it takes. Pure.

use serde_json::{Value, json};

use super::Shape;
use super::config::Settings;
use super::dependencies::{EXTERNAL_WINS, NO_CHART, Standing, addresses, external, in_cluster};
use super::draft::Draft;
use super::input::{Block, Given};
use super::persistence::{built_in, volume};
use super::values;

const TYPE: &str = "spec.dependencies.msgStreamType";

const WORDS: [&str; 6] = [
    "pulsar",
    "kafka",
    "woodpecker",
    "rocksmq",
    "natsmq",
    "custom",
];

/// Everything about the queue.
pub(super) fn queue(
    dependencies: &mut Block,
    old_persistence: Option<Block>,
    shape: &Shape,
    settings: &mut Settings,
    standing: &mut Standing,
    draft: &mut Draft,
) {
    let path = dependencies.at("msgStreamType");
    let kind = match dependencies.choice("msgStreamType", &WORDS, draft) {
        Some(kind) => {
            let word = kind.value.clone();
            kind.carry(draft, TYPE);
            word
        }
        None => {
            let word = match (shape.standalone, shape.since_2_6) {
                (false, _) => "pulsar",
                (true, true) => "woodpecker",
                (true, false) => "rocksmq",
            };
            draft.set(TYPE, word.into(), &path);
            draft.note(
                &path,
                format!("not given: milvus-operator's default is written out, {word}"),
            );
            word.to_owned()
        }
    };
    for name in ["mq.type", "messageQueue"] {
        settings.leave(
            name,
            "milvus-operator overwrites it with dependencies.msgStreamType, and so does this operator",
            draft,
        );
    }
    let mut shared = false;
    if kind == "pulsar" {
        shared = pulsar(dependencies.block("pulsar", draft), shape, standing, draft);
    }
    for name in ["pulsar.address", "pulsar.port"] {
        settings.leave(
            name,
            "milvus-operator removes it, too: dependencies.pulsar says where Pulsar is",
            draft,
        );
    }
    if kind == "kafka" {
        let block = dependencies.block("kafka", draft);
        shared = kafka(block, shape, settings, standing, draft);
    } else {
        let unread = "the queue of this resource is another one, and Milvus does not read it then";
        for name in [
            "kafka.brokerList",
            "kafka.saslUsername",
            "kafka.saslPassword",
        ] {
            settings.leave(name, unread, draft);
        }
    }
    let mut log_stores = false;
    if kind == "woodpecker" {
        log_stores = woodpecker(dependencies.block("woodpecker", draft), settings, draft);
    } else {
        settings.leave(
            "woodpecker.storage.type",
            "the queue of this resource is another one, and Milvus does not read it then",
            draft,
        );
    }
    // Woodpecker's log is on the object store, and what is in it stands in etcd.
    standing.external_queue =
        shared || log_stores || (kind == "woodpecker" && standing.external_storage);
    built_in(dependencies, old_persistence, &kind, draft);
    settings.leave(
        "rocksmq.path",
        "the place of the queue's files is fixed here, on its volume",
        draft,
    );
    for name in ["pulsar", "kafka", "woodpecker", "rocksmq", "natsmq"] {
        dependencies.leave(
            name,
            &format!(
                "the queue of this resource is {kind}, and milvus-operator does not look at others"
            ),
            draft,
        );
    }
    topics(shared, shape, settings, standing, draft);
}

/// Gives whether other clusters may share it.
fn pulsar(mut block: Block, shape: &Shape, standing: &mut Standing, draft: &mut Draft) -> bool {
    const TARGET: &str = "spec.dependencies.pulsar";
    if external(&mut block, TARGET, draft) {
        if let Some(endpoint) = block.text("endpoint", draft) {
            endpoint.carry(draft, &format!("{TARGET}.endpoint"));
        }
        block.leave("inCluster", EXTERNAL_WINS, draft);
        block.unknown(draft);
        return true;
    }
    standing.ours.push("Pulsar");
    let endpoint = format!("{}-pulsar-proxy.{}:6650", shape.name, shape.namespace());
    block.leave_unless(
        "endpoint",
        endpoint,
        "external is not true, and milvus-operator overwrites it then; set external to true if it is meant",
        draft,
    );
    let (values, chart) = in_cluster(&mut block, TARGET, draft);
    let old = chart
        .as_ref()
        .is_some_and(|chart| chart.value == "pulsar-v2");
    if let Some(chart) = chart {
        chart.left(
            draft,
            if old {
                "a new Pulsar is of version 3 here; it starts empty, so nothing of version 2 has to be read"
            } else {
                NO_CHART
            },
        );
    }
    values::pulsar::values(values, old, draft);
    block.unknown(draft);
    false
}

/// Gives whether other clusters may share it.
fn kafka(
    mut block: Block,
    shape: &Shape,
    settings: &mut Settings,
    standing: &mut Standing,
    draft: &mut Draft,
) -> bool {
    const TARGET: &str = "spec.dependencies.kafka";
    settings.leave(
        "kafka.brokerList",
        "milvus-operator overwrites it with dependencies.kafka.brokerList, and so does this operator",
        draft,
    );
    if external(&mut block, TARGET, draft) {
        addresses(
            &mut block,
            "brokerList",
            &format!("{TARGET}.brokerList"),
            draft,
        );
        block.leave("inCluster", EXTERNAL_WINS, draft);
        kafka_login(&mut block, shape, settings, draft);
        block.unknown(draft);
        return true;
    }
    standing.ours.push("Kafka");
    let broker = json!([format!("{}-kafka.{}:9092", shape.name, shape.namespace())]);
    block.leave_unless(
        "brokerList",
        broker,
        "external is not true, and milvus-operator overwrites it then; set external to true if it is meant",
        draft,
    );
    kafka_login(&mut block, shape, settings, draft);
    let (values, chart) = in_cluster(&mut block, TARGET, draft);
    if let Some(chart) = chart {
        chart.left(draft, NO_CHART);
    }
    values::kafka::values(values, draft);
    // The block says which of the two ways is meant, and that a Kafka is to be run.
    draft.ensure(&format!("{TARGET}.inCluster"));
    block.unknown(draft);
    false
}

/// User, password and authority: one Secret here; there a Secret, keys of Secrets in the configuration, or clear text.
fn kafka_login(block: &mut Block, shape: &Shape, settings: &mut Settings, draft: &mut Draft) {
    const TARGET: &str = "spec.dependencies.kafka.secretRef";
    const KEYS: [(&str, &str); 3] = [
        ("kafka.saslUsernameSecret", "username"),
        ("kafka.saslPasswordSecret", "password"),
        ("kafka.ssl.caCertSecret", "ca.pem"),
    ];
    let secret = block.text("secretRef", draft);
    let named: Vec<(Given<Value>, &str)> = KEYS
        .into_iter()
        .filter_map(|(name, key)| Some((settings.extract(name)?, key)))
        .collect();
    for name in [
        "kafka.ssl.certSecret",
        "kafka.ssl.keySecret",
        "kafka.ssl.keyPasswordSecret",
    ] {
        if let Some(given) = settings.extract(name) {
            given.refuse(
                draft,
                "brokers that ask for a client certificate are not supported; use user and password",
            );
        }
    }
    let user = settings
        .take("kafka.saslUsername")
        .and_then(|g| g.scalar(draft));
    let password = settings
        .take("kafka.saslPassword")
        .and_then(|g| g.scalar(draft));
    if let Some(secret) = secret {
        secret.carry(draft, TARGET);
        for given in [user, password].into_iter().flatten() {
            given.left(draft, "dependencies.kafka.secretRef wins, there as here");
        }
        for (given, _) in named {
            given.refuse(
                draft,
                "dependencies.kafka.secretRef names a Secret as well; keep that one, with the keys username, password and ca.pem",
            );
        }
        return;
    }
    if let Some((first, _)) = named.first() {
        let part = |given: &Given<Value>, key: &str| {
            given
                .value
                .get(key)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let path = first.path.clone();
        let name = part(first, "name");
        let fits = named.iter().all(|(given, key)| {
            let here = part(given, "namespace").is_none_or(|ns| ns == shape.namespace());
            here && name.is_some()
                && part(given, "name") == name
                && part(given, "key").as_deref() == Some(key)
        });
        for (given, _) in named {
            if fits {
                given.same(draft);
            } else {
                given.refuse(
                    draft,
                    "user, password and authority come from one Secret with the keys username, password and ca.pem; make it, name it in dependencies.kafka.secretRef, and remove this",
                );
            }
        }
        if let Some(name) = name.filter(|_| fits) {
            draft.set(TARGET, name.into(), &path);
        }
        for given in [user, password].into_iter().flatten() {
            given.left(draft, "the Secret wins");
        }
        return;
    }
    match (user, password) {
        (Some(user), Some(password)) => {
            let path = user.path.clone();
            let name = format!("{}-kafka-login", shape.name);
            draft.note(
                &path,
                format!("user and password are in the Secret {name:?}, which comes with the result"),
            );
            let (user, password) = (user.read(draft), password.read(draft));
            draft.secret(
                &name,
                shape.namespace.as_deref(),
                &[("username", &user), ("password", &password)],
            );
            draft.set(TARGET, name.into(), &path);
        }
        (Some(only), None) | (None, Some(only)) => only.refuse(
            draft,
            "user without password, or the other way round; make a Secret with username and password, and name it in dependencies.kafka.secretRef",
        ),
        (None, None) => {}
    }
}

/// Gives whether the log is in external log stores.
fn woodpecker(mut block: Block, settings: &mut Settings, draft: &mut Draft) -> bool {
    const TARGET: &str = "spec.dependencies.woodpecker";
    let service = external(&mut block, TARGET, draft);
    let path = block.at("quorumBufferPools");
    let mut pools = Vec::new();
    for item in block.list("quorumBufferPools", draft) {
        let Some(mut item) = item.block(draft) else {
            continue;
        };
        let mut pool = json!({"name": "", "seeds": []});
        if let Some(name) = item.text("name", draft) {
            pool["name"] = name.read(draft).into();
        }
        let seeds = item.list("seeds", draft).into_iter();
        let seeds: Vec<Value> = seeds
            .filter_map(|seed| Some(seed.text(draft)?.read(draft).into()))
            .collect();
        pool["seeds"] = Value::Array(seeds);
        item.unknown(draft);
        pools.push(pool);
    }
    if !pools.is_empty() {
        draft.set(
            &format!("{TARGET}.quorumBufferPools"),
            Value::Array(pools),
            &path,
        );
    }
    if let Some(kind) = settings
        .take("woodpecker.storage.type")
        .and_then(|given| given.text(draft))
    {
        match kind.value.as_str() {
            "minio" if !service => kind.same(draft),
            "service" if service => kind.same(draft),
            _ => kind.refuse(
                draft,
                "an embedded log is kept in the object store here; remove it",
            ),
        }
    }
    let persistence = block.block("persistence", draft);
    volume(persistence, &format!("{TARGET}.persistence"), draft);
    if service && let Some(given) = settings.extract("woodpecker.client.quorum.quorumBufferPools") {
        given.left(
            draft,
            "milvus-operator overwrites it with dependencies.woodpecker.quorumBufferPools, and so does this operator",
        );
    }
    block.unknown(draft);
    service
}

/// Topics of existing collections are found by their prefix, which is the resource's name there, and here its namespace
/// and name.
fn topics(
    shared: bool,
    shape: &Shape,
    settings: &mut Settings,
    standing: &Standing,
    draft: &mut Draft,
) {
    let ours = shape.unique_name();
    let given: Vec<Given<String>> = [
        "msgChannel.chanNamePrefix.cluster",
        "common.chanNamePrefix.cluster",
    ]
    .into_iter()
    .filter_map(|name| settings.take(name))
    .filter_map(|given| given.text(draft))
    .collect();
    let path = given
        .first()
        .map_or("spec.config.msgChannel.chanNamePrefix.cluster", |g| &g.path)
        .to_owned();
    let theirs = given
        .first()
        .map_or(shape.name.clone(), |g| g.value.clone());
    let agree = given.iter().all(|given| given.value == ours);
    let apart = shape.fresh_prefix.is_some();
    if shared && theirs == ours && (apart || !standing.external_etcd) {
        let what = format!("both clusters' topics begin with {ours:?} on this queue");
        if apart {
            draft.refuse(
                "metadata.name",
                format!("{what}, and a cluster that starts empty must not read the old one's; choose another name"),
            );
        } else {
            draft.note(
                "metadata.name",
                format!(
                    "{what}: stop the old one first and remove its topics, or choose another name"
                ),
            );
        }
    }
    if shared && standing.external_etcd && !apart && (theirs != ours || !agree) {
        for given in given {
            given.same(draft);
        }
        draft.refuse(
            path,
            format!(
                "topics begin with {ours:?} here, and existing collections would lose theirs, which begin with {theirs:?}; to start empty on these services choose a fresh prefix (milvus-operator convert --fresh-prefix NAME), else move the data with a backup"
            ),
        );
        return;
    }
    for given in given {
        if given.value == ours {
            given.same(draft);
        } else {
            given.left(
                draft,
                format!("topics begin with {ours:?} here, so that no two clusters share one"),
            );
        }
    }
}
