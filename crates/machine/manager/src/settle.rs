use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_observe::ProcessId;
use keyroll_port::{Class, Failure};

use crate::command::Ended;
use crate::instance::InstanceProcess;

/// The time between two looks while processes settle, milliseconds.
const STEP_MS: u64 = 100;

/// How long the new processes must stay the same to count as applied.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// What should settle, and how its failure is reported.
pub(crate) struct Settling<'a> {
    /// `app bot of pm2`.
    pub(crate) what: &'a str,
    /// The command that shows why it failed.
    pub(crate) see: &'a str,
    /// The old processes, which must be gone.
    pub(crate) before: &'a BTreeSet<ProcessId>,
    /// The smallest number of processes.
    pub(crate) at_least: usize,
    /// Fewer processes are enough if they stay the same for this long: some old processes may have been about to
    /// end, as after a reload that was interrupted.
    pub(crate) fewer_after: Option<Duration>,
}

impl Settling<'_> {
    /// How long processes must stay the same to count.
    fn time_for(&self, whole: bool) -> Duration {
        if whole { SETTLE } else { self.fewer_after.unwrap_or(SETTLE) }
    }
}

/// The main processes of a look.
pub(crate) fn mains(found: &[InstanceProcess]) -> BTreeSet<ProcessId> {
    found.iter().filter(|one| one.main).map(|one| one.process).collect()
}

/// Waits until the old processes are gone and as many new ones run, and then until these have stayed the same for the
/// whole settle time: a process that dies a second after its start is reported as running first.
///
/// # Errors
/// `K0402`: they did not come, or did not stay. The effect is unknown: the manager was already called.
pub(crate) fn settle(
    of: &Settling<'_>,
    deadline: Instant,
    look: &mut dyn FnMut() -> Result<BTreeSet<ProcessId>, Failure>,
) -> Result<(), Failure> {
    let mut stays: Option<(BTreeSet<ProcessId>, Instant)> = None;
    loop {
        let now = look().map_err(|failure| Failure { class: Class::Unknown, ..failure })?;
        let whole = |all: &BTreeSet<ProcessId>| all.len() >= of.at_least;
        let enough = whole(&now) || (of.fewer_after.is_some() && !now.is_empty());
        let moved = enough && now.is_disjoint(of.before);
        match &stays {
            Some((first, _)) if *first != now && whole(first) => {
                return Err(fell(of, "one of its processes ended again, or another one was started"));
            }
            Some((first, _)) if *first != now => stays = moved.then(|| (now, Instant::now())),
            Some((first, since)) if since.elapsed() >= of.time_for(whole(first)) => return Ok(()),
            Some(_) => {}
            None if moved => stays = Some((now, Instant::now())),
            None if Instant::now() >= deadline => {
                let old = now.intersection(of.before).next();
                let why = old.map_or_else(
                    || format!("{} of {} processes run", now.len(), of.at_least),
                    |old| format!("the old process {} still runs", old.pid),
                );
                return Err(fell(of, &why));
            }
            None => {}
        }
        if Instant::now() >= deadline {
            return Err(fell(of, "the deadline passed before it had settled"));
        }
        std::thread::sleep(Duration::from_millis(STEP_MS));
    }
}

fn fell(of: &Settling<'_>, why: &str) -> Failure {
    Failure::new(Class::Unknown, Code::RestartFailed, format!("see {} stay up on the new value", of.what))
        .because(why.to_owned())
        .help(format!("{} tells why", of.see))
}

/// A query changes nothing: an unknown outcome is retryable.
pub(crate) fn question(failure: Failure) -> Failure {
    let class = if failure.class == Class::Unknown { Class::Retryable } else { failure.class };
    Failure { class, ..failure }
}

/// The output of a manager's tool: names and numbers are parsed from it, and it is never displayed as it is.
pub(crate) fn text(ended: &Ended) -> String {
    ended.output.as_ref().map(|said| String::from_utf8_lossy(said.expose()).into_owned()).unwrap_or_default()
}
