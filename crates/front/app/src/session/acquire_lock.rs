//! Acquires the lock of the state folder, and asks a driver of the same rotation to pause; in an emergency any driver.

use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_journal::{LockError, StateLock, Work};
use keyroll_port::RotationId;

use crate::interrupt;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::index::{Index, OpenRotation};
use crate::records::recorded::{last_unix_ms, rotations_unread};
use crate::wiring::open::{journal, not_locked, runtime, try_lock_places, who};

/// The longest that a driver may take to pause and release the lock, milliseconds: one that cannot write its journal leaves
/// after 30 s.
const LET_GO_MS_MAX: u64 = 45_000;
/// The longest that a process without this rotation may hold the lock, such as one that is ending, milliseconds.
const OTHER_MS_MAX: u64 = 5_000;

/// How often the lock is tried again.
const LOOK_MS: Duration = Duration::from_millis(50);

/// Why a driver that was asked to pause still holds the lock after [`LET_GO_MS_MAX`].
const LATE: &str =
    "it was asked to pause, and has not released the lock within 45 s: a step in hand ends first";

/// Why a driver of another rotation, or of an unknown one, was not asked to pause.
const NOT_ITS: &str = "keyroll did not interrupt it: nothing shows that it drives this rotation";

/// Why a driver of this rotation was not asked to pause.
const NOBODY: &str =
    "keyroll could not ask it to pause: the process with that id has ended, or is this command itself";

/// Which drivers are asked to pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbed {
    Nobody,
    /// The driver of the same rotation.
    Own,
    /// A driver of any rotation: an emergency.
    All,
}

impl Disturbed {
    /// An emergency waits for no driver.
    pub(crate) fn in_an(emergency: bool) -> Self {
        if emergency { Self::All } else { Self::Own }
    }
}

/// What the lock is acquired for.
pub(super) struct Purpose<'a> {
    /// The rotation.
    pub(super) id: &'a RotationId,
    pub(super) disturbed: Disturbed,
    /// A holder of the lock that does not say what it drives is compared with the journal.
    pub(super) guesses: bool,
    /// What is not done if the lock stays held.
    pub(super) attempted: &'static str,
    /// The command for later, if a stop is requested.
    pub(super) later: String,
}

/// A process that was asked to pause.
pub(super) struct Asked<'a> {
    pub(super) pid: u32,
    /// The rotation that it drives, if it says so.
    work: Option<&'a Work>,
    /// It drives the rotation that the lock is acquired for.
    drives_it: bool,
}

/// Acquires the lock, and asks these drivers to pause first. Returns the folders as they are under the lock. `again` is the
/// command that wants it: what was asked for is not begun if a stop is requested.
pub(crate) fn acquire_lock(
    places: &Places,
    id: &RotationId,
    disturbed: Disturbed,
    again: String,
    operator: &mut dyn Operator,
) -> Result<(StateLock, Places), Problem> {
    let attempted = "become the driver of this rotation";
    let purpose = Purpose { id, disturbed, guesses: true, attempted, later: again };
    acquire(places, &purpose, &mut |asked| operator.note(asked_to_pause(asked)))
}

