//! Addresses of services as resources write them: `host:port`, where a host is a name, an IPv4 address, or an IPv6 address in
//! brackets. Pure.

use std::net::Ipv6Addr;

/// Host and port of `host:port`, without scheme or path. An IPv6 address keeps its brackets, so that the two can be joined
/// again.
pub fn host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = split(text);
    let port: u16 = port?.parse().ok()?;
    (is_host(host) && port > 0).then(|| (host.to_owned(), port))
}

/// The host of an address, and its port where one is written. Nothing is checked.
pub fn split(text: &str) -> (&str, Option<&str>) {
    if text.starts_with('[') {
        return match text.find(']') {
            Some(end) => {
                let (host, rest) = text.split_at(end + 1);
                match rest.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if rest.is_empty() => (host, None),
                    None => (text, None),
                }
            }
            None => (text, None),
        };
    }
    match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

/// The IPv6 address in brackets.
pub fn ipv6(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// The host without the brackets of an IPv6 address, as a resolver takes it.
pub fn bare(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.unwrap_or(host)
}

fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return ipv6(host).is_some();
    }
    !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for (text, host, port) in [
            ("a.b-c:2379", "a.b-c", 2379),
            ("192.0.2.1:1", "192.0.2.1", 1),
            ("[2001:db8::1]:2379", "[2001:db8::1]", 2379),
        ] {
            assert_eq!(host_port(text), Some((host.to_owned(), port)), "{text}");
        }
        for wrong in [
            "a",
            "http://a:1",
            "a:0",
            "a:x",
            ":1",
            "a:70000",
            "a/b:1",
            "a b:1",
            "2001:db8::1:2379",
            "[2001:db8::1]",
            "[2001:db8::1]2379",
            "[example.org]:1",
            "[]:1",
            "[2001:db8::1:1",
        ] {
            assert_eq!(host_port(wrong), None, "{wrong}");
        }
        assert_eq!(split("[::1]"), ("[::1]", None));
        assert_eq!(bare("[::1]"), "::1");
        assert_eq!(bare("a"), "a");
    }
}
