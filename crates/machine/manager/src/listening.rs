use std::net::SocketAddr;
use std::time::{Duration, Instant};

use keyroll_http::blocking::Connection;

/// Whether something accepts connections at this address within the time limit. Sends nothing.
pub fn is_listening(address: SocketAddr, limit: Duration) -> bool {
    Connection::open(address, Instant::now() + limit).is_ok()
}
