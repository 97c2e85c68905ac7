//! The ways out of a rotation that waits for what never comes, on a bad night: a consumer that is gone, a file that somebody
//! edited, a copy that was named wrongly, an adoption that was killed. Each way is walked from the very state in which it is
//! named, forward and back. Above each case stands how it fails where the way is missing.

use std::fs;
use std::path::Path;

use keyroll_testkit::command::dress;
use keyroll_testkit::issuer::{Ask, ResponseFault};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::hostile::Case;
use crate::hostile::ran::{Ran, Running, wait};
use crate::hostile::scene::{Scene, ended_for_this, put};
use crate::kill::trace::{self, Place};

pub const CASES: &[Case] = &[
    ("a consumer whose restart can never work is let go, and the rotation ends", gone_forward),
    (
        "a consumer whose restart can never work is let go in a rollback, and its file has the old value",
        gone_back,
    ),
    ("a consumer of which a process runs is not let go, and neither is one that nobody knows", not_gone),
    ("a consumer that was let go and runs again blocks by its name", back_again),
    ("an edited file is accepted as it stands, and its process still proves the new key", edited_forward),
    ("an edited file is accepted as it stands, and its process still proves the old key", edited_back),
    (
        "a copy with the value in a URL is adopted in that form, and one without the value is refused",
        in_a_url,
    ),
    ("a file of which no part was named is adopted by its variable", by_its_variable),
    ("an adoption of a copy that its process does not read is put right in the open rotation", put_right),
    ("an adoption is killed before and after each file that it replaces", || killed("fsync", true)),
    ("an adoption is killed at each write of the journal", || killed("pwrite64", true)),
    ("an adoption without an open rotation is killed before and after each file", || killed("fsync", false)),
    ("every way past a process that holds the old key is walked", || walked(&holder)),
    ("every way past a file that somebody edited is walked", || walked(&foreign)),
    ("every way past a file that somebody edited is walked in a rollback", || walked(&foreign_back)),
    ("every way past a consumer that does not run is walked, while a driver waits", || walked(&absent)),
    ("every way past a pause that somebody asked for is walked", || walked(&asked)),
    ("every way past a consent that nobody gave is walked", || walked(&consent)),
    ("every way past a use of the old key that was refused is walked", || walked(&refused_use)),
    ("every way past an issuer that does not disable the old key is walked", || walked(&not_disabled)),
    ("every way past an issuer that does not revoke the old key is walked", || walked(&debt)),
    (
        "a pid file that was emptied is named, and the line that is shown lets the rollback end",
        emptied_pid_file,
    ),
    ("the same waiver again changes nothing, and ends no driver", waived_again),
];

/// A second consumer. Its restart fails while there is a file `run/fail-two`.
const TWO: &str = r#"
[[secrets.ring.consumers]]
name  = "two"
runs  = { restart = ["./two.sh"], pid_file = "./run/two.pid" }
reads = [{ env_file = "./two/two.env", variable = "KEY" }]
"#;

/// Its restart.
const TWO_SH: &str =
    "#!/bin/sh\nset -eu\nif [ -e run/fail-two ]; then exit 3; fi\nexec ./restart.sh two two/two.env\n";

/// What the operator says of a consumer.
const WHY: &str = "its machine was scrapped";

/// Two consumers with a file each, in a rotation that pauses where one does not take the new key. `keep/old.env` is what the
/// file of the second one held before.
fn both() -> Scene {
    let scene = Scene::new();
    let config = scene.path("keyroll.toml");
    let text = fs::read_to_string(&config).unwrap().replace("admin  =", "on_failure = \"pause\"\nadmin  =");
    fs::write(&config, text + TWO).unwrap();
    put(&scene.path("two.sh"), &[TWO_SH], 0o755);
    scene
        .sh("mkdir two keep; umask 077; grep '^KEY=' api/api.env > two/two.env; cp two/two.env keep/old.env");
    scene.restart("two", "two/two.env");
    scene
}

/// Ends the process of the second consumer; nothing starts it again.
fn end_two(scene: &Scene) {
    let pid = fs::read_to_string(scene.path("run/two.pid")).unwrap();
    scene.end(pid.trim().parse().unwrap());
}

