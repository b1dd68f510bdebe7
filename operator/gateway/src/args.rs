//! The command line. Every flag is also an environment variable.

use crate::node_task::NodeTask;
use clap::{Parser, Subcommand, ValueEnum};
use milvus_gateway::Allow;
use milvus_gateway::pool::Policy;
use milvus_gateway::server::{Config, Target};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The front door of one Milvus cluster.
///
/// Balances client connections over the live Milvus proxies behind a DNS name, and lets the operator reach the
/// cluster's network through the same port (mutual TLS, told apart by its ALPN name).
///
/// A proxy is live when its name still resolves to it, its health check passes, the operator does not drain it, and it has not just
/// refused connections. Each new connection goes to the live proxy with the fewest; when it cannot be reached, to the next.
#[derive(Debug, Parser)]
#[command(
    version,
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        Two proxies of a stack, with the operator's tunnel to etcd and to every health port:\n    \
        milvus-gateway --backend tasks.milvus_proxy:19530 \\\n      \
        --tls-bundle /run/secrets/gateway-tls.pem --allow etcd-0:2379 --allow '*:9091'\n\n  \
        Fixed addresses, no health checks, no tunnel:\n    \
        milvus-gateway --backend 10.0.0.4:19530,10.0.0.5:19530 --health-port 0"
)]
pub struct Args {
    /// Instead of a gateway.
    #[command(subcommand)]
    pub other: Option<Other>,

    /// Address and port for clients.
    #[arg(long, env = "MILVUS_GATEWAY_LISTEN", default_value = "0.0.0.0:19530")]
    pub listen: SocketAddr,

    /// Name (or address) and client port of the proxies; every address behind it is a backend. Repeat it or separate by commas.
    #[arg(
        long = "backend",
        env = "MILVUS_GATEWAY_BACKENDS",
        value_name = "NAME:PORT",
        value_delimiter = ',',
        required = true
    )]
    pub backends: Vec<Target>,

    /// Between look-ups of the names.
    #[arg(long, env = "MILVUS_GATEWAY_RESOLVE_INTERVAL", default_value = "1s", value_parser = duration)]
    pub resolve_interval: Duration,

    /// For one attempt to connect to one backend; the next is tried after it.
    #[arg(long, env = "MILVUS_GATEWAY_CONNECT_TIMEOUT", default_value = "1s", value_parser = duration)]
    pub connect_timeout: Duration,

    /// How long a client is kept waiting while no backend can be reached.
    #[arg(long, env = "MILVUS_GATEWAY_BACKEND_WAIT", default_value = "3s", value_parser = duration)]
    pub backend_wait: Duration,

    /// Failed connection attempts within --fail-window that take a backend out for --down-time. 0: never.
    #[arg(long, env = "MILVUS_GATEWAY_MAX_FAILS", default_value_t = 3)]
    pub max_fails: u32,

    /// The window in which failed attempts are counted.
    #[arg(long, env = "MILVUS_GATEWAY_FAIL_WINDOW", default_value = "30s", value_parser = duration)]
    pub fail_window: Duration,

    /// How long a backend that refused connections is left out. The last one is never left out.
    #[arg(long, env = "MILVUS_GATEWAY_DOWN_TIME", default_value = "5s", value_parser = duration)]
    pub down_time: Duration,

    /// Port of the health checks on every backend. 0: no checks, failed connections alone decide.
    #[arg(long, env = "MILVUS_GATEWAY_HEALTH_PORT", default_value_t = 9091)]
    pub health_port: u16,

    /// Path of the health checks; 200 means ready.
    #[arg(long, env = "MILVUS_GATEWAY_HEALTH_PATH", default_value = "/healthz", value_parser = path)]
    pub health_path: String,

    /// Between health checks.
    #[arg(long, env = "MILVUS_GATEWAY_HEALTH_INTERVAL", default_value = "2s", value_parser = duration)]
    pub health_interval: Duration,

    /// For connecting to a health port, and again for its answer.
    #[arg(long, env = "MILVUS_GATEWAY_HEALTH_TIMEOUT", default_value = "1s", value_parser = duration)]
    pub health_timeout: Duration,

    /// Client connections open at a time. Lowered when the limit of open files asks for it.
    #[arg(long, env = "MILVUS_GATEWAY_MAX_CONNECTIONS", default_value_t = 65536, value_parser = connections)]
    pub max_connections: usize,

    /// After SIGTERM no connection is accepted, and open ones may go on this long. A second signal ends at once.
    #[arg(long, env = "MILVUS_GATEWAY_DRAIN_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,

    /// What the operator may reach through the tunnel: name and port, or `*` for any name. Repeat it or separate by commas.
    #[arg(
        long,
        env = "MILVUS_GATEWAY_ALLOW",
        value_name = "NAME:PORT",
        value_delimiter = ','
    )]
    pub allow: Vec<Allow>,

    /// A port that the operator may reach on any name: the same as --allow '*:PORT'.
    #[arg(
        long,
        env = "MILVUS_GATEWAY_ALLOW_PORTS",
        value_name = "PORT",
        value_delimiter = ','
    )]
    pub allow_port: Vec<u16>,

    /// One PEM file for the tunnel: the gateway's certificate, its key, and last the authority's certificate.
    #[arg(long, env = "MILVUS_GATEWAY_TLS_BUNDLE", value_name = "FILE", conflicts_with_all = ["tls_cert", "tls_key", "tls_ca"])]
    pub tls_bundle: Option<PathBuf>,

    /// The gateway's certificate, PEM.
    #[arg(long, env = "MILVUS_GATEWAY_TLS_CERT", value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    pub tls_cert: Option<PathBuf>,

    /// The gateway's private key, PEM.
    #[arg(long, env = "MILVUS_GATEWAY_TLS_KEY", value_name = "FILE", requires_all = ["tls_cert", "tls_ca"])]
    pub tls_key: Option<PathBuf>,

    /// The certificate of the authority that signed the operator's certificate, PEM.
    #[arg(long, env = "MILVUS_GATEWAY_TLS_CA", value_name = "FILE", requires_all = ["tls_cert", "tls_key"])]
    pub tls_ca: Option<PathBuf>,

    /// What to log: error, warn, info, debug, or a filter such as `info,milvus_gateway=debug`.
    #[arg(long, env = "MILVUS_GATEWAY_LOG", default_value = "info", value_parser = filter)]
    pub log: String,

    /// How to log, on standard error.
    #[arg(long, env = "MILVUS_GATEWAY_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// What the binary does besides.
