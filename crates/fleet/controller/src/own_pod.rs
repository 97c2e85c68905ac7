//! Servers that are keyroll's own pod, its machine, or the API server of its cluster.

use std::net::{IpAddr, Ipv4Addr};

use keyroll_http::own_machine;

/// Names of the own machine besides `localhost`, of the API server, and of a cloud's service at a link-local address.
const NAMES: [&str; 9] = [
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost6",
    "ip6-localhost",
    "ip6-loopback",
    "kubernetes",
    "kubernetes.default",
    "metadata.google.internal",
];
/// What the longer names of the API server begin with.
const API_SERVER: &str = "kubernetes.default.svc";

/// Whether a host is the pod that keyroll runs in (loopback, or a Unix socket), a service of its machine (link-local, where
/// clouds give out logins), or the API server; in whatever form `inet_aton` and resolvers take it. What a DNS name means shows
/// only when it is resolved: whoever connects judges the address then ([`keyroll_http::Addresses`]).
pub(crate) fn is_own_pod(host: &str) -> bool {
    host.split(',').any(is_own)
}

/// The same of one host.
fn is_own(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let host = host.trim_start_matches('[').trim_end_matches(['.', ']']);
    // A zone says by which interface.
    let host = host.split('%').next().unwrap_or_default();
    if host.is_empty() || host.starts_with(['/', '@']) {
        return true;
    }
    if let Some(address) = inet_aton(host) {
        return own_machine(address.into()).is_some();
    }
    match host.parse::<IpAddr>() {
        Ok(address) => own_machine(address).is_some(),
        Err(_) => {
            let is_below = |name: &str| host.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            NAMES.contains(&host)
                || host.ends_with(".localhost")
                || host == API_SERVER
                || is_below(API_SERVER)
        }
    }
}

/// An IPv4 address in any form that `inet_aton` takes: 1 to 4 numbers, each decimal, octal (`0177`) or hexadecimal (`0x7f`);
/// the last one fills the bytes that are left. Source: <https://man7.org/linux/man-pages/man3/inet.3.html>.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let last = parts.pop()?;
    let left_bits = match parts.len() {
        0 => u32::BITS,
        1 => 24,
        2 => 16,
        3 => 8,
        _ => return None,
    };
    if parts.iter().any(|part| *part > 255) || u64::from(last) >> left_bits != 0 {
        return None;
    }
    let before = parts.iter().fold(0_u64, |sum, part| (sum << 8) | u64::from(*part));
    u32::try_from((before << left_bits) | u64::from(last)).ok().map(Ipv4Addr::from)
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        (None, _) => (text, 10),
    };
    // A sign is none of an address.
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_plain { u32::from_str_radix(digits, radix).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_pod_is_known_in_every_form() {
        for host in [
            "",
            ".",
            "/run/postgresql",
            "@socket",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "db.localhost",
            "db.LocalHost..",
            "localhost.localdomain",
            "ip6-localhost",
            "ip6-loopback",
            "127.0.0.1",
            "127.0.0.1.",
            "127.255.0.9",
            "127.1",
            "127.0.1",
            "0x7f000001",
            "0X7F.1",
            "0177.0.0.1",
            "017700000001",
            "2130706433",
            "0",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.43518",
            "2852039166",
            "0xa9fea9fe",
            "::",
            "::1",
            "[::1]",
            "0:0:0:0:0:0:0:1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
            "64:ff9b::127.0.0.1",
            "::FFFF:a9fe:a9fe",
            "fe80::1",
            "FE80::1%eth0",
            "febf::1",
            "fd00:ec2::254",
            "metadata.google.internal.",
            "db.shop.svc,127.1",
        ] {
            assert!(is_own_pod(host), "{host}");
        }
    }

    /// Whoever connects does not judge a host that is written as loopback: no object may write one.
    #[test]
    fn what_is_judged_by_its_name_alone_is_never_an_objects() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1", "0:0:0:0:0:0:0:1"] {
            assert!(keyroll_http::is_loopback(host) && is_own_pod(host), "{host}");
        }
    }

    #[test]
    fn the_api_server_is_known_by_each_of_its_names() {
        for host in [
            "kubernetes",
            "kubernetes.default",
            "Kubernetes.Default.svc",
            "kubernetes.default.svc.cluster.local",
            "kubernetes.default.svc.corp.example.",
        ] {
            assert!(is_own_pod(host), "{host}");
        }
    }

    #[test]
    fn other_servers_are_others() {
        for host in [
            "db.shop.svc",
            "db.shop.svc.cluster.local.",
            "localhost.example.com",
            "mylocalhost",
            "kubernetes.shop.svc",
            "kubernetes.default.example.com",
            "kubernetes.default.svcs",
            "10.0.0.1",
            "10.1",
            "128.0.0.1",
            "168.254.169.254",
            "4294967296",
            "127.0.0.0.1",
            "127.+1",
            "0x7f00000100",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "fec0::1",
            "fd00:ec3::254",
            "127.example",
            "a,b",
        ] {
            assert!(!is_own_pod(host), "{host}");
        }
    }
}