/// Somebody rewrites the file of the second consumer: the value of this file stands there alone, without its variable. The
/// worker reads it, and keyroll does not.
fn edit_two(scene: &Scene, from: &str) {
    scene.sh(&format!("umask 077; sed -n 's/^KEY=//p' {from} > two/new; mv two/new two/two.env"));
}

/// Whose key the rewritten file holds.
fn in_rewritten(scene: &Scene) -> Option<String> {
    let content = Zeroizing::new(fs::read_to_string(scene.path("two/two.env")).unwrap());
    scene.issuer.whose(content.strip_suffix('\n').unwrap().as_bytes())
}

fn resumed(scene: &Scene, id: &str) -> Ran {
    scene.run(&["resume", id, "--confirm", "ring"])
}

fn let_go(scene: &Scene, name: &str) -> Ran {
    scene.run(&["consumer", "let-go", name, "--reason", WHY])
}

/// The rotation as `status` shows it.
#[track_caller]
fn row(scene: &Scene, id: &str) -> Value {
    let ran = scene.run(&["status", id]);
    ran.of("status").first().copied().unwrap_or_else(|| panic!("no status: {}", ran.text)).clone()
}

/// Nothing is waived in a rotation, and nobody was recorded as having asked for it.
#[track_caller]
fn nothing_waived(scene: &Scene, id: &str, verb: &str) {
    let row = row(scene, id);
    assert_eq!(row["waived"], serde_json::json!([]), "{row}");
    let audit = scene.run(&["audit"]);
    assert!(!audit.exits(0).text.contains(verb), "{}", audit.text);
}

/// The same again changes nothing: whoever was not sure whether the first one was recorded asks twice.
#[track_caller]
fn waived_once(scene: &Scene, id: &str) {
    let row = row(scene, id);
    assert_eq!(row["waived"].as_array().map(Vec::len), Some(1), "{row}");
}

/// `status` and `history` list a waiver with its reason.
#[track_caller]
fn listed(scene: &Scene, id: &str, what: &str, reason: &str) {
    let has = |row: &Value| {
        let said = |one: &Value| one.as_str().is_some_and(|one| one.contains(what) && one.contains(reason));
        row["waived"].as_array().is_some_and(|all| all.iter().any(said))
    };
    let status = row(scene, id);
    assert!(has(&status), "{status}");
    let history = scene.run(&["history", id]);
    assert!(history.of("past").into_iter().any(has), "{}", history.text);
}

/// What the second consumer is said to have come to.
fn stage_of_two(scene: &Scene, id: &str) -> String {
    let row = row(scene, id);
    let units = row["units"].as_array().unwrap();
    units.iter().find(|unit| unit["name"] == "two").unwrap()["stage"].as_str().unwrap().to_owned()
}

/// Red: `let-go` is no command, or the rotation asks for a proof of `two` again and is stuck (exit 6), or its file was left with
/// the old value, or `status` says that it is on the new key although nothing of it runs.
fn gone_forward() {
    let scene = both();
    let id = scene.until("roll");
    end_two(&scene);
    scene.sh("touch run/fail-two");
    let ran = resumed(&scene, &id);
    ran.exits(6).says(&["`two` did not prove the new key", "keyroll consumer let-go two --reason WHY"]);
    let next = format!("to continue: keyroll resume {id}");
    let_go(&scene, "two").exits(0).says(&["two", &format!("keyroll status {id}"), &next]);
    let_go(&scene, "two").exits(0);
    waived_once(&scene, &id);
    resumed(&scene, &id).exits(0).ended("done");
    listed(&scene, &id, "two", WHY);
    assert!(stage_of_two(&scene, &id).starts_with("taken as gone"));
    scene.rotated();
    assert!(scene.is_ended(&scene.old), "the old key is dead");
    assert_eq!(scene.holds("two/two.env"), scene.holds("api/api.env"), "its file has the new value");
}

