//! Waiting for the end of a started process, with a deadline.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How long a command that was asked to end may take before it is killed, milliseconds.
const END_GRACE_MS_MAX: u64 = 1_000;

/// Waits until a child that was not yet waited for has ended, or until the deadline: whether it ended.
pub(crate) fn ended_by(child: &Child, deadline: Instant) -> std::io::Result<bool> {
    let pid =
        i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::InvalidInput)?;
    // The child keeps its process id until it is waited for, so no other process can have it.
    pidfd_ended(&pidfd_open(pid, PidfdFlags::empty())?, deadline)
}

/// Waits until the process behind a descriptor has ended, or until the deadline.
pub(crate) fn pidfd_ended(descriptor: &std::os::fd::OwnedFd, deadline: Instant) -> std::io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends what is left of the process group of a child that has ended and was not waited for.
pub(crate) fn end_rest(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Ends a child and its process group: SIGTERM, then SIGKILL. The child was not waited for yet,
/// so its number, which is also the group's, cannot belong to anyone else.
pub(crate) fn end_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(group) = group else { return };
    let _ = kill_process_group(group, Signal::TERM);
    drop(ended_by(child, Instant::now() + Duration::from_millis(END_GRACE_MS_MAX)));
    // Members that ignored the request are killed while the leader still holds the number.
    let _ = kill_process_group(group, Signal::KILL);
    drop(child.wait());
}
