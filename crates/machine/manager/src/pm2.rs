mod list;
pub(crate) mod sources;
mod workload;

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_observe::ProcessId;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use rustix::process::geteuid;

use crate::command::{Ended, Output, With, run};
use crate::environment::found;
use crate::find::{list, with_workers};
use crate::restart::CommandFailure;
use crate::settle::{Settling, mains, question, settle, text};
use crate::shell_word::{shell_word, shell_words};
use crate::user::User;
use crate::{Applied, CommandLine, DraftValue, Find, InstanceProcess, ServiceDeclaration, ServiceIdentity};
use list::{Listed, listed, with_apps};
pub(crate) use workload::PM2;

/// How long one question to pm2 may take, milliseconds.
const ASK_MS_MAX: u64 = 20_000;

/// The list from which pm2 starts its apps after a reboot, and the list before that. Both hold whole environments.
const DUMPS: [&str; 2] = ["dump.pm2", "dump.pm2.bak"];

/// Replaces the file, even through a link, by its standard input; the mode stays. The temporary file beside it is new
/// and readable only by its owner, whatever was there, and is removed if the replacement fails: it holds whole
/// environments.
const REPLACE: &str = "set -euC; umask 077; file=$(readlink -f \"$1\"); new=\"$file.keyroll\"; rm -f -- \"$new\"; \
                       trap 'rm -f -- \"$new\"' EXIT; trap 'exit 1' HUP INT TERM; cat >\"$new\"; \
                       sync \"$new\"; chmod --reference=\"$file\" \"$new\"; mv -f -- \"$new\" \"$file\"";

/// Write permission for others; in a sticky folder only the owner of a file may replace it.
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// An app of pm2.
///
/// `pm2 restart NAME` keeps the environment that the daemon has. Only a restart by the ecosystem file with
/// `--update-env` loads the file's environment, and with it the whole environment of the caller. After a reboot pm2
/// starts what is in the dump (seen with pm2 7.0.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pm2 {
    /// The ecosystem file.
    pub ecosystem: PathBuf,
    /// The app's name in it.
    pub app: String,
    /// pm2's own folder; by default `.pm2` in the home of the ecosystem file's owner.
    pub home: Option<PathBuf>,
    /// The program; `pm2` but for tests.
    pub program: PathBuf,
}

impl Pm2 {
    /// pm2 in reports.
    pub const NAME: &'static str = "pm2";

    /// An app that a survey found; `home` is the daemon's folder.
    pub fn declaration(app: &str, ecosystem: Option<&Path>, home: &Path) -> ServiceDeclaration {
        let file = match ecosystem {
            Some(file) => DraftValue::path(file),
            None => DraftValue::FillIn {
                file: "{name}-ecosystem.config.js",
                what: "the ecosystem file from which pm2 starts it: without one pm2 reuses its own record",
                unless_from_file: false,
            },
        };
        let runs = [("pm2", file), ("app", DraftValue::text(app)), ("home", DraftValue::path(home))];
        ServiceDeclaration {
            identity: Some(ServiceIdentity::perhaps_placed("pm2", app, ecosystem.and_then(Path::parent))),
            restart: Some(format!("pm2 restart {}", shell_word(app))),
            manifest: ecosystem.map(Path::to_owned),
            manager_folder: Some(home.to_owned()),
            ..ServiceDeclaration::new(Self::NAME, app, runs)
        }
    }

    /// An app of an ecosystem file.
    pub fn new(ecosystem: impl Into<PathBuf>, app: impl Into<String>, home: Option<PathBuf>) -> Self {
        Self { ecosystem: ecosystem.into(), app: app.into(), home, program: "pm2".into() }
    }

