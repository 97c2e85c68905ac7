//! A lane of a ring as a process of its own, in a namespace of processes of its own where the system allows that: a
//! search of all processes then finds only this lane's, and a traced search is as short as possible.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use keyroll_testkit::TempDir;

/// The variable that makes this program a lane: the file for its report, then its own words.
const LANE: &str = "KEYROLL_TEST_LANE";

/// The first process of a namespace: it reaps orphaned processes.
const FIRST: &str = "\"$@\"; exit $?";

/// Whether a namespace of processes can be made.
pub fn namespaces() -> bool {
    let tried = Command::new("unshare").args(["-pf", "--mount-proc", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// The same for a case that needs one: it is left out without it, but not in CI.
pub fn namespaces_or_skip(case: &str) -> bool {
    let can = namespaces();
    if !can {
        assert!(std::env::var("CI").is_err(), "no namespace of processes in CI");
        eprintln!("left out, because a namespace of processes cannot be made: {case}");
    }
    can
}

/// How much of what a lane said last is told of one that failed, bytes.
const TOLD_MAX: usize = 6_000;

/// Runs a test of this program, which must be a lane, with these words; its report, or how it ended and what it said last.
pub fn run(test: &str, words: &str) -> Result<String, String> {
    let folder = TempDir::new().unwrap();
    let (report, said) = (folder.path().join("report"), folder.path().join("said"));
    let log = fs::File::create(&said).unwrap();
    let program = std::env::current_exe().unwrap();
    let mut command = if namespaces() {
        let mut command = Command::new("unshare");
        command.args(["-pf", "--mount-proc", "--kill-child", "sh", "-c", FIRST, "sh"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args([test, "--exact", "--nocapture"]).env(LANE, format!("{} {words}", report.display()));
    command.stderr(log);
    // When this process ends, its end of the pipe closes, and the lane ends too.
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let held = child.stdin.take();
    let status = child.wait().unwrap();
    drop(held);
    match fs::read_to_string(report) {
        Ok(report) if status.success() => Ok(report),
        Ok(_) | Err(_) => {
            let said = fs::read(said).unwrap();
            let last = String::from_utf8_lossy(&said[said.len().saturating_sub(TOLD_MAX)..]).into_owned();
            Err(format!("the lane {words} ended with {status}, and said last:\n{last}"))
        }
    }
}

/// If this program is a lane: the file for its report, and its words.
pub fn lane() -> Option<(PathBuf, String)> {
    let text = std::env::var(LANE).ok()?;
    let (report, words) = text.split_once(' ')?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(9);
    });
    Some((report.into(), words.to_owned()))
}
