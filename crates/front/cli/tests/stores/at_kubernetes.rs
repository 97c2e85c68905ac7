//! What others do at a Secret of Kubernetes, by kubectl; and what a program reads there again and again, by `kubectl proxy`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::stores::beside::{BEFORE, write_file};
use crate::stores::exchange::exchange;
use crate::stores::part::{OTHER_KEY, Words, value, value_in};

const PATH: &str = "/api/v1/namespaces/shop/secrets/acme";

/// The key of the scenes in the Secret's `data`.
const KEY: &str = "key";

pub fn play(part: &str, words: &Words<'_>) {
    match part {
        "create" => {
            let mut object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "acme" } });
            object["stringData"][OTHER_KEY] = json!("kept");
            object["stringData"][KEY] = json!(value(words));
            kubectl(words, &["create", "-f", "-"], &object.to_string());
        }
        "change" => replace(words, &value(words)),
        "back" => replace(words, &value_in(Path::new(BEFORE))),
        "change-other" => put(words, OTHER_KEY, "changed"),
        "delete" => {
            keep(&object(words));
            kubectl(words, &["delete", "secret", "acme", "--wait=false"], "");
        }
        _ => panic!("there is no part {part}"),
    }
}

/// The value that is given out.
pub fn given_out(words: &Words<'_>) -> String {
    let host = words["store"];
    let (status, object) = exchange(host, &format!("GET {PATH} HTTP/1.0\r\nHost: {host}\r\n\r\n")).unwrap();
    assert_eq!(status, 200, "the Secret cannot be read");
    text(&object)
}

/// Gives out another value, and keeps the one of before.
fn replace(words: &Words<'_>, next: &str) {
    let before = object(words);
    put(words, KEY, next);
    keep(&before);
}

fn keep(object: &Value) {
    write_file(Path::new(BEFORE), &text(object), "kept");
}

/// Writes the whole object with another value of one key, as `kubectl edit` does.
fn put(words: &Words<'_>, key: &str, next: &str) {
    let mut object = object(words);
    object["data"][key] = json!(STANDARD.encode(next));
    kubectl(words, &["replace", "-f", "-"], &object.to_string());
}

fn object(words: &Words<'_>) -> Value {
    serde_json::from_str(&kubectl(words, &["get", "secret", "acme", "-o", "json"], "")).unwrap()
}

fn text(object: &Value) -> String {
    String::from_utf8(STANDARD.decode(object["data"][KEY].as_str().unwrap()).unwrap()).unwrap()
}

/// What kubectl says, with the login of the named file. Values are in its input alone.
fn kubectl(words: &Words<'_>, of: &[&str], input: &str) -> String {
    let mut command = Command::new("./kubectl");
    command.args(["--kubeconfig", words["login"], "--namespace", "shop"]).args(of);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "kubectl {} ended with {}", of[0], output.status);
    String::from_utf8(output.stdout).unwrap()
}
