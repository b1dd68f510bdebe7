//! `format` of strings: the ones Kubernetes checks. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use regex::Regex;
use std::sync::OnceLock;

/// A format that is checked on strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    DateTime,
    Date,
    Duration,
    Byte,
    Uuid,
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
}

/// Formats that Kubernetes checks and this server does not: refused when compiling, so that no rule is lost silently.
const UNSUPPORTED: &[&str] = &[
    "bsonobjectid",
    "creditcard",
    "email",
    "hexcolor",
    "hostname",
    "isbn",
    "isbn10",
    "isbn13",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid3",
    "uuid4",
    "uuid5",
];

impl Format {
    /// `None` for words that no server checks: `int32` and its like name a width and bound nothing, ranges are said with
    /// minimum and maximum; `password` and unknown words are for people.
    pub(super) fn parse(word: &str) -> Result<Option<Format>, String> {
        Ok(Some(match word {
            "date-time" | "datetime" => Format::DateTime,
            "date" => Format::Date,
            "duration" => Format::Duration,
            "byte" => Format::Byte,
            "uuid" => Format::Uuid,
            "ipv4" => Format::Ipv4,
            "ipv6" => Format::Ipv6,
            "cidr" => Format::Cidr,
            "mac" => Format::Mac,
            _ if UNSUPPORTED.contains(&word) => {
                return Err(format!(
                    "format {word:?} is not checked by this server; use a pattern"
                ));
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Format::DateTime => "date-time",
            Format::Date => "date",
            Format::Duration => "duration",
            Format::Byte => "byte",
            Format::Uuid => "uuid",
            Format::Ipv4 => "ipv4",
            Format::Ipv6 => "ipv6",
            Format::Cidr => "cidr",
            Format::Mac => "mac",
        }
    }

    /// Whether a string has the format.
    pub(super) fn accepts(self, text: &str) -> bool {
        match self {
            Format::DateTime => date_time(text),
            Format::Date => date(text),
            Format::Duration => duration(text),
            Format::Byte => {
                !text.is_empty()
                    && base64::engine::general_purpose::STANDARD
                        .decode(text)
                        .is_ok()
            }
            Format::Uuid => uuid(text),
            Format::Ipv4 => ipv4(text).is_some(),
            Format::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Format::Cidr => cidr(text),
            Format::Mac => mac(text),
        }
    }
}

fn digits(text: &str, range: std::ops::Range<usize>) -> Option<u32> {
    let part = text.get(range)?;
    part.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| part.parse().ok())
        .flatten()
}

fn date(text: &str) -> bool {
    let (Some(year), Some(month), Some(day)) =
        (digits(text, 0..4), digits(text, 5..7), digits(text, 8..10))
    else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    text.len() == 10
        && text.get(4..5) == Some("-")
        && text.get(7..8) == Some("-")
        && (1..=last).contains(&day)
}

/// RFC 3339: date, `T`, time with optional fraction, `Z` or an offset.
fn date_time(text: &str) -> bool {
    let Some((day, rest)) = text.split_at_checked(10) else {
        return false;
    };
    if !date(day) || !rest.starts_with(['T', 't']) {
        return false;
    }
    let rest = &rest[1..];
    let (Some(hour), Some(minute), Some(second)) =
        (digits(rest, 0..2), digits(rest, 3..5), digits(rest, 6..8))
    else {
        return false;
    };
    if rest.get(2..3) != Some(":")
        || rest.get(5..6) != Some(":")
        || hour > 23
        || minute > 59
        || second > 59
    {
        return false;
    }
    let Some(mut zone) = rest.get(8..) else {
        return false;
    };
    if let Some(fraction) = zone.strip_prefix('.') {
        let end = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if end == 0 {
            return false;
        }
        zone = &fraction[end..];
    }
    match zone {
        "Z" | "z" => true,
        _ => {
            zone.len() == 6
                && zone.starts_with(['+', '-'])
                && zone.get(3..4) == Some(":")
                && digits(zone, 1..3).is_some_and(|h| h <= 23)
                && digits(zone, 4..6).is_some_and(|m| m <= 59)
        }
    }
}

/// Go's own notation (`1h30m`, `-1.5s`, `300ms`) and the spoken form that Kubernetes also takes (`2 days`, `5 minutes`).
fn duration(text: &str) -> bool {
    static GO: OnceLock<Option<Regex>> = OnceLock::new();
    static SPOKEN: OnceLock<Option<Regex>> = OnceLock::new();
    let go = GO.get_or_init(|| Regex::new(r"^[+-]?(0|([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$").ok());
    let spoken = SPOKEN.get_or_init(|| {
        Regex::new(r"^\s*[0-9]+\s*(ns|nano|us|µs|micro|ms|milli|s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hrs|hour|hours|d|day|days|w|wk|wks|week|weeks)\s*$").ok()
    });
    [go, spoken].into_iter().flatten().any(|r| r.is_match(text))
}

fn uuid(text: &str) -> bool {
    let hex = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
    match text.len() {
        32 => hex(text),
        36 => {
            let parts: Vec<&str> = text.split('-').collect();
            parts.iter().map(|p| p.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|p| hex(p))
        }
        _ => false,
    }
}

fn cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    if bits.is_empty() || bits.len() > 3 || !bits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let address = ipv4(address)
        .map(IpAddr::V4)
        .or_else(|| address.parse().ok());
    match (address, bits.parse::<u8>()) {
        (Some(IpAddr::V4(_)), Ok(bits)) => bits <= 32,
        (Some(IpAddr::V6(_)), Ok(bits)) => bits <= 128,
        _ => false,
    }
}

/// Four numbers, leading zeros allowed: they were once, and stored objects have them.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts = text.split('.').map(|part| {
        let digits = !part.is_empty() && part.len() < 8 && part.bytes().all(|b| b.is_ascii_digit());
        digits
            .then(|| part.parse::<u32>().ok())?
            .and_then(|n| u8::try_from(n).ok())
    });
    let parts: Vec<u8> = parts.collect::<Option<_>>()?;
    <[u8; 4]>::try_from(parts).ok().map(Ipv4Addr::from)
}

