//! A unit with credentials, a unit of a user's own manager and a timer's job, in a host with a real systemd.

use std::path::Path;
use std::process::{Command, Stdio};

use keyroll_testkit::SystemdHost;

use crate::hostile::ran::{Ran, Running, wait};
use crate::hostile::scene::Scene;

const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");

const CONSUMERS: &str = r#"
[[secrets.ring.consumers]]
name  = "cred"
runs  = { unit = "cred.service" }
reads = { file = "./cred/key" }

[[secrets.ring.consumers]]
name  = "bot"
runs  = { unit = "bot.service", user = "deploy" }
reads = { env_file = "./bot/bot.env", variable = "KEY" }
log   = { journal = "bot.service", failure = "bot was refused" }

[[secrets.ring.consumers]]
name  = "job"
runs  = { timer = "job.timer" }
reads = { env_file = "./job/job.env", variable = "KEY" }
check = { exec = ["./check.sh", "KEY", "{copy}"] }
"#;

struct Units {
    scene: Scene,
    host: SystemdHost,
}

impl Units {
    fn raise(what: &str) -> Option<Self> {
        let scene = Scene::made(|config, _| {
            let end = config.find("# Reads its file at start").unwrap();
            config.truncate(end);
            let standing =
                "rotate_every = \"0s\"\nunattended = true\n\n[secrets.ring.revoke]\ndecide = \"standing\"\n";
            *config = config.replace("[secrets.ring.revoke]\n", standing);
            config.push_str(CONSUMERS);
        });
        // The scene's own worker runs on this machine, which the host does not see.
        let pid = std::fs::read_to_string(scene.path("run/api.pid")).unwrap();
        scene.end(pid.trim().parse().unwrap());
        let home = scene.dir().parent().unwrap().to_owned();
        let host = SystemdHost::start_or_skip(what, &[&home, Path::new(KEYROLL).parent().unwrap()])?;
        let units = Self { scene, host };
        let program = std::env::current_exe().unwrap();
        let (dir, port) = (units.scene.dir(), units.scene.issuer.port());
        let service = |name: &str, copy: &str, more: &str| {
            format!(
                "[Service]\nEnvironment=\"KEYROLL_TEST_PART=worker name={name} port={port} lifeline=1 copy={copy} \
                 refused={dir}/log/refused\"\nExecStart={program} hostile::part --exact --nocapture\n{more}",
                dir = dir.display(),
                program = program.display(),
            )
        };
        let dir = dir.display().to_string();
        let cred = format!("LoadCredential=key:{dir}/cred/key\nLoadCredential=other:{dir}/cred/other\n");
        let parts = [
            ("cred.service", service("cred", "/run/credentials/cred.service/key", &cred)),
            // Its value comes through the user's own manager, which keeps the environment of its services in memory.
            (
                "bot.service",
                service(
                    "bot",
                    &format!("{dir}/bot/bot.env environment=KEY says={dir}/bot/say"),
                    &format!("EnvironmentFile={dir}/bot/bot.env\n"),
                ),
            ),
            ("job.service", service("job", &format!("{dir}/job/job.env"), "Type=exec\n")),
            ("job.timer", "[Timer]\nOnCalendar=2199-01-01\n".to_owned()),
        ];
        for (name, text) in parts {
            std::fs::write(units.scene.path(name), text).unwrap();
        }
        units.inside(
            "chmod 755 .. .; chmod 666 log/refused; mkdir cred bot job; \
             sed -n 's/^KEY=//p' api/api.env | tr -d '\\n' > cred/key; echo other > cred/other; chmod 600 cred/*; \
             cp api/api.env bot/bot.env; cp api/api.env job/job.env; rm -r api; chown -R deploy bot; \
             cp cred.service job.service job.timer /etc/systemd/system/; \
             install -D -o deploy -m 644 bot.service /home/deploy/.config/systemd/user/bot.service; \
             chown -R deploy /home/deploy/.config; systemctl daemon-reload; systemctl start cred.service job.timer; \
             { echo '[Service]'; echo 'Type=oneshot'; echo 'RemainAfterExit=yes'; echo 'ExecStart=/bin/true'; \
               sed -n 's/^KEY=/Environment=KEPT=/p' bot/bot.env; } >/home/deploy/.config/systemd/user/kept.service; \
             loginctl enable-linger deploy; uid=$(id -u deploy); \
             until [ -S /run/user/$uid/bus ]; do sleep 0.05; done; \
             runuser -u deploy -- env XDG_RUNTIME_DIR=/run/user/$uid systemctl --user daemon-reload; \
             runuser -u deploy -- env XDG_RUNTIME_DIR=/run/user/$uid systemctl --user start bot.service kept.service; \
             rm /home/deploy/.config/systemd/user/kept.service",
        );
        wait("calls of both services", || {
            ["cred", "bot"].iter().all(|name| units.scene.issuer.last_of(name).is_some())
        });
        Some(units)
    }

