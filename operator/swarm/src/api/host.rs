//! Where an engine listens, read as the docker command reads it: a socket, TCP with or without TLS, SSH, a docker context.
//! Reads the environment and a context's files; opens no connection.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::ApiError;

/// Port of an engine without TLS, with TLS: what the docker command assumes.
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;
/// The address of the engine on this machine.
const LOCAL: &str = "unix:///var/run/docker.sock";

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A socket on this machine.
    Unix(PathBuf),
    /// `host:port`, plain HTTP.
    Tcp(String),
    /// TLS, with the engine's certificate verified.
    Tls {
        /// Name or address, for the certificate.
        name: String,
        /// Port.
        port: u16,
        /// Folder with `ca.pem` and, where the engine asks for a client certificate, `cert.pem` and `key.pem`.
        certificates: PathBuf,
    },
    /// `docker system dial-stdio` on another machine, reached by the `ssh` command with the configuration of its user.
    Ssh {
        /// `host` or `user@host`.
        destination: String,
        /// Port, where it is not SSH's own.
        port: Option<u16>,
    },
}

/// What the docker command reads of its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `DOCKER_TLS_VERIFY` is not empty: `tcp://` means TLS.
    pub tls_verify: bool,
    /// `DOCKER_CERT_PATH`.
    pub certificates: Option<PathBuf>,
    /// `DOCKER_CONFIG`, else `~/.docker`: certificates and contexts.
    pub config: Option<PathBuf>,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn read() -> Self {
        let set = |key| std::env::var_os(key).filter(|value| !value.is_empty());
        Self {
            tls_verify: set("DOCKER_TLS_VERIFY").is_some(),
            certificates: set("DOCKER_CERT_PATH").map(PathBuf::from),
            config: set("DOCKER_CONFIG")
                .map(PathBuf::from)
                .or_else(|| set("HOME").map(|home| Path::new(&home).join(".docker"))),
        }
    }
}

impl Host {
    /// Reads an address in the forms that [`Host::parse`] knows, or `context:NAME` for a docker context of this user.
    ///
    /// # Errors
    /// When the address cannot be read, or the context is not there or skips the verification of the engine's certificate.
    pub fn find(text: &str, environment: &Environment) -> Result<Self, ApiError> {
        let Some(name) = text.strip_prefix("context:") else {
            return Self::parse(text, environment);
        };
        if name == "default" {
            return Self::parse(LOCAL, environment);
        }
        let problem = |problem: String| ApiError::Host {
            host: text.to_owned(),
            problem,
        };
        let config = environment.config.as_deref().ok_or_else(|| {
            problem("there is no home directory; set DOCKER_CONFIG to the folder of docker's configuration".to_owned())
        })?;
        let hash = hex::encode(Sha256::digest(name));
        let file = config.join("contexts/meta").join(&hash).join("meta.json");
        let meta = std::fs::read(&file)
            .map_err(|e| problem(format!("read the docker context: {}: {e}", file.display())))?;
        let endpoint = Context::endpoint(&meta).map_err(problem)?;
        let tls = config.join("contexts/tls").join(&hash).join("docker");
        let environment = Environment {
            tls_verify: tls.is_dir(),
            certificates: Some(tls),
            config: environment.config.clone(),
        };
        Self::parse(&endpoint, &environment)
    }

