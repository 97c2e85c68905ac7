//! Keys that the operator makes at the issuer's console: accepted if they are right, otherwise refused, with the old
//! key still in use. And the operator's statement that a key was revoked, which counts only when the key is seen dead.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

pub use keyroll_testkit::issuer::by_hand as human;
use keyroll_testkit::issuer::{Ask, ResponseFault, without};
use rustix::io::ioctl_fionread;
use zeroize::Zeroizing;

use crate::hostile::Case;
use crate::hostile::ran::{Ran, wait};
use crate::hostile::scene::{Scene, put};

pub const CASES: &[Case] = &[
    ("a key made by hand, given on stdin", given_on_stdin),
    ("a key made by hand, given in a file", given_in_a_file),
    ("what is pasted in place of a key made by hand", slips),
    ("a key made by hand that the issuer does not know, or of another account", not_it),
    ("a key made by hand while the issuer is silent", sealed_meanwhile),
    ("a state folder that is replaced while the key is awaited", replaced_meanwhile),
    ("a key made by hand that is born late", born_late),
    ("a key made by hand that is born later than the issuer says", born_too_late),
    ("a key made by hand that was mistyped, and back", mistyped_and_back),
    ("a key that nobody waits for", not_awaited),
    ("an end by hand that is said and not done", said_and_not_done),
    ("back from a key made by hand", back),
    ("an emergency with a key made by hand", emergency),
    ("a key made by hand that ends the one before", exchanged),
];

/// An issuer without an API for making and revoking keys: the operator does both at its console.
fn console(spec: &mut String) {
    human(spec);
    for name in ["op.disable", "op.enable", "op.revoke"] {
        *spec = without(spec, name);
    }
}

fn scene() -> Scene {
    Scene::made(|_, spec| human(spec))
}

/// Runs the rotation until it waits for the key; returns the plan's id.
#[track_caller]
fn waiting(scene: &Scene) -> String {
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(6).says(&["https://acme.example/keys", "1. press New key", "2. copy it"]);
    assert!(
        ran.paused()["reason"].as_str().unwrap().contains("waiting for you to make the new key"),
        "{}",
        ran.text
    );
    plan
}

#[track_caller]
fn moved_to(scene: &Scene, id: &str) {
    let keys = scene.issuer.keys();
    assert!(keys.len() == 1 && keys[0].id == id && !keys[0].disabled, "{keys:?}");
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(id));
    scene.run(&["status"]).exits(0);
}

/// No value was accepted: both keys work, the copy holds the old one, and no output repeats the input.
#[track_caller]
fn still_waits(scene: &Scene, ran: &Ran, given: &str) {
    assert!(given.len() < 6 || !ran.text.contains(given), "what was given is repeated");
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(scene.old.as_str()));
    assert!(scene.issuer.deletions().is_empty());
    scene.run(&["status"]).exits(6).says(&["waiting for you to make the new key"]);
}

fn given_on_stdin() {
    let scene = scene();
    let plan = waiting(&scene);
    scene.run(&["status"]).exits(6).says(&["waiting for you to make the new key", "--value-stdin"]);
    // Without a terminal no operator can be asked: the rotation keeps waiting.
    scene.run(&["resume", &plan]).exits(6).says(&["1. press New key"]);
    let (id, value) = scene.issuer.mint("made at the console");
    let ran = scene.fed(&["resume", &plan, "--value-stdin", "--confirm", "ring"], &value);
    ran.exits(0).ended("done");
    moved_to(&scene, &id);
    scene.run(&["secret", "show", "ring"]).exits(0).says(&[&id]);
}

fn given_in_a_file() {
    let scene = scene();
    waiting(&scene);
    let (id, value) = scene.issuer.mint("made at the console");
    // Outside of the searched folders.
    let file = scene.path("run/new.key");
    put(&file, &[&value, "\n"], 0o644);
    let ran = scene.run(&["resume", "--value-file", "run/new.key", "--confirm", "ring"]);
    ran.refused(1, "K0806", &["other users can read it", "chmod 600"]);
    still_waits(&scene, &ran, &value);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    scene.run(&["resume", "--value-file", "run/new.key", "--until", "roll"]).exits(4);
    // The file with the key would be an undeclared copy, and is removed before the key is used.
    fs::remove_file(&file).unwrap();
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    moved_to(&scene, &id);
}

