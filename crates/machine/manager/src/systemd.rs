pub(crate) mod credentials;
mod declared;
mod manager;
mod manager_process;
pub(crate) mod sources;
pub(crate) mod text;
mod workload;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_observe::ProcessId;
use keyroll_port::{Class, Failure, FailureKind};
use keyroll_secret::SecretBytes;

use crate::command::{Ended, Output, With, run};
use crate::find::list;
use crate::instance::filled;
use crate::{Applied, CommandLine, InstanceProcess};
use manager::Manager;
pub(crate) use workload::{UNIT, declared_unit};
pub use workload::{UNIT_NAME_BYTES_MAX, is_unit_name};

/// How long one question to systemd may take, milliseconds.
const SHOW_MS_MAX: u64 = 10_000;

/// How often a unit's state is read while it settles, milliseconds.
const SETTLE_STEP_MS: u64 = 100;

/// Present where systemd is the service manager. Source: sd_booted(3).
const BOOTED: &str = "/run/systemd/system";

/// Shows properties that `systemctl show` does not print; part of systemd.
const BUSCTL: &str = "busctl";

/// The queried properties of a unit. Source: org.freedesktop.systemd1(5).
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
    /// The user whose own manager has the unit (`systemctl --user`); the system's manager if there is none.
    pub user: Option<String>,
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

/// The state of a unit according to systemd.
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
    /// Automatic restarts by systemd.
    pub restarts: u64,
    /// Changes with every start.
    pub invocation: String,
    /// The unit file changed since systemd read it: a restart also applies that edit.
    pub needs_reload: bool,
    /// `success`, or why the last run ended.
    pub result: String,
}

