//! File replacement under system faults: faults injected into its calls, kills at each of them, full, read-only and
//! mounted file systems, and a user without rights.
//!
//! The example `replace` is the process that has these faults.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_testkit::copy_program;
use rustix::process::{Pid, Signal, kill_process};

const OLD: &[u8] = b"KEY=old\n";
const NEW: &[u8] = b"KEY=new\n";
const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// Every call with which a replacement changes the file system.
const CALLS: &str = "openat,openat2,fchmod,fchown,fsetxattr,fallocate,write,pwrite64,ftruncate,fsync,rename,renameat,renameat2,unlink,unlinkat,link,linkat";

fn left_out(what: &str, why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} is needed here: {why}");
    eprintln!("left out: {what} ({why})");
}

/// The example, built beside the tests by the same cargo.
fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples/replace")
}

struct Outcome {
    /// The example's one line, or nothing if it was killed.
    line: String,
    said: String,
}

fn run(command: &mut Command) -> Option<Outcome> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.ok()?;
    // A process that was killed or refused early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(NEW);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Some(Outcome { line: text(&output.stdout), said: text(&output.stderr) })
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("env");
    fs::write(&path, OLD).unwrap();
    (folder, path)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Runs the example under strace with faults; its trace, or `None` where tracing is not possible.
fn traced(mode: &str, path: &Path, faults: &[String]) -> Option<(Outcome, Vec<String>)> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    // The variable with cargo's library paths would fill the trace.
    command
        .env_remove("LD_LIBRARY_PATH")
        .arg("-y")
        .arg("-o")
        .arg(log.path())
        .args(["-e", &format!("trace={CALLS}")]);
    for fault in faults {
        command.args(["-e", fault]);
    }
    let outcome = run(command.arg(example()).arg(mode).arg(path))?;
    let lines: Vec<_> = fs::read_to_string(log.path()).unwrap().lines().map(str::to_owned).collect();
    (!lines.is_empty()).then_some((outcome, lines))
}

/// The index in a trace of the only call that begins so and has all these words.
fn position(trace: &[String], words: &[&str]) -> usize {
    let found: Vec<_> =
        (0..trace.len()).filter(|at| words.iter().all(|word| trace[*at].contains(word))).collect();
    assert_eq!(found.len(), 1, "{words:?} in\n{}", trace.join("\n"));
    found[0]
}

#[test]
fn write_fsync_rename_fsync_in_this_order() {
    let (folder, path) = folder();
    let Some((outcome, trace)) = traced("rename", &path, &[]) else {
        return left_out("strace", "not installed, or tracing is not permitted");
    };
    assert_eq!(outcome.line, "done", "{}", outcome.said);
    let directory = format!("<{}>", fs::canonicalize(folder.path()).unwrap().display());
    let temp = "/.keyroll-example-1>";
    let order = [
        position(&trace, &["openat(", ".keyroll-example-1\"", "O_CREAT|O_EXCL|", "O_NOFOLLOW", " 0600)"]),
        position(&trace, &["fchmod(", temp]),
        position(&trace, &["write(", temp]),
        position(&trace, &["fsync(", temp]),
        position(&trace, &["renameat(", ".keyroll-example-1\"", "\"env\""]),
        position(&trace, &["fsync(", &directory]),
    ];
    assert!(order.is_sorted(), "{order:?} in\n{}", trace.join("\n"));
    let made: Vec<_> =
        trace.iter().filter(|line| line.contains("O_CREAT") || line.contains("link")).collect();
    assert_eq!(made.len(), 1, "no other file is made, none is linked: {made:?}");
    // The digest is compared between the last byte written and the rename.
    let looked = |line: &String| line.starts_with("openat(") && line.contains("\"env\"");
    assert!(trace[order[3]..order[4]].iter().any(looked), "{}", trace.join("\n"));
    assert!(trace[order[5]..].iter().any(looked), "it is read back: {}", trace.join("\n"));
    assert_eq!(fs::read(&path).unwrap(), NEW);
}

#[test]
fn content_that_is_there_already_is_made_durable_again() {
    for mode in ["rename", "settle"] {
        let (folder, path) = folder();
        fs::write(&path, NEW).unwrap();
        let Some((outcome, trace)) = traced(mode, &path, &[]) else {
            return left_out("strace", "not installed, or tracing is not permitted");
        };
        assert_eq!(outcome.line, "already", "{}", outcome.said);
        let directory = format!("<{}>", fs::canonicalize(folder.path()).unwrap().display());
        assert!(position(&trace, &["fsync(", "/env>"]) < position(&trace, &["fsync(", &directory]));
        assert!(!trace.iter().any(|line| line.contains("O_CREAT") || line.contains("rename")));
    }
}

