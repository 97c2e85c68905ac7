//! Apps of a real pm2: the verb that applies a value, and those that do not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_manager::{Pm2, apply, instances};
use keyroll_port::{Class, Failure};
use keyroll_testkit::command::wait;
use keyroll_testkit::{ManagerTools, TempDir, tag};

/// How long anything may take before a test fails, seconds.
const PATIENCE_S: u64 = 60;

struct Scene {
    tools: ManagerTools,
    folder: TempDir,
    /// Stands for a value: it distinguishes processes of one start from those of another.
    old: String,
    new: String,
}

impl Scene {
    fn start() -> Option<Self> {
        let tools = ManagerTools::or_skip("pm2", env!("CARGO_TARGET_TMPDIR"))?;
        let scene = Self { tools, folder: TempDir::new().expect("a folder"), old: tag(), new: tag() };
        scene.write(&scene.old, "setInterval(() => {}, 1000)");
        fs::create_dir(scene.home()).expect("a folder");
        // A person's shell, with more and other variables than keyroll's environment.
        let path = format!("/of/a/person:{}", std::env::var("PATH").expect("a path"));
        let shell = [("PATH", path.as_str()), ("LANG", "C.UTF-8"), ("LC_TIME", "C"), ("HOME", "/tmp")];
        scene.pm2(&["start", "ecosystem.config.js"], &shell);
        Some(scene)
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("pm2")
    }

    /// Two processes of one app, in cluster mode, and another app.
    fn write(&self, value: &str, script: &str) {
        let text = format!(
            "module.exports = {{ apps: [{{ name: 'bot', script: './bot.js', instances: 2, exec_mode: 'cluster',\n\
             env: {{ KEY: '{value}' }} }}, {{ name: 'other', script: '/bin/sleep', args: '1000', interpreter: 'none' }}] }};\n"
        );
        fs::write(self.folder.path().join("ecosystem.config.js"), text).expect("written");
        fs::write(self.folder.path().join("bot.js"), script).expect("written");
    }

