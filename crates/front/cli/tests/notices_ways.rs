//! `keyroll notice test` to real receivers and to broken ones: what is sent, that it is signed and encrypted, and that no
//! address, login or secret is in what keyroll says.

mod mails;
pub mod receivers;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keyroll_testkit::TempDir;
use serde_json::Value;

use crate::hostile::ran::Ran;
use crate::hostile::scene::put;
use receivers::{Receiver, status};

/// In the path of each address; it must be in no output.
const CANARY: &str = "T0kenInThePath";
/// In each answer of a receiver; it must be in no output.
const ANSWER: &str = "WordsOfTheReceiver";

/// A folder with a keyroll.toml whose server has recipients, and no secrets.
struct House {
    home: TempDir,
    /// The root certificates that keyroll trusts.
    roots: Option<&'static str>,
}

impl House {
    fn new(tables: &str) -> Self {
        let house = Self { home: TempDir::new().unwrap(), roots: None };
        let config = format!(
            "version = 1\n[server]\nlisten = \"127.0.0.1:0\"\n[server.emergency]\n\
             admin_token = \"file:./admin-token\"\n{tables}"
        );
        house.put("keyroll.toml", &config);
        house
    }

    /// Writes a file anew, for its owner alone.
    fn put(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        let _ = fs::remove_file(&path);
        put(&path, &[text], 0o600);
    }

    fn test(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
        command.args(["notice", "test"]).args(words).args(["--state", "state", "--no-input", "--json"]);
        command.current_dir(self.home.path()).env_clear().env("HOME", self.home.path());
        if let Some(roots) = self.roots {
            command.env("SSL_CERT_FILE", self.home.path().join(roots));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = Ran::run(&mut command);
        for word in [CANARY, ANSWER, mails::PASSWORD] {
            assert!(!ran.text.contains(word), "{word} is said: {}", ran.text);
        }
        ran
    }
}

/// What the recipient answered: whether it took the test, and the words.
#[track_caller]
fn answered(ran: &Ran, name: &str) -> (bool, String) {
    let found = ran.of("check").into_iter().find(|check| check["name"] == name);
    let check = found.unwrap_or_else(|| panic!("nothing of {name}: {}", ran.text));
    (check["finding"] == "good", check["detail"].as_str().unwrap().to_owned())
}

#[track_caller]
fn refuses(ran: &Ran, name: &str, words: &[&str]) {
    let (taken, said) = answered(ran, name);
    assert!(!taken, "{name} took it: {said}");
    for word in words {
        assert!(said.contains(word), "{name}: '{word}' is not in: {said}");
    }
}

fn hook(name: &str) -> String {
    format!("[server.notices.{name}]\nwebhook = \"file:./{name}.url\"\n")
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/{CANARY}?a=b\n")
}

#[test]
fn a_webhook_is_signed_and_has_the_documented_form() {
    let key = b"a secret of the receiver";
    let receiver = Receiver::start(|stream| status(stream, 204));
    let tables = format!("{}secret = \"file:./oncall.secret\"\n{}", hook("oncall"), hook("plain"));
    let house = House::new(&tables);
    let whsec = BASE64_STANDARD.encode(key);
    house.put("oncall.secret", &format!("whsec_{whsec}\n"));
    house.put("oncall.url", &url(receiver.port));
    house.put("plain.url", &url(receiver.port));
    let ran = house.test(&[]);
    ran.exits(0);
    assert!(!ran.text.contains(&whsec), "{}", ran.text);
    for name in ["oncall", "plain"] {
        assert_eq!(answered(&ran, name), (true, "taken".to_owned()));
    }
    let taken = receiver.taken();
    assert_eq!(taken.len(), 2);
    let signed = &taken[0];
    assert!(signed.head.starts_with(&format!("POST /{CANARY}?a=b HTTP/1.1\r\n")), "{}", signed.head);
    assert_eq!(signed.header("content-type").as_deref(), Some("application/json"));
    let [id, at, given] = ["id", "timestamp", "signature"]
        .map(|name| signed.header(&format!("webhook-{name}")).unwrap_or_else(|| panic!("{}", signed.head)));
    assert!(id.starts_with("msg_") && !id.contains('.'), "{id}");
    // Receivers refuse what is more than five minutes away.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(at.parse::<u64>().unwrap().abs_diff(now) < 300, "{at}");
    let tag = |key: &[u8]| {
        let message = [format!("{id}.{at}.").as_bytes(), &signed.body].concat();
        BASE64_STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &message))
    };
    assert_eq!(given, format!("v1,{}", tag(key)));
    assert_ne!(given, format!("v1,{}", tag(b"another secret of somebody")));
    let body: Value = serde_json::from_slice(&signed.body).unwrap();
    assert_eq!(
        (&body["type"], &body["timestamp"]),
        (&"keyroll.server".into(), &body["data"]["at"]),
        "{body}"
    );
    let data = body["data"].as_object().unwrap();
    let mut keys: Vec<&str> = data.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let mut wanted = [
        "id", "kind", "state", "at", "since", "secret", "owner", "rotation", "incident", "text", "next",
        "host", "message",
    ];
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
    assert_eq!((&data["state"], &data["secret"]), (&"test".into(), &Value::Null), "{body}");
    assert_eq!(taken[1].header("webhook-signature"), None, "it has no secret");
}

