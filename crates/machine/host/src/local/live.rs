//! Pending changes: earlier edits of another variable, of the program, of a script or of a unit that a restart would
//! activate. They are compared with what runs, right before each restart.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_copy::{Format, Slot};
use keyroll_manager::{CommandLine, Comparison, InstanceProcess, OwnCopies};
use keyroll_observe::{Image, ProcessId, Variable, environment_has, environment_names, image};
use keyroll_port::{Failure, PendingChange, PendingChanges};
use keyroll_rotation::{Difference, FileId};
use keyroll_secret::SecretBytes;

use super::enumerate::listing;
use super::file_fingerprint::{FileFingerprint, file_fingerprint};
use super::variables_within::{drop_within, has_within, variables_within};
use super::{ConsumerSetup, CopySetup, FileSetup, Local, SlotSetup};

/// A file that was changed within this time of a start counts as read by it: start times have a precision of 10 ms.
const SLACK_MS: u64 = 20;

/// Why nothing is compared of a program that reads the store again by itself.
const READS_STORE: &str = "it reads the store again by itself";

/// Variables that a shell, a login or the environment of a restart command adds.
const OF_A_SHELL: [&str; 16] = [
    "PATH",
    "HOME",
    "LANG",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "MAIL",
    "HOSTNAME",
    "EDITOR",
    "DISPLAY",
    "LS_COLORS",
];

/// Prefixes of the names of variables that a login session sets.
const OF_A_SESSION: [&str; 10] =
    ["LC_", "SSH_", "XDG_", "DBUS_", "SUDO_", "TMUX", "LESS", "HIST", "PYENV_", "COLORTERM"];

/// How many variables that no file names are reported.
const ORPHANS_MAX: usize = 8;

/// One slot, and what is known about it.
pub(super) struct Subject<'a> {
    pub(super) consumer: &'a ConsumerSetup,
    pub(super) slot: &'a SlotSetup,
    /// This rotation wrote its files: their times do not show an edit any more.
    pub(super) delivered: bool,
}

impl Local {
    /// The pending changes that restarts of all consumers would activate now.
    pub(super) fn live_now(&self) -> PendingChanges {
        let mut all = PendingChanges::default();
        let listing = listing();
        for (_, consumer) in self.setup.consumer_ids() {
            for slot in &consumer.slots {
                let running = match &listing {
                    _ if slot.run.comparison() != Comparison::Restarted => Ok(Vec::new()),
                    Ok(listing) => slot.run.instances_in(listing),
                    Err(failure) => Err(Failure::new(failure.class, failure.code, &failure.attempted)),
                };
                let found = self.live_in(&Subject { consumer, slot, delivered: false }, &running);
                all.not_visible.extend(found.not_visible);
                for one in found.live {
                    if !all.live.iter().any(|known| known.difference == one.difference) {
                        all.live.push(one);
                    }
                }
            }
        }
        let mut told = BTreeSet::new();
        all.not_visible.retain(|line| told.insert(line.clone()));
        all
    }

    /// The pending changes that a restart of one slot would activate and that nobody accepted.
    pub(super) fn unaccepted(
        &self,
        consumer: &ConsumerSetup,
        slot: &SlotSetup,
        running: &Result<Vec<InstanceProcess>, Failure>,
        accepted: &[Difference],
    ) -> Vec<PendingChange> {
        let mut live = self.live_in(&Subject { consumer, slot, delivered: true }, running).live;
        live.retain(|one| !accepted.contains(&one.difference));
        for one in &mut live {
            if accepted.iter().any(|known| known.name == one.difference.name) {
                one.what += &format!("; it was edited again since it was accepted ({})", Code::PendingChange);
            }
        }
        live
    }

    fn live_in(
        &self,
        subject: &Subject<'_>,
        running: &Result<Vec<InstanceProcess>, Failure>,
    ) -> PendingChanges {
        let Subject { consumer, slot, .. } = *subject;
        let mut report = PendingChanges::default();
        match slot.run.comparison() {
            Comparison::Restarted => {}
            Comparison::NotVisible(why) => {
                // A program that reads the store has no file.
                let why = if consumer.follows && !slot.run.needs_reload() { READS_STORE } else { why };
                let what = format!("what '{}' loads beside the value: {why}", consumer.name);
                report.not_visible.push(what);
                return report;
            }
            Comparison::NotRestarted => return report,
        }
        let what = || format!("what a restart of '{}' would make live", consumer.name);
        let mains: Vec<ProcessId> = match running {
            Ok(found) => found.iter().filter(|one| one.main).map(|one| one.process).collect(),
            Err(failure) => {
                report.not_visible.push(format!("{}: could not {}", what(), failure.attempted));
                return report;
            }
        };
        if mains.is_empty() {
            report.not_visible.push(format!("{}: nothing of it runs now", what()));
        }
        for process in mains {
            match image(&process) {
                Ok(image) => self.compare(subject, &process, &image, &mut report),
                Err(reason) => report.not_visible.push(format!("{}: {reason}", what())),
            }
        }
        report
    }

