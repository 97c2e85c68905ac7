//! Hosts that are reached by ssh. Every value is made inside of a host and compared there: this process never has one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyroll_testkit::command::Ran;
use keyroll_testkit::{SshHostWish, SshHosts, Sudoers, TempDir, write_program};
use serde_json::Value;

pub const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");

/// Where a host keeps a value that is its own.
pub const OWN: &str = "/var/tmp/value";

/// The folder that every inspection of a scene is about, as the option of `why` and `trace`.
pub const SRV: [&str; 2] = ["--in", "/srv"];

/// Makes a value of the form of a key if the file does not exist.
pub const MAKE: &str = "umask 077; [ -s @ ] || \
    printf 'sk-proj-%s' \"$(tr -dc A-Za-z0-9 </dev/urandom | head -c 48)\" >@";

/// A program that has the value of the file in its environment.
const START: &str = "mkdir -p /srv/api; { printf 'OPENAI_API_KEY='; cat @; echo; } >/srv/api/api.env; \
    printf '[Service]\\nType=exec\\nEnvironmentFile=/srv/api/api.env\\nExecStart=/bin/sleep 100000\\n' \
    >/etc/systemd/system/api.service; systemctl daemon-reload; systemctl restart api";

/// Writes down what the program for ssh is given and what it sends and gets, and passes all of it on.
const TEE: &str = "#!/bin/sh\nn=$(mktemp -p FOLDER)\nprintf '%s\\n' \"$@\" >\"$n.words\"\n\
    tee \"$n.up\" | SSH \"$@\" | tee \"$n.down\"\n";

pub struct Fleet {
    /// Dropped before the folder that they see.
    pub hosts: SshHosts,
    folder: TempDir,
}

/// A host whose login may do everything with sudo.
pub fn wish(name: &str) -> SshHostWish<'_> {
    SshHostWish { name, sudo: Sudoers::All, same_machine_as: None, noexec_home: false, home_kib: None }
}