#[test]
fn in_place_reserves_writes_and_makes_durable() {
    let (_folder, path) = folder();
    let Some((outcome, trace)) = traced("in_place", &path, &[]) else {
        return left_out("strace", "not installed, or tracing is not permitted");
    };
    assert_eq!(outcome.line, "done", "{}", outcome.said);
    let order = [
        position(&trace, &["fallocate(", "/env>", "FALLOC_FL_KEEP_SIZE"]),
        position(&trace, &["pwrite64(", "/env>"]),
        position(&trace, &["ftruncate(", "/env>"]),
        position(&trace, &["fsync(", "/env>"]),
    ];
    assert!(order.is_sorted(), "{order:?}");
    assert!(!trace.iter().any(|line| line.contains("O_CREAT") || line.contains("rename")));
    assert_eq!(fs::read(&path).unwrap(), NEW);
}

#[test]
fn a_fault_before_the_rename_has_no_effect_and_one_after_it_is_unknown() {
    let cases = [
        ("rename", "write:error=ENOSPC:when=1", "K0315 Retryable", OLD),
        ("rename", "write:error=EDQUOT:when=1", "K0315 Retryable", OLD),
        ("rename", "write:error=EIO:when=1", "K0315 Permanent", OLD),
        ("rename", "fchmod:error=EPERM:when=1", "K0316 Permanent", OLD),
        ("rename", "fsync:error=EIO:when=1", "K0315 Permanent", OLD),
        ("rename", "fsync:error=ENOSPC:when=1", "K0315 Retryable", OLD),
        ("rename", "renameat:error=EIO:when=1", "K0315 Unknown", OLD),
        ("rename", "fsync:error=EIO:when=2", "K0315 Unknown", NEW),
        ("rename", "fsync:error=EINTR:when=1", "done", NEW),
        ("rename", "openat2:error=ENOSYS", "done", NEW),
        ("in_place", "fallocate:error=ENOSPC:when=1", "K0315 Retryable", OLD),
        ("in_place", "fallocate:error=EOPNOTSUPP:when=1", "done", NEW),
        ("in_place", "pwrite64:error=EIO:when=1", "K0315 Unknown", OLD),
        ("in_place", "fsync:error=EIO:when=1", "K0315 Unknown", NEW),
        ("trial", "write:error=ENOSPC:when=1", "K0315 Retryable", OLD),
        ("trial", "fsync:error=EIO:when=1", "K0315 Permanent", OLD),
        ("trial", "fsync:error=EINVAL:when=2", "K0315 Permanent", OLD),
        ("trial", "openat2:error=ENOSYS", "done", OLD),
    ];
    for (mode, fault, line, content) in cases {
        let (folder, path) = folder();
        let Some((outcome, trace)) = traced(mode, &path, &[format!("inject={fault}")]) else {
            return left_out("strace", "not installed, or tracing is not permitted");
        };
        let told = format!("{mode} with {fault}: {}\n{}", outcome.said, trace.join("\n"));
        assert!(trace.iter().any(|line| line.contains("(INJECTED)")), "nothing was injected: {told}");
        assert_eq!(outcome.line, line, "{told}");
        assert_eq!(fs::read(&path).unwrap(), content, "{told}");
        assert_eq!(names(folder.path()), ["env"], "{told}");
    }
}

#[test]
fn a_replacement_killed_at_any_call_leaves_one_whole_file_and_can_be_repeated() {
    let (_folder, path) = folder();
    let Some((_, calls)) = traced("rename", &path, &[]) else {
        return left_out("strace", "not installed, or tracing is not permitted");
    };
    let name_of = |line: &String| line.split('(').next().unwrap().to_owned();
    let calls: Vec<_> = calls.iter().filter(|line| line.contains('(')).map(name_of).collect();
    let (mut kept, mut replaced) = (0, 0);
    for (at, call) in calls.iter().enumerate() {
        let nth = calls[..=at].iter().filter(|earlier| *earlier == call).count();
        let (folder, path) = folder();
        let kill = format!("inject={call}:signal=KILL:when={nth}");
        let (outcome, trace) = traced("rename", &path, std::slice::from_ref(&kill)).unwrap();
        assert!(trace.last().unwrap().contains("killed by SIGKILL"), "{kill}: {}", trace.join("\n"));
        assert_eq!(outcome.line, "", "{kill}");
        match fs::read(&path).unwrap().as_slice() {
            OLD => kept += 1,
            NEW => replaced += 1,
            _ => panic!("{kill} left a torn file"),
        }
        let again = run(Command::new(example()).arg("rename").arg(&path)).unwrap();
        assert!(["done", "already"].contains(&again.line.as_str()), "{kill}: {}", again.said);
        assert_eq!(
            (fs::read(&path).unwrap().as_slice(), names(folder.path())),
            (NEW, vec!["env".to_owned()])
        );
    }
    assert!(kept > 5 && replaced > 2, "{kept} kept, {replaced} replaced, of {calls:?}");
}