#[test]
fn slack_gets_one_text_with_the_next_command() {
    let receiver = Receiver::start(|stream| status(stream, 200));
    let house = House::new("[server.notices.team]\nslack = \"file:./team.url\"\non = [\"due\"]\n");
    house.put("team.url", &url(receiver.port));
    house.test(&["team"]).exits(0);
    let body: Value = serde_json::from_slice(&receiver.taken()[0].body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.starts_with("*[keyroll] test on ") && text.ends_with("\n`keyroll status`"), "{text}");
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
}

#[test]
fn a_refusal_has_its_status_and_a_redirect_is_not_followed() {
    let elsewhere = Receiver::start(|stream| status(stream, 200));
    let port = elsewhere.port;
    let moved = Receiver::start(move |stream| {
        receivers::answer(
            stream,
            &format!("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\n\r\n"),
        );
    });
    let codes = [400, 404, 410, 429, 500, 503];
    let all: Vec<(String, Receiver)> = codes
        .map(|code| (format!("of{code}"), Receiver::start(move |stream| status(stream, code))))
        .into_iter()
        .collect();
    let house = House::new(&(all.iter().map(|(name, _)| hook(name)).collect::<String>() + &hook("moved")));
    house.put("moved.url", &url(moved.port));
    for (name, receiver) in &all {
        house.put(&format!("{name}.url"), &url(receiver.port));
    }
    let ran = house.test(&[]);
    ran.refused(1, "K0954", &["7 of 7 did not take it"]);
    for (code, (name, receiver)) in codes.iter().zip(&all) {
        let host = format!("127.0.0.1:{}", receiver.port);
        refuses(&ran, name, &[&host, &format!("the status {code}")]);
        assert_eq!(receiver.taken().len(), 1, "{name} was asked once");
    }
    refuses(&ran, "moved", &["the status 302", "does not follow"]);
    assert_eq!((moved.taken().len(), elsewhere.taken().len()), (1, 0));
}

