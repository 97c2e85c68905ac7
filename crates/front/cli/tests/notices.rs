//! What must be known is told: by `keyroll serve`, to a webhook of the test, whoever caused it.

use keyroll_testkit::command::wait;
use rustix::process::Signal;
use serde_json::Value;

use crate::emergency::served::Served;
use crate::notices_ways::receivers::{Receiver, Taken, status};

/// A receiver of notices.
struct Hook(Receiver);

impl Hook {
    fn start() -> Self {
        Self(Receiver::start(|stream| status(stream, 204)))
    }

    fn port(&self) -> u16 {
        self.0.port
    }

    fn data(&self) -> Vec<Value> {
        let data = |taken: Taken| serde_json::from_slice::<Value>(&taken.body).unwrap()["data"].clone();
        self.0.taken().into_iter().map(data).collect()
    }

    /// The notices, each as `kind state`.
    fn told(&self) -> Vec<String> {
        let word = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        self.data().iter().map(|one| format!("{} {}", word(one, "kind"), word(one, "state"))).collect()
    }

    fn last(&self, kind: &str) -> Value {
        let all = self.data();
        let own = all.iter().rfind(|one| one["kind"] == kind);
        own.unwrap_or_else(|| panic!("no {kind} in {all:?}")).clone()
    }

    /// Everything that came.
    fn raw(&self) -> Vec<u8> {
        self.0.taken().into_iter().flat_map(|taken| [taken.head.into_bytes(), taken.body].concat()).collect()
    }
}

fn served(hook: &Hook, secret: &str) -> Served {
    let mut served = Served::made(1, secret, |config, _| {
        config.push_str("\n[server.notices.team]\nwebhook = \"file:./hook.url\"\n");
    });
    served.put("hook.url", &format!("http://127.0.0.1:{}/in/{}\n", hook.port(), "T0KENTEXT"));
    served.serve();
    served
}

#[test]
fn what_an_operator_does_is_told_once_and_when_it_is_over() {
    let hook = Hook::start();
    let mut served = served(&hook, "rotate_every = \"0s\"\nowner = \"team-payments\"");
    wait("it is due", || hook.told() == ["due new"]);
    let due = hook.last("due");
    assert_eq!((&due["secret"], &due["owner"]), (&"ring".into(), &"team-payments".into()), "{due}");
    assert_eq!(due["next"], "keyroll plan ring");
    served.scene.run(&["incident", "open", "ring"]).exits(0);
    wait("the incident is told", || hook.told().iter().any(|told| told == "incident new"));
    let incident = hook.last("incident");
    assert!(incident["next"].as_str().unwrap().starts_with("keyroll incident "), "{incident}");
    // At a terminal, beside the server: it stands at quiesce.
    let rotation = served.scene.until("quiesce");
    wait("it is not due while a rotation is open", || hook.told().iter().any(|told| told == "due over"));
    // Killed between two notices: nothing is lost, and nothing is told again under another id.
    served.end(Signal::KILL);
    served.scene.run(&["resume", &rotation, "--confirm", "ring"]).exits(0).ended("done");
    served.serve();
    wait("the end is told", || hook.told().iter().any(|told| told == "ended new"));
    assert_eq!(hook.last("ended")["rotation"], rotation.as_str());
    wait("the incident is over", || hook.told().iter().any(|told| told == "incident over"));
    let told = hook.told();
    assert_eq!(told.iter().filter(|one| *one == "ended new").count(), 1, "{told:?}");
    // Neither a value nor the address is in what was sent, or in the state folder.
    let raw = hook.raw();
    assert!(!raw.is_empty());
    let value = served.scene.held("api/api.env");
    assert!(!raw.windows(value.len()).any(|part| part == value.as_bytes()));
    assert!(!served.log().contains("T0KENTEXT"), "{}", served.log());
    let ledger = std::fs::read_to_string(served.scene.state().join("notices.json")).unwrap();
    assert!(!ledger.contains("T0KENTEXT"), "{ledger}");
}

/// What keyroll cannot read or write is noticed, and nothing comes twice because of it.
#[test]
fn a_broken_configuration_and_a_disk_that_fails_are_noticed() {
    let hook = Hook::start();
    let mut served = Served::made(1, "rotate_every = \"0s\"", |config, _| {
        config.push_str("\n[server.notices.team]\nwebhook = \"file:./hook.url\"\n");
    });
    served.put("hook.url", &format!("http://127.0.0.1:{}/\n", hook.port()));
    // It can be neither read nor written.
    std::fs::create_dir_all(served.scene.state().join("notices.json/x")).unwrap();
    served.serve();
    wait("it is due", || hook.told() == ["due new"]);
    served.scene.run(&["incident", "open", "ring"]).exits(0);
    wait("the incident is noticed", || hook.told().len() > 1);
    assert_eq!(hook.told(), ["due new", "incident new"]);
    assert_eq!(served.log().matches("the notices: could not write").count(), 1, "{}", served.log());
    let config = served.scene.path("keyroll.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\nstray = 1\n")).unwrap();
    wait("it cannot be read", || hook.told().iter().any(|told| told == "server new"));
    assert!(
        hook.last("server")["text"].as_str().unwrap().contains("keyroll.toml"),
        "{}",
        hook.last("server")
    );
    std::fs::write(&config, text).unwrap();
    wait("it can be read", || hook.told().iter().any(|told| told == "server over"));
    assert_eq!(hook.told(), ["due new", "incident new", "server new", "server over"]);
}

#[test]
fn a_recipient_takes_only_its_kinds() {
    let hook = Hook::start();
    let mut served = Served::made(1, "rotate_every = \"0s\"", |config, _| {
        config.push_str("\n[server.notices.team]\nwebhook = \"file:./hook.url\"\non = [\"incident\"]\n");
    });
    served.put("hook.url", &format!("http://127.0.0.1:{}/\n", hook.port()));
    served.serve();
    served.scene.run(&["incident", "open", "ring"]).exits(0);
    wait("the incident is told", || !hook.told().is_empty());
    assert_eq!(hook.told(), ["incident new"]);
}