/// Red: the rollback is stuck (exit 6) and no command ends it, or it ends and leaves the new value in the file of `two`, which then
/// starts with a key that is gone.
fn gone_back() {
    let scene = both();
    let id = scene.until("quiesce");
    end_two(&scene);
    scene.sh("touch run/fail-two");
    let ran = scene.run(&["abort", &id]);
    ran.exits(6).says(&["`two` did not prove the old key", "keyroll consumer let-go two --reason WHY"]);
    let_go(&scene, "two").exits(0);
    scene.run(&["resume", &id]).exits(5).ended("rolled_back");
    listed(&scene, &id, "two", WHY);
    scene.as_before();
    assert_eq!(scene.holds("two/two.env").as_deref(), Some(scene.old.as_str()), "its file has the old value");
}

/// Red: the second one is recorded as well, or a driver that waits for something else is ended for it; or it does not say that
/// nothing was changed.
fn waived_again() {
    let scene = both();
    let (driver, id) = scene.waits_for_api();
    let waive = ["consumer", "waive", "api", "--reason", WHY];
    scene.run(&waive).exits(0).says(&["waived for ring"]);
    driver.end().exits(130);
    let asked = || scene.run(&["audit"]).exits(0).text.matches("consumer waive").count();
    let before = asked();
    end_two(&scene);
    let driver = scene.start(&["resume", &id, "--confirm", "ring"]);
    driver.says("the proof of the other one", |event| {
        let what = event["what"].as_str().unwrap_or_default();
        event["type"] == "waiting" && what.contains("`two`: it has no running process")
    });
    let holder = scene.lock_holder();
    let again = scene.run(&waive);
    again
        .exits(0)
        .says(&["is already waived for ring: nothing was changed", &format!("keyroll status {id}")]);
    waived_once(&scene, &id);
    assert_eq!(
        (scene.lock_holder(), asked()),
        (holder, before),
        "the driver goes on, and nothing is recorded"
    );
    scene.restart("two", "two/two.env");
    driver.end().exits(0).ended("done");
    listed(&scene, &id, "api", WHY);
    scene.restart("api", "api/api.env");
    scene.rotated();
}

/// Red: exit 0, and the rotation goes on without a consumer that uses the old key; or the driver is ended for a command that is
/// refused.
fn not_gone() {
    let scene = both();
    let (driver, id) = scene.waits_for_api();
    let holder = scene.lock_holder();
    let_go(&scene, "two").refused(1, "K0846", &["runs", "keyroll consumer waive two --reason WHY"]);
    let_go(&scene, "nobody").exits(2).says(&["ring has no consumer nobody", "api, two"]);
    nothing_waived(&scene, &id, "let-go");
    assert_eq!(scene.lock_holder(), holder, "the driver goes on");
    scene.restart("api", "api/api.env");
    driver.end().exits(0).ended("done");
    scene.rotated();
}

/// Red: exit 0 although a process that was started from an old copy uses the old key, which is dead by then.
fn back_again() {
    let scene = both();
    let id = scene.until("quiesce");
    // No look of this driver shows it: the command looks itself.
    let_go(&scene, "two").refused(1, "K0846", &["runs"]);
    nothing_waived(&scene, &id, "let-go");
    end_two(&scene);
    scene.sh("touch run/fail-two");
    let_go(&scene, "two").exits(0);
    listed(&scene, &id, "two", WHY);
    scene.start_by_hand("two", &scene.path("keep/old.env"), "");
    scene.sh("cp run/two.ready run/two.pid");
    let ran = resumed(&scene, &id);
    assert!(ran.exits(6).paused()["reason"].as_str().unwrap().contains("`two`"), "{}", ran.text);
    ran.says(&["`two` runs again: its waiver has ended"]);
    assert_eq!(row(&scene, &id)["waived"], serde_json::json!([]), "the waiver ended when it ran again");
    assert!(scene.issuer.keys().iter().any(|key| key.id == scene.old && !key.disabled), "the old key is on");
    scene.sh("rm run/fail-two");
    scene.run(&["retry", &id]).exits(6).says(&[&format!("keyroll resume {id} --confirm=ring")]);
    resumed(&scene, &id).exits(0).ended("done");
    scene.rotated();
    assert_eq!(scene.holds("two/two.env"), scene.holds("api/api.env"));
}

