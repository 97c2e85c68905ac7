//! Signals that a service takes as a request to reload, and sending one to exactly one process.

use keyroll_observe::ProcessId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The signals that a service may take as a request.
pub(crate) const SIGNAL_NAMES: [&str; 7] = ["HUP", "USR1", "USR2", "INT", "TERM", "QUIT", "WINCH"];

/// The number of a signal by one of [`SIGNAL_NAMES`], with or without `SIG`.
pub(crate) fn named_signal(name: &str) -> Option<i32> {
    let short = name.strip_prefix("SIG").unwrap_or(name);
    SIGNAL_NAMES.contains(&short).then(|| signal_by_name(short)).flatten()
}

/// The number of a signal by its name (`HUP`, `SIGHUP`) or number, of those that a service may take as a request.
pub fn signal_by_name(name: &str) -> Option<i32> {
    let known =
        [("HUP", Signal::HUP), ("USR1", Signal::USR1), ("USR2", Signal::USR2), ("TERM", Signal::TERM)];
    let more = [("INT", Signal::INT), ("QUIT", Signal::QUIT), ("WINCH", Signal::WINCH)];
    let short = name.strip_prefix("SIG").unwrap_or(name);
    let by_name = known.iter().chain(&more).find(|(one, _)| *one == short).map(|(_, signal)| signal.as_raw());
    by_name.or_else(|| {
        known.iter().chain(&more).map(|(_, one)| one.as_raw()).find(|raw| raw.to_string() == name)
    })
}

/// The name of a signal, of those that a service may take as a request.
pub(crate) fn signal_name(number: i32) -> String {
    let name = SIGNAL_NAMES.iter().find(|name| signal_by_name(name) == Some(number));
    name.map_or_else(|| format!("signal {number}"), |name| format!("SIG{name}"))
}

/// Sends a signal to exactly this process: the descriptor is opened before the identity is checked, so a process id
/// that was given to another process in between is noticed.
pub(crate) fn send(process: &ProcessId, signal: Signal) -> std::io::Result<()> {
    let pid =
        i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::InvalidInput)?;
    let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
    match keyroll_observe::process(process.pid) {
        Ok(now) if now.id == *process => Ok(pidfd_send_signal(&descriptor, signal)?),
        Ok(_) | Err(_) => {
            Err(std::io::Error::new(std::io::ErrorKind::NotFound, "the process ended meanwhile"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(signal_by_name("HUP"), Some(1));
        assert_eq!(signal_by_name("SIGUSR1"), signal_by_name("USR1"));
        assert_eq!(signal_by_name("1"), Some(1));
        assert_eq!((signal_name(1), signal_name(9)), ("SIGHUP".to_owned(), "signal 9".to_owned()));
        for refused in ["", "KILL", "9", "STOP", "HUPX", "-1", "99"] {
            assert_eq!(signal_by_name(refused), None, "{refused}");
        }
    }
}
