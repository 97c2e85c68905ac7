//! Masters with workers that they forked: a real gunicorn. And jobs of cron.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_manager::{Cron, PreforkMaster, Roll, apply, instances};
use keyroll_port::{Class, Failure};
use keyroll_testkit::{ManagerTools, TempDir};

/// How long anything may take before a test fails, seconds.
const PATIENCE_S: u64 = 60;

/// Each worker says which value it has read, as the preloading master does.
const APP: &str = "import os\nvalue = open('value').read().strip()\nopen(f'seen/{os.getpid()}', 'w').write(value)\n\
    def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n";

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(PATIENCE_S);
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Scene {
    folder: TempDir,
    master: Child,
}

impl Scene {
    /// A gunicorn with three workers, with more words in its command line.
    fn start(more: &[&str]) -> Option<Self> {
        let tools = ManagerTools::or_skip("gunicorn", env!("CARGO_TARGET_TMPDIR"))?;
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("app.py"), APP).expect("written");
        fs::write(folder.path().join("value"), "old").expect("written");
        fs::create_dir(folder.path().join("seen")).expect("a folder");
        let master = Command::new(tools.program("gunicorn"))
            .args(["--workers", "3", "--pid", "pid", "--bind", "unix:socket", "--graceful-timeout", "20"])
            .args(more)
            .arg("app:app")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gunicorn");
        let scene = Self { folder, master };
        let speaks = !more.contains(&"--preload");
        until("three workers", || scene.workers().len() == 3 && (!speaks || scene.seen().len() == 3));
        Some(scene)
    }

    fn run(&self, roll: Roll) -> PreforkMaster {
        PreforkMaster { pid_file: self.folder.path().join("pid"), roll }
    }

    fn workers(&self) -> BTreeSet<u32> {
        let found = instances(&self.run(Roll::Workers)).expect("found");
        found.iter().map(|one| one.process.pid).collect()
    }

    fn seen(&self) -> Vec<(u32, String)> {
        let entries = fs::read_dir(self.folder.path().join("seen")).expect("a folder").flatten();
        let all = entries.map(|one| {
            let pid = one.file_name().to_string_lossy().parse().expect("a number");
            (pid, fs::read_to_string(one.path()).unwrap_or_default())
        });
        let workers = self.workers();
        all.filter(|(pid, _)| workers.contains(pid)).collect()
    }

    fn apply(&self, roll: Roll) -> Result<String, Failure> {
        let deadline = Instant::now() + Duration::from_secs(PATIENCE_S);
        apply(&self.run(roll), None, deadline, &mut |_| {}).map(|applied| applied.done)
    }

    fn set(&self, value: &str) {
        fs::write(self.folder.path().join("value"), value).expect("written");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.master.id().to_string()).status();
        let _ = self.master.wait();
    }
}

#[test]
fn every_worker_is_replaced_however_the_master_is_told() {
    let Some(scene) = Scene::start(&[]) else { return };
    for (value, roll) in [("a", Roll::Signal(1)), ("b", Roll::Workers), ("c", Roll::GrowAndShrink)] {
        let before = scene.workers();
        assert!(!before.contains(&scene.master.id()), "the master does no work");
        scene.set(value);
        scene.apply(roll).expect("applied");
        assert!(scene.workers().is_disjoint(&before), "{roll:?} left a worker of before");
        let seen = scene.seen();
        assert!(seen.len() == 3 && seen.iter().all(|(_, held)| held == value), "{roll:?}: {seen:?}");
    }
}

/// The wrong verb: the master has loaded the program, and its new workers inherit it.
#[test]
fn a_preloading_master_gives_new_workers_the_old_value() {
    let Some(scene) = Scene::start(&["--preload"]) else { return };
    let before = scene.workers();
    scene.set("new");
    scene.apply(Roll::Workers).expect("the workers are replaced");
    assert!(scene.workers().is_disjoint(&before));
    // None of them has read anything: they hold what their master read.
    assert!(scene.seen().is_empty(), "{:?}", scene.seen());
}

