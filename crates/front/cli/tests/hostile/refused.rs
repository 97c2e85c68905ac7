//! A forgotten process still uses the old key while the key is disabled: the issuer's own record shows it.

use rustix::process::Signal;

use crate::hostile::Case;
use crate::hostile::ran::{Ran, Running, wait};
use crate::hostile::scene::Scene;
use keyroll_testkit::issuer::{Ask, ResponseFault};

pub const CASES: &[Case] = &[
    ("a refused use that the issuer shows", shown_by_the_issuer),
    ("a refused use while nobody drives", refused_while_nobody_drives),
    ("a record of refused uses that cannot be read", record_unread),
    ("a record of refused uses that may not be read", record_forbidden),
    ("a rotation that nobody disturbs", undisturbed),
];

const RECORD: &str = r#"
[op.refusals]
request = { method = "GET", url = "http://127.0.0.1:@PORT@/v1/keys/{cred.id}/refusals" }
ok      = [{ status = [200], json_has = ["/data"] }]
items   = "/data"
id      = "/id"
client  = "/client"
agent   = "/agent"
lag     = "0s"
page    = { kind = "none" }

[propagation]"#;

/// No consumer has a log, so only the issuer shows refused uses. `soak` is the length of the soak.
fn scene(soak: &str) -> Scene {
    Scene::made(|config, spec| {
        *config = config.replace("soak         = \"0s\"", &format!("soak = \"{soak}\""));
        let log = config.lines().find(|line| line.starts_with("log ")).unwrap().to_owned();
        *config = config.replace(&log, "");
        let port = spec.split("http://127.0.0.1:").nth(1).unwrap().split('/').next().unwrap().to_owned();
        *spec = spec.replace("\"consumer-logs\"", "\"issuer-log\"");
        *spec = spec.replacen("\n[propagation]", &RECORD.replace("@PORT@", &port), 1);
    })
}

/// A rotation with a long soak.
fn soaking(scene: &Scene) -> (String, Running) {
    scene.copy("api/api.env", "log/kept.env");
    let planned = scene.run(&["plan", "ring"]);
    planned.exits(0).says(&["refused calls with the old key are visible in the log of ACME API keys"]);
    let plan = planned.plan();
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    running.enters("soak");
    assert!(is_off(scene));
    (plan, running)
}

fn is_off(scene: &Scene) -> bool {
    scene.issuer.keys().iter().any(|key| key.id == scene.old && key.disabled)
}

/// The rotation pauses with the old key enabled, and names the process that uses the key.
#[track_caller]
fn stands(scene: &Scene, ran: &Ran, pid: u32) {
    ran.exits(6).paused();
    assert!(!is_off(scene), "the old key is off: {}", ran.text);
    wait("the forgotten one is accepted", || {
        scene.issuer.last_of("forgotten").as_deref() == Some(scene.old.as_str())
    });
    let blocked = ran.of("blocked");
    let named = blocked.iter().find(|event| event["holder"]["pid"] == pid);
    let named = named.unwrap_or_else(|| panic!("process {pid} is not named: {}", ran.text));
    assert_eq!(named["holder"]["kind"], "user of the old key", "{}", ran.text);
    assert_eq!(scene.issuer.deletions(), [] as [String; 0]);
    assert_eq!(scene.issuer.refused_while_off(&scene.old), 0, "keyroll presented a key that was off");
}

fn shown_by_the_issuer() {
    let scene = scene("30m");
    let (plan, running) = soaking(&scene);
    let pid = scene.start_by_hand("forgotten", &scene.path("log/kept.env"), "");
    let ran = running.end();
    stands(&scene, &ran, pid);
    ran.says(&["the issuer refused it on its connection 127.0.0.1:"]);
    // After that process has ended, the rotation continues, and earlier refusals do not count again.
    scene.end(pid);
    let running = scene.start(&["resume", &plan, "--confirm", "ring"]);
    running.enters("soak");
    let asked = scene.issuer.asked(Ask::Refusals);
    wait("three more looks", || scene.issuer.asked(Ask::Refusals) >= asked + 3);
    assert!(is_off(&scene), "a use of before counted");
    running.signal(Signal::INT);
    running.end().exits(130);
    scene.run(&["abort", &plan]).exits(5);
    scene.as_before();
}

fn refused_while_nobody_drives() {
    let scene = scene("30m");
    let (plan, running) = soaking(&scene);
    running.signal(Signal::KILL);
    let _ = running.end();
    let pid = scene.start_by_hand("forgotten", &scene.path("log/kept.env"), "");
    wait("it is refused", || {
        scene.run(&["status"]).exits(4);
        scene.issuer.record(&scene.old) > 0
    });
    let ran = scene.run(&["resume", &plan, "--confirm", "ring"]);
    stands(&scene, &ran, pid);
    scene.end(pid);
    scene.run(&["abort", &plan]).exits(5);
    scene.as_before();
}

/// A missing answer does not mean "none": the soak lasts until the record was read.
fn record_unread() {
    let scene = scene("0s");
    let plan = scene.plan();
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    wait("it is switched off", || is_off(&scene));
    let asked = scene.issuer.asked(Ask::Refusals);
    for (mood, times) in
        [(ResponseFault::Html, 2), (ResponseFault::TooMany, 2), (ResponseFault::CutShort, 1_000)]
    {
        scene.issuer.mood(Ask::Refusals, mood, times);
    }
    wait("six looks in vain", || scene.issuer.asked(Ask::Refusals) >= asked + 6);
    assert!(is_off(&scene) && scene.issuer.deletions().is_empty(), "what was not read was taken for none");
    scene.issuer.calm();
    let ran = running.end();
    ran.exits(0).ended("done");
    scene.rotated();
}

/// The plan says what cannot be seen, and nothing is promised.
fn record_forbidden() {
    let scene = scene("0s");
    scene.issuer.mood(Ask::Refusals, ResponseFault::Forbidden, 1);
    let planned = scene.run(&["plan", "ring"]);
    planned.exits(0).says(&["not visible at the issuer", "status 403", "let the admin credential read it"]);
    // The record has become readable by the time of `apply`, and is then used.
    scene.apply().exits(0).ended("done");
    scene.rotated();
}

fn undisturbed() {
    let scene = scene("1s");
    scene.apply().exits(0).ended("done");
    assert!(scene.issuer.asked(Ask::Refusals) > 2, "the record is marked and read");
    scene.rotated();
}
