//! Sealing of stored secrets: AES-256-GCM, the record's name as associated data.
//! May touch the system's random source, nothing else.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroize;

/// First byte of an envelope: the layout below, nonce of 12 bytes, ciphertext with its 16-byte tag.
const VERSION: u8 = 1;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// Why a record could not be sealed or opened. Never holds key or plain text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// The key was refused.
    #[error("seal key: 32 bytes are needed")]
    Key,
    /// The system gave no random bytes.
    #[error("seal {name}: no random bytes from the system")]
    Random {
        /// The record.
        name: String,
    },
    /// Encryption failed (too long).
    #[error("seal {name}: the record is too long to encrypt")]
    Encrypt {
        /// The record.
        name: String,
    },
    /// The envelope is too short or of another version.
    #[error("open {name}: not a sealed record of version {VERSION}")]
    Envelope {
        /// The record.
        name: String,
    },
    /// Wrong key, wrong record name, or changed bytes.
    #[error("open {name}: authentication failed: other key, other record name or damaged data")]
    Open {
        /// The record.
        name: String,
    },
}

/// Seals and opens records under one key.
pub struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// A sealer for `key`; the array given is wiped.
    pub fn new(mut key: [u8; 32]) -> Result<Sealer, SealError> {
        let unbound = UnboundKey::new(&AES_256_GCM, &key);
        key.zeroize();
        Ok(Sealer {
            key: LessSafeKey::new(unbound.map_err(|_| SealError::Key)?),
            random: SystemRandom::new(),
        })
    }

    /// Seals `plain` for the record `name`: version, nonce, ciphertext and tag.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0u8; NONCE_LEN];
        self.random
            .fill(&mut nonce)
            .map_err(|_| SealError::Random {
                name: name.to_owned(),
            })?;
        let mut body = plain.to_vec();
        let sealed = self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(name.as_bytes()),
            &mut body,
        );
        if sealed.is_err() {
            body.zeroize();
            return Err(SealError::Encrypt {
                name: name.to_owned(),
            });
        }
        let mut envelope = Vec::with_capacity(1 + NONCE_LEN + body.len());
        envelope.push(VERSION);
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&body);
        Ok(envelope)
    }

    /// Opens what `seal` made for the same `name`.
    pub fn open(&self, name: &str, envelope: &[u8]) -> Result<Vec<u8>, SealError> {
        let not_ours = || SealError::Envelope {
            name: name.to_owned(),
        };
        let (version, rest) = envelope.split_first().ok_or_else(not_ours)?;
        if *version != VERSION || rest.len() < NONCE_LEN + TAG_LEN {
            return Err(not_ours());
        }
        let (nonce, body) = rest.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| not_ours())?;
        let mut body = body.to_vec();
        let length = self
            .key
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut body)
            .map(|plain| plain.len())
            .map_err(|_| SealError::Open {
                name: name.to_owned(),
            })?;
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new([byte; 32]).expect("key")
    }

    #[test]
    fn opens_what_it_sealed() {
        let s = sealer(7);
        for plain in [&b""[..], b"x", &[0u8; 70_000][..]] {
            let envelope = s.seal("secrets/default/a", plain).expect("seal");
            assert_eq!(envelope.len(), 1 + NONCE_LEN + plain.len() + TAG_LEN);
            assert_eq!(s.open("secrets/default/a", &envelope).expect("open"), plain);
        }
    }

    #[test]
    fn same_text_seals_differently_each_time() {
        let s = sealer(7);
        assert_ne!(
            s.seal("a", b"text").expect("seal"),
            s.seal("a", b"text").expect("seal")
        );
    }

    #[test]
    fn refuses_other_name_other_key_and_any_flipped_bit() {
        let s = sealer(7);
        let envelope = s.seal("a", b"secret text").expect("seal");
        assert_eq!(
            s.open("b", &envelope),
            Err(SealError::Open { name: "b".into() })
        );
        assert!(sealer(8).open("a", &envelope).is_err());
        for i in 0..envelope.len() {
            let mut bad = envelope.clone();
            bad[i] ^= 1;
            assert!(s.open("a", &bad).is_err(), "byte {i} was not protected");
        }
        for n in 0..envelope.len() {
            assert!(
                s.open("a", &envelope[..n]).is_err(),
                "cut at {n} was accepted"
            );
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", sealer(0x41)), "Sealer(..)");
    }
}
