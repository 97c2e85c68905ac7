//! A unit of a real systemd that does not come up with the new value, that hangs in its stop, or that cannot be used.

use std::path::Path;
use std::process::{Command, Stdio};

use keyroll_testkit::SystemdHost;

use crate::bad_days::told;
use crate::hostile::ran::{Ran, wait};
use crate::hostile::scene::Scene;

const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");

const SECRET: &str = "[secrets.ring]\n";

const CONSUMER: &str = r#"
[[secrets.ring.consumers]]
name  = "api"
runs  = { unit = "api.service" }
reads = { env_file = "./api/api.env", variable = "KEY" }
"#;

/// The program of the unit. A mood takes effect only with a new value, except `hangs`, which ignores the request to
/// end.
const START: &str = r#"#!/bin/sh
cd @DIR@
mood=$(cat run/mood 2>/dev/null)
if [ "$mood" = hangs ]; then trap '' TERM; fi
if [ "$(sha256sum <api/api.env)" != "$(cat run/first)" ]; then
    if [ "$mood" = fails ]; then echo no >&2; exit 3; fi
    if [ "$mood" = second ]; then exec timeout 1 @PROGRAM@ hostile::part --exact --nocapture; fi
fi
exec @PROGRAM@ hostile::part --exact --nocapture
"#;

struct Day {
    scene: Scene,
    host: SystemdHost,
}

impl Day {
    fn raise(what: &str) -> Option<Self> {
        let scene = Scene::made(|config, _| {
            let end = config.find("# Reads its file at start").unwrap();
            config.truncate(end);
            config.push_str(CONSUMER);
        });
        // The scene's own worker runs on this machine, which the host does not see.
        let pid = std::fs::read_to_string(scene.path("run/api.pid")).unwrap();
        scene.end(pid.trim().parse().unwrap());
        let home = scene.dir().parent().unwrap().to_owned();
        let host = SystemdHost::start_or_skip(what, &[&home, Path::new(KEYROLL).parent().unwrap()])?;
        let day = Self { scene, host };
        let dir = day.scene.dir().display().to_string();
        let program = std::env::current_exe().unwrap().display().to_string();
        let port = day.scene.issuer.port();
        let unit = format!(
            "[Service]\nEnvironment=\"KEYROLL_TEST_PART=worker name=api port={port} lifeline=1 copy={dir}/api/api.env \
             refused={dir}/log/refused\"\nExecStart={dir}/start.sh\nTimeoutStopSec=infinity\n"
        );
        std::fs::write(day.scene.path("api.service"), unit).unwrap();
        std::fs::write(
            day.scene.path("start.new"),
            START.replace("@DIR@", &dir).replace("@PROGRAM@", &program),
        )
        .unwrap();
        day.inside(
            "cp start.new start.sh; chmod 755 start.sh; rm start.new; rm -f run/*; sha256sum <api/api.env >run/first; \
             cp api.service /etc/systemd/system/; systemctl daemon-reload; systemctl start api.service",
        );
        wait("calls of the service", || day.scene.issuer.last_of("api").is_some());
        Some(day)
    }

    /// A shell command inside the host, in the scene's folder.
    fn inside(&self, text: &str) {
        let dir = self.scene.dir().display().to_string();
        let output = self.host.command(&["env", "-C", &dir, "sh", "-euc", text]).output().unwrap();
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, before: &[&str], words: &[&str]) -> Command {
        let dir = self.scene.dir().display().to_string();
        let fixed = [KEYROLL, "--state", "../state", "--no-input", "--json"];
        let mut command = self.host.command(&[&["env", "-C", &dir], before, &fixed, words].concat());
        command.stdout(Stdio::piped());
        command
    }

    fn keyroll(&self, words: &[&str]) -> Ran {
        self.keyroll_by(&[], words)
    }

    fn keyroll_by(&self, before: &[&str], words: &[&str]) -> Ran {
        Ran::run(&mut self.command(before, words))
    }

    fn plan(&self) -> String {
        let ran = self.keyroll(&["plan", "ring"]);
        ran.exits(0);
        ran.plan()
    }

    fn mood(&self, mood: &str) {
        std::fs::write(self.scene.path("run/mood"), mood).unwrap();
    }