impl UnitState {
    /// `Key=value` lines, as `systemctl show` prints them; unknown keys are skipped.
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
            user: None,
            unit_file_written: false,
            settle: Duration::from_secs(2),
            systemctl: "systemctl".into(),
            booted: BOOTED.into(),
        }
    }

    /// What systemd says of one instance's unit now.
    ///
    /// # Errors
    /// `K0407` there is no systemd here, it does not answer, or knows no such unit.
    pub fn state(&self, instance: Option<&str>) -> Result<UnitState, Failure> {
        let unit = self.name(instance)?;
        let state = self.show(&unit, Instant::now() + Duration::from_millis(SHOW_MS_MAX))?;
        if state.load != "loaded" {
            return Err(failed(&unit, Class::Permanent, "use")
                .because(format!(
                    "systemd says it is {}",
                    if state.load.is_empty() { "unknown" } else { &state.load }
                ))
                .help(format!("correct `runs.unit`; `{}` shows more", self.typed(&["status", &unit]))));
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
                .help("declare it `at_rest`, or start it"));
        }
        if self.unit_file_written || before.needs_reload {
            self.carry_out(&["daemon-reload"], deadline, started)?;
        }
        let ended = self.carry_out(&["restart", "--", &unit], deadline, started)?;
        self.settle(&unit, &before, deadline)?;
        Ok(Applied { done: format!("restarted {unit}"), output: ended.output })
    }

    /// Waits until the unit has been active for the whole settle time. A service that dies shortly after its start is
    /// first reported as started, so the end of `systemctl restart` alone proves nothing.
    fn settle(&self, unit: &str, before: &UnitState, deadline: Instant) -> Result<(), Failure> {
        let fell = |why: String| {
            Err(failed(unit, Class::Unknown, "see it stay active after the restart of")
                .because(why)
                .help(format!("`{}` tells why", self.log(unit))))
        };
        let first = self.show(unit, deadline).map_err(unknown)?;
        if first.invocation == before.invocation && !first.invocation.is_empty() {
            return fell("it still runs the old invocation".into());
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
                return fell("the deadline passed before it had settled".into());
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
            if state.main_pid != 0 && !listing.seen.iter().any(|process| process.id.pid == state.main_pid) {
                let what = format!("look at the processes of {}", self.name(instance)?);
                return Err(Failure::new(Class::Retryable, Code::ProcessesHidden, what)
                    .because(format!("its main process, {}, is not visible here", state.main_pid))
                    .help("run keyroll as root or as the unit's user"));
            }
            // Inside a container the kernel may show a longer path, and systemd knows only its end.
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
        if !is_unit_name(&name) {
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

    /// The files of one instance's credentials, by name (`LoadCredential=`). `systemctl show`
    /// does not print them.
    ///
    /// # Errors
    /// As [`Unit::state`].
    pub fn credentials(&self, instance: Option<&str>) -> Result<Vec<(String, PathBuf)>, Failure> {
        let unit = self.name(instance)?;
        let deadline = Instant::now() + Duration::from_millis(SHOW_MS_MAX);
        let answer = self.properties(&unit, &["LoadCredential"], deadline)?;
        pairs(&String::from_utf8_lossy(answer.expose())).ok_or_else(|| {
            failed(&unit, Class::Retryable, "ask systemd for the credentials of")
                .because("its answer has another form")
        })
    }

    /// A service's properties on the bus, one per line, up to the first unknown property.
    pub(crate) fn properties(
        &self,
        unit: &str,
        properties: &[&str],
        deadline: Instant,
    ) -> Result<SecretBytes, Failure> {
        let deadline = deadline.min(Instant::now() + Duration::from_millis(SHOW_MS_MAX));
        let (path, of) = (object(unit), "org.freedesktop.systemd1");
        let question = ["--json=short", "get-property", of, &path, "org.freedesktop.systemd1.Service"];
        let question = [&question[..], properties].concat();
        let asked = self.ask_by(Path::new(BUSCTL), &question, Output::List, deadline, &mut |_| {});
        let ended = asked.map_err(question_failed)?;
        let answer = ended.output.filter(|answer| ended.status.success() || !answer.is_empty());
        answer.ok_or_else(|| {
            failed(unit, Class::Retryable, "ask systemd for").because(ended.status.to_string())
        })
    }

    /// The service that a timer starts.
    ///
    /// # Errors
    /// As [`Unit::state`].
    pub(crate) fn started_by_timer(&self) -> Result<Self, Failure> {
        let timer = self.name(None)?;
        let state = self.state(None)?;
        if state.active != "active" {
            let enable = self.typed(&["enable", "--now", &timer]);
            return Err(failed(&timer, Class::Permanent, "use")
                .because(format!("it is {}: nothing is started by it", state.active))
                .help(format!("{enable}, or declare the consumer `at_rest`")));
        }
        let deadline = Instant::now() + Duration::from_millis(SHOW_MS_MAX);
        let text = self.ask(&timer, "--property=Unit", deadline)?;
        let unit = text.lines().find_map(|line| line.strip_prefix("Unit=")).unwrap_or_default().trim();
        if unit.is_empty() {
            return Err(
                failed(&timer, Class::Permanent, "find what is started by").because("systemd names no unit")
            );
        }
        Ok(Self { unit: unit.to_owned(), ..self.clone() })
    }

    fn ask(&self, unit: &str, properties: &str, deadline: Instant) -> Result<String, Failure> {
        self.answer(&self.systemctl, unit, &["show", properties, "--", unit], deadline)
    }

    fn answer(
        &self,
        program: &Path,
        unit: &str,
        question: &[&str],
        deadline: Instant,
    ) -> Result<String, Failure> {
        let deadline = deadline.min(Instant::now() + Duration::from_millis(SHOW_MS_MAX));
        let ended =
            self.ask_by(program, question, Output::Keep, deadline, &mut |_| {}).map_err(question_failed)?;
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
        Err(Failure::new(Class::Unknown, Code::ServiceUnusable, format!("carry out `systemctl {what}`"))
            .because(ended.status.to_string())
            .help(format!("run `{}` by hand to see why", self.typed(arguments))))
    }

    fn systemctl(
        &self,
        arguments: &[&str],
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Ended, Failure> {
        self.ask_by(&self.systemctl, arguments, Output::Keep, deadline, started)
    }

    /// A query to systemctl whose answer may be long.
    pub(crate) fn ask_list(&self, question: &[&str], deadline: Instant) -> Result<Ended, Failure> {
        self.ask_by(&self.systemctl, question, Output::List, deadline, &mut |_| {}).map_err(question_failed)
    }

    fn ask_by(
        &self,
        program: &Path,
        arguments: &[&str],
        output: Output,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Ended, Failure> {
        let absent = |why: &str| {
            Failure::new(Class::Permanent, Code::ServiceUnusable, "talk to systemd")
                .kind(FailureKind::ManagerAbsent)
                .because(why)
                .help("use `runs.restart` with a command where systemd is not the service manager")
        };
        if !Path::new(&self.booted).is_dir() {
            return Err(absent("this machine was not started with systemd"));
        }
        let manager = self.user.as_deref().map(Manager::of).transpose()?;
        let flag = manager.is_some().then_some("--user");
        let line = CommandLine::program(
            program.to_string_lossy(),
            flag.into_iter().chain(arguments.iter().copied()),
        );
        let variables: Vec<(&str, OsString)> =
            manager.iter().map(|one| ("XDG_RUNTIME_DIR", one.runtime.clone().into())).collect();
        let user = manager.as_ref().filter(|one| one.another).map(|one| &one.user);
        let with = With { user, variables: &variables, ..With::output(output) };
        run(&line, &with, deadline, started).map_err(|failure| {
            if failure.kind == FailureKind::ProgramNotStarted {
                absent("the program of systemd could not be started")
            } else {
                failure
            }
        })
    }
}

/// A unit's path on the bus: every other byte than a letter or digit as `_` and two hexadecimal digits.
/// Source: sd_bus_path_encode(3).
fn object(unit: &str) -> String {
    let mut path = "/org/freedesktop/systemd1/unit/".to_owned();
    for byte in unit.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => path.push(char::from(byte)),
            false => path.push_str(&format!("_{byte:02x}")),
        }
    }
    path
}

/// `{"type":"a(ss)","data":[["name","/path"]]}`, as `busctl --json=short` prints it.
fn pairs(text: &str) -> Option<Vec<(String, PathBuf)>> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let pair =
        |one: &serde_json::Value| Some((one.get(0)?.as_str()?.to_owned(), one.get(1)?.as_str()?.into()));
    value.get("data")?.as_array()?.iter().map(pair).collect()
}

/// A query changes nothing: an unknown outcome is retryable.
fn question_failed(mut failure: Failure) -> Failure {
    if failure.class == Class::Unknown {
        failure.class = Class::Retryable;
    }
    failure
}

/// After the restart was requested, a failed query leaves the effect unknown.
fn unknown(mut failure: Failure) -> Failure {
    failure.class = Class::Unknown;
    failure
}

fn failed(unit: &str, class: Class, verb: &str) -> Failure {
    Failure::new(class, Code::ServiceUnusable, format!("{verb} the unit {unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red: the commands of a user's unit ask the system's manager, which has no such unit.
    #[test]
    fn commands_about_a_users_unit_ask_that_users_manager() {
        let of = |user: Option<&str>| Unit { user: user.map(str::to_owned), ..Unit::new("api.service") };
        let said = |unit: Unit| (unit.typed(&["status", "api.service"]), unit.log("api.service"));
        let (status, log) = said(of(None));
        assert_eq!(
            (status.as_str(), log.as_str()),
            ("systemctl status api.service", "journalctl -u api.service")
        );
        let (status, log) = said(of(Some("ada")));
        assert_eq!(status, "systemctl --user --machine=ada@ status api.service");
        assert_eq!(log, "journalctl _SYSTEMD_USER_UNIT=api.service");
    }

    #[test]
    fn a_units_path_on_the_bus_is_made_as_systemd_makes_it() {
        assert_eq!(object("app@1.service"), "/org/freedesktop/systemd1/unit/app_401_2eservice");
    }

    #[test]
    fn credentials_are_read_as_busctl_prints_them() {
        let found = pairs(r#"{"type":"a(ss)","data":[["dbpw","/etc/app/dbpw"],["b","/x"]]}"#);
        assert_eq!(found, Some(vec![("dbpw".into(), "/etc/app/dbpw".into()), ("b".into(), "/x".into())]));
        assert_eq!(pairs(r#"{"type":"a(ss)","data":[]}"#), Some(Vec::new()));
        assert_eq!(pairs("No such property"), None);
    }
}