    fn compare(
        &self,
        subject: &Subject<'_>,
        process: &ProcessId,
        image: &Image,
        report: &mut PendingChanges,
    ) {
        self.program(subject, image, report);
        let run = &subject.slot.run;
        if let Some(script) = run.restart_command().and_then(CommandLine::script) {
            self.changed(subject, "restart", &script, &script, image, report);
        }
        if run.engine().is_some() {
            self.mounted(subject, process, report);
            self.drifted(subject, image, report);
            return;
        }
        let mut environment = Vec::new();
        if let Some(unit) = run.unit() {
            environment = self.unit(subject, unit, image, report);
            self.credentials(subject, unit, process, report);
        }
        self.drifted(subject, image, report);
        let mut named = BTreeSet::new();
        for id in &subject.consumer.files {
            named.extend(self.variables(subject, process, *id, &mut environment, report));
        }
        for path in environment {
            self.all_variables(subject, process, &path, &[], report);
        }
        if run.starts_from_files_alone() && !named.is_empty() {
            orphans(subject, process, &named, report);
        }
    }

    /// Pending changes in the manager's own configuration.
    fn drifted(&self, subject: &Subject<'_>, image: &Image, report: &mut PendingChanges) {
        let consumer = subject.consumer;
        let files: Vec<&FileSetup> = consumer.files.iter().filter_map(|id| self.setup.file(*id)).collect();
        let within: Vec<Vec<String>> = files.iter().map(|file| variables_within(file)).collect();
        let variables = files.iter().zip(&within).map(|(file, within)| {
            let all = own_variables(file).into_iter().chain(within.iter().map(String::as_str));
            (file.path.as_path(), all.collect::<Vec<_>>())
        });
        let containing = |part: &[u8]| {
            let contains = |file: &&&FileSetup| {
                let content = file_fingerprint(&file.path).ok().and_then(|found| found.content);
                content.is_some_and(|it| it.expose().windows(part.len()).any(|window| window == part))
            };
            files.iter().find(contains).map(|file| file.path.clone())
        };
        let drift = subject.slot.run.drift(&OwnCopies {
            consumer: &consumer.name,
            delivered: subject.delivered,
            variables: variables.collect(),
            compose_entries: files.iter().flat_map(|file| compose_entries(file)).collect(),
            containing: &containing,
        });
        report.not_visible.extend(drift.not_visible);
        for edit in drift.edits {
            let name = format!("{}/{}:{}", consumer.name, edit.kind, edit.name.escape_debug());
            let digest = self.digest(&[name.as_bytes(), edit.mark.expose()]);
            let difference = Difference { name: name.into(), digest };
            report.live.push(PendingChange { difference, what: edit.what, since_unix_ms: None });
        }
        for file in drift.changed_files {
            self.push(
                subject,
                file.kind,
                &file.path,
                file.what,
                file_fingerprint(&file.path).ok().as_ref(),
                report,
            );
        }
        for (kind, path) in drift.read_at_start {
            self.changed(subject, kind, &path, &path, image, report);
        }
    }

    /// Compares the executable, and the script that it interprets.
    fn program(&self, subject: &Subject<'_>, image: &Image, report: &mut PendingChanges) {
        if image.replaced {
            let path = &image.program.path;
            let (what, found) = match file_fingerprint(&image.program.here) {
                Ok(found) => (format!("{} was replaced since it was started", path.display()), Some(found)),
                Err(_) => (format!("{} was removed since it was started", path.display()), None),
            };
            self.push(subject, "program", path, what, found.as_ref(), report);
        }
        match &image.script {
            Some(script) => self.changed(subject, "script", &script.path, &script.here, image, report),
            None if image.interprets => report.not_visible.push(format!(
                "the program of '{}': {} does not name it in its command line",
                subject.consumer.name,
                image.program.path.display()
            )),
            None => {}
        }
    }