/// The one child of a process that this test started.
fn child_of(parent: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

/// Polls until something is there.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come");
        thread::sleep(POLL);
    }
}

/// Runs the example, stops it at its n-th call of a kind, does something, and lets it continue. Returns its outcome, or
/// `None` where tracing is not possible.
fn interrupted(mode: &str, path: &Path, call: &str, nth: usize, meanwhile: impl FnOnce()) -> Option<Outcome> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command.env_remove("LD_LIBRARY_PATH").arg("-o").arg(log.path());
    command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:signal=STOP:when={nth}")]);
    command.arg(example()).arg(mode).arg(path);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut strace = pipes.spawn().ok()?;
    strace.stdin.take().unwrap().write_all(NEW).unwrap();
    let stopped = || fs::read_to_string(log.path()).unwrap().contains("stopped by SIGSTOP");
    let ended = |strace: &mut Child| strace.try_wait().unwrap().is_some();
    if !wait_for("the stop", || if stopped() { Some(true) } else { ended(&mut strace).then_some(false) }) {
        return None;
    }
    meanwhile();
    wait_for("the end", || {
        if let Some(process) = child_of(strace.id()) {
            // It may have ended by now: the next turn sees that.
            let _ = kill_process(process, Signal::CONT);
        }
        ended(&mut strace).then_some(())
    });
    let output = strace.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Some(Outcome { line: text(&output.stdout), said: text(&output.stderr) })
}

#[test]
fn a_change_made_while_the_temp_file_is_written_is_not_lost() {
    let other: &[u8] = b"KEY=els\n";
    let cases = [
        ("content", other, true, "Permanent"),
        ("file", other, false, "Retryable"),
        ("file", OLD, false, "Retryable"),
    ];
    for (what, content, same_inode, class) in cases {
        let (folder, path) = folder();
        let change = || {
            if same_inode {
                return fs::write(&path, content).unwrap();
            }
            let replacement = folder.path().join("replacement");
            fs::write(&replacement, content).unwrap();
            fs::rename(&replacement, &path).unwrap();
        };
        // At the fsync its first look is done and its last is not.
        let Some(outcome) = interrupted("rename", &path, "fsync", 1, change) else {
            return left_out("strace", "not installed, or tracing is not permitted");
        };
        assert_eq!(outcome.line, format!("K0314 {class}"), "another {what}");
        assert_eq!(fs::read(&path).unwrap(), content, "another {what}");
        assert_eq!(names(folder.path()), ["env"]);
    }
}

/// The racing swapper of the other tests finds such moments by chance; here each call is tried. Wherever the target or
/// its folder becomes a link to another file, that file stays as it was.
#[test]
fn a_name_swapped_at_any_call_never_leads_to_another_file() {
    const LOOKS: &str = ",statx,newfstatat,readlink,readlinkat";
    let mut stops = 0;
    for mode in ["rename", "in_place"] {
        let (_folder, path) = folder();
        let Some((_, trace)) = traced(mode, &path, &[format!("trace={CALLS}{LOOKS}")]) else {
            return left_out("strace", "not installed, or tracing is not permitted");
        };
        let calls: Vec<_> = trace.iter().filter(|line| line.contains('(')).collect();
        // Until it has resolved the path, it may follow the path anywhere.
        let resolved =
            calls.iter().position(|line| line.starts_with("openat(") && line.contains("\"env\"")).unwrap();
        let kind = |line: &str| line.split('(').next().unwrap().to_owned();
        for (at, line) in calls.iter().enumerate().skip(resolved + 1) {
            let nth = calls[..=at].iter().filter(|earlier| kind(earlier) == kind(line)).count();
            for whole_folder in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let name = |name: &str| folder.path().join(name);
                for inside in ["real", "trap"] {
                    fs::create_dir(name(inside)).unwrap();
                    fs::write(name(inside).join("env"), OLD).unwrap();
                }
                let before = fs::metadata(name("trap/env")).unwrap().ino();
                let swap = || {
                    if whole_folder {
                        fs::rename(name("real"), name("aside")).unwrap();
                        symlink("trap", name("real")).unwrap();
                    } else {
                        fs::remove_file(name("real/env")).unwrap();
                        symlink("../trap/env", name("real/env")).unwrap();
                    }
                };
                let outcome = interrupted(mode, &name("real/env"), &kind(line), nth, swap);
                let told = format!("{mode}, folder: {whole_folder}, at {line}: {}", outcome.unwrap().line);
                assert_eq!(fs::read(name("trap/env")).unwrap(), OLD, "{told}");
                assert_eq!(fs::metadata(name("trap/env")).unwrap().ino(), before, "{told}");
                assert_eq!(names(&name("trap")), ["env"], "{told}");
                assert_eq!(names(&name(if whole_folder { "aside" } else { "real" })), ["env"], "{told}");
                stops += 1;
            }
        }
    }
    assert!(stops > 60, "only {stops} places");
}

