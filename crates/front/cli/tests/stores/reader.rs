//! Programs that read the store themselves: once, when they start, or again and again.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::hostile::worker::{call, log, says_ready};
use crate::stores::kind::Kind;
use crate::stores::part::{KEY, Words};
use crate::stores::{at_aws, at_kubernetes, at_vault, beside};

/// After so many calls a program that reads again and again reads again.
const CALLS_PER_READ: usize = 10;

/// Calls with the value that the store gives out, until it is ended or the test is gone. What it has read stays in its memory,
/// as in that of a program that never clears anything.
pub fn read(kind: Kind, words: &Words<'_>) {
    let lifeline = format!("/proc/{}", words["lifeline"]);
    let pause = Duration::from_millis(words["pause_ms"].parse().unwrap());
    let mut values = vec![given_out(kind, words)];
    let (mut stream, mut calls, mut known) = (None, 0, false);
    while Path::new(&lifeline).exists() {
        calls += 1;
        if words.contains_key("again") && calls % CALLS_PER_READ == 0 {
            let now = given_out(kind, words);
            if values.last() != Some(&now) {
                values.push(now);
                stream = None;
            }
        }
        let status = call(&mut stream, values.last().unwrap(), words);
        if status != Some(200) {
            log(words["refused"], &format!("{} was refused", words["name"]));
        }
        if status == Some(200) && !known {
            known = true;
            log(words["logins"], &format!("{} logged in", words["name"]));
            says_ready(words["pid_file"]);
        }
        sleep(pause);
    }
}

fn given_out(kind: Kind, words: &Words<'_>) -> String {
    let document = match kind {
        Kind::Aws => at_aws::document(words, words["stage"]),
        Kind::Vault => at_vault::document(words, words["stage"]),
        Kind::Kubernetes => return at_kubernetes::given_out(words),
        Kind::File | Kind::Program => return beside::given_out(kind, words),
    };
    document[KEY].as_str().unwrap().to_owned()
}
