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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_back() {
        for host in ["127.0.0.1", "::1", "localhost", "/run/postgresql"] {
            assert_eq!(parse_endpoint(&host_port(host, 5432)), Some((host, 5432)));
        }
        assert_eq!(parse_endpoint("nothing"), None);
    }
}
