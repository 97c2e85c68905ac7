//! What `keyroll leaks` costs, beside other scanners in the same run: one small file, a tree, one large file, a history. Prints
//! a line of JSON for each program and task: the best of the rounds for the clock, its processor time and memory; `null` where it
//! is not installed or takes longer than five minutes.
//!
//! `TREE` names the tree (else Cargo's registry), `HISTORY` a repository (else none; `keyroll-history`'s example `make`
//! makes one). Other scanners run offline, if they are installed. `cat` and `git cat-file`, which scan nothing, are
//! measured for comparison. Needs GNU time. `KEYROLL` names another binary.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs
)]
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;

const ROUNDS: usize = 3;

/// The size of the large file, bytes: Kingfisher skips files of more than 256 MB.
const LARGE_BYTES: usize = 240_000_000;

/// The binary of this build, or the one that `KEYROLL` names.
const OWN: &str = "";

const TOOK_MAX: Duration = Duration::from_secs(300);

/// A scanner's name, its program, and its arguments, with `{}` for the scanned path.
struct Peer(&'static str, &'static str, &'static [&'static str]);

const OF_FILES: [Peer; 6] = [
    Peer("keyroll", OWN, &["leaks", "--no-ignore", "--format", "jsonl", "{}"]),
    Peer("without archives", OWN, &["leaks", "--no-ignore", "--no-archives", "--format", "jsonl", "{}"]),
    Peer(
        "without archives and names",
        OWN,
        &["leaks", "--no-ignore", "--no-archives", "--forms", "--format", "jsonl", "{}"],
    ),
    Peer(
        "kingfisher",
        "kingfisher",
        &["scan", "--no-validate", "--no-update-check", "--git-history", "none", "-f", "json", "{}"],
    ),
    Peer("gitleaks", "gitleaks", &["dir", "--no-banner", "--exit-code", "0", "-f", "json", "-r", "-", "{}"]),
    Peer("cat", "sh", &["-c", "find \"$0\" -type f -print0 | xargs -0 cat", "{}"]),
];

const OF_HISTORIES: [Peer; 3] = [
    Peer("keyroll", OWN, &["leaks", "--git", "--format", "jsonl", "{}"]),
    Peer("kingfisher", "kingfisher", &["scan", "--no-validate", "--no-update-check", "-f", "json", "{}"]),
    Peer("cat-file", "git", &["-C", "{}", "cat-file", "--batch", "--batch-all-objects", "--unordered"]),
];

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    fs::write(small.join("settings.env"), "PORT=8080\n").unwrap();
    let registry = || Path::new(&std::env::var_os("HOME").expect("a home")).join(".cargo/registry/src");
    let tree = std::env::var_os("TREE").map_or_else(registry, PathBuf::from);
    let large = folder.path().join("large");
    fs::create_dir(&large).unwrap();
    fill(&tree, &large.join("dump.log"));
    for (task, at) in [("start", &small), ("tree", &tree), ("large", &large)] {
        compare(task, &OF_FILES, at, &home);
    }
    if let Some(history) = std::env::var_os("HISTORY").map(PathBuf::from) {
        compare("history", &OF_HISTORIES, &history, &home);
    }
}

/// One round of each after the other, so that other load on the machine affects all of them equally.
fn compare(task: &str, peers: &[Peer], at: &Path, home: &Path) {
    let mut best: Vec<Option<[f64; 3]>> = vec![None; peers.len()];
    let mut out = vec![false; peers.len()];
    for _ in 0..ROUNDS {
        for ((peer, best), out) in peers.iter().zip(&mut best).zip(&mut out).filter(|(_, out)| !**out) {
            match timed(peer, at, home) {
                Some(now) => {
                    let least = best.unwrap_or(now);
                    *best = Some([0, 1, 2].map(|of| least[of].min(now[of])));
                }
                None => *out = true,
            }
        }
    }
    for (Peer(name, _, arguments), best) in peers.iter().zip(best) {
        let best = best.map(|[wall_s, cpu_s, mib]| json!({"wall_s": wall_s, "cpu_s": cpu_s, "mib": mib}));
        println!("{}", json!({"task": task, "name": name, "arguments": arguments, "best": best}));
    }
}

/// Wall time in seconds, processor time in seconds, and peak memory in MiB; `None` for a program that is not installed
/// or takes too long.
fn timed(Peer(_, program, arguments): &Peer, at: &Path, home: &Path) -> Option<[f64; 3]> {
    let own = || std::env::var("KEYROLL").unwrap_or_else(|_| env!("CARGO_BIN_EXE_keyroll").to_owned());
    let program = if *program == OWN { own() } else { (*program).to_owned() };
    let told = home.join("time");
    let mut command = Command::new("time");
    command.args(["-q", "-f", "%U %S %M", "-o"]).arg(&told).arg(program);
    command.args(arguments.iter().map(|argument| match *argument {
        "{}" => at.as_os_str(),
        other => other.as_ref(),
    }));
    command
        .env("HOME", home)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn().expect("GNU time");
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > TOOK_MAX {
            // What was started by `time` is in its group.
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            group.map(|group| kill_process_group(group, Signal::KILL)).transpose().unwrap();
            child.wait().unwrap();
            return None;
        }
        thread::sleep(Duration::from_micros(200));
    }
    let wall_s = begun.elapsed().as_secs_f64();
    // 127 is the exit code of a shell, and of `time`, for a program that does not exist.
    let known = child.wait().unwrap().code() != Some(127);
    let told = fs::read_to_string(told).ok().filter(|_| known)?;
    let mut told = told.split_whitespace().filter_map(|number| number.parse::<f64>().ok());
    let (user, system, kib) = (told.next()?, told.next()?, told.next()?);
    Some([wall_s, user + system, kib / 1024.0])
}

/// One file with the content of a tree's files, repeated.
fn fill(tree: &Path, to: &Path) {
    let mut file = File::create(to).unwrap();
    let mut left = LARGE_BYTES;
    while left > 0 {
        let before = left;
        append(tree, &mut file, &mut left);
        assert!(left < before, "the tree is empty");
    }
}

fn append(folder: &Path, file: &mut File, left: &mut usize) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().flatten().map(|one| one.path()).collect();
    paths.sort_unstable();
    for path in &paths {
        if *left == 0 {
            return;
        }
        let kind = fs::symlink_metadata(path).unwrap().file_type();
        if kind.is_dir() {
            append(path, file, left);
        } else if kind.is_file() {
            let bytes = fs::read(path).unwrap();
            let text =
                bytes.get(..bytes.len().min(*left)).filter(|text| !text.contains(&0)).unwrap_or_default();
            file.write_all(text).unwrap();
            *left -= text.len();
        }
    }
}
