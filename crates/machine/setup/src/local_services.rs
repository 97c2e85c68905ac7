//! Whether an address belongs to this machine, or to whichever machine uses it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address of `host:port` if it is a literal address of this machine; a name may lead anywhere. A listener on the
/// same port here is not another machine's server, but may be a pooler that holds the value.
pub fn on_this_machine(place: &str) -> Option<SocketAddr> {
    match place.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
        None => place.parse().ok().filter(|at: &SocketAddr| is_here(at.ip())),
    }
}

/// True if an endpoint, `host:port`, is another one on every machine: a loopback name or address, or a Unix socket in a
/// folder.
pub fn is_loopback(endpoint: &str) -> bool {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_address = |address: IpAddr| address.to_canonical().is_loopback();
    host == "localhost" || host.starts_with('/') || host.parse::<IpAddr>().is_ok_and(is_address)
}

/// True if an address is this machine's own: only then would a connection to it come from it. Nothing is sent.
#[expect(
    clippy::disallowed_methods,
    reason = "asks the kernel for a route; a datagram socket sends nothing by itself"
)]
fn is_here(address: IpAddr) -> bool {
    if address.is_loopback() {
        return true;
    }
    let any = match address {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_another_machine_is_not_looked_for_on_this_one() {
        let at = |place: &str| on_this_machine(place).map(|at| at.to_string());
        assert_eq!(at("127.0.0.1:6379").as_deref(), Some("127.0.0.1:6379"));
        assert_eq!(at("localhost:6379").as_deref(), Some("127.0.0.1:6379"));
        assert_eq!(at("[::1]:6379").as_deref(), Some("[::1]:6379"));
        // Documentation addresses (RFC 5737, RFC 3849), which no machine has.
        for other in ["192.0.2.1:6379", "[2001:db8::1]:6379", "cache.example.org:6379", "127.0.0.1"] {
            assert_eq!(at(other), None, "{other}");
        }
    }

    #[test]
    fn what_every_machine_has_for_itself_is_no_endpoint_of_another_one() {
        let own = ["127.0.0.1:6379", "127.9.9.9:1", "localhost:8080", "[::1]:6379", "/run/postgresql:5432"];
        for own in own.into_iter().chain(["[::ffff:127.0.0.1]:6379"]) {
            assert!(is_loopback(own), "{own}");
        }
        for other in
            ["192.0.2.1:6379", "[2001:db8::1]:6379", "api.example.org:443", "localhost.example.org:1"]
        {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
