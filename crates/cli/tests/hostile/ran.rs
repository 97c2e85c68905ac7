//! A command that ran, or that runs still.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything that must come may take.
const TIME_MAX: Duration = Duration::from_secs(100);

/// What a command said and how it ended.
pub struct Ran {
    pub code: Option<i32>,
    pub text: String,
    pub events: Vec<Value>,
}

impl Ran {
    pub fn read(code: Option<i32>, out: &[u8], err: &[u8]) -> Self {
        let out = String::from_utf8_lossy(out).into_owned();
        Self {
            code,
            events: out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            text: format!("{out}{}", String::from_utf8_lossy(err)),
        }
    }

    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["type"] == kind).collect()
    }

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

    #[track_caller]
    pub fn paused(&self) -> &Value {
        self.of("paused").pop().unwrap_or_else(|| panic!("not paused: {}", self.text))
    }

    #[track_caller]
    pub fn ended(&self, outcome: &str) -> &Self {
        let ended = self.of("done").iter().any(|event| event["outcome"] == outcome);
        assert!(ended, "it did not end {outcome}: {}", self.text);
        self
    }

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

    #[track_caller]
    pub fn says(&self, what: &str, is: impl Fn(&Value) -> bool) {
        wait(what, || self.events.lock().unwrap().iter().any(&is));
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    #[track_caller]
    pub fn end(mut self) -> Ran {
        let mut status = None;
        wait("the end of a command", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let out = self.out.take().unwrap().join().unwrap();
        Ran::read(status.unwrap().code(), out.as_bytes(), b"")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is not there any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something that must come.
#[track_caller]
pub fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let end = Instant::now() + TIME_MAX;
    while !until() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
