//! What a start of systemd's services takes its variables from: all of a manager's services at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_observe::read_small;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

use crate::Unit;
use crate::words::words;

/// How long one question about all units may take, milliseconds.
const ALL_MS_MAX: u64 = 20_000;

/// The largest unit file that is read, bytes.
const UNIT_BYTES_MAX: usize = 1 << 20;

/// Source: org.freedesktop.systemd1(5).
const SOURCES: &str = "--property=Id,ActiveState,MainPID,ControlGroup,FragmentPath,DropInPaths,Environment,\
                       EnvironmentFiles,UnsetEnvironment,ExecStart";

/// Where drop-ins are put by people and programs. Source: systemd.unit(5).
const DROP_IN_FOLDERS: [&str; 3] = ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"];

/// A variable with its value.
pub(crate) type Variable = (String, SecretBytes);

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
    /// The unit file and its drop-ins, also those that the manager has not read yet; what is later wins.
    pub of_unit: Vec<PathBuf>,
    /// `Environment=` as the manager has loaded it.
    pub environment: Vec<Variable>,
    /// `EnvironmentFile=`; what is later wins. The manager reads them at each start.
    pub environment_files: Vec<PathBuf>,
    /// What is taken out of the environment again.
    pub unset: Vec<String>,
    /// What a wrapper in `ExecStart=` sets: `env NAME=VALUE program`.
    pub wrapper: Vec<Variable>,
}

/// A line of a unit file that says something of its environment.
pub struct UnitLine {
    /// Which line, from 1 on.
    pub line: u64,
    /// What it says.
    pub says: UnitSays,
}

/// What a line of a unit file says.
pub enum UnitSays {
    /// `Environment=NAME=VALUE`; no value where it depends on a specifier (`%h`).
    Variable(String, Option<SecretBytes>),
    /// `Environment=`: what was said before does not hold.
    Reset,
    /// `LoadCredential=NAME:PATH`.
    Credential(String, PathBuf),
    /// `LoadCredentialEncrypted=NAME:PATH`.
    Encrypted(String, PathBuf),
}

/// The services of a manager, and its own environment, which it hands on.
pub struct UnitsSources {
    /// Each service that it has loaded.
    pub units: Vec<UnitSources>,
    /// Its own environment: `systemctl set-environment`, `import-environment`.
    pub of_manager: Vec<Variable>,
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
    let units = units.split(|line| line.is_empty()).filter_map(UnitSources::of_lines).collect();
    let own = all.list(&["show-environment"], deadline)?;
    let of_manager = own.expose().split(|byte| *byte == b'\n').flat_map(words);
    Ok(UnitsSources { units, of_manager: of_manager.filter_map(variable).collect() })
}

impl Unit {
    /// The answer to a question that may be long.
    fn list(&self, question: &[&str], deadline: Instant) -> Result<SecretBytes, Failure> {
        let ended = self.ask_list(question, deadline)?;
        let answer = ended.output.filter(|_| ended.status.success());
        answer.ok_or_else(|| {
            Failure::new(Class::Retryable, "K0407", "ask systemd for its services")
                .because(ended.status.to_string())
        })
    }
}

impl UnitSources {
    fn of_lines(lines: &[&[u8]]) -> Option<Self> {
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
                b"UnsetEnvironment" => {
                    unit.unset = text().split_ascii_whitespace().map(str::to_owned).collect()
                }
                b"EnvironmentFiles" => unit.environment_files.extend(environment_file(&text())),
                b"ExecStart" => unit.wrapper.extend(wrapper(value)),
                _ => {}
            }
        }
        unit.of_unit = of_unit(&unit.unit, fragment, loaded);
        Some(unit).filter(|unit| !unit.unit.is_empty())
    }
}

