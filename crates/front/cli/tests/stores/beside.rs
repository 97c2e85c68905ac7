//! What others do at a store on this host: an env file, or a program that keeps values in a way of its own.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::stores::kind::Kind;
use crate::stores::part::{KEY, NAME, OTHER_KEY, Words, value, value_in, write_env};

/// The value that was given out before somebody changed it.
pub const BEFORE: &str = "run/before.env";

pub fn play(kind: Kind, part: &str, words: &Words<'_>) {
    match part {
        "fetch" => write_env(words, &given_out(kind, words), &other(kind, words)),
        "create" if kind == Kind::File => write_file(Path::new(words["store"]), &value(words), "kept"),
        "create" => give_out(kind, words, &value(words)),
        "change" => replace(kind, words, &value(words)),
        "back" => replace(kind, words, &value_in(Path::new(BEFORE))),
        "labels" => fs::write(words["out"], json!({"current": version(kind, words)}).to_string()).unwrap(),
        _ => panic!("there is no part {part}"),
    }
}

/// Gives out another value, and keeps the one of before.
fn replace(kind: Kind, words: &Words<'_>, next: &str) {
    let before = given_out(kind, words);
    give_out(kind, words, next);
    write_file(Path::new(BEFORE), &before, "kept");
}

pub fn given_out(kind: Kind, words: &Words<'_>) -> String {
    if kind == Kind::File {
        return value_in(Path::new(words["store"]));
    }
    asked(words, json!({"verb": "read"}))["value"].as_str().unwrap().to_owned()
}

fn give_out(kind: Kind, words: &Words<'_>, next: &str) {
    if kind == Kind::File {
        write_file(Path::new(words["store"]), next, &other(kind, words));
        return;
    }
    let over = version(kind, words).as_u64().unwrap().to_string();
    let answer = asked(words, json!({"verb": "write", "over": over, "value": next, "id": "by hand"}));
    assert!(answer["error"].is_null(), "the store refused: {}", answer["error"]["reason"]);
}

/// The value beside the one of the scene; a program has none.
fn other(kind: Kind, words: &Words<'_>) -> String {
    if kind != Kind::File {
        return "kept".to_owned();
    }
    let text = fs::read_to_string(words["store"]).unwrap();
    let before = format!("{OTHER_KEY}=");
    text.lines().find_map(|line| line.strip_prefix(&before)).unwrap().to_owned()
}

/// The number of the version that the program gives out. A file has no numbers.
fn version(kind: Kind, words: &Words<'_>) -> Value {
    if kind == Kind::File {
        return Value::Null;
    }
    json!(asked(words, json!({"verb": "versions"}))["versions"].as_array().unwrap().len())
}

pub fn write_file(path: &Path, value: &str, other: &str) {
    let next = path.with_extension("next");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next).unwrap();
    write!(file, "# Of the ring\n{OTHER_KEY}={other}\n{KEY}={value}\n").unwrap();
    fs::rename(next, path).unwrap();
}

/// One request to the program, as keyroll sends it.
fn asked(words: &Words<'_>, mut request: Value) -> Value {
    request["protocol"] = json!(1);
    request["item"] = json!(NAME);
    let mut command = Command::new(words["store"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{request}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the store ended with {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