/// Red: stuck at the file until somebody restores it (exit 6), or keyroll writes over the edit, or the rotation ends although nothing
/// that reads the file was seen with the new key.
fn edited_forward() {
    let scene = both();
    let id = scene.until("quiesce");
    edit_two(&scene, "two/two.env");
    end_two(&scene);
    let accept = |path: &str| scene.run(&["consumer", "accept-file", path, "--reason", WHY]);
    resumed(&scene, &id)
        .exits(6)
        .says(&["holds content that neither keyroll nor the plan wrote", "accept-file"]);
    for path in ["two/nowhere.env", "restart.sh"] {
        accept(path).exits(2).says(&["does not write", "two/two.env"]);
    }
    nothing_waived(&scene, &id, "accept-file");
    accept("two/two.env").exits(0).says(&["as it stands", &format!("to continue: keyroll resume {id}")]);
    accept("two/two.env").exits(0);
    waived_once(&scene, &id);
    let driver = scene.start(&["resume", &id, "--confirm", "ring"]);
    driver.says("the proof of the consumer that reads it", |event| {
        let what = event["what"].as_str().unwrap_or_default();
        event["type"] == "waiting" && what.contains("`two`: it has no running process")
    });
    assert!(!scene.is_ended(&scene.old));
    scene.restart("two", "two/two.env");
    driver.end().exits(0).ended("done");
    listed(&scene, &id, "two/two.env as it stands", WHY);
    scene.rotated();
    let live = scene.holds("api/api.env");
    assert_eq!(in_rewritten(&scene), live, "it stands as it was edited");
    wait("the second worker calls with the live key", || scene.issuer.last_of("two") == live);
}

/// Red: the rollback is stuck at the file (exit 6), or ends with a process on the new key, which is gone then.
fn edited_back() {
    let scene = both();
    let id = scene.until("quiesce");
    edit_two(&scene, "keep/old.env");
    let ran = scene.run(&["abort", &id]);
    ran.exits(6).says(&["holds content that neither keyroll nor the plan wrote", "accept-file"]);
    scene.run(&["consumer", "accept-file", "two/two.env", "--reason", WHY]).exits(0);
    scene.run(&["resume", &id]).exits(5).ended("rolled_back");
    listed(&scene, &id, "two/two.env as it stands", WHY);
    scene.as_before();
    let old = Some(scene.old.clone());
    assert_eq!(in_rewritten(&scene), old, "it stands as it was edited");
    wait("the second worker calls with the old key", || scene.issuer.last_of("two") == old);
}

/// Adopts the process of `run/two.pid` with this restart command and variable of `own/two.env`.
fn adopted_own(scene: &Scene, name: &str, restart: &str, variable: &str) -> Ran {
    let pid = fs::read_to_string(scene.path("run/two.pid")).unwrap();
    let words = ["consumer", "adopt", pid.trim(), "--name", name, "--restart", restart];
    let copy = ["--pid-file", "run/two.pid", "--env-file", "own/two.env", "--variable", variable];
    scene.run(&[&words[..], &copy].concat())
}

/// What stands before and after the password in `own/two.env`, and whose key it is.
fn around_password(scene: &Scene) -> (String, Option<String>, String) {
    let text = Zeroizing::new(fs::read_to_string(scene.path("own/two.env")).unwrap());
    let (before, rest) = text.split_once("app:").unwrap();
    let (password, after) = rest.split_once('@').unwrap();
    (before.to_owned(), scene.issuer.whose(password.as_bytes()), after.to_owned())
}

