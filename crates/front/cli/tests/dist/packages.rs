//! The folder with the packages, and a host to install them in.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyroll_testkit::{SystemdHost, free_port};
use serde_json::Value;

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Names the folder.
const VARIABLE: &str = "KEYROLL_DIST";

const CONFIG: &str = r#"version = 1
[server]
listen = "127.0.0.1:@PORT@"
[server.emergency]
admin_token = "file:./admin-token"
"#;

/// The host has no curl.
const HEALTH: &str = r#"timeout 5 bash -euc 'exec 3<>/dev/tcp/127.0.0.1/@PORT@
printf "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" >&3; cat <&3' | grep -qx ok"#;

/// Where the texts of a program name the crates of a registry: `…/registry/src/INDEX/NAME-VERSION/…`.
const REGISTRY: &[u8] = b"/registry/src/";

pub(super) struct Packages {
    folder: PathBuf,
}

impl Packages {
    /// The packages of this run, or `None` with a line that says what is left out, where none were made.
    pub(super) fn find(left_out: &str) -> Option<Self> {
        let Some(named) = std::env::var_os(VARIABLE) else {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{VARIABLE} is not set in CI");
            eprintln!(
                "left out, because {VARIABLE} names no folder (cargo xtask test --full dist): {left_out}"
            );
            return None;
        };
        let folder = root().join(named).canonicalize().unwrap();
        Some(Self { folder })
    }

    /// The names of all packages, sorted.
    pub(super) fn names(&self) -> [String; 4] {
        [
            format!("keyroll-{VERSION}-image.tar"),
            format!("keyroll-{VERSION}-x86_64-linux-gnu.tar.gz"),
            format!("keyroll-{VERSION}.cdx.json"),
            format!("keyroll_{VERSION}_amd64.deb"),
        ]
    }

    pub(super) fn path(&self, name: &str) -> String {
        let path = self.folder.join(name);
        assert!(path.is_file(), "{}", path.display());
        path.display().to_string()
    }

    /// What a script says in the folder; `ROOT` is the checkout.
    #[track_caller]
    pub(super) fn sh(&self, script: &str) -> String {
        succeeds(Command::new("sh").args(["-euc", script]).current_dir(&self.folder).env("ROOT", root()))
    }

    pub(super) fn bill(&self) -> Value {
        let path = self.path(&format!("keyroll-{VERSION}.cdx.json"));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    pub(super) fn lock(&self) -> String {
        fs::read_to_string(root().join("Cargo.lock")).unwrap()
    }

    /// The crates, as `NAME-VERSION`, whose sources the packed program names.
    pub(super) fn crates_in_program(&self) -> BTreeSet<String> {
        let home = tempfile::tempdir().unwrap();
        let name = format!("keyroll-{VERSION}-x86_64-linux-gnu");
        let archive = self.path(&format!("{name}.tar.gz"));
        let program = format!("{name}/bin/keyroll");
        succeeds(Command::new("tar").args(["-xzf", &archive, "-C"]).arg(home.path()).arg(&program));
        let bytes = fs::read(home.path().join(program)).unwrap();
        let mut found = BTreeSet::new();
        let mut rest = &bytes[..];
        while let Some(at) = rest.windows(REGISTRY.len()).position(|window| window == REGISTRY) {
            rest = &rest[at + REGISTRY.len()..];
            let name = rest.split(|byte| *byte == b'/').nth(1).unwrap_or_default();
            // Texts that follow each other may be cut elsewhere than at a path.
            if name.len() < 100
                && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte))
            {
                found.insert(String::from_utf8(name.to_vec()).unwrap());
            }
        }
        found
    }

    /// A host without keyroll that sees the packages.
    pub(super) fn host(&self, left_out: &str) -> Option<Host> {
        SystemdHost::start_or_skip(left_out, &[self.folder.as_path()]).map(Host)
    }
}

pub(super) struct Host(SystemdHost);

impl Host {
    /// What a script says in the host, which must succeed.
    #[track_caller]
    pub(super) fn done(&self, script: &str) -> String {
        succeeds(&mut self.0.command(&["bash", "-euc", script]))
    }

    /// Makes an installation of this user, as docs/guides/install.md says, and starts the server of the package: the command
    /// that succeeds while the server answers.
    #[track_caller]
    pub(super) fn serves(&self, folder: &str, user: &str) -> String {
        let port = free_port().unwrap().to_string();
        let config = CONFIG.replace("@PORT@", &port);
        self.done(&format!(
            "install -d -m 700 -o {user} -g {user} {folder}; cd {folder}; echo '{config}' >keyroll.toml
            HOME={folder} setpriv --reuid {user} --regid {user} --init-groups keyroll token new ada --out ada.token
            systemctl start keyroll"
        ));
        let health = HEALTH.replace("@PORT@", &port);
        self.done(&health);
        health
    }
}

/// What a command says, which must succeed.
#[track_caller]
pub(super) fn succeeds(command: &mut Command) -> String {
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&ran.stderr));
    said
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
}
