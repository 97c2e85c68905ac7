//! What others do at AWS Secrets Manager.

use std::fs;

use keyroll_testkit::alphanumeric;
use serde_json::{Value, json};

use crate::stores::part::{KEY, NAME, OTHER_KEY, Words, value, write_env};
use crate::stores::signed::{Login, call, door};

pub fn play(part: &str, words: &Words<'_>) {
    match part {
        "fetch" => fetch(words),
        "create" => create(words),
        "change" => put(words, KEY, "AWSCURRENT"),
        "pend" => put(words, KEY, "AWSPENDING"),
        "change-other" => put(words, OTHER_KEY, "AWSCURRENT"),
        "back" => back(words),
        "unpend" => {
            let from = holder(words, "AWSPENDING").unwrap();
            asked(
                words,
                "UpdateSecretVersionStage",
                json!({"VersionStage": "AWSPENDING", "RemoveFromVersionId": from}),
            );
        }
        "labels" => fs::write(words["out"], labels(words).to_string()).unwrap(),
        "delete" => drop(door(words["store"], &json!({"act": "delete", "id": NAME})).unwrap()),
        _ => panic!("there is no part {part}"),
    }
}

/// One call with the login of the named file.
fn asked(words: &Words<'_>, action: &str, mut body: Value) -> Value {
    let file = fs::read_to_string(words["login"]).unwrap();
    let mut login = file.split_whitespace().map(str::to_owned);
    let login = Login { id: login.next().unwrap(), secret: login.next().unwrap() };
    body["SecretId"] = json!(NAME);
    call(words["store"], &login, action, &body).unwrap()
}

/// The document at a label.
pub fn document(words: &Words<'_>, stage: &str) -> Value {
    let given = asked(words, "GetSecretValue", json!({"VersionStage": stage}));
    serde_json::from_str(given["SecretString"].as_str().unwrap()).unwrap()
}

/// Writes an env file with what is given out at a label.
fn fetch(words: &Words<'_>) {
    let document = document(words, words["stage"]);
    write_env(words, document[KEY].as_str().unwrap(), document[OTHER_KEY].as_str().unwrap());
}

/// Makes the secret with the value of an env file.
fn create(words: &Words<'_>) {
    let mut document = json!({});
    document[OTHER_KEY] = json!("kept");
    document[KEY] = json!(value(words));
    let text = serde_json::to_string_pretty(&document).unwrap();
    door(words["store"], &json!({"act": "create", "id": NAME, "text": text})).unwrap();
}

/// Writes a version with another value of one key.
fn put(words: &Words<'_>, key: &str, stage: &str) {
    let mut document = document(words, "AWSCURRENT");
    document[key] = if key == KEY { json!(value(words)) } else { json!("changed") };
    let (token, text) = (alphanumeric(32), serde_json::to_string_pretty(&document).unwrap());
    asked(
        words,
        "PutSecretValue",
        json!({"ClientRequestToken": token, "SecretString": text, "VersionStages": [stage]}),
    );
}

/// Gives the previous version out again.
fn back(words: &Words<'_>) {
    let (from, to) = (holder(words, "AWSCURRENT").unwrap(), holder(words, "AWSPREVIOUS").unwrap());
    asked(
        words,
        "UpdateSecretVersionStage",
        json!({"VersionStage": "AWSCURRENT", "RemoveFromVersionId": from, "MoveToVersionId": to}),
    );
}

/// The version id of each label.
fn labels(words: &Words<'_>) -> Value {
    let listed = asked(words, "ListSecretVersionIds", json!({}));
    let mut all = json!({});
    for version in listed["Versions"].as_array().unwrap() {
        for label in version["VersionStages"].as_array().into_iter().flatten() {
            all[label.as_str().unwrap()] = version["VersionId"].clone();
        }
    }
    all
}

fn holder(words: &Words<'_>, label: &str) -> Option<String> {
    labels(words)[label].as_str().map(str::to_owned)
}
