use std::fmt;
use std::time::Instant;

use keyroll_observe::ProcessId;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::command::{Output, With, run};
use crate::{Applied, CommandLine, Find, InstanceProcess};

/// Plain processes, in one or several named instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The instances' names; empty for a single one. They are taken one at a time.
    pub instances: Vec<String>,
    /// How its processes are found.
    pub find: Find,
    /// What applies a value.
    pub verb: Verb,
}

/// What makes a plain process take a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// A command that restarts it; `{instance}` stands for the instance's name.
    Restart(CommandLine),
    /// A signal, by number, to the main process: it reads its files again.
    Signal(i32),
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

impl Process {
    pub(crate) fn apply(
        &self,
        instance: Option<&str>,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Applied, Failure> {
        self.check_named(instance)?;
        match &self.verb {
            Verb::Restart(line) => restart(&line.filled(instance)?, deadline, started),
            Verb::Signal(number) => self.signal(*number, instance),
        }
    }

    fn check_named(&self, instance: Option<&str>) -> Result<(), Failure> {
        let known =
            instance.map_or(self.instances.is_empty(), |name| self.instances.iter().any(|one| one == name));
        if known {
            return Ok(());
        }
        let named =
            instance.map_or("without naming an instance".into(), |name| format!("`{}`", name.escape_debug()));
        Err(Failure::new(Class::Permanent, "K0401", format!("restart {named}"))
            .because(format!("its instances are: {}", self.instances.join(", "))))
    }

    fn signal(&self, number: i32, instance: Option<&str>) -> Result<Applied, Failure> {
        let failed = |class| Failure::new(class, "K0405", format!("send signal {number}"));
        let signal = Signal::from_named_raw(number)
            .ok_or_else(|| failed(Class::Permanent).because("there is no signal of that number"))?;
        let names: Vec<String> = instance.iter().map(|&name| name.to_owned()).collect();
        let mains: Vec<InstanceProcess> =
            self.find.instances(&names)?.into_iter().filter(|process| process.main).collect();
        if mains.is_empty() {
            return Err(failed(Class::Retryable)
                .because("no process of the instance runs")
                .help("start the service, then `keyroll resume`"));
        }
        let mut sent: Vec<String> = Vec::new();
        for main in &mains {
            // After the first one something was done, so a later failure leaves the effect unknown.
            let class = if sent.is_empty() { Class::Retryable } else { Class::Unknown };
            send(&main.process, signal).map_err(|error| failed(class).because(error))?;
            sent.push(main.process.pid.to_string());
        }
        Ok(Applied::without_output(format!("sent signal {number} to {}", sent.join(", "))))
    }
}

/// Sends a signal to this very process: the descriptor is opened first and the identity asked afterwards, so a number
/// that was given to another process in between is noticed and never hit.
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

/// How a command failed. Shown as its status alone; what it wrote may hold a value, and is for whoever can cut that out.
pub struct Said {
    /// Its exit status, in words.
    pub status: String,
    /// The beginning of its output.
    pub output: Option<SecretBytes>,
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Said({})", self.status)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.status)
    }
}

impl std::error::Error for Said {}

/// Runs a restart command. A status other than 0 leaves the effect unknown: it may have stopped half-way.
pub(crate) fn restart(
    line: &CommandLine,
    deadline: Instant,
    started: &mut dyn FnMut(ProcessId),
) -> Result<Applied, Failure> {
    let ended = run(line, &With::output(Output::Drain), deadline, started)?;
    if !ended.status.success() {
        return Err(Failure::new(Class::Unknown, "K0402", format!("run `{}` with success", line.name()))
            .because(Said { status: ended.status.to_string(), output: ended.output })
            .help("run the command by hand and mend it, then `keyroll resume`"));
    }
    Ok(Applied { done: format!("ran `{}`", line.name()), output: ended.output })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(signal_by_name("HUP"), Some(1));
        assert_eq!(signal_by_name("SIGUSR1"), signal_by_name("USR1"));
        assert_eq!(signal_by_name("1"), Some(1));
        for refused in ["", "KILL", "9", "STOP", "HUPX", "-1", "99"] {
            assert_eq!(signal_by_name(refused), None, "{refused}");
        }
    }
}
