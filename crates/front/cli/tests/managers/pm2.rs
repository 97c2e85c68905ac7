//! An app of pm2, with the value in a file that its ecosystem file reads.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::managers::service::Service;

const START: &str = r#"
mkdir -m 700 pm2
printf 'MODE=plain\nKEY=%s\n' "$value" >bot.env
chmod 600 bot.env
cat >ecosystem.config.js <<'END'
const lines = require('fs').readFileSync(__dirname + '/bot.env', 'utf8').split('\n').filter(line => line.includes('='));
const env = Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
module.exports = { apps: [
  { name: 'bot', script: '@PROGRAM@', args: 'hostile::part --exact --nocapture', interpreter: 'none',
    env: { ...env, KEYROLL_TEST_PART: '@PART@' }, out_file: '/dev/null', error_file: '/dev/null' },
  { name: 'other', script: '/bin/sleep', args: '1000', interpreter: 'none' } ] };
END
pm2 start ecosystem.config.js >/dev/null
pm2 save >/dev/null
"#;

const STOP: &str = "pm2 kill >/dev/null 2>&1";

fn start() -> Option<Service> {
    let runs = r#"{ pm2 = "./ecosystem.config.js", app = "bot", home = "./pm2" }"#;
    let reads = r#"{ env_file = "./bot.env", variable = "KEY" }"#;
    Service::start("an app of pm2", runs, reads, START, STOP)
}

fn pid(service: &Service, app: &str) -> u32 {
    let mut command = Command::new(service.tools.program("pm2"));
    let output = command.args(["pid", app]).env("PM2_HOME", service.scene.path("pm2")).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Which key a file of pm2 holds, as the worker reports it: this process never holds a value.
fn holds_what_the_file_holds(service: &Service, dump: &str) -> bool {
    let script = format!("value=$(sed -n 's/^KEY=//p' bot.env); grep -qF -- \"$value\" {dump}");
    let found = Command::new("sh").args(["-euc", &script]).current_dir(service.scene.dir()).status();
    found.unwrap().success()
}

#[test]
fn an_app_of_pm2_is_moved_with_its_dump_and_comes_back() {
    let Some(service) = start() else { return };
    let other = pid(&service, "other");
    // keyroll reports the dump from which a reboot would start, with its mode.
    service.run(&["plan", "ring"]).exits(0).says(&["dump.pm2", "mode 0644", "chmod 600"]);
    service.sh("pm2 save >/dev/null");
    service.comes_back();
    assert!(holds_what_the_file_holds(&service, "pm2/dump.pm2"));
    let before = pid(&service, "bot");
    service.is_moved_through_a_kill(|| !Path::new(&format!("/proc/{before}")).exists());
    for dump in ["pm2/dump.pm2", "pm2/dump.pm2.bak"] {
        assert!(holds_what_the_file_holds(&service, dump), "{dump} would start the old value again");
    }
    assert_eq!(pid(&service, "other"), other, "another app was restarted");
    // The daemon has the new one too: it starts the app again if it dies.
    let now = pid(&service, "bot");
    service.sh(&format!("kill -KILL {now}"));
    service.rotated();
}

/// The dump still has the old value, so the old key is not revoked.
#[test]
fn a_dump_of_pm2_that_kept_the_old_value_holds_the_end_up() {
    let Some(service) = start() else { return };
    let plan = service.plan();
    service.sh("cp pm2/dump.pm2 ../kept");
    service.run(&["apply", &plan, "--confirm", "ring", "--until", "quiesce"]).exits(4).paused();
    service.sh("mv ../kept pm2/dump.pm2");
    let resumed = service.run(&["resume", &plan, "--confirm", "ring"]);
    assert_ne!(resumed.code, Some(0), "{}", resumed.text);
    resumed.says(&["dump.pm2"]);
    assert_eq!(service.scene.issuer.keys().len(), 2, "{}", resumed.text);
    service.sh("pm2 save >/dev/null; pm2 save >/dev/null");
    service.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
    service.rotated();
}

/// Somebody edited the ecosystem file, and another variable, since the app was started.
#[test]
fn edits_of_an_app_of_pm2_are_shown_by_name() {
    let Some(service) = start() else { return };
    service.sh("echo '// by somebody' >>ecosystem.config.js; sed -i 's/plain/fancy/' bot.env");
    let ran = service.run(&["plan", "ring"]);
    let names: Vec<&str> =
        ran.exits(0).of("live").iter().filter_map(|event| event["name"].as_str()).collect();
    assert_eq!(names, ["bot/ecosystem:ecosystem.config.js", "bot/bot.env:MODE"], "{}", ran.text);
    assert!(!ran.text.contains("fancy"), "{}", ran.text);
    assert!(fs::metadata(service.scene.path("pm2/dump.pm2.bak")).is_err(), "a plan saves nothing");
}
