use std::io;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_http::tls::{ClientConfig, client_config, handshake};
use keyroll_http::via::Dialed;
use keyroll_http::{Addresses, Stream, via};
use keyroll_port::{Class, Failure};
use tokio::net::TcpStream;

use crate::options::Options;

/// How a server is connected to.
pub(crate) struct Tls {
    /// Encryption, where connections leave this machine.
    config: Option<Arc<ClientConfig>>,
    /// Where its name may lead.
    addresses: Addresses,
}

impl Tls {
    /// Reads the trusted roots, without connecting to the server.
    pub(crate) fn new(options: &Options, addresses: Addresses) -> Result<Self, Failure> {
        if !options.is_encrypted() {
            return Ok(Self { config: None, addresses });
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
        Ok(Self { config: Some(config), addresses })
    }

    /// One connection, and our end of it as text. In a call that runs through a dialer, the connection is that dialer's.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<(Box<dyn Stream>, String)> {
        let (stream, ours) = self.open(host, port).await?;
        let Some(config) = &self.config else { return Ok((stream, ours)) };
        Ok((Box::new(handshake(stream, host, config).await.map_err(io::Error::other)?), ours))
    }

    /// The connection, not encrypted yet.
    async fn open(&self, host: &str, port: u16) -> io::Result<(Box<dyn Stream>, String)> {
        let Some(dialer) = via::current() else {
            let addresses = self.addresses.resolve(host, port).await?;
            let stream = TcpStream::connect(addresses.as_slice()).await?;
            let ours = stream.local_addr()?.to_string();
            return Ok((Box::new(stream), ours));
        };
        if self.config.is_none() {
            return Err(io::Error::other(via::UNENCRYPTED));
        }
        let Dialed { stream, local } = dialer.dial(host, port).await?;
        Ok((stream, local.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use keyroll_http::OwnMachine;

    use super::*;

    /// `127.1` resolves to loopback on every machine.
    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a test plays the server")]
    async fn a_name_that_leads_to_the_own_machine_is_not_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let tls = |addresses| Tls { config: None, addresses };
        let refused = tls(Addresses::OtherMachines).connect("127.1", port).await.err().unwrap();
        let why = refused.get_ref().and_then(|why| why.downcast_ref::<OwnMachine>());
        assert_eq!(why.map(|why| why.host.as_str()), Some("127.1"), "{refused}");
        assert!(listener.accept().is_err(), "it was connected to");
        assert!(tls(Addresses::Any).connect("127.1", port).await.is_ok(), "the operator may name it");
    }
}
