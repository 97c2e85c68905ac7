//! The process that is the store of a secret: it holds what it gives out, so it is accepted, and never ended or moved.

use std::net::SocketAddr;
use std::time::Duration;

use keyroll_observe::{Listing, Sockets};

/// How long the sockets of one process may take to read.
const SOCKETS_TIME_MAX: Duration = Duration::from_secs(2);

/// Whether a process accepts connections at this address of this machine. False if its sockets are not visible.
pub(super) fn accepts_at(pid: u32, place: SocketAddr) -> bool {
    let Ok(process) = keyroll_observe::process(pid) else { return false };
    let id = process.id;
    let listing = Listing { seen: vec![process], hidden: Vec::new() };
    let sockets = Sockets::read(&listing, &[], SOCKETS_TIME_MAX);
    sockets.is_ok_and(|sockets| sockets.listens(&id, &[place]))
}

/// Why it is only waived.
pub(super) fn as_store(pid: u32, place: SocketAddr) -> String {
    format!("process {pid} is the store, which listens at {place}: do not end it")
}

/// The most ancestors that are searched for the parent of this process.
const ABOVE_MAX: usize = 64;

/// True if this process is a descendant of it, such as of the shell in which the command was typed.
pub(super) fn above_this(pid: u32) -> bool {
    let mut at = std::process::id();
    for _ in 0..ABOVE_MAX {
        let Ok(process) = keyroll_observe::process(at) else { return false };
        if process.ppid == pid && pid > 1 {
            return true;
        }
        at = process.ppid;
    }
    false
}
