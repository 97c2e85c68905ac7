use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::detach::{mark_opens, open_events};
use crate::{NotVisible, ProcessId, Program, process};

/// How often the reading thread checks whether the watch was dropped, milliseconds.
const TURN_MS: u64 = 500;

/// How much is read at once, bytes: more than a hundred events.
const EVENTS_BYTES: usize = 8192;

/// `sizeof(struct fanotify_event_metadata)`, which every event begins with. Source: linux/fanotify.h.
const EVENT_BYTES: usize = 24;

/// `FAN_Q_OVERFLOW` of linux/fanotify.h: events were lost.
const LOST: u64 = 0x4000;

/// Records which processes open one file from now on, in any mount namespace and under any name. Only root may watch. A
/// process outside keyroll's own PID namespace has no number here and is not reported. The file is watched, not its
/// path: another file that takes the path must be watched separately.
pub struct OpenWatch {
    seen: Arc<Mutex<Opened>>,
}

#[derive(Default)]
struct Opened {
    by: BTreeSet<(ProcessId, Program)>,
    ended: Option<NotVisible>,
}

impl OpenWatch {
    /// Watches an open file, beginning now.
    ///
    /// # Errors
    /// Not visible: this user may not watch, or the file system reports no opens.
    pub fn on(file: impl AsFd) -> Result<Self, NotVisible> {
        let events = open_events().map_err(|error| NotVisible::of_io(&error))?;
        mark_opens(events.as_fd(), file.as_fd()).map_err(|error| NotVisible::of_io(&error))?;
        let seen = Arc::<Mutex<Opened>>::default();
        let told = Arc::clone(&seen);
        // A thread, so that a process is looked up as soon as it opens the file: its number may soon belong to another
        // process.
        std::thread::Builder::new()
            .name("opens".into())
            .spawn(move || follow(&events, &told))
            .map_err(|error| NotVisible::of_io(&error))?;
        Ok(Self { seen })
    }

    /// Whether a process was seen to open the file while it ran this program.
    ///
    /// # Errors
    /// Not visible: the watch has ended, and this process was not seen before that.
    pub fn saw(&self, process: &ProcessId, program: Program) -> Result<bool, NotVisible> {
        let seen = locked(&self.seen);
        let opened = seen.by.iter().any(|(by, run)| by == process && !run.differs(program));
        match (opened, &seen.ended) {
            (true, _) => Ok(true),
            (false, None) => Ok(false),
            (false, Some(why)) => Err(why.clone()),
        }
    }
}

/// Whether opens can be watched by this user at all.
pub fn sees_opens() -> bool {
    open_events().is_ok() && rustix::process::geteuid().is_root()
}

fn locked(seen: &Mutex<Opened>) -> MutexGuard<'_, Opened> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn follow(events: &OwnedFd, told: &Arc<Mutex<Opened>>) {
    let turn = Timespec::try_from(Duration::from_millis(TURN_MS)).ok();
    let mut bytes = vec![0; EVENTS_BYTES];
    // The watch was dropped.
    while Arc::strong_count(told) > 1 {
        match poll(&mut [PollFd::new(events, PollFlags::IN)], turn.as_ref()) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => return end(told, NotVisible::of(errno)),
        }
        match rustix::io::read(events, bytes.as_mut_slice()) {
            Ok(read) => note(bytes.get(..read).unwrap_or_default(), told),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return end(told, NotVisible::of(errno)),
        }
    }
}

fn end(told: &Mutex<Opened>, why: NotVisible) {
    locked(told).ended = Some(why);
}

fn note(mut bytes: &[u8], told: &Mutex<Opened>) {
    let own = std::process::id();
    while let Some((length, mask, pid)) = event(bytes) {
        if mask & LOST != 0 {
            end(told, NotVisible::TooLarge);
        }
        if let Some(process) = pid.filter(|pid| *pid != own).and_then(|pid| process(pid).ok()) {
            locked(told).by.insert((process.id, process.program));
        }
        bytes = bytes.get(length..).unwrap_or_default();
    }
}

/// Length, mask and process of the first event; the number is 0 or less for a process of another PID namespace.
fn event(bytes: &[u8]) -> Option<(usize, u64, Option<u32>)> {
    let head = bytes.first_chunk::<EVENT_BYTES>()?;
    let word = |at: usize| head.get(at..at + 4).and_then(|word| word.first_chunk::<4>().copied());
    let length = usize::try_from(u32::from_ne_bytes(word(0)?)).ok()?;
    let mask = u64::from_ne_bytes(head.get(8..16)?.first_chunk::<8>().copied()?);
    let pid = u32::try_from(i32::from_ne_bytes(word(20)?)).ok().filter(|pid| *pid != 0);
    (length >= EVENT_BYTES).then_some((length, mask, pid))
}