    /// Reads `unix:///path`, `tcp://host:port` (TLS where `DOCKER_TLS_VERIFY` is set), `https://host:port`, `http://host:port` or
    /// `ssh://user@host:port`.
    ///
    /// # Errors
    /// When the text is none of these.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, ApiError> {
        let problem = |problem: &str| ApiError::Host {
            host: text.to_owned(),
            problem: problem.to_owned(),
        };
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(problem(
                "write unix:///path, tcp://host:port, ssh://user@host or context:name",
            ));
        };
        let address = rest.trim_end_matches('/');
        if scheme != "unix" && (address.is_empty() || address.contains('/')) {
            return Err(problem("write a host and a port, without a path"));
        }
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Host::Unix(PathBuf::from(rest))),
            "unix" => Err(problem("the path of the socket must be absolute")),
            "tcp" if environment.tls_verify => Self::tls(address, environment).map_err(problem),
            "https" => Self::tls(address, environment).map_err(problem),
            "tcp" | "http" => {
                let (name, port) = split(address).map_err(problem)?;
                Ok(Host::Tcp(format!("{name}:{}", port.unwrap_or(PLAIN_PORT))))
            }
            "ssh" => {
                let (destination, port) = split(address).map_err(problem)?;
                // What begins with a dash would be an option to the ssh command.
                if destination.starts_with('-') || destination.starts_with('@') {
                    return Err(problem("write ssh://user@host or ssh://host"));
                }
                let destination = destination.to_owned();
                Ok(Host::Ssh { destination, port })
            }
            _ => Err(problem(
                "this scheme is not known: write unix, tcp, http, https or ssh",
            )),
        }
    }

    fn tls(address: &str, environment: &Environment) -> Result<Self, &'static str> {
        let (name, port) = split(address)?;
        let certificates = environment
            .certificates
            .clone()
            .or_else(|| environment.config.clone())
            .ok_or("set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem")?;
        Ok(Host::Tls {
            name: name.trim_matches(['[', ']']).to_owned(),
            port: port.unwrap_or(TLS_PORT),
            certificates,
        })
    }
}

/// Splits `host`, `host:port`, `[address]:port`. The brackets stay.
fn split(address: &str) -> Result<(&str, Option<u16>), &'static str> {
    let port_begins = address
        .rfind(':')
        .filter(|at| !address[*at..].contains(']'));
    let Some(at) = port_begins else {
        return Ok((address, None));
    };
    let port = address[at + 1..]
        .parse()
        .map_err(|_| "the port must be a number from 1 to 65535")?;
    Ok((&address[..at], Some(port)))
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Unix(path) => write!(f, "unix://{}", path.display()),
            Host::Tcp(address) => write!(f, "tcp://{address}"),
            Host::Tls { name, port, .. } if name.contains(':') => {
                write!(f, "tcp://[{name}]:{port}")
            }
            Host::Tls { name, port, .. } => write!(f, "tcp://{name}:{port}"),
            Host::Ssh {
                destination,
                port: None,
            } => write!(f, "ssh://{destination}"),
            Host::Ssh {
                destination,
                port: Some(port),
            } => write!(f, "ssh://{destination}:{port}"),
        }
    }
}

/// `meta.json` of a docker context.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Context {
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

