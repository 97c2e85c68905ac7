use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::addresses::Addresses;
use crate::stream::Stream;
use crate::via::{self, Dial, Dialed};
use crate::{HttpError, tls};

/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 4;

/// How long one address may take to connect, milliseconds: a dead IPv6 route must leave time for IPv4.
const CONNECT_MS_MAX: u64 = 5_000;

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

/// A new connection to a server, whose certificate is verified by the machine's own roots. `local` becomes our end of it. In
/// a call that runs [`via::through`] a dialer, the connection is that dialer's, and `local` stays empty: its end is what that
/// machine says, which could name the connection of somebody else.
///
/// # Errors
/// [`HttpError::NotSent`], [`HttpError::NoRoots`].
pub async fn connect(
    endpoint: Endpoint<'_>,
    local: &OnceLock<SocketAddr>,
) -> Result<Box<dyn Stream>, HttpError> {
    connect_within(endpoint, Addresses::Any, local).await
}

/// As [`connect`], to one of these addresses alone. Another machine resolves the name itself, and what leaves from there does
/// not reach the machine of keyroll.
///
/// # Errors
/// As [`connect`]; and [`HttpError::NotSent`] with the words of an [`OwnMachine`](crate::OwnMachine).
pub async fn connect_within(
    endpoint: Endpoint<'_>,
    addresses: Addresses,
    local: &OnceLock<SocketAddr>,
) -> Result<Box<dyn Stream>, HttpError> {
    let (stream, own): (Box<dyn Stream>, Option<SocketAddr>) = match via::current() {
        Some(dialer) => {
            let Dialed { stream, local: _ } = dial_via(dialer.as_ref(), endpoint).await?;
            (stream, None)
        }
        None => {
            let stream = dial_within(endpoint, addresses).await?;
            let own = stream.local_addr().ok();
            (Box::new(stream), own)
        }
    };
    if let Some(own) = own {
        local.get_or_init(|| own);
    }
    Ok(match endpoint.tls {
        true => Box::new(tls::handshake(stream, endpoint.host, &tls::system_config().await?).await?),
        false => stream,
    })
}

/// A connection from another machine, which resolves the name. Without encryption there is none: the plain connections of
/// [`is_allowed`] never leave this machine.
async fn dial_via(dialer: &dyn Dial, endpoint: Endpoint<'_>) -> Result<Dialed, HttpError> {
    if !endpoint.tls {
        return Err(HttpError::NotSent(via::UNENCRYPTED.to_owned()));
    }
    if endpoint.host.parse::<IpAddr>().is_ok_and(|address| !is_allowed(address, true)) {
        return Err(HttpError::NotSent("it is no address that may be asked".to_owned()));
    }
    let dialed = dialer.dial(endpoint.host, endpoint.port).await;
    dialed.map_err(|error| HttpError::NotSent(error.to_string()))
}

/// A new connection that is not encrypted yet, for a protocol that begins so and encrypts then: with `endpoint.tls` to the
/// same addresses as [`connect`], and the caller sends nothing that matters before [`tls::handshake`]. It leaves from this
/// machine, so there is none in a call that runs [`via::through`] a dialer.
///
/// # Errors
/// [`HttpError::NotSent`].
pub async fn dial(endpoint: Endpoint<'_>) -> Result<TcpStream, HttpError> {
    dial_within(endpoint, Addresses::Any).await
}

