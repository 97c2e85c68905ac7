//! Hosts of other tools' files, and which hosts a name means. No host is reached.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use keyroll_testkit::command::Ran;
use keyroll_testkit::{TempDir, alphanumeric};

use super::scene::KEYROLL;

const HOSTS: &str = r#"
version = 1

[hosts.web-1]
connect = "ssh://web-1.invalid"
group   = "web"

[hosts.web-2]
connect = "ssh://deploy@web-2.invalid:2222"
group   = "web"
sudo    = true

[hosts.db-1]
connect = "ssh://db-1.invalid"
"#;

/// A folder with a keyroll.toml.
struct Project(TempDir);

impl Project {
    fn new(config: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("keyroll.toml"), config).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self) -> String {
        fs::read_to_string(self.path("keyroll.toml")).unwrap()
    }

    /// No program is found in its PATH, so no ssh is started.
    fn keyroll(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(KEYROLL);
        command.args(words).args(["--json", "--no-input", "--state", "state"]).current_dir(self.0.path());
        command.env_clear().env("HOME", self.0.path()).env("PATH", self.path("none")).stdin(Stdio::null());
        Ran::run(&mut command)
    }

    fn listed(&self) -> Vec<(String, String, bool)> {
        let listed = self.keyroll(&["hosts", "list"]);
        listed.exits(0);
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let row = |host: &serde_json::Value| {
            (text(&host["name"]), text(&host["connect"]), host["sudo"].as_bool().unwrap())
        };
        listed.of("host").into_iter().map(row).collect()
    }
}

fn row(name: &str, connect: &str, sudo: bool) -> (String, String, bool) {
    (name.to_owned(), connect.to_owned(), sudo)
}

#[test]
fn a_name_means_a_host_a_group_or_all_that_fit_a_pattern() {
    let project = Project::new(HOSTS);
    // Each one fails, because there is no ssh: so every host that was meant is named.
    let meant = |words: &[&str]| {
        let ran = project.keyroll(&[&["scan", "/srv"][..], words].concat());
        ran.exits(1);
        let failed = ran.of("not_visible").into_iter().filter(|event| event["host"] == event["what"]);
        let mut names: Vec<_> = failed.map(|event| event["what"].as_str().unwrap().to_owned()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(meant(&["--host", "db-1"]), ["db-1"]);
    assert_eq!(meant(&["--host", "web"]), ["web-1", "web-2"]);
    assert_eq!(meant(&["--host", "*-1"]), ["db-1", "web-1"]);
    assert_eq!(meant(&["--host", "web-2", "--host", "web"]), ["web-1", "web-2"]);
    project.keyroll(&["scan", "/srv", "--host", "wbe-1"]).refused(1, "K0805", &["web-1"]);
    project.keyroll(&["scan", "--all-hosts", "--host", "web-1"]).refused(2, "K0802", &["--all-hosts"]);
}

#[test]
fn a_scan_for_leaks_that_no_host_can_make_is_refused_before_a_connection() {
    let project = Project::new(HOSTS);
    for words in [
        &["leaks", "/srv", "--host", "db-1", "--verify"][..],
        &["leaks", "/srv", "--host", "db-1", "--alert"],
        &["leaks", "/srv", "--all-hosts", "--rules", "rules.toml"],
        &["leaks", "/srv", "--all-hosts", "--fingerprints", "prints"],
        &["leaks", "--staged", "--host", "db-1"],
        &["leaks", "--stdin", "--host", "db-1"],
    ] {
        project.keyroll(words).refused(2, "K0802", &[]);
    }
    for words in [&["leaks", "--host", "db-1"][..], &["leaks", "--host", "db-1", "--git"]] {
        project.keyroll(words).refused(2, "K0802", &["no folder is named"]);
    }
    project.keyroll(&["leaks", "srv", "--host", "db-1"]).refused(1, "K0934", &["absolute"]);
    project.keyroll(&["leaks", "/srv", "--host", "wbe-1"]).refused(1, "K0805", &["web-1"]);
    let typed = format!("/srv/{}", keyroll_testkit::github_token());
    let sent = project.keyroll(&["leaks", &typed, "--host", "db-1"]);
    assert!(!sent.refused(1, "K0802", &["is not sent"]).text.contains(&typed));
    // Nothing of the stored values can be searched for where there is no store.
    project.keyroll(&["leaks", "/srv", "--known", "--host", "db-1"]).refused(1, "K0931", &["no store"]);
}

#[test]
fn the_hosts_are_listed_without_a_connection() {
    let listed = Project::new(HOSTS).listed();
    let expected = [
        row("db-1", "ssh://db-1.invalid", false),
        row("web-1", "ssh://web-1.invalid", false),
        row("web-2", "ssh://deploy@web-2.invalid:2222", true),
    ];
    assert_eq!(listed, expected);
}

#[test]
fn of_an_inventory_no_password_is_taken() {
    let project = Project::new("version = 1\n");
    let password = alphanumeric(24);
    let inventory = serde_json::json!({
        "_meta": { "hostvars": {
            "web-1": {
                "ansible_host": "10.0.0.5", "ansible_port": 2222, "ansible_user": "deploy",
                "ansible_become": true, "ansible_password": password, "db_password": password,
            },
            "db-1": { "ansible_become_pass": password },
        } },
        "all": { "children": ["ungrouped", "web"] },
        "ungrouped": { "hosts": ["db-1"] },
        "web": { "hosts": ["web-1"] },
    });
    let file = project.path("inventory.json");
    fs::write(&file, inventory.to_string()).unwrap();
    let file = file.display().to_string();
    let before = project.config();
    let dry = project.keyroll(&["hosts", "import", &file, "--dry-run"]);
    dry.exits(0);
    assert_eq!(dry.of("draft").len(), 1, "{}", dry.text);
    assert_eq!(project.config(), before);
    let added = project.keyroll(&["hosts", "import", &file]);
    added.exits(0);
    for text in [&dry.text, &added.text, &project.config()] {
        assert!(!text.contains(&password), "a password was taken");
    }
    assert_eq!(
        project.listed(),
        [row("db-1", "ssh://db-1", false), row("web-1", "ssh://deploy@10.0.0.5:2222", true)]
    );
    // What is there stays as it is.
    let whole = project.config();
    project.keyroll(&["hosts", "import", &file]).exits(0).says(&["web-1"]);
    assert_eq!(project.config(), whole);
}

#[test]
fn of_an_ssh_configuration_the_literal_names_are_taken() {
    let project = Project::new("version = 1\n");
    let file = project.path("ssh_config");
    let text = "# Ours\nHost web-1 web-2\n  HostName 10.0.0.5\n  User deploy\n\nHost *.example !db-1 db-?\n  Port 22\n\
                Host *\n  ServerAliveInterval 5\n";
    fs::write(&file, text).unwrap();
    project.keyroll(&["hosts", "import", &file.display().to_string()]).exits(0);
    assert_eq!(project.listed(), [row("web-1", "ssh://web-1", false), row("web-2", "ssh://web-2", false)]);
    project.keyroll(&["hosts", "import", "none"]).refused(1, "K0934", &["none"]);
}