/// As [`acquire_lock`]; `told` is called with the process that was asked to pause.
pub(super) fn acquire(
    places: &Places,
    purpose: &Purpose<'_>,
    told: &mut dyn FnMut(&Asked<'_>),
) -> Result<(StateLock, Places), Problem> {
    places.ensure()?;
    let began = Instant::now();
    let (deadline, other_deadline) =
        (began + Duration::from_millis(LET_GO_MS_MAX), began + Duration::from_millis(OTHER_MS_MAX));
    // One that has ended meanwhile releases the lock.
    let nobody_deadline = other_deadline + Duration::from_millis(OTHER_MS_MAX);
    let mut asked = None;
    loop {
        let error = match try_lock_places(places) {
            Ok(locked) => return Ok(locked),
            Err(error @ LockError::Held { pid: Some(_), .. }) if Instant::now() < deadline => error,
            // Nobody can ask it, but it may be ending, in particular if it was asked before.
            Err(LockError::Held { pid: None, .. })
                if Instant::now() < if asked.is_some() { deadline } else { other_deadline } =>
            {
                interrupt::refuse_more(purpose.attempted, &purpose.later)?;
                std::thread::sleep(LOOK_MS);
                continue;
            }
            Err(error) => {
                let late = matches!(&error, LockError::Held { pid: Some(pid), .. } if asked == Some(*pid));
                let problem = not_locked(purpose.attempted, &error);
                return Err(if late { problem.because(LATE) } else { problem });
            }
        };
        let LockError::Held { pid: Some(pid), listed, work, .. } = &error else { continue };
        let (pid, listed) = (*pid, *listed);
        interrupt::refuse_more(purpose.attempted, &purpose.later)?;
        let drives_it = match work {
            Some(work) => work.rotation == *purpose.id,
            // An older keyroll does not record why it holds the lock.
            None => purpose.guesses && asked.is_none() && drives(places, purpose.id)?,
        };
        let over = Instant::now() >= other_deadline;
        let wanted = match purpose.disturbed {
            Disturbed::Nobody if drives_it => return Err(not_locked(purpose.attempted, &error)),
            Disturbed::Nobody => false,
            Disturbed::Own => drives_it,
            Disturbed::All => drives_it || work.is_some() || over,
        };
        if asked.is_none() && wanted && ask_to_pause(pid, listed)? {
            told(&Asked { pid, work: work.as_ref(), drives_it });
            asked = Some(pid);
        } else if asked.is_none() && over && (!wanted || Instant::now() >= nobody_deadline) {
            return Err(not_locked(purpose.attempted, &error).because(if wanted { NOBODY } else { NOT_ITS }));
        }
        std::thread::sleep(LOOK_MS);
    }
}

/// True if the newest entry of all open rotations belongs to this one: only the holder of the lock appends entries.
fn drives(places: &Places, id: &RotationId) -> Result<bool, Problem> {
    let index =
        runtime(places)?.block_on(Index::read(journal(places)?.as_ref())).map_err(rotations_unread)?;
    let goes_on = |one: &&OpenRotation| one.state.as_ref().is_some_and(|state| state.hold().is_none());
    let last = |one: &&OpenRotation| last_unix_ms(&one.recorded);
    Ok(index.iter().filter(goes_on).max_by_key(last).is_some_and(|one| one.id() == id))
}

fn asked_to_pause(asked: &Asked<'_>) -> String {
    let &Asked { pid, work, drives_it } = asked;
    let who = who(Some(pid), work);
    match work {
        Some(_) | None if drives_it => format!("{who}: asked it to pause, as Ctrl-C does"),
        Some(work) => format!(
            "{who}: asked it to pause for this emergency; afterwards: keyroll resume {}",
            work.rotation
        ),
        None => format!("{who}: asked it to end for this emergency"),
    }
}

/// Asks a process to pause. `listed`: the kernel says that it holds the lock. Returns whether it was asked: if no process has
/// that id any more, the lock is free in a moment, or another process holds it.
fn ask_to_pause(pid: u32, listed: bool) -> Result<bool, Problem> {
    let problem = |error: rustix::io::Errno| {
        Problem::new(Code::OtherDriver, format!("ask the driver, process {pid}, to pause")).because_of(&error)
    };
    // The process id may come from a file, so it may even be the one of this command.
    let target = i32::try_from(pid).ok().filter(|_| pid != std::process::id());
    let Some(target) = target.and_then(rustix::process::Pid::from_raw) else { return Ok(false) };
    let descriptor = match rustix::process::pidfd_open(target, rustix::process::PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        Err(error) => return Err(problem(error)),
    };
    // Or be reused by another process. The kernel's own word needs no name, which it may hide (`hidepid` of proc(5)).
    let name = |pid: u32| keyroll_observe::process(pid).ok().map(|process| process.name);
    let other = name(pid);
    if other.is_none() && !listed {
        return match rustix::process::test_kill_process(target) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(problem(error)),
        };
    }
    if other.is_some() && other != name(std::process::id()) {
        return Err(Problem::new(Code::OtherDriver, format!("ask the driver, process {pid}, to pause"))
            .because("the process with that id is not keyroll")
            .help("pause the driver where it runs, then run the command again"));
    }
    // SIGTERM and not SIGINT, because a second SIGINT ends a driver at once. SIGCONT wakes a driver stopped by Ctrl-Z.
    match rustix::process::pidfd_send_signal(&descriptor, rustix::process::Signal::TERM) {
        Ok(()) => {}
        // It ended by itself.
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        Err(error) => return Err(problem(error)),
    }
    match rustix::process::pidfd_send_signal(&descriptor, rustix::process::Signal::CONT) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(true),
        Err(error) => Err(problem(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::nobody::Nobody;

    /// The folders, and a rotation that this process drives.
    fn driven_here(folder: &std::path::Path) -> (Places, RotationId, StateLock) {
        let places = Places::within(folder);
        places.ensure().unwrap();
        let lock = keyroll_journal::try_lock(&places.state).unwrap();
        let id = RotationId("a1".repeat(16));
        lock.works_on(&Work { rotation: id.clone(), secret: "ring".to_owned(), since_unix_ms: 1 });
        (places, id, lock)
    }

    /// A driver may have begun after the command looked. A request to pause would end this process.
    #[test]
    fn a_driver_that_nobody_may_disturb_is_not_asked_to_pause() {
        let folder = tempfile::tempdir().unwrap();
        let (places, id, _lock) = driven_here(folder.path());
        let again = format!("keyroll retry {id}");
        let refused =
            acquire_lock(&places, &id, Disturbed::Nobody, again, &mut Nobody::default()).unwrap_err();
        assert_eq!(refused.code, Code::OtherDriver);
        assert!(refused.causes[0].contains(&format!("process {}", std::process::id())), "{refused:?}");
    }

    /// Red: the command sends SIGTERM to itself and ends, or counts as asked a process that nobody asked, and waits 45 s for it.
    #[test]
    fn this_process_and_one_that_has_ended_are_never_asked_to_pause() {
        let folder = tempfile::tempdir().unwrap();
        let (places, id, _lock) = driven_here(folder.path());
        let again = format!("keyroll pause {id}");
        let refused = acquire_lock(&places, &id, Disturbed::Own, again, &mut Nobody::default()).unwrap_err();
        assert_eq!((refused.code, refused.causes.last().unwrap().as_str()), (Code::OtherDriver, NOBODY));
        // Above the largest id that a kernel gives.
        for listed in [false, true] {
            assert!(!ask_to_pause((1 << 22) + 1, listed).unwrap());
            assert!(!ask_to_pause(u32::MAX, listed).unwrap());
            assert!(!ask_to_pause(0, listed).unwrap());
        }
    }
}
