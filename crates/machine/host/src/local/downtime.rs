//! The downtime of a consumer with one instance during its restart.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_manager::{Check, CheckAnswer, InstanceProcess, check};
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

impl Local {
    /// Follows the running process from before its restart.
    pub(super) fn watch_downtime(&self, id: ConsumerId, setup: &SlotSetup, running: &[InstanceProcess]) {
        let single = self.setup.consumer(id).is_some_and(|consumer| consumer.slots.len() == 1);
        if !single || !setup.run.has_downtime() || !setup.run.starts_new_process() {
            return;
        }
        let Some(main) = running.iter().find(|one| one.main).map(|one| one.process) else { return };
        let Some(watched) = begun(&mut self.memo().downtimes, id) else { return };
        let ready = setup.ready.clone();
        let deadline = Instant::now() + Duration::from_millis(GAP_MS_MAX);
        thread::spawn(move || {
            if !exited(main, deadline) {
                return;
            }
            locked(&watched).exited = Some(Instant::now());
            if let Some(ready) = ready
                && is_ready(&ready, deadline)
            {
                locked(&watched).back = Some((Instant::now(), Back::Ready));
            }
        });
    }

    /// The issuer accepted a call of the new process: without a `ready` address this ends the downtime.
    pub(super) fn downtime_shown(&self, id: ConsumerId, setup: &SlotSetup) {
        if setup.ready.is_some() {
            return;
        }
        for (_, watched) in self.memo().downtimes.iter().filter(|(of, _)| *of == id) {
            let mut watched = locked(watched);
            if watched.exited.is_some() {
                watched.back.get_or_insert_with(|| (Instant::now(), Back::Proven));
            }
        }
    }

    /// The downtimes that ended since the last answer.
    pub(super) fn take_downtimes(&self) -> Vec<Downtime> {
        let mut ended = Vec::new();
        self.memo().downtimes.retain(|(consumer, watched)| {
            let downtime = locked(watched).downtime(*consumer);
            ended.extend(downtime);
            downtime.is_none()
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
    downtimes.retain(|(of, other)| *of != id || locked(other).downtime(id).is_some());
    let watched = Arc::new(Mutex::new(DowntimeWatch::default()));
    downtimes.push((id, Arc::clone(&watched)));
    Some(watched)
}

/// Waits until this very process has ended.
fn exited(id: ProcessId, deadline: Instant) -> bool {
    let pid = i32::try_from(id.pid).ok().and_then(Pid::from_raw);
    let Some(Ok(descriptor)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return false };
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
    use super::*;

    /// A program that ended again and again was away since its first end, not since the last one.
    #[test]
    fn the_downtime_of_a_failed_attempt_goes_on_with_the_next_one() {
        let (one, other) = (ConsumerId(0), ConsumerId(1));
        let mut downtimes = Downtimes::new();
        let first = begun(&mut downtimes, one).unwrap();
        // The command failed before it ended anything: the next attempt is followed in its place.
        let second = begun(&mut downtimes, one).unwrap();
        assert!(!Arc::ptr_eq(&first, &second) && downtimes.len() == 1);
        let exited = Instant::now();
        locked(&second).exited = Some(exited);
        assert!(begun(&mut downtimes, one).is_none() && begun(&mut downtimes, other).is_some());
        // It works again: this downtime is kept until it was handed over, and the next restart has its own.
        locked(&second).back = Some((exited + Duration::from_secs(26), Back::Proven));
        assert!(begun(&mut downtimes, one).is_some());
        let ended: Vec<_> = downtimes.iter().filter_map(|(of, it)| locked(it).downtime(*of)).collect();
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].length, Duration::from_secs(26));
    }
}
