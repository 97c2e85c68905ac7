use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{HttpError, tls};

/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 4;

/// How long one address may take to connect, milliseconds: a dead IPv6 route must leave time for IPv4.
const CONNECT_MS_MAX: u64 = 5_000;

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A server by its name.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    /// A name or an address.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// Whether connections are encrypted; unencrypted ones are made to this machine only.
    pub tls: bool,
}

/// A new connection to a server, whose certificate is verified by the machine's own roots. `local` becomes our end of it.
///
/// # Errors
/// [`HttpError::NotSent`], [`HttpError::NoRoots`].
pub async fn connect(
    endpoint: Endpoint<'_>,
    local: &OnceLock<SocketAddr>,
) -> Result<Box<dyn Stream>, HttpError> {
    let stream = dial(endpoint).await?;
    if let Ok(own) = stream.local_addr() {
        local.get_or_init(|| own);
    }
    Ok(match endpoint.tls {
        true => Box::new(tls::handshake(stream, endpoint.host, &tls::system_config().await?).await?),
        false => Box::new(stream),
    })
}

/// A new connection that is not encrypted yet, for a protocol that begins so and encrypts then: with `endpoint.tls` to the
/// same addresses as [`connect`], and the caller sends nothing that matters before [`tls::handshake`].
///
/// # Errors
/// [`HttpError::NotSent`].
pub async fn dial(endpoint: Endpoint<'_>) -> Result<TcpStream, HttpError> {
    let found = tokio::net::lookup_host((endpoint.host, endpoint.port)).await;
    let found = found.map_err(|error| HttpError::NotSent(format!("the name does not resolve ({error})")))?;
    // Connect to the address that was checked. A second resolution of the name could give another address.
    let addresses: Vec<SocketAddr> = found.filter(|address| is_allowed(address.ip(), endpoint.tls)).collect();
    let mut last = "the name leads to no address that may be asked".to_owned();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match timeout(Duration::from_millis(CONNECT_MS_MAX), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A small request should not wait for a full segment. If this option cannot be set, the call is only
                // slower.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error.kind().to_string(),
            Err(_) => last = format!("no connection within {CONNECT_MS_MAX} ms"),
        }
    }
    Err(HttpError::NotSent(last))
}

/// Whether the name itself says that it is this machine: without encryption, anything else would show what is said and
/// could be forged.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Which addresses a name may lead to: plain HTTP only to this machine, TLS not to link-local addresses (where clouds
/// serve their metadata), nor to IPv6 addresses that embed another address (`::ffff:169.254.169.254`).
fn is_allowed(address: IpAddr, tls: bool) -> bool {
    if !tls {
        return address.is_loopback();
    }
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            let metadata = v6.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254];
            let stands_for = v6.to_ipv4_mapped().is_some();
            !(metadata
                || stands_for
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for local in ["127.0.0.1", "127.9.9.9", "::1", "localhost"] {
            assert!(is_loopback(local), "{local}");
        }
        let others = ["db.example.org", "192.0.2.1", "localhost.example.org", "127.0.0.1.example.org"];
        for other in others.into_iter().chain(["0.0.0.0", "::", "/run/postgresql", ""]) {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn addresses_that_no_name_may_lead_to() {
        let allows = |text: &str, tls| is_allowed(text.parse().unwrap(), tls);
        for bad in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1", "0.0.0.0", "::"]
        {
            assert!(!allows(bad, true), "{bad}");
        }
        assert!(allows("203.0.113.7", true) && allows("10.0.0.5", true) && allows("2001:db8::1", true));
        assert!(allows("127.0.0.1", false) && !allows("203.0.113.7", false) && !allows("10.0.0.5", false));
    }
}
