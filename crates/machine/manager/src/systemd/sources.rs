//! Where systemd's services take their variables from, for all services of a manager at once.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use rustix::time::{ClockId, clock_gettime};

use super::text::{Variable, variable};
use crate::pattern::{files_of, is_pattern};
use crate::words::words;
use crate::{Unit, UnitCredential};

/// How long one question about all units may take, milliseconds.
const ALL_MS_MAX: u64 = 20_000;

/// Its modification time is when the system's manager last read the unit files. Source: systemd 246, `manager_ready`.
const UNITS_READ: &str = "/run/systemd/systemd-units-load";
/// The same for a user's manager, as a property in microseconds.
const UNITS_READ_US: &str = "UnitsLoadTimestampMonotonic";

/// Source: org.freedesktop.systemd1(5).
const SOURCES: &str = "--property=Id,ActiveState,MainPID,ControlGroup,FragmentPath,DropInPaths,Environment,\
                       EnvironmentFiles,UnsetEnvironment,PassEnvironment,ExecStart,SourcePath";

/// Where operators and packages put drop-ins; of two with one name the first one counts. Source: systemd.unit(5).
const DROP_INS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const DROP_INS_OF_USERS: [&str; 4] =
    ["/etc/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"];

/// A service as its manager has loaded it, with everything that a start takes variables from.
#[derive(Default)]
pub struct UnitSources {
    /// The whole name.
    pub unit: String,
    /// `active`, `inactive`, `failed` and others.
    pub active: String,
    /// The main process; 0 = none.
    pub main_pid: u32,
    /// The control group; empty = none.
    pub control_group: String,
    /// The unit file and its drop-ins, including those that the manager has not read yet; the last one wins.
    pub of_unit: Vec<PathBuf>,
    /// `Environment=` as the manager has loaded it.
    pub environment: Vec<Variable>,
    /// `EnvironmentFile=`; the last one wins. The manager reads them at each start.
    pub environment_files: Vec<EnvironmentFile>,
    /// Variables that are removed from the environment, by name; with a value, only if they have that value.
    pub unset: Vec<(String, Option<SecretBytes>)>,
    /// Variables that are passed on from the manager's own start environment.
    pub passed: Vec<String>,
    /// The wrapper around the program in `ExecStart=`.
    pub wrapper: Wrapper,
    /// The credentials of a start.
    pub credentials: Vec<UnitCredential>,
    /// The file from which a generator made the unit file.
    pub made_of: Option<PathBuf>,
}

/// One `EnvironmentFile=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// As it is written: a file, or a pattern of names.
    pub written: PathBuf,
    /// The files that are there now, in the order in which they are read.
    pub files: Vec<PathBuf>,
    /// It may be missing. If it is not optional and missing, the service does not start.
    pub optional: bool,
}

/// The effect of `env` before a program: `env -i NAME=VALUE program`.
#[derive(Default)]
pub struct Wrapper {
    /// Variables that it sets; no value where systemd expands another variable.
    pub sets: Vec<(String, Option<SecretBytes>)>,
    /// Variables that it removes: `-u NAME`.
    pub removes: Vec<String>,
    /// It starts with an empty environment: `-i`.
    pub empties: bool,
}

/// The services of a manager, and its own environment, which it passes to them.
pub struct UnitsSources {
    /// Each service that it has loaded.
    pub units: Vec<UnitSources>,
    /// Its own environment: `systemctl set-environment`, `import-environment`.
    pub of_manager: Vec<Variable>,
    /// When it last read its unit files, milliseconds since 1970; `None` = unknown.
    pub read_unix_ms: Option<u64>,
}

/// The services of the system's manager, or of a user's own one.
///
/// # Errors
/// As [`Unit::state`].
pub fn unit_sources(user: Option<&str>) -> Result<UnitsSources, Failure> {
    let all = Unit { user: user.map(str::to_owned), ..Unit::new("*.service") };
    let deadline = Instant::now() + Duration::from_millis(ALL_MS_MAX);
    let shown = all.list(&["show", "--all", SOURCES, "--", "*.service"], deadline)?;
    let units = shown.expose().split(|byte| *byte == b'\n').collect::<Vec<_>>();
    let of_user = user.is_some();
    let read = units.split(|line| line.is_empty()).filter_map(|lines| UnitSources::of_lines(lines, of_user));
    let mut units: Vec<UnitSources> = read.collect();
    for unit in &mut units {
        unit.credentials = all.given(&unit.unit, &unit.of_unit, deadline);
    }
    let own = all.list(&["show-environment"], deadline)?;
    let of_manager = own.expose().split(|byte| *byte == b'\n').flat_map(words);
    let of_manager = of_manager.filter_map(variable).collect();
    let read_unix_ms = if of_user { all.read_unix_ms(deadline) } else { system_read_unix_ms() };
    Ok(UnitsSources { units, of_manager, read_unix_ms })
}

