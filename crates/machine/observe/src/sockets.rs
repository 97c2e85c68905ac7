use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::proc::ProcFolder;
use crate::socket_diag::tcp_sockets;
use crate::worker::read_each;
use crate::{Listing, NotVisible, ProcessId};

/// The largest table of connections that is read, bytes.
const TABLE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many open files of one process are looked at.
const OPEN_FILES_MAX: usize = 65_536;

/// How long one process may take to answer, milliseconds.
const STEP_MS_MAX: u64 = 2_000;

/// The owners of one socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketOwners {
    /// The processes that have it open. Several if a fork inherited it: then the call may come from any of them.
    pub processes: Vec<ProcessId>,
    /// The connection exists on this machine. `false` = it is gone, or was made on another machine or in a network
    /// namespace that could not be read.
    pub connection: bool,
}

/// All TCP connections of this machine and the processes that hold them, as they were when it was read.
#[derive(Debug, Clone, Default)]
pub struct Sockets {
    own_network: u64,
    /// The ports of the servers whose clients are looked up.
    servers: Vec<u16>,
    /// (network namespace, local address) to the connections from there: connections to different servers may share a
    /// port.
    by_address: BTreeMap<(u64, SocketAddr), Vec<Connection>>,
    holders: BTreeMap<u64, BTreeSet<ProcessId>>,
    /// The listening sockets of keyroll's own network namespace, and where they listen.
    listening: Vec<(SocketAddr, u64)>,
    /// Processes whose open files are not visible, and why: a connection without a known owner may be theirs.
    pub hidden: Vec<(ProcessId, NotVisible)>,
}

/// One connection, seen from this end.
#[derive(Debug, Clone, Copy)]
struct Connection {
    /// The other end.
    server: SocketAddr,
    number: u64,
}

impl Sockets {
    /// Reads the connections of every network namespace and the open sockets of every listed process. `servers`: the
    /// ports of the servers whose clients are asked for.
    ///
    /// # Errors
    /// keyroll's own table of connections cannot be read.
    pub fn read(listing: &Listing, servers: &[u16], wait: Duration) -> Result<Self, NotVisible> {
        let own = ProcFolder::open(std::process::id())?;
        let mut sockets = Self { own_network: network(&own)?, servers: servers.to_vec(), ..Self::default() };
        let mut networks = BTreeSet::new();
        sockets.add_own(&own)?;
        networks.insert(sockets.own_network);
        let processes: Vec<ProcessId> = listing.seen.iter().map(|process| process.id).collect();
        let deadline = Instant::now() + wait;
        let mut others: BTreeMap<u64, ProcessId> = BTreeMap::new();
        let step = Duration::from_millis(STEP_MS_MAX);
        read_each(&processes, step, deadline, open_sockets, &mut |process, answer| match answer {
            Ok((network, numbers)) => {
                for number in numbers {
                    sockets.holders.entry(number).or_default().insert(*process);
                }
                if !networks.contains(&network) {
                    others.entry(network).or_insert(*process);
                }
            }
            Err(NotVisible::Vanished | NotVisible::Replaced) => {}
            Err(reason) => sockets.hidden.push((*process, reason)),
        });
        let others: Vec<(u64, ProcessId)> = others.into_iter().collect();
        let read = |(_, process): &(u64, ProcessId)| tables(&ProcFolder::open_exact(process)?);
        read_each(&others, step, deadline, read, &mut |(network, process), answer| match answer {
            Ok(text) => sockets.add_table(*network, &text),
            Err(reason) => sockets.hidden.push((*process, reason)),
        });
        Ok(sockets)
    }

    /// The processes at the client's end of a connection, by the address and port that the issuer saw.
    ///
    /// A loopback address counts only in keyroll's own network namespace: every namespace has its own 127.0.0.1. The
    /// kernel may give one port to several connections to different servers. Then only connections to a port of
    /// `servers` count, if there are any; behind a network address translator there may be none.
    pub fn owners(&self, client: SocketAddr) -> SocketOwners {
        let client = plain(client);
        let own = self.by_address.get(&(self.own_network, client)).into_iter();
        let others = self.by_address.iter().filter(|((network, address), _)| {
            *address == client && *network != self.own_network && !client.ip().is_loopback()
        });
        let all: Vec<&Connection> = own.chain(others.map(|(_, connections)| connections)).flatten().collect();
        let meant = |connection: &&&Connection| self.servers.contains(&connection.server.port());
        let named: Vec<&Connection> = all.iter().filter(meant).copied().collect();
        let mut owners = SocketOwners { connection: !all.is_empty(), ..SocketOwners::default() };
        for connection in if named.is_empty() { all } else { named } {
            owners.processes.extend(self.holders.get(&connection.number).into_iter().flatten());
        }
        owners
    }

