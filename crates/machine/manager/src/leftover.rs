use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_observe::{NotVisible, ProcessId};
use keyroll_port::{Class, Failure};
use rustix::process::{Pid, PidfdFlags, Signal, getpgid, kill_process_group, pidfd_open};

use crate::wait::pidfd_ended;

/// How long a killed process may take to be gone, milliseconds.
const KILL_MS_MAX: u64 = 5_000;

/// The outcome of a command that an earlier driver had started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// It runs no more, or its number belongs to another process by now.
    Gone,
    /// It ended by itself before the deadline.
    EndedItself,
    /// It was ended, with its process group.
    Killed,
}

/// Awaits a recorded command of a dead driver until `deadline`, then ends it with its process group. Only the recorded
/// process is ended. The effect of the command is unknown in each case.
///
/// # Errors `K0402`: it may not be ended, or does not end.
pub fn end_leftover(process: &ProcessId, deadline: Instant) -> Result<Leftover, Failure> {
    let failed = |class| {
        Failure::new(class, Code::RestartFailed, format!("end process {} of an earlier run", process.pid))
            .help("end it by hand")
    };
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else { return Ok(Leftover::Gone) };
    let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        Err(rustix::io::Errno::SRCH) => return Ok(Leftover::Gone),
        Err(error) => return Err(failed(Class::Retryable).because(std::io::Error::from(error))),
    };
    // Checked after the descriptor was opened: if the process id now belongs to the recorded process, so does the
    // descriptor.
    match keyroll_observe::process(process.pid) {
        Ok(now) if now.id == *process => {}
        Ok(_) | Err(NotVisible::Vanished) => return Ok(Leftover::Gone),
        Err(reason) => return Err(failed(Class::Retryable).because(reason)),
    }
    let gone = |deadline| {
        pidfd_ended(&descriptor, deadline).map_err(|error| failed(Class::Retryable).because(error))
    };
    if gone(deadline)? {
        return Ok(Leftover::EndedItself);
    }
    // Every command is started as the leader of its own group; if it is not, nothing else may be ended with it.
    let killed = match getpgid(Some(pid)) {
        Ok(group) if group == pid => kill_process_group(pid, Signal::KILL),
        Ok(_) | Err(_) => rustix::process::pidfd_send_signal(&descriptor, Signal::KILL),
    };
    killed.map_err(|error| failed(Class::Permanent).because(std::io::Error::from(error)))?;
    match gone(Instant::now() + Duration::from_millis(KILL_MS_MAX))? {
        true => Ok(Leftover::Killed),
        false => Err(failed(Class::Unknown).because("it was killed and does not end")),
    }
}
