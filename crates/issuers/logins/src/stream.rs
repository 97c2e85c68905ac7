use std::io;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_http::Stream;
use keyroll_http::tls::{ClientConfig, client_config, handshake};
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

    /// One connection, and our end of it as text.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<(Box<dyn Stream>, String)> {
        let stream = TcpStream::connect((host, port)).await?;
        let ours = stream.local_addr()?.to_string();
        let Some(config) = &self.0 else { return Ok((Box::new(stream), ours)) };
        Ok((Box::new(handshake(stream, host, config).await.map_err(io::Error::other)?), ours))
    }
}
