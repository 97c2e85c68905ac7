//! Tells whether an address belongs to this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address of `host:port` if it is a literal address of this machine; a name may lead anywhere. A listener on the
/// same port here is not another machine's server, but may be a pooler that holds the value.
pub fn on_this_machine(place: &str) -> Option<SocketAddr> {
    match place.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
        None => place.parse().ok().filter(|at: &SocketAddr| is_here(at.ip())),
    }
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
}