/// Runs a script in a mount namespace of its own, with the example as `$EXAMPLE`, in an empty folder.
fn namespaced(script: &str) -> Option<Outcome> {
    let folder = tempfile::tempdir().unwrap();
    let root = rustix::process::geteuid().is_root();
    let flags: &[&str] = if root { &["--mount"] } else { &["--mount", "--map-root-user"] };
    let mut probe = Command::new("unshare");
    let can = probe.args(flags).args(["mount", "-t", "tmpfs", "none"]).arg(folder.path());
    if !can.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(flags).args(["sh", "-euc", script]);
    run(command.env("EXAMPLE", example()).current_dir(folder.path()))
}

#[test]
fn a_full_or_read_only_file_system_is_found_by_the_trial_and_changes_nothing() {
    let cases = [
        (
            "full",
            "mount -t tmpfs -o size=32k none .; cd $PWD; printf 'KEY=old\n' > env; cat /dev/zero > fill 2>&- || :",
            "K0315 Retryable",
        ),
        (
            "read-only",
            "mount -t tmpfs none .; cd $PWD; printf 'KEY=old\n' > env; mount -o remount,ro $PWD",
            "K0315 Permanent",
        ),
        (
            "a mount of its own",
            "mount -t tmpfs none .; cd $PWD; printf 'KEY=old\n' > a; : > env; mount --bind a env",
            "K0316 Permanent",
        ),
    ];
    for (what, prepare, line) in cases {
        for mode in ["trial", "rename"] {
            let script = format!("{prepare}; $EXAMPLE {mode} $PWD/env || :; cat env; ls -A");
            let Some(outcome) = namespaced(&script) else {
                return left_out("mounts", "a mount namespace cannot be made");
            };
            let names = match what {
                "full" => "env\nfill",
                "a mount of its own" => "a\nenv",
                _ => "env",
            };
            assert_eq!(outcome.line, format!("{line}\nKEY=old\n{names}"), "{what}, {mode}: {}", outcome.said);
        }
    }
}

#[test]
fn a_file_that_is_a_mount_is_written_in_place() {
    let script = "mount -t tmpfs none .; cd $PWD; printf 'KEY=old\n' > a; : > env; mount --bind a env;
        $EXAMPLE in_place $PWD/env; cat a env; ls -A";
    match namespaced(script) {
        Some(outcome) => assert_eq!(outcome.line, "done\nKEY=new\nKEY=new\na\nenv", "{}", outcome.said),
        None => left_out("mounts", "a mount namespace cannot be made"),
    }
}

#[test]
fn a_user_without_rights_is_refused_before_anything_is_changed() {
    if !rustix::process::geteuid().is_root() {
        return left_out("another user", "not root");
    }
    let nobody = 65_534;
    // Mode of the folder, owner and mode of the file, and what the trial and the replacement say.
    let cases = [
        ("a folder of root's", 0o755, 0, 0o644, "K0315 Permanent"),
        ("a file of root's, whose owner cannot be kept", 0o777, 0, 0o644, "K0316 Permanent"),
        ("a sticky folder", 0o1777, 0, 0o644, "K0316 Permanent"),
        ("a file that cannot be read", 0o777, 0, 0o600, "K0310 Permanent"),
        ("a file of one's own", 0o777, nobody, 0o600, "done"),
    ];
    for (what, folder_mode, owner, mode, line) in cases {
        let (folder, path) = folder();
        let own = folder.path().join("replace");
        copy_program(&example(), &own);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(folder_mode)).unwrap();
        for step in ["trial", "rename"] {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&own);
            let Some(outcome) = run(command.arg(step).arg(&path)) else {
                return left_out("setpriv", "not installed");
            };
            assert_eq!(outcome.line, line, "{what}, {step}: {}", outcome.said);
            assert_eq!(names(folder.path()), ["env", "replace"], "{what}");
        }
        assert_eq!(fs::read(&path).unwrap(), if line == "done" { NEW } else { OLD }, "{what}");
    }
}