    pub(crate) fn apply(
        &self,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Applied, Failure> {
        let list = self.list()?;
        let apps = self.listed(&list)?;
        if apps.iter().any(Listed::is_stopped) {
            return Err(self
                .failed(Class::Permanent, "restart")
                .because("it is stopped, and a restart would start it")
                .help(format!(
                    "start it by its ecosystem file, or declare it `at_rest` and `{}`: by its name pm2 would start it \
                     with the old value",
                    self.typed(&["delete", &self.app])
                )));
        }
        let environment = apps.first().map(Listed::environment).unwrap_or_default();
        let before = mains(&self.instances()?);
        let ecosystem = self.ecosystem.to_string_lossy();
        let verb = ["restart", &ecosystem, "--only", &self.app, "--update-env"];
        self.carry_out(&verb, &environment, deadline, started)?;
        let now = mains(&self.instances().map_err(unknown)?);
        if let Some(kept) = now.intersection(&before).next() {
            return Err(self
                .failed(Class::Unknown, "restart")
                .because(format!("pm2 ended without an error, but process {} still runs", kept.pid))
                .help("see whether the ecosystem file has an app of that name"));
        }
        let what = format!("the app {} of pm2", self.app);
        let see = self.typed(&["logs", &self.app, "--nostream"]);
        let of = Settling {
            what: &what,
            see: &see,
            before: &before,
            at_least: before.len().max(1),
            fewer_after: None,
        };
        settle(&of, deadline, &mut || self.up())?;
        self.keep_in_dumps(deadline)?;
        Ok(Applied::without_output(format!("pm2 {}", verb.join(" "))))
    }

    /// Writes the running app into the lists that a reboot starts from. `pm2 save` would add apps that the operator
    /// never saved, and remove apps that do not run now.
    fn keep_in_dumps(&self, deadline: Instant) -> Result<(), Failure> {
        let failed = |why: &str, dump: &Path| {
            self.failed(Class::Unknown, "write into the dump").because(why.to_owned()).help(format!(
                "`{}` writes {} by what runs now",
                self.typed(&["save"]),
                dump.display()
            ))
        };
        let user = self.user()?;
        let list = self.list().map_err(unknown)?;
        let apps = self.listed(&list).map_err(unknown)?;
        for dump in self.dumps()?.iter().filter(|dump| dump.exists()) {
            let place = dump.to_string_lossy();
            let with = With { user: user.as_ref(), ..With::output(Output::List) };
            let line = CommandLine::program("cat", ["--", &*place]);
            let kept = run(&line, &with, deadline, &mut |_| {}).map_err(unknown)?;
            let kept = kept.output.filter(|_| kept.status.success());
            let kept = kept.ok_or_else(|| failed("it could not be read", dump))?;
            let Some(now) = with_apps(&kept, &self.app, &apps) else {
                return Err(failed("it is no list of pm2's", dump));
            };
            let with = With { input: Some(&now), output: Output::Keep, ..with };
            let line = CommandLine::program("/bin/sh", ["-c", REPLACE, "sh", &*place]);
            let written = run(&line, &with, deadline, &mut |_| {}).map_err(unknown)?;
            if !written.status.success() {
                return Err(failed("it could not be replaced", dump));
            }
        }
        Ok(())
    }

    /// All apps of this pm2, with their whole environments.
    fn list(&self) -> Result<SecretBytes, Failure> {
        let deadline = Instant::now() + Duration::from_millis(ASK_MS_MAX);
        let ended = self.pm2(&["jlist"], Output::List, &[], deadline, &mut |_| {}).map_err(question)?;
        ended.output.filter(|_| ended.status.success()).ok_or_else(|| self.other_form("pm2 jlist"))
    }

    fn listed<'a>(&self, list: &'a SecretBytes) -> Result<Vec<Listed<'a>>, Failure> {
        listed(list, &self.app).ok_or_else(|| self.other_form("pm2 jlist"))
    }

    fn other_form(&self, question: &str) -> Failure {
        self.failed(Class::Permanent, "find")
            .because(format!("the answer to `{question}` has another form: is it another version of pm2?"))
    }

    fn up(&self) -> Result<std::collections::BTreeSet<ProcessId>, Failure> {
        let pids = self.pids()?;
        let found = with_workers(&list()?, &pids)?;
        let all = pids.iter().all(|pid| found.iter().any(|one| one.process.pid == *pid));
        Ok(if all { mains(&found) } else { std::collections::BTreeSet::new() })
    }

    pub(crate) fn instances(&self) -> Result<Vec<InstanceProcess>, Failure> {
        let pids: Vec<u32> = self.pids()?.into_iter().filter(|pid| *pid > 0).collect();
        with_workers(&list()?, &pids)
    }

    /// The process of each of the app's instances; 0 for one that does not run.
    fn pids(&self) -> Result<Vec<u32>, Failure> {
        let deadline = Instant::now() + Duration::from_millis(ASK_MS_MAX);
        let words = ["pid", &self.app];
        let ended = self.pm2(&words, Output::Both, &[], deadline, &mut |_| {}).map_err(question)?;
        let said = text(&ended);
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let wrong = |why: &str| {
            self.failed(Class::Permanent, "find").because(why.to_owned()).help(format!(
                "`{}` shows what keyroll sees; correct `runs.pm2` and `runs.app`",
                self.typed(&["pid", &self.app])
            ))
        };
        if !ended.status.success() {
            return Err(wrong("`pm2 pid` ended with an error"));
        }
        if lines.is_empty() {
            return Err(wrong("pm2 knows no app of that name"));
        }
        let pids: Option<Vec<u32>> = lines.iter().map(|line| line.parse().ok()).collect();
        pids.ok_or_else(|| wrong("its answer has another form: is it another version of pm2?"))
    }

    /// The dumps of this pm2.
    fn dumps(&self) -> Result<Vec<PathBuf>, Failure> {
        let home = self.home()?;
        Ok(DUMPS.iter().map(|name| home.join(name)).collect())
    }

    /// pm2's daemon: its memory holds the environments of its apps.
    fn daemon_pid(&self) -> Option<u32> {
        self.daemon(&self.home().ok()?).ok().map(|daemon| daemon.pid)
    }

    /// A command of pm2 for this daemon, as an operator types it in any folder. For another user pm2 would start a daemon of its
    /// own, so it is run as the daemon's user.
    fn typed(&self, words: &[&str]) -> String {
        let user = self.user().ok().flatten().map(|user| format!("sudo -u '#{}' ", user.uid));
        let home =
            self.home().ok().map(|home| format!("PM2_HOME={} ", shell_word(home.display().to_string())));
        format!("{}{}pm2 {}", user.unwrap_or_default(), home.unwrap_or_default(), shell_words(words))
    }

    fn home(&self) -> Result<PathBuf, Failure> {
        if let Some(home) = &self.home {
            return Ok(home.clone());
        }
        let owner = self.owner(&self.ecosystem)?;
        Ok(User::of_uid(owner)?.home.join(".pm2"))
    }

    fn owner(&self, path: &Path) -> Result<u32, Failure> {
        std::fs::metadata(path).map(|meta| meta.uid()).map_err(|error| {
            self.failed(Class::Permanent, "find")
                .because(format!("{}: {error}", path.display()))
                .help("correct `runs.pm2` or `runs.home` in the configuration")
        })
    }

    /// Refuses a program that another user controls, and that keyroll would run with its own rights. The owner of a
    /// folder or link on its path decides which program it is.
    fn refuse_anothers(&self, places: &[&Path]) -> Result<(), Failure> {
        let own = geteuid().as_raw();
        let real: Vec<PathBuf> = places.iter().filter_map(|place| place.canonicalize().ok()).collect();
        let ways = places.iter().copied().chain(real.iter().map(PathBuf::as_path));
        for path in ways.flat_map(Path::ancestors).filter(|path| !path.as_os_str().is_empty()) {
            let meta = std::fs::symlink_metadata(path).map_err(|error| {
                self.failed(Class::Permanent, "find").because(format!("{}: {error}", path.display()))
            })?;
            let sticky = meta.is_dir() && meta.mode() & STICKY != 0;
            let open = meta.mode() & OTHERS_WRITE != 0 && !meta.is_symlink() && !sticky;
            if open || ![0, own].contains(&meta.uid()) {
                let whose = if open {
                    "every user may change".to_owned()
                } else {
                    format!("user {} may change", meta.uid())
                };
                return Err(self
                    .failed(Class::Permanent, "run pm2 for")
                    .because(format!("user {own} would run what {whose}: {}", path.display()))
                    .help(
                        "name pm2's folder of that user in `runs.home`, and let no link lead away from it",
                    ));
            }
        }
        Ok(())
    }

    /// The daemon. Each call of pm2 would start one if none ran.
    fn daemon(&self, home: &Path) -> Result<ProcessId, Failure> {
        let absent = |why: &str| {
            self.failed(Class::Retryable, "ask pm2 for")
                .because(format!("its daemon does not run: {why}"))
                .help(format!(
                    "start it (`{}`), or name its folder in `runs.home`",
                    self.typed(&["resurrect"])
                ))
        };
        let find = Find::PidFile { path: home.join("pm2.pid"), exe: None };
        let found = find.instances(&[])?;
        let Some(daemon) = found.iter().find(|one| one.main) else {
            return Err(absent(&format!("no process is named by {}/pm2.pid", home.display())));
        };
        match keyroll_observe::process(daemon.process.pid) {
            Ok(process) if process.name.starts_with("PM2") => Ok(process.id),
            Ok(process) => Err(absent(&format!("process {} is {}", process.id.pid, process.name))),
            Err(reason) => Err(absent(&reason.to_string())),
        }
    }

    fn carry_out(
        &self,
        words: &[&str],
        environment: &[(&str, String)],
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<(), Failure> {
        let ended = self.pm2(words, Output::Both, environment, deadline, started)?;
        if ended.status.success() {
            return Ok(());
        }
        let status = format!("pm2 {}: {}", words.join(" "), ended.status);
        Err(self
            .failed(Class::Unknown, words.first().unwrap_or(&"ask"))
            .because(CommandFailure { status, output: ended.output })
            .help("run it by hand and fix it"))
    }

    /// The user that it is run as, where that is not keyroll's own user.
    fn user(&self) -> Result<Option<User>, Failure> {
        let home = self.home()?;
        let owner = self.owner(&home)?;
        let own = geteuid();
        if owner == own.as_raw() {
            self.refuse_anothers(&[&home, &self.ecosystem])?;
            return Ok(None);
        }
        if !own.is_root() {
            return Err(self
                .failed(Class::Permanent, "ask pm2 for")
                .because(format!("{} belongs to user {owner}", home.display()))
                .help("run keyroll as that user, or as root"));
        }
        User::of_uid(owner).map(Some)
    }

    /// The ecosystem file is a program: it is run as the owner of this pm2, never with more rights. The environment of
    /// `pm2 restart` becomes the app's environment: it contains only what is given here.
    fn pm2(
        &self,
        words: &[&str],
        output: Output,
        environment: &[(&str, String)],
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<Ended, Failure> {
        let user = self.user()?;
        let home = self.home()?;
        self.daemon(&home)?;
        let mut all = vec!["-i".to_owned(), format!("PM2_HOME={}", home.display())];
        all.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
        all.extend(self.command());
        all.extend(words.iter().map(|word| (*word).to_owned()));
        let line = CommandLine::program("/usr/bin/env", all);
        let line = CommandLine { folder: self.ecosystem.parent().map(Path::to_owned), ..line };
        let with = With { user: user.as_ref(), ..With::output(output) };
        let attempted = || format!("carry out `pm2 {}`", words.join(" "));
        run(&line, &with, deadline, started).map_err(|failure| Failure { attempted: attempted(), ..failure })
    }

    /// The program with its interpreter, both looked up in keyroll's own search path: the app's search path may lead
    /// elsewhere.
    fn command(&self) -> Vec<String> {
        let program = self.program.to_string_lossy().into_owned();
        let program = found(&program).unwrap_or_else(|| self.program.clone());
        let mut begins = [0; 64];
        let read = std::fs::File::open(&program).and_then(|mut file| file.read(&mut begins)).unwrap_or(0);
        let begins = String::from_utf8_lossy(begins.get(..read).unwrap_or_default()).into_owned();
        let named = begins.strip_prefix("#!/usr/bin/env ").and_then(|rest| rest.split_once('\n'));
        let interpreter = named.and_then(|(name, _)| found(name.trim()));
        interpreter.into_iter().chain([program]).map(|path| path.to_string_lossy().into_owned()).collect()
    }

    fn failed(&self, class: Class, verb: &str) -> Failure {
        Failure::new(
            class,
            Code::ServiceUnusable,
            format!("{verb} the app {} of {}", self.app, self.ecosystem.display()),
        )
    }
}

fn unknown(failure: Failure) -> Failure {
    Failure { class: Class::Unknown, ..failure }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    #[test]
    fn what_is_written_beside_a_dump_is_a_new_file_and_gone_when_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let [dump, beside, other] =
            ["dump.pm2", "dump.pm2.keyroll", "other"].map(|name| folder.path().join(name));
        let text = "environment ".repeat(1_000);
        let replace = |before: &str| {
            let mut shell = std::process::Command::new("/bin/sh")
                .args(["-c", &format!("{before}{REPLACE}"), "sh"])
                .arg(&dump)
                .stdin(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            // It may end before it has read everything.
            let _ = shell.stdin.take().unwrap().write_all(text.as_bytes());
            shell.wait().unwrap().success()
        };
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        for path in [&dump, &other] {
            std::fs::write(path, "before").unwrap();
        }
        std::fs::set_permissions(&dump, std::fs::Permissions::from_mode(0o640)).unwrap();
        // No file may be longer than a block of 512 bytes: as on a full disk.
        assert!(!replace("ulimit -f 1; "));
        assert!(std::fs::read_to_string(&dump).unwrap() == "before" && !beside.exists());
        symlink(&other, &beside).unwrap();
        assert!(replace(""));
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "before", "written through a link");
        assert!(std::fs::read_to_string(&dump).unwrap() == text && mode(&dump) == 0o640 && !beside.exists());
    }

    /// Red: a command without its folder asks, and starts, a daemon of the operator's own.
    #[test]
    fn a_command_of_pm2_names_its_folder_and_the_user_of_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let (home, file) = (folder.path().join("its home"), folder.path().join("eco.js"));
        std::fs::create_dir(&home).unwrap();
        std::fs::write(&file, "").unwrap();
        let pm2 = Pm2::new(&file, "bot", Some(home.clone()));
        let own = format!("PM2_HOME='{}' pm2 logs bot --nostream", home.display());
        assert_eq!(pm2.typed(&["logs", "bot", "--nostream"]), own);
        if geteuid().is_root() {
            chown(&home, Some(65534), Some(65534)).unwrap();
            let theirs = pm2.typed(&["logs", "bot", "--nostream"]);
            // A user that is not in /etc/passwd cannot be named.
            assert!(theirs == format!("sudo -u '#65534' {own}") || theirs == own, "{theirs}");
        }
    }

    /// The app's user makes a link to a folder of root's: root would run that user's ecosystem file.
    #[test]
    fn a_program_in_another_users_hands_is_not_run_with_keyrolls_rights() {
        if !geteuid().is_root() {
            return eprintln!("left out, because files cannot be given to another user: whose pm2 is run");
        }
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
        for path in [&theirs, &ours] {
            std::fs::create_dir(path).unwrap();
        }
        for path in [theirs.join("eco.js"), ours.join("eco.js"), ours.join("pm2.pid")] {
            std::fs::write(path, "").unwrap();
        }
        symlink(&ours, theirs.join(".pm2")).unwrap();
        symlink(ours.join("eco.js"), theirs.join("link.js")).unwrap();
        chown(&theirs, Some(65534), Some(65534)).unwrap();
        chown(theirs.join("eco.js"), Some(65534), Some(65534)).unwrap();
        let why = |ecosystem: PathBuf, home: PathBuf| {
            let pm2 = Pm2::new(ecosystem, "bot", Some(home));
            let failure = pm2.pids().unwrap_err();
            (failure.class, failure.source.map_or_else(String::new, |why| why.to_string()))
        };
        for (ecosystem, home) in [
            (theirs.join("eco.js"), theirs.join(".pm2")),
            (theirs.join("eco.js"), ours.clone()),
            (theirs.join("link.js"), ours.clone()),
            (ours.join("eco.js"), theirs.join(".pm2")),
        ] {
            let (class, why) = why(ecosystem, home);
            assert!(class == Class::Permanent && why.contains("what user 65534 may change"), "{why}");
        }
        // Everything belongs to root: only the daemon is missing.
        let (_, why) = why(ours.join("eco.js"), ours.clone());
        assert!(!why.contains("65534"), "{why}");
    }
}