    /// The one process at the client's end of a connection; `None` = no visible process, or several that share it.
    pub fn process_of(&self, client: SocketAddr) -> Option<ProcessId> {
        match self.owners(client).processes.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// Whether a connection that a server still lists is gone: no process of this machine has a socket of it. `shown` =
    /// the clients of all connections that the server lists.
    ///
    /// Only for clients at a loopback address, and only if another of them leads from this network to a server's port:
    /// then the server is in this network, and its 127.0.0.1 is this machine. RabbitMQ 3.10 keeps some connections in
    /// its list for ever.
    /// connections in its list for ever.
    pub fn is_gone(&self, client: SocketAddr, shown: &[SocketAddr]) -> bool {
        let leads = |client: &SocketAddr| {
            let from = self.by_address.get(&(self.own_network, plain(*client))).into_iter().flatten();
            from.into_iter().any(|connection| self.servers.contains(&connection.server.port()))
        };
        let near = |client: &&SocketAddr| plain(**client).ip().is_loopback();
        near(&&client) && !leads(&client) && shown.iter().filter(near).any(leads)
    }

    /// Whether a process accepts connections at one of these addresses of this machine.
    pub fn listens(&self, process: &ProcessId, places: &[SocketAddr]) -> bool {
        let there = |at: &SocketAddr, place: &SocketAddr| {
            at.port() == place.port() && (at.ip() == place.ip() || at.ip().is_unspecified())
        };
        let meant = self.listening.iter().filter(|(at, _)| places.iter().any(|place| there(at, place)));
        let holders = meant.filter_map(|(_, number)| self.holders.get(number));
        holders.flatten().any(|holder| holder == process)
    }

    /// The addresses at which a process accepts connections.
    pub fn listening_of(&self, process: &ProcessId) -> Vec<SocketAddr> {
        self.listeners_of(process).into_iter().map(|(at, _)| at).collect()
    }

    /// The same, with the kernel's number of each socket.
    pub fn listeners_of(&self, process: &ProcessId) -> Vec<(SocketAddr, u64)> {
        let held = |number: &u64| self.holders.get(number).is_some_and(|all| all.contains(process));
        self.listening.iter().filter(|(_, number)| held(number)).copied().collect()
    }

    /// Whether a process holds the server's end of the connection from a client to one of these addresses.
    pub fn serves(&self, process: &ProcessId, places: &[SocketAddr], client: SocketAddr) -> bool {
        let client = plain(client);
        let ends = self.by_address.iter().filter(|((network, local), _)| {
            let there = |place: &SocketAddr| {
                local.port() == place.port() && (local.ip() == place.ip() || place.ip().is_unspecified())
            };
            *network == self.own_network && places.iter().any(there)
        });
        let meant = ends.flat_map(|(_, connections)| connections).filter(|it| it.server == client);
        meant.filter_map(|it| self.holders.get(&it.number)).flatten().any(|holder| holder == process)
    }

    fn add_own(&mut self, own: &ProcFolder) -> Result<(), NotVisible> {
        let Ok(found) = tcp_sockets() else {
            self.add_table(self.own_network, &tables(own)?);
            return Ok(());
        };
        for one in found {
            let (local, server, number) = (plain(one.local), plain(one.remote), one.number);
            if one.listens {
                self.listening.push((local, number));
            } else {
                let connections = self.by_address.entry((self.own_network, local)).or_default();
                connections.push(Connection { server, number });
            }
        }
        Ok(())
    }

    fn add_table(&mut self, network: u64, text: &[u8]) {
        for line in String::from_utf8_lossy(text).lines() {
            if network == self.own_network {
                self.listening.extend(listening(line));
            }
            if let Some((local, connection)) = connection(line) {
                self.by_address.entry((network, local)).or_default().push(connection);
            }
        }
    }
}

/// Whether a process is in keyroll's own network: in another network a loopback address is another machine, and an
/// issuer may see calls come from another address.
///
/// # Errors
/// The network of one of them cannot be read.
pub fn in_own_network(process: &ProcessId) -> Result<bool, NotVisible> {
    let own = network(&ProcFolder::open(std::process::id())?)?;
    Ok(network(&ProcFolder::open_exact(process)?)? == own)
}

fn network(folder: &ProcFolder) -> Result<u64, NotVisible> {
    number_in(&folder.link("ns/net")?, "net:[").ok_or(NotVisible::Malformed)
}

fn number_in(link: &std::path::Path, start: &str) -> Option<u64> {
    link.to_str()?.strip_prefix(start)?.strip_suffix(']')?.parse().ok()
}

fn tables(folder: &ProcFolder) -> Result<Zeroizing<Vec<u8>>, NotVisible> {
    let mut text = folder.read("net/tcp", TABLE_BYTES_MAX)?;
    // Without IPv6 in the kernel the second table does not exist.
    text.extend_from_slice(&folder.read("net/tcp6", TABLE_BYTES_MAX).unwrap_or_default());
    Ok(text)
}

fn open_sockets(process: &ProcessId) -> Result<(u64, Vec<u64>), NotVisible> {
    let folder = ProcFolder::open_exact(process)?;
    let mut numbers = Vec::new();
    for descriptor in folder.numbers("fd", OPEN_FILES_MAX)? {
        // A file that was closed meanwhile is no error.
        let target = folder.link(&format!("fd/{descriptor}")).unwrap_or_else(|_| PathBuf::new());
        numbers.extend(number_in(&target, "socket:["));
    }
    Ok((network(&folder)?, numbers))
}

/// One line of /proc/net/tcp or tcp6 with its local address; `None` for the header, for listening sockets
/// and for those without an owner. Source: Documentation/networking/proc_net_tcp.rst.
fn connection(line: &str) -> Option<(SocketAddr, Connection)> {
    let mut fields = line.split_ascii_whitespace();
    let local = address(fields.nth(1)?)?;
    let server = address(fields.next()?)?;
    let state = fields.next()?;
    let number = fields.nth(5)?.parse().ok()?;
    (state != "0A" && number != 0).then_some((local, Connection { server, number }))
}

/// One line of a listening socket, with where it listens.
fn listening(line: &str) -> Option<(SocketAddr, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let local = address(fields.nth(1)?)?;
    let state = fields.nth(1)?;
    let number = fields.nth(5)?.parse().ok()?;
    (state == "0A" && number != 0).then_some((local, number))
}

/// `0100007F:1F90`: each 32-bit group in the machine's own byte order, the port as a plain number.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for at in (0..host.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(plain(SocketAddr::new(ip, port)))
}