    /// A shell command inside the host, in the scene's folder.
    fn inside(&self, text: &str) {
        let dir = self.scene.dir().display().to_string();
        let output = self.host.command(&["env", "-C", &dir, "sh", "-euc", text]).output().unwrap();
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, words: &[&str]) -> Command {
        let dir = self.scene.dir().display().to_string();
        let fixed = ["env", "-C", &dir, KEYROLL, "--state", "../state", "--no-input", "--json"];
        let mut command = self.host.command(&[&fixed, words].concat());
        command.stdout(Stdio::piped());
        command
    }

    fn keyroll(&self, words: &[&str]) -> Ran {
        Ran::run(&mut self.command(words))
    }
}

#[test]
fn credentials_a_users_manager_and_a_timer() {
    let Some(units) = Units::raise("units with credentials, of a user, and timers") else { return };
    // Somebody edits another credential: a restart would make it live.
    units.inside("echo edited > cred/other");
    let ran = units.keyroll(&["plan", "ring"]);
    ran.exits(0);
    let live: Vec<String> =
        ran.of("live").iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(live, ["cred/credential:other"], "{}", ran.text);
    let plan = ran.plan();
    units.keyroll(&["apply", &plan, "--confirm", "ring"]).refused(6, "K0851", &["cred/credential:other"]);

    // A job that its timer has started holds the old value for as long as it runs.
    units.inside("systemctl start job.service");
    wait("a call of the job", || units.scene.issuer.last_of("job").is_some());
    let accept = ["--accept", "cred/credential:other"];
    let words = ["apply", &plan, "--confirm", "ring"];
    let running = Running::start(units.command(&[&words[..], &accept].concat()));
    running.enters("quiesce");
    assert!(units.scene.issuer.keys().iter().any(|key| key.id == units.scene.old && !key.disabled));
    assert_eq!(units.scene.issuer.last_of("job"), Some(units.scene.old.clone()));
    units.inside("systemctl stop job.service");
    let ran = running.end();
    ran.exits(0).ended("done");
    let new = units.scene.issuer.keys().into_iter().find(|key| key.id != units.scene.old).unwrap().id;
    for name in ["cred", "bot"] {
        assert_eq!(units.scene.issuer.last_of(name), Some(new.clone()), "{name}");
        let shown = ran.of("evidence").iter().any(|one| one["consumer"] == *name && one["grade"] == "loaded");
        assert!(shown, "{name} did not show what it has loaded: {}", ran.text);
    }
    assert!(!units.scene.issuer.keys().iter().any(|key| key.id == units.scene.old));

    // The timer that keyroll prints: without an operator, the next rotation is done too.
    units.inside(&format!(
        "{KEYROLL} due --timer --state ../state > timer.txt; cd /etc/systemd/system; \
         awk '/^# \\/etc/ {{ file = $2; next }} {{ print > file }}' {}; systemctl daemon-reload; \
         systemctl enable --now keyroll-due.timer; systemctl start keyroll-due.service",
        units.scene.path("timer.txt").display()
    ));
    let keys = units.scene.issuer.keys();
    assert!(keys.len() == 1 && keys[0].id != new, "{keys:?}");
    for name in ["cred", "bot"] {
        assert_eq!(units.scene.issuer.last_of(name), Some(keys[0].id.clone()), "{name}");
    }

    // A line in the journal of the user's own unit, while the old key is disabled: keyroll enables the key again.
    units.inside("sed -i '/^soak /s/\"0s\"/\"30m\"/' keyroll.toml");
    let ran = units.keyroll(&["plan", "ring"]);
    let plan = ran.exits(0).plan();
    let running = Running::start(units.command(&["apply", &plan, "--confirm", "ring"]));
    running.enters("soak");
    units.inside("touch bot/say");
    running.end().exits(6).says(&["used while it was disabled"]);
    assert!(units.scene.issuer.keys().iter().all(|key| !key.disabled), "the old key is off");
    units.keyroll(&["abort", &plan]).exits(5).ended("rolled_back");

    units.keyroll(&["plan", "ring"]).exits(0);
    units.inside(
        "loginctl disable-linger deploy; loginctl terminate-user deploy || true; \
                  while [ -d /run/user/$(id -u deploy) ]; do sleep 0.05; done",
    );
    let ran = units.keyroll(&["plan", "ring"]);
    ran.refused(1, "K0407", &["nobody of that name is logged in"]);
    ran.says(&["loginctl enable-linger deploy"]);
}
