//! The downtime of a consumer with one instance during its restart.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_manager::{Check, CheckAnswer, InstanceProcess, Workload, check, instances};
use keyroll_observe::{ProcessId, process};
use keyroll_port::{Back, Downtime};
use keyroll_rotation::ConsumerId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::memo::{DowntimeWatch, Downtimes, locked};
use super::{Local, SlotSetup};

/// How long a downtime is followed, milliseconds.
const GAP_MS_MAX: u64 = 180_000;

/// How often the new process is asked whether it is ready, milliseconds: the precision of the measurement.
const READY_PAUSE_MS: u64 = 10;

/// How long one readiness question may take, milliseconds.
const READY_MS_MAX: u64 = 2_000;

/// How long a process that became ready is followed, milliseconds. One that ends sooner did not work; one that ends later was
/// ended, as by a person who restarts it.
const SETTLED_MS: u64 = 10_000;

impl Local {
    /// Follows the running process from before its restart.
    pub(super) fn watch_downtime(&self, id: ConsumerId, setup: &SlotSetup, running: &[InstanceProcess]) {
        let single = self.setup.consumer(id).is_some_and(|consumer| consumer.slots.len() == 1);
        if !single || !setup.run.has_downtime() || !setup.run.starts_new_process() {
            return;
        }
        let Some(main) = main_of(running) else { return };
        let Some(watched) = begun(&mut self.memo().downtimes, id) else { return };
        let (ready, run) = (setup.ready.clone(), Arc::clone(&setup.run));
        let deadline = Instant::now() + Duration::from_millis(GAP_MS_MAX);
        thread::spawn(move || {
            let becomes_ready = || ready.as_ref().is_some_and(|ready| is_ready(ready, deadline));
            follow(&watched, main, deadline, becomes_ready, || main_process(run.as_ref()));
        });
    }

    /// The issuer accepted a call of the new process: without a `ready` address this ends the downtime.
    pub(super) fn downtime_shown(&self, id: ConsumerId, setup: &SlotSetup) {
        if setup.ready.is_some() {
            return;
        }
        for (_, watched) in self.memo().downtimes.iter().filter(|(of, _)| *of == id) {
            let mut watched = locked(watched);
            if watched.exited.is_some() && watched.back.is_none() {
                watched.is_back(Back::Proven);
            }
        }
    }

    /// The downtimes that ended since the last answer.
    pub(super) fn take_downtimes(&self) -> Vec<Downtime> {
        let mut ended = Vec::new();
        self.memo().downtimes.retain(|(consumer, watched)| {
            let mut watched = locked(watched);
            ended.extend(watched.measured(*consumer));
            watched.is_followed || watched.back.is_none()
        });
        ended
    }
}

/// Begins to follow a restart. `None`: an earlier process has ended, and nothing was seen to work since. The process that runs
/// now is a failed attempt, and the downtime of before goes on.
fn begun(downtimes: &mut Downtimes, id: ConsumerId) -> Option<Arc<Mutex<DowntimeWatch>>> {
    let lasts = |watched: &DowntimeWatch| watched.exited.is_some() && watched.back.is_none();
    if downtimes.iter().any(|(of, watched)| *of == id && lasts(&locked(watched))) {
        return None;
    }
    downtimes.retain(|(of, other)| *of != id || locked(other).replaced(id));
    let watched = Arc::new(Mutex::new(DowntimeWatch { is_followed: true, ..DowntimeWatch::default() }));
    downtimes.push((id, Arc::clone(&watched)));
    Some(watched)
}

/// Times from the end of a process until the next one is ready. If that one ends soon, the downtime goes on: it is measured again,
/// from the first end. Whether a process that was ready answers later is not asked: it runs.
fn follow(
    watched: &Mutex<DowntimeWatch>,
    first: ProcessId,
    deadline: Instant,
    becomes_ready: impl Fn() -> bool,
    main_process: impl Fn() -> Option<ProcessId>,
) {
    let (mut process, mut until) = (first, deadline);
    while exited(process, until) {
        let lasts = locked(watched).ended();
        if !lasts || !becomes_ready() {
            break;
        }
        locked(watched).is_back(Back::Ready);
        let Some(next) = main_process().filter(|next| *next != process) else { break };
        (process, until) = (next, deadline.min(Instant::now() + Duration::from_millis(SETTLED_MS)));
    }
    locked(watched).is_followed = false;
}

/// The first process of a workload that runs now.
fn main_process(run: &dyn Workload) -> Option<ProcessId> {
    main_of(&instances(run).ok()?)
}

fn main_of(running: &[InstanceProcess]) -> Option<ProcessId> {
    running.iter().find(|one| one.main).map(|one| one.process)
}

/// Waits until this very process has ended.
fn exited(id: ProcessId, deadline: Instant) -> bool {
    let pid = i32::try_from(id.pid).ok().and_then(Pid::from_raw);
    let descriptor = match pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Some(Ok(descriptor)) => descriptor,
        Some(Err(rustix::io::Errno::SRCH)) => return true,
        Some(Err(_)) | None => return false,
    };
    // Another process may have got the process id before the descriptor was opened.
    if process(id.pid).map_or(true, |now| now.id != id) {
        return true;
    }
    while Instant::now() < deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(limit) = Timespec::try_from(left) else { return false };
        match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
    false
}

