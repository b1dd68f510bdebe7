//! Names to addresses. The only module that asks a name server.
//!
//! A resolver of our own instead of the C library's, because a static binary in an empty image has no NSS modules, and because
//! the overlay's answers (which live for ten minutes by their TTL) must not be cached.

use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
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
        let configuration = |source| LookupError::Configuration {
            source: std::sync::Arc::new(source),
        };
        let mut builder = TokioResolver::builder_tokio().map_err(configuration)?;
        let options = builder.options_mut();
        options.cache_size = 0;
        options.positive_max_ttl = Some(Duration::ZERO);
        options.negative_max_ttl = Some(Duration::ZERO);
        options.timeout = QUERY_TIMEOUT;
        options.attempts = 1;
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        Ok(Self(builder.build().map_err(configuration)?))
    }
}

impl Lookup for SystemDns {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<BTreeSet<IpAddr>, LookupError>> {
        Box::pin(async move {
            if let Ok(address) = name.parse() {
                return Ok(BTreeSet::from([address]));
            }
            // Absolute, so that a search domain inherited from the host neither slows the answer nor changes it.
            let absolute = format!("{}.", name.trim_end_matches('.'));
            let answer = tokio::time::timeout(LOOKUP_TIMEOUT, self.0.lookup_ip(absolute)).await;
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
