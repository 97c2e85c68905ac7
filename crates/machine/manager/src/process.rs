use std::sync::Arc;
use std::time::Instant;

use keyroll_codes::Code;
use keyroll_observe::{Listing, ProcessId};
use keyroll_port::{Class, Failure};
use rustix::process::Signal;

use crate::declaration::{Declaration, DeclarationError, Key, KeyForm, Manager};
use crate::facts::Notice::{Away, NoneFails};
use crate::facts::{OF_PROCESS, daily, nightly};
use crate::restart::restart;
use crate::signal::{SIGNAL_NAMES, named_signal, send, signal_name};
use crate::{
    Applied, AppliedBy, Attempt, CommandLine, Comparison, Find, InstanceProcess, ManagerFact, SharedWorkload,
    Workload,
};

/// Plain processes, in one or several named instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The instances' names; empty for a single one. The value is applied to one at a time.
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
        Err(Failure::new(Class::Permanent, Code::ConfigInvalid, format!("restart {named}"))
            .because(format!("its instances are: {}", self.instances.join(", "))))
    }

    fn signal(&self, number: i32, instance: Option<&str>) -> Result<Applied, Failure> {
        let failed = |class| Failure::new(class, Code::ProcessNotFound, format!("send signal {number}"));
        let signal = Signal::from_named_raw(number)
            .ok_or_else(|| failed(Class::Permanent).because("there is no signal of that number"))?;
        let names: Vec<String> = instance.iter().map(|&name| name.to_owned()).collect();
        let mains: Vec<InstanceProcess> =
            self.find.instances(&names)?.into_iter().filter(|process| process.main).collect();
        if mains.is_empty() {
            return Err(failed(Class::Retryable)
                .because("no process of the instance runs")
                .help("start the service"));
        }
        let mut sent: Vec<String> = Vec::new();
        for main in &mains {
            // After the first signal a failure leaves the effect unknown.
            let class = if sent.is_empty() { Class::Retryable } else { Class::Unknown };
            send(&main.process, signal).map_err(|error| failed(class).because(error))?;
            sent.push(main.process.pid.to_string());
        }
        Ok(Applied::without_output(format!("sent signal {number} to {}", sent.join(", "))))
    }
}

/// A command restarts it.
pub(crate) static RESTART: Manager = Manager {
    keys: &[Key::new(
        "restart",
        KeyForm::Command,
        "A command that restarts one instance: `[\"./restart.sh\", \"{instance}\"]`. keyroll runs it without a shell, in the folder of keyroll.toml.",
    )],
    with: &["instances", "ports", "pid_file", "process", "arg", "ready", "drain"],
    only: "a plain process is found by `pid_file` or `process`",
    example: "{ restart = [\"…\"], pid_file = \"…\" }",
    facts: &[ManagerFact {
        manager: "`restart`",
        source: "a file that is read at the start",
        verb: "the command",
        wrong: "a signal",
        downtime: "until the new process is ready; none with several instances behind a proxy",
        evidence: OF_PROCESS,
        test: "an_edit_made_meanwhile_is_not_made_live",
        services: &[daily("restart-two", NoneFails), nightly("restart-one", Away)],
    }],
    survey: None,
    read: |of| told(of, Verb::Restart(of.needed_command("restart")?.clone())),
};

/// A signal makes it read its files again.
pub(crate) static SIGNAL: Manager = Manager {
    keys: &[Key::new(
        "signal",
        KeyForm::Text,
        "The signal that makes the process load a new value: `HUP`, `USR1`, `USR2`, `INT`, `TERM`, `QUIT`, `WINCH`.",
    )],
    with: &["instances", "ports", "pid_file", "process", "arg", "ready", "drain"],
    only: "a plain process is found by `pid_file` or `process`",
    example: "{ signal = \"HUP\", pid_file = \"…\" }",
    facts: &[ManagerFact {
        manager: "`signal`",
        source: "a file that is read on the signal",
        verb: "the signal",
        wrong: "-",
        downtime: "none",
        evidence: "memory and connections; the environment shows only the value at the start",
        test: "signals_have_names_and_numbers",
        services: &[daily("signal", NoneFails)],
    }],
    survey: None,
    read: |of| {
        let name = of.needed("signal")?;
        let number = named_signal(name).ok_or_else(|| DeclarationError::one_of("signal", &SIGNAL_NAMES))?;
        told(of, Verb::Signal(number))
    },
};

fn told(of: &Declaration<'_>, verb: Verb) -> Result<SharedWorkload, DeclarationError> {
    let find = declared_find(of, matches!(verb, Verb::Restart(_)))?;
    Ok(Arc::new(Process { instances: Vec::new(), find, verb }))
}

/// How the configuration finds a plain process. Several instances must be distinguishable; if there is a restart
/// command, it must distinguish them too.
pub(crate) fn declared_find(of: &Declaration<'_>, restarted: bool) -> Result<Find, DeclarationError> {
    if of.text("arg") == Some("") {
        return Err(DeclarationError::form("arg", "`arg` is empty"));
    }
    let find = match (of.path("pid_file"), of.path("process"), of.text("arg")) {
        (Some(path), None, None) => Find::PidFile { path: path.to_owned(), exe: None },
        (None, Some(path), arg) => {
            Find::Executable { exe: path.to_owned(), argument: arg.map(str::to_owned) }
        }
        (None, None, _) | (Some(_), Some(_), _) | (Some(_), None, Some(_)) => {
            let why = "the process is found by `pid_file`, or by `process` with or without `arg`";
            return Err(DeclarationError::combination(why));
        }
    };
    let apart = of.tells_apart(&["pid_file", "arg"]) && (!restarted || of.tells_apart(&["restart"]));
    if of.several && !apart {
        let why = "several instances must be told apart: `{instance}` or `{port}` is missing";
        let help = Some("write it into `restart`, and into `pid_file` or `arg`");
        return Err(DeclarationError { help, ..DeclarationError::combination(why) });
    }
    Ok(find)
}

impl Workload for Process {
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        self.apply(attempt.instance, attempt.deadline, attempt.started)
    }

    fn applied_by(&self) -> AppliedBy {
        match &self.verb {
            Verb::Restart(line) => AppliedBy::line(line),
            Verb::Signal(number) => {
                AppliedBy::Request(format!("sends {} to {}", signal_name(*number), self.find.shown()))
            }
        }
    }

    fn instances_in(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.find.instances_in(listing, &self.instances)
    }

    fn needs_listing(&self) -> bool {
        true
    }

    fn starts_new_process(&self) -> bool {
        self.restart_command().is_some()
    }

    fn comparison(&self) -> Comparison {
        match &self.verb {
            Verb::Restart(_) => Comparison::Restarted,
            Verb::Signal(_) => Comparison::NotVisible("it is signalled, not restarted"),
        }
    }

    fn restart_command(&self) -> Option<&CommandLine> {
        match &self.verb {
            Verb::Restart(line) => Some(line),
            Verb::Signal(_) => None,
        }
    }

    fn starts_from_files_alone(&self) -> bool {
        true
    }

    fn find(&self) -> Option<&Find> {
        Some(&self.find)
    }
}
