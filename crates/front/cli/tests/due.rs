//! Due secrets are rotated without an operator, and no other ones.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use keyroll_testkit::issuer::{Ask, Issuer, ResponseFault};

use crate::hostile::scene::Scene;

/// A second secret, which is processed before the first.
const ALPHA: &str = r#"
[secrets.alpha]
issuer = "file:./alpha.toml"
admin  = "file:./alpha.key"
rotate_every = "0s"
unattended = true

[secrets.alpha.revoke]
decide = "standing"

[[secrets.alpha.consumers]]
name  = "job"
runs  = { at_rest = true }
reads = { env_file = "./alpha.env", variable = "KEY" }
check = { exec = ["./check.sh", "KEY", "{copy}"] }
"#;

/// A secret that is due as soon as it was added.
fn scene(every: &str, unattended: bool) -> Scene {
    Scene::made(|config, _| {
        let flag =
            format!("rotate_every = \"{every}\"\nunattended = {unattended}\n\n[secrets.ring.revoke]\n");
        let standing = if unattended { "decide = \"standing\"\n" } else { "" };
        *config = config.replace("[secrets.ring.revoke]\n", &(flag + standing));
    })
}

#[test]
fn what_is_due_is_rotated_under_a_standing_consent() {
    let scene = scene("0s", true);
    let ran = scene.run(&["due"]);
    ran.exits(3);
    let row = &ran.of("due")[0];
    assert_eq!((&row["secret"], &row["unattended"]), (&"ring".into(), &true.into()), "{}", ran.text);
    scene.run(&["due", "--apply"]).exits(0).ended("done");
    scene.rotated();
}

#[test]
fn what_is_not_due_or_needs_a_consent_is_left_alone() {
    let fresh = scene("90d", true);
    fresh.run(&["due"]).exits(0);
    fresh.run(&["due", "--apply"]).exits(0);
    assert_eq!(fresh.issuer.asked(Ask::Mint), 0);
    let asks = scene("0s", false);
    asks.run(&["due", "--apply"]).refused(6, "K0854", &["no standing consent", "keyroll plan ring"]);
    assert_eq!(asks.issuer.asked(Ask::Mint), 0);
    // With a waiver the standing consent does not count: the rotation pauses with the old key enabled.
    let waived = scene("0s", true);
    waived.copy("api/api.env", "also/decoy.env");
    waived.run(&["due", "--apply"]).exits(6).says(&["K0836", "also/decoy.env"]);
    waived.run(&["consumer", "waive", "also/decoy.env", "--reason", "a decoy"]).exits(0);
    waived.run(&["due", "--apply"]).exits(6).says(&["consent"]);
    assert!(waived.issuer.keys().iter().any(|key| key.id == waived.old && !key.disabled));
    // The next run does not continue it.
    waived.run(&["due", "--apply"]).refused(6, "K0854", &["is paused", "keyroll status"]);
    waived.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    waived.rotated();
}

#[test]
fn a_dead_driver_is_taken_over_and_a_living_one_is_not_disturbed() {
    let scene = scene("0s", true);
    let running = scene.start(&["due", "--apply"]);
    scene.issuer.mood(Ask::Me, ResponseFault::TooMany, 0);
    running.enters("mint");
    scene.issuer.mood(Ask::Me, ResponseFault::TooMany, 9999);
    running.enters("probe");
    scene.run(&["due", "--apply"]).refused(7, "K0854", &["keyroll did not interrupt it"]);
    running.signal(Signal::KILL);
    drop(running.end());
    scene.issuer.calm();
    scene.run(&["due", "--apply"]).exits(0).ended("done");
    scene.rotated();
    // A rotation whose timer service was stopped stays paused until the operator resumes it, as the unit says.
    let stopped = self::scene("0s", true);
    std::os::unix::fs::symlink("keyroll.toml", stopped.path("current.toml")).unwrap();
    let unit = stopped.run(&["--config", "current.toml", "due", "--timer"]);
    unit.exits(0).says(&["KillSignal=SIGINT", "until a person resumes", "/current.toml"]);
    let running = stopped.start(&["due", "--apply"]);
    running.enters("mint");
    stopped.issuer.mood(Ask::Me, ResponseFault::TooMany, 9999);
    running.enters("probe");
    running.signal(Signal::INT);
    running.end().exits(130).paused();
    stopped.issuer.calm();
    stopped.run(&["due", "--apply"]).refused(6, "K0854", &["is paused"]);
    stopped.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    stopped.rotated();
    // One that somebody paused stays paused.
    let paused = self::scene("0s", true);
    let plan = paused.plan();
    paused.run(&["apply", &plan, "--until", "quiesce"]).exits(4).paused();
    paused.run(&["due", "--apply"]).refused(6, "K0854", &["is paused"]);
    paused.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    paused.rotated();
}

