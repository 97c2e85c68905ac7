//! keyroll on a host of its own, `desk`, which reaches the other hosts by ssh: this machine sees the processes of every
//! container, and would find each consumer a second time. The issuer runs in this process, so it has the values. A benchmark
//! uses this file too.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use keyroll_testkit::command::Ran;
use keyroll_testkit::issuer::{Issuer, without};
use keyroll_testkit::write_program;
use zeroize::Zeroizing;

use super::scene::{Fleet, KEYROLL, table, wish};

/// Where `desk` keeps keyroll.toml; the commands run there.
const DESK: &str = "/srv/desk";

/// The ssh of `desk`, what it needs, and the old key.
pub const SSH: &str = "/srv/ssh";

/// A host `desk` beside hosts of the group `web`, whose folder is /srv/app.
pub struct Desk {
    pub fleet: Fleet,
    pub issuer: Issuer,
    /// The id of the key that everything starts with.
    pub old: String,
    value: Zeroizing<String>,
}

impl Desk {
    /// Starts the hosts; `config` follows their tables in keyroll.toml. `None` where containers cannot run.
    pub fn raise(left_out: &str, hosts: &[&str], config: &str) -> Option<Self> {
        let wishes: Vec<_> = std::iter::once("desk").chain(hosts.iter().copied()).map(wish).collect();
        let fleet = Fleet::raise(left_out, &wishes)?;
        let (issuer, admin) = Issuer::start();
        let (old, value) = issuer.mint("by hand");
        let desk = Self { fleet, issuer, old, value };
        desk.furnish(hosts, config, &admin);
        Some(desk)
    }

    /// Gives `desk` its configuration, the admin key, the old key, and the ssh of this test.
    fn furnish(&self, hosts: &[&str], config: &str, admin: &Zeroizing<String>) {
        let folder = self.fleet.root().join("desk");
        fs::create_dir(&folder).unwrap();
        let place = |name: &str| folder.join(name);
        let more = "group = \"web\"\nfolder = \"/srv/app\"\n";
        let tables: String = hosts.iter().map(|host| table(host, host) + more).collect();
        put(&place("keyroll.toml"), &["version = 1\n", &tables, config], 0o644);
        let spec = self.issuer.spec("5s");
        put(&place("acme.toml"), &[&without(&without(&spec, "op.sessions"), "op.end_session")], 0o644);
        put(&place("admin.key"), &[admin, "\n"], 0o600);
        put(&place("old"), &[&self.value], 0o600);
        let from = self.fleet.hosts.path().parent().unwrap().to_owned();
        let config = fs::read_to_string(from.join("ssh_config")).unwrap();
        put(&place("ssh_config"), &[&config.replace(from.to_str().unwrap(), SSH)], 0o600);
        for name in ["key", "known_hosts"] {
            fs::copy(from.join(name), place(name)).unwrap();
        }
        let ssh = format!("#!/bin/sh\nexec /usr/bin/ssh -F {SSH}/ssh_config \"$@\"\n");
        put(&place("ssh"), &[&ssh], 0o755);
        let take = format!(
            "mkdir -p {DESK} {SSH}/bin; cd {}; mv ssh {SSH}/bin/; mv key known_hosts old ssh_config {SSH}/; \
             mv * {DESK}/",
            folder.display()
        );
        self.fleet.run("desk", &take);
        // Every host sees the folder above it.
        fs::remove_dir(&folder).unwrap();
    }

    /// Gives a host these files, api.env with the old key beside them, and runs `start` there. Units go to systemd.
    pub fn serve(&self, host: &str, files: &[(&str, String, u32)], start: &str) {
        let folder = self.fleet.root().join("shared").join(host);
        fs::create_dir(&folder).unwrap();
        put(&folder.join("api.env"), &["# The API\nORDERS_KEY=", &self.value, "\nPOOL=4\n"], 0o600);
        for (name, text, mode) in files {
            put(&folder.join(name), &[text], *mode);
        }
        let script = format!(
            "mkdir -p /srv/app; install -d -m 777 /srv/seen; cd {}; mv *.service /etc/systemd/system/; \
             mv * /srv/app/; cd /srv/app; systemctl daemon-reload; {start}",
            folder.display()
        );
        self.fleet.run(host, &script);
        fs::remove_dir(&folder).unwrap();
    }

    /// Accepts the hosts, and stores the old key.
    #[track_caller]
    pub fn begin(&self) {
        self.keyroll(&["hosts", "accept", "web"]).exits(0);
        self.on_desk(&["secret", "add", "orders", "--id", &self.old], &format!("<{SSH}/old")).exits(0);
    }

    /// Runs a command of keyroll on `desk`.
    pub fn keyroll(&self, words: &[&str]) -> Ran {
        self.on_desk(words, "")
    }

    /// The same with a redirection behind it.
    fn on_desk(&self, words: &[&str], more: &str) -> Ran {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let line = format!(
            "cd {DESK} && exec env -i HOME=/root PATH={SSH}/bin:/usr/bin:/bin {KEYROLL} {} --json --no-input \
             --state /srv/state {more}",
            words.join(" ")
        );
        let output = self.fleet.hosts.run("desk", &line);
        Ran::read(output.status.code(), &output.stdout, &output.stderr)
    }
}

/// Writes a new file, piece by piece: a value among them is not copied.
fn put(path: &Path, pieces: &[&str], mode: u32) {
    if mode & 0o111 != 0 {
        return write_program(path, pieces.concat());
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).unwrap();
    for piece in pieces {
        file.write_all(piece.as_bytes()).unwrap();
    }
    // Whatever the mask of this process is.
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
