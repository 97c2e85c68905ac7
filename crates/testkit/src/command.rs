//! A command of the shipped program that ran, or that runs still. It writes JSON lines to its standard output.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a broken step is a failed test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{Deadline, until};

/// How long anything that must come may take.
const TIME_MAX: Duration = Duration::from_secs(100);
/// How long a command may take whose callers are part of the test, seconds.
const COMMAND_S_MAX: u64 = 300;

/// Gives a command of keyroll the state folder beside its folder, and nothing of the caller's environment.
pub fn dress(command: &mut Command, folder: &Path, home: &Path) {
    command
        .args(["--state", "../state", "--no-input", "--json"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// What a command said and how it ended.
pub struct Ran {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Everything that it wrote.
    pub text: String,
    /// The events among it.
    pub events: Vec<Value>,
}

impl Ran {
    /// Runs a command to its end.
    pub fn run(command: &mut Command) -> Self {
        Self::of_output(&command.output().unwrap())
    }

    /// The same with a value on its standard input.
    pub fn fed(command: &mut Command, value: &Zeroizing<String>) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        Self::of_output(&child.wait_with_output().unwrap())
    }

    fn of_output(output: &Output) -> Self {
        Self::read(output.status.code(), &output.stdout, &output.stderr)
    }

    /// What it said, by what it wrote.
    pub fn read(code: Option<i32>, out: &[u8], err: &[u8]) -> Self {
        let out = String::from_utf8_lossy(out);
        let events = out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Self { code, events, text: format!("{out}{}", String::from_utf8_lossy(err)) }
    }

    /// Everything that it wrote.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The events of a kind, in their order.
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["type"] == kind).collect()
    }

    /// What it said last of the whole.
    #[track_caller]
    pub fn summary(&self) -> &Value {
        self.of("summary").pop().unwrap_or_else(|| panic!("no summary: {}", self.text))
    }

    /// Whether it came to a phase.
    pub fn entered(&self, phase: &str) -> bool {
        self.of("phase").iter().any(|event| event["phase"] == phase)
    }

    /// The exit code, with all that was said where it is another.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.text);
        self
    }

    /// An error with this exit, this code, and these words in its causes or help.
    #[track_caller]
    pub fn refused(&self, exit: i32, code: &str, words: &[&str]) -> &Self {
        self.exits(exit);
        let error = self.of("error").pop().unwrap_or_else(|| panic!("no error: {}", self.text));
        assert_eq!(error["code"], code, "{}", self.text);
        assert_eq!(error["exit"], exit, "{}", self.text);
        assert!(error["help"].as_str().is_some_and(|help| !help.is_empty()), "no help: {}", self.text);
        self.says(words)
    }

    /// All of these words stand somewhere in what was said.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.text.contains(word), "'{word}' is not said: {}", self.text);
        }
        self
    }

    /// Why it stands still.
    #[track_caller]
    pub fn paused(&self) -> &Value {
        self.of("paused").pop().unwrap_or_else(|| panic!("not paused: {}", self.text))
    }

    /// It ended with this outcome.
    #[track_caller]
    pub fn ended(&self, outcome: &str) -> &Self {
        let ended = self.of("done").iter().any(|event| event["outcome"] == outcome);
        assert!(ended, "it did not end {outcome}: {}", self.text);
        self
    }

    /// The id of the plan that it saved.
    #[track_caller]
    pub fn plan(&self) -> String {
        let event = *self.of("plan").first().unwrap_or_else(|| panic!("no plan: {}", self.text));
        event["id"].as_str().unwrap().to_owned()
    }

    /// The id of the rotation that it opened.
    #[track_caller]
    pub fn rotation(&self) -> String {
        let event = self.of("rotation").pop().unwrap_or_else(|| panic!("no rotation: {}", self.text));
        event["id"].as_str().unwrap().to_owned()
    }
}