fn mac(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { ':' };
    let parts: Vec<&str> = text.split(separator).collect();
    matches!(parts.len(), 6 | 8 | 20)
        && parts
            .iter()
            .all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_times() {
        for good in [
            "2024-02-29T23:59:59Z",
            "2024-01-01T00:00:00.123456Z",
            "2024-01-01T00:00:00+05:30",
            "2024-01-01t00:00:00z",
        ] {
            assert!(Format::DateTime.accepts(good), "{good}");
        }
        for bad in [
            "",
            "2023-02-29T00:00:00Z",
            "2024-01-01",
            "2024-01-01 00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+0530",
            "ä024-01-01T00:00:00Z",
        ] {
            assert!(!Format::DateTime.accepts(bad), "{bad}");
        }
    }

    #[test]
    fn durations() {
        for good in ["0", "1h30m", "-1.5s", "300ms", "10 minutes", "2d", ".5s"] {
            assert!(Format::Duration.accepts(good), "{good}");
        }
        for bad in ["", "1", "h", "1x", "one day", "1h 30"] {
            assert!(!Format::Duration.accepts(bad), "{bad}");
        }
    }

    #[test]
    fn other_formats() {
        assert!(Format::Byte.accepts("aGk=") && !Format::Byte.accepts("a"));
        assert!(
            Format::Uuid.accepts("123e4567-e89b-12d3-a456-426614174000")
                && !Format::Uuid.accepts("123e4567")
        );
        assert!(Format::Cidr.accepts("10.0.0.0/8") && !Format::Cidr.accepts("10.0.0.0/33"));
        assert!(Format::Ipv4.accepts("010.0.0.1") && !Format::Ipv4.accepts("1.2.3.256"));
        assert!(Format::Ipv4.accepts("10.0.0.1") && !Format::Ipv4.accepts("::1"));
        assert!(Format::Ipv6.accepts("::1"));
        assert!(Format::Mac.accepts("00:11:22:33:44:55") && !Format::Mac.accepts("00:11"));
        assert!(Format::Date.accepts("2024-02-29") && !Format::Date.accepts("2024-13-01"));
        assert!(Format::parse("uri").is_err());
        assert_eq!(Format::parse("int32"), Ok(None));
        assert_eq!(Format::parse("password"), Ok(None));
    }
}
