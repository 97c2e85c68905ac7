//! The environment that supervisord's configuration gives its programs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use keyroll_copy::{SupervisorVariable, supervisor_settings};
use keyroll_observe::{Listing, Process, ProcessId, read_small, working_folder};
use keyroll_secret::SecretBytes;

use crate::pattern::files_of;
use crate::supervisor::is_supervisord;

/// The largest file of its configuration that is read, bytes, and the most that it includes.
const FILE_BYTES_MAX: usize = 1 << 20;
const FILES_MAX: usize = 256;

/// Its default configuration files. Source: supervisor 4.3.0, options.py, `Options.__init__`.
const DEFAULTS: [&str; 5] = [
    "supervisord.conf",
    "etc/supervisord.conf",
    "/etc/supervisord.conf",
    "/etc/supervisor/supervisord.conf",
    "/etc/supervisor.conf",
];

/// A supervisord that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervisord {
    /// Which process.
    pub process: ProcessId,
    /// Its configuration; `None` = unknown.
    pub config: Option<PathBuf>,
}

/// One variable of an `environment=`.
pub struct Assigned {
    /// Its name.
    pub name: String,
    /// Its value; `None` = it is built from other variables (`%(ENV_NAME)s`), or supervisord cannot read it.
    pub value: Option<SecretBytes>,
    /// The variables that it is built from.
    pub refers: Vec<String>,
    /// Its file.
    pub file: PathBuf,
    /// In which line, from 1 on.
    pub line: u64,
    of: SupervisorVariable,
}

impl Assigned {
    fn new(of: SupervisorVariable, file: &Path) -> Self {
        Self {
            name: of.name.clone(),
            value: of.value(&|_| None).ok(),
            refers: of.refers(),
            file: file.to_owned(),
            line: u64::try_from(of.line).unwrap_or(1),
            of,
        }
    }

    /// Its value, if it is built only from variables that are known.
    pub fn built_from(&self, known: &dyn Fn(&str) -> Option<SecretBytes>) -> Option<SecretBytes> {
        self.of.value(known).ok()
    }

    /// The variables that any entry of its list refers to: supervisord refuses the list if it does not know one.
    pub fn list_refers(&self) -> impl Iterator<Item = &str> {
        self.of.list_refers()
    }
}

/// What the files of a configuration say now.
#[derive(Default)]
pub struct SupervisorConfig {
    /// `environment=` of `[supervisord]`.
    pub of_all: Vec<Assigned>,
    /// Of each `[program:NAME]`, also of one without any.
    pub programs: BTreeMap<String, Vec<Assigned>>,
    /// Of each `[group:NAME]`, the programs that it lists.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// Files that could not be read, with the reason.
    pub unread: Vec<(PathBuf, String)>,
}

impl Supervisord {
    /// Those among these processes.
    pub fn all(listing: &Listing) -> Vec<Self> {
        let daemons: Vec<&Process> = listing.seen.iter().filter(|one| is_daemon(one)).collect();
        // A process that it just forked has not executed its program yet.
        let forked = |one: &Process| daemons.iter().any(|other| other.id.pid == one.ppid);
        let own = daemons.iter().filter(|one| !forked(one));
        own.map(|one| Self { process: one.id, config: config_of(one) }).collect()
    }
}

/// A script of that name, run by its interpreter or by itself: not an editor with its configuration open.
fn is_daemon(process: &Process) -> bool {
    let named = |word: &[u8]| Path::new(OsStr::from_bytes(word)).file_name() == Some("supervisord".as_ref());
    let mut first = true;
    let script = process.args.any(|word| std::mem::take(&mut first) && named(word));
    is_supervisord(process)
        && (script || process.args.program().is_some_and(|it| named(it.as_os_str().as_bytes())))
}

/// The file of `-c`, or the default file.
fn config_of(process: &Process) -> Option<PathBuf> {
    let mut named: Option<PathBuf> = None;
    let mut next = false;
    process.args.any(|word| {
        if std::mem::take(&mut next) {
            named = Some(PathBuf::from(OsStr::from_bytes(word)));
        }
        next = matches!(word, b"-c" | b"--configuration");
        let joined = word
            .strip_prefix(b"--configuration=")
            .or_else(|| word.strip_prefix(b"-c"))
            .filter(|it| !it.is_empty());
        if let Some(path) = joined {
            named = Some(PathBuf::from(OsStr::from_bytes(path)));
        }
        named.is_some()
    });
    let folder = working_folder(&process.id).ok()?;
    match named {
        Some(path) => Some(folder.join(path)).filter(|path| path.is_file()),
        None => DEFAULTS.iter().map(|name| folder.join(name)).find(|path| path.is_file()),
    }
}

