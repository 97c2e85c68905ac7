use std::io;
use std::sync::Arc;

use keyroll_login::tls::client_config;
use keyroll_port::{Class, Failure};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::codes;
use crate::options::Options;

/// What a connection is made of, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Encryption to a server, where connections leave this machine.
pub(crate) struct Tls(Option<TlsConnector>);

impl Tls {
    /// Reads the roots that are trusted; asks nothing of the server.
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        if !options.is_encrypted() {
            return Ok(Self(None));
        }
        let config = client_config(options.root_certificates.as_deref()).map_err(|why| {
            Failure::new(Class::Permanent, codes::OPTIONS, format!("set up TLS to {}", options.endpoint()))
                .because(why)
                .help("check the file of root certificates")
        })?;
        Ok(Self(Some(TlsConnector::from(Arc::new(config)))))
    }

    /// Whether connections are encrypted.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// One connection, and our end of it as text.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<(Box<dyn Stream>, String)> {
        let stream = TcpStream::connect((host, port)).await?;
        let ours = stream.local_addr()?.to_string();
        let Some(connector) = &self.0 else { return Ok((Box::new(stream), ours)) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok((Box::new(connector.connect(name, stream).await?), ours))
    }
}