fn is_ready(ready: &Check, deadline: Instant) -> bool {
    while Instant::now() < deadline {
        let limit = Instant::now() + Duration::from_millis(READY_MS_MAX);
        if matches!(check(ready, None, limit.min(deadline), &mut None), Ok(CheckAnswer::Passed)) {
            return true;
        }
        thread::sleep(Duration::from_millis(READY_PAUSE_MS));
    }
    false
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::process::{Child, Command};

    use super::*;

    const ONE: ConsumerId = ConsumerId(0);

    /// A program that ended again and again was away since its first end, not since the last one.
    #[test]
    fn the_downtime_of_a_failed_attempt_goes_on_with_the_next_one() {
        let other = ConsumerId(1);
        let mut downtimes = Downtimes::new();
        let first = begun(&mut downtimes, ONE).unwrap();
        // The command failed before it ended anything: the next attempt is followed in its place.
        let second = begun(&mut downtimes, ONE).unwrap();
        assert!(!Arc::ptr_eq(&first, &second) && downtimes.len() == 1);
        let exited = Instant::now();
        locked(&second).exited = Some(exited);
        assert!(begun(&mut downtimes, ONE).is_none() && begun(&mut downtimes, other).is_some());
        // It works again: this downtime is kept until it was handed over, and the next restart has its own.
        locked(&second).back = Some((exited + Duration::from_secs(26), Back::Proven));
        assert!(begun(&mut downtimes, ONE).is_some());
        let ended: Vec<_> = downtimes.iter().filter_map(|(of, it)| locked(it).downtime(*of)).collect();
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].length, Duration::from_secs(26));
    }

    /// A process that ends with the test.
    struct Runs(Child);

    impl Runs {
        fn start() -> Self {
            Self(Command::new("/bin/sleep").arg("600").spawn().unwrap())
        }

        fn id(&self) -> ProcessId {
            process(self.0.id()).unwrap().id
        }

        fn end(&mut self) {
            self.0.kill().unwrap();
        }
    }

    impl Drop for Runs {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    /// The processes of a program, one after the other, and how often they were asked whether they are ready.
    struct Loops {
        all: RefCell<Vec<Runs>>,
        runs: Cell<usize>,
        asked: Cell<usize>,
    }

    impl Loops {
        fn of(count: usize) -> Self {
            let all = (0..count).map(|_| Runs::start()).collect();
            Self { all: RefCell::new(all), runs: Cell::new(0), asked: Cell::new(0) }
        }

        /// The process that runs now has ended; another one runs.
        fn end(&self) {
            self.all.borrow_mut()[self.runs.get()].end();
            self.runs.set(self.runs.get() + 1);
        }

        fn id(&self) -> ProcessId {
            self.all.borrow()[self.runs.get()].id()
        }
    }

    /// Red: the second measurement is missing, or it is counted from the second end; or a process that was ready is asked again.
    #[test]
    fn a_process_that_ends_soon_after_it_was_ready_did_not_end_the_downtime() {
        let loops = Loops::of(4);
        let mut downtimes = Downtimes::new();
        let watched = begun(&mut downtimes, ONE).unwrap();
        let first = loops.id();
        loops.end();
        let measured = RefCell::new(Vec::new());
        let becomes_ready = || {
            let open = locked(&watched);
            assert!(open.exited.is_some() && open.back.is_none(), "it lasts until a process is ready");
            loops.asked.set(loops.asked.get() + 1);
            true
        };
        let main_process = || {
            let next = loops.id();
            let one = locked(&watched).measured(ONE).map(|one| one.length);
            measured.borrow_mut().extend(one);
            assert!(locked(&watched).measured(ONE).is_none(), "it is handed over once");
            // The last one stays, and is not found: nobody waits for its end.
            let ends = measured.borrow().len() < 3;
            ends.then(|| {
                loops.end();
                next
            })
        };
        follow(&watched, first, Instant::now() + Duration::from_secs(60), becomes_ready, main_process);
        let lengths = measured.into_inner();
        assert_eq!((lengths.len(), loops.asked.get()), (3, 3), "{lengths:?}");
        assert!(lengths.is_sorted(), "each is longer, from the first end: {lengths:?}");
        let now = locked(&watched);
        assert!(!now.is_followed && now.back.is_some());
    }

    /// Red: a restart of its own, as by a rollback, counts as the same downtime.
    #[test]
    fn a_process_that_keyroll_restarts_again_begins_another_downtime() {
        let loops = Loops::of(3);
        let mut downtimes = Downtimes::new();
        let watched = begun(&mut downtimes, ONE).unwrap();
        let first = loops.id();
        loops.end();
        let asked = Cell::new(0);
        let becomes_ready = || {
            asked.set(asked.get() + 1);
            true
        };
        let again = RefCell::new(None);
        let main_process = || {
            let next = loops.id();
            *again.borrow_mut() = begun(&mut downtimes.clone(), ONE);
            loops.end();
            Some(next)
        };
        follow(&watched, first, Instant::now() + Duration::from_secs(60), becomes_ready, main_process);
        assert_eq!(asked.get(), 1);
        let again = again.into_inner().unwrap();
        assert!(!Arc::ptr_eq(&again, &watched));
        assert!(locked(&watched).measured(ONE).is_some(), "the first one is still to be handed over");
    }
}
