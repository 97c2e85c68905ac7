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

/// The longest that a driver may take to pause and release the lock, milliseconds.
const LET_GO_MS_MAX: u64 = 30_000;
/// The longest that a process without this rotation may hold the lock, such as one that is ending, milliseconds.
const OTHER_MS_MAX: u64 = 5_000;

/// Acquires the lock. A driver of this rotation is asked to pause first; a driver of another rotation only in an
/// emergency. Returns the folders as they are under the lock.
pub(crate) fn acquire_lock(
    places: &Places,
    id: &RotationId,
    emergency: bool,
    operator: &mut dyn Operator,
) -> Result<(StateLock, Places), Problem> {
    places.ensure()?;
    let began = Instant::now();
    let (deadline, other_deadline) =
        (began + Duration::from_millis(LET_GO_MS_MAX), began + Duration::from_millis(OTHER_MS_MAX));
    let mut asked = false;
    loop {
        let (error, pid, work) = match try_lock_places(places) {
            Ok(locked) => return Ok(locked),
            Err(LockError::Held { folder, pid: Some(pid), work }) if Instant::now() < deadline => {
                (LockError::Held { folder, pid: Some(pid), work: work.clone() }, pid, work)
            }
            Err(error) => return Err(not_locked("become the driver of this rotation", &error)),
        };
        interrupt::refuse_more("become the driver of this rotation", &format!("keyroll resume {id}"))?;
        let drives_it = match &work {
            Some(work) => work.rotation == *id,
            // An older keyroll does not record why it holds the lock.
            None => !asked && drives(places, id)?,
        };
        let over = Instant::now() >= other_deadline;
        if !asked && (drives_it || emergency && (work.is_some() || over)) {
            ask_to_pause(pid)?;
            operator.note(asked_to_pause(pid, work.as_ref(), drives_it));
            asked = true;
        } else if !asked && over {
            return Err(not_locked("become the driver of this rotation", &error)
                .because("keyroll did not interrupt it: nothing shows that it drives this rotation"));
        }
        std::thread::sleep(Duration::from_millis(50));
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

fn asked_to_pause(pid: u32, work: Option<&Work>, drives_it: bool) -> String {
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

fn ask_to_pause(pid: u32) -> Result<(), Problem> {
    let problem = |error: rustix::io::Errno| {
        Problem::new(Code::OtherDriver, format!("ask the driver, process {pid}, to pause")).because_of(&error)
    };
    let target = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let Some(target) = target else { return Ok(()) };
    let descriptor = match rustix::process::pidfd_open(target, rustix::process::PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        // The process ended: the lock is free, or another process holds it.
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(problem(error)),
    };
    // The process id comes from a file: it may be of another PID namespace, or reused by another process.
    let name = |pid: u32| keyroll_observe::process(pid).ok().map(|process| process.name);
    let Some(other) = name(pid) else { return Ok(()) };
    if Some(other) != name(std::process::id()) {
        return Err(Problem::new(Code::OtherDriver, format!("ask the driver, process {pid}, to pause"))
            .because("the process with that id is not keyroll")
            .help("pause the driver where it runs, then run the command again"));
    }
    // SIGTERM and not SIGINT, because a second SIGINT ends a driver at once. SIGCONT wakes a driver stopped by Ctrl-Z.
    rustix::process::pidfd_send_signal(&descriptor, rustix::process::Signal::TERM).map_err(problem)?;
    rustix::process::pidfd_send_signal(&descriptor, rustix::process::Signal::CONT).map_err(problem)
}
