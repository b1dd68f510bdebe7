//! Address ranges of a cluster's overlay networks, where the resource chooses them (`spec.swarm.subnet`). Pure.

use std::fmt;
use std::net::Ipv4Addr;

use milvus_crds::Swarm;

/// Longest prefix: 16 addresses, of which the engine keeps three.
const LONGEST: u8 = 28;
/// Shortest prefix: all of 10.0.0.0.
const SHORTEST: u8 = 8;
/// Addresses of a network that no process is given: the network's, its gateway's and the one for broadcasts.
const KEPT: u32 = 3;

/// A range of IPv4 addresses, written as the address of the network and the length of its prefix (`10.20.0.0/24`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    network: u32,
    length: u8,
}

impl Subnet {
    /// Reads one.
    ///
    /// # Errors
    /// What the engine would refuse of it, or take for something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "it is written ADDRESS/LENGTH with an IPv4 address, for example 10.20.0.0/24";
        let (address, length) = text.split_once('/').ok_or(FORM)?;
        if address.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err("the processes of a cluster reach each other by IPv4; give an IPv4 range, for example 10.20.0.0/24".to_owned());
        }
        let address: Ipv4Addr = address.parse().map_err(|_| FORM)?;
        let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
        let length: u8 = match length.parse() {
            Ok(length) if digits => length,
            _ => return Err(FORM.to_owned()),
        };
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Err(format!(
                "the length of its prefix is {SHORTEST} to {LONGEST}; a /24 has room for 253 processes"
            ));
        }
        let network = u32::from(address) & (u32::MAX << (32 - u32::from(length)));
        let subnet = Self { network, length };
        if network != u32::from(address) {
            return Err(format!(
                "the address has bits set beyond its prefix; the network is {subnet}"
            ));
        }
        if address.octets()[0] == 0
            || address.is_loopback()
            || address.is_link_local()
            || address.octets()[0] >= 224
        {
            return Err("these addresses have another use (loopback, link-local, multicast or reserved); take one of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16".to_owned());
        }
        Ok(subnet)
    }

    /// Whether an address lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let shared = u32::from(self.length.min(other.length));
        (self.network ^ other.network) >> (32 - shared) == 0
    }

    /// How many processes can be given an address.
    pub const fn room(&self) -> u32 {
        (1 << (32 - self.length as u32)) - KEPT
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.length)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The ranges that a resource chooses for its networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subnets {
    /// Of the network that every process joins.
    pub backend: Option<Subnet>,
    /// Of the network that the gateway is reached by.
    pub frontend: Option<Subnet>,
}

impl Subnets {
    /// What can be read of a resource's; the rest is refused by validation.
    pub fn of(swarm: &Swarm) -> Self {
        let read = |text: &Option<String>| Subnet::parse(text.as_deref()?).ok();
        Self {
            backend: read(&swarm.subnet.backend),
            frontend: read(&swarm.subnet.frontend),
        }
    }

    /// Those that are chosen, each with its path in the resource.
    pub fn chosen(&self) -> impl Iterator<Item = (&'static str, Subnet)> {
        [
            ("spec.swarm.subnet.backend", self.backend),
            ("spec.swarm.subnet.frontend", self.frontend),
        ]
        .into_iter()
        .filter_map(|(field, subnet)| Some((field, subnet?)))
    }

    /// Whether any of these and any of those share an address.
    pub fn overlap(&self, other: &Self) -> bool {
        self.chosen()
            .any(|(_, own)| other.chosen().any(|(_, theirs)| own.overlaps(&theirs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn written_as_the_engine_takes_them() {
        for (fine, room) in [
            ("10.20.0.0/24", 253),
            ("10.0.0.0/8", 16_777_213),
            ("192.168.7.16/28", 13),
            ("172.20.4.0/22", 1021),
        ] {
            assert_eq!(subnet(fine).to_string(), fine);
            assert_eq!(subnet(fine).room(), room, "{fine}");
        }
        for (wrong, what) in [
            ("", "ADDRESS/LENGTH"),
            ("10.20.0.0", "ADDRESS/LENGTH"),
            ("10.20.0/24", "ADDRESS/LENGTH"),
            ("10.20.0.0/x", "ADDRESS/LENGTH"),
            ("10.20.0.0/+24", "ADDRESS/LENGTH"),
            ("10.20.0.0/256", "ADDRESS/LENGTH"),
            ("10.020.0.0/24", "ADDRESS/LENGTH"),
            ("fd00::/64", "IPv4"),
            ("10.20.0.0/7", "8 to 28"),
            ("10.20.0.0/29", "8 to 28"),
            ("10.20.0.7/24", "the network is 10.20.0.0/24"),
            ("0.0.0.0/8", "another use"),
            ("127.0.0.0/24", "another use"),
            ("169.254.0.0/16", "another use"),
            ("224.0.0.0/24", "another use"),
        ] {
            let problem = Subnet::parse(wrong).unwrap_err();
            assert!(problem.contains(what), "{wrong}: {problem}");
        }
    }

    #[test]
    fn overlaps() {
        let meet = |a: &str, b: &str| {
            let (a, b) = (subnet(a), subnet(b));
            assert_eq!(a.overlaps(&b), b.overlaps(&a));
            a.overlaps(&b)
        };
        assert!(meet("10.20.0.0/24", "10.20.0.0/24"));
        assert!(meet("10.0.0.0/8", "10.20.0.0/24"));
        assert!(!meet("10.20.0.0/24", "10.20.1.0/24"));
        assert!(!meet("10.0.0.0/8", "172.16.0.0/12"));
    }
}