/// The state after a driver was killed during a reload: an old worker is still there besides all new ones, and no
/// further worker will come.
#[test]
fn a_reload_that_was_left_in_the_middle_is_carried_out_again() {
    let Some(scene) = Scene::start(&[]) else { return };
    let signal = |name: &str, pid: u32| {
        let told = Command::new("kill").args([name, &pid.to_string()]).status();
        assert!(told.expect("kill").success());
    };
    let old = *scene.workers().first().expect("a worker");
    signal("-STOP", old);
    signal("-HUP", scene.master.id());
    until("three more workers", || scene.workers().len() == 4 && scene.workers().contains(&old));
    let before = scene.workers();
    scene.set("new");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until("the next reload", || !scene.workers().is_subset(&before));
            signal("-CONT", old);
        });
        scene.apply(Roll::Signal(1)).expect("applied");
    });
    assert!(scene.workers().len() == 3 && scene.workers().is_disjoint(&before));
}

#[test]
fn workers_that_do_not_come_up_are_not_applied() {
    let Some(scene) = Scene::start(&[]) else { return };
    fs::write(
        scene.folder.path().join("app.py"),
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    )
    .expect("written");
    let deadline = Instant::now() + Duration::from_secs(6);
    let failure = apply(&scene.run(Roll::Signal(1)), None, deadline, &mut |_| {}).err();
    let failure = failure.expect("no worker lives");
    assert_eq!((failure.code.as_str(), failure.class), ("K0402", Class::Unknown));
    let mut nobody = scene.folder.path().to_owned();
    nobody.push("no-such-pid");
    let run = PreforkMaster { pid_file: nobody, roll: Roll::Workers };
    assert!(instances(&run).expect("nothing runs").is_empty());
    let failure = apply(&run, None, Instant::now() + Duration::from_secs(5), &mut |_| {}).err();
    let failure = failure.expect("nothing to tell");
    assert_eq!((failure.code.as_str(), failure.class), ("K0434", Class::Retryable));
}

#[test]
fn a_job_of_cron_that_runs_is_seen_and_one_that_does_not_is_at_rest() {
    let folder = TempDir::new().expect("a folder");
    let table = folder.path().join("backup");
    let command = format!("cat {0}/fifo >/dev/null; true", folder.path().display());
    fs::write(&table, format!("# nightly\nMAILTO=root\n5 4 * * * root {command}\n")).expect("written");
    let run = |table: PathBuf| Cron { table, with_user: true };
    assert!(instances(&run(table.clone())).expect("told").is_empty());
    assert!(Command::new("mkfifo").arg(folder.path().join("fifo")).status().expect("mkfifo").success());
    // As cron starts it: a shell with the command as one argument.
    let mut job = Command::new("/bin/sh").args(["-c", &command]).spawn().expect("a job");
    let main = || {
        let found = instances(&run(table.clone())).expect("told");
        found.iter().filter(|one| one.main).map(|one| one.process.pid).collect::<Vec<u32>>()
    };
    // A process that was just started shows no arguments until the kernel has put them into its new memory.
    let end = Instant::now() + Duration::from_secs(60);
    while main().is_empty() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(main(), [job.id()]);
    fs::write(folder.path().join("fifo"), "").expect("the job goes on");
    job.wait().expect("it ends");
    assert!(instances(&run(table.clone())).expect("told").is_empty());
    // A shell that replaces itself with the command shows nothing of itself.
    let command = format!("cat {0}/fifo >/dev/null 2>&1", folder.path().display());
    fs::write(&table, format!("5 4 * * * root {command}\n")).expect("written");
    let mut job = Command::new("/bin/sh").args(["-c", &format!("exec {command}")]).spawn().expect("a job");
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let found = instances(&run(table.clone())).expect("told");
        if found.iter().any(|one| one.process.pid == job.id()) {
            break;
        }
        assert!(Instant::now() < end, "it is not seen");
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::write(folder.path().join("fifo"), "").expect("the job goes on");
    job.wait().expect("it ends");
    fs::write(&table, "# nothing\n").expect("written");
    assert_eq!(instances(&run(table)).expect_err("no job").code, "K0405");
    assert_eq!(instances(&run(folder.path().join("none"))).expect_err("no table").code, "K0405");
}
