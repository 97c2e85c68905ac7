//! The TCP sockets of keyroll's own network namespace, as the kernel lists them by sock_diag(7).
//!
//! /proc/net/tcp also has a line for each connection that was closed in the last minute: tens of thousands on a busy
//! machine, and formatting them takes longer than the rest of a look. Here the kernel omits them.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_LISTEN};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as Kernel};

/// The largest answer that the kernel gives at once, bytes. Source: netlink(7), Linux sends at most 32 KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The most sockets that are read.
const SOCKETS_MAX: usize = 1_000_000;

/// Answers in a list begin at multiples of this, bytes (`NLMSG_ALIGNTO`).
const ALIGNED_BYTES: usize = 4;

/// The file exists if the kernel has IPv6.
const TABLE_OF_IPV6: &str = "/proc/self/net/tcp6";

/// One TCP socket with an owner.
pub(crate) struct TcpSocket {
    /// This end.
    pub(crate) local: SocketAddr,
    /// The other end; meaningless for a listening socket.
    pub(crate) remote: SocketAddr,
    pub(crate) listens: bool,
    /// Its inode, as in `/proc/PID/fd`: `socket:[4242]`.
    pub(crate) number: u64,
}

/// All TCP sockets that a process has open.
///
/// # Errors
/// The kernel has no sock_diag, a sandbox forbids it, or the answer is not understood.
pub(crate) fn tcp_sockets() -> io::Result<Vec<TcpSocket>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&Kernel::new(0, 0))?;
    let mut found = Vec::new();
    list(&socket, AF_INET, IPPROTO_TCP, &mut found)?;
    // With half a list an open connection would seem to be gone: programs that speak both protocols have theirs only
    // here.
    if Path::new(TABLE_OF_IPV6).exists() {
        list(&socket, AF_INET6, IPPROTO_TCP, &mut found)?;
    }
    Ok(found)
}

/// Adds the sockets of this family and protocol.
fn list(socket: &Socket, family: u8, protocol: u8, found: &mut Vec<TcpSocket>) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all().difference(StateFlags::TIME_WAIT),
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let length = match socket.recv(&mut answer.as_mut_slice(), 0) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            received => received?,
        };
        if add(answer.get(..length).unwrap_or_default(), found)? {
            return Ok(());
        }
    }
}

/// Adds the sockets of one answer; `true` = the list is complete.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a library's enum; what is of no concern here is passed over"
)]
fn add(mut answer: &[u8], found: &mut Vec<TcpSocket>) -> io::Result<bool> {
    while !answer.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(answer)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(one)) => {
                let one = one.header;
                if one.inode != 0 {
                    found.push(TcpSocket {
                        local: SocketAddr::new(one.socket_id.source_address, one.socket_id.source_port),
                        remote: SocketAddr::new(
                            one.socket_id.destination_address,
                            one.socket_id.destination_port,
                        ),
                        listens: one.state == TCP_LISTEN,
                        number: u64::from(one.inode),
                    });
                }
            }
            // A list that fails ends with the error's negative number.
            NetlinkPayload::Done(end) if end.code < 0 => {
                return Err(io::Error::from_raw_os_error(end.code.saturating_neg()));
            }
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => {}
        }
        if found.len() > SOCKETS_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too many sockets"));
        }
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        answer = answer.get(length.next_multiple_of(ALIGNED_BYTES).max(ALIGNED_BYTES)..).unwrap_or_default();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// SCTP, which has a module of its own: an example of a protocol that is missing.
    const IPPROTO_NONE: u8 = 132;

    /// How often the list is read until a socket is gone.
    const LOOKS_MAX: usize = 10_000;

    #[test]
    fn a_list_that_failed_is_not_an_empty_one() {
        // No table of the kernel has this protocol.
        let mut socket = Socket::new(NETLINK_SOCK_DIAG).expect("a socket");
        socket.bind_auto().expect("an address");
        socket.connect(&Kernel::new(0, 0)).expect("the kernel");
        let failed = list(&socket, AF_INET, IPPROTO_NONE, &mut Vec::new());
        assert_eq!(failed.expect_err("there is no such list").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_listener_and_both_ends_of_a_connection_are_listed_and_a_closed_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let place = listener.local_addr().expect("an address");
        let client = TcpStream::connect(place).expect("a connection");
        let (server, _) = listener.accept().expect("a client");
        let end = client.local_addr().expect("an address");
        let all = tcp_sockets().expect("the kernel lists its sockets");
        let has =
            |local, remote| all.iter().any(|it| it.local == local && it.remote == remote && !it.listens);
        assert!(all.iter().any(|it| it.local == place && it.listens));
        assert!(has(end, place) && has(place, end));
        drop((client, server));
        // A program that another test starts now has the files of this process until it is executed.
        let listed = || tcp_sockets().expect("the kernel lists its sockets").iter().any(|it| it.local == end);
        let gone = (0..LOOKS_MAX).any(|_| !listed());
        assert!(gone, "it waits for late packets, and nobody has it open");
        let after = tcp_sockets().expect("the kernel lists its sockets");
        assert!(after.iter().any(|it| it.local == place && it.listens));
    }
}