    fn pm2(&self, words: &[&str], variables: &[(&str, &str)]) -> String {
        let mut command = Command::new(self.tools.program("pm2"));
        command.args(words).current_dir(self.folder.path()).env("PM2_HOME", self.home()).stdin(Stdio::null());
        let output = command.envs(variables.iter().copied()).output().expect("pm2");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn app(&self, name: &str) -> Pm2 {
        let ecosystem = self.folder.path().join("ecosystem.config.js");
        let mut pm2 = Pm2::new(ecosystem, name, Some(self.home()));
        pm2.program = self.tools.program("pm2");
        pm2
    }

    fn apply(&self) -> Result<String, Failure> {
        self.apply_to("bot")
    }

    fn apply_to(&self, app: &str) -> Result<String, Failure> {
        let deadline = Instant::now() + Duration::from_secs(PATIENCE_S);
        apply(&self.app(app), None, deadline, &mut |_| {}).map(|applied| applied.done)
    }

    /// The environment of an app's first process, without pm2's own counters.
    fn environment(&self, app: &str) -> BTreeMap<String, String> {
        let found = instances(&self.app(app)).expect("found");
        let first = found.iter().find(|one| one.main).expect("a process").process.pid;
        let bytes = fs::read(format!("/proc/{first}/environ")).expect("an environment");
        let all = String::from_utf8_lossy(&bytes).into_owned();
        // pm2's own counters and notes have names in small letters.
        let of_start =
            |name: &str| ["NODE_UNIQUE_ID", "KEY"].contains(&name) || name.starts_with(char::is_lowercase);
        all.split('\0')
            .filter_map(|one| one.split_once('='))
            .filter(|(name, _)| !of_start(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Which value the processes were started with.
    fn held(&self) -> Vec<&str> {
        let found = instances(&self.app("bot")).expect("found");
        let mains = found.iter().filter(|one| one.main);
        let holds = |pid: u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).expect("an environment");
            let holds =
                |value: &str| environment.windows(value.len()).any(|window| window == value.as_bytes());
            if holds(&self.new) {
                "new"
            } else if holds(&self.old) {
                "old"
            } else {
                "none"
            }
        };
        mains.map(|one| holds(one.process.pid)).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.pm2(&["kill"], &[]);
    }
}

#[test]
fn only_the_ecosystem_file_with_update_env_applies_a_value() {
    let Some(scene) = Scene::start() else { return };
    assert_eq!(scene.held(), ["old", "old"]);
    let before = scene.environment("bot");
    assert!(before["PATH"].starts_with("/of/a/person:") && before["LC_TIME"] == "C", "{before:?}");
    scene.write(&scene.new, "setInterval(() => {}, 1000)");
    let other = scene.pm2(&["pid", "other"], &[]);
    scene.apply().expect("applied");
    assert_eq!(scene.held(), ["new", "new"]);
    assert_eq!(scene.pm2(&["pid", "other"], &[]), other, "another app was restarted");
    assert!(
        !scene.home().join("dump.pm2").exists(),
        "a dump where there was none starts more after a reboot"
    );
    assert_eq!(scene.environment("bot"), before);
    // keyroll's environment is not in the app's. For an app that reads its value from a file, and whose ecosystem file
    // has no `env`, pm2 would take the whole environment of the caller.
    let before = scene.environment("other");
    for _ in 0..2 {
        scene.apply_to("other").expect("applied");
        let now = scene.environment("other");
        let names = before.keys().chain(now.keys());
        let other: BTreeSet<&String> = names.filter(|name| before.get(*name) != now.get(*name)).collect();
        assert_eq!(other, BTreeSet::new(), "what keyroll ran with is the app's now");
    }
    // The wrong verbs: the first starts the app with the daemon's environment, the second with the shell's.
    scene.pm2(&["restart", "bot"], &[]);
    assert_eq!(scene.held(), ["new", "new"], "a restart by name keeps what the daemon has");
    scene.pm2(&["restart", "bot", "--update-env"], &[("KEY", "of-the-shell")]);
    assert_eq!(scene.held(), ["none", "none"], "a restart by name takes the shell's");
}

/// A person saved one of two apps, then stopped the other, and runs a third that they never saved.
#[test]
fn a_stopped_app_stays_stopped_and_a_dump_goes_on_holding_what_was_saved() {
    let Some(scene) = Scene::start() else { return };
    scene.pm2(&["save"], &[]);
    scene.pm2(&["stop", "bot"], &[]);
    let failure = scene.apply().expect_err("it is stopped");
    assert_eq!((failure.code.as_str(), failure.class), ("K0407", Class::Permanent));
    assert_eq!(scene.pm2(&["pid", "bot"], &[]).trim(), "0\n0", "it was started");
    scene.pm2(&["start", "bot"], &[]);
    scene.pm2(&["delete", "other"], &[]);
    scene.pm2(&["start", "/bin/sleep", "--name", "unsaved", "--", "1000"], &[]);
    scene.write(&scene.new, "setInterval(() => {}, 1000)");
    scene.apply().expect("applied");
    let dump = scene.home().join("dump.pm2");
    let saved = fs::read_to_string(&dump).expect("a dump");
    let entries: Vec<serde_json::Value> = serde_json::from_str(&saved).expect("a list");
    let names: Vec<&str> = entries.iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["bot", "other", "bot"]);
    assert!(saved.contains(&scene.new) && !saved.contains(&scene.old));
    // A reboot starts from it.
    scene.pm2(&["kill"], &[]);
    scene.pm2(&["resurrect"], &[]);
    assert_eq!(scene.held(), ["new", "new"]);
    assert!(!scene.home().join("dump.pm2.keyroll").exists());
}

#[test]
fn an_app_that_dies_after_its_start_is_not_applied() {
    let Some(scene) = Scene::start() else { return };
    scene.write(&scene.new, "setTimeout(() => process.exit(1), 1200)");
    let failure = scene.apply().expect_err("it lives for a second");
    assert_eq!((failure.code.as_str(), failure.class), ("K0402", Class::Unknown));
}

#[test]
fn a_bad_day_of_pm2_is_named_and_no_daemon_is_started() {
    let Some(scene) = Scene::start() else { return };
    let failure = instances(&scene.app("nobody")).expect_err("no such app");
    assert_eq!((failure.code.as_str(), failure.class), ("K0407", Class::Permanent));
    let daemon = fs::read_to_string(scene.home().join("pm2.pid")).expect("a daemon");
    scene.pm2(&["kill"], &[]);
    // The command ends before the daemon has: one that is ending still answers.
    wait("the daemon has ended", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.trim())).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|state| state.is_empty() || state.starts_with('Z'))
    });
    let failure = scene.apply().expect_err("no daemon");
    assert_eq!((failure.code.as_str(), failure.class), ("K0407", Class::Retryable));
    assert!(!scene.home().join("pm2.pid").exists(), "a daemon was started");
    // Another user's pm2 is not run with root's rights; here no user has that number.
    if std::os::unix::fs::chown(scene.home(), Some(54_321), None).is_ok() {
        assert_eq!(scene.apply().expect_err("nobody's").code, "K0362");
    }
}
