//! How long a consumer with one instance was not there while it restarted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_manager::{Check, CheckAnswer, check, instances};
use keyroll_observe::{ProcessId, process};
use keyroll_port::{Back, Gap};
use keyroll_rotation::ConsumerId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Local, SlotSetup};

/// How long a gap is followed, milliseconds.
const GAP_MS_MAX: u64 = 180_000;

/// How often the new process is asked whether it is ready, milliseconds: the measure is as fine as this.
const READY_PAUSE_MS: u64 = 10;

/// How long one question may take, milliseconds.
const READY_MS_MAX: u64 = 2_000;

/// Gaps that are being measured, and those that were.
#[derive(Default)]
pub(super) struct Gaps {
    open: HashMap<ConsumerId, Arc<Mutex<Watched>>>,
    ended: Vec<Gap>,
}

/// What was seen of one gap so far.
#[derive(Default)]
struct Watched {
    exited: Option<Instant>,
    back: Option<(Instant, Back)>,
}

fn locked(watched: &Mutex<Watched>) -> std::sync::MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Local {
    /// Follows the process that runs now, from before it is restarted.
    pub(super) fn watch_gap(&self, id: ConsumerId, setup: &SlotSetup) {
        let single = self.setup.consumer(id).is_some_and(|consumer| consumer.slots.len() == 1);
        if !single || !setup.run.goes_away() {
            return;
        }
        let main = instances(&setup.run).ok().and_then(|all| all.into_iter().find(|one| one.main));
        let Some(main) = main else { return };
        let watched = Arc::new(Mutex::new(Watched::default()));
        self.memo().gaps.open.insert(id, Arc::clone(&watched));
        let ready = setup.ready.clone();
        let deadline = Instant::now() + Duration::from_millis(GAP_MS_MAX);
        thread::spawn(move || {
            if !exited(main.process, deadline) {
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

    /// The issuer has accepted the new process: without a `ready` address this is when it was back.
    pub(super) fn gap_shown(&self, id: ConsumerId, setup: &SlotSetup) {
        if setup.ready.is_some() {
            return;
        }
        if let Some(watched) = self.memo().gaps.open.get(&id) {
            let mut watched = locked(watched);
            if watched.exited.is_some() {
                watched.back.get_or_insert_with(|| (Instant::now(), Back::Proven));
            }
        }
    }

    /// The gaps that ended since the last call.
    pub(super) fn take_gaps(&self) -> Vec<Gap> {
        let mut memo = self.memo();
        let gaps = &mut memo.gaps;
        let mut ended = Vec::new();
        gaps.open.retain(|consumer, watched| {
            let watched = locked(watched);
            let (Some(exited), Some((at, back))) = (watched.exited, watched.back) else { return true };
            ended.push(Gap { consumer: *consumer, length: at.saturating_duration_since(exited), back });
            false
        });
        gaps.ended.append(&mut ended);
        std::mem::take(&mut gaps.ended)
    }
}

/// Waits until this very process has ended.
fn exited(id: ProcessId, deadline: Instant) -> bool {
    let pid = i32::try_from(id.pid).ok().and_then(Pid::from_raw);
    let Some(Ok(descriptor)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return false };
    // The number may have been given to another process before the descriptor was opened.
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