/// A command that runs beside the test; ended by its id when it is dropped.
pub struct Running {
    child: Child,
    events: Arc<Mutex<Vec<Value>>>,
    out: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts it; what it writes to its standard error is not kept.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let events: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (stdout, told) = (BufReader::new(child.stdout.take().unwrap()), events.clone());
        let out = std::thread::spawn(move || {
            let mut all = String::new();
            for line in stdout.lines().map_while(Result::ok) {
                told.lock().unwrap().extend(serde_json::from_str::<Value>(&line).ok());
                all += &line;
                all.push('\n');
            }
            all
        });
        Self { child, events, out: Some(out) }
    }

    /// Waits until it has entered a phase.
    #[track_caller]
    pub fn enters(&self, phase: &str) {
        self.says(phase, |event| event["type"] == "phase" && event["phase"] == phase);
    }

    /// Waits for an event.
    #[track_caller]
    pub fn says(&self, what: &str, is: impl Fn(&Value) -> bool) {
        self.wait(what, || self.events.lock().unwrap().iter().any(&is));
    }

    /// Waits for something that must come, and tells what the command said where it does not.
    #[track_caller]
    fn wait(&self, what: &str, until: impl FnMut() -> bool) {
        if !comes(until) {
            let said = self.events.lock().unwrap().iter().map(Value::to_string).collect::<Vec<_>>();
            panic!("in vain: {what}; it said:\n{}", said.join("\n"));
        }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Awaits its end.
    #[track_caller]
    pub fn end(self) -> Ran {
        self.end_within(1)
    }

    /// Awaits the end of one that waits for minutes itself, such as for the nodes of a cluster.
    #[track_caller]
    pub fn end_late(self) -> Ran {
        self.end_within(4)
    }

    #[track_caller]
    fn end_within(mut self, times: usize) -> Ran {
        let pid = self.pid();
        let ended = (1..times).any(|_| comes(|| has_ended(pid)));
        self.wait("the end of a command", || ended || has_ended(pid));
        let status = self.child.wait().unwrap();
        let out = self.out.take().unwrap().join().unwrap();
        Ran::read(status.code(), out.as_bytes(), b"")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is not there any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs beside callers of the test, and writes to a file.
pub struct Started {
    child: Child,
    output: PathBuf,
}

impl Started {
    /// Starts it; all that it writes goes to this file.
    pub fn start(command: &mut Command, output: PathBuf) -> Self {
        let out = fs::File::create(&output).unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(out);
        Self { child: command.spawn().unwrap(), output }
    }

    /// What it wrote so far.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Awaits its end.
    pub async fn ended(mut self) -> Ran {
        let child = &mut self.child;
        let ended = until(Deadline::seconds(COMMAND_S_MAX), || std::future::ready(child.try_wait().unwrap()));
        let Ok(status) = ended.await else {
            let _ = self.child.kill();
            let _ = self.child.wait();
            panic!("the command does not end: {}", self.text());
        };
        Ran::read(status.code(), self.text().as_bytes(), b"")
    }
}

/// Ends a process of the test's own program at once. An id that was read from a file may be another's by now: that one
/// is left alone.
pub fn end_own(pid: u32) {
    std::env::current_exe().into_iter().for_each(|program| end_one_of(pid, &program));
}

/// The same, of a process of another program.
pub fn end_one_of(pid: u32, program: &Path) {
    let its = fs::read_link(format!("/proc/{pid}/exe")).ok() == program.canonicalize().ok();
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| its) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Kills a command that was started, as soon as its id is known, and sees that it is gone.
pub fn kill(id: &OnceLock<u32>) {
    let pid = *id.wait();
    let Some(known) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let _ = kill_process(known, Signal::KILL);
    wait("the end of the command", || has_ended(known));
}

/// Runs a command that is killed at a moment of its life: `aim` lays the trap that kills it.
#[track_caller]
pub fn killed(command: Command, aim: impl FnOnce(Box<dyn FnOnce() + Send>)) -> Ran {
    let driver: Arc<OnceLock<u32>> = Arc::default();
    let known = driver.clone();
    aim(Box::new(move || kill(&known)));
    let running = Running::start(command);
    driver.set(u32::try_from(running.pid().as_raw_nonzero().get()).unwrap()).unwrap();
    let ran = running.end();
    assert_eq!(ran.code, None, "it was not killed: {}", ran.text);
    ran
}

/// Whether a process has ended; its parent may not have asked for that.
pub fn has_ended(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // The process name may contain anything; the fields begin after its last bracket.
    stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z"))
}

/// Waits for something that must come.
#[track_caller]
pub fn wait(what: &str, until: impl FnMut() -> bool) {
    assert!(comes(until), "in vain: {what}");
}

fn comes(mut until: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + TIME_MAX;
    while !until() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
