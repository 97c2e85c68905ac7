//! The lock under which a command records what the operator decided in open rotations. A driver that holds it is taken over,
//! but never for a request that is refused.

use std::ffi::OsStr;

use keyroll_codes::Code;
use keyroll_journal::{LockError, StateLock};
use keyroll_port::RotationId;
use keyroll_rotation::State;

use super::acquire_lock::{Disturbed, Purpose, acquire};
use crate::exit::Exit;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::next_words::{goes_on_with, goes_on_without_consent};
use crate::records::recorded::{Opened, opened};
use crate::wiring::open::{journal, not_locked, runtime, try_lock_places};

/// What is not done if the lock stays held.
const ATTEMPTED: &str = "record this in the open rotation";

/// The lock, with the driver that was ended for it.
pub(super) struct Recording {
    /// The folders as they are under the lock.
    pub(super) places: Places,
    driver: Option<Driver>,
    _lock: StateLock,
}

/// A driver that was ended.
struct Driver {
    pid: u32,
    rotation: RotationId,
    /// `keyroll serve` started it.
    of_server: bool,
}

/// Acquires the lock. If another process holds it, `judge` says first in which open rotations something would be recorded, or
/// refuses the request; only a driver of one of them is then asked to pause, as by `keyroll resume`.
///
/// # Errors
/// The request is refused, or the lock stays held.
pub(super) fn lock_to_record(
    places: &Places,
    operator: &mut dyn Operator,
    judge: impl FnOnce() -> Result<Vec<RotationId>, Problem>,
) -> Result<Recording, Problem> {
    let error = match try_lock_places(places) {
        Ok((lock, places)) => return Ok(Recording { places, driver: None, _lock: lock }),
        Err(error) => error,
    };
    let held = not_locked(ATTEMPTED, &error).exits(Exit::Failed);
    let LockError::Held { pid, work, .. } = error else { return Err(held) };
    let open = judge()?;
    let driven = open.iter().find(|id| work.as_ref().is_some_and(|work| work.rotation == **id));
    // The driver of another rotation may be ending.
    let Some(id) = driven.or(open.first()) else { return Err(held) };
    // A leaked key does not live longer for this.
    if is_emergency(places, id)? {
        let why = format!("it handles an emergency, in rotation {id}");
        return Err(held
            .because(why)
            .help(format!("keyroll status -w {id} shows it; keyroll pause {id} interrupts it")));
    }
    let of_server = pid.is_some_and(is_of_server);
    let mut driver = None;
    // A stop is not to come between the driver's end and what is recorded.
    operator.pause_on_stop();
    // Another command that records something holds the lock too, and drives nothing.
    let (guesses, later) = (false, "run the same command again".to_owned());
    let disturbed = Disturbed::Own;
    let purpose = Purpose { id, disturbed, guesses, attempted: ATTEMPTED, later };
    let locked = acquire(places, &purpose, &mut |asked| {
        operator.progress(&format!("asked process {} to pause", asked.pid));
        let of_server = of_server && pid == Some(asked.pid);
        driver = Some(Driver { pid: asked.pid, rotation: id.clone(), of_server });
    });
    operator.settle();
    let (lock, places) = locked.map_err(|problem| match (problem.code == Code::OtherDriver, &driver) {
        (true, _) => problem.exits(Exit::Failed),
        (false, Some(asked)) => problem.because(format!("process {} was asked to pause for it", asked.pid)),
        (false, None) => problem,
    })?;
    Ok(Recording { places, driver, _lock: lock })
}

impl Recording {
    /// How to continue the rotation, and which driver was ended for this.
    pub(super) fn next(&self, opened: &Opened) -> String {
        self.driver_ended(opened).unwrap_or_else(|| format!("to continue: {}", goes_on_with(opened)))
    }

    /// The same, if a driver of the rotation was ended.
    pub(super) fn driver_ended(&self, opened: &Opened) -> Option<String> {
        let driver = self.driver.as_ref().filter(|driver| driver.rotation == opened.id)?;
        Some(driver.ended(&goes_on_with(opened)))
    }

