//! `redact` and `run`: what keyroll keeps, and what has the form of a credential, does not pass; everything else does, at once and
//! byte for byte.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod kept;

use std::fs;
use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_testkit::github_token;
use rustix::process::{Pid, Signal, kill_process};

use kept::{err, kept, out, run, start, value};

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
    assert!(err(&redacted).contains("replaced: acme ×2, github-classic-token ×1"), "{}", err(&redacted));
    let known = run(folder.path(), &["redact", "--known"], text.as_bytes());
    assert!(out(&known).contains(&token) && !out(&known).contains(&value));
    // Of files, each by itself.
    let (one, two) = value.split_at(24);
    for (name, text) in [("one", one), ("two", two)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let files = run(folder.path(), &["redact", "one", "two"], b"");
    assert_eq!(out(&files), value, "the end of one file is no beginning of another");
    let missing = run(folder.path(), &["redact", "none"], b"");
    assert!(missing.status.code() == Some(1) && err(&missing).contains("K0930"));
}

#[test]
fn without_a_store_credentials_are_replaced_and_known_values_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..=255_u8).cycle().take(300_000).collect();
    let redacted = run(folder.path(), &["redact"], &bytes);
    assert!(redacted.stdout == bytes, "bytes that are no text are changed");
    assert!(err(&redacted).contains("no store is here") && err(&redacted).contains("nothing was replaced"));
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

#[test]
fn a_program_runs_as_it_would_and_what_it_writes_is_shown_without_values() {
    let value = value();
    let folder = kept(&value);
    let script = format!("read line; echo \"got $line\"; echo out {value}; echo err {value} >&2; exit 7");
    let ran = run(folder.path(), &["run", "--", "sh", "-c", &script], b"input\n");
    assert_eq!(ran.status.code(), Some(7));
    assert_eq!(out(&ran), "got input\nout [redacted:acme]\n");
    assert!(
        err(&ran).contains("err [redacted:acme]\n") && err(&ran).contains("replaced: acme ×2"),
        "{}",
        err(&ran)
    );
    let killed = run(folder.path(), &["run", "--", "sh", "-c", "kill -9 $$"], b"");
    assert_eq!(killed.status.code(), Some(137));
    let none = run(folder.path(), &["run", "--", "no-such-program"], b"");
    assert!(none.status.code() == Some(1) && err(&none).contains("K0932"), "{}", err(&none));
}

/// A question stands there before it is answered, also where it ends as some value begins.
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
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(3), "last words\n"));
}