impl Context {
    /// The engine's address.
    fn endpoint(meta: &[u8]) -> Result<String, String> {
        let context: Context = serde_json::from_slice(meta)
            .map_err(|e| format!("the docker context cannot be read: {e}"))?;
        let endpoint = context
            .endpoints
            .docker
            .ok_or("the docker context has no endpoint `docker`")?;
        if endpoint.skip_tls_verify {
            return Err("the docker context skips the verification of the engine's certificate, which is not supported: \
                 give it the engine's CA (docker context update --docker ca=...)"
                .to_owned());
        }
        Ok(if endpoint.host.is_empty() {
            LOCAL.to_owned()
        } else {
            endpoint.host
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Host, ApiError> {
        Host::parse(text, &Environment::default())
    }

    fn verifying() -> Environment {
        Environment {
            tls_verify: true,
            certificates: None,
            config: Some("/home/a/.docker".into()),
        }
    }

    #[test]
    fn addresses_without_tls() {
        let table = [
            (
                "unix:///run/docker.sock",
                Host::Unix("/run/docker.sock".into()),
            ),
            ("tcp://10.0.0.1:2375/", Host::Tcp("10.0.0.1:2375".into())),
            ("http://manager", Host::Tcp("manager:2375".into())),
            ("tcp://[fd00::1]:99", Host::Tcp("[fd00::1]:99".into())),
            ("tcp://[fd00::1]", Host::Tcp("[fd00::1]:2375".into())),
            (
                "ssh://root@m1",
                Host::Ssh {
                    destination: "root@m1".into(),
                    port: None,
                },
            ),
            (
                "ssh://m1:2222",
                Host::Ssh {
                    destination: "m1".into(),
                    port: Some(2222),
                },
            ),
        ];
        for (text, host) in table {
            assert_eq!(parse(text).expect(text), host, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in [
            "unix://relative",
            "/run/docker.sock",
            "tcp://",
            "tcp://a:b",
            "tcp://a:70000",
            "tcp://a:1/path",
            "ssh://-oProxyCommand=x",
            "ssh://@host",
            "npipe:////./pipe/docker_engine",
            "https://a:1", // without a folder of certificates
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tls_is_spoken_where_it_is_asked_for() {
        let tls = |name: &str, port| Host::Tls {
            name: name.to_owned(),
            port,
            certificates: "/home/a/.docker".into(),
        };
        let table = [
            ("tcp://m1", tls("m1", 2376)),
            ("tcp://m1:1", tls("m1", 1)),
            ("https://[fd00::1]:1", tls("fd00::1", 1)),
        ];
        for (text, host) in table {
            assert_eq!(Host::parse(text, &verifying()).expect(text), host, "{text}");
        }
        let environment = Environment {
            certificates: Some("/certs".into()),
            ..verifying()
        };
        let host = Host::parse("tcp://m1", &environment).expect("an address");
        assert!(
            matches!(host, Host::Tls { certificates, .. } if certificates == Path::new("/certs"))
        );
        assert!(matches!(parse("http://m1"), Ok(Host::Tcp(_))));
    }

    #[test]
    fn an_address_reads_as_it_was_written() {
        for text in [
            "unix:///run/d.sock",
            "tcp://[fd00::1]:2376",
            "tcp://m1:2376",
            "ssh://a@b:22",
        ] {
            assert_eq!(
                Host::parse(text, &verifying()).expect(text).to_string(),
                text
            );
        }
    }

    #[test]
    fn a_context_is_found_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = Environment {
            config: Some(folder.path().to_owned()),
            ..Environment::default()
        };
        let hash = hex::encode(Sha256::digest("prod"));
        let meta = folder.path().join("contexts/meta").join(&hash);
        std::fs::create_dir_all(&meta).expect("a folder");
        let write = |text: &str| std::fs::write(meta.join("meta.json"), text).expect("a file");

        write(
            r#"{"Name":"prod","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://root@m1","SkipTLSVerify":false}}}"#,
        );
        let host = Host::find("context:prod", &environment).expect("a host");
        assert_eq!(host.to_string(), "ssh://root@m1");

        write(r#"{"Name":"prod","Endpoints":{"docker":{"Host":"tcp://m1:2376"}}}"#);
        let host = Host::find("context:prod", &environment).expect("a host");
        assert_eq!(host, Host::Tcp("m1:2376".into()));
        let tls = folder
            .path()
            .join("contexts/tls")
            .join(&hash)
            .join("docker");
        std::fs::create_dir_all(&tls).expect("a folder");
        let host = Host::find("context:prod", &environment).expect("a host");
        assert!(matches!(host, Host::Tls { certificates, .. } if certificates == tls));

        write(
            r#"{"Name":"prod","Endpoints":{"docker":{"Host":"tcp://m1:2376","SkipTLSVerify":true}}}"#,
        );
        let error = Host::find("context:prod", &environment).expect_err("must be refused");
        assert!(
            error.to_string().contains("skips the verification"),
            "{error}"
        );
        let error = Host::find("context:test", &environment).expect_err("must be refused");
        assert!(error.to_string().contains("context:test"), "{error}");
        assert!(matches!(
            Host::find("context:default", &environment),
            Ok(Host::Unix(_))
        ));
    }
}