impl Fleet {
    /// Hosts, and a keyroll.toml that names them; `None` where containers cannot run.
    pub fn raise(left_out: &str, wishes: &[SshHostWish<'_>]) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["home", "shared", "bin"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let programs = Path::new(KEYROLL).parent().unwrap();
        let hosts = SshHosts::start_or_skip(left_out, wishes, &[&root, programs])?;
        let fleet = Self { hosts, folder };
        fleet.configure(&wishes.iter().map(|wish| table(wish.name, wish.name)).collect::<String>());
        Some(fleet)
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// A file that every host and this machine see under the same path.
    pub fn shared(&self, name: &str) -> String {
        self.root().join("shared").join(name).display().to_string()
    }

    /// Writes keyroll.toml with these tables of hosts.
    pub fn configure(&self, hosts: &str) {
        fs::write(self.root().join("keyroll.toml"), format!("version = 1\n{hosts}")).unwrap();
    }

    /// A command of keyroll on this machine.
    pub fn command(&self, words: &[&str]) -> Command {
        self.command_with(Path::new(KEYROLL), words, &self.hosts.path())
    }

    /// The same with another copy of the program, and with the ssh of this folder.
    pub fn command_with(&self, program: &Path, words: &[&str], ssh: &Path) -> Command {
        let root = self.root();
        let mut command = Command::new(program);
        command.args(words).args(["--no-input", "--state"]).arg(root.join("state"));
        command.current_dir(&root).env_clear().env("HOME", root.join("home")).env("COLUMNS", "100000");
        command.env("PATH", format!("{}:/usr/bin:/bin", ssh.display()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What keyroll says to a program.
    pub fn keyroll(&self, words: &[&str]) -> Ran {
        Ran::run(self.command(words).arg("--json"))
    }

    /// What keyroll says to an operator.
    pub fn told(&self, words: &[&str]) -> Ran {
        Ran::run(&mut self.command(words))
    }

    /// What keyroll says that runs inside of a host, as root.
    pub fn inside(&self, host: &str, words: &[&str]) -> Ran {
        let line =
            format!("cd / && HOME=/root {KEYROLL} {} --json --no-input --state /var/tmp/s", words.join(" "));
        let output = self.hosts.run(host, &line);
        Ran::read(output.status.code(), &output.stdout, &output.stderr)
    }

    /// Runs a script inside of a host, as root, and returns what it prints.
    #[track_caller]
    pub fn run(&self, host: &str, script: &str) -> String {
        let output = self.hosts.run(host, &format!("set -eu; {script}"));
        assert!(output.status.success(), "{host}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Starts a service whose process has the value of this file, which is made if it does not exist.
    #[track_caller]
    pub fn worker(&self, host: &str, value: &str) {
        self.run(host, &format!("{MAKE}; {START}").replace('@', value));
    }

    /// Writes another value into the file of that service, which goes on with the one that it has.
    #[track_caller]
    pub fn edit(&self, host: &str) {
        let write = "{ printf 'OPENAI_API_KEY='; cat @; echo; } >/srv/api/api.env";
        self.run(host, &format!("{MAKE}; {write}").replace('@', "/var/tmp/next"));
    }

    /// A folder for PATH, whose ssh writes down everything that goes over it.
    pub fn recorder(&self) -> PathBuf {
        let (bin, shared) = (self.root().join("bin"), self.root().join("shared").display().to_string());
        let ssh = self.hosts.path().join("ssh").display().to_string();
        write_program(&bin.join("ssh"), TEE.replace("FOLDER", &shared).replace("SSH", &ssh));
        bin
    }

    /// What was written down so far, by the end of its name, in the order of its names.
    pub fn records(&self, end: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root().join("shared")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut all: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|it| it == end)).collect();
        all.sort();
        all
    }

    /// Removes what was written down.
    pub fn forget(&self) {
        for end in ["words", "up", "down"] {
            self.records(end).into_iter().for_each(|path| fs::remove_file(path).unwrap());
        }
    }
}

/// The table of a host in keyroll.toml.
pub fn table(name: &str, address: &str) -> String {
    format!("\n[hosts.{name}]\nconnect = \"ssh://deploy@{address}\"\nsudo = true\n")
}

/// What was found on one host, by what it is about: without times, without the host's name, and without the digits of
/// labels, which each keyroll makes with a key of its own. `None`: what a keyroll says that was not asked about hosts.
pub fn facts(ran: &Ran, host: Option<&str>) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for event in ran.events.iter().filter(|event| event["host"].as_str() == host) {
        let Some(kind) = event["type"].as_str().filter(|kind| FACTS.contains(kind)) else { continue };
        let about = |key: &str| event[key].to_string();
        // What is found in memory replaces what was said before.
        let about =
            format!("{kind} {} {} {} {}", about("secret"), about("pid"), about("name"), about("path"));
        let mut event: Value = event.clone();
        let keys = event.as_object_mut().unwrap();
        keys.remove("at");
        keys.remove("host");
        facts.insert(about, without_digits(&event.to_string()));
    }
    facts
}

/// The events that say what was found.
const FACTS: [&str; 4] = ["found", "instance", "chain", "store"];

/// `sk-…·9f3c21` is `sk-…·`.
fn without_digits(text: &str) -> String {
    let mut parts = text.split('·');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.trim_start_matches(|digit: char| digit.is_ascii_hexdigit()));
    rest.fold(first, |all, part| all + "·" + part)
}

/// The names of the secrets that were found on a host.
pub fn secrets(ran: &Ran, host: &str) -> Vec<String> {
    let found = ran.of("found").into_iter().filter(|event| event["host"] == host);
    found.map(|event| event["secret"].as_str().unwrap().to_owned()).collect()
}

/// Why each host was not searched, by its name.
pub fn reasons(ran: &Ran) -> BTreeMap<String, String> {
    let whole = ran.of("not_visible").into_iter().filter(|event| event["host"] == event["what"]);
    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    whole.map(|event| (text(event, "what"), text(event, "why"))).collect()
}
