//! Programs that take their key from keyroll's socket: the Python package itself, in real processes that are never
//! restarted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::without;
use rustix::process::{Pid, Signal, kill_process};
use zeroize::Zeroizing;

use crate::emergency::served::Served;

#[path = "values/access.rs"]
mod access;
#[path = "values/replaced.rs"]
mod replaced;

/// The lines of a consumer whose own word counts.
const TRUSTED: &str = "trusts = \"own word\"";
const AGENT: &str = include_str!("values/agent.py");

/// The executable of Python, without links and shims.
fn python() -> PathBuf {
    let told = Command::new("python3")
        .args(["-c", "import os, sys; print(os.path.realpath(sys.executable))"])
        .output()
        .expect("python3 is needed");
    PathBuf::from(String::from_utf8(told.stdout).unwrap().trim())
}

/// A server that gives `ring` out to Python, and its programs.
struct Values {
    served: Served,
    agents: Vec<Child>,
}

impl Values {
    /// `more`: further lines of the consumer. `attributes`: the issuer shows which process made a call.
    fn start(more: &str, attributes: bool) -> Self {
        Self::with("", more, attributes)
    }

    /// `secret`: further lines of the secret.
    fn with(secret: &str, more: &str, attributes: bool) -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self::of(uid, &python(), secret, more, attributes)
    }

    /// A user's programs with this executable.
    fn of(uid: u32, exe: &Path, secret: &str, more: &str, attributes: bool) -> Self {
        let consumer = format!(
            "[[secrets.ring.consumers]]\nname = \"agent\"\nserves = {{ uid = \"{uid}\", exe = \"{}\" }}\n{more}\n",
            exe.display()
        );
        let served = Served::made(1, "", |config, spec| {
            let (head, _) = config.split_once("[[secrets.ring.consumers]]").unwrap();
            *config = format!("{head}{consumer}")
                .replace("[server]\n", "[server]\nsocket = \"./values.sock\"\n")
                .replace("[secrets.ring]\n", &format!("[secrets.ring]\n{secret}\n"));
            if !attributes {
                *spec = without(&without(spec, "op.sessions"), "op.end_session");
            }
        });
        let mut values = Self { served, agents: Vec::new() };
        values.served.scene.sh("kill $(cat run/api.pid); rm -r api");
        values.served.serve();
        values
    }

    /// Writes a program, beside what all of them share.
    fn script(&self, text: &str) -> PathBuf {
        let scene = &self.served.scene;
        fs::write(scene.path("calls.py"), include_str!("values/calls.py")).unwrap();
        let script = scene.path("program.py");
        fs::write(&script, text).unwrap();
        script
    }

    fn log_file(&self, name: &str) -> fs::File {
        fs::File::create(self.served.scene.path(&format!("log/{name}"))).unwrap()
    }

    /// Starts a program, and waits until it called.
    fn agent(&mut self, name: &str, mode: &str) -> u32 {
        let scene = &self.served.scene;
        let (script, ready) = (self.script(AGENT), scene.path(&format!("run/{name}.ready")));
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../sdk/python/src");
        let log = self.log_file(name);
        let child = Command::new(python())
            .arg(&script)
            .arg(sdk.canonicalize().unwrap())
            .args(["ring", &scene.issuer.port().to_string(), name])
            .args([scene.path("log/refused"), ready.clone()])
            .args([&std::process::id().to_string(), mode, env!("CARGO_BIN_EXE_keyroll")])
            .env_clear()
            .env("KEYROLL_SOCKET", scene.path("values.sock"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let pid = child.id();
        self.agents.push(child);
        wait("the program calls", || ready.exists());
        pid
    }

    /// The process id of a program that another one made.
    fn pid_of(&self, name: &str) -> u32 {
        let ready = self.served.scene.path(&format!("run/a.ready{}", name.strip_prefix('a').unwrap()));
        wait("the forked program calls", || ready.exists());
        fs::read_to_string(ready).unwrap().parse().unwrap()
    }

    /// What `keyroll get` prints for a Python program.
    fn got(&self) -> Zeroizing<String> {
        let code = "import subprocess, sys; subprocess.run(sys.argv[1:], check=True)";
        let output = Command::new(python())
            .args(["-c", code, env!("CARGO_BIN_EXE_keyroll"), "get", "ring"])
            .env_clear()
            .env("KEYROLL_SOCKET", self.served.scene.path("values.sock"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Zeroizing::new(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    }

    fn refused(&self) -> String {
        fs::read_to_string(self.served.scene.path("log/refused")).unwrap()
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

impl Drop for Values {
    fn drop(&mut self) {
        for child in &mut self.agents {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for entry in fs::read_dir(self.served.scene.path("log")).unwrap().flatten() {
                eprintln!(
                    "{}: {}",
                    entry.path().display(),
                    fs::read_to_string(entry.path()).unwrap_or_default()
                );
            }
        }
    }
}

#[test]
fn programs_take_a_new_key_without_a_restart_and_the_old_one_ends() {
    let mut values = Values::start(TRUSTED, false);
    let pids = ["a", "b", "c"].map(|name| values.agent(name, "plain"));
    let scene = &values.served.scene;
    for _ in 0..2 {
        scene.apply().exits(0).ended("done").says(&["told"]);
    }
    let now = scene.issuer.keys()[0].id.clone();
    assert_eq!(scene.issuer.deletions().len(), 2);
    for name in ["a", "b", "c"] {
        wait("the program calls with the new key", || scene.issuer.last_of(name).as_deref() == Some(&now));
    }
    assert_eq!(values.refused(), "", "calls that failed");
    let ended = values.agents.iter_mut().filter_map(|child| child.try_wait().unwrap()).count();
    assert_eq!((ended, values.agents.iter().map(Child::id).collect::<Vec<_>>()), (0, pids.to_vec()));
    let value = values.got();
    assert_eq!(values.served.scene.issuer.whose(value.as_bytes()).as_deref(), Some(now.as_str()));
    values.served.nothing_leaked(&[&value]);
}

/// 200 tasks of a process, and a process that was forked from one that has the key: ten rotations, each old key is ended.
#[test]
fn two_hundred_tasks_call_through_ten_rotations_and_no_call_fails() {
    const ROTATIONS: usize = 10;
    let mut values = Values::start(TRUSTED, false);
    let pids = [values.agent("t", "tasks"), values.agent("a", "fork")];
    let child = values.pid_of("a-child");
    let scene = &values.served.scene;
    for _ in 0..ROTATIONS {
        let ran = scene.apply();
        ran.exits(0).ended("done");
        let told: Vec<&str> = ran.of("evidence").iter().filter_map(|one| one["instance"].as_str()).collect();
        for pid in pids.into_iter().chain([child]) {
            assert!(told.contains(&format!("pid {pid}").as_str()), "no evidence of {pid}: {}", ran.text);
        }
    }
    assert_eq!(scene.issuer.deletions().len(), ROTATIONS);
    assert_eq!(values.refused(), "", "calls that failed");
    let now = scene.issuer.keys()[0].id.clone();
    for name in ["t", "a", "a-child"] {
        wait("the program calls with the new key", || scene.issuer.last_of(name).as_deref() == Some(&now));
    }
    let ended = values.agents.iter_mut().filter_map(|child| child.try_wait().unwrap()).count();
    assert_eq!((ended, values.agents.iter().map(Child::id).collect::<Vec<_>>()), (0, pids.to_vec()));
    let value = values.got();
    values.served.nothing_leaked(&[&value]);
}

/// A process that got the old key and says nothing keeps it alive, also one that was only forked from a program that speaks.
#[test]
fn a_silent_process_keeps_the_old_key_until_it_speaks_or_ends() {
    let mut values = Values::with("unit_deadline = \"10s\"", TRUSTED, false);
    values.agent("a", "fork");
    let child = values.pid_of("a-child");
    let second = values.agent("b", "plain");
    let scene = &values.served.scene;
    signal(child, Signal::STOP);
    // It was given the new key, and may use it when it goes on: it is not ended either.
    let stuck = scene.apply();
    stuck.exits(6).says(&["process that is silent", &format!("kill -CONT {child}")]);
    assert!(scene.issuer.deletions().is_empty(), "both keys live");
    signal(child, Signal::CONT);
    scene.run(&["retry", &stuck.rotation()]).ended("rolled_back");
    assert!(!scene.is_ended(&scene.old), "the old key lives");
    // One that has ended is let go.
    signal(second, Signal::KILL);
    values.agents[1].wait().unwrap();
    scene.apply().exits(0).ended("done");
    assert!(scene.is_ended(&scene.old));
    assert_eq!(values.refused(), "", "calls that failed");
}

/// Where the issuer shows which process made a call, no word is needed and none is enough.
#[test]
fn an_issuer_that_shows_calls_needs_no_word() {
    let mut values = Values::start("", true);
    values.agent("a", "plain");
    let scene = &values.served.scene;
    scene.apply().exits(0).ended("done").says(&["exercised"]);
    assert!(scene.is_ended(&scene.old));
    assert_eq!(values.refused(), "", "calls that failed");
}

#[test]
fn a_word_that_is_not_trusted_and_a_socket_that_nobody_serves_are_refused_before_anything_is_changed() {
    let mut values = Values::start("", false);
    values.agent("a", "plain");
    let scene = &values.served.scene;
    scene.run(&["plan", "ring"]).refused(1, "K0844", &["agent", "trusts"]);
    scene.sh("sed -i 's/^serves = .*/&\\ntrusts = \"own word\"/' keyroll.toml");
    scene.run(&["plan", "ring"]).exits(0).says(&["ITS OWN WORD IS TRUSTED"]);
    values.served.end(Signal::TERM);
    let scene = &values.served.scene;
    scene.run(&["plan", "ring"]).refused(1, "K0956", &["start keyroll serve"]);
    assert_eq!(scene.issuer.made(), 1);
}

/// The server is killed while the new key is delivered; the next one knows who has which.
#[test]
fn a_killed_server_forgets_nobody() {
    let mut values = Values::start(TRUSTED, false);
    values.agent("a", "plain");
    values.agent("g", "get");
    let rotation = values.served.scene.until("quiesce");
    values.served.end(Signal::KILL);
    values.served.serve();
    let scene = &values.served.scene;
    // Back, and forward again.
    scene.run(&["abort", &rotation]).ended("rolled_back");
    wait("the program calls with the old key", || scene.issuer.last_of("a").as_deref() == Some(&scene.old));
    scene.apply().exits(0).ended("done");
    assert!(scene.is_ended(&scene.old));
    assert_eq!(values.refused(), "", "calls that failed");
}