fn slips() {
    let scene = scene();
    let plan = waiting(&scene);
    let old = Zeroizing::new(fs::read_to_string(scene.path("api/api.env")).unwrap());
    let old = old.lines().find_map(|line| line.strip_prefix("KEY=")).unwrap();
    let (id, value) = scene.issuer.mint("made at the console");
    let (first, second) = value.split_at(20);
    let slips = [
        (format!("{first}\n{second}"), "has a line break"),
        (format!("\"{}\"", *value), "stands in quotes"),
        (format!(" {}", *value), "has white space in it"),
        (format!("KEY={}", *value), "does not begin with `acme_sk_`"),
        ("acme_sk_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(), "is a placeholder"),
        (format!("{first}...{}", &value[44..]), "is a placeholder or a shortened display"),
        (first.to_owned(), "it was cut off"),
        (format!("{}a", *value), "which is more than such a key has"),
        (old.to_owned(), "it is the value of ring v1, which already exists"),
    ];
    for (given, why) in slips {
        let given = Zeroizing::new(given);
        let ran = scene.fed(&["resume", &plan, "--value-stdin"], &given);
        let known = why.contains("already exists");
        let help =
            if known { "make a key by following the steps" } else { "paste the same complete key again" };
        ran.refused(6, "K0112", &[why, help, "keyroll resume"]);
        still_waits(&scene, &ran, &given);
    }
    // Only up to this step: this test process holds both values, and would be an undeclared process.
    let ran = scene.fed(&["resume", "--value-stdin", "--until", "quiesce"], &value);
    ran.exits(4).paused();
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(id.as_str()));
}

fn not_it() {
    let scene = scene();
    waiting(&scene);
    let (ended, value) = scene.issuer.mint("ended already");
    scene.issuer.end(&ended);
    let ran = scene.fed(&["resume", "--value-stdin"], &value);
    ran.refused(6, "K0112", &["refuses it: the key is not alive", "it stays sealed", "--value-stdin"]);
    still_waits(&scene, &ran, &value);
    // The operator need not paste the key again, and can enter another one instead.
    let ran = scene.run(&["resume"]);
    ran.refused(6, "K0112", &["keyroll checks it again", "refuses it: the key is not alive"]);
    still_waits(&scene, &ran, &value);
    let (id, value) = scene.issuer.mint("made at the console");
    // The issuer's first answers, to the probe and to the question for the id, name another account.
    scene.issuer.mood(Ask::Me, ResponseFault::Another, 2);
    let ran = scene.fed(&["resume", "--value-stdin"], &value);
    ran.refused(6, "K0112", &["another account"]);
    still_waits(&scene, &ran, &value);
    scene.issuer.calm();
    scene.fed(&["resume", "--value-stdin", "--confirm", "ring"], &value).exits(0).ended("done");
    moved_to(&scene, &id);
}