    fn edit(&self, from: &str, to: &str) {
        let path = self.scene.path("keyroll.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Both keys are accepted.
    #[track_caller]
    fn both_live(&self) {
        let keys = self.scene.issuer.keys();
        assert!(keys.len() == 2 && keys.iter().all(|key| !key.disabled), "{keys:?}");
    }

    /// One key, in the file and in use.
    #[track_caller]
    fn on(&self, id: &str) {
        let keys = self.scene.issuer.keys();
        assert!(keys.len() == 1 && keys[0].id == id && !keys[0].disabled, "{keys:?}");
        assert_eq!(self.scene.holds("api/api.env").as_deref(), Some(id), "the copy");
        self.scene.issuer.forget();
        wait("calls with the live key", || self.scene.issuer.last_of("api").as_deref() == Some(id));
        let open = self.keyroll(&["status"]);
        open.exits(0);
        assert!(open.of("paused").is_empty(), "a rotation is open: {}", open.text);
    }
}

#[test]
fn units_on_bad_days_are_refused_or_rolled_back_or_paused() {
    let Some(day) = Day::raise("units on bad days") else { return };
    cannot_be_used(&day);
    fails_after_its_restart(&day);
    is_up_for_a_second(&day);
    hangs_in_its_stop(&day);
    // The cause is fixed.
    let plan = day.plan();
    day.keyroll(&["apply", &plan, "--confirm", "ring"]).exits(0).ended("done");
    let new = day.scene.issuer.keys()[0].id.clone();
    assert_ne!(new, day.scene.old);
    day.on(&new);
}

/// The unit does not exist, is stopped, or is another user's; and a systemctl with unexpected output.
fn cannot_be_used(day: &Day) {
    let odd =
        "mkdir odd; cat >odd/systemctl <<'END'\n#!/bin/sh\necho 'Load: well'\nEND\nchmod 755 odd/systemctl";
    day.inside(odd);
    let path = format!("PATH={}:/usr/bin:/bin:/usr/sbin:/sbin", day.scene.path("odd").display());
    let (unit, plain) = (r#"{ unit = "api.service" }"#, &[][..]);
    let others = r#"{ unit = "api.service", user = "daemon" }"#;
    let asked_by = ["env", path.as_str()];
    let cases = [
        (
            unit,
            r#"{ unit = "none.service" }"#,
            plain,
            "K0407",
            "systemd says it is not-found",
            "correct `runs.unit`",
        ),
        (unit, unit, &asked_by[..], "K0407", "systemd says it is unknown", "systemctl status api.service"),
        (unit, others, plain, "K0407", "it does not run", "loginctl enable-linger daemon"),
    ];
    for (from, to, before, code, why, next) in cases {
        day.edit(from, to);
        let ran = day.keyroll_by(before, &["plan", "ring"]);
        ran.refused(1, code, &[why, next]);
        told(&day.scene, &ran, code, why, next);
        day.edit(to, from);
        day.on(&day.scene.old);
    }
    // Only root may use the manager of another user.
    day.edit(unit, others);
    day.inside("chmod 755 .. .; chown -R deploy ..");
    let ran =
        day.keyroll_by(&["setpriv", "--reuid=deploy", "--regid=deploy", "--clear-groups"], &["plan", "ring"]);
    ran.refused(1, "K0407", &[]);
    told(&day.scene, &ran, "K0407", "only root or daemon may", "run keyroll as root, or as daemon");
    day.inside("chown -R root ..");
    day.edit(others, unit);
    day.on(&day.scene.old);
    // A restart would start a stopped unit.
    let plan = day.plan();
    day.keyroll(&["apply", &plan, "--confirm", "ring", "--until", "roll"]).exits(4).paused();
    day.inside("systemctl stop api.service");
    let ran = day.keyroll(&["resume", &plan, "--confirm", "ring"]);
    ran.exits(6);
    told(&day.scene, &ran, "K0407", "it is stopped, and a restart would start it", "declare it `at_rest`");
    day.both_live();
    day.inside("systemctl start api.service");
    day.keyroll(&["retry", &plan]).exits(5).ended("rolled_back");
    day.on(&day.scene.old);
}

fn fails_after_its_restart(day: &Day) {
    day.mood("fails");
    let plan = day.plan();
    let ran = day.keyroll(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(5).ended("rolled_back");
    told(&day.scene, &ran, "K0407", "result exit-code", "journalctl -u api.service");
    day.on(&day.scene.old);
}

/// It answers with the new key, and ends a moment later. If failures pause the rotation, both keys keep working.
fn is_up_for_a_second(day: &Day) {
    day.mood("second");
    day.edit(SECRET, &format!("{SECRET}on_failure = \"pause\"\n"));
    let plan = day.plan();
    let ran = day.keyroll(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(4);
    told(&day.scene, &ran, "K0407", "see it stay active", "journalctl -u api.service");
    assert!(ran.paused()["reason"].as_str().unwrap().contains("did not prove the "), "{}", ran.text);
    day.both_live();
    day.keyroll(&["status"]).exits(4).says(&[&format!("keyroll resume {plan}")]);
    day.keyroll(&["abort", &plan]).exits(5).ended("rolled_back");
    day.edit("on_failure = \"pause\"\n", "");
    day.on(&day.scene.old);
}

/// Stopping it never ends, forward or in a rollback: the process that never left the old key proves it, which is the way back. The
/// operator is told what did not end.
fn hangs_in_its_stop(day: &Day) {
    day.mood("hangs");
    day.edit(SECRET, &format!("{SECRET}unit_deadline = \"7s\"\n"));
    day.inside("systemctl restart api.service");
    wait("calls of the service", || day.scene.issuer.last_of("api").is_some());
    let plan = day.plan();
    let ran = day.keyroll(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(5).ended("rolled_back");
    told(&day.scene, &ran, "K0402", "in time (K0402)", "see what the command did");
    day.on(&day.scene.old);
    // The hanging process is killed by hand: what systemd starts then has the old key.
    day.mood("");
    day.inside("systemctl kill --signal=KILL api.service; systemctl is-active api.service || systemctl start api.service");
    day.edit("unit_deadline = \"7s\"\n", "");
    day.on(&day.scene.old);
}