async fn dial_within(endpoint: Endpoint<'_>, addresses: Addresses) -> Result<TcpStream, HttpError> {
    if via::current().is_some() {
        return Err(HttpError::NotSent("it is asked from the machine of keyroll alone".to_owned()));
    }
    let found = tokio::net::lookup_host((endpoint.host, endpoint.port)).await;
    let found = found.map_err(|error| HttpError::NotSent(format!("the name does not resolve ({error})")))?;
    let found = addresses.permitted(endpoint.host, found);
    let mut addresses = found.map_err(|refused| HttpError::NotSent(refused.to_string()))?;
    // Connect to the address that was checked. A second resolution of the name could give another address.
    addresses.retain(|address| is_allowed(address.ip(), endpoint.tls));
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
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use async_trait::async_trait;
    use tokio::net::TcpListener;

    use super::*;

    /// Stands for another machine: whatever it is asked for, it connects to this address.
    struct Elsewhere {
        leads_to: SocketAddr,
        asked: Mutex<Vec<(String, u16)>>,
    }

    impl Elsewhere {
        fn new(leads_to: SocketAddr) -> Arc<Self> {
            Arc::new(Self { leads_to, asked: Mutex::default() })
        }

        fn asked(&self) -> Vec<(String, u16)> {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    #[async_trait]
    impl Dial for Elsewhere {
        async fn dial(&self, host: &str, port: u16) -> io::Result<Dialed> {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((host.to_owned(), port));
            let stream = TcpStream::connect(self.leads_to).await?;
            Ok(Dialed { stream: Box::new(stream), local: "192.0.2.7:40000".parse().unwrap() })
        }
    }

    /// The name leads nowhere from here, so what answers was reached through the dialer. It is no server of this name.
    #[tokio::test]
    async fn a_dialed_connection_is_used_and_its_server_is_verified() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let elsewhere = Elsewhere::new(listener.local_addr().unwrap());
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let local = OnceLock::new();
        let endpoint = Endpoint { host: "issuer.invalid", port: 443, tls: true };
        let outcome = via::through(elsewhere.clone(), connect(endpoint, &local)).await;
        let refused = outcome.err().map(|error| error.to_string()).unwrap_or_default();
        let verifies = refused.starts_with("no TLS session") || refused == HttpError::NoRoots.to_string();
        assert!(verifies, "{refused}");
        assert_eq!(elsewhere.asked(), [("issuer.invalid".to_owned(), 443)]);
        assert_eq!(local.get(), None, "what that machine says is no end of ours");
    }

    #[tokio::test]
    async fn nothing_unencrypted_is_asked_from_another_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (elsewhere, local) = (Elsewhere::new(address), OnceLock::new());
        let here = Endpoint { host: "127.0.0.1", port: address.port(), tls: false };
        let plain = via::through(elsewhere.clone(), connect(here, &local)).await.err();
        assert_eq!(plain, Some(HttpError::NotSent(via::UNENCRYPTED.to_owned())));
        let raw = via::through(elsewhere.clone(), dial(here)).await.err();
        assert!(matches!(raw, Some(HttpError::NotSent(_))), "it would leave from this machine");
        let metadata = Endpoint { host: "169.254.169.254", port: 443, tls: true };
        assert!(via::through(elsewhere.clone(), connect(metadata, &local)).await.is_err());
        assert_eq!((elsewhere.asked(), local.get()), (Vec::new(), None));
        assert!(connect(here, &local).await.is_ok(), "without a dialer it is asked as ever");
    }

    /// A name of somebody else that leads here: `127.1` resolves to loopback on every machine. Nothing is connected to.
    #[tokio::test]
    async fn a_name_that_leads_to_the_own_machine_is_not_connected_to() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let local = OnceLock::new();
        for tls in [true, false] {
            let here = Endpoint { host: "127.1", port, tls };
            let refused = connect_within(here, Addresses::OtherMachines, &local).await.err();
            let Some(HttpError::NotSent(why)) = &refused else { panic!("{refused:?}") };
            assert!(why.starts_with("127.1 leads to 127.0.0.1 (loopback): "), "{why}");
        }
        assert!(listener.accept().is_err(), "it was connected to");
        assert!(dial(Endpoint { host: "127.1", port, tls: true }).await.is_ok(), "the operator may name it");
        // What is written as loopback was judged where it was read: the operator's own spec may say so.
        let spec = Endpoint { host: "127.0.0.1", port, tls: false };
        assert!(connect_within(spec, Addresses::OtherMachines, &local).await.is_ok());
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