/// A backup that was restored under the same path: what is written to the files of before is gone with them.
fn replaced_meanwhile() {
    let scene = scene();
    waiting(&scene);
    let (id, value) = scene.issuer.mint("made at the console");
    let mut command = scene.command(&["resume", "--value-stdin", "--confirm", "ring"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // The open journal does not tell that the key is being read: for a moment more it is still written to, which would
    // disturb a copy.
    let (first, rest) = value.as_bytes().split_at(8);
    let mut given = child.stdin.take().unwrap();
    given.write_all(first).unwrap();
    wait("it has read the beginning of the key and waits for its end", || {
        ioctl_fionread(&given).unwrap() == 0
    });
    let links = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap().flatten();
    let mut paths = links.filter_map(|link| fs::read_link(link.path()).ok());
    assert!(paths.any(|path| path.ends_with("state/journal.db")), "the journal is open while it waits");
    scene.sh("cp -a ../state ../aside && rm -rf ../state && mv ../aside ../state");
    given.write_all(rest).unwrap();
    drop(given);
    let output = child.wait_with_output().unwrap();
    Ran::read(output.status.code(), &output.stdout, &output.stderr).exits(0).ended("done");
    moved_to(&scene, &id);
    scene.run(&["status"]).exits(0);
    scene.run(&["verify", "ring"]).exits(0);
}

fn sealed_meanwhile() {
    let scene = scene();
    waiting(&scene);
    let (id, value) = scene.issuer.mint("made at the console");
    scene.issuer.mood(Ask::Me, ResponseFault::TooMany, 9_999);
    let ran = scene.fed(&["resume", "--value-stdin"], &value);
    ran.refused(6, "K0112", &["not visible whether", "it stays sealed"]);
    still_waits(&scene, &ran, &value);
    scene.issuer.calm();
    // An incomplete list does not tell the id.
    scene.issuer.mood(Ask::List, ResponseFault::HalfList, 2);
    let again = scene.run(&["resume", "--confirm", "ring"]);
    again.says(&["was entered before is sealed, and keyroll checks it again"]);
    scene.issuer.calm();
    let ran = if again.code == Some(0) { again } else { scene.run(&["resume", "--confirm", "ring"]) };
    ran.exits(0).ended("done");
    moved_to(&scene, &id);
}

/// The issuer accepts the key only after its full delay; the operator enters the key once.
fn born_too_late() {
    let scene = scene();
    waiting(&scene);
    let (id, value) = scene.issuer.mint("made at the console");
    scene.issuer.end(&id);
    let ran = scene.fed(&["resume", "--value-stdin"], &value);
    ran.refused(6, "K0112", &["refuses it", "it stays sealed"]);
    still_waits(&scene, &ran, &value);
    scene.issuer.restore(&id);
    let ran = scene.run(&["resume", "--confirm", "ring"]);
    ran.exits(0).ended("done").says(&["keyroll checks it again"]);
    moved_to(&scene, &id);
}

/// An operator who cannot get a key rolls back: the mistyped key does not matter.
fn mistyped_and_back() {
    let scene = scene();
    let open = waiting(&scene);
    let (id, value) = scene.issuer.mint("made at the console");
    scene.issuer.end(&id);
    scene.fed(&["resume", "--value-stdin"], &value).refused(6, "K0112", &["it stays sealed"]);
    let ran = scene.run(&["abort", &open]);
    ran.exits(5).ended("rolled_back").says(&["revoke it at the issuer's console"]);
}

fn born_late() {
    let scene = Scene::made(|_, spec| {
        human(spec);
        *spec = spec.replace("birth_max = \"0s\"", "birth_max = \"60s\"");
    });
    waiting(&scene);
    scene.issuer.delays(Duration::from_secs(2), Duration::ZERO);
    let (id, value) = scene.issuer.mint("made at the console");
    let ran = scene.fed(&["resume", "--value-stdin", "--confirm", "ring"], &value);
    ran.exits(0).ended("done").says(&["a new key may need some time here"]);
    moved_to(&scene, &id);
}

fn not_awaited() {
    let scene = Scene::new();
    let id = scene.until("mint");
    let (_, value) = scene.issuer.mint("made at the console");
    scene.fed(&["resume", &id, "--value-stdin"], &value).refused(1, "K0112", &["keyroll status"]);
    scene.run(&["abort", &id]).exits(5).ended("rolled_back");
}

fn said_and_not_done() {
    let scene = Scene::made(|_, spec| console(spec));
    waiting(&scene);
    let (id, value) = scene.issuer.mint("made at the console");
    let ran = scene.fed(&["resume", "--value-stdin", "--confirm", "ring"], &value);
    ran.exits(6).says(&["1. press Delete beside the old key", "--revoked-by-hand"]);
    scene.run(&["status"]).exits(6).says(&["waiting for you to revoke the old key"]);
    let said = scene.run(&["resume", "--revoked-by-hand"]);
    said.refused(6, "K0715", &["still accepts it", "nothing was recorded"]);
    // The operator revoked the new key by mistake: keyroll does not take that for the revoke of the old key.
    scene.run(&["status"]).exits(6).says(&["waiting for you to revoke the old key"]);
    scene.issuer.end(&scene.old);
    scene.run(&["resume", "--revoked-by-hand"]).exits(0).ended("done");
    moved_to(&scene, &id);
    assert!(scene.issuer.deletions().is_empty(), "no API ends keys there");
}

fn back() {
    let scene = Scene::made(|_, spec| console(spec));
    waiting(&scene);
    let (id, value) = scene.issuer.mint("made at the console");
    let ran = scene.fed(&["resume", "--value-stdin", "--until", "quiesce"], &value);
    ran.exits(4).paused();
    // The test process holds it too, and would be an undeclared process.
    drop(value);
    let stuck = scene.run(&["abort"]);
    // The run, and `status` later, say which key to revoke, where and how, and that the other key stays.
    let whole = |ran: &Ran| {
        let print = fingerprint(&scene, &id);
        let says = [
            "revoke the NEW key, the one that you entered at 2",
            "at https://acme.example/keys",
            "the old key stays",
        ];
        ran.exits(6).says(&says);
        ran.says(&[&print, "1. press Delete beside the old key", "keyroll retry"]);
    };
    stuck.says(&["K0715", "still accepts it"]);
    whole(&stuck);
    whole(&scene.run(&["status"]));
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(scene.old.as_str()));
    // The operator's word alone does not count as dead.
    scene.run(&["retry"]).exits(6).says(&["still accepts it"]);
    scene.issuer.end(&id);
    scene.run(&["retry"]).exits(5).ended("rolled_back");
    scene.as_before();
}

/// By fingerprints, with which the operator distinguishes the versions.
fn fingerprint(scene: &Scene, id: &str) -> String {
    let shown = scene.run(&["secret", "show", "ring"]);
    let all = shown.of("secret").pop().unwrap()["versions"].clone();
    let its = all.as_array().unwrap().iter().find(|one| one["id"] == id).cloned();
    its.unwrap()["fingerprint"].as_str().unwrap().to_owned()
}

/// The API revokes the leaked key first; then the rotation waits for the operator only.
fn emergency() {
    let scene = scene();
    let plan = scene.plan();
    let began = Instant::now();
    let ran = scene.run(&["apply", &plan, "--emergency", "revoke-now", "--confirm", "ring"]);
    let ended = began.elapsed();
    ran.exits(6).says(&["1. press New key"]);
    assert_eq!(scene.issuer.deletions().join(" "), scene.old);
    assert!(scene.issuer.keys().is_empty(), "the leaked key is gone before there is another");
    let (id, value) = scene.issuer.mint("made at the console");
    let given = Instant::now();
    let ran = scene.fed(&["resume", "--value-stdin", "--confirm", "ring"], &value);
    ran.exits(0).ended("done");
    println!(
        "emergency: the old key ended and the steps shown after {:.1} s; from the value to the end {:.1} s",
        ended.as_secs_f64(),
        given.elapsed().as_secs_f64()
    );
    moved_to(&scene, &id);
}

/// One value at a time, like a bot's token: consent comes before the operator makes the new one.
fn exchanged() {
    let scene = Scene::made(|_, spec| {
        console(spec);
        *spec = without(spec, "op.list").replace("kind      = ", "kind = ");
        *spec = spec.replace("kind = \"independent\", max = 0", "kind = \"none\"");
    });
    let plan = scene.plan();
    let asked = scene.run(&["apply", &plan]);
    asked.exits(6).says(&["needs your consent"]);
    assert!(
        !asked.text.contains("press New key"),
        "nobody is told to make a key before the outage is agreed to"
    );
    scene.run(&["resume", "--confirm", "ring"]).exits(6).says(&["1. press New key"]);
    let (id, value) = scene.issuer.mint("made at the console");
    scene.issuer.end(&scene.old);
    let ran = scene.fed(&["resume", "--value-stdin", "--confirm", "ring"], &value);
    ran.exits(0).ended("done");
    moved_to(&scene, &id);
}
