//! Placement constraints of Docker Swarm, read by the rules of its engine: what its reader refuses never reaches it, and what it
//! would read but never match is refused as well. Pure.

use std::net::IpAddr;

/// One constraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Constraint<'a> {
    /// Without space around it.
    pub(crate) key: &'a str,
    /// `==`, else `!=`.
    pub(crate) equal: bool,
    /// Without space around it.
    pub(crate) value: &'a str,
}

/// Keys that a node has beside labels.
const KEYS: [&str; 6] = [
    "node.id",
    "node.hostname",
    "node.ip",
    "node.role",
    "node.platform.os",
    "node.platform.arch",
];

const LABELS: [&str; 2] = ["node.labels.", "engine.labels."];

/// What a value may hold beside letters, digits and space.
const VALUE_MARKS: &str = ":-_.*()?+[]\\^$|/";

impl<'a> Constraint<'a> {
    /// Reads `KEY==VALUE` or `KEY!=VALUE`; says what is wrong with anything else.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        // `==` is looked for first, wherever it stands.
        let (key, value, equal) = match (text.split_once("=="), text.split_once("!=")) {
            (Some((key, value)), _) => (key.trim(), value.trim(), true),
            (None, Some((key, value))) => (key.trim(), value.trim(), false),
            (None, None) => {
                return Err(
                    "write KEY==VALUE or KEY!=VALUE with a key such as node.labels.disk, node.role, node.hostname".to_owned(),
                );
            }
        };
        key_problem(key)?;
        value_problem(value)?;
        if key.eq_ignore_ascii_case("node.ip") && Network::parse(value).is_none() {
            return Err(format!(
                "{value:?} is neither an address nor a network such as 10.0.0.0/8"
            ));
        }
        if key.eq_ignore_ascii_case("node.role")
            && !["manager", "worker"]
                .iter()
                .any(|role| role.eq_ignore_ascii_case(value))
        {
            return Err("a node's role is manager or worker".to_owned());
        }
        Ok(Self { key, equal, value })
    }

    /// The name of a label, where the key is one of `prefix`.
    pub(crate) fn label(&self, prefix: &str) -> Option<&'a str> {
        label(self.key, prefix)
    }
}

fn label<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    let head = key.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &key[prefix.len()..])
}

fn key_problem(key: &str) -> Result<(), String> {
    let fits = key.len() >= 2
        && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !fits {
        return Err(format!(
            "the engine refuses the key {key:?}: it begins with a letter and has letters, digits, dots, dashes and underscores only; give the nodes a label with such a name"
        ));
    }
    let known = KEYS.iter().any(|known| known.eq_ignore_ascii_case(key));
    let labelled = LABELS
        .iter()
        .any(|prefix| label(key, prefix).is_some_and(|name| !name.is_empty()));
    if known || labelled {
        Ok(())
    } else {
        Err(format!(
            "no node has the key {key:?}; labels of nodes are node.labels.NAME, labels of engines engine.labels.NAME, and there are {}",
            KEYS.join(", ")
        ))
    }
}

fn value_problem(value: &str) -> Result<(), String> {
    let fits = !value.is_empty()
        && value.chars().all(|c| {
            c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || VALUE_MARKS.contains(c)
        });
    if fits {
        Ok(())
    } else {
        Err(format!(
            "the engine refuses the value {value:?}: it has letters, digits, space and {VALUE_MARKS} only; one constraint names one value"
        ))
    }
}

/// What the engine would refuse of a label that nodes are selected by.
pub(crate) fn selector_problem(name: &str, value: &str) -> Result<(), String> {
    key_problem(&format!("node.labels.{name}"))?;
    value_problem(value.trim())
}

/// An address, or a network in the notation ADDRESS/LENGTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().ok()?,
            None => longest,
        };
        (length <= longest).then_some(Self { address, length })
    }

    /// Whether an address lies in it.
    pub(crate) fn has(&self, address: &str) -> bool {
        let Ok(address) = address.parse::<IpAddr>() else {
            return false;
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let far = u32::from(own) ^ u32::from(other);
                far.checked_shr(32 - u32::from(self.length)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let far = u128::from(own) ^ u128::from(other);
                far.checked_shr(128 - u32::from(self.length)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_engine_reads_them() {
        for fine in [
            "node.role==manager",
            "node.role != Worker",
            " NODE.LABELS.disk == ssd ",
            "node.labels.a_b-c.d==x y",
            "engine.labels.os!=a/b",
            "node.ip==10.0.0.0/8",
            "node.ip!=2001:db8::2",
            "node.labels.zone==^(a|b)$",
        ] {
            assert!(Constraint::parse(fine).is_ok(), "{fine}");
        }
        for (wrong, what) in [
            ("worker", "KEY==VALUE"),
            ("node.role=manager", "KEY==VALUE"),
            ("rack == large", "node.labels.NAME"),
            ("node.labels.==x", "node.labels.NAME"),
            ("node.labels.example.org/role==query", "example.org/role"),
            ("node.labels.disk type==ssd", "disk type"),
            ("==x", "the key \"\""),
            ("node.role==", "the value \"\""),
            ("node.labels.zone==a,b", "a,b"),
            ("node.labels.zone==a!=b", "a!=b"),
            ("node.labels.zone==ü", "the value"),
            ("node.role==master", "manager or worker"),
            ("node.ip==host", "neither an address"),
            ("node.ip==10.0.0.0/33", "neither an address"),
        ] {
            let problem = Constraint::parse(wrong).unwrap_err();
            assert!(problem.contains(what), "{wrong}: {problem}");
        }
        let both = Constraint::parse("node.labels.x!=a==b");
        assert!(both.is_err(), "{both:?}");
    }

    #[test]
    fn networks() {
        let has = |network: &str, address: &str| Network::parse(network).unwrap().has(address);
        assert!(has("10.1.0.0/16", "10.1.2.3") && !has("10.1.0.0/16", "10.2.2.3"));
        assert!(has("10.1.2.3", "10.1.2.3") && !has("10.1.2.3", "10.1.2.4"));
        assert!(has("0.0.0.0/0", "10.1.2.3") && !has("0.0.0.0/0", "::1"));
        assert!(has("2001:db8::/32", "2001:db8::9") && !has("2001:db8::/32", "2001:db9::9"));
    }
}
