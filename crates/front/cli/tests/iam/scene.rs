//! A folder with a service of two instances and a nightly job that use the access key of an IAM user, and a keyroll.toml
//! that names them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyroll_testkit::command::{Ran, dress, end_own, killed, wait};
use keyroll_testkit::{TempDir, alphanumeric};
use serde_json::json;
use zeroize::Zeroizing;

use crate::hostile::scene::{files, put};
use crate::iam::part::{PART, USER};
use crate::stores::needles::needles_of;
use crate::stores::relay::{Relay, When};
use crate::stores::signed::door;

/// The instances of the service.
pub const INSTANCES: [&str; 2] = ["app-1", "app-2"];

/// The copies of the key.
pub const COPIES: [&str; 2] = ["app/service.env", "job/credentials"];

/// Dropping it ends its instances by their ids.
pub struct Scene {
    relay: Relay,
    /// The address of IAM and STS.
    store: String,
    home: TempDir,
    /// The file of AWS's tools with keyroll's own login.
    login: PathBuf,
    /// Everything that commands wrote.
    said: RefCell<Vec<String>>,
    /// The id of the key that everything starts with.
    pub old: String,
}

impl Scene {
    /// With IAM at this address, and keyroll's login in this file, as the profile `rotator`.
    pub fn new(store: &str, login: &Path) -> Self {
        let mut scene = Self {
            relay: Relay::before(store),
            store: store.to_owned(),
            home: TempDir::new().unwrap(),
            login: login.to_owned(),
            said: RefCell::default(),
            old: String::new(),
        };
        let dir = scene.dir();
        for folder in ["app", "job", "run", "log"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        put(&dir.join("log/refused"), &[], 0o644);
        put(&dir.join("keyroll.toml"), &[&scene.filled(include_str!("keyroll.toml"))], 0o644);
        put(&dir.join("restart.sh"), &[&scene.filled(include_str!("restart.sh"))], 0o755);
        put(&dir.join("check.sh"), &[&scene.filled(include_str!("check.sh"))], 0o755);
        scene.part("seed", &format!("dir={}", dir.display()));
        for instance in INSTANCES {
            let status = Command::new(dir.join("restart.sh")).arg(instance).status().unwrap();
            assert!(status.success(), "{instance} starts");
        }
        scene.old = scene.holds(COPIES[0]);
        scene.run(&["secret", "import", "mail"]).exits(0);
        scene
    }

    pub fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    fn filled(&self, text: &str) -> String {
        text.replace("@PROGRAM@", std::env::current_exe().unwrap().to_str().unwrap())
            .replace("@DIR@", self.dir().to_str().unwrap())
            .replace("@STORE@", &self.store)
            .replace("@ENDPOINT@", &self.relay.endpoint())
            .replace("@LIFELINE@", &std::process::id().to_string())
    }

    /// What another process does.
    pub fn part(&self, part: &str, words: &str) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["iam::part", "--exact"]).current_dir(self.dir());
        let output = command.env(PART, format!("{part} store={} {words}", self.store)).output().unwrap();
        assert!(output.status.success(), "{part}: {}", String::from_utf8_lossy(&output.stdout));
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
        command.args(words);
        dress(&mut command, &self.dir(), self.home.path());
        // What the environment says besides the file does not count: neither another login nor another address.
        command
            .env("AWS_SHARED_CREDENTIALS_FILE", &self.login)
            .env("AWS_ACCESS_KEY_ID", "AKIAANOTHERLOGINKEY0")
            .env("AWS_SECRET_ACCESS_KEY", "another")
            .env("AWS_ENDPOINT_URL_IAM", "http://127.0.0.1:9")
            .env("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
            .env("AWS_USE_FIPS_ENDPOINT", "true")
            .env("AWS_REGION", "us-west-2")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// What a command said is searched at the end.
    pub fn run(&self, words: &[&str]) -> Ran {
        let ran = Ran::run(&mut self.command(words));
        self.said.borrow_mut().push(ran.text.clone());
        ran
    }

    /// A plan's id.
    #[track_caller]
    pub fn plan(&self) -> String {
        let ran = self.run(&["plan", "mail"]);
        ran.exits(0);
        ran.plan()
    }

    /// Runs a command that is killed once IAM has carried out an action; its answer comes to nobody.
    #[track_caller]
    pub fn killed_after(&self, action: &'static str, words: &[&str]) {
        let ran = killed(self.command(words), |act| self.relay.trap((action, ""), When::After, act));
        self.said.borrow_mut().push(ran.text);
    }

    /// The id of each key of the user, with its status.
    pub fn keys(&self) -> BTreeMap<String, String> {
        let told = door(&self.store, &json!({"act": "keys", "user": USER})).unwrap();
        let all = told.as_object().unwrap().iter();
        all.map(|(id, status)| (id.clone(), status.as_str().unwrap().to_owned())).collect()
    }

    /// The one key beside this one.
    #[track_caller]
    pub fn key_beside(&self, id: &str) -> String {
        let keys = self.keys();
        let mut others = keys.keys().filter(|key| *key != id);
        let (Some(other), None) = (others.next(), others.next()) else { panic!("{keys:?}") };
        other.clone()
    }

    /// The id in a copy.
    pub fn holds(&self, copy: &str) -> String {
        let text = Zeroizing::new(fs::read_to_string(self.dir().join(copy)).unwrap());
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        let id = lines.find(|(name, _)| name.trim().eq_ignore_ascii_case("aws_access_key_id"));
        id.unwrap().1.trim().to_owned()
    }

    /// Everything that must be true once a rotation has ended: one active key, both of whose fields are in each copy, and that
    /// every instance calls with.
    #[track_caller]
    pub fn is_on(&self, id: &str) {
        assert_eq!(self.keys(), BTreeMap::from([(id.to_owned(), "Active".to_owned())]));
        for copy in COPIES {
            assert_eq!(self.holds(copy), id, "{copy}");
            self.part("pair", &format!("copy={}", self.dir().join(copy).display()));
        }
        for instance in INSTANCES {
            let file = self.dir().join(format!("run/{instance}.key"));
            let _ = fs::remove_file(&file);
            wait("every instance calls with the live key", || {
                fs::read_to_string(&file).is_ok_and(|text| text.trim() == id)
            });
        }
        let open = self.run(&["status"]);
        open.exits(0);
        assert!(open.of("paused").is_empty(), "a rotation is open: {}", open.text);
        let refused = fs::read_to_string(self.dir().join("log/refused")).unwrap();
        assert_eq!(refused, "", "a call was refused");
    }

    /// Ends the instances, and searches everything that was said or written for a secret; the secrets.
    pub fn end(self) -> Vec<Vec<u8>> {
        self.end_instances();
        let told = door(&self.store, &json!({"act": "secrets"})).unwrap();
        let all = told.as_array().unwrap().iter();
        let values: Vec<Vec<u8>> = all.map(|value| value.as_str().unwrap().as_bytes().to_vec()).collect();
        let needles = needles_of(&values);
        for text in self.said.borrow().iter() {
            assert!(needles.is_clean(text.as_bytes()), "a secret was said");
        }
        let holds = COPIES.map(|copy| self.dir().join(copy));
        for path in files(self.home.path()).into_iter().filter(|path| !holds.contains(path)) {
            assert!(needles.is_clean(&fs::read(&path).unwrap()), "{} has a secret", path.display());
        }
        values
    }

    fn end_instances(&self) {
        for entry in fs::read_dir(self.dir().join("run")).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|it| it == "pid" || it == "starting") {
                let pid = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
                pid.into_iter().for_each(end_own);
            }
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.end_instances();
        if std::thread::panicking() && std::env::var_os("KEYROLL_KEEP").is_some() {
            let kept = format!("/tmp/kept-scene-{}", alphanumeric(6));
            let _ = Command::new("cp").arg("-a").arg(self.home.path()).arg(kept).status();
        }
    }
}
