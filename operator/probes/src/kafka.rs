//! A Kafka broker as Milvus comes to it: TLS where that is the protocol, the login with its mechanism, and then a question for
//! metadata, which brokers answer to whom they have let in.

use milvus_core::endpoint;
use milvus_core::probe::{KafkaAccess, KafkaLogin, ProbeDetail, ProbeFailure, ProbeFailureKind};
use milvus_platform::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::failure;
use crate::scram::Scram;
use crate::tls;

const METADATA: (i16, i16) = (3, 1);
const API_VERSIONS: (i16, i16) = (18, 0);
const SASL_HANDSHAKE: (i16, i16) = (17, 1);
const SASL_AUTHENTICATE: (i16, i16) = (36, 0);

const UNSUPPORTED_MECHANISM: i16 = 33;
const AUTHENTICATION_FAILED: i16 = 58;

/// The largest answer that is read.
const LARGEST: usize = 4 << 20;

/// Asks one broker.
pub(crate) async fn ask(
    connection: Box<dyn Connection>,
    host: &str,
    authority: &str,
    access: &KafkaAccess,
) -> Result<ProbeDetail, ProbeFailure> {
    let connection = if access.tls {
        let ca = access.ca.as_ref().map(|ca| ca.0.as_str());
        tls::connect(connection, endpoint::bare(host), ca)
            .await
            .map_err(|problem| {
                failure(
                    ProbeFailureKind::NotReady,
                    format!("{authority}: {problem}"),
                )
            })?
    } else {
        connection
    };
    let mut broker = Broker {
        connection,
        authority,
        correlation: 0,
    };
    match &access.login {
        // Whom one talks to is not known without an authority: no password is sent there.
        Some(_) if !access.login_is_checked() => {
            let answer = broker.call(API_VERSIONS, Vec::new()).await?;
            let mut answer = Answer(&answer);
            broker.understood(answer.int16())?;
            return Ok(said("answers; the login is not checked"));
        }
        Some(login) => broker.log_in(login).await?,
        None => {}
    }
    let nothing = 0_i32.to_be_bytes().to_vec();
    let answer = broker.call(METADATA, nothing).await?;
    let brokers = broker.understood(Answer(&answer).int32())?;
    if brokers < 1 {
        return broker.not_ready("knows no broker");
    }
    Ok(said("answers"))
}

fn said(note: &str) -> ProbeDetail {
    ProbeDetail {
        note: note.to_owned(),
        ..ProbeDetail::default()
    }
}

struct Broker<'a> {
    connection: Box<dyn Connection>,
    authority: &'a str,
    correlation: i32,
}

impl Broker<'_> {
    fn fail<T>(&self, kind: ProbeFailureKind, what: &str) -> Result<T, ProbeFailure> {
        Err(failure(kind, format!("{}: {what}", self.authority)))
    }

    fn not_ready<T>(&self, what: &str) -> Result<T, ProbeFailure> {
        self.fail(ProbeFailureKind::NotReady, what)
    }

    fn understood<T>(&self, part: Option<T>) -> Result<T, ProbeFailure> {
        match part {
            Some(part) => Ok(part),
            None => self.not_ready("its answer is not Kafka's"),
        }
    }

    /// One request and its answer, without the headers of both.
    async fn call(
        &mut self,
        (key, version): (i16, i16),
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ProbeFailure> {
        const CLIENT: &str = "milvus-operator";
        self.correlation += 1;
        let mut request = Vec::new();
        request.extend(key.to_be_bytes());
        request.extend(version.to_be_bytes());
        request.extend(self.correlation.to_be_bytes());
        text(&mut request, CLIENT);
        request.extend(body);
        let length = i32::try_from(request.len()).unwrap_or(i32::MAX);
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(request);
        let answer = self.exchange(&frame).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                // A broker that expects something else hangs up without a word.
                return self.not_ready(&format!(
                    "ends the connection ({error}): it may expect another security protocol; see spec.config.kafka.securityProtocol and spec.dependencies.kafka.secretRef"
                ));
            }
        };
        let correlation = self.understood(Answer(&answer).int32())?;
        if correlation != self.correlation {
            return self.not_ready("its answer is not Kafka's");
        }
        Ok(answer[4..].to_vec())
    }

    async fn exchange(&mut self, frame: &[u8]) -> std::io::Result<Vec<u8>> {
        self.connection.write_all(frame).await?;
        self.connection.flush().await?;
        let mut length = [0; 4];
        self.connection.read_exact(&mut length).await?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if !(4..=LARGEST).contains(&length) {
            return Err(std::io::Error::other("its answer is not Kafka's"));
        }
        let mut answer = vec![0; length];
        self.connection.read_exact(&mut answer).await?;
        Ok(answer)
    }

    async fn log_in(&mut self, login: &KafkaLogin) -> Result<(), ProbeFailure> {
        let mechanism = login.mechanism.name();
        let mut body = Vec::new();
        text(&mut body, mechanism);
        let answer = self.call(SASL_HANDSHAKE, body).await?;
        let mut answer = Answer(&answer);
        match self.understood(answer.int16())? {
            0 => {}
            UNSUPPORTED_MECHANISM => {
                let offered = answer.texts().unwrap_or_default().join(", ");
                return self.not_ready(&format!(
                    "does not know the mechanism {mechanism} of spec.config.kafka.saslMechanisms; it offers {offered}"
                ));
            }
            other => return self.not_ready(&format!("answers error {other} to a login")),
        }
        let (user, password) = (&login.keys.user.0, &login.keys.password.0);
        match Scram::of(login.mechanism) {
            None => {
                let token = format!("\0{user}\0{password}");
                self.authenticate(token.as_bytes()).await?;
            }
            Some(scram) => {
                let Some(first) = scram.first(user) else {
                    return self.fail(ProbeFailureKind::Other, "no random numbers are to be had");
                };
                let challenge = self.authenticate(first.message().as_bytes()).await?;
                let Some(last) = first.answer(&challenge, password) else {
                    return self.not_ready("its challenge of the login is not understood");
                };
                let proof = self.authenticate(last.message().as_bytes()).await?;
                if !last.is_proof(&proof) {
                    return self.not_ready("does not prove that it knows the password");
                }
            }
        }
        Ok(())
    }

    /// One step of a login.
    async fn authenticate(&mut self, token: &[u8]) -> Result<Vec<u8>, ProbeFailure> {
        let mut body = Vec::new();
        let length = i32::try_from(token.len()).unwrap_or(i32::MAX);
        body.extend(length.to_be_bytes());
        body.extend(token);
        let answer = self.call(SASL_AUTHENTICATE, body).await?;
        let mut answer = Answer(&answer);
        let code = self.understood(answer.int16())?;
        let _message = self.understood(answer.text())?;
        match code {
            0 => self.understood(answer.bytes()),
            AUTHENTICATION_FAILED => self.fail(
                ProbeFailureKind::Denied,
                "does not accept the user and password of the Secret",
            ),
            other => self.not_ready(&format!("answers error {other} to a login")),
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    out.extend(length.to_be_bytes());
    out.extend(text.as_bytes());
}

/// An answer as far as it has not been read yet.
struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn int16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn int32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Empty where there is none.
    fn text(&mut self) -> Option<String> {
        let length = self.int16()?;
        let text = self.take(usize::try_from(length).unwrap_or(0))?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn texts(&mut self) -> Option<Vec<String>> {
        let count = self.int32()?;
        (0..count.clamp(0, 32)).map(|_| self.text()).collect()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.int32()?;
        let bytes = self.take(usize::try_from(length).unwrap_or(0))?;
        Some(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests;