fn system_read_unix_ms() -> Option<u64> {
    let read = std::fs::metadata(UNITS_READ).ok()?.modified().ok()?;
    u64::try_from(read.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

impl Unit {
    /// A user's manager leaves no file; it reports the time since the boot. Source: org.freedesktop.systemd1(5).
    #[expect(clippy::disallowed_methods, reason = "systemd tells the time of day at which it read a unit")]
    fn read_unix_ms(&self, deadline: Instant) -> Option<u64> {
        let told = self.list(&["show", &format!("--property={UNITS_READ_US}")], deadline).ok()?;
        let told = std::str::from_utf8(told.expose()).ok()?.trim().strip_prefix(UNITS_READ_US)?;
        let then: u64 = told.strip_prefix('=')?.parse().ok().filter(|us| *us > 0)?;
        let now = clock_gettime(ClockId::Monotonic);
        let since_boot = Duration::new(u64::try_from(now.tv_sec).ok()?, u32::try_from(now.tv_nsec).ok()?);
        let ago = since_boot.checked_sub(Duration::from_micros(then))?;
        let read = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.checked_sub(ago)?;
        u64::try_from(read.as_millis()).ok()
    }

    /// A query's output, which may be long.
    fn list(&self, question: &[&str], deadline: Instant) -> Result<SecretBytes, Failure> {
        let ended = self.ask_list(question, deadline)?;
        let answer = ended.output.filter(|_| ended.status.success());
        answer.ok_or_else(|| {
            Failure::new(Class::Retryable, Code::ServiceUnusable, "ask systemd for its services")
                .because(ended.status.to_string())
        })
    }
}

impl UnitSources {
    fn of_lines(lines: &[&[u8]], of_user: bool) -> Option<Self> {
        let mut unit = Self::default();
        let (mut fragment, mut loaded) = (PathBuf::new(), Vec::new());
        for line in lines {
            let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = (line.get(..at)?, line.get(at + 1..)?);
            let text = || String::from_utf8_lossy(value).into_owned();
            match key {
                b"Id" => unit.unit = text(),
                b"ActiveState" => unit.active = text(),
                b"MainPID" => unit.main_pid = text().parse().unwrap_or(0),
                b"ControlGroup" => unit.control_group = text(),
                b"FragmentPath" => fragment = PathBuf::from(text()),
                b"DropInPaths" => loaded = text().split_ascii_whitespace().map(PathBuf::from).collect(),
                b"Environment" => unit.environment = words(value).into_iter().filter_map(variable).collect(),
                b"UnsetEnvironment" => unit.unset = words(value).into_iter().map(unset).collect(),
                b"PassEnvironment" => {
                    unit.passed = text().split_ascii_whitespace().map(str::to_owned).collect()
                }
                b"EnvironmentFiles" => unit.environment_files.extend(environment_file(&text())),
                b"ExecStart" => unit.wrapper = wrapper(value),
                b"SourcePath" => unit.made_of = Some(PathBuf::from(text())).filter(|path| path.is_absolute()),
                _ => {}
            }
        }
        unit.of_unit = of_unit(&unit.unit, fragment, loaded, of_user);
        Some(unit).filter(|unit| !unit.unit.is_empty())
    }
}

/// `PATH (ignore_errors=no)`
fn environment_file(text: &str) -> Option<EnvironmentFile> {
    let (path, rest) = text.rsplit_once(" (ignore_errors=").unwrap_or((text, ""));
    let written = PathBuf::from(path);
    let files = if is_pattern(&written) { files_of(&written) } else { vec![written.clone()] };
    let optional = rest.starts_with("yes");
    written.is_absolute().then_some(EnvironmentFile { written, files, optional })
}

/// `NAME`, or `NAME=VALUE`.
fn unset(word: Vec<u8>) -> (String, Option<SecretBytes>) {
    let name = String::from_utf8_lossy(&word).into_owned();
    variable(word).map_or((name, None), |(name, value)| (name, Some(value)))
}

/// `{ path=/usr/bin/env ; argv[]=/usr/bin/env -u OTHER NAME=VALUE program ; ignore_errors=no ; …`
fn wrapper(shown: &[u8]) -> Wrapper {
    let mut all = Wrapper::default();
    let find = |what: &[u8]| shown.windows(what.len()).position(|window| window == what);
    let (Some(from), Some(to)) = (find(b"argv[]="), find(b" ; ignore_errors=")) else { return all };
    let line = shown.get(from + 7..to).unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let program = words.next().map(|path| Path::new(std::str::from_utf8(path).unwrap_or_default()));
    if program.and_then(Path::file_name) != Some("env".as_ref()) {
        return all;
    }
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    while let Some(word) = words.next() {
        match word {
            b"-i" | b"-" | b"--ignore-environment" => all.empties = true,
            b"-u" | b"--unset" => all.removes.extend(words.next().map(text)),
            b"-C" | b"--chdir" => drop(words.next()),
            [b'-', b'u', name @ ..] => all.removes.push(text(name)),
            word if word.starts_with(b"--unset=") => {
                all.removes.extend(word.get(8..).map(text));
            }
            [b'-', ..] => {}
            word => match variable(word.to_vec()) {
                // The manager expands its variables before `env` is started.
                Some((name, value)) => {
                    let value = Some(value).filter(|value| !value.expose().contains(&b'$'));
                    all.sets.push((name, value));
                }
                None => break,
            },
        }
    }
    all
}

/// The unit file, then the drop-ins by their names, including those that exist and were not loaded: `NeedDaemonReload`
/// does not report the first one in a new folder (seen with systemd 252).
fn of_unit(unit: &str, fragment: PathBuf, loaded: Vec<PathBuf>, of_user: bool) -> Vec<PathBuf> {
    let template = unit.split_once('@').map(|(name, _)| format!("{name}@.service"));
    let names: Vec<String> = [Some(unit.to_owned()), template].into_iter().flatten().collect();
    let beside = fragment.parent().map(Path::to_owned).filter(|folder| folder.is_absolute());
    let known = if of_user { DROP_INS_OF_USERS.iter() } else { DROP_INS.iter() };
    let known: Vec<PathBuf> = known.map(PathBuf::from).collect();
    // A folder of the user's own comes before the folders of all users.
    let folders = beside.into_iter().filter(|folder| !known.contains(folder)).chain(known.iter().cloned());
    let mut of_name: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    let named = |path: &PathBuf| path.file_name().map(OsStr::to_owned);
    for path in loaded {
        of_name.extend(named(&path).map(|name| (name, path)));
    }
    for folder in
        folders.flat_map(|folder| names.clone().into_iter().map(move |name| folder.join(name + ".d")))
    {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in entries.filter(|path| path.extension() == Some("conf".as_ref())) {
            let Some(name) = named(&path) else { continue };
            of_name.entry(name).or_insert(path);
        }
    }
    std::iter::once(fragment).chain(of_name.into_values()).filter(|path| path.is_absolute()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(all: &[Variable]) -> Vec<String> {
        all.iter()
            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value.expose())))
            .collect()
    }

    #[test]
    fn a_unit_is_read_as_systemctl_shows_it() {
        let text = "Id=app.service\nActiveState=active\nMainPID=7\nControlGroup=/system.slice/app.service\n\
                    FragmentPath=/nowhere/app.service\nDropInPaths=/nowhere/b.conf /nowhere/a.conf\n\
                    Environment=A=1 \"B=two words\" C=$'x\\ny'\nUnsetEnvironment=Z Y=1\n\
                    PassEnvironment=P\nSourcePath=/etc/init.d/app\n\
                    EnvironmentFiles=/srv/a b.env (ignore_errors=no)\nEnvironmentFiles=/srv/c.env (ignore_errors=yes)\n\
                    ExecStart={ path=/usr/bin/env ; argv[]=/usr/bin/env -i -u A --unset=B K=v L=$W prog M=n ; ignore_errors=no ; pid=1 }";
        let lines: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
        let unit = UnitSources::of_lines(&lines, false).unwrap();
        assert_eq!((unit.unit.as_str(), unit.main_pid, unit.active.as_str()), ("app.service", 7, "active"));
        assert_eq!(shown(&unit.environment), ["A=1", "B=two words", "C=x\ny"]);
        let sets = |wrapper: &Wrapper| -> Vec<(String, bool)> {
            wrapper.sets.iter().map(|(name, value)| (name.clone(), value.is_some())).collect()
        };
        assert_eq!(sets(&unit.wrapper), [("K".into(), true), ("L".into(), false)]);
        assert_eq!(
            (unit.wrapper.removes.as_slice(), unit.wrapper.empties),
            (&["A".to_owned(), "B".to_owned()][..], true)
        );
        let unset: Vec<(&str, bool)> =
            unit.unset.iter().map(|(name, value)| (name.as_str(), value.is_some())).collect();
        assert_eq!(unset, [("Z", false), ("Y", true)]);
        assert_eq!(
            (unit.passed.as_slice(), unit.made_of.as_deref()),
            (&["P".to_owned()][..], Some(Path::new("/etc/init.d/app")))
        );
        let of_files: Vec<(&Path, bool)> =
            unit.environment_files.iter().map(|one| (one.written.as_path(), one.optional)).collect();
        assert_eq!(of_files, [(Path::new("/srv/a b.env"), false), (Path::new("/srv/c.env"), true)]);
        let files = ["/nowhere/app.service", "/nowhere/a.conf", "/nowhere/b.conf"].map(PathBuf::from);
        assert_eq!(unit.of_unit, files);
        assert!(UnitSources::of_lines(&[], false).is_none());
    }
}
