//! The client's half of a login by SCRAM (RFC 5802, RFC 7677): a password is proved, not sent.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use milvus_core::probe::KafkaMechanism;
use ring::rand::SecureRandom as _;
use ring::{digest, hmac, pbkdf2};

/// More rounds than any server asks for are not worked off.
const MOST_ROUNDS: u32 = 200_000;

/// The functions of a mechanism.
#[derive(Clone, Copy)]
pub(crate) struct Scram {
    derive: pbkdf2::Algorithm,
    sign: hmac::Algorithm,
    digest: &'static digest::Algorithm,
}

/// The first message.
pub(crate) struct First {
    scram: Scram,
    nonce: String,
    bare: String,
}

/// The last message, and the proof that is expected for it.
pub(crate) struct Last {
    message: String,
    expected: String,
}

impl Scram {
    /// `None` for a mechanism that is none of these.
    pub(crate) fn of(mechanism: KafkaMechanism) -> Option<Self> {
        match mechanism {
            KafkaMechanism::Plain => None,
            KafkaMechanism::ScramSha256 => Some(Self {
                derive: pbkdf2::PBKDF2_HMAC_SHA256,
                sign: hmac::HMAC_SHA256,
                digest: &digest::SHA256,
            }),
            KafkaMechanism::ScramSha512 => Some(Self {
                derive: pbkdf2::PBKDF2_HMAC_SHA512,
                sign: hmac::HMAC_SHA512,
                digest: &digest::SHA512,
            }),
        }
    }

    /// Begins; `None` without random numbers.
    pub(crate) fn first(self, user: &str) -> Option<First> {
        let mut random = [0; 18];
        ring::rand::SystemRandom::new().fill(&mut random).ok()?;
        Some(self.first_with(user, STANDARD.encode(random)))
    }

    fn first_with(self, user: &str, nonce: String) -> First {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        First {
            scram: self,
            bare: format!("n={user},r={nonce}"),
            nonce,
        }
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(self.sign, key);
        hmac::sign(&key, text).as_ref().to_vec()
    }
}

impl First {
    pub(crate) fn message(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Answers the server's challenge; `None` where that is none.
    pub(crate) fn answer(&self, challenge: &[u8], password: &str) -> Option<Last> {
        let challenge = std::str::from_utf8(challenge).ok()?;
        let field = |name: &str| {
            challenge
                .split(',')
                .find_map(|part| part.strip_prefix(name))
        };
        let nonce = field("r=").filter(|nonce| nonce.starts_with(&self.nonce))?;
        let salt = STANDARD.decode(field("s=")?).ok()?;
        let rounds: u32 = field("i=")?.parse().ok()?;
        let rounds = NonZeroU32::new(rounds).filter(|rounds| rounds.get() <= MOST_ROUNDS)?;
        let scram = self.scram;
        let mut salted = vec![0; scram.digest.output_len()];
        pbkdf2::derive(
            scram.derive,
            rounds,
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        let client = scram.hmac(&salted, b"Client Key");
        let stored = digest::digest(scram.digest, &client);
        let unproved = format!("c=biws,r={nonce}");
        let all = format!("{},{challenge},{unproved}", self.bare);
        let signature = scram.hmac(stored.as_ref(), all.as_bytes());
        let proof: Vec<u8> = client.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let server = scram.hmac(&salted, b"Server Key");
        Some(Last {
            message: format!("{unproved},p={}", STANDARD.encode(proof)),
            expected: format!("v={}", STANDARD.encode(scram.hmac(&server, all.as_bytes()))),
        })
    }
}

impl Last {
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whether the server has proved itself.
    pub(crate) fn is_proof(&self, answer: &[u8]) -> bool {
        answer == self.expected.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn the_published_example() {
        let scram = Scram::of(KafkaMechanism::ScramSha256).expect("a mechanism");
        let first = scram.first_with("user", "rOprNGfwEbeRWgbNEkqO".to_owned());
        assert_eq!(first.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = first.answer(challenge, "pencil").expect("an answer");
        assert_eq!(
            last.message(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(last.is_proof(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!last.is_proof(b"v=other"));
        assert!(first.answer(b"r=other,s=W22Z,i=4096", "pencil").is_none());
        assert!(
            first
                .answer(b"r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=999999999", "pencil")
                .is_none()
        );
        assert_eq!(
            scram.first_with("a=b,c", "r".into()).bare,
            "n=a=3Db=2Cc,r=r"
        );
    }
}
