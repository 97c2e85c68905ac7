use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_observe::{Listing, Process, ProcessId, descendants};
use keyroll_port::{Class, Failure};
use rustix::process::Signal;

use crate::declaration::{DeclarationError, Key, KeyForm, Manager};
use crate::facts::Notice::NoneFails;
use crate::facts::{daily, nightly};
use crate::find::list;
use crate::settle::{Settling, settle};
use crate::signal::{named_signal, send, signal_name};
use crate::{Applied, AppliedBy, Attempt, Comparison, Find, InstanceProcess, ManagerFact, Workload};

/// The time between two looks while workers are replaced, milliseconds.
const STEP_MS: u64 = 50;

/// How long fewer workers than before must stay the same to count as complete.
const FEWER_SETTLE: Duration = Duration::from_secs(8);

/// A master that forks workers before they are needed, as gunicorn does. The workers use the value, and each of them
/// must be proven. The master is not a worker: if it holds a value, it counts like any other process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreforkMaster {
    /// The file with the master's process id.
    pub pid_file: PathBuf,
    /// How its workers are replaced.
    pub roll: Roll,
}

/// How a master's workers are replaced. If the master loads the application before it forks (`preload_app`), none of
/// these ways helps: the new workers inherit what the master has loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roll {
    /// A signal, by number, on which the master forks new workers and ends the old ones.
    Signal(i32),
    /// One by one: an old worker is asked to end, and the master forks another in its place.
    Workers,
    /// One by one, the new one first: the master forks one more (`TTIN`), then ends its oldest
    /// (`TTOU`).
    GrowAndShrink,
}

impl PreforkMaster {
    fn replace_workers(&self, deadline: Instant) -> Result<Applied, Failure> {
        let (master, before) = self.look()?;
        let Some(master) = master else {
            return Err(self
                .failed(Class::Retryable)
                .because("its pid file names no process")
                .help("start the service"));
        };
        if before.is_empty() {
            return Err(self
                .failed(Class::Retryable)
                .because("it has no workers")
                .help("see why in its log"));
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
                    // It may have ended by itself in the meantime.
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
                    .because(format!("a worker did not end or start in time: {} run", now.len()))
                    .help("see its log"));
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
        let found = self.forked(&listing)?;
        let master = self.master(&listing)?;
        Ok((master, found.iter().filter(|one| one.main).map(|one| one.process).collect()))
    }

    fn master(&self, listing: &Listing) -> Result<Option<ProcessId>, Failure> {
        let find = Find::PidFile { path: self.pid_file.clone(), exe: None };
        Ok(find.instances_in(listing, &[])?.iter().find(|one| one.main).map(|one| one.process))
    }

    fn forked(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        let Some(master) = self.master(listing)? else { return Ok(Vec::new()) };
        if let Some(hidden) = listing.hidden.first() {
            return Err(Failure::new(
                Class::Retryable,
                Code::ProcessesHidden,
                "look at the workers of a master",
            )
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
        Failure::new(
            class,
            Code::WorkersNotReplaced,
            format!("replace the workers of {}", self.pid_file.display()),
        )
    }
}

/// Python's own resource tracker: each master that starts its workers as programs of their own (uvicorn) has one. It
/// gets no requests, reads no configuration, and stays when the workers are replaced.
fn is_beside(process: &Process) -> bool {
    process.args.any(|word| word.starts_with(b"from multiprocessing.resource_tracker import"))
}

/// A master with workers that it forked.
pub(crate) static MASTER: Manager = Manager {
    keys: &[
        Key::new(
            "master",
            KeyForm::Path,
            "The PID file of a master process that forks workers, such as gunicorn: `./run/gunicorn.pid`. keyroll requires evidence from each worker.",
        ),
        Key::new(
            "reload",
            KeyForm::Text,
            "With `master`: how the workers are replaced. `HUP` (default), `USR1`, `USR2`: keyroll sends the master this signal. `workers`: keyroll sends SIGTERM to one worker after another. `TTIN`: for each worker, keyroll sends the master SIGTTIN, which adds a worker, and then SIGTTOU, which ends one.",
        ),
    ],
    with: &["ready", "drain"],
    only: "the manager knows its processes: `ready` and `drain` alone go with it",
    example: "{ master = \"./gunicorn.pid\" }",
    facts: &[
        ManagerFact {
            manager: "`master`",
            source: "a file that a worker reads when it is forked",
            verb: "`HUP` (or `USR1`, `USR2`) to the master; or worker by worker",
            wrong: "the same with an application that is loaded before the fork (`preload_app`)",
            downtime: "none with `HUP` or `TTIN` (if keyroll is killed between `TTIN` and `TTOU`, one extra worker stays); one worker at a time with `workers`",
            evidence: "each worker's memory and connections; no old worker may be left",
            test: "every_worker_is_replaced_however_the_master_is_told",
            services: &[
                daily("gunicorn-hup", NoneFails),
                nightly("gunicorn-workers", NoneFails),
                nightly("gunicorn-ttin", NoneFails),
                nightly("prefork-usr2", NoneFails),
                nightly("uvicorn-hup", NoneFails),
            ],
        },
        ManagerFact {
            manager: "`master`",
            source: "an application that the master has loaded, or its environment",
            verb: "none: restart the master (`restart`, `unit`)",
            wrong: "`HUP`: new workers with the old value",
            downtime: "-",
            evidence: "its workers still use the old value; the master still holds it",
            test: "workers_of_a_preloading_gunicorn_are_not_believed",
            services: &[],
        },
    ],
    survey: None,
    read: |of| {
        let roll = match of.text("reload") {
            Some("workers") => Roll::Workers,
            Some("TTIN") => Roll::GrowAndShrink,
            Some(name) => Roll::Signal(
                named_signal(name)
                    .filter(|_| WORDS.contains(&name.trim_start_matches("SIG")))
                    .ok_or_else(|| DeclarationError::one_of("reload", &WORDS))?,
            ),
            None => Roll::Signal(Signal::HUP.as_raw()),
        };
        Ok(Arc::new(PreforkMaster { pid_file: of.needed_path("master")?.to_owned(), roll }))
    },
};

/// What may stand behind `reload`.
const WORDS: [&str; 5] = ["HUP", "USR1", "USR2", "workers", "TTIN"];

impl Workload for PreforkMaster {
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        self.replace_workers(attempt.deadline)
    }

    fn applied_by(&self) -> AppliedBy {
        let master = format!("the master in {}", self.pid_file.display());
        AppliedBy::Request(match self.roll {
            Roll::Signal(number) => format!("sends {} to {master}", signal_name(number)),
            Roll::Workers => format!("sends SIGTERM to each worker of {master}, one after the other"),
            Roll::GrowAndShrink => {
                format!("sends SIGTTIN and then SIGTTOU to {master}, for each of its workers")
            }
        })
    }

    fn instances_in(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.forked(listing)
    }

    fn needs_listing(&self) -> bool {
        true
    }

    /// The master goes on while its workers are replaced.
    fn has_downtime(&self) -> bool {
        false
    }

    fn comparison(&self) -> Comparison {
        Comparison::NotVisible("it reads the value by itself when it reloads")
    }

    fn pid_file(&self) -> Option<&Path> {
        Some(&self.pid_file)
    }
}
