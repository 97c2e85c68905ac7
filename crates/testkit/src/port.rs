use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher as _;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

/// The first port that is handed out. Below are those of well-known servers.
const PORT_MIN: u16 = 10_000;

/// The first port that the kernel gives to outgoing connections, unless it says otherwise.
const OUTGOING_MIN: u16 = 32_768;

/// Where fewer ports than this are below those of outgoing connections, any free one is handed out.
const PORTS_MIN: u16 = 1_000;

/// How many ports are tried.
const TRIES_MAX: usize = 100;

/// The claims of this process; the kernel drops them with it, however it ends.
static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A TCP port of the loopback address that nobody listens on at this moment, and that no other caller is given while this
/// process runs: tests beside each other draw ports seconds before their servers listen, and servers that restart let
/// go of theirs. It is below those that the kernel gives to outgoing connections: else any connection of this machine
/// could take it.
///
/// # Errors
/// If no socket can be bound.
pub fn free_port() -> io::Result<u16> {
    // Source: ip(7), ip_local_port_range.
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_ascii_whitespace().next().and_then(|first| first.parse().ok());
    let count = first.unwrap_or(OUTGOING_MIN).saturating_sub(PORT_MIN);
    if count < PORTS_MIN {
        loop {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if claim(port)? {
                return Ok(port);
            }
        }
    }
    let mut last = io::ErrorKind::AddrInUse.into();
    for attempt in 0..TRIES_MAX {
        let drawn = RandomState::new().hash_one(attempt) % u64::from(count);
        let port = PORT_MIN + u16::try_from(drawn).unwrap_or(0);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) if claim(port)? => return Ok(port),
            Ok(_) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Takes a port for this process; false where a process of this network namespace has it already.
///
/// # Errors
/// If no socket can be bound.
fn claim(port: u16) -> io::Result<bool> {
    // A name that is no file: it is seen wherever the port is, and ends with its process. Source: unix(7), abstract.
    let name = SocketAddr::from_abstract_name(format!("keyroll-test-port-{port}"))?;
    match UnixListener::bind_addr(&name) {
        Ok(claim) => {
            CLAIMS.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_out_twice() {
        // Of 20,000 ports, 500 drawn without a claim would hold the same one with a chance of 99.8 %.
        let ports: BTreeSet<u16> = (0..500).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 500);
        let one = *ports.first().unwrap();
        assert!(!claim(one).unwrap(), "a claim stays");
    }
}
