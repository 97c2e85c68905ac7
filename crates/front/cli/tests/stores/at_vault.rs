//! What others do at Vault or OpenBao, by the API of KV version 2:
//! <https://github.com/openbao/openbao/blob/main/website/content/api-docs/secret/kv/kv-v2.mdx>.

use std::fs;

use serde_json::{Value, json};

use crate::stores::exchange::exchange;
use crate::stores::part::{KEY, OTHER_KEY, Words, value, write_env};

const DATA: &str = "/v1/kv/data/prod/ring";
const METADATA: &str = "/v1/kv/metadata/prod/ring";
const UNDELETE: &str = "/v1/kv/undelete/prod/ring";

pub fn play(part: &str, words: &Words<'_>) {
    match part {
        "fetch" => {
            let document = document(words, words["stage"]);
            write_env(words, document[KEY].as_str().unwrap(), document[OTHER_KEY].as_str().unwrap());
        }
        "create" => {
            let mut document = json!({});
            document[OTHER_KEY] = json!("kept");
            document[KEY] = json!(value(words));
            written(words, 0, &document);
        }
        "change" => changed(words, KEY),
        "change-other" => changed(words, OTHER_KEY),
        // As `vault kv rollback` does it: the data of the previous version become a new one.
        "back" => {
            let now = current(words);
            written(words, now, &document(words, &(now - 1).to_string()));
        }
        "delete" => drop(asked(words, "DELETE", DATA, &Value::Null)),
        "undelete" => drop(asked(words, "POST", UNDELETE, &json!({"versions": [current(words)]}))),
        "labels" => fs::write(words["out"], json!({"current": current(words)}).to_string()).unwrap(),
        _ => panic!("there is no part {part}"),
    }
}

/// Writes a version with another value of one key.
fn changed(words: &Words<'_>, key: &str) {
    let mut document = document(words, "current");
    document[key] = if key == KEY { json!(value(words)) } else { json!("changed") };
    written(words, current(words), &document);
}

/// Writes a version over this one.
fn written(words: &Words<'_>, over: u64, document: &Value) {
    asked(words, "POST", DATA, &json!({"options": {"cas": over}, "data": document}));
}

/// The document of a version, or the one that is given out.
pub fn document(words: &Words<'_>, version: &str) -> Value {
    let path = if version == "current" { DATA.to_owned() } else { format!("{DATA}?version={version}") };
    asked(words, "GET", &path, &Value::Null)["data"]["data"].take()
}

/// The number of the last version, also where it is deleted.
fn current(words: &Words<'_>) -> u64 {
    let told = asked(words, "GET", METADATA, &Value::Null);
    told["data"]["current_version"].as_u64().unwrap()
}

/// One request with the token of the named file. What a refusal says is not shown: only its status is.
fn asked(words: &Words<'_>, method: &str, path: &str, body: &Value) -> Value {
    let (host, login) = (words["store"], fs::read_to_string(words["login"]).unwrap());
    let token = login.split_whitespace().next_back().unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Vault-Token: {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let (status, answer) = exchange(host, &request).unwrap();
    assert!((200..300).contains(&status), "{method} {path}: status {status}");
    answer
}
