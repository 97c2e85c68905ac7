use std::net::{IpAddr, SocketAddr};

/// The client's end as the server shows it: no address over a Unix socket, and the port -1.
pub(crate) fn client(address: Option<String>, port: Option<i32>) -> Option<SocketAddr> {
    let address: IpAddr = address?.parse().ok()?;
    Some(SocketAddr::new(address, u16::try_from(port?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_known_by_an_address_and_a_port() {
        let shown = |address: &str, port| client(Some(address.to_owned()), Some(port));
        assert_eq!(shown("192.0.2.7", 34_100), Some("192.0.2.7:34100".parse().unwrap()));
        assert_eq!(shown("2001:db8::7", 34_100), Some("[2001:db8::7]:34100".parse().unwrap()));
        assert_eq!(shown("192.0.2.7", -1), None);
        assert_eq!(shown("web-2", 34_100), None);
        assert_eq!((client(None, Some(-1)), client(Some("192.0.2.7".to_owned()), None)), (None, None));
    }
}
