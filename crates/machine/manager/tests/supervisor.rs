//! Programs of a real supervisord: the verb that applies a value, and those that do not.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_manager::{Supervisor, apply, instances};
use keyroll_port::{Class, Failure};
use keyroll_testkit::{ManagerTools, TempDir, tag};

/// How long anything may take before a test fails, seconds.
const PATIENCE_S: u64 = 60;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(PATIENCE_S)
}

struct Scene {
    tools: ManagerTools,
    folder: TempDir,
    /// Stands for a value: it distinguishes processes of one start from those of another.
    old: String,
    new: String,
}

const CONFIG: &str = "[supervisord]\nlogfile=@/s.log\npidfile=@/s.pid\n[unix_http_server]\nfile=@/s.sock\n\
    [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
    [supervisorctl]\nserverurl=unix://@/s.sock\n\
    [program:bot]\ncommand=/bin/sleep 1000\nenvironment=KEY=\"%\"\nstartsecs=0\n\
    process_name=%(program_name)s_%(process_num)d\nnumprocs=2\n\
    [program:other]\ncommand=/bin/sleep 1001\nstartsecs=0\n";

impl Scene {
    fn start() -> Option<Self> {
        Self::of(CONFIG)
    }

    fn of(config: &str) -> Option<Self> {
        let tools = ManagerTools::or_skip("supervisord", env!("CARGO_TARGET_TMPDIR"))?;
        let folder = TempDir::new().expect("a folder");
        let scene = Self { tools, folder, old: tag(), new: tag() };
        scene.write(config, &scene.old);
        let started = Command::new(scene.tools.program("supervisord")).arg("-c").arg(scene.config()).status();
        assert!(started.expect("supervisord").success());
        let deadline = soon();
        while scene.run().is_err() || scene.found().expect("both").len() < 2 {
            assert!(Instant::now() < deadline, "supervisord does not start its programs");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(scene)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("s.conf")
    }

    fn write(&self, text: &str, value: &str) {
        let folder = self.folder.path().display().to_string();
        let text = text.replace('@', &folder).replace("\"%\"", &format!("\"{value}\""));
        fs::write(self.config(), text).expect("written");
    }

    fn supervisor(&self) -> Supervisor {
        let mut of = Supervisor::new("bot", self.config());
        of.supervisorctl = self.tools.program("supervisorctl");
        of
    }

    fn run(&self) -> Result<Supervisor, Failure> {
        let run = self.supervisor();
        instances(&run).map(|_| run)
    }

    fn ctl(&self, words: &[&str]) -> String {
        let mut command = Command::new(self.tools.program("supervisorctl"));
        let output = command.arg("-c").arg(self.config()).args(words).stdin(Stdio::null()).output();
        String::from_utf8_lossy(&output.expect("supervisorctl").stdout).into_owned()
    }

    fn found(&self) -> Result<Vec<u32>, Failure> {
        let run = self.supervisor();
        Ok(instances(&run)?.iter().map(|one| one.process.pid).collect())
    }

    /// Which value the processes were started with.
    fn held(&self) -> Vec<&str> {
        let holds = |pid: &u32| {
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
        self.found().expect("found").iter().map(holds).collect()
    }

    fn apply(&self) -> Result<String, Failure> {
        let run = self.supervisor();
        apply(&run, None, soon(), &mut |_| {}).map(|applied| applied.done)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.ctl(&["shutdown"]);
        let deadline = soon();
        while self.folder.path().join("s.pid").exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn restart_keeps_the_old_environment_and_update_applies_the_new_one() {
    let Some(scene) = Scene::start() else { return };
    assert_eq!(scene.held(), ["old", "old"]);
    scene.write(CONFIG, &scene.new);
    // The wrong verb.
    scene.ctl(&["restart", "bot:*"]);
    assert_eq!(scene.held(), ["old", "old"], "a restart keeps what supervisord read last");
    let other = scene.ctl(&["pid", "other"]);
    let done = scene.apply().expect("applied");
    assert_eq!(done, "supervisorctl update bot");
    assert_eq!(scene.held(), ["new", "new"]);
    assert_eq!(scene.ctl(&["pid", "other"]), other, "another program was restarted");
    // The configuration is unchanged, but a file that its command reads may have changed.
    let before = scene.found().expect("found");
    assert_eq!(scene.apply().expect("applied"), "supervisorctl restart bot");
    assert!(scene.found().expect("found").iter().all(|pid| !before.contains(pid)), "nothing was restarted");
}

#[test]
fn an_edit_of_another_program_stays_out() {
    let Some(scene) = Scene::start() else { return };
    let edited = CONFIG.replace("sleep 1001", "sleep 1002");
    scene.write(&edited, &scene.new);
    let other = scene.ctl(&["pid", "other"]);
    let mut changed = scene.supervisor().changed(soon()).expect("told");
    changed.sort();
    assert_eq!(changed, ["bot", "other"]);
    scene.apply().expect("applied");
    assert_eq!(scene.held(), ["new", "new"]);
    assert_eq!(scene.ctl(&["pid", "other"]), other, "somebody's edit of another program was made live");
    assert_eq!(scene.supervisor().changed(soon()).expect("told"), ["other"]);
}

#[test]
fn what_dies_after_its_start_is_not_applied() {
    let Some(scene) = Scene::start() else { return };
    scene.write(&CONFIG.replace("/bin/sleep 1000", "/bin/sleep 1"), &scene.new);
    let failure = scene.apply().expect_err("it lives for a second");
    assert_eq!((failure.code.as_str(), failure.class), ("K0402", Class::Unknown));
    assert!(!format!("{failure:?}").contains(&scene.new));
}

#[test]
fn a_bad_day_of_supervisord_is_named_before_anything_is_done() {
    let Some(scene) = Scene::start() else { return };
    let pids = scene.found().expect("found");
    let refused = |what: &str, class: Class| {
        let failure = scene.apply().expect_err(what);
        assert_eq!((failure.code.as_str(), failure.class), ("K0407", class), "{what}: {failure:?}");
    };
    scene.write(&format!("{CONFIG}[program:broken]\nuser=x\n"), &scene.new);
    refused("a configuration with an error", Class::Retryable);
    scene.write(&CONFIG.replace("program:bot", "program:renamed"), &scene.new);
    assert_eq!(scene.found().expect("it runs all the same"), pids);
    scene.write(CONFIG, &scene.old);
    assert_eq!(scene.found().expect("untouched"), pids);
    scene.ctl(&["stop", "bot:bot_0"]);
    refused("a stopped process", Class::Permanent);
    let mut unknown = scene.supervisor();
    unknown.program = "nobody".into();
    let failure = instances(&unknown).expect_err("no such program");
    assert_eq!((failure.code.as_str(), failure.class), ("K0407", Class::Permanent));
    scene.ctl(&["shutdown"]);
    let deadline = soon();
    while scene.folder.path().join("s.sock").exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    refused("supervisord is gone", Class::Retryable);
    assert_eq!(scene.found().expect_err("not visible, never none").code, "K0407");
}

/// Until the program has been up for its `startsecs`, `supervisorctl status` names no process of it.
#[test]
fn a_program_that_is_starting_runs_already() {
    let Some(scene) = Scene::of(&CONFIG.replacen("startsecs=0", "startsecs=600", 1)) else { return };
    assert!(scene.ctl(&["status", "bot:*"]).contains("STARTING"));
    assert_eq!(scene.held(), ["old", "old"]);
    // A program that ends at once is started again and again: neither present nor certainly absent.
    let falls = "command=/bin/false\nstartretries=10000\n";
    scene.write(
        &CONFIG.replacen("command=/bin/sleep 1000\n", falls, 1).replacen("startsecs=0", "startsecs=5", 1),
        &scene.new,
    );
    scene.ctl(&["reread"]);
    scene.ctl(&["update", "bot"]);
    let deadline = soon();
    while !scene.ctl(&["status", "bot:*"]).contains("BACKOFF") {
        assert!(Instant::now() < deadline, "{}", scene.ctl(&["status", "bot:*"]));
    }
    let failure = scene.found().expect_err("it cannot be told");
    assert_eq!((failure.code.as_str(), failure.class), ("K0407", Class::Retryable));
}
