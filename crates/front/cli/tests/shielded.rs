//! `redact` and `run`: known secrets and texts in the form of a credential do not pass; everything else passes at once
//! and unchanged.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_testkit::{copy_program, github_token};
use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::kept::{BINARY, err, kept, out, run, start, value};

#[test]
fn known_values_and_credentials_are_replaced_and_counted() {
    let (value, token) = (value(), github_token());
    let folder = kept(&value);
    let wrapped = STANDARD.encode(format!("user:{value}:x")).replace('A', "A\n  ");
    let text = format!("key={value}\ntoken: {token}\n{wrapped}\nplain\n");
    let redacted = run(folder.path(), &["redact"], text.as_bytes());
    assert!(redacted.status.success(), "{}", err(&redacted));
    let shown = out(&redacted);
    assert!(
        shown.starts_with("key=[redacted:acme]\ntoken: ghp_[redacted:github-classic-token]\n")
            || shown.starts_with("key=[redacted:acme]\ntoken: [redacted:github-classic-token]\n"),
        "{shown}"
    );
    assert!(shown.ends_with("\nplain\n") && shown.matches("[redacted:acme]").count() == 2, "{shown}");
    assert!(err(&redacted).contains("redacted: acme ×2, github-classic-token ×1"), "{}", err(&redacted));
    let known = run(folder.path(), &["redact", "--known"], text.as_bytes());
    assert!(out(&known).contains(&token) && !out(&known).contains(&value));
    let left = "not redacted: passwords without a form that are not in keyroll's store";
    assert!(err(&redacted).contains(left) && !err(&known).contains(left), "{}", err(&redacted));
    // Of files, each by itself.
    let (one, two) = value.split_at(24);
    for (name, text) in [("one", one), ("two", two)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let files = run(folder.path(), &["redact", "one", "two"], b"");
    assert_eq!(out(&files), value, "the end of one file is no beginning of another");
    let missing = run(folder.path(), &["redact", "none"], b"");
    assert!(missing.status.code() == Some(1) && err(&missing).contains("K0934"));
}

#[test]
fn without_a_store_credentials_are_replaced_and_known_values_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..=255_u8).cycle().take(300_000).collect();
    let redacted = run(folder.path(), &["redact"], &bytes);
    assert!(redacted.stdout == bytes, "bytes that are no text are changed");
    assert!(err(&redacted).contains("there is no store here") && err(&redacted).contains("redacted nothing"));
    let token = github_token();
    assert!(!out(&run(folder.path(), &["redact"], token.as_bytes())).contains(&token));
    let known = run(folder.path(), &["redact", "--known"], b"text");
    assert!(known.status.code() == Some(1) && known.stdout.is_empty() && err(&known).contains("K0931"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
}

#[test]
fn a_store_that_cannot_be_read_ends_it_before_anything_is_shown() {
    let folder = kept(&value());
    fs::remove_file(folder.path().join("s.keys/sealing.key")).unwrap();
    for arguments in [&["redact"][..], &["run", "--", "echo", "text"]] {
        let ended = run(folder.path(), arguments, b"text");
        assert!(!ended.status.success() && ended.stdout.is_empty(), "{}", out(&ended));
    }
}

/// A user without any rights to the folder.
const NOBODY: u32 = 65_534;

#[test]
fn a_state_folder_that_is_not_visible_is_no_missing_store() {
    let value = value();
    let folder = kept(&value);
    let binary = folder.path().join("keyroll");
    copy_program(Path::new(BINARY), &binary);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let refused = |state: &str, user: Option<u32>| {
        let commands: [&[&str]; 6] = [
            &["redact"],
            &["run", "--", "cat"],
            &["status"],
            &["history"],
            &["secret", "list"],
            &["leaks", "--stdin"],
        ];
        for arguments in commands {
            let mut command = Command::new(&binary);
            command.args(["--state", state]).args(arguments).current_dir(folder.path());
            if let Some(user) = user {
                command.uid(user).gid(user);
            }
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            // It may have ended before it reads.
            let _ = child.stdin.take().unwrap().write_all(value.as_bytes());
            let ran = child.wait_with_output().unwrap();
            assert!(err(&ran).contains("K0803"), "{arguments:?}: {}", err(&ran));
            assert!(!ran.status.success() && !out(&ran).contains(&value), "{arguments:?}");
        }
    };
    // Behind a file there is no folder.
    refused("s/secrets.db", None);
    if !rustix::process::geteuid().is_root() {
        return eprintln!("left out: only root can be another user");
    }
    refused("s", Some(NOBODY));
    // Nor is a file that is there usable.
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    chown(&own, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut doctor = Command::new(&binary);
    doctor.args(["--json", "--state", "own/s", "doctor"]).current_dir(folder.path()).uid(NOBODY).gid(NOBODY);
    let doctor = doctor.output().unwrap();
    assert!(out(&doctor).contains("admin.key: Permission denied"), "{} {}", out(&doctor), err(&doctor));
}

#[test]
fn a_program_runs_as_it_would_and_what_it_writes_is_shown_without_values() {
    let value = value();
    let folder = kept(&value);
    let script = format!("read line; echo \"got $line\"; echo out {value}; echo err {value} >&2; exit 7");
    let ran = run(folder.path(), &["run", "--", "sh", "-c", &script], b"input\n");
    assert_eq!(ran.status.code(), Some(7));
    assert_eq!(out(&ran), "got input\nout [redacted:acme]\n");
    assert!(
        err(&ran).contains("err [redacted:acme]\n") && err(&ran).contains("redacted: acme ×2"),
        "{}",
        err(&ran)
    );
}

/// As in shells; not the 1 of keyroll's own failures.
#[test]
fn the_exit_code_says_whether_the_program_was_found_could_be_executed_or_was_killed() {
    let folder = kept(&value());
    fs::write(folder.path().join("plain"), "text").unwrap();
    for (words, code, says) in [
        (&["no-such-program"][..], 127, "no-such-program: No such file"),
        (&["./no/such/program"], 127, "K0404"),
        (&["./plain"], 126, "./plain: Permission denied"),
        (&["/"], 126, "K0404"),
        (&["sh", "-c", "kill -TERM $$"], 143, ""),
        (&["sh", "-c", "kill -KILL $$"], 137, ""),
        (&["sh", "-c", "exit 127"], 127, ""),
    ] {
        let ended = run(folder.path(), &[&["run", "--"][..], words].concat(), b"");
        assert_eq!(ended.status.code(), Some(code), "{words:?}: {}", err(&ended));
        assert!(err(&ended).contains(says), "{words:?}: {}", err(&ended));
    }
    let told = run(folder.path(), &["--json", "run", "--", "no-such-program"], b"");
    assert!(told.status.code() == Some(127) && out(&told).contains(r#""K0404""#), "{}", out(&told));
}

/// Whatever it does with signals.
#[test]
fn the_program_ends_when_keyroll_is_killed() {
    let folder = kept(&value());
    let script = "trap '' TERM HUP INT; echo $$; exec sleep 60";
    let mut child = start(folder.path(), &["run", "--", "sh", "-c", script]);
    let program = line(&mut BufReader::new(child.stdout.take().unwrap()));
    child.kill().unwrap();
    child.wait().unwrap();
    has_ended(&program);
}

/// A prompt is shown before it is answered, even if it ends with the start of some value.
#[test]
fn a_prompt_is_shown_at_once() {
    let value = value();
    let folder = kept(&value);
    let script = format!("printf 'name {}'; read line; echo \"hello $line\"", &value[..5]);
    let mut child = start(folder.path(), &["run", "--", "sh", "-c", &script]);
    let mut prompt = [0; 10];
    child.stdout.as_mut().unwrap().read_exact(&mut prompt).unwrap();
    assert_eq!(&prompt[..5], b"name ");
    child.stdin.take().unwrap().write_all(b"x\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(out(&output), "hello x\n");
}

#[test]
fn what_ends_keyroll_ends_the_program_and_its_last_words_are_shown() {
    let folder = kept(&value());
    let script = "trap 'echo last words; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = start(folder.path(), &["run", "--", "sh", "-c", script]);
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");
    kill_process(pid(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(3), "last words\n"));
}

/// Another secret is kept from now on.
fn add(folder: &Path, name: &str, value: &str) {
    let config = folder.join("keyroll.toml");
    let text = fs::read_to_string(&config).unwrap();
    let more =
        text.split_once("[secrets.acme]").unwrap().1.replace("secrets.acme", &format!("secrets.{name}"));
    let more = more.replace("job", name);
    fs::write(&config, format!("{text}[secrets.{name}]{more}")).unwrap();
    let added = run(folder, &["secret", "add", name, "--id", name, "--anyway"], value.as_bytes());
    assert!(added.status.success(), "{}", err(&added));
}

fn touch(file: &Path) {
    File::options().write(true).open(file).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}

/// A rotation puts a second value into the store while what uses it runs.
#[test]
fn a_value_that_is_added_while_a_stream_is_copied_is_replaced() {
    let old = value();
    for arguments in [&["redact"][..], &["run", "--", "cat"], &["run", "--", "sh", "-c", "cat >&2"]] {
        let folder = kept(&old);
        let mut child = start(folder.path(), arguments);
        let mut input = child.stdin.take().unwrap();
        let mut output: Box<dyn BufRead> = match arguments.last() {
            Some(&"cat >&2") => Box::new(BufReader::new(child.stderr.take().unwrap())),
            _ => Box::new(BufReader::new(child.stdout.take().unwrap())),
        };
        let new = value();
        writeln!(input, "old {old} new {new} end").unwrap();
        assert!(line(&mut output).starts_with("old [redacted:acme] new "));
        add(folder.path(), "fresh", &new);
        for _ in 0..3 {
            writeln!(input, "old {old} new {new} end").unwrap();
            assert_eq!(line(&mut output), "old [redacted:acme] new [redacted:fresh] end\n");
        }
        // If the store cannot be read any more, the known values stay in use, and the problem is reported once.
        fs::remove_file(folder.path().join("s.keys/sealing.key")).unwrap();
        touch(&folder.path().join("s/secrets.db"));
        for _ in 0..3 {
            writeln!(input, "old {old} new {new} end").unwrap();
            let mut shown = line(&mut output);
            if shown.contains("can no longer be read") {
                shown = line(&mut output);
            }
            assert_eq!(shown, "old [redacted:acme] new [redacted:fresh] end\n");
        }
        drop(input);
        let rest = std::io::read_to_string(output).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(1));
        let told = if arguments.contains(&"cat >&2") { rest } else { err(&ended) };
        assert!(told.matches("can no longer be read").count() <= 1, "{told}");
        assert!(arguments.contains(&"cat >&2") || told.contains("can no longer be read"), "{told}");
        assert!(told.contains("error[K0931]: could not reload the secrets from the store"), "{told}");
    }
}

/// Values that the store no longer has may be shown.
#[test]
fn what_was_known_once_is_looked_for_until_the_end() {
    let (old, new) = (value(), value());
    let (folder, other) = (kept(&old), kept(&new));
    let mut child = start(folder.path(), &["redact"]);
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    writeln!(input, "old {old} end").unwrap();
    assert_eq!(line(&mut output), "old [redacted:acme] end\n");
    for name in ["s.keys", "s"] {
        fs::rename(folder.path().join(name), folder.path().join(format!("old.{name}"))).unwrap();
        fs::rename(other.path().join(name), folder.path().join(name)).unwrap();
    }
    writeln!(input, "old {old} new {new} end").unwrap();
    assert_eq!(line(&mut output), "old [redacted:acme] new [redacted:acme] end\n");
    drop(input);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

/// With --json the note is not part of the text; it is the last line.
#[test]
fn a_store_that_cannot_be_read_any_more_is_told_with_json_too() {
    let old = value();
    for (arguments, code, failed) in [
        (&["--json", "redact"][..], 0, 1),
        (&["--json", "run", "--", "cat"], 0, 1),
        (&["--json", "run", "--", "sh", "-c", "cat; exit 7"], 7, 7),
    ] {
        let folder = kept(&old);
        let key = folder.path().join("s.keys/sealing.key");
        // Whether it can be read again in the end, and whether a value was added meanwhile.
        for (again, added, told) in [(false, false, true), (true, false, false), (true, true, true)] {
            let mut child = start(folder.path(), arguments);
            let mut input = child.stdin.take().unwrap();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            writeln!(input, "first").unwrap();
            assert_eq!(line(&mut output), "first\n");
            if added {
                add(folder.path(), "fresh", &value());
            }
            let aside = folder.path().join("aside");
            fs::rename(&key, &aside).unwrap();
            touch(&folder.path().join("s/secrets.db"));
            writeln!(input, "{old} end").unwrap();
            assert_eq!(line(&mut output), "[redacted:acme] end\n");
            if again {
                fs::rename(&aside, &key).unwrap();
            }
            drop(input);
            let rest = std::io::read_to_string(output).unwrap();
            let ended = child.wait_with_output().unwrap();
            if !again {
                fs::rename(&aside, &key).unwrap();
            }
            assert_eq!(rest.contains("K0931"), told, "{rest}");
            assert_eq!(ended.status.code(), Some(if told { failed } else { code }), "{}", err(&ended));
        }
    }
}

#[test]
fn values_that_are_too_short_are_told_by_the_name_of_their_secret() {
    let folder = kept(&value());
    add(folder.path(), "pin", "9f8-3a7");
    for arguments in [&["redact"][..], &["run", "--", "echo", "9f8-3a7"]] {
        let shown = run(folder.path(), arguments, b"9f8-3a7\n");
        assert_eq!(out(&shown), "9f8-3a7\n");
        assert!(err(&shown).contains("1 value of pin cannot be redacted"), "{}", err(&shown));
        assert!(!err(&shown).contains("9f8-3a7"));
    }
}

/// The program, with redirected output, in its own process group: it gets no signals from a terminal.
fn start_to(folder: &Path, script: &str, output: Stdio) -> Child {
    let mut command = begun(folder, &["run", "--", "sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).spawn().unwrap()
}

fn begun(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/env");
    // The caller of the tests may ignore some signals, as a shell does for background jobs.
    command.args(["--default-signal", BINARY, "--state", "s"]).args(arguments);
    command.current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin").process_group(0);
    command
}

#[test]
fn an_output_that_takes_nothing_for_now_loses_nothing() {
    let folder = kept(&value());
    let (mut reader, writer) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    let child = start_to(folder.path(), "seq 100000; exit 3", writer.into());
    until(|| ioctl_fionread(&reader).unwrap() >= 60_000);
    let mut shown = String::new();
    reader.read_to_string(&mut shown).unwrap();
    let wanted: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(shown == wanted, "{} of {} bytes", shown.len(), wanted.len());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(3));
}

#[test]
fn what_cannot_be_written_is_told_and_is_no_success() {
    let folder = kept(&value());
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for (script, code) in [("echo text", 1), ("echo text; exit 7", 7)] {
        let ended = start_to(folder.path(), script, full()).wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{}", err(&ended));
        assert!(err(&ended).contains("K0886"), "{}", err(&ended));
    }
    // A reader that closed the pipe needs no more.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended =
        start_to(folder.path(), "trap '' PIPE; echo text; exit 0", writer.into()).wait_with_output().unwrap();
    assert!(ended.status.code() == Some(0) && !err(&ended).contains("K0886"), "{}", err(&ended));
}

#[test]
fn whatever_keyroll_is_told_the_program_is_told_each_time() {
    let folder = kept(&value());
    let script = "for one in INT QUIT USR1 USR2 HUP WINCH; do trap \"echo $one\" $one; done; count=0; \
                  trap 'echo TERM; count=$((count+1)); [ $count = 2 ] && exit 5' TERM; echo ready; n=0; \
                  while [ $n -lt 1500 ]; do n=$((n+1)); sleep 0.02; done";
    let mut child = start_to(folder.path(), script, Stdio::piped());
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(line(&mut output), "ready\n");
    for (signal, shown) in [
        (Signal::INT, "INT\n"),
        (Signal::QUIT, "QUIT\n"),
        (Signal::USR1, "USR1\n"),
        (Signal::USR2, "USR2\n"),
        (Signal::HUP, "HUP\n"),
        (Signal::WINCH, "WINCH\n"),
        (Signal::TERM, "TERM\n"),
        (Signal::TERM, "TERM\n"),
    ] {
        kill_process(pid(&child), signal).unwrap();
        assert_eq!(line(&mut output), shown);
    }
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

/// Starts keyroll with these signals ignored. A shell could not do this, because it does not ignore SIGCHLD.
fn start_ignoring(folder: &Path, ignored: &str, script: &str) -> Child {
    let mut command = Command::new("/usr/bin/env");
    command.arg(format!("--ignore-signal={ignored}"));
    command.args([BINARY, "--state", "s", "run", "--", "sh", "-c", script]);
    command.current_dir(folder).process_group(0).env_clear().env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// As nohup ignores HUP, and a shell INT and QUIT of what runs behind.
#[test]
fn what_is_ignored_stays_ignored() {
    let folder = kept(&value());
    let script = "grep SigIgn /proc/self/status; read line; echo \"$line\"";
    let mut child = start_ignoring(folder.path(), "HUP,INT,QUIT", script);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let ignored = line(&mut output);
    let ignored = u64::from_str_radix(ignored.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    assert_eq!(ignored & 0b111, 0b111, "{ignored:b}");
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT] {
        kill_process(pid(&child), signal).unwrap();
    }
    child.stdin.take().unwrap().write_all(b"goes on\n").unwrap();
    assert_eq!(line(&mut output), "goes on\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn how_the_program_ended_is_known_where_ends_of_children_are_ignored() {
    let value = value();
    let folder = kept(&value);
    let child = start_ignoring(folder.path(), "CHLD", &format!("echo {value}; exit 3"));
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), out(&ended).as_str()), (Some(3), "[redacted:acme]\n"));
    assert!(err(&ended).contains("redacted: acme ×1"), "{}", err(&ended));
}

/// A process that it left behind holds its output open.
#[test]
fn once_the_program_has_ended_keyroll_can_be_ended() {
    let value = value();
    let folder = kept(&value);
    let script = format!("sleep 60 & echo $$; echo $!; printf '{}'; exit 3", &value[..20]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let mut child = start_to(folder.path(), &script, Stdio::piped());
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let program = line(&mut output);
        let sleeps = Pid::from_raw(line(&mut output).trim().parse().unwrap()).unwrap();
        until_it_has_ended(&program);
        let ended = told_until_it_ends(&mut child, signal);
        kill_process(sleeps, Signal::KILL).unwrap();
        assert_eq!(ended, Some(3), "{signal:?}");
        // Its last output is shown completely: it turned out to be no value.
        assert_eq!(std::io::read_to_string(output).unwrap(), value[..20]);
    }
}

fn until(so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// keyroll forwards signals to the program until the program has ended.
fn until_it_has_ended(program: &str) {
    until(|| is_over(program));
}

/// Whether a process has ended, also if it was not reaped yet.
fn is_over(program: &str) -> bool {
    let stat = format!("/proc/{}/stat", program.trim());
    fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
}

pub(crate) fn has_ended(program: &str) {
    until_it_has_ended(program);
    assert!(is_over(program), "process {program} goes on");
}

/// How it ended, when it got this signal again and again.
fn told_until_it_ends(child: &mut Child, signal: Signal) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Some(ended) = child.try_wait().unwrap() {
            return ended.code();
        }
        kill_process(pid(child), signal).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    None
}

/// What `seq 20000` writes: more than a pipe holds, and less than the program's pipe and keyroll's output hold together.
fn numbers() -> String {
    (1..=20_000).map(|number| format!("{number}\n")).collect()
}

/// As a pager that was stopped.
#[test]
fn a_reader_who_takes_nothing_cannot_hold_keyroll() {
    let folder = kept(&value());
    for (end, signal, code) in [("exit 3", Signal::TERM, 3), ("exit 0", Signal::INT, 1)] {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut child = start_to(folder.path(), &format!("echo $$ >&2; seq 20000; {end}"), writer.into());
        let mut told = BufReader::new(child.stderr.take().unwrap());
        until_it_has_ended(&line(&mut told));
        assert_eq!(told_until_it_ends(&mut child, signal), Some(code));
        let shown = std::io::read_to_string(reader).unwrap();
        assert!(shown.len() < numbers().len() && numbers().starts_with(&shown));
        let told = std::io::read_to_string(told).unwrap();
        let lost = told.split_once("at least ").unwrap().1.split(' ').next().unwrap();
        let lost: usize = lost.parse().unwrap();
        // Except the number at the end of the last piece, which may continue.
        let all = numbers().len();
        assert!((all - 8..=all).contains(&(shown.len() + lost)), "{} and {lost} of {all}", shown.len());
        assert!(told.contains("error[K0886]: could not write the program's complete output"), "{told}");
        assert!(!told.contains("20000"), "{told}");
    }
    // Signals while the program runs go to the program.
    let (reader, writer) = std::io::pipe().unwrap();
    let script = "trap 'exit 4' TERM; seq 20000; n=0; while [ $n -lt 1500 ]; do n=$((n+1)); sleep 0.02; done";
    let mut child = start_to(folder.path(), script, writer.into());
    until(|| ioctl_fionread(&reader).unwrap() >= 60_000);
    assert_eq!(told_until_it_ends(&mut child, Signal::TERM), Some(4));
    drop(reader);
    // The message may go to a pipe that nobody reads.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = begun(folder.path(), &["run", "--", "sh", "-c", "echo $$; seq 20000 >&2; exit 3"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(writer).spawn().unwrap();
    until_it_has_ended(&line(&mut BufReader::new(child.stdout.take().unwrap())));
    assert_eq!(told_until_it_ends(&mut child, Signal::TERM), Some(3));
    drop(reader);
}

#[test]
fn a_slow_reader_is_given_all_though_keyroll_was_told_to_end() {
    let folder = kept(&value());
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = start_to(folder.path(), "echo $$ >&2; seq 20000; exit 3", writer.into());
    let mut told = BufReader::new(child.stderr.take().unwrap());
    until_it_has_ended(&line(&mut told));
    // Late enough for it to be heard; the text is the same if it is not.
    std::thread::sleep(Duration::from_millis(500));
    kill_process(pid(&child), Signal::TERM).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(child.try_wait().unwrap(), None);
    assert!(std::io::read_to_string(reader).unwrap() == numbers());
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let told = std::io::read_to_string(told).unwrap();
    assert!(!told.contains("K0886"), "{told}");
}

/// As any program that writes.
#[test]
fn redact_is_ended_while_nobody_takes_what_it_writes() {
    let folder = kept(&value());
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut child = begun(folder.path(), &["redact", "/dev/zero"]);
        let mut child = child.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null()).spawn().unwrap();
        until(|| ioctl_fionread(&reader).unwrap() >= 60_000);
        kill_process(pid(&child), signal).unwrap();
        until(|| fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap().contains(") Z "));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(signal.as_raw()));
    }
}

/// A terminal signals both in its foreground. The program of this test is in its own session, so it gets signals only
/// from keyroll.
#[test]
fn what_a_process_sends_is_told_further_in_a_terminals_foreground_and_what_the_terminal_sends_is_not() {
    let folder = kept(&value());
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let mut terminal = File::from(terminal);
    let script = "for one in INT QUIT WINCH USR1; do trap \"echo $one\" $one; done; echo ready; n=0; \
                  while [ $n -lt 1500 ]; do n=$((n+1)); sleep 0.02; done";
    let mut command = Command::new("setsid");
    command.args(["--ctty", "env", "--default-signal", BINARY, "--state", "s", "run", "--"]);
    command.args(["setsid", "sh", "-c", script]).current_dir(folder.path());
    command.env_clear().env("PATH", "/usr/bin:/bin").stdout(Stdio::piped()).stderr(Stdio::null());
    let slave = rustix::fs::open(
        &*name,
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY,
        rustix::fs::Mode::empty(),
    );
    let mut child = command.stdin(Stdio::from(slave.unwrap())).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(line(&mut output), "ready\n");
    for (signal, shown) in [(Signal::INT, "INT\n"), (Signal::QUIT, "QUIT\n"), (Signal::WINCH, "WINCH\n")] {
        kill_process(pid(&child), signal).unwrap();
        assert_eq!(line(&mut output), shown);
    }
    terminal.write_all(b"\x03").unwrap();
    // Shown once it was sent.
    let mut echo = Vec::new();
    while !echo.ends_with(b"^C") {
        let mut byte = [0];
        terminal.read_exact(&mut byte).unwrap();
        echo.extend(byte);
    }
    kill_process(pid(&child), Signal::USR1).unwrap();
    assert_eq!(line(&mut output), "USR1\n");
    kill_process(pid(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