/// While one secret is processed, somebody else resumes the open rotation of the next one.
#[test]
fn whoever_takes_a_rotation_up_meanwhile_is_not_disturbed() {
    let (issuer, admin) = Issuer::start();
    let (key, value) = issuer.mint("by hand");
    let scene = Scene::made(|config, _| {
        let standing =
            "rotate_every = \"0s\"\nunattended = true\n\n[secrets.ring.revoke]\ndecide = \"standing\"\n";
        *config = config.replace("[secrets.ring.revoke]\n", standing) + ALPHA;
    });
    let write = |name: &str, text: &str| {
        fs::write(scene.path(name), text).unwrap();
        fs::set_permissions(scene.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    let spec = issuer.spec("1s");
    write("alpha.toml", &spec);
    write("alpha.key", &format!("{}\n", *admin));
    write("alpha.env", &format!("KEY={}\n", *value));
    scene.add("alpha", &key, &value).exits(0);
    // An open rotation without a driver.
    let plan = scene.plan();
    let running = scene.start(&["apply", &plan]);
    running.enters("mint");
    scene.issuer.mood(Ask::Me, ResponseFault::TooMany, 9999);
    running.enters("probe");
    running.signal(Signal::KILL);
    drop(running.end());
    // The issuer of the other secret is slow.
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = (issuer.port().to_string(), slow.local_addr().unwrap().port().to_string());
    write("alpha.toml", &spec.replace(&ports.0, &ports.1));
    let timer = scene.start(&["due", "--apply"]);
    let asked = slow.accept().unwrap();
    let person = scene.start(&["resume", &plan]);
    person.says("it is taken up", |event| event["type"] == "rotation");
    drop((asked, slow));
    let ran = timer.end();
    scene.issuer.calm();
    person.end().exits(0).ended("done");
    assert_eq!(ran.code, Some(1), "{}", ran.text);
    scene.rotated();
    // Stopped between the two: the next rotation is not started, although the secret is due.
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    write("alpha.toml", &spec.replace(&ports.0, &slow.local_addr().unwrap().port().to_string()));
    let mut timer = Command::new(env!("CARGO_BIN_EXE_keyroll"));
    timer.args(["due", "--apply", "--state", "../state"]).current_dir(scene.dir()).env("HOME", scene.dir());
    let mut timer = timer.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let asked = slow.accept().unwrap();
    kill_process(Pid::from_child(&timer), Signal::INT).unwrap();
    let mut said = BufReader::new(timer.stderr.take().unwrap()).lines().map(Result::unwrap);
    said.find(|line| line.contains("stopping at the next safe point")).unwrap();
    drop((asked, slow));
    let said: Vec<String> = said.collect();
    assert_eq!(timer.wait().unwrap().code(), Some(130), "{said:?}");
    assert!(said.iter().any(|line| line.contains("stopped before ring")), "{said:?}");
    scene.rotated();
}

/// A key from a pipe can be read only once, however many secrets there are.
#[test]
fn the_store_is_opened_once_to_see_what_is_due() {
    if Command::new("strace").arg("-V").output().is_err() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "strace is missing in CI");
        eprintln!("left out, because strace is not installed: how often the store is opened");
        return;
    }
    let scene = scene("90d", true);
    let opened = || {
        let record = scene.path("run/trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=openat", "-o"]).arg(&record);
        command.args([env!("CARGO_BIN_EXE_keyroll"), "due", "--state", "../state", "--json"]);
        let output = command.current_dir(scene.dir()).env("HOME", scene.dir()).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).matches(r#""type":"due""#).count();
        let text = fs::read_to_string(record).unwrap();
        (shown, text.lines().filter(|line| line.contains("/secrets.db\"")).count())
    };
    let (one, opens) = opened();
    assert!(one == 1 && opens > 0, "{one} shown, {opens} opens");
    let more = ["beta", "gamma"]
        .map(|name| format!("\n[secrets.{name}]\nissuer = \"file:./acme.toml\"\nrotate_every = \"9d\"\n"));
    let config = scene.path("keyroll.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap() + &more.concat()).unwrap();
    assert_eq!(opened(), (3, opens));
}