/// Each is left after its time, and does not keep the others from their test.
#[test]
fn a_receiver_that_breaks_the_exchange_is_left() {
    use std::io::{Read as _, Write as _};
    let receivers = [
        ("a-hangs", Receiver::start(|stream| drop(stream.read(&mut [0])))),
        ("b-closes", Receiver::start(|_| {})),
        ("c-garbage", Receiver::start(|stream| receivers::answer(stream, &format!("{ANSWER}\r\n\r\n")))),
        (
            "d-head",
            Receiver::start(|stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
                while stream.write_all(format!("x: {ANSWER}\r\n").as_bytes()).is_ok() {}
            }),
        ),
        (
            "e-body",
            Receiver::start(|stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while stream.write_all(&[b'x'; 1024]).is_ok() {}
            }),
        ),
        ("f-good", Receiver::start(|stream| status(stream, 200))),
    ];
    let house = House::new(&receivers.iter().map(|(name, _)| hook(name)).collect::<String>());
    for (name, receiver) in &receivers {
        house.put(&format!("{name}.url"), &url(receiver.port));
    }
    let ran = house.test(&[]);
    ran.refused(1, "K0954", &["4 of 6 did not take it: a-hangs, b-closes, c-garbage, d-head"]);
    refuses(&ran, "a-hangs", &["no answer in time"]);
    refuses(&ran, "b-closes", &["the connection"]);
    refuses(&ran, "c-garbage", &["no HTTP"]);
    refuses(&ran, "d-head", &["127.0.0.1"]);
    assert!(answered(&ran, "e-body").0, "its status counts: {}", ran.text);
    assert!(answered(&ran, "f-good").0, "{}", ran.text);
    for (name, receiver) in &receivers {
        assert_eq!(receiver.taken().len(), 1, "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_trusted_is_not_used() {
    let receiver = Receiver::start(|stream| status(stream, 200));
    let names = ["open", "missing", "lines", "plain", "user", "fifo", "folder", "empty"];
    let tables: String = names.iter().map(|name| hook(name)).collect();
    let house = House::new(&format!("{tables}{}secret = \"file:./s.secret\"\n", hook("unsigned")));
    let at = |name: &str| house.home.path().join(name);
    put(&at("open.url"), &[&url(receiver.port)], 0o644);
    house.put("lines.url", &format!("{}{}", url(receiver.port), url(receiver.port)));
    house.put("plain.url", &format!("http://hooks.example.org/{CANARY}"));
    house.put("user.url", &format!("http://{CANARY}:{CANARY}@127.0.0.1:{}/", receiver.port));
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(at("fifo.url")).status().unwrap().success());
    fs::create_dir(at("folder.url")).unwrap();
    house.put("empty.url", "\n");
    house.put("unsigned.url", &url(receiver.port));
    house.put("s.secret", &format!("whsec_{CANARY}!\n"));
    let ran = house.test(&[]);
    ran.refused(1, "K0954", &["9 of 9"]);
    for (name, words) in [
        ("open", "other users can access it"),
        ("missing", "missing.url"),
        ("lines", "exactly one line"),
        ("plain", "must begin with https://"),
        ("user", "has a user"),
        ("fifo", "not a file"),
        ("folder", "folder.url"),
        ("empty", "exactly one line"),
        ("unsigned", "it is not whsec_"),
    ] {
        refuses(&ran, name, &[words]);
    }
    assert!(receiver.taken().is_empty(), "nothing was sent");
    house.put("missing.url", &url(receiver.port));
    house.test(&["missing"]).exits(0);
}

#[test]
fn a_recipient_is_named_or_there_is_none() {
    let receiver = Receiver::start(|stream| status(stream, 200));
    let house = House::new(&format!("{}{}", hook("oncall"), hook("team")));
    house.put("team.url", &url(receiver.port));
    let ran = house.test(&["team"]);
    ran.exits(0);
    assert_eq!(ran.of("check").len(), 1, "the other one is not tested: {}", ran.text);
    house.test(&["nobody"]).refused(1, "K0954", &["the recipients are: oncall, team"]);
    House::new("").test(&[]).refused(1, "K0954", &["names no recipient", "server.notices"]);
    let none = House::new("");
    none.put("keyroll.toml", "version = 1\n");
    none.test(&[]).refused(1, "K0954", &["has no [server]"]);
    assert_eq!(receiver.taken().len(), 1);
}
