//! The processes behind a proxy's address, and which of them took a connection.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use keyroll_observe::{Listing, NotVisible, Process, ProcessId, Sockets};

use super::ask::{Connection, ProxyEndpoint, ProxyResponse, Question};

/// How many connections are opened until a given worker takes one: the kernel gives each to the first worker that
/// accepts.
pub(super) const CONNECTIONS_MAX: usize = 400;

/// How long to wait until a worker takes a connection, milliseconds: a busy worker takes it later.
const TAKEN_MS_MAX: u64 = 3_000;

/// The time between two looks at which worker took a connection, milliseconds.
const STEP_MS: u64 = 5;

/// The longest time for reading the sockets of all processes, milliseconds.
const LISTENERS_MS_MAX: u64 = 10_000;

/// How long a look at the workers' sockets may take, milliseconds.
const SOCKETS_MS_MAX: u64 = 2_000;

/// The processes that listen at the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The process that starts the workers; `None` = there is one process, which answers itself.
    pub master: Option<ProcessId>,
    /// The processes that answer.
    pub workers: BTreeSet<ProcessId>,
}

impl Proxy {
    /// The listed processes that listen at the address; `None` = no visible process does.
    ///
    /// # Errors The sockets of this machine, or of a possible worker, cannot be read; in words.
    pub fn at(address: SocketAddr, listing: &Listing) -> Result<Option<Self>, String> {
        let wait = Duration::from_millis(LISTENERS_MS_MAX);
        let sockets = Sockets::read(listing, &[], wait).map_err(|error| error.to_string())?;
        let listens = |process: &&Process| sockets.listens(&process.id, &[address]);
        let holders: Vec<&Process> = listing.seen.iter().filter(listens).collect();
        let proxy = Self::of(&holders)?;
        match proxy.as_ref().and_then(|proxy| proxy.unseen(listing, &sockets.hidden)) {
            Some(why) => Err(why),
            None => Ok(proxy),
        }
    }

    /// A process that may be one more worker: a child of the master whose open files are not visible.
    fn unseen(&self, listing: &Listing, hidden: &[(ProcessId, NotVisible)]) -> Option<String> {
        let top = self.top()?;
        let child = |id: &ProcessId| listing.seen.iter().any(|one| one.id == *id && one.ppid == top.pid);
        let (process, why) = hidden.iter().find(|(id, _)| child(id))?;
        Some(not_visible(process, why))
    }

    /// The first of its processes.
    fn top(&self) -> Option<&ProcessId> {
        self.master.as_ref().or(self.workers.first())
    }

    /// Whether a process belongs to the proxy, or is an ancestor of it. Any other process proves nothing about the
    /// workers.
    pub fn has(&self, process: &ProcessId, listing: &Listing) -> bool {
        let find = |pid: u32| listing.seen.iter().find(|one| one.id.pid == pid);
        let below = |one: &ProcessId, other: &ProcessId| {
            let mut up =
                std::iter::successors(find(one.pid).filter(|seen| seen.id == *one), |one| find(one.ppid))
                    .take(listing.seen.len());
            up.any(|above| above.id == *other)
        };
        self.top().is_some_and(|top| below(top, process) || below(process, top))
    }

    /// The master and each worker that it started have the socket. Any other process that has it answers requests too,
    /// and would be asked without being replaced.
    fn of(holders: &[&Process]) -> Result<Option<Self>, String> {
        let mut tops = holders.iter().filter(|one| !holders.iter().any(|other| other.id.pid == one.ppid));
        let Some(top) = tops.next() else { return Ok(None) };
        let workers: BTreeSet<ProcessId> =
            holders.iter().filter(|one| one.ppid == top.id.pid).map(|one| one.id).collect();
        let apart = holders.iter().find(|one| one.id != top.id && !workers.contains(&one.id));
        if let Some(other) = apart {
            return Err(format!(
                "process {} listens there beside process {} and its workers: which of them answers is not visible",
                other.id.pid, top.id.pid
            ));
        }
        Ok(Some(match workers.is_empty() {
            true => Self { master: None, workers: BTreeSet::from([top.id]) },
            false => Self { master: Some(top.id), workers },
        }))
    }

    /// Sends a request to exactly this worker: opens connections until it has taken one, and closes the others without
    /// sending anything.
    pub(super) fn ask(
        &self,
        door: &ProxyEndpoint,
        worker: &ProcessId,
        question: &Question<'_>,
        connections: usize,
        deadline: Instant,
    ) -> Result<ProxyResponse, String> {
        for _ in 0..connections {
            let connection = Connection::open(door, deadline)?;
            let taken = self.taken_by(door, &connection, deadline)?;
            if taken == Some(*worker) {
                return connection.send(door, question);
            }
        }
        Err(format!("process {} took none of {connections} connections", worker.pid))
    }