/// Red: the variable is written down as if it held the value alone, the delivery fails with K0302, and the rotation pauses or rolls
/// everything back for it.
fn in_a_url() {
    let scene = Scene::new();
    scene.sh("mkdir own; umask 077; printf 'PORT=80\\nAPI_URL=\"https://app:%s@api.example/v1?x=1\"\\n' \
         \"$(sed -n 's/^KEY=//p' api/api.env)\" > own/two.env; \
         sed 's/worker name=/worker variable=API_URL name=/' restart.sh > url.sh; chmod 755 url.sh");
    let as_it_was = around_password(&scene);
    scene.start_by_hand("two", &scene.path("own/two.env"), "variable=API_URL");
    scene.sh("cp run/two.ready run/two.pid");
    let id = scene.until("quiesce");
    let config = || fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    let before = config();
    let restart = "./url.sh two own/two.env";
    for variable in ["PORT", "NOWHERE"] {
        let ran = adopted_own(&scene, "two", restart, variable);
        ran.refused(1, "K0811", &[&format!("own/two.env ({variable})"), "--env-file FILE --variable NAME"]);
        assert_eq!(config(), before);
    }
    let template = "https://app:{value}@";
    adopted_own(&scene, "two", restart, "API_URL").exits(0).says(&["as a part of a text", template]);
    assert!(config().contains(&format!("template = \"{template}\"")), "{}", config());
    adopted_own(&scene, "two", restart, "API_URL").exits(0).says(&["already a consumer"]);
    resumed(&scene, &id).exits(0).ended("done");
    scene.rotated();
    let live = scene.holds("api/api.env");
    assert_eq!(around_password(&scene), (as_it_was.0, live.clone(), as_it_was.2), "nothing else changed");
    wait("the second worker calls with the live key", || scene.issuer.last_of("two") == live);
}

/// Red: `consumer adopt PATH`, which the pause names, takes the whole file for the value, and the delivery fails.
fn by_its_variable() {
    let scene = Scene::new();
    scene.sh("cp -p api/api.env ../late.env");
    let id = scene.until("quiesce");
    scene.sh("mv ../late.env also/");
    resumed(&scene, &id).exits(6).says(&["also/late.env"]);
    let adopt = ["consumer", "adopt", "also/late.env", "--name", "late", "--check", "./check.sh KEY {copy}"];
    scene.run(&adopt).exits(0).says(&["in the variable KEY"]);
    resumed(&scene, &id).exits(0).ended("done");
    scene.rotated();
    assert_eq!(scene.holds("also/late.env"), scene.holds("api/api.env"));
}

/// Red: the second adoption is refused, or its process never proves the new key because it counts as the first one's, or a key is
/// left at the issuer.
fn put_right() {
    let scene = Scene::new();
    scene.sh("mkdir own; cp -p api/api.env own/two.env");
    scene.start_by_hand("two", &scene.path("own/two.env"), "");
    scene.sh("cp run/two.ready run/two.pid");
    let id = scene.until("quiesce");
    let pid = fs::read_to_string(scene.path("run/two.pid")).unwrap();
    let restart = "./restart.sh two own/two.env";
    // No copy is named, and the other consumer's is not what it reads.
    let words =
        ["consumer", "adopt", pid.trim(), "--name", "two", "--restart", restart, "--pid-file", "run/two.pid"];
    scene.run(&words).exits(0).says(&["keyroll assumes", "api/api.env"]);
    let driver = scene.start(&["resume", &id, "--confirm", "ring"]);
    driver.says("a proof that never comes", |event| {
        event["type"] == "waiting" && event["what"].as_str().is_some_and(|what| what.contains("`two`"))
    });
    let ended = ended_for_this(&driver, &id);
    let waive = ["consumer", "waive", "two", "--reason", "another copy was named"];
    scene.run(&waive).exits(0).says(&[&ended]);
    driver.end().exits(130);
    adopted_own(&scene, "second", restart, "KEY")
        .exits(0)
        .says(&["adopted second", &format!("keyroll resume {id}")]);
    resumed(&scene, &id).exits(0).ended("done");
    listed(&scene, &id, "two", "another copy was named");
    scene.rotated();
    let live = scene.holds("api/api.env");
    assert_eq!(scene.holds("own/two.env"), live);
    wait("the second worker calls with the live key", || scene.issuer.last_of("two") == live);
}

/// The most calls of one kind that an adoption makes.
const CALLS_MAX: u64 = 60;

