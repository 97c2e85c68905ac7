//! A server that takes alerts, and the alerts that are sent to it.

use std::fs;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::Ask;
use serde_json::{Value, json};

use crate::emergency::served::{Answer, Served};
use crate::hostile::hand::human;
use crate::hostile::scene::Scene;

/// The table of the sources.
const ALERTS: &str = "\n[server.alerts]\ngithub = \"file:./github.secret\"\ngithub_keys = \"file:./github-keys.json\"\n\
                      gitguardian = \"file:./gitguardian.secret\"\ngitlab = \"file:./gitlab.token\"\n\
                      gitlab_types = [\"gitleaks_rule_id_acme\"]\ngeneric = \"file:./generic.secret\"\n\
                      tokens = \"file:./alert-tokens\"\n\n[[secrets";

/// A server with every source; each has the secret `SOURCE's secret`.
pub struct Sent {
    pub served: Served,
    generic: Vec<u8>,
}

impl Sent {
    pub fn start(consumers: usize, secret: &str) -> Self {
        Self::of(Served::made(consumers, secret, |config, _| alerts(config)))
    }

    /// A person makes the keys.
    pub fn by_hand(consumers: usize, secret: &str) -> Self {
        Self::of(Served::made(consumers, secret, |config, spec| {
            human(spec);
            alerts(config);
        }))
    }

    fn of(mut served: Served) -> Self {
        let generic = b"a secret of the generic source".to_vec();
        served.put("generic.secret", &format!("whsec_{}\n", BASE64_STANDARD.encode(&generic)));
        for name in ["github", "gitguardian"] {
            served.put(&format!("{name}.secret"), &format!("{name}'s secret\n"));
        }
        served.put("gitlab.token", "gitlab's-token\n");
        served.put("gitlab.header", "Authorization: gitlab's-token\n");
        served.scene.run(&["token", "new", "ci", "--alerts", "--out", "ci.token"]).exits(0);
        let token = fs::read_to_string(served.scene.path("ci.token")).unwrap();
        served.put("ci.header", &format!("Authorization: Bearer {token}\n"));
        served.serve();
        Self { served, generic }
    }

    /// Waits until the leaked key is dead, and nobody works any more.
    pub fn dead(&self) {
        let scene = &self.served.scene;
        wait("the leaked key is dead", || scene.issuer.deletions() == std::slice::from_ref(&scene.old));
        wait("the driver has ended", || self.served.drivers().is_empty());
    }

    /// Waits as `dead`; it took one new key, and the incident says that it is over.
    #[track_caller]
    pub fn contained_once(&self) {
        self.dead();
        let scene = &self.served.scene;
        assert_eq!((only(scene)["state"].clone(), scene.issuer.asked(Ask::Mint)), (json!("contained"), 1));
    }

    /// A signed alert of keyroll's own form.
    pub fn generic(&self, alert: &Value) -> Answer {
        let now = now_s();
        self.signed_at(now, alert.to_string().as_bytes(), &format!("msg_{now}"))
    }

    pub fn signed_at(&self, at: u64, body: &[u8], id: &str) -> Answer {
        self.post("generic", &self.signed(at, body, id), body)
    }

    /// The headers of a signed alert.
    pub fn signed(&self, at: u64, body: &[u8], id: &str) -> Vec<String> {
        let signed = [format!("{id}.{at}.").as_bytes(), body].concat();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.generic);
        let tag = BASE64_STANDARD.encode(hmac::sign(&key, &signed));
        vec![
            format!("webhook-id: {id}"),
            format!("webhook-timestamp: {at}"),
            format!("webhook-signature: v1,{tag}"),
        ]
    }

    /// An alert with these headers, by real curl.
    pub fn post(&self, source: &str, headers: &[String], body: &[u8]) -> Answer {
        let mut words = vec!["-X", "POST", "--data-binary", "@-"];
        for header in headers {
            words.extend(["-H", header]);
        }
        self.served.curl(&format!("/alerts/{source}"), &words, body)
    }

    /// With a scanner's token.
    pub fn with_token(&self, source: &str, body: &[u8]) -> Answer {
        self.post(source, &["@ci.header".to_owned()], body)
    }
}

fn alerts(config: &mut String) {
    *config = config.replacen("\n[[secrets", ALERTS, 1);
}

pub fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// `sha256=` and the signature in hexadecimal.
pub fn hex(key: &[u8], message: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

/// The incidents that `incident list` shows.
pub fn incidents(scene: &Scene, words: &[&str]) -> Vec<Value> {
    let ran = scene.run(&[&["incident", "list"], words].concat());
    assert!(ran.of("error").is_empty() && ran.of("not_visible").is_empty(), "{}", ran.text());
    ran.of("incident").into_iter().cloned().collect()
}

/// The only incident, over or not.
#[track_caller]
pub fn only(scene: &Scene) -> Value {
    let all = incidents(scene, &["--all"]);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.into_iter().next().unwrap()
}
