use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_observe::ProcessId;
use keyroll_port::{Class, Failure};

use crate::command::{Ended, Output, With, run};
use crate::find::list;
use crate::instance::filled;
use crate::{Applied, CommandLine, InstanceProcess};

/// How long one question to systemd may take, milliseconds.
const SHOW_MS_MAX: u64 = 10_000;

/// How often a unit's state is read while it settles, milliseconds.
const SETTLE_STEP_MS: u64 = 100;

/// Present where systemd is the service manager. Source: sd_booted(3).
const BOOTED: &str = "/run/systemd/system";

/// What is asked of a unit. Source: org.freedesktop.systemd1(5).
const PROPERTIES: &str = "--property=LoadState,ActiveState,SubState,MainPID,ControlGroup,NRestarts,InvocationID,\
                          NeedDaemonReload,Result";

/// The files behind a unit. Source: org.freedesktop.systemd1(5).
const FILES: &str = "--property=FragmentPath,DropInPaths,EnvironmentFiles";

/// A systemd service. `restart` is the verb: credentials and environment of a service do not change while it runs
/// (systemd.io/CREDENTIALS), so `reload` would apply nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The unit's name, such as `app.service`; without a suffix `.service` is meant; `{instance}` stands for the
    /// instance's name (`app@{instance}.service`).
    pub unit: String,
    /// The instances' names; empty for a single one.
    pub instances: Vec<String>,
    /// A unit of the user's own manager (`systemctl --user`).
    pub user: bool,
    /// keyroll has written a unit file or drop-in: `daemon-reload` comes first, whatever the manager says
    /// (`NeedDaemonReload` stays `no` for a drop-in in a new folder, seen with systemd 252).
    pub unit_file_written: bool,
    /// How long it must stay active, without a restart of its own, to count as applied.
    pub settle: Duration,
    /// The program; `systemctl` but for tests.
    pub systemctl: PathBuf,
    /// The folder that shows systemd as the service manager; `/run/systemd/system` but for tests.
    pub booted: PathBuf,
}

/// What systemd says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
    pub active: String,
    /// `running`, `exited`, `auto-restart` and many more.
    pub sub: String,
    /// The main process; 0 = none.
    pub main_pid: u32,
    /// The control group, such as `/system.slice/app.service`; empty = none.
    pub control_group: String,
    /// Restarts that systemd made by itself.
    pub restarts: u64,
    /// Changes with every start.
    pub invocation: String,
    /// The unit file changed since it was read: a restart applies somebody's edit too.
    pub needs_reload: bool,
    /// `success`, or why the last run ended.
    pub result: String,
}

impl UnitState {
    /// `Key=value` lines, as `systemctl show` prints them; unknown keys are passed over.
    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or("").to_owned()
        };
        Self {
            load: value("LoadState"),
            active: value("ActiveState"),
            sub: value("SubState"),
            main_pid: value("MainPID").parse().unwrap_or(0),
            control_group: value("ControlGroup"),
            restarts: value("NRestarts").parse().unwrap_or(0),
            invocation: value("InvocationID"),
            needs_reload: value("NeedDaemonReload") == "yes",
            result: value("Result"),
        }
    }

    fn runs(&self) -> bool {
        self.active == "active" && self.sub != "auto-restart"
    }
}

/// The files that a start of a unit reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFiles {
    /// The unit's whole name.
    pub unit: String,
    /// The unit file and its drop-ins.
    pub of_unit: Vec<PathBuf>,
    /// Files of variables that become its environment.
    pub environment: Vec<PathBuf>,
}

impl UnitFiles {
    /// As `systemctl show` prints them: one `EnvironmentFiles=PATH (ignore_errors=no)` per file.
    fn parse(unit: String, text: &str) -> Self {
        let mut files = Self { unit, ..Self::default() };
        for line in text.lines() {
            if let Some(path) = line.strip_prefix("FragmentPath=") {
                files.of_unit.push(PathBuf::from(path));
            } else if let Some(paths) = line.strip_prefix("DropInPaths=") {
                files.of_unit.extend(paths.split(' ').map(PathBuf::from));
            } else if let Some(path) = line.strip_prefix("EnvironmentFiles=") {
                let end = path.rfind(" (ignore_errors=").unwrap_or(path.len());
                files.environment.push(PathBuf::from(path.get(..end).unwrap_or_default()));
            }
        }
        files.of_unit.retain(|path| path.is_absolute());
        files.environment.retain(|path| path.is_absolute());
        files
    }
}

