//! A folder with a compose project, an issuer, and a keyroll.toml that names them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use keyroll_testkit::command::dress;
use keyroll_testkit::issuer::Issuer;
use keyroll_testkit::{Engine, TempDir};
use zeroize::Zeroizing;

use crate::docker::shop::Shop;
use crate::hostile::ran::{Ran, Running, wait};

pub struct Scene {
    pub issuer: Issuer,
    pub shop: Shop,
    home: TempDir,
    old: String,
}

impl Scene {
    pub fn raise(what: &str) -> Option<Self> {
        let engine = Engine::start_or_skip(what)?;
        let (issuer, admin) = Issuer::start();
        let (old, value) = issuer.mint("by hand");
        let home = TempDir::new().unwrap();
        let shop = Shop::new(engine, home.path().join("scene/shop"));
        let scene = Self { issuer, shop, home, old };
        for folder in ["shop", "log"] {
            fs::create_dir_all(scene.path(folder)).unwrap();
        }
        let put = |name: &str, pieces: &[&str], mode: u32| {
            let path = scene.path(name);
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).unwrap();
            pieces.iter().for_each(|piece| file.write_all(piece.as_bytes()).unwrap());
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        put("log/refused", &[], 0o644);
        put("keyroll.toml", &[include_str!("keyroll.toml")], 0o644);
        put("acme.toml", &[&scene.issuer.spec("1s")], 0o644);
        put("admin.key", &[&admin, "\n"], 0o600);
        put("shop/compose.yaml", &[&scene.filled(include_str!("compose.yaml"))], 0o644);
        put("shop/worker.env", &["# The workers\nLOG=info\nKEY=", &value, "\nPOOL=4\n"], 0o600);
        scene.add(&value);
        scene.shop.up();
        wait("both workers call", || ["a", "b"].iter().all(|name| scene.issuer.last_of(name).is_some()));
        Some(scene)
    }

    fn filled(&self, text: &str) -> String {
        let program = std::env::current_exe().unwrap();
        let words = format!(
            "copy=- from=KEY lifeline=self port={} refused={}",
            self.issuer.port(),
            self.path("log/refused").display()
        );
        text.replace("@PROGRAM@", program.to_str().unwrap())
            .replace("@TARGET@", program.parent().unwrap().to_str().unwrap())
            .replace("@DIR@", self.dir().to_str().unwrap())
            .replace("@WORDS@", &words)
    }

    pub fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// A shell command in the scene's folder.
    pub fn sh(&self, text: &str) {
        let status = Command::new("sh").args(["-euc", text]).current_dir(self.dir()).status().unwrap();
        assert!(status.success(), "{text}");
    }

    pub fn append(&self, name: &str, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
        command.args(words);
        dress(&mut command, &self.dir(), self.home.path());
        command.env("DOCKER_HOST", self.shop.host());
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::run(&mut self.command(words))
    }

    pub fn start(&self, words: &[&str]) -> Running {
        Running::start(self.command(words))
    }

    fn add(&self, value: &Zeroizing<String>) {
        let words = ["secret", "add", "ring", "--id", &self.old];
        Ran::fed(&mut self.command(&words), value).exits(0);
    }

    #[track_caller]
    pub fn plan(&self) -> String {
        let ran = self.run(&["plan", "ring"]);
        ran.exits(0);
        ran.plan()
    }

    /// One key, made by keyroll, in the file and in use by both.
    #[track_caller]
    pub fn rotated(&self) {
        let keys = self.issuer.keys();
        assert!(keys.len() == 1 && keys[0].id != self.old && !keys[0].disabled, "{keys:?}");
        self.on(&keys[0].id);
    }

    #[track_caller]
    pub fn as_before(&self) {
        let keys = self.issuer.keys();
        assert!(keys.len() == 1 && keys[0].id == self.old && !keys[0].disabled, "{keys:?}");
        self.on(&self.old);
    }

    #[track_caller]
    fn on(&self, id: &str) {
        assert_eq!(holds(&self.path("shop/worker.env"), &self.issuer).as_deref(), Some(id), "the copy");
        self.issuer.forget();
        let all = || ["a", "b"].iter().all(|name| self.issuer.last_of(name).as_deref() == Some(id));
        wait("both workers call with the live key", all);
    }
}

/// Whose key a file's line holds.
fn holds(file: &Path, issuer: &Issuer) -> Option<String> {
    let content = Zeroizing::new(fs::read(file).unwrap());
    let line = content.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"KEY="))?;
    issuer.whose(&line[4..])
}