    /// Reports a file that was written, renamed or given other rights after the process was started.
    pub(super) fn changed(
        &self,
        subject: &Subject<'_>,
        kind: &str,
        path: &Path,
        here: &Path,
        image: &Image,
        report: &mut PendingChanges,
    ) {
        let found = match file_fingerprint(here) {
            Ok(found) => found,
            Err(why) => {
                report.not_visible.push(format!("{} of '{}': {why}", path.display(), subject.consumer.name));
                return;
            }
        };
        let script = kind != "restart" || found.script;
        if script && found.changed_unix_ms > image.started_unix_ms.saturating_add(SLACK_MS) {
            let what = format!("{} was changed after the running process was started", path.display());
            self.push(subject, kind, path, what, Some(&found), report);
        }
    }

    /// Compares the other variables in one of the consumer's own env files; returns the names of all variables in it.
    /// `loaded`: files that are certainly its environment; this file is removed from the list.
    pub(super) fn variables(
        &self,
        subject: &Subject<'_>,
        process: &ProcessId,
        id: FileId,
        loaded: &mut Vec<PathBuf>,
        report: &mut PendingChanges,
    ) -> BTreeSet<String> {
        let none = BTreeSet::new;
        let Some(file) = self.setup.file(id) else { return none() };
        let place =
            || format!("the other content of {} for '{}'", file.path.display(), subject.consumer.name);
        let own = own_variables(file);
        let real = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
        let surely = loaded.iter().any(|one| one.canonicalize().unwrap_or_else(|_| one.clone()) == real);
        if own.is_empty() && !(surely && has_within(file)) {
            let whole = |copy: &CopySetup| matches!(copy, CopySetup::Value { slot: Slot::Whole, .. });
            let beside = !file.copies.iter().any(whole);
            if beside {
                report
                    .not_visible
                    .push(format!("{}: the running process does not show what it has read", place()));
            }
            return none();
        }
        loaded.retain(|one| one.canonicalize().unwrap_or_else(|_| one.clone()) != real);
        if !surely {
            let nothing = SecretBytes::new(Vec::new());
            let asked: Vec<(&str, &SecretBytes)> = own.iter().map(|name| (*name, &nothing)).collect();
            match environment_has(process, &asked) {
                Ok(all) if all.iter().any(|one| *one != Variable::Absent) => {}
                Ok(_) => {
                    report.not_visible.push(format!("{}: it is not its environment", place()));
                    return none();
                }
                Err(reason) => {
                    report.not_visible.push(format!("{}: {reason}", place()));
                    return none();
                }
            }
        }
        self.all_variables(subject, process, &real, &file.copies, report)
    }

    /// Compares every variable of an env file, except the `copies`, with the environment of what runs; returns the names of
    /// all variables in it.
    fn all_variables(
        &self,
        subject: &Subject<'_>,
        process: &ProcessId,
        path: &Path,
        copies: &[CopySetup],
        report: &mut PendingChanges,
    ) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let consumer = &subject.consumer.name;
        let place = || format!("the other content of {} for '{consumer}'", path.display());
        let found = match file_fingerprint(path) {
            Ok(found) => found,
            Err(why) => {
                report.not_visible.push(format!("{}: {why}", place()));
                return names;
            }
        };
        let variables = found.content.as_ref().map(|content| Format::Dotenv.variables(content.expose()));
        let Some(Ok(mut variables)) = variables else {
            report.not_visible.push(format!("{}: it is too large", place()));
            return names;
        };
        names.extend(variables.iter().map(|(name, _)| name.clone()));
        variables.retain(|(name, _)| !copies.iter().any(|copy| own_variable(copy) == Some(name.as_str())));
        let content = found.content.as_ref().map(SecretBytes::expose).unwrap_or_default();
        for name in drop_within(copies, content, &mut variables) {
            let what = format!("the other content of {name} in {} for '{consumer}'", path.display());
            report.not_visible.push(format!("{what}: it holds the value"));
        }
        for (name, value) in &variables {
            if let Err(error) = value {
                report.not_visible.push(format!("{name} in {} for '{consumer}': {error}", path.display()));
            }
        }
        let nothing = SecretBytes::new(Vec::new());
        let out = commented_out(content);
        let out: Vec<&String> = out.iter().filter(|name| !names.contains(*name)).collect();
        let told: Vec<(&str, &SecretBytes)> = variables
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_ref().ok()?)))
            .chain(out.iter().map(|name| (name.as_str(), &nothing)))
            .collect();
        let has = match environment_has(process, &told) {
            Ok(has) => has,
            Err(reason) => {
                report.not_visible.push(format!("{}: {reason}", place()));
                return names;
            }
        };
        for ((name, value), has) in told.iter().zip(has) {
            let how = match (has, std::ptr::eq(*value, &raw const nothing)) {
                (Variable::Absent, true) | (Variable::Same, false) => continue,
                (Variable::Same | Variable::Other, true) => {
                    "is commented out: the running process still has it"
                }
                (Variable::Other, false) => "differs from what is running",
                (Variable::Absent, false) => "is new: the running process does not have it",
            };
            let named = format!("{consumer}/{}:{name}", base(path));
            let digest = self.digest(&[named.as_bytes(), value.expose()]);
            report.live.push(PendingChange {
                difference: Difference { name: named.into(), digest },
                what: format!("{name} in {} {how}", path.display()),
                since_unix_ms: (!subject.delivered).then_some(found.written_unix_ms),
            });
        }
        names.extend(out.into_iter().cloned());
        names
    }

    pub(super) fn push(
        &self,
        subject: &Subject<'_>,
        kind: &str,
        path: &Path,
        what: String,
        found: Option<&FileFingerprint>,
        report: &mut PendingChanges,
    ) {
        let name = format!("{}/{kind}:{}", subject.consumer.name, base(path));
        let seen: &[u8] = found.map_or(b"", |found| &found.mark);
        let digest = self.digest(&[name.as_bytes(), path.as_os_str().as_encoded_bytes(), seen]);
        let since_unix_ms = found.map(|found| found.written_unix_ms);
        report.live.push(PendingChange {
            difference: Difference { name: name.into(), digest },
            what,
            since_unix_ms,
        });
    }

    /// The first half of a keyed digest. Each part follows its own length, so that no two lists of parts are alike.
    pub(super) fn digest(&self, parts: &[&[u8]]) -> u64 {
        let mut all = Vec::with_capacity(parts.iter().map(|part| part.len().saturating_add(8)).sum());
        for part in parts {
            all.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            all.extend_from_slice(part);
        }
        let print = self.key.fingerprint(&SecretBytes::new(all));
        print.as_bytes().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }
}