/// An adoption that is killed at the N-th of these system calls, for every N, and is asked for again each time: with an open
/// rotation or without.
///
/// Red: the same command is refused after one of the kills; or it says that it is done, and the rotation does not have the consumer
/// or pauses because what the adoption accepted was lost.
fn killed(call: &'static str, open: bool) {
    let works = trace::works();
    assert!(works || std::env::var("CI").is_err(), "strace cannot trace in CI");
    if !works {
        eprintln!("left out: strace is not installed or may not trace");
        return;
    }
    let scene = Scene::new();
    scene.sh("mkdir own; cp -p api/api.env own/two.env");
    scene.start_by_hand("two", &scene.path("own/two.env"), "");
    // It is newer than the process: the adoption accepts it as it is.
    scene.sh("cp run/two.ready run/two.pid; cp restart.sh second.sh");
    let id = open.then(|| scene.until("quiesce"));
    let pid = fs::read_to_string(scene.path("run/two.pid")).unwrap();
    let words =
        ["consumer", "adopt", pid.trim(), "--name", "two", "--restart", "./second.sh two own/two.env"];
    let copy = ["--pid-file", "run/two.pid", "--env-file", "own/two.env", "--variable", "KEY"];
    let adopt = [&words[..], &copy].concat();
    let config = || fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    let (before, accepted) = (config(), scene.state().join("adopted.json"));
    let mut kills = 0;
    for nth in 1..=CALLS_MAX {
        let record = scene.state().with_file_name(trace::name());
        let place = Place { class: call, call, nth, store: false };
        let mut command = trace::under(Path::new(env!("CARGO_BIN_EXE_keyroll")), &record, "", Some(&place));
        command.args(&adopt);
        dress(&mut command, &scene.dir(), scene.dir().parent().unwrap());
        let ran = Ran::run(&mut command);
        let _ = fs::remove_file(record);
        assert!(config().matches("name = \"two\"").count() <= 1, "{}", config());
        if ran.code == Some(0) {
            break;
        }
        assert_eq!(ran.code, None, "refused after {kills} kills: {}", ran.text);
        kills += 1;
        if !open {
            // Everything that it changes is in two files: each kill meets all of them.
            scene.run(&adopt).exits(0);
            assert_eq!(config().matches("name = \"two\"").count(), 1, "{}", config());
            let accepted_now = fs::read_to_string(&accepted).unwrap();
            assert!(accepted_now.contains("two/restart:second.sh"), "{accepted_now}");
            fs::write(scene.path("keyroll.toml"), &before).unwrap();
            fs::remove_file(&accepted).unwrap();
        }
    }
    println!("an adoption was killed at {kills} calls of {call}");
    assert!((3..CALLS_MAX).contains(&kills), "killed {kills} times");
    scene.run(&adopt).exits(0).says(&["already a consumer"]);
    match id {
        Some(id) => resumed(&scene, &id).exits(0).ended("done"),
        None => scene.apply().exits(0).ended("done"),
    };
    scene.rotated();
    assert_eq!(scene.holds("own/two.env"), scene.holds("api/api.env"));
    let now = fs::read_to_string(scene.path("run/two.pid")).unwrap();
    assert_ne!(now.trim(), pid.trim(), "it was moved as a consumer is");
}

/// A rotation that waits, and what only its operator knows.
struct Waits {
    /// Ended before the scene is.
    _driver: Option<Running>,
    scene: Scene,
    id: String,
    /// What stands for a word in capitals.
    words: &'static [(&'static str, &'static [&'static str])],
    /// Does what a way names beside the commands of keyroll.
    does: fn(&Scene, &str),
}

/// Walks every way that `status` names for a wait, forward and back, each from a rotation of its own.
///
/// Red: a command is not understood (exit 2) or refused (exit 1 or 7) in the state in which it is named; or it is carried out, and the
/// rotation waits for the same as before.
fn walked(stand: &dyn Fn() -> Waits) {
    for at in 0.. {
        let waits = stand();
        let told = row(&waits.scene, &waits.id)["waiting"].clone();
        let ways = |direction: &str| told[direction].as_array().cloned().unwrap_or_default();
        let (forward, back) = (ways("forward_steps"), ways("back_steps"));
        assert!(!forward.is_empty(), "{told}");
        let all: Vec<&Value> = forward.iter().chain(&back).collect();
        walk(&waits, all[at], at >= forward.len(), &told["what"]);
        if at + 1 == all.len() {
            println!("{} ways past {} were walked", all.len(), told["what"]);
            return;
        }
    }
}

