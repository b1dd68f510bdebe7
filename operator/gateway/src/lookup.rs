//! Names to addresses. The only module that asks a name server.
//!
//! A resolver of our own instead of the C library's, because a static binary in an empty image has no NSS modules, and because
//! the overlay's answers (which live for ten minutes by their TTL) must not be cached.

use futures::future::BoxFuture;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// One query. The engine on the same host answers for its own names within a millisecond; what takes longer was forwarded.
const QUERY_TIMEOUT: Duration = Duration::from_millis(700);
/// A whole look-up with its retry. An engine that forwards an unknown name from a network without a way out gives no answer at
/// all, so this is also what a missing name costs there.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(1500);

/// Why a name gave no address.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LookupError {
    /// The name server said that there is none.
    #[error("name {name:?} has no address")]
    NotFound {
        /// The name asked for.
        name: String,
    },
    /// The name server did not answer, or could not find out.
    #[error("cannot resolve {name:?}: {reason}")]
    Failed {
        /// The name asked for.
        name: String,
        /// What went wrong.
        reason: String,
    },
    /// The name server did not answer in time.
    #[error("no such name, or cannot resolve {name:?}: no answer within {} ms", LOOKUP_TIMEOUT.as_millis())]
    Timeout {
        /// The name asked for.
        name: String,
    },
    /// The system's resolver configuration cannot be read.
    #[error("cannot read the resolver configuration (/etc/resolv.conf)")]
    Configuration {
        /// What the resolver said.
        #[source]
        source: std::sync::Arc<hickory_resolver::net::NetError>,
    },
}

/// Finds the addresses of a name.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses, sorted; never an empty set. An IP address is its own answer.
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<BTreeSet<IpAddr>, LookupError>>;
}

/// The name servers of `/etc/resolv.conf`; in a container that is the engine's own.
pub struct SystemDns(TokioResolver);

impl SystemDns {
    /// Reads the system's configuration.
    ///
    /// # Errors
    /// When there is none or it cannot be understood.
    pub fn new() -> Result<Self, LookupError> {
        TokioResolver::builder_tokio()
            .and_then(Self::build)
            .map_err(|source| LookupError::Configuration {
                source: std::sync::Arc::new(source),
            })
    }

    fn build(
        mut builder: ResolverBuilder<TokioRuntimeProvider>,
    ) -> Result<Self, hickory_resolver::net::NetError> {
        let options = builder.options_mut();
        options.cache_size = 0;
        options.positive_max_ttl = Some(Duration::ZERO);
        options.negative_max_ttl = Some(Duration::ZERO);
        options.timeout = QUERY_TIMEOUT;
        options.attempts = 1;
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        Ok(Self(builder.build()?))
    }
}

/// The name as it is, and absolute, so that a search domain inherited from the host neither slows the answer nor changes it.
/// By its labels and not as text: service names hold underscores, which the rules for host names forbid.
fn absolute(name: &str) -> Result<Name, LookupError> {
    let labels = name.trim_end_matches('.').split('.').map(str::as_bytes);
    Name::from_labels(labels).map_err(|error| LookupError::Failed {
        name: name.to_owned(),
        reason: error.to_string(),
    })
}

impl Lookup for SystemDns {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<BTreeSet<IpAddr>, LookupError>> {
        Box::pin(async move {
            if let Ok(address) = name.parse() {
                return Ok(BTreeSet::from([address]));
            }
            let answer =
                tokio::time::timeout(LOOKUP_TIMEOUT, self.0.lookup_ip(absolute(name)?)).await;
            let name = name.to_owned();
            match answer {
                Err(_) => Err(LookupError::Timeout { name }),
                Ok(Err(error)) if error.is_no_records_found() => {
                    Err(LookupError::NotFound { name })
                }
                Ok(Err(error)) => Err(LookupError::Failed {
                    name,
                    reason: error.to_string(),
                }),
                Ok(Ok(found)) => {
                    let addresses: BTreeSet<IpAddr> = found.iter().collect();
                    if addresses.is_empty() {
                        Err(LookupError::NotFound { name })
                    } else {
                        Ok(addresses)
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use std::net::Ipv4Addr;
    use std::sync::{Arc, Mutex};
    use tokio::net::UdpSocket;

    /// A name server like the engine's: `tasks.a_b` has two addresses with a long life, `quiet` is never answered, the rest does
    /// not exist. Notes what it was asked.
    async fn name_server() -> (SystemDns, Arc<Mutex<Vec<Vec<u8>>>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        let mut server = NameServerConfig::udp(Ipv4Addr::LOCALHOST.into());
        server.connections = vec![connection];
        let search = vec![Name::from_ascii("example.").unwrap()];
        let config = ResolverConfig::from_parts(None, search, vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut query = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut query).await.unwrap();
                // Header of 12 bytes, labels up to the empty one, type and class.
                let end = 12 + query[12..length].iter().position(|b| *b == 0).unwrap() + 5;
                let name = query[12..end - 5].to_vec();
                notes.lock().unwrap().push(name.clone());
                let mut answer = query[..end].to_vec();
                answer[2] |= 0x80;
                answer[10..12].copy_from_slice(&[0, 0]);
                match name.as_slice() {
                    b"\x05quiet" => continue,
                    b"\x05tasks\x03a_b" => {
                        answer[6..8].copy_from_slice(&[0, 2]);
                        for last in [9, 4] {
                            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 0x58, 0, 4]);
                            answer.extend([10, 0, 1, last]);
                        }
                    }
                    _ => answer[3] = answer[3] & 0xf0 | 3,
                }
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        (SystemDns::build(builder).unwrap(), asked)
    }

    #[tokio::test]
    async fn service_names_with_underscores_are_asked_as_they_are_and_each_time() {
        let (dns, asked) = name_server().await;
        for _ in 0..2 {
            let found = dns.lookup("tasks.a_b").await.unwrap();
            let expected = [[10, 0, 1, 4], [10, 0, 1, 9]].map(IpAddr::from);
            assert_eq!(found, BTreeSet::from(expected));
        }
        assert_eq!(
            *asked.lock().unwrap(),
            vec![b"\x05tasks\x03a_b".to_vec(); 2]
        );
    }

    #[tokio::test]
    async fn missing_names_are_told_from_silence() {
        let (dns, asked) = name_server().await;
        let missing = dns.lookup("missing").await.unwrap_err();
        assert!(matches!(missing, LookupError::NotFound { .. }), "{missing}");
        let names = std::mem::take(&mut *asked.lock().unwrap());
        assert!(
            names.iter().all(|name| name == b"\x07missing"),
            "no search domain: {names:?}"
        );
        let quiet = dns.lookup("quiet").await.unwrap_err();
        let silent = matches!(
            quiet,
            LookupError::Timeout { .. } | LookupError::Failed { .. }
        );
        assert!(silent, "{quiet}");
        assert_eq!(
            dns.lookup("10.0.0.1").await.unwrap().first(),
            Some(&IpAddr::from([10, 0, 0, 1]))
        );
        assert!(dns.lookup("a..b").await.is_err());
        assert!(dns.lookup(&"a".repeat(64)).await.is_err());
    }
}
