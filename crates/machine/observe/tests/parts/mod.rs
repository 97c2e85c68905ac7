//! Real processes for the tests of this room, ended by the process ids from their starts.

// Each test program uses some of these.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_observe::{ProcessId, Search};

/// How long anything may take before a test fails, seconds.
const PATIENCE_S: u64 = 20;

/// A generated value: unlike any other in this run or an earlier one.
pub(crate) fn generated() -> String {
    use std::hash::{BuildHasher, Hasher};
    let part = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("sk-{:016x}{:016x}", part(), part())
}

/// Plain matching of the values as they are.
pub(crate) struct Plain(pub(crate) Vec<Vec<u8>>);

impl Plain {
    pub(crate) fn of(values: &[&str]) -> Self {
        Self(values.iter().map(|value| value.as_bytes().to_vec()).collect())
    }
}

impl Search for Plain {
    fn find(&self, bytes: &[u8], hit: &mut dyn FnMut(u32, usize)) {
        for (id, value) in self.0.iter().enumerate() {
            let mut from = 0;
            while let Some(rest) = bytes.get(from..) {
                let first = rest.iter().position(|byte| byte == &value[0]);
                let Some(at) = first else { break };
                if rest[at..].starts_with(value) {
                    hit(id as u32, from + at);
                }
                from += at + 1;
            }
        }
    }

    fn longest(&self) -> usize {
        self.0.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// A process that is ended when the test is over.
pub(crate) struct Running {
    pub(crate) child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, output }
    }

    /// A Python program; it gets its data on its standard input, never as an argument.
    pub(crate) fn python(program: &str) -> Self {
        Self::start(
            Command::new("python3").args(["-u", "-c", program]).env_clear().env("PATH", "/usr/bin:/bin"),
        )
    }

    /// One line that the program prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    pub(crate) fn tell(&mut self, line: &str) {
        use std::io::Write;
        let input = self.child.stdin.as_mut().expect("its input");
        writeln!(input, "{line}").expect("it listens");
    }

    pub(crate) fn id(&self) -> ProcessId {
        id_of(self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn id_of(pid: u32) -> ProcessId {
    keyroll_observe::process(pid).expect("a process of that number").id
}

/// Checks again until it holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(PATIENCE_S);
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