/// Takes one way; it leads past the wait, perhaps to another one.
fn walk(waits: &Waits, way: &Value, is_back: bool, what: &Value) {
    let Waits { scene, id, does, .. } = waits;
    if let Some(first) = way["first"].as_str() {
        does(scene, first);
    }
    for command in way["commands"].as_array().unwrap() {
        let words = filled(command["command"].as_str().unwrap(), waits.words);
        let ran = scene.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(matches!(ran.code, Some(0 | 5 | 6)), "{way}: {words:?} exits {:?}: {}", ran.code, ran.text);
    }
    let row = row(scene, id);
    let next = &row["waiting"]["forward_steps"][0]["commands"][0]["kind"];
    let has_ended = row["ended"] == true && row["waiting"].is_null();
    // Going back may meet the same file or consumer once more, with ways of its own.
    let rolls_back = is_back && row["phase"] == "rolling_back" && next.is_string();
    let is_another = row["waiting"]["what"] != *what && next.is_string();
    assert!(has_ended || rolls_back || is_another, "{way} leads to {row}");
}

/// Red: nothing blocks, the issuer's console is named, and the rollback is stuck at its deadline with the new key in every file.
fn emptied_pid_file() {
    let scene = Scene::new();
    // The line names the process that the look of Quiesce saw, after the restart.
    let id = scene.until("disable");
    let file = scene.path("run/api.pid");
    let pid = fs::read_to_string(&file).unwrap();
    fs::write(&file, "").unwrap();
    let driver = scene.start(&["abort", &id]);
    driver.says("what it waits for", |event| {
        let what = event["what"].as_str().unwrap_or_default();
        event["type"] == "waiting" && what.starts_with("pid file: ")
    });
    let row = row(&scene, &id);
    let blocked = &row["blocked_by"][0];
    assert_eq!((&blocked["kind"], &blocked["name"]), (&"pid file".into(), &file.to_str().unwrap().into()));
    let first = blocked["steps"][0]["first"].as_str().unwrap();
    assert_eq!(first, format!("echo {} >{}", pid.trim(), file.display()));
    scene.sh(first);
    driver.end().exits(5).ended("rolled_back");
    scene.as_before();
}

/// The words of a command without the program's name, with what the operator knows in place of the words in capitals.
fn filled(command: &str, known: &[(&str, &[&str])]) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in command.chars() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, ' ') => words.push(String::new()),
            (_, _) => words.last_mut().unwrap().push(letter),
        }
    }
    assert_eq!(words.remove(0), "keyroll", "{command}");
    let fill = |word: String| match known.iter().find(|(capitals, _)| *capitals == word) {
        Some((_, those)) => those.iter().map(|&one| one.to_owned()).collect(),
        None => vec![word],
    };
    let words: Vec<String> = words.into_iter().flat_map(fill).collect();
    let capitals = |word: &&String| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    assert_eq!(words.iter().find(capitals), None, "only the operator knows this: {command}");
    words
}

/// An undeclared process that holds the old key.
fn holder() -> Waits {
    let scene = Scene::new();
    scene.start_by_hand("two", &scene.path("api/api.env"), "");
    scene.sh("cp run/two.ready run/two.pid");
    let id = scene.until("quiesce");
    scene.run(&["resume", &id]).exits(6).says(&["undeclared process"]);
    let words: &[(&str, &[&str])] = &[
        ("NAME", &["two"]),
        ("COMMAND", &["./restart.sh two api/api.env", "--pid-file", "run/two.pid"]),
        ("WHY", &[WHY]),
    ];
    let does = |scene: &Scene, first: &str| {
        assert!(first.starts_with("end process"), "{first}");
        end_two(scene);
    };
    Waits { _driver: None, scene, id, words, does }
}

/// Restores the line that stood in the file of the second consumer before.
fn mend_two(scene: &Scene, first: &str) {
    assert!(first.starts_with("restore the previous line"), "{first}");
    scene.sh("cp keep/old.env two/new; mv two/new two/two.env");
}

