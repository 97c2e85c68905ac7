use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyroll_observe::{Listing, Process, ProcessId, descendants};
use keyroll_port::{Class, Failure};
use rustix::process::Signal;

use crate::find::list;
use crate::process::send;
use crate::settle::{Settling, settle};
use crate::{Applied, Find, InstanceProcess};

/// How often it is looked while workers come and go, milliseconds.
const STEP_MS: u64 = 50;

/// How long fewer workers than before must stay the same to count as all that there will be.
const FEWER_SETTLE: Duration = Duration::from_secs(8);

/// A master that forks workers before they are needed, as gunicorn does. The workers use the value; each of them is
/// proven, and the master is none of them: what it holds itself makes it a holder like any other process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// The file with the master's process number.
    pub pid_file: PathBuf,
    /// How its workers are replaced.
    pub roll: Roll,
}

/// How a master's workers are replaced. Where it loads the program before it forks (`preload_app`) none of them helps:
/// the new workers have what the master has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roll {
    /// A signal, by number, on which the master forks new workers and ends the old ones.
    Signal(i32),
    /// One after the other: an old worker is asked to end, and the master forks another in its place.
    Workers,
    /// One after the other, the new one first: the master is told to fork one more (`TTIN`), then to end its oldest
    /// (`TTOU`).
    GrowAndShrink,
}

impl Master {
    pub(crate) fn apply(&self, deadline: Instant) -> Result<Applied, Failure> {
        let (master, before) = self.look()?;
        let Some(master) = master else {
            return Err(self
                .failed(Class::Retryable)
                .because("its pid file names no process")
                .help("start the service, then `keyroll resume`"));
        };
        if before.is_empty() {
            return Err(self
                .failed(Class::Retryable)
                .because("it has no workers")
                .help("see why in its log, then `keyroll resume`"));
        }
        let tell = |process: &ProcessId, signal: Signal, class: Class| {
            send(process, signal).map_err(|error| self.failed(class).because(error))
        };
        match self.roll {
            Roll::Signal(number) => {
                let signal = Signal::from_named_raw(number).ok_or_else(|| {
                    self.failed(Class::Permanent).because("there is no signal of that number")
                })?;
                tell(&master, signal, Class::Retryable)?;
            }
            Roll::Workers => {
                for worker in &before {
                    // It may have ended by itself since it was seen.
                    if self.workers()?.contains(worker) {
                        tell(worker, Signal::TERM, Class::Unknown)?;
                    }
                    self.until(deadline, |now| !now.contains(worker) && now.len() >= before.len())?;
                }
            }
            Roll::GrowAndShrink => {
                for _ in &before {
                    tell(&master, Signal::TTIN, Class::Unknown)?;
                    self.until(deadline, |now| now.len() > before.len())?;
                    tell(&master, Signal::TTOU, Class::Unknown)?;
                    self.until(deadline, |now| now.len() <= before.len())?;
                }
            }
        }
        let what = format!("the workers of master {}", master.pid);
        let (at_least, fewer_after) = (before.len(), Some(FEWER_SETTLE));
        let of = Settling { what: &what, see: "its log", before: &before, at_least, fewer_after };
        settle(&of, deadline, &mut || self.workers())?;
        Ok(Applied::without_output(format!("{} workers of master {} replaced", before.len(), master.pid)))
    }

    fn until(&self, deadline: Instant, holds: impl Fn(&BTreeSet<ProcessId>) -> bool) -> Result<(), Failure> {
        loop {
            let now = self.workers().map_err(|failure| Failure { class: Class::Unknown, ..failure })?;
            if holds(&now) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self
                    .failed(Class::Unknown)
                    .because(format!("a worker did not go or come in time: {} run", now.len()))
                    .help("see its log, then `keyroll resume` or `keyroll abort`"));
            }
            std::thread::sleep(Duration::from_millis(STEP_MS));
        }
    }

    fn workers(&self) -> Result<BTreeSet<ProcessId>, Failure> {
        Ok(self.look()?.1)
    }

    /// The master, and the workers that it has forked itself.
    fn look(&self) -> Result<(Option<ProcessId>, BTreeSet<ProcessId>), Failure> {
        let listing = list()?;
        let found = self.instances_in(&listing)?;
        let master = self.master(&listing)?;
        Ok((master, found.iter().filter(|one| one.main).map(|one| one.process).collect()))
    }

    fn master(&self, listing: &Listing) -> Result<Option<ProcessId>, Failure> {
        let find = Find::PidFile { path: self.pid_file.clone(), exe: None };
        Ok(find.instances_in(listing, &[])?.iter().find(|one| one.main).map(|one| one.process))
    }

    pub(crate) fn instances_in(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        let Some(master) = self.master(listing)? else { return Ok(Vec::new()) };
        if let Some(hidden) = listing.hidden.first() {
            return Err(Failure::new(Class::Retryable, "K0411", "look at the workers of a master")
                .because(hidden.reason.clone())
                .help("run keyroll as root or as the consumer's user"));
        }
        let exe = listing.seen.iter().find(|process| process.id == master).and_then(|it| it.exe.as_ref());
        let all = descendants(listing, master);
        let alike = all.iter().filter(|worker| {
            !is_beside(worker) && (worker.forked || (exe.is_some() && worker.exe.as_ref() == exe))
        });
        Ok(alike
            .map(|worker| InstanceProcess {
                process: worker.id,
                instance: None,
                main: worker.ppid == master.pid,
            })
            .collect())
    }

    fn failed(&self, class: Class) -> Failure {
        Failure::new(class, "K0434", format!("replace the workers of {}", self.pid_file.display()))
    }
}

/// Python's own keeper of shared resources: each master that starts its workers as programs of their own (uvicorn) has
/// one beside them. It is handed no request, reads no configuration, and stays when the workers are replaced.
fn is_beside(process: &Process) -> bool {
    process.args.any(|word| word.starts_with(b"from multiprocessing.resource_tracker import"))
}
