use std::net::IpAddr;

/// `host:port`, an IPv6 address in brackets.
pub(crate) fn host_port(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// Host and port of an endpoint.
pub(crate) fn parse_endpoint(endpoint: &str) -> Option<(&str, u16)> {
    let (host, port) = endpoint.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((host, port.parse().ok()?))
}

/// Whether a connection to this host stays on this machine. Beyond it, an unencrypted connection could be read and
/// forged.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
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
    fn endpoints_are_read_back() {
        for host in ["127.0.0.1", "::1", "localhost", "/run/postgresql"] {
            assert_eq!(parse_endpoint(&host_port(host, 5432)), Some((host, 5432)));
        }
        assert_eq!(parse_endpoint("nothing"), None);
    }
}
