//! What an engine or an API server would refuse of texts that are handed through: names, labels, variables, images. The rules
//! are theirs; refused here, the message names the field. Pure.

use std::collections::BTreeMap;

use super::Input;
use super::violations::Findings;
use crate::constraint;

/// The name and the value of a variable.
pub(super) fn variable(
    input: &Input<'_>,
    findings: &mut Findings,
    field: &str,
    name: &str,
    value: &str,
) {
    let kubernetes = input.capabilities.escape_hatch == "kubernetes";
    let fits = if kubernetes {
        let mark = |c: char| matches!(c, '-' | '_' | '.');
        !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || mark(c))
            && !matches!(name, "." | "..")
            && !name.starts_with("..")
    } else {
        name.chars()
            .all(|c| c != '=' && !c.is_control() && !c.is_whitespace())
    };
    if name.is_empty() || !fits {
        findings.invalid(
            format!("{field}.name"),
            format!("{name:?} is no name of a variable; it has letters, digits, dashes, dots and underscores, and begins with no digit"),
        );
    }
    if value.contains('\0') {
        findings.invalid(
            format!("{field}.value"),
            "a variable cannot hold a null character",
        );
    }
}

/// Labels by which nodes are selected.
pub(super) fn selector(
    input: &Input<'_>,
    findings: &mut Findings,
    block: &str,
    (name, value): (&str, &str),
) {
    let field = format!("{block}.nodeSelector[{name}]");
    if input.capabilities.escape_hatch == "swarm" {
        if let Err(problem) = constraint::selector_problem(name, value) {
            findings.unsupported(field, input.capabilities.platform, problem);
        }
    } else {
        label(findings, &field, name, Some(value));
    }
}

/// Labels of native objects.
pub(super) fn labels(findings: &mut Findings, path: &str, entries: &BTreeMap<String, String>) {
    for (name, value) in entries {
        label(findings, &format!("{path}[{name}]"), name, Some(value));
    }
}

/// Annotations of native objects.
pub(super) fn annotations(findings: &mut Findings, path: &str, entries: &BTreeMap<String, String>) {
    for name in entries.keys() {
        label(findings, &format!("{path}[{name}]"), name, None);
    }
}

fn label(findings: &mut Findings, field: &str, name: &str, value: Option<&str>) {
    let (prefix, last) = match name.split_once('/') {
        Some((prefix, last)) => (Some(prefix), last),
        None => (None, name),
    };
    if !label_text(last) || last.is_empty() || prefix.is_some_and(|prefix| !subdomain(prefix)) {
        findings.invalid(
            field,
            format!("{name:?} is no name of a label: at most 63 letters, digits, dashes, dots and underscores that begin and end with a letter or digit, with a DNS name and a slash before it or not"),
        );
    }
    if value.is_some_and(|value| !label_text(value)) {
        findings.invalid(
            field,
            "a label's value has at most 63 letters, digits, dashes, dots and underscores, and begins and ends with a letter or digit",
        );
    }
}

fn label_text(text: &str) -> bool {
    let end = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= 63
            && text.starts_with(end)
            && text.ends_with(end)
            && text.chars().all(|c| end(c) || matches!(c, '-' | '_' | '.'))
}

/// The name of another object: a Secret, a class, a service account.
pub(super) fn object(findings: &mut Findings, field: &str, name: Option<&str>) {
    if let Some(name) = name
        && !subdomain(name)
    {
        findings.invalid(
            field,
            format!("{name:?} is no name of an object: lower-case letters, digits, dashes and dots that begin and end with a letter or digit"),
        );
    }
}

fn subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|part| {
            let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            part.starts_with(end) && part.ends_with(end) && part.chars().all(|c| end(c) || c == '-')
        })
}

/// The reference of an image: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
pub(super) fn image(findings: &mut Findings, field: &str, reference: &str) {
    if let Some(what) = image_problem(reference) {
        findings.invalid(
            field,
            format!("{reference:?} is no reference of an image: {what}"),
        );
    }
}

fn image_problem(reference: &str) -> Option<&'static str> {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    if digest.is_some_and(|digest| digest.split_once(':').is_none_or(|(_, sum)| !hex(sum))) {
        return Some("a digest is ALGORITHM:HEXADECIMAL");
    }
    let path_start = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[path_start..].rfind(':') {
        Some(colon) => (
            &rest[..path_start + colon],
            Some(&rest[path_start + colon + 1..]),
        ),
        None => (rest, None),
    };
    let tag_fits = |tag: &str| {
        (1..=128).contains(&tag.len())
            && !tag.starts_with(['.', '-'])
            && tag
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    if tag.is_some_and(|tag| !tag_fits(tag)) {
        return Some("a tag has letters, digits, dots, dashes and underscores");
    }
    let mut steps: Vec<&str> = name.split('/').collect();
    let host = |step: &str| step.contains(['.', ':']) || step == "localhost";
    if steps.len() > 1 && host(steps[0]) {
        let first = steps.remove(0);
        let (host, port) = crate::endpoint::split(first);
        let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok());
        let host_fits = crate::endpoint::ipv6(host).is_some()
            || !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
        if !port_fits || !host_fits {
            return Some("its registry is no host with or without a port");
        }
    }
    let step_fits = |step: &&str| {
        let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        step.starts_with(end)
            && step.ends_with(end)
            && step.chars().all(|c| end(c) || matches!(c, '.' | '-' | '_'))
    };
    if !steps.iter().all(step_fits) {
        return Some(
            "its path has lower-case letters, digits, dots, dashes and underscores between slashes",
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images() {
        for fine in [
            "m:v2.3.5",
            "milvusdb/milvus",
            "milvusdb/milvus:v2.6.11-gpu",
            "registry.example.org:5000/team/milvus:v2.3.5",
            "localhost/milvus@sha256:00ff",
            "[2001:db8::1]:5000/milvus:v1",
            "a/b@sha256:00",
        ] {
            assert_eq!(image_problem(fine), None, "{fine}");
        }
        for wrong in [
            "",
            "Milvus:v1",
            "milvus:",
            "milvus:v 1",
            "https://example.org/milvus:v1",
            "example.org:port/milvus",
            "milvus@v1",
            "a//b",
            "a/-b",
        ] {
            assert!(image_problem(wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn names() {
        for fine in ["a", "a-b.c", "0a"] {
            assert!(subdomain(fine), "{fine}");
        }
        for wrong in ["", "A", "a_b", "-a", "a.", "a..b", "a/b"] {
            assert!(!subdomain(wrong), "{wrong}");
        }
        for fine in ["", "a", "A_b-c.D", &"x".repeat(63)] {
            assert!(label_text(fine), "{fine}");
        }
        for wrong in ["-a", "a-", "a b", "a/b", &"x".repeat(64)] {
            assert!(!label_text(wrong), "{wrong}");
        }
    }
}
