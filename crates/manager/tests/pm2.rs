//! Apps of a real pm2: the verb that applies a value, and those that do not.

// Helpers of tests may fail loudly.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_manager::{Pm2, Run, apply, instances};
use keyroll_port::{Class, Failure};
use keyroll_testkit::{ManagerTools, TempDir, tag};

/// How long anything may take before a test fails, seconds.
const PATIENCE_S: u64 = 60;

struct Scene {
    tools: ManagerTools,
    folder: TempDir,
    /// What stands for a value: it tells processes of one start from those of another.
    old: String,
    new: String,
}

impl Scene {
    fn start() -> Option<Self> {
        let tools = ManagerTools::or_skip("pm2", env!("CARGO_TARGET_TMPDIR"))?;
        let scene = Self { tools, folder: TempDir::new().expect("a folder"), old: tag(), new: tag() };
        scene.write(&scene.old, "setInterval(() => {}, 1000)");
        fs::create_dir(scene.home()).expect("a folder");
        scene.pm2(&["start", "ecosystem.config.js"], &[]);
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

    fn app(&self, name: &str) -> Run {
        let ecosystem = self.folder.path().join("ecosystem.config.js");
        let mut pm2 = Pm2::new(ecosystem, name, Some(self.home()));
        pm2.program = self.tools.program("pm2");
        Run::Pm2(pm2)
    }

    fn apply(&self) -> Result<String, Failure> {
        let deadline = Instant::now() + Duration::from_secs(PATIENCE_S);
        apply(&self.app("bot"), None, deadline, &mut |_| {}).map(|applied| applied.done)
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
    scene.write(&scene.new, "setInterval(() => {}, 1000)");
    // The wrong verbs: the daemon's environment, and the shell's.
    scene.pm2(&["restart", "bot"], &[]);
    assert_eq!(scene.held(), ["old", "old"], "a restart by name keeps what the daemon has");
    scene.pm2(&["restart", "bot", "--update-env"], &[("KEY", "of-the-shell")]);
    assert_eq!(scene.held(), ["none", "none"], "a restart by name takes the shell's");
    let other = scene.pm2(&["pid", "other"], &[]);
    scene.apply().expect("applied");
    assert_eq!(scene.held(), ["new", "new"]);
    assert_eq!(scene.pm2(&["pid", "other"], &[]), other, "another app was restarted");
    assert!(
        !scene.home().join("dump.pm2").exists(),
        "a dump where there was none starts more after a reboot"
    );
}

#[test]
fn an_app_that_dies_after_its_start_is_not_applied() {
    let Some(scene) = Scene::start() else { return };
    scene.write(&scene.new, "setTimeout(() => process.exit(1), 1200)");
    let failure = scene.apply().expect_err("it lives for a second");
    assert_eq!((failure.code, failure.class), ("K0430", Class::Unknown));
}

#[test]
fn a_bad_day_of_pm2_is_named_and_no_daemon_is_started() {
    let Some(scene) = Scene::start() else { return };
    let failure = instances(&scene.app("nobody")).expect_err("no such app");
    assert_eq!((failure.code, failure.class), ("K0432", Class::Permanent));
    scene.pm2(&["kill"], &[]);
    let failure = scene.apply().expect_err("no daemon");
    assert_eq!((failure.code, failure.class), ("K0432", Class::Retryable));
    assert!(!scene.home().join("pm2.pid").exists(), "a daemon was started");
    // Another user's pm2 is not run with root's rights; here nobody of that number is known.
    if std::os::unix::fs::chown(scene.home(), Some(54_321), None).is_ok() {
        assert_eq!(scene.apply().expect_err("nobody's").code, "K0409");
    }
}
