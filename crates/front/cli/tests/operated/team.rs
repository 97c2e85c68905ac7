//! A server whose callers have tokens of every role, asked by real curl.

use std::fs;
use std::io::Write as _;
use std::process::Child;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::Duration;

use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::{Ask, Moment};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::emergency::served::{Answer, Served};
use crate::hostile::scene::{put, side};

/// Who has which role; `ada` is the admin.
const TEAM: [(&str, &str); 5] =
    [("vic", "viewer"), ("otto", "operator"), ("ann", "approver"), ("bob", "approver"), ("rex", "responder")];
/// The pause between two looks at a rotation.
const LOOK: Duration = Duration::from_millis(100);
/// How long a driver may take until it asks the issuer.
const ASKS_MAX: Duration = Duration::from_secs(60);
/// The longest refusal; a longer one repeats what was sent.
const REFUSAL_BYTES_MAX: usize = 3_000;

pub struct Team {
    pub served: Served,
    /// Every answer as it came.
    said: Mutex<Vec<String>>,
}

impl Team {
    /// With so many consumers of the secret `ring`, and changes to keyroll.toml.
    pub fn start(consumers: usize, change: impl FnOnce(&mut String)) -> Self {
        let mut served = Served::made(consumers, "", |config, _| change(config));
        for (name, role) in TEAM {
            let out = format!("{name}.token");
            served.scene.run(&["token", "new", name, "--role", role, "--out", &out]).exits(0);
            served.header(name);
        }
        // The old value, for the search at the end: in another alphabet, so that it is no undeclared copy.
        served.scene.sh("sed -n 's/^KEY=//p' api/api.env | tr a-z n-za-m > ../masked");
        served.serve();
        Self { served, said: Mutex::default() }
    }

    /// With another secret `side`, whose only consumer is at rest.
    pub fn beside(consumers: usize) -> Self {
        Self::beside_with(consumers, |_| {})
    }

    /// The same with changes to keyroll.toml.
    pub fn beside_with(consumers: usize, change: impl FnOnce(&mut String)) -> Self {
        let team = Self::start(consumers, |config| {
            *config += &side("./also/side.env");
            change(config);
        });
        let scene = &team.served.scene;
        let (id, value) = scene.issuer.mint("of the side");
        put(&scene.path("also/side.env"), &["SIDE=", &value, "\n"], 0o600);
        scene.add("side", &id, &value).exits(0);
        team
    }

    /// A request with somebody's token, or with none for the name "". One that drives waits long for its answer.
    pub fn ask(&self, who: &str, method: &str, path: &str, body: &str) -> Answer {
        self.within(60, who, method, path, body)
    }

    /// The same with the seconds that an answer may wait for the driver.
    pub fn within(&self, seconds: u32, who: &str, method: &str, path: &str, body: &str) -> Answer {
        let (token, prefer) = (format!("@{who}.header"), format!("Prefer: wait={seconds}"));
        let mut words = vec!["--path-as-is", "-X", method, "-H", prefer.as_str()];
        if !who.is_empty() {
            words.extend(["-H", token.as_str()]);
        }
        if !body.is_empty() {
            words.extend(["-H", "Content-Type: application/json", "-H", "Expect:", "--data-binary", "@-"]);
        }
        let answer = self.served.curl(path, &words, body.as_bytes());
        self.said.lock().unwrap().push(format!("{}\n{}", answer.head, answer.body));
        answer
    }

    /// What came in another way, for the search at the end.
    pub fn heard(&self, text: String) {
        self.said.lock().unwrap().push(text);
    }

    /// A plan by the operator; its id.
    #[track_caller]
    pub fn plan(&self, secret: &str) -> String {
        let answer = self.ask("otto", "POST", "/v1/plans", &json!({ "secret": secret }).to_string());
        assert_eq!((answer.code, answer.text("secret")), (201, secret), "{answer:?}");
        answer.text("id").to_owned()
    }

    /// The operator applies a plan; it may drive on when this returns.
    #[track_caller]
    pub fn apply(&self, plan: &str) -> Answer {
        let body = json!({ "plan": plan }).to_string();
        let answer = self.within(1, "otto", "POST", "/v1/rotations", &body);
        begun(&answer, plan);
        answer
    }

    /// The operator's rotation of `ring` stands still in the restart of its first consumer; its id.
    #[track_caller]
    pub fn held(&self) -> String {
        let plan = self.plan("ring");
        self.hold();
        self.apply(&plan);
        self.is_restarting();
        plan
    }

    /// The operator's rotation of `ring` waits for consent; its id.
    #[track_caller]
    pub fn ready(&self) -> String {
        let plan = self.plan("ring");
        self.apply(&plan);
        self.waits_for_consent(&plan);
        plan
    }

