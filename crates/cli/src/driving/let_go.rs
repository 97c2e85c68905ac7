//! The lock of the state folder, also where a driver has it: that of the same rotation is asked to pause.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use keyroll_journal::{LockError, StateLock, try_lock};
use keyroll_port::{JournalError, RotationId};

use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::index::Index;
use crate::ui::Ui;
use crate::wiring::open::{self, journal, runtime};

/// How long a driver that was asked to pause may take to let go, milliseconds.
const LET_GO_MS_MAX: u64 = 30_000;
/// How long a process may have the lock that drives nothing of this rotation: one that is just ending, milliseconds.
const OTHER_MS_MAX: u64 = 5_000;

/// The lock; a driver of one of these rotations that has it is asked to pause first, as Ctrl-C would. One of another
/// rotation is not disturbed.
pub(super) fn let_go(places: &Places, ids: &[RotationId], ui: &mut Ui) -> Result<StateLock, Problem> {
    places.ensure()?;
    let began = Instant::now();
    let (deadline, other_deadline) =
        (began + Duration::from_millis(LET_GO_MS_MAX), began + Duration::from_millis(OTHER_MS_MAX));
    let mut asked = false;
    let mut known = Known::default();
    loop {
        match try_lock(&places.state) {
            Ok(lock) => return Ok(lock),
            Err(error) => {
                let pid = held_by(&error).filter(|_| Instant::now() < deadline);
                let Some(pid) = pid else { return open::lock(places) };
                if !asked {
                    match known.driven(places)? {
                        Some(driven) if ids.contains(&driven) => {
                            interrupt(pid)?;
                            ui.note(format!(
                                "process {pid} drives rotation {driven}: it was asked to pause, as Ctrl-C would"
                            ));
                            asked = true;
                        }
                        driven if Instant::now() >= other_deadline => return Err(other(pid, driven)),
                        Some(_) | None => {}
                    }
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// What was read of the journal, until it changes.
#[derive(Default)]
struct Known(Option<(Vec<Written>, Option<RotationId>)>);

/// How long a file is and when it was written.
type Written = Option<(u64, SystemTime)>;

impl Known {
    fn driven(&mut self, places: &Places) -> Result<Option<RotationId>, Problem> {
        // Looked at before it is read: what is written meanwhile is a change.
        let now = written(places);
        if let Some((before, driven)) = &self.0
            && *before == now
        {
            return Ok(driven.clone());
        }
        let driven = driven(places)?;
        self.0 = Some((now, driven.clone()));
        Ok(driven)
    }
}

/// The journal's files; a commit is in the log beside the database first.
fn written(places: &Places) -> Vec<Written> {
    let database = places.journal();
    let mut log = database.clone().into_os_string();
    log.push("-wal");
    let of = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.len(), meta.modified().ok()?))
    };
    vec![of(&database), of(Path::new(&log))]
}

/// The rotation that whoever has the lock drives, as far as the journal tells: one that is open and does not stand
/// still. Of several the one with the newest entry, for only who has the lock writes any.
fn driven(places: &Places) -> Result<Option<RotationId>, Problem> {
    let reading = |error: JournalError| Problem::new("K0835", "read the rotations").because_of(&error);
    let index = runtime()?.block_on(Index::read(journal(places)?.as_ref())).map_err(reading)?;
    let mut newest: Option<(u64, RotationId)> = None;
    // The newest stand first: where times are equal the first stays.
    for one in index.iter() {
        let at = one.recorded.unix_ms.last().copied().unwrap_or(one.recorded.opening.unix_ms);
        let goes_on = one.state.as_ref().is_some_and(|state| state.hold().is_none());
        if goes_on && newest.as_ref().is_none_or(|(before, _)| at > *before) {
            newest = Some((at, one.id().clone()));
        }
    }
    Ok(newest.map(|(_, id)| id))
}

fn other(pid: u32, driven: Option<RotationId>) -> Problem {
    let problem = Problem::new("K0828", "become the driver of this rotation").exits(Exit::Held);
    match driven {
        Some(id) => problem
            .because(format!("process {pid} drives another one, {id}, and was not disturbed"))
            .help(format!("keyroll status -w {id} follows it until it ends; keyroll pause {id} stops it")),
        None => problem
            .because(format!("process {pid} has the state folder, and drives nothing of this rotation"))
            .help("keyroll status -w follows the rotation that is driven now"),
    }
}

fn held_by(error: &LockError) -> Option<u32> {
    if let LockError::Held { pid, .. } = error { *pid } else { None }
}

fn interrupt(pid: u32) -> Result<(), Problem> {
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
    rustix::process::pidfd_send_signal(&descriptor, rustix::process::Signal::INT).map_err(problem)
}