/// Reports variables that the running process has and that none of its files names: they were removed from a file, or
/// set by the starter of the process. Only the restart command knows whether they exist after a restart.
#[expect(clippy::disallowed_methods, reason = "a restart command inherits keyroll's own environment")]
fn orphans(
    subject: &Subject<'_>,
    process: &ProcessId,
    named: &BTreeSet<String>,
    report: &mut PendingChanges,
) {
    // If the environment cannot be read, that was reported with the files.
    let Ok(has) = environment_names(process) else { return };
    let own = |name: &&String| {
        !named.contains(*name)
            && !OF_A_SHELL.contains(&name.as_str())
            && !OF_A_SESSION.iter().any(|prefix| name.starts_with(prefix))
            // A variable of keyroll's own environment belongs to the machine, and was in no env file.
            && std::env::var_os(name).is_none()
    };
    let all: Vec<&str> = has.iter().filter(own).map(String::as_str).take(ORPHANS_MAX).collect();
    if !all.is_empty() {
        report.not_visible.push(format!(
            "whether '{}' has {} after a restart: the running process has it, and its env file does not name it",
            subject.consumer.name,
            all.join(", ")
        ));
    }
}

/// The names in commented lines that would be variables without the comment mark.
fn commented_out(content: &[u8]) -> Vec<String> {
    let lines = content.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?.trim().strip_prefix('#')?.trim_start();
        let (name, _) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        (!name.is_empty() && name.bytes().all(plain)).then(|| name.to_owned())
    });
    lines.collect()
}

/// The variables of a file that hold the value.
pub(super) fn own_variables(file: &FileSetup) -> Vec<&str> {
    file.copies.iter().filter_map(own_variable).collect()
}

/// The variable that is a copy.
fn own_variable(copy: &CopySetup) -> Option<&str> {
    match copy {
        CopySetup::Value { slot: Slot::Variable(name), .. } => Some(name),
        CopySetup::Value { .. } | CopySetup::Within(_) | CopySetup::Login { .. } => None,
    }
}

/// The keys that lead to each copy of the value within a compose file.
fn compose_entries(file: &FileSetup) -> impl Iterator<Item = &[String]> {
    file.copies.iter().filter_map(|copy| match copy {
        CopySetup::Value { format: Format::Compose, slot: Slot::At(pointer), .. } => Some(pointer.steps()),
        CopySetup::Value { .. } | CopySetup::Within(_) | CopySetup::Login { .. } => None,
    })
}