/// A file with content of somebody else: the rotation is stuck.
fn foreign() -> Waits {
    let scene = both();
    let id = scene.until("quiesce");
    edit_two(&scene, "two/two.env");
    scene.run(&["resume", &id]).exits(6).says(&["neither keyroll nor the plan wrote"]);
    Waits { _driver: None, scene, id, words: &[("WHY", &[WHY])], does: mend_two }
}

/// The same in a rollback.
fn foreign_back() -> Waits {
    let scene = both();
    let id = scene.until("quiesce");
    edit_two(&scene, "keep/old.env");
    scene.run(&["abort", &id]).exits(6).says(&["neither keyroll nor the plan wrote"]);
    Waits { _driver: None, scene, id, words: &[("WHY", &[WHY])], does: mend_two }
}

/// A driver that waits for a consumer of which it sees no process: it names itself in another file than keyroll.toml says.
fn absent() -> Waits {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    scene.sh("mv run/api.pid run/moved.pid");
    let driver = scene.start(&["resume", &id, "--confirm", "ring"]);
    driver.says("what it waits for", |event| {
        let what = event["what"].as_str().unwrap_or_default();
        event["type"] == "waiting" && what.contains("`api`: it has no running process")
    });
    let does = |scene: &Scene, first: &str| {
        if first.starts_with("correct the commands") {
            scene.sh("sed -i 's|run/api.pid|run/moved.pid|' keyroll.toml");
        } else {
            assert!(first.contains("start it with its restart command"), "{first}");
            scene.restart("api", "api/api.env");
        }
    };
    Waits { _driver: Some(driver), scene, id, words: &[("WHY", &[WHY])], does }
}

/// For a wait past which keyroll's own commands lead.
fn nothing(_: &Scene, first: &str) {
    panic!("the operator has to do this first: {first}");
}

/// A rotation that was asked to stop before the old key is disabled.
fn asked() -> Waits {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    Waits { _driver: None, scene, id, words: &[], does: nothing }
}

/// Everything is on the new key, and nobody was there to consent.
fn consent() -> Waits {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    scene.run(&["resume", &id]).exits(6).says(&[&format!("keyroll resume {id} --confirm=ring")]);
    Waits { _driver: None, scene, id, words: &[], does: nothing }
}

/// The old key was used while it was disabled, by something that has ended since.
fn refused_use() -> Waits {
    let scene =
        Scene::made(|config, _| *config = config.replace("soak         = \"0s\"", "soak         = \"10s\""));
    let id = scene.plan();
    let driver = scene.start(&["apply", &id, "--confirm", "ring"]);
    driver.enters("soak");
    scene.sh("echo 'api was refused' >> log/refused");
    driver.end().exits(6).says(&["used while it was disabled"]);
    let does =
        |_: &Scene, first: &str| assert!(first.starts_with("find what still uses the old key"), "{first}");
    Waits { _driver: None, scene, id, words: &[], does }
}

/// The issuer refuses to disable the old key, until somebody sees to it, or ends the key at its console.
fn not_disabled() -> Waits {
    let scene = Scene::new();
    scene.issuer.mood(Ask::Disable, ResponseFault::Forbidden, 999);
    let id = scene.plan();
    scene.run(&["apply", &id, "--confirm", "ring"]).exits(6).says(&["disable failed: could not "]);
    let does = |scene: &Scene, first: &str| match first {
        "remove the cause of the failure" => scene.issuer.calm(),
        first => {
            assert_eq!(first, "revoke the old key at the issuer's console");
            scene.issuer.end(&scene.old);
        }
    };
    Waits { _driver: None, scene, id, words: &[], does }
}

/// Everything is on the new key, and the issuer did not end the old one.
fn debt() -> Waits {
    let scene = Scene::new();
    scene.issuer.mood(Ask::Delete, ResponseFault::Forbidden, 999);
    let id = scene.plan();
    scene.run(&["apply", &id, "--confirm", "ring"]).exits(6).ended("debt");
    let does = |scene: &Scene, first: &str| {
        assert_eq!(first, "remove the cause of the failure");
        scene.issuer.calm();
    };
    Waits { _driver: None, scene, id, words: &[], does }
}
