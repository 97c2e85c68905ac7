//! `keyroll run --restart`: a program that reads its key once gets it from the socket, and is started again with the next.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use keyroll_testkit::command::wait;
use keyroll_testkit::copy_program;
use rustix::process::Signal;

use super::{TRUSTED, Values, python, signal};

/// A user without any rights.
const NOBODY: u32 = 65_534;

/// A rotation that waits for its programs, and then for a person.
const PATIENT: &str = "unit_deadline = \"15s\"\non_failure = \"pause\"";

const PROGRAM: &str = include_str!("program.py");

impl Values {
    /// Starts a program below `keyroll run`, and waits until it called. Returns keyroll's process id.
    fn replaced(&mut self, name: &str, mode: &str, words: &[&str]) -> u32 {
        let child = self.run_with(name, mode, words);
        let pid = child.id();
        self.agents.push(child);
        let ready = self.served.scene.path(&format!("run/{name}.ready"));
        wait("the program calls", || ready.exists());
        pid
    }

    fn run_with(&self, name: &str, mode: &str, words: &[&str]) -> Child {
        let scene = &self.served.scene;
        let (script, log) = (self.script(PROGRAM), self.log_file(name));
        Command::new(env!("CARGO_BIN_EXE_keyroll"))
            .args(["run", "--env", "KEY=ring"])
            .args(words)
            .arg("--")
            .arg(python())
            .arg(&script)
            .args([&scene.issuer.port().to_string(), name])
            .args([scene.path("log/refused"), scene.path(&format!("run/{name}.ready"))])
            .args([&std::process::id().to_string(), mode])
            .env_clear()
            .env("KEYROLL_SOCKET", scene.path("values.sock"))
            .env("KEYROLL_STATE", scene.path("nowhere"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// The process id of the program that runs now.
    fn program(&self, name: &str) -> u32 {
        fs::read_to_string(self.served.scene.path(&format!("run/{name}.ready"))).unwrap().parse().unwrap()
    }

    fn log_of(&self, name: &str) -> String {
        fs::read_to_string(self.served.scene.path(&format!("log/{name}"))).unwrap()
    }
}

fn runs(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[test]
fn a_program_that_reads_its_key_once_is_started_again_with_the_new_one_and_the_old_one_ends() {
    let mut values = Values::start(TRUSTED, false);
    let keyroll = values.replaced("a", "plain", &["--restart"]);
    let mut before = values.program("a");
    for _ in 0..2 {
        values.served.scene.apply().exits(0).ended("done").says(&["told"]);
        let now = values.program("a");
        assert!(now != before && !runs(before) && runs(now) && runs(keyroll));
        before = now;
    }
    let scene = &values.served.scene;
    let now = scene.issuer.keys()[0].id.clone();
    assert_eq!(scene.issuer.deletions().len(), 2);
    assert_eq!((scene.issuer.last_of("a"), values.refused()), (Some(now), String::new()));
    let log = values.log_of("a");
    assert_eq!(log.matches("the key is [redacted:ring]").count(), 3, "{log}");
    assert_eq!(log.matches("is there: the program is restarted").count(), 2, "{log}");
    let value = values.got();
    values.served.nothing_leaked(&[&value]);
    // A signal ends the program, and with it keyroll: it is not started again.
    signal(keyroll, Signal::TERM);
    let status = values.agents.pop().unwrap().wait().unwrap();
    assert!(status.code() == Some(128 + 15) && !runs(before), "{status}");
}

/// What the program left behind has the old key too: it is ended before the new one counts as loaded.
#[test]
fn what_does_not_end_is_killed_with_what_it_left_behind_before_the_old_key_ends() {
    let mut values = Values::start(TRUSTED, false);
    values.replaced("a", "stubborn", &["--restart", "--grace", "1"]);
    let left = values.pid_of("a-left");
    let program = values.program("a");
    let scene = &values.served.scene;
    scene.apply().exits(0).ended("done");
    assert!(scene.is_ended(&scene.old) && !runs(left) && !runs(program) && runs(values.program("a")));
    assert_eq!(values.refused(), "", "calls that failed");
    assert!(values.log_of("a").contains("did not end within 1 s, and is killed"), "{}", values.log_of("a"));
}

/// It says that the new key does not work, so the rotation goes back, and so does the program.
#[test]
fn a_program_that_fails_with_the_new_key_takes_the_rotation_back() {
    let mut values = Values::start(TRUSTED, false);
    values.replaced("a", "picky", &["--restart"]);
    let scene = &values.served.scene;
    scene.apply().ended("rolled_back").says(&["K0718"]);
    assert!(!scene.is_ended(&scene.old));
    wait("the program calls again", || runs(values.program("a")));
    assert_eq!(scene.issuer.last_of("a").as_deref(), Some(scene.old.as_str()));
    assert_eq!(values.refused(), "", "calls that failed");
    let log = values.log_of("a");
    assert!(log.contains("this key is not for me") && log.contains("the program ended with 3"), "{log}");
    assert!(log.matches("the key is").count() >= 3, "with the old key, the new one, and the old one: {log}");
}

/// The program is being replaced when a signal asks to end: it is not started again.
#[test]
fn a_program_that_is_being_replaced_is_not_started_again_when_a_signal_asks_to_end() {
    let mut values = Values::with(PATIENT, TRUSTED, false);
    let keyroll = values.replaced("a", "stubborn", &["--restart", "--grace", "8"]);
    let left = values.pid_of("a-left");
    let plan = values.served.scene.plan();
    let mut apply = values.served.scene.command(&["apply", &plan, "--confirm", "ring"]);
    let mut apply = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait("it is to be replaced", || values.log_of("a").contains("the program is restarted"));
    signal(keyroll, Signal::TERM);
    let status = values.agents.pop().unwrap().wait().unwrap();
    let log = values.log_of("a");
    assert!(status.code() == Some(128 + 9) && !runs(left), "it ignores TERM and is killed: {status} {log}");
    assert_eq!(log.matches("the key is").count(), 1, "it was started again: {log}");
    signal(apply.id(), Signal::TERM);
    apply.wait().unwrap();
}

/// Nobody would know any more who has the value.
#[test]
fn a_program_does_not_outlive_its_keyroll() {
    let mut values = Values::start(TRUSTED, false);
    let keyroll = values.replaced("a", "plain", &[]);
    let program = values.program("a");
    signal(keyroll, Signal::KILL);
    let status = values.agents.pop().unwrap().wait().unwrap();
    assert_eq!(status.signal(), Some(9));
    wait("the program has ended", || !runs(program));
}

/// Without `--restart` nobody ends the program, so the old key stays until somebody does.
#[test]
fn without_restart_the_old_key_stays_until_the_program_has_ended() {
    let mut values = Values::with(PATIENT, TRUSTED, false);
    let keyroll = values.replaced("a", "plain", &[]);
    let scene = &values.served.scene;
    let ran = scene.apply();
    let rotation = ran.rotation();
    assert!(!scene.is_ended(&scene.old), "{}", ran.text);
    ran.says(&["`agent` did not prove the new key"]);
    signal(keyroll, Signal::TERM);
    values.agents.pop().unwrap().wait().unwrap();
    let scene = &values.served.scene;
    scene.run(&["resume", &rotation, "--confirm", "ring"]).exits(0).ended("done");
    assert!(scene.is_ended(&scene.old));
    assert_eq!(values.refused(), "", "calls that failed");
}

#[test]
fn wrong_words_and_who_is_not_named_start_nothing() {
    let values = Values::start(TRUSTED, false);
    let scene = &values.served.scene;
    let secret = "sk-not-a-name=or-a-value";
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
        command.arg("run").args(words).env_clear().env("KEYROLL_SOCKET", scene.path("values.sock"));
        let output = command.env("KEYROLL_STATE", scene.path("nowhere")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.stdout.is_empty() && !said.contains(secret), "{said}");
        (output.status.code(), said)
    };
    let python = python().display().to_string();
    let refused = |words: &[&str], code: i32, parts: &[&str]| {
        let (ended, said) = run(words);
        let all = parts.iter().all(|part| said.contains(part));
        assert!(ended == Some(code) && all, "{words:?}: {ended:?} {said}");
    };
    refused(&["--env", secret, "--", &python], 2, &["NAME=SECRET"]);
    refused(&["--env", "1KEY=ring", "--", &python], 2, &["begins with no digit"]);
    refused(&["--env", &format!("KEY={secret}"), "--", &python], 2, &["name of a secret"]);
    refused(&["--env", "KEY=ring", "--env", "KEY=ring", "--", &python], 2, &["set twice"]);
    let text = scene.path("keyroll.toml").display().to_string();
    refused(&["--env", "KEY=ring", "--", &text], 126, &["it is not executable"]);
    refused(&["--restart", "--", &python], 2, &["--env"]);
    refused(&["--env", "KEY=none", "--", &python], 1, &["K0956", "no secret 'none' is served"]);
    refused(&["--env", "KEY=ring:none", "--", &python], 1, &["K0956", "it has no field none"]);
    refused(&["--env", "KEY=ring", "--", "/bin/echo"], 1, &["K0956", "and /usr/bin/echo", "`serves`"]);
    refused(&["--env", "KEY=ring", "--", "no-such-program"], 127, &["no such program"]);
}

/// A server without root may look only at processes that allow it.
#[test]
fn a_server_of_the_same_user_sees_which_program_asks() {
    let folder = tempfile::tempdir().unwrap();
    let keyroll = folder.path().join("keyroll");
    copy_program(Path::new(env!("CARGO_BIN_EXE_keyroll")), &keyroll);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&keyroll);
    command.args(["run", "--", "sh", "-c", "readlink /proc/$PPID/exe"]);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.env("KEYROLL_STATE", folder.path().join("none")).output().unwrap();
    let seen = String::from_utf8(output.stdout).unwrap();
    assert_eq!(seen.trim(), keyroll.to_str().unwrap(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the program left behind, and nobody may end, may have the old key.
#[test]
fn what_cannot_be_ended_keeps_the_old_key() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("left out: only root can start a process of another user");
    }
    let mut values = Values::of(NOBODY, Path::new("/bin/sh"), PATIENT, TRUSTED, false);
    let scene = &values.served.scene;
    // Its real user is root, so that nobody else may end it. Its environment is its own: no search finds the key in it.
    let helper = scene.path("helper");
    copy_program(Path::new("/usr/bin/setpriv"), &helper);
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o4755)).unwrap();
    scene.sh("chmod 755 .. . && chmod 777 run");
    let script = format!(
        "{} --reuid 0 --regid 0 --clear-groups env -i sleep 600 & echo $! > run/left; echo $$ > run/sh.ready; wait",
        helper.display()
    );
    let log = values.log_file("sh");
    let child = Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(["run", "--restart", "--grace", "1", "--env", "KEY=ring", "--", "/bin/sh", "-c", &script])
        .current_dir(scene.path("."))
        .uid(NOBODY)
        .gid(NOBODY)
        .env("KEYROLL_SOCKET", scene.path("values.sock"))
        .env("KEYROLL_STATE", scene.path("nowhere"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    values.agents.push(child);
    wait("the program runs", || scene.path("run/sh.ready").exists());
    let left = || fs::read_to_string(scene.path("run/left")).unwrap().trim().parse().unwrap();
    let first: u32 = left();
    wait("nobody may end it", || {
        fs::read_to_string(format!("/proc/{first}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    let stuck = scene.apply();
    assert!(!scene.is_ended(&scene.old), "{}", stuck.text);
    let log = values.log_of("sh");
    [first, left()].into_iter().for_each(|pid| signal(pid, Signal::KILL));
    assert!(log.contains(&format!("process {first} of the program that ended could not be ended")), "{log}");
}

/// The issuer shows the program and not `keyroll run`, and of the program only the process that calls.
#[test]
fn an_issuer_that_shows_calls_sees_the_program_below_keyroll_run() {
    let mut values = Values::start(TRUSTED, true);
    values.replaced("a", "family", &["--restart"]);
    let scene = &values.served.scene;
    for _ in 0..2 {
        let shown = scene.run(&["plan", "ring"]);
        assert!(!shown.text.contains("undeclared"), "{}", shown.text);
        scene.apply().exits(0).ended("done").says(&["exercised"]);
    }
    assert_eq!(scene.issuer.deletions().len(), 2);
    assert_eq!(values.refused(), "", "calls that failed");
}

/// An agent starts tools all the time: whichever of them runs at a look, it changes nothing.
#[test]
fn a_program_that_starts_one_process_after_the_other_holds_nothing_up() {
    for attributes in [false, true] {
        let mut values = Values::start(TRUSTED, attributes);
        values.replaced("a", "busy", &["--restart"]);
        let scene = &values.served.scene;
        scene.apply().exits(0).ended("done");
        assert!(scene.is_ended(&scene.old));
        assert_eq!(values.refused(), "", "calls that failed");
    }
}

/// What `keyroll run` gives is not what the program uses: its own file wins.
#[test]
fn a_program_that_has_the_old_key_from_elsewhere_keeps_it() {
    for attributes in [false, true] {
        let mut values = Values::with(PATIENT, TRUSTED, attributes);
        values.replaced("a", "hoarder", &["--restart"]);
        let scene = &values.served.scene;
        let ran = scene.apply();
        assert!(!scene.is_ended(&scene.old), "{}", ran.text);
        assert_eq!(values.refused(), "", "calls that failed");
    }
}