    /// An emergency of `side` has the turn, and its driver stands still until this is dropped. It only plans yet, so it
    /// holds no lock of the state folder.
    #[track_caller]
    pub fn occupied(&self) -> Turn {
        let (ask, asks) = channel();
        let (go, goes) = channel::<()>();
        let stands = move || {
            ask.send(()).unwrap();
            let _ = goes.recv();
        };
        self.served.scene.issuer.trap(Ask::Me, Moment::Meanwhile, |_| true, stands);
        let words = ["-X", "POST", "-H", "@rex.header", "--data-binary", "@-"];
        let mut caller = self.served.begin("/rotate-secret", &words);
        caller.stdin.take().unwrap().write_all(br#"{"secret_name":"side"}"#).unwrap();
        asks.recv_timeout(ASKS_MAX).unwrap();
        let drivers = self.served.drivers();
        assert_eq!(drivers.len(), 1, "the side's driver");
        let driver = Pid::from_raw(i32::try_from(drivers[0]).unwrap()).unwrap();
        kill_process(driver, Signal::STOP).unwrap();
        drop(go);
        Turn { driver, caller }
    }

    /// The next restart of the first consumer stands still until `go`.
    pub fn hold(&self) {
        self.served.scene.sh("touch run/hold; rm -f run/restarting-api");
    }

    pub fn go(&self) {
        self.served.scene.sh("rm run/hold");
    }

    #[track_caller]
    pub fn is_restarting(&self) {
        wait("the consumer is being restarted", || self.served.scene.path("run/restarting-api").exists());
    }

    /// `resume`, `retry`, `pause` or `abort`.
    pub fn act(&self, who: &str, id: &str, what: &str) -> Answer {
        self.ask(who, "POST", &format!("/v1/rotations/{id}/{what}"), "")
    }

    pub fn approve(&self, who: &str, id: &str) -> Answer {
        self.approve_within(60, who, id)
    }

    pub fn approve_within(&self, seconds: u32, who: &str, id: &str) -> Answer {
        let path = format!("/v1/rotations/{id}/approve");
        self.within(seconds, who, "POST", &path, r#"{"secret":"ring"}"#)
    }

    #[track_caller]
    pub fn rotation(&self, id: &str) -> Value {
        let answer = self.ask("vic", "GET", &format!("/v1/rotations/{id}"), "");
        assert_eq!((answer.code, answer.text("rotation")), (200, id), "{answer:?}");
        answer.body
    }

    #[track_caller]
    pub fn until(&self, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        wait(what, || {
            last = self.rotation(id);
            let so = is(&last);
            if !so {
                sleep(LOOK);
            }
            so
        });
        last
    }

    /// It waits for nothing but the consent, and nobody drives it.
    #[track_caller]
    pub fn waits_for_consent(&self, id: &str) -> Value {
        let row = self.until(id, "it waits for consent", |row| {
            row["state"] == "waiting" && row["why"].as_str().is_some_and(|why| why.contains("consent"))
        });
        self.is_quiet();
        row
    }

    #[track_caller]
    pub fn ended(&self, id: &str, outcome: &str) {
        let row = self.until(id, "it has ended", |row| row["state"] == "ended");
        assert_eq!(row["status"]["outcome"], outcome, "{row}");
        self.is_quiet();
    }

    #[track_caller]
    pub fn is_quiet(&self) {
        wait("no process drives", || self.served.drivers().is_empty());
    }

    /// A token, as its owner has it.
    pub fn token(&self, who: &str) -> Zeroizing<String> {
        let file = self.served.scene.path(&format!("{who}.token"));
        Zeroizing::new(fs::read_to_string(file).unwrap().trim().to_owned())
    }

    /// No answer, log, journal, plan or file of the state folder has the old key, the new one or a token.
    #[track_caller]
    pub fn nothing_leaked(&self) {
        let scene = &self.served.scene;
        let masked = Zeroizing::new(fs::read_to_string(scene.path("../masked")).unwrap());
        let plain = |byte: u8| match byte {
            b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
            other => other,
        };
        let old: String = masked.trim().bytes().map(plain).map(char::from).collect();
        let mut values = vec![Zeroizing::new(old), scene.held("api/api.env")];
        assert!(values.iter().all(|value| value.starts_with("acme_sk_")), "the values are what they seem");
        values.extend(TEAM.iter().map(|(name, _)| self.token(name)));
        values.push(self.token("ada"));
        self.served.nothing_leaked(&values.iter().collect::<Vec<_>>());
        for said in self.said.lock().unwrap().iter() {
            for (at, value) in values.iter().enumerate() {
                assert!(!said.contains(value.as_str()), "value {at} is in an answer");
            }
        }
    }
}

/// The turn that a driver has which stands still.
pub struct Turn {
    driver: Pid,
    caller: Child,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = kill_process(self.driver, Signal::CONT);
        let _ = self.caller.wait();
    }
}

/// It was begun or gone on with, whether or not it has come to its end.
#[track_caller]
pub fn begun(answer: &Answer, id: &str) {
    assert!([200, 202].contains(&answer.code), "{answer:?}");
    assert_eq!((answer.text("rotation"), answer.text("secret")), (id, "ring"), "{answer:?}");
    let state = answer.text("state");
    assert!(["queued", "driven", "waiting", "ended"].contains(&state), "{answer:?}");
}

/// A problem as RFC 9457 has it, with one of these numbers, that does not repeat what was sent.
#[track_caller]
pub fn refused(answer: &Answer, codes: &[u16]) {
    let length = answer.body.to_string().len();
    assert!(length < REFUSAL_BYTES_MAX, "a refusal of {length} bytes");
    assert!(codes.contains(&answer.code), "not {codes:?}: {answer:?}");
    let head = answer.head.to_lowercase();
    assert!(head.contains("content-type: application/problem+json"), "{answer:?}");
    assert_eq!(answer.body["status"], answer.code, "{answer:?}");
    for key in ["type", "title", "detail"] {
        assert!(!answer.text(key).is_empty(), "{key}: {answer:?}");
    }
}
