//! Settings by which processes and clients find each other. The operator goes by them too, and reads them in one place only. Pure.

use super::Input;
use super::settings::Rule;
use crate::components;
use crate::config::settings::{find, switch, text};

/// Where Milvus reads the address that a process registers for the others.
const ADDRESSED: [&str; 11] = [
    "rootCoord",
    "dataCoord",
    "queryCoord",
    "indexCoord",
    "mixCoord",
    "proxy",
    "queryNode",
    "dataNode",
    "indexNode",
    "streamingNode",
    "cdc",
];

/// What decides how clients and roles speak, and the value that it has where it is not set.
const SPOKEN: [(&str, Option<&str>); 5] = [
    ("common.security.tlsMode", Some("0")),
    ("common.security.internaltlsEnabled", Some("false")),
    ("tls.serverPemPath", None),
    ("tls.serverKeyPath", None),
    ("tls.caPemPath", None),
];

pub(super) fn rules(input: &Input<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for section in ADDRESSED {
        rules.push(Rule::new(
            format!("{section}.ip"),
            "every process registers the address that it has in the network of the cluster; remove it",
            |value| value.trim().is_empty(),
        ));
        // milvus.yaml of early versions has it, with this value, and nothing reads it.
        rules.push(Rule::new(
            format!("{section}.address"),
            "processes find each other in etcd, by the addresses that they have in the network of the cluster; remove it",
            |value| matches!(value.trim(), "" | "localhost"),
        ));
    }
    for (section, port) in components::role_ports() {
        rules.push(Rule::new(
            format!("{section}.port"),
            "the ports inside the cluster are fixed; remove it",
            move |value| value.trim().parse() == Ok(port),
        ));
    }
    // `spec.config` has rules of its own for them: here they agree with it.
    for (name, default) in SPOKEN {
        let set = find(&input.spec.config, name).and_then(text);
        let agreed = set.or(default.map(str::to_owned));
        rules.push(Rule::new(
            name,
            "the operator has to know how the port is spoken to, and reads it in spec.config only; set it there",
            move |value| match &agreed {
                Some(agreed) if default == Some("false") => switch(value) == switch(agreed),
                Some(agreed) => value.trim() == agreed.trim(),
                None => false,
            },
        ));
    }
    rules
}