    /// What came of the request; a problem also says that a driver was ended for it.
    pub(super) fn or_driver<T>(&self, done: Result<T, Problem>) -> Result<T, Problem> {
        done.map_err(|problem| match &self.driver {
            Some(driver) => {
                let open = read(&self.places, &driver.rotation).ok();
                let state = open.as_ref().map(|open| (open.saved.secret.as_str(), &open.state));
                problem.because(driver.ended_in_vain(state))
            }
            None => problem,
        })
    }
}

impl Driver {
    /// The same where the request was refused after all. `open`: the rotation's secret and its state; none if it cannot be read.
    fn ended_in_vain(&self, open: Option<(&str, &State)>) -> String {
        let id = &self.rotation.0;
        match open {
            Some((secret, state)) => self.ended(&goes_on_without_consent(id, secret, state)),
            None => self.ended(&format!("keyroll status {id}")),
        }
    }

    fn ended(&self, again: &str) -> String {
        let Self { pid, rotation, of_server } = self;
        let server = match of_server {
            true => {
                "; keyroll serve had started it, and leaves the rotation alone until it is asked for again"
            }
            false => "",
        };
        format!(
            "process {pid} drove rotation {rotation} and has ended for this; to continue: {again}{server}"
        )
    }
}

/// The rotation as its journal has it.
fn read(places: &Places, id: &RotationId) -> Result<Opened, Problem> {
    let journal = journal(places)?;
    runtime(places)?.block_on(opened(&journal, Some(&id.0)))
}

/// Whether a rotation handles an emergency.
fn is_emergency(places: &Places, id: &RotationId) -> Result<bool, Problem> {
    Ok(read(places, id)?.state.emergency().is_some())
}

/// Whether `keyroll serve` started a process.
fn is_of_server(pid: u32) -> bool {
    let process = |pid: u32| keyroll_observe::process(pid).ok();
    let Some(driver) = process(pid) else { return false };
    process(driver.ppid)
        .is_some_and(|server| server.name == driver.name && server.args.holds(OsStr::new("serve")))
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Fact, Phase};

    use super::*;
    use crate::records::walk::Walk;
    use crate::records::walk::reach::{Row, reach};

    #[test]
    fn a_driver_that_was_ended_is_named_with_its_rotation_and_the_command_that_continues() {
        let driver = |of_server| {
            Driver { pid: 4711, rotation: RotationId("01a2".to_owned()), of_server }
                .ended("keyroll retry 01a2")
        };
        let said = "process 4711 drove rotation 01a2 and has ended for this; to continue: keyroll retry 01a2";
        assert_eq!(driver(false), said);
        assert!(driver(true).starts_with(said) && driver(true).contains("keyroll serve had started it"));
    }

    /// Red where a request that is refused names a command that the rotation refuses too, or one that ends the old key.
    #[test]
    fn a_driver_that_was_ended_for_a_refused_request_is_continued_by_what_the_rotation_takes() {
        let driver = Driver { pid: 4711, rotation: RotationId("01a2".to_owned()), of_server: false };
        let said = |state: &State| driver.ended_in_vain(Some(("acme", state)));
        let mut walk = Walk::to(Phase::Quiesce);
        walk.say(Fact::PauseAsked);
        assert!(said(&walk.state).ends_with("to continue: keyroll resume 01a2"), "{}", said(&walk.state));
        walk.say(Fact::AbortAsked);
        walk.until_the_first_is_stuck();
        assert!(said(&walk.state).ends_with("to continue: keyroll retry 01a2"), "{}", said(&walk.state));
        let consent = said(&reach(Row::ConsentPaused).state);
        assert!(consent.ends_with("to continue: keyroll resume 01a2"), "{consent}");
        assert!(driver.ended_in_vain(None).ends_with("to continue: keyroll status 01a2"));
    }
}
