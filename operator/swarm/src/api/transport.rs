//! Connections to an engine: the one transport of bollard's calls and of ours. Every request has its own connection: the engine
//! is near, and a pool would only add connections that broke unnoticed.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, header};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStderr, Command};
use tokio_rustls::TlsConnector;

use super::host::Host;

/// How much of what the ssh command says is shown.
const WORDS_OF_SSH: u64 = 2048;

/// A request that brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The engine cannot be reached.
    #[error("connect to the engine")]
    Connect(#[source] io::Error),
    /// The connection broke.
    #[error("the connection to the engine broke")]
    Broken(#[source] hyper::Error),
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A way to an engine, and what has to live as long as it is used.
struct Connection {
    stream: Box<dyn Duplex>,
    ssh: Option<(Child, ChildStderr)>,
}

impl Connection {
    fn of(stream: impl Duplex + 'static) -> Self {
        let stream = Box::new(stream);
        Self { stream, ssh: None }
    }
}

/// Sends a request, whose URI is a path and a query, and gives the engine's answer as it comes. The connection ends with it.
///
/// # Errors
/// When the engine cannot be reached or ends the connection. There is no time limit here: each call has its own.
pub async fn send<B>(
    host: &Host,
    mut request: Request<B>,
) -> Result<Response<Incoming>, TransportError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let name = header::HeaderValue::from_static("docker");
    request.headers_mut().insert(header::HOST, name);
    let Connection { stream, ssh } = connect(host).await.map_err(TransportError::Connect)?;
    let (child, mut stderr) = ssh.unzip();
    let answer = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // An error of the connection is one of the request or of its body too, where it is reported.
            let _ = connection.await;
            drop(child);
        });
        sender.send_request(request).await
    };
    match answer.await {
        Ok(answer) => Ok(answer),
        Err(error) => match words(stderr.as_mut()).await {
            Some(words) => Err(TransportError::Connect(io::Error::other(words))),
            None => Err(TransportError::Broken(error)),
        },
    }
}

/// What the ssh command says of a connection that failed: the host is not known, the key is not accepted, there is no docker.
async fn words(stderr: Option<&mut ChildStderr>) -> Option<String> {
    let mut bytes = Vec::new();
    let reading = stderr?.take(WORDS_OF_SSH).read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes).trim().replace("\r\n", "\n");
    (reading.is_ok() && !text.is_empty()).then(|| format!("ssh: {text}"))
}

async fn connect(host: &Host) -> io::Result<Connection> {
    match host {
        Host::Unix(path) => Ok(Connection::of(UnixStream::connect(path).await?)),
        Host::Tcp(address) => Ok(Connection::of(tcp(address.as_str()).await?)),
        Host::Tls {
            name,
            port,
            certificates,
        } => {
            let config = tls_config(certificates).await?;
            let server = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
            let stream = tcp((name.as_str(), *port)).await?;
            let stream = TlsConnector::from(Arc::new(config))
                .connect(server, stream)
                .await?;
            Ok(Connection::of(stream))
        }
        Host::Ssh { destination, port } => ssh(destination, *port),
    }
}

async fn tcp(address: impl tokio::net::ToSocketAddrs) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Read for every connection, so that renewed files count at once.
async fn tls_config(folder: &Path) -> io::Result<rustls::ClientConfig> {
    let read = async |file: &str| {
        let path = folder.join(file);
        tokio::fs::read(&path)
            .await
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
    };
    let unreadable = |file: &str, error: &dyn std::fmt::Display| {
        let path = folder.join(file);
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: {error}", path.display()),
        )
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&read("ca.pem").await?) {
        let certificate = certificate.map_err(|e| unreadable("ca.pem", &e))?;
        roots
            .add(certificate)
            .map_err(|e| unreadable("ca.pem", &e))?;
    }
    if roots.is_empty() {
        return Err(unreadable("ca.pem", &"there is no certificate in it"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let chain = match read("cert.pem").await {
        Ok(text) => CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| unreadable("cert.pem", &e))?,
        // An engine may verify itself alone and ask for no certificate.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(builder.with_no_client_auth());
        }
        Err(error) => return Err(error),
    };
    let key = PrivateKeyDer::from_pem_slice(&read("key.pem").await?)
        .map_err(|e| unreadable("key.pem", &e))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|e| unreadable("cert.pem", &e))
}

/// As the docker command does it: the other machine's docker carries the bytes to its engine's socket.
fn ssh(destination: &str, port: Option<u16>) -> io::Result<Connection> {
    let mut command = Command::new("ssh");
    command
        // There is no terminal to ask for a password or an unknown host.
        .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=8", "-T"])
        .args(port.map(|port| format!("-p{port}")))
        .args(["--", destination, "docker", "system", "dial-stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|e| io::Error::new(e.kind(), format!("run the ssh command: {e}")))?;
    match (child.stdout.take(), child.stdin.take(), child.stderr.take()) {
        (Some(output), Some(input), Some(stderr)) => Ok(Connection {
            stream: Box::new(tokio::io::join(output, input)),
            ssh: Some((child, stderr)),
        }),
        _ => Err(io::Error::other("the ssh command has no input or output")),
    }
}