/// An IPv4 address in IPv6 notation is the same address.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_two_processes_use_towards_different_servers_is_told_by_the_server() {
        let line = |server: &str, number: u32| {
            format!("1: 0100007F:C350 0100007F:{server} 01 0:0 0:0 0 0 0 {number} 1\n")
        };
        let process = |pid| ProcessId { boot: 1, pid, start_ticks: 1 };
        let client = "127.0.0.1:50000".parse().expect("an address");
        let mut sockets = Sockets::default();
        sockets.add_table(0, line("1538", 71).as_bytes());
        sockets.holders.insert(71, BTreeSet::from([process(7)]));
        assert_eq!(sockets.process_of(client), Some(process(7)));
        sockets.add_table(0, line("1F90", 81).as_bytes());
        sockets.holders.insert(81, BTreeSet::from([process(8)]));
        assert_eq!(
            sockets.process_of(client),
            None,
            "which of the two connections the issuer saw is not told"
        );
        sockets.servers = vec![0x1F90];
        assert_eq!(sockets.process_of(client), Some(process(8)), "the issuer saw the one to its own port");
        sockets.servers = vec![1];
        assert_eq!(sockets.process_of(client), None);
        sockets.servers = vec![0x1F90, 0x1538];
        assert_eq!(sockets.process_of(client), None);
    }

    #[test]
    fn a_connection_that_only_the_server_lists_is_gone() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let (there, gone, far) = (at("127.0.0.1:50000"), at("127.0.0.1:50001"), at("10.1.2.3:50002"));
        let mut sockets = Sockets { servers: vec![0x1538], ..Sockets::default() };
        sockets.add_table(0, b"1: 0100007F:C350 0100007F:1538 01 0:0 0:0 0 0 0 71 1\n");
        // The same port also leads to another server: that connection is not one of this server's.
        sockets.add_table(0, b"1: 0100007F:C351 0100007F:1F90 01 0:0 0:0 0 0 0 72 1\n");
        assert!(sockets.is_gone(gone, &[there, gone]));
        assert!(!sockets.is_gone(there, &[there, gone]), "it is there");
        assert!(!sockets.is_gone(far, &[there, far]), "another machine has its socket");
        assert!(!sockets.is_gone(gone, &[gone, far]), "nothing shows that the server is in this network");
        sockets.own_network = 1;
        assert!(!sockets.is_gone(gone, &[there, gone]), "the server is in another network");
    }

    #[test]
    fn who_serves_a_client_is_told_by_the_other_end_of_its_connection() {
        // A pooler listens at 6432 (1920) and is itself a client of the server at 5432 (1538).
        let line = |local: &str, other: &str, number: u32| {
            format!("1: 0100007F:{local} 0100007F:{other} 01 0:0 0:0 0 0 0 {number} 1\n")
        };
        let process = |pid| ProcessId { boot: 1, pid, start_ticks: 1 };
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (pooler, server) = (process(7), process(8));
        let mut sockets = Sockets::default();
        sockets.add_table(0, line("1920", "C350", 1).as_bytes());
        sockets.add_table(0, line("C351", "1538", 2).as_bytes());
        sockets.add_table(0, line("1538", "C351", 3).as_bytes());
        sockets.holders = BTreeMap::from([(1, [pooler].into()), (2, [pooler].into()), (3, [server].into())]);
        // The session that the server lists is the pooler's own.
        assert!(sockets.serves(&server, &[at(0x1538)], at(0xC351)));
        assert!(!sockets.serves(&pooler, &[at(0x1920)], at(0xC351)), "it is the client of that one");
        assert!(
            sockets.serves(&pooler, &[at(0x1920)], at(0xC350)),
            "and serves this one, which nobody shows"
        );
        assert!(!sockets.serves(&server, &[at(0x1920)], at(0xC351)), "elsewhere");
    }

    #[test]
    fn lines_of_the_tables_are_understood() {
        let line = "   1: 0100007F:C350 0100007F:1538 01 00000000:00000000 00:00000000 00000000  1000        0 4242 1";
        let found = connection(line).map(|(local, it)| (local.to_string(), it.server.port(), it.number));
        assert_eq!(found, Some(("127.0.0.1:50000".to_owned(), 0x1538, 4242)));
        let six = "0: 0000000000000000FFFF00000100007F:C350 00000000000000000000000000000000:0000 01 0:0 0:0 0 0 0 7 1";
        let found = connection(six).map(|(local, it)| (local.to_string(), it.number));
        assert_eq!(found, Some(("127.0.0.1:50000".to_owned(), 7)));
        let listening = line.replace(" 01 ", " 0A ");
        assert!(connection(&listening).is_none());
        assert_eq!(super::listening(line), None);
        let at = "127.0.0.1:50000".parse().expect("an address");
        assert_eq!(super::listening(&listening), Some((at, 4242)));
        let process = ProcessId { boot: 1, pid: 7, start_ticks: 1 };
        let mut sockets = Sockets::default();
        sockets.add_table(0, listening.as_bytes());
        sockets.holders.insert(4242, BTreeSet::from([process]));
        assert!(sockets.listens(&process, &[at]));
        let elsewhere = ["127.0.0.2:50000", "127.0.0.1:50001"].map(|at| at.parse().expect("an address"));
        assert!(!sockets.listens(&process, &elsewhere));
        assert!(!sockets.listens(&ProcessId { pid: 8, ..process }, &[at]), "another process");
        assert!(connection("  sl  local_address rem_address   st tx_queue rx_queue").is_none());
        assert_eq!(address("zz:1"), None);
        assert_eq!(address("0100007F0:1"), None);
    }
}
