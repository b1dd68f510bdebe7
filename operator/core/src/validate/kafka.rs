//! How Milvus comes to external brokers of Kafka: a login that is named must be one that is made. Pure.

use super::violations::Findings;
use super::{Input, secrets};
use crate::config::settings;
use crate::probe::{KafkaAccess, KafkaLogin, KafkaMechanism};
use crate::reasons::Reason;
use crate::version::MilvusVersion;

const SECRET: &str = "spec.dependencies.kafka.secretRef";
const PROTOCOL: &str = "kafka.securityProtocol";
const MECHANISM: &str = "kafka.saslMechanisms";
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// From here on protocol and mechanism have no default, and an authority can be named.
const WITHOUT_DEFAULTS: MilvusVersion = MilvusVersion::new(2, 3, 11);

/// Protocol, login and authority.
pub(super) fn access(input: &Input<'_>, findings: &mut Findings) -> KafkaAccess {
    let block = &input.spec.dependencies.kafka;
    let secret = block.secret_ref.as_deref();
    let protocol = protocol(input, findings, secret.is_some());
    let mechanism = mechanism(input, findings, secret.is_some());
    let sasl = protocol.starts_with("SASL");
    if secret.is_some() && !sasl {
        findings.invalid(
            settings::field(input.spec, PROTOCOL),
            format!("with {protocol} Milvus makes no login, and {SECRET} names one; write SASL_SSL or SASL_PLAINTEXT, or remove the Secret"),
        );
    } else if secret.is_none() && sasl {
        findings.invalid(
            SECRET,
            format!("{protocol} is for a login: name a Secret with username and password"),
        );
    }
    if protocol == "SSL" && input.version < WITHOUT_DEFAULTS {
        findings.invalid(
            settings::field(input.spec, PROTOCOL),
            format!("Milvus {} speaks TLS to brokers with a login only; use {WITHOUT_DEFAULTS} or later, or SASL_SSL", input.version),
        );
    }
    let keys = secret.and_then(|name| secrets::login(input, findings, name, SECRET));
    let access = KafkaAccess {
        tls: protocol.ends_with("SSL"),
        ca: secret.and_then(|name| secrets::optional(input, name, "ca.pem")),
        login: keys.map(|keys| KafkaLogin { mechanism, keys }),
    };
    if access.tls && access.ca.is_some() && input.version < WITHOUT_DEFAULTS {
        findings.notice(
            Reason::LoginNotChecked,
            SECRET,
            format!("Milvus {} takes no ca.pem: it knows the authorities of its image only; use {WITHOUT_DEFAULTS} or later where the brokers have another", input.version),
        );
    }
    if access.login.is_some() && !access.login_is_checked() {
        findings.notice(
            Reason::LoginNotChecked,
            SECRET,
            "the operator asks the brokers for an answer, but does not check user and password: it shows them only to whom a ca.pem in the Secret vouches for",
        );
    }
    access
}

fn protocol(input: &Input<'_>, findings: &mut Findings, login: bool) -> &'static str {
    let given = settings::read(input.spec, PROTOCOL).filter(|given| !given.is_empty());
    let Some(given) = given else {
        if login && input.version >= WITHOUT_DEFAULTS {
            findings.invalid(
                settings::field(input.spec, PROTOCOL),
                format!("{SECRET} names a login, and without this Milvus {} makes none; write SASL_SSL, or SASL_PLAINTEXT where the brokers speak no TLS", input.version),
            );
        }
        return if login { "SASL_SSL" } else { "PLAINTEXT" };
    };
    let known = PROTOCOLS
        .iter()
        .find(|known| known.eq_ignore_ascii_case(&given));
    known.copied().unwrap_or_else(|| {
        findings.invalid(
            settings::field(input.spec, PROTOCOL),
            format!("{given:?} is none of {}", PROTOCOLS.join(", ")),
        );
        if login { "SASL_SSL" } else { "PLAINTEXT" }
    })
}

fn mechanism(input: &Input<'_>, findings: &mut Findings, login: bool) -> KafkaMechanism {
    let names = || KafkaMechanism::ALL.map(KafkaMechanism::name).join(", ");
    let given = settings::read(input.spec, MECHANISM).filter(|given| !given.is_empty());
    let Some(given) = given else {
        if login && input.version >= WITHOUT_DEFAULTS {
            findings.invalid(
                settings::field(input.spec, MECHANISM),
                format!("{SECRET} names a login, and without this Milvus {} makes none; write one of {}", input.version, names()),
            );
        }
        return KafkaMechanism::Plain;
    };
    let mut all = KafkaMechanism::ALL.into_iter();
    let known = all.find(|known| known.name() == given);
    if known.is_none() && login {
        findings.invalid(
            settings::field(input.spec, MECHANISM),
            format!(
                "{given:?} is none of {}: what else there is needs more than user and password",
                names()
            ),
        );
    }
    known.unwrap_or(KafkaMechanism::Plain)
}