impl Unit {
    /// A unit of the system's manager that must stay active for two seconds.
    pub fn new(unit: impl Into<String>) -> Self {
        Self {
            unit: unit.into(),
            instances: Vec::new(),
            user: false,
            unit_file_written: false,
            settle: Duration::from_secs(2),
            systemctl: "systemctl".into(),
            booted: BOOTED.into(),
        }
    }

    /// What systemd says of one instance's unit now.
    ///
    /// # Errors
    /// `K0406` there is no systemd here; `K0407` it does not answer, or knows no such unit.
    pub fn state(&self, instance: Option<&str>) -> Result<UnitState, Failure> {
        let unit = self.name(instance)?;
        let state = self.show(&unit, Instant::now() + Duration::from_millis(SHOW_MS_MAX))?;
        if state.load != "loaded" {
            return Err(failed(&unit, Class::Permanent, "use")
                .because(format!(
                    "systemd says it is {}",
                    if state.load.is_empty() { "unknown" } else { &state.load }
                ))
                .help(format!("correct `runs.unit`; `systemctl status {unit}` shows more")));
        }
        Ok(state)
    }

    pub(crate) fn apply(
        &self,
        instance: Option<&str>,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Applied, Failure> {
        let unit = self.name(instance)?;
        let before = self.state(instance)?;
        if before.active == "inactive" {
            return Err(failed(&unit, Class::Permanent, "restart")
                .because("it is stopped, and a restart would start it")
                .help("declare it `at_rest`, or start it, then `keyroll resume`"));
        }
        if self.unit_file_written || before.needs_reload {
            self.carry_out(&["daemon-reload"], deadline, started)?;
        }
        let ended = self.carry_out(&["restart", "--", &unit], deadline, started)?;
        self.settle(&unit, &before, deadline)?;
        Ok(Applied { done: format!("restarted {unit}"), output: ended.output })
    }

    /// Stays until the unit was active for the whole settle time. A service that dies shortly after its start is
    /// first reported as started, so the end of `systemctl restart` alone proves nothing.
    fn settle(&self, unit: &str, before: &UnitState, deadline: Instant) -> Result<(), Failure> {
        let fell = |why: String| {
            Err(failed(unit, Class::Unknown, "see it stay active after the restart of")
                .because(why)
                .help(format!("`journalctl -u {unit}` tells why; then `keyroll resume` or `keyroll abort`")))
        };
        let first = self.show(unit, deadline).map_err(unknown)?;
        if first.invocation == before.invocation && !first.invocation.is_empty() {
            return fell("it still runs the invocation of before".into());
        }
        let until = Instant::now() + self.settle;
        let mut now = first.clone();
        loop {
            if !now.runs() {
                return fell(format!("it is {} ({}), result {}", now.active, now.sub, now.result));
            }
            if now.invocation != first.invocation || now.restarts != first.restarts {
                return fell("systemd had to start it again".into());
            }
            if now.main_pid != first.main_pid {
                return fell("its main process changed".into());
            }
            if Instant::now() >= until {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return fell("the deadline came before it had settled".into());
            }
            std::thread::sleep(Duration::from_millis(SETTLE_STEP_MS));
            now = self.show(unit, deadline).map_err(unknown)?;
        }
    }

    pub(crate) fn instances(&self) -> Result<Vec<InstanceProcess>, Failure> {
        let mut found: Vec<InstanceProcess> = Vec::new();
        let names: Vec<Option<&str>> = match self.instances.as_slice() {
            [] => vec![None],
            named => named.iter().map(|name| Some(name.as_str())).collect(),
        };
        for instance in names {
            let state = self.state(instance)?;
            let listing = list()?;
            // Inside a container the kernel may show a longer path, of which systemd knows the end.
            let group = state.control_group.as_str();
            let inside = |path: &str| {
                !group.is_empty() && (path.ends_with(group) || path.contains(&format!("{group}/")))
            };
            let belongs = listing.seen.iter().filter(|process| {
                process.id.pid == state.main_pid || process.cgroup.as_deref().is_some_and(inside)
            });
            found.extend(belongs.map(|process| InstanceProcess {
                process: process.id,
                instance: instance.map(str::to_owned),
                main: process.id.pid == state.main_pid,
            }));
        }
        Ok(found)
    }

    /// The whole name, checked: it becomes an argument of a command.
    fn name(&self, instance: Option<&str>) -> Result<String, Failure> {
        let name = filled(&self.unit, instance)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        if name.is_empty() || name.starts_with('-') || !name.bytes().all(allowed) {
            return Err(failed(&name.escape_debug().to_string(), Class::Permanent, "use")
                .because("a unit's name is made of letters, digits and `:-_.\\@`")
                .help("correct `runs.unit` in the configuration"));
        }
        let kinds = [".service", ".scope", ".socket", ".timer", ".target", ".path", ".slice", ".mount"];
        Ok(if kinds.iter().any(|kind| name.ends_with(kind)) { name } else { format!("{name}.service") })
    }

    fn show(&self, unit: &str, deadline: Instant) -> Result<UnitState, Failure> {
        self.ask(unit, PROPERTIES, deadline).map(|text| UnitState::parse(&text))
    }

    /// The files that a start of one instance's unit reads, as systemd knows them.
    ///
    /// # Errors
    /// As [`Unit::state`].
    pub fn files(&self, instance: Option<&str>) -> Result<UnitFiles, Failure> {
        let unit = self.name(instance)?;
        let text = self.ask(&unit, FILES, Instant::now() + Duration::from_millis(SHOW_MS_MAX))?;
        Ok(UnitFiles::parse(unit, &text))
    }

    fn ask(&self, unit: &str, properties: &str, deadline: Instant) -> Result<String, Failure> {
        let deadline = deadline.min(Instant::now() + Duration::from_millis(SHOW_MS_MAX));
        let ended = self.systemctl(&["show", properties, "--", unit], deadline, &mut |_| {}).map_err(
            |mut failure| {
                // A question has no effect, whatever became of it.
                if failure.class == Class::Unknown {
                    failure.class = Class::Retryable;
                }
                failure
            },
        )?;
        if !ended.status.success() {
            return Err(failed(unit, Class::Retryable, "ask systemd for").because(ended.status.to_string()));
        }
        let text = ended.output.as_ref().map(|output| String::from_utf8_lossy(output.expose()).into_owned());
        Ok(text.unwrap_or_default())
    }

    fn carry_out(
        &self,
        arguments: &[&str],
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Ended, Failure> {
        let ended = self.systemctl(arguments, deadline, started)?;
        if ended.status.success() {
            return Ok(ended);
        }
        let what = arguments.join(" ");
        Err(Failure::new(Class::Unknown, "K0407", format!("carry out `systemctl {what}`"))
            .because(ended.status.to_string())
            .help(format!("run `systemctl {what}` by hand to see why, then `keyroll resume`")))
    }

    fn systemctl(
        &self,
        arguments: &[&str],
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Ended, Failure> {
        let absent = |why: &str| {
            Failure::new(Class::Permanent, "K0406", "talk to systemd")
                .because(why)
                .help("use `runs.restart` with a command where systemd is not the service manager")
        };
        if !Path::new(&self.booted).is_dir() {
            return Err(absent("this machine was not started with systemd"));
        }
        let user = self.user.then_some("--user");
        let arguments = user.into_iter().chain(arguments.iter().copied());
        let line = CommandLine::program(self.systemctl.to_string_lossy(), arguments);
        let names = if self.user { &["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"][..] } else { &[] };
        let variables: Vec<(&str, OsString)> =
            names.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))).collect();
        let with = With { user: None, output: Output::Keep, variables: &variables };
        run(&line, &with, deadline, started).map_err(|failure| match failure.code {
            "K0404" => absent("the program `systemctl` could not be started"),
            _ => failure,
        })
    }
}

/// After the restart was asked for, a question that fails leaves the effect unknown.
fn unknown(mut failure: Failure) -> Failure {
    failure.class = Class::Unknown;
    failure
}

fn failed(unit: &str, class: Class, verb: &str) -> Failure {
    Failure::new(class, "K0407", format!("{verb} the unit {unit}"))
}
