//! The lock of the state folder, also where a driver has it: one of the same rotation is asked to pause, and in an
//! emergency any.

use std::time::{Duration, Instant};

use keyroll_journal::{LockError, StateLock, Work, try_lock};
use keyroll_port::{JournalError, RotationId};

use crate::interrupt;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::index::{Index, Standing};
use crate::ui::Ui;
use crate::wiring::open::{journal, not_locked, runtime, who};

/// How long a driver that was asked to pause may take to let go, milliseconds.
const LET_GO_MS_MAX: u64 = 30_000;
/// How long a process may have the lock that drives nothing of this rotation: one that is just ending, milliseconds.
const OTHER_MS_MAX: u64 = 5_000;

/// The lock; a driver of this rotation that has it is asked to pause first, as Ctrl-C would. One of another rotation
/// is not disturbed, but in an emergency.
pub(super) fn let_go(
    places: &Places,
    id: &RotationId,
    emergency: bool,
    ui: &mut Ui,
) -> Result<StateLock, Problem> {
    places.ensure()?;
    let began = Instant::now();
    let (deadline, other_deadline) =
        (began + Duration::from_millis(LET_GO_MS_MAX), began + Duration::from_millis(OTHER_MS_MAX));
    let mut asked = false;
    loop {
        let (error, pid, work) = match try_lock(&places.state) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held { folder, pid: Some(pid), work }) if Instant::now() < deadline => {
                (LockError::Held { folder, pid: Some(pid), work: work.clone() }, pid, work)
            }
            Err(error) => return Err(not_locked("become the driver of this rotation", &error)),
        };
        interrupt::refuse_more("become the driver of this rotation", &format!("keyroll resume {id}"))?;
        let drives_it = match &work {
            Some(work) => work.rotation == *id,
            // An older keyroll does not say what for it has the lock.
            None => !asked && drives(places, id)?,
        };
        let over = Instant::now() >= other_deadline;
        if !asked && (drives_it || emergency && (work.is_some() || over)) {
            ask_to_pause(pid)?;
            ui.note(asked_to_pause(pid, work.as_ref(), drives_it));
            asked = true;
        } else if !asked && over {
            return Err(not_locked("become the driver of this rotation", &error)
                .because("it was not disturbed: nothing shows that it drives this rotation"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether the newest entry of all rotations that go on is of this one: only who has the lock writes any.
fn drives(places: &Places, id: &RotationId) -> Result<bool, Problem> {
    let reading = |error: JournalError| Problem::new("K0835", "read the rotations").because_of(&error);
    let index = runtime()?.block_on(Index::read(journal(places)?.as_ref())).map_err(reading)?;
    let goes_on = |one: &&Standing| one.state.as_ref().is_some_and(|state| state.hold().is_none());
    let last = |one: &&Standing| one.recorded.unix_ms.last().copied().unwrap_or(one.recorded.opening.unix_ms);
    Ok(index.iter().filter(goes_on).max_by_key(last).is_some_and(|one| one.id() == id))
}

fn asked_to_pause(pid: u32, work: Option<&Work>, drives_it: bool) -> String {
    let who = who(Some(pid), work);
    match work {
        Some(_) | None if drives_it => format!("{who}: it was asked to pause, as Ctrl-C would"),
        Some(work) => format!(
            "{who}: for this emergency it was asked to pause; afterwards: keyroll resume {}",
            work.rotation
        ),
        None => format!("{who}: for this emergency it was asked to end"),
    }
}

fn ask_to_pause(pid: u32) -> Result<(), Problem> {
    let problem = |error: rustix::io::Errno| {
        Problem::new("K0828", format!("ask the driver, process {pid}, to pause")).because_of(&error)
    };
    let target = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let Some(target) = target else { return Ok(()) };
    let descriptor = match rustix::process::pidfd_open(target, rustix::process::PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        // It ended meanwhile: the lock is free, or another has it by now.
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(problem(error)),
    };
    // The number was read from a file: one of another PID namespace, or of before, may be anybody's here.
    let name = |pid: u32| keyroll_observe::process(pid).ok().map(|process| process.name);
    let Some(other) = name(pid) else { return Ok(()) };
    if Some(other) != name(std::process::id()) {
        return Err(Problem::new("K0828", format!("ask the driver, process {pid}, to pause"))
            .because("the process of that number is no keyroll")
            .help("pause the driver where it runs, then run the command again"));
    }
    // Not as Ctrl-C, of which a second one ends it at once; and one that was stopped by Ctrl-Z goes on, to hear it.
    rustix::process::pidfd_send_signal(&descriptor, rustix::process::Signal::TERM).map_err(problem)?;
    rustix::process::pidfd_send_signal(&descriptor, rustix::process::Signal::CONT).map_err(problem)
}
