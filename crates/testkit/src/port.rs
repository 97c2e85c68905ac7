use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// A TCP port of the loopback address that nobody listens on at this moment.
///
/// # Errors
/// If no socket can be bound.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
