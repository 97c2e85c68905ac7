//! The order of system calls, from a record with the time of each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One system call: when it began and ended, microseconds of the wall clock, and its arguments.
pub struct Call {
    began: u64,
    ended: u64,
    name: String,
    arguments: String,
}

/// `strace` that writes one record per thread, with the first bytes of what is written: a method, never a value.
pub fn recording(program: &Path, record: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-ff", "-b", "execve", "-qq", "-y", "-ttt", "-T", "-s", "6", "-o"]).arg(record);
    command.args([
        "-e",
        "trace=write,writev,pwrite64,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2,connect",
    ]);
    command.arg("--").arg(program);
    command
}

/// Every call of every thread, by its begin.
pub fn calls(record: &Path) -> Vec<Call> {
    let name = record.file_name().unwrap().to_str().unwrap();
    let mut all = Vec::new();
    for entry in fs::read_dir(record.parent().unwrap()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with(name) {
            all.extend(fs::read_to_string(entry.path()).unwrap().lines().filter_map(call));
        }
    }
    all.sort_by_key(|call| call.began);
    all
}

fn call(line: &str) -> Option<Call> {
    let (at, rest) = line.split_once(' ')?;
    let (name, rest) = rest.split_once('(')?;
    let (rest, took) = rest.rsplit_once(" <")?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    // A failed call did nothing, except a connection that is in progress.
    if result.starts_with('-') && name != "connect" {
        return None;
    }
    let began = micros(at)?;
    let ended = began + micros(took.trim_end_matches('>'))?;
    Some(Call { began, ended, name: name.to_owned(), arguments: arguments.to_owned() })
}

fn micros(text: &str) -> Option<u64> {
    let (seconds, rest) = text.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + rest.parse::<u64>().ok()?)
}

impl Call {
    /// Of one of these names, on a descriptor of this path or with these words among its arguments.
    fn is(&self, names: &[&str], on: &str) -> bool {
        names.contains(&self.name.as_str()) && self.arguments.contains(on)
    }
}

const WRITES: [&str; 3] = ["write", "writev", "pwrite64"];
const SYNCS: [&str; 2] = ["fsync", "fdatasync"];
const RENAMES: [&str; 3] = ["rename", "renameat", "renameat2"];

/// The last such call that had ended when another began.
fn last<'a>(calls: &'a [Call], before: u64, what: &str, is: impl Fn(&Call) -> bool) -> &'a Call {
    let found = calls.iter().filter(|call| call.ended <= before && is(call)).max_by_key(|call| call.ended);
    found.unwrap_or_else(|| panic!("no {what} before"))
}

/// Per target: journal, write, fsync, rename, fsync of the folder.
pub fn check_replacements(calls: &[Call], targets: &[PathBuf]) {
    for target in targets {
        let name = target.file_name().unwrap().to_str().unwrap();
        let folder = target.parent().unwrap().to_str().unwrap();
        let over = format!("\"{name}\"");
        let renamed: Vec<&Call> =
            calls.iter().filter(|call| call.is(&RENAMES, &over) && call.arguments.contains(folder)).collect();
        assert_eq!(renamed.len(), 1, "{} is replaced once", target.display());
        let rename = renamed[0];
        let temp = rename.arguments.split('"').nth(1).unwrap();
        assert!(temp.starts_with(".keyroll-"), "{}", rename.arguments);
        let temp = format!("/{temp}>");
        let synced = last(calls, rename.began, "fsync of the temp file", |call| call.is(&SYNCS, &temp));
        let written = last(calls, synced.began, "write of the temp file", |call| call.is(&WRITES, &temp));
        let late = calls.iter().any(|call| call.is(&WRITES, &temp) && call.ended > synced.began);
        assert!(!late, "the temp file is written after it was made durable");
        let durable =
            calls.iter().find(|call| call.is(&SYNCS, &format!("<{folder}>")) && call.began >= rename.ended);
        let next =
            calls.iter().find(|call| call.is(&["pwrite64"], "/journal.db-wal>") && call.began > rename.ended);
        let durable = durable.expect("the folder is made durable");
        assert!(next.is_none_or(|next| durable.ended <= next.began), "the outcome is written before that");
        let intent = last(calls, written.began, "intent", |call| call.is(&SYNCS, "/journal.db-wal>"));
        let others = |call: &Call| call.is(&RENAMES, "\".keyroll-") && call.began < rename.began;
        let before = calls.iter().filter(|call| others(call)).map(|call| call.ended).max().unwrap_or(0);
        assert!(intent.began >= before, "each replacement has an intent of its own");
    }
}

/// Before each request that changes something at the issuer, since the one before it: the journal's entry, its fsync,
/// the witness's fsync, its rename, the fsync of its folder; then the connection, then the request. Their number.
pub fn check_effects(calls: &[Call]) -> usize {
    let changes = |call: &&Call| {
        call.is(&["write", "writev", "sendto", "sendmsg"], "<socket:[")
            && ["\"POST ", "\"PATCH", "\"DELET"].iter().any(|method| call.arguments.contains(method))
    };
    let mut since = 0;
    let mut count = 0;
    for request in calls.iter().filter(changes) {
        let socket = request.arguments.split('<').nth(1).and_then(|rest| rest.split('>').next()).unwrap();
        let connect = last(calls, request.began, "connect", |call| call.is(&["connect"], socket));
        let folder = last(calls, connect.began, "fsync of the witness's folder", |call| {
            call.is(&SYNCS, "/state.keys>")
        });
        let rename =
            last(calls, folder.began, "rename of the witness", |call| call.is(&RENAMES, "/witness\""));
        let temp =
            last(calls, rename.began, "fsync of the witness", |call| call.is(&SYNCS, "/.witness.tmp>"));
        let commit = last(calls, temp.began, "commit", |call| call.is(&SYNCS, "/journal.db-wal>"));
        let entry = last(calls, commit.began, "entry", |call| call.is(&["pwrite64"], "/journal.db-wal>"));
        assert!(entry.began >= since, "effect {count} ({}) has an intent of its own", request.arguments);
        since = request.ended;
        count += 1;
    }
    count
}
