//! The whole demo with a stand-in for the pipeline: checks its summary, and that it leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn demo(temporary: &Path) -> Child {
    let tests = std::env::current_exe().unwrap();
    let program: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples/part");
    let mut command = Command::new(program);
    command.args(["demo", "--json"]).env("TMPDIR", temporary).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Processes that still run and name this folder among their arguments; zombies have no arguments.
fn left_running(folder: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let commands = processes.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    let text = commands.map(|command| String::from_utf8_lossy(&command).replace('\0', " "));
    text.filter(|command| command.contains(folder.to_str().unwrap())).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The lines that come until one holds this text.
fn read_until(lines: &mut impl Iterator<Item = String>, text: &str) {
    assert!(lines.any(|line| line.contains(text)), "no line with {text}");
}

#[test]
fn the_last_line_is_the_summary_and_nothing_is_left() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(temporary.path()).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(summary["outcome"], "done", "{text}");
    assert!(summary["requests"].as_u64().unwrap() >= 10_000, "{summary}");
    assert_eq!(summary["failed"], 0, "{summary}");
    assert!(summary["mint_to_last_moved_s"].as_f64().unwrap() > 0.0, "{summary}");
    assert_eq!(summary["dead_confirmed"], true);
    assert!(summary["blocked_by"].as_str().unwrap().starts_with("mailer"));
    assert_eq!(summary.as_object().unwrap().len(), 7);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    assert_eq!(left_running(temporary.path()), Vec::<String>::new());
}

#[test]
fn an_interrupt_ends_everything() {
    let temporary = tempfile::tempdir().unwrap();
    for line in ["starting", "requests a second", "\"roll\""] {
        let mut demo = demo(temporary.path());
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
        read_until(&mut lines, line);
        send(demo.id(), Signal::INT);
        assert_eq!(demo.wait().unwrap().code(), Some(130), "after {line}");
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "after {line}");
        assert_eq!(left_running(temporary.path()), Vec::<String>::new(), "after {line}");
    }
}

#[test]
fn a_part_that_is_killed_fails_requests_and_is_cleaned_up_after() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = demo(temporary.path());
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    read_until(&mut lines, "requests a second");
    let folder = std::fs::read_dir(temporary.path()).unwrap().next().unwrap().unwrap().path();
    let pid = std::fs::read_to_string(folder.join("run/front-report.pid")).unwrap();
    send(pid.trim().parse().unwrap(), Signal::KILL);
    let summary: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert!(summary["failed"].as_u64().unwrap() > 0, "{summary}");
    assert_ne!(demo.wait().unwrap().code(), Some(0));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    assert_eq!(left_running(temporary.path()), Vec::<String>::new());
}

/// Nobody can clean up after SIGKILL but the parts themselves.
#[test]
fn no_part_outlives_a_demo_that_was_killed() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = demo(temporary.path());
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    read_until(&mut lines, "requests a second");
    assert!(left_running(temporary.path()).len() >= 8, "the search sees the parts while they run");
    send(demo.id(), Signal::KILL);
    demo.wait().unwrap();
    until("every part ends", || left_running(temporary.path()).is_empty());
    until("the folder is removed", || std::fs::read_dir(temporary.path()).unwrap().count() == 0);
}
