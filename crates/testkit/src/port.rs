use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher as _;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// The first port that is handed out. Below are those of well-known servers.
const PORT_MIN: u16 = 10_000;

/// The first port that the kernel gives to outgoing connections, unless it says otherwise.
const OUTGOING_MIN: u16 = 32_768;

/// Where fewer ports than this are below those of outgoing connections, any free one is handed out.
const PORTS_MIN: u16 = 1_000;

/// How many ports are tried.
const TRIES_MAX: usize = 100;

/// A TCP port of the loopback address that nobody listens on at this moment. It is below those that the kernel gives to
/// outgoing connections: else any connection of this machine could take it before a server does, or while a server
/// restarts.
///
/// # Errors
/// If no socket can be bound.
pub fn free_port() -> io::Result<u16> {
    // Source: ip(7), ip_local_port_range.
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_ascii_whitespace().next().and_then(|first| first.parse().ok());
    let count = first.unwrap_or(OUTGOING_MIN).saturating_sub(PORT_MIN);
    if count < PORTS_MIN {
        return Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port());
    }
    let mut last = io::ErrorKind::AddrInUse.into();
    for attempt in 0..TRIES_MAX {
        let drawn = RandomState::new().hash_one(attempt) % u64::from(count);
        let port = PORT_MIN + u16::try_from(drawn).unwrap_or(0);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}