/// `PATH (ignore_errors=no)`
fn environment_file(text: &str) -> Option<PathBuf> {
    let end = text.rfind(" (ignore_errors=").unwrap_or(text.len());
    text.get(..end).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// `{ path=/usr/bin/env ; argv[]=/usr/bin/env NAME=VALUE program ; ignore_errors=no ; …`
fn wrapper(shown: &[u8]) -> Vec<Variable> {
    let find = |what: &[u8]| shown.windows(what.len()).position(|window| window == what);
    let (Some(from), Some(to)) = (find(b"argv[]="), find(b" ; ignore_errors=")) else { return Vec::new() };
    let line = shown.get(from + 7..to).unwrap_or_default();
    let mut all = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let program = all.next().map(|path| Path::new(std::str::from_utf8(path).unwrap_or_default()));
    if program.and_then(Path::file_name) != Some("env".as_ref()) {
        return Vec::new();
    }
    all.map_while(|word| variable(word.to_vec())).collect()
}

fn variable(word: Vec<u8>) -> Option<Variable> {
    let word = SecretBytes::new(word);
    let at = word.expose().iter().position(|byte| *byte == b'=')?;
    let (name, value) = (word.expose().get(..at)?, word.expose().get(at + 1..)?);
    let good = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    good.then(|| (String::from_utf8_lossy(name).into_owned(), SecretBytes::new(value.to_vec())))
}

/// The unit file, then the drop-ins by their names, with those that lie there and were not loaded:
/// `NeedDaemonReload` does not tell of the first one in a new folder (seen with systemd 252).
fn of_unit(unit: &str, fragment: PathBuf, loaded: Vec<PathBuf>) -> Vec<PathBuf> {
    let template = unit.split_once('@').map(|(name, _)| format!("{name}@.service"));
    let beside = fragment.parent().map(Path::to_owned);
    let folders: BTreeSet<PathBuf> = DROP_IN_FOLDERS.iter().map(PathBuf::from).chain(beside).collect();
    let names = [Some(unit.to_owned()), template].into_iter().flatten();
    let mut all: BTreeSet<PathBuf> = loaded.into_iter().collect();
    for folder in names.flat_map(|name| folders.iter().map(move |folder| folder.join(format!("{name}.d")))) {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        all.extend(
            entries.map(|entry| entry.path()).filter(|path| path.extension() == Some("conf".as_ref())),
        );
    }
    let mut all: Vec<PathBuf> = all.into_iter().collect();
    all.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
    std::iter::once(fragment).chain(all).filter(|path| path.is_absolute()).collect()
}

/// What a unit file or drop-in says of the environment of its service, in its order.
///
/// # Errors
/// It cannot be read.
pub fn unit_lines(path: &Path) -> std::io::Result<Vec<UnitLine>> {
    read_small(path, UNIT_BYTES_MAX).map(|text| lines_in(text.expose()))
}

fn lines_in(text: &[u8]) -> Vec<UnitLine> {
    let mut said = Vec::new();
    let (mut section, mut whole, mut first) = (Vec::new(), SecretBytes::new(Vec::new()), 1);
    for (line, at) in text.split(|byte| *byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        if whole.is_empty() {
            first = at;
            if line.is_empty() || matches!(line.first(), Some(b'#' | b';')) {
                continue;
            }
        }
        let (part, goes_on) = line.strip_suffix(b"\\").map_or((line, false), |part| (part, true));
        whole = SecretBytes::new([whole.expose(), if whole.is_empty() { b"" } else { b" " }, part].concat());
        if goes_on {
            continue;
        }
        let line = std::mem::replace(&mut whole, SecretBytes::new(Vec::new()));
        if line.expose().first() == Some(&b'[') {
            section = line.expose().to_vec();
        } else if section == b"[Service]" {
            said.extend(says(line.expose()).into_iter().map(|says| UnitLine { line: first, says }));
        }
    }
    said
}

fn says(line: &[u8]) -> Vec<UnitSays> {
    let Some(at) = line.iter().position(|byte| *byte == b'=') else { return Vec::new() };
    let (key, value) =
        (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default().trim_ascii());
    let credential = || {
        let text = std::str::from_utf8(value).ok()?;
        let (name, path) = text.split_once(':')?;
        Some((name.to_owned(), PathBuf::from(path)))
    };
    match key.trim_ascii_end() {
        b"Environment" if value.is_empty() => vec![UnitSays::Reset],
        b"Environment" => {
            let all = words(value).into_iter().filter_map(variable);
            all.map(|(name, value)| UnitSays::Variable(name, without_specifiers(&value))).collect()
        }
        b"LoadCredential" => {
            credential().map(|(name, path)| UnitSays::Credential(name, path)).into_iter().collect()
        }
        b"LoadCredentialEncrypted" => {
            credential().map(|(name, path)| UnitSays::Encrypted(name, path)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// `%%` is a `%`; anything else behind one is known to the manager alone.
fn without_specifiers(value: &SecretBytes) -> Option<SecretBytes> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.expose().iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'%' && bytes.next() != Some(&b'%') {
            drop(SecretBytes::new(out));
            return None;
        }
        out.push(*byte);
    }
    Some(SecretBytes::new(out))
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
                    Environment=A=1 \"B=two words\" C=$'x\\ny'\nUnsetEnvironment=Z Y\n\
                    EnvironmentFiles=/srv/a b.env (ignore_errors=no)\nEnvironmentFiles=/srv/c.env (ignore_errors=yes)\n\
                    ExecStart={ path=/usr/bin/env ; argv[]=/usr/bin/env K=v L=w prog M=n ; ignore_errors=no ; pid=1 }";
        let lines: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
        let unit = UnitSources::of_lines(&lines).unwrap();
        assert_eq!((unit.unit.as_str(), unit.main_pid, unit.active.as_str()), ("app.service", 7, "active"));
        assert_eq!(shown(&unit.environment), ["A=1", "B=two words", "C=x\ny"]);
        assert_eq!(shown(&unit.wrapper), ["K=v", "L=w"]);
        assert_eq!(unit.unset, ["Z", "Y"]);
        assert_eq!(unit.environment_files, [Path::new("/srv/a b.env"), Path::new("/srv/c.env")]);
        let files = ["/nowhere/app.service", "/nowhere/a.conf", "/nowhere/b.conf"].map(PathBuf::from);
        assert_eq!(unit.of_unit, files);
        assert!(UnitSources::of_lines(&[]).is_none());
    }

    #[test]
    fn lines_of_a_unit_file_are_told_with_their_numbers() {
        let text = "[Unit]\nEnvironment=NO=1\n# x\n[Service]\nEnvironment=A=1 'B=2 3' \\\n  C=%h D=5%%\n;\nEnvironment=\n\
                    LoadCredential=db:/etc/db\nLoadCredentialEncrypted=x:/etc/x.cred\n";
        let told: Vec<String> = lines_in(text.as_bytes())
            .into_iter()
            .map(|one| match one.says {
                UnitSays::Variable(name, Some(value)) => {
                    format!("{} {name}={}", one.line, String::from_utf8_lossy(value.expose()))
                }
                UnitSays::Variable(name, None) => format!("{} {name}?", one.line),
                UnitSays::Reset => format!("{} reset", one.line),
                UnitSays::Credential(name, path) => format!("{} {name}:{}", one.line, path.display()),
                UnitSays::Encrypted(name, _) => format!("{} {name} encrypted", one.line),
            })
            .collect();
        assert_eq!(told, ["5 A=1", "5 B=2 3", "5 C?", "5 D=5%", "8 reset", "9 db:/etc/db", "10 x encrypted"]);
    }
}