/// A file's own name, printable.
fn base(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Child, Command};
    use std::sync::Arc;
    use std::time::Duration;

    use keyroll_copy::Template;
    use keyroll_manager::{Find, Process, Verb};
    use keyroll_secret::FingerprintKey;
    use keyroll_testkit::command::wait;

    use super::*;
    use crate::{CopySource, LOCAL, SearchLimits, Setup, Write};

    /// A process that is ended with the test.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    /// A host with one consumer, whose copy is the part of a variable, as `keyroll init` writes it.
    fn with_part_of_a_variable(env: &Path) -> Local {
        let template = Template::parse("postgresql://app:{password}@").unwrap();
        let file = FileSetup {
            path: env.to_owned(),
            planned: None,
            write: Write::Rename,
            copies: vec![CopySetup::Within(template)],
            generated: false,
            generator: None,
            own: None,
        };
        let find = Find::PidFile { path: env.with_extension("pid"), exe: None };
        let run = Arc::new(Process { instances: Vec::new(), find, verb: Verb::Signal(1) });
        let consumer = ConsumerSetup {
            name: "app".into(),
            files: vec![FileId(0)],
            fetch: None,
            slots: vec![SlotSetup { instance: None, run, checks: vec![None], log: None, ready: None }],
            follows: false,
            served: None,
            succeeded: false,
        };
        let setup = Setup {
            host: LOCAL,
            rotation: "r1".into(),
            files: vec![file],
            consumers: vec![consumer],
            roots: Vec::new(),
            search: SearchLimits::default(),
            bystanders: Vec::new(),
            own_folders: Vec::new(),
            instance_time_max: Duration::from_secs(120),
            work: env.with_extension("work"),
            value_format: (b"abc".to_vec(), 64),
            servers: Vec::new(),
            gate: None,
            issuer_at: Vec::new(),
        };
        Local::new(setup, FingerprintKey::new(&[7; 32]))
    }

    /// A unit's EnvironmentFile: what runs has the value of before.
    #[test]
    fn a_variable_that_contains_the_new_value_is_no_pending_change() {
        let folder = tempfile::tempdir().unwrap();
        let env = folder.path().canonicalize().unwrap().join("db.env");
        let url = |value: &str| format!("postgresql://app:{value}@db/shop");
        let write = |value: &str, level: &str| {
            fs::write(&env, format!("DATABASE_URL=\"{}\"\nLOG={level}\n", url(value))).unwrap();
        };
        let mut command = Command::new("/bin/sleep");
        command.arg("1000").env_clear().env("DATABASE_URL", url("one")).env("LOG", "info");
        let child = Running(command.spawn().unwrap());
        let name = |name: &str| keyroll_observe::process(child.0.id()).is_ok_and(|now| now.name == name);
        wait("the program runs", || name("sleep"));
        let process = keyroll_observe::process(child.0.id()).unwrap().id;
        let host = with_part_of_a_variable(&env);
        let changes = |value: &str, level: &str| {
            write(value, level);
            let consumer = &host.setup.consumers[0];
            let subject = Subject { consumer, slot: &consumer.slots[0], delivered: true };
            let mut report = PendingChanges::default();
            let mut environment = vec![env.clone()];
            host.variables(&subject, &process, FileId(0), &mut environment, &mut report);
            for path in environment {
                host.all_variables(&subject, &process, &path, &[], &mut report);
            }
            let names = report.live.into_iter().map(|one| one.difference.name.to_string());
            (names.collect::<Vec<_>>(), report.not_visible)
        };
        let (named, unseen) = changes("two", "info");
        assert!(named.is_empty(), "{named:?}");
        assert!(
            unseen.iter().any(|line| line.starts_with("the other content of DATABASE_URL")),
            "{unseen:?}"
        );
        assert_eq!(changes("two", "debug").0, ["app/db.env:LOG"]);
        assert_eq!(variables_within(&host.setup.files[0]), ["DATABASE_URL"]);
    }

    #[test]
    fn the_keys_to_each_copy_in_a_compose_file_are_named() {
        let copies = ["/services/web/environment/KEY", "/services/web/image"];
        let copies = copies.map(|at| CopySetup::Value {
            format: Format::Compose,
            slot: Format::Compose.slot(at, None).unwrap(),
            source: CopySource::Field("value".into()),
        });
        let path = "/srv/shop/compose.yaml".into();
        let (planned, write, copies) = (None, Write::Rename, copies.into());
        let file = FileSetup { path, planned, write, copies, generated: false, generator: None, own: None };
        let entries: Vec<String> = compose_entries(&file).map(|steps| steps.join("/")).collect();
        assert_eq!(entries, ["services/web/environment/KEY", "services/web/image"]);
    }
}
