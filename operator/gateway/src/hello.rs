//! Tells the operator's tunnel from client traffic by the first bytes of a connection.
//!
//! Pure: bytes in, verdict out. Nothing is consumed or changed, so the caller can replay the bytes to a backend.

use crate::wire::ALPN;

/// No ClientHello that we would answer is longer; whoever sends more is a client of somebody else.
pub const MAX_HELLO: usize = 16 * 1024;

const RECORD_HANDSHAKE: u8 = 22;
const HANDSHAKE_CLIENT_HELLO: u8 = 1;
const EXTENSION_ALPN: u16 = 16;
/// A TLS record carries at most 2^14 bytes plus what a cipher may add.
const MAX_RECORD: usize = 16 * 1024 + 256;

/// Where a connection that begins with the given bytes belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes so far begin a ClientHello that is not complete yet.
    Incomplete,
    /// A ClientHello that offers the operator's protocol.
    Tunnel,
    /// Anything else: it goes to a proxy untouched.
    Other,
}

/// Judges the first bytes of a connection. Once it is not [`Verdict::Incomplete`], more bytes do not change it.
#[must_use]
pub fn classify(bytes: &[u8]) -> Verdict {
    let mut rest = bytes;
    let mut handshake = Vec::new();
    loop {
        match rest {
            [] => return unfinished(bytes),
            [kind, ..] if *kind != RECORD_HANDSHAKE => return Verdict::Other,
            [_, major, ..] if *major != 3 => return Verdict::Other,
            [_, _, _, high, low, payload @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > MAX_RECORD {
                    return Verdict::Other;
                }
                let whole = payload.len() >= length;
                let (fragment, next) = payload.split_at(length.min(payload.len()));
                handshake.extend_from_slice(fragment);
                match message(&handshake) {
                    Verdict::Incomplete if whole => rest = next,
                    Verdict::Incomplete => return unfinished(bytes),
                    decided => return decided,
                }
            }
            _ => return unfinished(bytes),
        }
    }
}

fn unfinished(bytes: &[u8]) -> Verdict {
    if bytes.len() >= MAX_HELLO {
        Verdict::Other
    } else {
        Verdict::Incomplete
    }
}

/// Judges the handshake stream, which may span several records.
fn message(handshake: &[u8]) -> Verdict {
    match handshake {
        [] => Verdict::Incomplete,
        [kind, ..] if *kind != HANDSHAKE_CLIENT_HELLO => Verdict::Other,
        [_, a, b, c, body @ ..] => {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if length > MAX_HELLO {
                return Verdict::Other;
            }
            match body.get(..length) {
                None => Verdict::Incomplete,
                Some(hello) if offers_tunnel(hello).unwrap_or(false) => Verdict::Tunnel,
                Some(_) => Verdict::Other,
            }
        }
        _ => Verdict::Incomplete,
    }
}

/// `None` when the message is malformed.
fn offers_tunnel(hello: &[u8]) -> Option<bool> {
    let mut hello = Reader(hello);
    hello.take(2 + 32)?; // version, random
    hello.short_vector()?; // session
    hello.long_vector()?; // cipher suites
    hello.short_vector()?; // compression methods
    let mut extensions = Reader(hello.long_vector()?);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let body = extensions.long_vector()?;
        if kind == EXTENSION_ALPN {
            let mut names = Reader(Reader(body).long_vector()?);
            while !names.0.is_empty() {
                if names.short_vector()? == ALPN {
                    return Some(true);
                }
            }
        }
    }
    Some(false)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]))
    }

    fn short_vector(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.take(1)?.first()?);
        self.take(length)
    }

    fn long_vector(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.number()?);
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// A ClientHello as rustls writes it.
    fn hello(alpn: &[&[u8]]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = "milvus-gateway".try_into().unwrap();
        let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The same handshake message cut into records of at most `size` bytes.
    fn refragmented(hello: &[u8], size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for part in hello[5..].chunks(size) {
            out.extend_from_slice(&[22, 3, 1]);
            out.extend_from_slice(&(part.len() as u16).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    #[test]
    fn every_prefix_is_incomplete_and_the_whole_is_decided() {
        for (alpn, expected) in [
            (vec![ALPN], Verdict::Tunnel),
            (vec![b"h2".as_slice(), ALPN], Verdict::Tunnel),
            (vec![b"h2".as_slice()], Verdict::Other),
            (vec![b"milvus-operator/10".as_slice()], Verdict::Other),
            (vec![], Verdict::Other),
        ] {
            for bytes in [hello(&alpn), refragmented(&hello(&alpn), 7)] {
                for end in 0..bytes.len() {
                    assert_eq!(classify(&bytes[..end]), Verdict::Incomplete, "{end}");
                }
                assert_eq!(classify(&bytes), expected);
                let more = [bytes.as_slice(), b"anything"].concat();
                assert_eq!(classify(&more), expected);
            }
        }
    }

    #[test]
    fn what_is_not_tls_is_known_by_its_first_byte() {
        for bytes in [
            b"P".as_slice(),
            b"PRI * HTTP/2.0\r\n",
            b"GET / HTTP/1.1\r\n",
            &[0],
        ] {
            assert_eq!(classify(bytes), Verdict::Other);
        }
        // SSL 2 framing, an empty record, and a record longer than TLS allows.
        assert_eq!(classify(&[22, 2]), Verdict::Other);
        assert_eq!(classify(&[22, 3, 1, 0, 0]), Verdict::Other);
        assert_eq!(classify(&[22, 3, 1, 0xff, 0xff]), Verdict::Other);
    }

    #[test]
    fn an_endless_hello_is_given_up() {
        let mut bytes = vec![22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xff];
        bytes.resize(MAX_HELLO - 1, 0);
        assert_eq!(classify(&bytes), Verdict::Incomplete);
        bytes.push(0);
        assert_eq!(classify(&bytes), Verdict::Other);
        assert_eq!(
            classify(&[22, 3, 1, 0x40, 0, 1, 1, 0, 0]),
            Verdict::Other,
            "a message of 64 KiB"
        );
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
            let _ = classify(&bytes);
        }

        #[test]
        fn never_panics_on_damaged_hellos(at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut bytes = hello(&[b"h2", ALPN]);
            let index = at.index(bytes.len());
            bytes[index] = value;
            let _ = classify(&bytes);
            let _ = classify(&bytes[..cut.index(bytes.len())]);
        }

        #[test]
        fn a_verdict_is_final(bytes in prop::collection::vec(prop::sample::select(vec![0u8, 1, 3, 16, 22]), 0..64)) {
            let mut decided = Verdict::Incomplete;
            for end in 0..=bytes.len() {
                let verdict = classify(&bytes[..end]);
                if decided != Verdict::Incomplete {
                    prop_assert_eq!(verdict, decided);
                }
                decided = verdict;
            }
        }
    }
}