#[derive(Debug, Subcommand)]
pub enum Other {
    /// Do one thing on this node for the operator, and end.
    NodeTask(NodeTask),
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Args {
    /// What the library takes.
    pub fn config(&self) -> Config {
        let ports = self.allow_port.iter().map(|port| Allow::Port(*port));
        Config {
            backends: self.backends.clone(),
            resolve_interval: self.resolve_interval,
            connect_timeout: self.connect_timeout,
            backend_wait: self.backend_wait,
            policy: Policy {
                max_fails: self.max_fails,
                fail_window: self.fail_window,
                down_time: self.down_time,
                ..Policy::default()
            },
            check: (self.health_port != 0).then(|| milvus_gateway::Check {
                port: self.health_port,
                path: self.health_path.clone(),
                interval: self.health_interval,
                timeout: self.health_timeout,
            }),
            max_connections: self.max_connections,
            drain_timeout: self.drain_timeout,
            allow: self.allow.iter().cloned().chain(ports).collect(),
            ..Config::default()
        }
    }
}

/// A message with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write a number and ms, s, m or h, for instance 500ms".to_owned()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{digits:?} is not a whole number"))?;
    match number.checked_mul(milliseconds) {
        Some(0) => Err("must be longer than nothing".to_owned()),
        Some(total) if total <= 24 * 3_600_000 => Ok(Duration::from_millis(total)),
        _ => Err("must be at most 24h".to_owned()),
    }
}

fn path(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.starts_with('/') && plain {
        Ok(text.to_owned())
    } else {
        Err("must begin with / and hold no spaces".to_owned())
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1_000_000) => Ok(number),
        _ => Err("must be between 1 and 1000000".to_owned()),
    }
}

fn filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in [
            "",
            "5",
            "s",
            "0s",
            "-1s",
            "1d",
            "1.5s",
            "25h",
            "99999999999999999999h",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags_reach_the_config() {
        let args = Args::try_parse_from([
            "milvus-gateway",
            "--backend=tasks.a:19530,tasks.b:19530",
            "--health-port=0",
            "--allow=etcd-0:2379",
            "--allow-port=9091",
            "--max-fails=7",
        ])
        .unwrap();
        let config = args.config();
        assert_eq!(config.backends.len(), 2);
        assert!(config.check.is_none());
        assert_eq!(config.allow.len(), 2);
        assert_eq!(config.policy.max_fails, 7);
    }

    #[test]
    fn node_tasks_need_no_backend() {
        let parse = |flags: &[&str]| {
            let given = ["milvus-gateway", "node-task"];
            Args::try_parse_from(given.iter().chain(flags))
        };
        let make = ["make-directory", "--base", "/base", "demo/etcd-0-e1"];
        assert!(parse(&make).unwrap().other.is_some());
        assert!(parse(&["make-directory", "--base", "/base", "../x"]).is_err());
        assert!(parse(&["remove-volume", "--docker-socket", "/s", "v"]).is_err());
        let label = [
            "remove-volume",
            "--docker-socket=/s",
            "--require-label=a=b",
            "v",
        ];
        assert!(parse(&label).is_ok());
    }

    #[test]
    fn half_of_the_tls_files_is_refused() {
        let parse = |flags: &[&str]| {
            let given = ["milvus-gateway", "--backend=a:1"];
            Args::try_parse_from(given.iter().chain(flags))
        };
        assert!(parse(&["--tls-cert=a"]).is_err());
        assert!(parse(&["--tls-cert=a", "--tls-key=b"]).is_err());
        assert!(parse(&["--tls-cert=a", "--tls-key=b", "--tls-ca=c"]).is_ok());
        assert!(parse(&["--tls-bundle=d", "--tls-key=b"]).is_err());
        assert!(parse(&[]).is_ok());
        assert!(Args::try_parse_from(["milvus-gateway"]).is_err());
    }
}
