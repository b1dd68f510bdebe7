//! TLS connections over which nothing is sent: what a careless or hostile client can open without showing who it is.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// For one handshake.
const LIMIT: Duration = Duration::from_secs(10);

/// A server as those see it who know its authority and have no certificate of their own.
pub struct Server {
    address: String,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

/// A connection whose handshake is done.
pub struct Silent(#[expect(dead_code, reason = "open as long as it is held")] TcpStream);

impl Server {
    /// The server of a kubeconfig.
    pub fn of(kubeconfig: &Path) -> Self {
        let file = Kubeconfig::read_from(kubeconfig)
            .unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()));
        let options = KubeConfigOptions::default();
        let config = futures::executor::block_on(Config::from_custom_kubeconfig(file, &options))
            .unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()));
        let host = config.cluster_url.host().unwrap_or_default().to_owned();
        let port = config.cluster_url.port_u16().unwrap_or(443);
        let mut roots = RootCertStore::empty();
        for certificate in config.root_cert.unwrap_or_default() {
            roots.add(CertificateDer::from(certificate)).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            address: format!("{host}:{port}"),
            name: ServerName::try_from(host).unwrap(),
            config: Arc::new(config),
        }
    }

    /// Opens a connection, speaks TLS, and then says nothing.
    pub fn connect(&self) -> Silent {
        let failed = |error: std::io::Error| -> Silent { panic!("{}: {error}", self.address) };
        let mut stream = match TcpStream::connect(&self.address) {
            Ok(stream) => stream,
            Err(error) => return failed(error),
        };
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut tls = ClientConnection::new(self.config.clone(), self.name.clone()).unwrap();
        while tls.is_handshaking() {
            if let Err(error) = tls.complete_io(&mut stream) {
                return failed(error);
            }
        }
        Silent(stream)
    }
}
