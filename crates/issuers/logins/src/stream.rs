use std::io;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_http::tls::{ClientConfig, client_config, handshake};
use keyroll_http::via::Dialed;
use keyroll_http::{Stream, via};
use keyroll_port::{Class, Failure};
use tokio::net::TcpStream;

use crate::options::Options;

/// Encryption to a server, where connections leave this machine.
pub(crate) struct Tls(Option<Arc<ClientConfig>>);

impl Tls {
    /// Reads the trusted roots, without connecting to the server.
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        if !options.is_encrypted() {
            return Ok(Self(None));
        }
        let config = client_config(options.root_certificates.as_deref()).map_err(|why| {
            Failure::new(
                Class::Permanent,
                Code::IssuerSettingsInvalid,
                format!("set up TLS to {}", options.endpoint()),
            )
            .because(why)
            .help("check the file of root certificates")
        })?;
        Ok(Self(Some(config)))
    }

    /// One connection, and our end of it as text. In a call that runs through a dialer, the connection is that dialer's.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<(Box<dyn Stream>, String)> {
        let (stream, ours) = self.open(host, port).await?;
        let Some(config) = &self.0 else { return Ok((stream, ours)) };
        Ok((Box::new(handshake(stream, host, config).await.map_err(io::Error::other)?), ours))
    }

    /// The connection, not encrypted yet.
    async fn open(&self, host: &str, port: u16) -> io::Result<(Box<dyn Stream>, String)> {
        let Some(dialer) = via::current() else {
            let stream = TcpStream::connect((host, port)).await?;
            let ours = stream.local_addr()?.to_string();
            return Ok((Box::new(stream), ours));
        };
        if self.0.is_none() {
            return Err(io::Error::other(via::UNENCRYPTED));
        }
        let Dialed { stream, local } = dialer.dial(host, port).await?;
        Ok((stream, local.to_string()))
    }
}
