//! Real processes that use real values, ended by the process ids from their starts.

// Each test program uses some of these.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use keyroll_observe::ProcessId;
use keyroll_secret::{FingerprintKey, SecretBytes};
use keyroll_trace::{MemoryStage, Options, Survey, ValueId, Verdict, survey, verdict};

use crate::chains::scene;

/// How long anything may take before a test fails, seconds.
const PATIENCE_S: u64 = 60;

/// The variable of every scene.
pub(crate) const NAME: &str = "SERVICE_API_KEY";

/// A generated value: unlike any other in this run or an earlier one.
pub(crate) fn generated() -> String {
    keyroll_testkit::alphanumeric(33)
}

/// A folder with the copy that a service starts from, and an earlier copy: two versions of one secret.
pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) old: String,
    pub(crate) new: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (old, new) = (generated(), generated());
        std::fs::write(folder.path().join("api.env.bak"), format!("{NAME}={old}\n")).expect("a file");
        std::fs::write(folder.path().join("api.env"), format!("{NAME}={new}\n")).expect("a file");
        Self { folder, old, new }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("api.env")
    }

    pub(crate) fn survey(&self) -> SurveyedScene {
        SurveyedScene::of(self.folder.path(), &self.old, &self.new)
    }
}

/// A survey of a scene, with helpers for questions about it.
pub(crate) struct SurveyedScene {
    pub(crate) survey: Survey,
    pub(crate) old: ValueId,
    pub(crate) new: ValueId,
}

impl SurveyedScene {
    pub(crate) fn of(root: &Path, old: &str, new: &str) -> Self {
        let options = Options { roots: vec![root.to_owned()], wait: Duration::from_secs(PATIENCE_S) };
        let survey = survey(&options, FingerprintKey::new(&[7; 32])).expect("a survey");
        let of = |value: &str| survey.values.of(&SecretBytes::from(value.to_owned())).expect("it was found");
        let (old, new) = (of(old), of(new));
        Self { survey, old, new }
    }

    pub(crate) fn versions(&self) -> BTreeSet<ValueId> {
        BTreeSet::from([self.old, self.new])
    }

    /// The second stage, only for these processes: other tests run in parallel.
    pub(crate) fn search(&mut self, processes: &[ProcessId]) {
        self.search_within(processes, MemoryStage::default());
    }

    pub(crate) fn search_within(&mut self, processes: &[ProcessId], limits: MemoryStage) {
        let ahead = self.survey.memory_ahead(&processes.iter().copied().collect());
        let limits = MemoryStage {
            wait: Duration::from_secs(PATIENCE_S),
            wait_each: Duration::from_secs(PATIENCE_S),
            ..limits
        };
        self.survey.search_memory(&ahead, limits, &mut |_, _| {});
    }

    /// The verdict, if a new start would use the new version.
    pub(crate) fn verdict(&self, process: &ProcessId) -> Verdict {
        verdict(Some(self.new), &self.survey.held(process, &self.versions()).expect("an instance"))
    }
}

/// A process that is ended when the test is over.
pub(crate) struct Running {
    pub(crate) child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, output }
    }

    /// A program that was started with this value and prints when it is ready; it ends with its input.
    pub(crate) fn with(program: [&str; 3], value: &str) -> Self {
        let [command, option, text] = program;
        let mut running = Self::start(
            Command::new(command)
                .args([option, text])
                .env_clear()
                .env("PATH", "/usr/local/bin:/usr/bin:/bin")
                .env(NAME, value),
        );
        assert_eq!(running.line(), "ready");
        running
    }

    /// One line that the program prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    pub(crate) fn tell(&mut self, line: &str) {
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
    scene::until(what, || holds().then_some(()));
}

pub(crate) fn root() -> bool {
    rustix::process::geteuid().is_root()
}
