//! A service of a real runsv: the verb that applies a value, and the one that does not.

// Helpers of tests may fail loudly.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_manager::{Runit, apply, instances};
use keyroll_port::{Class, Failure};
use keyroll_testkit::{TempDir, tag, write_program};

/// How long anything may take before a test fails, seconds.
const PATIENCE_S: u64 = 60;

/// Starts a program that ignores a hang-up, in the environment from its folder. It is called `sleep` only once it
/// ignores it.
const RUN: &str = "#!/bin/sh\nexec chpst -e ./env nohup sleep 100000\n";

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(PATIENCE_S)
}

struct Scene {
    folder: TempDir,
    runsv: Option<Child>,
    /// Stands for a value: it distinguishes processes of one start from those of another.
    old: String,
    new: String,
}

impl Scene {
    /// A supervised service; `None` where runit is not installed.
    fn start() -> Option<Self> {
        let there =
            Command::new("sv").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if there.is_err() {
            assert!(std::env::var_os("CI").is_none(), "runit is not installed");
            println!("left out: runit is not installed");
            return None;
        }
        let mut scene =
            Self { folder: TempDir::new().expect("a folder"), runsv: None, old: tag(), new: tag() };
        fs::create_dir_all(scene.service().join("env")).expect("a folder");
        scene.script("run", RUN);
        scene.write(&scene.old);
        scene.supervise();
        Some(scene)
    }

    fn service(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    fn script(&self, name: &str, text: &str) {
        write_program(&self.service().join(name), text);
    }

    fn write(&self, value: &str) {
        fs::write(self.service().join("env/KEY"), value).expect("written");
    }

    fn supervise(&mut self) {
        let mut command = Command::new("runsv");
        command.arg(self.service()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.runsv = Some(command.spawn().expect("runsv"));
        let deadline = soon();
        while !instances(&self.runit()).is_ok_and(|found| self.is_sleep(&found)) {
            assert!(Instant::now() < deadline, "runsv does not start its program");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_sleep(&self, found: &[keyroll_manager::InstanceProcess]) -> bool {
        let words = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        !found.is_empty() && found.iter().all(|one| words(one.process.pid).starts_with(b"sleep"))
    }

    fn runit(&self) -> Runit {
        Runit::new(self.service())
    }

    fn sv(&self, word: &str) {
        let status = Command::new("sv").arg(word).arg(self.service()).stdout(Stdio::null()).status();
        assert!(status.expect("sv").success(), "sv {word}");
    }

    /// The process, and which value it was started with.
    fn held(&self) -> (u32, &str) {
        let found = instances(&self.runit()).expect("found");
        assert_eq!(found.len(), 1);
        let pid = found[0].process.pid;
        let environment = fs::read(format!("/proc/{pid}/environ")).expect("an environment");
        let has = |value: &str| environment.windows(value.len()).any(|window| window == value.as_bytes());
        (
            pid,
            if has(&self.new) {
                "new"
            } else if has(&self.old) {
                "old"
            } else {
                "none"
            },
        )
    }

    fn apply(&self, seconds: u64) -> Result<String, Failure> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        apply(&self.runit(), None, deadline, &mut |_| {}).map(|applied| applied.done)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let Some(mut runsv) = self.runsv.take() else { return };
        // It ends its program, and then itself.
        drop(Command::new("sv").args(["force-shutdown"]).arg(self.service()).stdout(Stdio::null()).status());
        let deadline = soon();
        while !matches!(runsv.try_wait(), Ok(Some(_))) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(runsv.kill());
        drop(runsv.wait());
    }
}

#[test]
fn hup_keeps_the_old_environment_and_restart_applies_the_new_one() {
    let Some(scene) = Scene::start() else { return };
    let (first, version) = scene.held();
    assert_eq!(version, "old");
    scene.write(&scene.new);
    // The wrong verb.
    scene.sv("hup");
    assert_eq!(scene.held(), (first, "old"), "the process that runs has read its files before");
    assert_eq!(scene.apply(60).expect("applied"), format!("sv restart {}", scene.service().display()));
    let (second, version) = scene.held();
    assert!(second != first && version == "new", "{first} {second} {version}");
}

#[test]
fn a_service_that_is_down_is_not_started() {
    let Some(scene) = Scene::start() else { return };
    scene.sv("down");
    let deadline = soon();
    while !instances(&scene.runit()).expect("told").is_empty() {
        assert!(Instant::now() < deadline, "it does not go down");
        std::thread::sleep(Duration::from_millis(50));
    }
    let failure = scene.apply(60).expect_err("refused");
    assert_eq!((failure.class, failure.code), (Class::Permanent, Code::ServiceUnusable));
    assert!(instances(&scene.runit()).expect("told").is_empty(), "it was started");
}

#[test]
fn a_program_that_ends_again_is_no_success() {
    let Some(scene) = Scene::start() else { return };
    scene.script("run", "#!/bin/sh\nexec sleep 0.7\n");
    let failure = scene.apply(12).expect_err("it did not stay");
    assert_eq!(failure.class, Class::Unknown, "{failure:?}");
}

#[test]
fn what_no_runsv_of_this_machine_runs_is_not_believed() {
    let Some(mut scene) = Scene::start() else { return };
    let absent = instances(&Runit::new(scene.folder.path().join("none"))).expect_err("there is none");
    assert_eq!((absent.class, absent.code), (Class::Permanent, Code::ServiceUnusable));
    let mut runsv = scene.runsv.take().expect("it runs");
    scene.sv("force-shutdown");
    runsv.wait().expect("ended");
    let failure = instances(&scene.runit()).expect_err("nobody supervises it");
    assert_eq!((failure.class, failure.code), (Class::Retryable, Code::ServiceUnusable));
    // An answer that names another party's process.
    let mut stranger = Command::new("sleep").arg("1000").spawn().expect("sleep");
    let said = format!("#!/bin/sh\necho \"run: $2: (pid {}) 5s\"\n", stranger.id());
    scene.script("sv", &said);
    let failure =
        instances(&Runit { sv: scene.service().join("sv"), ..scene.runit() }).expect_err("a stranger");
    stranger.kill().expect("ended");
    stranger.wait().expect("ended");
    assert_eq!((failure.class, failure.code), (Class::Retryable, Code::ServiceUnusable));
}