    /// The worker that took a connection; `None` = none did in time.
    fn taken_by(
        &self,
        door: &ProxyEndpoint,
        connection: &Connection,
        deadline: Instant,
    ) -> Result<Option<ProcessId>, String> {
        let listing = Listing { seen: self.workers.iter().map(plain).collect(), ..Listing::default() };
        let until = deadline.min(Instant::now() + Duration::from_millis(TAKEN_MS_MAX));
        loop {
            let wait = Duration::from_millis(SOCKETS_MS_MAX);
            let sockets = Sockets::read(&listing, &[], wait).map_err(|error| error.to_string())?;
            let takes = |worker: &&ProcessId| sockets.serves(worker, &[door.address], connection.local());
            let takers: Vec<&ProcessId> = self.workers.iter().filter(takes).collect();
            // During a fork, both processes have it.
            if let [one] = takers.as_slice() {
                return Ok(Some(**one));
            }
            if let Some((process, why)) = sockets.hidden.first() {
                return Err(not_visible(process, why));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(STEP_MS));
        }
    }
}

fn not_visible(process: &ProcessId, why: &NotVisible) -> String {
    format!("the open files of process {} are not visible: {why}", process.pid)
}

/// A process of which only the id is used.
fn plain(id: &ProcessId) -> Process {
    Process {
        id: *id,
        ppid: 0,
        uid: None,
        name: String::new(),
        exe: None,
        exe_deleted: false,
        args: keyroll_observe::Arguments::default(),
        cgroup: None,
        forked: false,
        program: keyroll_observe::Program::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, ppid: u32) -> Process {
        Process { ppid, ..plain(&ProcessId { boot: 1, pid, start_ticks: 1 }) }
    }

    #[test]
    fn the_master_is_who_started_the_others() {
        let (master, one, two) = (process(10, 1), process(11, 10), process(12, 10));
        let proxy = Proxy::of(&[&two, &one, &master]).unwrap().unwrap();
        assert_eq!(proxy.master, Some(master.id));
        assert_eq!(proxy.workers, BTreeSet::from([one.id, two.id]));
        let alone = Proxy::of(&[&master]).unwrap().unwrap();
        assert_eq!((alone.master, alone.workers), (None, BTreeSet::from([master.id])));
        assert_eq!(Proxy::of(&[]), Ok(None));
        let (other, below) = (process(20, 1), process(13, 12));
        for stranger in [&other, &below] {
            let said = Proxy::of(&[&master, &one, &two, stranger]).unwrap_err();
            assert!(said.contains(&format!("process {}", stranger.id.pid)), "{said}");
        }
    }

    #[test]
    fn a_worker_that_shows_nothing_of_itself_is_not_left_out() {
        let (master, one, two) = (process(10, 1), process(11, 10), process(12, 10));
        let proxy = Proxy::of(&[&master, &one]).unwrap().unwrap();
        let listing = Listing { seen: vec![master, one, two, process(20, 1)], ..Listing::default() };
        let hidden = |pid| vec![(process(pid, 0).id, NotVisible::OutOfTime)];
        assert!(proxy.unseen(&listing, &hidden(12)).is_some_and(|why| why.contains("process 12")));
        assert_eq!(proxy.unseen(&listing, &hidden(20)), None, "no child of the master");
    }

    #[test]
    fn whoever_is_neither_above_nor_below_it_is_none_of_its_own() {
        let all = [(5, 1), (10, 5), (11, 10), (12, 10), (13, 12), (20, 1), (21, 20), (1, 0)];
        let seen: Vec<Process> = all.iter().map(|(pid, ppid)| process(*pid, *ppid)).collect();
        let proxy = Proxy::of(&[&seen[1], &seen[2], &seen[3]]).unwrap().unwrap();
        let id = |pid| process(pid, 0).id;
        let listing = Listing { seen, ..Listing::default() };
        let its: Vec<u32> =
            all.iter().map(|one| one.0).filter(|pid| proxy.has(&id(*pid), &listing)).collect();
        assert_eq!(its, [5, 10, 11, 12, 13, 1]);
        let another = ProcessId { start_ticks: 2, ..id(10) };
        assert!(!proxy.has(&another, &listing), "the number of one that is gone");
    }
}