impl SupervisorConfig {
    /// Reads a configuration and what it includes.
    pub fn read(path: &Path) -> Self {
        let mut config = Self::default();
        let mut files = vec![path.to_owned()];
        let mut at = 0;
        while let Some(file) = files.get(at).cloned().filter(|_| at < FILES_MAX) {
            at += 1;
            match read_small(&file, FILE_BYTES_MAX) {
                Ok(text) => {
                    let included = config.add(&file, text.expose());
                    // Only the first file includes others. Source: supervisor 4.3.0, options.py, `read_config`.
                    if at == 1 {
                        files.extend(included);
                    }
                }
                Err(error) => config.unread.push((file, error.to_string())),
            }
        }
        config
    }

    /// Reads one file, and returns the files that it includes.
    fn add(&mut self, file: &Path, text: &[u8]) -> Vec<PathBuf> {
        let mut included = Vec::new();
        for setting in supervisor_settings(text) {
            let all = || setting.variables(text).into_iter().map(|one| Assigned::new(one, file)).collect();
            match (setting.section.as_str(), setting.key.as_str()) {
                ("include", "files") => included.extend(self::included(file, setting.text.expose())),
                ("supervisord", "environment") => self.of_all = all(),
                (section, "programs") => {
                    if let Some(group) = section.strip_prefix("group:") {
                        let listed = String::from_utf8_lossy(setting.text.expose());
                        let listed = listed.split(',').map(|one| one.trim().to_owned()).collect();
                        self.groups.insert(group.trim().to_owned(), listed);
                    }
                }
                (section, key) => {
                    let Some(program) = section.strip_prefix("program:") else { continue };
                    let program = self.programs.entry(program.trim().to_owned()).or_default();
                    if key == "environment" {
                        *program = all();
                    }
                }
            }
        }
        included
    }
}

/// The files of an `include`, each pattern's by their names. Source: supervisor 4.3.0, options.py,
/// `read_include_config`.
fn included(file: &Path, patterns: &[u8]) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let text = String::from_utf8_lossy(patterns).into_owned();
    let patterns = text.split_ascii_whitespace();
    patterns
        .flat_map(|pattern| files_of(&folder.join(pattern.replace("%(here)s", &folder.to_string_lossy()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_and_what_it_includes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[supervisord]\nenvironment=ALL=\"x\"\n[include]\nfiles = conf.d/*.conf\n\
                    [program:bot] \ncommand=sh -c 'a=b' ; not here\nenvironment=A=\"one,two\",B='x',\n  C=plain,D=\"%(ENV_Z)s\",E=\"5%%\"\n";
        std::fs::create_dir(folder.path().join("conf.d")).unwrap();
        std::fs::write(folder.path().join("s.conf"), text).unwrap();
        std::fs::write(folder.path().join("conf.d/w.conf"), "[program:web]\nenvironment = K=v\n").unwrap();
        std::fs::write(folder.path().join("conf.d/w.txt"), "[program:none]\nenvironment = K=v\n").unwrap();
        let groups = "[group:all]\nprograms=bot, web\n[group: two ]\nprograms = web\n";
        std::fs::write(folder.path().join("conf.d/x.conf"), groups).unwrap();
        // A later file counts.
        let later = "[group:all]\nprograms = bot,\n other\n[program:bare]\ncommand = web\n";
        std::fs::write(folder.path().join("conf.d/y.conf"), later).unwrap();
        let config = SupervisorConfig::read(&folder.path().join("s.conf"));
        let told = |all: &[Assigned]| -> Vec<String> {
            let value = |one: &Assigned| {
                one.value
                    .as_ref()
                    .map_or("?".to_owned(), |it| String::from_utf8_lossy(it.expose()).into_owned())
            };
            all.iter().map(|one| format!("{} {}={}", one.line, one.name, value(one))).collect()
        };
        assert_eq!(told(&config.of_all), ["2 ALL=x"]);
        assert_eq!(told(&config.programs["bot"]), ["7 A=one,two", "7 B=x", "8 C=plain", "8 D=?", "8 E=5%"]);
        assert_eq!(told(&config.programs["web"]), ["2 K=v"]);
        assert_eq!(told(&config.programs["bare"]), [""; 0]);
        assert_eq!((config.programs.len(), config.unread.len()), (3, 0));
        let groups: Vec<_> = config.groups.iter().map(|(name, all)| format!("{name}: {all:?}")).collect();
        assert_eq!(groups, [r#"all: {"bot", "other"}"#, r#"two: {"web"}"#]);
        let config = SupervisorConfig::read(&folder.path().join("none.conf"));
        assert_eq!(config.unread.len(), 1);
    }
}
