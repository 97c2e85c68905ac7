//! What is done with access keys by others than keyroll: this test program, started once more, so that the test's own process
//! never holds a secret.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;
use zeroize::Zeroizing;

use crate::stores::exchange::exchange;
use crate::stores::signed::{Login, door, signed};

/// The variable that names the part: a word, then `key=value` words. None of them is a secret.
pub const PART: &str = "KEYROLL_TEST_IAM_PART";

/// The user whose keys are rotated.
pub const USER: &str = "mailer";

/// How long an instance waits between two calls.
const PAUSE: Duration = Duration::from_millis(40);

type Words<'a> = BTreeMap<&'a str, &'a str>;

/// Plays the part that the environment names, if it names one.
pub fn play() {
    let Ok(text) = std::env::var(PART) else { return };
    let mut words = text.split(' ');
    let part = words.next().unwrap_or_default();
    let words: Words<'_> = words.filter_map(|word| word.split_once('=')).collect();
    match part {
        "seed" => seed(&words),
        "make" => drop(door(words["store"], &json!({"act": "make", "user": USER})).unwrap()),
        "end" => drop(door(words["store"], &json!({"act": "end", "user": USER, "id": words["id"]})).unwrap()),
        "try" => assert!(works(words["store"], &login(Path::new(words["copy"])))),
        "pair" => pair(&words),
        "work" => work(&words),
        _ => panic!("there is no part {part}"),
    }
}

/// Makes the user and its first key, and writes the copies of the services.
fn seed(words: &Words<'_>) {
    door(words["store"], &json!({"act": "user", "user": USER})).unwrap();
    let made = door(words["store"], &json!({"act": "make", "user": USER})).unwrap();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let dir = Path::new(words["dir"]);
    let service = format!(
        "# The mailer\nMAIL_FROM=ops\nAWS_ACCESS_KEY_ID={id}\nAWS_SECRET_ACCESS_KEY={secret}\nPOOL=4\n"
    );
    let job = format!(
        "[default]\nregion = eu-west-1\n\n[mailer]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"
    );
    for (file, text) in [("app/service.env", service), ("job/credentials", job)] {
        let mut open = fs::OpenOptions::new();
        let mut file = open.write(true).create_new(true).mode(0o600).open(dir.join(file)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

/// The key in a copy: the lines that end with the name of each field.
fn login(copy: &Path) -> Login {
    let text = Zeroizing::new(fs::read_to_string(copy).unwrap());
    let of = |name: &str| {
        let mut named = text.lines().filter_map(|line| line.split_once('='));
        let (_, value) = named.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).unwrap();
        value.trim().to_owned()
    };
    Login { id: of("aws_access_key_id"), secret: of("aws_secret_access_key") }
}

/// Whether AWS takes the key.
fn works(store: &str, login: &Login) -> bool {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let request = signed(store, login, "sts", &headers, "Action=GetCallerIdentity&Version=2011-06-15");
    exchange(store, &request).is_ok_and(|(status, _)| status == 200)
}

/// Whether both fields of a copy are those of one key.
fn pair(words: &Words<'_>) {
    let login = login(Path::new(words["copy"]));
    let whose = door(words["store"], &json!({"act": "whose", "secret": login.secret})).unwrap();
    assert_eq!(whose["id"].as_str(), Some(login.id.as_str()), "the id and the secret are of two keys");
}

/// Calls with the key that its file had when it started, until it is ended or the test is gone.
fn work(words: &Words<'_>) {
    let (dir, name) = (Path::new(words["dir"]), words["name"]);
    let lifeline = format!("/proc/{}", words["lifeline"]);
    let login = login(Path::new(words["copy"]));
    while Path::new(&lifeline).exists() {
        if works(words["store"], &login) {
            replace(&dir.join(format!("run/{name}.key")), &login.id);
        } else {
            let mut log =
                fs::OpenOptions::new().create(true).append(true).open(dir.join("log/refused")).unwrap();
            writeln!(log, "{name} was refused").unwrap();
        }
        // Written only when the instance is ready: the restart command waits for this file.
        let pid_file = dir.join(format!("run/{name}.pid"));
        if !pid_file.exists() {
            replace(&pid_file, &std::process::id().to_string());
        }
        sleep(PAUSE);
    }
}

/// Whoever reads the file reads all of it.
fn replace(file: &Path, text: &str) {
    let beside = file.with_extension(format!("new-{}", std::process::id()));
    fs::write(&beside, format!("{text}\n")).unwrap();
    fs::rename(beside, file).unwrap();
}
